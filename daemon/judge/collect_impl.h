/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files that write the metrics share with each other, and with nobody else. */
#pragma once

#include "collect.h"

struct page {
	const struct world *w;     /* borrowed */
	struct metric_writer *out; /* borrowed */
	struct unit **units;       /* owned; borrowed units */
	size_t n;
	uint64_t now_ns, realtime_usec;
};

#define UNIT_EACH(u, page)                        \
	for (size_t _i = 0; _i < (page)->n; _i++) \
		for (const struct unit *u = (page)->units[_i]; u; u = NULL)

static inline double collect_seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* collect_http.c: the families of HTTP. */
void collect_http(struct page *p);
