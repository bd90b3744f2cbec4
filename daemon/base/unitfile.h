/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parser for files of systemd's form: [Section] lines, Key=Value lines, comments with # and ;, a
 * backslash at the end of a line continues it (comment lines in between are skipped), keys and
 * sections may repeat. It knows nothing of meanings: it reports what stands there, in order, with
 * line numbers; mistakes of form too, and goes on behind them. It takes any bytes at all.
 */
#pragma once

#include "macros.h"

enum {
	UNITFILE_SIZE_MAX = 1024 * 1024, /* systemd's own limit for a line; we take it for a file */
	UNITFILE_LINE_MAX = 64 * 1024,   /* a whole logical line, continuations included */
};

struct unitfile_handler {
	void *userdata; /* borrowed; first argument of each */
	/*
	 * A section begins (key and value NULL) or a key is set in it. All strings are borrowed for
	 * the call; white space around them is removed, quotes and escapes are left as they are.
	 * `line` is where the logical line begins, from 1. <0 stops the parser, which returns it.
	 */
	int (*entry)(void *userdata, const char *section, const char *key, const char *value,
		unsigned int line);
	/*
	 * A mistake of form: `what` is for people: "the mistake; a hint". `section` is where it
	 * stands:
	 * "" before the first section, and for a broken section line what could be read of its
	 * name. The keys that follow a broken section line are skipped: nobody knows whose they
	 * are.
	 */
	void (*mistake)(void *userdata, const char *section, unsigned int line, const char *what);
};

/*
 * 0 where the whole text was read, also with mistakes; -EFBIG for a text above UNITFILE_SIZE_MAX,
 * -ENOBUFS for a line above UNITFILE_LINE_MAX, -EBADMSG for a NUL byte: these are reported through
 * .mistake, too, and nothing behind them is read; -ENOMEM; or what .entry returned.
 */
int unitfile_parse(const char *text, size_t size, const struct unitfile_handler *handler);
