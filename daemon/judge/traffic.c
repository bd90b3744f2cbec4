/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Traffic: what is normal, and whether it is back; see traffic.h. */
#include "traffic.h"
#include "../base/clock.h"

#include <math.h>

/* The window that is looked at: long enough for a few answers, short enough to leave a start
 * behind.
 */
#define WINDOW_NS (5 * NSEC_PER_SEC)
/* A new sample for the baseline at most this often, and how much it weighs: a change of habits is
 * learned within minutes, a bad minute changes little. */
#define LEARN_EVERY_NS (5 * NSEC_PER_SEC)
#define LEARN_WEIGHT .1
/* Without HTTPErrorRatio=: what would be an alert by default. */
#define ERROR_RATIO .05
/* Caches are cold after a restart: up to so many times the usual, or this much more. */
#define SLOWER_TIMES 2
#define SLOWER_NS (100 * NSEC_PER_MSEC)
/* Worse: a quarter more of all requests fails, or answers take four times as long and it matters.
 */
#define WORSE_RATIO .25
#define WORSE_TIMES 4
#define WORSE_NS (500 * NSEC_PER_MSEC)

static struct traffic over(const struct http_state *s, unsigned int seconds)
{
	struct http_view v = http_view(s, seconds);

	return (struct traffic) {
		.answered = v.answered,
		.error_ratio = v.error_ratio,
		.p95_ns = http_quantile_ns(s, seconds, .95, NULL),
	};
}

struct traffic traffic_since(const struct http_state *s, uint64_t since_ns, uint64_t now_ns)
{
	uint64_t window = clock_since_ns(now_ns, WINDOW_NS);
	struct traffic t = over(s, http_seconds_since(s, MAX(since_ns, window)));

	return t.answered < TRAFFIC_ENOUGH ? over(s, http_seconds_since(s, since_ns)) : t;
}

void traffic_learn(struct levels *l, const struct http_state *s, uint64_t now_ns)
{
	struct traffic *b = &l->baseline, t;

	if (l->baseline_ns && clock_since_ns(now_ns, l->baseline_ns) < LEARN_EVERY_NS)
		return;
	t = traffic_since(s, clock_since_ns(now_ns, TRAFFIC_LOOKBACK_NS), now_ns);
	if (t.answered < TRAFFIC_ENOUGH)
		return;
	if (l->baseline_ns == 0) {
		*b = t;
	} else {
		b->answered += t.answered;
		b->error_ratio += LEARN_WEIGHT * (t.error_ratio - b->error_ratio);
		b->p95_ns +=
			(uint64_t)(int64_t)(LEARN_WEIGHT * ((double)t.p95_ns - (double)b->p95_ns));
	}
	l->baseline_ns = now_ns;
}

static double usual_ratio(const struct unit *u)
{
	return u->levels && u->levels->baseline_ns ? u->levels->baseline.error_ratio : 0;
}

bool traffic_fails(const struct unit *u, const struct traffic *now)
{
	double limit = u->settings.http_error_ratio;

	return now->error_ratio > usual_ratio(u) + (limit > 0 ? limit : ERROR_RATIO) / 2;
}

bool traffic_is_back(const struct unit *u, const struct traffic *now, char *ret_text, size_t size)
{
	const struct unit_settings *s = &u->settings;
	const struct levels *l = u->levels;
	uint64_t longest = UINT64_MAX;

	if (now->answered < TRAFFIC_ENOUGH) {
		snprintf(ret_text, size, "%llu of %d answers seen",
			(unsigned long long)now->answered, TRAFFIC_ENOUGH);
		return false;
	}
	if (l && l->baseline_ns)
		longest = MAX(l->baseline.p95_ns * SLOWER_TIMES, l->baseline.p95_ns + SLOWER_NS);
	if (s->http_latency_p99_ns)
		longest = MIN(longest, s->http_latency_p99_ns);
	if (traffic_fails(u, now)) {
		snprintf(ret_text, size, "%.1f %% of its answers are errors, %.1f %% is normal",
			100 * now->error_ratio, 100 * usual_ratio(u));
		return false;
	}
	if (now->p95_ns > longest) {
		snprintf(ret_text, size, "its answers take %.0f ms (p95), up to %.0f ms is normal",
			(double)now->p95_ns / 1e6, (double)longest / 1e6);
		return false;
	}
	snprintf(ret_text, size, "%llu requests answered, %.1f %% errors, p95 %.0f ms",
		(unsigned long long)now->answered, 100 * now->error_ratio,
		(double)now->p95_ns / 1e6);
	return true;
}

bool traffic_is_worse(const struct traffic *before, const struct traffic *now)
{
	if (before->answered < TRAFFIC_ENOUGH || now->answered < TRAFFIC_ENOUGH)
		return false;
	if (now->error_ratio >= before->error_ratio + WORSE_RATIO)
		return true;
	return now->p95_ns >= before->p95_ns * WORSE_TIMES &&
	       now->p95_ns >= before->p95_ns + WORSE_NS;
}
