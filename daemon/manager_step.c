/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One step of one unit: find out whether it is in trouble, ask the policy, perform the decision,
 * and again until there is nothing more to do now. Deciding is elsewhere (judge/policy.h); this
 * file only performs.
 */
#include "manager.h"
#include "base/clock.h"
#include "base/span.h"
#include "judge/cause.h"
#include "judge/level.h"

/* A decision leads to the next at most this often at once; the rest waits for the timer. */
#define STEPS_AT_ONCE 8
/* Evidence that the store has not taken within this time does not hold up healing. */
#define STORE_PATIENCE_USEC (100 * UINT64_C(1000))
/* The action plugin's deadline beyond the unit's own start timeout. */
#define ACTION_GRACE_NS (10 * NSEC_PER_SEC)
#define ACTION_DEFAULT_NS (90 * NSEC_PER_SEC)

static void arm_timer(struct manager *m, struct unit *u);

static void store_incident(struct manager *m, const struct unit *u)
{
	if (u->incident)
		store_put_incident(m->store, u->incident, NULL, NULL);
	store_put_unit(m->store, u, NULL, NULL);
}

/* The alert of deaths follows the incident, while that is about a death. */
static void tell_down(struct manager *m, struct unit *u)
{
	struct unit_edge *e = u->edge;
	bool down = u->incident && u->incident->open && u->heal.trouble.rule == RULE_UNIT_DOWN;

	if (!e || e->told_down == down)
		return;
	e->told_down = down;
	api_alert_changed(
		m->api, u, rule_word(RULE_UNIT_DOWN), down ? ALERT_FIRING : ALERT_RESOLVED);
}

static void close_incident(struct manager *m, struct unit *u, uint64_t now, const char *resolution)
{
	struct incident *i = u->incident;

	if (!i || !i->open)
		return;
	i->open = false;
	i->closed_ns = now;
	i->verdict = u->heal.attempt.number ? u->heal.attempt.verdict : VERDICT_NONE;
	str_copy(i->resolution, sizeof(i->resolution), resolution);
	incident_note(i, now, "closed", "%s", resolution);
	api_incident_closed(m->api, i);
	tell_down(m, u);
}

void manager_open_incident(struct manager *m, struct unit *u, uint64_t now)
{
	const struct trouble *t = &u->heal.trouble;
	struct incident *i = u->incident;
	const struct death *d;
	char span[SPAN_SIZE];
	struct death told;

	if (i && !i->open) { /* in probation: the same story goes on */
		i->open = true;
		i->closed_ns = 0;
		i->relapses++;
		incident_note(i, t->time_ns, "relapse", "%s", t->text);
		manager_tell_unit(
			m, u, MESSAGE_RELAPSE, LOG_WARNING, "went bad again: %s", t->text);
	} else if (i) {
		incident_note(i, t->time_ns, "failed", "%s", t->text);
		/* Slowness was only the beginning of it. */
		if (i->cause == CAUSE_SLOW || i->cause == CAUSE_OVERLOAD) {
			i->cause = t->cause;
			str_copy(i->summary, sizeof(i->summary), t->text);
		}
	} else {
		i = u->incident = incident_new(u->name, t, now, clock_realtime_usec());
		if (!i)
			return;
		i->severity = u->settings.severity;
		m->world.incidents[t->cause]++;
		incident_note(i, t->time_ns, "failed", "%s", t->text);
		incident_note(i, t->detected_ns, "detected", "known %s after it happened",
			span_format((t->detected_ns - t->time_ns) / NSEC_PER_USEC, span));
	}
	if (!m->kernel && !unit_find_death(u, t->pid) && cause_death_from_facts(&u->facts, &told) &&
		told.pid == t->pid) {
		/* Nobody else will tell of it. */
		unit_note_death(u, &told);
		unit_remember_death(u, &told);
	}
	d = unit_find_death(u, t->pid);
	if (d && !i->death.time_ns)
		i->death = *d;
	/* Of what is sampled each finding has its own figures; a death has one evidence. */
	if (i->evidence && t->rule != RULE_UNIT_DOWN) {
		free(i->evidence);
		i->evidence = NULL;
	}
	if (!i->evidence)
		i->evidence = manager_evidence(m, u);
	((struct unit_edge *)u->edge)->opened = true;
}

/* That the incident was opened: after what must not wait has been begun. */
static void tell_opened(struct manager *m, struct unit *u)
{
	struct unit_edge *e = u->edge;

	if (!e->opened)
		return;
	e->opened = false;
	if (u->incident && u->incident->relapses == 0)
		api_incident_opened(m->api, u->incident);
	tell_down(m, u);
}

void manager_close_gone(struct manager *m, struct unit *u, uint64_t now)
{
	static const char text[] = "its unit is gone, and so is its unit file";

	if (!u->incident || !u->incident->open)
		return;
	manager_tell_unit(m, u, MESSAGE_INCIDENT_CLOSED, LOG_NOTICE, "%s", text);
	close_incident(m, u, now, text);
	store_incident(m, u);
	world_incident_archive(&m->world, TAKE_PTR(u->incident));
}

static void on_action(void *userdata, const char *unit, const struct mend_action_result *r)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, unit);
	uint64_t now = clock_monotonic_ns();
	struct attempt *a;

	if (r->stage != MEND_STAGE_QUEUED)
		m->world.actions_in_flight--;
	if (!u || u->heal.state != HEAL_STATE_ACT)
		return;
	a = &u->heal.attempt;
	str_copy(a->error, sizeof(a->error), r->error);
	switch (r->stage) {
	case MEND_STAGE_QUEUED:
		a->job = JOB_QUEUED;
		return;
	case MEND_STAGE_DONE:
		a->job = JOB_DONE;
		break;
	case MEND_STAGE_CANCELED:
		a->job = JOB_CANCELED;
		break;
	case MEND_STAGE_REFUSED:
		a->job = JOB_REFUSED;
		break;
	case MEND_STAGE_TIMEOUT:
		a->job = JOB_TIMEOUT;
		break;
	default:
		a->job = JOB_FAILED;
		break;
	}
	a->done_ns = now;
	manager_mark_restart(u, now);
	if (u->incident)
		incident_note(u->incident, now, a->job == JOB_DONE ? "restarted" : "failed", "%s",
			a->job == JOB_DONE ? "systemd says that it has started" : a->error);
	/* The facts are of before the restart: judge it by fresh ones. */
	systemd_read(m->systemd, u);
	manager_step_waiting(m); /* others may have waited for their turn */
}

static void send_action(struct manager *m, struct unit *u)
{
	struct attempt *a = &u->heal.attempt;
	uint64_t timeout = u->facts.start_timeout_ns, now = clock_monotonic_ns();
	struct mend_action_request request = {
		.size = sizeof(request),
		.attempt = a->number,
		.deadline_ns = now + ACTION_GRACE_NS +
			       (timeout && timeout != TIME_INFINITY ? timeout : ACTION_DEFAULT_NS),
		.unit = u->name,
		.cause = cause_word(u->heal.trouble.cause),
		.reason = u->heal.trouble.text,
		.incident = u->incident ? u->incident->id : "",
		.old_invocation = a->old_invocation,
	};
	char span[SPAN_SIZE];
	int r;

	a->sent_ns = now;
	r = plugin_host_act(m->plugins, action_word(a->action), &request, on_action, m);
	if (r < 0) {
		m->world.actions_in_flight--;
		a->job = JOB_REFUSED;
		a->done_ns = now;
		errno = -r;
		snprintf(a->error, sizeof(a->error), "the action could not be started: %m");
		u->heal.wake_ns = now;
		arm_timer(m, u);
		return;
	}
	a->job = JOB_SENT;
	if (u->incident)
		incident_note(u->incident, now, "acted", "RestartUnit sent %s after the failure",
			span_format((now - u->heal.trouble.time_ns) / NSEC_PER_USEC, span));
}

static void on_stored(void *userdata, const char *incident, int error)
{
	struct manager *m = userdata;
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor))) {
		struct unit_edge *e = u->edge;

		if (u->heal.state != HEAL_STATE_ACT || u->heal.attempt.job != JOB_STORING ||
			!u->incident || !str_eq(u->incident->id, incident))
			continue;
		e->store_timer = sd_event_source_disable_unref(e->store_timer);
		if (error < 0)
			incident_note(u->incident, clock_monotonic_ns(), "store",
				"the evidence could not be stored: %s", strerror(-error));
		send_action(m, u);
		return;
	}
}

static int on_store_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct unit *u = userdata;
	struct unit_edge *e = u->edge;

	e->store_timer = sd_event_source_disable_unref(e->store_timer);
	if (u->heal.state != HEAL_STATE_ACT || u->heal.attempt.job != JOB_STORING)
		return 0;
	log_warning("%s: the store is slow; acting before the evidence is written", u->name);
	if (u->incident)
		incident_note(u->incident, clock_monotonic_ns(), "store",
			"the store is slow; not waited for");
	send_action(e->manager, u);
	return 0;
}

/* Evidence first, then the action: on_stored() sends it. */
static void begin_action(struct manager *m, struct unit *u)
{
	struct unit_edge *e = u->edge;
	int r = -ENOENT;

	m->world.actions_in_flight++;
	u->heal.attempt.job = JOB_STORING;
	if (u->incident) {
		u->incident->attempts++;
		store_put_unit(m->store, u, NULL, NULL);
		store_put_incident(m->store, u->incident, NULL, NULL);
		r = store_put_attempt(m->store, u->incident->id, &u->heal.attempt, on_stored, m);
	}
	if (r >= 0)
		r = sd_event_add_time_relative(m->event, &e->store_timer, CLOCK_MONOTONIC,
			STORE_PATIENCE_USEC, 1000, on_store_late, u);
	if (r < 0)
		send_action(m, u);
}

/* Whether people have been told of the state that the unit is in now. */
static bool is_told(const struct unit *u)
{
	const struct unit_edge *e = u->edge;

	return e->told && e->told_state == u->heal.state && e->told_refusal == u->heal.refusal;
}

static void note_decision(const struct unit *u, const struct decision *d)
{
	if (u->incident && !is_told(u))
		incident_note(u->incident, clock_monotonic_ns(),
			d->refusal != REFUSAL_NONE ? "held" : "decided", "%s", d->text);
}

/* One sentence that has it all: what happened, and what is being done about it. */
static void tell_decision(struct manager *m, struct unit *u, const struct decision *d)
{
	const struct heal *h = &u->heal;
	struct unit_edge *e = u->edge;

	if (is_told(u))
		return;
	if (!e->told)
		manager_tell_unit(m, u,
			h->trouble.rule == RULE_UNIT_DOWN ? MESSAGE_UNIT_FAILED
							  : MESSAGE_ALERT_FIRING,
			LOG_ERR, "%s, %s", h->trouble.text, d->text);
	if (h->state == HEAL_STATE_EXHAUSTED)
		manager_tell_unit(
			m, u, MESSAGE_EXHAUSTED, LOG_CRIT, "%s; a person is needed", d->text);
	else if (!e->told)
		; /* said above, with what happened */
	else if (d->refusal != REFUSAL_NONE)
		manager_tell_unit(m, u, MESSAGE_ACTION_HELD, LOG_NOTICE, "%s", d->text);
	else
		manager_tell_unit(m, u, MESSAGE_ACTION_DECIDED, LOG_NOTICE, "%s", d->text);
	e->told = true;
	e->told_state = h->state;
	e->told_refusal = h->refusal;
}

static void conclude(struct manager *m, struct unit *u, const struct decision *d, uint64_t now)
{
	struct attempt *a = &u->heal.attempt;
	bool good = d->verdict == VERDICT_FIXED || d->verdict == VERDICT_FIXED_WEAK;
	struct unit_edge *e = u->edge;
	struct incident *i = u->incident;
	char resolution[128];
	double seconds;

	str_copy(a->new_invocation, sizeof(a->new_invocation), u->facts.invocation);
	if (i) {
		i->verdict = d->verdict;
		if (good)
			incident_note(i, a->up_ns, "up", "serving again");
		incident_note(i, now, good ? "verified" : "refuted", "%s: %s",
			verdict_word(d->verdict), d->text);
		store_put_attempt(m->store, i->id, a, NULL, NULL);
	}
	if (!good) {
		manager_tell_unit(m, u,
			a->job == JOB_DONE ? MESSAGE_NOT_FIXED : MESSAGE_ACTION_FAILED, LOG_WARNING,
			"%s: %s", verdict_word(d->verdict), d->text);
		e->told = true; /* the next decision is told alone */
		e->told_state = HEAL_STATE_IDLE;
		store_incident(m, u);
		return;
	}
	snprintf(resolution, sizeof(resolution), "restarted by %s, %s",
		a->initiator == INITIATOR_MENDD     ? "mendd"
		: a->initiator == INITIATOR_SYSTEMD ? "systemd"
						    : "an operator or a dependency",
		d->verdict == VERDICT_FIXED ? "verified"
					    : "up but not proved by traffic or a check");
	/* Since this failure, not since the incident's first one: a relapse is a new outage. */
	seconds = (double)clock_since_ns(a->up_ns, u->heal.trouble.time_ns) / (double)NSEC_PER_SEC;
	if (i)
		delay_histogram_add(&m->world.recovery, seconds);
	manager_tell_unit(m, u, MESSAGE_VERIFIED, LOG_NOTICE, "%s after %.3f s (%s: %s)",
		resolution, seconds, verdict_word(d->verdict), d->text);
	close_incident(m, u, now, resolution);
	e->told = false;
	store_incident(m, u);
}

static void perform(struct manager *m, struct unit *u, const struct decision *d, uint64_t now)
{
	struct unit_edge *e = u->edge;

	if (d->verb == VERB_ACT) {
		/* The store writes the evidence while we talk. */
		note_decision(u, d);
		begin_action(m, u);
	}
	tell_opened(m, u);
	switch (d->verb) {
	case VERB_ACT:
		tell_decision(m, u, d);
		break;
	case VERB_ADOPT:
		if (u->incident)
			u->incident->attempts++;
		note_decision(u, d);
		tell_decision(m, u, d);
		break;
	case VERB_CONCLUDE:
		conclude(m, u, d, now);
		break;
	case VERB_CLOSE:
		manager_tell_unit(m, u, MESSAGE_INCIDENT_CLOSED, LOG_NOTICE, "%s", d->text);
		close_incident(m, u, now, d->text);
		store_incident(m, u);
		e->told = false;
		break;
	default:
		if (d->refusal == REFUSAL_STALE)
			systemd_read(m->systemd, u);
		else if (u->heal.state == HEAL_STATE_HOLD || u->heal.state == HEAL_STATE_BACKOFF ||
			 u->heal.state == HEAL_STATE_EXHAUSTED) {
			bool first = !e->told;

			note_decision(u, d);
			tell_decision(m, u, d);
			if (first)
				store_incident(m, u);
		}
		break;
	}
	/* An incident that is closed and past its probation belongs to history. */
	if (u->heal.state == HEAL_STATE_IDLE && u->incident && !u->incident->open)
		world_incident_archive(&m->world, TAKE_PTR(u->incident));
}

/* Critical often enough in a row: once may be an accident of the check. */
static bool check_is_bad(const struct unit *u)
{
	return u->check.status == MEND_CRITICAL && u->check.in_row >= u->settings.check_failures;
}

static void set_health(struct manager *m, struct unit *u, enum finding finding)
{
	const struct unit_facts *f = &u->facts;
	const struct heal *h = &u->heal;

	if (f->read_ns == 0) {
		u->health = HEALTH_UNKNOWN;
		str_copy(u->health_reason, sizeof(u->health_reason), "systemd has not told yet");
	} else if (u->incident && u->incident->open) {
		u->health = HEALTH_UNHEALTHY;
		str_copy(u->health_reason, sizeof(u->health_reason),
			h->trouble.present ? h->trouble.text : u->incident->summary);
	} else if (check_is_bad(u) && unit_is_up(u)) {
		u->health = HEALTH_UNHEALTHY;
		snprintf(u->health_reason, sizeof(u->health_reason), "check: %s", u->check.text);
	} else if (level_gravest(u, ALERT_FIRING) != RULE_UNIT_DOWN && unit_is_up(u)) {
		/* Heal=off: no incident, but no secret either. The figures change all the time:
		 * mendctl explain has them. */
		u->health = HEALTH_UNHEALTHY;
		snprintf(u->health_reason, sizeof(u->health_reason), "its alert %s fires",
			rule_word(level_gravest(u, ALERT_FIRING)));
	} else if (unit_is_up(u)) {
		u->health = HEALTH_HEALTHY;
		snprintf(u->health_reason, sizeof(u->health_reason), "%s (%s)",
			active_state_word(f->active), f->sub_state);
	} else if (finding == FINDING_TROUBLE) {
		u->health = HEALTH_UNHEALTHY; /* Heal=off: no incident, but no secret either */
		snprintf(u->health_reason, sizeof(u->health_reason), "%s (Result=%s)",
			active_state_word(f->active), f->result);
	} else if (f->active == ACTIVE_INACTIVE) {
		u->health = HEALTH_INACTIVE;
		snprintf(u->health_reason, sizeof(u->health_reason), "inactive (%s)", f->sub_state);
	} else {
		u->health = HEALTH_UNKNOWN;
		snprintf(u->health_reason, sizeof(u->health_reason), "%s (%s)",
			active_state_word(f->active), f->sub_state);
	}
	api_unit_changed(m->api, u);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct unit *u = userdata;
	struct unit_edge *e = u->edge;

	if (u->heal.state == HEAL_STATE_VERIFY) {
		manager_read_sockets(e->manager);
		manager_sample_restart(u, clock_monotonic_ns());
		if (*u->settings.check)
			plugin_host_check_now(e->manager->plugins, u->name);
		if (*u->settings.probe)
			prober_now(e->manager->prober, u->name);
	}
	if (u->heal.refusal == REFUSAL_FROZEN && systemd_read(e->manager->systemd, u) >= 0)
		return 0; /* steps when it is read */
	manager_step(e->manager, u);
	return 0;
}

static void arm_timer(struct manager *m, struct unit *u)
{
	struct unit_edge *e = u->edge;
	uint64_t usec = u->heal.wake_ns / NSEC_PER_USEC + 1;

	if (u->heal.wake_ns == TIME_INFINITY) {
		if (e->timer)
			sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
		return;
	}
	if (!e->timer)
		sd_event_add_time(m->event, &e->timer, CLOCK_MONOTONIC, usec, 1000, on_timer, u);
	else {
		sd_event_source_set_time(e->timer, usec);
		sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
	}
}

void manager_step(struct manager *m, struct unit *u)
{
	uint64_t now = clock_monotonic_ns();
	enum finding finding;
	struct trouble t;
	bool found;

	finding = cause_find(u, &t);
	found = finding == FINDING_TROUBLE ||
		(finding == FINDING_NONE && level_find(u, &m->world, &t));
	if (found && u->settings.heal != HEAL_OFF && policy_take_trouble(u, &t, now)) {
		struct unit_edge *e = u->edge;

		e->told = false;
		manager_open_incident(m, u, now);
	}
	for (int i = 0; i < STEPS_AT_ONCE; i++) {
		struct decision d = policy_decide(u, &m->world, now);
		enum heal_state before = u->heal.state;

		policy_apply(u, &d, now);
		perform(m, u, &d, now);
		if (u->heal.state == before || u->heal.wake_ns > now)
			break;
	}
	set_health(m, u, finding);
	arm_timer(m, u);
}

void manager_step_waiting(struct manager *m)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor)))
		if (u->heal.state == HEAL_STATE_HOLD || u->heal.state == HEAL_STATE_EXHAUSTED)
			manager_step(m, u);
}

/* An incident that was open when the former run ended goes on where it stood. */
static void resume(struct manager *m, struct stored_incident *s)
{
	struct incident *i = s->incident;
	struct unit *u = world_unit_add(&m->world, i->unit);
	uint64_t now = clock_monotonic_ns();
	struct unit_edge *e;

	if (!s->this_boot || !u || u->incident) {
		i->open = false;
		i->closed_ns = s->this_boot ? now : i->opened_ns;
		str_copy(i->resolution, sizeof(i->resolution),
			s->this_boot ? "no longer watched" : "the host was restarted");
		store_put_incident(m->store, i, NULL, NULL);
		return;
	}
	if (!u->edge)
		manager_watch(m, i->unit);
	u->incident = TAKE_PTR(s->incident);
	policy_resume(u, i, &s->attempt, now);
	e = u->edge;
	if (e) { /* by the former run */
		enum rule rule = u->heal.trouble.rule;

		e->told = true;
		e->told_down = rule == RULE_UNIT_DOWN;
		if (rule < RULE_UNIT_COUNT)
			e->told_alerts[rule] = unit_alert_state(u, rule);
	}
	incident_note(i, now, "resumed", "mendd was restarted; going on");
}

void manager_resume_open(struct manager *m)
{
	struct stored_incident *list = NULL;
	size_t n = 0;

	if (store_load_open(m->store, &list, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		resume(m, &list[i]);
	stored_incidents_free(list, n);
}
