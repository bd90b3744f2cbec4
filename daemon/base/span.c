/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "span.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	const char *name;
	uint64_t usec;
} units[] = {
	{ "w", 7 * 24 * 3600 * USEC_PER_SEC },
	{ "d", 24 * 3600 * USEC_PER_SEC },
	{ "h", 3600 * USEC_PER_SEC },
	{ "min", 60 * USEC_PER_SEC },
	{ "s", USEC_PER_SEC },
	{ "ms", 1000 },
	{ "us", 1 },
};

const char *span_format(uint64_t usec, char buf[SPAN_SIZE])
{
	size_t n = 0, parts = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(units) && parts < 2; i++) {
		uint64_t v = usec / units[i].usec;

		if (v == 0) {
			if (parts > 0)
				break; /* "1h", not "1h 3s" */
			continue;
		}
		n += (size_t)snprintf(buf + n, SPAN_SIZE - n, "%s%" PRIu64 "%s", parts ? " " : "",
			v, units[i].name);
		usec %= units[i].usec;
		parts++;
	}
	return parts ? buf : strcpy(buf, "0s");
}
