/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two clocks. Every decision uses the monotonic one, in nanoseconds, the same clock that the
 * kernel programs stamp their records with (bpf_ktime_get_ns). The wall clock is for people only:
 * it is written down and never computed with, so that its jumps change nothing.
 */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_realtime_usec(void)
{
	return clock_read_ns(CLOCK_REALTIME) / UINT64_C(1000);
}

/* a - b, but 0 where b is later: clocks of different CPUs may disagree by some nanoseconds. */
static inline uint64_t clock_since_ns(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}
