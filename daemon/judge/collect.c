/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See collect.h. Each family is a loop over the units, because the text forms want all samples of
 * one family together. Known label values are there from the start with 0, so that a first event is
 * an increase and not a new series, which rate() would not see.
 */
#include "collect_impl.h"
#include "level.h"
#include "policy.h"

static bool is_down(const struct unit *u)
{
	return u->incident && u->incident->open;
}

static void health(struct page *p)
{
	metric_family(p->out, "mendd_unit_healthy", METRIC_GAUGE, NULL,
		"1: the unit does its job; 0: it does not. Absent while that is not known or nobody "
		"expects it to run.");
	UNIT_EACH (u, p) {
		if (u->health == HEALTH_HEALTHY || u->health == HEALTH_UNHEALTHY)
			METRIC_COUNT(p->out, u->health == HEALTH_HEALTHY, { "name", u->name });
	}
	metric_family(p->out, "mendd_unit_health_state", METRIC_GAUGE, NULL,
		"1 for the state that the unit is in, 0 for the others.");
	UNIT_EACH (u, p) {
		for (unsigned int i = 0; i < HEALTH_COUNT; i++)
			METRIC_COUNT(p->out, u->health == i, { "name", u->name },
				{ "state", health_word((enum health)i) });
	}
}

static void deaths(struct page *p)
{
	metric_family(p->out, "mendd_process_exits_total", METRIC_COUNTER, NULL,
		"Processes of the unit that ended, helpers included, by how they ended.");
	UNIT_EACH (u, p) {
		for (unsigned int i = 0; i < OUTCOME_COUNT; i++)
			METRIC_COUNT(p->out, u->exits[i], { "name", u->name },
				{ "outcome", outcome_word((enum outcome)i) });
	}
	metric_family(p->out, "mendd_process_last_exit_timestamp_seconds", METRIC_GAUGE, "seconds",
		"When a process of the unit last ended, in seconds since the epoch.");
	UNIT_EACH (u, p) {
		uint64_t ago_ns = p->now_ns - u->last_death.time_ns;

		if (u->last_death.time_ns == 0 || u->last_death.time_ns > p->now_ns)
			continue;
		/* To the millisecond: the two clocks drift, and the same death should stay the
		 * same value. */
		METRIC_SAMPLE(p->out,
			(double)(p->realtime_usec / 1000 - ago_ns / NSEC_PER_MSEC) / 1e3,
			{ "name", u->name });
	}
	metric_family(p->out, "mendd_oom_kills_total", METRIC_COUNTER, NULL,
		"Processes of the unit that the kernel killed for lack of memory.");
	UNIT_EACH (u, p) {
		METRIC_COUNT(p->out, u->oom_kills, { "name", u->name });
	}
	metric_family(p->out, "mendd_unit_restarts_total", METRIC_COUNTER, NULL,
		"Restarts of the unit, by who made them.");
	UNIT_EACH (u, p) {
		for (unsigned int i = 0; i < INITIATOR_COUNT; i++)
			METRIC_COUNT(p->out, u->restarts[i], { "name", u->name },
				{ "initiator", initiator_word((enum initiator)i) });
	}
}

/* Rules that have something to judge in the unit; what fires is shown in any case. */
static bool is_shown(const struct unit *u, enum rule rule)
{
	return level_applies(u, rule) || unit_alert_state(u, rule) == ALERT_FIRING;
}

static void unit_alerts(struct page *p, const struct unit *u)
{
	bool open = u->incident && u->incident->open;
	enum severity s = open ? u->incident->severity : u->settings.severity;
	bool down = open && u->heal.trouble.rule == RULE_UNIT_DOWN;

	for (unsigned int i = RULE_UNIT_DOWN; i < RULE_UNIT_COUNT; i++) {
		enum rule rule = (enum rule)i;
		bool fires =
			rule == RULE_UNIT_DOWN ? down : unit_alert_state(u, rule) == ALERT_FIRING;

		if (rule == RULE_UNIT_DOWN || is_shown(u, rule))
			METRIC_COUNT(p->out, fires, { "name", u->name },
				{ "rule", rule_word(rule) }, { "severity", severity_word(s) });
	}
}

static void alerts(struct page *p)
{
	metric_family(p->out, "mendd_alert_firing", METRIC_GAUGE, NULL,
		"1 while the alert of this rule fires for the unit; without a name: for the host.");
	UNIT_EACH (u, p) {
		unit_alerts(p, u);
	}
	for (unsigned int i = RULE_UNIT_COUNT; i < RULE_COUNT; i++)
		METRIC_COUNT(p->out, host_alert(&p->w->host, (enum rule)i)->state == ALERT_FIRING,
			{ "rule", rule_word((enum rule)i) },
			{ "severity", severity_word(SEVERITY_CRITICAL) });
}

static void incidents(struct page *p)
{
	metric_family(p->out, "mendd_incident_open", METRIC_GAUGE, NULL,
		"1 while an incident of the unit is open.");
	UNIT_EACH (u, p) {
		METRIC_COUNT(p->out, is_down(u), { "name", u->name });
	}
	metric_family(p->out, "mendd_incidents_total", METRIC_COUNTER, NULL,
		"Incidents opened since mendd started, by cause.");
	for (unsigned int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
		METRIC_COUNT(p->out, p->w->incidents[i], { "cause", cause_word((enum cause)i) });
}

static void healing(struct page *p)
{
	const char *restart = action_word(ACTION_RESTART);

	metric_family(p->out, "mendd_heal_actions_total", METRIC_COUNTER, NULL,
		"Actions taken to heal the unit.");
	UNIT_EACH (u, p) {
		METRIC_COUNT(p->out, u->attempts, { "name", u->name }, { "action", restart });
	}
	metric_family(p->out, "mendd_heal_action_failures_total", METRIC_COUNTER, NULL,
		"Actions that systemd refused or that did not bring the unit up.");
	UNIT_EACH (u, p) {
		METRIC_COUNT(
			p->out, u->attempt_failures, { "name", u->name }, { "action", restart });
	}
	metric_family(p->out, "mendd_heal_refusals_total", METRIC_COUNTER, NULL,
		"Actions that were held back, by the reason.");
	UNIT_EACH (u, p) {
		for (unsigned int i = REFUSAL_NONE + 1; i < REFUSAL_COUNT; i++)
			METRIC_COUNT(p->out, u->refusals[i], { "name", u->name },
				{ "reason", refusal_word((enum refusal)i) });
	}
	metric_family(p->out, "mendd_heal_verdicts_total", METRIC_COUNTER, NULL,
		"Verdicts on actions: whether they helped.");
	UNIT_EACH (u, p) {
		for (unsigned int i = VERDICT_NONE + 1; i < VERDICT_COUNT; i++)
			METRIC_COUNT(p->out, u->verdicts[i], { "name", u->name },
				{ "verdict", verdict_word((enum verdict)i) });
	}
	metric_family(p->out, "mendd_heal_budget_remaining", METRIC_GAUGE, NULL,
		"Restarts that the unit's budget still allows now.");
	UNIT_EACH (u, p) {
		METRIC_COUNT(p->out, policy_budget_remaining(u, p->now_ns), { "name", u->name });
	}
	metric_family(p->out, "mendd_healing_enabled", METRIC_GAUGE, NULL,
		"1: at least one unit has Heal=restart, and healing is not paused.");
	metric_count(p->out, NULL, world_healing_enabled(p->w));
}

static void delays(struct page *p)
{
	const struct world *w = p->w;

	metric_family(p->out, "mendd_detection_delay_seconds", METRIC_HISTOGRAM, "seconds",
		"From a failure in the kernel to mendd knowing of it.");
	metric_histogram(p->out, NULL, world_delay_bounds, DELAY_BUCKETS, w->detection.buckets,
		w->detection.sum);
	metric_family(p->out, "mendd_recovery_duration_seconds", METRIC_HISTOGRAM, "seconds",
		"From a failure to verified health.");
	metric_histogram(p->out, NULL, world_delay_bounds, DELAY_BUCKETS, w->recovery.buckets,
		w->recovery.sum);
}

static void kernel(struct page *p)
{
	const struct world *w = p->w;

	metric_family(p->out, "mendd_collector_up", METRIC_GAUGE, NULL,
		"1: this source of facts works on this host; mendctl doctor says why not.");
	for (size_t i = 0; i < w->n_features; i++)
		METRIC_COUNT(p->out, w->features[i].up, { "collector", w->features[i].name });
	metric_family(p->out, "mendd_bpf_events_total", METRIC_COUNTER, NULL,
		"Records received from the kernel programs.");
	metric_count(p->out, NULL, w->events);
	metric_family(p->out, "mendd_bpf_events_lost_total", METRIC_COUNTER, NULL,
		"Records that the kernel programs could not hand over.");
	for (size_t i = 0; i < w->n_lost; i++)
		METRIC_COUNT(p->out, w->lost[i].count, { "kind", w->lost[i].kind },
			{ "reason", "ring-full" });
	metric_family(p->out, "mendd_bpf_map_entries", METRIC_GAUGE, NULL,
		"Entries in use of a map of the kernel programs.");
	METRIC_COUNT(p->out, w->watched_entries, { "map", "watched" });
	METRIC_COUNT(p->out, w->http_units, { "map", "http" });
	metric_family(p->out, "mendd_bpf_map_max_entries", METRIC_GAUGE, NULL,
		"Entries that this map has room for.");
	METRIC_COUNT(p->out, w->watched_max, { "map", "watched" });
	METRIC_COUNT(p->out, w->http_units_max, { "map", "http" });
	metric_family(p->out, "mendd_bpf_program_run_seconds_total", METRIC_COUNTER, "seconds",
		"Time spent in a kernel program; 0 unless kernel.bpf_stats_enabled is set.");
	for (size_t i = 0; i < w->n_programs; i++)
		METRIC_SAMPLE(p->out, collect_seconds(w->programs[i].run_ns),
			{ "program", w->programs[i].name });
	metric_family(p->out, "mendd_bpf_program_runs_total", METRIC_COUNTER, NULL,
		"Runs of a kernel program; 0 unless kernel.bpf_stats_enabled is set.");
	for (size_t i = 0; i < w->n_programs; i++)
		METRIC_COUNT(p->out, w->programs[i].runs, { "program", w->programs[i].name });
	metric_family(p->out, "mendd_bpf_program_misses_total", METRIC_COUNTER, NULL,
		"Runs that the kernel left out because the program was under way on the CPU.");
	for (size_t i = 0; i < w->n_programs; i++)
		METRIC_COUNT(p->out, w->programs[i].misses, { "program", w->programs[i].name });
}

/* Whether a sink of that name was met before i: it would be the same series once more. */
static bool is_repeated(const struct world *w, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (str_eq(w->plugins[j].kind, "sink") &&
			str_eq(w->plugins[j].name, w->plugins[i].name))
			return true;
	return false;
}

/* A family over all sinks; those of one name (one refused, one active) are one. */
static void sinks(struct page *p, size_t field)
{
	const struct world *w = p->w;

	for (size_t i = 0; i < w->n_plugins; i++) {
		uint64_t sum = 0;

		if (!str_eq(w->plugins[i].kind, "sink") || is_repeated(w, i))
			continue;
		for (size_t j = i; j < w->n_plugins; j++)
			if (str_eq(w->plugins[j].kind, "sink") &&
				str_eq(w->plugins[j].name, w->plugins[i].name))
				sum += *(const uint64_t *)((const char *)&w->plugins[j] + field);
		METRIC_COUNT(p->out, sum, { "integration", w->plugins[i].name });
	}
}

static void self(struct page *p)
{
	const struct world *w = p->w;

	metric_family(p->out, "mendd_notifications_total", METRIC_COUNTER, NULL,
		"Messages handed to a sink.");
	sinks(p, offsetof(struct plugin_state, calls));
	metric_family(p->out, "mendd_notification_failures_total", METRIC_COUNTER, NULL,
		"Messages that a sink could not deliver.");
	sinks(p, offsetof(struct plugin_state, failures));
	metric_family(p->out, "mendd_store_written_total", METRIC_COUNTER, NULL,
		"Records written to the store of incidents.");
	metric_count(p->out, NULL, w->store_written);
	metric_family(p->out, "mendd_store_failures_total", METRIC_COUNTER, NULL,
		"Records that could not be written to the store of incidents.");
	metric_count(p->out, NULL, w->store_failures);
	metric_family(p->out, "mendd_cardinality_limited_total", METRIC_COUNTER, NULL,
		"Series that were refused at a cap, by the metric that lacks them.");
	METRIC_COUNT(p->out, w->units_refused, { "metric", "mendd_units_watched" });
	metric_family(p->out, "mendd_units_watched", METRIC_GAUGE, NULL, "Units that are watched.");
	metric_count(p->out, NULL, w->units.live);
	metric_family(p->out, "mendd_config_last_reload_successful", METRIC_GAUGE, NULL,
		"1: the configuration on disk had no mistake when it was last read.");
	metric_count(p->out, NULL, w->settings_ok);
	metric_family(p->out, "mendd_build_info", METRIC_INFO, NULL, "The version that runs.");
	METRIC_COUNT(p->out, 1, { "version", MENDD_VERSION });
}

int collect_world(
	const struct world *w, struct metric_writer *out, uint64_t now_ns, uint64_t realtime_usec)
{
	struct page p = {
		.w = w,
		.out = out,
		.now_ns = now_ns,
		.realtime_usec = realtime_usec,
	};
	int r = world_units_sorted(w, &p.units, &p.n);

	if (r < 0)
		return r;
	health(&p);
	deaths(&p);
	alerts(&p);
	incidents(&p);
	healing(&p);
	collect_http(&p);
	delays(&p);
	kernel(&p);
	self(&p);
	free(p.units);
	return 0;
}
