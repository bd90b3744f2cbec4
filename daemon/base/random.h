/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Randomness for spreading work over time, so that what met once does not meet for ever. Not for
 * secrets.
 */
#pragma once

#include "clock.h"

#include <sys/random.h>

/* Uniform enough in [0, range). */
static inline uint64_t random_below(uint64_t range)
{
	uint64_t n = 0;

	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		n = clock_monotonic_ns() * UINT64_C(0x9e3779b97f4a7c15);
	return range ? n % range : 0;
}

/* The interval, 10 % more or less. */
static inline uint64_t random_jitter(uint64_t interval_ns)
{
	return interval_ns - interval_ns / 10 + random_below(interval_ns / 5 + 1);
}
