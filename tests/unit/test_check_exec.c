/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Executable checks with real processes: verdicts, time, what is left behind, and real ones of the
 * monitoring-plugins where they are installed.
 */
#include "../../daemon/edge/check_exec.h"
#include "../../daemon/edge/plugin_host.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	char dir[64];
	int verdicts, status;
	char text[512], perfdata[1024];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, NULL, &f->world), 0);
	assert_int_equal(plugin_host_register(f->host, &check_exec_plugin), 0);
	strcpy(f->dir, "/var/tmp/mendd-test-exec-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	plugin_host_free(f->host);
	sd_event_unref(f->event);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void on_verdict(void *userdata, const char *unit, const struct mend_verdict *verdict)
{
	struct fixture *f = userdata;

	f->verdicts++;
	f->status = verdict->status;
	str_copy(f->text, sizeof(f->text), verdict->text);
	str_copy(f->perfdata, sizeof(f->perfdata), verdict->perfdata);
}

static void begin(struct fixture *f, const char *unit, const char *command, uint64_t timeout_ns)
{
	assert_int_equal(plugin_host_check_start(f->host, unit, command, 3600 * NSEC_PER_SEC,
				 timeout_ns, on_verdict, f),
		0);
	assert_int_equal(plugin_host_check_now(f->host, unit), 0);
}

/* Runs a command once; f has its verdict. */
static void run(struct fixture *f, const char *command)
{
	int before = f->verdicts;

	begin(f, "shop.service", command, 10 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, f->verdicts > before);
	plugin_host_check_stop(f->host, "shop.service");
	loop_settle(f->event);
}

/* The process whose number stands in a file of the folder, 0: there is none (yet). */
static pid_t read_pid(const struct fixture *f, const char *name)
{
	char path[128];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d\n", &pid) != 1)
		pid = 0;
	fclose(file);
	return pid;
}

/* Gone, or dead and waiting for a parent that is not us to notice. */
static bool is_dead(pid_t pid)
{
	char path[64], line[256] = "";
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	state = strrchr(line, ')');
	return !state || state[2] == 'Z' || state[2] == 'X';
}

static void verdicts(void **state)
{
	struct fixture *f = *state;

	run(f, "/bin/sh -c 'echo \"DISK OK|/=5GB\"; exit 0'");
	assert_int_equal(f->status, MEND_OK);
	assert_string_equal(f->text, "DISK OK");
	assert_string_equal(f->perfdata, "/=5GB");
	run(f, "sh -c 'echo two words; exit 2'");
	assert_int_equal(f->status, MEND_CRITICAL);
	assert_string_equal(f->text, "two words");
	run(f, "sh -c 'kill -SEGV $$'");
	assert_int_equal(f->status, MEND_UNKNOWN);
	assert_string_equal(f->text, "the check was killed by SIGSEGV");
	run(f, "sh -c 'echo \\'{\"status\":\"warning\",\"text\":\"json\"}\\''");
	assert_int_equal(f->status, MEND_WARNING);
	assert_string_equal(f->text, "json");
	run(f, "/bin/true");
	assert_int_equal(f->status, MEND_OK);
}

static void mistakes_are_unknown(void **state)
{
	static const struct {
		const char *command, *text;
	} cases[] = {
		{ "/no/such/check", "cannot run /no/such/check: No such file or directory" },
		{ "no-such-check -w 1", "cannot run no-such-check: No such file or directory" },
		{ "bin/check", "cannot run bin/check: a path must be absolute" },
		{ "/bin/sh -c 'open", "bad command line: an open quote or an unknown escape" },
		{ "/etc/passwd", "cannot run /etc/passwd: Permission denied" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		run(f, cases[i].command);
		assert_int_equal(f->status, MEND_UNKNOWN);
		assert_string_equal(f->text, cases[i].text);
	}
	/* More of them than errors that a plugin may make: a bad command is not its error. */
	run(f, cases[0].command);
	run(f, cases[0].command);
	assert_true(f->world.plugins[0].active);
}

static void cannot_be_executed(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/broken", f->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd,
				 "\x7f"
				 "ELF",
				 4),
		4);
	close(fd);
	run(f, path);
	assert_int_equal(f->status, MEND_UNKNOWN);
	assert_non_null(strstr(f->text, "Exec format error"));
}

static void its_surroundings(void **state)
{
	struct fixture *f = *state;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned long blocked, ignored;
	sigset_t set, before;

	assert_int_equal(dup2(null, 77), 77); /* not marked close-on-exec, on purpose */
	setenv("SECRET", "42", 1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before); /* as the daemon does for its signalfd */
	signal(SIGPIPE, SIG_IGN);
	run(f, "sh -c 'echo $(env | cut -d= -f1 | grep -v -e ^_$ -e ^PWD$ -e ^SHLVL$ | sort |"
	       " tr \"\\\\n\" \" \") $MENDD_UNIT $(pwd)'");
	assert_string_equal(f->text, "LANG MENDD_UNIT PATH shop.service /");
	run(f, "sh -c 'test -e /proc/self/fd/77 && echo open || echo closed $(readlink"
	       " /proc/self/fd/0)'");
	assert_string_equal(f->text, "closed /dev/null");
	run(f, "sh -c 'readlink /proc/self/fd/2'");
	assert_string_equal(f->text, "/dev/null");
	run(f, "sh -c 'grep -e SigBlk -e SigIgn /proc/self/status | tr -d \"\\\\n\"'");
	assert_int_equal(sscanf(f->text, "SigBlk: %lx SigIgn: %lx", &blocked, &ignored), 2);
	assert_int_equal(blocked, 0);
	assert_int_equal(ignored & 0x7fffffff, 0); /* 32 and 33 are the C library's own */
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	unsetenv("SECRET");
	close(77);
	close(null);
}

static void the_output_is_cut(void **state)
{
	struct fixture *f = *state;

	run(f, "sh -c 'head -c 100000 /dev/zero | tr \"\\\\0\" x; exit 1'");
	assert_int_equal(f->status, MEND_WARNING); /* it was read to its end all the same */
	assert_int_equal(strlen(f->text), sizeof(f->text) - 1);
	assert_int_equal(f->text[0], 'x');
}

static void a_flood_is_ended(void **state)
{
	struct fixture *f = *state;

	run(f, "sh -c 'exec cat /dev/zero'");
	assert_int_equal(f->status, MEND_UNKNOWN);
	assert_string_equal(f->text, "it printed more than 1 MiB and was killed");
}

static void time_is_up(void **state)
{
	struct fixture *f = *state;
	char command[512];

	/* A child that ignores every signal that can be ignored, and a grandchild. */
	snprintf(command, sizeof(command),
		"sh -c 'trap \"\" TERM INT HUP; echo $$ >%s/child;"
		" sh -c \"echo \\\\$\\\\$ >%s/grandchild; exec sleep 1000\" & wait'",
		f->dir, f->dir);
	begin(f, "shop.service", command, 10 * NSEC_PER_SEC);
	LOOP_UNTIL(f->event, read_pid(f, "grandchild") > 0);
	plugin_host_check_stop(f->host, "shop.service");
	LOOP_UNTIL(f->event, is_dead(read_pid(f, "child")) && is_dead(read_pid(f, "grandchild")));
	assert_int_equal(f->verdicts, 0);

	/* The same by time. */
	begin(f, "shop.service", command, 300 * NSEC_PER_MSEC);
	LOOP_UNTIL(f->event, f->verdicts == 1);
	assert_int_equal(f->status, MEND_UNKNOWN);
	assert_string_equal(f->text, "timed out after 300 ms");
	LOOP_UNTIL(f->event, is_dead(read_pid(f, "child")) && is_dead(read_pid(f, "grandchild")));
}

static void what_it_leaves_behind_ends(void **state)
{
	struct fixture *f = *state;
	char command[512];

	/* It ends at once, and leaves a process that holds its output. */
	snprintf(command, sizeof(command), "sh -c 'sleep 1000 & echo $! >%s/left; echo fine'",
		f->dir);
	run(f, command);
	assert_int_equal(f->status, MEND_OK);
	assert_string_equal(f->text, "fine");
	LOOP_UNTIL(f->event, is_dead(read_pid(f, "left")));
}

static void never_overlaps_itself(void **state)
{
	struct fixture *f = *state;
	char command[512];

	/* mkdir fails where another one is inside. */
	snprintf(command, sizeof(command),
		"sh -c 'mkdir %s/lock || exit 2; sleep 0.02; rmdir %s/lock; echo alone'", f->dir,
		f->dir);
	assert_int_equal(plugin_host_check_start(f->host, "shop.service", command, 1,
				 NSEC_PER_SEC * 9, on_verdict, f),
		0);
	for (int i = 0; i < 8; i++) {
		int before = f->verdicts;

		plugin_host_check_now(f->host, "shop.service");
		plugin_host_check_now(f->host, "shop.service");
		LOOP_UNTIL(f->event, f->verdicts > before);
		assert_int_equal(f->status, MEND_OK);
	}
}

static void only_so_many_at_once(void **state)
{
	enum { UNITS = CHECKS_RUNNING_MAX + 4 };
	struct fixture *f = *state;
	char command[512], unit[32];

	/* Each says how many others it meets. */
	snprintf(command, sizeof(command),
		"sh -c 'touch %s/$$; ls %s | wc -l >>%s.log; sleep 0.1; rm %s/$$'", f->dir, f->dir,
		f->dir, f->dir);
	for (int i = 0; i < UNITS; i++) {
		snprintf(unit, sizeof(unit), "u%d.service", i);
		begin(f, unit, command, 10 * NSEC_PER_SEC);
	}
	LOOP_UNTIL(f->event, f->verdicts == UNITS);
	{
		char path[128];
		FILE *file;
		int n, most = 0, lines = 0;

		snprintf(path, sizeof(path), "%s.log", f->dir);
		file = fopen(path, "re");
		assert_non_null(file);
		while (fscanf(file, "%d", &n) == 1) {
			most = MAX(most, n);
			lines++;
		}
		fclose(file);
		unlink(path);
		assert_int_equal(lines, UNITS);
		assert_true(most <= CHECKS_RUNNING_MAX);
		assert_true(most >= 2);
	}
}

static void leaves_no_children(void **state)
{
	struct fixture *f = *state;
	char path[64];
	FILE *file;
	int pid;

	run(f, "/bin/true");
	begin(f, "shop.service", "sleep 1000", NSEC_PER_SEC);
	sd_event_run(f->event, 0);
	LOOP_UNTIL(f->event, f->verdicts == 2);
	/* No zombies: all children have been waited for. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	file = fopen(path, "re");
	if (!file) {
		print_message("skipped: this kernel has no %s\n", path);
		skip();
	}
	assert_int_equal(fscanf(file, "%d", &pid), EOF);
	fclose(file);
}

/* --- real ones -------------------------------------------------------------------------------- */

static void need(const char *path)
{
	if (access(path, X_OK) < 0) {
		print_message("skipped: %s is not installed (monitoring-plugins-basic)\n", path);
		skip();
	}
}

static void real_check_disk(void **state)
{
	struct fixture *f = *state;

	need("/usr/lib/nagios/plugins/check_disk");
	run(f, "check_disk -w 1% -c 0% -p /");
	assert_int_equal(f->status, MEND_OK);
	assert_non_null(strstr(f->text, "DISK OK"));
	assert_non_null(strstr(f->perfdata, "/="));
	run(f, "check_disk -w 100% -c 100% -p /");
	assert_int_equal(f->status, MEND_CRITICAL);
}

static void real_check_tcp(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	char command[128];
	int fd;

	need("/usr/lib/nagios/plugins/check_tcp");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(command, sizeof(command), "check_tcp -H 127.0.0.1 -p %d -t 2",
		ntohs(address.sin_port));
	run(f, command);
	assert_int_equal(f->status, MEND_CRITICAL);
	assert_int_equal(listen(fd, 4), 0);
	run(f, command);
	assert_int_equal(f->status, MEND_OK);
	assert_non_null(strstr(f->perfdata, "time="));
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(verdicts),
		TEST(mistakes_are_unknown),
		TEST(cannot_be_executed),
		TEST(its_surroundings),
		TEST(the_output_is_cut),
		TEST(a_flood_is_ended),
		TEST(time_is_up),
		TEST(what_it_leaves_behind_ends),
		TEST(never_overlaps_itself),
		TEST(only_so_many_at_once),
		TEST(leaves_no_children),
		TEST(real_check_disk),
		TEST(real_check_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
