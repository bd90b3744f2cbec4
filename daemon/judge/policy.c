/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The healing state machine; see policy.h and CONTRIBUTING.md. policy_decide() reads,
 * policy_apply() writes; between the two stands a value that can be printed.
 */
#include "policy.h"
#include "../base/clock.h"
#include "../base/str.h"
#include "budget.h"
#include "cause.h"
#include "interlock.h"
#include "level.h"
#include "traffic.h"
#include "verify.h"

#include <stdarg.h>

/* Beyond the unit's own start timeout: time for the verification itself. */
#define VERIFY_GRACE_NS (15 * NSEC_PER_SEC)
/* For units with TimeoutStartSec=infinity: systemd's default, beyond which nobody believes in it.
 */
#define START_TIMEOUT_NS (90 * NSEC_PER_SEC)
/* How often what cannot be announced (sockets) is looked at while verifying. */
#define VERIFY_POLL_NS (100 * NSEC_PER_MSEC)
/* One step of back-off is given back per this much verified health. */
#define BACKOFF_GIVE_BACK_NS (60 * NSEC_PER_SEC)
/* Restarting into a host that has just run out of memory would feed the fire. */
#define OOM_HOST_DELAY_NS (10 * NSEC_PER_SEC)
/* The action plugin has its own deadline; this one catches a plugin that never reports. */
#define ACTION_LOST_NS (30 * NSEC_PER_SEC)

static struct decision make(enum verb verb, enum heal_state next, uint64_t wake_ns)
{
	return (struct decision) { .verb = verb, .next = next, .wake_ns = wake_ns };
}

_printf_(2, 3) static struct decision say(struct decision d, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(d.text, sizeof(d.text), format, ap);
	va_end(ap);
	return d;
}

/* Sampled, and the unit is up; not a death. */
static bool is_level(const struct trouble *t)
{
	return t->rule != RULE_UNIT_DOWN;
}

static uint64_t start_timeout_ns(const struct unit *u)
{
	uint64_t t = u->facts.start_timeout_ns;

	return t == 0 || t == TIME_INFINITY ? START_TIMEOUT_NS : t;
}

uint32_t policy_budget_remaining(const struct unit *u, uint64_t now_ns)
{
	return budget_remaining(u, now_ns);
}

/* A unit that died before it had been well for as long as a verification takes is not at step 0. */
static uint32_t backoff_step(const struct unit *u)
{
	const struct heal *h = &u->heal;
	bool was_well =
		h->trouble.lived_ns == 0 || h->trouble.lived_ns >= u->settings.verify_for_ns;

	return h->backoff_step || was_well ? h->backoff_step : 1;
}

/* When the next attempt may be made as far as back-off goes. */
static uint64_t earliest_ns(const struct unit *u)
{
	const struct heal *h = &u->heal;
	uint32_t step = backoff_step(u);
	uint64_t base = MAX(h->trouble.detected_ns, h->attempt.done_ns);

	if (h->restart_asked)
		return 0;
	if (h->trouble.cause == CAUSE_OOM_HOST)
		return base + MAX(backoff_delay_ns(u, step), OOM_HOST_DELAY_NS);
	return step ? base + backoff_delay_ns(u, step) : 0;
}

static struct decision refuse(
	const struct unit *u, enum refusal r, uint64_t wake_ns, uint64_t now_ns)
{
	bool exhausted = r == REFUSAL_BUDGET || r == REFUSAL_NOT_HELPED;
	struct decision d =
		make(VERB_WAIT, exhausted ? HEAL_STATE_EXHAUSTED : HEAL_STATE_HOLD, wake_ns);

	d.refusal = r;
	if (r == REFUSAL_OBSERVE_ONLY)
		return say(d, "would restart it, but %s", refusal_text(r));
	if (wake_ns == TIME_INFINITY)
		return say(d, "not restarted: %s", refusal_text(r));
	return say(d, "not restarted: %s; asked again in %llu s", refusal_text(r),
		(unsigned long long)(clock_since_ns(wake_ns, now_ns) / NSEC_PER_SEC));
}

/* The unit came up without an action of ours. */
static struct decision adopt(const struct unit *u)
{
	struct decision d = make(VERB_ADOPT, HEAL_STATE_VERIFY, 0);

	d.initiator = u->facts.n_restarts > 0 ? INITIATOR_SYSTEMD : INITIATOR_OTHER;
	return say(d, "restarted by %s; verifying",
		d.initiator == INITIATOR_SYSTEMD ? "systemd" : "an operator or a dependency");
}

/* A level is over by itself, or has to be seen again after a restart of mendd; VERB_NONE: neither.
 */
static struct decision decide_level(const struct unit *u)
{
	const struct heal *h = &u->heal;
	const struct levels *l = u->levels;

	if (!unit_is_up(u)) /* it has gone, and PID 1 has not made up its mind about that */
		return say(make(VERB_WAIT, HEAL_STATE_CONFIRM, TIME_INFINITY),
			"waiting for what systemd makes of its end");
	if (unit_alert_state(u, h->trouble.rule) != ALERT_FIRING)
		return say(make(VERB_CLOSE, HEAL_STATE_PROBATION, 0), "recovered by itself");
	if (l->alerts[h->trouble.rule].restored)
		return say(make(VERB_WAIT, HEAL_STATE_CONFIRM, TIME_INFINITY),
			"mendd was restarted; waiting to see whether it is still so");
	return make(VERB_NONE, h->state, 0);
}

/*
 * Whether the last thing that was seen of it is bad. What held an action back (a debugger,
 * pressure, a start) may have been the reason, which went with it: then something has to be seen
 * since.
 */
static bool is_seen_now(const struct unit *u)
{
	const struct heal *h = &u->heal;
	const struct alert *a = &u->levels->alerts[h->trouble.rule];

	/* Seen without the pressure, it is a trouble with another cause: see level_find(). */
	if (h->trouble.cause == CAUSE_OVERLOAD)
		return false;
	switch (h->state) {
	case HEAL_STATE_HOLD:
		/* Neither of these has to do with the unit. */
		return (h->refusal == REFUSAL_STALE || h->refusal == REFUSAL_CONCURRENCY) &&
		       a->calm == 0;
	case HEAL_STATE_EXHAUSTED:
		return false;
	case HEAL_STATE_CONFIRM:
		return a->sampled_ns > h->since_ns && a->calm == 0;
	default:
		return a->calm == 0;
	}
}

static struct decision decide_gate(const struct unit *u, const struct world *w, uint64_t now_ns)
{
	const struct heal *h = &u->heal;
	struct trouble found;
	enum refusal refusal;
	struct decision d;
	uint64_t wake;

	if (unit_is_up(u) && !str_eq(u->facts.invocation, h->trouble.invocation))
		return adopt(u);
	if (!h->restart_asked && u->facts.read_ns >= h->trouble.detected_ns &&
		cause_find(u, &found) == FINDING_EXPLAINED)
		return say(make(VERB_CLOSE, HEAL_STATE_IDLE, TIME_INFINITY),
			"it is down because %s", refusal_text(REFUSAL_STOPPED_BY_ADMIN));
	if (is_level(&h->trouble) && !h->restart_asked) {
		d = decide_level(u);
		if (d.verb != VERB_NONE)
			return d;
	}
	refusal = interlock_ask(u, w, now_ns, &wake);
	if (refusal != REFUSAL_NONE)
		return refuse(u, refusal, wake, now_ns);
	if (is_level(&h->trouble) && !h->restart_asked && !is_seen_now(u))
		return say(make(VERB_WAIT, HEAL_STATE_CONFIRM, TIME_INFINITY),
			"waiting to see whether it is still so");
	wake = earliest_ns(u);
	if (now_ns < wake)
		return say(make(VERB_WAIT, HEAL_STATE_BACKOFF, wake),
			"restarting in %.1f s (back-off step %u)",
			(double)(wake - now_ns) / (double)NSEC_PER_SEC, backoff_step(u));
	d = make(VERB_ACT, HEAL_STATE_ACT, TIME_INFINITY);
	d.action = ACTION_RESTART;
	d.initiator = INITIATOR_MENDD;
	return say(d, "restarting (%u of %u)",
		budget_used(h, u->settings.budget[0].window_ns, now_ns) + 1,
		u->settings.budget[0].count);
}

static struct decision conclude(enum verdict verdict, enum heal_state next)
{
	struct decision d = make(VERB_CONCLUDE, next, 0);

	d.verdict = verdict;
	return d;
}

/*
 * The daemon was restarted between deciding and hearing of the result. A new invocation means that
 * the restart was sent; the old one without a job means that it was not.
 */
static struct decision decide_resumed(const struct unit *u)
{
	const struct heal *h = &u->heal;
	const struct unit_facts *f = &u->facts;

	if (f->read_ns <= h->since_ns || f->job || f->active == ACTIVE_ACTIVATING ||
		f->active == ACTIVE_DEACTIVATING)
		return say(make(VERB_WAIT, HEAL_STATE_ACT, TIME_INFINITY),
			"mendd was restarted; asking systemd how far the restart got");
	if (!str_eq(f->invocation, h->attempt.old_invocation) && unit_is_up(u))
		return say(make(VERB_WAIT, HEAL_STATE_VERIFY, 0), "restarted; verifying");
	return say(conclude(str_eq(f->invocation, h->attempt.old_invocation) ? VERDICT_INCONCLUSIVE
									     : VERDICT_NOT_FIXED,
			   HEAL_STATE_GATE),
		"mendd was restarted before the restart was done");
}

static struct decision decide_act(const struct unit *u, uint64_t now_ns)
{
	const struct attempt *a = &u->heal.attempt;
	uint64_t lost = a->decided_ns + start_timeout_ns(u) + ACTION_LOST_NS;

	switch (a->job) {
	case JOB_DONE:
		return say(make(VERB_WAIT, HEAL_STATE_VERIFY, now_ns), "restarted; verifying");
	case JOB_FAILED:
		return say(conclude(VERDICT_NOT_FIXED, HEAL_STATE_GATE), "the restart failed: %s",
			a->error);
	case JOB_CANCELED:
		return say(conclude(VERDICT_INCONCLUSIVE, HEAL_STATE_GATE),
			"somebody else's job took precedence: %s", a->error);
	case JOB_UNKNOWN:
		return decide_resumed(u);
	case JOB_REFUSED:
	case JOB_TIMEOUT:
		return say(conclude(VERDICT_INCONCLUSIVE, HEAL_STATE_GATE),
			"systemd did not restart it: %s", a->error);
	default:
		if (now_ns >= lost)
			return say(conclude(VERDICT_INCONCLUSIVE, HEAL_STATE_GATE),
				"nothing was heard of the restart");
		return say(
			make(VERB_WAIT, HEAL_STATE_ACT, lost), "waiting for systemd to restart it");
	}
}

/* Went bad again, in the invocation that is being verified. */
static bool attempt_is_refuted(const struct unit *u)
{
	const struct heal *h = &u->heal;

	return h->trouble.present && h->trouble.detected_ns > h->attempt.decided_ns;
}

static struct decision decide_verify(const struct unit *u, uint64_t now_ns)
{
	const struct heal *h = &u->heal;
	const struct attempt *a = &h->attempt;
	uint64_t deadline = a->done_ns + start_timeout_ns(u) + VERIFY_GRACE_NS, held;
	bool worse = is_level(&h->trouble) && verify_is_worse(u, now_ns);
	enum finding finding;
	struct trouble found;
	struct decision d;
	enum proof proof;
	char text[128];

	if (attempt_is_refuted(u))
		return say(conclude(worse ? VERDICT_WORSE : VERDICT_NOT_FIXED, HEAL_STATE_GATE),
			"it went bad again: %s", h->trouble.text);
	finding = cause_find(u, &found);
	if (finding == FINDING_EXPLAINED && u->facts.read_ns > a->done_ns)
		return say(conclude(VERDICT_INCONCLUSIVE, HEAL_STATE_GATE),
			"stopped by its administrator while it was being verified");
	if (worse)
		return say(conclude(VERDICT_WORSE, HEAL_STATE_GATE),
			"its answers are worse than before it was restarted");
	/* A hang that is there again has to be given the time to be one. */
	if (h->trouble.rule == RULE_HTTP_HANG)
		deadline += u->settings.hang_after_ns;
	proof = verify_conditions(u, now_ns, text, sizeof(text));
	if (proof == PROOF_NOT_YET) {
		if (now_ns >= deadline)
			return say(conclude(VERDICT_NOT_FIXED, HEAL_STATE_GATE), "%s", text);
		d = make(VERB_WAIT, HEAL_STATE_VERIFY, MIN(now_ns + VERIFY_POLL_NS, deadline));
		return say(d, "verifying: %s", text);
	}
	held = h->verified_since_ns ? clock_since_ns(now_ns, h->verified_since_ns) : 0;
	if (held < u->settings.verify_for_ns || proof == PROOF_COMING) {
		/* Ask again: what held a moment ago may not hold to the end. */
		d = make(VERB_WAIT, HEAL_STATE_VERIFY, now_ns + VERIFY_POLL_NS);
		if (held < u->settings.verify_for_ns)
			d.wake_ns = MIN(d.wake_ns, now_ns + u->settings.verify_for_ns - held);
		d.holds = true;
		return say(d, "verifying: %s", text);
	}
	return say(conclude(proof == PROOF_STRONG ? VERDICT_FIXED : VERDICT_FIXED_WEAK,
			   HEAL_STATE_PROBATION),
		"%s", text);
}

static struct decision decide_probation(const struct unit *u, uint64_t now_ns)
{
	uint64_t end = u->heal.since_ns + u->settings.probation_ns;

	if (now_ns >= end)
		return say(make(VERB_NONE, HEAL_STATE_IDLE, TIME_INFINITY),
			"stayed well through its probation");
	return say(make(VERB_WAIT, HEAL_STATE_PROBATION, end), "on probation for %llu s more",
		(unsigned long long)((end - now_ns) / NSEC_PER_SEC));
}

/* Nothing is open: perhaps something is about to be. */
static struct decision decide_idle(const struct unit *u)
{
	enum rule rule = level_gravest(u, ALERT_PENDING);

	if (rule != RULE_UNIT_DOWN && u->settings.heal != HEAL_OFF)
		return say(make(VERB_WAIT, HEAL_STATE_CONFIRM, TIME_INFINITY),
			"looking whether it lasts: %s", u->levels->alerts[rule].text);
	return say(make(VERB_NONE, HEAL_STATE_IDLE, TIME_INFINITY), "nothing to do");
}

struct decision policy_decide(const struct unit *u, const struct world *w, uint64_t now_ns)
{
	switch (u->heal.state) {
	case HEAL_STATE_CONFIRM:
		return u->heal.trouble.present ? decide_gate(u, w, now_ns) : decide_idle(u);
	case HEAL_STATE_GATE:
	case HEAL_STATE_HOLD:
	case HEAL_STATE_BACKOFF:
	case HEAL_STATE_EXHAUSTED:
		return decide_gate(u, w, now_ns);
	case HEAL_STATE_ACT:
		return decide_act(u, now_ns);
	case HEAL_STATE_VERIFY:
		return decide_verify(u, now_ns);
	case HEAL_STATE_PROBATION:
		return decide_probation(u, now_ns);
	default:
		return decide_idle(u);
	}
}

/* Whether it is the trouble that is, or was, dealt with. */
static bool is_known(struct trouble *known, const struct trouble *t)
{
	if (!known->time_ns || known->cause == CAUSE_REQUESTED ||
		!str_eq(known->invocation, t->invocation))
		return false;
	if (is_level(t)) {
		/* Of an invocation that has died, or has to go, nothing more needs to be known. */
		if (!is_level(known))
			return true;
		if (!known->present)
			return t->detected_ns <= known->detected_ns;
		return t->rule == known->rule && t->cause == known->cause;
	}
	if (is_level(known))
		return false;
	/* The same invocation can die only once. */
	if (known->present && t->by_systemd)
		known->by_systemd = true;
	return true;
}

bool policy_take_trouble(struct unit *u, const struct trouble *t, uint64_t now_ns)
{
	struct heal *h = &u->heal;
	uint64_t well_ns;

	if (is_known(&h->trouble, t))
		return false;
	/* While our own restart is under way, PID 1 may still report the state before it. */
	if (h->state == HEAL_STATE_ACT && str_eq(h->attempt.old_invocation, t->invocation))
		return false;
	if ((h->state == HEAL_STATE_IDLE || h->state == HEAL_STATE_CONFIRM) &&
		h->verified_since_ns) {
		well_ns = clock_since_ns(t->time_ns, h->verified_since_ns);
		h->backoff_step -=
			(uint32_t)MIN((uint64_t)h->backoff_step, well_ns / BACKOFF_GIVE_BACK_NS);
	}
	if (h->state == HEAL_STATE_PROBATION && h->attempt.number)
		h->backoff_step++; /* verified, and yet not well for long */
	h->trouble = *t;
	if (h->state != HEAL_STATE_VERIFY && h->state != HEAL_STATE_ACT) {
		h->state = HEAL_STATE_GATE;
		h->since_ns = now_ns;
	}
	h->wake_ns = now_ns;
	return true;
}

void policy_resume(
	struct unit *u, const struct incident *i, const struct attempt *last, uint64_t now_ns)
{
	struct heal *h = &u->heal;

	h->attempt = *last;
	/* The trouble itself was kept with the unit, unless mendd was killed just then. Its times
	 * are those of the failure: what was decided since is not refuted by it. */
	if (!h->trouble.present) {
		h->trouble = (struct trouble) { .present = true,
			.cause = i->cause,
			.rule = level_rule_of(i->cause),
			.time_ns = i->opened_ns,
			.detected_ns = i->detected_ns };
		str_copy(h->trouble.text, sizeof(h->trouble.text), i->summary);
		str_copy(
			h->trouble.invocation, sizeof(h->trouble.invocation), last->old_invocation);
	}
	level_restore(u, &h->trouble, now_ns);
	h->state = HEAL_STATE_GATE;
	h->since_ns = now_ns;
	h->wake_ns = TIME_INFINITY;
	if (last->number && last->verdict == VERDICT_NONE) {
		h->state = HEAL_STATE_ACT;
		h->attempt.job = JOB_UNKNOWN;
	}
}

static void log_restart(struct heal *h, uint64_t now_ns)
{
	h->restart_ns[h->n_restarts++ % RESTART_LOG_MAX] = now_ns;
}

static void begin_attempt(struct unit *u, const struct decision *d, uint64_t now_ns)
{
	struct heal *h = &u->heal;
	struct attempt *a = &h->attempt;

	*a = (struct attempt) {
		.number = a->number + 1,
		.action = ACTION_RESTART,
		.initiator = d->initiator,
		.decided_ns = now_ns,
		.manual = h->restart_asked,
	};
	str_copy(a->old_invocation, sizeof(a->old_invocation), h->trouble.invocation);
	if (d->verb == VERB_ADOPT) {
		a->job = JOB_DONE;
		a->sent_ns = a->done_ns = now_ns;
		str_copy(a->new_invocation, sizeof(a->new_invocation), u->facts.invocation);
	}
	if (u->levels)
		u->levels->before =
			traffic_since(u->http, clock_since_ns(now_ns, TRAFFIC_LOOKBACK_NS), now_ns);
	if (level_has_one_restart(h->trouble.rule)) {
		h->level_tried = true;
		h->level_restart_ns = now_ns;
	}
	h->restart_asked = false;
	h->verified_since_ns = 0;
	log_restart(h, now_ns);
	u->restarts[d->initiator]++;
	if (d->verb == VERB_ACT) {
		u->attempts++;
		if (*h->trouble.killer_key) {
			str_copy(h->last_killer_key, sizeof(h->last_killer_key),
				h->trouble.killer_key);
			h->last_killer_ns = h->trouble.time_ns;
		}
	}
}

static void end_attempt(struct unit *u, const struct decision *d, uint64_t now_ns)
{
	struct heal *h = &u->heal;

	h->attempt.verdict = d->verdict;
	u->verdicts[d->verdict]++;
	if (d->verdict == VERDICT_FIXED || d->verdict == VERDICT_FIXED_WEAK) {
		h->attempt.verified_ns = now_ns;
		h->attempt.up_ns = h->verified_since_ns;
		h->ever_verified = true;
		h->trouble.present = false;
		level_settle(u, now_ns);
		return;
	}
	h->verified_since_ns = 0;
	if (h->attempt.job != JOB_UNKNOWN || d->verdict != VERDICT_INCONCLUSIVE)
		h->backoff_step++; /* but not for what was never sent */
	if (h->attempt.job != JOB_DONE)
		u->attempt_failures++;
	/* Whatever PID 1 said before the attempt's end is no ground for the next one. */
	h->trouble.by_systemd = false;
	/* It runs and is not well: the invocation that has to go is the present one. */
	if ((d->verdict == VERDICT_NOT_FIXED || d->verdict == VERDICT_WORSE) &&
		h->attempt.job == JOB_DONE && unit_is_up(u))
		str_copy(h->trouble.invocation, sizeof(h->trouble.invocation), u->facts.invocation);
}

void policy_apply(struct unit *u, const struct decision *d, uint64_t now_ns)
{
	struct heal *h = &u->heal;

	switch (d->verb) {
	case VERB_ACT:
	case VERB_ADOPT:
		begin_attempt(u, d, now_ns);
		break;
	case VERB_CONCLUDE:
		end_attempt(u, d, now_ns);
		break;
	case VERB_CLOSE:
		h->trouble.present = false;
		h->restart_asked = false;
		level_settle(u, now_ns);
		break;
	default:
		break;
	}
	if (d->refusal != h->refusal && d->refusal != REFUSAL_NONE)
		u->refusals[d->refusal]++;
	h->refusal = d->refusal;
	if (h->state == HEAL_STATE_VERIFY && d->next == HEAL_STATE_VERIFY)
		h->verified_since_ns = !d->holds              ? 0
				       : h->verified_since_ns ? h->verified_since_ns
							      : now_ns;
	if (d->next == HEAL_STATE_IDLE) {
		h->attempt.number = 0; /* the next trouble is another incident */
		h->level_tried = false;
	}
	if (h->state == HEAL_STATE_ACT && d->next == HEAL_STATE_VERIFY &&
		h->attempt.job == JOB_UNKNOWN) {
		h->attempt.job = JOB_DONE;
		h->attempt.done_ns = now_ns;
	}
	if (h->state != d->next) {
		h->state = d->next;
		h->since_ns = now_ns;
	}
	h->wake_ns = d->wake_ns;
}
