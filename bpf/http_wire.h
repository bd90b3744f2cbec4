/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the HTTP programs and the daemon say to each other. The counts of each unit lie in two
 * arrays that are mapped into the daemon's memory, so that reading costs no system call: `totals`,
 * small, for every unit that is watched, and `details`, large, for those that have spoken HTTP.
 * The kernel owns the counts and only adds to them; they outlive the daemon in systemd's FD store.
 * A change of any layout here changes HTTP_WIRE_VERSION: maps of another shape are not adopted.
 *
 * Durations are counted in histograms with inclusive upper bounds that contain both the classic
 * Prometheus buckets and the bounds of native histograms of schema 3 (factor 2^(1/8)): they fold
 * into both without error. The bounds are computed by the daemon (state/http.c) and handed to the
 * programs as constants.
 */
#ifndef MENDD_HTTP_WIRE_H
#define MENDD_HTTP_WIRE_H

#include <linux/types.h>

#include "http_ages.h"
#include "http_route.h"

#define HTTP_WIRE_VERSION 3

enum {
	/* Units at most, as UNITS_MAX of state/settings.h; place 0 is nobody's. */
	HTTP_UNITS = 4096,
	/* Units that speak HTTP; place 0 means "none yet". MaxHTTPUnits= says how many there are.
	 */
	HTTP_DETAILS_MAX = 4096,
	/* Routes of all units together; each takes 256 bytes. */
	HTTP_ROUTES = 4096,
	HTTP_CLASSIC_BOUNDS = 16, /* of the usual buckets of Prometheus */
	HTTP_BUCKETS = 167,       /* 166 bounds, and what is above them */
	/* Places for status codes of a unit: place 0 for those that are not known. */
	HTTP_CODES = 72,
	/* Requests in flight on one connection whose arrivals are told apart; of more, the last
	 * one's stands for all. */
	HTTP_PENDING = 8,
	HTTP_METHODS_PENDING = 64, /* the same of methods: an answer to HEAD has no body */
};

enum http_clock {
	HTTP_QUEUE,      /* arrival to first read by the application */
	HTTP_FIRST_BYTE, /* arrival to first byte of the final response */
	HTTP_DURATION,   /* arrival to last byte */
	HTTP_CLOCKS,
};

/* Classes of status codes; 0: 101, and numbers that mean nothing. */
enum http_class {
	HTTP_CLASS_OTHER,
	HTTP_CLASS_2XX,
	HTTP_CLASS_3XX,
	HTTP_CLASS_4XX,
	HTTP_CLASS_5XX,
	HTTP_CLASSES,
};

/* Why a request never got its whole answer. */
enum http_incomplete {
	HTTP_CLIENT_RESET, /* the client closed or reset first */
	HTTP_SERVER_RESET, /* the server closed or reset the connection */
	HTTP_SERVER_DIED,  /* the kernel closed it for a process that ended */
	HTTP_TIMED_OUT,    /* the other side has not been heard of any more */
	/* Came before the last answer had ended, or after the server had closed behind it: it may.
	 */
	HTTP_SENT_AHEAD,
	HTTP_INCOMPLETE_REASONS,
};

/* Why an accepted connection is not measured. */
enum http_untracked {
	HTTP_UNTRACKED_TLS,
	HTTP_UNTRACKED_HTTP2,
	HTTP_UNTRACKED_UPGRADED, /* 101 or CONNECT: what follows is another protocol */
	HTTP_UNTRACKED_NOT_HTTP,
	HTTP_UNTRACKED_FULL, /* no room for its state */
	HTTP_UNTRACKED_LOST, /* its bytes could not be followed (reordered, cut) */
	HTTP_UNTRACKED_REASONS,
};

/*
 * Three cache lines: what is hardly ever written, what ingress writes, what egress writes. They may
 * run on different CPUs.
 */
struct http_totals {
	__u64 name_hash; /* of the unit's name; written by the daemon; 0: the place is free */
	__u64 detail;    /* place in `details`, 0: has not spoken HTTP yet */
	/* Written by the daemon: an answer later than this makes a record; 0: none does. */
	__u64 slow_ns;
	__u64 last_record_ns; /* they are limited to ten a second */
	__u64 last_error_ns;  /* last 5xx: the first one after quiet makes a record */
	__u32 routes_max;     /* written by the daemon: routes that are counted apart; 0: none */
	__u32 routes;         /* that there are, with "_OTHER" */
	__u64 reserved[2];

	__u64 started;  /* requests that have arrived */
	__u64 outgoing; /* requests that the unit made itself */
	__u64 untracked[HTTP_UNTRACKED_REASONS];

	__u64 finished; /* of those started: answered, or incomplete; the others are in flight */
	__u64 incomplete[HTTP_INCOMPLETE_REASONS];
	__u64 never_read; /* of those finished: what the application has not read */
	__u64 reserved_out;
};

struct http_detail {
	/* The queue clock ends before the status is known: all in class 0. */
	__u64 histograms[HTTP_CLOCKS][HTTP_CLASSES][HTTP_BUCKETS];
	__u64 sums_ns[HTTP_CLOCKS][HTTP_CLASSES];
	__u64 codes[HTTP_METHODS][HTTP_CODES];
	/*
	 * Of each connection the first request in flight, once it is older than TCP waits with an
	 * acknowledgement (some 40 ms): those that wait for the server, since it has been its turn;
	 * and those whose body or answer is on its way, since they arrived.
	 */
	struct http_ages waiting, transfers;
};

/* Counts of one route. The first byte's time, as the metrics have it. */
struct http_route {
	__u32 unit; /* place in totals; 0: nobody's */
	__u32 reserved;
	char name[HTTP_ROUTE]; /* "_OTHER": those that found no place */
	__u64 answered[HTTP_CLASSES];
	__u64 sum_ns;
	__u64 buckets[HTTP_CLASSIC_BOUNDS + 1];
};

/* Where a route is found. */
struct http_route_key {
	__u32 unit;
	char name[HTTP_ROUTE];
};

enum http_record_kind {
	HTTP_RECORD_SLOW,  /* above the unit's latency limit */
	HTTP_RECORD_ERROR, /* a 5xx after a minute without one */
	HTTP_RECORD_FULL,  /* no room for its details: more units speak HTTP than MaxHTTPUnits= */
};

/* Rare; in the ring `records`. */
struct http_record {
	__u16 version; /* HTTP_WIRE_VERSION */
	__u16 kind;
	__u32 unit; /* place in totals */
	__u64 time_ns;
	__u64 queue_ns; /* ~0: not known */
	__u64 first_byte_ns;
	__u16 status;
	__u16 method;
	__u32 reserved;
	char line[HTTP_LINE]; /* the request's first line, cut; no zero at its end where it is full
			       */
	char trace_id[32];    /* of traceparent, hexadecimal; zeros: it had none */
};

/* Registered by IANA, and those that common servers use besides: nginx 444, 499; proxies 520 to
 * 525. */
#define HTTP_KNOWN_CODES                                                                          \
	101, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, \
		308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414,   \
		415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 444, 451, 499,   \
		500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 520, 521, 522, 523, 524,   \
		525

#endif
