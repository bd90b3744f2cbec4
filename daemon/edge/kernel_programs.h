/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading the kernel programs one by one, or adopting them from systemd's FD store. They are then
 * known only by their maps' and links' file descriptors, whichever way they came.
 */
#pragma once

#include "../state/world.h"
#include "bpf_load.h"

struct fdstore;

enum kernel_map { MAP_EVENTS, MAP_WATCHED, MAP_LOST, MAP_COUNT };
enum kernel_link {
	LINK_EXIT,
	LINK_EXIT_2ND,
	LINK_SIGNAL,
	LINK_OOM,
	LINK_EXEC,
	LINK_BORN,
	LINK_ENDED,
	LINK_COUNT
};

struct kernel_programs {
	int maps[MAP_COUNT];      /* owned */
	int links[LINK_COUNT];    /* owned; -1: this kernel has no such program */
	int programs[LINK_COUNT]; /* owned; for the kernel's accounting; -1: as above */
	struct bpf_refusal refusals[LINK_COUNT]; /* .error 0: not refused */
	bool adopted;
};

/* root_cgroup: id of the cgroup that PID 1 manages. -errno where deaths cannot be seen with BPF. */
int kernel_programs_load(
	struct kernel_programs *p, struct world *w, struct fdstore *stored, uint64_t root_cgroup);
void kernel_programs_done(struct kernel_programs *p);
/* Run counts and times as the kernel accounts them, added to the world's; of one program. */
void kernel_programs_stats(const struct kernel_programs *p, struct world *w);
void kernel_program_stats(int fd, struct world *w);
