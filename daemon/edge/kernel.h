/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel programs seen from the daemon: loading or adopting them, reading their records, and
 * keeping the map of watched cgroups. The edge between bpf/wire.h and the rest of the daemon, which
 * never sees a wire record.
 */
#pragma once

#include "../state/world.h"

#include <systemd/sd-event.h>

struct kernel;
struct fdstore;

struct kernel_handlers {
	/* A process of the cgroup has ended. Strings and structs are borrowed for the call. */
	void (*on_death)(void *userdata, uint64_t unit_cgroup, const struct death *d);
	/* PID 1's child in the cgroup executed a program. */
	void (*on_exec)(void *userdata, uint64_t unit_cgroup, pid_t pid, const struct program *p);
	/*
	 * The cgroup of a service or socket unit exists, from now on or (at start) already. `path`
	 * is below the cgroup root; "" where it is not known.
	 */
	void (*on_cgroup)(void *userdata, uint64_t cgroup, const char *unit, const char *path);
	/* It is gone; deaths in it came before. */
	void (*on_cgroup_gone)(void *userdata, uint64_t cgroup, const char *unit);
	/* Records were lost since the last call: ask PID 1 how things stand. */
	void (*on_loss)(void *userdata, const char *kind, uint64_t count);
};

/*
 * Loads and attaches the programs, or adopts those that a former run left in `stored`. Features and
 * losses are written into `w` (borrowed). Returns 0, or -errno where this host has no usable BPF at
 * all; single optional programs that do not load are reported as features and are no error.
 */
int kernel_new(struct kernel **ret, sd_event *event, struct world *w, struct fdstore *stored,
	const struct kernel_handlers *handlers, void *userdata);
struct kernel *kernel_free(struct kernel *k);

/* Reports every service cgroup that exists now through on_cgroup and watches it. Programs are
 * attached. */
int kernel_scan(struct kernel *k);

/* Whether the events of the cgroup are wanted. Children that are born later follow it. */
int kernel_watch(struct kernel *k, uint64_t cgroup, bool watch);

/* The unit's own cgroup for one of its cgroups; 0: not a watched one. */
uint64_t kernel_unit_cgroup(const struct kernel *k, uint64_t cgroup);

/* Reads the loss counters and the run-time statistics into the world; called before a scrape,
 * cheap. */
void kernel_refresh(struct kernel *k);

/* true where the programs were adopted: records of the time in between are in the ring. */
bool kernel_is_adopted(const struct kernel *k);
