/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP of one unit as the kernel counts it, and what the daemon remembers of the last seconds. The
 * totals are the kernel's own memory, mapped: reading them is a load. The manager calls http_tick()
 * once a second; judges and edges only read.
 */
#pragma once

#include "../base/macros.h"
#include "../../bpf/http_wire.h"

enum {
	HTTP_SECONDS = 64,           /* remembered */
	HTTP_HISTOGRAM_SECONDS = 16, /* of these with their histogram of first bytes */
	HTTP_WINDOW = 10, /* seconds: the window of the quantiles and rates that people are shown */
	HTTP_BOUNDS = HTTP_BUCKETS - 1,
};

/* Cumulative values at one moment. */
struct http_counts {
	uint64_t started, finished, outgoing;
	uint64_t answered[HTTP_CLASSES];
	uint64_t incomplete[HTTP_INCOMPLETE_REASONS];
};

/* What happened within one tick, about a second. */
struct http_second {
	uint64_t from_ns, to_ns;
	uint32_t started;
	uint32_t answered[HTTP_CLASSES];
	uint32_t incomplete[HTTP_INCOMPLETE_REASONS];
};

/* Seconds are a ring, newest at (n - 1) % size; first bytes are of all classes. */
struct http_window {
	uint64_t n;
	struct http_second seconds[HTTP_SECONDS];
	uint32_t first_bytes[HTTP_HISTOGRAM_SECONDS][HTTP_BUCKETS];
	uint32_t queues[HTTP_HISTOGRAM_SECONDS][HTTP_BUCKETS];
	/* Cumulative, as of the last tick. */
	uint64_t first_byte_totals[HTTP_BUCKETS];
	uint64_t queue_totals[HTTP_BUCKETS];
};

struct http_state {
	const volatile struct http_totals *totals; /* borrowed: memory of the kernel */
	const volatile struct http_detail *detail; /* borrowed; NULL: no HTTP seen yet */

	/* The ends of connections are not seen, so that nobody knows who still waits. Written by
	 * edge/http.c. */
	bool ends_unseen;

	/* As of the last tick; all below is owned by http_tick(). */
	uint64_t tick_ns; /* 0: never */
	bool settled;     /* the last tick found nothing new */
	struct http_counts counts;
	uint64_t in_flight; /* requests that have arrived and are not finished */
	/*
	 * Of these: connections whose first request waits for the server, and has waited for
	 * longer than an acknowledgement takes; how many of these the application has not read.
	 */
	uint64_t unanswered, unread;
	uint64_t oldest_ns;            /* since when the oldest in flight is, about; 0: none */
	uint64_t oldest_unanswered_ns; /* the same of those that wait for the server */
	uint64_t reads;                /* requests that the application was seen to read, in all */
	int64_t unread_error; /* what the difference of the counts was when nothing was in flight */
	uint64_t last_answer_ns;  /* tick at which answers were last seen to have been given; 0:
				     never */
	uint64_t last_arrival_ns; /* the same of requests */

	int attach_error; /* of the last attempt to measure it, -errno; 0: none */
	/* Owned array of the kernel's memory, in the order in which they were met; n_routes of
	 * them.
	 */
	const volatile struct http_route **routes;
	size_t n_routes;
	struct http_record example; /* the last one worth a record; time_ns 0: there was none */
	struct http_window *window; /* owned; NULL before the first request: most units have none */
};

/* What the last `seconds` seconds say. */
struct http_view {
	double span;         /* seconds that this is really about; 0: nothing yet */
	uint64_t started;    /* requests that arrived */
	uint64_t answered;   /* first bytes given, all classes */
	uint64_t errors;     /* 5xx, and requests that the server left unanswered */
	uint64_t incomplete; /* all reasons */
	double rate;         /* arrivals per second */
	double error_ratio;  /* errors / (answered + errors without answer); NAN: none */
};

/* NULL for lack of memory. */
struct http_state *http_state_new(
	const volatile struct http_totals *totals, const volatile struct http_detail *detail);
struct http_state *http_state_free(struct http_state *s);

/*
 * Takes the differences since the last tick into the window. Costs nothing for a unit without
 * traffic. The first tick only takes the present values as the beginning.
 */
void http_tick(struct http_state *s, uint64_t now_ns);

/* The counts at this very moment, without waiting for a tick: loads from the kernel's memory. */
struct http_counts http_counts_now(const struct http_state *s);
uint64_t http_in_flight_now(const struct http_state *s);
/*
 * The age of the oldest in flight; 0: none, or none that has waited for longer than a moment. It
 * was looked for at the last tick: once any request has been finished since, it may have been that
 * one, and its age then is all that is known.
 */
uint64_t http_oldest_age_ns(const struct http_state *s, uint64_t now_ns);
/* Of these, in all: 5xx, and requests that the server left unanswered. A client that gives up is
 * not a failure of the service. */
uint64_t http_errors(const struct http_counts *c);

/* The newest `seconds` seconds (at most HTTP_SECONDS); s may be NULL. */
struct http_view http_view(const struct http_state *s, unsigned int seconds);

/* A request was seen: also one that was never answered, of which there are no details yet. */
static inline bool http_is_spoken(const struct http_state *s)
{
	return s && (s->window || s->counts.started);
}

/* How many of the newest seconds began at or after since_ns; s may be NULL. */
unsigned int http_seconds_since(const struct http_state *s, uint64_t since_ns);

/*
 * The q-quantile (0 to 1) of the first-byte time over the newest `seconds` seconds (at most
 * HTTP_HISTOGRAM_SECONDS), in nanoseconds: the upper bound of the bucket that holds it,
 * interpolated within the bucket (factor 2^(1/8), so at most 9 % wide). *ret_n (may be NULL) is the
 * number of answers. UINT64_MAX: there were none.
 */
uint64_t http_quantile_ns(
	const struct http_state *s, unsigned int seconds, double q, uint64_t *ret_n);
/* The same of the time from arrival to the first read by the application. */
uint64_t http_queue_quantile_ns(
	const struct http_state *s, unsigned int seconds, double q, uint64_t *ret_n);

/* One cell of the details, 0 where there are none yet. */
uint64_t http_code_count(const struct http_state *s, enum http_method m, unsigned int place);
/* The status code of a place; 0 for place 0 ("other") and for unused places. */
unsigned int http_code_of_place(unsigned int place);
unsigned int http_place_of_code(unsigned int code);

/* Folds one histogram of the kernel into the classic Prometheus buckets, not cumulative; the sum of
 * seconds in *ret_sum. Zeroes where there are no details yet. */
extern const double http_classic_bounds[HTTP_CLASSIC_BOUNDS];
void http_fold_classic(const struct http_state *s, enum http_clock clock, enum http_class class,
	uint64_t ret[HTTP_CLASSIC_BOUNDS + 1], double *ret_sum);

/* Its name, printable ASCII; out of memory that the kernel writes. */
const char *http_route_name(const volatile struct http_route *r, char ret[HTTP_ROUTE]);
/* 5xx of a route; and all answers. */
uint64_t http_route_errors(const volatile struct http_route *r);
uint64_t http_route_answered(const volatile struct http_route *r);

/* The classic bucket that each of the kernel's buckets is folded into. */
unsigned int http_classic_of_bucket(unsigned int bucket);
/* The kernel's bounds in nanoseconds, inclusive, rising. */
void http_bounds_ns(uint64_t ret[HTTP_BOUNDS]);

/*
 * Whether connections came that could not be measured and none that could: what to tell people, a
 * word of http_untracked_word(); -1: HTTP is seen, or nothing came at all.
 */
int http_blindness(const struct http_state *s);

/*
 * The target of a record's request, without its query, in which secrets may stand; it ends in "…"
 * where the kernel has kept no more of it.
 */
void http_record_target(const struct http_record *r, char *ret, size_t size);

const char *http_method_word(enum http_method m);         /* "GET", "_OTHER" */
const char *http_class_word(enum http_class c);           /* "2xx", "other" */
const char *http_incomplete_word(enum http_incomplete r); /* "client_reset" */
const char *http_untracked_word(enum http_untracked r);   /* "tls" */
