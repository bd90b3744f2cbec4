/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between metrics_server.c (connections) and metrics_answer.c (what is served on them). */
#pragma once

#include "metrics_page.h"

#include <microhttpd.h>

enum {
	PAGES = 6, /* metrics in two formats, page for people: each plain and compressed */
};

/* A page that was just written; a crowd of clients gets the same one. */
struct page_cached {
	struct MHD_Response *response; /* owned reference; NULL: none */
	uint64_t until_ns;
};

struct answers {
	const struct world *world; /* borrowed */
	struct page_cached pages[PAGES];
	struct scrape_counters counters;
	size_t held; /* bytes of answers that clients have not fetched yet */
};

/* libmicrohttpd's access handler; userdata is a struct answers. */
enum MHD_Result answers_on_request(void *userdata, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **request_context);

/* Forgets pages that are too old; when the next one will be, TIME_INFINITY: there is none. */
uint64_t answers_expire(struct answers *s, uint64_t now_ns);
/* After libmicrohttpd's daemon was stopped. */
void answers_done(struct answers *s);
