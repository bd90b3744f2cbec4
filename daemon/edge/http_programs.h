/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP programs' file descriptors: loaded and attached, or adopted from the FD store. */
#pragma once

#include "../state/world.h"
#include "bpf_load.h"

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
	HTTP_PROGRAM_COUNT,
};

struct http_programs {
	int maps[HTTP_MAP_COUNT];         /* owned; -1: not there */
	int programs[HTTP_PROGRAM_COUNT]; /* owned */
	int links[HTTP_PROGRAM_COUNT];    /* owned; -1 for those that are attached to cgroups */
	struct bpf_refusal refusals[HTTP_PROGRAM_COUNT]; /* .error 0: loaded and attached */
	uint64_t shape;                                  /* of the programs' code and of the maps */
};

/* Takes those of a former run with the same shape out of the FD store; false: there are none. */
bool http_programs_adopt(struct http_programs *p, uint32_t n_details, struct fdstore *stored);
/*
 * Loads and attaches them: up to some seconds of the verifier's work. Touches nothing else of the
 * daemon, so that a thread may do it. 0, or -errno: HTTP cannot be measured.
 */
int http_programs_load(struct http_programs *p, uint32_t n_details);
/* Hands all descriptors to the FD store. */
void http_programs_store(const struct http_programs *p);
/* Says what there is, with features "http", "http-queue", "http-ends" and "http-oldest"; `error` is
 * of http_programs_load(). */
void http_programs_tell(const struct http_programs *p, int error, struct world *w);
/* Whether the ends of connections are seen. */
bool http_programs_see_ends(const struct http_programs *p);
void http_programs_done(struct http_programs *p);
/* The name in the FD store: another one for another shape, whose maps are of no use. */
void http_stored_name(char ret[64], const struct http_programs *p, const char *what);
