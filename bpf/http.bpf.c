// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP of watched units, measured where it passes: requests when they reach the socket, before the
 * application reads them, and answers when they leave it.
 *
 * Hooks: cgroup_skb ingress and egress, attached to the cgroups of watched units and of their
 * sockets; what other services do costs nothing. tp_btf/tcp_rcv_space_adjust tells when the
 * application reads, inet_sock_set_state when a connection begins and ends. An iterator walks over
 * the connections for the oldest request. Needs bpf_loop: 5.17.
 *
 * No path returns anything but 1: an observer must not drop a packet. One request makes no record
 * for user space: it is counted in mapped arrays. `current` means nothing here (softirq):
 * everything hangs on the socket. Programs can be preempted, so that per-CPU scratch is taken.
 */
#include "http_connection.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10
#define AF_INET6 10
#define PF_EXITING 4
#define ETIMEDOUT 110
/* What lies further ahead of the next byte than any window is no part of this connection. */
#define WINDOW_MAX (1 << 26)
/*
 * Messages and chunks in one packet: of 64 KiB, as many as there can be (a chunk of one byte takes
 * six, and two steps). In larger ones there may be more; then it is said that they are lost.
 */
#define WALK_STEPS 22000
/* Eight bytes each that are looked at of a segment that has come too early. */
#define AHEAD_STEPS 512
#define SCRATCHES 4 /* programs on one CPU that have preempted each other */

/* What one run needs and the stack has no room for. */
struct bench {
	struct http_block block;
	struct http_route_walk walk;
	struct http_route_key key;
};

struct scratch {
	struct bench benches[SCRATCHES];
	u32 busy[SCRATCHES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Never written: what a new connection of `early` begins as, too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct connection);
} blank SEC(".maps");

/* A count of answered or read requests, those included of which nothing more will be known. */
static __always_inline u32 beyond_dropped(const struct connection *c, u32 request)
{
	u32 dropped = c->dropped;

	return (s32)(dropped - request) > 0 ? dropped : request;
}

static __always_inline u64 arrival_of(const struct connection *c, u32 request)
{
	u32 at = request & PENDING_MASK;

	return c->kept[at] == (u8)request ? c->arrival_ns[at] : c->late_ns;
}

/* What is open will not be seen to end. */
static __always_inline void drop_requests(struct connection *c, struct http_totals *t)
{
	u32 open = __sync_lock_test_and_set(&c->open, 0);

	if (open)
		__sync_fetch_and_add(&t->finished, open);
	c->dropped = c->arrived;
	c->answered_ns = 0;
}

/* One request less in flight, if none of the other CPUs has given all of them up meanwhile. */
static __always_inline void finish_one(struct connection *c, struct http_totals *t)
{
	for (int i = 0; i < 4; i++) {
		u32 open = *(volatile u32 *)&c->open;

		if (!open)
			return;
		if (__sync_val_compare_and_swap(&c->open, open, open - 1) == open) {
			count(&t->finished);
			return;
		}
	}
}

/* Only connections that the unit accepted are counted; what it does as a client is its own. */
static __always_inline void give_up(struct connection *c, struct http_totals *t, u32 reason)
{
	drop_requests(c, t);
	if (c->role != ROLE_CLIENT && !c->connecting && reason < HTTP_UNTRACKED_REASONS)
		count(&t->untracked[reason]);
	c->reason = (u8)reason;
	c->role = ROLE_UNTRACKED;
}

/* Bytes were missed: wait for the next request that begins with a segment. */
static __always_inline void lose_track(struct connection *c, struct http_totals *t)
{
	give_up(c, t, HTTP_UNTRACKED_LOST);
	c->role = c->connecting ? ROLE_UNTRACKED : ROLE_JOINED;
	c->in.stage = c->out.stage = HTTP_FIRST_LINE;
	c->in.seen = c->out.seen = 0;
	c->in.head = c->out.head = 0;
	c->in.flags = c->out.flags = 0;
	c->in_known = c->out_known = 0;
	c->ahead.length = 0;
}

/* One direction's walk over the payload of a packet. */
struct walk {
	struct __sk_buff *skb;
	struct connection *c;
	struct http_totals *t;
	struct http_stream *s;
	struct bench *bench;
	u64 now;
	u32 ingress;
	u32 failed; /* reason + 1; above that range: lost */
};

#define FAILED_LOST 100

static __attribute__((noinline)) int write_record(
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
	r->status = c->out.status;
	r->method = c->in.method;
	__builtin_memcpy(r->line, c->in.first, sizeof(r->line));
	__builtin_memcpy(r->trace_id, c->in.trace_id, sizeof(r->trace_id));
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP); /* the daemon looks once a second */
	return 0;
}

static __always_inline void request_arrives(struct walk *w)
{
	struct connection *c = w->c;
	u32 at = c->arrived & PENDING_MASK;
	u16 route = 0;

	if (!has_detail(w->t, c->unit)) {
		if (may_record(w->t, w->now))
			write_record(c, HTTP_RECORD_FULL, 0, w->now);
		w->failed = HTTP_UNTRACKED_FULL + 1;
		return;
	}
	if (w->t->routes_max && w->bench) {
		http_copy(w->bench->walk.line, c->in.first, HTTP_LINE);
		route = (u16)find_route(w->t, &w->bench->walk, &w->bench->key, c->unit);
	}
	if (c->arrived - beyond_dropped(c, c->answered) < HTTP_PENDING) {
		c->arrival_ns[at] = w->now;
		c->kept[at] = (u8)c->arrived;
		c->route[at] = route;
	} else {
		c->late_ns = w->now;
		c->late_route = route;
	}
	c->method[c->arrived & METHODS_MASK] = w->s->method;
	__sync_fetch_and_add(&c->open, 1);
	c->arrived++;
	count(&w->t->started);
}

static __always_inline void answer_ends(struct connection *c, struct http_totals *t, u64 now)
{
	u64 arrival = *(volatile u64 *)&c->answered_ns;
	struct http_detail *d;

	if (!arrival)
		return;
	d = detail_of(t);
	if (d)
		observe(d, HTTP_DURATION, class_of(c->answer_status), now - arrival, 1);
	c->answered_ns = 0;
	finish_one(c, t);
}

static __always_inline u32 route_of(const struct connection *c, u32 request)
{
	u32 at = request & PENDING_MASK;

	return c->kept[at] == (u8)request ? c->route[at] : c->late_route;
}

/* The head of a response on a server's connection; true: it has no body, whatever it says. */
static __always_inline bool answer_begins(struct walk *w)
{
	struct connection *c = w->c;
	u16 status = w->s->status;
	u32 answered = beyond_dropped(c, c->answered);
	u64 arrival = arrival_of(c, answered), took;
	struct http_detail *d;
	u8 method;
	int kind;

	if (status < 200 && status != 101)
		return true;
	if (answered == c->arrived)
		return status == 204 || status == 304; /* an answer to nothing that we saw */
	c->joined = 0;
	method = c->method[answered & METHODS_MASK];
	took = c->begin_ns - arrival;
	d = detail_of(w->t);
	if (d) {
		observe(d, HTTP_FIRST_BYTE, class_of(status), took, 1);
		count_code(d, method, status);
	}
	if (w->t->routes_max)
		count_route(route_of(c, answered), class_of(status), took);
	c->answered_ns = arrival;
	c->answer_status = status;
	c->answered = answered + 1;
	kind = record_kind(w->t, status, took, w->now);
	if (kind >= 0 && c->unit)
		write_record(c, kind, took, w->now);
	/* What follows is another protocol. */
	if (status == 101 || (method == HTTP_CONNECT && status < 300)) {
		answer_ends(c, w->t, w->now);
		w->failed = HTTP_UNTRACKED_UPGRADED + 1;
		return true;
	}
	return method == HTTP_HEAD || status == 204 || status == 304;
}

static __always_inline void on_event(struct walk *w, u32 event)
{
	struct connection *c = w->c;
	bool bodiless = false, response = w->s->flags & HTTP_FLAG_RESPONSE;

	if (event == HTTP_NOT_HTTP) {
		const char *l = w->s->line;

		/* Met in the middle of an answer: the next one may be understood. */
		w->failed = response && c->joined ? FAILED_LOST : HTTP_UNTRACKED_NOT_HTTP + 1;
		if (!response && l[0] == 'P' && l[1] == 'R' && l[2] == 'I' && l[3] == ' ')
			w->failed = HTTP_UNTRACKED_HTTP2 + 1; /* its first segment was short */
		return;
	}
	if (event == HTTP_HEAD_DONE) {
		if (response)
			bodiless = answer_begins(w);
		else if (w->ingress)
			request_arrives(w);
		else if (c->role == ROLE_CLIENT)
			count(&w->t->outgoing);
		http_after_head(w->s, bodiless);
		if (!(w->s->flags & HTTP_FLAG_BODY) && response && w->s->status >= 200)
			answer_ends(c, w->t, w->now);
		return;
	}
	if (event == HTTP_MESSAGE_DONE && response)
		answer_ends(c, w->t, w->now);
}

/* A stretch of the payload: the rest of a body, or some lines. 1 ends the walk. */
static long walk_step(u32 index, struct walk *w)
{
	struct cursor *c = w->ingress ? &w->c->cursors[1] : &w->c->cursors[0];
	struct http_stream *s = w->s;
	struct http_block *b = &w->bench->block;
	u32 n = c->left, event;

	if (n == 0 || w->failed || s->stage == HTTP_FOREIGN || s->stage == HTTP_UNTIL_CLOSE)
		return 1;
	if (!http_wants_lines(s)) {
		if (n > s->left)
			n = s->left;
		c->offset += n;
		c->left -= n;
		on_event(w, http_skip(s, n));
		return 0;
	}
	if (s->flags & HTTP_FLAG_RESPONSE && s->stage == HTTP_FIRST_LINE && s->head == 0)
		w->c->begin_ns = w->now;
	if (n > HTTP_BLOCK)
		n = HTTP_BLOCK;
	if (bpf_skb_load_bytes(w->skb, c->offset, b->bytes, one_to(n, HTTP_BLOCK))) {
		w->failed = FAILED_LOST;
		return 1;
	}
	b->line = b->event = 0;
	b->n = n;
	http_scan(s, b);
	event = b->event;
	c->offset += b->line;
	c->left -= b->line < c->left ? b->line : c->left;
	if (s->head > HTTP_HEAD_MAX)
		w->failed = FAILED_LOST;
	if (event)
		on_event(w, event);
	return 0;
}

static __always_inline bool begins_with_method(const char *b)
{
	return (b[0] == 'G' && b[1] == 'E' && b[2] == 'T') ||
	       (b[0] == 'P' && (b[1] == 'O' || b[1] == 'U' || b[1] == 'A')) ||
	       (b[0] == 'H' && b[1] == 'E') || (b[0] == 'D' && b[1] == 'E') ||
	       (b[0] == 'O' && b[1] == 'P');
}

/* For empty lines in a segment that came ahead. */
struct gaze {
	struct __sk_buff *skb;
	struct ahead *ahead;
	u32 offset, length;
};

/* The highest bit of each byte that is c; all others are 0. */
static __always_inline u64 bytes_that_are(u64 word, u8 c)
{
	u64 x = word ^ (0x0101010101010101ULL * c);

	return ~(((x & 0x7f7f7f7f7f7f7f7fULL) + 0x7f7f7f7f7f7f7f7fULL) | x | 0x7f7f7f7f7f7f7f7fULL);
}

static long gaze_step(u32 index, struct gaze *g)
{
	u32 at = index * 8, n = g->length - at;
	u64 first, second, third, ends;
	char b[16] = {};

	if (at >= g->length || !g->ahead)
		return 1;
	if (n > 10)
		n = 10;
	if (bpf_skb_load_bytes(g->skb, g->offset + at, b, one_to(n, 16)))
		return 1;
	__builtin_memcpy(&first, b, 8);
	__builtin_memcpy(&second, b + 1, 8);
	__builtin_memcpy(&third, b + 2, 8);
	ends = bytes_that_are(first, '\n') &
	       (bytes_that_are(second, '\n') |
		       (bytes_that_are(second, '\r') & bytes_that_are(third, '\n')));
	if (ends && g->ahead->heads < 8)
		g->ahead->heads += ends & (ends - 1) ? 2 : 1;
	return 0;
}

#define AHEAD_FIRST 1 /* the segment is the stretch's first one */
#define AHEAD_LAST 2

/* Looks at the bytes of a segment that came ahead: they will not come again. */
__attribute__((noinline)) int look_ahead(
	struct __sk_buff *skb, struct ahead *a, const struct packet *p, u32 where)
{
	char begin[8] = {}, end[4] = {};
	struct gaze g = {};

	if (!a || !p || !p->length)
		return 0;
	if (p->length >= 8)
		bpf_skb_load_bytes(skb, p->offset, begin, 8);
	else
		bpf_skb_load_bytes(skb, p->offset, begin, 1);
	if (p->length >= 4)
		bpf_skb_load_bytes(skb, p->offset + p->length - 4, end, 4);
	if (where & AHEAD_FIRST)
		a->method = begins_with_method(begin) ? http_method_of(begin) : HTTP_METHODS;
	if (where & AHEAD_LAST)
		a->ends_head = end[0] == '\r' && end[1] == '\n' && end[2] == '\r' && end[3] == '\n';
	/* An empty line may lie over the joint of two segments or of a gap, or too far away. */
	if (begin[0] == '\r' || begin[0] == '\n' || p->length > AHEAD_STEPS * 8)
		a->unclear = 1;
	g = (struct gaze) { skb, a, p->offset, p->length };
	bpf_loop(AHEAD_STEPS, gaze_step, &g, 0);
	return 0;
}

/* A segment with something missing before it, outside of a body. Those that join are one stretch.
 */
static __always_inline void keep_ahead(
	struct ahead *a, struct __sk_buff *skb, const struct packet *p)
{
	u32 begin = p->sequence, end = begin + p->length, last = a->sequence + a->length;
	u32 where = 0;

	if (!a->length) {
		a->broken = a->unclear = a->heads = 0;
		a->sequence = last = begin;
		where = AHEAD_FIRST;
	} else if ((s32)(begin - last) > 0 || (s32)(a->sequence - end) > 0) {
		a->broken = 1; /* with a gap of their own */
		return;
	}
	if ((s32)(a->sequence - begin) > 0)
		where |= AHEAD_FIRST;
	if ((s32)(end - last) > 0)
		where |= AHEAD_LAST;
	if (!where)
		return; /* once more */
	look_ahead(skb, a, p, where);
	if (where & AHEAD_FIRST)
		a->sequence = begin;
	a->length = (where & AHEAD_LAST ? end : last) - a->sequence;
}

/*
 * What came ahead ends a head, the only one that ends there. Which method it has must be known, and
 * whether a body follows: of those that usually have one, a length was seen before the gap.
 */
static __always_inline bool ends_one_head(struct http_stream *s, const struct ahead *a)
{
	if (!a->ends_head || a->heads != 1 || a->unclear)
		return false;
	if (s->stage == HTTP_FIRST_LINE) {
		s->method = a->method;
		if (s->seen) {
			if (s->seen < HTTP_LINE)
				s->line[http_index(s->seen, HTTP_LINE)] = 0;
			s->method = http_method_of(s->line);
			if (s->method == HTTP_OTHER) /* or its name was cut */
				return false;
		}
		s->first[0] = s->trace_id[0] = 0;
	} else if (s->stage != HTTP_HEADERS)
		return false;
	return s->flags & (HTTP_FLAG_LENGTH | HTTP_FLAG_CHUNKED) || s->method == HTTP_GET ||
	       s->method == HTTP_HEAD || s->method == HTTP_DELETE || s->method == HTTP_OPTIONS;
}

/* The gap before what came ahead is filled: what can be said of it without its bytes? */
static __always_inline void take_ahead(struct walk *w)
{
	struct connection *c = w->c;
	struct http_stream *s = w->s;
	struct ahead *a = &c->ahead;
	u32 n = a->length, again = c->in_next - a->sequence;

	if (!n || (s32)again < 0 || w->failed)
		return;
	a->length = 0;
	if (a->broken) {
		w->failed = FAILED_LOST;
		return;
	}
	if (again >= n)
		return; /* all of it has come once more */
	n -= again;
	c->in_next += n;
	if (!http_wants_lines(s) && s->left >= n)
		on_event(w, http_skip(s, n));
	else if (again == 0 && ends_one_head(s, a)) {
		s->seen = 0;
		on_event(w, HTTP_HEAD_DONE);
	} else
		w->failed = FAILED_LOST;
}

/* Bytes have got to TCP that were not seen here: what is missing will not come. */
static __always_inline bool has_missed(struct walk *w, u32 next)
{
	struct bpf_sock *sk = w->skb->sk;
	struct bpf_tcp_sock *tcp;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	tcp = sk ? bpf_tcp_sock(sk) : NULL;
	return tcp && (s32)(tcp->rcv_nxt - next) > 0;
}

/*
 * What is new of this segment, by its sequence number: retransmissions and duplicates are seen
 * again here. Returns the number of bytes to leave out at the beginning, or -1 for all of them.
 */
static __always_inline int old_bytes(struct walk *w, const struct packet *p)
{
	struct connection *c = w->c;
	struct http_stream *s = w->s;
	u32 *next = w->ingress ? &c->in_next : &c->out_next;
	u8 *known = w->ingress ? &c->in_known : &c->out_known;
	s32 beyond;

	if (!*known) {
		*known = 1;
		*next = p->sequence;
	}
	beyond = (s32)(p->sequence - *next);
	if (beyond < 0) {
		u32 old = (u32)-beyond;

		if (old >= p->length)
			return -1;
		*next = p->sequence + p->length;
		return (int)old;
	}
	if (beyond > WINDOW_MAX)
		return -1;
	if (beyond > 0) {
		/* Of a body it does not matter what was missing. */
		if (!http_wants_lines(s) && s->left >= (u64)beyond)
			on_event(w, http_skip(s, beyond));
		else if (w->ingress && !has_missed(w, *next)) {
			/* An older stretch whose gap was filled by sending all of it again. */
			if ((s32)(c->ahead.sequence + c->ahead.length - *next) <= 0)
				c->ahead.length = 0;
			keep_ahead(&c->ahead, w->skb, p);
			return -1;
		} else
			w->failed = FAILED_LOST;
	}
	*next = p->sequence + p->length;
	return 0;
}

/* What the server of HTTP/2 says first: a frame of SETTINGS on stream 0, RFC 9113, 3.4. */
static __always_inline bool is_http2_settings(const char *b)
{
	return b[0] == 0 && b[1] == 0 && b[3] == 4 && b[4] == 0 && b[5] == 0 && b[6] == 0 &&
	       b[7] == 0;
}

/* What the first bytes of a connection say; `at` is where they lie in the packet. */
static __always_inline void find_role(struct connection *c, struct http_totals *t,
	struct __sk_buff *skb, u32 at, u32 length, bool ingress)
{
	char first[8] = {};

	if (length >= 8)
		bpf_skb_load_bytes(skb, at, first, 8);
	else
		bpf_skb_load_bytes(skb, at, first, 1);
	if (c->role == ROLE_JOINED && !begins_with_method(first))
		return; /* in the middle of something */
	if (c->role == ROLE_NEW && ingress == (bool)c->connecting) {
		/* The side that was called speaks first: mail, databases, shells. */
		give_up(c, t,
			is_http2_settings(first) ? HTTP_UNTRACKED_HTTP2 : HTTP_UNTRACKED_NOT_HTTP);
		return;
	}
	if (first[0] == 0x16) {
		give_up(c, t, HTTP_UNTRACKED_TLS);
		return;
	}
	if (first[0] == 'P' && first[1] == 'R' && first[2] == 'I' && first[3] == ' ') {
		give_up(c, t, HTTP_UNTRACKED_HTTP2);
		return;
	}
	/* A token or an empty line; everything else is no request. */
	if (!(first[0] >= 'A' && first[0] <= 'Z') && first[0] != '\r' && first[0] != '\n') {
		give_up(c, t, HTTP_UNTRACKED_NOT_HTTP);
		return;
	}
	c->joined = c->role == ROLE_JOINED;
	c->role = ingress ? ROLE_SERVER : ROLE_CLIENT;
	if (ingress)
		c->out.flags = HTTP_FLAG_RESPONSE;
}

/* The first bytes of a connection, if these are they: others may have overtaken them. */
static __always_inline void begin_conversation(struct connection *c, struct http_totals *t,
	struct __sk_buff *skb, const struct packet *p, bool ingress)
{
	s32 beyond = 0;

	if (ingress && c->in_known)
		beyond = (s32)(p->sequence - c->in_next);
	if (beyond > 0 && beyond <= WINDOW_MAX)
		keep_ahead(&c->ahead, skb, p);
	else if (beyond <= 0 && (u32)-beyond < p->length)
		find_role(c, t, skb, p->offset + (u32)-beyond, p->length - (u32)-beyond, ingress);
}

static __always_inline struct bench *take_bench(struct scratch *s, u32 *ret_at)
{
	for (u32 i = 0; i < SCRATCHES; i++)
		if (!__sync_lock_test_and_set(&s->busy[i], 1)) {
			*ret_at = i;
			return &s->benches[i];
		}
	return NULL;
}

/* Not inlined: the verifier looks at it once, whatever the packet looked like. */
__attribute__((noinline)) int take_payload(struct __sk_buff *skb, struct connection *c,
	struct http_totals *t, const struct packet *p, bool ingress)
{
	u32 zero = 0, at = 0;
	struct scratch *scratch;
	struct cursor *cursor;
	struct walk w = {};
	int old;

	if (!c || !t || !p)
		return 0;
	if (c->role == ROLE_NEW || c->role == ROLE_JOINED)
		begin_conversation(c, t, skb, p, ingress);
	/* What a peer answers is not looked at. */
	if (c->role != ROLE_SERVER && (c->role != ROLE_CLIENT || ingress))
		return 0;
	w = (struct walk) { .skb = skb, .c = c, .t = t, .ingress = ingress };
	w.s = ingress ? &c->in : &c->out;
	w.now = bpf_ktime_get_ns();
	old = old_bytes(&w, p);
	if (old >= 0 && !w.failed && w.s->stage != HTTP_FOREIGN && w.s->stage != HTTP_UNTIL_CLOSE) {
		scratch = bpf_map_lookup_elem(&scratches, &zero);
		if (!scratch)
			return 0;
		w.bench = take_bench(scratch, &at);
		if (w.bench) {
			cursor = ingress ? &c->cursors[1] : &c->cursors[0];
			cursor->offset = p->offset + (u32)old;
			cursor->left = p->length - (u32)old;
			bpf_loop(WALK_STEPS, walk_step, &w, 0);
			if (cursor->left && !w.failed && w.s->stage != HTTP_FOREIGN &&
				w.s->stage != HTTP_UNTIL_CLOSE)
				w.failed = FAILED_LOST;
			/* Ingress is not under the socket's lock: another CPU was here too. */
			if (ingress && c->in_next != p->sequence + p->length)
				w.failed = FAILED_LOST;
			scratch->busy[at & (SCRATCHES - 1)] = 0;
			if (ingress && c->ahead.length)
				take_ahead(&w);
		} else
			w.failed = FAILED_LOST;
	}
	if (w.failed == FAILED_LOST)
		lose_track(c, t);
	else if (w.failed)
		give_up(c, t, w.failed - 1);
	return 0;
}

/* At the listening socket: the end of a handshake that brings data. */
static __attribute__((noinline)) int take_early(struct __sk_buff *skb, struct packet *p)
{
	struct http_totals *nobody = totals_of(0);
	struct connection *c, *empty;
	struct ends ends;
	u32 zero = 0, unit;

	if (!p || !nobody || !p->length || p->flags & TCP_RST || !read_ends(skb, p, &ends))
		return 0;
	unit = find_unit(skb);
	empty = bpf_map_lookup_elem(&blank, &zero);
	if (!unit || !empty)
		return 0;
	c = bpf_map_lookup_elem(&early, &ends);
	if (c && c->in_known && c->in_next == p->sequence + p->length)
		return 0; /* once more */
	if (bpf_map_update_elem(&early, &ends, empty, BPF_ANY))
		return 0;
	c = bpf_map_lookup_elem(&early, &ends);
	if (!c)
		return 0;
	/* Data on a SYN comes behind the sequence number that the SYN itself takes. */
	if (p->flags & TCP_SYN)
		p->sequence++;
	c->early_unit = unit;
	c->early_from = p->sequence;
	c->early_length = p->length;
	keep_ahead(&c->ahead, skb, p); /* and whether it was, only the socket will know */
	take_payload(skb, c, nobody, p, true);
	return 0;
}

/* Moves what came with the handshake to its socket: from now on it counts. */
static __always_inline void adopt_early(struct connection *c, u32 unit)
{
	struct http_totals *t = totals_of(unit);

	c->unit = unit;
	if (!t)
		return;
	if (c->role == ROLE_UNTRACKED)
		count(&t->untracked[c->reason < HTTP_UNTRACKED_REASONS ? c->reason : 0]);
	if (c->role == ROLE_SERVER && c->open) {
		if (!has_detail(t, unit)) {
			count(&t->untracked[HTTP_UNTRACKED_FULL]);
			c->role = ROLE_UNTRACKED;
			return;
		}
		__sync_fetch_and_add(&t->started, c->open);
	}
}

static __attribute__((noinline)) struct connection *begin_connection(
	struct __sk_buff *skb, struct bpf_sock *sk, const struct packet *p, bool ingress)
{
	u32 unit = find_unit(skb);
	struct http_totals *t = totals_of(unit);
	struct connection *c, *moved = NULL;
	struct bpf_tcp_sock *tcp;
	struct ends ends;
	u16 port = p->from;

	if (!unit || !t)
		return NULL;
	/* A handshake that is not over, and yet data: TCP Fast Open. */
	if (sk->state == TCP_SYN_RECV && read_ends(skb, p, &ends)) {
		struct ends other = { .from_port = ends.to_port, .to_port = ends.from_port };

		if (!ingress) {
			__builtin_memcpy(other.from, ends.to, 16);
			__builtin_memcpy(other.to, ends.from, 16);
			ends = other;
		}
		moved = bpf_map_lookup_elem(&early, &ends);
	}
	c = bpf_sk_storage_get(&connections, sk, moved, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c) {
		count(&t->untracked[HTTP_UNTRACKED_FULL]);
		return NULL;
	}
	if (moved) {
		bpf_map_delete_elem(&early, &ends);
		adopt_early(c, unit);
		return c;
	}
	c->unit = unit;
	c->connecting = !ingress && p->flags & TCP_SYN;
	/* Bytes went by before we looked: this is the middle of a conversation. */
	tcp = bpf_tcp_sock(sk);
	if (tcp && (tcp->bytes_received || tcp->bytes_acked > 1))
		c->role = ROLE_JOINED;
	else if (tcp && ingress) {
		c->in_next = tcp->rcv_nxt;
		c->in_known = 1;
	}
	if (ingress && bpf_map_lookup_elem(&probe_ports, &port))
		c->role = ROLE_UNTRACKED;
	return c;
}

/* A segment of a connection that is known. */
static __always_inline void take_packet(
	struct __sk_buff *skb, struct connection *c, const struct packet *p, bool ingress)
{
	struct http_totals *t = totals_of(c->unit);

	if (!t)
		return;
	if (p->length && !(p->flags & TCP_SYN))
		take_payload(skb, c, t, p, ingress);
	if (p->flags & (TCP_FIN | TCP_RST)) {
		/* A reset that TCP will not believe changes nothing. */
		if (ingress && !c->server_gone &&
			(!c->in_known || (s32)(p->sequence - c->in_next) <= WINDOW_MAX))
			c->client_gone = 1;
		else if (!ingress && c->out.stage == HTTP_UNTIL_CLOSE && c->role == ROLE_SERVER)
			answer_ends(c, t, bpf_ktime_get_ns());
	}
}

static __always_inline int packet_passes(struct __sk_buff *skb, bool ingress)
{
	struct bpf_sock *sk = skb->sk;
	struct connection *c;
	struct packet p = {};
	u32 state;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_TCP)
		return 1;
	state = sk->state;
	if (state == TCP_LISTEN) {
		if (ingress && parse_packet(skb, &p) && p.length)
			take_early(skb, &p);
		return 1;
	}
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (c && c->role == ROLE_UNTRACKED)
		return 1;
	if (!parse_packet(skb, &p))
		return 1;
	if (!c) {
		if (p.length == 0 && (ingress || state != TCP_SYN_SENT))
			return 1;
		c = begin_connection(skb, sk, &p, ingress);
		if (!c)
			return 1;
	}
	take_packet(skb, c, &p, ingress);
	return 1;
}

SEC("cgroup_skb/ingress")
int http_in(struct __sk_buff *skb)
{
	return packet_passes(skb, true);
}

SEC("cgroup_skb/egress")
int http_out(struct __sk_buff *skb)
{
	return packet_passes(skb, false);
}

/* The application has copied data out of the socket: what had arrived is being worked on. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(http_read, struct sock *sk)
{
	struct connection *c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	struct http_totals *t;
	struct http_detail *d;
	u32 arrived, read;
	u64 now;

	if (!c || c->role != ROLE_SERVER)
		return 0;
	arrived = *(volatile u32 *)&c->arrived; /* more may arrive meanwhile */
	read = beyond_dropped(c, c->read);
	if (read == arrived)
		return 0;
	t = totals_of(c->unit);
	d = t ? detail_of(t) : NULL;
	if (!d)
		return 0;
	now = bpf_ktime_get_ns();
	for (int i = 0; i < HTTP_PENDING && read != arrived; i++) {
		c->queue_ns = now - arrival_of(c, read);
		observe(d, HTTP_QUEUE, HTTP_CLASS_OTHER, c->queue_ns, 1);
		read++;
	}
	if ((s32)(arrived - read) > 0)
		observe(d, HTTP_QUEUE, HTTP_CLASS_OTHER, now - c->late_ns, arrived - read);
	c->read = arrived;
	return 0;
}

static __always_inline void read_socket_ends(struct sock *sk, struct ends *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->from_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	ret->to_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_num));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO(&ret->from, sk, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&ret->to, sk, __sk_common.skc_v6_rcv_saddr);
		return;
	}
	map_v4(ret->from);
	map_v4(ret->to);
	BPF_CORE_READ_INTO((u32 *)(ret->from + 12), sk, __sk_common.skc_daddr);
	BPF_CORE_READ_INTO((u32 *)(ret->to + 12), sk, __sk_common.skc_rcv_saddr);
}

static __always_inline void connection_begins(struct sock *sk)
{
	struct connection *c, *moved, *empty;
	struct ends ends;
	u32 zero = 0, next;

	read_socket_ends(sk, &ends);
	moved = bpf_map_lookup_elem(&early, &ends);
	empty = bpf_map_lookup_elem(&blank, &zero);
	if (!moved || !empty)
		return;
	next = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	/* What came was not the beginning: only that it came is remembered. */
	if (next - moved->early_from <= moved->early_length)
		c = bpf_sk_storage_get(&connections, sk, moved, BPF_SK_STORAGE_GET_F_CREATE);
	else {
		c = bpf_sk_storage_get(&connections, sk, empty, BPF_SK_STORAGE_GET_F_CREATE);
		if (c && !c->unit) {
			c->ahead = moved->ahead;
			c->ahead.length = moved->early_length;
			c->early_unit = moved->early_unit;
			c->in_next = next;
			c->in_known = 1;
		}
	}
	/* Fast Open: its first answer may have moved it already. */
	if (c && !c->unit)
		adopt_early(c, c->early_unit);
	bpf_map_delete_elem(&early, &ends);
}

static __always_inline u32 why_incomplete(const struct connection *c, struct sock *sk)
{
	if (BPF_CORE_READ(sk, sk_err) == ETIMEDOUT)
		return HTTP_TIMED_OUT;
	if (c->server_died)
		return HTTP_SERVER_DIED;
	return c->client_gone ? HTTP_CLIENT_RESET : HTTP_SERVER_RESET;
}

/* A connection begins, is closed by one side, or is over: then what is open never will be answered.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(http_state, struct sock *sk, int old_state, int new_state)
{
	struct connection *c;
	struct http_totals *t;
	u32 open;

	if (new_state == TCP_ESTABLISHED) {
		if (old_state == TCP_SYN_RECV)
			connection_begins(sk);
		return 0;
	}
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!c)
		return 0;
	t = totals_of(c->unit);
	if (c->role != ROLE_SERVER) {
		/* A request that arrived while another CPU gave up what was open. */
		if (new_state == TCP_CLOSE && t)
			drop_requests(c, t);
		return 0;
	}
	/* The server closes, or the client's FIN or RST, which was seen before, is taken. */
	if (new_state == TCP_LAST_ACK || (old_state == TCP_ESTABLISHED && !c->client_gone)) {
		c->server_gone = 1;
		if (BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), flags) & PF_EXITING)
			c->server_died = 1;
	}
	if (new_state != TCP_CLOSE || !t)
		return 0;
	/* An answer without a length ends with its connection; another one was cut off. */
	if (c->answered_ns) {
		if (c->out.stage != HTTP_UNTIL_CLOSE)
			count(&t->incomplete[why_incomplete(c, sk) & 3]);
		answer_ends(c, t, bpf_ktime_get_ns());
	}
	open = __sync_lock_test_and_set(&c->open, 0);
	if (open) {
		__sync_fetch_and_add(&t->finished, open);
		__sync_fetch_and_add(&t->incomplete[why_incomplete(c, sk) & 3], open);
	}
	c->role = ROLE_UNTRACKED;
	return 0;
}

/*
 * Whether it is the client who is waited for: all that has come of its last request was read, and
 * the rest of the body is missing. Or the request was in a segment that TCP has not taken: then the
 * server cannot know of it.
 */
static __always_inline bool is_clients_turn(const struct connection *c, struct sock *sk)
{
	u32 received = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	u8 stage = c->in.stage;

	if (c->in_known && (s32)(c->in_next - received) > 0)
		return true;
	return (stage == HTTP_BODY || stage == HTTP_CHUNK_SIZE || stage == HTTP_CHUNK ||
		       stage == HTTP_TRAILER) &&
	       received == BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
}

/* One connection of a walk over all: the daemon has set the results to 0 before. */
SEC("iter/bpf_sk_storage_map")
int http_walk(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct connection *c = ctx->value;
	struct sock *sk = ctx->sk;
	struct http_totals *t;
	u32 answered, waiting, unread;
	u64 oldest;

	if (!c || !sk || c->role != ROLE_SERVER)
		return 0;
	answered = beyond_dropped(c, c->answered);
	waiting = c->arrived - answered;
	oldest = c->answered_ns;
	t = totals_of(c->unit);
	if (!t || (!waiting && !oldest))
		return 0;
	if (waiting) {
		u64 arrival = 0;

		/* An iterator's value is read at constant places only. */
#pragma unroll
		for (int i = 0; i < HTTP_PENDING; i++)
			if ((answered & PENDING_MASK) == i)
				arrival = *(volatile u8 *)&c->kept[i] == (u8)answered
						  ? *(volatile u64 *)&c->arrival_ns[i]
						  : c->late_ns;
		if (!oldest)
			oldest = arrival;
		if (is_clients_turn(c, sk))
			waiting--; /* its last request does not wait for the server */
		if (waiting && (!t->oldest_unanswered_ns || arrival < t->oldest_unanswered_ns))
			t->oldest_unanswered_ns = arrival;
		unread = c->arrived - beyond_dropped(c, c->read);
		t->unanswered += waiting;
		t->unread += unread < waiting ? unread : waiting;
	}
	if (!t->oldest_ns || oldest < t->oldest_ns)
		t->oldest_ns = oldest;
	return 0;
}
