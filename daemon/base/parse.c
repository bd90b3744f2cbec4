/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See parse.h. No strtod() and no strtoull(): they follow the locale, and take signs and
 * hexadecimal numbers that nobody means here. Floor 0: nothing outside libc.
 */
#include "parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct scale {
	const char *word;
	uint64_t factor;
};

#define MINUTE (UINT64_C(60) * NSEC_PER_SEC)
#define HOUR (UINT64_C(60) * MINUTE)
#define DAY (UINT64_C(24) * HOUR)
/* As systemd.time(7) has them: a year of 365.25 days, a month of a twelfth of it. */
#define YEAR (UINT64_C(31557600) * NSEC_PER_SEC)
#define MONTH (UINT64_C(2629800) * NSEC_PER_SEC)

/* A word that begins with another one stands before it. */
static const struct scale spans[] = {
	{ "seconds", NSEC_PER_SEC },
	{ "second", NSEC_PER_SEC },
	{ "sec", NSEC_PER_SEC },
	{ "s", NSEC_PER_SEC },
	{ "minutes", MINUTE },
	{ "minute", MINUTE },
	{ "min", MINUTE },
	{ "months", MONTH },
	{ "month", MONTH },
	{ "M", MONTH },
	{ "msec", NSEC_PER_MSEC },
	{ "ms", NSEC_PER_MSEC },
	{ "m", MINUTE },
	{ "hours", HOUR },
	{ "hour", HOUR },
	{ "hr", HOUR },
	{ "h", HOUR },
	{ "days", DAY },
	{ "day", DAY },
	{ "d", DAY },
	{ "weeks", 7 * DAY },
	{ "week", 7 * DAY },
	{ "w", 7 * DAY },
	{ "years", YEAR },
	{ "year", YEAR },
	{ "y", YEAR },
	{ "usec", NSEC_PER_USEC },
	{ "us", NSEC_PER_USEC },
	{ "\xc2\xb5s", NSEC_PER_USEC }, /* U+00B5, the micro sign */
	{ "\xce\xbcs", NSEC_PER_USEC }, /* U+03BC, the Greek letter */
	{ "nsec", 1 },
	{ "ns", 1 },
};

static const struct scale sizes[] = {
	{ "B", 1 },
	{ "K", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ "T", UINT64_C(1) << 40 },
	{ "P", UINT64_C(1) << 50 },
	{ "E", UINT64_C(1) << 60 },
};

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static const char *after_prefix(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* true where s is `word` with nothing but white space around it. */
static bool is_only(const char *s, const char *word)
{
	s = after_prefix(skip_space(s), word);
	return s && !*skip_space(s);
}

/* Digits at *s; -EINVAL where there are none, -ERANGE above UINT64_MAX. Moves *s behind them. */
static int take_digits(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	*s = p;
	*ret = v;
	return 0;
}

/*
 * One number with an optional fraction and an optional word of `scales`, at *s. Integers all the
 * way: 0.1 s is exactly 100 ms. Moves *s behind it.
 */
static int take_scaled(const char **s, const struct scale *scales, size_t n_scales,
	uint64_t default_factor, uint64_t *ret)
{
	const char *p = *s, *fraction = NULL, *word;
	uint64_t whole = 0, factor = default_factor, v;
	bool scaled = false;
	int r;

	if (*p != '.') {
		r = take_digits(&p, &whole);
		if (r < 0)
			return r;
	}
	if (*p == '.') {
		fraction = ++p;
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		while (isdigit((unsigned char)*p))
			p++;
	}
	word = skip_space(p);
	for (size_t i = 0; i < n_scales && !scaled; i++) {
		const char *end = after_prefix(word, scales[i].word);

		if (end) {
			factor = scales[i].factor;
			p = end;
			scaled = true;
		}
	}
	if (!scaled && *p == '.') /* 12.34.56 */
		return -EINVAL;
	if (__builtin_mul_overflow(whole, factor, &v))
		return -ERANGE;
	if (fraction) {
		unsigned __int128 part = 0;
		uint64_t one = 1;

		/* 18 digits keep part * factor below 2^128; what comes behind is below any unit */
		for (; isdigit((unsigned char)*fraction) && one < UINT64_C(1000000000000000000);
			fraction++, one *= 10)
			part = part * 10 + (unsigned int)(*fraction - '0');
		if (__builtin_add_overflow(v, (uint64_t)(part * factor / one), &v))
			return -ERANGE;
	}
	*s = p;
	*ret = v;
	return 0;
}

int parse_timespan(const char *s, uint64_t *ret_ns)
{
	uint64_t sum = 0;

	if (is_only(s, "infinity")) {
		*ret_ns = TIME_INFINITY;
		return 0;
	}
	s = skip_space(s);
	if (!*s)
		return -EINVAL;
	for (; *s; s = skip_space(s)) {
		uint64_t part;
		int r;

		if (*s == '+' && isdigit((unsigned char)s[1])) /* systemd takes it */
			s++;
		r = take_scaled(&s, spans, ARRAY_SIZE(spans), NSEC_PER_SEC, &part);
		if (r < 0)
			return r;
		/* TIME_INFINITY itself is no number */
		if (__builtin_add_overflow(sum, part, &sum) || sum == TIME_INFINITY)
			return -ERANGE;
	}
	*ret_ns = sum;
	return 0;
}

int parse_timespan_range(const char *s, uint64_t *ret_first_ns, uint64_t *ret_last_ns)
{
	enum { LONGEST = 128 }; /* longer than any sensible span */
	const char *dots = strstr(s, "..");
	char first_text[LONGEST];
	uint64_t first, last;
	int r;

	if (!dots) {
		r = parse_timespan(s, &first);
		if (r < 0)
			return r;
		*ret_first_ns = *ret_last_ns = first;
		return 0;
	}
	if ((size_t)(dots - s) >= sizeof(first_text))
		return -EINVAL;
	memcpy(first_text, s, (size_t)(dots - s));
	first_text[dots - s] = '\0';
	r = parse_timespan(first_text, &first);
	if (r < 0)
		return r;
	r = parse_timespan(dots + 2, &last);
	if (r < 0)
		return r;
	if (first > last)
		return -EINVAL;
	*ret_first_ns = first;
	*ret_last_ns = last;
	return 0;
}

int parse_size(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r;

	if (is_only(s, "infinity")) {
		*ret = UINT64_MAX;
		return 0;
	}
	s = skip_space(s);
	r = take_scaled(&s, sizes, ARRAY_SIZE(sizes), 1, &v);
	if (r < 0)
		return r;
	if (*skip_space(s))
		return -EINVAL;
	if (v == UINT64_MAX)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_percent(const char *s, uint32_t *ret_hundredths)
{
	static const struct scale percent[] = { { "%", 100 } };
	const char *sign = strchr(s, '%');
	uint64_t v;
	int r;

	if (!sign || *skip_space(sign + 1))
		return -EINVAL;
	s = skip_space(s);
	r = take_scaled(&s, percent, ARRAY_SIZE(percent), 100, &v);
	if (r < 0)
		return r;
	if (*skip_space(s))
		return -EINVAL;
	if (v > 10000)
		return -ERANGE;
	*ret_hundredths = (uint32_t)v;
	return 0;
}

int parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
	static const char *const no[] = { "0", "no", "n", "false", "f", "off" };
	size_t n;

	s = skip_space(s);
	n = strlen(s);
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		n--;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (n == strlen(yes[i]) && strncasecmp(s, yes[i], n) == 0) {
			*ret = true;
			return 0;
		}
		if (n == strlen(no[i]) && strncasecmp(s, no[i], n) == 0) {
			*ret = false;
			return 0;
		}
	}
	return -EINVAL;
}

int parse_u32(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r;

	s = skip_space(s);
	r = take_digits(&s, &v);
	if (r < 0)
		return r;
	if (*skip_space(s))
		return -EINVAL;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

/* Where the next rate begins behind s: at a word that holds a slash; else the end. */
static const char *next_rate(const char *s)
{
	while (*s) {
		const char *word = s = skip_space(s);

		while (*s && !isspace((unsigned char)*s))
			s++;
		if (memchr(word, '/', (size_t)(s - word)))
			return word;
	}
	return s;
}

int parse_rates(const char *s, struct rate *ret, size_t max, size_t *ret_n)
{
	enum { LONGEST = 128 };
	size_t n = 0;

	for (s = skip_space(s); *s;) {
		const char *p = s, *end;
		char window[LONGEST];
		uint64_t count, window_ns;
		int r;

		r = take_digits(&p, &count);
		if (r < 0)
			return r;
		if (*p != '/')
			return -EINVAL;
		p++;
		end = p;
		while (*end && !isspace((unsigned char)*end))
			end++;
		end = next_rate(end);
		if ((size_t)(end - p) >= sizeof(window))
			return -EINVAL;
		memcpy(window, p, (size_t)(end - p));
		window[end - p] = '\0';
		r = parse_timespan(window, &window_ns);
		if (r < 0)
			return r;
		if (count > UINT32_MAX)
			return -ERANGE;
		if (n == max)
			return -E2BIG;
		ret[n++] = (struct rate) { .count = (uint32_t)count, .window_ns = window_ns };
		s = end;
	}
	if (n == 0)
		return -EINVAL;
	*ret_n = n;
	return 0;
}
