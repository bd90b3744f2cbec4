/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a unit file: every report has sane strings, and lines only rise. */
#include "fuzz.h"
#include "../../daemon/base/unitfile.h"

#include <string.h>

struct seen {
	unsigned int line;
	size_t size;
};

static int on_entry(
	void *userdata, const char *section, const char *key, const char *value, unsigned int line)
{
	struct seen *seen = userdata;

	MUST(*section && strlen(section) <= seen->size);
	MUST(line >= 1 && line >= seen->line && line <= seen->size + 1);
	seen->line = line;
	MUST(!key == !value);
	if (key) {
		MUST(*key && !strchr(key, '=') && !strchr(key, '\n'));
		MUST(strlen(key) + strlen(value) < UNITFILE_LINE_MAX);
	}
	return 0;
}

static void on_mistake(void *userdata, const char *section, unsigned int line, const char *what)
{
	struct seen *seen = userdata;

	MUST(line >= 1 && line <= seen->size + 1);
	MUST(strchr(what, ';'));
	MUST(strlen(section) <= seen->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = { .size = size };
	const struct unitfile_handler handler = {
		.userdata = &seen,
		.entry = on_entry,
		.mistake = on_mistake,
	};
	int r = unitfile_parse((const char *)data, size, &handler);

	MUST(r == 0 || r == -EFBIG || r == -ENOBUFS || r == -EBADMSG);
	return 0;
}
