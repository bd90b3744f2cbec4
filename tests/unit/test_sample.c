/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads the sample plugins as they were built and installed, and uses them.
 *
 *	test_sample FOLDER	started by test_sample.sh
 */
#include "../../daemon/edge/plugin_loader.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <sys/socket.h>
#include <sys/un.h>

static const char *folder;

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	char dir[64], file[96], socket[96];
	int verdicts, status;
	char text[256], perfdata[256];
};

static const char *config(void *userdata, const char *plugin, const char *key)
{
	struct fixture *f = userdata;

	return str_eq(plugin, "lines") && str_eq(key, "File") ? f->file : NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/mendd-test-sample-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->file, sizeof(f->file), "%s/lines", f->dir);
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->dir);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, NULL, &f->world), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plugin_host_free(f->host);
	sd_event_unref(f->event);
	unlink(f->file);
	unlink(f->socket);
	rmdir(f->dir);
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

static void check(struct fixture *f, const char *arguments, const char *greeting, int status,
	const char *text)
{
	char command[256];
	int before = f->verdicts, fd = -1, peer = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	str_copy(a.sun_path, sizeof(a.sun_path), f->socket);
	unlink(f->socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	snprintf(command, sizeof(command), "banner %s%s", *arguments ? f->socket : "", arguments);
	assert_int_equal(plugin_host_check_start(f->host, "mail.service", command,
				 3600 * NSEC_PER_SEC, 200 * NSEC_PER_MSEC, on_verdict, f),
		0);
	plugin_host_check_now(f->host, "mail.service");
	for (uint64_t end = clock_monotonic_ns() + LOOP_DEADLINE_NS; f->verdicts == before;) {
		assert_true(clock_monotonic_ns() < end);
		assert_true(sd_event_run(f->event, 1000) >= 0);
		if (peer < 0 && (peer = accept(fd, NULL, NULL)) >= 0 && greeting)
			assert_true(send(peer, greeting, strlen(greeting), 0) > 0);
	}
	assert_int_equal(f->status, status);
	assert_string_equal(f->text, text);
	plugin_host_check_stop(f->host, "mail.service");
	closep(&peer);
	closep(&fd);
}

static void both_work(void **state)
{
	struct fixture *f = *state;
	struct mend_record record = {
		.size = sizeof(record),
		.priority = 4,
		.kind = "unit-failed",
		.unit = "mail.service",
		.message = "mail.service: killed",
	};
	char line[256] = "";
	FILE *file;

	plugin_host_set_config(f->host, config, f);
	assert_int_equal(plugin_host_load_dir(f->host, folder), 2);
	check(f, " 220", "220 mail ready\r\n", MEND_OK, "it greets as expected");
	assert_int_equal(strncmp(f->perfdata, "time=0.", 7), 0);
	check(f, " 220", "554 go away\r\n", MEND_CRITICAL, "it greets with something else");
	check(f, " 220", NULL, MEND_CRITICAL, "no greeting in time");
	check(f, "", NULL, MEND_UNKNOWN, "usage: banner SOCKET TEXT");

	plugin_host_emit(f->host, &record);
	file = fopen(f->file, "re");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	assert_string_equal(line, "<4>unit-failed mail.service: mail.service: killed\n");
}

static void the_sink_wants_its_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plugin_host_load_dir(f->host, folder), 1);
	assert_string_equal(f->world.plugins[1].name, "lines");
	assert_non_null(strstr(f->world.plugins[1].error, "its create failed: Invalid argument"));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_work),
		TEST(the_sink_wants_its_file),
	};

	if (argc != 2)
		return 2;
	folder = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
