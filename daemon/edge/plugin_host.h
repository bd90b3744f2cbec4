/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plugin host: the daemon's side of plugins/mendd-plugin.h. Plugins that are linked in and
 * those that are loaded go through plugin_host_register() alike. The host keeps what is shown of
 * them in world->plugins, counts and times every call, sets those aside that fail again and again,
 * runs the checks of units on their intervals, and sees to it that an action reports exactly once.
 *
 * Everything happens on the loop; no callback of this header is called from inside of one of its
 * functions, except observations, which a source may report from anywhere.
 */
#pragma once

#include "../state/world.h"
#include "../../plugins/mendd-plugin.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

enum {
	CHECKS_RUNNING_MAX = 8,   /* at once on the host; the others wait for their turn */
	ACTIONS_RUNNING_MAX = 16, /* far above what the policy has under way: two */
	PLUGIN_ERRORS_MAX = 5,    /* in a row; then the plugin is set aside */
	PLUGIN_HANDLES_MAX = 256, /* fds and timers of one plugin */
};

/* A call that takes longer is counted: the loop serves deaths within milliseconds. */
#define PLUGIN_SLOW_NS (UINT64_C(10) * NSEC_PER_MSEC)
/* The same of create(), which runs before there is a loop to hold: connecting and reading files
 * takes as long as it takes on a host that is booting. */
#define PLUGIN_SLOW_CREATE_NS (UINT64_C(1000) * NSEC_PER_MSEC)

struct plugin_host;

/* What a check said. `text` and `perfdata` are never NULL, one line of clean UTF-8 each. */
typedef void (*check_fn)(void *userdata, const char *unit, const struct mend_verdict *verdict);
/* How an action goes: at most one MEND_STAGE_QUEUED, then exactly one final stage. `job` and
 * `error` are never NULL. */
typedef void (*act_fn)(void *userdata, const char *unit, const struct mend_action_result *result);
/* What a source saw of a unit that is watched. 0, or -ENOENT: it is not. */
typedef int (*observe_fn)(void *userdata, const struct mend_observation *observation);
/* The value of a key in [Plugin NAME], NULL: not set. Borrowed until the next call. */
typedef const char *(*plugin_config_fn)(void *userdata, const char *plugin, const char *key);

/* event, bus and world are borrowed; bus may be NULL (no action will work). */
int plugin_host_new(struct plugin_host **ret, sd_event *event, sd_bus *bus, struct world *world);
/* Cancels what is under way without reporting it, destroys the plugins in reverse order. */
struct plugin_host *plugin_host_free(struct plugin_host *host);

/* Before the first plugin is registered: create() may ask. */
void plugin_host_set_config(struct plugin_host *host, plugin_config_fn fn, void *userdata);
void plugin_host_set_observer(struct plugin_host *host, observe_fn fn, void *userdata);

/* One that is linked in. -EINVAL, or what create() said: refused; world->plugins has the reason. */
int plugin_host_register(struct plugin_host *host, const struct mend_plugin *descriptor);
/* One shared object; path is absolute. As plugin_host_register(), -EPERM: not to be trusted. */
int plugin_host_load(struct plugin_host *host, const char *path);
/* All *.so of a folder, in order of names. A folder that does not exist is no error. One that is
 * refused does not stop the others: the number of those that work. */
int plugin_host_load_dir(struct plugin_host *host, const char *path);

/* To all sinks. Nothing to report: a sink that fails is the host's business. */
void plugin_host_emit(struct plugin_host *host, const struct mend_record *record);

/* Performs an action. 0: callback will be called, never before this returns. -ENOENT: no such
 * action (or set aside), -EBUSY: too many, or what the plugin said: callback will not be called. */
int plugin_host_act(struct plugin_host *host, const char *action,
	const struct mend_action_request *request, act_fn callback, void *userdata);

/* Runs the check of a unit every interval_ns (with 10 % of jitter), replacing the one it has.
 * `command` begins with the name of a check plugin, or is a command line. The first run comes
 * within 5 s, spread at random so that a thousand units do not begin together. */
int plugin_host_check_start(struct plugin_host *host, const char *unit, const char *command,
	uint64_t interval_ns, uint64_t timeout_ns, check_fn callback, void *userdata);
/* Nothing happens where the unit has none. */
void plugin_host_check_stop(struct plugin_host *host, const char *unit);
/* Runs it as soon as there is room, again if it is just running (what that one saw may be too old).
 * -ENOENT: the unit has none. */
int plugin_host_check_now(struct plugin_host *host, const char *unit);

/* Tells the sources. */
void plugin_host_watch(struct plugin_host *host, const char *unit);
void plugin_host_unwatch(struct plugin_host *host, const char *unit);
