/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What people can ask the daemon to do, as a table that the manager fills and the D-Bus API calls.
 * The API checks names, sizes and authorization; the manager does it. All return 0 or -errno;
 * *ret_error, where there is one, is a sentence for people that the caller frees.
 */
#pragma once

#include "../base/str.h"
#include "../judge/policy.h"

#include <sys/types.h>

struct verbs {
	void *manager; /* borrowed; first argument of each */

	/* Opts a unit in or out, persistently; it may be one that is not watched yet. -EPERM: it is
	 * never restarted. */
	int (*set_heal)(void *manager, const char *unit, enum heal_mode mode, char **ret_error);
	/* Restarts a unit once through the state machine, with verification, past budget and
	 * observe-only. */
	int (*restart)(
		void *manager, const char *unit, const char *reason, uid_t uid, char **ret_error);
	/* Forgets back-off, budget and exhaustion of a unit, so that the next death is healed at
	 * once. */
	int (*reset)(void *manager, const char *unit, uid_t uid, char **ret_error);
	/* Pauses all healing for at most PAUSE_MAX_USEC. */
	int (*pause)(void *manager, uint64_t usec, const char *reason, uid_t uid, char **ret_error);
	int (*resume)(void *manager, uid_t uid, char **ret_error);
	/* Reads the configuration again; -EINVAL: it has mistakes, *ret_error tells them, and all
	 * else of it is in use. */
	int (*reload)(void *manager, char **ret_error);
	/* An incident of the store that is no longer in memory: JSON object into ret. -ENOENT,
	 * -ENODATA. */
	int (*stored_incident)(void *manager, const char *id, struct strbuf *ret);
	/* Newest first, JSON array of objects, at most `limit`; unit NULL or "": all. Includes open
	 * ones. */
	int (*list_incidents)(void *manager, const char *unit, uint32_t limit, struct strbuf *ret);
	/* Parses configuration as a reload would, and uses nothing of it: each mistake is a line
	 * "file:line: what" in ret, none leave it empty. name NULL: the installed files; else
	 * `text` is the content of a file of that name. NULL where the manager cannot. */
	int (*verify_config)(void *manager, const char *name, const char *text, struct strbuf *ret);
};

/* A pause always ends; a week is the longest that anybody can mean. */
#define PAUSE_MAX_USEC (UINT64_C(7) * 24 * 3600 * 1000000)
