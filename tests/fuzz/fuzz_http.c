/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as one direction of a connection: whatever way they are cut into segments, the
 * recogniser reports the same events at the same places, takes no more than it was given, and comes
 * to an end. The events are also those of a second recogniser below, which is slow and simple: it
 * looks at whole lines, one after the other.
 *
 * An input begins with three bytes: what the direction carries, how it is cut, and the length of
 * what comes once: all behind it is taken several times.
 */
#include "fuzz.h"
#include "../../bpf/http.h"

#include <stdbool.h>
#include <string.h>

enum {
	IS_RESPONSE = 1,
	NO_BODIES = 2,    /* answers to HEAD: no body, whatever their heads say */
	REPEAT_SHIFT = 4, /* taken 2^n times: heads above the limit, long streams */
	REPEAT_MAX = 11,
	INPUT_MAX = 1 << 17,
	EVENTS_MAX = 4096, /* of an input, the later ones are only counted */
};

struct event {
	uint32_t event; /* enum http_event */
	uint32_t what;  /* method, or status */
	uint64_t at;    /* bytes before it; 0 for the end of tracking, which may be told late */
	char first[HTTP_LINE];
	char trace_id[HTTP_TRACE_ID];
};

struct events {
	size_t n;
	struct event events[EVENTS_MAX];
};

static struct events whole, other;

static void add(struct events *e, const struct event *one)
{
	if (e->n < EVENTS_MAX)
		e->events[e->n] = *one;
	e->n++;
}

/* As the kernel programs have it. */
static bool is_bodiless(uint8_t how, uint32_t status)
{
	return (how & IS_RESPONSE) &&
	       ((how & NO_BODIES) || status < 200 || status == 204 || status == 304);
}

static void check_stream(const struct http_stream *s)
{
	MUST(s->stage <= HTTP_FOREIGN);
	MUST(s->seen <= HTTP_LINE);
	MUST(s->method < HTTP_METHODS);
	MUST(s->status < 1000);
	/* Nothing waits for the end of a body that is over already. */
	MUST((s->stage != HTTP_BODY && s->stage != HTTP_CHUNK) || s->left > 0);
	MUST(s->stage == HTTP_FOREIGN || s->head <= HTTP_HEAD_MAX);
}

static void note(struct events *e, const struct http_stream *s, uint32_t event, uint64_t at)
{
	struct event one = { .event = event, .at = at };

	if (event == HTTP_NOT_HTTP)
		one.at = 0;
	if (event == HTTP_HEAD_DONE) {
		bool response = s->flags & HTTP_FLAG_RESPONSE;

		one.what = response ? s->status : s->method;
		if (!response)
			memcpy(one.first, s->first, strnlen(s->first, HTTP_LINE));
		if (!response && s->trace_id[0])
			memcpy(one.trace_id, s->trace_id, HTTP_TRACE_ID);
	}
	add(e, &one);
}

/*
 * A block of just that size, so that a sanitizer sees the first byte that is read behind it; the
 * last one again where that has the size.
 */
static uint8_t *block_of(size_t n)
{
	static uint8_t *last;
	static size_t size;

	if (size != n) {
		free(last);
		last = malloc(n);
		MUST(last);
		size = n;
	}
	return last;
}

/* One segment; false: there is nothing more to be had of this direction. */
static bool feed(struct http_stream *s, const uint8_t *data, uint32_t n, uint8_t how, uint64_t at,
	struct events *e)
{
	uint8_t *segment = block_of(n);
	uint32_t taken = 0;

	memcpy(segment, data, n);
	while (taken < n && s->stage != HTTP_FOREIGN && s->stage != HTTP_UNTIL_CLOSE) {
		enum http_event event;
		uint32_t more = http_feed(s, segment + taken, n - taken, &event);

		MUST(more > 0 && more <= n - taken);
		taken += more;
		MUST(event != HTTP_NOTHING || taken == n);
		MUST((event == HTTP_NOT_HTTP) == (s->stage == HTTP_FOREIGN));
		if (event != HTTP_NOTHING)
			note(e, s, event, at + taken);
		if (event == HTTP_HEAD_DONE)
			http_after_head(s, is_bodiless(how, s->status));
		check_stream(s);
	}
	return s->stage != HTTP_FOREIGN && s->stage != HTTP_UNTIL_CLOSE;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Cut into segments of 1 to `most` bytes; 0: whole. */
static void walk(const uint8_t *data, size_t size, uint8_t how, uint32_t most, uint32_t seed,
	struct events *e)
{
	struct http_stream s = { .flags = how & IS_RESPONSE ? HTTP_FLAG_RESPONSE : 0 };
	size_t at = 0;

	e->n = 0;
	while (at < size) {
		size_t n = most ? 1 + next_random(&seed) % most : size;

		if (n > size - at)
			n = size - at;
		if (!feed(&s, data + at, (uint32_t)n, how, at, e))
			break;
		at += n;
	}
}

/* --- the slow and simple one ---------------------------------------------------------------- */

struct model {
	uint8_t how;
	enum { FIRST, HEADER, BODY, SIZE, TRAILER, OVER } state;
	uint64_t left, length;
	bool has_length, is_chunked, in_chunk;
	size_t head;
	struct event first;
	struct events *events;
};

/* Whether the line begins with this text, letters in any case. */
static bool begins(const char *line, size_t n, const char *text)
{
	size_t length = strlen(text);

	if (n < length)
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = line[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != text[i])
			return false;
	}
	return true;
}

static bool model_request(struct model *m, const char *line, size_t n)
{
	static const char *const names[HTTP_METHODS] = { "", "GET", "HEAD", "POST", "PUT", "DELETE",
		"OPTIONS", "PATCH", "CONNECT", "TRACE" };
	size_t word = 0;

	while (word < n && word < HTTP_LINE - 1 &&
		((line[word] >= 'A' && line[word] <= 'Z') || line[word] == '-' ||
			line[word] == '_'))
		word++;
	if (word < 3 || word + 1 >= n || line[word] != ' ')
		return false;
	if (n < HTTP_LINE && (n < 8 || memcmp(line + n - 8, "HTTP/1.", 7) != 0))
		return false;
	for (uint32_t i = 1; i < HTTP_METHODS; i++)
		if (strlen(names[i]) == word && memcmp(names[i], line, word) == 0)
			m->first.what = i;
	return m->first.what == HTTP_CONNECT || memchr("/*hH", line[word + 1], 4);
}

static bool model_status(struct model *m, const char *line, size_t n)
{
	if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
		return false;
	for (int i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		m->first.what = m->first.what * 10 + (uint32_t)(line[i] - '0');
	}
	return m->first.what >= 100;
}

static void model_over(struct model *m)
{
	const struct event e = { .event = HTTP_NOT_HTTP };

	m->state = OVER;
	add(m->events, &e);
}

static void model_length(struct model *m, const char *line, size_t n)
{
	uint64_t value = 0;
	size_t at = 15, digits = 0;

	while (at < n && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (; at < n && line[at] >= '0' && line[at] <= '9'; at++, digits++)
		value = value * 10 + (uint64_t)(line[at] - '0');
	if (!digits || digits >= 19 || at == HTTP_LINE || (m->has_length && m->length != value)) {
		model_over(m);
		return;
	}
	m->length = value;
	m->has_length = true;
}

static void model_ends(struct model *m, size_t at)
{
	const struct event e = { .event = HTTP_MESSAGE_DONE, .at = at };

	m->state = FIRST;
	m->head = 0;
	add(m->events, &e);
}

static void model_head_ends(struct model *m, size_t at)
{
	if (m->how & IS_RESPONSE) { /* these are kept of requests */
		memset(m->first.first, 0, HTTP_LINE);
		memset(m->first.trace_id, 0, HTTP_TRACE_ID);
	}
	m->first.event = HTTP_HEAD_DONE;
	m->first.at = at;
	add(m->events, &m->first);
	m->head = 0;
	m->state = FIRST;
	if (is_bodiless(m->how, m->first.what))
		return;
	if (m->is_chunked)
		m->state = SIZE;
	else if (m->has_length && m->length) {
		m->state = BODY;
		m->in_chunk = false;
		m->left = m->length;
	} else if (!m->has_length && m->how & IS_RESPONSE)
		m->state = OVER;
}

static void model_size(struct model *m, const char *line, size_t n)
{
	uint64_t value = 0;
	size_t digits = 0;

	for (; digits < n; digits++) {
		char c = line[digits];

		if (c >= '0' && c <= '9')
			value = value * 16 + (uint64_t)(c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			value = value * 16 + (uint64_t)((c | 0x20) - 'a' + 10);
		else
			break;
	}
	if (digits == 0 || digits >= 15) {
		model_over(m);
		return;
	}
	m->head = 0;
	m->left = value;
	m->in_chunk = true;
	m->state = value ? BODY : TRAILER;
}

static void model_line(struct model *m, const char *line, size_t n, size_t at)
{
	switch (m->state) {
	case FIRST:
		if (n == 0)
			return;
		memset(&m->first, 0, sizeof(m->first));
		m->has_length = m->is_chunked = false;
		if (m->how & IS_RESPONSE ? !model_status(m, line, n) : !model_request(m, line, n)) {
			model_over(m);
			return;
		}
		memcpy(m->first.first, line, strnlen(line, n));
		m->state = HEADER;
		return;
	case HEADER:
		if (n == 0)
			model_head_ends(m, at);
		else if (begins(line, n, "content-length:"))
			model_length(m, line, n);
		else if (begins(line, n, "transfer-encoding:"))
			m->is_chunked = true;
		else if (begins(line, n, "traceparent: ") && n >= 48 && line[15] == '-') {
			memset(m->first.trace_id, 0, HTTP_TRACE_ID);
			if (line[16])
				memcpy(m->first.trace_id, line + 16, HTTP_TRACE_ID);
		}
		return;
	case SIZE:
		if (n > 0)
			model_size(m, line, n);
		return;
	default:
		if (n == 0)
			model_ends(m, at);
	}
}

static void model_walk(const uint8_t *data, size_t size, uint8_t how, struct events *e)
{
	struct model m = { .how = how, .events = e };
	size_t at = 0;

	e->n = 0;
	while (at < size && m.state != OVER) {
		const uint8_t *line, *end;
		size_t n;

		if (m.state == BODY) {
			n = m.left < size - at ? m.left : size - at;
			at += n;
			m.left -= n;
			if (m.left == 0 && m.in_chunk)
				m.state = SIZE;
			else if (m.left == 0)
				model_ends(&m, at);
			continue;
		}
		line = data + at;
		end = memchr(line, '\n', size - at);
		n = end ? (size_t)(end - line) : size - at;
		m.head += end ? n + 1 : n;
		if (m.head > HTTP_HEAD_MAX) {
			model_over(&m);
			return;
		}
		if (!end)
			return;
		at += n + 1;
		/* Only so much of a line is kept. */
		if (n > HTTP_LINE)
			n = HTTP_LINE;
		else if (n && n < HTTP_LINE && line[n - 1] == '\r')
			n--;
		model_line(&m, (const char *)line, n, at);
	}
}

static void same(const struct events *a, const struct events *b)
{
	MUST(a->n == b->n);
	for (size_t i = 0; i < a->n && i < EVENTS_MAX; i++)
		MUST(memcmp(&a->events[i], &b->events[i], sizeof(a->events[i])) == 0);
}

/* The bytes of the direction, and how many there are. */
static uint8_t *unfold(
	const uint8_t *data, size_t size, unsigned int shift, size_t once, size_t *ret)
{
	size_t again = size - once;
	uint8_t *bytes;

	if (shift > REPEAT_MAX || again << shift > INPUT_MAX)
		return NULL;
	*ret = once + (again << shift);
	bytes = malloc(*ret);
	MUST(bytes);
	memcpy(bytes, data, once);
	for (size_t at = once; at < *ret; at += again)
		memcpy(bytes + at, data + once, again);
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how, seed, *bytes;
	size_t n;

	if (size < 5 || data[2] >= size - 3)
		return 0;
	how = data[0];
	seed = data[1];
	bytes = unfold(data + 3, size - 3, how >> REPEAT_SHIFT, data[2], &n);
	if (!bytes)
		return 0;

	walk(bytes, n, how, 0, 0, &whole);
	model_walk(bytes, n, how, &other);
	same(&whole, &other);
	walk(bytes, n, how, 1, 0, &other);
	same(&whole, &other);
	walk(bytes, n, how, 1 + seed, seed, &other);
	same(&whole, &other);
	walk(bytes, n, how, 1460, seed, &other);
	same(&whole, &other);
	free(bytes);
	return 0;
}
