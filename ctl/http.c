/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HTTP of a unit for people: short figures, and the lines of mendctl status. */
#include "ctl.h"

#include <inttypes.h>

const char *format_short(const json_t *usec, char buf[TIME_SIZE])
{
	double v = (double)json_integer_value(usec);

	if (!json_is_integer(usec)) /* "none" is null */
		return strcpy(buf, "-");
	if (v < 1e3)
		snprintf(buf, TIME_SIZE, "%.0fus", v);
	else if (v < 9.95e3)
		snprintf(buf, TIME_SIZE, "%.1fms", v / 1e3);
	else if (v < 999.5e3)
		snprintf(buf, TIME_SIZE, "%.0fms", v / 1e3);
	else if (v < 9.95e6)
		snprintf(buf, TIME_SIZE, "%.1fs", v / 1e6);
	else if (v < 99.5e6)
		snprintf(buf, TIME_SIZE, "%.0fs", v / 1e6);
	else if (v < 99.5 * 60e6)
		snprintf(buf, TIME_SIZE, "%.0fmin", v / 60e6);
	else if (v < 99.5 * 3600e6)
		snprintf(buf, TIME_SIZE, "%.0fh", v / 3600e6);
	else
		snprintf(buf, TIME_SIZE, "%.0fd", v / 86400e6);
	return buf;
}

const char *format_rate(const json_t *rate, char buf[TIME_SIZE])
{
	double v = json_number_value(rate);

	if (!json_is_number(rate))
		return strcpy(buf, "-");
	if (v == 0)
		return strcpy(buf, "0");
	if (v < 9.95)
		snprintf(buf, TIME_SIZE, "%.1f", v);
	else if (v < 9999.5)
		snprintf(buf, TIME_SIZE, "%.0f", v);
	else if (v < 999.5e3)
		snprintf(buf, TIME_SIZE, "%.0fk", v / 1e3);
	else
		snprintf(buf, TIME_SIZE, "%.1fM", v / 1e6);
	return buf;
}

const char *format_percent(const json_t *ratio, char buf[TIME_SIZE])
{
	double v = json_number_value(ratio) * 100;

	if (!json_is_number(ratio)) /* of nothing */
		return strcpy(buf, "-");
	if (v == 0)
		return strcpy(buf, "0");
	if (v < .05)
		return strcpy(buf, "<0.1");
	snprintf(buf, TIME_SIZE, v < 9.95 ? "%.1f" : "%.0f", v);
	return buf;
}

const char *explain_visibility(const char *word)
{
	static const struct {
		const char *word, *text;
	} known[] = {
		{ "none", "none has come yet" },
		{ "off", "not measured: HTTP=no" },
		{ "unavailable", "not measured; 'mendctl doctor' may say why" },
		{ "tls", "cannot be seen: its connections are encrypted (TLS)" },
		{ "http2", "cannot be seen: its clients speak HTTP/2" },
		{ "upgraded", "cannot be seen: its connections were upgraded to another protocol" },
		{ "not_http", "its connections carry something else" },
		{ "table_full", "cannot be seen: there is no room for it (MaxHTTPUnits=)" },
		{ "lost", "cannot be seen: its connections could not be followed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(known[i].word, word))
			return known[i].text;
	return NULL;
}

static uint64_t sum(const json_t *counters)
{
	const char *key;
	json_t *value;
	uint64_t n = 0;

	json_object_foreach((json_t *)counters, key, value) n +=
		(uint64_t)json_integer_value(value);
	return n;
}

static void print_blind(const struct ctl *c, const json_t *u)
{
	const char *word = get_text(u, "HTTPVisibility"), *text = explain_visibility(word);
	uint64_t n = sum(json_object_get(u, "HTTPUntracked"));

	/* Of a unit that does not run there is nothing to measure. */
	if (str_eq(word, "unavailable") && get_number(u, "MainPID") == 0)
		return;
	printf("%12s: ", "HTTP");
	/* Where HTTP is expected, it is worth a second look. */
	put_colored(c, str_eq(get_text(u, "HTTPMode"), "yes") ? COLOR_WARN : COLOR_DIM,
		text ? text : word);
	if (n > 0)
		printf(" (%" PRIu64 " connection%s)", n, n == 1 ? "" : "s");
	putchar('\n');
}

static void print_rates(const struct ctl *c, const json_t *u)
{
	const json_t *ratio = json_object_get(u, "HTTPErrorRatio");
	bool bad = json_number_value(ratio) > 0;
	char buf[TIME_SIZE];

	printf("%12s: %s requests/s", "HTTP",
		format_rate(json_object_get(u, "HTTPRequestRate"), buf));
	if (json_is_number(ratio))
		printf(", %s%s%% errors%s", color_on(c, bad ? COLOR_WARN : COLOR_NONE),
			format_percent(ratio, buf), color_off(c, bad ? COLOR_WARN : COLOR_NONE));
	if (json_is_integer(json_object_get(u, "HTTPFirstByteP50USec"))) {
		printf("; first byte p50 %s",
			format_short(json_object_get(u, "HTTPFirstByteP50USec"), buf));
		printf(", p95 %s", format_short(json_object_get(u, "HTTPFirstByteP95USec"), buf));
		printf(", p99 %s", format_short(json_object_get(u, "HTTPFirstByteP99USec"), buf));
	}
	if (json_is_integer(json_object_get(u, "HTTPQueueP95USec")))
		printf("; queue p95 %s", format_short(json_object_get(u, "HTTPQueueP95USec"), buf));
	putchar('\n');
}

static void print_in_flight(const json_t *u)
{
	uint64_t n = get_number(u, "HTTPInFlight"), unread = get_number(u, "HTTPUnread");
	uint64_t untracked = sum(json_object_get(u, "HTTPUntracked"));
	char buf[TIME_SIZE];

	printf("%12s  ", "");
	if (n == 0)
		printf("none in flight");
	else
		printf("%" PRIu64 " in flight", n);
	if (unread > 0)
		printf(" (%" PRIu64 " not read yet)", unread);
	if (get_number(u, "HTTPOldestInFlightUSec") > 0)
		printf(", the oldest for %s",
			format_short(json_object_get(u, "HTTPOldestInFlightUSec"), buf));
	printf("; %" PRIu64 " requests, %" PRIu64 " errors, %" PRIu64 " incomplete so far",
		get_number(u, "HTTPRequests"), get_number(u, "HTTPErrors"),
		sum(json_object_get(u, "HTTPIncomplete")));
	if (untracked > 0)
		printf("; %" PRIu64 " connections not seen", untracked);
	putchar('\n');
}

void print_http(const struct ctl *c, const json_t *u)
{
	const char *visibility = get_text(u, "HTTPVisibility");

	if (!*visibility) /* of an older daemon */
		return;
	if (!str_eq(visibility, "http")) {
		print_blind(c, u);
		return;
	}
	print_rates(c, u);
	print_in_flight(u);
}
