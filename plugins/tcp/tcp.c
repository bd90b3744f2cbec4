/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Check "tcp HOST:PORT": whether a port accepts connections, and how long that takes. ok: it does;
 * critical: it refuses, or nothing answers in time; unknown: this host could not try.
 *
 * HOST is an address (IPv6 in brackets), or "localhost". Names are not looked up: that would block
 * the loop, and a check of a service must not turn into one of the name servers.
 */
#include "../builtin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct probe {
	struct tcp *tcp; /* borrowed */
	uint64_t ticket;
	uint64_t begin_ns, timeout_ns;
	int fd; /* owned */
	int64_t io, timer;
	char target[128];
	LIST_ENTRY(probe) link;
};

struct tcp {
	const struct mend_services *services;
	struct mend_host *host;
	LIST_HEAD(, probe) probes;
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static void probe_free(struct probe *x)
{
	const struct mend_services *s = x->tcp->services;

	s->io_del(x->tcp->host, x->io);
	s->timer_del(x->tcp->host, x->timer);
	if (x->fd >= 0)
		close(x->fd);
	LIST_REMOVE(x, link);
	free(x);
}

__attribute__((format(printf, 5, 6))) static void say(struct tcp *t, uint64_t ticket,
	int32_t status, const char *perfdata, const char *format, ...)
{
	char text[256];
	struct mend_verdict verdict = {
		.size = sizeof(verdict),
		.status = status,
		.text = text,
		.perfdata = perfdata,
	};
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	t->services->check_report(t->host, ticket, &verdict);
}

/* The result of connect(), now or later; x is gone afterwards. */
static void conclude(struct probe *x, int error)
{
	struct tcp *t = x->tcp;
	uint64_t took_ns = t->services->now_ns() - x->begin_ns, ticket = x->ticket;
	char target[sizeof(x->target)], perfdata[96];

	memcpy(target, x->target, sizeof(target));
	snprintf(perfdata, sizeof(perfdata), "time=%.6fs;;;0;%.3f", (double)took_ns / 1e9,
		(double)x->timeout_ns / 1e9);
	probe_free(x);
	switch (error) {
	case 0:
		say(t, ticket, MEND_OK, perfdata, "%s accepts connections (%.3f ms)", target,
			(double)took_ns / 1e6);
		break;
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
		say(t, ticket, MEND_CRITICAL, NULL, "%s: %s", target, strerror(error));
		break;
	default: /* no port, no memory, not permitted …: says nothing of the service */
		say(t, ticket, MEND_UNKNOWN, NULL, "cannot try %s: %s", target, strerror(error));
	}
}

static void on_writable(void *userdata, int32_t fd, uint32_t revents)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	conclude(userdata, error);
}

static void on_time(void *userdata, uint64_t now_ns)
{
	struct probe *x = userdata;
	struct tcp *t = x->tcp;
	uint64_t ticket = x->ticket, timeout_ns = x->timeout_ns;
	char target[sizeof(x->target)];

	memcpy(target, x->target, sizeof(target));
	x->timer = 0;
	probe_free(x);
	say(t, ticket, MEND_CRITICAL, NULL, "%s did not accept within %" PRIu64 " ms", target,
		timeout_ns / UINT64_C(1000000));
}

static int parse_port(const char *s, uint16_t *ret)
{
	char *end;
	unsigned long n;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(s, &end, 10);
	if (errno || *end || n == 0 || n > 65535)
		return -EINVAL;
	*ret = htons((uint16_t)n);
	return 0;
}

/* "HOST:PORT"; size of the address, or -EINVAL. */
static int parse(const char *s, union address *ret)
{
	char host[INET6_ADDRSTRLEN];
	const char *end, *colon;
	uint16_t port;

	if (*s == '[') {
		end = strchr(++s, ']');
		colon = end && end[1] == ':' ? end + 1 : NULL;
	} else {
		end = colon = strchr(s, ':');
	}
	if (!colon || (size_t)(end - s) >= sizeof(host) || parse_port(colon + 1, &port) < 0)
		return -EINVAL;
	memcpy(host, s, (size_t)(end - s));
	host[end - s] = '\0';
	memset(ret, 0, sizeof(*ret));
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = port;
		return sizeof(ret->v4);
	}
	if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = port;
		return sizeof(ret->v6);
	}
	return -EINVAL;
}

static int32_t tcp_run(void *plugin, const struct mend_check_request *request, uint64_t ticket)
{
	struct tcp *t = plugin;
	union address address;
	int size = parse(request->arguments, &address), error;
	struct probe *x;

	if (size < 0) {
		say(t, ticket, MEND_UNKNOWN, NULL,
			"'%.64s' is not HOST:PORT with an address or localhost",
			request->arguments);
		return 0;
	}
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->tcp = t;
	x->ticket = ticket;
	x->begin_ns = t->services->now_ns();
	x->timeout_ns = request->timeout_ns;
	snprintf(x->target, sizeof(x->target), "%s", request->arguments);
	LIST_INSERT_HEAD(&t->probes, x, link);
	x->fd = socket(
		address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	error = x->fd < 0 || connect(x->fd, &address.any, (socklen_t)size) < 0 ? errno : 0;
	if (error != EINPROGRESS) {
		conclude(x, error);
		return 0;
	}
	x->io = t->services->io_add(t->host, x->fd, MEND_IO_OUT, on_writable, x);
	x->timer = t->services->timer_add(t->host, x->begin_ns + x->timeout_ns, on_time, x);
	if (x->io < 0 || x->timer < 0)
		conclude(x, EMFILE);
	return 0;
}

static void tcp_cancel(void *plugin, uint64_t ticket)
{
	struct tcp *t = plugin;
	struct probe *x;

	LIST_FOREACH (x, &t->probes, link)
		if (x->ticket == ticket) {
			probe_free(x);
			return;
		}
}

static int32_t tcp_create(const struct mend_services *services, struct mend_host *host, void **ret)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->services = services;
	t->host = host;
	LIST_INIT(&t->probes);
	*ret = t;
	return 0;
}

static void tcp_destroy(void *plugin)
{
	struct tcp *t = plugin;
	struct probe *x;

	while ((x = LIST_FIRST(&t->probes)))
		probe_free(x);
	free(t);
}

static const struct mend_check tcp_check = {
	.size = sizeof(tcp_check),
	.run = tcp_run,
	.cancel = tcp_cancel,
};

const struct mend_plugin tcp_plugin = {
	.size = sizeof(tcp_plugin),
	.major = MEND_ABI_MAJOR,
	.minor = 0,
	.kind = MEND_KIND_CHECK,
	.name = "tcp",
	.version = MENDD_VERSION,
	.summary = "tells whether a TCP port accepts connections",
	.create = tcp_create,
	.destroy = tcp_destroy,
	.check = &tcp_check,
};
