/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Routes: which parts of a path are ids, and what does not fit. */
#include "cmocka_all.h"

#include "../../bpf/http_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *route_of(const char *line)
{
	static struct http_route_walk w;
	size_t n = strlen(line);

	memset(&w, 0x55, sizeof(w)); /* what was there before must not matter */
	memset(w.line, 0, sizeof(w.line));
	memcpy(w.line, line, n < sizeof(w.line) ? n : sizeof(w.line));
	http_route_of(&w);
	for (size_t i = strlen(w.route); i < HTTP_ROUTE; i++)
		assert_int_equal(w.route[i], 0); /* it is a key */
	return w.route;
}

static void test_routes(void **state)
{
	static const struct {
		const char *line, *route;
	} cases[] = {
		{ "GET / HTTP/1.1", "/" },
		{ "GET /users HTTP/1.1", "/users" },
		{ "GET /users/1734 HTTP/1.1", "/users/{id}" },
		{ "GET /users/1734/ HTTP/1.1", "/users/{id}/" },
		{ "GET /1 HTTP/1.1", "/{id}" },
		{ "GET /users/1734/orders?page=2 HTTP/1.1", "/users/{id}/orders" },
		{ "GET /?x=1 HTTP/1.1", "/" },
		{ "DELETE /v2/objects/7f3a9c04e1b2 HTTP/1.1", "/v2/objects/{id}" },
		{ "GET /a/550e8400-e29b-41d4-a716-446655440000 HTTP", "/a/{id}" },
		{ "GET /feedface HTTP/1.1", "/feedface" }, /* a word: no digit */
		{ "GET /cafe12 HTTP/1.1", "/cafe12" },     /* short */
		{ "GET /deadbee7 HTTP/1.1", "/{id}" },
		{ "GET /v1/static/app.js HTTP/1.1", "/v1/static/app.js" },
		{ "GET /t/eyJhbGciOiJIUzI1NiJ9x0 HTTP/1.1", "/t/{id}" },
		{ "GET /t/averylongwordofletters HTTP/1.1", "/t/averylongwordofletters" },
		{ "GET http://example.org/users/12 HTTP/1.1", "/users/{id}" },
		{ "GET http://example.org HTTP/1.1", "/" },
		{ "OPTIONS * HTTP/1.1", "*" },
		{ "CONNECT example.org:443 HTTP/1.1", "*" },
		{ "GET /\xff\"\\\x01 HTTP/1.1", "/____" },
		{ "GET //double HTTP/1.1", "//double" },
		{ "GET /1/2/3/4/5/6/7/8/9/10/11/12/13 HTTP/1.1",
			"/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/*" },
		{ "GET /this/is/a/path/that/is/longer/than/what/is/kept/of/a/line HTTP/1.1",
			"/this/is/a/path/that/is/longer/than/what/is/kept/of/a/*" },
		{ "GET /onepartthatislongerthanwhatiskeptofalineandhasnoslashatall HTTP/1.1",
			"/*" },
		{ "GET", "*" },
		{ "", "*" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(route_of(cases[i].line), cases[i].route);
}

/* Any 64 bytes give a route that is a string, and the same each time. */
static void test_any_line(void **state)
{
	unsigned int seed = 20261121;

	for (int round = 0; round < 200000; round++) {
		static const char alphabet[] = "/09af-{}.? \0\377GETh:";
		char line[HTTP_LINE + 1] = { 0 }, first[HTTP_ROUTE];

		for (int i = 0; i < HTTP_LINE; i++)
			line[i] = alphabet[(unsigned int)rand_r(&seed) % (sizeof(alphabet) - 1)];
		snprintf(first, sizeof(first), "%s", route_of(line));
		assert_true(strlen(first) < HTTP_ROUTE && strlen(first) > 0);
		assert_string_equal(first, route_of(line));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_any_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
