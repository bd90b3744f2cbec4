/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one configuration file that mendd writes itself, for `mendctl enable` and `disable`. It is
 * replaced as a whole: a new file beside it, fsync, rename, fsync of the directory; so at every
 * instant the old or the new text is there, never half of one. See config_files.h.
 */
#include "config_files.h"
#include "config_read.h"
#include "../base/unitfile.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char directory[] = CONFIG_WRITTEN_DIR;
static const char file[] = CONFIG_WRITTEN_FILE;

static const char head[] =
	"# Written by \"mendctl enable\" and \"mendctl disable\", which keep one section a unit here.\n"
	"# Settings of your own belong into another file of this directory: one with a higher name\n"
	"# wins over this one.\n";

/* Copies lines of a file but those of certain sections. */
struct copy {
	const char *text;    /* borrowed; where the next line to be copied begins */
	const char *end;     /* borrowed */
	const char *section; /* borrowed; the one to leave out */
	unsigned int line;   /* number of the line at .text */
	bool skip;           /* .text is in such a section */
	bool broken;
	struct strbuf *out; /* borrowed */
};

/* Copies or skips all lines before line `until`. */
static void copy_until(struct copy *c, unsigned int until)
{
	while (c->line < until && c->text < c->end) {
		const char *newline = memchr(c->text, '\n', (size_t)(c->end - c->text));
		const char *next = newline ? newline + 1 : c->end;

		if (!c->skip)
			strbuf_add_mem(c->out, c->text, (size_t)(next - c->text));
		c->text = next;
		c->line++;
	}
}

static int on_entry(
	void *userdata, const char *section, const char *key, const char *value, unsigned int line)
{
	struct copy *c = userdata;

	if (key)
		return 0;
	copy_until(c, line);
	c->skip = str_eq(section, c->section);
	return 0;
}

static void on_mistake(void *userdata, const char *section, unsigned int line, const char *what)
{
	struct copy *c = userdata;

	c->broken = true;
}

/* The old text without the unit's section, and the new section behind it. */
static int compose(struct strbuf *out, const char *old, size_t old_size, const char *pattern,
	enum heal_mode mode)
{
	_cleanup_free_ char *section = NULL;
	struct copy c = {
		.text = old,
		.end = old + old_size,
		.line = 1,
		.out = out,
	};
	const struct unitfile_handler handler = {
		.userdata = &c,
		.entry = on_entry,
		.mistake = on_mistake,
	};
	int r;

	if (asprintf(&section, "Unit %s", pattern) < 0)
		return -ENOMEM;
	c.section = section;
	r = unitfile_parse(old, old_size, &handler);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || c.broken)
		return -EBADMSG;
	copy_until(&c, UINT32_MAX);
	if (out->len == 0)
		strbuf_add(out, head);
	if (out->data[out->len - 1] != '\n')
		strbuf_add(out, "\n");
	/* No empty line between: else each change of a unit would leave one more behind. */
	strbuf_addf(out, "[Unit %s]\nHeal=%s\n", pattern, heal_mode_word(mode));
	return out->error;
}

/* What we are about to write must load; else mendd would not start with it. */
static int prove(const struct strbuf *text)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf errors = {};
	struct settings_errors collected = { .text = &errors };
	int r;

	host_settings_init(&s);
	r = host_settings_parse(&s, file, strbuf_text(text), text->len, &collected);
	if (r < 0)
		return r;
	if (collected.count == 0)
		return 0;
	return s.n_rules == UNIT_RULES_MAX || text->len > UNITFILE_SIZE_MAX ? -ENOSPC : -EBADMSG;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_atomically(const char *path, const struct strbuf *text)
{
	_cleanup_free_ char *temporary = NULL, *target = NULL;
	_cleanup_close_ int fd = -1, dir = -1;
	int r;

	/* Begins with a dot and does not end in .conf: never read as configuration. */
	if (asprintf(&target, "%s/%s", path, file) < 0)
		return -ENOMEM;
	if (asprintf(&temporary, "%s/.%s.XXXXXX", path, file) < 0)
		return -ENOMEM;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, strbuf_text(text), text->len);
	if (r >= 0 && (fchmod(fd, CONFIG_MODE) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r >= 0 && rename(temporary, target) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return fsync(dir) < 0 ? -errno : 0;
}

/* mkdir -p of the directory below root. */
static int make_directory(const char *root, char **ret)
{
	_cleanup_free_ char *path = NULL;
	size_t prefix = strlen(root);

	if (asprintf(&path, "%s%s", root, directory) < 0)
		return -ENOMEM;
	for (char *p = path + prefix + 1;; p++) {
		char saved = *p;

		if (saved && saved != '/')
			continue;
		*p = '\0';
		if (mkdir(path, CONFIG_DIRECTORY_MODE) == 0) {
			/* the umask of the service is stricter, and these are for everybody to read
			 */
			if (chmod(path, CONFIG_DIRECTORY_MODE) < 0)
				return -errno;
		} else if (errno != EEXIST) {
			return -errno;
		}
		*p = saved;
		if (!saved)
			break;
	}
	*ret = TAKE_PTR(path);
	return 0;
}

static bool is_unit_name(const char *unit)
{
	size_t n = strlen(unit);

	if (n == 0 || n >= UNIT_NAME_SIZE || !str_has_suffix(unit, ".service"))
		return false;
	for (const char *p = unit; *p; p++)
		if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p) || *p == '/')
			return false;
	return true;
}

int config_write_heal(const char *root, const char *unit, enum heal_mode mode)
{
	_cleanup_free_ char *path = NULL, *target = NULL, *old = NULL;
	_cleanup_strbuf_ struct strbuf text = {};
	char pattern[UNIT_NAME_SIZE];
	size_t old_size = 0;
	int r;

	if (!is_unit_name(unit) || (unsigned int)mode >= HEAL_MODE_COUNT)
		return -EINVAL;
	if (!unit_pattern_literal(unit, pattern, sizeof(pattern)))
		return -EINVAL;
	r = make_directory(root ? root : "", &path);
	if (r < 0)
		return r;
	if (asprintf(&target, "%s/%s", path, file) < 0)
		return -ENOMEM;
	r = config_read_file(target, &old, &old_size);
	if (r < 0 && r != -ENOENT)
		return r;
	r = compose(&text, old ? old : "", old_size, pattern, mode);
	if (r < 0)
		return r;
	r = prove(&text);
	if (r < 0)
		return r;
	return write_atomically(path, &text);
}
