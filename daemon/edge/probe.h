/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The active prober: asks units the way their users do (Probe=), each at its interval, and hands
 * the results on. It judges nothing. The questions themselves are in probe_transfer.h.
 */
#pragma once

#include "../base/macros.h"

#include <systemd/sd-event.h>

enum {
	PROBES_AT_ONCE = 16, /* under way; further ones wait for one of them to end */
};

struct prober;

struct prober_handler {
	void *userdata; /* borrowed; first argument of each */
	/*
	 * A result. status: MEND_OK, MEND_CRITICAL (asked, and not well) or MEND_UNKNOWN (could not
	 * be asked: says nothing of the unit). unit and text are borrowed for the call. It may
	 * start and stop probes.
	 */
	void (*on_result)(
		void *userdata, const char *unit, int status, uint64_t took_ns, const char *text);
	/*
	 * Whether the unit is to be asked at this moment, when its probe is due: one that does not
	 * run must not be, since a connection to its .socket unit would start it. NULL: always.
	 */
	bool (*is_wanted)(void *userdata, const char *unit);
	/*
	 * The local port of a probe's socket, before it connects (true) and after it was closed
	 * (false): so that probes can be left out of the unit's own statistics. It must not call
	 * the prober. NULL: nobody wants to know.
	 */
	void (*on_port)(void *userdata, uint16_t port, bool in_use);
};

int prober_new(struct prober **ret, sd_event *event, const struct prober_handler *handler);
/* Not from within a callback. */
struct prober *prober_free(struct prober *p);

/*
 * Probes a unit every interval_ns (with 10 % of jitter), replacing the probe it has. target is
 * http://…, https://… or tcp://HOST:PORT. The first one comes within 5 s, spread at random. 0;
 * -EINVAL: no such target; -EOPNOTSUPP: libcurl cannot do it without blocking; -ENOMEM.
 */
int prober_start(struct prober *p, const char *unit, const char *target, uint64_t interval_ns,
	uint64_t timeout_ns);
/* Nothing happens where the unit has none. */
void prober_stop(struct prober *p, const char *unit);
/* Probes as soon as there is room, again if one is just under way (what that one saw may be too
 * old). -ENOENT: the unit has none. */
int prober_now(struct prober *p, const char *unit);
