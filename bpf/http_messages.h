/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The messages in the payload of a packet: a walk over them that counts requests when their head
 * is complete, and answers when theirs is, and when they end.
 */
#ifndef MENDD_HTTP_MESSAGES_H
#define MENDD_HTTP_MESSAGES_H

#include "http_connection.h"

#define SCRATCHES 4 /* programs on one CPU that have preempted each other */

/*
 * What one run needs. Here and not on the stack: functions that the verifier looks at only once get
 * memory and plain numbers from their callers, and no structure with pointers in it.
 */
struct bench {
	u32 busy, at; /* at: its own place */
	u64 now;
	u32 ingress;
	u32 failed; /* reason + 1; above that range: lost */
	struct http_block block;
	struct http_route_walk walk;
	struct http_route_key key;
	struct connection blank; /* what a connection begins as, before others see it */
};

struct scratch {
	struct bench benches[SCRATCHES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct bench *take_bench(void)
{
	u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);

	for (u32 i = 0; s && i < SCRATCHES; i++) {
		struct bench *b = &s->benches[i];

		if (__sync_lock_test_and_set(&b->busy, 1))
			continue;
		/* Read back: to the verifier it is one of them, and not a case for each. */
		b->at = i;
		return &s->benches[bounded(*(volatile u32 *)&b->at, SCRATCHES)];
	}
	return NULL;
}

/*
 * The route of the request whose head has just ended; `at` is the bench's place. It is looked up
 * anew: up to 6.1 memory that was handed to a function that is looked at once is no map's key.
 */
__attribute__((noinline)) u32 route_of_request(struct http_totals *t, struct connection *c, u32 at)
{
	u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);
	struct bench *b;

	if (!s || !t || !c)
		return 0;
	b = &s->benches[bounded(at, SCRATCHES)];
	http_copy(b->walk.line, c->in.stream.first, HTTP_LINE);
	return find_route(t, &b->walk, &b->key, c->unit);
}

static __always_inline void return_bench(struct bench *b)
{
	b->busy = 0;
}

static __always_inline struct connection *clear_blank(struct bench *b)
{
	__builtin_memset(&b->blank, 0, sizeof(b->blank));
	return &b->blank;
}

/* One direction's walk over the payload of a packet: bpf_loop() hands on a pointer to the stack. */
struct walk {
	struct __sk_buff *skb;
	struct connection *c;
	struct http_totals *t;
	struct direction *d;
	struct bench *b;
};

#define FAILED_LOST 100

__attribute__((noinline)) int write_record(
	struct connection *c, u32 kind, u64 first_byte_ns, u64 now)
{
	struct http_record *r;

	if (!c)
		return 0;
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->version = HTTP_WIRE_VERSION;
	r->kind = kind;
	r->unit = c->unit;
	r->time_ns = now;
	r->queue_ns = c->queue_ns;
	r->first_byte_ns = first_byte_ns;
	r->status = c->out.stream.status;
	r->method = c->in.stream.method;
	__builtin_memcpy(r->line, c->in.stream.first, sizeof(r->line));
	__builtin_memcpy(r->trace_id, c->in.stream.trace_id, sizeof(r->trace_id));
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP); /* the daemon looks once a second */
	return 0;
}

static __always_inline void request_arrives(
	struct connection *c, struct http_totals *t, struct bench *b)
{
	u32 at = c->arrived & PENDING_MASK;
	u16 route = 0;

	/* No answer can come any more, and who sent it could not know that. */
	if (c->server_gone) {
		count(&t->started);
		count(&t->never_read);
		count_incomplete(t, HTTP_SENT_AHEAD, 1);
		count(&t->finished);
		return;
	}
	if (!has_detail(t, c->unit)) {
		if (may_record(t, b->now))
			write_record(c, HTTP_RECORD_FULL, 0, b->now);
		b->failed = HTTP_UNTRACKED_FULL + 1;
		return;
	}
	if (t->routes_max)
		route = (u16)route_of_request(t, c, b->at);
	c->reading = 0;
	if (c->arrived - beyond_dropped(c, c->answered) < HTTP_PENDING) {
		c->arrival_ns[at] = b->now;
		c->kept[at] = (u8)c->arrived;
		c->method[at] = c->in.stream.method;
		c->route[at] = route;
	} else {
		/* Kept there is one whose number ends in the same byte, 256 before this one. */
		if (c->kept[at] == (u8)c->arrived)
			c->kept[at]++;
		c->late_ns = b->now;
		c->late_method[c->arrived & METHODS_MASK] = c->in.stream.method;
		c->late_route = route;
	}
	__sync_fetch_and_add(&c->open, 1);
	c->arrived++;
	count(&t->started);
}

__attribute__((noinline)) int answer_ends(struct connection *c, struct http_totals *t, u64 now)
{
	struct http_detail *d;
	u64 arrival;

	if (!c || !t)
		return 0;
	arrival = *(volatile u64 *)&c->answered_ns;
	if (!arrival)
		return 0;
	d = detail_of(t);
	if (d)
		observe(d, HTTP_DURATION, class_of(c->answer_status), time_from(arrival, now), 1);
	c->answered_ns = 0;
	c->sent_ahead = c->arrived;
	if (c->transfer_ns)
		set_transfer(c, t, 0);
	finish_one(c, t);
	return 0;
}

/*
 * A request that is answered has not waited to be read for longer than until now, though no read of
 * it was seen: there may be servers that answer first, and the kernel may leave http_read out.
 */
static __always_inline void end_queue(
	struct connection *c, struct http_detail *d, u32 request, u64 waited_ns)
{
	if (!reads_are_seen || (s32)(beyond_dropped(c, c->read) - request) > 0)
		return;
	c->queue_ns = waited_ns;
	c->read = request + 1;
	observe(d, HTTP_QUEUE, HTTP_CLASS_OTHER, waited_ns, 1);
}

/* The head of a response on a server's connection; true: it has no body, whatever it says. */
__attribute__((noinline)) u32 answer_begins(
	struct connection *c, struct http_totals *t, struct bench *b)
{
	u32 answered;
	u64 arrival, took;
	struct http_detail *d;
	u16 status;
	u8 method;
	int kind;

	if (!c || !t || !b)
		return true;
	status = c->out.stream.status;
	answered = beyond_dropped(c, c->answered);
	arrival = arrival_of(c, answered);
	if (status < 200 && status != 101)
		return true;
	if (answered == c->arrived)
		return status == 204 || status == 304; /* an answer to nothing that we saw */
	if (c->joined)
		c->joined = 0;
	method = method_of(c, answered);
	took = time_from(arrival, c->begin_ns);
	if (c->waiting_ns)
		set_waiting(c, t, 0);
	if (c->transfer_ns)
		set_transfer(c, t, 0);
	d = detail_of(t);
	if (d) {
		end_queue(c, d, answered, took);
		observe(d, HTTP_FIRST_BYTE, class_of(status), took, 1);
		count_code(d, method, status);
	}
	if (t->routes_max)
		count_route(route_of(c, answered), class_of(status), took);
	c->answered_ns = arrival;
	c->answer_status = status;
	c->answered = answered + 1;
	kind = record_kind(t, status, took, b->now);
	if (kind >= 0 && c->unit)
		write_record(c, kind, took, b->now);
	/* What follows is another protocol. */
	if (status == 101 || (method == HTTP_CONNECT && status < 300)) {
		answer_ends(c, t, b->now);
		b->failed = HTTP_UNTRACKED_UPGRADED + 1;
		return true;
	}
	return method == HTTP_HEAD || status == 204 || status == 304;
}

/* RFC 9113, 3.4. */
static __always_inline bool is_http2_preface(const char *b)
{
	return b[0] == 'P' && b[1] == 'R' && b[2] == 'I' && b[3] == ' ';
}

/* The body of a message has ended, in this direction. */
static __always_inline void message_ends(
	struct connection *c, struct http_totals *t, struct direction *d, struct bench *b)
{
	if (d->stream.flags & HTTP_FLAG_RESPONSE)
		answer_ends(c, t, b->now);
	else if (b->ingress)
		c->body_ns = b->now;
}

/* `d` is the direction of `c` in which it happened. */
__attribute__((noinline)) int on_event(struct connection *c, struct http_totals *t,
	struct direction *d, struct bench *b, u32 event)
{
	bool bodiless = false, response;

	if (!c || !t || !d || !b)
		return 0;
	response = d->stream.flags & HTTP_FLAG_RESPONSE;
	if (event == HTTP_NOT_HTTP) {
		/* Met in the middle of an answer: the next one may be understood. */
		b->failed = response && c->joined ? FAILED_LOST : HTTP_UNTRACKED_NOT_HTTP + 1;
		if (!response && is_http2_preface(d->stream.line))
			b->failed = HTTP_UNTRACKED_HTTP2 + 1; /* its first segment was short */
		return 0;
	}
	if (event == HTTP_HEAD_DONE) {
		if (response)
			bodiless = answer_begins(c, t, b);
		else if (b->ingress)
			request_arrives(c, t, b);
		else if (c->role == ROLE_CLIENT)
			count(&t->outgoing);
		http_after_head(&d->stream, bodiless);
		if (!(d->stream.flags & HTTP_FLAG_BODY) && response && d->stream.status >= 200)
			answer_ends(c, t, b->now);
		return 0;
	}
	if (event == HTTP_MESSAGE_DONE)
		message_ends(c, t, d, b);
	return 0;
}

static __always_inline bool walk_is_over(const struct walk *w)
{
	u8 stage = w->d->stream.stage;

	return w->d->left == 0 || w->b->failed || stage == HTTP_FOREIGN ||
	       stage == HTTP_UNTIL_CLOSE;
}

/* Some lines; returns the event that ended them. */
__attribute__((noinline)) u32 take_lines(
	struct __sk_buff *skb, struct connection *c, struct direction *d, struct bench *b)
{
	u32 n;

	if (!c || !d || !b)
		return HTTP_NOTHING;
	n = d->left < HTTP_BLOCK ? d->left : HTTP_BLOCK;
	if (d->stream.flags & HTTP_FLAG_RESPONSE && d->stream.stage == HTTP_FIRST_LINE &&
		d->stream.head == 0)
		c->begin_ns = b->now;
	if (bpf_skb_load_bytes(skb, d->offset, b->block.bytes, one_to(n, HTTP_BLOCK))) {
		b->failed = FAILED_LOST;
		return HTTP_NOTHING;
	}
	b->block.line = b->block.event = 0;
	b->block.n = n;
	b->block.more = d->left > n;
	http_scan(&d->stream, &b->block);
	n = b->block.line;
	d->offset += n;
	d->left -= n < d->left ? n : d->left;
	if (d->stream.head > HTTP_HEAD_MAX)
		b->failed = FAILED_LOST;
	return b->block.event;
}

static __always_inline u32 skip_body(struct direction *d)
{
	u32 n = d->left;

	if (n > d->stream.left)
		n = d->stream.left;
	d->offset += n;
	d->left -= n;
	return http_skip(&d->stream, n);
}

/* Some lines, and the body behind them. 1 ends the walk. */
static long walk_step(u32 index, struct walk *w)
{
	struct direction *d = w->d;
	u32 event;

	if (http_wants_lines(&d->stream)) {
		event = take_lines(w->skb, w->c, d, w->b);
		if (event)
			on_event(w->c, w->t, d, w->b, event);
	}
	if (!walk_is_over(w) && !http_wants_lines(&d->stream)) {
		if (skip_body(d) == HTTP_MESSAGE_DONE)
			message_ends(w->c, w->t, d, w->b);
	}
	return walk_is_over(w);
}

#endif
