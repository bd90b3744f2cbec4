/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The route of a request: its path with ids replaced, so that a service has tens of them and not
 * millions. Plain C for BPF and for the host, like http.h.
 *
 *     /users/1734/orders?page=2        /users/{id}/orders
 *     /v2/objects/7f3a9c04e1b2         /v2/objects/{id}
 *     /a/very/long…                    /a/very/(star)
 *
 * A part of a path is an id if it is a number, or at least 8 hexadecimal digits and dashes with a
 * decimal one among them (UUIDs, hashes), or at least 20 characters with a digit among them
 * (tokens).
 */
#ifndef MENDD_HTTP_ROUTE_H
#define MENDD_HTTP_ROUTE_H

#include "http.h"

enum {
	HTTP_ROUTE = 64,     /* bytes, with the zero at its end; a power of two */
	HTTP_ROUTE_TAIL = 8, /* room behind for what is appended at once: "{id}/" */
	HTTP_ID_MIN = 8,     /* of hexadecimal digits */
	HTTP_TOKEN_MIN = 20,
};

#define HTTP_ROUTE_NUMBER 1 /* only digits so far */
#define HTTP_ROUTE_HEX 2    /* only hexadecimal digits and dashes */
#define HTTP_ROUTE_DIGIT 4  /* a decimal digit was among them */

struct http_route_walk {
	char line[HTTP_LINE]; /* the request's first line; a zero behind it where there is room */
	char route[HTTP_ROUTE + HTTP_ROUTE_TAIL];
	__u32 at;      /* next byte of .line */
	__u32 length;  /* of .route */
	__u32 segment; /* where in .route the present part begins */
	__u32 flags;   /* of the present part */
	__u32 skip;    /* slashes still to be passed: those of "http://host/" */
};

static __always_inline int http_route_is_end(char c)
{
	return c == 0 || c == ' ' || c == '?' || c == '#';
}

/* It becomes a label: what is not printable ASCII must be written as %xx anyway. */
static __always_inline char http_route_clean(char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' ? c : '_';
}

static __always_inline void http_route_append(struct http_route_walk *w, char c)
{
	w->route[http_index(w->length, HTTP_ROUTE)] = c;
	w->length++;
}

/* The present part is over: an id is replaced. */
static __always_inline void http_route_close(struct http_route_walk *w)
{
	__u32 n = w->length - w->segment, at;
	int id = n > 0 && w->flags & HTTP_ROUTE_DIGIT &&
		 (w->flags & HTTP_ROUTE_NUMBER || (w->flags & HTTP_ROUTE_HEX && n >= HTTP_ID_MIN) ||
			 n >= HTTP_TOKEN_MIN);

	if (!id)
		return;
	at = http_index(w->segment, HTTP_ROUTE);
	w->route[at] = '{';
	w->route[at + 1] = 'i';
	w->route[at + 2] = 'd';
	w->route[at + 3] = '}';
	w->length = w->segment + 4;
}

static __always_inline void http_route_note(struct http_route_walk *w, char c)
{
	char lower = http_lower(c);

	if (c >= '0' && c <= '9') {
		w->flags |= HTTP_ROUTE_DIGIT;
		return;
	}
	w->flags &= ~(__u32)HTTP_ROUTE_NUMBER;
	if (!((lower >= 'a' && lower <= 'f') || c == '-'))
		w->flags &= ~(__u32)HTTP_ROUTE_HEX;
}

/* What does not fit, or was not kept: up to the last whole part, and a star. */
static __always_inline void http_route_cut(struct http_route_walk *w)
{
	w->length = w->segment;
	http_route_append(w, '*');
}

/* bpf_loop() hands on a pointer to the stack, and nothing else. */
struct http_router {
	struct http_route_walk *w;
};

static long http_route_step(__u32 index, struct http_router *r)
{
	struct http_route_walk *w = r->w;
	char c;

	if (w->at >= HTTP_LINE) {
		http_route_cut(w);
		return 1;
	}
	c = w->line[http_index(w->at, HTTP_LINE)];
	w->at++;
	if (http_route_is_end(c)) {
		http_route_close(w);
		return 1;
	}
	if (w->skip) {
		w->skip -= c == '/';
		if (w->skip)
			return 0;
	}
	if (c == '/') {
		http_route_close(w);
		http_route_append(w, c);
		w->segment = w->length;
		w->flags = HTTP_ROUTE_NUMBER | HTTP_ROUTE_HEX;
	} else {
		http_route_append(w, http_route_clean(c));
		http_route_note(w, c);
	}
	/* Room for "{id}", a slash, a star and the zero. */
	if (w->length < HTTP_ROUTE - 8)
		return 0;
	http_route_cut(w);
	return 1;
}

static long http_route_method_step(__u32 index, struct http_router *r)
{
	struct http_route_walk *w = r->w;

	if (w->at >= HTTP_LINE - 1 || http_route_is_end(w->line[http_index(w->at, HTTP_LINE)]))
		return 1;
	w->at++;
	return 0;
}

/* What was replaced may have been longer: it is a key, of which every byte counts. */
static __always_inline void http_route_clear_tail(struct http_route_walk *w)
{
	for (__u32 i = 0; i < HTTP_ROUTE; i += 8) {
		__u64 word;

		if (w->length >= i + 8)
			continue;
		__builtin_memcpy(&word, w->route + i, sizeof(word));
		word = w->length > i ? word & ((1ULL << (w->length - i) * 8) - 1) : 0;
		__builtin_memcpy(w->route + i, &word, sizeof(word));
	}
}

/* Reads .line, which the caller has filled in; the result is .route, with zeros behind it. */
static __always_inline void http_route_of(struct http_route_walk *w)
{
	struct http_router r = { .w = w };
	char first;

	__builtin_memset(w->route, 0, sizeof(w->route));
	w->at = w->length = w->segment = w->skip = 0;
	w->flags = HTTP_ROUTE_NUMBER | HTTP_ROUTE_HEX;
	http_loop(HTTP_LINE, http_route_method_step, &r);
	w->at++; /* the space behind the method */
	first = w->line[http_index(w->at, HTTP_LINE)];
	if (first == 'h' || first == 'H')
		w->skip = 3;
	else if (first != '/') {
		w->route[0] = '*'; /* "OPTIONS *", and the host of a CONNECT */
		return;
	}
	http_loop(HTTP_LINE, http_route_step, &r);
	if (w->length == 0) /* "http://host" */
		http_route_append(w, '/');
	http_route_clear_tail(w);
}

#endif
