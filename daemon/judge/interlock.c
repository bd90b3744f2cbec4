/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interlocks; see interlock.h. Their order: a person's intent before everything else. */
#include "interlock.h"
#include "../base/clock.h"
#include "../base/str.h"
#include "budget.h"
#include "cause.h"
#include "host.h"
#include "level.h"
#include "policy.h"

#include <fnmatch.h>

/* At most this many actions at once on a host: more would be a stampede, not healing. */
#define ACTIONS_AT_ONCE 2
/* An out-of-memory unit that was restarted twice in this time will not be helped by a third. */
#define OOM_WINDOW_NS (10 * 60 * NSEC_PER_SEC)
#define OOM_RESTARTS 2
/* What comes back within this time of a restart against it was not helped by it. */
#define NOT_HELPED_NS (3600 * NSEC_PER_SEC)
/* PID 1 does not announce that a unit is thawed: it is asked now and then. */
#define FROZEN_ASK_NS (2 * NSEC_PER_SEC)

bool policy_is_denied(const char *unit)
{
	/* What the host, its log-in and mendd itself stand on. Restarting these is a human's
	 * decision. */
	static const char *const denied[] = { "systemd-*", "dbus.service", "dbus-broker.service",
		"ssh.service", "ssh@*.service", "sshd*.service", "getty@*", "serial-getty@*",
		"console-getty.service", "container-getty@*", "display-manager.service",
		"gdm*.service", "user@*.service", "user-runtime-dir@*.service", "polkit.service",
		"emergency.service", "rescue.service", "initrd-*", "mendd.service",
		"auditd.service" };

	for (size_t i = 0; i < ARRAY_SIZE(denied); i++)
		if (fnmatch(denied[i], unit, 0) == 0)
			return true;
	return false;
}

bool policy_denies(const struct unit *u)
{
	bool denied = policy_is_denied(u->name);

	for (size_t i = 0; u->aliases && u->aliases[i]; i++)
		denied = denied || policy_is_denied(u->aliases[i]);
	return denied;
}

static bool dependency_is_down(const struct unit *u, const struct world *w)
{
	for (size_t i = 0; i < u->n_dependencies; i++) {
		const struct unit *d = world_unit(w, u->dependencies[i]);

		if (!d || d == u || !d->incident || !d->incident->open)
			continue;
		/* One that is merely slow is up: what has died can be started again. */
		if (u->heal.trouble.rule != RULE_UNIT_DOWN ||
			d->heal.trouble.rule == RULE_UNIT_DOWN)
			return true;
	}
	return false;
}

static bool is_frozen(const struct unit *u)
{
	const struct unit_facts *f = &u->facts;

	/* Processes are looked at while an alert is active: somebody may debug the unit. */
	return (*f->freezer_state && !str_eq(f->freezer_state, "running")) ||
	       (u->stopped && u->heal.trouble.rule != RULE_UNIT_DOWN);
}

/* Interlocks that not even a person's request passes. */
static enum refusal ask_hard(
	const struct unit *u, const struct world *w, uint64_t now_ns, uint64_t *ret_wake)
{
	const struct unit_facts *f = &u->facts;
	const struct heal *h = &u->heal;

	if (f->read_ns < h->trouble.detected_ns)
		return REFUSAL_STALE;
	if (str_eq(f->load_state, "masked") || str_eq(f->load_state, "not-found"))
		return REFUSAL_MASKED;
	if (f->job)
		return REFUSAL_PENDING_JOB;
	if (str_after_prefix(f->sub_state, "auto-restart"))
		return REFUSAL_SYSTEMD_RESTARTS;
	if (policy_denies(u))
		return REFUSAL_DENY_LIST;
	if (is_frozen(u)) {
		*ret_wake = now_ns + FROZEN_ASK_NS;
		return REFUSAL_FROZEN;
	}
	if (w->actions_in_flight >= ACTIONS_AT_ONCE)
		return REFUSAL_CONCURRENCY;
	return REFUSAL_NONE;
}

/* Refuses until `since + SLOW_RETRY_NS`. */
static enum refusal slowly(const struct unit *u, enum refusal r, uint64_t since_ns, uint64_t now_ns,
	uint64_t *ret_wake)
{
	uint64_t retry = since_ns + jitter_ns(u, SLOW_RETRY_NS, u->heal.n_restarts);

	if (now_ns >= retry)
		return REFUSAL_NONE;
	*ret_wake = retry;
	return r;
}

/* When its grace ends. A hang has none once the unit has answered since its start: it is through.
 */
static uint64_t grace_end_ns(const struct unit *u, const struct world *w, uint64_t now_ns)
{
	uint64_t started = u->facts.active_enter_usec * NSEC_PER_USEC, end = 0;

	if (started &&
		!(u->heal.trouble.rule == RULE_HTTP_HANG && u->levels && u->levels->answered))
		end = started + u->settings.start_grace_ns;
	return MAX(end, host_grace_end_ns(&w->host, now_ns));
}

/* The same was tried, and it did not help, or it made things worse. */
static bool was_tried(const struct heal *h, uint64_t now_ns)
{
	if (h->attempt.number && h->attempt.verdict == VERDICT_WORSE)
		return true;
	return level_has_one_restart(h->trouble.rule) &&
	       (h->level_tried ||
		       (h->level_restart_ns &&
			       clock_since_ns(now_ns, h->level_restart_ns) < NOT_HELPED_NS));
}

/* Interlocks of levels: what was sampled has more explanations than a death. */
static enum refusal ask_level(
	const struct unit *u, const struct world *w, uint64_t now_ns, uint64_t *ret_wake)
{
	const struct trouble *t = &u->heal.trouble;
	uint64_t grace = grace_end_ns(u, w, now_ns);

	if (now_ns < grace) {
		*ret_wake = grace;
		return REFUSAL_GRACE;
	}
	if (dependency_is_down(u, w))
		return REFUSAL_DEPENDENCY_DOWN;
	if (level_is_pressed(&w->host, t->rule))
		return REFUSAL_HOST_PRESSURE;
	if (host_alert(&w->host, RULE_CORRELATED)->state == ALERT_FIRING)
		return REFUSAL_CORRELATED;
	if (t->rule == RULE_HTTP_LATENCY && !u->settings.http_latency_heal)
		return REFUSAL_NOTIFY_ONLY;
	return was_tried(&u->heal, now_ns) ? REFUSAL_NOT_HELPED : REFUSAL_NONE;
}

static enum refusal ask_soft(
	const struct unit *u, const struct world *w, uint64_t now_ns, uint64_t *ret_wake)
{
	const struct heal *h = &u->heal;
	enum refusal r = REFUSAL_NONE;

	if (w->pause.active || w->pause.kill_switch) {
		*ret_wake = w->pause.active ? w->pause.until_ns : TIME_INFINITY;
		return REFUSAL_PAUSED;
	}
	if (h->trouble.rule != RULE_UNIT_DOWN) {
		r = ask_level(u, w, now_ns, ret_wake);
		if (r != REFUSAL_NONE)
			return r;
	}
	/* Retried when what stands in its way is gone; slowly, where that cannot be seen. */
	if (h->trouble.cause == CAUSE_CANNOT_START && !(h->trouble.obstacle_seen && !*u->obstacle))
		r = slowly(u, REFUSAL_OBSTACLE, h->trouble.detected_ns, now_ns, ret_wake);
	else if (*h->trouble.killer_key && str_eq(h->trouble.killer_key, h->last_killer_key) &&
		 clock_since_ns(h->trouble.time_ns, h->last_killer_ns) < SAME_KILLER_NS)
		r = slowly(u, REFUSAL_SAME_KILLER, h->trouble.detected_ns, now_ns, ret_wake);
	if (r != REFUSAL_NONE)
		return r;
	if (dependency_is_down(u, w))
		return REFUSAL_DEPENDENCY_DOWN;
	if (u->settings.heal != HEAL_RESTART)
		return REFUSAL_OBSERVE_ONLY;
	if (h->trouble.cause == CAUSE_OOM &&
		budget_used(h, OOM_WINDOW_NS, now_ns) >= OOM_RESTARTS) {
		*ret_wake = now_ns + jitter_ns(u, SLOW_RETRY_NS, h->n_restarts);
		return REFUSAL_BUDGET;
	}
	if (budget_remaining(u, now_ns) == 0) {
		*ret_wake = MAX(budget_free_ns(u, now_ns),
			h->trouble.detected_ns + jitter_ns(u, SLOW_RETRY_NS, h->n_restarts));
		return REFUSAL_BUDGET;
	}
	return REFUSAL_NONE;
}

enum refusal interlock_ask(
	const struct unit *u, const struct world *w, uint64_t now_ns, uint64_t *ret_wake)
{
	enum refusal r;

	*ret_wake = TIME_INFINITY;
	r = ask_hard(u, w, now_ns, ret_wake);
	if (r != REFUSAL_NONE || u->heal.restart_asked)
		return r;
	return ask_soft(u, w, now_ns, ret_wake);
}
