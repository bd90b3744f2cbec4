/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the policy makes of levels: from the first suspicion to the verdict, with the interlocks
 * that only levels have, and with real traffic (of the model) as the proof.
 */
#include "cmocka_all.h"
#include "../../daemon/judge/cause.h"
#include "../../daemon/judge/host.h"
#include "../../daemon/judge/interlock.h"
#include "../../daemon/judge/policy.h"
#include "../../daemon/judge/verify.h"
#include "traffic_model.h"

#include <signal.h>
#include <wait.h>

#define S NSEC_PER_SEC
#define NOW (10000 * S)
#define FAST (10 * NSEC_PER_MSEC)

enum answers { NONE, WELL, ERRORS, SOME_ERRORS, SLOW, VERY_SLOW, HANG, ONE };

struct stage {
	struct service s;
	struct world w;
	unsigned int restarts; /* asked for by the policy */
	unsigned int invocation;
	bool refuses; /* PID 1 does not do it now */
	struct decision last;
	enum verdict verdict; /* of the last attempt that has one */
	unsigned int closed;  /* without a verdict */
};

static struct heal *heal(struct stage *t)
{
	return &t->s.u->heal;
}

static struct stage *stage_new(void)
{
	struct stage *t = calloc(1, sizeof(*t));
	struct unit_settings *s;

	assert_non_null(t);
	world_init(&t->w);
	service_begin(&t->s, &t->w, "shop.service", NOW);
	s = &t->s.u->settings;
	s->hang_after_ns = 5 * S;
	s->http_latency_p99_ns = S / 2;
	s->http_latency_for_ns = 5 * S;
	return t;
}

static void stage_free(struct stage *t)
{
	world_done(&t->w);
	free(t);
}

static void restart(struct stage *t)
{
	char invocation[INVOCATION_SIZE];

	snprintf(invocation, sizeof(invocation), "%08x", ++t->invocation);
	service_restart(&t->s, invocation);
	/* as the manager does it, so that what follows is of the new invocation */
	http_tick(t->s.u->http, t->s.now);
}

/* As manager_step(), with a PID 1 that restarts in no time. */
static void step(struct stage *t)
{
	struct unit *u = t->s.u;
	struct trouble found;
	enum finding finding = cause_find(u, &found);

	if (finding == FINDING_TROUBLE || (finding == FINDING_NONE && level_find(u, &t->w, &found)))
		if (u->settings.heal != HEAL_OFF)
			policy_take_trouble(u, &found, t->s.now);
	for (int i = 0; i < 16; i++) {
		struct decision d = policy_decide(u, &t->w, t->s.now);
		enum heal_state before = u->heal.state;

		policy_apply(u, &d, t->s.now);
		t->last = d;
		if (d.verb == VERB_CONCLUDE)
			t->verdict = d.verdict;
		t->closed += d.verb == VERB_CLOSE;
		if (d.refusal == REFUSAL_STALE && !t->refuses) {
			u->facts.read_ns = t->s.now;
			continue;
		}
		if (d.verb == VERB_ACT) {
			t->restarts++;
			u->heal.attempt.sent_ns = u->heal.attempt.done_ns = t->s.now;
			u->heal.attempt.job = JOB_DONE;
			restart(t);
			continue;
		}
		if (u->heal.state == before || u->heal.wake_ns > t->s.now)
			return;
	}
	fail_msg("it does not come to rest in state %s", heal_state_word(u->heal.state));
}

/* A second of traffic, of which a tenth passes at a time while something is verified. */
static void second(struct stage *t, enum answers answers)
{
	for (int i = 0; i < 2; i++) {
		switch (answers) {
		case NONE:
			break;
		case WELL:
			service_answer(&t->s, HTTP_CLASS_2XX, FAST, 10);
			break;
		case ERRORS:
			service_answer(&t->s, HTTP_CLASS_5XX, FAST, 10);
			break;
		case SOME_ERRORS:
			service_answer(&t->s, HTTP_CLASS_2XX, FAST, 9);
			service_answer(&t->s, HTTP_CLASS_5XX, FAST, 1);
			break;
		case SLOW:
			service_answer(&t->s, HTTP_CLASS_2XX, 700 * NSEC_PER_MSEC, 10);
			break;
		case VERY_SLOW:
			service_answer(&t->s, HTTP_CLASS_2XX, 5 * S, 10);
			break;
		case HANG:
			service_ask(&t->s);
			break;
		case ONE:
			if (i == 0)
				service_answer(&t->s, HTTP_CLASS_2XX, FAST, 1);
			break;
		}
		/* while it is verified, its traffic is looked at twice a second */
		t->s.now += S / 2;
		if (i == 1 || heal(t)->state == HEAL_STATE_VERIFY)
			http_tick(t->s.u->http, t->s.now);
		if (i == 1) {
			level_judge(t->s.u, t->s.now);
			host_judge(&t->w, t->s.now);
		}
		step(t);
	}
}

static void seconds(struct stage *t, unsigned int n, enum answers answers)
{
	while (n--)
		second(t, answers);
}

static void expect_state(const struct stage *t, enum heal_state state, enum refusal refusal)
{
	const struct heal *h = &t->s.u->heal;

	if (h->state != state || h->refusal != refusal)
		fail_msg("%s/%s, not %s/%s: %s", heal_state_word(h->state),
			refusal_word(h->refusal), heal_state_word(state), refusal_word(refusal),
			t->last.text);
}

static void a_hang_is_healed(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	seconds(t, 3, HANG);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	assert_false(heal(t)->trouble.present);
	assert_int_equal(t->restarts, 0);
	seconds(t, 2, HANG);
	assert_int_equal(t->restarts, 1);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_HANG);
	/* 20 answers a second: the first look after half a second finds enough, and VerifyFor=1s */
	seconds(t, 1, WELL);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	seconds(t, 1, WELL);
	expect_state(t, HEAL_STATE_PROBATION, REFUSAL_NONE);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	assert_int_equal(unit_alert_state(t->s.u, RULE_HTTP_HANG), ALERT_RESOLVED);
	seconds(t, 301, WELL);
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	assert_int_equal(t->restarts, 1);
	stage_free(t);
}

static void it_was_only_a_suspicion(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 3, HANG);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	service_release(&t->s, false);
	seconds(t, 20, WELL); /* those that waited were slow, too */
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	assert_int_equal(t->restarts, 0);
	assert_int_equal(t->closed, 0);
	stage_free(t);
}

/* Whoever debugged it lets it go on: it answers, and there is nothing left to do. */
static void its_reason_goes_with_what_held_it(void **state)
{
	struct stage *t = stage_new();
	struct unit *u = t->s.u;

	seconds(t, 10, WELL);
	u->stopped = true;
	seconds(t, 6, HANG);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_FROZEN);
	u->stopped = false;
	service_release(&t->s, false);
	seconds(t, 2, WELL);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	seconds(t, 2, WELL);
	assert_int_equal(t->closed, 1);
	assert_int_equal(t->restarts, 0);
	/* or it does not */
	u->stopped = true;
	seconds(t, 6, HANG);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_FROZEN);
	seconds(t, 10, HANG);
	assert_int_equal(t->restarts, 0);
	u->stopped = false;
	seconds(t, 1, HANG);
	assert_int_equal(t->restarts, 1);
	/* errors: not while they have stopped, though the alert fires for some seconds yet */
	stage_free(t);
	t = stage_new();
	u = t->s.u;
	seconds(t, 10, WELL);
	u->settings.start_grace_ns = 2 * NOW;
	seconds(t, 6, ERRORS);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_GRACE);
	seconds(t, 1, WELL);
	u->settings.start_grace_ns = 0;
	seconds(t, 3, WELL);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	assert_int_equal(unit_alert_state(u, RULE_HTTP_ERRORS), ALERT_FIRING);
	seconds(t, 1, ERRORS);
	assert_int_equal(t->restarts, 1);
	stage_free(t);
}

static void it_hangs_again(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 5, HANG);
	assert_int_equal(t->restarts, 1);
	/* the new one answers nothing either: it is given the limit, and then it is a hang */
	seconds(t, 4, HANG);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	seconds(t, 1, HANG);
	assert_int_equal(t->verdict, VERDICT_NOT_FIXED);
	/* it has never answered since its start: that is given some time */
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_GRACE);
	assert_int_equal(t->restarts, 1);
	seconds(t, 26, HANG);
	assert_int_equal(t->restarts, 2);
	seconds(t, 3, WELL);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	expect_state(t, HEAL_STATE_PROBATION, REFUSAL_NONE);
	stage_free(t);
}

/* One that has answered since its start is through with starting. */
static void it_answers_and_hangs_again(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 5, HANG);
	seconds(t, 3, WELL);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	seconds(t, 7, HANG); /* a relapse, with a second of back-off */
	assert_int_equal(t->restarts, 2);
	stage_free(t);
}

static void errors_are_restarted_once(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 2, ERRORS);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	seconds(t, 1, ERRORS);
	assert_int_equal(t->restarts, 1);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_HTTP_ERRORS);
	seconds(t, 6, ERRORS);
	assert_int_equal(t->verdict, VERDICT_NOT_FIXED);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_GRACE);
	seconds(t, 30, ERRORS);
	expect_state(t, HEAL_STATE_EXHAUSTED, REFUSAL_NOT_HELPED);
	seconds(t, 2 * 3600, ERRORS);
	expect_state(t, HEAL_STATE_EXHAUSTED, REFUSAL_NOT_HELPED);
	assert_int_equal(t->restarts, 1);
	/* a person, who may ask for a restart … */
	heal(t)->restart_asked = true;
	step(t);
	assert_int_equal(t->restarts, 2);
	/* … that helps */
	seconds(t, 4, WELL);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	seconds(t, 400, WELL);
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	/* within the hour a restart is known not to help for long */
	seconds(t, 5, ERRORS);
	expect_state(t, HEAL_STATE_EXHAUSTED, REFUSAL_NOT_HELPED);
	seconds(t, 20, WELL);
	expect_state(t, HEAL_STATE_PROBATION, REFUSAL_NONE);
	seconds(t, 3600, WELL);
	seconds(t, 5, ERRORS);
	assert_int_equal(t->restarts, 3);
	stage_free(t);
}

static void slowness_is_told(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 60, SLOW);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_NOTIFY_ONLY);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_SLOW);
	/* allowed, but not on a host that is overloaded */
	t->s.u->settings.http_latency_heal = true;
	host_note_pressure(&t->w.host, &(struct pressure) { 90, 0, 0 }, t->s.now);
	host_judge(&t->w, t->s.now);
	seconds(t, 1, SLOW);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_HOST_PRESSURE);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_OVERLOAD);
	assert_non_null(strstr(heal(t)->trouble.text, "the host is overloaded"));
	assert_int_equal(t->restarts, 0);
	host_note_pressure(&t->w.host, &(struct pressure) { 10, 0, 0 }, t->s.now);
	/* what has queued up is still the overload's */
	seconds(t, 3, SLOW);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_OVERLOAD);
	assert_int_equal(t->restarts, 0);
	seconds(t, 1, SLOW);
	assert_int_equal(t->restarts, 1);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_SLOW);
	/* as slow as before: not worse, not fixed; and not again */
	seconds(t, 120, SLOW);
	assert_int_equal(t->verdict, VERDICT_NOT_FIXED);
	expect_state(t, HEAL_STATE_EXHAUSTED, REFUSAL_NOT_HELPED);
	assert_int_equal(t->restarts, 1);
	stage_free(t);
}

/* The host recovers first, and the alert some seconds later: the cause is what it was. */
static void an_overload_ends(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.http_latency_heal = true;
	seconds(t, 10, WELL);
	host_note_pressure(&t->w.host, &(struct pressure) { 90, 0, 0 }, t->s.now);
	seconds(t, 15, SLOW);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_HOST_PRESSURE);
	host_note_pressure(&t->w.host, &(struct pressure) { 10, 0, 0 }, t->s.now);
	/* the last that was seen was bad, and nothing more comes */
	seconds(t, 30, NONE);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_OVERLOAD);
	seconds(t, 25, WELL);
	expect_state(t, HEAL_STATE_PROBATION, REFUSAL_NONE);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_OVERLOAD);
	assert_int_equal(t->closed, 1);
	assert_int_equal(t->restarts, 0);
	stage_free(t);
}

static void pressure_holds_levels(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	host_note_pressure(&t->w.host, &(struct pressure) { 70, 0, 0 }, t->s.now);
	seconds(t, 5, ERRORS);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_HOST_PRESSURE);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_OVERLOAD);
	stage_free(t);

	t = stage_new();
	seconds(t, 10, WELL);
	/* a busy host is no reason not to answer anything at all … */
	host_note_pressure(&t->w.host, &(struct pressure) { 70, 0, 0 }, t->s.now);
	seconds(t, 5, HANG);
	assert_int_equal(t->restarts, 1);
	stage_free(t);

	t = stage_new();
	seconds(t, 10, WELL);
	/* … a starved one is */
	host_note_pressure(&t->w.host, &(struct pressure) { 0, 50, 0 }, t->s.now);
	seconds(t, 8, HANG);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_HOST_PRESSURE);
	assert_int_equal(t->restarts, 0);
	stage_free(t);
}

static void it_recovers_by_itself(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.heal = HEAL_OBSERVE;
	seconds(t, 10, WELL);
	seconds(t, 10, ERRORS);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_OBSERVE_ONLY);
	/* no data is no recovery */
	seconds(t, 100, NONE);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_OBSERVE_ONLY);
	seconds(t, 4, WELL);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_OBSERVE_ONLY);
	seconds(t, 1, WELL);
	expect_state(t, HEAL_STATE_PROBATION, REFUSAL_NONE);
	assert_int_equal(t->closed, 1);
	assert_false(heal(t)->trouble.present);
	/* the same story, if it comes back soon */
	seconds(t, 5, ERRORS);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_OBSERVE_ONLY);
	seconds(t, 10, WELL);
	seconds(t, 301, WELL);
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	assert_int_equal(t->closed, 2);
	assert_int_equal(t->restarts, 0);
	stage_free(t);
}

static void nobody_asks_after_the_restart(void **state)
{
	struct stage *t = stage_new();
	uint64_t restarted;

	seconds(t, 10, WELL);
	seconds(t, 5, HANG);
	restarted = t->s.now;
	seconds(t, 9, NONE);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	seconds(t, 3, NONE);
	assert_int_equal(t->verdict, VERDICT_FIXED_WEAK);
	assert_true(heal(t)->attempt.verified_ns - restarted <= VERIFY_TRAFFIC_NS + 2 * S);
	/* a good verdict settles the alert, also without data */
	assert_int_equal(unit_alert_state(t->s.u, RULE_HTTP_HANG), ALERT_RESOLVED);
	stage_free(t);

	/* few ask: what there is counts, when the time is over */
	t = stage_new();
	seconds(t, 10, WELL);
	seconds(t, 5, HANG);
	seconds(t, 4, ONE);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	seconds(t, 3, ONE);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	stage_free(t);
}

static void it_is_worse(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 8, SOME_ERRORS);
	assert_int_equal(t->restarts, 1);
	seconds(t, 6, ERRORS);
	assert_true(t->verdict == VERDICT_NOT_FIXED || t->verdict == VERDICT_WORSE);
	stage_free(t);

	/* slow before, and so slow afterwards that it matters */
	t = stage_new();
	t->s.u->settings.http_latency_heal = true;
	seconds(t, 10, WELL);
	seconds(t, 6, SLOW);
	assert_int_equal(t->restarts, 1);
	seconds(t, 4, VERY_SLOW);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	seconds(t, 2, VERY_SLOW);
	assert_int_equal(t->verdict, VERDICT_WORSE);
	assert_int_equal(t->s.u->verdicts[VERDICT_WORSE], 1);
	seconds(t, 60, VERY_SLOW);
	expect_state(t, HEAL_STATE_EXHAUSTED, REFUSAL_NOT_HELPED);
	stage_free(t);

	/* what made it worse once is not tried again, also against a hang */
	t = stage_new();
	t->s.u->settings.http_latency_heal = true;
	seconds(t, 10, WELL);
	seconds(t, 6, SLOW);
	seconds(t, 6, VERY_SLOW);
	assert_int_equal(t->verdict, VERDICT_WORSE);
	seconds(t, 60, HANG);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_HANG);
	expect_state(t, HEAL_STATE_EXHAUSTED, REFUSAL_NOT_HELPED);
	stage_free(t);
}

static void die(struct stage *t)
{
	struct unit *u = t->s.u;
	struct death d = { .source = DEATH_FROM_KERNEL,
		.pid = 42,
		.parent_pid = 1,
		.time_ns = t->s.now,
		.seen_ns = t->s.now,
		.lifetime_ns = 60 * S,
		.signal = SIGSEGV,
		.killer = KILLER_KERNEL };

	unit_remember_death(u, &d);
	u->facts.active = ACTIVE_FAILED;
	strcpy(u->facts.result, "core-dump");
	u->facts.main_pid = 0;
	u->facts.read_ns = t->s.now;
}

/* PID 1's answer to a restart of what has died. */
static void come_up(struct stage *t)
{
	struct unit_facts *f = &t->s.u->facts;

	f->active = ACTIVE_ACTIVE;
	strcpy(f->result, "success");
	f->main_pid = f->exec_main_pid = 43;
}

static void a_death_takes_over(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.heal = HEAL_OBSERVE;
	seconds(t, 10, WELL);
	seconds(t, 5, ERRORS);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_OBSERVE_ONLY);
	die(t);
	step(t);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_CRASHED);
	assert_int_equal(heal(t)->trouble.rule, RULE_UNIT_DOWN);
	/* an operator starts it again */
	restart(t);
	come_up(t);
	step(t);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	seconds(t, 2, WELL);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	assert_false(level_is_active(t->s.u));
	stage_free(t);
}

/* Deaths are healed as fast as ever, and proved where there is traffic. */
static void deaths_and_traffic(void **state)
{
	static const struct {
		enum answers answers;
		unsigned int half_seconds; /* until the verdict */
		enum verdict verdict;
	} rows[] = {
		{ NONE, 2, VERDICT_FIXED_WEAK },
		{ WELL, 3, VERDICT_FIXED },
		/* one request: half a second more is given to others */
		{ ONE, 4, VERDICT_FIXED_WEAK },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stage *t = stage_new();
		uint64_t up;

		seconds(t, 10, WELL);
		die(t);
		step(t);
		come_up(t);
		up = t->s.now;
		assert_int_equal(t->restarts, 1);
		step(t);
		while (t->verdict == VERDICT_NONE) {
			second(t, rows[i].answers);
			assert_true(t->s.now <= up + 3 * S);
		}
		if (t->verdict != rows[i].verdict ||
			heal(t)->attempt.verified_ns > up + rows[i].half_seconds * S / 2)
			fail_msg("row %zu: %s after %.1f s: %s", i, verdict_word(t->verdict),
				(double)(heal(t)->attempt.verified_ns - up) / 1e9, t->last.text);
		stage_free(t);
	}
}

/* It is up again, and fails: not "fixed", and no endless verification either. */
static void a_death_and_then_errors(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.http_error_ratio = 0; /* no alert that would refute it */
	seconds(t, 10, WELL);
	die(t);
	step(t);
	come_up(t);
	step(t);
	seconds(t, 9, ERRORS);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	assert_non_null(strstr(t->last.text, "errors"));
	seconds(t, 3, ERRORS);
	assert_int_equal(t->verdict, VERDICT_FIXED_WEAK);
	assert_int_equal(t->restarts, 1);
	stage_free(t);

	/* with the alert: the attempt is refuted, and errors are a trouble of their own */
	t = stage_new();
	seconds(t, 10, WELL);
	die(t);
	step(t);
	come_up(t);
	step(t);
	seconds(t, 6, ERRORS);
	assert_int_equal(t->verdict, VERDICT_NOT_FIXED);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_HTTP_ERRORS);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_GRACE);
	stage_free(t);
}

static void an_operator_restarts_it(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.heal = HEAL_OBSERVE;
	seconds(t, 10, WELL);
	seconds(t, 6, HANG);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_OBSERVE_ONLY);
	restart(t);
	step(t);
	expect_state(t, HEAL_STATE_VERIFY, REFUSAL_NONE);
	assert_int_equal(heal(t)->attempt.initiator, INITIATOR_OTHER);
	seconds(t, 3, WELL);
	assert_int_equal(t->verdict, VERDICT_FIXED);
	assert_int_equal(t->restarts, 0);
	stage_free(t);
}

static void the_administrator_stops_it(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.heal = HEAL_OBSERVE;
	seconds(t, 10, WELL);
	seconds(t, 6, HANG);
	t->s.u->facts.active = ACTIVE_INACTIVE;
	t->s.u->facts.main_pid = 0;
	t->s.u->facts.read_ns = t->s.now;
	step(t);
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	assert_int_equal(t->closed, 1);
	assert_false(level_is_active(t->s.u));
	stage_free(t);
}

static void switched_off(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.heal = HEAL_OFF;
	seconds(t, 10, WELL);
	seconds(t, 10, ERRORS);
	expect_state(t, HEAL_STATE_IDLE, REFUSAL_NONE);
	assert_int_equal(unit_alert_state(t->s.u, RULE_HTTP_ERRORS), ALERT_FIRING);
	stage_free(t);
}

static void slow_and_then_it_hangs(void **state)
{
	struct stage *t = stage_new();

	seconds(t, 10, WELL);
	seconds(t, 10, SLOW);
	expect_state(t, HEAL_STATE_HOLD, REFUSAL_NOTIFY_ONLY);
	seconds(t, 5, HANG);
	assert_int_equal(heal(t)->trouble.cause, CAUSE_HANG);
	assert_int_equal(t->restarts, 1);
	stage_free(t);
}

static void restart_daemon(struct stage *t, enum cause cause)
{
	struct unit *u = t->s.u;
	struct heal kept = u->heal;
	struct incident i = { .cause = cause, .opened_ns = u->heal.trouble.time_ns };

	free(u->levels);
	u->levels = NULL;
	u->heal = (struct heal) { .trouble = kept.trouble };
	memcpy(u->heal.restart_ns, kept.restart_ns, sizeof(kept.restart_ns));
	u->heal.n_restarts = kept.n_restarts;
	policy_resume(u, &i, &(struct attempt) {}, t->s.now);
}

/* mendd itself is restarted: the trouble is not forgotten, and not acted upon from memory. */
static void mendd_was_away(void **state)
{
	struct stage *t = stage_new();

	t->s.u->settings.heal = HEAL_OBSERVE;
	seconds(t, 10, WELL);
	seconds(t, 6, HANG);
	restart_daemon(t, CAUSE_HANG);
	t->s.u->settings.heal = HEAL_RESTART;
	assert_int_equal(unit_alert_state(t->s.u, RULE_HTTP_HANG), ALERT_FIRING);
	service_release(&t->s, true);
	seconds(t, 20, NONE);
	expect_state(t, HEAL_STATE_CONFIRM, REFUSAL_NONE);
	assert_true(heal(t)->trouble.present);
	assert_int_equal(t->restarts, 0);
	seconds(t, 5, HANG);
	assert_int_equal(t->restarts, 1);
	stage_free(t);

	t = stage_new();
	t->s.u->settings.heal = HEAL_OBSERVE;
	seconds(t, 10, WELL);
	seconds(t, 6, HANG);
	restart_daemon(t, CAUSE_HANG);
	service_release(&t->s, false);
	seconds(t, 4, WELL);
	expect_state(t, HEAL_STATE_PROBATION, REFUSAL_NONE);
	assert_int_equal(t->closed, 1);
	stage_free(t);
}

static void interlocks(void **state)
{
	struct stage *t = stage_new();
	struct unit *u = t->s.u, *db;
	struct world *w = &t->w;
	struct heal *h = &u->heal;
	uint64_t wake, now = NOW;

	u->facts.active_enter_usec = (NOW - 3600 * S) / NSEC_PER_USEC;
	h->trouble = (struct trouble) { .present = true,
		.rule = RULE_HTTP_ERRORS,
		.cause = CAUSE_HTTP_ERRORS,
		.time_ns = NOW,
		.detected_ns = NOW };
#define EXPECT(refusal) assert_int_equal(interlock_ask(u, w, now, &wake), refusal)
	EXPECT(REFUSAL_NONE);

	/* grace of the unit */
	u->facts.active_enter_usec = (NOW - 29 * S) / NSEC_PER_USEC;
	EXPECT(REFUSAL_GRACE);
	assert_int_equal(wake, NOW + S);
	h->trouble.rule = RULE_HTTP_HANG;
	EXPECT(REFUSAL_GRACE);
	unit_levels(u)->answered = true;
	EXPECT(REFUSAL_NONE);
	h->trouble.rule = RULE_HTTP_ERRORS;
	u->facts.active_enter_usec = (NOW - 30 * S) / NSEC_PER_USEC;
	EXPECT(REFUSAL_NONE);
	u->settings.start_grace_ns = 31 * S;
	EXPECT(REFUSAL_GRACE);
	u->settings.start_grace_ns = 0;
	u->facts.active_enter_usec = NOW / NSEC_PER_USEC;
	EXPECT(REFUSAL_NONE);
	/* of the host: it has slept, or was booted just now; a death does not wait for that */
	w->host.resumed_ns = NOW - HOST_GRACE_NS + S;
	EXPECT(REFUSAL_GRACE);
	assert_int_equal(wake, NOW + S);
	h->trouble.rule = RULE_UNIT_DOWN;
	EXPECT(REFUSAL_NONE);
	h->trouble.rule = RULE_HTTP_ERRORS;
	w->host.resumed_ns = NOW - HOST_GRACE_NS;
	EXPECT(REFUSAL_NONE);
	w->host.resumed_ns = 0;
	u->facts.active_enter_usec = 0;
	now = HOST_GRACE_NS - S;
	h->trouble.detected_ns = u->facts.read_ns = now;
	EXPECT(REFUSAL_GRACE);
	assert_int_equal(wake, HOST_GRACE_NS);
	now = HOST_GRACE_NS;
	EXPECT(REFUSAL_NONE);
	now = h->trouble.detected_ns = u->facts.read_ns = NOW;

	/* pressure */
	w->host.pressed = true;
	EXPECT(REFUSAL_HOST_PRESSURE);
	h->trouble.rule = RULE_PROBE;
	EXPECT(REFUSAL_NONE);
	w->host.starved = true;
	EXPECT(REFUSAL_HOST_PRESSURE);
	h->trouble.rule = RULE_UNIT_DOWN;
	EXPECT(REFUSAL_NONE);
	w->host.pressed = w->host.starved = false;

	/* correlation freezes all but deaths */
	w->host.alerts[RULE_CORRELATED - RULE_UNIT_COUNT].state = ALERT_FIRING;
	EXPECT(REFUSAL_NONE);
	h->trouble.rule = RULE_HTTP_HANG;
	EXPECT(REFUSAL_CORRELATED);
	h->restart_asked = true; /* a person knows better */
	EXPECT(REFUSAL_NONE);
	h->restart_asked = false;
	w->host.alerts[RULE_CORRELATED - RULE_UNIT_COUNT].state = ALERT_RESOLVED;
	EXPECT(REFUSAL_NONE);

	/* somebody debugs it */
	u->stopped = true;
	EXPECT(REFUSAL_FROZEN);
	h->trouble.rule = RULE_UNIT_DOWN;
	EXPECT(REFUSAL_NONE);
	u->stopped = false;

	/* slow */
	h->trouble.rule = RULE_HTTP_LATENCY;
	EXPECT(REFUSAL_NOTIFY_ONLY);
	u->settings.http_latency_heal = true;
	EXPECT(REFUSAL_NONE);
	h->level_restart_ns = NOW - 3599 * S;
	EXPECT(REFUSAL_NOT_HELPED);
	h->level_restart_ns = NOW - 3600 * S;
	EXPECT(REFUSAL_NONE);
	h->level_tried = true;
	EXPECT(REFUSAL_NOT_HELPED);
	h->trouble.rule = RULE_HTTP_HANG; /* another thing */
	EXPECT(REFUSAL_NONE);
	h->attempt = (struct attempt) { .number = 1, .verdict = VERDICT_WORSE };
	EXPECT(REFUSAL_NOT_HELPED);
	h->attempt.verdict = VERDICT_NOT_FIXED;
	EXPECT(REFUSAL_NONE);

	/* a dependency that is slow holds levels, and not deaths; one that is dead holds both */
	db = world_unit_add(w, "db.service");
	u->dependencies = calloc(1, sizeof(char *));
	u->dependencies[0] = strdup("db.service");
	u->n_dependencies = 1;
	db->heal.trouble.rule = RULE_HTTP_LATENCY;
	db->incident = incident_new("db.service", &db->heal.trouble, NOW, 0);
	EXPECT(REFUSAL_DEPENDENCY_DOWN);
	h->trouble.rule = RULE_UNIT_DOWN;
	EXPECT(REFUSAL_NONE);
	db->heal.trouble.rule = RULE_UNIT_DOWN;
	EXPECT(REFUSAL_DEPENDENCY_DOWN);
#undef EXPECT
	stage_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hang_is_healed),
		cmocka_unit_test(it_was_only_a_suspicion),
		cmocka_unit_test(its_reason_goes_with_what_held_it),
		cmocka_unit_test(it_hangs_again),
		cmocka_unit_test(it_answers_and_hangs_again),
		cmocka_unit_test(errors_are_restarted_once),
		cmocka_unit_test(slowness_is_told),
		cmocka_unit_test(an_overload_ends),
		cmocka_unit_test(pressure_holds_levels),
		cmocka_unit_test(it_recovers_by_itself),
		cmocka_unit_test(nobody_asks_after_the_restart),
		cmocka_unit_test(it_is_worse),
		cmocka_unit_test(a_death_takes_over),
		cmocka_unit_test(deaths_and_traffic),
		cmocka_unit_test(a_death_and_then_errors),
		cmocka_unit_test(an_operator_restarts_it),
		cmocka_unit_test(the_administrator_stops_it),
		cmocka_unit_test(switched_off),
		cmocka_unit_test(slow_and_then_it_hangs),
		cmocka_unit_test(mendd_was_away),
		cmocka_unit_test(interlocks),
	};

	return cmocka_run_group_tests_name("level_policy", tests, NULL, NULL);
}
