/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the plugin host share among themselves; nobody else includes it.
 *
 *	plugin_host.c      registering, setting aside, sinks and sources
 *	plugin_services.c  the services table: log, configuration, fds, timers
 *	plugin_checks.c    the checks of units: interval, turn, ticket, verdict
 *	plugin_actions.c   actions: ticket, deadline, exactly one final report
 *	plugin_loader.c    from a path to a descriptor
 */
#pragma once

#include "plugin_host.h"

#include "../base/log.h"

#include <sys/queue.h>

/* One plugin; plugins know it as an opaque handle. */
struct mend_host {
	struct plugin_host *host;             /* borrowed */
	const struct mend_plugin *descriptor; /* borrowed for ever: there is no dlclose */
	struct plugin_state *state;           /* borrowed, in world->plugins */
	void *instance;                       /* the plugin's own */
	bool announce;                        /* it was set aside, and the sinks do not know yet */
	uint32_t errors;                      /* in a row */
	size_t n_handles;
	struct ratelimit slow_limit;
	struct ratelimit log_limit;
};

struct check;
struct act;
TAILQ_HEAD(check_list, check);
TAILQ_HEAD(act_list, act);

struct plugin_host {
	sd_event *event; /* owned reference */
	sd_bus *bus;     /* owned reference */
	struct world *world;
	struct mend_services services;
	plugin_config_fn config;
	void *config_userdata;
	observe_fn observe;
	void *observe_userdata;

	struct mend_host *plugins[PLUGINS_MAX]; /* owned; those that were created */
	size_t n_plugins;

	uint64_t last_id;    /* of handles and tickets */
	struct hash handles; /* id -> struct handle, owned */

	struct hash checks;        /* unit -> struct check, owned */
	struct hash check_tickets; /* ticket -> struct check, borrowed */
	struct check_list waiting; /* for their turn */
	size_t n_running;

	struct hash acts;        /* ticket -> struct act, owned */
	struct act_list reports; /* with a report that is not delivered yet */

	sd_event_source *pump; /* owned; one shot: delivers reports, starts checks */
	bool emitting;
};

/* Size of a structure up to and with a member: how it was in the minor that brought the member. */
#define SIZE_UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)NULL)->member))

/* Around every call into a plugin. */
uint64_t plugin_enter(struct mend_host *p);
void plugin_leave(struct mend_host *p, uint64_t begin_ns, const char *what);
/* With a limit of its own for what is slow. */
void plugin_leave_within(
	struct mend_host *p, uint64_t begin_ns, uint64_t limit_ns, const char *what);
/* r below 0 counts as an error; anything else ends a row of them. */
void plugin_result(struct mend_host *p, int r, const char *what);
/* Not registered at all: keeps the reason where people look. */
int plugin_refuse(struct plugin_host *host, const char *name, const char *path, int error,
	const char *format, ...) _printf_(5, 6);
int plugin_register(
	struct plugin_host *host, const struct mend_plugin *descriptor, const char *path);
/* Active and of that kind and name; NULL: none. */
struct mend_host *plugin_find(const struct plugin_host *host, uint32_t kind, const char *name);
void plugin_pump(struct plugin_host *host);

void plugin_services_init(struct plugin_host *host);
void plugin_handles_drop(struct plugin_host *host, const struct mend_host *of); /* NULL: all */

void plugin_check_report(struct mend_host *p, uint64_t ticket, const struct mend_verdict *verdict);
void plugin_checks_pump(struct plugin_host *host);
void plugin_checks_done(struct plugin_host *host);

void plugin_action_report(
	struct mend_host *p, uint64_t ticket, const struct mend_action_result *result);
void plugin_actions_pump(struct plugin_host *host);
void plugin_actions_done(struct plugin_host *host);
