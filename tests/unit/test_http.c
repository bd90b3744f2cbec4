/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP recogniser: each message, whole, and cut at every position into two segments, and byte
 * by byte, gives the same events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/http.h"

/* Events as a line of text: "GET.", "200.", a dot where a body ended, "!" where it is not HTTP. */
static void note(char *log, const struct http_stream *s, enum http_event event)
{
	static const char *const methods[HTTP_METHODS] = { "OTHER", "GET", "HEAD", "POST", "PUT",
		"DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE" };
	char word[32];

	if (event == HTTP_HEAD_DONE && (s->flags & HTTP_FLAG_RESPONSE))
		snprintf(word, sizeof(word), "%u ", s->status);
	else if (event == HTTP_HEAD_DONE)
		snprintf(word, sizeof(word), "%s ", methods[s->method]);
	else
		snprintf(word, sizeof(word), "%s ", event == HTTP_MESSAGE_DONE ? "." : "!");
	strcat(log, word);
}

/* As the kernel program does it: 1xx, 204, 304 have no body. */
static int is_bodiless(const struct http_stream *s)
{
	return (s->flags & HTTP_FLAG_RESPONSE) &&
	       (s->status < 200 || s->status == 204 || s->status == 304);
}

static void feed(struct http_stream *s, const char *data, size_t n, char *log)
{
	while (n > 0) {
		enum http_event event;
		__u32 taken;

		if (s->stage == HTTP_FOREIGN)
			return;
		/* exactly as long as the data: reading beyond it is for the sanitizer to find */
		char *copy = malloc(n);

		memcpy(copy, data, n);
		taken = http_feed(s, copy, (__u32)n, &event);
		free(copy);
		assert_true(taken > 0 && taken <= n);
		data += taken;
		n -= taken;
		if (event != HTTP_NOTHING)
			note(log, s, event);
		if (event == HTTP_HEAD_DONE)
			http_after_head(s, is_bodiless(s));
	}
}

struct row {
	const char *name, *data, *expected;
	int response;
};

static const struct row rows[] = {
	{ "a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET ", 0 },
	{ "HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET ", 0 },
	{ "line feeds alone", "GET / HTTP/1.1\nHost: a\n\n", "GET ", 0 },
	{ "empty lines before it", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET ", 0 },
	{ "pipelined",
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\n\r\n",
		"GET GET HEAD ", 0 },
	{ "a body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
		"POST . GET ", 0 },
	{ "a body that looks like a request",
		"PUT /x HTTP/1.1\r\ncontent-length:18\r\n\r\nGET / HTTP/1.1\r\n\r\nDELETE /x HTTP/1.1\r\n\r\n",
		"PUT . DELETE ", 0 },
	{ "no body", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"POST GET ", 0 },
	{ "chunked",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n"
		"\r\nGET / HTTP/1.1\r\n\r\n",
		"POST . GET ", 0 },
	{ "chunked with a trailer",
		"PATCH / HTTP/1.1\r\nTRANSFER-ENCODING: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
		"PATCH . ", 0 },
	{ "unusual methods",
		"PROPFIND / HTTP/1.1\r\n\r\nM-SEARCH * HTTP/1.1\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\n",
		"OTHER OTHER OPTIONS ", 0 },
	{ "absolute form", "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET ", 0 },
	{ "a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT ", 0 },
	{ "a response",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 Not Found\r\n"
		"Content-Length: 0\r\n\r\n",
		"200 . 404 ", 1 },
	{ "without a reason", "HTTP/1.1 500\r\nContent-Length: 1\r\n\r\nx", "500 . ", 1 },
	{ "interim responses",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n"
		"\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n",
		"100 103 204 304 201 ", 1 },
	{ "until the connection ends",
		"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nHTTP/1.1 500 this is text\r\n\r\n", "200 ",
		1 },
	{ "a chunked response",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\r\n0\r\n\r\n"
		"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n",
		"200 . 502 ", 1 },
	{ "Redis", "*1\r\n$4\r\nPING\r\n", "! ", 0 },
	{ "Redis, inline", "SET key value\r\n", "! ", 0 },
	{ "lower case is no method", "get / HTTP/1.1\r\n\r\n", "! ", 0 },
	{ "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "! ", 0 },
	{ "not a response", "220 mail.example ESMTP\r\n", "! ", 1 },
	{ "not a status", "HTTP/1.1 2xx OK\r\n", "! ", 1 },
	{ "a chunk without a size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"POST ! ", 0 },
};

static struct http_stream begin(const struct row *r)
{
	return (struct http_stream) { .flags = r->response ? HTTP_FLAG_RESPONSE : 0 };
}

static void check(const struct row *r, const char *log, const char *how, size_t at)
{
	if (strcmp(log, r->expected) != 0)
		fail_msg("%s, %s %zu: \"%s\", not \"%s\"", r->name, how, at, log, r->expected);
}

static void test_whole(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_stream s = begin(&rows[i]);
		char log[256] = "";

		feed(&s, rows[i].data, strlen(rows[i].data), log);
		check(&rows[i], log, "whole", 0);
	}
}

static void test_cut_in_two(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].data);

		for (size_t at = 1; at < n; at++) {
			struct http_stream s = begin(&rows[i]);
			char log[256] = "";

			feed(&s, rows[i].data, at, log);
			feed(&s, rows[i].data + at, n - at, log);
			check(&rows[i], log, "cut at", at);
		}
	}
}

static void test_byte_by_byte(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_stream s = begin(&rows[i]);
		char log[256] = "";

		for (const char *p = rows[i].data; *p; p++)
			feed(&s, p, 1, log);
		check(&rows[i], log, "bytes of", 1);
	}
}

/* A head of 8 KB with long lines, then a body, then the next request. */
static void test_long_heads(void **state)
{
	struct row r = { "a long head", NULL, "POST . GET ", 0 };
	char *data = calloc(1, 65536), *p = data;

	p += sprintf(p, "POST /");
	memset(p, 'x', 3000);
	p += 3000;
	p += sprintf(p, " HTTP/1.1\r\nCookie: ");
	memset(p, 'y', 5000);
	p += 5000;
	p += sprintf(p, "\r\nContent-Length: 300\r\nX: Content-Length: 7\r\n\r\n");
	memset(p, 'z', 300);
	p += 300;
	p += sprintf(p, "GET / HTTP/1.1\r\n\r\n");
	for (size_t at = 1; at < (size_t)(p - data); at += 7) {
		struct http_stream s = begin(&r);
		char log[256] = "";

		feed(&s, data, at, log);
		feed(&s, data + at, (size_t)(p - data) - at, log);
		check(&r, log, "cut at", at);
	}
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_cut_in_two),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_long_heads),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
