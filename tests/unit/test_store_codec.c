/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the store keeps, written and read again: every member, the ends of ranges, and texts that
 * are not what they should be. */
#include "../../daemon/edge/store_codec.h"
#include "loop.h"

#include <netinet/in.h>

/* A structure has grown: give its member to a table of store_codec.c and to the test below, then
 * the new size to this one. What is not kept on purpose (heal.wake_ns …) is asked of the system
 * anew. */
static void nothing_has_been_forgotten(void **state)
{
	if (sizeof(void *) != 8) {
		print_message("skipped: the sizes are those of 64 bits\n");
		skip();
	}
	assert_int_equal(sizeof(struct attempt), 264);
	assert_int_equal(sizeof(struct death), 208);
	assert_int_equal(sizeof(struct incident), 13648);
	assert_int_equal(sizeof(struct trouble), 376);
	assert_int_equal(sizeof(struct heal), 1272);
	assert_int_equal(sizeof(struct pause), 280);
}

static void attempts(void **state)
{
	struct attempt a = {
		.number = UINT32_MAX,
		.action = ACTION_RESTART,
		.initiator = INITIATOR_SYSTEMD,
		.job = JOB_TIMEOUT,
		.error = "org.freedesktop.systemd1.NoSuchUnit: \"x\"\n\\ \t",
		.old_invocation = "0123456789abcdef0123456789abcdef",
		.new_invocation = "fedcba9876543210fedcba9876543210",
		.decided_ns = 1,
		.sent_ns = 2,
		.done_ns = INT64_MAX,
		.up_ns = (uint64_t)INT64_MAX + 1,
		.verified_ns = TIME_INFINITY,
		.verdict = VERDICT_FIXED_WEAK,
		.manual = true,
	};
	struct attempt b;

	for (int job = JOB_NOT_SENT; job <= JOB_UNKNOWN; job++) {
		_cleanup_strbuf_ struct strbuf text = {};

		a.job = (enum job_result)job;
		attempt_encode(&a, &text);
		assert_int_equal(attempt_decode(strbuf_text(&text), &b), 0);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void incidents(void **state)
{
	_cleanup_strbuf_ struct strbuf text = {}, again = {};
	struct incident a = {
		.id = "0a1b2c3d-0000-4000-8000-000000000000",
		.unit = "weird\\x2dname@x.service",
		.open = true,
		.cause = CAUSE_OOM,
		.severity = SEVERITY_CRITICAL,
		.summary = "it was \"that\"",
		.opened_ns = 1,
		.detected_ns = 2,
		.anchor_ns = 3,
		.anchor_realtime_usec = UINT64_C(1700000000000000),
		.verdict = VERDICT_WORSE,
		.resolution = "none",
		.attempts = 5,
		.relapses = 6,
		.events_dropped = UINT64_C(1) << 40,
		.n_events = INCIDENT_EVENTS_MAX,
	};
	struct incident *b;

	a.death = (struct death) {
		.source = DEATH_FROM_CONNECTOR,
		.time_ns = 9,
		.seen_ns = 16,
		.pid = 4194304,
		.parent_pid = 1,
		.start_ns = 10,
		.lifetime_ns = 11,
		.peak_rss_bytes = UINT64_C(1) << 42,
		.uid = UINT32_MAX,
		.comm = "a b",
		.code = -1,
		.signal = 64,
		.core_dumped = true,
		.killer = KILLER_OOM,
		.killer_si_code = -6,
		.killer_pid = 12,
		.killer_uid = 13,
		.killer_comm = "k",
		.killer_unit = "session-3.scope",
		.killer_time_ns = 14,
		.asked_signal = 15,
		.oom_own_limit = true,
	};
	a.evidence = strdup("{\"nested\":{\"quote\":\"\\\"\"}}");
	for (size_t i = 0; i < INCIDENT_EVENTS_MAX; i++) {
		a.events[i].time_ns = i;
		snprintf(a.events[i].kind, sizeof(a.events[i].kind), "kind-%zu", i);
		memset(a.events[i].text, '"', sizeof(a.events[i].text) - 1);
	}
	incident_encode(&a, &text);
	assert_int_equal(text.error, 0);
	assert_int_equal(incident_decode(strbuf_text(&text), &b), 0);
	assert_string_equal(b->evidence, a.evidence);
	incident_encode(b, &again);
	assert_string_equal(strbuf_text(&text), strbuf_text(&again));
	/* Everything but the pointer is the same, so no member has been forgotten. */
	free(b->evidence);
	b->evidence = a.evidence;
	assert_memory_equal(&a, b, sizeof(a));
	incident_free(b);
}

static void heals(void **state)
{
	_cleanup_strbuf_ struct strbuf text = {};
	struct unit_state before = {
		.mode = HEAL_OFF,
		.listening = {
			.n = 3,
			.sockets = {
				{ AF_INET, IPPROTO_TCP, 80, { 10, 0, 255, 1 } },
				{ AF_INET6, IPPROTO_TCP, 65535, { 0xfe, 0x80, [15] = 1 } },
				{ AF_INET6, IPPROTO_TCP, 1, {} },
			},
		},
	};
	struct heal a = {
		.state = HEAL_STATE_EXHAUSTED,
		.since_ns = 1,
		.backoff_step = 2,
		.verified_since_ns = 3,
		.ever_verified = true,
		.n_restarts = 3,
		.restart_ns = { 7, 8, 9 },
		.last_killer_key = "bash/1000",
		.last_killer_ns = 10,
		.level_tried = true,
		.level_restart_ns = 15,
		.trouble = {
			.present = true,
			.cause = CAUSE_KILLED,
			.rule = RULE_HTTP_ERRORS,
			.time_ns = 11,
			.detected_ns = 12,
			.invocation = "0123456789abcdef0123456789abcdef",
			.text = "killed",
			.killer_key = "bash/1000",
			.pid = 14,
			.lived_ns = 13,
			.by_systemd = true,
		},
	};
	struct unit_state after;

	before.heal = a;
	unit_state_encode(&before, &text);
	assert_int_equal(unit_state_decode(strbuf_text(&text), &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void what_is_not_known(void **state)
{
	struct incident *i = NULL;
	struct unit_state u;
	struct attempt a;
	struct pause p;

	assert_int_equal(incident_decode("", &i), -EBADMSG);
	assert_int_equal(incident_decode("[]", &i), -EBADMSG);
	assert_int_equal(incident_decode("{}", &i), -EBADMSG);
	assert_int_equal(incident_decode("{\"id\":\"x\"}", &i), -EBADMSG);
	assert_int_equal(incident_decode("{\"id\":7,\"unit\":\"a.service\"}", &i), -EBADMSG);
	assert_int_equal(attempt_decode("{\"number\":", &a), -EBADMSG);
	assert_int_equal(pause_decode("null", &p), -EBADMSG);

	/* Of another version: words and members that are not known, a shape that is another. */
	assert_int_equal(
		incident_decode("{\"id\":\"x\",\"unit\":\"a.service\",\"cause\":\"gremlins\","
				"\"future\":[1],\"death\":7,\"events\":{\"a\":1},"
				"\"summary\":[]}",
			&i),
		0);
	assert_int_equal(i->cause, CAUSE_UNKNOWN);
	assert_int_equal(i->n_events, 0);
	assert_string_equal(i->summary, "");
	incident_free(i);

	/* More restarts counted than there are times: budgets must not read what never was. */
	assert_int_equal(unit_state_decode("{\"n_restarts\":1000,\"restarts\":[1,2]}", &u), 0);
	assert_int_equal(u.heal.n_restarts, 2);
	assert_int_equal(u.mode, HEAL_OBSERVE);
	assert_int_equal(unit_state_decode("{\"mode\":\"aggressive\"}", &u), 0);
	assert_int_equal(u.mode, HEAL_OBSERVE);
}

/* One socket that cannot be read costs the others nothing. */
static void sockets_of_another_version(void **state)
{
	struct unit_state u;

	assert_int_equal(unit_state_decode("{\"listening\":7}", &u), 0);
	assert_int_equal(u.listening.n, 0);
	assert_int_equal(unit_state_decode(
				 "{\"listening\":[{\"address\":\"x\",\"port\":1,\"protocol\":6},"
				 "{\"address\":\"1.2.3.4\",\"port\":0,\"protocol\":6},"
				 "{\"address\":\"1.2.3.4\",\"port\":65536,\"protocol\":6},"
				 "{\"address\":\"1.2.3.4\",\"port\":5,\"protocol\":256},"
				 "{\"port\":5},7,{\"address\":\"::1\",\"port\":5,\"protocol\":6}]}",
				 &u),
		0);
	assert_int_equal(u.listening.n, 1);
	assert_int_equal(u.listening.sockets[0].port, 5);
	assert_int_equal(u.listening.sockets[0].family, AF_INET6);
}

static void too_long_is_cut(void **state)
{
	_cleanup_strbuf_ struct strbuf text = {};
	struct attempt a;

	strbuf_add(&text, "{\"error\":\"");
	for (int i = 0; i < 1000; i++)
		strbuf_add(&text, "x");
	strbuf_add(&text, "\"}");
	assert_int_equal(attempt_decode(strbuf_text(&text), &a), 0);
	assert_int_equal(strlen(a.error), sizeof(a.error) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_been_forgotten),
		cmocka_unit_test(attempts),
		cmocka_unit_test(incidents),
		cmocka_unit_test(heals),
		cmocka_unit_test(what_is_not_known),
		cmocka_unit_test(sockets_of_another_version),
		cmocka_unit_test(too_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
