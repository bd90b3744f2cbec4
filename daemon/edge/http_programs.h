/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP programs' file descriptors: loaded and attached, or adopted from the FD store. */
#pragma once

#include "../state/world.h"

struct fdstore;

enum http_map {
	HTTP_MAP_TOTALS,
	HTTP_MAP_DETAILS,
	HTTP_MAP_FREE_DETAILS,
	HTTP_MAP_MEMBERS,
	HTTP_MAP_ROUTES,
	HTTP_MAP_ROUTE_COUNTS,
	HTTP_MAP_FREE_ROUTES,
	HTTP_MAP_PROBE_PORTS,
	HTTP_MAP_RECORDS,
	HTTP_MAP_COUNT,
};

enum http_program {
	HTTP_PROGRAM_IN,
	HTTP_PROGRAM_OUT,
	HTTP_PROGRAM_READ,
	HTTP_PROGRAM_STATE,
	HTTP_PROGRAM_STATE_2ND,
	HTTP_PROGRAM_WALK,
	HTTP_PROGRAM_COUNT,
};

struct http_programs {
	int maps[HTTP_MAP_COUNT];         /* owned; -1: not there */
	int programs[HTTP_PROGRAM_COUNT]; /* owned */
	int links[HTTP_PROGRAM_COUNT];    /* owned; -1 for those that are attached to cgroups */
	bool adopted;
	uint64_t shape; /* of the programs' code and of the maps */
};

/* 0, or -errno; features "http", "http-queue", "http-ends", "http-oldest" say what there is. */
int http_programs_load(struct http_programs *p, struct world *w, struct fdstore *stored);
void http_programs_done(struct http_programs *p);
/* The name in the FD store: another one for another shape, whose maps are of no use. */
void http_stored_name(char ret[64], const struct http_programs *p, const char *what);
