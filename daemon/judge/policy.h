/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The healing policy. policy_decide() looks at a unit and the host and says what to do next; it
 * changes nothing. policy_apply() writes that decision into the unit's heal state. The manager
 * performs it. So a decision is a value: mendctl explain prints exactly what would happen, and the
 * property tests run the same two functions against a model of systemd.
 *
 * No I/O, no clock: `now_ns` is a parameter.
 */
#pragma once

#include "../state/world.h"

enum verb {
	VERB_NONE,     /* nothing to do until something changes */
	VERB_WAIT,     /* ask again at .wake_ns, or when something changes */
	VERB_ACT,      /* store the evidence, then perform .action */
	VERB_ADOPT,    /* somebody else restarted it: only verify, .initiator says who */
	VERB_CONCLUDE, /* the attempt has a verdict */
	VERB_CLOSE,    /* the incident is over without a verdict: .text says why */
};

struct decision {
	enum verb verb;
	enum heal_state next; /* state to enter */
	enum action action;   /* for VERB_ACT */
	enum initiator
		initiator;    /* who acts: systemd where Restart= is at work, and we only verify */
	enum refusal refusal; /* for HOLD, BACKOFF, EXHAUSTED */
	enum verdict verdict; /* for VERB_CONCLUDE */
	bool holds;           /* VERIFY: the conditions hold at this moment */
	uint64_t wake_ns;     /* TIME_INFINITY: only at a change */
	char text[256];       /* one sentence for people: why, and what happens next */
};

/* How many restarts the budgets still allow at `now_ns`; the smallest over the windows and
 * StartLimitBurst. */
uint32_t policy_budget_remaining(const struct unit *u, uint64_t now_ns);

/*
 * Takes a new finding into the machine: a unit in IDLE goes to GATE, one in PROBATION relapses, one
 * in VERIFY has its attempt refuted. false: it is the trouble that is being dealt with already.
 * A death takes the place of a level, and a graver level that of another one.
 */
bool policy_take_trouble(struct unit *u, const struct trouble *t, uint64_t now_ns);

/*
 * Goes on with an incident that was open when the daemon ended: `last` is its last attempt (number
 * 0: none). Whether a restart that has no verdict was sent, PID 1 knows: the machine asks for facts
 * first.
 */
void policy_resume(
	struct unit *u, const struct incident *i, const struct attempt *last, uint64_t now_ns);

struct decision policy_decide(const struct unit *u, const struct world *w, uint64_t now_ns);
void policy_apply(struct unit *u, const struct decision *d, uint64_t now_ns);

/* Names that are never acted upon: PID 1's own services, the bus, log-in, mendd itself. */
bool policy_is_denied(const char *unit);
/* The same of all its names. */
bool policy_denies(const struct unit *u);
