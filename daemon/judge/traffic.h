/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A unit's traffic in three figures, and their comparison: with what it was while the unit was well
 * (is it back?) and with what it was before something was done (is it worse?). Pure.
 */
#pragma once

#include "../state/unit.h"

/* Answers that are enough to say anything. */
#define TRAFFIC_ENOUGH 5
/* How far back "now" reaches at most: as far as first bytes are remembered. */
#define TRAFFIC_LOOKBACK_NS (15 * NSEC_PER_SEC)

/* Over the newest five seconds, but none that began before since_ns; over all since then where
 * these five do not have enough answers. */
struct traffic traffic_since(const struct http_state *s, uint64_t since_ns, uint64_t now_ns);

/* Learns from the last seconds; to be called while nothing is wrong with the unit. */
void traffic_learn(struct levels *l, const struct http_state *s, uint64_t now_ns);

/* Enough of it, and about as it was while the unit was well; text says what is missing, or that. */
bool traffic_is_back(const struct unit *u, const struct traffic *now, char *ret_text, size_t size);

/* More of its answers are errors than while the unit was well. */
bool traffic_fails(const struct unit *u, const struct traffic *now);

/* Markedly worse: more than chance or a cold start would explain. */
bool traffic_is_worse(const struct traffic *before, const struct traffic *now);
