/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values as people write them in configuration files: systemd's time spans, sizes, percentages,
 * booleans, restart budgets and ranges. Pure functions. All return 0, -EINVAL (not of that form) or
 * -ERANGE (of that form, but too large to count); on failure the result is untouched. White space
 * around a value is allowed, and nothing else beside it.
 */
#pragma once

#include "macros.h"

/*
 * systemd.time(7): "500ms", "5min 20s", "1.5h", "2", "infinity" (TIME_INFINITY). A bare number is
 * seconds; "m" is minutes and "M" is months, as there. Digits below a nanosecond are dropped.
 */
int parse_timespan(const char *s, uint64_t *ret_ns);

/* "1s..1min"; a single span stands for both ends. -EINVAL where the first is the larger one. */
int parse_timespan_range(const char *s, uint64_t *ret_first_ns, uint64_t *ret_last_ns);

/* Bytes: "4096", "64K", "1.5G"; B K M G T P E to the base 1024, "infinity" (UINT64_MAX). */
int parse_size(const char *s, uint64_t *ret);

/* "5%", "2.25%", 0 to 100: in hundredths of a percent, 0 to 10000. The sign is required. */
int parse_percent(const char *s, uint32_t *ret_hundredths);

/* 1 yes y true t on, 0 no n false f off; in any case of letters. */
int parse_bool(const char *s, bool *ret);

/* Decimal digits only. */
int parse_u32(const char *s, uint32_t *ret);

/* At most `count` times in `window_ns`. */
struct rate {
	uint32_t count;
	uint64_t window_ns;
};

/*
 * "5/1min 20/1d", at least one and at most `max` (else -E2BIG). A window may have several parts:
 * "5/1min 30s 20/1d" is two rates, because each begins with its count and a slash.
 */
int parse_rates(const char *s, struct rate *ret, size_t max, size_t *ret_n);
