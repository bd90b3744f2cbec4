/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evidence: what is known of a unit in trouble, captured before anything is done, as a JSON object
 * that goes into the incident. What systemd says, which program ran, where it listened; and where
 * it is up and not well, its traffic, its alerts and what its processes were doing.
 */
#include "manager.h"
#include "base/clock.h"
#include "edge/processes.h"
#include "judge/level.h"
#include "judge/traffic.h"
#include "judge/verify.h"

#include <math.h>

static void add_string(struct strbuf *b, const char *key, const char *value)
{
	strbuf_addf(b, "%s\"%s\":\"", b->len > 1 ? "," : "", key);
	strbuf_add_json(b, value);
	strbuf_add(b, "\"");
}

static void add_traffic(struct strbuf *b, const char *key, const struct traffic *t)
{
	if (t->answered == 0)
		return;
	strbuf_addf(b, ",\"%s\":{\"answered\":%llu,\"error_ratio\":%.4f,\"p95_usec\":%llu}", key,
		(unsigned long long)t->answered, t->error_ratio,
		(unsigned long long)(t->p95_ns / NSEC_PER_USEC));
}

/* The last request that was slow, or an error after quiet. */
static void add_example(struct strbuf *b, const struct http_record *r, uint64_t now)
{
	char target[HTTP_LINE + 8], trace_id[sizeof(r->trace_id) + 1];

	http_record_target(r, target, sizeof(target));
	snprintf(trace_id, sizeof(trace_id), "%.*s", (int)sizeof(r->trace_id), r->trace_id);
	strbuf_addf(b, ",\"example\":{\"method\":\"%s\",\"target\":\"",
		http_method_word((enum http_method)r->method));
	strbuf_add_json(b, target);
	strbuf_addf(b, "\",\"status\":%u,\"first_byte_usec\":%llu,\"age_usec\":%llu", r->status,
		(unsigned long long)(r->first_byte_ns / NSEC_PER_USEC),
		(unsigned long long)(clock_since_ns(now, r->time_ns) / NSEC_PER_USEC));
	if (*trace_id)
		add_string(b, "trace_id", trace_id);
	strbuf_add(b, "}");
}

static void add_http(struct strbuf *b, const struct unit *u, uint64_t now)
{
	const struct http_state *h = u->http;
	struct http_view v = http_view(h, HTTP_WINDOW);
	struct traffic t = traffic_since(h, clock_since_ns(now, TRAFFIC_LOOKBACK_NS), now);

	strbuf_addf(b,
		",\"http\":{\"started\":%llu,\"answered\":%llu,\"errors\":%llu,\"incomplete\":%llu,"
		"\"seconds\":%.1f,\"in_flight\":%llu,\"unanswered\":%llu,\"unread\":%llu",
		(unsigned long long)v.started, (unsigned long long)v.answered,
		(unsigned long long)v.errors, (unsigned long long)v.incomplete, v.span,
		(unsigned long long)h->in_flight, (unsigned long long)h->unanswered,
		(unsigned long long)h->unread);
	if (h->oldest_unanswered_ns)
		strbuf_addf(b, ",\"oldest_unanswered_usec\":%llu",
			(unsigned long long)(clock_since_ns(now, h->oldest_unanswered_ns) /
					     NSEC_PER_USEC));
	if (h->example.time_ns)
		add_example(b, &h->example, now);
	add_traffic(b, "lately", &t);
	if (u->levels)
		add_traffic(b, "baseline", &u->levels->baseline);
	strbuf_add(b, "}");
}

static void add_alerts(struct strbuf *b, const struct unit *u)
{
	const char *comma = "";

	strbuf_add(b, ",\"alerts\":[");
	for (unsigned int i = RULE_HTTP_HANG; u->levels && i < RULE_UNIT_COUNT; i++) {
		const struct alert *a = &u->levels->alerts[i];

		if (!alert_is_active(a))
			continue;
		strbuf_addf(b, "%s{\"rule\":\"%s\",\"state\":\"%s\",\"value\":%g,\"threshold\":%g",
			comma, rule_word((enum rule)i), alert_state_word(a->state), a->value,
			a->threshold);
		add_string(b, "text", a->text);
		strbuf_add(b, "}");
		comma = ",";
	}
	strbuf_add(b, "]");
}

static void add_level(struct strbuf *b, const struct unit *u, const struct host_state *h)
{
	uint64_t now = clock_monotonic_ns();
	char path[640];
	bool stopped;

	if (u->http)
		add_http(b, u, now);
	add_alerts(b, u);
	if (u->probe.status >= 0)
		add_string(b, "probe", u->probe.text);
	if (h->pressure_ns)
		strbuf_addf(b, ",\"pressure\":{\"cpu\":%.2f,\"memory\":%.2f,\"io\":%.2f}",
			h->pressure.cpu, h->pressure.memory, h->pressure.io);
	snprintf(path, sizeof(path), CGROUP_ROOT "%s/cgroup.procs", u->facts.cgroup);
	strbuf_add(b, ",\"processes\":");
	processes_look(path, u->facts.main_pid, &stopped, b);
}

char *manager_evidence(const struct manager *m, const struct unit *u)
{
	const struct unit_facts *f = &u->facts;
	_cleanup_strbuf_ struct strbuf b = {};
	char name[64];

	strbuf_add(&b, "{");
	add_string(&b, "active_state", active_state_word(f->active));
	add_string(&b, "sub_state", f->sub_state);
	if (*f->result)
		add_string(&b, "result", f->result);
	add_string(&b, "invocation", f->invocation);
	add_string(&b, "restart_policy", f->restart);
	strbuf_addf(&b, ",\"exec_main_pid\":%d,\"exec_main_code\":%d,\"exec_main_status\":%d",
		(int)f->exec_main_pid, f->exec_main_code, f->exec_main_status);
	if (*u->program.path) {
		add_string(&b, "program", u->program.path);
		strbuf_addf(&b, ",\"program_changed\":%s", u->program.changed ? "true" : "false");
	}
	if (u->check.status >= 0)
		add_string(&b, "check", u->check.text);
	if (u->heal.trouble.rule != RULE_UNIT_DOWN)
		add_level(&b, u, &m->world.host);
	strbuf_add(&b, ",\"listening\":[");
	for (size_t i = 0; i < u->listening.n; i++) {
		socket_describe(&u->listening.sockets[i], name, sizeof(name));
		strbuf_addf(&b, "%s\"%s\"", i ? "," : "", name);
	}
	strbuf_add(&b, "]}");
	return strbuf_take(&b);
}
