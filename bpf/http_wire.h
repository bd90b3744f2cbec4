/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the HTTP programs count for each unit, as the daemon reads it: an array of struct http_unit
 * that is mapped into the daemon's memory, so that reading costs no system call. Counters only
 * grow; each is a __u32 that the daemon folds into 64 bits by its differences, at least once a
 * minute.
 *
 * Durations are counted in histograms with inclusive upper bounds that contain both the classic
 * Prometheus buckets and the bounds of native histograms of schema 3 (factor 2^(1/8)): it folds
 * into both without error. The bounds are computed by the daemon (http_bounds()) and handed to the
 * programs in a map.
 */
#ifndef MENDD_HTTP_WIRE_H
#define MENDD_HTTP_WIRE_H

#include <linux/types.h>

#include "http.h"

enum {
	HTTP_UNITS = 256,   /* units whose HTTP is measured; the memory is there from the start */
	HTTP_BUCKETS = 168, /* bounds and the one above them */
	HTTP_CODES =
		72, /* places for status codes of a unit: the known ones, and place 0 for others */
	HTTP_PENDING = 8, /* requests that one connection may have in flight and be told apart */
};

enum http_clock {
	HTTP_QUEUE,      /* arrival to first read by the application */
	HTTP_FIRST_BYTE, /* arrival to first byte of the final response */
	HTTP_DURATION,   /* arrival to last byte */
	HTTP_CLOCKS,
};

/* Why a request never got its whole answer. */
enum http_incomplete {
	HTTP_CLIENT_GONE, /* the client closed or reset first */
	HTTP_SERVER_GONE, /* the server closed, reset or died */
	HTTP_INCOMPLETE_REASONS,
};

/* Why a connection is not measured. */
enum http_untracked {
	HTTP_UNTRACKED_TLS,
	HTTP_UNTRACKED_HTTP2,
	HTTP_UNTRACKED_OTHER, /* not HTTP */
	HTTP_UNTRACKED_FULL,  /* no room for its state */
	HTTP_UNTRACKED_LOST,  /* its bytes could not be followed */
	HTTP_UNTRACKED_REASONS,
};

struct http_unit {
	__u32 histograms[HTTP_CLOCKS][HTTP_BUCKETS];
	__u64 sums_ns[HTTP_CLOCKS];
	__u32 codes[HTTP_METHODS][HTTP_CODES];
	__u32 started;  /* requests that have arrived */
	__u32 finished; /* of these: answered, or incomplete; started - finished are in flight */
	__u32 outgoing; /* requests that the unit made itself */
	__u32 incomplete[HTTP_INCOMPLETE_REASONS];
	__u32 untracked[HTTP_UNTRACKED_REASONS];
	__u32 reserved;
};

/* Registered by IANA, and those that common servers use besides: nginx 444, 499; proxies 520 to
 * 527. */
#define HTTP_KNOWN_CODES                                                                          \
	200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, \
		400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415,   \
		416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 444, 451, 499, 500,   \
		501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 520, 521, 522, 523, 524, 525

#endif
