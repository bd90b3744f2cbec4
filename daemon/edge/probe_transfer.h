/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One question to a service over the network, as its users ask: a GET, or just a connection. The
 * only file that knows libcurl: its multi-socket interface on the event loop, so that nothing
 * blocks, name resolution included. What libcurl would take from the environment (proxies, .netrc)
 * is not taken; redirects are not followed; certificates are not verified.
 */
#pragma once

#include "../base/macros.h"

#include <systemd/sd-event.h>

enum {
	TRANSFER_BYTES_MAX = 64 * 1024, /* head and body; who sends more is transfers well enough */
	TRANSFER_TEXT_SIZE = 128,       /* as much as struct probe_state keeps */
};

struct transfers; /* the engine */
struct transfer;  /* one question that is under way */

/*
 * Tells of the local port of a socket before it is connected, and after it was closed. It is called
 * from within libcurl and must not call back into this file.
 */
typedef void (*transfer_port_t)(void *userdata, uint16_t port, bool in_use);

/*
 * The end of a transfer, which is gone already. status is MEND_OK: it was answered with 200 to 499,
 * or (tcp://) connected; MEND_CRITICAL: it was not, or not in time; MEND_UNKNOWN: this host could
 * not ask, which says nothing of the service. text is for people, borrowed for the call.
 */
typedef void (*transfer_done_t)(void *userdata, int status, uint64_t took_ns, const char *text);

/* on_port may be NULL. 0, -ENOMEM, or -EOPNOTSUPP where libcurl would block. */
int transfers_new(struct transfers **ret, sd_event *event, transfer_port_t on_port, void *userdata);
/* After all transfers are freed. Not from within a callback. */
struct transfers *transfers_free(struct transfers *e);

/* -EINVAL: neither http:// nor https:// nor tcp://HOST:PORT. */
int transfer_check_target(const char *target);
/* Begins; done is called later, never before this returns. 0 or -errno. */
int transfer_new(struct transfer **ret, struct transfers *e, const char *target,
	uint64_t timeout_ns, transfer_done_t done, void *userdata);
/* Gives it up: done is not called. */
struct transfer *transfer_free(struct transfer *t);
