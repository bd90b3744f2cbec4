/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and reading configuration files; see config_files.h. Writing is in config_write.c. */
#include "config_files.h"
#include "config_read.h"
#include "../base/unitfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Where systemd looks for the configuration of its own parts, the strongest first. */
static const char *const directories[] = {
	"/etc/mendd",
	"/run/mendd",
	"/usr/local/lib/mendd",
	"/usr/lib/mendd",
};

struct drop_in {
	char *name; /* owned; borrowed from path */
	char *path; /* owned */
};

struct drop_ins {
	struct drop_in *list; /* owned */
	size_t n;
};

static void drop_ins_done(struct drop_ins *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->list[i].path);
	free(d->list);
	*d = (struct drop_ins) {};
}

int config_read_file(const char *path, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t n = 0;

	/* Not blocking, so that a FIFO in place of a file cannot stop the daemon. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) /* a link to /dev/null is a masked file */
		return -EBADFD;
	/* One byte above the limit, which then refuses it. */
	text = malloc(UNITFILE_SIZE_MAX + 1);
	if (!text)
		return -ENOMEM;
	while (n < UNITFILE_SIZE_MAX + 1) {
		ssize_t r = read(fd, text + n, UNITFILE_SIZE_MAX + 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	*ret = TAKE_PTR(text);
	*ret_size = n;
	return 0;
}

/* Reads one file on top of s; what is wrong with it goes into errors. 0, -ENOENT or -ENOMEM. */
static int read_on_top(
	struct host_settings *s, const char *root, const char *path, struct settings_errors *errors)
{
	_cleanup_free_ char *text = NULL;
	const char *name = path + strlen(root); /* people know it without the prefix */
	size_t size;
	int r = config_read_file(path, &text, &size);

	if (r == -ENOMEM || r == -ENOENT)
		return r;
	if (r < 0) {
		settings_error(
			errors, name, 0, "cannot be read: %s; mend it or remove it", strerror(-r));
		return 0;
	}
	return host_settings_parse(s, name, text, size, errors);
}

static const struct drop_in *find_drop_in(const struct drop_ins *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (str_eq(d->list[i].name, name))
			return &d->list[i];
	return NULL;
}

static int add_drop_in(struct drop_ins *d, const char *directory, const char *name)
{
	char *path;

	if (!d->list) {
		d->list = calloc(CONFIG_FILES_MAX, sizeof(*d->list));
		if (!d->list)
			return -ENOMEM;
	}
	if (d->n == CONFIG_FILES_MAX)
		return -ENOSPC;
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	d->list[d->n++] = (struct drop_in) { .path = path, .name = path + strlen(directory) + 1 };
	return 0;
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Adds the *.conf of one directory that no earlier directory has. */
static int list_drop_ins(
	struct drop_ins *d, const char *root, const char *directory, struct settings_errors *errors)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_(closedirp) DIR *dir = NULL;
	int r = 0;

	if (asprintf(&path, "%s%s/mendd.conf.d", root, directory) < 0)
		return -ENOMEM;
	dir = opendir(path);
	if (!dir) {
		if (errno != ENOENT)
			settings_error(errors, path + strlen(root), 0, "cannot be listed: %m");
		return 0;
	}
	while (r >= 0) {
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e) {
			if (errno != 0)
				settings_error(
					errors, path + strlen(root), 0, "cannot be listed: %m");
			break;
		}
		if (e->d_name[0] == '.' || !str_has_suffix(e->d_name, ".conf") ||
			find_drop_in(d, e->d_name))
			continue;
		r = add_drop_in(d, path, e->d_name);
	}
	if (r == -ENOSPC) {
		settings_error(errors, path + strlen(root), 0,
			"there are more than %d drop-ins; join some", CONFIG_FILES_MAX);
		r = 0;
	}
	return r;
}

static int compare_drop_ins(const void *a, const void *b)
{
	return strcmp(((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

static int read_all(struct host_settings *s, const char *root, struct settings_errors *errors)
{
	_cleanup_(drop_ins_done) struct drop_ins drop_ins = {};
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(directories) && r == -ENOENT; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s%s/mendd.conf", root, directories[i]) < 0)
			return -ENOMEM;
		r = read_on_top(s, root, path, errors);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		r = list_drop_ins(&drop_ins, root, directories[i], errors);
		if (r < 0)
			return r;
	}
	if (drop_ins.n > 0)
		qsort(drop_ins.list, drop_ins.n, sizeof(*drop_ins.list), compare_drop_ins);
	for (size_t i = 0; i < drop_ins.n; i++) {
		const char *path = drop_ins.list[i].path;

		r = read_on_top(s, root, path, errors);
		if (r == -ENOENT) /* a link to nowhere; saying nothing would hide a typing error */
			settings_error(errors, path + strlen(root), 0,
				"is a link to nothing; to mask a file link it to /dev/null");
		else if (r < 0)
			return r;
	}
	return 0;
}

int config_load(const char *root, struct host_settings *ret, struct strbuf *errors)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	struct settings_errors collected = { .text = errors };
	int r;

	host_settings_init(&s);
	r = read_all(&s, root ? root : "", &collected);
	if (r < 0)
		return r;
	if (collected.count > 0)
		return -EINVAL;
	*ret = s;
	s = (struct host_settings) {};
	return 0;
}

static int read_own(
	struct unit_rule *rule, bool *present, const char *path, struct settings_errors *errors)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (str_is_empty(path))
		return 0;
	r = config_read_file(path, &text, &size);
	if (r == -ENOENT)
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		settings_error(errors, path, 0,
			"cannot be read: %s; whether it has an [X-Mendd] section is unknown",
			strerror(-r));
		return 0;
	}
	return unit_rule_parse(rule, present, path, text, size, errors);
}

int config_read_own_rule(const char *fragment_path, char *const *drop_in_paths,
	struct unit_rule *ret, bool *ret_present, char *ret_error, size_t error_size)
{
	_cleanup_strbuf_ struct strbuf text = {};
	struct settings_errors errors = { .text = &text };
	struct unit_rule rule = {};
	bool present = false;
	int r;

	unit_settings_init(&rule.values);
	r = read_own(&rule, &present, fragment_path, &errors);
	for (size_t i = 0; r >= 0 && drop_in_paths && drop_in_paths[i]; i++) {
		if (i == CONFIG_FILES_MAX) {
			settings_error(&errors, drop_in_paths[i], 0,
				"the unit has more than %d drop-ins; join some", CONFIG_FILES_MAX);
			break;
		}
		r = read_own(&rule, &present, drop_in_paths[i], &errors);
	}
	/* With a mistake there is something to hand on, even where nobody knows whether there is
	 * one. */
	*ret_present = present || errors.count > 0;
	ret_error[0] = '\0';
	if (r >= 0 && errors.count == 0) {
		*ret = rule;
		return 0;
	}
	*ret = (struct unit_rule) {};
	unit_settings_init(&ret->values);
	if (text.data) {
		text.data[strcspn(text.data, "\n")] = '\0';
		str_copy(ret_error, error_size, text.data);
		str_copy(ret->values.error, sizeof(ret->values.error), text.data);
	}
	return r < 0 ? r : -EINVAL;
}
