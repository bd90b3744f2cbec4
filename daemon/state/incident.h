/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An incident: what went wrong with one unit, from the first sign to the verdict, with evidence and
 * a timeline. At most one is open per unit. Times are monotonic nanoseconds for arithmetic, and one
 * pair (monotonic, wall clock) taken at opening converts them for people.
 */
#pragma once

#include "heal.h"
#include "settings.h"

enum {
	INCIDENT_ID_SIZE = 37, /* a random UUID as text */
	INCIDENT_EVENTS_MAX =
		48, /* timeline entries kept; further ones replace the last, counted */
	INCIDENTS_RECENT_MAX = 64 /* closed ones kept in memory; older ones are in the store */
};

/* One line of the timeline. */
struct incident_event {
	uint64_t time_ns;
	char kind[24];  /* "failed", "detected", "decided", "held", "acted", "up", "verified",
			   "closed" … */
	char text[232]; /* for people */
};

struct incident {
	char id[INCIDENT_ID_SIZE];
	char unit[UNIT_NAME_SIZE];
	bool open;
	enum cause cause;
	enum severity severity;
	char summary[256];  /* trouble's text */
	uint64_t opened_ns; /* time of the failure in the kernel */
	uint64_t detected_ns;
	uint64_t closed_ns;            /* 0 while open */
	uint64_t anchor_ns;            /* monotonic … */
	uint64_t anchor_realtime_usec; /* … and wall clock of the same moment */
	enum verdict verdict;          /* of the last attempt */
	char resolution[128]; /* "restarted by mendd, verified", "started by an operator", … */
	uint32_t attempts;
	uint32_t relapses;
	struct death death; /* of the main process; time_ns 0: none known */
	char *evidence;     /* owned; captured before any action: a JSON object; NULL: none */
	struct incident_event events[INCIDENT_EVENTS_MAX];
	size_t n_events;
	uint64_t events_dropped;
};

/* Opens one; id is random. NULL for lack of memory. now_ns and realtime_usec are of the same
 * moment. */
struct incident *incident_new(
	const char *unit, const struct trouble *t, uint64_t now_ns, uint64_t realtime_usec);
struct incident *incident_free(struct incident *i);
void incident_note(struct incident *i, uint64_t time_ns, const char *kind, const char *format, ...)
	_printf_(4, 5);
/* Wall clock, microseconds since the epoch, of a monotonic time of this incident. */
uint64_t incident_realtime_usec(const struct incident *i, uint64_t time_ns);
/* The incident as one JSON object: the form of the store, of D-Bus and of mendctl --json. */
struct strbuf;
void incident_to_json(const struct incident *i, struct strbuf *ret);
