/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interlocks of GATE: reasons not to act, asked in a fixed order, anew each time. Pure. */
#pragma once

#include "../state/world.h"

/*
 * The first interlock that refuses, or REFUSAL_NONE. *ret_wake: when it may have changed by time
 * alone, or TIME_INFINITY.
 */
enum refusal interlock_ask(
	const struct unit *u, const struct world *w, uint64_t now_ns, uint64_t *ret_wake);

/* A sender that kills the same unit again within this time is a person at work, not an accident. */
#define SAME_KILLER_NS (10 * 60 * NSEC_PER_SEC)
/* Slow retries: what cannot be healed now is never abandoned, but asked again at this pace (±25 %).
 */
#define SLOW_RETRY_NS (10 * 60 * NSEC_PER_SEC)
