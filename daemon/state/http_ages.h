/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many requests of a unit are in flight, and since when the oldest one is: read from what the
 * kernel counts by time (bpf/http_ages.h). The edge that owns the mapped memory calls
 * http_ages_retire() and http_ages_settle() at each tick; everybody else only reads.
 */
#pragma once

#include "../base/macros.h"
#include "../../bpf/http_ages.h"

struct http_age {
	uint64_t n;
	/*
	 * When the oldest of them began, CLOCK_MONOTONIC; 0: there is none. Exact for one that is
	 * alone in its interval of 0.27 s, else the mean of that interval; of those older than
	 * 69 s, the mean of all. So the oldest is never younger than this says.
	 */
	uint64_t oldest_ns;
};

struct http_age http_ages_read(const volatile struct http_ages *a, uint64_t now_ns);

/* Moves what has become old out of the slots, before these are used again. */
void http_ages_retire(struct http_ages *a, uint64_t now_ns);

/*
 * Takes out what is left although nothing is in flight: ends that nobody has seen. To be called
 * where nothing was in flight at two ticks and between them; `started` is the unit's counter of
 * requests, and has to be the same before and after reading.
 */
void http_ages_settle(struct http_ages *a, const volatile __u64 *started);
