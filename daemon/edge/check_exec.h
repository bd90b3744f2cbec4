/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The check "exec": any executable that keeps the convention of the monitoring-plugins, or answers
 * with one JSON object. It is a check like others, behind the same descriptor, and needs nothing
 *from the host but what plugins/mendd-plugin.h offers.
 *
 *	exit code	0 ok, 1 warning, 2 critical, 3 unknown; any other, or a signal: unknown
 *	output		first line is the text; what stands behind '|' is performance data
 *	JSON		where the first byte is '{': {"status": "ok"|"warning"|"critical"|"unknown"
 *or 0…3, "text": "…", "perfdata": "…"}; the exit code must be 0…3 and does not matter otherwise
 *
 * Each runs in a process group of its own, which ends with it or with its time, whichever is first:
 * what it leaves behind there is killed. Standard input and standard error are /dev/null, the
 * environment is PATH, LANG and MENDD_UNIT, the folder is "/".
 */
#pragma once

#include "../../plugins/mendd-plugin.h"

enum {
	CHECK_OUTPUT_MAX = 4096,      /* bytes that are looked at */
	CHECK_FLOOD_MAX = 1024 * 1024 /* bytes after which it is killed: the loop reads them all */
};

extern const struct mend_plugin check_exec_plugin;
