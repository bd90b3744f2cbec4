/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What must always hold, whatever happens in whichever order: the policy against a small model of
 * systemd and of a service that speaks HTTP, under random sequences of deaths, hangs, errors,
 * overload, operators, timers, sleeping hosts and restarts of the daemon. The same seeds every
 * time; another one with MENDD_SEED=N, more of them with MENDD_ROUNDS=N.
 */
#include "../../daemon/base/str.h"
#include "../../daemon/judge/budget.h"
#include "../../daemon/judge/cause.h"
#include "../../daemon/judge/host.h"
#include "../../daemon/judge/policy.h"
#include "cmocka_all.h"
#include "traffic_model.h"

#include <signal.h>
#include <sys/wait.h>

enum { EVENTS = 400, ROUNDS = 3000, ACTIONS_MAX = 4096 };

/* How the service does while it is up. */
enum manner { WELL, WELL_2, WELL_3, IDLE, ERRORS, SOME_ERRORS, SLOW, HANG, MANNERS };

/* The kernel's steps of time, and how many of them a long time is shown by. */
#define TICK NSEC_PER_SEC
#define TICKS_SHOWN 12

/* systemd as far as it matters: one service, its jobs, and whether its administrator wants it. */
struct model {
	uint64_t random;
	uint64_t now;
	enum active_state active;
	char sub_state[32], result[32];
	unsigned int invocation, n_restarts;
	pid_t pid; /* of the main process, 0: none */
	pid_t last_pid;
	bool always; /* Restart=always */
	bool masked;
	bool stopped; /* the administrator stopped it, and nobody started it since */
	bool reaped;  /* PID 1 knows of the main process's end */
	struct unit *u;
	struct world w;
	bool in_flight; /* our restart is on its way */
	uint64_t actions[ACTIONS_MAX];
	size_t n_actions;
	uint64_t attempts_begun, verdicts;
	struct service s;
	enum manner manner;
	uint64_t entered; /* when it became active */
	uint64_t asleep;  /* time that the host has slept */
	uint64_t once_ns; /* our last restart for errors or slowness; 0: none */
	struct pressure pressure;
};

static uint64_t roll(struct model *m, uint64_t n)
{
	/* xorshift64*, G. Marsaglia, S. Vigna */
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (m->random * UINT64_C(2685821657736338717) >> 33) % n;
}

static void start(struct model *m)
{
	m->invocation++;
	m->pid = (pid_t)(1000 + m->invocation);
	m->last_pid = m->pid;
	m->active = ACTIVE_ACTIVE;
	m->entered = m->now;
	m->manner = (enum manner)roll(m, MANNERS);
	service_release(&m->s, true);
	m->reaped = true;
	strcpy(m->sub_state, "running");
	strcpy(m->result, "success");
}

/* What PID 1 answers now becomes the unit's facts, as the edge does it. */
static void read_facts(struct model *m)
{
	struct unit_facts *f = &m->u->facts;
	pid_t before = f->exec_main_pid;
	char invocation[INVOCATION_SIZE];

	strcpy(invocation, f->invocation);
	if (before && before != m->last_pid) {
		m->u->former = (struct former) {
			.exec_main_pid = before, .n_restarts = f->n_restarts, .changed_ns = m->now
		};
		strcpy(m->u->former.invocation, invocation);
	}
	f->read_ns = m->now;
	f->active = m->active;
	strcpy(f->sub_state, m->sub_state);
	strcpy(f->result, m->result);
	strcpy(f->load_state, m->masked ? "masked" : "loaded");
	strcpy(f->restart, m->always ? "always" : "no");
	strcpy(f->type, "simple");
	snprintf(f->invocation, sizeof(f->invocation), "%032x", m->invocation);
	f->exec_main_pid = m->last_pid;
	f->main_pid = m->pid;
	f->n_restarts = m->n_restarts;
	f->active_enter_usec = m->entered / NSEC_PER_USEC;
	f->start_limit_burst = 5;
	f->start_limit_interval_ns = 10 * NSEC_PER_SEC;
	f->start_timeout_ns = 90 * NSEC_PER_SEC;
}

static uint64_t playing; /* named where something fails */

/* What the histories have led to: a test of what never happens must also see what does. */
static struct {
	uint64_t actions[RULE_COUNT], refusals[REFUSAL_COUNT], verdicts[VERDICT_COUNT], recovered,
		resumed;
} seen;

static void note_verdict(struct model *m, const struct decision *d)
{
	assert_int_not_equal(d->verdict, VERDICT_NONE);
	m->verdicts++;
	seen.verdicts[d->verdict]++;
	/* 4: each attempt has exactly one verdict */
	assert_true(m->verdicts <= m->attempts_begun);
}

/* RestartUnit arrives at PID 1. */
static void deliver(struct model *m)
{
	struct attempt *a = &m->u->heal.attempt;

	assert_true(m->in_flight);
	m->in_flight = false;
	m->w.actions_in_flight--;
	/* 3: what its administrator stopped is never started */
	assert_false(m->stopped);
	if (m->u->heal.state != HEAL_STATE_ACT)
		return; /* the daemon was restarted meanwhile */
	if (m->masked) {
		a->job = JOB_REFUSED;
		return;
	}
	start(m);
	if (roll(m, 6) == 0) { /* it cannot start */
		m->active = ACTIVE_FAILED;
		m->pid = 0;
		strcpy(m->result, "exit-code");
		a->job = JOB_FAILED;
	} else
		a->job = JOB_DONE;
	a->done_ns = m->now;
	read_facts(m);
}

/* What a level must not lead to. */
static void act_on_level(struct model *m)
{
	const struct unit *u = m->u;
	const struct trouble *t = &u->heal.trouble;
	const struct alert *a;

	if (t->rule == RULE_UNIT_DOWN)
		return;
	assert_non_null(u->levels);
	a = &u->levels->alerts[t->rule];
	/* only what fires, and was seen in this run of mendd */
	assert_int_equal(a->state, ALERT_FIRING);
	assert_false(a->restored);
	assert_true(t->rule != RULE_CHECK);
	/* and what was seen last of it is bad */
	assert_true(a->calm == 0 || u->heal.attempt.manual);
	assert_true(unit_is_up(u));
	/* never under pressure, nor just after the host woke up, nor while many fail */
	assert_false(level_is_pressed(&m->w.host, t->rule));
	assert_true(m->w.host.resumed_ns == 0 || m->now >= m->w.host.resumed_ns + HOST_GRACE_NS);
	assert_true(host_alert(&m->w.host, RULE_CORRELATED)->state != ALERT_FIRING);
	if (t->rule == RULE_HTTP_LATENCY)
		assert_true(u->settings.http_latency_heal);
	if (t->rule != RULE_HTTP_ERRORS && t->rule != RULE_HTTP_LATENCY)
		return;
	/* never a second restart for the same reason within the hour */
	assert_true(m->once_ns == 0 || m->now - m->once_ns >= 3600 * NSEC_PER_SEC);
	m->once_ns = m->now;
}

static void act(struct model *m)
{
	/* 1: at most one action in flight */
	assert_false(m->in_flight);
	assert_true(m->w.actions_in_flight == 0);
	m->in_flight = true;
	m->w.actions_in_flight++;
	m->u->heal.attempt.job = JOB_SENT;
	m->attempts_begun++;
	seen.actions[m->u->heal.trouble.rule]++;
	assert_true(m->n_actions < ACTIONS_MAX);
	m->actions[m->n_actions++] = m->now;
	/* 2: never more than the budget within any window; manual restarts are a person's */
	for (size_t w = 0; w < BUDGET_WINDOWS && !m->u->heal.attempt.manual; w++) {
		const struct budget *b = &m->u->settings.budget[w];
		uint32_t n = 0;

		for (size_t i = 0; i < m->n_actions; i++)
			n += m->now - m->actions[i] < b->window_ns;
		assert_true(n <= b->count);
	}
	act_on_level(m);
	assert_true(m->u->heal.trouble.present);
	assert_false(m->w.pause.active);
	assert_int_equal(m->u->settings.heal, HEAL_RESTART);
}

/* As manager_step() does it. */
static void find_trouble(struct model *m)
{
	struct unit *u = m->u;
	struct trouble t;
	enum finding finding = cause_find(u, &t);

	if (u->settings.heal != HEAL_OFF &&
		(finding == FINDING_TROUBLE ||
			(finding == FINDING_NONE && level_find(u, &m->w, &t))))
		policy_take_trouble(u, &t, m->now);
}

/* 5: no alert that fires is forgotten: it is a trouble, or it is one of a former invocation. */
static void check_alerts(const struct unit *u)
{
	enum heal_state state = u->heal.state;

	if (state == HEAL_STATE_CONFIRM)
		assert_true(u->heal.trouble.present ||
			    level_gravest(u, ALERT_PENDING) != RULE_UNIT_DOWN);
	if (u->heal.trouble.present || !u->levels)
		return;
	for (unsigned int i = RULE_HTTP_HANG; i < RULE_CHECK; i++)
		assert_true(u->levels->alerts[i].state != ALERT_FIRING ||
			    u->levels->alerts[i].carried || !unit_is_up(u) ||
			    !str_eq(u->levels->invocation, u->facts.invocation));
}

static void step(struct model *m)
{
	struct unit *u = m->u;

	find_trouble(m);
	for (int i = 0; i < 16; i++) {
		struct decision d = policy_decide(u, &m->w, m->now);
		struct decision again = policy_decide(u, &m->w, m->now);
		enum heal_state before = u->heal.state;

		/* deciding changes nothing: what explain prints is what happens */
		assert_memory_equal(&d, &again, sizeof(d));
		assert_true(*d.text);
		policy_apply(u, &d, m->now);
		seen.refusals[d.refusal]++;
		seen.recovered += d.verb == VERB_CLOSE && d.next == HEAL_STATE_PROBATION;
		seen.resumed += d.next == HEAL_STATE_CONFIRM && u->heal.trouble.present;
		if (d.verb == VERB_ACT)
			act(m);
		else if (d.verb == VERB_ADOPT)
			m->attempts_begun++;
		else if (d.verb == VERB_CONCLUDE)
			note_verdict(m, &d);
		/* 5: trouble is never forgotten in IDLE */
		if (u->heal.state == HEAL_STATE_IDLE)
			assert_false(u->heal.trouble.present);
		/* 9: a pause ends, and then somebody looks */
		if (d.refusal == REFUSAL_PAUSED && m->w.pause.active)
			assert_true(d.wake_ns <= m->w.pause.until_ns);
		/* asked for facts: the answer comes at some other time */
		if (u->heal.state == before || u->heal.wake_ns > m->now) {
			check_alerts(u);
			return;
		}
	}
	fail_msg("the machine does not come to rest in state %s", heal_state_word(u->heal.state));
}

/* One second of the service's life, as the kernel and the manager see it. */
static void tick(struct model *m)
{
	bool up = m->pid && m->active == ACTIVE_ACTIVE;

	m->s.now = m->now;
	m->s.u = m->u;
	switch (up ? m->manner : IDLE) {
	case ERRORS:
		service_answer(&m->s, HTTP_CLASS_5XX, NSEC_PER_MSEC, 20);
		break;
	case SOME_ERRORS:
		service_answer(&m->s, HTTP_CLASS_2XX, NSEC_PER_MSEC, 18);
		service_answer(&m->s, HTTP_CLASS_5XX, NSEC_PER_MSEC, 2);
		break;
	case SLOW:
		service_answer(&m->s, HTTP_CLASS_2XX, NSEC_PER_SEC, 20);
		break;
	case HANG:
		service_ask(&m->s);
		break;
	case IDLE:
		break;
	default:
		service_release(&m->s, false);
		service_answer(&m->s, HTTP_CLASS_2XX, NSEC_PER_MSEC, 20);
		break;
	}
	m->now += TICK;
	if (m->w.pause.active && m->now >= m->w.pause.until_ns)
		m->w.pause.active = false;
	host_note_clocks(&m->w.host, m->now, m->now + m->asleep);
	host_note_pressure(&m->w.host, roll(m, 20) ? &m->pressure : NULL, m->now);
	http_tick(m->u->http, m->now);
	level_judge(m->u, m->now);
	host_judge(&m->w, m->now);
	step(m);
}

/* A long time is one of which most was like its end. */
static void pass(struct model *m, uint64_t ns)
{
	uint64_t ticks = ns / TICK;

	if (ticks > TICKS_SHOWN) {
		m->now += (ticks - TICKS_SHOWN) * TICK;
		ticks = TICKS_SHOWN;
	}
	while (ticks--) {
		tick(m);
		/* PID 1 answers in time, mostly */
		if (m->u->heal.refusal == REFUSAL_STALE && roll(m, 8)) {
			read_facts(m);
			step(m);
		}
	}
	m->now += ns % TICK;
}

static void record_death(struct model *m, int signal, int code, enum killer killer, int asked)
{
	struct death d = { .source = DEATH_FROM_KERNEL,
		.time_ns = m->now,
		.seen_ns = m->now,
		.pid = m->pid,
		.parent_pid = 1,
		.lifetime_ns = roll(m, 2) ? NSEC_PER_MSEC : 60 * NSEC_PER_SEC,
		.signal = signal,
		.code = code,
		.asked_signal = asked,
		.killer = killer };

	if (killer == KILLER_PROCESS) {
		d.killer_pid = 77;
		d.killer_time_ns = m->now;
		snprintf(
			d.killer_comm, sizeof(d.killer_comm), "killer%u", (unsigned int)roll(m, 4));
	}
	unit_note_death(m->u, &d);
	unit_remember_death(m->u, &d);
}

/* PID 1 notices the end of the main process. */
static void reap(struct model *m, const char *result)
{
	m->pid = 0;
	m->reaped = true;
	strcpy(m->result, result);
	if (m->always) {
		m->active = ACTIVE_ACTIVATING;
		strcpy(m->sub_state, "auto-restart");
	} else {
		m->active = str_eq(result, "success") ? ACTIVE_INACTIVE : ACTIVE_FAILED;
		strcpy(m->sub_state, str_eq(result, "success") ? "dead" : "failed");
	}
}

static void die(struct model *m)
{
	static const struct {
		int signal, code, asked;
		enum killer killer;
		const char *result;
	} ways[] = {
		{ SIGKILL, 0, 0, KILLER_PROCESS, "signal" },
		{ SIGTERM, 0, 0, KILLER_PROCESS, "success" },
		{ 0, 0, SIGTERM, KILLER_PROCESS, "success" },
		{ SIGSEGV, 0, 0, KILLER_KERNEL, "core-dump" },
		{ SIGABRT, 0, 0, KILLER_SELF, "core-dump" },
		{ SIGKILL, 0, 0, KILLER_OOM, "oom-kill" },
		{ 0, 7, 0, KILLER_NONE, "exit-code" },
		{ 0, 0, 0, KILLER_NONE, "success" },
	};
	size_t way = roll(m, ARRAY_SIZE(ways));

	if (!m->pid)
		return;
	record_death(m, ways[way].signal, ways[way].code, ways[way].killer, ways[way].asked);
	if (roll(m, 2)) {
		/* the kernel overtakes: the first facts are from before PID 1 knows */
		read_facts(m);
		step(m);
		if (m->in_flight && roll(m, 2)) {
			deliver(m);
			step(m);
			return;
		}
		if (m->in_flight)
			return;
	}
	reap(m, ways[way].result);
}

static void foreign_job(struct model *m)
{
	static uint32_t id = 1;

	m->u->job = (struct foreign_job) { .id = id++,
		.seen_ns = m->now,
		.ended_ns = m->now,
		.former_pid = m->u->facts.exec_main_pid };
	strcpy(m->u->job.result, "done");
}

/* An operator's stop: PID 1 kills, reaps, and tells of the job before anybody reads facts. */
static void stop(struct model *m)
{
	if (m->in_flight) /* PID 1 does one after the other: ours first, as it came first */
		deliver(m);
	if (m->pid)
		record_death(m, SIGTERM, 0, KILLER_SYSTEMD, 0);
	foreign_job(m);
	m->stopped = true;
	m->pid = 0;
	if (m->active != ACTIVE_FAILED) {
		m->active = ACTIVE_INACTIVE;
		strcpy(m->sub_state, "dead");
		strcpy(m->result, "success");
	}
	/* a unit that had failed is reset, as a person does who wants quiet */
	m->active = ACTIVE_INACTIVE;
	strcpy(m->sub_state, "dead");
	read_facts(m);
	step(m);
}

static void start_by_operator(struct model *m)
{
	if (m->in_flight)
		deliver(m);
	if (m->pid && m->active == ACTIVE_ACTIVE)
		record_death(m, SIGTERM, 0, KILLER_SYSTEMD, 0); /* restart: stop, then start */
	foreign_job(m);
	m->stopped = false;
	m->n_restarts = 0;
	start(m);
	read_facts(m);
	step(m);
}

static void auto_restart(struct model *m)
{
	if (m->active != ACTIVE_ACTIVATING || m->in_flight)
		return;
	m->n_restarts++;
	start(m);
}

/* kill -9 of the daemon, and its restart: only what the store holds survives. */
static void restart_daemon(struct model *m)
{
	struct unit *old = m->u, *u = unit_new("shop.service");
	struct incident i = { .cause = old->heal.trouble.cause,
		.opened_ns = old->heal.trouble.time_ns };
	bool open = old->heal.trouble.present;
	struct heal *h = &u->heal;

	str_copy(i.summary, sizeof(i.summary), old->heal.trouble.text);
	u->settings = old->settings;
	u->http = http_state_new(&m->s.totals, &m->s.detail);
	http_tick(u->http, m->now);
	/* as store_put_unit() keeps it */
	memcpy(h->restart_ns, old->heal.restart_ns, sizeof(h->restart_ns));
	h->n_restarts = old->heal.n_restarts;
	h->backoff_step = old->heal.backoff_step;
	h->last_killer_ns = old->heal.last_killer_ns;
	strcpy(h->last_killer_key, old->heal.last_killer_key);
	h->level_tried = old->heal.level_tried;
	h->level_restart_ns = old->heal.level_restart_ns;
	/* the ring of deaths is in the kernel; deaths that were read are gone */
	hash_remove_str(&m->w.units, old->name);
	unit_free(old);
	m->u = u;
	hash_put_str(&m->w.units, u->name, u);
	if (open)
		policy_resume(u, &i, &(struct attempt) { .number = 0 }, m->now);
	if (m->in_flight) {
		/* PID 1 has the message: it is done whether we live or not */
		m->in_flight = false;
		m->w.actions_in_flight--;
		if (!m->stopped && !m->masked)
			start(m);
	}
	m->attempts_begun = m->verdicts = 0;
	m->now += NSEC_PER_MSEC;
	read_facts(m);
	step(m);
}

static void event(struct model *m)
{
	switch (roll(m, 20)) {
	case 0:
	case 1:
	case 2:
		die(m);
		break;
	case 3:
		if (roll(m, 3) == 0)
			stop(m);
		break;
	case 4:
		if (roll(m, 2) == 0)
			start_by_operator(m);
		break;
	case 5:
	case 6:
		auto_restart(m);
		break;
	case 7:
		if (m->in_flight)
			deliver(m);
		break;
	case 8:
		m->w.pause.active = roll(m, 4) == 0;
		m->w.pause.until_ns = m->now + 60 * NSEC_PER_SEC;
		break;
	case 9:
		m->masked = roll(m, 8) == 0;
		break;
	case 10:
		if (roll(m, 4) == 0)
			restart_daemon(m);
		break;
	case 11:
	case 12:
		m->manner = (enum manner)roll(m, MANNERS);
		break;
	case 13:
		m->pressure.cpu = roll(m, 3) ? 0 : (double)roll(m, 101);
		if (roll(m, 8) == 0)
			m->asleep += roll(m, 7200) * NSEC_PER_SEC;
		if (roll(m, 8) == 0) /* as if others had failed too */
			m->w.host.alerts[RULE_CORRELATED - RULE_UNIT_COUNT].state = ALERT_FIRING;
		break;
	default:
		/* The action plugin has a deadline: nothing stays in flight for minutes. */
		if (m->in_flight)
			deliver(m);
		pass(m, roll(m, 3) ? roll(m, 8 * NSEC_PER_SEC) : roll(m, 900) * NSEC_PER_SEC);
		break;
	}
	if (m->w.pause.active && m->now >= m->w.pause.until_ns)
		m->w.pause.active = false;
	if (roll(m, 4))
		read_facts(m);
	step(m);
}

static void play(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	m->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	m->now = 1000 * NSEC_PER_SEC;
	m->always = roll(m, 3) == 0;
	world_init(&m->w);
	m->u = world_unit_add(&m->w, "shop.service");
	m->u->settings.heal = HEAL_RESTART;
	m->u->settings.hang_after_ns = 5 * NSEC_PER_SEC;
	m->u->settings.http_latency_p99_ns = NSEC_PER_SEC / 2;
	m->u->settings.http_latency_for_ns = 5 * NSEC_PER_SEC;
	m->u->settings.http_latency_heal = roll(m, 2);
	m->s.u = m->u;
	m->s.totals.started = m->s.totals.finished = 1;
	m->u->http = http_state_new(&m->s.totals, &m->s.detail);
	http_tick(m->u->http, m->now);
	start(m);
	read_facts(m);
	for (int i = 0; i < EVENTS; i++)
		event(m);
	/* Whatever happened: left alone, with a healthy service, the machine comes to rest in IDLE.
	 */
	m->masked = false;
	m->w.pause.active = false;
	if (m->in_flight)
		deliver(m);
	m->pressure.cpu = 0;
	start_by_operator(m);
	for (int i = 0; i < 200 && m->u->heal.state != HEAL_STATE_IDLE; i++) {
		m->manner = WELL;
		pass(m, 10 * NSEC_PER_SEC);
		if (m->in_flight)
			deliver(m);
		if (!m->pid) /* our last restart could not start it */
			start_by_operator(m);
		read_facts(m);
		step(m);
	}
	assert_int_equal(m->u->heal.state, HEAL_STATE_IDLE);
	world_done(&m->w);
	free(m);
}

static uint64_t number(const char *variable, uint64_t otherwise)
{
	const char *s = getenv(variable);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

/* cmocka prints what failed; the seed to repeat it with is ours to say. */
static int say_seed(void **state)
{
	if (playing)
		fprintf(stderr, "last seed: MENDD_SEED=%llu\n", (unsigned long long)playing);
	return 0;
}

static void test_random_histories(void **state)
{
	static const enum refusal refusals[] = { REFUSAL_GRACE, REFUSAL_HOST_PRESSURE,
		REFUSAL_CORRELATED, REFUSAL_NOTIFY_ONLY, REFUSAL_NOT_HELPED, REFUSAL_BUDGET,
		REFUSAL_PAUSED, REFUSAL_STALE };
	uint64_t rounds = number("MENDD_ROUNDS", ROUNDS), only = number("MENDD_SEED", 0);

	for (uint64_t seed = only ? only : 1; seed <= (only ? only : rounds); seed++) {
		playing = seed;
		play(seed);
	}
	if (only)
		return;
	for (unsigned int i = 0; i < RULE_CHECK; i++)
		if (i != RULE_PROBE && seen.actions[i] == 0)
			fail_msg("nothing was done for %s", rule_word((enum rule)i));
	for (unsigned int i = VERDICT_NONE + 1; i < VERDICT_COUNT; i++)
		if (seen.verdicts[i] == 0)
			fail_msg("no verdict was %s", verdict_word((enum verdict)i));
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (seen.refusals[refusals[i]] == 0)
			fail_msg("nothing was held by %s", refusal_word(refusals[i]));
	assert_true(seen.recovered > 0 && seen.resumed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(
		test_random_histories, say_seed) };

	return cmocka_run_group_tests_name("properties", tests, NULL, NULL);
}
