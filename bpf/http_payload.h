/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The payload of a segment: what the first bytes of a connection say about it, and which bytes of
 * each segment are new. Retransmissions and duplicates pass here too.
 */
#ifndef MENDD_HTTP_PAYLOAD_H
#define MENDD_HTTP_PAYLOAD_H

#include "http_ahead.h"

/* What lies further ahead of the next byte than any window is no part of this connection. */
#define WINDOW_MAX (1 << 26)
/*
 * Messages and chunks in one packet: of 64 KiB, as many as there can be (a chunk of one byte takes
 * three where no line end follows it, and a step). In larger ones there may be more; then it is
 * said that they are lost.
 */
#define WALK_STEPS 22000

/* Bytes have got to TCP that were not seen here: what is missing will not come. */
static __always_inline bool has_missed(struct __sk_buff *skb, u32 next)
{
	struct bpf_sock *sk = skb->sk;
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
	struct direction *d = w->d;
	struct http_stream *s = &d->stream;
	s32 beyond;

	if (!d->known) {
		d->known = 1;
		d->next = p->sequence;
	}
	beyond = (s32)(p->sequence - d->next);
	if (beyond < 0) {
		u32 old = (u32)-beyond;

		if (old >= p->length)
			return -1;
		d->next = p->sequence + p->length;
		return (int)old;
	}
	if (beyond > WINDOW_MAX)
		return -1;
	/* Of a body it does not matter what was missing. */
	if (beyond > 0 && s->stage != HTTP_UNTIL_CLOSE) {
		if (!http_wants_lines(s) && s->left >= (u64)beyond)
			on_event(c, w->t, d, w->b, http_skip(s, beyond));
		else if (w->b->ingress && !has_missed(w->skb, d->next)) {
			/* An older stretch whose gap was filled by sending all of it again. */
			if ((s32)(c->ahead.sequence + c->ahead.length - d->next) <= 0)
				c->ahead.length = 0;
			keep_ahead(&c->ahead, w->skb, p);
			return -1;
		} else
			w->b->failed = FAILED_LOST;
	}
	d->next = p->sequence + p->length;
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
	u32 was = *(volatile u32 *)&c->role, role = ingress ? ROLE_SERVER : ROLE_CLIENT;
	char first[8] = {};

	if (was != ROLE_NEW && was != ROLE_JOINED)
		return; /* the other end's first words, on another CPU, have just said what it is */
	load_beginning(skb, at, length, first);
	/* In the middle of something; or on the other side than before, and then it is none. */
	if (was == ROLE_JOINED &&
		(http_method_of(first) == HTTP_OTHER || (c->was && c->was != role)))
		return;
	if (was == ROLE_NEW && ingress == (bool)c->connecting) {
		/* The side that was called speaks first: mail, databases, shells. */
		give_up(c, t,
			is_http2_settings(first) ? HTTP_UNTRACKED_HTTP2 : HTTP_UNTRACKED_NOT_HTTP);
		return;
	}
	if (first[0] == 0x16) {
		give_up(c, t, HTTP_UNTRACKED_TLS);
		return;
	}
	if (is_http2_preface(first)) {
		give_up(c, t, HTTP_UNTRACKED_HTTP2);
		return;
	}
	/* A token or an empty line; everything else is no request. */
	if (!(first[0] >= 'A' && first[0] <= 'Z') && first[0] != '\r' && first[0] != '\n') {
		give_up(c, t, HTTP_UNTRACKED_NOT_HTTP);
		return;
	}
	if (ingress)
		c->out.stream.flags = HTTP_FLAG_RESPONSE;
	c->joined = was == ROLE_JOINED;
	c->was = (u8)role;
	change_role(c, was, role);
}

/*
 * What is not followed may come again: only the sequence numbers say that it is not new. A request
 * is met at the beginning of a segment.
 */
static __always_inline void join_conversation(struct connection *c, struct http_totals *t,
	struct __sk_buff *skb, const struct packet *p, bool ingress)
{
	struct direction *d = ingress ? &c->in : &c->out;
	u32 end = p->sequence + p->length;
	s32 beyond = d->known ? (s32)(p->sequence - d->next) : 0;

	if (beyond > WINDOW_MAX)
		return;
	if (beyond >= 0)
		find_role(c, t, skb, p->offset, p->length, ingress);
	if (c->role != ROLE_JOINED)
		d->next = p->sequence;
	else if (beyond >= 0 || (s32)(end - d->next) > 0)
		d->next = end;
	d->known = 1;
}

/* The first bytes of a connection, if these are they: others may have overtaken them. */
static __always_inline void begin_conversation(struct connection *c, struct http_totals *t,
	struct __sk_buff *skb, const struct packet *p, bool ingress)
{
	s32 beyond = 0;

	if (ingress && c->in.known)
		beyond = (s32)(p->sequence - c->in.next);
	if (beyond > 0 && beyond <= WINDOW_MAX)
		keep_ahead(&c->ahead, skb, p);
	else if (beyond <= 0 && (u32)-beyond < p->length)
		find_role(c, t, skb, p->offset + (u32)-beyond, p->length - (u32)-beyond, ingress);
}

/* In the middle of a body nothing happens: most packets of most bytes. */
static __always_inline bool passes_by(struct direction *d, const struct packet *p)
{
	struct http_stream *s = &d->stream;

	if (!d->known || d->next != p->sequence || http_wants_lines(s) ||
		(s->left <= p->length && s->stage != HTTP_UNTIL_CLOSE))
		return false;
	if (s->stage != HTTP_UNTIL_CLOSE)
		s->left -= p->length;
	d->next += p->length;
	return true;
}

/* New bytes of one direction, taken with a bench. */
static __always_inline void walk_payload(struct __sk_buff *skb, struct connection *c,
	struct http_totals *t, const struct packet *p, struct bench *b)
{
	struct direction *d = b->ingress ? &c->in : &c->out;
	struct walk w = { .skb = skb, .c = c, .t = t, .d = d, .b = b };
	int old = old_bytes(&w, p);
	u8 stage = d->stream.stage;

	if (old < 0 || b->failed || stage == HTTP_FOREIGN || stage == HTTP_UNTIL_CLOSE)
		return;
	d->offset = p->offset + (u32)old;
	d->left = p->length - (u32)old;
	bpf_loop(WALK_STEPS, walk_step, &w, 0);
	if (!walk_is_over(&w))
		b->failed = FAILED_LOST;
	if (b->ingress) {
		/* Ingress is not under the socket's lock: another CPU was here too. */
		if (c->in.next != p->sequence + p->length)
			b->failed = FAILED_LOST;
		if (c->ahead.length)
			take_ahead(c, t, b);
	} else if (c->answered_ns && !c->transfer_ns)
		set_transfer(c, t, c->answered_ns); /* it goes on in another packet */
}

/* Not inlined: the verifier looks at it once, whatever the packet looked like. */
__attribute__((noinline)) int take_payload(struct __sk_buff *skb, struct connection *c,
	struct http_totals *t, const struct packet *p, bool ingress)
{
	struct bench *b;
	u32 failed = FAILED_LOST;

	if (!c || !t || !p)
		return 0;
	if (c->role == ROLE_NEW)
		begin_conversation(c, t, skb, p, ingress);
	else if (c->role == ROLE_JOINED)
		join_conversation(c, t, skb, p, ingress);
	/* What a peer answers is not looked at. */
	if (c->role != ROLE_SERVER && (c->role != ROLE_CLIENT || ingress))
		return 0;
	if (!c->ahead.length && passes_by(ingress ? &c->in : &c->out, p))
		return 0;
	b = take_bench();
	if (b) {
		b->now = bpf_ktime_get_ns();
		b->ingress = ingress;
		b->failed = 0;
		walk_payload(skb, c, t, p, b);
		failed = b->failed;
		return_bench(b);
	}
	if (failed == FAILED_LOST)
		lose_track(c, t);
	else if (failed)
		give_up(c, t, failed - 1);
	/* By another CPU, while this one was at it: what it has found is not in flight. */
	if (c->role != ROLE_SERVER && c->open)
		drop_requests(c, t);
	return 0;
}

#endif
