/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is remembered of sampled observations ("levels"): the alerts of a unit and of the host, and
 * what a unit's traffic was like while it was well. Judged in daemon/judge (alert.h, level.h,
 * traffic.h, host.h), which alone writes here; everyone else reads. No allocation after the first
 * sample of a unit.
 */
#pragma once

#include "death.h"

enum {
	ALERT_TEXT = 160,
};

struct alert {
	enum alert_state state;
	uint64_t since_ns;     /* in this state */
	uint64_t pending_ns;   /* when it last became pending */
	uint64_t began_ns;     /* when what it is about began, as far as can be told */
	uint64_t confirmed_ns; /* when it fired, or was seen to go on in a new invocation */
	uint64_t sampled_ns;   /* last sample that was not missing */
	uint64_t source_ns;    /* probe, check: the result that was last judged */
	uint8_t bad;           /* last samples, newest in bit 0; 1: above the limit */
	uint8_t calm;          /* samples in a row that were not bad, nor suspect */
	uint8_t good;          /* samples in a row that were good enough to resolve */
	bool carried;          /* fires since a former invocation; not seen bad in this one yet */
	bool restored;         /* fired before mendd was restarted; not seen bad since */
	double value, threshold;
	char text[ALERT_TEXT]; /* of the last sample, for people */
};

static inline bool alert_is_active(const struct alert *a)
{
	return a->state == ALERT_PENDING || a->state == ALERT_FIRING;
}

/* What a unit's answers were like over some seconds. */
struct traffic {
	uint64_t answered;  /* requests with a first byte; of a baseline: how many it rests on */
	double error_ratio; /* NAN: nothing was answered */
	uint64_t p95_ns;    /* of the first bytes; UINT64_MAX: nothing was answered */
};

struct levels {
	char invocation[INVOCATION_SIZE]; /* that is being judged */
	uint64_t since_ns;                /* when it was first judged */
	uint64_t judged_ns;               /* HTTP was judged up to this tick */
	bool answered;                    /* it has answered a request in this invocation */
	uint64_t silent_since_ns; /* arrival of the first request after the last answer; 0: none */
	uint32_t silent_samples;  /* times since then that somebody was seen waiting in vain */
	struct alert alerts[RULE_UNIT_COUNT]; /* that of RULE_UNIT_DOWN is not used */
	struct traffic baseline;              /* while it was well */
	uint64_t baseline_ns;                 /* when that was last learned; 0: never */
	struct traffic before;                /* the last attempt: what the verdict compares with */
};

/* Some task waited for it: a share of time in percent, or (waits) for how many seconds in all. */
struct pressure {
	double cpu, memory, io;
};

struct host_state {
	uint64_t
		asleep_ns; /* of this boot, as of the last look: CLOCK_BOOTTIME - CLOCK_MONOTONIC */
	uint64_t clocks_ns;  /* last look; 0: never */
	uint64_t resumed_ns; /* when it was last seen to have woken up; 0: it never slept */
	struct pressure pressure;
	uint64_t pressure_ns;     /* when that was read; 0: never, or this kernel cannot tell */
	struct pressure waits;    /* since boot */
	uint64_t waits_ns;        /* when they were read; 0: never */
	struct pressure fresh;    /* the share of the last seconds, by their difference */
	bool pressed;             /* above the limits, with hysteresis */
	bool starved;             /* so much that nothing on it can be expected to work */
	uint64_t pressed_end_ns;  /* when it last ceased to be pressed; 0: it never was */
	uint64_t starved_end_ns;  /* the same of starved */
	uint32_t n_bad, n_judged; /* units: counted for the correlation */
	struct alert alerts[RULE_COUNT - RULE_UNIT_COUNT];
};

static inline const struct alert *host_alert(const struct host_state *h, enum rule r)
{
	return &h->alerts[r - RULE_UNIT_COUNT];
}
