/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store against a real database: what is acknowledged is there after kill -9, and a disk that
 * is full, read-only, slow or lies does not stop anything. File systems for that are made in a
 * mount namespace of the test's own; where that is not allowed these tests say so and are skipped.
 */
#include "../../daemon/edge/store.h"
#include "loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct fixture {
	sd_event *event;
	char dir[64];
	char path[96];
	struct store *store;
	struct store_options options;
	/* what on_state said */
	int n_states, last_error, n_corrupt, n_recovered;
	char last_text[512], corrupt_text[512];
	/* what acks said */
	int n_acks, n_errors, last_ack;
	char last_key[UNIT_NAME_SIZE];
};

static void on_state(void *userdata, int error, const char *text)
{
	struct fixture *f = userdata;

	f->n_states++;
	f->last_error = error;
	f->n_corrupt += error == -EUCLEAN;
	f->n_recovered += error == 0;
	str_copy(f->last_text, sizeof(f->last_text), text);
	if (error == -EUCLEAN)
		str_copy(f->corrupt_text, sizeof(f->corrupt_text), text);
}

static void on_ack(void *userdata, const char *key, int error)
{
	struct fixture *f = userdata;

	f->n_acks++;
	f->n_errors += error != 0;
	f->last_ack = error;
	str_copy(f->last_key, sizeof(f->last_key), key);
}

static void open_store(struct fixture *f)
{
	f->options.on_state = on_state;
	f->options.userdata = f;
	assert_int_equal(store_open(&f->store, f->event, f->path, &f->options), 0);
}

static void reopen(struct fixture *f)
{
	f->store = store_close(f->store);
	open_store(f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->event) >= 0);
	strcpy(f->dir, "/var/tmp/mendd-test-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/mendd.sqlite", f->dir);
	f->options.retry_first_ns = 20 * NSEC_PER_MSEC;
	*state = f;
	return 0;
}

static void remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->store);
	sd_event_unref(f->event);
	umount2(f->dir, MNT_DETACH);
	remove_dir(f->dir);
	free(f);
	return 0;
}

static struct incident *make_incident(const char *unit)
{
	struct trouble t = {
		.present = true,
		.cause = CAUSE_KILLED,
		.time_ns = clock_monotonic_ns(),
		.text = "killed by SIGKILL from bash[4711] (uid 1000, session-3.scope)",
	};
	struct incident *i;

	t.detected_ns = t.time_ns + NSEC_PER_MSEC;
	i = incident_new(unit, &t, t.detected_ns, clock_realtime_usec());
	assert_non_null(i);
	i->evidence = strdup("{\"log\":[\"one \\\"line\\\"\"]}");
	incident_note(i, t.time_ns, "failed", "%s", t.text);
	incident_note(i, t.detected_ns, "detected", "1 ms later");
	return i;
}

static void put(struct fixture *f, const struct incident *i)
{
	int before = f->n_acks;

	assert_int_equal(store_put_incident(f->store, i, on_ack, f), 0);
	LOOP_UNTIL(f->event, f->n_acks > before);
}

/* The loop waits for an answer for a moment only; a test has more patience. */
static int ask(
	struct fixture *f, const char *id, const char *unit, uint32_t limit, struct strbuf *ret)
{
	uint64_t end_ns = clock_monotonic_ns() + LOOP_DEADLINE_NS;
	int r;

	do {
		strbuf_reset(ret);
		r = id ? store_get_incident(f->store, id, ret)
		       : store_list(f->store, unit, limit, ret);
	} while ((r == -ETIMEDOUT || r == -EBUSY) && clock_monotonic_ns() < end_ns);
	return r;
}

static void continues_an_incident(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("shop.service");
	struct attempt a = {
		.number = 1,
		.action = ACTION_RESTART,
		.initiator = INITIATOR_MENDD,
		.job = JOB_QUEUED,
		.sent_ns = 123456789012345,
		.old_invocation = "0123456789abcdef0123456789abcdef",
		.verified_ns = TIME_INFINITY,
	};
	struct stored_incident *list;
	size_t n;

	i->death = (struct death) {
		.time_ns = i->opened_ns,
		.pid = 4712,
		.signal = SIGKILL,
		.killer = KILLER_PROCESS,
		.killer_pid = 4711,
		.killer_uid = 1000,
		.killer_comm = "bash",
	};
	open_store(f);
	put(f, i);
	assert_int_equal(f->last_ack, 0);
	assert_string_equal(f->last_key, i->id);
	assert_int_equal(store_put_attempt(f->store, i->id, &a, on_ack, f), 0);
	a.number = 2;
	a.job = JOB_SENT;
	assert_int_equal(store_put_attempt(f->store, i->id, &a, on_ack, f), 0);
	LOOP_UNTIL(f->event, f->n_acks == 3);
	assert_true(store_healthy(f->store));

	reopen(f);
	assert_int_equal(store_load_open(f->store, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_true(list[0].this_boot);
	assert_string_equal(list[0].incident->id, i->id);
	assert_string_equal(list[0].incident->unit, "shop.service");
	assert_true(list[0].incident->open);
	assert_int_equal(list[0].incident->cause, CAUSE_KILLED);
	assert_int_equal(list[0].incident->opened_ns, i->opened_ns);
	assert_int_equal(list[0].incident->anchor_realtime_usec, i->anchor_realtime_usec);
	assert_string_equal(list[0].incident->evidence, i->evidence);
	assert_int_equal(list[0].incident->n_events, 2);
	assert_string_equal(list[0].incident->events[1].text, "1 ms later");
	assert_memory_equal(&list[0].incident->death, &i->death, sizeof(i->death));
	assert_int_equal(list[0].attempt.number, 2);
	assert_int_equal(list[0].attempt.job, JOB_SENT);
	assert_int_equal(list[0].attempt.action, ACTION_RESTART);
	assert_true(list[0].attempt.verified_ns == TIME_INFINITY);
	stored_incidents_free(list, n);

	/* Another boot: it comes back to be closed. */
	f->options.boot_id = "ffffffffffffffffffffffffffffffff";
	reopen(f);
	assert_int_equal(store_load_open(f->store, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_false(list[0].this_boot);
	list[0].incident->open = false;
	list[0].incident->closed_ns = list[0].incident->opened_ns + 1;
	put(f, list[0].incident);
	stored_incidents_free(list, n);

	reopen(f);
	assert_int_equal(store_load_open(f->store, &list, &n), 0);
	assert_int_equal(n, 0);
	stored_incidents_free(list, n);
	incident_free(i);
}

static void load_after_start_is_refused(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");
	struct stored_incident *list;
	size_t n;

	open_store(f);
	put(f, i);
	assert_int_equal(store_load_open(f->store, &list, &n), -EBUSY);
	incident_free(i);
}

struct loaded {
	int n;
	char unit[UNIT_NAME_SIZE];
	struct unit_state state;
};

static void on_unit(void *userdata, const char *unit, const struct unit_state *unit_state)
{
	struct loaded *l = userdata;

	l->n++;
	str_copy(l->unit, sizeof(l->unit), unit);
	l->state = *unit_state;
}

static void budgets_survive(void **state)
{
	struct fixture *f = *state;
	struct unit u = { .name = (char[]) { "shop.service" } };
	struct pause p = {
		.active = true,
		.until_ns = 987654321,
		.reason = "release day",
		.uid = 1000,
	};
	struct loaded l = {};
	struct pause q;

	u.settings.heal = HEAL_RESTART;
	u.heal.state = HEAL_STATE_EXHAUSTED;
	u.heal.backoff_step = 4;
	u.heal.n_restarts = RESTART_LOG_MAX + 3;
	for (size_t i = 0; i < RESTART_LOG_MAX; i++)
		u.heal.restart_ns[i] = 1000 + i;
	strcpy(u.heal.last_killer_key, "bash/1000");
	u.heal.last_killer_ns = 42;
	u.listening.n = 1;
	u.listening.sockets[0] = (struct listening_socket) {
		.family = AF_INET,
		.protocol = IPPROTO_TCP,
		.port = 8080,
		.address = { 127, 0, 0, 1 },
	};
	open_store(f);
	assert_int_equal(store_put_unit(f->store, &u, NULL, NULL), 0);
	assert_int_equal(store_put_pause(f->store, &p, on_ack, f), 0);
	LOOP_UNTIL(f->event, f->n_acks == 1);

	reopen(f);
	assert_int_equal(store_load_units(f->store, on_unit, &l), 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.unit, "shop.service");
	assert_int_equal(l.state.mode, HEAL_RESTART);
	assert_memory_equal(&l.state.heal, &u.heal, sizeof(u.heal));
	assert_memory_equal(&l.state.listening, &u.listening, sizeof(u.listening));
	assert_int_equal(store_load_pause(f->store, &q), 0);
	assert_true(q.active);
	assert_int_equal(q.until_ns, 987654321);
	assert_string_equal(q.reason, "release day");
	assert_int_equal(q.uid, 1000);

	/* The clock of another boot begins anew: its budgets and its pause are over. */
	f->options.boot_id = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
	reopen(f);
	l = (struct loaded) {};
	assert_int_equal(store_load_units(f->store, on_unit, &l), 0);
	assert_int_equal(l.n, 0);
	assert_int_equal(store_load_pause(f->store, &q), 0);
	assert_false(q.active);
}

static void history(void **state)
{
	struct fixture *f = *state;
	struct incident *a = make_incident("a.service"), *b = make_incident("b.service");
	_cleanup_strbuf_ struct strbuf text = {};
	json_t *json;
	char prefix[9];

	strcpy(a->id, "aaaa0000-0000-4000-8000-000000000001");
	strcpy(b->id, "aaaa0000-0000-4000-8000-000000000002");
	b->opened_ns += NSEC_PER_SEC;
	open_store(f);
	put(f, a);
	put(f, b);

	assert_int_equal(ask(f, a->id, NULL, 0, &text), 0);
	json = json_loads(strbuf_text(&text), 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "unit")), "a.service");
	json_decref(json);
	str_copy(prefix, sizeof(prefix), a->id);
	assert_int_equal(ask(f, prefix, NULL, 0, &text), -ENOTUNIQ);
	assert_int_equal(ask(f, "bbbb", NULL, 0, &text), -ENOENT);
	assert_int_equal(ask(f, "aaa", NULL, 0, &text), -EINVAL);
	assert_int_equal(ask(f, "' OR 1", NULL, 0, &text), -EINVAL);

	strbuf_reset(&text);
	assert_int_equal(ask(f, NULL, NULL, 10, &text), 0);
	json = json_loads(strbuf_text(&text), 0, NULL);
	assert_int_equal(json_array_size(json), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(json, 0), "unit")), "b.service");
	json_decref(json);
	strbuf_reset(&text);
	assert_int_equal(ask(f, NULL, "a.service", 10, &text), 0);
	json = json_loads(strbuf_text(&text), 0, NULL);
	assert_int_equal(json_array_size(json), 1);
	json_decref(json);
	strbuf_reset(&text);
	assert_int_equal(ask(f, NULL, "'; DROP TABLE incident; --", 10, &text), 0);
	assert_string_equal(strbuf_text(&text), "[]");
	strbuf_reset(&text);
	assert_int_equal(ask(f, NULL, "", 1, &text), 0);
	json = json_loads(strbuf_text(&text), 0, NULL);
	assert_int_equal(json_array_size(json), 1);
	json_decref(json);
	incident_free(a);
	incident_free(b);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

struct writer {
	struct store *store;
	int fd;
	int in_flight;
};

static void on_written(void *userdata, const char *key, int error)
{
	struct writer *w = userdata;

	w->in_flight--;
	if (error || write(w->fd, key, INCIDENT_ID_SIZE) != INCIDENT_ID_SIZE)
		_exit(1);
}

/* Writes every acknowledged id into the pipe, until it is killed. */
_Noreturn static void write_for_ever(const char *path, int fd)
{
	struct writer w = { .fd = fd };
	sd_event *event;

	if (sd_event_new(&event) < 0 || store_open(&w.store, event, path, NULL) < 0)
		_exit(1);
	for (;;) {
		while (w.in_flight < 8) {
			struct incident *i = make_incident("killed.service");

			if (store_put_incident(w.store, i, on_written, &w) < 0)
				_exit(1);
			incident_free(i);
			w.in_flight++;
		}
		if (sd_event_run(event, UINT64_MAX) < 0)
			_exit(1);
	}
}

static void survives_kill(void **state)
{
	enum { ACKS = 400, ROUNDS = 3 }; /* far enough for checkpoints to be under way */
	struct fixture *f = *state;
	static char ids[ROUNDS * ACKS + 4096][INCIDENT_ID_SIZE];
	size_t n = 0;

	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_close_ int rd = -1, wr = -1;
		size_t goal = n + ACKS;
		int fds[2];
		pid_t pid;

		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		rd = fds[0];
		wr = fds[1];
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_for_ever(f->path, wr);
		close(TAKE_FD(wr));
		while (n < ARRAY_SIZE(ids)) {
			ssize_t got = read(rd, ids[n], INCIDENT_ID_SIZE);

			if (got == 0)
				break;
			assert_int_equal(got, INCIDENT_ID_SIZE);
			if (++n == goal)
				assert_int_equal(kill(pid, SIGKILL), 0);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(n >= goal);
	}
	open_store(f);
	sd_event_run(f->event, 0); /* starts the thread that answers */
	for (size_t k = 0; k < n; k++) {
		_cleanup_strbuf_ struct strbuf text = {};

		assert_int_equal(ask(f, ids[k], NULL, 0, &text), 0);
	}
	assert_int_equal(f->n_states, 0);
}

/* --- disks that misbehave --------------------------------------------------------------------- */

static void overwrite(const char *path, off_t offset, size_t n)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	char noise[4096];

	memset(noise, 0xa5, sizeof(noise));
	assert_true(fd >= 0);
	for (; n > 0; n -= MIN(n, sizeof(noise)), offset += (off_t)sizeof(noise))
		assert_true(pwrite(fd, noise, MIN(n, sizeof(noise)), offset) > 0);
}

static int count_files(const char *dir, const char *part)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strstr(e->d_name, part) && !str_has_suffix(e->d_name, "-wal");
	closedir(d);
	return n;
}

static void damaged_at_start(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");

	open_store(f);
	put(f, i);
	f->store = store_close(f->store);
	overwrite(f->path, 0, 4096);
	open_store(f);
	LOOP_UNTIL(f->event, f->n_corrupt == 1);
	assert_non_null(strstr(f->corrupt_text, "was damaged"));
	assert_non_null(strstr(f->corrupt_text, ".corrupt-"));
	assert_int_equal(f->last_error, 0); /* and at once in order again */
	assert_non_null(strstr(f->last_text, "a new database was begun"));
	assert_int_equal(count_files(f->dir, ".corrupt-"), 1);
	put(f, i);
	assert_int_equal(f->last_ack, 0);
	assert_true(store_healthy(f->store));
	incident_free(i);
}

static void damaged_while_running(void **state)
{
	struct fixture *f = *state;
	_cleanup_strbuf_ struct strbuf text = {};
	struct stat st;
	int r;

	open_store(f);
	for (int k = 0; k < 200; k++) {
		struct incident *i = make_incident("a.service");

		put(f, i);
		incident_free(i);
	}
	reopen(f); /* everything is in the main file now, and nothing in a cache */
	sd_event_run(f->event, 0);
	assert_int_equal(stat(f->path, &st), 0);
	overwrite(f->path, 2 * 4096, (size_t)st.st_size - 2 * 4096);
	/* Finds it; on a slow machine the answer comes too late and only the worker knows. */
	r = store_list(f->store, NULL, 1000, &text);
	assert_true(r == -EUCLEAN || r == -ETIMEDOUT);
	LOOP_UNTIL(f->event, f->n_corrupt == 1);
	assert_int_equal(count_files(f->dir, ".corrupt-"), 1);
	strbuf_reset(&text);
	assert_int_equal(ask(f, NULL, NULL, 1000, &text), 0);
	assert_string_equal(strbuf_text(&text), "[]");
}

static void keeps_few_damaged_ones(void **state)
{
	struct fixture *f = *state;

	for (int k = 0; k < STORE_CORRUPT_KEPT + 3; k++) {
		char old[160];
		_cleanup_close_ int fd = -1;

		snprintf(old, sizeof(old), "%s.corrupt-160000000%d", f->path, k);
		fd = open(old, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
	}
	open_store(f);
	f->store = store_close(f->store);
	overwrite(f->path, 0, 4096);
	open_store(f);
	LOOP_UNTIL(f->event, f->n_corrupt == 1);
	assert_int_equal(count_files(f->dir, ".corrupt-"), STORE_CORRUPT_KEPT);
}

static void newer_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");
	struct store_stats stats;
	char before[4096], after[4096];
	sqlite3 *db;
	FILE *file;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				 "PRAGMA journal_mode = WAL; CREATE TABLE future (x);"
				 "PRAGMA user_version = 99",
				 NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	file = fopen(f->path, "re");
	assert_int_equal(fread(before, sizeof(before), 1, file), 1);
	fclose(file);

	open_store(f);
	LOOP_UNTIL(f->event, f->n_states == 1);
	assert_int_equal(f->last_error, -EPROTONOSUPPORT);
	assert_non_null(strstr(f->last_text, "newer version of mendd (schema 99"));
	put(f, i);
	assert_int_equal(f->last_ack, -EPROTONOSUPPORT);
	store_stats(f->store, &stats);
	assert_false(stats.healthy);
	assert_int_equal(stats.queued, 0);
	f->store = store_close(f->store);

	file = fopen(f->path, "re");
	assert_int_equal(fread(after, sizeof(after), 1, file), 1);
	fclose(file);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(count_files(f->dir, "mendd.sqlite"), 1); /* and nothing beside it */
	incident_free(i);
}

static void removed_while_running(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");
	char wal[128];

	open_store(f);
	put(f, i);
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_equal(unlink(f->path), 0);
	unlink(wal);
	put(f, i);
	assert_int_equal(f->last_ack, 0);
	assert_int_equal(access(f->path, F_OK), 0);
	incident_free(i);
}

/* A small file system at f->dir, or the reason why there is none. */
static void mount_small(struct fixture *f, const char *options)
{
	static bool own_namespace;

	if (!own_namespace && (unshare(CLONE_NEWNS) < 0 ||
				      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) {
		print_message("skipped: no mount namespace: %s\n", strerror(errno));
		skip();
	}
	own_namespace = true;
	if (mount("tmpfs", f->dir, "tmpfs", 0, options) < 0) {
		print_message("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
		skip();
	}
}

static bool is_settled(const struct store *s)
{
	struct store_stats stats;

	store_stats(s, &stats);
	return stats.healthy && stats.queued == 0;
}

static void full_disk(void **state)
{
	struct fixture *f = *state;
	struct incident *first = make_incident("first.service"),
			*lost = make_incident("lost.service");
	_cleanup_strbuf_ struct strbuf text = {};
	char filler[128];
	int fd;

	/* Each attempt to write tidies up and so makes some room; here nothing is tried until all
	 * that is asked below has been asked. */
	f->options.retry_first_ns = 2 * NSEC_PER_SEC;
	mount_small(f, "size=1m");
	open_store(f);
	put(f, first);
	assert_int_equal(f->last_ack, 0);

	snprintf(filler, sizeof(filler), "%s/filler", f->dir);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, filler, 1) == 1 && posix_fallocate(fd, lseek(fd, 0, SEEK_CUR), 4096) == 0)
		lseek(fd, 4095, SEEK_CUR);
	close(fd);

	put(f, lost); /* the log may have had room in its last page for one */
	while (f->last_ack == 0)
		put(f, lost);
	assert_int_equal(f->last_ack, -ENOSPC);
	LOOP_UNTIL(f->event, f->n_states == 1);
	assert_int_equal(f->last_error, -ENOSPC);
	assert_false(store_healthy(f->store));
	assert_int_equal(ask(f, first->id, NULL, 0, &text), 0); /* reading goes on */
	for (int k = 0; k < 3 * STORE_QUEUE_MAX; k++) { /* nobody is held up, no memory grows */
		struct store_stats stats;

		assert_int_equal(store_put_incident(f->store, lost, NULL, NULL), 0);
		store_stats(f->store, &stats);
		assert_true(stats.queued <= STORE_QUEUE_MAX);
	}

	strcpy(lost->resolution, "written after the disk had room again");
	put(f, lost);
	assert_int_equal(f->last_ack, -ENOSPC);
	assert_int_equal(unlink(filler), 0);
	LOOP_UNTIL(f->event, f->n_recovered > 0 && is_settled(f->store));
	strbuf_reset(&text);
	assert_int_equal(ask(f, lost->id, NULL, 0, &text), 0);
	assert_non_null(strstr(strbuf_text(&text), "had room again"));
	incident_free(first);
	incident_free(lost);
}

static void read_only_disk(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");

	mount_small(f, "size=1m,ro");
	open_store(f);
	put(f, i);
	assert_int_equal(f->last_ack, -EROFS);
	LOOP_UNTIL(f->event, f->n_states == 1);
	assert_int_equal(f->last_error, -EROFS);
	assert_int_equal(mount("tmpfs", f->dir, "tmpfs", MS_REMOUNT, "size=1m"), 0);
	LOOP_UNTIL(f->event, f->n_recovered == 1);
	put(f, i);
	assert_int_equal(f->last_ack, 0);
	incident_free(i);
}

static void gone_read_only_while_running(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");

	/* A mount that has writers cannot be made read-only; permissions do not bind root. So the
	 * folder goes away as a whole, as an unplugged disk does, and comes back. */
	mount_small(f, "size=1m");
	open_store(f);
	put(f, i);
	assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
	mount_small(f, "size=1m,ro");
	put(f, i);
	assert_int_equal(f->last_ack, -EROFS);
	assert_int_equal(mount("tmpfs", f->dir, "tmpfs", MS_REMOUNT, "size=1m"), 0);
	LOOP_UNTIL(f->event, f->n_recovered == 1);
	put(f, i);
	assert_int_equal(f->last_ack, 0);
	incident_free(i);
}

static void slow_disk(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");
	_cleanup_strbuf_ struct strbuf text = {};
	uint64_t begin_ns;
	sqlite3 *db;

	open_store(f);
	put(f, i);
	/* Somebody holds the lock for writing: the worker stands still, the loop must not. */
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	f->n_acks = 0;
	assert_int_equal(store_put_incident(f->store, i, on_ack, f), 0);
	begin_ns = clock_monotonic_ns();
	assert_int_equal(store_list(f->store, NULL, 1, &text), -ETIMEDOUT);
	assert_true(clock_monotonic_ns() - begin_ns >= QUERY_MAX_NS);
	/* The next does not even wait. */
	assert_int_equal(store_list(f->store, NULL, 1, &text), -EBUSY);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	LOOP_UNTIL(f->event, f->n_acks == 1);
	assert_int_equal(f->last_ack, 0);
	LOOP_UNTIL(f->event, store_list(f->store, NULL, 1, &text) == 0);
	incident_free(i);
}

static void queue_has_an_end(void **state)
{
	struct fixture *f = *state;
	struct incident *i = make_incident("a.service");
	int r = 0, n = 0;

	open_store(f); /* the loop does not run yet, so nothing is taken out */
	while (n <= STORE_QUEUE_MAX && (r = store_put_incident(f->store, i, on_ack, f)) == 0)
		n++;
	assert_int_equal(r, -ENOBUFS);
	assert_true(n > 0);
	LOOP_UNTIL(f->event, f->n_acks == n);
	assert_int_equal(f->n_errors, 0);
	incident_free(i);
}

static int count_rows(const struct fixture *f, const char *sql)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;
	int n = -1;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		n = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static void forgets_the_oldest(void **state)
{
	struct fixture *f = *state;
	struct incident *open = make_incident("open.service"),
			*ancient = make_incident("x.service");
	struct attempt a = { .number = 1 };

	f->options.incidents_max = 50;
	open_store(f);
	ancient->open = false;
	ancient->anchor_realtime_usec -= 91 * UINT64_C(24) * 3600 * USEC_PER_SEC;
	assert_int_equal(store_put_attempt(f->store, ancient->id, &a, NULL, NULL), 0);
	put(f, ancient);
	put(f, open);
	for (int k = 0; k < 300; k++) {
		struct incident *i = make_incident("a.service");

		i->open = false;
		put(f, i);
		incident_free(i);
	}
	LOOP_UNTIL(f->event, count_rows(f, "SELECT count(*) FROM incident") <= 50 + 64);
	assert_int_equal(count_rows(f, "SELECT count(*) FROM incident WHERE open"), 1);
	LOOP_UNTIL(f->event,
		count_rows(f, "SELECT count(*) FROM incident WHERE unit = 'x.service'") == 0);
	assert_int_equal(count_rows(f, "SELECT count(*) FROM attempt"), 0);
	incident_free(open);
	incident_free(ancient);
}

static void checkpoints_by_itself(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	open_store(f);
	for (int k = 0; k < 300; k++) { /* 4 KiB each at least: more than a MiB of log */
		struct incident *i = make_incident("a.service");

		put(f, i);
		incident_free(i);
	}
	LOOP_UNTIL(f->event, stat(f->path, &st) == 0 && st.st_size > 512 * 1024);
	assert_int_equal(f->n_errors, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(continues_an_incident),
		TEST(load_after_start_is_refused),
		TEST(budgets_survive),
		TEST(history),
		TEST(survives_kill),
		TEST(damaged_at_start),
		TEST(damaged_while_running),
		TEST(keeps_few_damaged_ones),
		TEST(newer_is_left_alone),
		TEST(removed_while_running),
		TEST(full_disk),
		TEST(read_only_disk),
		TEST(gone_read_only_while_running),
		TEST(slow_disk),
		TEST(queue_has_an_end),
		TEST(forgets_the_oldest),
		TEST(checkpoints_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
