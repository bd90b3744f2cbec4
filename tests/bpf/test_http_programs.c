/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP programs, run by this machine's kernel over packets of every kind: each returns 1 and
 * leaves the packet as it was; what counts as in flight is what the connection has open, after
 * every single packet; conversations are counted exactly, however they are cut and repeated, and
 * where segments change places the counts are exact or it is said that they are not; two CPUs may
 * work on the two directions of one connection at the same time. And that the verifier's patience
 *is not nearly used up.
 *
 *	test_http_programs [--seed=N] [--runs=N]
 *
 * The seed is printed. Exit status 77: the kernel has no such programs, or they are refused here.
 */
#include "fixture.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Their socket is none of TCP: they have to see that, whatever the packet says. */
static void test_attached(struct fixture *f)
{
	int in = bpf_program__fd(f->http->progs.http_in);
	int out = bpf_program__fd(f->http->progs.http_out);
	struct test_packet p;

	for (unsigned int i = 0; i < f->runs / 4; i++) {
		packet_anything(
			&p, &f->random, random_next(&f->random), random_once(&f->random, 2));
		run(in, &p, 0, any_linear(f, &p));
		run(out, &p, 0, any_linear(f, &p));
	}
	printf("ok: http_in and http_out, %u packets each\n", f->runs / 4);
}

/* --- any packet at a connection in any state ---------------------------------------------------
 */

/* One that is well made, and mostly where the last one ended. */
static void any_segment(struct test_packet *p, struct random *r, uint32_t sequence, bool ingress)
{
	uint8_t payload[1000];
	size_t n = payload_anything(r, payload, sizeof(payload), ingress);

	if (random_once(r, 10))
		sequence += random_below(r, 400) - 200;
	packet_segment(p, random_once(r, 2), sequence,
		random_once(r, 30) ? (uint8_t)random_next(r) : TCP_FLAG_ACK, payload, n);
}

static void test_anything(struct fixture *f)
{
	int in = bpf_program__fd(f->any->progs.any_in);
	int out = bpf_program__fd(f->any->progs.any_out);
	int early = bpf_program__fd(f->any->progs.any_early);
	uint64_t tcp = 0, requests = 0, answers = 0;
	struct test_packet p;
	unsigned int i = 0;

	while (i < f->runs) {
		static const uint32_t marks[] = { 0, 0, ANY_BEGIN_KNOWN, ANY_CONNECTING,
			ANY_JOINED };
		uint32_t mark = marks[random_below(&f->random, 5)];
		uint32_t first = random_next(&f->random) << 8;

		begin(f, 0, first);
		reset_counts(f);
		for (uint32_t n = 1 + random_below(&f->random, 40); n > 0; n--, i++) {
			const struct any_report *r = &f->reports[0];
			bool ingress = random_once(&f->random, 2);
			uint32_t next = ingress ? r->in_next : r->out_next;

			if (random_once(&f->random, 3))
				packet_anything(&p, &f->random, next ? next : first, ingress);
			else
				any_segment(&p, &f->random, next ? next : first, ingress);
			run(ingress ? in : out, &p, mark, any_linear(f, &p));
			check_in_flight(f, 0, "after any packet");
			if (random_once(&f->random, 16))
				run(early, &p, mark + 1, any_linear(f, &p));
		}
		tcp += f->reports[0].packets;
		requests += f->totals[ANY_UNIT].started;
		for (int m = 0; m < HTTP_METHODS; m++)
			for (int c = 0; c < HTTP_CODES; c++)
				answers += f->details[1].codes[m][c];
	}
	/* Else the packets would not have come to where it is interesting. */
	if (tcp < i / 2 || requests < i / 20 || answers < i / 50)
		fail("of %u packets %llu were TCP, %llu requests, %llu answers", i,
			(unsigned long long)tcp, (unsigned long long)requests,
			(unsigned long long)answers);
	printf("ok: any packet, %u of them: %llu TCP, %llu requests, %llu answers\n", i,
		(unsigned long long)tcp, (unsigned long long)requests, (unsigned long long)answers);
}

/* --- conversations -----------------------------------------------------------------------------
 */

enum { STREAM_MAX = 1 << 16, MESSAGES_MAX = 24, AHEAD_MAX = 6, HELD_MAX = 4 };

struct stream {
	uint8_t bytes[STREAM_MAX];
	size_t n, sent;
	uint32_t first;           /* sequence number */
	size_t end[MESSAGES_MAX]; /* of each message */
	struct held {             /* segments that wait for later ones to go before them */
		size_t from, to;
	} held[HELD_MAX];
	unsigned int n_held;
};

struct conversation {
	struct stream in, out;
	unsigned int n;
	bool until_close; /* the last answer */
	uint64_t codes[HTTP_METHODS][HTTP_CODES];
};

static void __attribute__((format(printf, 2, 3))) put(struct stream *s, const char *format, ...)
{
	va_list list;
	int n;

	va_start(list, format);
	n = vsnprintf((char *)s->bytes + s->n, STREAM_MAX - s->n, format, list);
	va_end(list);
	if (n < 0 || (size_t)n >= STREAM_MAX - s->n)
		fail("a conversation of the test is too long");
	s->n += (size_t)n;
}

/* Bytes of a body; plain: none that could be taken for a request when they stand alone. */
static void put_body(struct stream *s, struct random *r, size_t n, bool plain)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";

	for (size_t i = 0; i < n; i++)
		put(s, "%c", plain ? 'a' + (int)random_below(r, 26) : request[i % 18]);
}

static void put_chunks(struct stream *s, struct random *r, bool plain)
{
	for (uint32_t n = random_below(r, 4); n > 0; n--) {
		uint32_t size = 1 + random_below(r, random_once(r, 3) ? 300 : 20);

		put(s, random_once(r, 2) ? "%x\r\n" : "%X;a=b\r\n", size);
		put_body(s, r, size, plain);
		put(s, "\r\n");
	}
	put(s, random_once(r, 3) ? "0\r\nA: trailer\r\n\r\n" : "0\r\n\r\n");
}

static void put_headers(struct stream *s, struct random *r)
{
	for (uint32_t n = random_below(r, 5); n > 0; n--)
		put(s, "X-%u: %.*s\r\n", random_below(r, 100), (int)random_below(r, 90),
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaa");
}

static unsigned int put_request(struct conversation *c, struct random *r, bool plain)
{
	static const struct {
		const char *name;
		unsigned int method;
	} methods[] = { { "GET", HTTP_GET }, { "GET", HTTP_GET }, { "HEAD", HTTP_HEAD },
		{ "POST", HTTP_POST }, { "PUT", HTTP_PUT }, { "DELETE", HTTP_DELETE },
		{ "OPTIONS", HTTP_OPTIONS }, { "PATCH", HTTP_PATCH }, { "PROPFIND", HTTP_OTHER } };
	uint32_t which = random_below(r, sizeof(methods) / sizeof(methods[0]));
	struct stream *s = &c->in;

	if (random_once(r, 10))
		put(s, "\r\n");
	put(s, "%s /%.*s HTTP/1.%u\r\n", methods[which].name, (int)random_below(r, 70),
		"a/very/long/target/that/is/longer/than/what/is/kept/of/a/line?and=more",
		random_below(r, 2));
	put_headers(s, r);
	if (random_once(r, 4)) {
		uint32_t n = random_below(r, 500);

		put(s, "content-Length: %u\r\n\r\n", n);
		put_body(s, r, n, plain);
	} else if (random_once(r, 6)) {
		put(s, "Transfer-Encoding: chunked\r\n\r\n");
		put_chunks(s, r, plain);
	} else
		put(s, "\r\n");
	return methods[which].method;
}

static void put_answer(struct conversation *c, struct random *r, unsigned int method, bool last)
{
	static const uint16_t codes[] = { 200, 200, 201, 204, 206, 301, 304, 400, 404, 418, 499,
		500, 503, 599 };
	uint16_t code = codes[random_below(r, sizeof(codes) / sizeof(codes[0]))];
	bool bodiless = method == HTTP_HEAD || code == 204 || code == 304;
	struct stream *s = &c->out;

	if (random_once(r, 10))
		put(s, "HTTP/1.1 10%u Wait\r\nLink: x\r\n\r\n", random_once(r, 2) ? 0 : 3);
	put(s, "HTTP/1.1 %u Text\r\n", code);
	put_headers(s, r);
	if (last && !bodiless && random_once(r, 3)) {
		c->until_close = true;
		put(s, "\r\nHTTP/1.1 200 of a body\r\n\r\n");
	} else if (random_once(r, 3)) {
		put(s, "Transfer-Encoding: chunked\r\n\r\n");
		if (!bodiless)
			put_chunks(s, r, false);
	} else {
		uint32_t n = random_once(r, 4) ? 0 : random_below(r, 2000);

		put(s, "Content-Length: %u\r\n\r\n", n);
		if (!bodiless)
			put_body(s, r, n, false);
	}
	c->codes[method][http_place_of_code(code)]++;
}

static void make(struct conversation *c, struct random *r, bool plain)
{
	memset(c, 0, sizeof(*c));
	c->n = 1 + random_below(r, MESSAGES_MAX);
	/* Sequence numbers that wrap around, often. */
	c->in.first = random_once(r, 3) ? 0U - random_below(r, 2000) : random_next(r) << 8;
	c->out.first = random_once(r, 3) ? 0U - random_below(r, 2000) : random_next(r) << 8;
	for (unsigned int i = 0; i < c->n; i++) {
		unsigned int method = put_request(c, r, plain);

		c->in.end[i] = c->in.n;
		put_answer(c, r, method, i + 1 == c->n);
		c->out.end[i] = c->out.n;
	}
}

struct talk {
	struct fixture *f;
	struct conversation *c;
	uint32_t subject;
	bool v6, repeats, swaps;
};

static void send_segment(struct talk *t, struct stream *s, size_t from, size_t to)
{
	bool ingress = s == &t->c->in;
	struct http_any *any = t->f->any;
	struct test_packet p;

	packet_segment(
		&p, t->v6, s->first + (uint32_t)from, TCP_FLAG_ACK, s->bytes + from, to - from);
	run(bpf_program__fd(ingress ? any->progs.any_in : any->progs.any_out), &p,
		t->subject | ANY_BEGIN_KNOWN, any_linear(t->f, &p));
	check_in_flight(t->f, t->subject, "in a conversation");
}

static void send_held(struct talk *t, struct stream *s)
{
	while (s->n_held > 0) {
		s->n_held--;
		send_segment(t, s, s->held[s->n_held].from, s->held[s->n_held].to);
	}
}

/* The next segment, up to `limit`. */
static void advance(struct talk *t, struct stream *s, size_t limit)
{
	struct random *r = &t->f->random;
	size_t n = 1 + random_below(r, random_once(r, 4) ? 1400 : random_once(r, 3) ? 8 : 120);
	size_t from = s->sent;

	if (n > limit - s->sent)
		n = limit - s->sent;
	if (t->repeats && s->sent && random_once(r, 4)) { /* what was sent before, again */
		size_t at = random_below(r, (uint32_t)s->sent), length = 1 + random_below(r, 300);

		send_segment(t, s, at, at + length < s->sent ? at + length : s->sent);
	}
	if (t->repeats && random_once(r, 4)) { /* together with new bytes */
		size_t back = random_below(r, 100);

		from -= back < from ? back : from;
	}
	s->sent += n;
	if (t->swaps && s == &t->c->in && s->n_held < HELD_MAX && random_once(r, 6)) {
		s->held[s->n_held++] = (struct held) { from, s->sent };
		return;
	}
	send_segment(t, s, from, s->sent);
	if (s->n_held && random_once(r, 2))
		send_held(t, s);
}

/* Both sides in turn; nobody answers before the request's last byte. */
static void talk(struct talk *t)
{
	struct conversation *c = t->c;
	struct random *r = &t->f->random;
	unsigned int asked = 0, answered = 0;

	while (answered < c->n) {
		unsigned int limit = answered + AHEAD_MAX < c->n ? answered + AHEAD_MAX : c->n;

		if (asked < limit && (asked == answered || random_once(r, 2))) {
			advance(t, &c->in, c->in.end[limit - 1]);
			while (asked < c->n && c->in.sent >= c->in.end[asked])
				asked++;
			continue;
		}
		send_held(t, &c->in);
		advance(t, &c->out, c->out.end[asked - 1]);
		while (answered < asked && c->out.sent >= c->out.end[answered])
			answered++;
	}
	if (c->until_close) {
		struct test_packet p;

		packet_segment(&p, t->v6, c->out.first + (uint32_t)c->out.n,
			TCP_FLAG_ACK | TCP_FLAG_FIN, "", 0);
		run(bpf_program__fd(t->f->any->progs.any_out), &p, t->subject, 0);
	}
}

static bool is_exact(const struct fixture *f, const struct conversation *c)
{
	const struct http_totals *t = &f->totals[ANY_UNIT];
	const struct http_detail *d = &f->details[1];

	return t->started == c->n && t->finished == c->n && sum(d, HTTP_FIRST_BYTE) == c->n &&
	       sum(d, HTTP_DURATION) == c->n && memcmp(d->codes, c->codes, sizeof(d->codes)) == 0;
}

static void show(const struct fixture *f, const struct conversation *c)
{
	const struct http_totals *t = &f->totals[ANY_UNIT];

	printf("%u messages: %llu started, %llu finished, %llu first bytes, %llu durations, "
	       "untracked:",
		c->n, (unsigned long long)t->started, (unsigned long long)t->finished,
		(unsigned long long)sum(&f->details[1], HTTP_FIRST_BYTE),
		(unsigned long long)sum(&f->details[1], HTTP_DURATION));
	for (int i = 0; i < HTTP_UNTRACKED_REASONS; i++)
		printf(" %llu", (unsigned long long)t->untracked[i]);
	puts("");
	for (int m = 0; m < HTTP_METHODS; m++)
		for (int i = 0; i < HTTP_CODES; i++)
			if (f->details[1].codes[m][i] != c->codes[m][i])
				printf("method %d, place %d: %llu instead of %llu\n", m, i,
					(unsigned long long)f->details[1].codes[m][i],
					(unsigned long long)c->codes[m][i]);
}

static void test_conversations(struct fixture *f, bool repeats, bool swaps, const char *name)
{
	static struct conversation c;
	unsigned int n = f->runs / 100, lost = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct talk t = { f, &c, 0, random_once(&f->random, 2), repeats, swaps };
		uint64_t before = f->random.state;

		make(&c, &f->random, swaps);
		begin(f, 0, c.in.first);
		reset_counts(f);
		talk(&t);
		if (is_exact(f, &c) && !untracked(f))
			continue;
		if (!swaps || !untracked(f)) {
			show(f, &c);
			fail("%s: conversation %u (--seed=%llu) is not counted as it was", name, i,
				(unsigned long long)before);
		}
		lost++;
	}
	printf("ok: %s, %u of them", name, n);
	if (swaps)
		printf(", %u said to be lost", lost);
	puts("");
}

/* --- two CPUs ----------------------------------------------------------------------------------
 */

enum { DEPTH = HTTP_PENDING - 1 };

struct race {
	struct fixture *f;
	atomic_uint asked, answered;
	unsigned int n;
};

static void *ask(void *userdata)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct race *race = userdata;
	uint32_t sequence = 1000;
	struct test_packet p;

	for (unsigned int i = 0; i < race->n; i++) {
		while (i - atomic_load(&race->answered) >= DEPTH)
			;
		packet_segment(&p, false, sequence, TCP_FLAG_ACK, request, sizeof(request) - 1);
		run(bpf_program__fd(race->f->any->progs.any_in), &p, 0, 0);
		sequence += sizeof(request) - 1;
		atomic_fetch_add(&race->asked, 1);
	}
	return NULL;
}

static void *answer(void *userdata)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct race *race = userdata;
	uint32_t sequence = 5000;
	struct test_packet p;

	for (unsigned int i = 0; i < race->n; i++) {
		while (atomic_load(&race->asked) == i)
			;
		packet_segment(&p, false, sequence, TCP_FLAG_ACK, text, sizeof(text) - 1);
		run(bpf_program__fd(race->f->any->progs.any_out), &p, 0, 0);
		sequence += sizeof(text) - 1;
		atomic_fetch_add(&race->answered, 1);
	}
	return NULL;
}

static void test_two_cpus(struct fixture *f)
{
	struct race race = { .f = f, .n = f->runs / 4 };
	pthread_t a, b;

	begin(f, 0, 0);
	reset_counts(f);
	if (pthread_create(&a, NULL, ask, &race) || pthread_create(&b, NULL, answer, &race))
		fail("no threads: %m");
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	if (f->totals[ANY_UNIT].started != race.n || f->totals[ANY_UNIT].finished != race.n ||
		f->details[1].codes[HTTP_GET][http_place_of_code(200)] != race.n || untracked(f))
		fail("both directions at once: %u requests, %llu started, %llu finished, %llu counted",
			race.n, (unsigned long long)f->totals[ANY_UNIT].started,
			(unsigned long long)f->totals[ANY_UNIT].finished,
			(unsigned long long)f->details[1].codes[HTTP_GET][http_place_of_code(200)]);
	printf("ok: both directions at once, %u requests\n", race.n);
}

/* --- two CPUs, and each of them gives the connection up from time to time --------------------- */

enum { TURNS = 60 };

struct quarrel {
	struct fixture *f;
	struct random random; /* the thread's own */
	bool ingress;
	pthread_barrier_t *start;
};

/* One direction's packets: messages in order, sometimes one with a gap before it, or nonsense. */
static void *take_part(void *userdata)
{
	static const char *const texts[2] = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n" };
	struct quarrel *q = userdata;
	const char *text = texts[q->ingress];
	size_t length = strlen(text);
	uint32_t sequence = 1000;
	struct http_any *any = q->f->any;
	int program = bpf_program__fd(q->ingress ? any->progs.any_in : any->progs.any_out);
	struct test_packet p;

	pthread_barrier_wait(q->start);
	for (int i = 0; i < TURNS; i++) {
		if (!q->ingress && random_once(&q->random, 6))
			sequence += 10;
		if (q->ingress && random_once(&q->random, TURNS))
			packet_segment(&p, false, sequence, TCP_FLAG_ACK, "?\r\n", 3);
		else
			packet_segment(&p, false, sequence, TCP_FLAG_ACK, text, length);
		run(program, &p, 0, 0);
		sequence += (uint32_t)length;
	}
	return NULL;
}

static void test_quarrels(struct fixture *f)
{
	unsigned int n = f->runs / 200, lost = 0;

	for (unsigned int i = 0; i < n; i++) {
		pthread_barrier_t start;
		struct quarrel in = { f, { random_next(&f->random) | 1 }, true, &start };
		struct quarrel out = { f, { random_next(&f->random) | 1 }, false, &start };
		struct test_packet last;
		pthread_t a, b;

		begin(f, 0, 0);
		reset_counts(f);
		pthread_barrier_init(&start, NULL, 2);
		if (pthread_create(&a, NULL, take_part, &in) ||
			pthread_create(&b, NULL, take_part, &out))
			fail("no threads: %m");
		pthread_join(a, NULL);
		pthread_join(b, NULL);
		pthread_barrier_destroy(&start);
		packet_segment(&last, false, 0, TCP_FLAG_ACK, "", 0);
		run(bpf_program__fd(f->any->progs.any_in), &last, 0, 0); /* for a fresh report */
		check_in_flight(f, 0, "after both directions at once, with errors");
		if (f->reports[0].open && f->reports[0].role != ANY_SERVER)
			fail("%u requests are in flight on a connection that was given up (role %u)",
				f->reports[0].open, f->reports[0].role);
		if (f->reports[0].open > TURNS)
			fail("%u requests of %u are open", f->reports[0].open, TURNS);
		lost += untracked(f) > 0;
	}
	printf("ok: both directions at once, with errors, %u conversations, %u given up\n", n,
		lost);
}

/* --- the verifier's patience ---------------------------------------------------------------------
 */

/* A kernel gives up after a million instructions; how many it needs differs from one to the next.
 */
static void test_margin(struct fixture *f)
{
	enum { MANY = 750000 };
	struct bpf_program *programs[] = { f->http->progs.http_in, f->http->progs.http_out };

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(programs[i]), &info, &size) < 0)
			fail("%s: no information: %m", bpf_program__name(programs[i]));
		if (info.verified_insns > MANY)
			fail("%s: the verifier has looked at %u instructions",
				bpf_program__name(programs[i]), info.verified_insns);
		printf("ok %s: the verifier has looked at %u instructions\n",
			bpf_program__name(programs[i]), info.verified_insns);
	}
}

int main(int argc, char **argv)
{
	struct fixture f = { .random = { .state = 20240521 }, .runs = 100000 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(argc, argv, &f);
	printf("--seed=%llu --runs=%u\n", (unsigned long long)f.random.state, f.runs);
	load(&f);
	test_margin(&f);
	test_attached(&f);
	test_anything(&f);
	test_conversations(&f, false, false, "conversations");
	test_conversations(&f, true, false, "conversations with retransmissions");
	test_conversations(&f, true, true, "conversations with segments out of order");
	test_two_cpus(&f);
	test_quarrels(&f);
	unload(&f);
	return 0;
}
