/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sink "journal" against a socket that this test reads, or does not read, or takes away:
 *nothing of that may hold the loop. Also: every kind of record has an id of its own and a catalogue
 *entry.
 *
 *	test_journal CATALOGUE
 */
#include "../../daemon/edge/plugin_host.h"
#include "../../plugins/builtin.h"
#include "../../plugins/message-ids.h"
#include "loop.h"

#include "../../daemon/base/str.h"

#include <endian.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char *catalogue;

struct fixture {
	sd_event *event;
	struct plugin_host *host;
	struct world world;
	char dir[64], path[96];
	int fd; /* what journald would read */
	char record[65536];
	ssize_t n;
};

static const char *config(void *userdata, const char *plugin, const char *key)
{
	struct fixture *f = userdata;

	return str_eq(plugin, "journal") && str_eq(key, "Socket") ? f->path : NULL;
}

static void listen_here(struct fixture *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	str_copy(a.sun_path, sizeof(a.sun_path), f->path);
	unlink(f->path);
	f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(f->fd >= 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fd = -1;
	strcpy(f->dir, "/tmp/mendd-test-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(plugin_host_new(&f->host, f->event, NULL, &f->world), 0);
	plugin_host_set_config(f->host, config, f);
	assert_int_equal(plugin_host_register(f->host, &journal_plugin), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plugin_host_free(f->host);
	sd_event_unref(f->event);
	closep(&f->fd);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void emit(struct fixture *f, const char *kind, const char *message)
{
	const struct mend_field fields[] = {
		{ "MENDD_INCIDENT_ID", "0a1b" },
		{ "MENDD_TEXT", "two\nlines" },
		{ "bad=KEY", "forged" },
		{ "lower", "no" },
		{ "", "no" },
		{ "MENDD_NOTHING", NULL },
		{ "MENDD_EXIT_CODE", "7" },
	};
	struct mend_record record = {
		.size = sizeof(record),
		.priority = 3,
		.kind = kind,
		.unit = "shop.service",
		.message = message,
		.fields = fields,
		.n_fields = ARRAY_SIZE(fields),
	};

	plugin_host_emit(f->host, &record);
}

static bool receive(struct fixture *f)
{
	f->n = recv(f->fd, f->record, sizeof(f->record) - 1, MSG_DONTWAIT);
	if (f->n >= 0)
		f->record[f->n] = '\0';
	return f->n >= 0;
}

/* Whether the record has exactly this line. */
static bool has_line(const struct fixture *f, const char *line)
{
	const char *at = f->record;
	size_t n = strlen(line);

	while ((at = memmem(at, (size_t)(f->record + f->n - at), line, n))) {
		if ((at == f->record || at[-1] == '\n') && at[n] == '\n')
			return true;
		at++;
	}
	return false;
}

static void writes_fields(void **state)
{
	struct fixture *f = *state;
	char id[64], binary[64] = "MENDD_TEXT\n";
	uint64_t size = htole64(strlen("two\nlines"));

	listen_here(f);
	emit(f, "action-decided", "shop.service: killed");
	assert_true(receive(f));
	assert_true(has_line(f, "MESSAGE=shop.service: killed"));
	assert_true(has_line(f, "PRIORITY=3"));
	assert_true(has_line(f, "SYSLOG_IDENTIFIER=mendd"));
	assert_true(has_line(f, "OBJECT_SYSTEMD_UNIT=shop.service"));
	assert_true(has_line(f, "MENDD_EVENT=action-decided"));
	assert_true(has_line(f, "MENDD_INCIDENT_ID=0a1b"));
	assert_true(has_line(f, "MENDD_EXIT_CODE=7"));
	snprintf(id, sizeof(id), "MESSAGE_ID=%s", message_ids[MESSAGE_ACTION_DECIDED].id);
	assert_true(has_line(f, id));
	memcpy(binary + 11, &size, sizeof(size));
	memcpy(binary + 19, "two\nlines\n", 10);
	assert_non_null(memmem(f->record, (size_t)f->n, binary, 29));
	assert_null(memmem(f->record, (size_t)f->n, "forged", 6));
	assert_null(memmem(f->record, (size_t)f->n, "lower", 5));
	assert_null(memmem(f->record, (size_t)f->n, "NOTHING", 7));
}

static void a_kind_of_a_plugin_has_no_id(void **state)
{
	struct fixture *f = *state;

	listen_here(f);
	emit(f, "something-else", "x");
	assert_true(receive(f));
	assert_true(has_line(f, "MENDD_EVENT=something-else"));
	assert_null(memmem(f->record, (size_t)f->n, "MESSAGE_ID", 10));
}

static void a_long_field_is_left_out(void **state)
{
	struct fixture *f = *state;
	static char text[100000];
	struct mend_field field = { "MENDD_LONG", text };
	struct mend_record record = {
		.size = sizeof(record),
		.kind = "unit-failed",
		.message = "short",
		.fields = &field,
		.n_fields = 1,
	};

	memset(text, 'x', sizeof(text) - 1);
	listen_here(f);
	plugin_host_emit(f->host, &record);
	assert_true(receive(f));
	assert_true(has_line(f, "MESSAGE=short"));
	assert_null(memmem(f->record, (size_t)f->n, "MENDD_LONG", 10));
}

static void nobody_reads(void **state)
{
	enum { RECORDS = 5000 }; /* more than fit into socket and backlog */
	struct fixture *f = *state;
	char message[64];
	int got = 0, last = -1, lost = 0;
	bool in_order = true, said = false;

	listen_here(f);
	for (int i = 0; i < RECORDS; i++) {
		snprintf(message, sizeof(message), "%d", i);
		emit(f, "unit-failed", message); /* would stop here for ever, if it could */
	}
	assert_int_equal(f->world.plugins[0].failures, 0);
	assert_true(f->world.plugins[0].active);
	for (uint64_t end = clock_monotonic_ns() + LOOP_DEADLINE_NS; !said;) {
		const char *at;
		int i;

		assert_true(clock_monotonic_ns() < end);
		if (!receive(f)) {
			assert_true(sd_event_run(f->event, 20000) >= 0);
			continue;
		}
		at = memmem(f->record, (size_t)f->n, "MESSAGE=", 8);
		assert_non_null(at);
		if (strstr(at, "records were lost")) {
			said = true;
			lost = atoi(at + 8);
			continue;
		}
		i = atoi(at + 8);
		in_order = in_order && i > last;
		last = i;
		got++;
	}
	assert_true(in_order);
	assert_int_equal(last, RECORDS - 1); /* the newest are kept */
	assert_true(lost > 0);
	assert_int_equal(got + lost, RECORDS);
}

static void comes_later(void **state)
{
	struct fixture *f = *state;

	emit(f, "daemon-started", "before there was a journal");
	assert_int_equal(f->world.plugins[0].failures, 0);
	listen_here(f);
	LOOP_UNTIL(f->event, receive(f));
	assert_true(has_line(f, "MESSAGE=before there was a journal"));
}

static void goes_away_and_comes_back(void **state)
{
	struct fixture *f = *state;

	listen_here(f);
	emit(f, "unit-failed", "first");
	assert_true(receive(f));
	close(f->fd);
	unlink(f->path);
	emit(f, "unit-failed", "second");
	emit(f, "unit-failed", "third");
	listen_here(f);
	LOOP_UNTIL(f->event, receive(f));
	assert_true(has_line(f, "MESSAGE=second"));
	LOOP_UNTIL(f->event, receive(f));
	assert_true(has_line(f, "MESSAGE=third"));
}

/* --- the catalogue ---------------------------------------------------------------------------- */

static void ids_are_ids(void **state)
{
	for (size_t i = 0; i < MESSAGE_KIND_COUNT; i++) {
		assert_non_null(message_ids[i].kind);
		assert_int_equal(strlen(message_ids[i].id), 32);
		assert_int_equal(strspn(message_ids[i].id, "0123456789abcdef"), 32);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(message_ids[i].id, message_ids[k].id);
			assert_string_not_equal(message_ids[i].kind, message_ids[k].kind);
		}
	}
	assert_string_equal(message_kind_word(MESSAGE_ACTION_DECIDED), "action-decided");
}

static void every_kind_is_explained(void **state)
{
	_cleanup_fclose_ FILE *file = fopen(catalogue, "re");
	static char text[65536];
	size_t n, entries = 0;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	assert_true(n > 0 && n < sizeof(text) - 1);
	for (size_t i = 0; i < MESSAGE_KIND_COUNT; i++) {
		char head[64];
		const char *at, *end;

		snprintf(head, sizeof(head), "\n-- %s\nSubject: ", message_ids[i].id);
		at = strstr(text, head);
		if (!at) {
			fail_msg("%s is not in the catalogue", message_ids[i].kind);
			return; /* for compilers that do not know that the line above does not */
		}
		end = strstr(at + 1, "\n-- ");
		at = strstr(at, "\nWhy: ");
		assert_true(at && (!end || at < end));
		at = strstr(at, "\nWhat to do: ");
		assert_true(at && (!end || at < end));
	}
	for (const char *at = strstr(text, "\n-- "); at; at = strstr(at + 4, "\n-- "))
		entries++;
	assert_int_equal(entries, MESSAGE_KIND_COUNT);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(writes_fields),
		TEST(a_kind_of_a_plugin_has_no_id),
		TEST(a_long_field_is_left_out),
		TEST(nobody_reads),
		TEST(comes_later),
		TEST(goes_away_and_comes_back),
		cmocka_unit_test(ids_are_ids),
		cmocka_unit_test(every_kind_is_explained),
	};

	if (argc != 2)
		return 2;
	catalogue = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
