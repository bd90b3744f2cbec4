/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client of PID 1: which services there are, how they stand, which jobs come and go. It keeps
 * struct unit_facts of every unit up to date and tells the manager when they changed. It asks and
 * listens; restarting is the action plugin's work.
 *
 * The kernel overtakes this client: a death is known before PID 1 has reaped the process. The
 * manager then asks for a fresh reading with systemd_read(), and PID 1's answer comes behind all
 * signals that it sent before, so that a job that explains the death is known by then.
 */
#pragma once

#include "../state/world.h"

#include <systemd/sd-bus.h>

struct systemd;

/* Where a unit's files are; borrowed for the call. */
struct unit_files {
	const char *fragment;  /* "" none */
	char *const *drop_ins; /* NULL-terminated; may be NULL */
};

struct systemd_handlers {
	/* PID 1 has loaded the service. The manager decides whether it is watched (world_unit_add).
	 */
	void (*on_unit)(void *userdata, const char *name);
	/* PID 1 has unloaded it. */
	void (*on_unit_gone)(void *userdata, const char *name);
	/* u->facts were read afresh. files: only when everything was read anew, else NULL. */
	void (*on_facts)(void *userdata, struct unit *u, const struct unit_files *files);
	/* PID 1 did not answer in time; u->facts are as old as they were. */
	void (*on_no_facts)(void *userdata, struct unit *u);
	/* A job for the unit was queued (result NULL) or has ended ("done", "failed", "canceled"
	 * …). */
	void (*on_job)(void *userdata, const char *unit, uint32_t id, const char *result);
	/* The socket unit starts this service; answers systemd_read_socket(). */
	void (*on_socket)(void *userdata, const char *socket, const char *service);
	/* All units that were loaded at the start have been read. */
	void (*on_complete)(void *userdata);
};

/* The bus is borrowed and attached to the loop by the caller. Starts to listen and to list at once.
 */
int systemd_new(struct systemd **ret, sd_bus *bus, struct world *w,
	const struct systemd_handlers *handlers, void *userdata);
struct systemd *systemd_free(struct systemd *s);

/*
 * Reads what changes at run time (state, job, invocation, main process). One reading per unit is
 * under way at a time; asking again meanwhile makes one more follow. Answered through on_facts or
 * on_no_facts.
 */
int systemd_read(struct systemd *s, struct unit *u);

/*
 * The same for a unit whose main process the kernel has just seen die: only what may forbid a
 * restart (state, job, invocation), in three calls instead of eleven. The rest follows when PID 1
 * announces the change.
 */
int systemd_read_quick(struct systemd *s, struct unit *u);

/* Reads everything of the unit, also its files' paths and its policy. */
int systemd_read_all(struct systemd *s, struct unit *u);

/* Asks which service the socket unit starts. */
int systemd_read_socket(struct systemd *s, const char *name);

/* Asks PID 1 for all its services again: each is offered to the manager through on_unit. */
int systemd_list(struct systemd *s);

/* Forgets a unit that the manager is about to remove. */
void systemd_forget(struct systemd *s, const struct unit *u);
