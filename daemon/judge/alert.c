/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state machine of alerts; see alert.h. */
#include "alert.h"
#include "../base/clock.h"
#include "../base/str.h"

/* A suspicion of which nothing more was seen for so long was none. */
#define PENDING_PATIENCE_NS (60 * NSEC_PER_SEC)
/* "Resolved" is shown for so long to those who come and look. */
#define RESOLVED_SHOWN_NS (5 * 60 * NSEC_PER_SEC)

static void enter(struct alert *a, enum alert_state state, uint64_t now_ns)
{
	a->state = state;
	a->since_ns = now_ns;
	a->good = 0;
	a->calm = 0;
}

static void forget_samples(struct alert *a)
{
	a->bad = 0;
	a->calm = 0;
	a->good = 0;
}

static bool expire(struct alert *a, uint64_t now_ns)
{
	bool over = (a->state == ALERT_PENDING &&
			    clock_since_ns(now_ns, a->sampled_ns) >= PENDING_PATIENCE_NS) ||
		    (a->state == ALERT_RESOLVED &&
			    clock_since_ns(now_ns, a->since_ns) >= RESOLVED_SHOWN_NS);

	if (!over)
		return false;
	forget_samples(a);
	enter(a, ALERT_INACTIVE, now_ns);
	return true;
}

static void take(struct alert *a, const struct reading *r, const struct terms *t, uint64_t now_ns)
{
	unsigned int kept = (1U << t->of) - 1;

	a->sampled_ns = now_ns;
	a->value = r->value;
	a->threshold = r->threshold;
	str_copy(a->text, sizeof(a->text), r->text);
	a->bad = (uint8_t)(((a->bad << 1) | (r->sample == SAMPLE_BAD)) & kept);
	if (r->sample >= SAMPLE_SUSPECT)
		a->calm = 0;
	else if (a->calm < UINT8_MAX)
		a->calm++;
	if (r->sample != SAMPLE_GOOD)
		a->good = 0;
	else if (a->good < UINT8_MAX)
		a->good++;
}

static void step_pending(struct alert *a, const struct terms *t, uint64_t now_ns)
{
	if (__builtin_popcount(a->bad) >= t->bad &&
		clock_since_ns(now_ns, a->pending_ns) >= t->for_ns) {
		enter(a, ALERT_FIRING, now_ns);
		a->confirmed_ns = now_ns;
		a->carried = false;
		a->restored = false;
	} else if (a->calm > t->of - t->bad) {
		/* so many that the last ones cannot hold enough bad samples any more */
		forget_samples(a);
		enter(a, ALERT_INACTIVE, now_ns);
	}
}

static void step_firing(struct alert *a, const struct terms *t, uint64_t now_ns)
{
	if (__builtin_popcount(a->bad) >= t->bad) {
		/* In a new invocation it has to last as long as the first time. */
		if (a->carried && clock_since_ns(now_ns, a->pending_ns) < t->for_ns)
			return;
		if (a->carried)
			a->confirmed_ns = now_ns;
		a->carried = false;
		a->restored = false;
	} else if (a->good >= t->good) {
		forget_samples(a);
		enter(a, ALERT_RESOLVED, now_ns);
	}
}

bool alert_step(struct alert *a, const struct reading *r, const struct terms *t, uint64_t now_ns)
{
	enum alert_state before = a->state;

	if (r->sample == SAMPLE_MISSING)
		return expire(a, now_ns);
	take(a, r, t, now_ns);
	switch (a->state) {
	case ALERT_FIRING:
		step_firing(a, t, now_ns);
		break;
	case ALERT_PENDING:
		step_pending(a, t, now_ns);
		break;
	default:
		if (r->sample < SAMPLE_SUSPECT) {
			expire(a, now_ns);
			break;
		}
		enter(a, ALERT_PENDING, now_ns);
		a->pending_ns = now_ns;
		a->began_ns = r->began_ns ? r->began_ns : now_ns;
		step_pending(a, t, now_ns);
		break;
	}
	return a->state != before;
}

void alert_carry(struct alert *a, uint64_t now_ns)
{
	forget_samples(a);
	if (a->state == ALERT_PENDING)
		enter(a, ALERT_INACTIVE, now_ns);
	a->carried = a->state == ALERT_FIRING;
	if (a->carried)
		a->pending_ns = now_ns;
}

void alert_settle(struct alert *a, uint64_t now_ns)
{
	forget_samples(a);
	a->carried = false;
	a->restored = false;
	if (a->state == ALERT_FIRING)
		enter(a, ALERT_RESOLVED, now_ns);
	else if (a->state == ALERT_PENDING)
		enter(a, ALERT_INACTIVE, now_ns);
}
