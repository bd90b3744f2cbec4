/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading of plugins: one that is in order, and one for each reason to refuse, by its text. Needs
 *root, because what is not root's is refused before anything else.
 *
 *	test_loader FOLDER	where the built plugins are
 */
#include "../../daemon/edge/plugin_loader.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static const char *built;

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	char dir[64]; /* root's alone, like everything above it */
	char path[PATH_MAX];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, NULL, &f->world), 0);
	strcpy(f->dir, "/run/mendd-test-loader-XXXXXX");
	if (geteuid() == 0)
		assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plugin_host_free(f->host);
	sd_event_unref(f->event);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void copy(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char buffer[65536];
	ssize_t n;

	if (in < 0 || out < 0)
		fail_msg("cannot copy %s to %s: %s", from, to, strerror(errno));
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(out, buffer, (size_t)n), n);
	assert_int_equal(n, 0);
}

/* Puts the built plugin `name` into the fixture's folder; f->path is its path. */
static void place(struct fixture *f, const char *name)
{
	char from[PATH_MAX];

	if (geteuid() != 0) {
		print_message("skipped: only root can make what is root's\n");
		skip();
	}
	snprintf(from, sizeof(from), "%s/%s.so", built, name);
	snprintf(f->path, sizeof(f->path), "%s/%s.so", f->dir, name);
	copy(from, f->path);
}

static const struct plugin_state *last(const struct fixture *f)
{
	assert_true(f->world.n_plugins > 0);
	return &f->world.plugins[f->world.n_plugins - 1];
}

static void expect(struct fixture *f, const char *path, int error, const char *text)
{
	assert_int_equal(plugin_host_load(f->host, path), error);
	assert_int_equal(f->world.n_plugins, 1);
	assert_false(last(f)->active);
	if (!strstr(last(f)->error, text))
		fail_msg("the reason is \"%s\", not \"%s\"", last(f)->error, text);
}

static void loads_a_good_one(void **state)
{
	struct fixture *f = *state;

	place(f, "good");
	assert_int_equal(plugin_host_load(f->host, f->path), 0);
	assert_true(last(f)->active);
	assert_string_equal(last(f)->name, "for-tests");
	assert_string_equal(last(f)->kind, "sink");
	assert_string_equal(last(f)->path, f->path);
	assert_string_equal(last(f)->error, "");
}

/* What the descriptor says; each built from refused.c with one macro. */
static void refuses_by_descriptor(void **state)
{
	static const struct {
		const char *name;
		int error;
		const char *text;
	} cases[] = {
		{ "no_symbol", -EINVAL, "no symbol mend_plugin_v1" },
		{ "symbol_of_v2", -EINVAL, "built for major version 2 of the interface" },
		{ "wrong_major", -EINVAL, "built for major version 2 of the interface" },
		{ "newer_minor", -EINVAL,
			"needs version 1.7 of the interface, this mendd has 1.0" },
		{ "short_descriptor", -EINVAL, "descriptor is too short" },
		{ "short_table", -EINVAL, "its table of a sink is too short: 4 bytes" },
		{ "no_table", -EINVAL, "says that it is a sink and has no table" },
		{ "two_tables", -EINVAL, "tables of more than one kind" },
		{ "unknown_kind", -EINVAL, "its kind 77 is not known" },
		{ "bad_name", -EINVAL, "its name is not of a-z" },
		{ "no_verb", -EINVAL, "a sink must have the verb emit" },
		{ "create_fails", -ENETDOWN, "its create failed: Network is down" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->world.n_plugins = 0;
		place(f, cases[i].name);
		expect(f, f->path, cases[i].error, cases[i].text);
		assert_int_equal(unlink(f->path), 0);
	}
}

static void refuses_a_second_of_a_name(void **state)
{
	struct fixture *f = *state;

	place(f, "good");
	assert_int_equal(plugin_host_load(f->host, f->path), 0);
	assert_int_equal(plugin_host_load(f->host, f->path), -EEXIST);
	assert_string_equal(last(f)->error, "another plugin has the name for-tests");
}

static void refuses_a_relative_path(void **state)
{
	expect(*state, "plugins/good.so", -EINVAL, "is not an absolute path");
}

static void refuses_dots(void **state)
{
	expect(*state, "/usr/lib/../lib/x.so", -EINVAL, "is not a plain path");
}

static void refuses_what_is_not_there(void **state)
{
	expect(*state, "/usr/lib/no-such-folder/x.so", -ENOENT,
		"cannot open /usr/lib/no-such-folder");
}

static void refuses_a_writable_file(void **state)
{
	struct fixture *f = *state;

	place(f, "good");
	assert_int_equal(chmod(f->path, 0664), 0);
	expect(f, f->path, -EPERM, "good.so can be written by others than root");
}

static void refuses_a_writable_folder(void **state)
{
	struct fixture *f = *state;
	char text[256];

	place(f, "good");
	assert_int_equal(chmod(f->dir, 0777), 0);
	snprintf(text, sizeof(text), "%s can be written by others than root", f->dir);
	expect(f, f->path, -EPERM, text);
}

static void refuses_a_foreign_file(void **state)
{
	struct fixture *f = *state;

	place(f, "good");
	assert_int_equal(chown(f->path, 65534, 0), 0);
	expect(f, f->path, -EPERM, "good.so is not owned by root");
}

static void refuses_a_foreign_folder(void **state)
{
	struct fixture *f = *state;
	char text[256];

	place(f, "good");
	assert_int_equal(chown(f->dir, 65534, 0), 0);
	snprintf(text, sizeof(text), "%s is not owned by root", f->dir);
	expect(f, f->path, -EPERM, text);
}

static void refuses_a_link(void **state)
{
	struct fixture *f = *state;
	char target[PATH_MAX];

	place(f, "good");
	snprintf(target, sizeof(target), "%s/target", f->dir);
	assert_int_equal(rename(f->path, target), 0);
	assert_int_equal(symlink(target, f->path), 0);
	expect(f, f->path, -EPERM, "good.so is a symbolic link");
	unlink(target);
}

static void refuses_a_linked_folder(void **state)
{
	struct fixture *f = *state;
	char link[128], path[PATH_MAX], text[256];

	place(f, "good");
	snprintf(link, sizeof(link), "%s-link", f->dir);
	assert_int_equal(symlink(f->dir, link), 0);
	snprintf(path, sizeof(path), "%s/good.so", link);
	snprintf(text, sizeof(text), "%s is a symbolic link", link);
	expect(f, path, -EPERM, text);
	unlink(link);
}

static void refuses_what_is_no_file(void **state)
{
	struct fixture *f = *state;

	place(f, "good");
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	expect(f, f->path, -EPERM, "is not a regular file");
}

static void refuses_what_is_no_program(void **state)
{
	struct fixture *f = *state;
	FILE *file;

	place(f, "good");
	file = fopen(f->path, "we");
	assert_non_null(file);
	assert_true(fputs("#!/bin/sh\nexit 0\n", file) >= 0);
	fclose(file);
	expect(f, f->path, -ENOEXEC, "it cannot be loaded: ");
}

/* The loader would know the second by the name of the first, were its fd closed. */
static void does_not_mix_up_two(void **state)
{
	struct fixture *f = *state;

	place(f, "create_fails");
	assert_int_equal(plugin_host_load(f->host, f->path), -ENETDOWN);
	assert_int_equal(unlink(f->path), 0);
	place(f, "good");
	assert_int_equal(plugin_host_load(f->host, f->path), 0);
}

static void loads_a_folder(void **state)
{
	struct fixture *f = *state;
	char bad[PATH_MAX], other[PATH_MAX];

	place(f, "wrong_major");
	snprintf(bad, sizeof(bad), "%s", f->path);
	place(f, "good");
	snprintf(other, sizeof(other), "%s/README", f->dir);
	copy("/proc/self/comm", other);
	assert_int_equal(plugin_host_load_dir(f->host, f->dir), 1);
	assert_int_equal(f->world.n_plugins, 2); /* the refused one is shown, the README is not */
	assert_true(f->world.plugins[0].active);
	assert_string_equal(f->world.plugins[0].name, "for-tests");
	assert_false(f->world.plugins[1].active);
	assert_string_equal(f->world.plugins[1].name, "wrong_major.so");
	unlink(bad);
	unlink(other);
}

static void folder_may_be_missing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_load_dir(f->host, "/usr/lib/no-such-folder"), 0);
	assert_int_equal(f->world.n_plugins, 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(loads_a_good_one),
		TEST(refuses_by_descriptor),
		TEST(refuses_a_second_of_a_name),
		TEST(refuses_a_relative_path),
		TEST(refuses_dots),
		TEST(refuses_what_is_not_there),
		TEST(refuses_a_writable_file),
		TEST(refuses_a_writable_folder),
		TEST(refuses_a_foreign_file),
		TEST(refuses_a_foreign_folder),
		TEST(refuses_a_link),
		TEST(refuses_a_linked_folder),
		TEST(refuses_what_is_no_file),
		TEST(refuses_what_is_no_program),
		TEST(does_not_mix_up_two),
		TEST(loads_a_folder),
		TEST(folder_may_be_missing),
	};

	if (argc != 2)
		return 2;
	built = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
