/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daemon/edge/probe.c against a real server on the same event loop, which answers, errs, hangs,
 * resets, dribbles and floods by the path that it is asked for. Had a probe blocked, the server
 * could not answer it.
 */
#include "cmocka_all.h"
#include "loop.h"
#include "../../daemon/base/str.h"
#include "../../daemon/edge/probe.h"
#include "../../plugins/mendd-plugin.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SECOND NSEC_PER_SEC
#define MS NSEC_PER_MSEC
#define NEVER (3600 * SECOND) /* an interval: only when asked for */

enum { CONNECTIONS_MAX = 64, PORTS = 65536 };

struct connection {
	struct server *server;
	int fd; /* -1: free */
	sd_event_source *io, *timer;
	char request[4096];
	size_t n;
	size_t sent;
	bool many_lines;
};

struct server {
	sd_event *event;
	sd_event_source *io;
	int fd;
	uint16_t port;
	struct connection connections[CONNECTIONS_MAX];
	unsigned int open, most_open, accepted, requests;
	bool peer_was_announced;
	char last_request[4096];
};

struct result {
	unsigned int n;
	int status;
	uint64_t took_ns;
	char unit[64], text[256];
};

struct fixture {
	sd_event *event;
	struct prober *prober;
	struct server server;
	struct result last;
	bool stop_in_callback, unwanted;
	unsigned int n_asked; /* whether it is wanted */
	unsigned int n_fds;
	bool ports[PORTS]; /* in use, as the prober says */
	unsigned int n_ports, ports_ever;
};

static struct fixture *fixture;

/* --- the server ----------------------------------------------------------------------------------
 */

static void drop(struct connection *c, bool reset)
{
	struct linger linger = { .l_onoff = reset };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	c->io = sd_event_source_disable_unref(c->io);
	c->timer = sd_event_source_disable_unref(c->timer);
	close(c->fd);
	c->fd = -1;
	c->server->open--;
}

static void answer(struct connection *c, const char *text)
{
	assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static int on_dribble(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct connection *c = userdata;

	if (send(c->fd, "x", 1, MSG_NOSIGNAL) != 1)
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return sd_event_source_set_time(s, usec + 20000);
}

static void dribble(struct connection *c)
{
	assert_true(sd_event_add_time(c->server->event, &c->timer, CLOCK_MONOTONIC,
			    clock_monotonic_ns() / NSEC_PER_USEC, 1, on_dribble, c) >= 0);
	sd_event_source_set_enabled(c->timer, SD_EVENT_ON);
}

static void flood(struct connection *c)
{
	char block[16384];
	ssize_t n;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = c->many_lines ? "X: yza\r\n"[i % 8] : 'x';

	while ((n = send(c->fd, block, sizeof(block), MSG_NOSIGNAL)) > 0)
		c->sent += (size_t)n;
	if (n < 0 && errno == EAGAIN)
		sd_event_source_set_io_events(c->io, EPOLLOUT | EPOLLIN);
	else
		drop(c, false);
}

static bool asks_for(const struct connection *c, const char *path)
{
	const char *rest = str_after_prefix(c->request, "GET ");

	rest = rest ? str_after_prefix(rest, path) : NULL;
	return rest && *rest == ' ';
}

static void serve(struct connection *c)
{
	struct server *s = c->server;

	s->requests++;
	str_copy(s->last_request, sizeof(s->last_request), c->request);
	if (asks_for(c, "/flood")) {
		answer(c, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
		flood(c);
	} else if (asks_for(c, "/endless-head")) {
		answer(c, "HTTP/1.1 200 OK\r\nX-Long: ");
		flood(c);
	} else if (asks_for(c, "/many-heads")) {
		answer(c, "HTTP/1.1 200 OK\r\n");
		c->many_lines = true;
		flood(c);
	} else if (asks_for(c, "/dribble")) {
		answer(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
		dribble(c);
	} else if (asks_for(c, "/redirect")) {
		answer(c,
			"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
	} else if (asks_for(c, "/continue")) {
		answer(c, "HTTP/1.1 103 Early Hints\r\n\r\n");
		answer(c, "HTTP/1.1 204 No Content\r\n\r\n");
	} else if (asks_for(c, "/reset")) {
		drop(c, true);
	} else if (asks_for(c, "/close")) {
		drop(c, false);
	} else if (asks_for(c, "/short")) {
		answer(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
		drop(c, false);
	} else if (asks_for(c, "/noise")) {
		answer(c, "220 mail.example ESMTP\r\n");
		drop(c, false);
	} else if (!asks_for(c, "/hang")) { /* "/404" */
		char text[128];

		snprintf(text, sizeof(text), "HTTP/1.1 %.3s Text\r\nContent-Length: 2\r\n\r\nok",
			c->request + strlen("GET /"));
		answer(c, text);
	}
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct connection *c = userdata;
	ssize_t n;

	if (revents & EPOLLOUT && c->sent > 0) {
		flood(c);
		return 0;
	}
	n = recv(fd, c->request + c->n, sizeof(c->request) - 1 - c->n, 0);
	if (n <= 0) {
		drop(c, false);
		return 0;
	}
	c->n += (size_t)n;
	c->request[c->n] = '\0';
	if (strstr(c->request, "\r\n\r\n"))
		serve(c);
	return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct server *s = userdata;
	struct connection *c = s->connections;
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);

	while (c->fd >= 0)
		assert_true(++c < s->connections + CONNECTIONS_MAX);
	*c = (struct connection) { .server = s };
	c->fd = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(c->fd >= 0);
	s->peer_was_announced = fixture->ports[ntohs(peer.sin_port)];
	s->accepted++;
	s->open++;
	s->most_open = MAX(s->most_open, s->open);
	assert_true(sd_event_add_io(s->event, &c->io, c->fd, EPOLLIN, on_connection, c) >= 0);
	return 0;
}

static void server_start(struct server *s, sd_event *event)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);

	*s = (struct server) { .event = event };
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		s->connections[i].fd = -1;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(s->fd >= 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &size), 0);
	assert_int_equal(listen(s->fd, 64), 0);
	s->port = ntohs(a.sin_port);
	assert_true(sd_event_add_io(event, &s->io, s->fd, EPOLLIN, on_accept, s) >= 0);
}

static void server_stop(struct server *s)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (s->connections[i].fd >= 0)
			drop(&s->connections[i], false);
	s->io = sd_event_source_disable_unref(s->io);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* --- the prober ----------------------------------------------------------------------------------
 */

static void on_result(
	void *userdata, const char *unit, int status, uint64_t took_ns, const char *text)
{
	struct fixture *f = userdata;

	f->last.n++;
	f->last.status = status;
	f->last.took_ns = took_ns;
	str_copy(f->last.unit, sizeof(f->last.unit), unit);
	str_copy(f->last.text, sizeof(f->last.text), text);
	if (f->stop_in_callback)
		prober_stop(f->prober, unit);
}

static bool is_wanted(void *userdata, const char *unit)
{
	struct fixture *f = userdata;

	f->n_asked++;
	return !f->unwanted;
}

static void on_port(void *userdata, uint16_t port, bool in_use)
{
	struct fixture *f = userdata;

	assert_true(port > 0);
	assert_true(f->ports[port] != in_use);
	f->ports[port] = in_use;
	f->n_ports += in_use ? 1 : -1u;
	f->ports_ever += in_use;
}

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct prober_handler handler = {
		.userdata = f, .on_result = on_result, .on_port = on_port, .is_wanted = is_wanted
	};

	assert_non_null(f);
	fixture = f;
	f->n_fds = count_fds();
	assert_true(sd_event_new(&f->event) >= 0);
	server_start(&f->server, f->event);
	assert_int_equal(prober_new(&f->prober, f->event, &handler), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	prober_free(f->prober);
	assert_int_equal(f->n_ports, 0); /* each was given back */
	server_stop(&f->server);
	sd_event_unref(f->event);
	assert_int_equal(count_fds(), f->n_fds);
	free(f);
	return 0;
}

/* Probes once, at once. */
static const struct result *ask(struct fixture *f, const char *target, uint64_t timeout_ns)
{
	unsigned int n = f->last.n;

	assert_int_equal(prober_start(f->prober, "a.service", target, NEVER, timeout_ns), 0);
	assert_int_equal(prober_now(f->prober, "a.service"), 0);
	LOOP_UNTIL(f->event, f->last.n > n);
	assert_string_equal(f->last.unit, "a.service");
	return &f->last;
}

static const struct result *ask_path(struct fixture *f, const char *path, uint64_t timeout_ns)
{
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->server.port, path);
	return ask(f, url, timeout_ns);
}

static void answers(void **state)
{
	static const struct {
		const char *path;
		int status;
		const char *text;
	} rows[] = {
		{ "/200", MEND_OK, "HTTP 200 after " },
		{ "/204", MEND_OK, "HTTP 204 after " },
		{ "/404", MEND_OK, "HTTP 404 after " },
		{ "/499", MEND_OK, "HTTP 499 after " },
		{ "/redirect", MEND_OK, "HTTP 302 after " },
		{ "/continue", MEND_OK, "HTTP 204 after " },
		{ "/500", MEND_CRITICAL, "HTTP 500 after " },
		{ "/503", MEND_CRITICAL, "HTTP 503 after " },
		{ "/599", MEND_CRITICAL, "HTTP 599 after " },
		{ "/reset", MEND_CRITICAL, "Connection reset by peer" },
		{ "/close", MEND_CRITICAL, "Empty reply" },
		{ "/short", MEND_CRITICAL, "with 7 bytes" },
		{ "/noise", MEND_CRITICAL, "HTTP/0.9" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct result *r = ask_path(f, rows[i].path, 10 * SECOND);

		CHECK_ROW(r->status == rows[i].status, rows[i].path);
		CHECK_ROW(strstr(r->text, rows[i].text), r->text);
		/* One question each: nothing was followed, nothing tried again. */
		CHECK_ROW(f->server.requests == i + 1, rows[i].path);
		CHECK_ROW(f->server.peer_was_announced, rows[i].path);
		assert_true(r->took_ns < 10 * SECOND);
	}
	assert_int_equal(f->ports_ever, ARRAY_SIZE(rows));
	LOOP_UNTIL(f->event, f->n_ports == 0);
}

static void the_request(void **state)
{
	struct fixture *f = *state;
	char host[64];

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	assert_int_equal(ask_path(f, "/200/../x?q=%20", 10 * SECOND)->status, MEND_OK);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", f->server.port);
	assert_non_null(
		str_after_prefix(f->server.last_request, "GET /200/../x?q=%20 HTTP/1.1\r\n"));
	assert_non_null(strstr(f->server.last_request, host));
	assert_non_null(
		strstr(f->server.last_request, "\r\nUser-Agent: mendd/" MENDD_VERSION "\r\n"));
	assert_non_null(strstr(f->server.last_request, "\r\nConnection: close\r\n"));
}

static void too_late(void **state)
{
	struct fixture *f = *state;
	const struct result *r;

	r = ask_path(f, "/hang", 200 * MS);
	assert_int_equal(r->status, MEND_CRITICAL);
	assert_string_equal(r->text, "connected, but no answer within 200ms");
	assert_true(r->took_ns >= 200 * MS && r->took_ns < 5 * SECOND);
	r = ask_path(f, "/dribble", 200 * MS);
	assert_int_equal(r->status, MEND_CRITICAL);
	assert_string_equal(r->text, "HTTP 200, but not all of the answer within 200ms");
	/* Gave up means: closed. */
	LOOP_UNTIL(f->event, f->server.open == 0);
}

/* The server would go on for ever; what is too much is not read. */
static void too_much(void **state)
{
	struct fixture *f = *state;
	const struct result *r;

	r = ask_path(f, "/flood", 15 * SECOND);
	assert_int_equal(r->status, MEND_OK);
	assert_non_null(str_after_prefix(r->text, "HTTP 200 after "));
	LOOP_UNTIL(f->event, f->server.open == 0);
	/* A head without an end is no answer. */
	r = ask_path(f, "/endless-head", 15 * SECOND);
	assert_int_equal(r->status, MEND_CRITICAL);
	assert_string_equal(r->text, "the head of the answer has no end");
	LOOP_UNTIL(f->event, f->server.open == 0);
	r = ask_path(f, "/many-heads", 15 * SECOND);
	assert_int_equal(r->status, MEND_CRITICAL);
	assert_string_equal(r->text, "the head of the answer has no end");
	LOOP_UNTIL(f->event, f->server.open == 0);
}

static void nobody_there(void **state)
{
	struct fixture *f = *state;
	char target[64];

	server_stop(&f->server);
	for (int tcp = 0; tcp < 2; tcp++) {
		snprintf(target, sizeof(target), "%s://127.0.0.1:%u%s", tcp ? "tcp" : "http",
			f->server.port, tcp ? "" : "/200");
		assert_int_equal(ask(f, target, 10 * SECOND)->status, MEND_CRITICAL);
		assert_string_equal(f->last.text, "no connection: Connection refused");
	}
}

static void mere_connections(void **state)
{
	struct fixture *f = *state;
	char target[64];

	snprintf(target, sizeof(target), "tcp://127.0.0.1:%u", f->server.port);
	assert_int_equal(ask(f, target, 10 * SECOND)->status, MEND_OK);
	assert_non_null(str_after_prefix(f->last.text, "connected after "));
	/* It came, said nothing, and left. */
	LOOP_UNTIL(f->event, f->server.accepted == 1 && f->server.open == 0);
	assert_int_equal(f->server.requests, 0);
	assert_true(f->server.peer_was_announced);
	assert_int_equal(f->n_ports, 0);
}

/* A queue that is full: the handshake is not completed. */
static void no_handshake(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[3];
	socklen_t size = sizeof(a);
	char target[64];

	assert_int_equal(bind(listener, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &size), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fds[i], (struct sockaddr *)&a, size);
	}
	snprintf(target, sizeof(target), "tcp://127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(ask(f, target, 200 * MS)->status, MEND_CRITICAL);
	assert_string_equal(f->last.text, "no connection within 200ms");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(listener);
}

static void what_is_no_target(void **state)
{
	static const char *const targets[] = { "", "http:/x", "ftp://127.0.0.1/", "tcp://",
		"tcp://localhost", "tcp://127.0.0.1:80/x", "file:///etc/passwd", "HTTP",
		"unix:///x" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		CHECK_ROW(
			prober_start(f->prober, "a.service", targets[i], SECOND, SECOND) == -EINVAL,
			targets[i]);
	assert_int_equal(prober_now(f->prober, "a.service"), -ENOENT);
	/* Of the right form, and still nothing that can be asked: that is not the unit's fault. */
	assert_int_equal(ask(f, "http://[bad/", SECOND)->status, MEND_UNKNOWN);
	assert_int_equal(ask(f, "tcp://127.0.0.1:99999", SECOND)->status, MEND_UNKNOWN);
}

static void this_host_cannot_ask(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, small;
	int fd;

	assert_int_equal(ask_path(f, "/200", 10 * SECOND)->status, MEND_OK);
	LOOP_UNTIL(f->event, f->server.open == 0);
	/* Not one file descriptor more. */
	fd = dup(0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	small = (struct rlimit) { .rlim_cur = (rlim_t)fd, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	ask_path(f, "/200", 10 * SECOND);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(f->last.status, MEND_UNKNOWN);
	assert_string_equal(f->last.text, "no connection: Too many open files");
}

static void never_over_itself(void **state)
{
	struct fixture *f = *state;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hang", f->server.port);
	assert_int_equal(prober_start(f->prober, "a.service", url, 20 * MS, 100 * MS), 0);
	/* Asked for again and again, too. */
	while (f->last.n < 4) {
		prober_now(f->prober, "a.service");
		assert_true(sd_event_run(f->event, 5000) >= 0);
	}
	/* One that is about to be closed, and the next. */
	assert_true(f->server.most_open <= 2);
	assert_true(f->ports_ever <= f->last.n + 1);
}

static void goes_on_at_its_interval(void **state)
{
	struct fixture *f = *state;
	uint64_t begin_ns = clock_monotonic_ns();
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/200", f->server.port);
	assert_int_equal(prober_start(f->prober, "a.service", url, 100 * MS, SECOND), 0);
	LOOP_UNTIL(f->event, f->last.n == 6);
	/* Five intervals at least 90 ms long; the first began at random. */
	assert_true(clock_monotonic_ns() - begin_ns >= 450 * MS);
	prober_stop(f->prober, "a.service");
	prober_stop(f->prober, "a.service");
	assert_int_equal(prober_now(f->prober, "a.service"), -ENOENT);
}

static void not_while_it_does_not_run(void **state)
{
	struct fixture *f = *state;
	char url[64];

	f->unwanted = true;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/200", f->server.port);
	assert_int_equal(prober_start(f->prober, "a.service", url, 50 * MS, SECOND), 0);
	LOOP_UNTIL(f->event, f->n_asked == 3);
	assert_int_equal(f->server.accepted, 0);
	assert_int_equal(f->last.n, 0);
	f->unwanted = false;
	LOOP_UNTIL(f->event, f->last.n == 1);
	assert_int_equal(f->last.status, MEND_OK);
}

static void so_many_at_once(void **state)
{
	enum { UNITS = 40 };
	struct fixture *f = *state;
	char url[64], unit[32];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hang", f->server.port);
	for (int i = 0; i < UNITS; i++) {
		snprintf(unit, sizeof(unit), "u%d.service", i);
		assert_int_equal(prober_start(f->prober, unit, url, NEVER, SECOND), 0);
		assert_int_equal(prober_now(f->prober, unit), 0);
	}
	LOOP_UNTIL(f->event, f->server.open == PROBES_AT_ONCE);
	assert_int_equal(f->n_ports, PROBES_AT_ONCE);
	/* Those that wait can go as well as those that are under way. */
	for (int i = 0; i < UNITS; i += 2) {
		snprintf(unit, sizeof(unit), "u%d.service", i);
		prober_stop(f->prober, unit);
	}
	LOOP_UNTIL(f->event, f->last.n == UNITS / 2);
	assert_true(f->n_ports == 0);
}

static void stopped_under_way(void **state)
{
	struct fixture *f = *state;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hang", f->server.port);
	assert_int_equal(prober_start(f->prober, "a.service", url, NEVER, 10 * SECOND), 0);
	assert_int_equal(prober_now(f->prober, "a.service"), 0);
	LOOP_UNTIL(f->event, f->server.requests == 1);
	prober_stop(f->prober, "a.service");
	assert_int_equal(f->n_ports, 0);
	LOOP_UNTIL(f->event, f->server.open == 0);
	assert_int_equal(f->last.n, 0);
	/* And from within its own result. */
	f->stop_in_callback = true;
	ask_path(f, "/200", 10 * SECOND);
	assert_int_equal(prober_now(f->prober, "a.service"), -ENOENT);
	/* And by the end of the prober: see teardown. */
	f->stop_in_callback = false;
	assert_int_equal(prober_start(f->prober, "b.service", url, NEVER, 10 * SECOND), 0);
	assert_int_equal(prober_now(f->prober, "b.service"), 0);
	LOOP_UNTIL(f->event, f->server.requests == 3);
}

/* --- certificates, with a server that is not ours -----------------------------------------------
 */

static pid_t spawn(char *const *argv, int *ret_out)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		/* s_server ends with its standard input: it keeps the other end. */
		dup2(fds[1], STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	*ret_out = fds[0];
	return pid;
}

static bool run_to_end(char *const *argv)
{
	int out, status;
	pid_t pid = spawn(argv, &out);

	close(out);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void certificates(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/mendd-probe-XXXXXX", key[64], cert[64], line[256], target[64];
	char *make[] = { "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
		"/CN=localhost", "-days", "2", "-keyout", key, "-out", cert, NULL };
	char *server[] = { "openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-key", key,
		"-cert", cert, NULL };
	const char *port = NULL;
	FILE *out;
	pid_t pid;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(key, sizeof(key), "%s/key", dir);
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	if (!run_to_end(make)) {
		rmdir(dir);
		print_message("openssl(1) is missing\n");
		skip();
	}
	pid = spawn(server, &fd);
	out = fdopen(fd, "r");
	assert_non_null(out);
	while (!port && fgets(line, sizeof(line), out))
		port = str_after_prefix(line, "ACCEPT 127.0.0.1:");
	assert_non_null(port);
	snprintf(target, sizeof(target), "https://127.0.0.1:%d/", atoi(port));
	ask(f, target, 15 * SECOND);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fclose(out);
	unlink(key);
	unlink(cert);
	rmdir(dir);
	/* Signed by nobody, and for another name: that it answers is what was asked. */
	assert_int_equal(f->last.status, MEND_OK);
	assert_non_null(strstr(f->last.text, "HTTP 200 after "));
	/* Who speaks no TLS, though, does not answer. */
	snprintf(target, sizeof(target), "https://127.0.0.1:%u/200", f->server.port);
	ask(f, target, 15 * SECOND);
	assert_int_equal(f->last.status, MEND_CRITICAL);
}

/* --- a name server that is silent ----------------------------------------------------------------
 */

static bool write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	return file && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* A network of our own, in which 127.0.0.1:53 takes questions and never answers. */
static int silent_name_server(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(53) };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	char path[] = "/tmp/mendd-resolv-XXXXXX", names[] = "/tmp/mendd-nsswitch-XXXXXX";
	int fd;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		return -errno;
	close(mkstemp(path));
	close(mkstemp(names));
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		!write_file(path, "nameserver 127.0.0.1\noptions timeout:3 attempts:1\n") ||
		!write_file(names, "hosts: files dns\n") ||
		mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0 ||
		mount(names, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) < 0)
		return -errno;
	unlink(path);
	unlink(names);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ||
		bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return fd;
}

static void names_that_take_long(void **state)
{
	struct fixture *f = *state;
	uint64_t longest_ns = 0, begin_ns;
	char question[512];
	unsigned int n_fds;
	int fd;

	/* Then libcurl has what it keeps open; what comes on top is the resolver's. */
	ask_path(f, "/200", 10 * SECOND);
	LOOP_UNTIL(f->event, f->server.open == 0);
	n_fds = count_fds();
	fd = silent_name_server();
	if (fd < 0) {
		print_message("no namespaces: %s\n", strerror(-fd));
		skip();
	}
	assert_int_equal(
		prober_start(f->prober, "a.service", "http://name.example:80/", NEVER, 300 * MS),
		0);
	assert_int_equal(prober_now(f->prober, "a.service"), 0);
	begin_ns = clock_monotonic_ns();
	/* The loop has something to do all the time; how long does it ever stand still? */
	while (f->last.n == 1 && clock_monotonic_ns() - begin_ns < 20 * SECOND) {
		uint64_t before = clock_monotonic_ns();

		assert_true(sd_event_run(f->event, 1000) >= 0);
		longest_ns = MAX(longest_ns, clock_monotonic_ns() - before);
	}
	assert_int_equal(f->last.n, 2);
	assert_int_equal(f->last.status, MEND_UNKNOWN); /* that is not the unit's fault */
	assert_string_equal(f->last.text, "the name was not resolved within 300ms");
	/* The resolver takes 3 s; had it been waited for, it would show here. */
	assert_true(longest_ns < 1500 * MS);
	assert_true(recv(fd, question, sizeof(question), MSG_DONTWAIT) > 0);
	close(fd);
	/* The thread that was left to itself cleans up when the resolver gives up. */
	LOOP_UNTIL(f->event, count_fds() <= n_fds);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers),
		TEST(the_request),
		TEST(too_late),
		TEST(too_much),
		TEST(nobody_there),
		TEST(mere_connections),
		TEST(no_handshake),
		TEST(what_is_no_target),
		TEST(this_host_cannot_ask),
		TEST(never_over_itself),
		TEST(goes_on_at_its_interval),
		TEST(not_while_it_does_not_run),
		TEST(so_many_at_once),
		TEST(stopped_under_way),
		TEST(certificates),
		/* the last: it leaves our network */
		TEST(names_that_take_long),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
