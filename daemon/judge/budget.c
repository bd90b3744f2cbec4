/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Budgets and back-off; see budget.h. */
#include "budget.h"
#include "../base/clock.h"

#include <string.h>

uint32_t budget_used(const struct heal *h, uint64_t window_ns, uint64_t now_ns)
{
	uint64_t n = MIN(h->n_restarts, (uint64_t)RESTART_LOG_MAX);
	uint32_t used = 0;

	for (uint64_t i = 1; i <= n; i++) {
		uint64_t t = h->restart_ns[(h->n_restarts - i) % RESTART_LOG_MAX];

		/* Times of this boot, so never later than now but for clocks read on other CPUs. */
		if (clock_since_ns(now_ns, t) < window_ns)
			used++;
	}
	return used;
}

size_t budget_windows(
	const struct unit *u, struct budget ret[BUDGET_WINDOWS + 1], size_t *ret_systemd)
{
	const struct unit_facts *f = &u->facts;
	size_t n = 0;

	for (size_t i = 0; i < BUDGET_WINDOWS; i++)
		if (u->settings.budget[i].count)
			ret[n++] = u->settings.budget[i];
	*ret_systemd = n;
	/* A burst of 1 cannot be undercut and still be healed; 0 switches the limit off. */
	if (f->start_limit_burst > 1 && f->start_limit_interval_ns)
		ret[n++] = (struct budget) { .count = f->start_limit_burst - 1,
			.window_ns = f->start_limit_interval_ns };
	return n;
}

uint32_t budget_remaining(const struct unit *u, uint64_t now_ns)
{
	struct budget w[BUDGET_WINDOWS + 1];
	size_t systemd, n = budget_windows(u, w, &systemd);
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		uint32_t used = budget_used(&u->heal, w[i].window_ns, now_ns);

		least = MIN(least, used < w[i].count ? w[i].count - used : 0);
	}
	return least;
}

uint64_t budget_free_ns(const struct unit *u, uint64_t now_ns)
{
	struct budget w[BUDGET_WINDOWS + 1];
	size_t systemd, n = budget_windows(u, w, &systemd);
	uint64_t free_ns = now_ns;

	for (size_t i = 0; i < n; i++) {
		const struct heal *h = &u->heal;
		uint64_t oldest;

		if (budget_used(h, w[i].window_ns, now_ns) < w[i].count)
			continue;
		/* The restart that has to leave the window: the count-th newest. */
		oldest = h->restart_ns[(h->n_restarts - w[i].count) % RESTART_LOG_MAX];
		free_ns = MAX(free_ns, oldest + w[i].window_ns);
	}
	return free_ns;
}

uint64_t jitter_ns(const struct unit *u, uint64_t period_ns, uint64_t occasion)
{
	struct {
		uint64_t name, occasion;
	} seed = { hash_bytes(u->name, strlen(u->name)), occasion };
	uint64_t part =
		hash_bytes(&seed, sizeof(seed)) >> 32; /* its high half: a number below 2^32 */

	/* 3/4 of the period, and a random part of another half of it. */
	return period_ns - period_ns / 4 +
	       (uint64_t)((double)(period_ns / 2) * ((double)part / 4294967296.0));
}

uint64_t backoff_delay_ns(const struct unit *u, uint32_t step)
{
	const struct unit_settings *s = &u->settings;
	uint64_t delay = s->backoff_first_ns;

	if (step == 0)
		return 0;
	for (uint32_t i = 1; i < step && delay < s->backoff_max_ns; i++)
		delay *= 2;
	return jitter_ns(u, MIN(delay, s->backoff_max_ns), u->heal.n_restarts);
}
