/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between metrics_server.c (connections) and metrics_answer.c (what is served on them). */
#pragma once

#include "metrics_page.h"

#include <microhttpd.h>

struct answers {
	const struct world *world; /* borrowed */
	struct scrape_counters counters;
	size_t held; /* bytes of answers that clients have not fetched yet */
};

/* libmicrohttpd's access handler; userdata is a struct answers. */
enum MHD_Result answers_on_request(void *userdata, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **request_context);
