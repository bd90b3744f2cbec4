/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Incidents: opening, the timeline, and their one JSON form; see incident.h. */
#include "incident.h"
#include "../base/str.h"

#include <stdarg.h>
#include <sys/random.h>

static void random_uuid(char ret[INCIDENT_ID_SIZE])
{
	unsigned char b[16];

	/* 16 bytes never block once the kernel's pool is initialised, long before any service runs.
	 */
	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		memset(b, 0, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4, RFC 4122 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(ret, INCIDENT_ID_SIZE,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}

struct incident *incident_new(
	const char *unit, const struct trouble *t, uint64_t now_ns, uint64_t realtime_usec)
{
	struct incident *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	random_uuid(i->id);
	str_copy(i->unit, sizeof(i->unit), unit);
	str_copy(i->summary, sizeof(i->summary), t->text);
	i->open = true;
	i->cause = t->cause;
	i->opened_ns = t->time_ns;
	i->detected_ns = t->detected_ns;
	i->anchor_ns = now_ns;
	i->anchor_realtime_usec = realtime_usec;
	return i;
}

struct incident *incident_free(struct incident *i)
{
	if (!i)
		return NULL;
	free(i->evidence);
	free(i);
	return NULL;
}

void incident_note(struct incident *i, uint64_t time_ns, const char *kind, const char *format, ...)
{
	struct incident_event *e;
	va_list ap;

	if (i->n_events == INCIDENT_EVENTS_MAX) {
		/* The beginning tells the cause and the end the outcome: the middle gives way. */
		memmove(&i->events[INCIDENT_EVENTS_MAX / 2],
			&i->events[INCIDENT_EVENTS_MAX / 2 + 1],
			(INCIDENT_EVENTS_MAX / 2 - 1) * sizeof(i->events[0]));
		i->n_events--;
		i->events_dropped++;
	}
	e = &i->events[i->n_events++];
	e->time_ns = time_ns;
	str_copy(e->kind, sizeof(e->kind), kind);
	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
}

uint64_t incident_realtime_usec(const struct incident *i, uint64_t time_ns)
{
	if (time_ns == 0)
		return 0;
	/* Signed: the failure was before the anchor. */
	return i->anchor_realtime_usec +
	       (uint64_t)(((int64_t)(time_ns - i->anchor_ns)) / (int64_t)NSEC_PER_USEC);
}

static void add_string(struct strbuf *b, const char *key, const char *value)
{
	strbuf_addf(b, ",\"%s\":\"", key);
	strbuf_add_json(b, value);
	strbuf_add(b, "\"");
}

static void add_time(struct strbuf *b, const struct incident *i, const char *key, uint64_t ns)
{
	strbuf_addf(b, ",\"%s\":%llu", key, (unsigned long long)incident_realtime_usec(i, ns));
}

static void add_death(struct strbuf *b, const struct incident *i)
{
	const struct death *d = &i->death;
	char text[256];

	if (d->time_ns == 0)
		return;
	death_describe(d, text, sizeof(text));
	strbuf_addf(b,
		",\"death\":{\"pid\":%d,\"code\":%d,\"signal\":%d,\"core_dumped\":%s,\"uid\":%u",
		(int)d->pid, d->code, d->signal, d->core_dumped ? "true" : "false",
		(unsigned int)d->uid);
	strbuf_addf(b, ",\"lifetime_usec\":%llu,\"peak_rss_bytes\":%llu",
		(unsigned long long)(d->lifetime_ns / NSEC_PER_USEC),
		(unsigned long long)d->peak_rss_bytes);
	add_string(b, "description", text);
	add_string(b, "comm", d->comm);
	add_string(b, "killer", killer_word(d->killer));
	if (d->killer == KILLER_PROCESS) {
		strbuf_addf(b, ",\"killer_pid\":%d,\"killer_uid\":%u", (int)d->killer_pid,
			(unsigned int)d->killer_uid);
		add_string(b, "killer_comm", d->killer_comm);
		add_string(b, "killer_unit", d->killer_unit);
	}
	add_time(b, i, "time_usec", d->time_ns);
	strbuf_add(b, "}");
}

void incident_to_json(const struct incident *i, struct strbuf *b)
{
	strbuf_addf(b, "{\"id\":\"%s\"", i->id);
	add_string(b, "unit", i->unit);
	strbuf_addf(b, ",\"open\":%s", i->open ? "true" : "false");
	add_string(b, "cause", cause_word(i->cause));
	add_string(b, "severity", severity_word(i->severity));
	add_string(b, "summary", i->summary);
	add_string(b, "verdict", verdict_word(i->verdict));
	add_string(b, "resolution", i->resolution);
	add_time(b, i, "opened_usec", i->opened_ns);
	add_time(b, i, "detected_usec", i->detected_ns);
	add_time(b, i, "closed_usec", i->closed_ns);
	strbuf_addf(b, ",\"attempts\":%u,\"relapses\":%u", i->attempts, i->relapses);
	strbuf_addf(b, ",\"detect_usec\":%llu",
		(unsigned long long)((i->detected_ns - i->opened_ns) / NSEC_PER_USEC));
	if (i->closed_ns)
		strbuf_addf(b, ",\"duration_usec\":%llu",
			(unsigned long long)((i->closed_ns - i->opened_ns) / NSEC_PER_USEC));
	add_death(b, i);
	strbuf_add(b, ",\"evidence\":");
	strbuf_add(b, i->evidence ? i->evidence : "{}");
	strbuf_add(b, ",\"timeline\":[");
	for (size_t n = 0; n < i->n_events; n++) {
		const struct incident_event *e = &i->events[n];

		strbuf_addf(b, "%s{\"time_usec\":%llu", n ? "," : "",
			(unsigned long long)incident_realtime_usec(i, e->time_ns));
		strbuf_addf(b, ",\"offset_usec\":%lld",
			(long long)((int64_t)(e->time_ns - i->opened_ns) / (int64_t)NSEC_PER_USEC));
		add_string(b, "kind", e->kind);
		add_string(b, "text", e->text);
		strbuf_add(b, "}");
	}
	strbuf_addf(b, "],\"timeline_dropped\":%llu}", (unsigned long long)i->events_dropped);
}
