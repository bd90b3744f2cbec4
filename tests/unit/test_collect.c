/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/judge/collect.c: which series there are for a world, and with which values. */
#include "cmocka_all.h"
#include "../../daemon/judge/collect.h"

#define NOW (1000 * NSEC_PER_SEC)
#define WALL (UINT64_C(1795214265) * USEC_PER_SEC)

static void collect(const struct world *w, struct strbuf *out)
{
	struct metric_writer m;

	metric_begin(&m, out, METRIC_TEXT);
	assert_int_equal(collect_world(w, &m, NOW, WALL), 0);
	metric_end(&m);
	assert_int_equal(out->error, 0);
}

/* Whether the page has exactly this line. */
static bool has(const struct strbuf *page, const char *line)
{
	const char *p = page->data;
	size_t n = strlen(line);

	while ((p = strstr(p, line))) {
		if ((p == page->data || p[-1] == '\n') && p[n] == '\n')
			return true;
		p++;
	}
	return false;
}

static size_t count(const struct strbuf *page, const char *s)
{
	size_t n = 0;

	for (const char *p = page->data; (p = strstr(p, s)); p++)
		n++;
	return n;
}

static void empty_world(void **state)
{
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};

	world_init(&w);
	collect(&w, &page);
	assert_true(has(&page, "mendd_units_watched 0"));
	assert_true(has(&page, "mendd_healing_enabled 0"));
	assert_true(has(&page, "mendd_config_last_reload_successful 1"));
	assert_true(has(&page, "mendd_incidents_total{cause=\"killed\"} 0"));
	assert_true(has(&page, "mendd_detection_delay_seconds_bucket{le=\"+Inf\"} 0"));
	assert_true(has(&page, "mendd_recovery_duration_seconds_count 0"));
	assert_true(has(&page, "mendd_bpf_events_total 0"));
	assert_true(
		has(&page, "mendd_cardinality_limited_total{metric=\"mendd_units_watched\"} 0"));
	assert_true(has(&page, "mendd_build_info{version=\"" MENDD_VERSION "\"} 1"));
	assert_true(has(&page, "mendd_alert_firing{rule=\"correlated\",severity=\"critical\"} 0"));
	assert_true(
		has(&page, "mendd_alert_firing{rule=\"host-pressure\",severity=\"critical\"} 0"));
	assert_true(
		has(&page, "mendd_alert_firing{rule=\"mendd-config\",severity=\"critical\"} 0"));
	assert_true(has(&page, "mendd_incidents_total{cause=\"hang\"} 0"));
	assert_true(has(&page, "mendd_incidents_total{cause=\"overload\"} 0"));
	assert_int_equal(count(&page, "name=\""), 0);
}

/* A series for each rule that has something to judge; an incident of a level is no death. */
static void alerts_of_levels(void **state)
{
	static const struct http_totals totals = { .started = 1 };
	static const struct http_detail detail;
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};
	const struct trouble trouble = { .present = true, .rule = RULE_HTTP_HANG };
	struct unit *u;

	world_init(&w);
	u = world_unit_add(&w, "web.service");
	u->http = http_state_new(&totals, &detail);
	http_tick(u->http, NOW);
	u->settings.severity = SEVERITY_CRITICAL;
	strcpy(u->settings.probe, "tcp://localhost:1");
	unit_levels(u)->alerts[RULE_HTTP_HANG].state = ALERT_FIRING;
	u->levels->alerts[RULE_HTTP_ERRORS].state = ALERT_PENDING;
	u->heal.trouble = trouble;
	u->incident = incident_new(u->name, &trouble, NOW, WALL);
	u->incident->severity = SEVERITY_CRITICAL;
	/* what is switched off and fires is shown until it does not any more */
	u = world_unit_add(&w, "off.service");
	unit_levels(u)->alerts[RULE_CHECK].state = ALERT_FIRING;
	w.host.alerts[RULE_CORRELATED - RULE_UNIT_COUNT].state = ALERT_FIRING;
	collect(&w, &page);
#define ALERT(name, rule, severity, value)                                         \
	assert_true(has(&page, "mendd_alert_firing{name=\"" name "\",rule=\"" rule \
			       "\",severity=\"" severity "\"} " value))
	ALERT("web.service", "unit-down", "critical", "0");
	ALERT("web.service", "http-hang", "critical", "1");
	ALERT("web.service", "http-errors", "critical", "0");
	ALERT("web.service", "probe", "critical", "0");
	ALERT("off.service", "check", "warning", "1");
	ALERT("off.service", "unit-down", "warning", "0");
#undef ALERT
	/* HTTPLatencyP99= is off, and there is no check */
	assert_int_equal(count(&page, "mendd_alert_firing{name=\"web.service\""), 4);
	assert_int_equal(count(&page, "mendd_alert_firing{name=\"off.service\""), 2);
	assert_true(has(&page, "mendd_alert_firing{rule=\"correlated\",severity=\"critical\"} 1"));
	assert_true(has(&page, "mendd_incident_open{name=\"web.service\"} 1"));
}

static void fresh_unit_starts_at_zero(void **state)
{
	static const char *const lines[] = {
		"mendd_unit_health_state{name=\"a.service\",state=\"unknown\"} 1",
		"mendd_unit_health_state{name=\"a.service\",state=\"healthy\"} 0",
		"mendd_process_exits_total{name=\"a.service\",outcome=\"exited_ok\"} 0",
		"mendd_process_exits_total{name=\"a.service\",outcome=\"oom_killed\"} 0",
		"mendd_oom_kills_total{name=\"a.service\"} 0",
		"mendd_unit_restarts_total{name=\"a.service\",initiator=\"mendd\"} 0",
		"mendd_unit_restarts_total{name=\"a.service\",initiator=\"other\"} 0",
		"mendd_alert_firing{name=\"a.service\",rule=\"unit-down\",severity=\"warning\"} 0",
		"mendd_incident_open{name=\"a.service\"} 0",
		"mendd_heal_actions_total{name=\"a.service\",action=\"restart\"} 0",
		"mendd_heal_action_failures_total{name=\"a.service\",action=\"restart\"} 0",
		"mendd_heal_refusals_total{name=\"a.service\",reason=\"budget\"} 0",
		"mendd_heal_verdicts_total{name=\"a.service\",verdict=\"fixed\"} 0",
	};
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};

	world_init(&w);
	assert_non_null(world_unit_add(&w, "a.service"));
	collect(&w, &page);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		CHECK_ROW(has(&page, lines[i]), lines[i]);
	assert_int_equal(count(&page, "mendd_heal_budget_remaining{name=\"a.service\"} "), 1);
	/* not known is not "no" */
	assert_int_equal(count(&page, "mendd_unit_healthy{"), 0);
	/* never exited has no time */
	assert_int_equal(count(&page, "mendd_process_last_exit_timestamp_seconds{"), 0);
	/* "none" is no reason, cause or verdict */
	assert_int_equal(count(&page, "\"none\""), 0);
}

static void a_unit_with_a_past(void **state)
{
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};
	const struct trouble trouble = { .present = true, .cause = CAUSE_KILLED };
	struct unit *u;

	world_init(&w);
	u = world_unit_add(&w, "b.service");
	assert_non_null(u);
	assert_null(world_unit_add(&w, "a\".service"));
	assert_non_null(world_unit_add(&w, "a\\x2db.service"));
	u->health = HEALTH_UNHEALTHY;
	u->exits[OUTCOME_SIGNALED] = 3;
	u->last_death.time_ns = NOW - 1500 * NSEC_PER_MSEC;
	u->oom_kills = 4;
	u->restarts[INITIATOR_SYSTEMD] = 5;
	u->attempts = 6;
	u->attempt_failures = 7;
	u->refusals[REFUSAL_PAUSED] = 8;
	u->verdicts[VERDICT_FIXED_WEAK] = 9;
	u->settings.heal = HEAL_RESTART;
	u->incident = incident_new(u->name, &trouble, NOW, WALL);
	assert_non_null(u->incident);
	u->incident->severity = SEVERITY_CRITICAL;
	w.incidents[CAUSE_KILLED] = 10;
	delay_histogram_add(&w.detection, .0002);
	delay_histogram_add(&w.recovery, 100);
	w.events = 11;
	w.settings_ok = false;
	w.lost[w.n_lost++] = (struct loss) { .kind = "death", .count = 12 };
	w.programs[w.n_programs++] =
		(struct program_stats) { .name = "p", .runs = 13, .run_ns = 1500, .misses = 2 };
	w.watched_entries = 14;
	w.watched_max = 15;
	w.store_written = 16;
	w.store_failures = 17;
	w.units_refused = 18;
	world_feature(&w, "bpf", true, "x");
	world_feature(&w, "oom", false, "x");
	collect(&w, &page);
	{
		static const char *const lines[] = {
			"mendd_unit_healthy{name=\"b.service\"} 0",
			"mendd_unit_health_state{name=\"b.service\",state=\"unhealthy\"} 1",
			"mendd_process_exits_total{name=\"b.service\",outcome=\"signaled\"} 3",
			"mendd_process_exits_total{name=\"a\\\\x2db.service\",outcome=\"signaled\"} 0",
			"mendd_process_last_exit_timestamp_seconds{name=\"b.service\"} 1795214263.5",
			"mendd_oom_kills_total{name=\"b.service\"} 4",
			"mendd_unit_restarts_total{name=\"b.service\",initiator=\"systemd\"} 5",
			"mendd_heal_actions_total{name=\"b.service\",action=\"restart\"} 6",
			"mendd_heal_action_failures_total{name=\"b.service\",action=\"restart\"} 7",
			"mendd_heal_refusals_total{name=\"b.service\",reason=\"paused\"} 8",
			"mendd_heal_verdicts_total{name=\"b.service\",verdict=\"fixed-weak\"} 9",
			"mendd_alert_firing{name=\"b.service\",rule=\"unit-down\",severity=\"critical\"} 1",
			"mendd_incident_open{name=\"b.service\"} 1",
			"mendd_incidents_total{cause=\"killed\"} 10",
			"mendd_detection_delay_seconds_bucket{le=\"0.0001\"} 0",
			"mendd_detection_delay_seconds_bucket{le=\"0.0003\"} 1",
			"mendd_recovery_duration_seconds_bucket{le=\"60\"} 0",
			"mendd_recovery_duration_seconds_bucket{le=\"+Inf\"} 1",
			"mendd_recovery_duration_seconds_sum 100",
			"mendd_healing_enabled 1",
			"mendd_units_watched 2",
			"mendd_config_last_reload_successful 0",
			"mendd_bpf_events_total 11",
			"mendd_bpf_events_lost_total{kind=\"death\",reason=\"ring-full\"} 12",
			"mendd_bpf_program_runs_total{program=\"p\"} 13",
			"mendd_bpf_program_misses_total{program=\"p\"} 2",
			"mendd_bpf_program_run_seconds_total{program=\"p\"} 1.5e-06",
			"mendd_bpf_map_entries{map=\"watched\"} 14",
			"mendd_bpf_map_max_entries{map=\"watched\"} 15",
			"mendd_store_written_total 16",
			"mendd_store_failures_total 17",
			"mendd_cardinality_limited_total{metric=\"mendd_units_watched\"} 18",
			"mendd_collector_up{collector=\"bpf\"} 1",
			"mendd_collector_up{collector=\"oom\"} 0",
		};

		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			CHECK_ROW(has(&page, lines[i]), lines[i]);
	}
}

/* A sink that was refused and one that works may have one name: one series, or no scrape at all. */
static void sinks_of_one_name(void **state)
{
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};

	world_init(&w);
	w.plugins[w.n_plugins++] = (struct plugin_state) { .name = "mail", .kind = "sink" };
	w.plugins[w.n_plugins++] = (struct plugin_state) {
		.name = "mail", .kind = "sink", .active = true, .calls = 5, .failures = 2
	};
	w.plugins[w.n_plugins++] =
		(struct plugin_state) { .name = "tcp", .kind = "check", .calls = 9 };
	collect(&w, &page);
	assert_int_equal(count(&page, "mendd_notifications_total{"), 1);
	assert_true(has(&page, "mendd_notifications_total{integration=\"mail\"} 5"));
	assert_true(has(&page, "mendd_notification_failures_total{integration=\"mail\"} 2"));
}

/* 200 idle units cost little: nothing but what could not be seen. */
static void a_unit_without_http(void **state)
{
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};
	struct http_totals totals = {};
	struct unit *u;

	world_init(&w);
	u = world_unit_add(&w, "a.service");
	assert_non_null(u);
	u->http = http_state_new(&totals, NULL);
	assert_non_null(u->http);
	collect(&w, &page);
	assert_int_equal(count(&page, "mendd_http_"), 2 * 12); /* HELP and TYPE of each family */
	totals.untracked[HTTP_UNTRACKED_TLS] = 3;
	totals.outgoing = 4;
	strbuf_reset(&page);
	collect(&w, &page);
	assert_int_equal(count(&page, "mendd_http_"), 2 * 12 + 2);
	assert_true(has(&page, "mendd_http_untracked_connections_total{name=\"a.service\","
			       "reason=\"tls\"} 3"));
	assert_true(has(&page, "mendd_http_outgoing_requests_total{name=\"a.service\"} 4"));
}

static void a_unit_with_http(void **state)
{
	_cleanup_(world_done) struct world w;
	_cleanup_strbuf_ struct strbuf page = {};
	static struct http_detail detail;
	struct http_totals totals = { .started = 20, .finished = 17 };
	struct unit *u;

	memset(&detail, 0, sizeof(detail));
	world_init(&w);
	w.http_units = 1;
	w.http_units_max = 64;
	u = world_unit_add(&w, "a.service");
	assert_non_null(u);
	u->http = http_state_new(&totals, NULL);
	assert_non_null(u->http);
	http_ages_add(&detail.waiting, NOW - 2500 * NSEC_PER_MSEC, 1);
	http_ages_add(&detail.waiting, NOW - 1500 * NSEC_PER_MSEC, 1);
	totals.never_read = 10; /* of 20 that have arrived, and 8 were read */
	totals.incomplete[HTTP_SERVER_DIED] = 5;
	http_tick(u->http, NOW - NSEC_PER_SEC);
	/* The kernel had no room: not measured is not 0. */
	collect(&w, &page);
	assert_int_equal(count(&page, "mendd_http_requests_total{"), 0);
	assert_int_equal(count(&page, "mendd_http_first_byte_seconds_"), 0);
	assert_true(has(&page, "mendd_http_requests_in_flight{name=\"a.service\"} 3"));
	strbuf_reset(&page);
	u->http->detail = &detail;
	detail.codes[HTTP_GET][http_place_of_code(200)] = UINT64_C(1) << 60;
	detail.codes[HTTP_POST][http_place_of_code(503)] = 2;
	detail.codes[HTTP_OTHER][0] = 3;
	/* The last buckets but one and two of all: 2^(39/8) and 2^5 seconds, above 10 s. */
	detail.histograms[HTTP_FIRST_BYTE][HTTP_CLASS_2XX][0] = 10;
	detail.histograms[HTTP_FIRST_BYTE][HTTP_CLASS_2XX][HTTP_BUCKETS - 2] = 1;
	detail.sums_ns[HTTP_FIRST_BYTE][HTTP_CLASS_2XX] = 32500 * NSEC_PER_MSEC;
	detail.histograms[HTTP_FIRST_BYTE][HTTP_CLASS_4XX][0] = 7;
	detail.histograms[HTTP_QUEUE][HTTP_CLASS_OTHER][0] = 8;
	http_tick(u->http, NOW);
	collect(&w, &page);
	{
		static const char *const lines[] = {
			"mendd_http_requests_total{name=\"a.service\",method=\"GET\",code=\"200\"} "
			"1152921504606846976",
			"mendd_http_requests_total{name=\"a.service\",method=\"GET\",code=\"500\"} 0",
			"mendd_http_requests_total{name=\"a.service\",method=\"POST\",code=\"503\"} 2",
			"mendd_http_requests_total{name=\"a.service\",method=\"_OTHER\",code=\"other\"} 3",
			"mendd_http_first_byte_seconds_bucket{name=\"a.service\",class=\"2xx\",le=\"0.001\"} "
			"10",
			"mendd_http_first_byte_seconds_bucket{name=\"a.service\",class=\"2xx\",le=\"10\"} 10",
			"mendd_http_first_byte_seconds_bucket{name=\"a.service\",class=\"2xx\",le=\"+Inf\"} "
			"11",
			"mendd_http_first_byte_seconds_sum{name=\"a.service\",class=\"2xx\"} 32.5",
			"mendd_http_first_byte_seconds_count{name=\"a.service\",class=\"4xx\"} 7",
			"mendd_http_first_byte_seconds_count{name=\"a.service\",class=\"5xx\"} 0",
			"mendd_http_request_duration_seconds_count{name=\"a.service\",class=\"2xx\"} 0",
			"mendd_http_queue_seconds_bucket{name=\"a.service\",le=\"0.001\"} 8",
			"mendd_http_requests_in_flight{name=\"a.service\"} 3",
			"mendd_http_oldest_request_age_seconds{name=\"a.service\"} 2.5",
			"mendd_http_requests_unread{name=\"a.service\"} 2",
			"mendd_http_incomplete_requests_total{name=\"a.service\",reason=\"server_died\"} 5",
			"mendd_http_incomplete_requests_total{name=\"a.service\",reason=\"timed_out\"} 0",
			"mendd_http_incomplete_requests_total{name=\"a.service\",reason=\"sent_ahead\"} 0",
			"mendd_http_untracked_connections_total{name=\"a.service\",reason=\"tls\"} 0",
			"mendd_http_outgoing_requests_total{name=\"a.service\"} 0",
			"mendd_bpf_map_entries{map=\"http\"} 1",
			"mendd_bpf_map_max_entries{map=\"http\"} 64",
		};

		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			CHECK_ROW(has(&page, lines[i]), lines[i]);
	}
	assert_int_equal(count(&page, "mendd_http_requests_total{"), 4);
	/* Never seen, and not among those that start at 0. */
	assert_int_equal(count(&page, "class=\"3xx\""), 0);
	assert_int_equal(count(&page, "class=\"other\""), 0);
	{
		static const struct http_route other = { .name = "_OTHER" }, users = {
			.name = "/users/{id}",
			.answered = { [HTTP_CLASS_2XX] = 6, [HTTP_CLASS_5XX] = 2 },
			.sum_ns = 4 * NSEC_PER_SEC,
			.buckets = { [7] = 8 }
		};

		u->http->routes = calloc(2, sizeof(*u->http->routes));
		assert_non_null(u->http->routes);
		u->http->routes[0] = &users;
		u->http->routes[1] = &other;
		u->http->n_routes = 2;
		assert_int_equal(http_route_answered(&users), 8);
		assert_int_equal(http_route_errors(&users), 2);
		strbuf_reset(&page);
		collect(&w, &page);
		assert_true(has(&page, "mendd_http_route_requests_total{name=\"a.service\","
				       "route=\"/users/{id}\",class=\"5xx\"} 2"));
		assert_true(has(&page, "mendd_http_route_first_byte_seconds_bucket{name="
				       "\"a.service\",route=\"/users/{id}\",le=\"0.1\"} 8"));
		assert_true(has(&page, "mendd_http_route_first_byte_seconds_sum{name="
				       "\"a.service\",route=\"/users/{id}\"} 4"));
		assert_int_equal(count(&page, "route=\"_OTHER\",class="), 2);
	}
	/* All answered: nothing is old. */
	totals.finished = 20;
	strbuf_reset(&page);
	collect(&w, &page);
	assert_true(has(&page, "mendd_http_oldest_request_age_seconds{name=\"a.service\"} 0"));
	assert_true(has(&page, "mendd_http_requests_unread{name=\"a.service\"} 0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_world),
		cmocka_unit_test(fresh_unit_starts_at_zero),
		cmocka_unit_test(a_unit_with_a_past),
		cmocka_unit_test(sinks_of_one_name),
		cmocka_unit_test(a_unit_without_http),
		cmocka_unit_test(a_unit_with_http),
		cmocka_unit_test(alerts_of_levels),
	};

	return cmocka_run_group_tests_name("collect", tests, NULL, NULL);
}
