/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two halves of the client of PID 1 share: systemd.c listens, systemd_read.c asks. */
#pragma once

#include "systemd.h"

#include <sys/queue.h>

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define UNIT_INTERFACE SYSTEMD_NAME ".Unit"
#define SERVICE_INTERFACE SYSTEMD_NAME ".Service"

struct reading;

enum depth {
	DEPTH_DIRECT,   /* state, job, invocation, over PID 1's own socket */
	DEPTH_QUICK,    /* the same over the bus: behind all signals that it has sent there */
	DEPTH_CHANGING, /* all that changes at run time */
	DEPTH_ALL,      /* also files, policy, limits */
};

struct systemd {
	sd_bus *bus;    /* borrowed */
	sd_bus *direct; /* owned; to PID 1 without the broker, for quick readings; NULL: none */
	uint64_t direct_since_ns; /* first answer over it; 0: none yet */
	bool direct_is_whole;     /* what PID 1 told before that has arrived over the bus */
	struct world *world;      /* borrowed; only facts and dependencies are written */
	const struct systemd_handlers *handlers; /* borrowed: constant */
	void *userdata;                          /* of the handlers */
	sd_bus_slot *slots[8];                   /* owned: matches and pending calls of our own */
	size_t n_slots;
	struct hash readings;          /* unit name -> struct reading, owned */
	TAILQ_HEAD(, reading) waiting; /* borrowed: those of `readings` whose turn has not come */
	unsigned int n_calls; /* what the readings under way may have waiting at the broker */
	bool listed;          /* all units that were loaded at the start are known … */
	bool complete;        /* … and read: on_complete was called */
	bool reloading;       /* PID 1 takes away and brings back all its units now */
};

/* Makes (or deepens) the reading of a unit. -ENOENT: it is not watched. */
int reading_start(struct systemd *s, const char *unit, enum depth depth);
/* Calls on_complete once everything that was listed at the start has been read. */
void readings_check_complete(struct systemd *s);
void readings_done(struct systemd *s);
/* PID 1's own socket, if it is to be had: s->direct. */
void systemd_connect_directly(struct systemd *s);
