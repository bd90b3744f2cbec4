/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules for what is sampled; see level.h. Each read_…() makes one sample, and says it in words.
 */
#include "level.h"
#include "../base/clock.h"
#include "../base/str.h"
#include "alert.h"
#include "cause.h"
#include "traffic.h"

#include <math.h>

/* Ticks are about a second apart: what began this little before a window belongs to it. */
#define TICK_SLACK_NS (500 * NSEC_PER_MSEC)
/* Resolved at half of the limit, and at 80 % of it: noise around the limit must not flap. */
#define ERRORS_GOOD .5
#define LATENCY_GOOD .8
/* The window of the quantile; a longer one where requests are rare. */
#define LATENCY_WINDOW_NS (5 * NSEC_PER_SEC)
#define LATENCY_LONG_NS (15 * NSEC_PER_SEC)
/* The 99th percentile of fewer answers is the slowest of them. */
#define LATENCY_MANY 20
/*
 * Clients that give up sooner than the limit leave no request behind that is old enough. Then it
 * counts that somebody was seen waiting in vain so many times, and lately. Not those who leave at
 * once: some load balancers do that all day, and a healthy service has no time to answer them.
 */
#define SILENT_SAMPLES 3
#define SILENT_WAIT_NS (500 * NSEC_PER_MSEC)
#define SILENT_LATELY_NS (5 * NSEC_PER_SEC)
/* A probe or check that has not been heard of for so many of its intervals says nothing. */
#define STALE_INTERVALS 3
/* What has queued up under pressure is worked off for so long after it: slow answers of that time
 * belong to the overload still. */
#define BACKLOG_NS (3 * NSEC_PER_SEC)
/* Statuses as the monitoring-plugins have them (MEND_OK … of the plugin interface). */
enum { STATUS_OK, STATUS_WARNING, STATUS_CRITICAL };

/* k of n as in HEALING: three of five seconds. A hang has waited long enough when it is one; probes
 * and checks count for themselves. */
static const struct terms terms[RULE_UNIT_COUNT] = {
	[RULE_HTTP_HANG] = { .bad = 1, .of = 1, .good = 3 },
	[RULE_PROBE] = { .bad = 1, .of = 1, .good = 1 },
	[RULE_HTTP_ERRORS] = { .bad = 3, .of = 5, .good = 5 },
	[RULE_HTTP_LATENCY] = { .bad = 3, .of = 5, .good = 5 },
	[RULE_CHECK] = { .bad = 1, .of = 1, .good = 1 },
};

static const enum cause causes[RULE_UNIT_COUNT] = {
	[RULE_HTTP_HANG] = CAUSE_HANG,
	[RULE_PROBE] = CAUSE_PROBE,
	[RULE_HTTP_ERRORS] = CAUSE_HTTP_ERRORS,
	[RULE_HTTP_LATENCY] = CAUSE_SLOW,
	[RULE_CHECK] = CAUSE_CHECK,
};

enum rule level_rule_of(enum cause cause)
{
	for (unsigned int i = RULE_HTTP_HANG; i < RULE_UNIT_COUNT; i++)
		if (causes[i] == cause)
			return (enum rule)i;
	return cause == CAUSE_OVERLOAD ? RULE_HTTP_LATENCY : RULE_UNIT_DOWN;
}

bool level_has_one_restart(enum rule r)
{
	return r == RULE_HTTP_ERRORS || r == RULE_HTTP_LATENCY;
}

static bool is_on(const struct unit_settings *s, enum rule r)
{
	switch (r) {
	case RULE_HTTP_HANG:
		return s->http != HTTP_MODE_NO && s->hang_after_ns;
	case RULE_HTTP_ERRORS:
		return s->http != HTTP_MODE_NO && s->http_error_ratio > 0;
	case RULE_HTTP_LATENCY:
		return s->http != HTTP_MODE_NO && s->http_latency_p99_ns;
	case RULE_PROBE:
		return *s->probe;
	case RULE_CHECK:
		return *s->check;
	default:
		return false;
	}
}

bool level_applies(const struct unit *u, enum rule r)
{
	return is_on(&u->settings, r) &&
	       (r == RULE_PROBE || r == RULE_CHECK || http_is_spoken(u->http));
}

/* --- what a rule sees ------------------------------------------------------------------------- */

_printf_(2, 3) static void say(struct reading *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(r->text, sizeof(r->text), format, ap);
	va_end(ap);
}

/* Of the ticks that have not been judged yet. */
static struct http_view recently(const struct unit *u)
{
	return http_view(u->http, http_seconds_since(u->http, u->levels->judged_ns));
}

static struct http_view within(const struct unit *u, uint64_t span_ns, uint64_t now_ns)
{
	return http_view(u->http,
		http_seconds_since(u->http, clock_since_ns(now_ns, span_ns + TICK_SLACK_NS)));
}

/*
 * Bad: within the window enough errors and a large enough share of them, and the seconds that are
 * new say so too: what is over is no reason to act. Seconds without answers are not looked at.
 */
static void read_errors(const struct unit *u, uint64_t now_ns, struct reading *r)
{
	const struct unit_settings *s = &u->settings;
	struct http_view fresh = recently(u), all;
	long long total;

	if (isnan(fresh.error_ratio))
		return;
	all = within(u, s->http_error_for_ns, now_ns);
	r->value = all.error_ratio;
	r->threshold = s->http_error_ratio;
	if (all.errors >= s->http_error_min && all.error_ratio >= s->http_error_ratio &&
		fresh.error_ratio >= s->http_error_ratio)
		r->sample = SAMPLE_BAD;
	else
		r->sample = all.error_ratio <= ERRORS_GOOD * s->http_error_ratio ? SAMPLE_GOOD
										 : SAMPLE_BETWEEN;
	total = all.errors ? llround((double)all.errors / all.error_ratio)
			   : (long long)all.answered;
	say(r, "%llu of %lld requests failed within %.0f s (%.1f %%, limit %.1f %%)",
		(unsigned long long)all.errors, total, all.span, 100 * all.error_ratio,
		100 * s->http_error_ratio);
}

/* As with errors, the new seconds have to say so too. */
static void read_latency(const struct unit *u, uint64_t now_ns, struct reading *r)
{
	uint64_t limit = u->settings.http_latency_p99_ns, window = LATENCY_WINDOW_NS, p99, n = 0;
	unsigned int seconds = http_seconds_since(u->http, u->levels->judged_ns);
	uint64_t fresh = http_quantile_ns(u->http, seconds, .99, &n);

	if (n == 0)
		return;
	if (within(u, window, now_ns).answered < LATENCY_MANY)
		window = LATENCY_LONG_NS;
	seconds = http_seconds_since(u->http, clock_since_ns(now_ns, window + TICK_SLACK_NS));
	p99 = http_quantile_ns(u->http, seconds, .99, &n);
	r->value = (double)p99 / 1e9;
	r->threshold = (double)limit / 1e9;
	r->sample = p99 > limit && fresh > limit                  ? SAMPLE_BAD
		    : (double)p99 <= LATENCY_GOOD * (double)limit ? SAMPLE_GOOD
								  : SAMPLE_BETWEEN;
	say(r, "the slowest percent of its answers takes %.0f ms to begin (limit %.0f ms, %llu answers)",
		(double)p99 / 1e6, (double)limit / 1e6, (unsigned long long)n);
}

/*
 * Since when requests have been coming without one answer being given. An answer ends it, whichever
 * request it belongs to: a request that takes long among others that are answered is no hang.
 */
static void follow_silence(struct unit *u, uint64_t now_ns)
{
	const struct http_state *h = u->http;
	uint64_t limit = u->settings.hang_after_ns;
	struct levels *l = u->levels;
	struct http_view fresh = recently(u);

	if (fresh.answered)
		l->answered = true;
	/* Nobody asks any more: what comes next begins anew. */
	if (fresh.answered ||
		(h->unanswered == 0 && clock_since_ns(now_ns, h->last_arrival_ns) >= limit)) {
		l->silent_since_ns = 0;
		l->silent_samples = 0;
	}
	if (l->silent_since_ns == 0) {
		/* What came before these seconds, in which answers were given, waits since then. */
		if (h->oldest_unanswered_ns)
			l->silent_since_ns =
				h->oldest_unanswered_ns >= l->judged_ns || !fresh.answered
					? h->oldest_unanswered_ns
					: now_ns;
		else if (fresh.started && !fresh.answered)
			l->silent_since_ns = l->judged_ns;
		/* Of another invocation, or of a time that nobody has seen: not counted. */
		l->silent_since_ns = l->silent_since_ns ? MAX(l->silent_since_ns, l->since_ns) : 0;
	}
	if (l->silent_since_ns && h->tick_ns > l->judged_ns && h->oldest_unanswered_ns &&
		clock_since_ns(now_ns, h->oldest_unanswered_ns) >= SILENT_WAIT_NS)
		l->silent_samples++;
}

static void read_hang(const struct unit *u, uint64_t now_ns, struct reading *r)
{
	const struct http_state *h = u->http;
	const struct levels *l = u->levels;
	uint64_t limit = u->settings.hang_after_ns;
	uint64_t silent = l->silent_since_ns ? clock_since_ns(now_ns, l->silent_since_ns) : 0;
	uint64_t waits =
		h->oldest_unanswered_ns ? clock_since_ns(now_ns, h->oldest_unanswered_ns) : 0;
	bool in_vain = l->silent_samples >= SILENT_SAMPLES &&
		       clock_since_ns(now_ns, h->last_arrival_ns) <= SILENT_LATELY_NS;

	if (recently(u).answered)
		r->sample = SAMPLE_GOOD;
	else if (silent >= limit && (waits >= limit || in_vain))
		r->sample = SAMPLE_BAD;
	else if (silent >= limit / 2 && (waits >= limit / 2 || in_vain))
		r->sample = SAMPLE_SUSPECT;
	else
		return; /* nobody asks, or nobody has waited for long */
	r->value = (double)silent / 1e9;
	r->threshold = (double)limit / 1e9;
	r->began_ns = l->silent_since_ns;
	if (r->sample == SAMPLE_GOOD)
		say(r, "it answers");
	else if (h->unanswered)
		say(r, "not one answer for %.1f s (limit %.1f s): %llu requests wait, %llu of them not even read",
			(double)silent / 1e9, (double)limit / 1e9,
			(unsigned long long)h->unanswered, (unsigned long long)h->unread);
	else
		say(r, "not one answer for %.1f s (limit %.1f s): clients come, wait and give up",
			(double)silent / 1e9, (double)limit / 1e9);
}

/* Results of a probe or a check; `a` remembers which one was judged already. */
struct result {
	int status;
	uint32_t in_row, failures;
	uint64_t time_ns, interval_ns;
	const char *what, *text;
};

static void read_result(const struct unit *u, const struct result *x, struct alert *a,
	uint64_t now_ns, struct reading *r)
{
	if (x->status < 0 || x->time_ns <= a->source_ns ||
		x->time_ns < u->facts.active_enter_usec * NSEC_PER_USEC ||
		clock_since_ns(now_ns, x->time_ns) > STALE_INTERVALS * x->interval_ns)
		return;
	a->source_ns = x->time_ns;
	r->value = x->status == STATUS_CRITICAL ? x->in_row : 0;
	r->threshold = x->failures;
	say(r, "%s: %s", x->what, x->text);
	switch (x->status) {
	case STATUS_OK: /* once may be luck */
		r->sample =
			x->in_row >= 2 || a->state != ALERT_FIRING ? SAMPLE_GOOD : SAMPLE_BETWEEN;
		break;
	case STATUS_WARNING:
		r->sample = SAMPLE_BETWEEN;
		break;
	case STATUS_CRITICAL:
		r->sample = x->in_row >= x->failures ? SAMPLE_BAD : SAMPLE_SUSPECT;
		break;
	default: /* it could not be asked: nothing is known */
		r->sample = SAMPLE_MISSING;
		break;
	}
}

static void read_probe(const struct unit *u, struct alert *a, uint64_t now_ns, struct reading *r)
{
	const struct result x = {
		.status = u->probe.status,
		.in_row = u->probe.in_row,
		.failures = u->settings.probe_failures,
		.time_ns = u->probe.time_ns,
		.interval_ns = u->settings.probe_interval_ns + u->settings.probe_timeout_ns,
		.what = "probe",
		.text = u->probe.text,
	};

	read_result(u, &x, a, now_ns, r);
}

static void read_check(const struct unit *u, struct alert *a, uint64_t now_ns, struct reading *r)
{
	const struct result x = {
		.status = u->check.status,
		.in_row = u->check.in_row,
		.failures = u->settings.check_failures,
		.time_ns = u->check.time_ns,
		.interval_ns = u->settings.check_interval_ns + u->settings.check_timeout_ns,
		.what = "check",
		.text = u->check.text,
	};

	read_result(u, &x, a, now_ns, r);
}

/* --- one unit --------------------------------------------------------------------------------- */

static void judge_rule(struct unit *u, enum rule rule, uint64_t now_ns)
{
	struct alert *a = &u->levels->alerts[rule];
	struct reading r = { .sample = SAMPLE_MISSING };
	struct terms t = terms[rule];

	if (!is_on(&u->settings, rule)) {
		alert_settle(a, now_ns);
		return;
	}
	if (level_applies(u, rule)) {
		switch (rule) {
		case RULE_HTTP_HANG:
			read_hang(u, now_ns, &r);
			break;
		case RULE_HTTP_ERRORS:
			read_errors(u, now_ns, &r);
			break;
		case RULE_HTTP_LATENCY:
			t.for_ns = u->settings.http_latency_for_ns;
			read_latency(u, now_ns, &r);
			break;
		case RULE_PROBE:
			read_probe(u, a, now_ns, &r);
			break;
		default:
			read_check(u, a, now_ns, &r);
			break;
		}
	}
	alert_step(a, &r, &t, now_ns);
}

/* What was seen of another invocation says nothing about this one. */
static void begin_invocation(struct unit *u, uint64_t now_ns)
{
	struct levels *l = u->levels;
	uint64_t started = MIN(u->facts.active_enter_usec * NSEC_PER_USEC, now_ns);

	/* Where it was watched when it came, what it did since then counts. */
	l->since_ns = *l->invocation ? MAX(started, l->judged_ns) : now_ns;
	l->judged_ns = l->since_ns;
	str_copy(l->invocation, sizeof(l->invocation), u->facts.invocation);
	l->answered = false;
	l->silent_since_ns = 0;
	l->silent_samples = 0;
	for (unsigned int i = 0; i < RULE_UNIT_COUNT; i++)
		alert_carry(&l->alerts[i], now_ns);
}

static bool has_source(const struct unit *u)
{
	return http_is_spoken(u->http) || *u->settings.probe || *u->settings.check;
}

/* Nothing has come since the last time, and nothing waits: the most frequent case by far. */
static bool is_quiet(const struct unit *u)
{
	const struct http_state *h = u->http;

	for (unsigned int i = 0; i < RULE_UNIT_COUNT; i++)
		if (u->levels->alerts[i].state != ALERT_INACTIVE)
			return false;
	return !*u->settings.probe && !*u->settings.check && u->levels->silent_since_ns == 0 &&
	       h->in_flight == 0 &&
	       MAX(h->last_arrival_ns, h->last_answer_ns) <= u->levels->judged_ns;
}

void level_judge(struct unit *u, uint64_t now_ns)
{
	struct levels *l = u->levels;

	if (!l && (!has_source(u) || !(l = unit_levels(u))))
		return;
	if (u->facts.active == ACTIVE_INACTIVE)
		level_settle(u, now_ns); /* nobody expects anything of it */
	/* While it is down or on its way, a level says nothing: deaths are judged elsewhere. */
	if (!unit_is_up(u) || u->heal.state == HEAL_STATE_ACT) {
		l->judged_ns = now_ns;
		return;
	}
	if (!str_eq(l->invocation, u->facts.invocation))
		begin_invocation(u, now_ns);
	if (http_is_spoken(u->http)) {
		if (is_quiet(u)) {
			l->judged_ns = u->http->tick_ns;
			return;
		}
		follow_silence(u, now_ns);
	}
	for (unsigned int i = RULE_HTTP_HANG; i < RULE_UNIT_COUNT; i++)
		judge_rule(u, (enum rule)i, now_ns);
	if (u->http)
		l->judged_ns = MAX(l->judged_ns, u->http->tick_ns);
	if (u->http && !level_is_active(u) && !u->heal.trouble.present &&
		u->heal.state != HEAL_STATE_VERIFY)
		traffic_learn(l, u->http, now_ns);
}

uint64_t level_wake_ns(const struct unit *u, uint64_t now_ns)
{
	const struct levels *l = u->levels;
	uint64_t limit = u->settings.hang_after_ns, wake;

	if (!l || !l->silent_since_ns || !level_applies(u, RULE_HTTP_HANG))
		return TIME_INFINITY;
	wake = l->silent_since_ns + limit;
	return wake > now_ns ? wake : TIME_INFINITY;
}

bool level_is_active(const struct unit *u)
{
	for (unsigned int i = RULE_HTTP_HANG; u->levels && i < RULE_UNIT_COUNT; i++)
		if (alert_is_active(&u->levels->alerts[i]))
			return true;
	return false;
}

enum rule level_gravest(const struct unit *u, enum alert_state state)
{
	for (unsigned int i = RULE_HTTP_HANG; u->levels && i < RULE_CHECK; i++)
		if (u->levels->alerts[i].state == state)
			return (enum rule)i;
	return RULE_UNIT_DOWN;
}

/* Errors and slow answers are what a busy host makes; that nothing at all is answered, or not even
 * a probe, takes more. */
static bool takes_starvation(enum rule r)
{
	return r == RULE_HTTP_HANG || r == RULE_PROBE;
}

bool level_is_pressed(const struct host_state *h, enum rule r)
{
	return takes_starvation(r) ? h->starved : h->pressed;
}

/* The host is the reason, or was, and nothing bad has been seen since that it does not explain. */
static bool is_overload(const struct unit *u, const struct host_state *h, enum rule r)
{
	const struct trouble *known = &u->heal.trouble;
	const struct alert *a = &u->levels->alerts[r];
	uint64_t end = takes_starvation(r) ? h->starved_end_ns : h->pressed_end_ns;

	if (level_is_pressed(h, r))
		return true;
	return known->present && known->rule == r && known->cause == CAUSE_OVERLOAD &&
	       !(a->calm == 0 && a->sampled_ns > end + BACKLOG_NS);
}

bool level_find(const struct unit *u, const struct world *w, struct trouble *ret)
{
	const struct levels *l = u->levels;
	const struct alert *a;
	enum rule rule = RULE_UNIT_DOWN;

	if (!l || !unit_is_up(u) || !str_eq(l->invocation, u->facts.invocation))
		return false;
	for (unsigned int i = RULE_CHECK - 1; i >= RULE_HTTP_HANG; i--)
		if (l->alerts[i].state == ALERT_FIRING && !l->alerts[i].carried &&
			!l->alerts[i].restored)
			rule = (enum rule)i;
	if (rule == RULE_UNIT_DOWN)
		return false;
	a = &l->alerts[rule];
	*ret = (struct trouble) {
		.present = true,
		.rule = rule,
		.cause = is_overload(u, &w->host, rule) ? CAUSE_OVERLOAD : causes[rule],
		.time_ns = a->began_ns,
		.detected_ns = a->confirmed_ns,
	};
	str_copy(ret->invocation, sizeof(ret->invocation), l->invocation);
	str_copy(ret->text, sizeof(ret->text), a->text);
	if (ret->cause == CAUSE_OVERLOAD) {
		size_t n = strlen(ret->text);

		snprintf(ret->text + n, sizeof(ret->text) - n, "; %s",
			host_alert(&w->host, RULE_HOST_PRESSURE)->text);
	}
	return true;
}

void level_settle(struct unit *u, uint64_t now_ns)
{
	for (unsigned int i = 0; u->levels && i < RULE_UNIT_COUNT; i++)
		alert_settle(&u->levels->alerts[i], now_ns);
	if (u->levels)
		u->levels->silent_since_ns = 0;
}

void level_restore(struct unit *u, const struct trouble *t, uint64_t now_ns)
{
	struct levels *l = t->rule == RULE_UNIT_DOWN ? NULL : unit_levels(u);
	struct alert *a = l ? &l->alerts[t->rule] : NULL;

	if (!a)
		return;
	str_copy(l->invocation, sizeof(l->invocation), t->invocation);
	l->since_ns = l->judged_ns = now_ns;
	*a = (struct alert) {
		.state = ALERT_FIRING,
		.since_ns = now_ns,
		.began_ns = t->time_ns,
		.confirmed_ns = t->detected_ns,
		.restored = true,
	};
	str_copy(a->text, sizeof(a->text), t->text);
}
