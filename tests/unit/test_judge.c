/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The judges one by one: each finding, interlock and verdict fires, nearly fires, and recovers. */
#include "../../daemon/base/str.h"
#include "../../daemon/judge/budget.h"
#include "../../daemon/judge/cause.h"
#include "../../daemon/judge/interlock.h"
#include "../../daemon/judge/policy.h"
#include "../../daemon/judge/verify.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SECOND NSEC_PER_SEC
#define NOW (1000 * SECOND)

/* A running service as PID 1 describes it, main process 42. */
static struct unit *running_unit(void)
{
	struct unit *u = unit_new("shop.service");
	struct unit_facts *f = &u->facts;

	f->read_ns = NOW;
	f->active = ACTIVE_ACTIVE;
	strcpy(f->sub_state, "running");
	strcpy(f->load_state, "loaded");
	strcpy(f->invocation, "aaaa");
	strcpy(f->result, "success");
	strcpy(f->restart, "no");
	strcpy(f->type, "simple");
	strcpy(f->freezer_state, "running");
	f->main_pid = f->exec_main_pid = 42;
	u->settings.heal = HEAL_RESTART;
	return u;
}

static struct death death_of(pid_t pid, int signal, int code, enum killer killer)
{
	struct death d = { .source = DEATH_FROM_KERNEL,
		.pid = pid,
		.parent_pid = 1,
		.time_ns = NOW - SECOND,
		.seen_ns = NOW - SECOND + 1000,
		.lifetime_ns = 60 * SECOND,
		.signal = signal,
		.code = code,
		.killer = killer,
		.killer_time_ns = killer == KILLER_NONE ? 0 : NOW - SECOND - 1000 };

	if (killer == KILLER_PROCESS)
		strcpy(d.killer_comm, "bash");
	return d;
}

static void test_cause_of_death(void **state)
{
	static const struct {
		int signal, code, asked;
		enum killer killer;
		bool own_limit;
		const char *comm, *killer_comm;
		enum cause expected;
	} table[] = {
		{ 0, 7, 0, KILLER_NONE, false, "shop", "", CAUSE_EXITED },
		{ 0, 203, 0, KILLER_NONE, false, "(shop)", "", CAUSE_CANNOT_START },
		/* nearly: an application's own 203 */
		{ 0, 203, 0, KILLER_NONE, false, "shop", "", CAUSE_EXITED },
		{ 0, 199, 0, KILLER_NONE, false, "(shop)", "", CAUSE_EXITED },
		{ SIGKILL, 0, 0, KILLER_PROCESS, false, "shop", "bash", CAUSE_KILLED },
		{ SIGKILL, 0, 0, KILLER_PROCESS, false, "shop", "earlyoom", CAUSE_OOM_HOST },
		{ SIGKILL, 0, 0, KILLER_PROCESS, false, "shop", "earlyoom2", CAUSE_KILLED },
		{ SIGKILL, 0, 0, KILLER_SYSTEMD, false, "shop", "systemd", CAUSE_KILLED },
		{ SIGKILL, 0, 0, KILLER_OOM, true, "shop", "", CAUSE_OOM },
		{ SIGKILL, 0, 0, KILLER_OOM, false, "shop", "", CAUSE_OOM_HOST },
		{ SIGSEGV, 0, 0, KILLER_KERNEL, false, "shop", "", CAUSE_CRASHED },
		{ SIGABRT, 0, 0, KILLER_SELF, false, "shop", "", CAUSE_CRASHED },
		/* nearly: somebody sent it a SIGSEGV */
		{ SIGSEGV, 0, 0, KILLER_PROCESS, false, "shop", "bash", CAUSE_KILLED },
		{ SIGSEGV, 0, 0, KILLER_NONE, false, "shop", "", CAUSE_CRASHED },
		{ SIGTERM, 0, 0, KILLER_NONE, false, "shop", "", CAUSE_KILLED },
		{ 0, 0, SIGTERM, KILLER_PROCESS, false, "shop", "bash", CAUSE_KILLED },
		{ 0, 1, SIGTERM, KILLER_SYSTEMD, false, "shop", "", CAUSE_EXITED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct death d = death_of(42, table[i].signal, table[i].code, table[i].killer);

		d.asked_signal = table[i].asked;
		d.oom_own_limit = table[i].own_limit;
		strcpy(d.comm, table[i].comm);
		strcpy(d.killer_comm, table[i].killer_comm);
		if (cause_of_death(&d) != table[i].expected)
			fail_msg("row %zu: %s, not %s", i, cause_word(cause_of_death(&d)),
				cause_word(table[i].expected));
	}
}

/* What PID 1 says, and the kernel's death of process 42 (or none), make a finding. */
static void test_findings(void **state)
{
	static const struct {
		const char *name;
		enum active_state active;
		const char *sub_state, *result, *restart;
		bool dead;
		int signal, code;
		enum killer killer;
		uint32_t job;
		bool job_ended; /* a foreign job that ended after the death */
		enum finding finding;
		enum cause cause;
	} table[] = {
		{ "it runs", ACTIVE_ACTIVE, "running", "success", "no", false, 0, 0, 0, 0, false,
			FINDING_NONE, 0 },
		{ "killed, PID 1 does not know", ACTIVE_ACTIVE, "running", "success", "no", true,
			SIGKILL, 0, KILLER_PROCESS, 0, false, FINDING_TROUBLE, CAUSE_KILLED },
		{ "killed, a stop is queued", ACTIVE_ACTIVE, "running", "success", "no", true,
			SIGKILL, 0, KILLER_PROCESS, 5, false, FINDING_WAIT, 0 },
		{ "killed, systemd will restart it", ACTIVE_ACTIVE, "running", "success", "always",
			true, SIGKILL, 0, KILLER_PROCESS, 0, false, FINDING_WAIT, 0 },
		{ "exited 0, PID 1 does not know", ACTIVE_ACTIVE, "running", "success", "no", true,
			0, 0, KILLER_NONE, 0, false, FINDING_WAIT, 0 },
		{ "killed by PID 1, which has not said why", ACTIVE_ACTIVE, "running", "success",
			"no", true, SIGKILL, 0, KILLER_SYSTEMD, 0, false, FINDING_WAIT, 0 },
		{ "failed after a kill", ACTIVE_FAILED, "failed", "signal", "no", true, SIGKILL, 0,
			KILLER_PROCESS, 0, false, FINDING_TROUBLE, CAUSE_KILLED },
		{ "failed, nobody saw how", ACTIVE_FAILED, "failed", "resources", "no", false, 0, 0,
			0, 0, false, FINDING_TROUBLE, CAUSE_CANNOT_START },
		{ "start timeout", ACTIVE_FAILED, "failed", "timeout", "no", true, SIGTERM, 0,
			KILLER_SYSTEMD, 0, false, FINDING_TROUBLE, CAUSE_START_TIMEOUT },
		{ "watchdog", ACTIVE_FAILED, "failed", "watchdog", "no", true, SIGABRT, 0,
			KILLER_SYSTEMD, 0, false, FINDING_TROUBLE, CAUSE_WATCHDOG },
		{ "SIGTERM from outside, clean for systemd", ACTIVE_INACTIVE, "dead", "success",
			"no", true, SIGTERM, 0, KILLER_PROCESS, 0, false, FINDING_TROUBLE,
			CAUSE_KILLED },
		{ "stopped", ACTIVE_INACTIVE, "dead", "success", "no", true, SIGTERM, 0,
			KILLER_SYSTEMD, 0, true, FINDING_EXPLAINED, 0 },
		{ "stopped, and killed meanwhile", ACTIVE_INACTIVE, "dead", "success", "no", true,
			SIGKILL, 0, KILLER_PROCESS, 0, true, FINDING_EXPLAINED, 0 },
		{ "stopped, and answered with an error", ACTIVE_FAILED, "failed", "exit-code", "no",
			true, 0, 1, KILLER_SYSTEMD, 0, true, FINDING_EXPLAINED, 0 },
		{ "stopped, and had to be killed", ACTIVE_FAILED, "failed", "timeout", "no", true,
			SIGKILL, 0, KILLER_SYSTEMD, 0, true, FINDING_EXPLAINED, 0 },
		{ "finished", ACTIVE_INACTIVE, "dead", "success", "no", true, 0, 0, KILLER_NONE, 0,
			false, FINDING_EXPLAINED, 0 },
		{ "never started", ACTIVE_INACTIVE, "dead", "success", "no", false, 0, 0, 0, 0,
			false, FINDING_EXPLAINED, 0 },
		{ "systemd restarts it", ACTIVE_ACTIVATING, "auto-restart", "signal", "always",
			true, SIGKILL, 0, KILLER_PROCESS, 0, false, FINDING_TROUBLE, CAUSE_KILLED },
		{ "it is being started", ACTIVE_ACTIVATING, "start", "success", "no", false, 0, 0,
			0, 0, false, FINDING_WAIT, 0 },
		{ "it is being stopped", ACTIVE_DEACTIVATING, "stop-sigterm", "success", "no",
			false, 0, 0, 0, 0, false, FINDING_WAIT, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct unit *u = running_unit();
		struct unit_facts *f = &u->facts;
		enum finding finding;
		struct trouble t = {};

		f->active = table[i].active;
		strcpy(f->sub_state, table[i].sub_state);
		strcpy(f->result, table[i].result);
		strcpy(f->restart, table[i].restart);
		f->job = table[i].job;
		if (f->active != ACTIVE_ACTIVE)
			f->main_pid = 0;
		if (table[i].dead) {
			struct death d =
				death_of(42, table[i].signal, table[i].code, table[i].killer);

			unit_remember_death(u, &d);
		}
		if (table[i].job_ended)
			u->job = (struct foreign_job) { .id = 9,
				.seen_ns = NOW,
				.ended_ns = NOW,
				.former_pid = 42,
				.result = "done" };
		finding = cause_find(u, &t);
		if (finding != table[i].finding ||
			(finding == FINDING_TROUBLE && t.cause != table[i].cause))
			fail_msg("%s: finding %d, cause %s", table[i].name, finding,
				cause_word(t.cause));
		unit_free(u);
	}
}

/* Process 42 has failed, and there was a job that may be its stop or its start. */
static void test_jobs(void **state)
{
	static const struct {
		const char *name;
		uint32_t pending;
		const char *pending_type;
		struct foreign_job job;
		enum killer killer;
		uint64_t lived_ns;
		enum finding finding;
	} table[] = {
		{ "no job", 0, "", { 0 }, KILLER_NONE, 1, FINDING_TROUBLE },
		{ "a stop is queued", 9, "stop", { 0 }, KILLER_NONE, 1, FINDING_EXPLAINED },
		{ "a start is queued", 9, "start", { 0 }, KILLER_NONE, 1, FINDING_WAIT },
		{ "a restart is queued", 9, "restart", { 0 }, KILLER_NONE, 1, FINDING_WAIT },
		{ "a job has come since", 0, "", { .id = 9 }, KILLER_NONE, 1, FINDING_WAIT },
		{ "a job has ended since", 0, "", { .id = 9, .ended_ns = NOW + 1 }, KILLER_NONE, 1,
			FINDING_WAIT },
		{ "it was stopped", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "done", .type = "stop" }, KILLER_NONE,
			1, FINDING_EXPLAINED },
		{ "nearly: it was started", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "done", .type = "start" },
			KILLER_NONE, 1, FINDING_TROUBLE },
		{ "nearly: the stop was long ago", 0, "",
			{ .id = 9, .ended_ns = NOW - 2 * SECOND, .result = "done", .type = "stop" },
			KILLER_NONE, 1, FINDING_TROUBLE },
		{ "nearly: the stop was canceled", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "canceled", .type = "stop" },
			KILLER_NONE, 1, FINDING_TROUBLE },
		{ "a quick job, and PID 1 sent the signal", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "done" }, KILLER_SYSTEMD, 1,
			FINDING_EXPLAINED },
		{ "a quick job, after it was started", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "done", .former_pid = 42 },
			KILLER_PROCESS, 1, FINDING_EXPLAINED },
		{ "a quick job, and it had lived for long", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "done" }, KILLER_NONE, 6 * SECOND,
			FINDING_EXPLAINED },
		{ "nearly: the job that started it", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "done", .former_pid = 41 },
			KILLER_NONE, 1, FINDING_TROUBLE },
		{ "nearly: the start that timed out", 0, "",
			{ .id = 9, .ended_ns = NOW, .result = "timeout" }, KILLER_SYSTEMD, 1,
			FINDING_TROUBLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct unit *u = running_unit();
		struct death d = death_of(42, 0, 1, table[i].killer);
		struct trouble t = {};
		enum finding finding;

		u->facts.active = ACTIVE_FAILED;
		u->facts.main_pid = 0;
		u->facts.job = table[i].pending;
		strcpy(u->facts.job_type, table[i].pending_type);
		u->job = table[i].job;
		d.lifetime_ns = table[i].lived_ns;
		unit_remember_death(u, &d);
		finding = cause_find(u, &t);
		if (finding != table[i].finding)
			fail_msg("%s: finding %d", table[i].name, finding);
		unit_free(u);
	}
}

/* systemd restarted it between two readings: the death is still told. */
static void test_overtaken(void **state)
{
	struct unit *u = running_unit();
	struct death d = death_of(41, SIGKILL, 0, KILLER_PROCESS);
	struct trouble t;

	unit_remember_death(u, &d);
	u->former = (struct former) { .exec_main_pid = 41, .n_restarts = 0, .changed_ns = NOW };
	strcpy(u->former.invocation, "old");
	u->facts.n_restarts = 1;
	assert_int_equal(cause_find(u, &t), FINDING_TROUBLE);
	assert_true(t.by_systemd);
	assert_string_equal(t.invocation, "old");
	/* nearly: an operator restarted it */
	u->facts.n_restarts = 0;
	assert_int_equal(cause_find(u, &t), FINDING_NONE);
	unit_free(u);
}

static void test_interlocks(void **state)
{
	struct world w;
	struct unit *u, *dependency;
	struct heal *h;
	uint64_t wake;

	world_init(&w);
	u = running_unit();
	h = &u->heal;
	h->trouble = (struct trouble) {
		.present = true, .cause = CAUSE_KILLED, .time_ns = NOW, .detected_ns = NOW
	};
#define EXPECT(refusal) assert_int_equal(interlock_ask(u, &w, NOW, &wake), refusal)
	EXPECT(REFUSAL_NONE);

	u->facts.read_ns = NOW - 1;
	EXPECT(REFUSAL_STALE);
	u->facts.read_ns = NOW;

	strcpy(u->facts.load_state, "masked");
	EXPECT(REFUSAL_MASKED);
	strcpy(u->facts.load_state, "loaded");

	u->facts.job = 7;
	EXPECT(REFUSAL_PENDING_JOB);
	u->facts.job = 0;

	strcpy(u->facts.sub_state, "auto-restart");
	EXPECT(REFUSAL_SYSTEMD_RESTARTS);
	strcpy(u->facts.sub_state, "failed");

	strcpy(u->facts.freezer_state, "frozen");
	EXPECT(REFUSAL_FROZEN);
	strcpy(u->facts.freezer_state, "running");

	w.actions_in_flight = 2;
	EXPECT(REFUSAL_CONCURRENCY);
	w.actions_in_flight = 1;
	EXPECT(REFUSAL_NONE);

	w.pause = (struct pause) { .active = true, .until_ns = NOW + 5 };
	EXPECT(REFUSAL_PAUSED);
	assert_int_equal(wake, NOW + 5);
	h->restart_asked = true; /* a person's request passes the soft ones … */
	EXPECT(REFUSAL_NONE);
	u->facts.job = 7; /* … and not the hard ones */
	EXPECT(REFUSAL_PENDING_JOB);
	u->facts.job = 0;
	h->restart_asked = false;
	w.pause = (struct pause) { .kill_switch = true };
	EXPECT(REFUSAL_PAUSED);
	w.pause.kill_switch = false;

	h->trouble.cause = CAUSE_CANNOT_START;
	EXPECT(REFUSAL_OBSTACLE);
	assert_in_range(wake, NOW + SLOW_RETRY_NS / 4 * 3, NOW + SLOW_RETRY_NS / 4 * 5);
	assert_int_equal(interlock_ask(u, &w, wake, &wake), REFUSAL_NONE);
	h->trouble.cause = CAUSE_KILLED;

	strcpy(h->trouble.killer_key, "bash/0");
	EXPECT(REFUSAL_NONE);
	strcpy(h->last_killer_key, "bash/0");
	h->last_killer_ns = NOW - SAME_KILLER_NS + 1;
	EXPECT(REFUSAL_SAME_KILLER);
	h->last_killer_ns = NOW - SAME_KILLER_NS;
	EXPECT(REFUSAL_NONE);
	strcpy(h->last_killer_key, "bash/1000");
	h->last_killer_ns = NOW;
	EXPECT(REFUSAL_NONE);

	dependency = world_unit_add(&w, "db.service");
	u->dependencies = calloc(1, sizeof(char *));
	u->dependencies[0] = strdup("db.service");
	u->n_dependencies = 1;
	EXPECT(REFUSAL_NONE);
	dependency->incident = incident_new("db.service", &h->trouble, NOW, 0);
	EXPECT(REFUSAL_DEPENDENCY_DOWN);
	dependency->incident->open = false;
	EXPECT(REFUSAL_NONE);

	u->settings.heal = HEAL_OBSERVE;
	EXPECT(REFUSAL_OBSERVE_ONLY);
	u->settings.heal = HEAL_RESTART;

	for (int i = 0; i < 5; i++)
		h->restart_ns[h->n_restarts++] = NOW - 59 * SECOND;
	EXPECT(REFUSAL_BUDGET);
	for (int i = 0; i < 5; i++)
		h->restart_ns[i] = NOW - 60 * SECOND;
	EXPECT(REFUSAL_NONE);

	h->n_restarts = 2;
	h->trouble.cause = CAUSE_OOM;
	EXPECT(REFUSAL_BUDGET);
	h->n_restarts = 1;
	EXPECT(REFUSAL_NONE);
#undef EXPECT
	unit_free(u);
	world_done(&w);
}

static void test_deny_list(void **state)
{
	assert_true(policy_is_denied("systemd-logind.service"));
	assert_true(policy_is_denied("dbus.service"));
	assert_true(policy_is_denied("ssh@3.service"));
	assert_true(policy_is_denied("user@1000.service"));
	assert_true(policy_is_denied("mendd.service"));
	assert_false(policy_is_denied("nginx.service"));
	assert_false(policy_is_denied("my-systemd-thing.service"));
}

static void test_backoff(void **state)
{
	struct unit *u = unit_new("shop.service");
	uint64_t expected = SECOND;

	assert_int_equal(backoff_delay_ns(u, 0), 0);
	for (uint32_t step = 1; step < 40; step++) {
		assert_in_range(backoff_delay_ns(u, step), expected / 4 * 3, expected / 4 * 5);
		expected = MIN(expected * 2, 60 * SECOND);
	}
	/* the same for the same occasion, another one for the next */
	assert_int_equal(backoff_delay_ns(u, 3), backoff_delay_ns(u, 3));
	u->heal.n_restarts = 1;
	assert_int_not_equal(jitter_ns(u, 60 * SECOND, 0), jitter_ns(u, 60 * SECOND, 1));
	unit_free(u);
}

static void test_budget_below_start_limit(void **state)
{
	struct unit *u = unit_new("shop.service");

	assert_int_equal(budget_remaining(u, NOW), 5);
	u->facts.start_limit_burst = 3;
	u->facts.start_limit_interval_ns = 10 * SECOND;
	assert_int_equal(budget_remaining(u, NOW), 2);
	u->heal.restart_ns[u->heal.n_restarts++] = NOW - SECOND;
	u->heal.restart_ns[u->heal.n_restarts++] = NOW - SECOND;
	assert_int_equal(budget_remaining(u, NOW), 0);
	assert_int_equal(budget_free_ns(u, NOW), NOW + 9 * SECOND);
	assert_int_equal(budget_remaining(u, NOW + 9 * SECOND), 2);
	unit_free(u);
}

static struct listening_socket at_port(uint16_t port)
{
	struct listening_socket s = { .family = AF_INET, .protocol = IPPROTO_TCP, .port = port };

	s.address[0] = 127;
	s.address[3] = 1;
	return s;
}

static void test_verification(void **state)
{
	struct unit *u = running_unit();
	struct attempt *a = &u->heal.attempt;
	char text[128];

	strcpy(a->old_invocation, "aaaa");
	a->done_ns = NOW;
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)),
		PROOF_NOT_YET); /* same invocation */
	strcpy(u->facts.invocation, "bbbb");
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_WEAK);

	u->listening = (struct socket_set) { .n = 1, .sockets = { at_port(8000) } };
	u->listening_now =
		(struct socket_set) { .n = 1, .read_ns = NOW, .sockets = { at_port(8000) } };
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)),
		PROOF_NOT_YET); /* looked before */
	u->listening_now.read_ns = NOW + 1;
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_WEAK);
	u->listening_now.sockets[0] = at_port(8001);
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_NOT_YET);
	assert_string_equal(text, "127.0.0.1:8000 is not open yet");
	u->listening_now.sockets[0] = at_port(8000);

	strcpy(u->settings.check, "tcp 127.0.0.1:8000");
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_NOT_YET);
	u->check = (struct check_state) { .status = 0, .in_row = 3, .time_ns = NOW + 1 };
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_STRONG);
	u->check.status = 2;
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_NOT_YET);
	u->check = (struct check_state) { .status = 0, .in_row = 2, .time_ns = NOW + 1 };
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_NOT_YET);

	u->facts.active = ACTIVE_ACTIVATING;
	assert_int_equal(verify_conditions(u, NOW + SECOND, text, sizeof(text)), PROOF_NOT_YET);
	unit_free(u);
}

static void test_descriptions(void **state)
{
	struct death d = death_of(42, SIGKILL, 0, KILLER_PROCESS);
	char text[256];

	d.killer_pid = 4711;
	d.killer_uid = 1000;
	strcpy(d.killer_unit, "session-3.scope");
	death_describe(&d, text, sizeof(text));
	assert_string_equal(text, "killed by SIGKILL from bash[4711] (uid 1000, session-3.scope)");
	d = death_of(42, SIGSEGV, 0, KILLER_KERNEL);
	d.core_dumped = true;
	death_describe(&d, text, sizeof(text));
	assert_string_equal(text, "crashed with SIGSEGV, core dumped");
	d = death_of(42, SIGABRT, 0, KILLER_SELF);
	death_describe(&d, text, sizeof(text));
	assert_string_equal(text, "killed by SIGABRT by itself");
	d = death_of(42, SIGKILL, 0, KILLER_OOM);
	death_describe(&d, text, sizeof(text));
	assert_string_equal(text, "killed by SIGKILL by the kernel's OOM killer");
	/* PID 1's SIGTERM can be faster than the SIGKILL. */
	d = death_of(42, SIGTERM, 0, KILLER_OOM);
	d.oom_own_limit = true;
	death_describe(&d, text, sizeof(text));
	assert_string_equal(text,
		"killed by SIGTERM, chosen by the kernel's OOM killer for the unit's own memory limit");
	d = death_of(42, 0, 7, KILLER_NONE);
	death_describe(&d, text, sizeof(text));
	assert_string_equal(text, "exited with code 7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cause_of_death),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_interlocks),
		cmocka_unit_test(test_deny_list),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_budget_below_start_limit),
		cmocka_unit_test(test_verification),
		cmocka_unit_test(test_descriptions),
	};

	return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
