/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sink "journal": writes every record to the journal, structured.
 *
 * It speaks the journal's own protocol over a socket of its own instead of calling
 * sd_journal_sendv(), because that one can stop the loop: its socket is a blocking one, and when
 * journald does not read (it is stopped, or waits for its disk) the call waits too, for ever;
 * measured, with libsystemd 252, after as many records as net.unix.max_dgram_qlen has room for.
 * Without a socket to connect to it returns success, and the record is gone.
 *
 * Here nothing waits. What the journal does not take is kept, in order, up to a cap, and sent when
 * there is room again; above the cap the oldest are lost, and how many is said afterwards. A
 * journal that is away is no error of this plugin: it comes back.
 *
 * Configuration: Socket= (default /run/systemd/journal/socket).
 */
#include "../builtin.h"
#include "../message-ids.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

enum {
	RECORD_MAX = 32 * 1024,   /* bytes of one record: a datagram must fit into the socket buffer
				     (208 KiB by default) */
	BACKLOG_MAX = 256 * 1024, /* bytes kept while the journal does not read */
};

/* How long to wait before looking for a journal that is not there. */
#define RECONNECT_NS UINT64_C(1000000000)

struct kept {
	TAILQ_ENTRY(kept) link;
	size_t n;
	char data[];
};

struct journal {
	const struct mend_services *services;
	struct mend_host *host;
	int fd; /* owned; -1: not connected */
	int64_t io, timer;
	TAILQ_HEAD(, kept) backlog;
	size_t backlog_bytes;
	uint64_t lost; /* not said yet */
	struct sockaddr_un address;
	char record[RECORD_MAX]; /* the one being put together */
	size_t n;
};

static void flush_backlog(struct journal *j);

/* --- putting a record together ---------------------------------------------------------------- */

static void put(struct journal *j, const void *p, size_t n)
{
	memcpy(j->record + j->n, p, n);
	j->n += n;
}

/* A field that does not fit is left out whole: what is sent is always well formed. */
static void put_field(struct journal *j, const char *key, const char *value)
{
	size_t k = strlen(key), v = strlen(value);
	uint64_t size = htole64(v);

	if (j->n + k + v + 2 + sizeof(size) > sizeof(j->record))
		return;
	put(j, key, k);
	if (strchr(value, '\n')) {
		put(j, "\n", 1);
		put(j, &size, sizeof(size));
	} else {
		put(j, "=", 1);
	}
	put(j, value, v);
	put(j, "\n", 1);
}

/* What journald accepts from clients: a field of another form would make it drop the field, one
 * that contains '=' would forge another. */
static bool is_key(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n > 0 && n <= 64 && s[n] == '\0' && s[0] >= 'A' && s[0] <= 'Z';
}

static void put_record(struct journal *j, const struct mend_record *r)
{
	char priority[4];

	j->n = 0;
	snprintf(priority, sizeof(priority), "%d",
		r->priority < 0   ? 0
		: r->priority > 7 ? 7
				  : r->priority);
	put_field(j, "PRIORITY", priority);
	put_field(j, "SYSLOG_IDENTIFIER", "mendd");
	put_field(j, "MENDD_EVENT", r->kind);
	for (size_t i = 0; i < MESSAGE_KIND_COUNT; i++)
		if (strcmp(message_ids[i].kind, r->kind) == 0)
			put_field(j, "MESSAGE_ID", message_ids[i].id);
	/* From root the journal takes this as "is about that unit": journalctl -u shows it. */
	if (r->unit && *r->unit)
		put_field(j, "OBJECT_SYSTEMD_UNIT", r->unit);
	put_field(j, "MESSAGE", r->message);
	for (uint32_t i = 0; i < r->n_fields; i++)
		if (is_key(r->fields[i].key) && r->fields[i].value)
			put_field(j, r->fields[i].key, r->fields[i].value);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void disconnect(struct journal *j)
{
	j->services->io_del(j->host, j->io);
	j->io = 0;
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

static int connect_journal(struct journal *j)
{
	int r;

	if (j->fd >= 0)
		return 0;
	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (j->fd < 0)
		return -errno;
	if (connect(j->fd, (struct sockaddr *)&j->address, sizeof(j->address)) == 0)
		return 0;
	r = -errno;
	disconnect(j);
	return r;
}

/* One datagram. -EAGAIN: there is no room now; another error: there is no journal now. */
static int transmit(struct journal *j, const void *data, size_t n)
{
	int r = connect_journal(j);

	if (r < 0)
		return r;
	if (send(j->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	r = errno == ENOBUFS ? -EAGAIN : -errno;
	if (r != -EAGAIN)
		disconnect(j);
	return r;
}

static void on_room(void *userdata, int32_t fd, uint32_t revents)
{
	struct journal *j = userdata;

	j->services->io_del(j->host, j->io);
	j->io = 0;
	flush_backlog(j);
}

static void on_reconnect(void *userdata, uint64_t now_ns)
{
	struct journal *j = userdata;

	j->timer = 0;
	flush_backlog(j);
}

/* Comes back to the backlog when that has a chance. */
static void wait_for_room(struct journal *j, int error)
{
	if (error == -EAGAIN && !j->io) {
		j->io = j->services->io_add(j->host, j->fd, MEND_IO_OUT, on_room, j);
		if (j->io > 0)
			return;
		j->io = 0;
	}
	if (!j->io && !j->timer)
		j->timer = j->services->timer_add(
			j->host, j->services->now_ns() + RECONNECT_NS, on_reconnect, j);
	if (j->timer < 0)
		j->timer = 0;
}

static void pop(struct journal *j)
{
	struct kept *k = TAILQ_FIRST(&j->backlog);

	TAILQ_REMOVE(&j->backlog, k, link);
	j->backlog_bytes -= k->n;
	free(k);
}

static void keep(struct journal *j)
{
	struct kept *k;

	while (j->backlog_bytes + j->n > BACKLOG_MAX) {
		pop(j);
		j->lost++;
	}
	k = malloc(sizeof(*k) + j->n);
	if (!k) {
		j->lost++;
		return;
	}
	k->n = j->n;
	memcpy(k->data, j->record, j->n);
	TAILQ_INSERT_TAIL(&j->backlog, k, link);
	j->backlog_bytes += k->n;
}

static void flush_backlog(struct journal *j)
{
	char text[96];
	int r;

	while (!TAILQ_EMPTY(&j->backlog)) {
		struct kept *k = TAILQ_FIRST(&j->backlog);

		r = transmit(j, k->data, k->n);
		if (r < 0) {
			wait_for_room(j, r);
			return;
		}
		pop(j);
	}
	if (j->lost == 0)
		return;
	snprintf(text, sizeof(text),
		"%" PRIu64 " records were lost: the journal did not read for too long", j->lost);
	put_record(j, &(struct mend_record) {
			      .size = sizeof(struct mend_record),
			      .priority = LOG_WARNING,
			      .kind = message_kind_word(MESSAGE_EVENTS_LOST),
			      .message = text,
		      });
	r = transmit(j, j->record, j->n);
	if (r < 0)
		wait_for_room(j, r);
	else
		j->lost = 0;
}

static int32_t journal_emit(void *plugin, const struct mend_record *record)
{
	struct journal *j = plugin;
	int r = -EAGAIN;

	put_record(j, record);
	if (TAILQ_EMPTY(&j->backlog)) { /* otherwise it has to wait for its turn */
		r = transmit(j, j->record, j->n);
		if (r >= 0)
			return 0;
	}
	keep(j);
	if (!j->io && !j->timer)
		wait_for_room(j, r);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static int32_t journal_create(
	const struct mend_services *services, struct mend_host *host, void **ret)
{
	const char *path = services->config(host, "Socket");
	struct journal *j;

	if (!path)
		path = "/run/systemd/journal/socket";
	if (path[0] != '/' || strlen(path) >= sizeof(j->address.sun_path))
		return -EINVAL;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->services = services;
	j->host = host;
	j->fd = -1;
	TAILQ_INIT(&j->backlog);
	j->address.sun_family = AF_UNIX;
	strcpy(j->address.sun_path, path);
	*ret = j;
	return 0;
}

static void journal_destroy(void *plugin)
{
	struct journal *j = plugin;

	flush_backlog(j); /* the last words, if there is room for them */
	j->services->timer_del(j->host, j->timer);
	disconnect(j);
	while (!TAILQ_EMPTY(&j->backlog))
		pop(j);
	free(j);
}

static const struct mend_sink journal_sink = {
	.size = sizeof(journal_sink),
	.emit = journal_emit,
};

const struct mend_plugin journal_plugin = {
	.size = sizeof(journal_plugin),
	.major = MEND_ABI_MAJOR,
	.minor = 0,
	.kind = MEND_KIND_SINK,
	.name = "journal",
	.version = MENDD_VERSION,
	.summary = "writes what happens to the journal",
	.create = journal_create,
	.destroy = journal_destroy,
	.sink = &journal_sink,
};
