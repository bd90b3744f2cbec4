/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See probe_transfer.h. libcurl tells which sockets it waits for and until when, the event loop
 * watches them and calls it back, and afterwards whatever has ended is collected here: never inside
 * of libcurl's own callbacks, which may not remove transfers.
 */
#include "probe_transfer.h"
#include "../base/clock.h"
#include "../base/str.h"

#include "../../plugins/mendd-plugin.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct port {
	const struct transfer *owner; /* borrowed; only compared with */
	curl_socket_t fd;
	uint16_t port;
	LIST_ENTRY(port) link;
};

struct transfers {
	sd_event *event;            /* owned reference */
	CURLM *multi;               /* owned */
	struct curl_slist *headers; /* owned */
	sd_event_source *timer;     /* owned */
	transfer_port_t on_port;
	void *userdata;          /* borrowed; of on_port */
	LIST_HEAD(, port) ports; /* owned; sockets that are open */
};

struct transfer {
	struct transfers *engine; /* borrowed */
	CURL *easy;               /* owned */
	transfer_done_t done;
	void *userdata; /* borrowed */
	uint64_t begin_ns, timeout_ns;
	bool connect_only;
	size_t received;
	unsigned int n_sockets; /* for its addresses, one after the other */
	bool head_full;
	bool full;        /* TRANSFER_BYTES_MAX were received */
	int socket_error; /* why this host gave no socket: -errno */
	char error[CURL_ERROR_SIZE];
};

int transfer_check_target(const char *target)
{
	const char *address = str_after_prefix(target, "tcp://");

	if (address)
		return *address && !strpbrk(address, "/?# ") && strchr(address, ':') ? 0 : -EINVAL;
	return str_after_prefix(target, "http://") || str_after_prefix(target, "https://")
		       ? 0
		       : -EINVAL;
}

/* --- results -------------------------------------------------------------------------------------
 */

/* "3.2ms", "850ms", "12s" */
static const char *format_took(uint64_t ns, char buf[32])
{
	double ms = (double)ns / 1e6;

	if (ms < 9.95)
		snprintf(buf, 32, "%.1fms", ms);
	else if (ms < 9999.5)
		snprintf(buf, 32, "%.0fms", ms);
	else
		snprintf(buf, 32, "%.0fs", ms / 1e3);
	return buf;
}

/* Errors of connect() that are this host's, and not the service's. */
static bool is_ours(long error)
{
	static const int ours[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM, EACCES, EADDRNOTAVAIL,
		EADDRINUSE, EAFNOSUPPORT };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (ours[i] == error)
			return true;
	return false;
}

static curl_off_t time_of(const struct transfer *t, CURLINFO info)
{
	curl_off_t usec = 0;

	curl_easy_getinfo(t->easy, info, &usec);
	return usec;
}

static int conclude_timeout(const struct transfer *t, long code, char *text, size_t size)
{
	char limit[32];

	if (t->timeout_ns % NSEC_PER_SEC == 0)
		snprintf(limit, sizeof(limit), "%" PRIu64 "s", t->timeout_ns / NSEC_PER_SEC);
	else
		format_took(t->timeout_ns, limit);
	if (t->n_sockets == 0) {
		snprintf(text, size, "the name was not resolved within %s", limit);
		return MEND_UNKNOWN;
	}
	if (time_of(t, CURLINFO_CONNECT_TIME_T) == 0)
		snprintf(text, size, "no connection within %s", limit);
	else if (code)
		snprintf(text, size, "HTTP %ld, but not all of the answer within %s", code, limit);
	else
		snprintf(text, size, "connected, but no answer within %s", limit);
	return MEND_CRITICAL;
}

/* CURLE_TOO_LARGE of libcurl 8.6, which older headers do not have. */
#define TOO_LARGE ((CURLcode)100)

static int conclude_error(const struct transfer *t, CURLcode result, char *text, size_t size)
{
	long error = 0;

	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
	if (t->n_sockets == 0 && t->socket_error)
		error = -t->socket_error;
	if (result == CURLE_COULDNT_CONNECT && error)
		snprintf(text, size, "no connection: %s", strerror((int)error));
	else if (t->head_full || result == TOO_LARGE ||
		 (result == CURLE_OUT_OF_MEMORY && t->n_sockets > 0))
		/* A single line that is too long is "out of memory" to libcurl before 8.6. */
		snprintf(text, size, "the head of the answer has no end");
	else
		snprintf(text, size, "%s", *t->error ? t->error : curl_easy_strerror(result));
	/* It did not come to asking: the name, our limits, our network. */
	return t->n_sockets == 0 || (result == CURLE_COULDNT_CONNECT && is_ours(error))
		       ? MEND_UNKNOWN
		       : MEND_CRITICAL;
}

static int conclude(
	const struct transfer *t, CURLcode result, uint64_t took_ns, char *text, size_t size)
{
	char took[32];
	long code = 0;

	format_took(took_ns, took);
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &code);
	if (result == CURLE_WRITE_ERROR && t->full && !t->head_full)
		result = CURLE_OK;
	if (result == CURLE_OPERATION_TIMEDOUT)
		return conclude_timeout(t, code, text, size);
	if (result != CURLE_OK)
		return conclude_error(t, result, text, size);
	if (t->connect_only) {
		snprintf(text, size, "connected after %s", took);
		return MEND_OK;
	}
	snprintf(text, size, "HTTP %ld after %s", code, took);
	return code >= 200 && code < 500 ? MEND_OK : MEND_CRITICAL;
}

/* Collects what has ended. Callbacks may begin and free transfers meanwhile. */
static void collect(struct transfers *e)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(e->multi, &left))) {
		CURLcode result = m->data.result;
		struct transfer *t = NULL;
		char text[TRANSFER_TEXT_SIZE];
		transfer_done_t done;
		uint64_t took_ns;
		void *userdata;
		int status;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		took_ns = clock_since_ns(clock_monotonic_ns(), t->begin_ns);
		status = conclude(t, result, took_ns, text, sizeof(text));
		done = t->done;
		userdata = t->userdata;
		transfer_free(t);
		done(userdata, status, took_ns, text);
	}
}

/* --- libcurl and the event loop ------------------------------------------------------------------
 */

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct transfers *e = userdata;
	int mask = (revents & EPOLLIN ? CURL_CSELECT_IN : 0) |
		   (revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (revents & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
	int running;

	curl_multi_socket_action(e->multi, fd, mask, &running);
	collect(e);
	return 0;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct transfers *e = userdata;
	int running;

	curl_multi_socket_action(e->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(e);
	return 0;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *source)
{
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	struct transfers *e = userdata;
	sd_event_source *s = source;

	if (what == CURL_POLL_REMOVE) {
		sd_event_source_disable_unref(s);
		curl_multi_assign(e->multi, fd, NULL);
		return 0;
	}
	if (s)
		return sd_event_source_set_io_events(s, events) < 0 ? -1 : 0;
	if (sd_event_add_io(e->event, &s, fd, events, on_io, e) < 0)
		return -1; /* libcurl ends the transfer */
	curl_multi_assign(e->multi, fd, s);
	return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *userdata)
{
	struct transfers *e = userdata;
	uint64_t delay_usec = (uint64_t)timeout_ms * 1000;

	/* Neither can fail for a source that exists and a valid time. */
	if (timeout_ms < 0) {
		sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
		return 0;
	}
	sd_event_source_set_time(e->timer, clock_monotonic_ns() / NSEC_PER_USEC + delay_usec);
	sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
	return 0;
}

static size_t on_bytes(char *data, size_t size, size_t n, void *userdata)
{
	struct transfer *t = userdata;

	t->received += size * n;
	t->full = t->received > TRANSFER_BYTES_MAX;
	return t->full ? 0 : size * n; /* 0 ends it */
}

static size_t on_head(char *data, size_t size, size_t n, void *userdata)
{
	struct transfer *t = userdata;
	size_t taken = on_bytes(data, size, n, t);

	t->head_full = t->full;
	return taken;
}

/* --- sockets -------------------------------------------------------------------------------------
 */

/* Gives the socket a port and tells of it: the kernel's counts leave it out from its first packet.
 */
static int bind_port(struct transfer *t, int fd, int family)
{
	struct transfers *e = t->engine;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = { .any.sa_family = (sa_family_t)family };
	socklen_t size = family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);
	struct port *p;

	if (bind(fd, &a.any, size) < 0 || getsockname(fd, &a.any, &size) < 0)
		return -errno;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->owner = t;
	p->fd = fd;
	p->port = ntohs(family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
	LIST_INSERT_HEAD(&e->ports, p, link);
	e->on_port(e->userdata, p->port, true);
	return 0;
}

static curl_socket_t on_open(void *userdata, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct transfer *t = userdata;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);

	if (fd < 0) {
		t->socket_error = -errno;
		return CURL_SOCKET_BAD;
	}
	if (t->engine->on_port) {
		t->socket_error = bind_port(t, fd, a->family);
		if (t->socket_error < 0) {
			close(fd);
			return CURL_SOCKET_BAD;
		}
	}
	t->n_sockets++;
	return fd;
}

static void release_port(struct transfers *e, struct port *p)
{
	LIST_REMOVE(p, link);
	e->on_port(e->userdata, p->port, false);
	free(p);
}

static int on_close(void *userdata, curl_socket_t fd)
{
	struct transfers *e = userdata;
	struct port *p;

	close(fd);
	LIST_FOREACH (p, &e->ports, link)
		if (p->fd == fd) {
			release_port(e, p);
			break;
		}
	return 0;
}

/* libcurl closes some sockets by itself, such as those that were not connected in time. */
static void release_ports(struct transfers *e, const struct transfer *owner)
{
	struct port *p, *next;

	for (p = LIST_FIRST(&e->ports); p; p = next) {
		next = LIST_NEXT(p, link);
		if (p->owner == owner)
			release_port(e, p);
	}
}

/* --- engine and transfers ------------------------------------------------------------------------
 */

int transfers_new(struct transfers **ret, sd_event *event, transfer_port_t on_port, void *userdata)
{
	struct transfers *e;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	/* Without, looking up a name would block the loop. */
	if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS)) {
		curl_global_cleanup();
		return -EOPNOTSUPP;
	}
	e = calloc(1, sizeof(*e));
	if (!e) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	LIST_INIT(&e->ports);
	e->event = sd_event_ref(event);
	e->on_port = on_port;
	e->userdata = userdata;
	e->multi = curl_multi_init();
	/* It is true, and leaves the waiting time of the closed connection to neither side alone.
	 */
	e->headers = curl_slist_append(NULL, "Connection: close");
	r = e->multi && e->headers ? 0 : -ENOMEM;
	if (r >= 0)
		r = sd_event_add_time(event, &e->timer, CLOCK_MONOTONIC, 0, 1, on_time, e);
	if (r >= 0)
		r = sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
	if (r < 0) {
		transfers_free(e);
		return r;
	}
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
	*ret = e;
	return 0;
}

struct transfers *transfers_free(struct transfers *e)
{
	if (!e)
		return NULL;
	curl_multi_cleanup(e->multi);
	curl_slist_free_all(e->headers);
	sd_event_source_disable_unref(e->timer);
	sd_event_unref(e->event);
	free(e);
	curl_global_cleanup();
	return NULL;
}

/* libcurl has no word for a mere connection: it is a request that ends before it is sent. */
static CURLcode set_target(struct transfer *t, const char *target)
{
	const char *address = str_after_prefix(target, "tcp://");
	_cleanup_strbuf_ struct strbuf url = {};

	strbuf_add(&url, address ? "http://" : target);
	strbuf_add(&url, address ? address : "");
	if (url.error)
		return CURLE_OUT_OF_MEMORY;
	t->connect_only = address;
	curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, (long)t->connect_only);
	return curl_easy_setopt(t->easy, CURLOPT_URL, strbuf_text(&url)); /* copied */
}

static int set_options(struct transfer *t)
{
	struct transfers *e = t->engine;
	long timeout_ms = (long)(t->timeout_ns / NSEC_PER_MSEC);
	CURL *c = t->easy;

	curl_easy_setopt(c, CURLOPT_PRIVATE, t);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	/* A thread that still resolves a name when the time is over is left to itself. */
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, MAX(timeout_ms, 1));
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, MAX(timeout_ms, 1));
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	/* Its certificate names whom its users ask, not 127.0.0.1; and one that has expired is
	 * nothing that a restart would mend. Nothing secret is sent. */
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, e->headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
	/* The engine: a socket may be closed after its transfer has gone. */
	curl_easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(c, CURLOPT_CLOSESOCKETDATA, e);
	/* These allocate. An empty proxy is none, also not that of the environment. */
	if (curl_easy_setopt(c, CURLOPT_PROXY, "") != CURLE_OK ||
		curl_easy_setopt(c, CURLOPT_USERAGENT, "mendd/" MENDD_VERSION) != CURLE_OK ||
		curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK)
		return -ENOMEM;
	return 0;
}

int transfer_new(struct transfer **ret, struct transfers *e, const char *target,
	uint64_t timeout_ns, transfer_done_t done, void *userdata)
{
	struct transfer *t;
	int r;

	r = transfer_check_target(target);
	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->engine = e;
	t->done = done;
	t->userdata = userdata;
	t->timeout_ns = timeout_ns;
	t->begin_ns = clock_monotonic_ns();
	t->easy = curl_easy_init();
	r = t->easy ? set_options(t) : -ENOMEM;
	if (r >= 0 && (set_target(t, target) != CURLE_OK ||
			      curl_multi_add_handle(e->multi, t->easy) != CURLM_OK))
		r = -ENOMEM;
	if (r < 0) {
		transfer_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct transfer *transfer_free(struct transfer *t)
{
	if (!t)
		return NULL;
	if (t->easy) {
		/* Nothing happens to one that was never added. */
		curl_multi_remove_handle(t->engine->multi, t->easy);
		curl_easy_cleanup(t->easy);
		release_ports(t->engine, t);
	}
	free(t);
	return NULL;
}
