/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times, spans and sizes as people write them. */
#include "ctl.h"
#include "../daemon/base/clock.h"
#include "../daemon/base/span.h"

#include <inttypes.h>

static const char *format_local(uint64_t usec, bool exact, char buf[TIME_SIZE])
{
	time_t seconds = (time_t)(usec / USEC_PER_SEC);
	struct tm tm;
	size_t n;

	if (usec == 0 || !localtime_r(&seconds, &tm))
		return strcpy(buf, "-");
	n = strftime(buf, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
	if (exact)
		snprintf(buf + n, TIME_SIZE - n, ".%03" PRIu64, usec / 1000 % 1000);
	return buf;
}

const char *format_time(uint64_t usec, char buf[TIME_SIZE])
{
	return format_local(usec, false, buf);
}

const char *format_time_exact(uint64_t usec, char buf[TIME_SIZE])
{
	return format_local(usec, true, buf);
}

const char *format_span(uint64_t usec, char buf[TIME_SIZE])
{
	return span_format(usec, buf);
}

const char *format_relative(uint64_t usec, char buf[TIME_SIZE])
{
	uint64_t now = clock_realtime_usec();
	bool past = usec <= now;
	uint64_t span = past ? now - usec : usec - now;
	char text[TIME_SIZE];

	if (usec == 0)
		return strcpy(buf, "-");
	/* Below a second nobody waits, and the figure would be wrong when it is read. */
	if (span < USEC_PER_SEC)
		return strcpy(buf, "now");
	format_span(span - span % USEC_PER_SEC, text);
	snprintf(buf, TIME_SIZE, past ? "%.40s ago" : "in %.40s", text);
	return buf;
}

const char *format_bytes(uint64_t bytes, char buf[TIME_SIZE])
{
	static const char suffixes[] = "BKMGTPE";
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1024 && i + 2 < sizeof(suffixes)) {
		v /= 1024;
		i++;
	}
	snprintf(buf, TIME_SIZE, i ? "%.1f%c" : "%.0f%c", v, suffixes[i]);
	return buf;
}
