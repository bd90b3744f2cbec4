/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and reading configuration files; see config_files.h. Writing is in config_write.c. */
#include "config_files.h"
#include "config_read.h"
#include "config_saved.h"
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

/* Reading a set of files. */
struct loading {
	const char *root;               /* borrowed; a prefix of all paths */
	const char *saved;              /* borrowed; directory of the copies, NULL: none are used */
	struct host_settings *settings; /* borrowed */
	struct settings_errors *errors; /* borrowed */
};

/* No mistake of its own: what is in use instead. */
static void note(const struct loading *l, const char *name, const char *what)
{
	if (l->saved && l->errors->count <= SETTINGS_ERRORS_MAX)
		strbuf_addf(l->errors->text, "%s: %s\n", name, what);
}

/* The settings so far with the copy of the file on top, and with what its present text forbids.
 * 0: *l->settings has them; -ENOENT: there is no copy that can be used; -ENOMEM. */
static int use_copy(const struct loading *l, const char *name, const struct host_settings *present)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf ignored = {};
	struct settings_errors errors = { .text = &ignored };
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!l->saved || config_saved_get(l->saved, name, &text, &size) < 0)
		return -ENOENT;
	r = host_settings_copy(&s, l->settings);
	if (r >= 0)
		r = host_settings_parse(&s, name, text, size, &errors);
	if (r >= 0 && errors.count > 0) /* of another version of mendd */
		return -ENOENT;
	if (r >= 0 && present)
		r = host_settings_forbid(
			&s, present, l->settings->n_rules, l->settings->n_excludes);
	if (r < 0)
		return r;
	host_settings_done(l->settings);
	*l->settings = s;
	s = (struct host_settings) {};
	return 0;
}

/* Reads a text on top of the settings; with a mistake its copy, or what is left of it. */
static int take_text(const struct loading *l, const char *name, const char *text, size_t size)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	unsigned int before = l->errors->count;
	int r = host_settings_copy(&s, l->settings);

	if (r >= 0)
		r = host_settings_parse(&s, name, text, size, l->errors);
	if (r < 0)
		return r;
	if (l->errors->count > before) {
		r = use_copy(l, name, &s);
		if (r != -ENOENT) {
			note(l, name, "its last version without a mistake is used until then");
			return r;
		}
		note(l, name, "only its sections without a mistake are used until then");
	} else if (l->saved) {
		config_saved_put(l->saved, name, text, size);
	}
	host_settings_done(l->settings);
	*l->settings = s;
	s = (struct host_settings) {};
	return 0;
}

/* Reads one file on top of the settings; what is wrong with it goes into errors. 0, -ENOENT or
 * -ENOMEM. */
static int read_on_top(const struct loading *l, const char *path)
{
	_cleanup_free_ char *text = NULL;
	const char *name = path + strlen(l->root); /* people know it without the prefix */
	size_t size;
	int r = config_read_file(path, &text, &size);

	if (r == -ENOMEM || r == -ENOENT)
		return r;
	if (r >= 0)
		return take_text(l, name, text, size);
	settings_error(
		l->errors, name, 0, "cannot be read: %s; mend it or remove it", strerror(-r));
	r = use_copy(l, name, NULL);
	note(l, name,
		r == -ENOENT ? "nothing of it is used until then"
			     : "its last version without a mistake is used until then");
	return r == -ENOENT ? 0 : r;
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

struct listing {
	struct drop_ins *drop_ins; /* borrowed */
	const char *root, *path;   /* borrowed; the directory with its root */
	int result;
};

static void add_copy(void *userdata, const char *path)
{
	struct listing *g = userdata;
	const char *name = str_after_prefix(path, g->path + strlen(g->root));

	if (g->result < 0 || !name || *name != '/' || strchr(name + 1, '/') ||
		!str_has_suffix(name, ".conf") || find_drop_in(g->drop_ins, name + 1))
		return;
	g->result = add_drop_in(g->drop_ins, g->path, name + 1);
}

/* What it held is known from the copies: each is then a file that cannot be read. */
static int list_copies(struct drop_ins *d, const struct loading *l, const char *path)
{
	struct listing g = { d, l->root, path, 0 };

	settings_error(l->errors, path + strlen(l->root), 0, "cannot be listed: %m");
	if (l->saved)
		config_saved_each(l->saved, add_copy, &g);
	return g.result;
}

/* Adds the *.conf of one directory that no earlier directory has. */
static int list_drop_ins(struct drop_ins *d, const struct loading *l, const char *directory)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_(closedirp) DIR *dir = NULL;
	int r = 0;

	if (asprintf(&path, "%s%s/mendd.conf.d", l->root, directory) < 0)
		return -ENOMEM;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : list_copies(d, l, path);
	while (r >= 0) {
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e) {
			if (errno != 0)
				r = list_copies(d, l, path);
			break;
		}
		if (e->d_name[0] == '.' || !str_has_suffix(e->d_name, ".conf") ||
			find_drop_in(d, e->d_name))
			continue;
		r = add_drop_in(d, path, e->d_name);
	}
	if (r == -ENOSPC) {
		settings_error(l->errors, path + strlen(l->root), 0,
			"there are more than %d drop-ins; join some", CONFIG_FILES_MAX);
		r = 0;
	}
	return r;
}

static int compare_drop_ins(const void *a, const void *b)
{
	return strcmp(((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

static int read_all(const struct loading *l)
{
	_cleanup_(drop_ins_done) struct drop_ins drop_ins = {};
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(directories) && r == -ENOENT; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s%s/mendd.conf", l->root, directories[i]) < 0)
			return -ENOMEM;
		r = read_on_top(l, path);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		r = list_drop_ins(&drop_ins, l, directories[i]);
		if (r < 0)
			return r;
	}
	if (drop_ins.n > 0)
		qsort(drop_ins.list, drop_ins.n, sizeof(*drop_ins.list), compare_drop_ins);
	for (size_t i = 0; i < drop_ins.n; i++) {
		const char *path = drop_ins.list[i].path;

		r = read_on_top(l, path);
		if (r == -ENOENT) /* a link to nowhere; saying nothing would hide a typing error */
			settings_error(l->errors, path + strlen(l->root), 0,
				"is a link to nothing; to mask a file link it to /dev/null");
		else if (r < 0)
			return r;
	}
	return 0;
}

int config_load_best(const char *root, const char *saved, struct host_settings *ret,
	struct settings_errors *errors)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	const struct loading l = {
		.root = root ? root : "",
		.saved = saved,
		.settings = &s,
		.errors = errors,
	};
	unsigned int before = errors->count;
	int r;

	host_settings_init(&s);
	r = read_all(&l);
	if (r < 0)
		return r;
	if (saved)
		config_saved_prune(saved, l.root);
	*ret = s;
	s = (struct host_settings) {};
	return errors->count > before ? -EINVAL : 0;
}

int config_load(const char *root, struct host_settings *ret, struct strbuf *errors)
{
	struct settings_errors collected = { .text = errors };
	struct host_settings s;
	int r = config_load_best(root, NULL, &s, &collected);

	if (r == -EINVAL)
		host_settings_done(&s);
	else if (r >= 0)
		*ret = s;
	return r;
}

/* --- the sections of units -------------------------------------------------------------------- */

struct own_reading {
	struct unit_rule *rule; /* borrowed */
	bool *present;          /* borrowed */
	const char *saved;      /* borrowed; as in struct loading */
	struct settings_errors *errors;
};

/* As use_copy(). */
static int use_own_copy(
	const struct own_reading *o, const char *path, const struct unit_rule *present_text)
{
	_cleanup_strbuf_ struct strbuf ignored = {};
	struct settings_errors errors = { .text = &ignored };
	struct unit_rule rule = *o->rule;
	_cleanup_free_ char *text = NULL;
	bool present = false;
	size_t size;
	int r;

	if (!o->saved || config_saved_get(o->saved, path, &text, &size) < 0)
		return -ENOENT;
	r = unit_rule_parse(&rule, &present, path, text, size, &errors);
	if (r < 0)
		return r;
	if (errors.count > 0)
		return -ENOENT;
	unit_rule_forbid(&rule, present_text);
	*o->rule = rule;
	return 0;
}

/* Only of files that have, or had, a section: all others are none of our business. */
static void save_own(
	const struct own_reading *o, const char *path, bool present, const char *text, size_t size)
{
	_cleanup_free_ char *old = NULL;
	size_t old_size;

	if (o->saved && (present || config_saved_get(o->saved, path, &old, &old_size) == 0))
		config_saved_put(o->saved, path, text, size);
}

static int take_own_text(
	const struct own_reading *o, const char *path, const char *text, size_t size)
{
	unsigned int before = o->errors->count;
	struct unit_rule rule = *o->rule;
	bool present = false;
	int r;

	rule.set = 0; /* what this file alone sets */
	r = unit_rule_parse(&rule, &present, path, text, size, o->errors);
	if (r < 0)
		return r;
	*o->present = *o->present || present;
	if (o->errors->count > before) {
		r = use_own_copy(o, path, &rule);
		if (r != -ENOENT)
			return r;
	} else {
		save_own(o, path, present, text, size);
	}
	rule.set |= o->rule->set;
	*o->rule = rule;
	return 0;
}

static int read_own(const struct own_reading *o, const char *path)
{
	struct unit_rule unknown = { .set = UNIT_KEY_HEAL };
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
	if (r >= 0)
		return take_own_text(o, path, text, size);
	settings_error(o->errors, path, 0,
		"cannot be read: %s; whether it has an [X-Mendd] section is unknown", strerror(-r));
	unknown.values.heal = HEAL_OBSERVE;
	r = use_own_copy(o, path, &(struct unit_rule) {});
	if (r == -ENOENT) /* it may have forbidden it */
		unit_rule_forbid(o->rule, &unknown);
	return r == -ENOENT ? 0 : r;
}

int config_read_own_rule(const char *fragment_path, char *const *drop_in_paths, const char *saved,
	struct unit_rule *ret, bool *ret_present, char *ret_error, size_t error_size)
{
	_cleanup_strbuf_ struct strbuf text = {};
	struct settings_errors errors = { .text = &text };
	bool present = false;
	const struct own_reading o = {
		.rule = ret,
		.present = &present,
		.saved = saved,
		.errors = &errors,
	};
	int r;

	*ret = (struct unit_rule) {};
	unit_settings_init(&ret->values);
	r = read_own(&o, fragment_path);
	for (size_t i = 0; r >= 0 && drop_in_paths && drop_in_paths[i]; i++) {
		if (i == CONFIG_FILES_MAX) {
			settings_error(&errors, drop_in_paths[i], 0,
				"the unit has more than %d drop-ins; join some", CONFIG_FILES_MAX);
			break;
		}
		r = read_own(&o, drop_in_paths[i]);
	}
	/* With a mistake there is something to hand on, even where nobody knows whether there is
	 * one. */
	*ret_present = present || errors.count > 0;
	ret_error[0] = '\0';
	if (text.data) {
		text.data[strcspn(text.data, "\n")] = '\0';
		str_copy(ret_error, error_size, text.data);
		str_copy(ret->values.error, sizeof(ret->values.error), text.data);
	}
	return r < 0 ? r : errors.count > 0 ? -EINVAL : 0;
}
