/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules for what is sampled of a unit: its HTTP as the kernel counts it, its probe, its check.
 * Once a second, and at each result, they become samples of alerts (judge/alert.h), and an alert
 * that fires becomes a trouble for the policy. All that decides over a level is here. Pure:
 * `now_ns` is a parameter, and the only thing that is written is unit->levels.
 */
#pragma once

#include "../state/world.h"

/*
 * Judges the unit as it is now. To be called after http_tick(), and when a probe or a check has
 * given a result.
 */
void level_judge(struct unit *u, uint64_t now_ns);

/* When it should be judged anew although nothing happens: a hang comes true by time alone. */
uint64_t level_wake_ns(const struct unit *u, uint64_t now_ns);

/* Whether the rule has something to judge in this unit: switched on, and its source is there. */
bool level_applies(const struct unit *u, enum rule r);

/* Any alert of the unit is pending or firing: it wants to be looked at every second. */
bool level_is_active(const struct unit *u);

/* The gravest alert in this state that healing cares for; RULE_UNIT_DOWN: none. */
enum rule level_gravest(const struct unit *u, enum alert_state state);

/*
 * The gravest alert that fires and is confirmed for the present invocation, as a trouble; false:
 * none. The host's pressure makes an overload of it, which it stays until it is seen without.
 */
bool level_find(const struct unit *u, const struct world *w, struct trouble *ret);

/* The host is under a pressure that explains what this rule saw. */
bool level_is_pressed(const struct host_state *h, enum rule r);

/* All alerts of the unit are dealt with: a good verdict, or its administrator stopped it. */
void level_settle(struct unit *u, uint64_t now_ns);

/*
 * mendd was restarted while this trouble was open: its alert fires on, and asks to be confirmed
 * before anything is done.
 */
void level_restore(struct unit *u, const struct trouble *t, uint64_t now_ns);

/* Errors and slowness: what one restart does not help, another one does not either. */
bool level_has_one_restart(enum rule r);

/* The rule whose alerts have this cause, for records that do not have the rule. */
enum rule level_rule_of(enum cause cause);
