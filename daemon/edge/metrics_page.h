/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole pages about the world: the metrics (for the HTTP server and for DumpMetrics of D-Bus) and
 * the one for people. Read clocks and /proc/self, and memory otherwise.
 */
#pragma once

#include "../judge/collect.h"

enum {
	/* UNITS_MAX units need 20 MB, and 20 KB more each where they speak HTTP with all classes.
	 */
	METRICS_PAGE_MAX = 128 * 1024 * 1024,
};

/* What the HTTP server counts of itself. */
struct scrape_counters {
	uint64_t requests;
	uint64_t refused; /* connections above a limit, answers above the limit of memory */
	uint64_t cut;     /* connections closed for being too slow */
};

/* Appends the page; counters NULL: of no HTTP server. 0, -ENOMEM, or -E2BIG above
 * METRICS_PAGE_MAX. */
int metrics_page(const struct world *w, const struct scrape_counters *counters,
	enum metric_format format, struct strbuf *out);

/* Appends an HTML page: each unit with its health, why, and what is being done. 0 or as above. */
int people_page(const struct world *w, struct strbuf *out);
/* Appends an HTML page about an incident that is in memory: facts and timeline. -ENOENT: there is
 * none, 0 or as above. */
int incident_page(const struct world *w, const char *id, struct strbuf *out);
