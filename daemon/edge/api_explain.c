/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What mendd would do with a unit at this moment, as JSON: the same decision that the manager would
 * perform, asked for and thrown away. policy_decide() changes nothing.
 */
#include "../judge/level.h"
#include "api_internal.h"
#include "../judge/budget.h"

#include <inttypes.h>
#include <math.h>

static const char *verb_word(enum verb v)
{
	static const char *const words[] = {
		[VERB_NONE] = "none",
		[VERB_WAIT] = "wait",
		[VERB_ACT] = "act",
		[VERB_ADOPT] = "adopt",
		[VERB_CONCLUDE] = "conclude",
		[VERB_CLOSE] = "close",
	};

	return (size_t)v < ARRAY_SIZE(words) ? words[v] : "unknown";
}

static void add_string(struct strbuf *b, const char *key, const char *value)
{
	strbuf_addf(b, ",\"%s\":\"", key);
	strbuf_add_json(b, value);
	strbuf_add(b, "\"");
}

/* Microseconds of the wall clock, null for "never". */
static void add_time(struct strbuf *b, const char *key, uint64_t ns)
{
	uint64_t usec = wall_usec(ns);

	if (usec == 0 || usec == TIME_INFINITY)
		strbuf_addf(b, ",\"%s\":null", key);
	else
		strbuf_addf(b, ",\"%s\":%" PRIu64, key, usec);
}

static void add_trouble(struct strbuf *b, const struct trouble *t)
{
	if (!t->present) {
		strbuf_add(b, ",\"trouble\":null");
		return;
	}
	strbuf_add(b, ",\"trouble\":{\"present\":true");
	add_string(b, "cause", cause_word(t->cause));
	add_string(b, "rule", rule_word(t->rule));
	add_string(b, "text", t->text);
	add_string(b, "invocation", t->invocation);
	add_time(b, "time_usec", t->time_ns);
	add_time(b, "detected_usec", t->detected_ns);
	strbuf_add(b, "}");
}

/* A number of JSON: there is none for "not known". */
static void add_value(struct strbuf *b, const char *key, double value)
{
	if (isfinite(value))
		strbuf_addf(b, ",\"%s\":%.6g", key, value);
	else
		strbuf_addf(b, ",\"%s\":null", key);
}

/* All rules that look at this unit, also those that see nothing bad. */
static void add_alerts(struct strbuf *b, const struct unit *u)
{
	const char *comma = "";

	strbuf_add(b, ",\"alerts\":[");
	for (unsigned int i = RULE_HTTP_HANG; i < RULE_UNIT_COUNT; i++) {
		const struct alert *a = u->levels ? &u->levels->alerts[i] : NULL;
		enum alert_state state = unit_alert_state(u, (enum rule)i);

		if (state == ALERT_INACTIVE && !level_applies(u, (enum rule)i))
			continue;
		strbuf_addf(b, "%s{\"rule\":\"%s\"", comma, rule_word((enum rule)i));
		comma = ",";
		add_string(b, "state", alert_state_word(state));
		add_time(b, "since_usec", a ? a->since_ns : 0);
		add_value(b, "value", a ? a->value : NAN);
		add_value(b, "threshold", a ? a->threshold : NAN);
		add_string(b, "text", a ? a->text : "");
		strbuf_add(b, "}");
	}
	strbuf_add(b, "]");
}

static void add_attempt(struct strbuf *b, const struct attempt *t)
{
	if (t->number == 0) {
		strbuf_add(b, ",\"attempt\":null");
		return;
	}
	strbuf_addf(b, ",\"attempt\":{\"number\":%" PRIu32 ",\"manual\":%s", t->number,
		t->manual ? "true" : "false");
	add_string(b, "action", action_word(t->action));
	add_string(b, "initiator", initiator_word(t->initiator));
	add_string(b, "verdict", verdict_word(t->verdict));
	add_string(b, "error", t->error);
	add_time(b, "decided_usec", t->decided_ns);
	add_time(b, "sent_usec", t->sent_ns);
	add_time(b, "done_usec", t->done_ns);
	add_time(b, "up_usec", t->up_ns);
	add_time(b, "verified_usec", t->verified_ns);
	strbuf_add(b, "}");
}

static void add_decision(struct strbuf *b, const struct decision *d)
{
	strbuf_addf(b, ",\"decision\":{\"verb\":\"%s\"", verb_word(d->verb));
	add_string(b, "next_state", heal_state_word(d->next));
	add_string(b, "action", action_word(d->action));
	add_string(b, "initiator", initiator_word(d->initiator));
	add_string(b, "refusal", refusal_word(d->refusal));
	add_string(b, "refusal_text", d->refusal == REFUSAL_NONE ? "" : refusal_text(d->refusal));
	add_string(b, "verdict", verdict_word(d->verdict));
	add_time(b, "wake_usec", d->wake_ns);
	add_string(b, "text", d->text);
	strbuf_add(b, "}");
}

static void add_budget(struct strbuf *b, const struct unit *u, uint64_t now_ns)
{
	struct budget w[BUDGET_WINDOWS + 1];
	size_t systemd, n = budget_windows(u, w, &systemd);

	strbuf_add(b, ",\"budget\":[");
	for (size_t i = 0; i < n; i++)
		strbuf_addf(b,
			"%s{\"used\":%" PRIu32 ",\"count\":%" PRIu32 ",\"window_usec\":%" PRIu64
			",\"of\":\"%s\"}",
			i ? "," : "", budget_used(&u->heal, w[i].window_ns, now_ns), w[i].count,
			w[i].window_ns / NSEC_PER_USEC, i < systemd ? "settings" : "systemd");
	strbuf_add(b, "]");
}

void explain_to_json(const struct unit *u, const struct world *w, struct strbuf *b)
{
	uint64_t now = clock_monotonic_ns();
	struct decision d = policy_decide(u, w, now);

	strbuf_add(b, "{\"unit\":\"");
	strbuf_add_json(b, u->name);
	strbuf_add(b, "\"");
	add_string(b, "health", health_word(u->health));
	add_string(b, "health_reason", u->health_reason);
	add_string(b, "mode", heal_mode_word(u->settings.heal));
	add_string(b, "state", heal_state_word(u->heal.state));
	add_time(b, "since_usec", u->heal.since_ns);
	strbuf_addf(b, ",\"denied\":%s", policy_denies(u) ? "true" : "false");
	strbuf_addf(b, ",\"budget_remaining\":%" PRIu32, policy_budget_remaining(u, now));
	add_budget(b, u, now);
	strbuf_addf(b, ",\"backoff_step\":%" PRIu32, u->heal.backoff_step);
	add_string(b, "incident", u->incident ? u->incident->id : "");
	add_trouble(b, &u->heal.trouble);
	add_alerts(b, u);
	add_attempt(b, &u->heal.attempt);
	add_decision(b, &d);
	strbuf_add(b, "}");
}
