/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of probe.c where the option "probes" is disabled: each probe is refused with
 * -EOPNOTSUPP, and its result is unknown. */
#include "probe.h"

struct prober {
	int unused;
};

int prober_new(struct prober **ret, sd_event *event, const struct prober_handler *handler)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct prober *prober_free(struct prober *p)
{
	free(p);
	return NULL;
}

int prober_start(struct prober *p, const char *unit, const char *target, uint64_t interval_ns,
	uint64_t timeout_ns)
{
	return -EOPNOTSUPP;
}

void prober_stop(struct prober *p, const char *unit)
{
}

int prober_now(struct prober *p, const char *unit)
{
	return -EOPNOTSUPP;
}
