/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's table of routes, mapped: which of them are a unit's, and their end with it. */
#pragma once

#include "http_programs.h"

struct http_routes {
	struct http_route *table; /* mapped; HTTP_ROUTES of them */
	int index, free;          /* borrowed: maps of the programs */
};

/* 0, or -errno. */
int http_routes_open(struct http_routes *r, const struct http_programs *p);
void http_routes_done(struct http_routes *r);
/* Takes the routes that have come since into s->routes. `unit`: its place in the totals. */
void http_routes_find(const struct http_routes *r, struct http_state *s, uint32_t unit);
/* The unit is gone: its routes are free. */
void http_routes_forget(struct http_routes *r, uint32_t unit);
