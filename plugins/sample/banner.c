/* SPDX-License-Identifier: MIT */
/*
 * A sample check: "banner SOCKET TEXT" connects to a UNIX socket and wants TEXT in the first bytes
 *that come back within the time. Many daemons greet whoever connects (SMTP, FTP, SSH, Redis'
 *cousins).
 *
 * It shows what most checks are made of:
 *
 *	- run() begins and returns at once; it never waits,
 *	- the host says when there is something to read, and when the time is up,
 *	- every run ends in exactly one check_report(), after which nothing of it is left,
 *	- cancel() lets go of a run whose verdict nobody wants any more,
 *	- what the administrator got wrong is MEND_UNKNOWN with a helpful text, not an error of the
 *	  plugin: errors set the plugin aside for everybody.
 */
#include <mendd-plugin.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One run. The ticket is how the host knows it; we keep them in a list to find them again. */
struct run {
	struct banner *banner;
	struct run *next;
	uint64_t ticket;
	uint64_t begin_ns;
	int fd;
	int64_t io, timer; /* ids of the host; one that is gone is simply ignored */
	char text[128];
};

/* The plugin: one of these for as long as the daemon runs. */
struct banner {
	const struct mend_services *services;
	struct mend_host *host;
	struct run *runs;
};

/* Ends a run: gives everything back first, reports last, because the host may start the next run,
 * or cancel this one, from inside of check_report(). */
static void conclude(struct run *x, int32_t status, const char *text)
{
	struct banner *b = x->banner;
	const struct mend_services *s = b->services;
	uint64_t ticket = x->ticket;
	char perfdata[64];
	struct mend_verdict verdict = {
		.size = sizeof(verdict), /* always: so the host knows which members you know */
		.status = status,
		.text = text,
		.perfdata = perfdata,
	};

	snprintf(perfdata, sizeof(perfdata), "time=%.6fs",
		(double)(s->now_ns() - x->begin_ns) / 1e9);
	for (struct run **at = &b->runs; *at; at = &(*at)->next)
		if (*at == x) {
			*at = x->next;
			break;
		}
	s->io_del(b->host, x->io); /* before close() */
	s->timer_del(b->host, x->timer);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
	if (ticket)
		s->check_report(b->host, ticket, &verdict);
}

static void on_readable(void *userdata, int32_t fd, uint32_t revents)
{
	struct run *x = userdata;
	char answer[512];
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conclude(x, MEND_CRITICAL, "it hung up without a word");
		return;
	}
	answer[n] = '\0';
	if (strstr(answer, x->text))
		conclude(x, MEND_OK, "it greets as expected");
	else
		conclude(x, MEND_CRITICAL, "it greets with something else");
	(void)revents;
}

static void on_time(void *userdata, uint64_t now_ns)
{
	conclude(userdata, MEND_CRITICAL, "no greeting in time");
	(void)now_ns;
}

static int32_t banner_run(void *plugin, const struct mend_check_request *request, uint64_t ticket)
{
	struct banner *b = plugin;
	const struct mend_services *s = b->services;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *space = strchr(request->arguments, ' ');
	struct run *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->banner = b;
	x->ticket = ticket;
	x->begin_ns = s->now_ns();
	x->fd = -1;
	x->next = b->runs;
	b->runs = x;
	if (!space || (size_t)(space - request->arguments) >= sizeof(address.sun_path)) {
		conclude(x, MEND_UNKNOWN, "usage: banner SOCKET TEXT");
		return 0;
	}
	/* The request is borrowed for this call: what is needed later is copied. */
	memcpy(address.sun_path, request->arguments, (size_t)(space - request->arguments));
	snprintf(x->text, sizeof(x->text), "%s", space + 1);

	x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (x->fd < 0) {
		conclude(x, MEND_UNKNOWN, strerror(errno));
		return 0;
	}
	if (connect(x->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		conclude(x, MEND_CRITICAL, strerror(errno));
		return 0;
	}
	x->io = s->io_add(b->host, x->fd, MEND_IO_IN, on_readable, x);
	x->timer = s->timer_add(b->host, x->begin_ns + request->timeout_ns, on_time, x);
	if (x->io < 0 || x->timer < 0)
		conclude(x, MEND_UNKNOWN, "the host has no room for another fd or timer");
	return 0;
}

static void banner_cancel(void *plugin, uint64_t ticket)
{
	struct banner *b = plugin;

	for (struct run *x = b->runs; x; x = x->next)
		if (x->ticket == ticket) {
			x->ticket = 0; /* no report */
			conclude(x, MEND_UNKNOWN, "");
			return;
		}
}

static int32_t banner_create(
	const struct mend_services *services, struct mend_host *host, void **ret)
{
	struct banner *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->services = services;
	b->host = host;
	*ret = b;
	return 0;
}

static void banner_destroy(void *plugin)
{
	struct banner *b = plugin;

	while (b->runs) {
		b->runs->ticket = 0;
		conclude(b->runs, MEND_UNKNOWN, "");
	}
	free(b);
}

static const struct mend_check banner_check = {
	.size = sizeof(banner_check),
	.run = banner_run,
	.cancel = banner_cancel,
};

MEND_EXPORT const struct mend_plugin mend_plugin_v1 = {
	.size = sizeof(mend_plugin_v1),
	.major = MEND_ABI_MAJOR,
	.minor = 0, /* uses nothing that came later */
	.kind = MEND_KIND_CHECK,
	.name = "banner",
	.version = "1",
	.summary = "sample: wants a greeting from a UNIX socket",
	.create = banner_create,
	.destroy = banner_destroy,
	.check = &banner_check,
};
