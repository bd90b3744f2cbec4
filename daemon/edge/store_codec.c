/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables say which members of a structure are kept and under which name; writing and reading walk
 * the same table, so that neither can forget what the other does. See store_codec.h.
 */
#include "store_codec.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <jansson.h>

enum kind { TEXT, NUMBER, SIGNED, FLAG, WORD };

/* One member: where it is, how large, and what it is. */
struct member {
	const char *name;
	enum kind kind;
	size_t offset, size;
	const char *(*word)(unsigned int); /* WORD: an enumeration, by its words */
	unsigned int n_words, fallback;
};

#define MEMBER(type, member, kind)                                                                \
	{                                                                                         \
#member, kind, offsetof(type, member), sizeof(((type *)NULL)->member), NULL, 0, 0 \
	}
#define MEMBER_WORD(type, member, word, count, fallback)                                     \
	{                                                                                    \
#member, WORD, offsetof(type, member), sizeof(((type *)NULL)->member), word, \
			count, fallback                                                      \
	}

/* The words' functions take their own enumeration; here they are all numbers. */
#define WORDS(name)                                  \
	static const char *name##_of(unsigned int v) \
	{                                            \
		return name##_word((enum name)v);    \
	}
WORDS(cause)
WORDS(severity)
WORDS(verdict)
WORDS(killer)
WORDS(action)
WORDS(initiator)
WORDS(heal_state)
WORDS(rule)

/* Without a default, so that the compiler asks for a word for each new value. */
static const char *job_of(unsigned int v)
{
	switch ((enum job_result)v) {
	case JOB_NOT_SENT:
		return "not-sent";
	case JOB_STORING:
		return "storing";
	case JOB_SENT:
		return "sent";
	case JOB_QUEUED:
		return "queued";
	case JOB_DONE:
		return "done";
	case JOB_FAILED:
		return "failed";
	case JOB_CANCELED:
		return "canceled";
	case JOB_REFUSED:
		return "refused";
	case JOB_TIMEOUT:
		return "timeout";
	case JOB_UNKNOWN:
		return "unknown";
	}
	return "unknown";
}

#define I(member, kind) MEMBER(struct incident, member, kind)
static const struct member incident_members[] = {
	I(id, TEXT),
	I(unit, TEXT),
	I(open, FLAG),
	MEMBER_WORD(struct incident, cause, cause_of, CAUSE_COUNT, CAUSE_UNKNOWN),
	MEMBER_WORD(struct incident, severity, severity_of, SEVERITY_COUNT, SEVERITY_WARNING),
	I(summary, TEXT),
	I(opened_ns, NUMBER),
	I(detected_ns, NUMBER),
	I(closed_ns, NUMBER),
	I(anchor_ns, NUMBER),
	I(anchor_realtime_usec, NUMBER),
	MEMBER_WORD(struct incident, verdict, verdict_of, VERDICT_COUNT, VERDICT_NONE),
	I(resolution, TEXT),
	I(attempts, NUMBER),
	I(relapses, NUMBER),
	I(events_dropped, NUMBER),
};

#define D(member, kind) MEMBER(struct death, member, kind)
static const struct member death_members[] = {
	D(source, NUMBER),
	D(time_ns, NUMBER),
	D(seen_ns, NUMBER),
	D(pid, SIGNED),
	D(parent_pid, SIGNED),
	D(start_ns, NUMBER),
	D(lifetime_ns, NUMBER),
	D(peak_rss_bytes, NUMBER),
	D(uid, NUMBER),
	D(comm, TEXT),
	D(code, SIGNED),
	D(signal, SIGNED),
	D(core_dumped, FLAG),
	D(asked_signal, SIGNED),
	D(oom_own_limit, FLAG),
	MEMBER_WORD(struct death, killer, killer_of, KILLER_COUNT, KILLER_NONE),
	D(killer_si_code, SIGNED),
	D(killer_pid, SIGNED),
	D(killer_uid, NUMBER),
	D(killer_comm, TEXT),
	D(killer_unit, TEXT),
	D(killer_time_ns, NUMBER),
};

#define E(member, kind) MEMBER(struct incident_event, member, kind)
static const struct member event_members[] = {
	E(time_ns, NUMBER),
	E(kind, TEXT),
	E(text, TEXT),
};

#define A(member, kind) MEMBER(struct attempt, member, kind)
static const struct member attempt_members[] = {
	A(number, NUMBER),
	MEMBER_WORD(struct attempt, action, action_of, ACTION_COUNT, ACTION_NONE),
	MEMBER_WORD(struct attempt, initiator, initiator_of, INITIATOR_COUNT, INITIATOR_OTHER),
	MEMBER_WORD(struct attempt, job, job_of, JOB_UNKNOWN + 1, JOB_UNKNOWN),
	A(error, TEXT),
	A(old_invocation, TEXT),
	A(new_invocation, TEXT),
	A(decided_ns, NUMBER),
	A(sent_ns, NUMBER),
	A(done_ns, NUMBER),
	A(up_ns, NUMBER),
	A(verified_ns, NUMBER),
	MEMBER_WORD(struct attempt, verdict, verdict_of, VERDICT_COUNT, VERDICT_NONE),
	A(manual, FLAG),
};

#define H(member, kind) MEMBER(struct heal, member, kind)
static const struct member heal_members[] = {
	MEMBER_WORD(struct heal, state, heal_state_of, HEAL_STATE_COUNT, HEAL_STATE_IDLE),
	H(since_ns, NUMBER),
	H(backoff_step, NUMBER),
	H(verified_since_ns, NUMBER),
	H(ever_verified, FLAG),
	H(n_restarts, NUMBER),
	H(last_killer_key, TEXT),
	H(last_killer_ns, NUMBER),
	H(level_tried, FLAG),
	H(level_restart_ns, NUMBER),
};

#define T(member, kind) MEMBER(struct trouble, member, kind)
static const struct member trouble_members[] = {
	T(present, FLAG),
	MEMBER_WORD(struct trouble, cause, cause_of, CAUSE_COUNT, CAUSE_UNKNOWN),
	MEMBER_WORD(struct trouble, rule, rule_of, RULE_COUNT, RULE_UNIT_DOWN),
	T(time_ns, NUMBER),
	T(detected_ns, NUMBER),
	T(invocation, TEXT),
	T(text, TEXT),
	T(killer_key, TEXT),
	T(pid, SIGNED),
	T(lived_ns, NUMBER),
	T(by_systemd, FLAG),
};

#define P(member, kind) MEMBER(struct pause, member, kind)
static const struct member pause_members[] = {
	P(active, FLAG),
	P(until_ns, NUMBER),
	P(reason, TEXT),
	P(uid, NUMBER),
};

/* --- writing ---------------------------------------------------------------------------------- */

static uint64_t get_number(const void *at, size_t size)
{
	uint64_t v64;
	uint32_t v32;

	if (size == sizeof(v64)) {
		memcpy(&v64, at, sizeof(v64));
		return v64;
	}
	memcpy(&v32, at, sizeof(v32));
	return v32;
}

static void add_text(struct strbuf *b, const char *name, const char *value)
{
	strbuf_addf(b, "\"%s\":\"", name);
	strbuf_add_json(b, value);
	strbuf_add(b, "\"");
}

static void encode(
	struct strbuf *b, const void *base, const struct member *members, size_t n_members)
{
	const char *comma = "";

	for (size_t i = 0; i < n_members; i++) {
		const struct member *m = &members[i];
		const void *at = (const char *)base + m->offset;

		strbuf_add(b, comma);
		comma = ",";
		switch (m->kind) {
		case TEXT:
			add_text(b, m->name, at);
			break;
		case FLAG:
			strbuf_addf(b, "\"%s\":%s", m->name, *(const bool *)at ? "true" : "false");
			break;
		case WORD:
			add_text(b, m->name, m->word((unsigned int)get_number(at, m->size)));
			break;
		case SIGNED:
			strbuf_addf(b, "\"%s\":%d", m->name, (int32_t)get_number(at, m->size));
			break;
		case NUMBER: /* as signed, because that is how far JSON's readers go: "never"
			      * (all bits) is -1 */
			strbuf_addf(
				b, "\"%s\":%" PRId64, m->name, (int64_t)get_number(at, m->size));
			break;
		}
	}
}

#define ENCODE(b, base, members) encode(b, base, members, ARRAY_SIZE(members))

void incident_encode(const struct incident *i, struct strbuf *b)
{
	strbuf_add(b, "{");
	ENCODE(b, i, incident_members);
	strbuf_add(b, ",\"death\":{");
	ENCODE(b, &i->death, death_members);
	strbuf_add(b, "}");
	if (i->evidence) {
		strbuf_add(b, ",");
		add_text(b, "evidence", i->evidence);
	}
	strbuf_add(b, ",\"events\":[");
	for (size_t k = 0; k < i->n_events && k < INCIDENT_EVENTS_MAX; k++) {
		strbuf_add(b, k ? ",{" : "{");
		ENCODE(b, &i->events[k], event_members);
		strbuf_add(b, "}");
	}
	strbuf_add(b, "]}");
}

void attempt_encode(const struct attempt *a, struct strbuf *b)
{
	strbuf_add(b, "{");
	ENCODE(b, a, attempt_members);
	strbuf_add(b, "}");
}

static void encode_socket(struct strbuf *b, const struct listening_socket *s)
{
	char address[INET6_ADDRSTRLEN];

	if (!inet_ntop(s->family, s->address, address, sizeof(address)))
		str_copy(address, sizeof(address), "");
	strbuf_add(b, "{");
	add_text(b, "address", address);
	strbuf_addf(b, ",\"port\":%u,\"protocol\":%u}", s->port, s->protocol);
}

void unit_state_encode(const struct unit_state *s, struct strbuf *b)
{
	const struct heal *h = &s->heal;

	strbuf_add(b, "{");
	ENCODE(b, h, heal_members);
	strbuf_add(b, ",\"trouble\":{");
	ENCODE(b, &h->trouble, trouble_members);
	strbuf_add(b, "},");
	add_text(b, "mode", heal_mode_word(s->mode));
	strbuf_add(b, ",\"restarts\":[");
	for (size_t k = 0; k < MIN(h->n_restarts, (uint64_t)RESTART_LOG_MAX); k++)
		strbuf_addf(b, "%s%" PRId64, k ? "," : "", (int64_t)h->restart_ns[k]);
	strbuf_add(b, "],\"listening\":[");
	for (size_t k = 0; k < MIN(s->listening.n, (size_t)SOCKETS_MAX); k++) {
		strbuf_add(b, k ? "," : "");
		encode_socket(b, &s->listening.sockets[k]);
	}
	strbuf_add(b, "]}");
}

void pause_encode(const struct pause *p, struct strbuf *b)
{
	strbuf_add(b, "{");
	ENCODE(b, p, pause_members);
	strbuf_add(b, "}");
}

/* --- reading ---------------------------------------------------------------------------------- */

static void set_number(void *at, size_t size, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;

	if (size == sizeof(v))
		memcpy(at, &v, sizeof(v));
	else
		memcpy(at, &v32, sizeof(v32));
}

static void decode(const json_t *object, void *base, const struct member *members, size_t n_members)
{
	for (size_t i = 0; i < n_members; i++) {
		const struct member *m = &members[i];
		const json_t *v = json_object_get(object, m->name);
		void *at = (char *)base + m->offset;
		const char *text = json_string_value(v);
		unsigned int word = m->fallback;

		if (!v)
			continue;
		switch (m->kind) {
		case TEXT:
			str_copy(at, m->size, text ? text : "");
			break;
		case FLAG:
			*(bool *)at = json_is_true(v);
			break;
		case WORD:
			for (unsigned int k = 0; text && k < m->n_words; k++)
				if (str_eq(m->word(k), text))
					word = k;
			set_number(at, m->size, word);
			break;
		case SIGNED:
		case NUMBER:
			set_number(at, m->size, (uint64_t)json_integer_value(v));
			break;
		}
	}
}

#define DECODE(object, base, members) decode(object, base, members, ARRAY_SIZE(members))

#define _cleanup_json_ _cleanup_(json_decrefp)

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *root = json_loads(text, 0, &error);

	if (root && !json_is_object(root)) {
		json_decref(root);
		return NULL;
	}
	return root;
}

int incident_decode(const char *text, struct incident **ret)
{
	_cleanup_json_ json_t *root = parse(text);
	const json_t *events, *event;
	const char *evidence;
	struct incident *i;
	size_t k;

	if (!root)
		return -EBADMSG;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	DECODE(root, i, incident_members);
	DECODE(json_object_get(root, "death"), &i->death, death_members);
	evidence = json_string_value(json_object_get(root, "evidence"));
	if (str_set(&i->evidence, evidence) < 0) {
		free(i);
		return -ENOMEM;
	}
	events = json_object_get(root, "events");
	json_array_foreach (events, k, event) {
		if (i->n_events == INCIDENT_EVENTS_MAX)
			break;
		DECODE(event, &i->events[i->n_events++], event_members);
	}
	if (!*i->id || !*i->unit) {
		free(i->evidence);
		free(i);
		return -EBADMSG;
	}
	*ret = i;
	return 0;
}

int attempt_decode(const char *text, struct attempt *ret)
{
	_cleanup_json_ json_t *root = parse(text);

	if (!root)
		return -EBADMSG;
	*ret = (struct attempt) {};
	DECODE(root, ret, attempt_members);
	return 0;
}

/* False: it is no address and port that a service could listen at. */
static bool decode_socket(const json_t *object, struct listening_socket *ret)
{
	const char *address = json_string_value(json_object_get(object, "address"));
	json_int_t port = json_integer_value(json_object_get(object, "port"));
	json_int_t protocol = json_integer_value(json_object_get(object, "protocol"));

	if (!address || port < 1 || port > UINT16_MAX || protocol < 1 || protocol > UINT8_MAX)
		return false;
	*ret = (struct listening_socket) {
		.family = strchr(address, ':') ? AF_INET6 : AF_INET,
		.protocol = (uint8_t)protocol,
		.port = (uint16_t)port,
	};
	return inet_pton(ret->family, address, ret->address) == 1;
}

static void decode_sockets(const json_t *array, struct socket_set *ret)
{
	const json_t *v;
	size_t k;

	json_array_foreach (array, k, v) {
		if (ret->n == SOCKETS_MAX)
			break;
		if (decode_socket(v, &ret->sockets[ret->n]))
			ret->n++;
	}
	if (ret->n < SOCKETS_MAX) /* what the refused ones left */
		memset(&ret->sockets[ret->n], 0, sizeof(ret->sockets[0]));
}

int unit_state_decode(const char *text, struct unit_state *state)
{
	_cleanup_json_ json_t *root = parse(text);
	struct heal *ret = &state->heal;
	const json_t *restarts, *v;
	const char *mode;
	size_t k;
	int m;

	if (!root)
		return -EBADMSG;
	*state = (struct unit_state) {};
	DECODE(root, ret, heal_members);
	DECODE(json_object_get(root, "trouble"), &ret->trouble, trouble_members);
	restarts = json_object_get(root, "restarts");
	json_array_foreach (restarts, k, v) {
		if (k == RESTART_LOG_MAX)
			break;
		ret->restart_ns[k] = (uint64_t)json_integer_value(v);
	}
	/* A count above what is there would make the budgets read times that never were. */
	if (json_array_size(restarts) < RESTART_LOG_MAX)
		ret->n_restarts = MIN(ret->n_restarts, (uint64_t)json_array_size(restarts));
	mode = json_string_value(json_object_get(root, "mode"));
	m = mode ? heal_mode_parse(mode) : -EINVAL;
	state->mode = m < 0 ? HEAL_OBSERVE : (enum heal_mode)m;
	decode_sockets(json_object_get(root, "listening"), &state->listening);
	return 0;
}

int pause_decode(const char *text, struct pause *ret)
{
	_cleanup_json_ json_t *root = parse(text);

	if (!root)
		return -EBADMSG;
	*ret = (struct pause) {};
	DECODE(root, ret, pause_members);
	return 0;
}
