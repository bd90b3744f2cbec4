/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The action "restart" over a real message bus, with somebody on it who has the name of systemd and
 * answers as each test wants. The bus is started for this test; without dbus-daemon it is skipped.
 */
#include "../../daemon/edge/plugin_host.h"
#include "../../plugins/builtin.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define JOB "/org/freedesktop/systemd1/job/42"

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	sd_bus *bus;     /* the daemon's */
	sd_bus *systemd; /* the other one's */
	pid_t daemon;

	/* how it answers */
	const char *error_name; /* NULL: with the job */
	const char *early;      /* JobRemoved with this result before the answer */
	bool silent;
	/* what it saw */
	int calls, subscribers;
	char unit[64], mode[16];
	sd_bus_message *held; /* the call that is not answered */

	int reports;
	uint32_t stages[4];
	char error[256], job[256];
};

static void send_removed(struct fixture *f, const char *job, const char *unit, const char *result)
{
	assert_true(sd_bus_emit_signal(f->systemd, MANAGER_PATH, MANAGER, "JobRemoved", "uoss", 42,
			    job, unit, result) >= 0);
}

static int on_restart_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fixture *f = userdata;
	const char *unit, *mode;

	assert_true(sd_bus_message_read(m, "ss", &unit, &mode) >= 0);
	f->calls++;
	str_copy(f->unit, sizeof(f->unit), unit);
	str_copy(f->mode, sizeof(f->mode), mode);
	if (f->error_name)
		return sd_bus_reply_method_errorf(m, f->error_name, "because of the test");
	if (f->early)
		send_removed(f, JOB, unit, f->early);
	if (f->silent) {
		f->held = sd_bus_message_ref(m);
		return 1;
	}
	return sd_bus_reply_method_return(m, "o", JOB);
}

static int on_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fixture *f = userdata;

	f->subscribers++;
	return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("RestartUnit", "ss", "o", on_restart_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Subscribe", "", "", on_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
	SD_BUS_VTABLE_END,
};

/* Starts a bus; false where there is no dbus-daemon. */
static bool start_bus(struct fixture *f, char *address, size_t size)
{
	_cleanup_fclose_ FILE *out = NULL;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	f->daemon = fork();
	assert_true(f->daemon >= 0);
	if (f->daemon == 0) {
		char print[32];

		fcntl(fds[1], F_SETFD, 0);
		snprintf(print, sizeof(print), "--print-address=%d", fds[1]);
		execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork", "--nopidfile",
			"--nosyslog", print, NULL);
		_exit(127);
	}
	close(fds[1]);
	out = fdopen(fds[0], "re");
	if (!fgets(address, (int)size, out))
		return false;
	str_trim(address);
	return true;
}

static sd_bus *connect_to(struct fixture *f, const char *address)
{
	sd_bus *bus;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, address) >= 0);
	assert_true(sd_bus_set_bus_client(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	assert_true(sd_bus_attach_event(bus, f->event, 0) >= 0);
	return bus;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char address[512];

	assert_non_null(f);
	*state = f;
	assert_true(sd_event_new(&f->event) >= 0);
	if (!start_bus(f, address, sizeof(address)))
		return 0;
	f->systemd = connect_to(f, address);
	f->bus = connect_to(f, address);
	assert_true(
		sd_bus_add_object_vtable(f->systemd, NULL, MANAGER_PATH, MANAGER, vtable, f) >= 0);
	assert_true(sd_bus_request_name(f->systemd, SYSTEMD, 0) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, f->bus, &f->world), 0);
	assert_int_equal(plugin_host_register(f->host, &restart_plugin), 0);
	LOOP_UNTIL(f->event, f->subscribers == 1);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plugin_host_free(f->host);
	sd_bus_message_unref(f->held);
	sd_bus_flush_close_unref(f->bus);
	sd_bus_flush_close_unref(f->systemd);
	sd_event_unref(f->event);
	kill(f->daemon, SIGTERM);
	waitpid(f->daemon, NULL, 0);
	free(f);
	return 0;
}

static void on_report(void *userdata, const char *unit, const struct mend_action_result *result)
{
	struct fixture *f = userdata;

	assert_true(f->reports < 4);
	f->stages[f->reports++] = result->stage;
	str_copy(f->error, sizeof(f->error), result->error);
	str_copy(f->job, sizeof(f->job), result->job);
}

static void act(struct fixture *f, uint64_t within_ns)
{
	struct mend_action_request request = {
		.size = sizeof(request),
		.attempt = 1,
		.deadline_ns = clock_monotonic_ns() + within_ns,
		.unit = "shop.service",
		.cause = "killed",
		.reason = "killed by SIGKILL",
		.incident = "",
		.old_invocation = "",
	};

	if (!f->host) {
		print_message("skipped: there is no dbus-daemon\n");
		skip();
	}
	assert_int_equal(plugin_host_act(f->host, "restart", &request, on_report, f), 0);
}

static void a_job_is_done(void **state)
{
	struct fixture *f = *state;

	act(f, 60 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, f->reports == 1);
	assert_int_equal(f->stages[0], MEND_STAGE_QUEUED);
	assert_string_equal(f->job, JOB);
	assert_string_equal(f->unit, "shop.service");
	assert_string_equal(f->mode, "fail");
	send_removed(f, "/org/freedesktop/systemd1/job/41", "shop.service", "failed"); /* another */
	send_removed(f, JOB, "shop.service", "done");
	LOOP_UNTIL(f->event, f->reports == 2);
	assert_int_equal(f->stages[1], MEND_STAGE_DONE);
	assert_string_equal(f->error, "");
}

static void results_of_jobs(void **state)
{
	static const struct {
		const char *word;
		uint32_t stage;
	} cases[] = {
		{ "done", MEND_STAGE_DONE },
		{ "failed", MEND_STAGE_FAILED },
		{ "canceled", MEND_STAGE_CANCELED },
		{ "timeout", MEND_STAGE_TIMEOUT },
		{ "dependency", MEND_STAGE_FAILED },
		{ "skipped", MEND_STAGE_FAILED },
		{ "invalid", MEND_STAGE_FAILED },
		{ "a-word-of-the-future-that-is-longer-than-any", MEND_STAGE_FAILED },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->reports = 0;
		act(f, 60 * NSEC_PER_SEC);
		LOOP_UNTIL(f->event, f->reports == 1);
		send_removed(f, JOB, "shop.service", cases[i].word);
		LOOP_UNTIL(f->event, f->reports == 2);
		assert_int_equal(f->stages[1], cases[i].stage);
		if (cases[i].stage != MEND_STAGE_DONE)
			assert_non_null(strstr(f->error, cases[i].word));
	}
}

static void a_job_that_is_over_before_its_number_comes(void **state)
{
	struct fixture *f = *state;

	f->early = "failed";
	act(f, 60 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, f->reports == 2);
	assert_int_equal(f->stages[0], MEND_STAGE_QUEUED);
	assert_int_equal(f->stages[1], MEND_STAGE_FAILED);
	assert_string_equal(f->error, "job result: failed");
	/* What was kept is not taken for the result of a later job with the same path. */
	f->early = NULL;
	f->reports = 0;
	act(f, 60 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, f->reports == 1);
	loop_settle(f->event);
	assert_int_equal(f->reports, 1);
	send_removed(f, JOB, "shop.service", "done");
	LOOP_UNTIL(f->event, f->reports == 2);
	assert_int_equal(f->stages[1], MEND_STAGE_DONE);
}

static void errors_of_systemd(void **state)
{
	static const struct {
		const char *name;
		uint32_t stage;
	} cases[] = {
		{ SYSTEMD ".TransactionIsDestructive", MEND_STAGE_CANCELED },
		{ SYSTEMD ".NoSuchUnit", MEND_STAGE_REFUSED },
		{ SYSTEMD ".UnitMasked", MEND_STAGE_REFUSED },
		{ SYSTEMD ".ShuttingDown", MEND_STAGE_REFUSED },
		{ "org.freedesktop.DBus.Error.AccessDenied", MEND_STAGE_REFUSED },
		{ "org.freedesktop.DBus.Error.LimitsExceeded", MEND_STAGE_FAILED },
		{ "org.freedesktop.DBus.Error.NoReply", MEND_STAGE_TIMEOUT },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->reports = 0;
		f->error_name = cases[i].name;
		act(f, 60 * NSEC_PER_SEC);
		LOOP_UNTIL(f->event, f->reports == 1);
		assert_int_equal(f->stages[0], cases[i].stage);
		assert_non_null(strstr(f->error, cases[i].name));
		assert_non_null(strstr(f->error, "because of the test"));
	}
	assert_true(f->world.plugins[0].active); /* what systemd says is no error of the plugin */
}

static void no_answer_before_the_deadline(void **state)
{
	struct fixture *f = *state;

	f->silent = true;
	act(f, 50 * NSEC_PER_MSEC);
	LOOP_UNTIL(f->event, f->reports == 1);
	assert_int_equal(f->stages[0], MEND_STAGE_TIMEOUT);
	assert_string_equal(f->error, "systemd did not answer before the deadline");
	/* The answer that still comes changes nothing. */
	assert_non_null(f->held);
	assert_true(sd_bus_reply_method_return(f->held, "o", JOB) >= 0);
	send_removed(f, JOB, "shop.service", "done");
	loop_settle(f->event);
	assert_int_equal(f->reports, 1);
}

static void no_end_before_the_deadline(void **state)
{
	struct fixture *f = *state;

	act(f, 100 * NSEC_PER_MSEC);
	LOOP_UNTIL(f->event, f->reports == 2);
	assert_int_equal(f->stages[0], MEND_STAGE_QUEUED);
	assert_int_equal(f->stages[1], MEND_STAGE_TIMEOUT);
	assert_string_equal(f->error, "the job was not over before the deadline");
}

static void two_at_once(void **state)
{
	struct fixture *f = *state;

	act(f, 60 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, f->reports == 1);
	f->silent = true;
	act(f, 60 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, f->calls == 2);
	/* The first one's end is not taken for the second's, which has no number yet. */
	send_removed(f, JOB, "shop.service", "done");
	LOOP_UNTIL(f->event, f->reports == 2);
	assert_int_equal(f->stages[1], MEND_STAGE_DONE);
	assert_true(
		sd_bus_reply_method_return(f->held, "o", "/org/freedesktop/systemd1/job/43") >= 0);
	LOOP_UNTIL(f->event, f->reports == 3);
	assert_int_equal(f->stages[2], MEND_STAGE_QUEUED);
	send_removed(f, "/org/freedesktop/systemd1/job/43", "shop.service", "canceled");
	LOOP_UNTIL(f->event, f->reports == 4);
	assert_int_equal(f->stages[3], MEND_STAGE_CANCELED);
}

static void without_a_bus(void **state)
{
	struct world world = {};
	struct plugin_host *host;
	sd_event *event;

	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(plugin_host_new(&host, event, NULL, &world), 0);
	assert_int_equal(plugin_host_register(host, &restart_plugin), -ENOTCONN);
	assert_non_null(strstr(world.plugins[0].error, "not connected"));
	plugin_host_free(host);
	sd_event_unref(event);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_job_is_done),
		TEST(results_of_jobs),
		TEST(a_job_that_is_over_before_its_number_comes),
		TEST(errors_of_systemd),
		TEST(no_answer_before_the_deadline),
		TEST(no_end_before_the_deadline),
		TEST(two_at_once),
		cmocka_unit_test(without_a_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
