/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP programs seen from the daemon: attaching them to the cgroups of units, and the mapped
 * counts. Which unit a cgroup belongs to, the manager says.
 */
#pragma once

#include "../state/world.h"

struct http_source;
struct http_programs;
struct fdstore;

/* A request worth a record: slow, or the first error after quiet. Borrowed for the call. */
typedef void (*http_record_fn)(void *userdata, const char *unit, const struct http_record *r);

/*
 * Takes programs that are loaded, also where it fails. `stored`, borrowed until
 * http_source_settle(), has the links of a former run to cgroups; NULL where the programs are new.
 * 0, or -errno. Records come from within http_source_tick().
 */
int http_source_new(struct http_source **ret, struct world *w, struct http_programs *programs,
	struct fdstore *stored, http_record_fn on_record, void *userdata);
struct http_source *http_source_free(struct http_source *s);

/* All units of now are known: what a former run has counted of others is forgotten. */
void http_source_settle(struct http_source *s);

/*
 * Attaches the programs to a cgroup of the unit, whose requests count for it from now on. `path` is
 * below the cgroup root. 0 also where they are attached already.
 */
int http_source_attach(struct http_source *s, const char *unit, uint64_t cgroup, const char *path);
/* The cgroup is gone, or is not to be measured any more. */
void http_source_detach(struct http_source *s, uint64_t cgroup);

/* The counts of the unit, borrowed until http_source_forget(); NULL: there is no room. */
struct http_state *http_source_state(struct http_source *s, const char *unit);
/* The unit is not watched any more: its place is free for another one. */
void http_source_forget(struct http_source *s, const char *unit);

/* Reads the records, keeps the counts by age in order, and ticks all states. */
void http_source_tick(struct http_source *s, uint64_t now_ns);

/* Adds the programs' run counts and times to the world's. */
void http_source_refresh(struct http_source *s);

/* Answers that take longer than slow_ns make a record (0: none); so many routes are counted apart.
 */
void http_source_limit(struct http_source *s, const char *unit, uint64_t slow_ns, uint32_t routes);

/* A probe of our own uses the port: its connection is not counted. */
void http_source_probe_port(struct http_source *s, uint16_t port, bool in_use);
