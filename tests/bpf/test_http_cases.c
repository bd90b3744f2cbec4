/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversations that are hard to count, written down one by one, and run by this machine's kernel:
 * what chance, see test_http_programs.c, comes upon too seldom or cannot tell from something else.
 *
 *	test_http_cases [--worst]
 *
 * --worst prints what the packets take that make most work; nothing is tested then.
 */
#include "fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IN, OUT };

/* The one connection of a case, and where each side's next byte is. */
struct dialogue {
	struct fixture *f;
	uint32_t next[2];
	uint32_t mark; /* ANY_… */
};

static void start(struct dialogue *d, struct fixture *f, uint32_t first)
{
	*d = (struct dialogue) { f, { first, first + 7000 }, ANY_BEGIN_KNOWN };
	begin(f, 0, first);
	reset_counts(f);
}

static void send_at(struct dialogue *d, int side, uint32_t sequence, const void *data, size_t n)
{
	struct http_any *any = d->f->any;
	struct test_packet p;

	if (n == 0)
		return;
	packet_segment(&p, sequence & 1, sequence, TCP_FLAG_ACK, data, n);
	run(bpf_program__fd(side == IN ? any->progs.any_in : any->progs.any_out), &p, d->mark, 0);
	check_in_flight(d->f, 0, "in a case");
}

static void say(struct dialogue *d, int side, const char *text)
{
	size_t n = strlen(text);

	send_at(d, side, d->next[side], text, n);
	d->next[side] += (uint32_t)n;
}

/* n bytes of a body, in segments of at most `most`. */
static void say_body(struct dialogue *d, int side, size_t n, size_t most)
{
	static char body[1000];

	/* Requests and answers, which are none. */
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = "GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"[i % 37];
	while (n > 0) {
		size_t now = n < most ? n : most;

		send_at(d, side, d->next[side], body, now);
		d->next[side] += (uint32_t)now;
		n -= now;
	}
}

static uint64_t answers(const struct fixture *f, enum http_method m, unsigned int code)
{
	return f->details[1].codes[m][http_place_of_code(code)];
}

static void expect(const struct fixture *f, const char *what, uint64_t started, uint64_t finished,
	uint64_t not_seen)
{
	const struct http_totals *t = &f->totals[ANY_UNIT];

	if (t->started != started || t->finished != finished || untracked(f) != not_seen)
		fail("%s: %llu started, %llu finished, %llu untracked; it is %llu, %llu, %llu",
			what, (unsigned long long)t->started, (unsigned long long)t->finished,
			(unsigned long long)untracked(f), (unsigned long long)started,
			(unsigned long long)finished, (unsigned long long)not_seen);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Until the clock has gone on, so that two moments can be told from each other. */
static void pass_time(void)
{
	uint64_t end = now_ns() + 2000000;

	while (now_ns() < end)
		;
}

/* --- cases ------------------------------------------------------------------------------------ */

/* The first ones, of which more is kept; and some, so that no two that lie 2^n apart are alike. */
static bool is_head(unsigned int request)
{
	return request < HTTP_PENDING || request % 5 == 0;
}

/*
 * More in flight than are kept apart, all the time: what was kept of the first ones must not be
 * taken for that of request 256 and its followers, whose number ends in the same byte.
 */
static void test_deep(struct fixture *f)
{
	static const unsigned int depths[] = { 8, 9, 16, 64 };
	enum { REQUESTS = 1100 };

	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		unsigned int asked = 0, answered = 0, heads = 0;
		struct dialogue d;

		start(&d, f, 100);
		while (answered < REQUESTS) {
			while (asked < REQUESTS && asked - answered < depths[i]) {
				say(&d, IN,
					is_head(asked) ? "HEAD / HTTP/1.1\r\n\r\n"
						       : "GET / HTTP/1.1\r\n\r\n");
				asked++;
			}
			say(&d, OUT,
				is_head(answered)
					? "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
					: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
			heads += is_head(answered);
			answered++;
		}
		expect(f, "deep pipelining", REQUESTS, REQUESTS, 0);
		if (answers(f, HTTP_HEAD, 200) != heads ||
			answers(f, HTTP_GET, 200) != REQUESTS - heads)
			fail("deep pipelining: a request's method is another one's");
	}
	puts("ok: deep pipelining");
}

/* An answer's clock ends with its first byte, wherever its packets begin. */
static void test_first_byte(struct fixture *f)
{
	static const char answer[] =
		"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n";
	const size_t hint = strlen("HTTP/1.1 103 E\r\n\r\n");

	for (size_t cut = 1; cut < sizeof(answer) - 1 - hint; cut++) {
		uint64_t asked[2], began[2], ended[2], first, all;
		struct dialogue d;

		start(&d, f, (uint32_t)cut);
		asked[0] = now_ns();
		say(&d, IN, "GET / HTTP/1.1\r\n\r\n");
		asked[1] = now_ns();
		/* The one before, which is none, ends in the same packet. */
		began[0] = now_ns();
		send_at(&d, OUT, d.next[OUT], answer, hint + cut);
		began[1] = now_ns();
		d.next[OUT] += (uint32_t)(hint + cut);
		pass_time();
		ended[0] = now_ns();
		say(&d, OUT, answer + hint + cut);
		say_body(&d, OUT, 300, 70);
		ended[1] = now_ns();
		expect(f, "first byte", 1, 1, 0);
		first = f->details[1].sums_ns[HTTP_FIRST_BYTE][HTTP_CLASS_2XX];
		all = f->details[1].sums_ns[HTTP_DURATION][HTTP_CLASS_2XX];
		if (first < began[0] - asked[1] || first > began[1] - asked[0])
			fail("cut at %zu: the first byte after %llu ns, not %llu to %llu", cut,
				(unsigned long long)first,
				(unsigned long long)(began[0] - asked[1]),
				(unsigned long long)(began[1] - asked[0]));
		if (all < ended[0] - asked[1] || all > ended[1] - asked[0])
			fail("cut at %zu: the last byte after %llu ns", cut,
				(unsigned long long)all);
	}
	puts("ok: first byte");
}

/* An answer that begins before its request has ended has taken no time. */
static void test_hasty(struct fixture *f)
{
	struct dialogue d;

	start(&d, f, 1);
	f->totals[ANY_UNIT].slow_ns = 1000000000;
	say(&d, IN, "GET / HTTP/1.1\r\n");
	say(&d, OUT, "HTTP/1.1 200 ");
	pass_time();
	say(&d, IN, "\r\n");
	say(&d, OUT, "OK\r\nContent-Length: 0\r\n\r\n");
	expect(f, "hasty answer", 1, 1, 0);
	if (f->totals[ANY_UNIT].last_record_ns)
		fail("an answer that begins before its request has ended is told to be slow");
	puts("ok: hasty answer");
}

/* Of a body it does not matter what was missing, also of one that ends with the connection. */
static void test_gaps(struct fixture *f)
{
	static const char *const lengths[] = { "Content-Length: 1000000\r\n",
		"Transfer-Encoding: chunked\r\n\r\nf4240", "" };

	for (size_t i = 0; i < 3; i++) {
		char text[200];
		struct dialogue d;

		start(&d, f, 1);
		say(&d, IN, "GET / HTTP/1.1\r\n\r\n");
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", lengths[i]);
		say(&d, OUT, text);
		say_body(&d, OUT, 5000, 900);
		d.next[OUT] += 3000;
		say_body(&d, OUT, 5000, 900);
		expect(f, "a gap in an answer's body", 1, 0, 0);
	}
	/* But what no window is wide enough for is nobody's. */
	for (int side = IN; side <= OUT; side++) {
		struct dialogue d;
		uint32_t next;

		start(&d, f, 1);
		say(&d, IN, "GET / HTTP/1.1\r\nContent-Length: 2000000000\r\n\r\n");
		say(&d, OUT, "HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n");
		say(&d, side, "abc");
		send_at(&d, side, d.next[side] + (1 << 30), "abc", 3);
		next = side == IN ? f->reports[0].in_next : f->reports[0].out_next;
		if (next != d.next[side])
			fail("a segment far away moves the next byte from %u to %u", d.next[side],
				next);
	}
	puts("ok: gaps in bodies");
}

/* Bodies in segments of their own, with what was sent before again at every moment. */
static void test_bodies(struct fixture *f)
{
	static const size_t sizes[] = { 1, 2, 3, 70, 255, 256, 257, 900 };
	char head[100];

	for (size_t i = 0; i < 8 * 8; i++) {
		size_t n = sizes[i % 8] * 3, most = sizes[i / 8];
		struct dialogue d;

		/* So that sequence numbers wrap around in the middle. */
		start(&d, f, 0U - (uint32_t)n);
		for (int round = 0; round < 3; round++)
			for (int side = IN; side <= OUT; side++) {
				bool chunked = (round + side) & 1;
				uint32_t from;

				snprintf(head, sizeof(head),
					chunked ? "%sTransfer-Encoding: chunked\r\n\r\n%zx\r\n"
						: "%scontent-length: %zu\r\n\r\n",
					side == IN ? "POST / HTTP/1.1\r\n" : "HTTP/1.1 200 OK\r\n",
					n);
				say(&d, side, head);
				from = d.next[side];
				for (size_t done = 0; done < n; done += most) {
					size_t now = n - done < most ? n - done : most;

					say_body(&d, side, now, most);
					/* The last one, the first one, and one that joins them. */
					d.next[side] -= (uint32_t)now;
					say_body(&d, side, now, most);
					send_at(&d, side, from, "POST", now < 4 ? now : 4);
				}
				if (chunked)
					say(&d, side, "\r\n0\r\n\r\n");
			}
		expect(f, "bodies", 3, 3, 0);
		if (answers(f, HTTP_POST, 200) != 3)
			fail("bodies: other methods or codes");
	}
	puts("ok: bodies");
}

/* A header that matters lies at each place of a block, with more behind it and without. */
static void test_blocks(struct fixture *f)
{
	/* The bodies hold a request, which is none. */
	static const char *const ends[] = {
		"Content-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\nab",
		"CONTENT-LENGTH:20\n\nGET / HTTP/1.1\r\n\r\nab",
		"transfer-encoding: chunked\r\n\r\n12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		for (int pad = 0; pad < 600; pad++) {
			char text[1000];
			struct dialogue d;

			start(&d, f, 1);
			snprintf(text, sizeof(text),
				"POST / HTTP/1.1\r\nAccept: %*s\r\ncontent-type: text/plain\r\n"
				"content-lengths: 7\r\n%sGET / HTTP/1.1\r\n\r\n",
				pad, "x", ends[i]);
			say(&d, IN, text);
			say(&d, IN, "GET / HTTP/1.1\r\n\r\n");
			expect(f, "a header at the end of a block", 3, 0, 0);
		}
	puts("ok: headers at ends of blocks");
}

/* Lines longer than a block, with more behind them. */
static void test_long_lines(struct fixture *f)
{
	for (int n = 200; n < 1200; n += 7) {
		char text[2000];
		struct dialogue d;

		start(&d, f, 1);
		snprintf(text, sizeof(text),
			"GET /%0*u HTTP/1.1\r\nCookie: %0*u\r\nContent-Length: 3\r\n\r\nabcGET / "
			"HTTP/1.1\r\n\r\n",
			n / 2, 1, n, 1);
		say(&d, IN, text);
		expect(f, "long lines", 2, 0, 0);
	}
	puts("ok: long lines");
}

/* A length that cannot be read: what follows cannot be told from a body, so nothing is counted. */
static void test_lengths(struct fixture *f)
{
	static const char *const lengths[] = {
		/* Cut before its last digit, by what is kept of a line. */
		"Content-Length:                                                20\r\n",
		"Content-Length: 0000000000000000000000020\r\n",
		"Content-Length:\r\n 20\r\n",
		"Content-Length: 20\r\nContent-Length: 0\r\n",
	};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char text[300];
		struct dialogue d;

		start(&d, f, 1);
		snprintf(text, sizeof(text),
			"POST / HTTP/1.1\r\n%s\r\nGET / HTTP/1.1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
			lengths[i]);
		say(&d, IN, text);
		expect(f, "a length that cannot be read", 0, 0, 1);
	}
	puts("ok: lengths that cannot be read");
}

/* As many messages, chunks and lines as a packet has room for, and what comes behind them. */
static void test_tiny(struct fixture *f)
{
	static const struct {
		int side;
		const char *before, *again, *after;
		uint64_t started, finished; /* 0 started: one for each .again, and two */
	} cases[] = {
		{ IN, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "1\nX",
			"0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 3, 0 },
		{ OUT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nX\r\n",
			"0\r\n\r\n", 1, 1 },
		{ IN, "", "\n", "GET / HTTP/1.1\r\n\r\n", 2, 0 },
		{ IN, "GET / HTTP/1.1\r\n", "ab\n", "\r\nGET / HTTP/1.1\r\n\r\n", 3, 0 },
		{ IN, "", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\n\r\n", 0, 0 },
		{ OUT, "", "HTTP/1.1 103 \n\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1,
			1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t once = strlen(cases[i].again), n = 1900 / once;
		char text[2000];
		struct dialogue d;

		start(&d, f, 1);
		say(&d, IN, "GET / HTTP/1.1\r\n\r\n");
		say(&d, cases[i].side, cases[i].before);
		for (size_t at = 0; at < n; at++)
			memcpy(text + at * once, cases[i].again, once);
		memcpy(text + n * once, cases[i].after, strlen(cases[i].after) + 1);
		say(&d, cases[i].side, text);
		expect(f, "tiny messages", cases[i].started ? cases[i].started : n + 2,
			cases[i].finished, 0);
	}
	puts("ok: tiny messages");
}

/* After bytes were missed: what comes again then is no new message. */
static void test_lost(struct fixture *f)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	uint32_t first_request, first_answer;
	struct dialogue d;

	start(&d, f, 1000);
	first_request = d.next[IN];
	first_answer = d.next[OUT];
	say(&d, IN, request);
	say(&d, OUT, answer);
	say(&d, IN, request);
	d.next[OUT] += 100;
	say(&d, OUT, "x"); /* in the middle of nothing */
	expect(f, "lost", 2, 2, 1);
	send_at(&d, IN, first_request, request, sizeof(request) - 1);
	send_at(&d, IN, d.next[IN] - 18, request, sizeof(request) - 1);
	expect(f, "a request that comes again after bytes were lost", 2, 2, 1);
	say(&d, OUT, "GET is no request here");
	say(&d, OUT, "GET / is none either");
	say(&d, IN, request);
	send_at(&d, OUT, first_answer, answer, sizeof(answer) - 1);
	expect(f, "an answer that comes again after bytes were lost", 3, 2, 1);
	say(&d, OUT, answer);
	expect(f, "the request after bytes were lost", 3, 3, 1);
	/* With much of a body to come, and of a chunk. */
	for (int i = 0; i < 2; i++) {
		const char *length =
			i ? "Transfer-Encoding: chunked\r\n\r\n1000" : "Content-Length: 1000";

		say(&d, IN, request);
		say(&d, OUT, "HTTP/1.1 200 OK\r\n");
		say(&d, OUT, length);
		say(&d, OUT, i ? "\r\n" : "\r\n\r\n");
		d.next[OUT] += 10000;
		say(&d, OUT, "x");
		say(&d, IN, request);
		say(&d, OUT, answer);
		expect(f, "the request after a body was lost", 5 + 2 * (uint64_t)i,
			5 + 2 * (uint64_t)i, 2 + (uint64_t)i);
	}
	puts("ok: after bytes were lost");
}

/* A FIN or RST that TCP will believe is the client's end; others are not. */
static void test_ends(struct fixture *f)
{
	static const struct {
		int32_t from; /* the next byte */
		uint8_t flags;
		const char *data;
		bool gone;
	} cases[] = { { 0, TCP_FLAG_RST, "", true }, { 0, TCP_FLAG_FIN, "", true },
		{ 10, TCP_FLAG_RST, "", true }, { -1, TCP_FLAG_RST, "", false },
		{ -18, TCP_FLAG_RST, "", false }, { -(1 << 30), TCP_FLAG_RST, "", false },
		{ 1 << 30, TCP_FLAG_RST, "", false }, { -2, TCP_FLAG_FIN, "\r\n", true },
		{ 0, TCP_FLAG_FIN, "\r\n", true }, { -4, TCP_FLAG_FIN, "\r\n", false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_packet p;
		struct dialogue d;

		start(&d, f, 1);
		say(&d, IN, "GET / HTTP/1.1\r\n\r\n");
		packet_segment(&p, false, d.next[IN] + (uint32_t)cases[i].from,
			cases[i].flags | TCP_FLAG_ACK, cases[i].data, strlen(cases[i].data));
		run(bpf_program__fd(f->any->progs.any_in), &p, d.mark, 0);
		expect(f, "ends", 1, 0, 0);
		if (f->reports[0].client_gone != cases[i].gone)
			fail("flags %x at %d: the client is%s gone", cases[i].flags, cases[i].from,
				cases[i].gone ? " not" : "");
	}
	puts("ok: ends");
}

/* Met in the middle: words are no methods. */
static void test_joined(struct fixture *f)
{
	struct dialogue d;

	start(&d, f, 1000);
	d.mark = ANY_JOINED;
	say(&d, OUT, "HELLO, I am the middle of an answer");
	say(&d, IN, "POSTERS and other bodies of requests");
	say(&d, IN, "GET / HTTP/1.1\r\n\r\n");
	say(&d, OUT, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	expect(f, "met in the middle", 1, 1, 0);
	puts("ok: met in the middle");
}

/* --- what takes longest ----------------------------------------------------------------------- */

enum { WORST_BYTES = 2900, WORST_RUNS = 300 };

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void measure(struct fixture *f, const char *name, int side, const char *before,
	const char *again, uint32_t routes)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	int programs[] = { bpf_program__fd(f->any->progs.any_in),
		bpf_program__fd(f->any->progs.any_out) };
	uint32_t took[WORST_RUNS];
	char text[WORST_BYTES];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = again[i % strlen(again)];
	for (size_t i = 0; i < WORST_RUNS; i++) {
		struct test_packet p;
		struct dialogue d;

		start(&d, f, 1);
		f->totals[ANY_UNIT].routes_max = routes;
		if (side == OUT)
			say(&d, IN, request);
		if (*before)
			say(&d, side, before);
		packet_segment(&p, false, d.next[side], TCP_FLAG_ACK, text, sizeof(text));
		took[i] = run(programs[side], &p, d.mark, 0);
	}
	qsort(took, WORST_RUNS, sizeof(took[0]), by_size);
	printf("%-40s %8u ns a packet of %d, %8.0f us one of 65536; untracked %llu, %llu requests\n",
		name, took[WORST_RUNS / 2], WORST_BYTES,
		took[WORST_RUNS / 2] * 65.536 / WORST_BYTES, (unsigned long long)untracked(f),
		(unsigned long long)f->totals[ANY_UNIT].started);
}

static void measure_all(struct fixture *f)
{
	int free_routes = bpf_map__fd(f->any->maps.free_routes);
	static const char chunks[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

	for (uint32_t place = 1; place < HTTP_ROUTES; place++)
		bpf_map_update_elem(free_routes, NULL, &place, BPF_ANY);
	measure(f, "a body", IN, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", "abc", 0);
	measure(f, "headers of 60 bytes", IN, "GET / HTTP/1.1\r\n",
		"Accept-Encoding: gzip, deflate, br, zstd, and some others\r\n", 0);
	measure(f, "headers of 3 bytes", IN, "GET / HTTP/1.1\r\n", "ab\n", 0);
	measure(f, "headers that are looked at", IN, "GET / HTTP/1.1\r\n", "tra\n", 0);
	measure(f, "lengths", IN, "GET / HTTP/1.1\r\n", "content-length:0000000000000000001\n", 0);
	measure(f, "empty lines", IN, "\r\n", "\n", 0);
	measure(f, "chunks of 1 byte, 6 bytes each", IN, chunks, "1\r\nX\r\n", 0);
	measure(f, "chunks of 1 byte, 3 bytes each", IN, chunks, "1\nX", 0);
	measure(f, "an answer's chunks, 3 bytes each", OUT, answer, "1\nX", 0);
	measure(f, "empty lines between chunks", IN, chunks, "\n", 0);
	measure(f, "trailers", IN, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
		"ab\n", 0);
	measure(f, "requests of 16 bytes", IN, "", "GET / HTTP/1.1\n\n", 0);
	measure(f, "answers 103 of 18 bytes", OUT, "", "HTTP/1.1 103 \n\n", 0);
	measure(f, "answers of 29 bytes", OUT, "", "HTTP/1.1 200 \nContent-Length:0\n\n", 0);
	measure(f, "requests of 16 bytes, with routes", IN, "", "GET / HTTP/1.1\n\n", 200);
	measure(f, "requests of 70 bytes, with routes", IN, "",
		"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\n\n", 200);
}

int main(int argc, char **argv)
{
	struct fixture f = { .random = { .state = 1 }, .runs = 1000 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	load(&f);
	if (argc > 1 && strcmp(argv[1], "--worst") == 0)
		measure_all(&f);
	else {
		test_bodies(&f);
		test_blocks(&f);
		test_long_lines(&f);
		test_first_byte(&f);
		test_hasty(&f);
		test_gaps(&f);
		test_deep(&f);
		test_lengths(&f);
		test_tiny(&f);
		test_lost(&f);
		test_joined(&f);
		test_ends(&f);
	}
	unload(&f);
	return 0;
}
