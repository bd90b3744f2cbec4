/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host as a whole has to do with a level: it is short of something (PSI), it has just been
 * booted or has slept, or many of its units went bad at once, which has one reason and not many.
 * Any of these holds what levels would do; deaths are healed all the same. Pure.
 */
#pragma once

#include "../state/world.h"

/* Levels mean little for so long after boot and after resume: everything starts, or reconnects. */
#define HOST_GRACE_NS (60 * NSEC_PER_SEC)

/* CLOCK_MONOTONIC stands still while the host sleeps and CLOCK_BOOTTIME does not: so it is noticed.
 */
void host_note_clocks(struct host_state *h, uint64_t monotonic_ns, uint64_t boottime_ns);

/* When the grace after boot and resume ends; at most now_ns where there is none. */
uint64_t host_grace_end_ns(const struct host_state *h, uint64_t now_ns);

/* How long tasks have waited since boot, read at the same time as what host_note_pressure() is told
 * next: its average of ten seconds comes late. Where nobody has looked for a while, it is begun
 * from that `average`. */
void host_note_waits(struct host_state *h, const struct pressure *seconds,
	const struct pressure *average, uint64_t now_ns);

/* A reading of /proc/pressure; NULL: this kernel has none. */
void host_note_pressure(struct host_state *h, const struct pressure *p, uint64_t now_ns);

/* Steps the alerts of the host by what its units' alerts are now: after all were judged. */
void host_judge(struct world *w, uint64_t now_ns);

/* Whether the unit is one of the bad ones of a correlated failure. */
bool host_counts(const struct unit *u, uint64_t now_ns);

/* Whether the pressure should be read: something is pending or fires. */
bool host_wants_pressure(const struct world *w);
