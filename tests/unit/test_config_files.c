/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/edge/config_*.c against real files below a temporary root. */
#include "cmocka_all.h"
#include "../../daemon/edge/config_files.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

static char root[] = "/tmp/mendd-test-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return ftw->level > 0 ? remove(path) : 0;
}

static int make_root(void **state)
{
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	return rmdir(root);
}

static int empty_root(void **state)
{
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path below the root, with its directories made. */
static const char *place(const char *path)
{
	static char full[4096];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(full, 0755);
			*p = '/';
		}
	return full;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(place(path), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void load(struct host_settings *s, int result, const char *said)
{
	_cleanup_strbuf_ struct strbuf errors = {};

	assert_int_equal(config_load(root, s, &errors), result);
	assert_string_equal(strbuf_text(&errors), said);
}

static uint32_t loaded_units_max(void)
{
	_cleanup_(host_settings_done) struct host_settings s = {};

	load(&s, 0, "");
	return s.units_max;
}

static void nothing_at_all(void **state)
{
	assert_int_equal(loaded_units_max(), UNITS_MAX);
}

static void first_main_file(void **state)
{
	static const char *const directories[] = { "/usr/lib", "/usr/local/lib", "/run", "/etc" };

	/* each is stronger than those before */
	for (uint32_t i = 0; i < ARRAY_SIZE(directories); i++) {
		char path[64], text[64];

		snprintf(path, sizeof(path), "%s/mendd/mendd.conf", directories[i]);
		snprintf(text, sizeof(text), "[Mendd]\nMaxUnits=%u\n", i + 1);
		put(path, text);
		assert_int_equal(loaded_units_max(), i + 1);
	}
	/* masked: the weaker ones do not come back */
	assert_int_equal(unlink(place("/etc/mendd/mendd.conf")), 0);
	assert_int_equal(symlink("/dev/null", place("/etc/mendd/mendd.conf")), 0);
	assert_int_equal(loaded_units_max(), UNITS_MAX);
}

static void drop_ins(void **state)
{
	put("/usr/lib/mendd/mendd.conf.d/50-b.conf", "[Mendd]\nMaxUnits=50\n");
	put("/etc/mendd/mendd.conf", "[Mendd]\nMaxUnits=1\n");
	assert_int_equal(loaded_units_max(), 50);
	/* by name, not by directory */
	put("/etc/mendd/mendd.conf.d/40-a.conf", "[Mendd]\nMaxUnits=40\n");
	assert_int_equal(loaded_units_max(), 50);
	put("/run/mendd/mendd.conf.d/60-c.conf", "[Mendd]\nMaxUnits=60\n");
	assert_int_equal(loaded_units_max(), 60);
	/* the same name of an earlier directory hides it */
	put("/etc/mendd/mendd.conf.d/60-c.conf", "# nothing\n");
	assert_int_equal(loaded_units_max(), 50);
	assert_int_equal(symlink("/dev/null", place("/etc/mendd/mendd.conf.d/50-b.conf")), 0);
	assert_int_equal(loaded_units_max(), 40);
	/* not configuration */
	put("/etc/mendd/mendd.conf.d/90-x.conf.bak", "[Mendd]\nMaxUnits=90\n");
	put("/etc/mendd/mendd.conf.d/.90-x.conf", "[Mendd]\nMaxUnits=90\n");
	assert_int_equal(loaded_units_max(), 40);
}

static void mistakes(void **state)
{
	struct host_settings s = { .units_max = 77 };

	put("/etc/mendd/mendd.conf", "[Mendd]\nLogLevl=info\n");
	put("/usr/lib/mendd/mendd.conf.d/10-a.conf", "[Unit a]\nHeel=off\nBudget=x\n");
	assert_int_equal(mkdir(place("/etc/mendd/mendd.conf.d/20-b.conf"), 0755), 0);
	assert_int_equal(symlink("/nowhere", place("/etc/mendd/mendd.conf.d/30-c.conf")), 0);
	assert_int_equal(mkfifo(place("/etc/mendd/mendd.conf.d/40-d.conf"), 0644), 0);
	load(&s, -EINVAL,
		"/etc/mendd/mendd.conf:2: unknown key 'LogLevl' in [Mendd]; did you mean "
		"'LogLevel'?\n"
		"/usr/lib/mendd/mendd.conf.d/10-a.conf:2: unknown key 'Heel' in [Unit a]; did you "
		"mean 'Heal'?\n"
		"/usr/lib/mendd/mendd.conf.d/10-a.conf:3: Budget=x is not COUNT/WINDOW; write it as "
		"in 5/1min 20/1d\n"
		"/etc/mendd/mendd.conf.d/20-b.conf: cannot be read: Is a directory; mend it or "
		"remove it\n"
		"/etc/mendd/mendd.conf.d/30-c.conf: is a link to nothing; to mask a file link it to "
		"/dev/null\n"
		"/etc/mendd/mendd.conf.d/40-d.conf: cannot be read: File descriptor in bad state; "
		"mend it or remove it\n");
	assert_int_equal(s.units_max, 77);
}

static void too_large(void **state)
{
	struct host_settings s = {};
	FILE *f = fopen(place("/etc/mendd/mendd.conf"), "we");

	assert_non_null(f);
	for (int i = 0; i < 1024 * 1024 / 16 + 1; i++)
		fputs("# 3456789abcdef\n", f);
	fclose(f);
	load(&s, -EINVAL, "/etc/mendd/mendd.conf:1: the file is larger than 1 MiB; split it\n");
}

/* The file that is installed: as it is, and with its comments taken for settings, nothing changes.
 */
static void installed_file(void **state)
{
	const char *source = getenv("MENDD_SOURCE");
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf plain = {}, shown = {};
	struct unit_settings defaults, got;
	char path[4096], line[1024];
	FILE *f;

	assert_non_null(source);
	snprintf(path, sizeof(path), "%s/data/mendd.conf", source);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		bool is_setting = line[0] == '#' && line[1] != ' ' && line[1] != '\n';

		strbuf_add(&plain, line);
		strbuf_add(&shown, line + is_setting);
	}
	fclose(f);
	put("/etc/mendd/mendd.conf", plain.data);
	load(&s, 0, "");
	assert_int_equal(s.n_rules, 0);
	host_settings_done(&s);
	put("/etc/mendd/mendd.conf", shown.data);
	load(&s, 0, "");
	assert_int_equal(s.n_rules, 1);
	assert_int_equal(s.rules[0].set, (1 << 24) - 1); /* every key is shown */
	assert_int_equal(s.units_max, UNITS_MAX);
	assert_int_equal(s.http_units_max, 256);
	assert_int_equal(s.n_excludes, 0);
	assert_int_equal(s.n_plugin_settings, 1);
	unit_settings_init(&defaults);
	unit_settings_merge(&got, &s, NULL, "a.service", NULL);
	assert_memory_equal(&got, &defaults, sizeof(got));
}

static int own(struct unit_rule *rule, bool *present, char *said, size_t size)
{
	char fragment[4096], first[4096], second[4096];

	snprintf(fragment, sizeof(fragment), "%s/a.service", root);
	snprintf(first, sizeof(first), "%s/a.service.d/1.conf", root);
	snprintf(second, sizeof(second), "%s/a.service.d/2.conf", root);
	return config_read_own_rule(
		fragment, (char *[]) { first, second, NULL }, NULL, rule, present, said, size);
}

static void own_rule(void **state)
{
	struct unit_rule rule;
	char said[256];
	bool present;

	/* no file, no section */
	assert_int_equal(own(&rule, &present, said, sizeof(said)), 0);
	assert_false(present);
	put("/a.service", "[Service]\nExecStart=/bin/true\n");
	assert_int_equal(own(&rule, &present, said, sizeof(said)), 0);
	assert_false(present);
	assert_int_equal(rule.set, 0);
	/* in order */
	put("/a.service",
		"[Service]\nExecStart=/bin/true\n[X-Mendd]\nHeal=restart\nSeverity=info\n");
	put("/a.service.d/1.conf", "[X-Mendd]\nSeverity=critical\n");
	put("/a.service.d/2.conf", "[X-Mendd]\nCheckFailures=2\n");
	assert_int_equal(own(&rule, &present, said, sizeof(said)), 0);
	assert_true(present);
	assert_string_equal(said, "");
	assert_int_equal(rule.values.heal, HEAL_RESTART);
	assert_int_equal(rule.values.severity, SEVERITY_CRITICAL);
	assert_int_equal(rule.values.check_failures, 2);
	assert_int_equal(rule.set, UNIT_KEY_HEAL | UNIT_KEY_SEVERITY | UNIT_KEY_CHECK_FAILURES);
	/* rubbish: nothing of that file applies, and it is said where status shows it */
	put("/a.service.d/1.conf", "[X-Mendd]\nSeverity=critical\nBudgt=1/1min\nX=y\n");
	assert_int_equal(own(&rule, &present, said, sizeof(said)), -EINVAL);
	assert_true(present);
	assert_non_null(strstr(said,
		"/a.service.d/1.conf:3: unknown key 'Budgt' in [X-Mendd]; did you mean 'Budget'?"));
	assert_null(strchr(said, '\n'));
	assert_string_equal(rule.values.error, said);
	assert_int_equal(rule.set, UNIT_KEY_HEAL | UNIT_KEY_SEVERITY | UNIT_KEY_CHECK_FAILURES);
	assert_int_equal(rule.values.heal, HEAL_RESTART);
	assert_int_equal(rule.values.severity, SEVERITY_INFO);
	/* but what it forbids, or may have meant to */
	put("/a.service.d/1.conf", "[X-Mendd]\nHeal=off\nX=y\n");
	assert_int_equal(own(&rule, &present, said, sizeof(said)), -EINVAL);
	assert_int_equal(rule.values.heal, HEAL_OFF);
	put("/a.service.d/1.conf", "[X-Mendd]\nHeel=off\n");
	assert_int_equal(own(&rule, &present, said, sizeof(said)), -EINVAL);
	assert_int_equal(rule.values.heal, HEAL_OBSERVE);
	{
		struct host_settings host = {};
		struct unit_settings u;

		unit_settings_merge(&u, &host, &rule, "a.service", NULL);
		assert_int_equal(u.heal, HEAL_OBSERVE);
		assert_string_equal(u.error, said);
	}
	/* not to be read at all: said as well, because it may have had a section */
	assert_int_equal(unlink(place("/a.service.d/1.conf")), 0);
	assert_int_equal(mkdir(place("/a.service.d/1.conf"), 0755), 0);
	assert_int_equal(unlink(place("/a.service.d/2.conf")), 0);
	put("/a.service", "[Service]\n");
	assert_int_equal(own(&rule, &present, said, sizeof(said)), -EINVAL);
	assert_true(present);
	assert_non_null(
		strstr(rule.values.error, "/a.service.d/1.conf: cannot be read: Is a directory"));
	assert_int_equal(rule.values.heal, HEAL_OBSERVE); /* it may have forbidden it */
	assert_int_equal(
		config_read_own_rule(NULL, NULL, NULL, &rule, &present, said, sizeof(said)), 0);
	assert_int_equal(
		config_read_own_rule("", NULL, NULL, &rule, &present, said, sizeof(said)), 0);
	assert_false(present);
}

static const char *saved(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/saved", root);
	return path;
}

/* The mode of a.service after a load with copies; `said` is to be among what was told. */
static enum heal_mode best(int result, const char *said)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf text = {};
	struct settings_errors errors = { .text = &text };
	struct unit_settings u;

	assert_int_equal(config_load_best(root, saved(), &s, &errors), result);
	if (result == 0)
		assert_string_equal(strbuf_text(&text), "");
	else if (!strstr(strbuf_text(&text), said))
		fail_msg("'%s' is not in: %s", said, strbuf_text(&text));
	unit_settings_merge(&u, &s, NULL, "a.service", NULL);
	return host_settings_excludes(&s, "x.service", NULL) ? HEAL_MODE_COUNT : u.heal;
}

#define ENABLED "/etc/mendd/mendd.conf.d/80-mendctl.conf"
#define OTHER "/etc/mendd/mendd.conf.d/50-other.conf"

/* One bad file costs that file: never what the others say. */
static void one_bad_file(void **state)
{
	put(ENABLED, "[Unit a.service]\nHeal=restart\n");
	put(OTHER, "[Mend]\nLogLevel=debug\n");
	assert_int_equal(
		best(-EINVAL, OTHER ":1: unknown section [Mend]; did you mean [Mendd]?\n" OTHER
				    ": only its sections without a mistake are used"),
		HEAL_RESTART);
	/* not readable at all */
	assert_int_equal(unlink(place(OTHER)), 0);
	assert_int_equal(mkdir(place(OTHER), 0755), 0);
	assert_int_equal(best(-EINVAL, OTHER ": nothing of it is used"), HEAL_RESTART);
	assert_int_equal(rmdir(place(OTHER)), 0);
	assert_int_equal(best(0, ""), HEAL_RESTART);
	/* the file itself, with what it said before */
	put(ENABLED, "[Unit a.service\nHeal=restart\n");
	assert_int_equal(best(-EINVAL, ENABLED ": its last version without a mistake is used"),
		HEAL_RESTART);
	assert_int_equal(unlink(place(ENABLED)), 0);
	assert_int_equal(mkdir(place(ENABLED), 0755), 0);
	assert_int_equal(best(-EINVAL, ENABLED ": its last version without a mistake is used"),
		HEAL_RESTART);
	/* gone is gone: its copy too */
	assert_int_equal(rmdir(place(ENABLED)), 0);
	assert_int_equal(best(0, ""), HEAL_OBSERVE);
	put(ENABLED, "[Unit a.service\nHeal=restart\n");
	assert_int_equal(best(-EINVAL, "do"), HEAL_OBSERVE);
}

/* The directory cannot be listed: what was in it is known all the same. */
static void one_bad_directory(void **state)
{
	put(ENABLED, "[Unit a.service]\nHeal=restart\n");
	assert_int_equal(best(0, ""), HEAL_RESTART);
	assert_int_equal(unlink(place(ENABLED)), 0);
	assert_int_equal(rmdir(place("/etc/mendd/mendd.conf.d")), 0);
	put("/etc/mendd/mendd.conf.d", "no directory\n");
	assert_int_equal(best(-EINVAL, "/etc/mendd/mendd.conf.d: cannot be listed"), HEAL_RESTART);
	assert_int_equal(unlink(place("/etc/mendd/mendd.conf.d")), 0);
	assert_int_equal(best(0, ""), HEAL_OBSERVE);
}

/* In doubt nothing is healed: what a bad file forbids counts, with and without a copy. */
static void doubt_forbids(void **state)
{
	static const struct {
		const char *text;
		enum heal_mode mode; /* HEAL_MODE_COUNT: excluded */
	} rows[] = {
		{ "[Unit a]\nHeal=off\nBudgt=1/1min\n", HEAL_OFF },
		{ "[Unit a]\nHeal=observe\nX=y\n", HEAL_OBSERVE },
		{ "[Unit a]\nHeal=of\n", HEAL_OBSERVE },
		{ "[Unit a]\nHeel=off\n", HEAL_OBSERVE },
		{ "[Unit a]\nHeal off\n", HEAL_OBSERVE },
		{ "[Unti a]\nHeal=off\n", HEAL_OFF },
		{ "[Unit a]\nHeal=off\n[Nonsense]\n", HEAL_OFF },
		{ "[Nonsense]\n[Unit a]\nHeal=off\n", HEAL_OFF },
		{ "[Mendd]\nX=y\nExclude=x\n", HEAL_MODE_COUNT },
		{ "[Mend]\nExclude=x\n", HEAL_MODE_COUNT },
		/* of no consequence for healing */
		{ "[Unit a]\nSeverty=info\n", HEAL_RESTART },
		{ "[Unit a]\nHeal=restart\nSeverty=info\n", HEAL_RESTART },
		{ "[Unit b]\nHeal=off\nX=y\n", HEAL_RESTART },
		{ "[Unit b\nHeal=off\n", HEAL_RESTART },
		{ "Heal=off\n", HEAL_RESTART },
	};

	for (int with_copy = 0; with_copy < 2; with_copy++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			put("/etc/mendd/mendd.conf.d/80-mendctl.conf",
				"[Unit a.service]\nHeal=restart\n");
			if (with_copy) {
				put("/etc/mendd/mendd.conf.d/90-z.conf",
					"[Unit a]\nHeal=restart\n");
				assert_int_equal(best(0, ""), HEAL_RESTART);
			}
			put("/etc/mendd/mendd.conf.d/90-z.conf", rows[i].text);
			CHECK_ROW(best(-EINVAL, "90-z.conf") == rows[i].mode, rows[i].text);
			empty_root(state);
		}
}

/* A section with a mistake allows nothing. */
static void doubt_allows_nothing(void **state)
{
	put(OTHER, "[Unit a]\nHeal=restart\nBudgt=1/1d\n");
	assert_int_equal(best(-EINVAL, "Budgt"), HEAL_OBSERVE);
	put(OTHER, "[Mendd]\nExclude=x\n[Mendd]\nExclude=\nX=y\n");
	assert_int_equal(best(-EINVAL, "unknown key 'X'"), HEAL_MODE_COUNT);
	put(OTHER, "[Mendd]\nX=y\nMaxUnits=1\n[Plugin tcp]\na=b\n");
	{
		_cleanup_(host_settings_done) struct host_settings s = {};
		_cleanup_strbuf_ struct strbuf text = {};
		struct settings_errors errors = { .text = &text };

		assert_int_equal(config_load_best(root, saved(), &s, &errors), -EINVAL);
		assert_int_equal(s.units_max, UNITS_MAX);
		assert_int_equal(s.n_plugin_settings, 1);
	}
}

/* A unit's own files, with copies. */
static void own_copies(void **state)
{
	char fragment[4096], drop_in[4096], said[256];
	struct unit_rule rule;
	bool present;

	snprintf(fragment, sizeof(fragment), "%s/a.service", root);
	snprintf(drop_in, sizeof(drop_in), "%s/a.service.d/1.conf", root);
#define READ()                                                                                 \
	config_read_own_rule(fragment, (char *[]) { drop_in, NULL }, saved(), &rule, &present, \
		said, sizeof(said))
	put("/a.service", "[Service]\n");
	put("/a.service.d/1.conf", "[X-Mendd]\nHeal=restart\nBudget=1/1min\n");
	assert_int_equal(READ(), 0);
	put("/a.service.d/1.conf", "[X-Mendd]\nHeal=restart\nBudgt=1/1min\n");
	assert_int_equal(READ(), -EINVAL);
	assert_int_equal(rule.values.heal, HEAL_RESTART);
	assert_int_equal(rule.values.budget[0].count, 1);
	assert_int_equal(unlink(drop_in), 0);
	assert_int_equal(mkdir(drop_in, 0755), 0);
	assert_int_equal(READ(), -EINVAL);
	assert_int_equal(rule.values.heal, HEAL_RESTART);
	assert_int_equal(rmdir(drop_in), 0);
	/* a section that was taken out does not come back */
	put("/a.service.d/1.conf", "[Service]\n");
	assert_int_equal(READ(), 0);
	assert_false(present);
	put("/a.service.d/1.conf", "[X-Mend]\nBudget=1/1min\n");
	assert_int_equal(READ(), -EINVAL);
	assert_int_equal(rule.set, 0);
#undef READ
}

static void read_written(char *ret, size_t size)
{
	FILE *f = fopen(place("/etc/mendd/mendd.conf.d/80-mendctl.conf"), "re");
	size_t n;

	assert_non_null(f);
	n = fread(ret, 1, size - 1, f);
	ret[n] = '\0';
	fclose(f);
}

static enum heal_mode loaded_heal(const char *unit)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	struct unit_settings u;

	load(&s, 0, "");
	unit_settings_merge(&u, &s, NULL, unit, NULL);
	return u.heal;
}

static void written_heal(void **state)
{
	char text[4096];
	struct stat st;

	mode_t mask = umask(0077); /* readable for everybody all the same */

	assert_int_equal(config_write_heal(root, "a.service", HEAL_RESTART), 0);
	umask(mask);
	assert_int_equal(stat(place("/etc/mendd/mendd.conf.d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(config_write_heal(root, "b\\x2d*.service", HEAL_OFF), 0);
	assert_int_equal(stat(place("/etc/mendd/mendd.conf.d/80-mendctl.conf"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(loaded_heal("a.service"), HEAL_RESTART);
	assert_int_equal(loaded_heal("b\\x2d*.service"), HEAL_OFF);
	assert_int_equal(loaded_heal("b\\x2dx.service"), HEAL_OBSERVE);
	/* changed in place of what was there, the others kept */
	assert_int_equal(config_write_heal(root, "a.service", HEAL_OBSERVE), 0);
	assert_int_equal(config_write_heal(root, "a.service", HEAL_OBSERVE), 0);
	assert_int_equal(loaded_heal("a.service"), HEAL_OBSERVE);
	assert_int_equal(loaded_heal("b\\x2d*.service"), HEAL_OFF);
	read_written(text, sizeof(text));
	assert_non_null(strstr(text, "[Unit b\\x2d[*].service]\nHeal=off\n"
				     "[Unit a.service]\nHeal=observe\n"));
	assert_ptr_equal(strstr(text, "[Unit a.service]"), strrchr(text, '['));
	assert_int_equal(text[0], '#');
	/* only that one file is left behind */
	{
		int n = 0;
		char pattern[4096];
		FILE *ls;

		snprintf(pattern, sizeof(pattern), "ls -A %s/etc/mendd/mendd.conf.d", root);
		ls = popen(pattern, "re");
		while (fgets(text, sizeof(text), ls))
			n++;
		pclose(ls);
		assert_int_equal(n, 1);
	}
}

static void written_beside_own_text(void **state)
{
	char text[4096];

	put("/etc/mendd/mendd.conf.d/80-mendctl.conf",
		"# mine\n[Unit z]\n# why\nBudget=1/1min\n\n[Unit a.service]\nHeal=off\n"
		"[Mendd]\nMaxUnits=5");
	assert_int_equal(config_write_heal(root, "a.service", HEAL_RESTART), 0);
	read_written(text, sizeof(text));
	assert_string_equal(text, "# mine\n[Unit z]\n# why\nBudget=1/1min\n\n[Mendd]\nMaxUnits=5\n"
				  "[Unit a.service]\nHeal=restart\n");
}

static void not_written(void **state)
{
	static const char *const names[] = { "", "a", "a.socket", "a/b.service", "a b.service",
		"a\n[Mendd]\nb.service", "a\x1b.service" };
	static const char broken[] = "[Unit a.service\nHeal=off\n";
	static const char unknown[] = "[Unit a.service]\n[Nonsense]\n";
	char text[4096];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_ROW(config_write_heal(root, names[i], HEAL_OFF) == -EINVAL, names[i]);
	assert_int_equal(config_write_heal(root, "a.service", (enum heal_mode)99), -EINVAL);
	/* a file that we do not understand is left alone */
	put("/etc/mendd/mendd.conf.d/80-mendctl.conf", broken);
	assert_int_equal(config_write_heal(root, "a.service", HEAL_OFF), -EBADMSG);
	read_written(text, sizeof(text));
	assert_string_equal(text, broken);
	put("/etc/mendd/mendd.conf.d/80-mendctl.conf", unknown);
	assert_int_equal(config_write_heal(root, "a.service", HEAL_OFF), -EBADMSG);
	read_written(text, sizeof(text));
	assert_string_equal(text, unknown);
	assert_int_equal(unlink(place("/etc/mendd/mendd.conf.d/80-mendctl.conf")), 0);
	for (int i = 0; i <= UNIT_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "u%d.service", i);
		assert_int_equal(
			config_write_heal(root, text, HEAL_OFF), i < UNIT_RULES_MAX ? 0 : -ENOSPC);
	}
	assert_int_equal(loaded_heal("u255.service"), HEAL_OFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_at_all, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(first_main_file, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(drop_ins, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(mistakes, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(too_large, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(installed_file, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(own_rule, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(one_bad_file, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(one_bad_directory, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(doubt_forbids, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(doubt_allows_nothing, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(own_copies, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(written_heal, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(written_beside_own_text, empty_root, empty_root),
		cmocka_unit_test_setup_teardown(not_written, empty_root, empty_root),
	};

	return cmocka_run_group_tests_name("config_files", tests, make_root, remove_root);
}
