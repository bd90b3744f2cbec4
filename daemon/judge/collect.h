/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is exported of the world: every metric that follows from memory alone, in a fixed order,
 * units sorted by name. It stands on the judges' floor because what is left of a budget is the
 * policy's to compute. No I/O, no clock: metrics of the process itself are added at the edge
 * (edge/metrics_page.h), which is also where to get a whole page.
 */
#pragma once

#include "../state/metric.h"
#include "../state/world.h"

/* realtime_usec is the wall clock at now_ns: exits are remembered by the monotonic one. 0 or
 * -ENOMEM; whether the text fitted is in out->out->error. */
int collect_world(
	const struct world *w, struct metric_writer *out, uint64_t now_ns, uint64_t realtime_usec);
