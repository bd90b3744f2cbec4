/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Levels, once a second: judge what was sampled of all units (judge/level.h), then of the host
 * (judge/host.h), then let the policy look at those for which it matters, and tell what has
 * changed. In this order, because a failure that many units share must be known before the first of
 * them is acted upon. No decision is made here.
 */
#include "manager.h"
#include "base/clock.h"
#include "edge/pressure.h"
#include "edge/processes.h"
#include "judge/host.h"
#include "judge/level.h"

/* While something is pending, seconds are seconds; else they may wait for other wake-ups. */
#define PRECISE_USEC (10 * UINT64_C(1000))
/* A tick that comes sooner for a deadline is not later than it, nor much earlier. */
#define SOONEST_USEC (20 * UINT64_C(1000))
/* While an action is verified, its first answers are looked at this often. */
#define VERIFY_TICK_NS (450 * NSEC_PER_MSEC)
/* Units named in one message; the metrics have all of them. */
#define NAMED_MAX 6

static void read_pressure(struct manager *m, uint64_t now)
{
	struct world *w = &m->world;
	struct pressure p, waits;
	int r;

	if (!host_wants_pressure(w))
		return;
	r = pressure_read(PRESSURE_DIR, &p, &waits);
	if (r >= 0)
		host_note_waits(&w->host, &waits, &p, now);
	host_note_pressure(&w->host, r >= 0 ? &p : NULL, now);
	if (r < 0 && r != m->pressure_error)
		log_warning_errno(r, "cannot read " PRESSURE_DIR
				     "; whether the host is overloaded is not known");
	m->pressure_error = r < 0 ? r : 0;
}

void manager_open_pressure(struct manager *m)
{
	struct pressure p;
	int r = pressure_read(PRESSURE_DIR, &p, NULL);

	errno = -r;
	if (r >= 0)
		world_feature(&m->world, "pressure", true,
			"whether the host is overloaded, from " PRESSURE_DIR);
	else
		world_feature(&m->world, "pressure", false,
			PRESSURE_DIR " cannot be read (%m): an overloaded host is not told from a "
				     "sick service");
	m->pressure_error = r < 0 ? r : 0;
}

/* Somebody who debugs a unit makes it slow, or hang: that has to be known before it is restarted.
 */
static void look_at_processes(struct unit *u)
{
	char path[640];

	if (!level_is_active(u)) {
		u->stopped = false;
		return;
	}
	snprintf(path, sizeof(path), CGROUP_ROOT "%s/cgroup.procs", u->facts.cgroup);
	processes_look(path, u->facts.main_pid, &u->stopped, NULL);
}

/* --- telling ---------------------------------------------------------------------------------- */

static void tell_alert(struct manager *m, struct unit *u, enum rule rule)
{
	const struct alert *a = &u->levels->alerts[rule];
	const struct trouble *t = &u->heal.trouble;
	struct unit_edge *e = u->edge;
	enum alert_state before = e->told_alerts[rule];

	if (a->state == before)
		return;
	e->told_alerts[rule] = a->state;
	/* That it is shown no longer is no news. */
	if (a->state != ALERT_INACTIVE || before == ALERT_PENDING)
		api_alert_changed(m->api, u, rule_word(rule), a->state);
	if (rule == RULE_CHECK) /* told as it always was, with its result */
		return;
	/* Where it has an incident, that tells of it, with what is done about it and its end. */
	if (a->state == ALERT_FIRING && !(t->present && t->rule == rule && u->incident)) {
		e->alone |= 1U << rule;
		manager_tell_alert(m, u, rule, MESSAGE_ALERT_FIRING, LOG_WARNING, a->text);
	} else if (a->state != ALERT_FIRING && (e->alone & 1U << rule)) {
		e->alone &= ~(1U << rule);
		manager_tell_alert(m, u, rule, MESSAGE_ALERT_RESOLVED, LOG_NOTICE, a->text);
	}
}

static void name_bad_units(const struct world *w, uint64_t now, char *ret, size_t size)
{
	struct unit **units;
	size_t n, named = 0, more = 0, used = 0;

	ret[0] = '\0';
	if (world_units_sorted(w, &units, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (!host_counts(units[i], now))
			continue;
		if (named == NAMED_MAX || used + strlen(units[i]->name) + 3 > size) {
			more++;
			continue;
		}
		used += (size_t)snprintf(
			ret + used, size - used, "%s%s", named++ ? ", " : "", units[i]->name);
	}
	if (more && used + 32 < size)
		snprintf(ret + used, size - used, " and %zu more", more);
	free(units);
}

static void tell_host_alert(struct manager *m, enum rule rule, enum message_kind kind, uint64_t now)
{
	const struct alert *a = host_alert(&m->world.host, rule);
	enum alert_state *told = &m->told_host[rule - RULE_UNIT_COUNT], before = *told;
	char names[320];

	if (a->state == before)
		return;
	*told = a->state;
	if (a->state != ALERT_INACTIVE || before == ALERT_PENDING)
		api_alert_changed(m->api, NULL, rule_word(rule), a->state);
	if (rule == RULE_CONFIG) {
		/* Each mistake has a record of its own. */
		if (a->state == ALERT_RESOLVED)
			manager_tell_host(
				m, kind, LOG_NOTICE, "the configuration has no mistake any more");
	} else if (a->state == ALERT_RESOLVED)
		manager_tell_host(m, kind, LOG_NOTICE, "over: %s", a->text);
	else if (a->state == ALERT_FIRING && rule == RULE_CORRELATED) {
		name_bad_units(&m->world, now, names, sizeof(names));
		manager_tell_host(m, kind, LOG_ERR,
			"%s (%s); only deaths are healed until it is over", a->text, names);
	} else if (a->state == ALERT_FIRING)
		manager_tell_host(
			m, kind, LOG_ERR, "%s; only deaths are healed until it is over", a->text);
}

/* --- the tick --------------------------------------------------------------------------------- */

static bool wants_step(const struct unit *u)
{
	const struct heal *h = &u->heal;

	return level_is_active(u) || h->state == HEAL_STATE_CONFIRM ||
	       (h->trouble.present && h->trouble.rule != RULE_UNIT_DOWN);
}

static void follow(struct manager *m, struct unit *u)
{
	if (wants_step(u))
		manager_step(m, u);
	for (unsigned int i = RULE_HTTP_HANG; u->levels && i < RULE_UNIT_COUNT; i++)
		tell_alert(m, u, (enum rule)i);
}

void manager_judge_levels(struct manager *m, uint64_t now)
{
	struct world *w = &m->world;
	size_t cursor = 0;
	struct unit *u;

	host_note_clocks(&w->host, now, clock_read_ns(CLOCK_BOOTTIME));
	while ((u = hash_next(&w->units, &cursor)))
		if (u->edge) {
			level_judge(u, now);
			look_at_processes(u);
		}
	read_pressure(m, now);
	host_judge(w, now);
	tell_host_alert(m, RULE_HOST_PRESSURE, MESSAGE_HOST_PRESSURE, now);
	tell_host_alert(m, RULE_CORRELATED, MESSAGE_CORRELATED, now);
	tell_host_alert(m, RULE_CONFIG, MESSAGE_CONFIG_ERROR, now);
	cursor = 0;
	while ((u = hash_next(&w->units, &cursor)))
		if (u->edge)
			follow(m, u);
}

void manager_judge_unit(struct manager *m, struct unit *u)
{
	uint64_t now = clock_monotonic_ns();

	level_judge(u, now);
	/* It may fire now, between two ticks. */
	look_at_processes(u);
	read_pressure(m, now);
	manager_step(m, u);
	follow(m, u);
}

void manager_pace_levels(
	const struct manager *m, uint64_t now, uint64_t *delay_usec, uint64_t *accuracy_usec)
{
	const struct world *w = &m->world;
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&w->units, &cursor))) {
		uint64_t wake = level_wake_ns(u, now);
		uint64_t usec = wake == TIME_INFINITY ? wake : (wake - now) / NSEC_PER_USEC + 1;

		if (level_is_active(u))
			*accuracy_usec = MIN(*accuracy_usec, PRECISE_USEC);
		if (usec > *delay_usec + *accuracy_usec)
			continue;
		*delay_usec = MIN(*delay_usec, MAX(usec, SOONEST_USEC));
		*accuracy_usec = MIN(*accuracy_usec, PRECISE_USEC);
	}
}

/* --- verification ----------------------------------------------------------------------------- */

void manager_mark_restart(struct unit *u, uint64_t now)
{
	if (u->http)
		http_tick(u->http, now);
}

void manager_sample_restart(struct unit *u, uint64_t now)
{
	if (u->http && clock_since_ns(now, u->http->tick_ns) >= VERIFY_TICK_NS)
		http_tick(u->http, now);
}

void manager_on_probe(
	struct manager *m, const char *unit, int status, uint64_t took_ns, const char *text)
{
	struct unit *u = world_unit(&m->world, unit);
	struct probe_state *p;

	if (!u)
		return;
	p = &u->probe;
	p->in_row = p->status == status ? p->in_row + 1 : 1;
	p->status = status;
	p->took_ns = took_ns;
	p->time_ns = clock_monotonic_ns();
	str_copy_clean(p->text, sizeof(p->text), text);
	manager_judge_unit(m, u);
}
