/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One file a copy, named by the path of the original with '/' as "%2F" and '%' as "%25". See
 * config_saved.h.
 */
#include "config_saved.h"
#include "config_read.h"
#include "../base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
	SAVED_DIRECTORY_MODE = 0700,
	SAVED_MODE = 0600, /* the original may have been readable for root alone */
};

static char *place(const char *directory, const char *path)
{
	struct strbuf b = {};

	strbuf_addf(&b, "%s/", directory);
	for (const char *p = path; *p; p++)
		if (*p == '/')
			strbuf_add(&b, "%2F");
		else if (*p == '%')
			strbuf_add(&b, "%25");
		else
			strbuf_add_mem(&b, p, 1);
	if (b.error) {
		strbuf_done(&b);
		return NULL;
	}
	return b.data;
}

/* The inverse, in place; false: no name that we have given. */
static bool original(char *name)
{
	char *to = name;

	for (const char *p = name; *p; p++) {
		if (*p == '%' && p[1] == '2' && (p[2] == 'F' || p[2] == '5')) {
			*to++ = p[2] == 'F' ? '/' : '%';
			p += 2;
		} else if (*p == '%') {
			return false;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return *name == '/';
}

static int write_copy(const char *path, const char *text, size_t size)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	size_t done = 0;

	/* Without fsync: a copy that a power cut has emptied is no worse than none, and the next
	 * reading of a good file makes it again. */
	if (asprintf(&temporary, "%s.new", path) < 0)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, SAVED_MODE);
	if (fd < 0)
		return -errno;
	while (done < size) {
		ssize_t r = write(fd, text + done, size - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			r = -errno;
			unlink(temporary);
			return (int)r;
		}
		done += (size_t)r;
	}
	return rename(temporary, path) < 0 ? -errno : 0;
}

int config_saved_put(const char *directory, const char *path, const char *text, size_t size)
{
	_cleanup_free_ char *target = place(directory, path), *old = NULL;
	size_t old_size;

	if (!target)
		return -ENOMEM;
	if (config_read_file(target, &old, &old_size) == 0 && old_size == size &&
		memcmp(old, text, size) == 0)
		return 0;
	if (mkdir(directory, SAVED_DIRECTORY_MODE) < 0 && errno != EEXIST)
		return -errno;
	return write_copy(target, text, size);
}

int config_saved_get(const char *directory, const char *path, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *target = place(directory, path);

	return target ? config_read_file(target, ret, ret_size) : -ENOMEM;
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

void config_saved_each(
	const char *directory, void (*fn)(void *userdata, const char *path), void *userdata)
{
	_cleanup_(closedirp) DIR *dir = opendir(directory);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[sizeof(e->d_name)];

		str_copy(path, sizeof(path), e->d_name);
		if (original(path) && !str_has_suffix(path, ".new"))
			fn(userdata, path);
	}
}

struct pruning {
	const char *directory, *root; /* borrowed */
};

static void prune(void *userdata, const char *path)
{
	const struct pruning *p = userdata;
	_cleanup_free_ char *full = NULL, *copy = NULL;
	struct stat st;

	/* A file that is there and cannot be reached keeps its copy. */
	if (asprintf(&full, "%s%s", p->root, path) < 0 || lstat(full, &st) == 0 ||
		(errno != ENOENT && errno != ENOTDIR))
		return;
	copy = place(p->directory, path);
	if (copy)
		unlink(copy);
}

void config_saved_prune(const char *directory, const char *root)
{
	struct pruning p = { directory, root };

	config_saved_each(directory, prune, &p);
}
