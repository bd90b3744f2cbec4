/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments that come before what is ahead of them: looked at when they come, for they will not
 * come again, and believed when the gap is filled. What their bytes cannot tell is said to be lost.
 */
#ifndef MENDD_HTTP_AHEAD_H
#define MENDD_HTTP_AHEAD_H

#include "http_messages.h"

/* Eight bytes each that are looked at of a segment that has come too early. */
#define AHEAD_STEPS 512

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
	load_beginning(skb, p->offset, p->length, begin);
	if (p->length >= 4)
		bpf_skb_load_bytes(skb, p->offset + p->length - 4, end, 4);
	if (where & AHEAD_FIRST)
		a->method = http_method_of(begin);
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
static __always_inline void take_ahead(struct connection *c, struct http_totals *t, struct bench *b)
{
	struct http_stream *s = &c->in.stream;
	struct ahead *a = &c->ahead;
	u32 n = a->length, again = c->in.next - a->sequence;

	if (!n || (s32)again < 0 || b->failed)
		return;
	a->length = 0;
	if (a->broken) {
		b->failed = FAILED_LOST;
		return;
	}
	if (again >= n)
		return; /* all of it has come once more */
	n -= again;
	c->in.next += n;
	if (!http_wants_lines(s) && s->left >= n)
		on_event(c, t, &c->in, b, http_skip(s, n));
	else if (again == 0 && ends_one_head(s, a)) {
		s->seen = 0;
		on_event(c, t, &c->in, b, HTTP_HEAD_DONE);
	} else
		b->failed = FAILED_LOST;
}

#endif
