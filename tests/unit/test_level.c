/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules for what is sampled (judge/level.c, judge/alert.c): each fires, nearly fires, and
 * recovers. A history is a string, one letter a second; see play().
 */
#include "cmocka_all.h"
#include "../../daemon/judge/alert.h"
#include "traffic_model.h"

#define S NSEC_PER_SEC
#define NOW (1000 * S)
#define FAST (10 * NSEC_PER_MSEC)
#define SLOW (800 * NSEC_PER_MSEC)

static void set_result(struct service *s, int status)
{
	struct probe_state *p = &s->u->probe;

	p->in_row = p->status == status ? p->in_row + 1 : 1;
	p->status = status;
	p->time_ns = s->now;
	strcpy(p->text, status ? "refused" : "ok");
	s->u->check =
		(struct check_state) { .status = status, .in_row = p->in_row, .time_ns = s->now };
}

/* What happens in one second. */
static void play(struct service *s, char c)
{
	switch (c) {
	case '.': /* nothing */
		break;
	case 'g': /* 20 requests, all well */
		service_answer(s, HTTP_CLASS_2XX, FAST, 20);
		break;
	case 'e': /* 20 requests, all fail */
		service_answer(s, HTTP_CLASS_5XX, FAST, 20);
		break;
	case 'b': /* 20 requests, 2 fail */
		service_answer(s, HTTP_CLASS_2XX, FAST, 18);
		service_answer(s, HTTP_CLASS_5XX, FAST, 2);
		break;
	case 'm': /* 100 requests, 4 fail: below 5 %, above half of it */
		service_answer(s, HTTP_CLASS_2XX, FAST, 96);
		service_answer(s, HTTP_CLASS_5XX, FAST, 4);
		break;
	case '4': /* 20 requests that the client got wrong */
		service_answer(s, HTTP_CLASS_4XX, FAST, 20);
		break;
	case 'o': /* one request, well */
		service_answer(s, HTTP_CLASS_2XX, FAST, 1);
		break;
	case 'x': /* one request, fails */
		service_answer(s, HTTP_CLASS_5XX, FAST, 1);
		break;
	case 'd': /* five requests are cut off by the server */
		s->totals.started += 5;
		s->totals.finished += 5;
		s->totals.incomplete[HTTP_SERVER_RESET] += 5;
		break;
	case 's': /* 20 slow ones */
		service_answer(s, HTTP_CLASS_2XX, SLOW, 20);
		break;
	case 't': /* one slow of 20: the 99th percentile is that one */
		service_answer(s, HTTP_CLASS_2XX, FAST, 19);
		service_answer(s, HTTP_CLASS_2XX, SLOW, 1);
		break;
	case 'h': /* 20 at 450 ms: below 500, above 80 % of it */
		service_answer(s, HTTP_CLASS_2XX, 450 * NSEC_PER_MSEC, 20);
		break;
	case 'w': /* one comes and waits */
		service_ask(s);
		break;
	case 'l': /* one comes and waits, and 20 others are answered */
		service_ask(s);
		service_answer(s, HTTP_CLASS_2XX, FAST, 20);
		break;
	case 'a': /* those that wait are answered */
		service_release(s, false);
		break;
	case 'q': /* those that wait give up, and another one comes */
		service_release(s, true);
		service_ask(s);
		break;
	case 'Q': /* those that wait give up */
		service_release(s, true);
		break;
	case 'z': /* three come and leave at once, as some load balancers do */
		s->totals.started += 3;
		s->totals.finished += 3;
		s->totals.incomplete[HTTP_CLIENT_RESET] += 3;
		break;
	case 'R': /* restarted */
		service_restart(s, "bbbb");
		break;
	case '+':
		set_result(s, 0);
		break;
	case '-':
		set_result(s, 2);
		break;
	case '~':
		set_result(s, 1);
		break;
	case '?':
		set_result(s, 3);
		break;
	default:
		fail_msg("no such second: '%c'", c);
	}
	service_pass(s, S);
}

struct row {
	const char *name;
	enum rule rule;
	const char *history;
	enum alert_state end;
	int fired_at; /* the second at whose end it fired, from 1; 0: never */
};

static const struct row rows[] = {
	/* errors: 5 % and 5 errors in 5 s, 3 of the last 5 seconds with answers */
	{ "all fail", RULE_HTTP_ERRORS, "gggeee", ALERT_FIRING, 6 },
	{ "a tenth fails", RULE_HTTP_ERRORS, "gggbbbbb", ALERT_FIRING, 8 },
	{ "nearly: a bad second", RULE_HTTP_ERRORS, "gggeggggg", ALERT_INACTIVE, 0 },
	{ "nearly: two of five", RULE_HTTP_ERRORS, "gggegeggggg", ALERT_INACTIVE, 0 },
	{ "three of five", RULE_HTTP_ERRORS, "gggegege", ALERT_FIRING, 8 },
	{ "nearly: below the ratio", RULE_HTTP_ERRORS, "gggmmmmmmmmmm", ALERT_INACTIVE, 0 },
	{ "nearly: one 500 of two requests", RULE_HTTP_ERRORS, "o.x..o.x..o.x..", ALERT_INACTIVE,
		0 },
	{ "nearly: four errors in the window", RULE_HTTP_ERRORS, "xxxx....xxxx...", ALERT_INACTIVE,
		0 },
	{ "one a second, all fail", RULE_HTTP_ERRORS, "xxxxxxx", ALERT_FIRING, 7 },
	{ "nearly: the client's errors", RULE_HTTP_ERRORS, "444444", ALERT_INACTIVE, 0 },
	{ "cut off by the server", RULE_HTTP_ERRORS, "ggddd", ALERT_FIRING, 5 },
	{ "silence is no end of it", RULE_HTTP_ERRORS, "eee..............", ALERT_FIRING, 3 },
	{ "silence does not fire it", RULE_HTTP_ERRORS, "gee......................", ALERT_PENDING,
		0 },
	{ "a suspicion ends after a minute of silence", RULE_HTTP_ERRORS,
		"gee.............................................................", ALERT_INACTIVE,
		0 },
	/* the window forgets within 5 s; then five good seconds */
	{ "it recovers", RULE_HTTP_ERRORS, "eeegggggggggg", ALERT_RESOLVED, 3 },
	{ "nearly: not for long enough", RULE_HTTP_ERRORS, "eeegggggggg", ALERT_FIRING, 3 },
	{ "nearly: not far enough below", RULE_HTTP_ERRORS, "eeemmmmmmmmmmmmmmmmmm", ALERT_FIRING,
		3 },
	{ "recovered seconds need not be in a row of time", RULE_HTTP_ERRORS,
		"eee.....g..g..g..g..g", ALERT_RESOLVED, 3 },
	{ "again", RULE_HTTP_ERRORS, "eeegggggggggggeee", ALERT_FIRING, 17 },

	/* latency: 500 ms for 5 s (below) */
	{ "all are slow", RULE_HTTP_LATENCY, "gggssssss", ALERT_FIRING, 9 },
	{ "one of twenty is", RULE_HTTP_LATENCY, "gggtttttt", ALERT_FIRING, 9 },
	{ "nearly: not for long enough", RULE_HTTP_LATENCY, "gggsgggggggggggggggg", ALERT_INACTIVE,
		0 },
	{ "nearly: below the limit", RULE_HTTP_LATENCY, "ggghhhhhhhhhhhh", ALERT_INACTIVE, 0 },
	{ "silence does not fire it", RULE_HTTP_LATENCY, "sss..................", ALERT_PENDING,
		0 },
	{ "it recovers", RULE_HTTP_LATENCY, "ssssssgggggggggg", ALERT_RESOLVED, 6 },
	{ "nearly: not far enough below", RULE_HTTP_LATENCY, "sssssshhhhhhhhhhhhhhhhh",
		ALERT_FIRING, 6 },
	{ "silence is no end of it", RULE_HTTP_LATENCY, "ssssss..................", ALERT_FIRING,
		6 },

	/* hang: 5 s (below); a request of the second 4 is 5 s old at the end of the second 8 */
	{ "one waits, nobody is answered", RULE_HTTP_HANG, "gggw....", ALERT_FIRING, 8 },
	{ "nearly: a second less", RULE_HTTP_HANG, "gggw...", ALERT_PENDING, 0 },
	{ "nearly: it is answered at last", RULE_HTTP_HANG, "gggw...a", ALERT_INACTIVE, 0 },
	{ "nearly: a long poll among others", RULE_HTTP_HANG, "gllllllllllllllll", ALERT_INACTIVE,
		0 },
	{ "a long poll, and then nobody is answered", RULE_HTTP_HANG, "gllwwwww", ALERT_FIRING, 8 },
	{ "many come and wait", RULE_HTTP_HANG, "gwwwww", ALERT_FIRING, 6 },
	{ "clients give up sooner than that", RULE_HTTP_HANG, "gqqqqq", ALERT_FIRING, 6 },
	{ "nearly: they leave at once", RULE_HTTP_HANG, "gzzzzzzzzzzzzzz", ALERT_INACTIVE, 0 },
	{ "nearly: nobody asks", RULE_HTTP_HANG, "g....................", ALERT_INACTIVE, 0 },
	{ "nearly: one came and gave up, long ago", RULE_HTTP_HANG, "gqQ..........wa",
		ALERT_INACTIVE, 0 },
	{ "nearly: some gave up, long ago, and now one waits", RULE_HTTP_HANG, "gqqQ............w",
		ALERT_INACTIVE, 0 },
	{ "it answers again", RULE_HTTP_HANG, "gggw....aggg", ALERT_RESOLVED, 8 },
	{ "nearly: once", RULE_HTTP_HANG, "gggw....agg", ALERT_RESOLVED, 8 },
	{ "nearly: twice", RULE_HTTP_HANG, "gggw....ag", ALERT_FIRING, 8 },
	{ "that the clients have left is no end of it", RULE_HTTP_HANG, "gggw....Q..........",
		ALERT_FIRING, 8 },
	{ "a restart alone is no end of it", RULE_HTTP_HANG, "gggw....R......", ALERT_FIRING, 8 },
	{ "after a restart, answers are", RULE_HTTP_HANG, "gggw....R.ggg", ALERT_RESOLVED, 8 },

	/* a probe each second, three failures */
	{ "it fails", RULE_PROBE, "++---", ALERT_FIRING, 5 },
	{ "nearly: twice", RULE_PROBE, "++--", ALERT_PENDING, 0 },
	{ "nearly: twice and good again", RULE_PROBE, "++--+", ALERT_INACTIVE, 0 },
	{ "nearly: it cannot be asked", RULE_PROBE, "++?????", ALERT_INACTIVE, 0 },
	{ "not asked is not in a row", RULE_PROBE, "++--?--", ALERT_PENDING, 0 },
	{ "it recovers", RULE_PROBE, "---++", ALERT_RESOLVED, 3 },
	{ "nearly: once may be luck", RULE_PROBE, "---+", ALERT_FIRING, 3 },
	{ "no result is no end of it", RULE_PROBE, "---..........", ALERT_FIRING, 3 },
	{ "what is unknown is no end of it", RULE_PROBE, "---????", ALERT_FIRING, 3 },
	{ "a check", RULE_CHECK, "++---", ALERT_FIRING, 5 },
	{ "nearly: warnings", RULE_CHECK, "++~~~~~", ALERT_INACTIVE, 0 },
	{ "it recovers", RULE_CHECK, "---++", ALERT_RESOLVED, 3 },
};

static void use_settings(struct unit_settings *s)
{
	s->http_latency_p99_ns = S / 2;
	s->http_latency_for_ns = 5 * S;
	s->hang_after_ns = 5 * S;
	strcpy(s->probe, "tcp://localhost:1");
	strcpy(s->check, "x");
	s->probe_interval_ns = s->check_interval_ns = S;
}

static void histories(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		const struct alert *a;
		struct service s;
		struct world w;
		int fired = 0, second = 0;

		world_init(&w);
		service_begin(&s, &w, "shop.service", NOW);
		use_settings(&s.u->settings);
		for (const char *c = r->history; *c; c++) {
			enum alert_state before = unit_alert_state(s.u, r->rule);

			play(&s, *c);
			second++;
			if (unit_alert_state(s.u, r->rule) == ALERT_FIRING &&
				before != ALERT_FIRING)
				fired = second;
		}
		a = &s.u->levels->alerts[r->rule];
		if (a->state != r->end || fired != r->fired_at)
			fail_msg("%s, %s: %s, fired at %d, not %d: %s", rule_word(r->rule), r->name,
				alert_state_word(a->state), fired, r->fired_at, a->text);
		world_done(&w);
	}
}

/* The same histories with ticks as a busy or lazy loop makes them. */
static void hangs_are_found_in_time(void **state)
{
	struct service s;
	struct world w;
	uint64_t asked;

	for (unsigned int offset_ms = 0; offset_ms < 1000; offset_ms += 37) {
		world_init(&w);
		service_begin(&s, &w, "shop.service", NOW);
		use_settings(&s.u->settings);
		for (int i = 0; i < 5; i++)
			play(&s, 'g');
		/* it arrives between two ticks */
		s.now += offset_ms * NSEC_PER_MSEC;
		service_ask(&s);
		asked = s.now;
		service_pass(&s, (1000 - offset_ms) * NSEC_PER_MSEC);
		while (unit_alert_state(s.u, RULE_HTTP_HANG) != ALERT_FIRING) {
			uint64_t wake = level_wake_ns(s.u, s.now);

			assert_true(wake > s.now);
			/* the tick as the manager paces it */
			service_pass(&s, MIN(S, wake - s.now));
			assert_true(s.now <= asked + 5 * S + S);
		}
		assert_true(s.now >= asked + 5 * S);
		assert_true(s.now <= asked + 5 * S + 10 * NSEC_PER_MSEC);
		assert_int_equal(s.u->levels->alerts[RULE_HTTP_HANG].began_ns, asked);
		world_done(&w);
	}
}

/* 20 requests a second turn to 500s: within five seconds of the fifth error, however ticks fall. */
static void errors_are_found_in_time(void **state)
{
	struct service s;
	struct world w;

	for (unsigned int offset_ms = 0; offset_ms < 2000; offset_ms += 50) {
		uint64_t fifth = 0, next_tick;
		unsigned int errors = 0;

		world_init(&w);
		service_begin(&s, &w, "shop.service", NOW);
		for (int i = 0; i < 10; i++)
			play(&s, 'g');
		/* ticks two seconds apart until something is pending, as on an idle host */
		next_tick = s.now + 2 * S - offset_ms * NSEC_PER_MSEC;
		while (unit_alert_state(s.u, RULE_HTTP_ERRORS) != ALERT_FIRING) {
			service_answer(&s, HTTP_CLASS_5XX, FAST, 1);
			if (++errors == 5)
				fifth = s.now;
			s.now += S / 20;
			if (s.now >= next_tick) {
				service_pass(&s, 0);
				next_tick = s.now + (level_is_active(s.u) ? S : 2 * S);
			}
			assert_true(!fifth || s.now <= fifth + 5 * S);
		}
		world_done(&w);
	}
}

static void switched_off(void **state)
{
	struct service s;
	struct world w;

	world_init(&w);
	service_begin(&s, &w, "shop.service", NOW);
	use_settings(&s.u->settings);
	for (const char *c = "eeee"; *c; c++)
		play(&s, *c);
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_ERRORS), ALERT_FIRING);
	assert_true(level_applies(s.u, RULE_HTTP_ERRORS));
	/* nobody wants to know any more: not firing, whatever comes */
	s.u->settings.http = HTTP_MODE_NO;
	play(&s, 'e');
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_ERRORS), ALERT_RESOLVED);
	assert_false(level_applies(s.u, RULE_HTTP_ERRORS));
	assert_false(level_applies(s.u, RULE_HTTP_HANG));
	s.u->settings.http = HTTP_MODE_AUTO;
	s.u->settings.hang_after_ns = 0;
	assert_false(level_applies(s.u, RULE_HTTP_HANG));
	for (const char *c = "wwwwwwwwwwwwww"; *c; c++)
		play(&s, *c);
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_HANG), ALERT_INACTIVE);
	world_done(&w);
}

/* What happens while it is not up says nothing, and a stopped unit owes nobody an answer. */
static void not_up(void **state)
{
	struct service s;
	struct world w;

	world_init(&w);
	service_begin(&s, &w, "shop.service", NOW);
	use_settings(&s.u->settings);
	s.u->facts.active = ACTIVE_FAILED;
	for (const char *c = "eeeeeewwwwwwww"; *c; c++)
		play(&s, *c);
	assert_false(level_is_active(s.u));
	s.u->facts.active = ACTIVE_ACTIVE;
	service_release(&s, true);
	play(&s, 'g');
	assert_false(level_is_active(s.u));
	for (const char *c = "eee"; *c; c++)
		play(&s, *c);
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_ERRORS), ALERT_FIRING);
	s.u->facts.active = ACTIVE_FAILED;
	play(&s, '.');
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_ERRORS), ALERT_FIRING);
	s.u->facts.active = ACTIVE_INACTIVE;
	play(&s, '.');
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_ERRORS), ALERT_RESOLVED);
	world_done(&w);
}

static void troubles(void **state)
{
	struct service s;
	struct trouble t;
	struct world w;

	world_init(&w);
	service_begin(&s, &w, "shop.service", NOW);
	use_settings(&s.u->settings);
	assert_false(level_find(s.u, &w, &t));
	for (const char *c = "ssssss"; *c; c++)
		play(&s, *c);
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.rule, RULE_HTTP_LATENCY);
	assert_int_equal(t.cause, CAUSE_SLOW);
	assert_string_equal(t.invocation, "aaaa");
	assert_int_equal(t.time_ns, NOW + S);
	assert_int_equal(t.detected_ns, s.now);
	assert_non_null(strstr(t.text, "limit 500 ms"));
	/* a host under pressure makes an overload of it … */
	w.host.pressed = true;
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.cause, CAUSE_OVERLOAD);
	w.host.pressed = false;
	/* … a check alone is no trouble, and the gravest rule counts */
	for (const char *c = "---"; *c; c++)
		play(&s, *c);
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.rule, RULE_PROBE);
	for (const char *c = "wwwww"; *c; c++)
		play(&s, *c);
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.rule, RULE_HTTP_HANG);
	assert_int_equal(t.cause, CAUSE_HANG);
	/* of a hang, only a starved host is a reason */
	w.host.pressed = true;
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.cause, CAUSE_HANG);
	w.host.starved = true;
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.cause, CAUSE_OVERLOAD);
	/* a new invocation: it fires on, and is no trouble until it is seen again */
	play(&s, 'R');
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_HANG), ALERT_FIRING);
	assert_false(level_find(s.u, &w, &t));
	for (const char *c = "wwwww"; *c; c++)
		play(&s, *c);
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.detected_ns, s.now);
	assert_string_equal(t.invocation, "bbbb");
	level_settle(s.u, s.now);
	assert_false(level_find(s.u, &w, &t));
	assert_false(level_is_active(s.u));
	world_done(&w);
}

static void restored(void **state)
{
	const struct trouble before = { .present = true,
		.rule = RULE_HTTP_HANG,
		.cause = CAUSE_HANG,
		.invocation = "aaaa",
		.time_ns = NOW - 9 * S,
		.detected_ns = NOW - 4 * S };
	struct service s;
	struct trouble t;
	struct world w;

	world_init(&w);
	service_begin(&s, &w, "shop.service", NOW);
	use_settings(&s.u->settings);
	level_restore(s.u, &before, NOW);
	for (const char *c = "...."; *c; c++)
		play(&s, *c);
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_HANG), ALERT_FIRING);
	assert_false(level_find(s.u, &w, &t));
	for (const char *c = "wwwww"; *c; c++)
		play(&s, *c);
	assert_true(level_find(s.u, &w, &t));
	assert_int_equal(t.detected_ns, NOW - 4 * S);
	world_done(&w);
	for (unsigned int r = RULE_HTTP_HANG; r < RULE_UNIT_COUNT; r++) {
		static const enum cause causes[] = { [RULE_HTTP_HANG] = CAUSE_HANG,
			[RULE_PROBE] = CAUSE_PROBE,
			[RULE_HTTP_ERRORS] = CAUSE_HTTP_ERRORS,
			[RULE_HTTP_LATENCY] = CAUSE_SLOW,
			[RULE_CHECK] = CAUSE_CHECK };

		assert_int_equal(level_rule_of(causes[r]), r);
	}
	assert_int_equal(level_rule_of(CAUSE_KILLED), RULE_UNIT_DOWN);
}

/* It has never answered anything. */
static void a_hang_from_the_start(void **state)
{
	struct service s;
	struct world w;

	world_init(&w);
	service_begin(&s, &w, "shop.service", NOW);
	use_settings(&s.u->settings);
	http_state_free(s.u->http);
	s.totals = (struct http_totals) {};
	s.detail = (struct http_detail) {};
	s.u->http = http_state_new(&s.totals, &s.detail);
	for (const char *c = "..ww.."; *c; c++)
		play(&s, *c);
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_HANG), ALERT_PENDING);
	play(&s, '.');
	assert_int_equal(unit_alert_state(s.u, RULE_HTTP_HANG), ALERT_FIRING);
	world_done(&w);
}

/* Nobody has it measured, and it has neither probe nor check: not a byte is spent on it. */
static void nothing_to_judge(void **state)
{
	struct unit *u = unit_new("a.service");

	u->facts.read_ns = NOW;
	u->facts.active = ACTIVE_ACTIVE;
	level_judge(u, NOW);
	assert_null(u->levels);
	assert_int_equal(level_wake_ns(u, NOW), TIME_INFINITY);
	assert_false(level_is_active(u));
	unit_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histories),
		cmocka_unit_test(hangs_are_found_in_time),
		cmocka_unit_test(errors_are_found_in_time),
		cmocka_unit_test(switched_off),
		cmocka_unit_test(not_up),
		cmocka_unit_test(troubles),
		cmocka_unit_test(restored),
		cmocka_unit_test(a_hang_from_the_start),
		cmocka_unit_test(nothing_to_judge),
	};

	return cmocka_run_group_tests_name("level", tests, NULL, NULL);
}
