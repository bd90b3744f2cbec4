/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often and how soon a unit may be restarted: arithmetic only. */
#pragma once

#include "../state/unit.h"

/*
 * Restarts that all windows still allow at now_ns. All restarts count, whoever made them: the
 * budgets of the settings, and one less than StartLimitBurst= within its interval, so that mendd
 * never makes a unit run into systemd's own start limit.
 */
uint32_t budget_remaining(const struct unit *u, uint64_t now_ns);
/*
 * The windows that bind the unit: those of the settings, then systemd's start limit, whose .count
 * is one less than StartLimitBurst=. Returns how many; *ret_systemd is the index of the latter, or
 * the number of windows where it does not bind.
 */
size_t budget_windows(
	const struct unit *u, struct budget ret[BUDGET_WINDOWS + 1], size_t *ret_systemd);
/* When at least one is allowed again; now_ns where one is. */
uint64_t budget_free_ns(const struct unit *u, uint64_t now_ns);
/* Restarts within the last window_ns. */
uint32_t budget_used(const struct heal *h, uint64_t window_ns, uint64_t now_ns);

/* Delay before the next attempt: 0 at step 0, then first, 2 × first, 4 × first … up to max, ±25 %.
 */
uint64_t backoff_delay_ns(const struct unit *u, uint32_t step);

/* Spreads a period by ±25 %, the same for the same unit and occasion: pure, and different between
 * units. */
uint64_t jitter_ns(const struct unit *u, uint64_t period_ns, uint64_t occasion);
