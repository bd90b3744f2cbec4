/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Path trust, dlopen, symbol; all that follows is plugin_register()'s work. See plugin_loader.h. */
#include "plugin_loader.h"
#include "plugin_impl.h"

#include "../base/str.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static int say(char *text, size_t size, int error, const char *format, ...) _printf_(4, 5);
static int say(char *text, size_t size, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, size, format, ap);
	va_end(ap);
	return error;
}

/* Whether only root can change what fd refers to; `path` is for the text. */
static int only_roots(int fd, const char *path, char *text, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return say(text, size, -errno, "cannot examine %s: %s", path, strerror(errno));
	if (S_ISLNK(st.st_mode))
		return say(text, size, -EPERM, "%s is a symbolic link", path);
	if (st.st_uid != 0)
		return say(text, size, -EPERM, "%s is not owned by root", path);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return say(text, size, -EPERM, "%s can be written by others than root", path);
	return 0;
}

int plugin_open_trusted(const char *path, char *text, size_t size)
{
	_cleanup_close_ int dir = -1;
	char sofar[PATH_MAX] = "/", copy[PATH_MAX];
	char *rest = copy, *part;
	int r;

	if (path[0] != '/')
		return say(text, size, -EINVAL, "%s is not an absolute path", path);
	if (!str_copy(copy, sizeof(copy), path))
		return say(text, size, -ENAMETOOLONG, "the path is too long");
	dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return say(text, size, -errno, "cannot open /: %s", strerror(errno));
	r = only_roots(dir, "/", text, size);
	if (r < 0)
		return r;
	while ((part = strsep(&rest, "/"))) {
		_cleanup_close_ int next = -1;
		size_t n = strlen(sofar);
		struct stat st;

		if (!*part)
			continue;
		if (str_eq(part, "..") || str_eq(part, "."))
			return say(text, size, -EINVAL, "%s is not a plain path", path);
		snprintf(sofar + n, sizeof(sofar) - n, "%s%s", n > 1 ? "/" : "", part);
		/* With O_PATH a link is opened itself, so that it can be called one. */
		next = openat(dir, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return say(
				text, size, -errno, "cannot open %s: %s", sofar, strerror(errno));
		r = only_roots(next, sofar, text, size);
		if (r < 0)
			return r;
		if (fstat(next, &st) < 0)
			return say(text, size, -errno, "cannot examine %s: %s", sofar,
				strerror(errno));
		if (rest && !S_ISDIR(st.st_mode))
			return say(text, size, -ENOTDIR, "%s is not a folder", sofar);
		if (!rest && !S_ISREG(st.st_mode))
			return say(text, size, -EPERM, "%s is not a regular file", sofar);
		close(dir);
		dir = TAKE_FD(next);
	}
	{
		/* The same file, now to be read: through the fd, not the name. */
		char self[64];
		int fd;

		snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
		fd = open(self, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return say(text, size, -errno, "cannot open %s: %s", path, strerror(errno));
		return fd;
	}
}

/* Why there is no descriptor: perhaps it is for another major. */
static int no_symbol(struct plugin_host *host, void *library, const char *name, const char *path)
{
	for (unsigned int major = 2; major <= 9; major++) {
		char symbol[32];

		snprintf(symbol, sizeof(symbol), "mend_plugin_v%u", major);
		if (dlsym(library, symbol))
			return plugin_refuse(host, name, path, -EINVAL,
				"it is built for major version %u of the interface, this mendd has %u",
				major, MEND_ABI_MAJOR);
	}
	return plugin_refuse(host, name, path, -EINVAL,
		"it has no symbol " MEND_SYMBOL ", so it is not a plugin of mendd");
}

int plugin_host_load(struct plugin_host *host, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const struct mend_plugin *descriptor;
	char text[256] = "", self[64];
	void *library;
	int fd;

	/* Seen before the file is mapped: what is mapped stays. */
	if (host->world->n_plugins >= PLUGINS_MAX)
		return plugin_refuse(
			host, name, path, -ENOSPC, "there are %d plugins already", PLUGINS_MAX);
	fd = plugin_open_trusted(path, text, sizeof(text));
	if (fd < 0)
		return plugin_refuse(host, name, path, fd, "%s", text);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	/* The fd stays open for ever: the loader knows the library by this name, and would take
	 * another file with the same number for the one that it has. */
	library = dlopen(self, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		const char *why = dlerror();
		int r = plugin_refuse(host, name, path, -ENOEXEC, "it cannot be loaded: %s",
			why ? why : "no reason given");

		close(fd);
		return r;
	}
	descriptor = dlsym(library, MEND_SYMBOL);
	if (!descriptor)
		return no_symbol(host, library, name, path);
	return plugin_register(host, descriptor, path);
}

static int is_shared_object(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_has_suffix(e->d_name, ".so");
}

int plugin_host_load_dir(struct plugin_host *host, const char *path)
{
	struct dirent **entries;
	int n, works = 0;

	n = scandir(path, &entries, is_shared_object, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (plugin_host_load(host, file) >= 0)
			works++;
		free(entries[i]);
	}
	free(entries);
	return works;
}
