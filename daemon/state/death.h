/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of one process that ended, from whichever source: the kernel's programs
 * (everything), the process connector (pid and status), or PID 1 (status of the main process).
 * Fields that a source could not see are 0 or "".
 */
#pragma once

#include "words.h"

#include <sys/types.h>

enum {
	COMM_SIZE = 16,        /* the kernel's TASK_COMM_LEN */
	CGROUP_NAME_SIZE = 64, /* last part of a cgroup's path; longer names are cut */
	INVOCATION_SIZE = 33,  /* 128-bit id in hex, with the terminating byte */
};

enum death_source {
	DEATH_FROM_KERNEL,    /* BPF */
	DEATH_FROM_CONNECTOR, /* netlink process connector: degraded, no killer */
	DEATH_FROM_SYSTEMD,   /* reconciliation: PID 1 says that the main process is gone */
};

struct death {
	enum death_source source;
	uint64_t time_ns; /* monotonic; when the last thread left */
	uint64_t seen_ns; /* monotonic; when mendd knew */
	pid_t pid;        /* in mendd's pid namespace; 0: not visible there */
	pid_t parent_pid;
	uint64_t start_ns; /* boot-time clock; (pid, start) is the process's identity */
	uint64_t lifetime_ns;
	uint64_t peak_rss_bytes;
	uid_t uid;
	char comm[COMM_SIZE];

	int code;   /* exit code, 0 where a signal ended it */
	int signal; /* signal number, 0 where it exited */
	bool core_dumped;

	int asked_signal;   /* it exited after this signal asked it to (TERM, INT, QUIT); 0: nobody
			       did */
	enum killer killer; /* KILLER_NONE unless .signal or .asked_signal */
	int killer_si_code; /* as sigaction(2) */
	pid_t killer_pid;
	uid_t killer_uid;
	char killer_comm[COMM_SIZE];
	char killer_unit[CGROUP_NAME_SIZE]; /* unit, scope or session of the sender: its cgroup's
					       name */
	uint64_t killer_time_ns;
	bool oom_limit_known; /* the kernel program could tell whose limit it was */
	bool oom_own_limit;   /* the OOM killer came for the unit's own memory limit, not the host's
			       */
};

enum outcome death_outcome(const struct death *d);

/* "killed by SIGKILL from bash[4711] (uid 1000, session-3.scope)", "exited with code 7", … */
void death_describe(const struct death *d, char *ret, size_t size);

/* "SIGKILL" for 9; "signal 77" for one without a name. Borrowed from a static buffer or table. */
const char *signal_name(int signal);
