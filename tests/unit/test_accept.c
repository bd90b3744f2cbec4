/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/base/accept.c: what clients send, real ones and bad ones. */
#include "cmocka_all.h"
#include "../../daemon/base/accept.h"

#define OPEN_METRICS "application/openmetrics-text"

static void media(void **state)
{
	static const struct {
		const char *header;
		int text, open;
	} rows[] = {
		{ NULL, 1000, 1000 },
		{ "", -1, -1 },
		{ "*/*", 1000, 1000 },
		{ "text/plain", 1000, -1 },
		{ "text/*", 1000, -1 },
		{ "application/*;q=0.3", -1, 300 },
		{ "TEXT/Plain; Q=0.5", 500, -1 },
		{ OPEN_METRICS, -1, 1000 },
		{ OPEN_METRICS ";version=1.0.0", -1, 1000 },
		{ OPEN_METRICS "; version=\"1.0.0\"; charset=utf-8", -1, 1000 },
		{ OPEN_METRICS ";version=0.0.1", -1, -1 },
		{ "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", 500, 100 },
		/* Prometheus 2 */
		{ OPEN_METRICS ";version=1.0.0," OPEN_METRICS
			       ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			500, 1000 },
		/* Prometheus 3 */
		{ OPEN_METRICS ";version=1.0.0;escaping=allow-utf-8;q=0.6," OPEN_METRICS
			       ";version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;"
			       "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
			300, 600 },
		/* the most specific one counts, wherever it stands */
		{ "*/*;q=0.9, text/*;q=0.8, text/plain;q=0.7, text/plain;version=0.0.4;q=0.6", 600,
			900 },
		{ "text/plain;q=0, */*", 0, 1000 },
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 800, 800 },
		/* bad qualities: the element is skipped */
		{ "text/plain;q=2", -1, -1 },
		{ "text/plain;q=1.001", -1, -1 },
		{ "text/plain;q=0.1234", -1, -1 },
		{ "text/plain;q=", -1, -1 },
		{ "text/plain;q=x", -1, -1 },
		{ "text/plain;q=-1", -1, -1 },
		{ "text/plain;q=1.", 1000, -1 },
		{ "text/plain;q=0.333", 333, -1 },
		/* garbage */
		{ ",,,;;;===", -1, -1 },
		{ "text", -1, -1 },
		{ "text/plain\"", -1, -1 },
		{ "\"a,b\", text/plain", 1000, -1 },
		{ "x;y=\"a\\\",b\", text/plain", 1000, -1 },
		{ "x;y=\"never closed, text/plain", -1, -1 },
		{ ", text/plain ,", 1000, -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *header = rows[i].header;
		const char *shown = header ? header : "(none)";

		CHECK_ROW(accept_media(header, "text/plain", "0.0.4") == rows[i].text, shown);
		CHECK_ROW(accept_media(header, OPEN_METRICS, "1.0.0") == rows[i].open, shown);
	}
}

static void encodings(void **state)
{
	static const struct {
		const char *header;
		bool gzip;
	} rows[] = {
		{ NULL, false },
		{ "", false },
		{ "gzip", true },
		{ "GZIP", true },
		{ "x-gzip", true },
		{ "deflate, gzip, br", true },
		{ "deflate, br", false },
		{ "identity", false },
		{ "*", true },
		{ "*;q=0", false },
		{ "gzip;q=0", false },
		{ "gzip;q=0, *", false },
		{ "gzip;q=0.001", true },
		{ "gzip;q=0.5, identity;q=0.8", false },
		{ "gzip;q=0.8, identity;q=0.5", true },
		{ "gzip, identity", true },
		{ "gzip;q=2", false },
		{ "gzipped", false },
		{ ";;,,", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_ROW(accept_gzip(rows[i].header) == rows[i].gzip,
			rows[i].header ? rows[i].header : "(none)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(media),
		cmocka_unit_test(encodings),
	};

	return cmocka_run_group_tests_name("accept", tests, NULL, NULL);
}
