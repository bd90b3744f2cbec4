/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The HTTP/1.x recogniser: where messages begin and end in one direction of a connection, which
 * method, which status. Incremental: it is fed whatever the segments carry, cut anywhere. Plain C
 * that compiles for BPF and for the host, where it is tested and fuzzed; no allocation, no
 * unbounded loop, no recursion.
 *
 * It reads only what framing needs: the first line, Content-Length, Transfer-Encoding, and the
 * sizes of chunks. Bytes of bodies are never looked at: the caller skips .left of them. (RFC 9112;
 * lenient where servers are.)
 */
#ifndef MENDD_HTTP_H
#define MENDD_HTTP_H

#include "http_line.h"

/*
 * A block of bytes that is being looked at. The padding lets whole words be read at any position
 * inside of .bytes, and HTTP_LINE bytes behind it.
 */
struct http_block {
	char bytes[HTTP_BLOCK];
	char padding[HTTP_LINE + 32];
	/* Here and not on the stack: what is read back from a map is any number to the
	 * verifier. */
	__u32 line;  /* where the present line begins */
	__u32 n;     /* bytes in the block */
	__u32 more;  /* the same segment has more behind them */
	__u32 event; /* enum http_event that ended the walk */
};

/*
 * The highest bit of each byte that is a line feed. Of the bytes behind the first one some may be
 * marked that are none: a borrow gets into them.
 */
static __always_inline __u64 http_newlines(__u64 word)
{
	__u64 x = word ^ 0x0a0a0a0a0a0a0a0aULL;

	return (x - 0x0101010101010101ULL) & ~x & 0x8080808080808080ULL;
}

/*
 * Which byte of http_newlines() is the first. Little endian. BPF has no count-trailing-zeros: ones
 * below the lowest mark, one of each byte kept, and all of them added up by a multiplication.
 */
static __always_inline __u32 http_first_of(__u64 marks)
{
	__u64 below = (marks - 1) & ~marks & 0x0101010101010101ULL;

	return (__u32)((below * 0x0101010101010101ULL) >> 56) - 1;
}

/* Appends to .line, which has something already, what is kept of the block's bytes [from, to). */
HTTP_ONCE int http_append(struct http_stream *s, struct http_block *b, __u32 from, __u32 to)
{
	__u32 n = to - from, seen;

	if (!s || !b)
		return 0;
	seen = s->seen;
	for (__u32 i = 0; i < HTTP_LINE && i < n && seen < HTTP_LINE; i++, seen++)
		s->line[http_index(seen, HTTP_LINE)] = b->bytes[http_index(from + i, HTTP_BLOCK)];
	s->seen = (__u8)seen;
	return 0;
}

/*
 * What is kept of the line's bytes [from, to) of the block goes into .line; to - from may be
 * anything. The usual line begins in this block: that takes neither a loop over bytes nor a call.
 */
static __always_inline void http_keep(
	struct http_stream *s, struct http_block *b, __u32 from, __u32 to)
{
	__u32 n = to - from;

	if (s->seen) {
		http_append(s, b, from, to);
		return;
	}
	http_copy(s->line, &b->bytes[http_index(from, HTTP_BLOCK)], HTTP_LINE);
	s->seen = (__u8)(n < HTTP_LINE ? n : HTTP_LINE);
}

/* Without the CR before the LF; a lone CR elsewhere does not matter. */
static __always_inline void http_drop_cr(struct http_stream *s)
{
	__u32 last = s->seen - 1U;

	if (s->seen && s->seen < HTTP_LINE && s->line[http_index(last, HTTP_LINE)] == '\r')
		s->seen--;
}

/* Whether the stage is one of lines, whose bytes have to be looked at. */
static __always_inline int http_wants_lines(const struct http_stream *s)
{
	return s->stage == HTTP_FIRST_LINE || s->stage == HTTP_HEADERS ||
	       s->stage == HTTP_CHUNK_SIZE || s->stage == HTTP_TRAILER;
}

/* Words of a block, and lines within them; with more lines the scan goes on in a second go. */
enum { HTTP_SCAN_STEPS = HTTP_BLOCK / 8 + 32 };

static __always_inline __u64 http_block_word(const struct http_block *b, __u32 at)
{
	return http_load_word(&b->bytes[http_index(at, HTTP_BLOCK)]);
}

/* A header line that has nothing to say about framing, by its first 16 bytes: most of them. */
static __always_inline int http_is_idle_header(const struct http_block *b, __u32 line)
{
	__u32 begin = (__u32)http_block_word(b, line) | 0x20202020U;

	if (begin == 0x746e6f63U) /* "cont": idle if it is not "content-length:" */
		return (http_block_word(b, line + 8) | 0x2020202020202020ULL) << 8 !=
		       0x3a6874676e656cULL << 8;
	return (begin & 0xffffffU) != 0x617274U; /* "transfer-encoding:", "traceparent:" */
}

/* The line from b->line up to `end` has something to say. 1: the scan is over. */
HTTP_ONCE int http_take_line(struct http_stream *s, struct http_block *b, __u32 end)
{
	if (!s || !b)
		return 1;
	http_keep(s, b, b->line, end);
	s->head += end + 1 - b->line;
	b->line = end + 1;
	/* Too long: for the caller to see. Here already, so that it is the same wherever a segment
	 * ends. */
	if (s->head > HTTP_HEAD_MAX)
		return 1;
	http_drop_cr(s);
	b->event = http_line_end(s);
	s->seen = 0;
	return b->event != HTTP_NOTHING || !http_wants_lines(s);
}

/* The block is over and its last line is not. */
static __always_inline void http_keep_rest(struct http_stream *s, struct http_block *b)
{
	if (b->line < b->n)
		http_keep(s, b, b->line, b->n);
	s->head += b->n - b->line;
	b->line = b->n;
}

/*
 * Looks at the lines of a block: b->n bytes, from b->line on. Ends where something has happened
 * (b->event), where a body begins, or at the end of the block; b->line is then what was taken of
 * it. A header line that lies whole in the block and does not matter is never copied.
 */
HTTP_ONCE int http_scan(struct http_stream *s, struct http_block *b)
{
	__u32 at, line, n, head;
	int whole;

	if (!s || !b)
		return 0;
	at = line = b->line;
	n = b->n;
	head = s->head;
	whole = s->seen == 0; /* the present line began in this block */
	for (__u32 i = 0; i < HTTP_SCAN_STEPS && at < n; i++) {
		__u64 marks;

		at = http_any(at);
		marks = http_newlines(http_block_word(b, at));

		if (!marks) {
			at += 8;
			marks = http_newlines(http_block_word(b, at));
		}
		if (!marks) {
			at += 8;
			continue;
		}
		at += http_first_of(marks);
		if (at >= n)
			break;
		if (s->stage == HTTP_HEADERS && whole && head < HTTP_HEAD_MAX - HTTP_BLOCK) {
			__u32 length = at - line;

			if (length >= 2 && http_is_idle_header(b, line)) {
				at++;
				head += length + 1;
				line = at;
				continue;
			}
			if (length == 0 ||
				(length == 1 && b->bytes[http_index(line, HTTP_BLOCK)] == '\r')) {
				b->line = at + 1;
				s->head = head + length + 1;
				b->event = HTTP_HEAD_DONE;
				return 0;
			}
		}
		b->line = line;
		s->head = head;
		if (http_take_line(s, b, at))
			return 0;
		at++;
		line = at;
		head = s->head;
		whole = 1;
	}
	b->line = line;
	s->head = head;
	/* What begins here and goes on behind the block is looked at as a whole. */
	if (at >= n && head <= HTTP_HEAD_MAX && !(b->more && line))
		http_keep_rest(s, b);
	return 0;
}

/* Takes bytes of a body off .left; what to do when it reaches 0. */
static __always_inline enum http_event http_skip(struct http_stream *s, __u64 n)
{
	s->left -= n;
	if (s->left)
		return HTTP_NOTHING;
	if (s->stage == HTTP_CHUNK) {
		s->stage = HTTP_CHUNK_SIZE;
		return HTTP_NOTHING;
	}
	http_next_message(s);
	return HTTP_MESSAGE_DONE;
}

#ifndef __bpf__
/*
 * The whole of it for the host: takes bytes until something happens; returns how many. After
 * HTTP_HEAD_DONE the caller calls http_after_head().
 */
static inline __u32 http_feed(
	struct http_stream *s, const void *data, __u32 length, enum http_event *ret)
{
	const char *bytes = data;
	__u32 taken = 0;

	*ret = HTTP_NOTHING;
	while (taken < length && *ret == HTTP_NOTHING) {
		if (s->stage == HTTP_FOREIGN || s->stage == HTTP_UNTIL_CLOSE)
			return length;
		if (http_wants_lines(s)) {
			struct http_block b = { .bytes = { 0 } };

			b.n = length - taken < HTTP_BLOCK ? length - taken : HTTP_BLOCK;
			b.more = length - taken > HTTP_BLOCK;
			__builtin_memcpy(b.bytes, bytes + taken, b.n);
			http_scan(s, &b);
			taken += b.line;
			*ret = (enum http_event)b.event;
			if (s->head > HTTP_HEAD_MAX && *ret == HTTP_NOTHING) {
				s->stage = HTTP_FOREIGN;
				*ret = HTTP_NOT_HTTP;
			}
		} else {
			__u32 n = length - taken;

			if (n > s->left)
				n = (__u32)s->left;
			taken += n;
			*ret = http_skip(s, n);
		}
	}
	return taken;
}
#endif

#endif
