/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the processes of a unit that does not answer are doing: evidence for people, and whether one
 * of them was stopped or is being traced, in which case somebody is at work on it. Reads procfs, a
 * few times 10 us a process; asked only while an alert is pending or fires.
 */
#pragma once

#include "../base/str.h"

#include <sys/types.h>

enum {
	PROCESSES_MAX = 16, /* of one unit that are looked at; more tell nothing new */
};

/*
 * Looks at the processes listed in `procs_file` (a cgroup.procs), and at `main_pid` where that is
 * not among them (0: none). Adds a JSON array to `json` (NULL: only looks). *ret_stopped: one of
 * them is stopped by a signal, or traced by somebody else. Returns how many were looked at.
 */
int processes_look(const char *procs_file, pid_t main_pid, bool *ret_stopped, struct strbuf *json);
