/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plugin host with plugins made for it: every service, tickets, turns, deadlines, and setting
 * aside. These plugins are of this file, and use the host through its public header only.
 */
#include "../../daemon/edge/plugin_host.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <sys/eventfd.h>

/* What the plugins of this file do and saw; reset for each test. */
static struct {
	const struct mend_services *services;
	struct mend_host *host;

	int emit_result; /* what emit() returns */
	int emits;
	char last_message[128];
	uint64_t block_ns; /* how long emit() stays */

	int run_result; /* what run() returns */
	bool report_in_run;
	struct mend_verdict verdict;
	int runs, cancels;
	uint64_t tickets[64];
	char units[64][32]; /* of the tickets */
	char arguments[128];

	int acts, act_cancels;
	uint64_t act_ticket;
	struct mend_action_result stages_in_run[3];
	size_t n_stages_in_run;

	int watches, unwatches, destroyed;
} seen;

static int32_t keep_services(
	const struct mend_services *services, struct mend_host *host, void **ret)
{
	seen.services = services;
	seen.host = host;
	*ret = &seen;
	return 0;
}

static void count_destroy(void *plugin)
{
	assert_ptr_equal(plugin, &seen);
	seen.destroyed++;
}

static int32_t sink_emit(void *plugin, const struct mend_record *record)
{
	uint64_t end = clock_monotonic_ns() + seen.block_ns;

	seen.emits++;
	snprintf(seen.last_message, sizeof(seen.last_message), "%s", record->message);
	while (clock_monotonic_ns() < end)
		; /* what a plugin must not do */
	return seen.emit_result;
}

static int32_t check_run(void *plugin, const struct mend_check_request *request, uint64_t ticket)
{
	str_copy(seen.units[seen.runs % 64], sizeof(seen.units[0]), request->unit);
	seen.tickets[seen.runs++ % 64] = ticket;
	snprintf(seen.arguments, sizeof(seen.arguments), "%s", request->arguments);
	if (seen.report_in_run)
		seen.services->check_report(seen.host, ticket, &seen.verdict);
	return seen.run_result;
}

static void check_cancel(void *plugin, uint64_t ticket)
{
	seen.cancels++;
}

static int32_t action_run(void *plugin, const struct mend_action_request *request, uint64_t ticket)
{
	seen.acts++;
	seen.act_ticket = ticket;
	for (size_t i = 0; i < seen.n_stages_in_run; i++)
		seen.services->action_report(seen.host, ticket, &seen.stages_in_run[i]);
	return seen.run_result;
}

static void action_cancel(void *plugin, uint64_t ticket)
{
	seen.act_cancels++;
}

static int32_t source_watch(void *plugin, const char *unit)
{
	seen.watches++;
	return 0;
}

static void source_unwatch(void *plugin, const char *unit)
{
	seen.unwatches++;
}

static const struct mend_sink sink_table = { .size = sizeof(sink_table), .emit = sink_emit };
static const struct mend_check check_table = {
	.size = sizeof(check_table),
	.run = check_run,
	.cancel = check_cancel,
};
static const struct mend_action action_table = {
	.size = sizeof(action_table),
	.run = action_run,
	.cancel = action_cancel,
};
static const struct mend_source source_table = {
	.size = sizeof(source_table),
	.watch = source_watch,
	.unwatch = source_unwatch,
};

#define PLUGIN(kind_, ...)                                                                        \
	{                                                                                         \
		.size = sizeof(struct mend_plugin), .major = MEND_ABI_MAJOR, .minor = 0,          \
		.kind = kind_, .version = "7", .create = keep_services, .destroy = count_destroy, \
		__VA_ARGS__                                                                       \
	}
static const struct mend_plugin a_sink =
	PLUGIN(MEND_KIND_SINK, .name = "a-sink", .sink = &sink_table);
static const struct mend_plugin a_check =
	PLUGIN(MEND_KIND_CHECK, .name = "a-check", .check = &check_table);
static const struct mend_plugin an_action =
	PLUGIN(MEND_KIND_ACTION, .name = "an-action", .action = &action_table);
static const struct mend_plugin a_source =
	PLUGIN(MEND_KIND_SOURCE, .name = "a-source", .source = &source_table);

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	/* what callbacks got */
	int verdicts, status;
	char text[512], perfdata[512], unit[UNIT_NAME_SIZE];
	int reports;
	uint32_t stages[8];
	char error[256], job[256];
	int observations;
	bool stop_in_callback;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	memset(&seen, 0, sizeof(seen));
	seen.verdict.size = sizeof(seen.verdict);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, NULL, &f->world), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plugin_host_free(f->host);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void on_verdict(void *userdata, const char *unit, const struct mend_verdict *verdict)
{
	struct fixture *f = userdata;

	f->verdicts++;
	f->status = verdict->status;
	str_copy(f->unit, sizeof(f->unit), unit);
	str_copy(f->text, sizeof(f->text), verdict->text);
	str_copy(f->perfdata, sizeof(f->perfdata), verdict->perfdata);
	if (f->stop_in_callback)
		plugin_host_check_stop(f->host, unit);
}

static void on_report(void *userdata, const char *unit, const struct mend_action_result *result)
{
	struct fixture *f = userdata;

	assert_string_equal(unit, "shop.service");
	assert_true(f->reports < 8);
	f->stages[f->reports++] = result->stage;
	str_copy(f->error, sizeof(f->error), result->error);
	str_copy(f->job, sizeof(f->job), result->job);
}

static const struct mend_record a_record = {
	.size = sizeof(a_record),
	.priority = 4,
	.kind = "unit-failed",
	.unit = "shop.service",
	.message = "shop.service: killed",
};

/* --- registering ------------------------------------------------------------------------------ */

static void linked_in_goes_the_same_way(void **state)
{
	struct fixture *f = *state;
	struct mend_plugin wrong = a_sink;

	assert_int_equal(plugin_host_register(f->host, &a_sink), 0);
	assert_string_equal(f->world.plugins[0].name, "a-sink");
	assert_string_equal(f->world.plugins[0].kind, "sink");
	assert_string_equal(f->world.plugins[0].version, "7");
	assert_string_equal(f->world.plugins[0].path, "");
	assert_true(f->world.plugins[0].active);
	wrong.major = 9;
	assert_int_equal(plugin_host_register(f->host, &wrong), -EINVAL);
	assert_non_null(strstr(f->world.plugins[1].error, "major version 9"));
	assert_int_equal(plugin_host_register(f->host, &a_sink), -EEXIST);
	f->host = plugin_host_free(f->host);
	assert_int_equal(seen.destroyed, 1);
}

static void there_is_an_end_to_plugins(void **state)
{
	struct fixture *f = *state;
	static struct mend_plugin many[PLUGINS_MAX + 1];
	static char names[PLUGINS_MAX + 1][16];

	for (int i = 0; i <= PLUGINS_MAX; i++) {
		many[i] = a_sink;
		snprintf(names[i], sizeof(names[i]), "sink-%d", i);
		many[i].name = names[i];
		assert_int_equal(
			plugin_host_register(f->host, &many[i]), i < PLUGINS_MAX ? 0 : -ENOSPC);
	}
}

/* --- services --------------------------------------------------------------------------------- */

static int fired;
static int64_t last_id;

static void on_fired(void *userdata, int32_t fd, uint32_t revents)
{
	eventfd_t value;

	assert_true(revents & MEND_IO_IN);
	assert_int_equal(eventfd_read(fd, &value), 0);
	fired++;
}

static void on_timer_fired(void *userdata, uint64_t now_ns)
{
	assert_true(now_ns >= *(uint64_t *)userdata);
	fired++;
	seen.services->timer_del(seen.host, last_id); /* itself: gone already, no harm */
}

static void fds_and_timers(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t at_ns;
	int64_t id, r = 0;
	int n = 0;

	assert_int_equal(plugin_host_register(f->host, &a_sink), 0);
	fired = 0;
	id = seen.services->io_add(seen.host, fd, MEND_IO_IN, on_fired, NULL);
	assert_true(id > 0);
	eventfd_write(fd, 1);
	LOOP_UNTIL(f->event, fired == 1);
	seen.services->io_del(seen.host, id);
	seen.services->io_del(seen.host, id);
	seen.services->io_del(seen.host, 123456);
	eventfd_write(fd, 1);
	loop_settle(f->event);
	assert_int_equal(fired, 1);

	at_ns = seen.services->now_ns() + 5 * NSEC_PER_MSEC;
	last_id = seen.services->timer_add(seen.host, at_ns, on_timer_fired, &at_ns);
	assert_true(last_id > 0);
	LOOP_UNTIL(f->event, fired == 2);

	assert_int_equal(seen.services->io_add(seen.host, -1, MEND_IO_IN, on_fired, NULL), -EINVAL);
	while (n <= PLUGIN_HANDLES_MAX && (r = seen.services->timer_add(seen.host, UINT64_MAX / 2,
						   on_timer_fired, &at_ns)) > 0)
		n++;
	assert_int_equal(r, -EMFILE);
	assert_int_equal(n, PLUGIN_HANDLES_MAX);
	close(fd);
}

static const char *config(void *userdata, const char *plugin, const char *key)
{
	return str_eq(plugin, "a-sink") && str_eq(key, "Color") ? "blue" : NULL;
}

static void configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_sink), 0);
	assert_null(seen.services->config(seen.host, "Color"));
	plugin_host_set_config(f->host, config, NULL);
	assert_string_equal(seen.services->config(seen.host, "Color"), "blue");
	assert_null(seen.services->config(seen.host, "Size"));
}

/* --- sinks, sources, setting aside ------------------------------------------------------------ */

static void sinks_hear(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_sink), 0);
	plugin_host_emit(f->host, &a_record);
	assert_int_equal(seen.emits, 1);
	assert_string_equal(seen.last_message, "shop.service: killed");
	assert_int_equal(f->world.plugins[0].failures, 0);
}

static void slow_calls_are_counted(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	assert_int_equal(plugin_host_register(f->host, &a_sink), 0);
	plugin_host_emit(f->host, &a_record);
	before = f->world.plugins[0].slow; /* not 0 on a machine that is itself slow */
	seen.block_ns = PLUGIN_SLOW_NS + NSEC_PER_MSEC;
	plugin_host_emit(f->host, &a_record);
	assert_int_equal(f->world.plugins[0].slow, before + 1);
	assert_true(f->world.plugins[0].active);
}

static void errors_set_aside(void **state)
{
	struct fixture *f = *state;
	static struct mend_plugin other; /* lives as long as the host */

	other = a_sink;
	other.name = "other-sink";
	assert_int_equal(plugin_host_register(f->host, &a_sink), 0);
	seen.emit_result = -EIO;
	for (int i = 0; i < PLUGIN_ERRORS_MAX - 1; i++)
		plugin_host_emit(f->host, &a_record);
	seen.emit_result = 0;
	plugin_host_emit(f->host, &a_record); /* a row that is broken does not count */
	seen.emit_result = -EIO;
	for (int i = 0; i < PLUGIN_ERRORS_MAX - 1; i++)
		plugin_host_emit(f->host, &a_record);
	assert_true(f->world.plugins[0].active);
	plugin_host_emit(f->host, &a_record);
	assert_false(f->world.plugins[0].active);
	assert_string_equal(f->world.plugins[0].error,
		"set aside: emit failed 5 times in a row: Input/output error");
	seen.emits = 0;
	plugin_host_emit(f->host, &a_record);
	assert_int_equal(seen.emits, 0);

	/* Other sinks are told. */
	seen.emit_result = 0;
	assert_int_equal(plugin_host_register(f->host, &other), 0);
	LOOP_UNTIL(f->event, seen.emits == 1);
	assert_non_null(strstr(seen.last_message, "plugin a-sink: set aside"));
}

static int on_observation(void *userdata, const struct mend_observation *o)
{
	struct fixture *f = userdata;

	f->observations++;
	assert_string_equal(o->unit, "shop.service");
	assert_true(o->time_ns > 0);
	assert_string_equal(o->text, "two lines");
	return 0;
}

static void sources_report(void **state)
{
	struct fixture *f = *state;
	struct mend_observation o = {
		.size = sizeof(o),
		.type = MEND_LEVEL,
		.status = MEND_CRITICAL,
		.unit = "shop.service",
		.text = "two\tlines\nbut one is shown",
	};

	assert_int_equal(plugin_host_register(f->host, &a_source), 0);
	plugin_host_watch(f->host, "shop.service");
	plugin_host_unwatch(f->host, "shop.service");
	assert_int_equal(seen.watches, 1);
	assert_int_equal(seen.unwatches, 1);
	assert_int_equal(seen.services->observe(seen.host, &o), -ENOENT);
	plugin_host_set_observer(f->host, on_observation, f);
	assert_int_equal(seen.services->observe(seen.host, &o), 0);
	assert_int_equal(f->observations, 1);
	o.status = 17;
	assert_int_equal(seen.services->observe(seen.host, &o), -EINVAL);
	assert_int_equal(f->observations, 1);
	assert_int_equal(f->world.plugins[0].failures, 1);
}

static void only_sources_observe(void **state)
{
	struct fixture *f = *state;
	struct mend_observation o = { .size = sizeof(o), .type = MEND_EDGE, .unit = "a.service" };

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	plugin_host_set_observer(f->host, on_observation, f);
	assert_int_equal(seen.services->observe(seen.host, &o), -EPERM);
	assert_int_equal(f->observations, 0);
}

/* --- checks ----------------------------------------------------------------------------------- */

static void begin_check(struct fixture *f, const char *unit)
{
	assert_int_equal(plugin_host_check_start(f->host, unit, "a-check one  two",
				 3600 * NSEC_PER_SEC, NSEC_PER_SEC, on_verdict, f),
		0);
	assert_int_equal(plugin_host_check_now(f->host, unit), 0);
}

static void a_check_gives_its_verdict(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	begin_check(f, "shop.service");
	LOOP_UNTIL(f->event, seen.runs == 1);
	assert_string_equal(seen.arguments, "one  two");
	assert_int_equal(f->verdicts, 0);
	seen.verdict.status = MEND_CRITICAL;
	seen.verdict.text = "bad \xff\x01\nsecond line";
	seen.verdict.perfdata = "time=1s";
	seen.services->check_report(seen.host, seen.tickets[0], &seen.verdict);
	assert_int_equal(f->verdicts, 1);
	assert_int_equal(f->status, MEND_CRITICAL);
	assert_string_equal(f->text, "bad ? ");
	assert_string_equal(f->perfdata, "time=1s");
	assert_string_equal(f->unit, "shop.service");
	/* The ticket is used up; others never were. */
	seen.services->check_report(seen.host, seen.tickets[0], &seen.verdict);
	seen.services->check_report(seen.host, 4711, &seen.verdict);
	assert_int_equal(f->verdicts, 1);
}

static void a_verdict_may_come_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	seen.report_in_run = true;
	f->stop_in_callback = true; /* so the check is gone when run() returns */
	begin_check(f, "shop.service");
	LOOP_UNTIL(f->event, f->verdicts == 1);
	assert_int_equal(f->status, MEND_OK);
	assert_int_equal(plugin_host_check_now(f->host, "shop.service"), -ENOENT);
}

static void never_twice_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	begin_check(f, "shop.service");
	LOOP_UNTIL(f->event, seen.runs == 1);
	assert_int_equal(plugin_host_check_now(f->host, "shop.service"), 0);
	assert_int_equal(plugin_host_check_now(f->host, "shop.service"), 0);
	loop_settle(f->event);
	assert_int_equal(seen.runs, 1);
	seen.services->check_report(seen.host, seen.tickets[0], &seen.verdict);
	LOOP_UNTIL(f->event, seen.runs == 2); /* once more, because it was asked for */
	seen.services->check_report(seen.host, seen.tickets[1], &seen.verdict);
	loop_settle(f->event);
	assert_int_equal(seen.runs, 2);
	assert_int_equal(f->verdicts, 2);
}

static bool has_run(const char *unit)
{
	for (int i = 0; i < seen.runs; i++)
		if (str_eq(seen.units[i], unit))
			return true;
	return false;
}

static void checks_wait_for_their_turn(void **state)
{
	struct fixture *f = *state;
	char unit[32] = "";

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	for (int i = 0; i < CHECKS_RUNNING_MAX + 3; i++) {
		snprintf(unit, sizeof(unit), "u%d.service", i);
		begin_check(f, unit);
	}
	LOOP_UNTIL(f->event, seen.runs == CHECKS_RUNNING_MAX);
	loop_settle(f->event);
	assert_int_equal(seen.runs, CHECKS_RUNNING_MAX);
	seen.services->check_report(seen.host, seen.tickets[0], &seen.verdict);
	LOOP_UNTIL(f->event, seen.runs == CHECKS_RUNNING_MAX + 1);
	plugin_host_check_stop(f->host, seen.units[1]); /* one that runs */
	assert_int_equal(seen.cancels, 1);
	LOOP_UNTIL(f->event, seen.runs == CHECKS_RUNNING_MAX + 2);
	for (int i = 0; has_run(unit); i++)
		snprintf(unit, sizeof(unit), "u%d.service", i);
	plugin_host_check_stop(f->host, unit); /* the one that waits */
	assert_int_equal(seen.cancels, 1);
	seen.services->check_report(seen.host, seen.tickets[2], &seen.verdict);
	loop_settle(f->event);
	assert_int_equal(seen.runs, CHECKS_RUNNING_MAX + 2);
}

static void a_silent_check_is_unknown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	assert_int_equal(plugin_host_check_start(f->host, "shop.service", "a-check",
				 3600 * NSEC_PER_SEC, 10 * NSEC_PER_MSEC, on_verdict, f),
		0);
	plugin_host_check_now(f->host, "shop.service");
	LOOP_UNTIL(f->event, f->verdicts == 1);
	assert_int_equal(f->status, MEND_UNKNOWN);
	assert_string_equal(f->text, "plugin a-check gave no verdict within 10 ms");
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(f->world.plugins[0].failures, 1);
}

static void a_check_that_cannot_begin(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	seen.run_result = -ENOTSUP;
	begin_check(f, "shop.service");
	for (int i = 1; i <= PLUGIN_ERRORS_MAX; i++) {
		LOOP_UNTIL(f->event, f->verdicts == i);
		assert_int_equal(f->status, MEND_UNKNOWN);
		plugin_host_check_now(f->host, "shop.service");
	}
	assert_false(f->world.plugins[0].active);
	/* It goes on being unknown, and says why. */
	LOOP_UNTIL(f->event, f->verdicts == PLUGIN_ERRORS_MAX + 1);
	assert_non_null(strstr(f->text, "plugin a-check was set aside"));
	assert_int_equal(seen.runs, PLUGIN_ERRORS_MAX);
}

static void setting_aside_ends_runs(void **state)
{
	struct fixture *f = *state;
	char unit[32];

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	begin_check(f, "waits.service");
	LOOP_UNTIL(f->event, seen.runs == 1);
	seen.verdict.status = 99; /* no verdict at all */
	seen.report_in_run = true;
	for (int i = 0; i < PLUGIN_ERRORS_MAX; i++) {
		snprintf(unit, sizeof(unit), "u%d.service", i);
		begin_check(f, unit);
	}
	LOOP_UNTIL(f->event, f->verdicts == PLUGIN_ERRORS_MAX + 1);
	assert_string_equal(f->unit, "waits.service");
	assert_int_equal(f->status, MEND_UNKNOWN);
}

static void bad_checks_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		plugin_host_check_start(f->host, "a.service", "a-check", 1, 1, on_verdict, f),
		-ENOENT); /* neither that plugin nor one for executables */
	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	assert_int_equal(
		plugin_host_check_start(f->host, "a.service", "  ", 1, 1, on_verdict, f), -EINVAL);
	plugin_host_check_stop(f->host, "a.service");
}

static void checks_repeat(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	seen.report_in_run = true;
	assert_int_equal(plugin_host_check_start(f->host, "shop.service", "a-check",
				 100 * NSEC_PER_MSEC, NSEC_PER_SEC, on_verdict, f),
		0);
	LOOP_UNTIL(f->event, f->verdicts == 4);
}

/* --- actions ---------------------------------------------------------------------------------- */

static struct mend_action_request request_for(uint64_t time_ns)
{
	return (struct mend_action_request) {
		.size = sizeof(struct mend_action_request),
		.attempt = 1,
		.deadline_ns = clock_monotonic_ns() + time_ns,
		.unit = "shop.service",
		.cause = "killed",
		.reason = "killed by SIGKILL",
		.incident = "",
		.old_invocation = "",
	};
}

static void an_action_reports_once(void **state)
{
	struct fixture *f = *state;
	struct mend_action_request request = request_for(60 * NSEC_PER_SEC);
	struct mend_action_result result = { .size = sizeof(result), .stage = MEND_STAGE_QUEUED };

	assert_int_equal(plugin_host_register(f->host, &an_action), 0);
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), 0);
	result.job = "/job/1";
	seen.services->action_report(seen.host, seen.act_ticket, &result);
	assert_int_equal(f->reports, 0); /* never from inside */
	LOOP_UNTIL(f->event, f->reports == 1);
	assert_string_equal(f->job, "/job/1");
	seen.services->action_report(seen.host, seen.act_ticket, &result); /* a second "queued" */
	result.stage = MEND_STAGE_DONE;
	seen.services->action_report(seen.host, seen.act_ticket, &result);
	result.stage = MEND_STAGE_FAILED;
	seen.services->action_report(seen.host, seen.act_ticket, &result);
	LOOP_UNTIL(f->event, f->reports == 2);
	seen.services->action_report(seen.host, seen.act_ticket, &result);
	loop_settle(f->event);
	assert_int_equal(f->reports, 2);
	assert_int_equal(f->stages[0], MEND_STAGE_QUEUED);
	assert_int_equal(f->stages[1], MEND_STAGE_DONE);
}

static void an_action_may_report_at_once(void **state)
{
	struct fixture *f = *state;
	struct mend_action_request request = request_for(60 * NSEC_PER_SEC);

	assert_int_equal(plugin_host_register(f->host, &an_action), 0);
	seen.stages_in_run[0] =
		(struct mend_action_result) { .size = sizeof(request), .stage = MEND_STAGE_QUEUED };
	seen.stages_in_run[1] = (struct mend_action_result) {
		.size = sizeof(request), .stage = MEND_STAGE_REFUSED, .error = "NoSuchUnit: no"
	};
	seen.n_stages_in_run = 2;
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), 0);
	assert_int_equal(f->reports, 0);
	LOOP_UNTIL(f->event, f->reports == 2);
	assert_int_equal(f->stages[0], MEND_STAGE_QUEUED);
	assert_int_equal(f->stages[1], MEND_STAGE_REFUSED);
	assert_string_equal(f->error, "NoSuchUnit: no");
}

static void a_silent_action_times_out(void **state)
{
	struct fixture *f = *state;
	struct mend_action_request request = request_for(10 * NSEC_PER_MSEC);

	assert_int_equal(plugin_host_register(f->host, &an_action), 0);
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), 0);
	LOOP_UNTIL(f->event, f->reports == 1);
	assert_int_equal(f->stages[0], MEND_STAGE_TIMEOUT);
	assert_int_equal(seen.act_cancels, 1);
}

static void actions_that_are_not_begun(void **state)
{
	struct fixture *f = *state;
	struct mend_action_request request = request_for(60 * NSEC_PER_SEC);

	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), -ENOENT);
	assert_int_equal(plugin_host_register(f->host, &an_action), 0);
	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	assert_int_equal(plugin_host_act(f->host, "a-check", &request, on_report, f), -ENOENT);
	seen.run_result = -EPERM;
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), -EPERM);
	seen.run_result = 0;
	for (int i = 0; i < ACTIONS_RUNNING_MAX; i++)
		assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), 0);
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), -EBUSY);
	loop_settle(f->event);
	assert_int_equal(f->reports, 0);
}

static void setting_aside_ends_actions(void **state)
{
	struct fixture *f = *state;
	struct mend_action_request request = request_for(60 * NSEC_PER_SEC);

	assert_int_equal(plugin_host_register(f->host, &an_action), 0);
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), 0);
	seen.run_result = -EIO;
	for (int i = 0; i < PLUGIN_ERRORS_MAX; i++)
		assert_int_equal(
			plugin_host_act(f->host, "an-action", &request, on_report, f), -EIO);
	LOOP_UNTIL(f->event, f->reports == 1);
	assert_int_equal(f->stages[0], MEND_STAGE_FAILED);
	assert_non_null(strstr(f->error, "set aside"));
}

static void freeing_reports_nothing(void **state)
{
	struct fixture *f = *state;
	struct mend_action_request request = request_for(60 * NSEC_PER_SEC);

	assert_int_equal(plugin_host_register(f->host, &a_check), 0);
	begin_check(f, "shop.service");
	LOOP_UNTIL(f->event, seen.runs == 1);
	assert_int_equal(plugin_host_register(f->host, &an_action), 0);
	assert_int_equal(plugin_host_act(f->host, "an-action", &request, on_report, f), 0);
	f->host = plugin_host_free(f->host);
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.act_cancels, 1);
	assert_int_equal(seen.destroyed, 2);
	assert_int_equal(f->verdicts + f->reports, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(linked_in_goes_the_same_way),
		TEST(there_is_an_end_to_plugins),
		TEST(fds_and_timers),
		TEST(configuration),
		TEST(sinks_hear),
		TEST(slow_calls_are_counted),
		TEST(errors_set_aside),
		TEST(sources_report),
		TEST(only_sources_observe),
		TEST(a_check_gives_its_verdict),
		TEST(a_verdict_may_come_at_once),
		TEST(never_twice_at_once),
		TEST(checks_wait_for_their_turn),
		TEST(a_silent_check_is_unknown),
		TEST(a_check_that_cannot_begin),
		TEST(setting_aside_ends_runs),
		TEST(bad_checks_are_refused),
		TEST(checks_repeat),
		TEST(an_action_reports_once),
		TEST(an_action_may_report_at_once),
		TEST(a_silent_action_times_out),
		TEST(actions_that_are_not_begun),
		TEST(setting_aside_ends_actions),
		TEST(freeing_reports_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
