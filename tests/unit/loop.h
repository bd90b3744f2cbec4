/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests that need a loop: runs it until a fact is there, or a deadline has passed. A test waits
 * for what it asserts and for nothing else.
 */
#pragma once

#include "../../daemon/base/clock.h"
#include "../../daemon/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <systemd/sd-event.h>

/* Far more than anything here takes; a machine that is this slow is a failure worth seeing. */
#define LOOP_DEADLINE_NS (UINT64_C(20) * NSEC_PER_SEC)

#define LOOP_UNTIL(event, condition)                                                     \
	do {                                                                             \
		uint64_t _end = clock_monotonic_ns() + LOOP_DEADLINE_NS;                 \
		while (!(condition)) {                                                   \
			if (clock_monotonic_ns() > _end)                                 \
				fail_msg("did not become true in time: %s", #condition); \
			assert_true(sd_event_run(event, 20000) >= 0);                    \
		}                                                                        \
	} while (0)

/* Runs the loop as long as it has something to do at once. */
static inline void loop_settle(sd_event *event)
{
	while (sd_event_run(event, 0) > 0)
		;
}
