/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times, spans and sizes as people write them. */
#include "ctl.h"
#include "../daemon/base/clock.h"

#include <ctype.h>
#include <inttypes.h>

static const struct {
	const char *names[4]; /* the first is the one that is printed */
	uint64_t usec;
} units[] = {
	{ { "w", "week", "weeks" }, 7 * 24 * 3600 * USEC_PER_SEC },
	{ { "d", "day", "days" }, 24 * 3600 * USEC_PER_SEC },
	{ { "h", "hr", "hour", "hours" }, 3600 * USEC_PER_SEC },
	{ { "min", "m", "minute", "minutes" }, 60 * USEC_PER_SEC },
	{ { "s", "sec", "second", "seconds" }, USEC_PER_SEC },
	{ { "ms", "msec" }, 1000 },
	{ { "us", "usec", "µs" }, 1 },
};

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
	size_t n = 0, parts = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(units) && parts < 2; i++) {
		uint64_t v = usec / units[i].usec;

		if (v == 0) {
			if (parts > 0)
				break; /* "1h", not "1h 3s" */
			continue;
		}
		n += (size_t)snprintf(buf + n, TIME_SIZE - n, "%s%" PRIu64 "%s", parts ? " " : "",
			v, units[i].names[0]);
		usec %= units[i].usec;
		parts++;
	}
	return parts ? buf : strcpy(buf, "0s");
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

static uint64_t unit_usec(const char *s, size_t length)
{
	if (length == 0)
		return USEC_PER_SEC;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		for (size_t k = 0; k < ARRAY_SIZE(units[i].names) && units[i].names[k]; k++)
			if (strlen(units[i].names[k]) == length &&
				strncmp(units[i].names[k], s, length) == 0)
				return units[i].usec;
	return 0;
}

int parse_span(const char *s, uint64_t *ret)
{
	uint64_t sum = 0;
	bool any = false;

	for (;;) {
		uint64_t value = 0, scale, part;
		size_t length = 0;

		while (isspace((unsigned char)*s))
			s++;
		if (!*s)
			break;
		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		for (; isdigit((unsigned char)*s); s++)
			if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
				__builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
				return -ERANGE;
		while (isspace((unsigned char)*s))
			s++;
		while (s[length] && !isspace((unsigned char)s[length]) &&
			!isdigit((unsigned char)s[length]))
			length++;
		scale = unit_usec(s, length);
		if (scale == 0)
			return -EINVAL;
		if (__builtin_mul_overflow(value, scale, &part) ||
			__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
		s += length;
		any = true;
	}
	if (!any)
		return -EINVAL;
	*ret = sum;
	return 0;
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
