/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl logs: journalctl, which shows mendd's records of a unit with --unit= as well. */
#include "ctl.h"

#include <inttypes.h>

int verb_logs(struct ctl *c, int argc, char **argv)
{
	static char program[] = "journalctl", follow[] = "--follow", no_pager[] = "--no-pager",
		    json[] = "--output=json", pretty[] = "--output=json-pretty";
	/* journalctl, four options, and one word for each unit. */
	char **words = calloc((size_t)argc + 6, sizeof(*words));
	_cleanup_free_ char *lines = NULL;
	int n = 0;

	if (!words || asprintf(&lines, "--lines=%" PRIu32, c->lines) < 0)
		return out_of_memory();
	words[n++] = program;
	if (c->lines > 0)
		words[n++] = lines;
	if (c->follow)
		words[n++] = follow;
	if (!c->use_pager)
		words[n++] = no_pager;
	if (c->json != JSON_OFF)
		words[n++] = c->json == JSON_PRETTY ? pretty : json;
	for (int i = 0; i < argc; i++) {
		_cleanup_free_ char *name = unit_name(argv[i]);

		if (!name || asprintf(&words[n], "--unit=%s", name) < 0)
			return out_of_memory();
		n++;
	}
	execvp(words[0], words);
	complain("Cannot run journalctl: %s", strerror(errno));
	return EXIT_UNHEALTHY;
}
