/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP endpoint for Prometheus and for people, on the sd-event loop, without threads:
 * /metrics, / (a page for people), /-/healthy, /-/ready. It reads the world and changes nothing.
 * Whoever talks to it is a stranger: number of connections, time, memory and bytes are all capped.
 */
#pragma once

#include "../state/world.h"

#include <systemd/sd-event.h>

enum {
	METRICS_PORT = 16363,
	METRICS_LISTENERS_MAX = 4,
	/*
	 * A Prometheus uses one connection, a pair of them two, a person a few. Most come from
	 * loopback, so the limit of an address leaves room for one well-behaved client beside a bad
	 * one only where they have different addresses; a bad local one is cut after
	 * METRICS_REQUEST_SEC.
	 */
	METRICS_CONNECTIONS_MAX = 128,
	METRICS_CONNECTIONS_PER_ADDRESS = 64,
	METRICS_CONNECTION_MEMORY = 32 * 1024, /* request line and headers; larger: 431 or 414 */
	METRICS_IDLE_SEC = 5,                  /* a connection on which nothing moves */
	METRICS_REQUEST_SEC = 15,              /* from one request's end to the next one's */
	METRICS_HELD_MAX = 128 * 1024 * 1024,  /* bytes of answers that clients have not fetched */
};

struct metrics_server;

/*
 * Starts serving. listen_fd is a listening stream socket (from socket activation: the name is
 * "metrics"), owned by the server from success on; -1: binds [::1] and 127.0.0.1, port
 * METRICS_PORT, of which one is enough where the host lacks the other family. event is referenced,
 * w is borrowed until metrics_server_free(). 0 or -errno; -EADDRINUSE where another process has
 * the port.
 */
int metrics_server_new(
	struct metrics_server **ret, sd_event *event, const struct world *w, int listen_fd);
/* A further listening socket, owned from success on. -ENOSPC above METRICS_LISTENERS_MAX. */
int metrics_server_listen(struct metrics_server *s, int listen_fd);
/* Requests answered so far. */
uint64_t metrics_server_requests(const struct metrics_server *s);
struct metrics_server *metrics_server_free(struct metrics_server *s);
