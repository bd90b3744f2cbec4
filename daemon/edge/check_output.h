/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what an executable check printed, and how it ended, to a verdict. Pure; its input comes from
 * programs that nobody here wrote, so it is fuzzed.
 */
#pragma once

#include "../base/macros.h"

#include <sys/types.h>

struct check_output {
	int status; /* MEND_OK … */
	char text[512];
	char perfdata[1024];
};

/* code and status as in siginfo_t of SIGCHLD. `output` has `n` bytes, followed by a zero byte. */
void check_output_read(
	struct check_output *ret, const char *output, size_t n, int code, int status);
