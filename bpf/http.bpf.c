// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP of watched units, measured where it passes: requests when they reach the socket, before the
 * application reads them, and answers when they leave it.
 *
 * Hooks: cgroup_skb ingress and egress, attached to the cgroups of watched units and of their
 * sockets; what other services do costs nothing. tp_btf/tcp_rcv_space_adjust tells when the
 * application reads, inet_sock_set_state when a connection ends. Needs bpf_loop: 5.17.
 *
 * No path returns anything but 1: an observer must not drop a packet. One request makes no record
 * for user space: it is counted in a mapped array. `current` means nothing here (softirq):
 * everything hangs on the socket. Programs can be preempted, so that per-CPU scratch is taken by a
 * bit mask.
 */
#include "kernel.h"

#include "http_wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TCP_LISTEN 10
#define TCP_CLOSE 7
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define PENDING_MASK (HTTP_PENDING - 1)
#define TCP_FIN 1
#define TCP_RST 4

/* Place of each status code; filled in by the daemon. */
const volatile __u8 code_place[1024];
/* Inclusive upper bounds in nanoseconds, ascending; filled in by the daemon. */
const volatile __u64 bounds[HTTP_BUCKETS];

enum role {
	ROLE_NEW,    /* nothing seen yet */
	ROLE_JOINED, /* met in the middle: waiting for a request at the beginning of a segment */
	ROLE_SERVER,
	ROLE_CLIENT,
	ROLE_UNTRACKED,
};

struct connection {
	struct http_stream in, out;
	__u64 arrival_ns[HTTP_PENDING];
	__u64 begin_ns;    /* first byte of the request that is arriving */
	__u64 answered_ns; /* arrival of the request whose answer's body is on its way; 0: none */
	__u32 in_next, out_next; /* sequence numbers */
	__u32 slot;
	/* Of the segment that is being looked at, ingress and egress: next byte, and bytes that
	 * come. */
	struct cursor {
		__u32 offset, left;
	} cursors[2];
	__u8 method[HTTP_PENDING];
	/* Counters modulo 256 of requests: arrived (written by ingress), answered (egress), read.
	 */
	__u8 arrived, answered, read;
	__u8 role;
	__u8 in_known, out_known; /* in_next and out_next are valid */
	__u8 client_gone;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} connections SEC(".maps");

/* cgroup id -> slot in `units`; only cgroups to which the programs are attached, and their
 * children. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u32);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HTTP_UNITS);
	__type(key, u32);
	__type(value, struct http_unit);
} units SEC(".maps");

#define SCRATCHES 4 /* programs on one CPU that have preempted each other */

struct scratch {
	struct http_block block[SCRATCHES];
	u32 busy; /* bit mask */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct http_unit *unit_of(u32 slot)
{
	return bpf_map_lookup_elem(&units, &slot);
}

static __always_inline void count(__u32 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* Index of the first bound that is not below the value: 8 steps for 168 bounds. */
static __always_inline u32 bucket_of(u64 ns)
{
	u32 low = 0, high = HTTP_BUCKETS - 1;

	for (int i = 0; i < 8; i++) {
		u32 middle = (low + high) / 2;

		if (low >= high)
			break;
		if (ns <= bounds[middle < HTTP_BUCKETS ? middle : 0])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static __always_inline void observe(struct http_unit *u, u32 clock, u64 ns)
{
	u32 bucket = bucket_of(ns);

	if (bucket < HTTP_BUCKETS && clock < HTTP_CLOCKS) {
		count(&u->histograms[clock][bucket]);
		__sync_fetch_and_add(&u->sums_ns[clock], ns);
	}
}

static __always_inline void give_up(struct connection *c, struct http_unit *u, u32 reason)
{
	if (c->role == ROLE_SERVER) {
		u8 open = c->arrived - c->answered;

		__sync_fetch_and_add(&u->finished, open); /* nobody will see them end */
	}
	c->role = ROLE_UNTRACKED;
	if (reason < HTTP_UNTRACKED_REASONS)
		count(&u->untracked[reason]);
}

struct packet {
	u32 offset; /* of the payload from the network header */
	u32 length; /* of the payload */
	u32 sequence;
	u32 flags; /* TCP_FIN, TCP_RST */
};

/* IPv6 extension headers that may stand before TCP: hop-by-hop, routing, destination options. */
static __always_inline bool is_extension(u8 next)
{
	return next == 0 || next == 43 || next == 60;
}

/* The TCP header from its first 14 bytes on. */
static __always_inline void take_tcp(struct packet *p, const u8 *tcp, u32 transport, u32 total)
{
	p->offset = transport + (tcp[12] >> 4) * 4u;
	p->length = total > p->offset ? total - p->offset : 0;
	p->sequence = (u32)tcp[4] << 24 | (u32)tcp[5] << 16 | (u32)tcp[6] << 8 | tcp[7];
	p->flags = tcp[13];
}

static __attribute__((noinline)) int parse_slowly(struct __sk_buff *skb, struct packet *p)
{
	u8 head[40], tcp[20];
	u32 transport;

	if (skb->protocol == __builtin_bswap16(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, head, 20) || head[9] != IPPROTO_TCP)
			return false;
		transport = (head[0] & 15u) * 4;
	} else if (skb->protocol == __builtin_bswap16(ETH_P_IPV6)) {
		u8 next;

		if (bpf_skb_load_bytes(skb, 0, head, 40))
			return false;
		next = head[6];
		transport = 40;
		for (int i = 0; i < 4 && is_extension(next); i++) {
			u8 extension[2];

			if (bpf_skb_load_bytes(skb, transport, extension, 2))
				return false;
			next = extension[0];
			transport += (extension[1] + 1u) * 8;
		}
		if (next != IPPROTO_TCP)
			return false;
	} else
		return false;
	if (bpf_skb_load_bytes(skb, transport, tcp, 20))
		return false;
	take_tcp(p, tcp, transport, skb->len);
	return true;
}

/* The usual packet, IPv4 or IPv6 without options, has both headers in its linear part: read in
 * place. */
static __always_inline int parse_packet(struct __sk_buff *skb, struct packet *p)
{
	const u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 60 <= end && data[0] == 0x60 && data[6] == IPPROTO_TCP) {
		take_tcp(p, data + 40, 40, skb->len);
		return true;
	}
	if (data + 40 <= end && data[0] == 0x45 && data[9] == IPPROTO_TCP) {
		take_tcp(p, data + 20, 20, skb->len);
		return true;
	}
	return parse_slowly(skb, p);
}

/* One direction's walk over the payload of a packet. */
struct walk {
	struct __sk_buff *skb;
	struct connection *c;
	struct http_unit *u;
	struct http_stream *s;
	struct http_block *block;
	u64 now;
	u32 ingress;
	u32 failed;
};

static long scan_step(u32 index, struct http_scan *x)
{
	return http_scan_step(x);
}

static __always_inline void request_arrives(struct walk *w)
{
	struct connection *c = w->c;
	u8 at = c->arrived & PENDING_MASK;

	/* More in flight than are told apart: the last place stands for all of them. */
	if ((u8)(c->arrived - c->answered) >= HTTP_PENDING)
		at = (c->arrived - 1) & PENDING_MASK;
	c->arrival_ns[at] = c->begin_ns;
	c->method[at] = w->s->method;
	c->arrived++;
	count(&w->u->started);
}

static __always_inline void answer_ends(struct walk *w)
{
	struct connection *c = w->c;

	if (!c->answered_ns)
		return;
	observe(w->u, HTTP_DURATION, w->now - c->answered_ns);
	c->answered_ns = 0;
	count(&w->u->finished);
}

/* The head of a response on a server's connection; true: it has no body, whatever it says. */
static __always_inline bool answer_begins(struct walk *w)
{
	struct connection *c = w->c;
	u16 status = w->s->status;
	u8 at = c->answered & PENDING_MASK, method;

	if (status == 101) { /* what follows is another protocol */
		w->failed = HTTP_UNTRACKED_OTHER + 1;
		status = 200;
	}
	if (status < 200)
		return true;
	if (c->answered == c->arrived)
		return false; /* an answer to nothing that we saw */
	method = c->method[at];
	observe(w->u, HTTP_FIRST_BYTE, w->now - c->arrival_ns[at]);
	if (method < HTTP_METHODS) {
		u32 place = code_place[w->s->status & 1023];

		if (place < HTTP_CODES)
			count(&w->u->codes[method][place]);
	}
	c->answered_ns = c->arrival_ns[at];
	c->answered++;
	return method == HTTP_HEAD || status == 204 || status == 304;
}

static __always_inline void on_event(struct walk *w, u32 event)
{
	struct connection *c = w->c;
	bool bodiless = false, response = w->s->flags & HTTP_FLAG_RESPONSE;

	if (event == HTTP_NOT_HTTP) {
		w->failed = HTTP_UNTRACKED_OTHER + 1;
		return;
	}
	if (event == HTTP_HEAD_DONE) {
		if (response && c->role == ROLE_SERVER)
			bodiless = answer_begins(w);
		else if (response)
			bodiless = w->s->status < 200 || w->s->status == 204 || w->s->status == 304;
		else if (c->role == ROLE_CLIENT)
			count(&w->u->outgoing);
		http_after_head(w->s, bodiless);
		if (!(w->s->flags & HTTP_FLAG_BODY) && response && w->s->status >= 200)
			answer_ends(w);
		return;
	}
	if (event == HTTP_MESSAGE_DONE && response && c->role == ROLE_SERVER)
		answer_ends(w);
}

/* A stretch of the payload: the rest of a body, or some lines. 1 ends the walk. */
static long walk_step(u32 index, struct walk *w)
{
	struct cursor *c = w->ingress ? &w->c->cursors[1] : &w->c->cursors[0];
	struct http_stream *s = w->s;
	u32 n = c->left;

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
	/* The clock of a request starts with its first byte. */
	if (s->stage == HTTP_FIRST_LINE && !(s->flags & HTTP_FLAG_RESPONSE) && s->seen == 0 &&
		s->head == 0)
		w->c->begin_ns = w->now;
	if (n > HTTP_BLOCK)
		n = HTTP_BLOCK;
	if (n < 1 || bpf_skb_load_bytes(w->skb, c->offset, w->block->bytes, n)) {
		w->failed = HTTP_UNTRACKED_LOST + 1;
		return 1;
	}
	struct http_scan x = { .stream = s, .block = w->block };
	struct http_block *b = w->block;
	u32 event;

	b->at = b->line = b->event = 0;
	b->n = n;
	bpf_loop(HTTP_SCAN_STEPS, scan_step, &x, 0);
	event = b->event;
	c->offset += b->line;
	c->left -= b->line < c->left ? b->line : c->left;
	if (s->head > HTTP_HEAD_MAX)
		w->failed = HTTP_UNTRACKED_LOST + 1;
	if (event == HTTP_HEAD_DONE && !(s->flags & HTTP_FLAG_RESPONSE) &&
		w->c->role == ROLE_SERVER)
		request_arrives(w);
	if (event)
		on_event(w, event);
	return 0;
}

/*
 * What is new of this segment, by its sequence number: retransmissions and duplicates are seen
 * again here. Returns the number of bytes to leave out at the beginning, or -1 for all of them.
 */
static __always_inline int old_bytes(
	struct http_stream *s, u32 *next, u8 *known, const struct packet *p)
{
	s32 ahead = (s32)(p->sequence - *next);

	if (!*known) {
		*known = 1;
		*next = p->sequence;
		ahead = 0;
	}
	if (ahead < 0) {
		u32 old = (u32)-ahead;

		if (old >= p->length)
			return -1;
		*next = p->sequence + p->length;
		return (int)old;
	}
	if (ahead > 0) {
		/* A hole: bytes that come later or never came by. Of a body it does not matter. */
		if (!http_wants_lines(s) && s->left > (u64)ahead)
			s->left -= (u32)ahead;
	}
	*next = p->sequence + p->length;
	return 0;
}

static __always_inline bool begins_with_method(const char *b)
{
	return (b[0] == 'G' && b[1] == 'E' && b[2] == 'T') ||
	       (b[0] == 'P' && (b[1] == 'O' || b[1] == 'U' || b[1] == 'A')) ||
	       (b[0] == 'H' && b[1] == 'E') || (b[0] == 'D' && b[1] == 'E') ||
	       (b[0] == 'O' && b[1] == 'P');
}

/* What the first bytes of a connection say. */
static __always_inline void find_role(struct connection *c, struct http_unit *u,
	struct __sk_buff *skb, const struct packet *p, bool ingress)
{
	char first[8] = {};

	if (p->length >= 8)
		bpf_skb_load_bytes(skb, p->offset, first, 8);
	else
		bpf_skb_load_bytes(skb, p->offset, first, 1);
	if (c->role == ROLE_JOINED && !begins_with_method(first))
		return; /* in the middle of something */
	if (first[0] == 0x16) {
		give_up(c, u, HTTP_UNTRACKED_TLS);
		return;
	}
	if (first[0] == 'P' && first[1] == 'R' && first[2] == 'I' && first[3] == ' ') {
		give_up(c, u, HTTP_UNTRACKED_HTTP2);
		return;
	}
	/* A token or an empty line; everything else is no request. */
	if (!(first[0] >= 'A' && first[0] <= 'Z') && first[0] != '\r' && first[0] != '\n') {
		give_up(c, u, HTTP_UNTRACKED_OTHER);
		return;
	}
	c->role = ingress ? ROLE_SERVER : ROLE_CLIENT;
	if (ingress)
		c->out.flags = HTTP_FLAG_RESPONSE;
	else
		c->in.flags = HTTP_FLAG_RESPONSE;
}

static __always_inline struct http_block *take_block(struct scratch *s, u32 *ret_bit)
{
	for (u32 i = 0; i < SCRATCHES; i++)
		if (!(__sync_fetch_and_or(&s->busy, 1u << i) & 1u << i)) {
			*ret_bit = 1u << i;
			return &s->block[i];
		}
	return NULL;
}

/* Not inlined: the verifier looks at it once, whatever the packet looked like. */
__attribute__((noinline)) int take_payload(struct __sk_buff *skb, struct connection *c,
	struct http_unit *u, const struct packet *p, bool ingress)
{
	u32 zero = 0, bit = 0;
	struct scratch *scratch;
	struct cursor *cursor;
	struct http_stream *s;
	struct walk w = {};
	int old;

	if (!c || !u || !p)
		return 0;
	s = ingress ? &c->in : &c->out;
	w = (struct walk) { .skb = skb, .c = c, .u = u, .s = s, .ingress = ingress };

	if (c->role == ROLE_NEW || c->role == ROLE_JOINED)
		find_role(c, u, skb, p, ingress);
	if (c->role != ROLE_SERVER && c->role != ROLE_CLIENT)
		return 0;
	old = ingress ? old_bytes(s, &c->in_next, &c->in_known, p)
		      : old_bytes(s, &c->out_next, &c->out_known, p);
	if (old < 0 || s->stage == HTTP_FOREIGN || s->stage == HTTP_UNTIL_CLOSE)
		return 0;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return 0;
	w.block = take_block(scratch, &bit);
	if (!w.block) {
		give_up(c, u, HTTP_UNTRACKED_LOST);
		return 0;
	}
	cursor = ingress ? &c->cursors[1] : &c->cursors[0];
	cursor->offset = p->offset + (u32)old;
	cursor->left = p->length - (u32)old;
	w.now = bpf_ktime_get_ns();
	bpf_loop(2048, walk_step, &w, 0);
	__sync_fetch_and_and(&scratch->busy, ~bit);
	if (w.failed)
		give_up(c, u, w.failed - 1);
	return 0;
}

static __always_inline int packet_passes(struct __sk_buff *skb, bool ingress)
{
	struct bpf_sock *sk = skb->sk;
	struct connection *c;
	struct http_unit *u;
	struct packet p;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_TCP || sk->state == TCP_LISTEN)
		return 1;
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (c && c->role == ROLE_UNTRACKED)
		return 1;
	if (!parse_packet(skb, &p))
		return 1;
	if (!c) {
		u64 id = bpf_skb_cgroup_id(skb);
		struct bpf_tcp_sock *tcp;
		u32 *slot;

		if (p.length == 0)
			return 1;
		slot = bpf_map_lookup_elem(&slots, &id);
		if (!slot || !unit_of(*slot))
			return 1;
		c = bpf_sk_storage_get(&connections, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (!c) {
			u = unit_of(*slot);
			if (u)
				count(&u->untracked[HTTP_UNTRACKED_FULL]);
			return 1;
		}
		c->slot = *slot;
		tcp = bpf_tcp_sock(sk);
		/* Bytes went by before we looked: this is the middle of a conversation. */
		if (tcp && (tcp->bytes_received || tcp->bytes_acked > 1))
			c->role = ROLE_JOINED;
	}
	u = unit_of(c->slot);
	if (!u)
		return 1;
	if (ingress && p.flags & (TCP_FIN | TCP_RST))
		c->client_gone = 1;
	if (p.length)
		take_payload(skb, c, u, &p, ingress);
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

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock {
	int __unused_but_named; /* never read: the socket is only a key here */
};
#pragma clang attribute pop

/* The application has copied data out of the socket: requests that had arrived are being worked on.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(http_read, struct sock *sk)
{
	struct connection *c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	struct http_unit *u;
	u64 now;

	if (!c || c->role != ROLE_SERVER || c->read == c->arrived)
		return 0;
	u = unit_of(c->slot);
	if (!u)
		return 0;
	now = bpf_ktime_get_ns();
	for (int i = 0; i < HTTP_PENDING; i++) {
		if (c->read == c->arrived)
			break;
		observe(u, HTTP_QUEUE, now - c->arrival_ns[c->read & PENDING_MASK]);
		c->read++;
	}
	c->read = c->arrived;
	return 0;
}

/* The connection is over: what was not answered never will be. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(http_closed, struct sock *sk, int old_state, int new_state)
{
	struct connection *c;
	struct http_unit *u;
	u64 now;
	u8 open;

	if (new_state != TCP_CLOSE)
		return 0;
	c = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!c || c->role != ROLE_SERVER)
		return 0;
	u = unit_of(c->slot);
	if (!u)
		return 0;
	/* An answer without a length ends with its connection; another one was cut off. */
	if (c->answered_ns) {
		now = bpf_ktime_get_ns();
		observe(u, HTTP_DURATION, now - c->answered_ns);
		count(&u->finished);
		if (c->out.stage != HTTP_UNTIL_CLOSE)
			count(&u->incomplete[c->client_gone ? HTTP_CLIENT_GONE : HTTP_SERVER_GONE]);
		c->answered_ns = 0;
	}
	open = c->arrived - c->answered;
	if (open) {
		__sync_fetch_and_add(&u->finished, open);
		__sync_fetch_and_add(
			&u->incomplete[c->client_gone ? HTTP_CLIENT_GONE : HTTP_SERVER_GONE], open);
	}
	c->role = ROLE_UNTRACKED;
	return 0;
}
