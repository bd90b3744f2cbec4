/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings and the growing buffer; see str.h. Floor 0: nothing outside libc. */
#include "str.h"

#include <ctype.h>

const char *str_after_prefix(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool str_has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);
	size_t m = MIN(n, size - 1);

	memcpy(dst, src, m);
	dst[m] = '\0';
	return m == n;
}

int str_set(char **p, const char *s)
{
	char *copy = NULL;

	if (s) {
		copy = strdup(s);
		if (!copy)
			return -ENOMEM;
	}
	free(*p);
	*p = copy;
	return 0;
}

unsigned int str_distance(const char *a, const char *b, unsigned int limit)
{
	enum { LONGEST = 63 }; /* longer than any key or unit name part that is worth a hint */
	size_t n = strlen(a), m = strlen(b);
	unsigned int row[LONGEST + 1];

	if (n > LONGEST || m > LONGEST)
		return limit + 1;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int above = row[j];
			unsigned int cost = tolower((unsigned char)a[i - 1]) !=
					    tolower((unsigned char)b[j - 1]);

			row[j] = MIN(MIN(row[j - 1], above) + 1, diagonal + cost);
			diagonal = above;
		}
	}
	return MIN(row[m], limit + 1);
}

const char *str_nearest(const char *s, const char *const *candidates, size_t n)
{
	unsigned int limit = MIN(1 + (unsigned int)strlen(s) / 4, 3U), best = limit + 1;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned int d = str_distance(s, candidates[i], limit);

		if (d < best) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}

char *str_trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

void strbuf_done(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf) {};
}

void strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	b->error = 0;
	if (b->data)
		b->data[0] = '\0';
}

static bool reserve(struct strbuf *b, size_t more)
{
	size_t need = b->len + more + 1, size;
	char *data;

	if (b->error)
		return false;
	if (b->cap && need > b->cap) {
		b->error = -E2BIG;
		return false;
	}
	if (need <= b->size)
		return true;
	size = MAX(need, MAX(b->size * 2, (size_t)256));
	if (b->cap)
		size = MIN(size, b->cap);
	data = realloc(b->data, size);
	if (!data) {
		b->error = -ENOMEM;
		return false;
	}
	b->data = data;
	b->size = size;
	return true;
}

void strbuf_add_mem(struct strbuf *b, const void *p, size_t n)
{
	if (!reserve(b, n))
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void strbuf_add(struct strbuf *b, const char *s)
{
	strbuf_add_mem(b, s, strlen(s));
}

void strbuf_addv(struct strbuf *b, const char *format, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(
		b->data ? b->data + b->len : NULL, b->data ? b->size - b->len : 0, format, ap);
	if (n >= 0 && reserve(b, (size_t)n)) {
		vsnprintf(b->data + b->len, b->size - b->len, format, again);
		b->len += (size_t)n;
	} else if (b->data) {
		b->data[b->len] = '\0'; /* undo the cut-off first attempt */
	}
	va_end(again);
}

void strbuf_addf(struct strbuf *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	strbuf_addv(b, format, ap);
	va_end(ap);
}

size_t str_utf8_length(const char *p)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0; /* overlong, surrogate, or past U+10FFFF */
	return n;
}

bool str_copy_clean(char *dst, size_t size, const char *src)
{
	size_t at = 0;

	for (const unsigned char *p = (const unsigned char *)(src ? src : ""); *p && *p != '\n';) {
		size_t n = str_utf8_length((const char *)p), room = MAX(n, (size_t)1);

		if (at + room >= size) {
			dst[at] = '\0';
			return false;
		}
		if (n == 0)
			dst[at] = '?';
		else if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
			dst[at] = ' '; /* the last: U+0080 to U+009F, which terminals obey too */
		else
			memcpy(dst + at, p, n);
		at += dst[at] == ' ' ? 1 : room;
		p += room;
	}
	dst[at] = '\0';
	return true;
}

void strbuf_add_json(struct strbuf *b, const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p;) {
		size_t n = str_utf8_length((const char *)p);

		if (*p == '"' || *p == '\\')
			strbuf_addf(b, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			strbuf_addf(b, "\\u%04x", *p);
		else if (n == 0)
			strbuf_add(b, "\\ufffd");
		else
			strbuf_add_mem(b, p, n);
		p += n ? n : 1;
	}
}

static bool is_control(const char *s, size_t length)
{
	unsigned char c = (unsigned char)s[0];

	return (length == 1 && (c < 0x20 || c == 0x7f)) ||
	       (length == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

bool str_is_clean(const char *s)
{
	while (*s) {
		size_t n = str_utf8_length(s);

		if (n == 0 || is_control(s, n))
			return false;
		s += n;
	}
	return true;
}

void strbuf_add_clean(struct strbuf *b, const char *s)
{
	while (*s) {
		size_t n = str_utf8_length(s);

		if (n == 0)
			strbuf_add(b, "\xef\xbf\xbd");
		else if (is_control(s, n))
			strbuf_add(b, "?");
		else
			strbuf_add_mem(b, s, n);
		s += n ? n : 1;
	}
}

const char *strbuf_text(const struct strbuf *b)
{
	return b->data ? b->data : "";
}

char *strbuf_take(struct strbuf *b)
{
	char *text;

	if (b->error)
		return NULL;
	if (!b->data)
		return calloc(1, 1);
	text = b->data;
	*b = (struct strbuf) { .cap = b->cap };
	return text;
}
