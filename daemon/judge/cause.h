/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From facts to a cause: is this unit in trouble, since when, and why? Joins what the kernel saw
 * (the death and its sender) with what PID 1 says (state, result, jobs). Pure.
 */
#pragma once

#include "../state/unit.h"

enum finding {
	FINDING_NONE,      /* it is up, or there is nothing to say */
	FINDING_WAIT,      /* something is going on; PID 1 has not decided yet */
	FINDING_EXPLAINED, /* it is down, and meant to be: stopped, finished, never started */
	FINDING_TROUBLE,   /* *ret says what */
};

enum finding cause_find(const struct unit *u, struct trouble *ret);

/* What PID 1 knows of the main process's end, for where the kernel's record is missing; false: it
 * has not ended. */
bool cause_death_from_facts(const struct unit_facts *f, struct death *ret);

/* The cause of one death, without regard to what PID 1 says. */
enum cause cause_of_death(const struct death *d);

/* Active according to PID 1, and the kernel has not seen its main process die. */
bool unit_is_up(const struct unit *u);
