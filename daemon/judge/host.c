/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host as a reason for what is seen of its units; see host.h. */
#include "host.h"
#include "../base/clock.h"
#include "../base/str.h"
#include "alert.h"
#include "cause.h"
#include "level.h"

/*
 * Percent of the last ten seconds in which some task waited. A processor that is used well has
 * tasks waiting half of the time; memory and disk are another matter: who waits for memory a fifth
 * of the time does little else. "Starved" is what no service can be expected to answer under.
 * Lower limits end it, so that it does not flap.
 */
static const struct pressure pressed_from = { .cpu = 60, .memory = 20, .io = 50 };
static const struct pressure pressed_to = { .cpu = 40, .memory = 10, .io = 30 };
static const struct pressure starved_from = { .cpu = 95, .memory = 40, .io = 80 };
static const struct pressure starved_to = { .cpu = 80, .memory = 25, .io = 60 };
/* A reading older than this says nothing of the present. */
#define PRESSURE_STALE_NS (15 * NSEC_PER_SEC)
/* The kernel's average needs nine seconds to pass 60 % where everything waits, and thirty to pass
 * 95 %; alerts are faster than that. This one follows within two, and six. */
#define FRESH_NS (1500 * NSEC_PER_MSEC)
/* Between readings as close as this lies nothing but chance. */
#define WAITS_LEAST_NS (100 * NSEC_PER_MSEC)

/* A sleep shorter than this is a difference between two readings of the clocks. */
#define SLEPT_NS (NSEC_PER_SEC)

/* HEALING: at least max(3, 30 %) of the units that are judged, within 30 s. */
#define CORRELATED_LEAST 3
#define CORRELATED_PERCENT 30
#define CORRELATED_NS (30 * NSEC_PER_SEC)

/* Some ten seconds of calm end either. */
static const struct terms terms = { .bad = 1, .of = 1, .good = 10 };

void host_note_clocks(struct host_state *h, uint64_t monotonic_ns, uint64_t boottime_ns)
{
	uint64_t asleep = clock_since_ns(boottime_ns, monotonic_ns);

	if (h->clocks_ns && asleep > h->asleep_ns + SLEPT_NS)
		h->resumed_ns = monotonic_ns;
	h->asleep_ns = asleep;
	h->clocks_ns = monotonic_ns;
}

uint64_t host_grace_end_ns(const struct host_state *h, uint64_t now_ns)
{
	/* Monotonic time begins with the boot. */
	uint64_t end = HOST_GRACE_NS;

	if (h->resumed_ns)
		end = MAX(end, h->resumed_ns + HOST_GRACE_NS);
	return MIN(end, now_ns + HOST_GRACE_NS);
}

static bool exceeds(const struct pressure *p, const struct pressure *limit)
{
	return p->cpu >= limit->cpu || p->memory >= limit->memory || p->io >= limit->io;
}

static void follow_waits(double *share, double before, double now, double seconds)
{
	double latest = MIN(100 * MAX(now - before, 0) / seconds, 100);

	*share += (latest - *share) * seconds / (seconds + (double)FRESH_NS / 1e9);
}

void host_note_waits(struct host_state *h, const struct pressure *seconds,
	const struct pressure *average, uint64_t now_ns)
{
	uint64_t since = clock_since_ns(now_ns, h->waits_ns);
	double span = (double)since / 1e9;

	if (h->waits_ns && since < WAITS_LEAST_NS)
		return;
	if (h->waits_ns && since <= PRESSURE_STALE_NS) {
		follow_waits(&h->fresh.cpu, h->waits.cpu, seconds->cpu, span);
		follow_waits(&h->fresh.memory, h->waits.memory, seconds->memory, span);
		follow_waits(&h->fresh.io, h->waits.io, seconds->io, span);
	} else {
		h->fresh = *average;
	}
	h->waits = *seconds;
	h->waits_ns = now_ns;
}

static void set(bool *state, bool now, uint64_t *end_ns, uint64_t now_ns)
{
	if (*state && !now)
		*end_ns = now_ns;
	*state = now;
}

void host_note_pressure(struct host_state *h, const struct pressure *p, uint64_t now_ns)
{
	if (!p) {
		h->pressure_ns = 0;
		set(&h->pressed, false, &h->pressed_end_ns, now_ns);
		set(&h->starved, false, &h->starved_end_ns, now_ns);
		return;
	}
	/* Whichever is higher: it comes soon, and stays a little. */
	h->pressure = (struct pressure) {
		.cpu = MAX(p->cpu, h->fresh.cpu),
		.memory = MAX(p->memory, h->fresh.memory),
		.io = MAX(p->io, h->fresh.io),
	};
	h->pressure_ns = now_ns;
	set(&h->pressed, exceeds(&h->pressure, h->pressed ? &pressed_to : &pressed_from),
		&h->pressed_end_ns, now_ns);
	set(&h->starved, exceeds(&h->pressure, h->starved ? &starved_to : &starved_from),
		&h->starved_end_ns, now_ns);
}

bool host_wants_pressure(const struct world *w)
{
	size_t cursor = 0;
	struct unit *u;

	if (host_alert(&w->host, RULE_HOST_PRESSURE)->state == ALERT_FIRING)
		return true;
	while ((u = hash_next(&w->units, &cursor)))
		if (level_is_active(u))
			return true;
	return false;
}

/* --- many at once ----------------------------------------------------------------------------- */

/* What the bad units have in common, as far as it is known here. */
struct common {
	const struct unit *first; /* borrowed */
	size_t n;
	size_t slice;    /* length of the path that all share, with its last slash */
	size_t template; /* length of "name@" that all share, 0: none */
	enum rule rule;  /* that all are bad by; RULE_UNIT_DOWN: several */
};

static size_t slice_of(const struct unit *u)
{
	const char *slash = strrchr(u->facts.cgroup, '/');

	return slash ? (size_t)(slash - u->facts.cgroup) + 1 : 0;
}

static size_t template_of(const struct unit *u)
{
	const char *at = strchr(u->name, '@');

	return at ? (size_t)(at - u->name) + 1 : 0;
}

static enum rule rule_of(const struct unit *u)
{
	enum rule r = level_gravest(u, ALERT_FIRING);

	return r == RULE_UNIT_DOWN ? level_gravest(u, ALERT_PENDING) : r;
}

static void join(struct common *c, const struct unit *u)
{
	if (c->n++ == 0) {
		c->first = u;
		c->slice = slice_of(u);
		c->template = template_of(u);
		c->rule = rule_of(u);
		return;
	}
	if (slice_of(u) != c->slice ||
		strncmp(u->facts.cgroup, c->first->facts.cgroup, c->slice) != 0)
		c->slice = 0;
	if (template_of(u) != c->template || strncmp(u->name, c->first->name, c->template) != 0)
		c->template = 0;
	if (rule_of(u) != c->rule)
		c->rule = RULE_UNIT_DOWN;
}

static bool requires(const struct unit *u, const char *name)
{
	for (size_t i = 0; i < u->n_dependencies; i++)
		if (str_eq(u->dependencies[i], name))
			return true;
	return str_eq(u->name, name); /* the dependency itself may be among them */
}

static bool is_down_lately(const struct unit *u, uint64_t now_ns)
{
	const struct trouble *t = &u->heal.trouble;

	return t->present && t->rule == RULE_UNIT_DOWN && t->cause != CAUSE_REQUESTED &&
	       clock_since_ns(now_ns, t->detected_ns) < CORRELATED_NS;
}

/* Bad by a level; `lately`: since the last half minute, or not decided yet. */
static bool is_bad(const struct unit *u, uint64_t now_ns, bool lately)
{
	enum rule r = level_gravest(u, ALERT_FIRING);
	const struct alert *a;

	if (r == RULE_UNIT_DOWN)
		return level_gravest(u, ALERT_PENDING) != RULE_UNIT_DOWN;
	a = &u->levels->alerts[r];
	return !lately || clock_since_ns(now_ns, a->since_ns) < CORRELATED_NS ||
	       clock_since_ns(now_ns, a->pending_ns) < CORRELATED_NS;
}

static bool is_judged(const struct unit *u)
{
	for (unsigned int i = RULE_HTTP_HANG; i < RULE_CHECK; i++)
		if (level_applies(u, (enum rule)i))
			return u->facts.active == ACTIVE_ACTIVE;
	return false;
}

struct census {
	uint32_t judged, bad;
	bool fires;                 /* at least one is more than a suspicion */
	bool slice_means_something; /* some other that is judged is in another one */
	struct common common;
};

static bool counts(const struct unit *u, uint64_t now_ns, bool lately)
{
	return is_bad(u, now_ns, lately) || is_down_lately(u, now_ns);
}

bool host_counts(const struct unit *u, uint64_t now_ns)
{
	return counts(u, now_ns, true);
}

static void take_census(const struct world *w, uint64_t now_ns, bool lately, struct census *c)
{
	size_t cursor = 0;
	struct unit *u;

	*c = (struct census) {};
	while ((u = hash_next(&w->units, &cursor))) {
		bool bad = counts(u, now_ns, lately);

		c->judged += bad || is_judged(u);
		c->bad += bad;
		c->fires = c->fires || level_gravest(u, ALERT_FIRING) != RULE_UNIT_DOWN;
		if (bad)
			join(&c->common, u);
	}
	cursor = 0;
	while (c->common.slice && (u = hash_next(&w->units, &cursor)))
		if (is_judged(u) && strncmp(u->facts.cgroup, c->common.first->facts.cgroup,
					    c->common.slice) != 0)
			c->slice_means_something = true;
}

/* A unit that all the bad ones require, the first of its dependencies for which that is so. */
static const char *shared_dependency(
	const struct world *w, const struct census *c, uint64_t now_ns, bool lately)
{
	const struct unit *first = c->common.first;

	for (size_t i = 0; first && i < first->n_dependencies; i++) {
		size_t cursor = 0, n = 0;
		struct unit *u;

		while ((u = hash_next(&w->units, &cursor)))
		n += counts(u, now_ns, lately) && requires(u, first->dependencies[i]);
		/* What everything requires explains nothing. */
		if (n == c->bad && str_has_suffix(first->dependencies[i], ".service"))
			return first->dependencies[i];
	}
	return NULL;
}

static void describe(const struct world *w, const struct census *c, uint64_t now_ns, bool lately,
	char *ret, size_t size)
{
	const struct common *k = &c->common;
	const char *dependency = shared_dependency(w, c, now_ns, lately);
	int n = snprintf(ret, size, "%u of %u units went bad within %d s%s%s; ", c->bad, c->judged,
		(int)(CORRELATED_NS / NSEC_PER_SEC), k->rule != RULE_UNIT_DOWN ? ", all by " : "",
		k->rule != RULE_UNIT_DOWN ? rule_word(k->rule) : "");

	if (n < 0 || (size_t)n >= size)
		return;
	ret += n;
	size -= (size_t)n;
	if (w->host.pressed)
		snprintf(ret, size, "%s", host_alert(&w->host, RULE_HOST_PRESSURE)->text);
	else if (dependency)
		snprintf(ret, size, "all require %s", dependency);
	else if (k->template)
		snprintf(ret, size, "all are instances of %.*s", (int)k->template, k->first->name);
	else if (k->slice && c->slice_means_something)
		snprintf(ret, size, "all are in %.*s", (int)k->slice, k->first->facts.cgroup);
	else
		snprintf(ret, size, "nothing else is known that they have in common");
}

static void judge_correlation(struct world *w, uint64_t now_ns)
{
	struct alert *a = &w->host.alerts[RULE_CORRELATED - RULE_UNIT_COUNT];
	bool fires = a->state == ALERT_FIRING;
	struct reading r = { .sample = SAMPLE_GOOD };
	struct census c;
	uint32_t least;

	take_census(w, now_ns, !fires, &c);
	w->host.n_bad = c.bad;
	w->host.n_judged = c.judged;
	/* rounded up: 30 % of 11 are 4 */
	least = MAX((uint32_t)CORRELATED_LEAST, (c.judged * CORRELATED_PERCENT + 99) / 100);
	if (c.bad >= least && (fires || c.fires))
		r.sample = SAMPLE_BAD;
	r.value = c.bad;
	r.threshold = least;
	if (r.sample == SAMPLE_BAD && !fires)
		describe(w, &c, now_ns, true, r.text, sizeof(r.text));
	else
		str_copy(r.text, sizeof(r.text), a->text);
	alert_step(a, &r, &terms, now_ns);
}

static void judge_pressure(struct world *w, bool fires, uint64_t now_ns)
{
	struct host_state *h = &w->host;
	struct alert *a = &h->alerts[RULE_HOST_PRESSURE - RULE_UNIT_COUNT];
	struct reading r = { .sample = SAMPLE_MISSING };

	if (h->pressure_ns && clock_since_ns(now_ns, h->pressure_ns) > PRESSURE_STALE_NS)
		host_note_pressure(h, NULL, now_ns);
	if (h->pressure_ns) {
		/* A host that is busy while all its services are well is used, and that is all. */
		r.sample = h->pressed && (fires || a->state == ALERT_FIRING) ? SAMPLE_BAD
									     : SAMPLE_GOOD;
		r.value = MAX(h->pressure.cpu, MAX(h->pressure.memory, h->pressure.io)) / 100;
		snprintf(r.text, sizeof(r.text),
			"the host is %s: tasks wait for processors %.0f %%, for memory %.0f %%, for disks "
			"%.0f %% of the time",
			h->pressed ? "overloaded" : "not overloaded", h->pressure.cpu,
			h->pressure.memory, h->pressure.io);
	}
	alert_step(a, &r, &terms, now_ns);
}

/* Nothing to wait for: a file is right or it is not. */
static void judge_config(struct world *w, uint64_t now_ns)
{
	static const struct terms at_once = { .bad = 1, .of = 1, .good = 1 };
	struct alert *a = &w->host.alerts[RULE_CONFIG - RULE_UNIT_COUNT];
	struct reading r = { .sample = w->settings_ok ? SAMPLE_GOOD : SAMPLE_BAD };

	str_copy(r.text, sizeof(r.text), w->settings_ok ? "no mistakes" : w->settings_error);
	alert_step(a, &r, &at_once, now_ns);
}

void host_judge(struct world *w, uint64_t now_ns)
{
	bool active = false, fires = false;
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&w->units, &cursor))) {
		active = active || level_is_active(u);
		fires = fires || level_gravest(u, ALERT_FIRING) != RULE_UNIT_DOWN;
	}
	judge_pressure(w, fires, now_ns);
	judge_config(w, now_ns);
	if (active || host_alert(&w->host, RULE_CORRELATED)->state != ALERT_INACTIVE)
		judge_correlation(w, now_ns);
}
