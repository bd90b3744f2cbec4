/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strings: comparison, bounded copies, and a growing buffer for text that is built piece by piece
 * (an exposition page, a sentence). Nothing here fails silently: a buffer that ran out of memory or
 * reached its cap says so in .error.
 */
#pragma once

#include "macros.h"

#include <stdarg.h>
#include <string.h>

static inline bool str_eq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static inline bool str_is_empty(const char *s)
{
	return !s || !*s;
}

/* The rest of s behind prefix, or NULL where s does not begin with it. */
const char *str_after_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);

/* Copies at most size-1 bytes and always terminates; true when all of src fitted. */
bool str_copy(char *dst, size_t size, const char *src);

/* Copies the first line of src (NULL: "") for showing: control bytes become spaces, what is not
 * UTF-8 becomes '?', and it is cut between characters. True when all of that line fitted. */
bool str_copy_clean(char *dst, size_t size, const char *src);

/* Replaces *p by a copy of s (NULL frees it). 0 or -ENOMEM; on failure *p is untouched. */
int str_set(char **p, const char *s);

/* Edit distance up to `limit` (limit + 1 where it is larger), for "did you mean". */
unsigned int str_distance(const char *a, const char *b, unsigned int limit);

/* The nearest of n candidates within an edit distance of 1 + length/4, at most 3, or NULL: what is
 * further off is a guess and no typing error. Borrowed. */
const char *str_nearest(const char *s, const char *const *candidates, size_t n);

/* Trims white space at both ends, in place; returns the new start inside s. */
char *str_trim(char *s);

/* Length in bytes of the well-formed UTF-8 sequence at s, 0 where there is none. s is not at its
 * end. */
size_t str_utf8_length(const char *s);
/* true where strbuf_add_clean() would change nothing. */
bool str_is_clean(const char *s);

struct strbuf {
	char *data; /* owned; NULL while empty; terminated whenever not NULL */
	size_t len;
	size_t size;
	size_t cap; /* most bytes it may grow to; 0: no limit */
	int error;  /* 0, -ENOMEM or -E2BIG; set once, later appends do nothing */
};

void strbuf_done(struct strbuf *b);
void strbuf_reset(struct strbuf *b);
void strbuf_add(struct strbuf *b, const char *s);
void strbuf_add_mem(struct strbuf *b, const void *p, size_t n);
void strbuf_addf(struct strbuf *b, const char *format, ...) _printf_(2, 3);
void strbuf_addv(struct strbuf *b, const char *format, va_list ap) _printf_(2, 0);
/* Appends s as the inside of a JSON string: quotes, backslashes, control bytes and bad UTF-8
 * escaped. */
void strbuf_add_json(struct strbuf *b, const char *s);
/* The text, "" where empty; borrowed until the next append. */
const char *strbuf_text(const struct strbuf *b);
/* Appends s for the eyes of people and for the bus: bytes that are not UTF-8 become U+FFFD, control
 * characters (also the C1 set, which terminals obey as well) become '?'. For whatever strangers
 * may have written: a comm, a cgroup's name, a check's output. */
void strbuf_add_clean(struct strbuf *b, const char *s);
/* Hands the text over; NULL and b->error on failure. */
char *strbuf_take(struct strbuf *b);
#define _cleanup_strbuf_ _cleanup_(strbuf_done)
