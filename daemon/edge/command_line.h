/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A command line as systemd writes them in ExecStart=: words between white space, '…' and "…"
 * around what belongs together, backslash escapes as in C. There is no shell: no variables, no
 * globs, no pipes, and '%' and '$' are themselves.
 */
#pragma once

#include "../base/macros.h"

enum {
	COMMAND_WORDS_MAX = 128 /* words of one command line */
};

/* *ret is owned by the caller (one free() for all), ends with NULL and has at least one word.
 * -EINVAL: an open quote or an escape that does not exist; -E2BIG: too many words; -ENODATA: no
 * word at all. */
int command_split(const char *line, char ***ret);

/* The file that a word names: an absolute path as it is, a bare name where the monitoring-plugins
 * and other programs are. -ENOENT, -EACCES (not executable), -EINVAL (a relative path). */
int command_find(const char *word, char *ret, size_t size);
