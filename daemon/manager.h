/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager: owns the world and wires sources, judges, actions and sinks together. One thread,
 * one loop.
 *
 *     manager.c         creation and end
 *     manager_units.c   which units are watched, with which settings
 *     manager_tick.c    housekeeping
 *     manager_events.c  what the kernel, PID 1 and people report becomes unit state
 *     manager_level.c   what is sampled becomes alerts, once a second
 *     manager_http.c    whose HTTP is measured, and in which cgroups
 *     manager_sockets.c who listens where
 *     manager_step.c    asks the policy what to do with a unit, and does it
 *     manager_tell.c    tells the sinks: journal records
 *     manager_evidence.c what is known of a unit in trouble, before anything is done
 *     manager_verbs.c   what people ask for over D-Bus
 */
#pragma once

#include "edge/api.h"
#include "edge/connector.h"
#include "edge/fdstore.h"
#include "edge/http.h"
#include "edge/http_loader.h"
#include "edge/kernel.h"
#include "edge/metrics_server.h"
#include "edge/plugin_host.h"
#include "edge/probe.h"
#include "edge/sockets.h"
#include "edge/store.h"
#include "edge/systemd.h"
#include "judge/policy.h"
#include "base/log.h"

#include "../plugins/message-ids.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

enum {
	/* Cgroups of units, with tombstones: late records still find their unit's name. */
	CGROUPS_MAX = 4 * UNITS_MAX,
	NAMELESS_MAX = 256, /* deaths kept until it is known of which unit: after a restart of mendd
			     */
};

struct manager {
	sd_event *event; /* owned, like all members of this kind */
	sd_bus *bus;
	struct world world;
	struct kernel *kernel;           /* NULL: degraded */
	struct http_source *http;        /* NULL: not to be had, or not yet */
	struct http_loader *http_loader; /* NULL: the programs were adopted */
	struct connector *connector;     /* NULL: not needed, or not to be had */
	struct sockets *sockets;         /* NULL: not to be had */
	struct systemd *systemd;
	struct plugin_host *plugins;
	struct prober *prober;
	struct store *store;
	struct api *api;
	struct metrics_server *metrics;
	struct fdstore stored;
	sd_event_source *tick;
	struct verbs verbs;

	struct hash cgroups;       /* id -> struct cgroup_name, owned */
	struct hash socket_units;  /* name -> struct socket_unit of manager_http.c, owned */
	struct nameless *nameless; /* owned; n_nameless of them, NULL for none */
	size_t n_nameless;
	struct ratelimit helper_limit; /* records of helpers' deaths */
	struct ratelimit loss_limit;
	uint64_t sockets_read_ns;
	uint64_t refreshed_ns;
	uint64_t trimmed_ns; /* 0: the start is not over */
	uint64_t requests;   /* of the metrics endpoint, as last seen */
	bool complete;       /* PID 1 has told of all units: what it does not know is not there */
	bool store_failing;
	bool store_renewed; /* it was damaged and begins anew */
	int exit_code;
	int pressure_error; /* of the last reading of the host's pressure; 0: none */
	enum alert_state told_host[RULE_COUNT - RULE_UNIT_COUNT];
};

/* A death in a cgroup that is gone, and whose name a former run of mendd has known. */
struct nameless {
	uint64_t cgroup;
	struct death death;
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
	uint64_t http_told_ns; /* a slow request, or that there is no room; 0: never */
	uint64_t up_since_ns;  /* first reading that found it up in this invocation; 0: down */
	bool unread;           /* PID 1 did not answer: it is asked again at the next tick */
	bool opened;           /* an incident was opened, and nobody told yet */
	bool told;             /* the first decision of the present trouble was told */
	enum heal_state told_state;
	enum refusal told_refusal;
	enum health told_health;
	bool told_down; /* that the alert unit-down fires */
	enum alert_state told_alerts[RULE_UNIT_COUNT];
	uint32_t alone; /* bits of rules that fire without an incident: also told when over */
};

int manager_new(struct manager **ret);
/* Runs until SIGTERM; the exit code. */
int manager_run(struct manager *m);
struct manager *manager_free(struct manager *m);

/* manager_units.c */
/* The settings as files have them now; on a mistake nothing changes, and `errors` says which. */
int manager_load_settings(struct manager *m, struct strbuf *text);
/* A record for each line of what manager_load_settings() said. */
void manager_tell_mistakes(struct manager *m, const char *text);
int manager_reload(struct manager *m, char **ret_error);
/* Checks start and stop with the settings; called whenever these may have changed. */
void manager_apply_settings(struct manager *m, struct unit *u);
bool manager_is_watchable(const struct manager *m, const char *name);
/* NULL: the unit is not to be watched, or there is no room. */
struct unit *manager_watch(struct manager *m, const char *name);
void manager_unwatch(struct manager *m, struct unit *u);
/* Stops watching a unit that is there: the configuration excludes it. */
void manager_leave(struct manager *m, struct unit *u);
void manager_free_edge(struct unit *u);

/* manager_tick.c */
int manager_start_tick(struct manager *m);
void manager_check_kill_switch(struct manager *m);

/* manager_events.c */
extern const struct kernel_handlers manager_kernel_handlers;
extern const struct systemd_handlers manager_systemd_handlers;
void manager_on_connector(void *userdata, const struct death *d);
void manager_on_check(void *userdata, const char *unit, const struct mend_verdict *v);
int manager_on_observation(void *userdata, const struct mend_observation *o);
struct unit *manager_unit_of_cgroup(struct manager *m, uint64_t id); /* NULL: of none */
void manager_forget_cgroups(struct manager *m, uint64_t now_ns);

/* manager_http.c */
/* Loads the programs or adopts them; a host that has none goes on without. */
/* With the programs of a former run, if there are any. */
void manager_adopt_http(struct manager *m);
/* Without these: loads them, on the side; what is watched by then is measured from then on. */
void manager_load_http(struct manager *m);
void manager_free_http(struct manager *m);
/* A unit is watched from now on, or is not any more. */
void manager_begin_http(struct manager *m, struct unit *u);
void manager_end_http(struct manager *m, struct unit *u);
/* Its settings have changed, maybe. */
void manager_apply_http(struct manager *m, struct unit *u);
/* A cgroup of the unit was born. */
void manager_measure_cgroup(struct manager *m, struct unit *u, uint64_t cgroup, const char *path);
/* The cgroup of a socket unit was born or is gone; and which service it starts, as PID 1 says. */
void manager_socket_born(struct manager *m, const char *name, uint64_t cgroup, const char *path);
void manager_socket_gone(struct manager *m, const char *name, uint64_t cgroup);
void manager_socket_starts(struct manager *m, const char *name, const char *service);
/* Asks PID 1 about the sockets that were there before. */
void manager_read_socket_units(struct manager *m);

/* manager_level.c */
/* Once a second, after the HTTP of all units was read (http_tick()). */
void manager_judge_levels(struct manager *m, uint64_t now);
/* The same for one unit, after a result of its check or probe. */
void manager_judge_unit(struct manager *m, struct unit *u);
/* Makes the next tick come sooner or more exactly where something pending needs it. */
void manager_pace_levels(
	const struct manager *m, uint64_t now, uint64_t *delay_usec, uint64_t *accuracy_usec);
/* Whether the host's pressure can be read at all, as a feature. */
void manager_open_pressure(struct manager *m);
/* What is counted from now on is of the restarted unit; and while that is verified, counts anew. */
void manager_mark_restart(struct unit *u, uint64_t now);
void manager_sample_restart(struct unit *u, uint64_t now);
/*
 * The result of one probe, from whoever makes them. status: MEND_OK, MEND_CRITICAL (asked, and not
 * well), or MEND_UNKNOWN (could not be asked: neither good nor bad).
 */
void manager_on_probe(
	struct manager *m, const char *unit, int status, uint64_t took_ns, const char *text);

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
/* An alert that has no incident; `text` as the alert has it. */
void manager_tell_alert(struct manager *m, const struct unit *u, enum rule rule,
	enum message_kind kind, int priority, const char *text);
void manager_tell_helper(struct manager *m, const struct unit *u, const struct death *d);
/* A request that is an example of what is wrong. */
void manager_tell_http(struct manager *m, const struct unit *u, const struct http_record *h);
void manager_status(struct manager *m);

/* manager_evidence.c */
/* Evidence of the present trouble as a JSON object, owned by the caller; NULL for lack of memory.
 */
char *manager_evidence(const struct manager *m, const struct unit *u);

/* manager_verbs.c */
void manager_fill_verbs(struct manager *m, struct verbs *ret);
