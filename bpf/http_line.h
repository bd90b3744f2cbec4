/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a line of HTTP/1.x says: first lines, the few header lines that framing needs, the sizes of
 * chunks; and the state of one direction of a connection. Plain C for BPF and for the host, see
 * http.h.
 */
#ifndef MENDD_HTTP_LINE_H
#define MENDD_HTTP_LINE_H

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/*
 * An index into an array of a power of two. The verifier wants to see the mask; the compiler, which
 * knows better, must not take it away.
 */
static __always_inline __u32 http_index(__u32 i, __u32 size)
{
	__asm__ volatile("" : "+r"(i));
	return i & (size - 1);
}

/*
 * x, of which the verifier is to know nothing any more: two swaps of its bytes, which it does not
 * see through. Otherwise newer ones follow a loop round by round, along each way through it.
 */
static __always_inline __u32 http_any(__u32 x)
{
#ifdef __bpf__
	__asm__ volatile("%0 = be32 %0\n\t%0 = be32 %0" : "+r"(x));
#endif
	return x;
}

/*
 * A loop whose body the verifier looks at once, however often it runs: bpf_loop(). A step returns 1
 * to end it.
 */
#ifdef __bpf__
/* A function that the verifier looks at once, whoever calls it, and takes its result for any
 * number. */
#define HTTP_ONCE __attribute__((noinline))
#define http_loop(n, step, context) bpf_loop(n, step, context, 0)
#else
#define HTTP_ONCE static inline
#define http_loop(n, step, context)                \
	do {                                       \
		for (__u32 _i = 0; _i < (n); _i++) \
			if (step(_i, context))     \
				break;             \
	} while (0)
#endif

enum {
	/*
	 * How much of a line's beginning is kept: a length of 64 bits behind "content-length: "
	 * ends at 36, the trace id of "traceparent: 00-" at 48; and of a target one wants to see
	 * something. A power of two, so that an index can be masked.
	 */
	HTTP_LINE = 64,
	HTTP_TRACE_ID = 32,
	/* Bytes looked at in one go; a power of two. */
	HTTP_BLOCK = 256,
	/* A head above this is not tracked any further; servers refuse them above 8 to 64 KB. */
	HTTP_HEAD_MAX = 65536,
};

enum http_stage {
	HTTP_FIRST_LINE, /* between messages, or inside of the first line */
	HTTP_HEADERS,
	HTTP_BODY, /* .left bytes of it are to come */
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK, /* .left bytes, and the line end behind them */
	HTTP_TRAILER,
	HTTP_UNTIL_CLOSE, /* a response without a length: to the end of the connection */
	HTTP_FOREIGN,     /* not HTTP, or not any more (101, CONNECT) */
};

enum http_method {
	HTTP_OTHER, /* any other token; PROPFIND, M-SEARCH … */
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_CONNECT,
	HTTP_TRACE,
	HTTP_METHODS,
};

enum http_event {
	HTTP_NOTHING,      /* all bytes were taken, more are needed */
	HTTP_HEAD_DONE,    /* .method or .status are known; a body may follow */
	HTTP_MESSAGE_DONE, /* the message has ended (its body was not empty) */
	HTTP_NOT_HTTP,     /* what stands here is something else */
};

#define HTTP_FLAG_CHUNKED 1
#define HTTP_FLAG_LENGTH 2
#define HTTP_FLAG_RESPONSE 4 /* this direction carries responses */
#define HTTP_FLAG_BODY 8     /* the message that has just begun has a body or may have one */

struct http_stream {
	__u64 left;   /* bytes of the body or chunk that are to come */
	__u64 length; /* Content-Length of the present head */
	__u64 number; /* that is being read, digit by digit */
	__u32 digits; /* of it, so far */
	__u32 head;   /* bytes of the present head so far */
	__u16 status; /* of the last response */
	__u8 stage;
	__u8 method; /* of the last request */
	__u8 flags;
	__u8 seen; /* bytes in .line */
	char line[HTTP_LINE];
	char first[HTTP_LINE];        /* the first line of the present or last request, cut */
	char trace_id[HTTP_TRACE_ID]; /* of its traceparent; [0] is 0: it had none */
};

/*
 * Eight bytes at any address. A compiler for BPF takes memcpy() of what may be unaligned apart into
 * single bytes, eight loads, shifts and ors; the kernel allows such accesses to maps on the
 * machines that have them.
 */
static __always_inline __u64 http_load_word(const char *from)
{
#ifdef __bpf__
	return *(const __u64 *)from;
#else
	__u64 word;

	__builtin_memcpy(&word, from, sizeof(word));
	return word;
#endif
}

static __always_inline void http_store_word(char *to, __u64 word)
{
#ifdef __bpf__
	*(__u64 *)to = word;
#else
	__builtin_memcpy(to, &word, sizeof(word));
#endif
}

/*
 * Copies words one after the other: at once, the compiler would hold them all on a stack that has
 * not room for them. n is a constant, a multiple of 8.
 */
static __always_inline void http_copy(char *to, const char *from, __u32 n)
{
	for (__u32 i = 0; i < n; i += 8) {
		http_store_word(to + i, http_load_word(from + i));
		__asm__ volatile("" ::: "memory");
	}
}

static __always_inline char http_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Eight bytes of the line from `at`. */
static __always_inline __u64 http_exact_word(const struct http_stream *s, __u32 at)
{
	return http_load_word(&s->line[at]);
}

/*
 * The same, letters in lower case. '-' and ':' stay what they are, but so become CR and Ctrl-Z:
 * whoever compares looks at these two again.
 */
static __always_inline __u64 http_word(const struct http_stream *s, __u32 at)
{
	return http_exact_word(s, at) | 0x2020202020202020ULL;
}

/* "content-length:", as two little-endian words; the second has seven bytes. */
static __always_inline int http_is_content_length(const struct http_stream *s)
{
	return s->seen >= 15 && http_word(s, 0) == 0x2d746e65746e6f63ULL &&
	       (http_word(s, 8) & 0xffffffffffffffULL) == 0x3a6874676e656cULL &&
	       s->line[7] == '-' && s->line[14] == ':';
}

/* "transfer-encoding:" */
static __always_inline int http_is_transfer_encoding(const struct http_stream *s)
{
	return s->seen >= 18 && http_word(s, 0) == 0x726566736e617274ULL &&
	       http_word(s, 8) == 0x6e69646f636e652dULL &&
	       (http_word(s, 16) & 0xffffULL) == 0x3a67ULL && s->line[8] == '-' &&
	       s->line[17] == ':';
}

/* "traceparent:" (W3C Trace Context) */
static __always_inline int http_is_traceparent(const struct http_stream *s)
{
	return s->seen >= 48 && http_word(s, 0) == 0x7261706563617274ULL &&
	       (http_word(s, 8) & 0xffffffffULL) == 0x3a746e65ULL && s->line[11] == ':';
}

static __always_inline int http_is_token(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static __always_inline __u8 http_method_of(const char *l)
{
	switch (l[0]) {
	case 'G':
		return l[1] == 'E' && l[2] == 'T' && l[3] == ' ' ? HTTP_GET : HTTP_OTHER;
	case 'H':
		return l[1] == 'E' && l[2] == 'A' && l[3] == 'D' && l[4] == ' ' ? HTTP_HEAD
										: HTTP_OTHER;
	case 'P':
		if (l[1] == 'O' && l[2] == 'S' && l[3] == 'T' && l[4] == ' ')
			return HTTP_POST;
		if (l[1] == 'U' && l[2] == 'T' && l[3] == ' ')
			return HTTP_PUT;
		if (l[1] == 'A' && l[2] == 'T' && l[3] == 'C' && l[4] == 'H' && l[5] == ' ')
			return HTTP_PATCH;
		return HTTP_OTHER;
	case 'D':
		return l[1] == 'E' && l[2] == 'L' && l[3] == 'E' && l[4] == 'T' && l[5] == 'E' &&
				       l[6] == ' '
			       ? HTTP_DELETE
			       : HTTP_OTHER;
	case 'O':
		return l[1] == 'P' && l[2] == 'T' && l[3] == 'I' && l[4] == 'O' && l[5] == 'N' &&
				       l[6] == 'S' && l[7] == ' '
			       ? HTTP_OPTIONS
			       : HTTP_OTHER;
	case 'C':
		return l[1] == 'O' && l[2] == 'N' && l[3] == 'N' && l[4] == 'E' && l[5] == 'C' &&
				       l[6] == 'T' && l[7] == ' '
			       ? HTTP_CONNECT
			       : HTTP_OTHER;
	case 'T':
		return l[1] == 'R' && l[2] == 'A' && l[3] == 'C' && l[4] == 'E' && l[5] == ' '
			       ? HTTP_TRACE
			       : HTTP_OTHER;
	default:
		return HTTP_OTHER;
	}
}

/* How long its name is; 0: of any other method. */
static __always_inline __u32 http_method_length(__u8 method)
{
	switch (method) {
	case HTTP_GET:
	case HTTP_PUT:
		return 3;
	case HTTP_HEAD:
	case HTTP_POST:
		return 4;
	case HTTP_PATCH:
	case HTTP_TRACE:
		return 5;
	case HTTP_DELETE:
		return 6;
	case HTTP_OPTIONS:
	case HTTP_CONNECT:
		return 7;
	default:
		return 0;
	}
}

/*
 * What a loop over bytes has found so far lies in memory and not in registers: to the verifier it
 * is then any number, and each round looks the same, whatever the bytes before were. Kept in
 * registers, each number of digits would be a case of its own, for all that follows; how many of
 * these there are depends on the compiler.
 */
static __always_inline __u32 http_seen(const struct http_stream *s)
{
	return *(const volatile __u8 *)&s->seen;
}

static __always_inline void http_add_digit(struct http_stream *s, __u32 base, __u32 digit)
{
	volatile __u64 *number = &s->number;
	volatile __u32 *digits = &s->digits;

	*number = *number * base + digit;
	*digits += 1;
}

static __always_inline __u32 http_digits(const struct http_stream *s)
{
	return *(const volatile __u32 *)&s->digits;
}

/*
 * Whether the request line ends in "HTTP/1.x", as far as its end was kept: other protocols of lines
 * begin with words too.
 */
static __always_inline int http_has_version(const struct http_stream *s)
{
	__u32 n = s->seen;

	if (n >= HTTP_LINE)
		return 1;
	return n >= 8 && (http_exact_word(s, http_index(n - 8, HTTP_LINE)) & 0xffffffffffffffULL) ==
				 0x2e312f50545448ULL;
}

/* METHOD SP target: a token, one space, and something that a target can begin with. */
HTTP_ONCE int http_request_line(struct http_stream *s)
{
	__u32 at;
	char c;

	if (!s || !http_has_version(s))
		return 0;
	s->method = http_method_of(s->line);
	at = http_method_length(s->method);
	if (!at)
		while (at < HTTP_LINE - 1 && at < http_seen(s) && http_is_token(s->line[at]))
			at++;
	if (at < 3 || at + 1 >= s->seen || s->line[http_index(at, HTTP_LINE)] != ' ')
		return 0;
	c = s->line[http_index(at + 1, HTTP_LINE)];
	/* Origin, asterisk and absolute form; a CONNECT names a host. */
	return c == '/' || c == '*' || c == 'h' || c == 'H' || s->method == HTTP_CONNECT;
}

static __always_inline int http_status_line(struct http_stream *s)
{
	const char *l = s->line;

	if (s->seen < 12 || l[0] != 'H' || l[1] != 'T' || l[2] != 'T' || l[3] != 'P' ||
		l[4] != '/' || l[5] != '1' || l[6] != '.' || l[8] != ' ')
		return 0;
	for (__u32 i = 9; i < 12; i++)
		if (l[i] < '0' || l[i] > '9')
			return 0;
	s->status = (__u16)((l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0'));
	return s->status >= 100;
}

/*
 * Decimal digits behind "content-length:". 0: there are none, or too many, or more behind what is
 * kept, or another length than before: then nobody knows where the next message begins.
 */
HTTP_ONCE int http_content_length(struct http_stream *s)
{
	__u32 at;

	if (!s)
		return 0;
	s->number = s->digits = 0;
	for (at = 15; at < HTTP_LINE && at < http_seen(s); at++) {
		char c = s->line[at];

		if (c >= '0' && c <= '9')
			http_add_digit(s, 10, (__u32)(c - '0'));
		else if (http_digits(s) || (c != ' ' && c != '\t'))
			break;
	}
	if (at == HTTP_LINE || http_digits(s) - 1 >= 18 ||
		(s->flags & HTTP_FLAG_LENGTH && s->length != s->number))
		return 0;
	s->length = s->number;
	s->flags |= HTTP_FLAG_LENGTH;
	return 1;
}

/* Hexadecimal digits at the beginning of the line, into .left. 0: there is none, or too many. */
HTTP_ONCE int http_chunk_size(struct http_stream *s)
{
	if (!s)
		return 0;
	s->number = s->digits = 0;
	for (__u32 at = 0; at < 15 && at < http_seen(s); at++) {
		char c = http_lower(s->line[at]);

		if (c >= '0' && c <= '9')
			http_add_digit(s, 16, (__u32)(c - '0'));
		else if (c >= 'a' && c <= 'f')
			http_add_digit(s, 16, (__u32)(c - 'a' + 10));
		else
			break;
	}
	s->left = s->number;
	return http_digits(s) - 1 < 14;
}

/* Whether bytes of the message's body are still to come, or of what frames it. */
static __always_inline int http_in_body(const struct http_stream *s)
{
	return s->stage == HTTP_BODY || s->stage == HTTP_CHUNK_SIZE || s->stage == HTTP_CHUNK ||
	       s->stage == HTTP_TRAILER;
}

static __always_inline void http_next_message(struct http_stream *s)
{
	s->stage = HTTP_FIRST_LINE;
	s->flags &= HTTP_FLAG_RESPONSE;
	s->length = 0;
	s->head = 0;
	s->left = 0;
}

/*
 * The head is complete: what follows? The answer to a HEAD request has no body whatever its head
 * says; the caller knows and says so with `bodiless`.
 */
static __always_inline void http_after_head(struct http_stream *s, int bodiless)
{
	__u8 flags = s->flags;
	__u64 length = s->length;

	http_next_message(s);
	if (bodiless)
		return;
	if (flags & HTTP_FLAG_CHUNKED) {
		s->stage = HTTP_CHUNK_SIZE;
		s->flags |= HTTP_FLAG_BODY;
	} else if (flags & HTTP_FLAG_LENGTH) {
		if (length) {
			s->stage = HTTP_BODY;
			s->left = length;
			s->flags |= HTTP_FLAG_BODY;
		}
	} else if (flags & HTTP_FLAG_RESPONSE) {
		s->stage = HTTP_UNTIL_CLOSE;
		s->flags |= HTTP_FLAG_BODY;
	}
}

/* A line has ended; .line holds its beginning without CR and LF. */
static __always_inline enum http_event http_line_end(struct http_stream *s)
{
	switch (s->stage) {
	case HTTP_FIRST_LINE:
		if (s->seen == 0)
			return HTTP_NOTHING; /* an empty line before a message: RFC 9112, 2.2 */
		if (s->flags & HTTP_FLAG_RESPONSE ? !http_status_line(s) : !http_request_line(s)) {
			s->stage = HTTP_FOREIGN;
			return HTTP_NOT_HTTP;
		}
		s->stage = HTTP_HEADERS;
		if (s->flags & HTTP_FLAG_RESPONSE)
			return HTTP_NOTHING;
		http_copy(s->first, s->line, HTTP_LINE);
		/* What stands behind the line in the buffer is not of it. */
		if (s->seen < HTTP_LINE)
			s->first[http_index(s->seen, HTTP_LINE)] = 0;
		s->trace_id[0] = 0;
		return HTTP_NOTHING;
	case HTTP_HEADERS:
		if (s->seen == 0)
			return HTTP_HEAD_DONE;
		if (http_is_content_length(s)) {
			if (http_content_length(s))
				return HTTP_NOTHING;
			s->stage = HTTP_FOREIGN;
			return HTTP_NOT_HTTP;
		}
		if (http_is_transfer_encoding(s))
			s->flags |= HTTP_FLAG_CHUNKED; /* the last coding is always chunked */
		else if (http_is_traceparent(s) && s->line[12] == ' ' && s->line[15] == '-')
			http_copy(s->trace_id, s->line + 16, HTTP_TRACE_ID);
		return HTTP_NOTHING;
	case HTTP_CHUNK_SIZE:
		if (s->seen == 0)
			return HTTP_NOTHING; /* the line end behind a chunk */
		if (!http_chunk_size(s)) {
			s->stage = HTTP_FOREIGN;
			return HTTP_NOT_HTTP;
		}
		/* Each size begins anew: streams of very many chunks are no endless heads. */
		s->head = 0;
		s->stage = s->left ? HTTP_CHUNK : HTTP_TRAILER;
		return HTTP_NOTHING;
	default: /* HTTP_TRAILER */
		if (s->seen)
			return HTTP_NOTHING;
		http_next_message(s);
		return HTTP_MESSAGE_DONE;
	}
}

#endif
