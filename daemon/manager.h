/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager: owns the world and wires sources, judges, actions and sinks together. One thread,
 * one loop.
 *
 *     manager.c         creation, configuration, housekeeping
 *     manager_events.c  what the kernel, PID 1 and people report becomes unit state
 *     manager_sockets.c who listens where
 *     manager_step.c    asks the policy what to do with a unit, and does it
 *     manager_tell.c    tells the sinks: journal records with their evidence
 *     manager_verbs.c   what people ask for over D-Bus
 */
#pragma once

#include "edge/api.h"
#include "edge/connector.h"
#include "edge/fdstore.h"
#include "edge/kernel.h"
#include "edge/metrics_server.h"
#include "edge/plugin_host.h"
#include "edge/sockets.h"
#include "edge/store.h"
#include "edge/systemd.h"
#include "judge/policy.h"
#include "base/log.h"

#include "../plugins/message-ids.h"

enum {
	/* Cgroups of units, with tombstones: late records still find their unit's name. */
	CGROUPS_MAX = 4 * UNITS_MAX,
};

struct manager {
	sd_event *event; /* owned, like all members of this kind */
	sd_bus *bus;
	struct world world;
	struct kernel *kernel;       /* NULL: degraded */
	struct connector *connector; /* NULL: not needed, or not to be had */
	struct sockets *sockets;     /* NULL: not to be had */
	struct systemd *systemd;
	struct plugin_host *plugins;
	struct store *store;
	struct api *api;
	struct metrics_server *metrics;
	struct fdstore stored;
	sd_event_source *tick;
	struct verbs verbs;

	struct hash cgroups;           /* id -> struct cgroup_name, owned */
	struct ratelimit helper_limit; /* records of helpers' deaths */
	struct ratelimit loss_limit;
	uint64_t sockets_read_ns;
	uint64_t refreshed_ns;
	uint64_t requests; /* of the metrics endpoint, as last seen */
	bool complete;     /* PID 1 has told of all units: what it does not know is not there */
	bool store_failing;
	bool store_renewed; /* it was damaged and begins anew */
	int exit_code;
};

/* The manager's own data of a unit, behind unit->edge. */
struct unit_edge {
	struct manager *manager;          /* borrowed */
	sd_event_source *timer;           /* owned; fires at heal.wake_ns */
	sd_event_source *store_timer;     /* owned; evidence is late */
	char *fragment;                   /* owned; its unit file, NULL: none known */
	char invocation[INVOCATION_SIZE]; /* as of the last reading, for struct former */
	pid_t exec_main_pid;
	uint32_t n_restarts;
	uint64_t up_since_ns; /* first reading that found it up in this invocation; 0: down */
	bool unread;          /* PID 1 did not answer: it is asked again at the next tick */
	bool told;            /* the first decision of the present trouble was told */
	enum heal_state told_state;
	enum refusal told_refusal;
	enum health told_health;
};

int manager_new(struct manager **ret);
/* Runs until SIGTERM; the exit code. */
int manager_run(struct manager *m);
struct manager *manager_free(struct manager *m);
int manager_reload(struct manager *m, char **ret_error);
/* Checks start and stop with the settings; called whenever these may have changed. */
void manager_apply_settings(struct manager *m, struct unit *u);
/* NULL: the unit is not to be watched, or there is no room. */
struct unit *manager_watch(struct manager *m, const char *name);
void manager_unwatch(struct manager *m, struct unit *u);

/* manager_events.c */
extern const struct kernel_handlers manager_kernel_handlers;
extern const struct systemd_handlers manager_systemd_handlers;
void manager_on_connector(void *userdata, const struct death *d);
void manager_on_check(void *userdata, const char *unit, const struct mend_verdict *v);
int manager_on_observation(void *userdata, const struct mend_observation *o);
struct unit *manager_unit_of_cgroup(struct manager *m, uint64_t id); /* NULL: of none */
void manager_forget_cgroups(struct manager *m, uint64_t now_ns);

/* manager_sockets.c */
/* Reads who listens where, and takes that as the normal state of units that are well. */
void manager_read_sockets(struct manager *m);
/* Who holds an address that the unit listened on before: into u->obstacle. */
void manager_find_obstacle(struct manager *m, struct unit *u);

/* Units that wait for an address: is it free now? */
void manager_check_obstacles(struct manager *m);

/* manager_step.c */
void manager_step(struct manager *m, struct unit *u);
void manager_open_incident(struct manager *m, struct unit *u, uint64_t now_ns);
/* Its unit is not there any more, nor its file: what is open will never be closed otherwise. */
void manager_close_gone(struct manager *m, struct unit *u, uint64_t now_ns);
void manager_step_waiting(
	struct manager *m); /* all that hold: something that they wait for changed */
void manager_resume_open(struct manager *m); /* what the store remembers of the former run */

/* manager_tell.c */
void manager_tell_unit(struct manager *m, const struct unit *u, enum message_kind kind,
	int priority, const char *format, ...) _printf_(5, 6);
void manager_tell_host(struct manager *m, enum message_kind kind, int priority, const char *format,
	...) _printf_(4, 5);
void manager_tell_helper(struct manager *m, const struct unit *u, const struct death *d);
/* Evidence of the present trouble as a JSON object, owned by the caller; NULL for lack of memory.
 */
char *manager_evidence(const struct unit *u);
void manager_status(struct manager *m);

/* manager_verbs.c */
void manager_fill_verbs(struct manager *m, struct verbs *ret);
