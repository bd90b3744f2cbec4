/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metrics of HTTP, straight from the kernel's memory. Most units speak no HTTP: they cost one
 * look in each family. Those that do have a series for each method and code that was met, so that a
 * unit costs what it does and not what it could do.
 */
#include "collect_impl.h"

#include "../base/clock.h"

/* Whether requests have come to the unit; what it makes itself and what cannot be seen is apart. */
static bool has_spoken(const struct unit *u)
{
	return u->http && u->http->totals->started > 0;
}

static void requests(struct page *p)
{
	/* These start at 0, so that the first of them is an increase and not a new series. */
	const unsigned int ok = http_place_of_code(200), error = http_place_of_code(500);

	metric_family(p->out, "mendd_http_requests_total", METRIC_COUNTER, NULL,
		"Requests to the unit that were answered, by method and status code.");
	UNIT_EACH (u, p) {
		if (!has_spoken(u) || !u->http->detail)
			continue;
		for (unsigned int i = 0; i < HTTP_METHODS * HTTP_CODES; i++) {
			enum http_method m = (enum http_method)(i / HTTP_CODES);
			unsigned int place = i % HTTP_CODES, code = http_code_of_place(place);
			uint64_t n = http_code_count(u->http, m, place);
			char text[16] = "other";

			if (n == 0 && !(m == HTTP_GET && (place == ok || place == error)))
				continue;
			if (code)
				snprintf(text, sizeof(text), "%u", code);
			METRIC_COUNT(p->out, n, { "name", u->name },
				{ "method", http_method_word(m) }, { "code", text });
		}
	}
}

/* A histogram of one clock and class; `always`: also where it is empty. */
static void histogram(struct page *p, const struct unit *u, enum http_clock clock,
	enum http_class class, const char *word, bool always)
{
	const struct metric_label labels[] = { { "name", u->name }, { word ? "class" : NULL, word },
		{ NULL, NULL } };
	uint64_t buckets[HTTP_CLASSIC_BOUNDS + 1], n = 0;
	double sum;

	http_fold_classic(u->http, clock, class, buckets, &sum);
	for (unsigned int i = 0; i <= HTTP_CLASSIC_BOUNDS; i++)
		n += buckets[i];
	if (n || always)
		metric_histogram(
			p->out, labels, http_classic_bounds, HTTP_CLASSIC_BOUNDS, buckets, sum);
}

static void by_class(struct page *p, enum http_clock clock, const char *name, const char *help)
{
	metric_family(p->out, name, METRIC_HISTOGRAM, "seconds", help);
	UNIT_EACH (u, p) {
		if (!has_spoken(u) || !u->http->detail)
			continue;
		for (unsigned int c = 0; c < HTTP_CLASSES; c++)
			histogram(p, u, clock, (enum http_class)c,
				http_class_word((enum http_class)c),
				c == HTTP_CLASS_2XX || c == HTTP_CLASS_5XX);
	}
}

static void durations(struct page *p)
{
	by_class(p, HTTP_FIRST_BYTE, "mendd_http_first_byte_seconds",
		"From the arrival of a request to the first byte of its answer, by class of the "
		"status code.");
	by_class(p, HTTP_DURATION, "mendd_http_request_duration_seconds",
		"From the arrival of a request to the last byte of its answer.");
	metric_family(p->out, "mendd_http_queue_seconds", METRIC_HISTOGRAM, "seconds",
		"From the arrival of a request to the moment at which the application began to "
		"read it.");
	UNIT_EACH (u, p) {
		if (has_spoken(u) && u->http->detail)
			histogram(p, u, HTTP_QUEUE, HTTP_CLASS_OTHER, NULL, true);
	}
}

static void in_flight(struct page *p)
{
	metric_family(p->out, "mendd_http_requests_in_flight", METRIC_GAUGE, NULL,
		"Requests that have arrived and are not finished.");
	UNIT_EACH (u, p) {
		if (has_spoken(u))
			METRIC_COUNT(p->out, http_in_flight_now(u->http), { "name", u->name });
	}
	metric_family(p->out, "mendd_http_oldest_request_age_seconds", METRIC_GAUGE, "seconds",
		"How long ago the oldest request in flight arrived; 0: there is none.");
	UNIT_EACH (u, p) {
		if (has_spoken(u))
			METRIC_SAMPLE(p->out,
				collect_seconds(http_oldest_age_ns(u->http, p->now_ns)),
				{ "name", u->name });
	}
	metric_family(p->out, "mendd_http_requests_unread", METRIC_GAUGE, NULL,
		"Requests that have arrived and that the application has not begun to read.");
	UNIT_EACH (u, p) {
		if (has_spoken(u))
			METRIC_COUNT(p->out, http_in_flight_now(u->http) > 0 ? u->http->unread : 0,
				{ "name", u->name });
	}
}

static void not_measured(struct page *p)
{
	metric_family(p->out, "mendd_http_incomplete_requests_total", METRIC_COUNTER, NULL,
		"Requests that never got their whole answer, by why.");
	UNIT_EACH (u, p) {
		for (unsigned int i = 0; has_spoken(u) && i < HTTP_INCOMPLETE_REASONS; i++)
			METRIC_COUNT(p->out, u->http->totals->incomplete[i], { "name", u->name },
				{ "reason", http_incomplete_word((enum http_incomplete)i) });
	}
	metric_family(p->out, "mendd_http_untracked_connections_total", METRIC_COUNTER, NULL,
		"Connections to the unit whose requests cannot be seen, by why.");
	UNIT_EACH (u, p) {
		for (unsigned int i = 0; u->http && i < HTTP_UNTRACKED_REASONS; i++) {
			uint64_t n = u->http->totals->untracked[i];

			if (n > 0 || has_spoken(u))
				METRIC_COUNT(p->out, n, { "name", u->name },
					{ "reason", http_untracked_word((enum http_untracked)i) });
		}
	}
	metric_family(p->out, "mendd_http_outgoing_requests_total", METRIC_COUNTER, NULL,
		"Requests that the unit itself made.");
	UNIT_EACH (u, p) {
		if (u->http && (has_spoken(u) || u->http->totals->outgoing > 0))
			METRIC_COUNT(p->out, u->http->totals->outgoing, { "name", u->name });
	}
}

static void routes(struct page *p)
{
	char name[HTTP_ROUTE];

	metric_family(p->out, "mendd_http_route_requests_total", METRIC_COUNTER, NULL,
		"Requests to the unit that were answered, by route; of units with HTTPRoutes=.");
	UNIT_EACH (u, p) {
		for (size_t i = 0; u->http && i < u->http->n_routes; i++)
			for (unsigned int c = 0; c < HTTP_CLASSES; c++) {
				uint64_t n = u->http->routes[i]->answered[c];

				if (n || c == HTTP_CLASS_2XX || c == HTTP_CLASS_5XX)
					METRIC_COUNT(p->out, n, { "name", u->name },
						{ "route",
							http_route_name(u->http->routes[i], name) },
						{ "class", http_class_word((enum http_class)c) });
			}
	}
	metric_family(p->out, "mendd_http_route_first_byte_seconds", METRIC_HISTOGRAM, "seconds",
		"From the arrival of a request to the first byte of its answer, by route.");
	UNIT_EACH (u, p) {
		for (size_t i = 0; u->http && i < u->http->n_routes; i++) {
			const volatile struct http_route *r = u->http->routes[i];
			const struct metric_label labels[] = { { "name", u->name },
				{ "route", http_route_name(r, name) }, { NULL, NULL } };
			uint64_t buckets[HTTP_CLASSIC_BOUNDS + 1];

			for (unsigned int b = 0; b <= HTTP_CLASSIC_BOUNDS; b++)
				buckets[b] = r->buckets[b];
			metric_histogram(p->out, labels, http_classic_bounds, HTTP_CLASSIC_BOUNDS,
				buckets, (double)r->sum_ns / 1e9);
		}
	}
}

void collect_http(struct page *p)
{
	requests(p);
	durations(p);
	routes(p);
	in_flight(p);
	not_measured(p);
}
