/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel programs and the daemon say to each other: the records of the ring buffer, the
 * keys of the maps, and the constants that both sides must agree on. Only rare facts travel here:
 * deaths, executions of main programs, birth and end of a unit's cgroup.
 *
 * All times are nanoseconds of CLOCK_MONOTONIC unless the name says boot. All pids are of the
 * daemon's own pid namespace, 0 where the process is not visible there. A change of any layout
 * changes WIRE_VERSION: maps and links that an older daemon left in systemd's FD store are then not
 * adopted but made anew.
 */
#ifndef MENDD_WIRE_H
#define MENDD_WIRE_H

#define WIRE_VERSION 3

enum wire_kind {
	WIRE_DEATH = 1,
	WIRE_EXEC = 2,
	WIRE_CGROUP_NEW = 3,
	WIRE_CGROUP_GONE = 4,
	WIRE_KINDS =
		5, /* index 0 of the loss counters: a watched cgroup found no room in the map */
};

enum {
	WIRE_COMM = 16,        /* TASK_COMM_LEN */
	WIRE_UNIT_NAME = 256,  /* systemd's UNIT_NAME_MAX; a directory name is at most 255 bytes */
	WIRE_CGROUP_NAME = 64, /* enough to say "session-3.scope" of a sender */
	WIRE_PATH = 256,
	/* The kernel's own buffer for the tracepoint has 1024 bytes. */
	WIRE_CGROUP_PATH = 1024,
	/*
	 * Records that wait for the daemon: a death takes about 300 bytes, so half a MiB holds more
	 * than 1,500 of them even if the daemon is not scheduled at all. It counts twice as
	 * resident memory, being mapped twice in a row.
	 */
	WIRE_RING_BYTES = 1 << 19,
	/* Services of a large host with the sub-cgroups of their delegated trees; 40 bytes each. */
	WIRE_WATCHED_MAX = 16384,
	/* Fatal signals that were sent and whose target has not died yet. */
	WIRE_SENDERS_MAX = 4096,
};

struct wire_header {
	__u16 kind;    /* enum wire_kind */
	__u16 version; /* WIRE_VERSION */
	__u32 size;    /* of the whole record */
	__u64 time_ns;
	__u64 unit_cgroup; /* id of the unit's own cgroup, never of a child of it */
};

/* Who sent a signal; si_code as in sigaction(2): > 0 the kernel, <= 0 a process. */
struct wire_sender {
	__u64 time_ns;
	__s32 pid;
	__u32 uid;
	__s32 signal;
	__s32 si_code;
	__u32 is_self; /* the process signalled itself (abort, raise) */
	__u32 reserved;
	char comm[WIRE_COMM];
	char cgroup[WIRE_CGROUP_NAME]; /* last part of the sender's cgroup path */
};

struct wire_death {
	struct wire_header header;
	__u64 start_boot_ns; /* CLOCK_BOOTTIME: with the pid the identity of the process */
	__u64 lifetime_ns;
	__u64 peak_rss_pages;
	__s32 pid;
	__s32 parent_pid;
	__u32 uid;
	__s32 status;     /* as wait(2) gives it */
	__u32 oom_victim; /* the OOM killer had chosen it */
	__u32 has_sender; /* .sender belongs to the signal that ended it, or that asked it to end */
	__s32 own_ooms;   /* of a victim: OOMs for the unit\'s own limit so far; -1: not known */
	__u32 reserved;
	char comm[WIRE_COMM];
	struct wire_sender sender;
};

/* A child of PID 1 in a watched unit executed a program: its main or a control process. */
struct wire_exec {
	struct wire_header header;
	__s32 pid;
	__u32 device; /* the kernel's encoding: major << 20 | minor */
	__u64 inode;
	__u64 mtime_ns; /* 0: not known on this kernel */
	char path[WIRE_PATH];
};

struct wire_cgroup {
	struct wire_header header;
	__u32 slices; /* between the root that PID 1 manages and the cgroup */
	__u32 reserved;
	char path[WIRE_CGROUP_PATH]; /* from the root of the whole hierarchy, "" where unknown */
	char name[WIRE_UNIT_NAME];   /* directory name, as systemd escaped it */
};

/* Key of the map of senders: the last one of each signal to each process (kernel-global pid). */
struct wire_sender_key {
	__u32 tgid;
	__u32 signal;
};

#endif
