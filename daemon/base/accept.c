/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See accept.h. Works on the header in place, without copying. Floor 0: nothing outside libc. */
#include "accept.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* A piece of the header. */
struct piece {
	const char *s;
	size_t n;
};

struct element {
	struct piece name;    /* "text/plain", "gzip" */
	struct piece version; /* value of version=, empty: none */
	int quality;          /* -1: not well-formed */
};

static bool is(struct piece p, const char *s)
{
	return p.n == strlen(s) && strncasecmp(p.s, s, p.n) == 0;
}

static struct piece trimmed(const char *s, const char *end)
{
	while (s < end && isspace((unsigned char)*s))
		s++;
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	return (struct piece) { s, (size_t)(end - s) };
}

/* End of the part at s: at one of `stops` that is not inside a quoted string, or at the end. */
static const char *part_end(const char *s, const char *stops)
{
	bool quoted = false;

	for (; *s; s++) {
		if (quoted && *s == '\\' && s[1])
			s++;
		else if (*s == '"')
			quoted = !quoted;
		else if (!quoted && strchr(stops, *s))
			break;
	}
	return s;
}

/* "0", "0.5", "1.000" in thousandths; -1 where it is none. */
static int quality(struct piece p)
{
	int v, unit = 100;

	if (p.n == 0 || p.n > 5 || (p.s[0] != '0' && p.s[0] != '1'))
		return -1;
	v = (p.s[0] - '0') * 1000;
	if (p.n > 1 && p.s[1] != '.')
		return -1;
	for (size_t i = 2; i < p.n; i++, unit /= 10) {
		if (!isdigit((unsigned char)p.s[i]))
			return -1;
		v += (p.s[i] - '0') * unit;
	}
	return v <= ACCEPT_BEST ? v : -1;
}

static void take_parameter(struct element *e, const char *s, const char *end)
{
	const char *equal = memchr(s, '=', (size_t)(end - s));
	struct piece name, value;

	if (!equal)
		return;
	name = trimmed(s, equal);
	value = trimmed(equal + 1, end);
	if (value.n >= 2 && value.s[0] == '"' && value.s[value.n - 1] == '"')
		value = (struct piece) { value.s + 1, value.n - 2 };
	if (is(name, "q"))
		e->quality = quality(value);
	else if (is(name, "version"))
		e->version = value;
}

/* Reads the element at s; where the next one begins, NULL at the end. */
static const char *take_element(const char *s, struct element *ret)
{
	const char *end = part_end(s, ",;");

	*ret = (struct element) { .name = trimmed(s, end), .quality = ACCEPT_BEST };
	while (*end == ';') {
		const char *parameter = end + 1;

		end = part_end(parameter, ",;");
		take_parameter(ret, parameter, end);
	}
	return *end == ',' ? end + 1 : NULL;
}

/* How closely a range names the type: 0 not at all, 1 "*" "/" "*", 2 "text" "/" "*", 3, 4 with the
 * version. */
static int closeness(const struct element *e, const char *type, const char *version)
{
	const char *slash = strchr(type, '/');
	size_t main_length = (size_t)(slash - type) + 1;

	if (is(e->name, "*/*"))
		return 1;
	if (e->name.n == main_length + 1 && e->name.s[main_length] == '*' &&
		strncasecmp(e->name.s, type, main_length) == 0)
		return 2;
	if (!is(e->name, type))
		return 0;
	if (e->version.n == 0)
		return 3;
	return is(e->version, version) ? 4 : 0;
}

int accept_media(const char *header, const char *type, const char *version)
{
	int best = ACCEPT_NOT_NAMED, best_closeness = 0;

	if (!header)
		return ACCEPT_BEST;
	while (header) {
		struct element e;
		int c;

		header = take_element(header, &e);
		c = closeness(&e, type, version);
		if (e.quality >= 0 && c > best_closeness) {
			best = e.quality;
			best_closeness = c;
		}
	}
	return best;
}

bool accept_gzip(const char *header)
{
	int gzip = ACCEPT_NOT_NAMED, identity = ACCEPT_NOT_NAMED, any = ACCEPT_NOT_NAMED;

	while (header) {
		struct element e;

		header = take_element(header, &e);
		if (e.quality < 0)
			continue;
		if (is(e.name, "gzip") || is(e.name, "x-gzip"))
			gzip = e.quality;
		else if (is(e.name, "identity"))
			identity = e.quality;
		else if (is(e.name, "*"))
			any = e.quality;
	}
	if (gzip < 0)
		gzip = any;
	return gzip > 0 && gzip >= identity;
}
