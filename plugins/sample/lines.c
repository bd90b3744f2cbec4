/* SPDX-License-Identifier: MIT */
/*
 * A sample sink: appends one line for every record to a file.
 *
 *	[Plugin lines]
 *	File=/var/log/mendd.lines
 *
 * A sink must not wait either. Appending to a local file goes to the page cache; a sink that talks
 *to a network keeps what it cannot send and uses io_add(), as plugins/journal of mendd does.
 */
#include <mendd-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lines {
	int fd;
};

static int32_t lines_emit(void *plugin, const struct mend_record *record)
{
	struct lines *l = plugin;
	char line[4096];
	int n;

	n = snprintf(line, sizeof(line), "<%d>%s %s: %s\n", (int)record->priority, record->kind,
		record->unit && *record->unit ? record->unit : "-", record->message);
	if (n < 0 || (size_t)n >= sizeof(line))
		return -EMSGSIZE;
	/* One write() with O_APPEND: lines of two writers never mix. */
	return write(l->fd, line, (size_t)n) < 0 ? -errno : 0;
}

static int32_t lines_create(
	const struct mend_services *services, struct mend_host *host, void **ret)
{
	const char *path = services->config(host, "File");
	struct lines *l;

	if (!path) {
		services->log(host, 3, "File= is not set in [Plugin lines]");
		return -EINVAL; /* refused: mendctl plugins shows it */
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (l->fd < 0) {
		int r = -errno;

		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static void lines_destroy(void *plugin)
{
	struct lines *l = plugin;

	close(l->fd);
	free(l);
}

static const struct mend_sink lines_sink = {
	.size = sizeof(lines_sink),
	.emit = lines_emit,
};

MEND_EXPORT const struct mend_plugin mend_plugin_v1 = {
	.size = sizeof(mend_plugin_v1),
	.major = MEND_ABI_MAJOR,
	.minor = 0,
	.kind = MEND_KIND_SINK,
	.name = "lines",
	.version = "1",
	.summary = "sample: appends a line for every record to a file",
	.create = lines_create,
	.destroy = lines_destroy,
	.sink = &lines_sink,
};
