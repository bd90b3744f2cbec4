/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Telling: every record that goes to the sinks is built here, with its evidence as fields. A
 * message begins with the unit and is one sentence that a person understands at 3 a.m.
 */
#include "manager.h"
#include "base/clock.h"

#include <stdarg.h>
#include <systemd/sd-daemon.h>

enum {
	FIELDS_MAX = 40,
	FIELD_TEXT = 8192, /* all values of one record together */
};

struct record {
	struct mend_field fields[FIELDS_MAX];
	uint32_t n;
	char text[FIELD_TEXT];
	size_t used;
};

_printf_(3, 4) static void add(struct record *r, const char *key, const char *format, ...)
{
	size_t room = sizeof(r->text) - r->used;
	va_list ap;
	int n;

	if (r->n == FIELDS_MAX)
		return;
	va_start(ap, format);
	n = vsnprintf(r->text + r->used, room, format, ap);
	va_end(ap);
	if (n <= 0 || (size_t)n >= room)
		return; /* an empty field says nothing; one that is cut off would say something
			   wrong */
	r->fields[r->n++] = (struct mend_field) { .key = key, .value = r->text + r->used };
	r->used += (size_t)n + 1;
}

static void add_death(struct record *r, const struct death *d)
{
	if (d->time_ns == 0)
		return;
	add(r, "MENDD_EXIT_PID", "%d", (int)d->pid);
	add(r, "MENDD_EXIT_COMM", "%s", d->comm);
	if (d->signal)
		add(r, "MENDD_EXIT_SIGNAL", "%s", signal_name(d->signal));
	else
		add(r, "MENDD_EXIT_STATUS", "%d", d->code);
	add(r, "MENDD_EXIT_CODE", "%s",
		d->signal ? d->core_dumped ? "dumped" : "killed" : "exited");
	add(r, "MENDD_KILLER", "%s", killer_word(d->killer));
	if (d->killer != KILLER_PROCESS)
		return;
	add(r, "MENDD_KILLER_PID", "%d", (int)d->killer_pid);
	add(r, "MENDD_KILLER_COMM", "%s", d->killer_comm);
	add(r, "MENDD_KILLER_UID", "%u", (unsigned int)d->killer_uid);
	add(r, "MENDD_KILLER_UNIT", "%s", d->killer_unit);
}

static void add_usec(struct record *r, const char *key, uint64_t ns)
{
	if (ns != UINT64_MAX)
		add(r, key, "%llu", (unsigned long long)(ns / NSEC_PER_USEC));
}

static void add_http(struct record *r, const struct http_record *h)
{
	char target[HTTP_LINE + 8];

	http_record_target(h, target, sizeof(target));
	add(r, "MENDD_HTTP_METHOD", "%s", http_method_word((enum http_method)h->method));
	add(r, "MENDD_HTTP_TARGET", "%s", target);
	if (h->status)
		add(r, "MENDD_HTTP_STATUS", "%u", h->status);
	add_usec(r, "MENDD_HTTP_FIRST_BYTE_USEC", h->first_byte_ns);
	add_usec(r, "MENDD_HTTP_QUEUE_USEC", h->queue_ns);
	add(r, "MENDD_HTTP_TRACE_ID", "%.*s", (int)sizeof(h->trace_id), h->trace_id);
}

static void add_rule(struct record *r, const struct unit *u, enum rule rule)
{
	add(r, "MENDD_RULE", "%s", rule_word(rule));
	if (rule == RULE_UNIT_DOWN || !u->levels)
		return;
	add(r, "MENDD_VALUE", "%g", u->levels->alerts[rule].value);
	add(r, "MENDD_THRESHOLD", "%g", u->levels->alerts[rule].threshold);
	if ((rule == RULE_HTTP_ERRORS || rule == RULE_HTTP_LATENCY) && u->http &&
		u->http->example.time_ns)
		add_http(r, &u->http->example);
}

static void add_incident(struct record *r, const struct unit *u)
{
	const struct heal *h = &u->heal;
	const struct attempt *a = &h->attempt;
	const struct incident *i = u->incident;

	add(r, "MENDD_HEAL_STATE", "%s", heal_state_word(h->state));
	if (h->refusal != REFUSAL_NONE)
		add(r, "MENDD_REFUSAL", "%s", refusal_word(h->refusal));
	if (!i)
		return;
	add(r, "MENDD_INCIDENT_ID", "%s", i->id);
	add(r, "MENDD_CAUSE", "%s", cause_word(i->cause));
	add_rule(r, u, h->trouble.rule);
	add(r, "MENDD_DETECT_USEC", "%llu",
		(unsigned long long)((i->detected_ns - i->opened_ns) / NSEC_PER_USEC));
	add_death(r, &i->death);
	if (!a->number)
		return;
	add(r, "MENDD_ACTION", "%s", action_word(a->action));
	add(r, "MENDD_ATTEMPT", "%u", a->number);
	if (a->sent_ns > i->opened_ns)
		add(r, "MENDD_ACT_USEC", "%llu",
			(unsigned long long)((a->sent_ns - h->trouble.time_ns) / NSEC_PER_USEC));
	if (a->verdict != VERDICT_NONE)
		add(r, "MENDD_VERDICT", "%s", verdict_word(a->verdict));
	if (a->verified_ns)
		add(r, "MENDD_RECOVERY_USEC", "%llu",
			(unsigned long long)((a->verified_ns - i->opened_ns) / NSEC_PER_USEC));
}

static void emit(struct manager *m, struct record *r, const char *unit, enum message_kind kind,
	int priority, const char *message)
{
	struct mend_record record = {
		.size = sizeof(record),
		.priority = priority,
		.time_ns = clock_monotonic_ns(),
		.kind = message_kind_word(kind),
		.unit = unit,
		.message = message,
		.fields = r->fields,
		.n_fields = r->n,
	};

	plugin_host_emit(m->plugins, &record);
}

void manager_tell_unit(struct manager *m, const struct unit *u, enum message_kind kind,
	int priority, const char *format, ...)
{
	struct record r = { .n = 0 };
	char message[640];
	va_list ap;
	int n;

	n = snprintf(message, sizeof(message), "%s: ", u->name);
	va_start(ap, format);
	vsnprintf(message + n, sizeof(message) - (size_t)n, format, ap);
	va_end(ap);
	add_incident(&r, u);
	emit(m, &r, u->name, kind, priority, message);
}

void manager_tell_alert(struct manager *m, const struct unit *u, enum rule rule,
	enum message_kind kind, int priority, const char *text)
{
	struct record r = { .n = 0 };
	char message[640];

	snprintf(message, sizeof(message), "%s: %s%s: %s", u->name,
		kind == MESSAGE_ALERT_RESOLVED ? "over: " : "", rule_word(rule), text);
	add_rule(&r, u, rule);
	emit(m, &r, u->name, kind, priority, message);
}

void manager_tell_host(
	struct manager *m, enum message_kind kind, int priority, const char *format, ...)
{
	struct record r = { .n = 0 };
	char message[640];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	emit(m, &r, NULL, kind, priority, message);
}

void manager_tell_helper(struct manager *m, const struct unit *u, const struct death *d)
{
	struct record r = { .n = 0 };
	char message[640], text[256];
	bool oom = d->killer == KILLER_OOM;

	if (!ratelimit_pass(&m->helper_limit, clock_monotonic_ns()))
		return;
	death_describe(d, text, sizeof(text));
	snprintf(message, sizeof(message), "%s: its process %s[%d] was %s; the unit goes on",
		u->name, d->comm, (int)d->pid, text);
	add_death(&r, d);
	emit(m, &r, u->name, oom ? MESSAGE_HIDDEN_OOM : MESSAGE_HELPER_DIED, LOG_WARNING, message);
}

/* Written by strangers: what a terminal would take for a command is not shown. */
void manager_tell_http(struct manager *m, const struct unit *u, const struct http_record *h)
{
	static const enum message_kind kinds[] = { [HTTP_RECORD_SLOW] = MESSAGE_HTTP_SLOW,
		[HTTP_RECORD_ERROR] = MESSAGE_HTTP_ERROR,
		[HTTP_RECORD_FULL] = MESSAGE_HTTP_FULL };
	struct record r = { .n = 0 };
	char target[HTTP_LINE + 8], shown[HTTP_LINE + 8], message[640];
	const char *method = http_method_word((enum http_method)h->method);
	double seconds = (double)h->first_byte_ns / (double)NSEC_PER_SEC;

	if (h->kind >= ARRAY_SIZE(kinds))
		return;
	http_record_target(h, target, sizeof(target));
	str_copy_clean(shown, sizeof(shown), target);
	if (h->kind == HTTP_RECORD_FULL)
		snprintf(message, sizeof(message),
			"%s: its HTTP is not measured: %llu units already are (MaxHTTPUnits=)",
			u->name, (unsigned long long)m->world.http_units_max);
	else if (h->kind == HTTP_RECORD_ERROR)
		snprintf(message, sizeof(message),
			"%s: %s %s was answered with %u, the first error in a minute", u->name,
			method, shown, h->status);
	else
		snprintf(message, sizeof(message),
			"%s: %s %s took %.3f s to its first byte (limit %.3f s), answered with %u",
			u->name, method, shown, seconds,
			(double)u->settings.http_latency_p99_ns / (double)NSEC_PER_SEC, h->status);
	if (h->kind != HTTP_RECORD_FULL)
		add_http(&r, h);
	emit(m, &r, u->name, kinds[h->kind], h->kind == HTTP_RECORD_SLOW ? LOG_INFO : LOG_NOTICE,
		message);
}

void manager_status(struct manager *m)
{
	const struct world *w = &m->world;
	size_t cursor = 0, open = 0, healed = 0;
	struct unit *u;

	while ((u = hash_next(&w->units, &cursor))) {
		open += u->incident && u->incident->open;
		healed += u->settings.heal == HEAL_RESTART;
	}
	sd_notifyf(0, "STATUS=%s%zu services watched, healing %s for %zu, %zu open incidents",
		w->degraded ? "DEGRADED (no BPF): " : "", w->units.live,
		w->pause.active || w->pause.kill_switch ? "PAUSED" : "enabled", healed, open);
}
