/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state machine that all alerts share: inactive → pending → firing → resolved. It is fed with
 * samples; which value makes a sample good or bad is the rules' business (level.h, host.h). Pure.
 *
 *     k of n        fires when at least terms.bad of the last terms.of samples were bad …
 *     for           … and it has been pending for terms.for_ns
 *     hysteresis    resolves after terms.good samples in a row that were good; between good and bad
 *                   there is room where it stays what it is
 *     no data       a missing sample counts for nothing: it neither fires nor resolves
 */
#pragma once

#include "../state/alert.h"

enum sample {
	SAMPLE_MISSING,
	SAMPLE_GOOD,
	SAMPLE_BETWEEN, /* not bad, and not good enough to resolve */
	SAMPLE_SUSPECT, /* not bad yet, and will be if it goes on: pending */
	SAMPLE_BAD,
};

struct reading {
	enum sample sample;
	uint64_t began_ns; /* when what it is about began; 0: now */
	double value, threshold;
	char text[ALERT_TEXT];
};

struct terms {
	uint8_t bad, of, good; /* of: at most 8 */
	uint64_t for_ns;
};

/* Takes one sample; true where the state changed. */
bool alert_step(struct alert *a, const struct reading *r, const struct terms *t, uint64_t now_ns);

/* The unit has a new invocation: what was seen of the former one proves nothing about this one. */
void alert_carry(struct alert *a, uint64_t now_ns);

/* What it was about is dealt with (a verdict, a stop on purpose, its rule switched off). */
void alert_settle(struct alert *a, uint64_t now_ns);
