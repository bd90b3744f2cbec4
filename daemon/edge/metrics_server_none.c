/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of metrics_server.c where the option "http_endpoint" is disabled. */
#include "metrics_server.h"

int metrics_server_new(
	struct metrics_server **ret, sd_event *event, const struct world *w, int listen_fd)
{
	return -EOPNOTSUPP;
}

int metrics_server_listen(struct metrics_server *s, int listen_fd)
{
	return -EOPNOTSUPP;
}

uint64_t metrics_server_requests(const struct metrics_server *s)
{
	return 0;
}

struct metrics_server *metrics_server_free(struct metrics_server *s)
{
	return NULL;
}
