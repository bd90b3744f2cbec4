/* SPDX-License-Identifier: MIT */
/*
 * The plugin interface of mendd: everything that a plugin and the daemon know of each other.
 *
 * A plugin is a shared object in /usr/lib/mendd/plugins that exports one constant descriptor,
 *
 *	MEND_EXPORT const struct mend_plugin mend_plugin_v1 = { .size = sizeof(struct mend_plugin),
 *… };
 *
 * and is of exactly one kind:
 *
 *	check	says how a unit does; it cannot act
 *	action	does something to a unit and reports how that went; it cannot judge
 *	sink	is told what happens
 *	source	tells of units what only it can see
 *
 * Who calls when
 *	create() once after loading, destroy() once when the daemon ends. All calls in both
 *	directions are made on the daemon's one thread; a plugin that starts threads must not call
 *	the host from them. The host never calls a plugin again that it has set aside.
 *
 * Limits
 *	A callback must not block: it runs on the loop that everything hangs on. Whoever has to wait
 *	uses io_add() and timer_add(). A call that takes longer than 10 ms is counted and logged.
 *	Five errors in a row set the plugin aside: its fds and timers are taken away, what it had
 *	under way ends as unknown or failed, and mendctl plugins says why. At most 256 fds and
 *timers for each plugin.
 *
 * Ownership
 *	Every pointer handed over, in either direction, is borrowed for the duration of the call:
 *	copy what is needed for longer. Exceptions: the services table, the host handle and the
 *	descriptor with everything it points to live as long as the plugin does.
 *
 * Errors
 *	0 is done, below 0 is -errno. Text is UTF-8 on one line.
 *
 * Compatibility
 *	The major is part of the symbol's name. Within a major, structures only grow at their end:
 *	each begins with its size as its author knew it, and who reads it looks at the size before
 *	it reads a member that is newer than minor 0. Exceptions: struct mend_field, which stands in
 *	arrays, never changes within a major. `minor` is the oldest minor that the plugin can work
 *	with; the host refuses one that is newer than its own.
 */
#ifndef MENDD_PLUGIN_H
#define MENDD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEND_ABI_MAJOR 1
#define MEND_ABI_MINOR 0
#define MEND_SYMBOL "mend_plugin_v1"

#define MEND_EXPORT __attribute__((visibility("default")))

/* mend_plugin.kind */
#define MEND_KIND_SOURCE 1u
#define MEND_KIND_CHECK 2u
#define MEND_KIND_ACTION 3u
#define MEND_KIND_SINK 4u

/* mend_verdict.status and mend_observation.status: the numbers of the monitoring-plugins. */
#define MEND_OK 0
#define MEND_WARNING 1
#define MEND_CRITICAL 2
#define MEND_UNKNOWN 3 /* could not observe; never leads to an action */

/* mend_action_result.stage */
#define MEND_STAGE_QUEUED 1   /* under way; optional, at most once, before the final one */
#define MEND_STAGE_DONE 2     /* final, like all below */
#define MEND_STAGE_FAILED 3   /* tried, and it did not work */
#define MEND_STAGE_CANCELED 4 /* somebody else's intention won */
#define MEND_STAGE_REFUSED 5  /* nothing was done */
#define MEND_STAGE_TIMEOUT 6  /* not known to be over before the deadline */

/* mend_observation.type */
#define MEND_EDGE 1u  /* it happened, once */
#define MEND_LEVEL 2u /* it is so now; say it again while it is */

/* events of io_add(): the same bits as poll(2) and epoll(7). */
#define MEND_IO_IN 0x001u
#define MEND_IO_OUT 0x004u
#define MEND_IO_ERR 0x008u /* always reported */
#define MEND_IO_HUP 0x010u /* always reported */

/* What the host knows of one plugin; opaque. Given to create(), first argument of each service. */
struct mend_host;

/* How a unit does, in the eyes of a check. */
struct mend_verdict {
	uint32_t size;
	int32_t status;       /* MEND_OK … MEND_UNKNOWN; another value counts as an error */
	const char *text;     /* for people; NULL: "" */
	const char *perfdata; /* "label=value[unit];warn;crit;min;max …"; NULL: none */
};

/* What to check. */
struct mend_check_request {
	uint32_t size;
	uint32_t reserved; /* 0 */
	uint64_t timeout_ns;
	const char *unit;      /* "nginx.service" */
	const char *arguments; /* what stands behind the name of the check in Check=; "" none */
};

/* What to do. */
struct mend_action_request {
	uint32_t size;
	uint32_t attempt;           /* 1 is the first of the incident */
	uint64_t deadline_ns;       /* monotonic; report before it */
	const char *unit;           /* "nginx.service" */
	const char *cause;          /* a word: "killed", "oom" … */
	const char *reason;         /* a sentence for people */
	const char *incident;       /* id; "" none */
	const char *old_invocation; /* 32 hex digits of the invocation that went bad; "" unknown */
};

/* How an action goes. */
struct mend_action_result {
	uint32_t size;
	uint32_t stage;    /* MEND_STAGE_… */
	const char *job;   /* the host system's name for what is under way; NULL: none */
	const char *error; /* what went wrong, "NAME: text"; NULL: nothing */
};

struct mend_field {
	const char *key; /* A-Z, 0-9 and '_', beginning with a letter, as the journal has it */
	const char *value;
};

/* Something that happened, for people and machines. */
struct mend_record {
	uint32_t size;
	int32_t priority;    /* as syslog(3): 0 emergency … 7 debug */
	uint64_t time_ns;    /* monotonic */
	const char *kind;    /* "incident-closed" …: message-ids.h has them all */
	const char *unit;    /* NULL or "": it is about the host */
	const char *message; /* one line */
	const struct mend_field *fields;
	uint32_t n_fields;
	uint32_t reserved; /* 0 */
};

/* What a source saw. */
struct mend_observation {
	uint32_t size;
	uint32_t type;          /* MEND_EDGE, MEND_LEVEL */
	int32_t status;         /* MEND_OK … MEND_UNKNOWN */
	uint32_t reserved;      /* 0 */
	uint64_t time_ns;       /* monotonic; when it happened, 0: now */
	const char *unit;       /* "nginx.service" */
	const char *invocation; /* 32 hex digits, NULL or "": unknown */
	const char *text;       /* for people */
};

typedef void (*mend_io_fn)(void *userdata, int32_t fd, uint32_t revents);
typedef void (*mend_timer_fn)(void *userdata, uint64_t now_ns);

/* What the host offers. */
struct mend_services {
	uint32_t size;
	uint32_t minor; /* the host's MEND_ABI_MINOR */

	/* The loop and the connection to the system bus, for who links libsystemd: sd_event * and
	 * sd_bus *, both borrowed, `bus` NULL where there is none. Whoever uses them frees its own
	 * sources and slots in destroy(), and they are not covered by the limits above. */
	void *event;
	void *bus;

	/* One line to the daemon's log, priority as in syslog(3). */
	void (*log)(struct mend_host *host, int32_t priority, const char *text);
	/* CLOCK_MONOTONIC, the clock of every time here. */
	uint64_t (*now_ns)(void);
	/* The value of `key` in [Plugin NAME], NULL: not set. Borrowed until the next call. */
	const char *(*config)(struct mend_host *host, const char *key);

	/* Calls fn whenever fd has one of `events`, until io_del(). The fd stays the plugin's: call
	 * io_del() before close(). Returns an id above 0, or -errno. */
	int64_t (*io_add)(
		struct mend_host *host, int32_t fd, uint32_t events, mend_io_fn fn, void *userdata);
	/* Ids that are not, or no longer, known are ignored: so is NULL by free(3). */
	void (*io_del)(struct mend_host *host, int64_t id);
	/* Calls fn once at a monotonic time; the id is gone then. Accurate to a millisecond. */
	int64_t (*timer_add)(
		struct mend_host *host, uint64_t at_ns, mend_timer_fn fn, void *userdata);
	void (*timer_del)(struct mend_host *host, int64_t id);

	/* For a check: the verdict of a run(), exactly once, also from inside of run(). A ticket
	 * that is not, or no longer, open is ignored. */
	void (*check_report)(
		struct mend_host *host, uint64_t ticket, const struct mend_verdict *verdict);
	/* For an action: the stages of a run(), exactly one final one, also from inside of run().
	 */
	void (*action_report)(
		struct mend_host *host, uint64_t ticket, const struct mend_action_result *result);
	/* For a source, at any time after create(). 0, or -ENOENT: that unit is not watched. */
	int32_t (*observe)(struct mend_host *host, const struct mend_observation *observation);
};

struct mend_check {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* Begins to look; the verdict goes to check_report(). Below 0: it could not begin, there is
	 * no report, and it counts as an error of the plugin (so a mistake in the arguments should
	 * rather be reported as MEND_UNKNOWN). The host never runs a unit's check twice at once. */
	int32_t (*run)(void *plugin, const struct mend_check_request *request, uint64_t ticket);
	/* The verdict is not wanted any more: let go of everything that belongs to the ticket. Also
	 * called when the time is up by a second and no verdict came, which counts as an error. */
	void (*cancel)(void *plugin, uint64_t ticket);
};

struct mend_action {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* Begins to act; stages go to action_report(). Below 0: nothing was done, there is no
	 * report, and it counts as an error of the plugin. */
	int32_t (*run)(void *plugin, const struct mend_action_request *request, uint64_t ticket);
	/* The report is not wanted any more, because the deadline passed a second ago or the daemon
	 * ends: let go of everything that belongs to the ticket. What was begun goes on. */
	void (*cancel)(void *plugin, uint64_t ticket);
};

struct mend_sink {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* Takes a record or loses it; the host does not repeat it. */
	int32_t (*emit)(void *plugin, const struct mend_record *record);
};

struct mend_source {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* A unit is watched from now on, or no longer. */
	int32_t (*watch)(void *plugin, const char *unit);
	void (*unwatch)(void *plugin, const char *unit);
};

struct mend_plugin {
	uint32_t size;
	uint16_t major;    /* MEND_ABI_MAJOR */
	uint16_t minor;    /* the oldest minor of the host that is enough; MEND_ABI_MINOR is safe */
	uint32_t kind;     /* MEND_KIND_… */
	uint32_t reserved; /* 0 */
	const char *name;  /* a-z, 0-9, '-' and '_'; at most 63 characters; unique */
	const char *version; /* of the plugin, for people */
	const char *summary; /* one line, for people */
	/* *ret is handed to every other callback; it may stay NULL. Below 0: the plugin is not used
	 * and destroy() is not called. */
	int32_t (*create)(const struct mend_services *services, struct mend_host *host, void **ret);
	void (*destroy)(void *plugin);
	/* The table of its kind; the other three are NULL. */
	const struct mend_source *source;
	const struct mend_check *check;
	const struct mend_action *action;
	const struct mend_sink *sink;
};

#ifdef __cplusplus
}
#endif

#endif
