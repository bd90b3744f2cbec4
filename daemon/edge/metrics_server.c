/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See metrics_server.h. libmicrohttpd runs without its own thread and without its own listening
 * socket: its epoll fd is a source of the loop, its timeout is a timer, and connections are
 * accepted here, so that several sockets can share one set of limits. What it serves is in
 * metrics_answer.c.
 */
#include "metrics_server.h"
#include "metrics_answer.h"
#include "../base/clock.h"
#include "../base/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

enum {
	ACCEPTS_AT_ONCE = 32, /* then the loop sees to its other sources first */
	ACCEPT_PAUSE_SEC = 1, /* out of descriptors: level-triggered, it would spin */
	BACKLOG = 128,
	LOG_SIZE = 256,
	PRIORITY = SD_EVENT_PRIORITY_NORMAL + 10, /* a death is more urgent than a scrape */
};

struct listener {
	int fd;                  /* owned */
	sd_event_source *source; /* owned */
};

/* Beside libmicrohttpd's own: it knows of idleness only, and a client that sends one byte a second
 * is never idle. */
struct connection {
	struct metrics_server *server; /* borrowed */
	struct connection *previous, *next;
	int fd; /* borrowed: libmicrohttpd's */
	uint64_t deadline_ns;
	bool cut;
};

struct metrics_server {
	sd_event *event; /* owned reference */
	struct MHD_Daemon *daemon;
	sd_event_source *epoll, *timer; /* owned */
	struct listener listeners[METRICS_LISTENERS_MAX];
	size_t n_listeners;
	bool accept_paused;
	uint64_t accept_again_ns;
	struct connection *connections; /* owned; a list */
	struct answers answers;
};

static void on_log(void *userdata, const char *format, va_list ap)
{
	char line[LOG_SIZE];
	size_t n;

	/* Its messages are about clients' mistakes: nothing that an administrator must mend. */
	if (log_level() < LOG_DEBUG)
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(line, sizeof(line), format, ap);
#pragma GCC diagnostic pop
	n = strcspn(line, "\n");
	log_debug("metrics: %.*s", (int)n, line);
}

static uint64_t request_deadline(void)
{
	return clock_monotonic_ns() + METRICS_REQUEST_SEC * NSEC_PER_SEC;
}

static void on_connection(void *userdata, struct MHD_Connection *c, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct metrics_server *s = userdata;
	struct connection *one = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

		one = calloc(1, sizeof(*one));
		if (!one || !info) { /* the limit of idle time still holds for it */
			free(one);
			return;
		}
		*one = (struct connection) {
			.server = s,
			.next = s->connections,
			.fd = info->connect_fd,
			.deadline_ns = request_deadline(),
		};
		if (one->next)
			one->next->previous = one;
		s->connections = one;
		*socket_context = one;
	} else if (one) {
		if (one->previous)
			one->previous->next = one->next;
		else
			s->connections = one->next;
		if (one->next)
			one->next->previous = one->previous;
		free(one);
		*socket_context = NULL;
	}
}

static void on_completed(void *userdata, struct MHD_Connection *c, void **request_context,
	enum MHD_RequestTerminationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct connection *one = info ? info->socket_context : NULL;

	if (one)
		one->deadline_ns = request_deadline();
}

/* Ends connections that are late, and says when the next one is: TIME_INFINITY for none. */
static uint64_t cut_late(struct metrics_server *s, uint64_t now_ns)
{
	uint64_t next_ns = TIME_INFINITY;

	for (struct connection *c = s->connections; c; c = c->next) {
		if (c->cut)
			continue;
		if (c->deadline_ns <= now_ns) {
			/* libmicrohttpd sees the end of it at its next turn, and closes. */
			shutdown(c->fd, SHUT_RDWR);
			c->cut = true;
			s->answers.counters.cut++;
			continue;
		}
		next_ns = MIN(next_ns, c->deadline_ns);
	}
	return next_ns;
}

static void pause_accept(struct metrics_server *s, bool pause)
{
	s->accept_paused = pause;
	if (pause)
		s->accept_again_ns = clock_monotonic_ns() + ACCEPT_PAUSE_SEC * NSEC_PER_SEC;
	for (size_t i = 0; i < s->n_listeners; i++)
		sd_event_source_set_enabled(
			s->listeners[i].source, pause ? SD_EVENT_OFF : SD_EVENT_ON);
}

/* Lets libmicrohttpd work, and arranges for its next turn. */
static int run(struct metrics_server *s)
{
	uint64_t now_ns = clock_monotonic_ns(), wake_ns;
	MHD_UNSIGNED_LONG_LONG timeout_msec;
	int r;

	if (s->accept_paused && now_ns >= s->accept_again_ns)
		pause_accept(s, false);
	wake_ns = cut_late(s, now_ns);
	MHD_run(s->daemon);
	wake_ns = MIN(wake_ns, answers_expire(&s->answers, now_ns));
	if (MHD_get_timeout(s->daemon, &timeout_msec) == MHD_YES)
		wake_ns = MIN(wake_ns, now_ns + timeout_msec * NSEC_PER_MSEC);
	if (s->accept_paused)
		wake_ns = MIN(wake_ns, s->accept_again_ns);
	if (wake_ns == TIME_INFINITY)
		return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	/* Rounded up: waking before the time would find nothing to do, and again. */
	r = sd_event_source_set_time(s->timer, wake_ns / NSEC_PER_USEC + 1);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int on_epoll(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	run(userdata);
	return 0; /* whatever happens here, the loop goes on */
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	run(userdata);
	return 0;
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct metrics_server *s = userdata;

	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct sockaddr_storage address = {};
		socklen_t size = sizeof(address);
		int client = accept4(
			fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				errno == ENOBUFS)
				pause_accept(s, true);
			if (errno != ECONNABORTED && errno != EINTR)
				break;
			continue;
		}
		/* Closes the client where a limit refuses it. */
		if (MHD_add_connection(s->daemon, client, (struct sockaddr *)&address, size) !=
			MHD_YES)
			s->answers.counters.refused++;
	}
	run(s);
	return 0;
}

int metrics_server_listen(struct metrics_server *s, int listen_fd)
{
	struct listener *l = &s->listeners[s->n_listeners];
	int r;

	if (s->n_listeners == METRICS_LISTENERS_MAX)
		return -ENOSPC;
	r = sd_is_socket(listen_fd, AF_UNSPEC, SOCK_STREAM, 1);
	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	/* Accepting happens in a loop until there is nothing left. */
	r = fcntl(listen_fd, F_GETFL);
	if (r < 0 || fcntl(listen_fd, F_SETFL, r | O_NONBLOCK) < 0)
		return -errno;
	r = sd_event_add_io(s->event, &l->source, listen_fd, EPOLLIN, on_listener, s);
	if (r < 0)
		return r;
	sd_event_source_set_priority(l->source, PRIORITY);
	sd_event_source_set_description(l->source, "metrics-listener");
	l->fd = listen_fd;
	s->n_listeners++;
	return 0;
}

static int bind_one(const struct sockaddr *address, socklen_t size)
{
	_cleanup_close_ int fd = -1;
	int on = 1;

	fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (address->sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, address, size) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Both loopback addresses, because "localhost" is one or the other. */
static int listen_by_ourselves(struct metrics_server *s)
{
	const struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(METRICS_PORT),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	const struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_port = htons(METRICS_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct {
		const struct sockaddr *address;
		socklen_t size;
	} both[] = {
		{ (const struct sockaddr *)&six, sizeof(six) },
		{ (const struct sockaddr *)&four, sizeof(four) },
	};
	int last = -EADDRNOTAVAIL;

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		_cleanup_close_ int fd = bind_one(both[i].address, both[i].size);
		int r;

		if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) {
			last = fd; /* this host lacks the family */
			fd = -1;
			continue;
		}
		if (fd < 0) {
			r = fd;
			fd = -1;
			return r;
		}
		r = metrics_server_listen(s, fd);
		if (r < 0)
			return r;
		TAKE_FD(fd);
	}
	return s->n_listeners > 0 ? 0 : last;
}

static int start_daemon(struct metrics_server *s)
{
	const union MHD_DaemonInfo *info;
	int r;

	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG,
		0, NULL, NULL, answers_on_request, &s->answers, MHD_OPTION_EXTERNAL_LOGGER, on_log,
		s, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)METRICS_CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned int)METRICS_CONNECTIONS_PER_ADDRESS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)METRICS_IDLE_SEC,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)METRICS_CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, s, MHD_OPTION_END);
	if (!s->daemon)
		return -EIO; /* it gives no reason; lack of memory or descriptors */
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return -EOPNOTSUPP;
	r = sd_event_add_io(s->event, &s->epoll, info->epoll_fd, EPOLLIN, on_epoll, s);
	if (r < 0)
		return r;
	sd_event_source_set_priority(s->epoll, PRIORITY);
	sd_event_source_set_description(s->epoll, "metrics");
	/* Accuracy of 1 ms; the default of 250 would make the last bytes of an answer late. */
	r = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, s);
	if (r < 0)
		return r;
	sd_event_source_set_priority(s->timer, PRIORITY);
	sd_event_source_set_description(s->timer, "metrics-timer");
	return 0;
}

static void freep_server(struct metrics_server **s)
{
	metrics_server_free(*s);
}

int metrics_server_new(
	struct metrics_server **ret, sd_event *event, const struct world *w, int listen_fd)
{
	_cleanup_(freep_server) struct metrics_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->answers.world = w;
	r = start_daemon(s);
	if (r < 0)
		return r;
	r = listen_fd >= 0 ? metrics_server_listen(s, listen_fd) : listen_by_ourselves(s);
	if (r < 0)
		return r;
	r = run(s);
	if (r < 0) {
		if (listen_fd >= 0)
			s->listeners[0].fd = -1; /* still the caller's */
		return r;
	}
	*ret = TAKE_PTR(s);
	return 0;
}

uint64_t metrics_server_requests(const struct metrics_server *s)
{
	return s->answers.counters.requests;
}

struct metrics_server *metrics_server_free(struct metrics_server *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_listeners; i++) {
		sd_event_source_disable_unref(s->listeners[i].source);
		if (s->listeners[i].fd >= 0)
			close(s->listeners[i].fd);
	}
	sd_event_source_disable_unref(s->epoll);
	sd_event_source_disable_unref(s->timer);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	answers_done(&s->answers);
	sd_event_unref(s->event);
	free(s);
	return NULL;
}
