/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* systemd's FD store; see fdstore.h. */
#include "fdstore.h"
#include "../base/str.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>

static int by_name(const void *a, const void *b)
{
	const struct fdstore_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void fdstore_receive(struct fdstore *s)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*s = (struct fdstore) {};
	if (n > 0)
		s->entries = calloc(MIN((size_t)n, (size_t)FDSTORE_MAX), sizeof(*s->entries));
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (!s->entries || s->n == FDSTORE_MAX) {
			close(fd);
			continue;
		}
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		s->entries[s->n].fd = fd;
		str_copy(s->entries[s->n].name, sizeof(s->entries[s->n].name),
			names && names[i] ? names[i] : "");
		s->n++;
	}
	for (int i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
	if (s->n)
		qsort(s->entries, s->n, sizeof(*s->entries), by_name);
}

int fdstore_take(struct fdstore *s, const char *name)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(s->entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	/* There may be several of one name: sockets of one socket unit. */
	for (; low < s->n && str_eq(s->entries[low].name, name); low++)
		if (s->entries[low].fd >= 0)
			return TAKE_FD(s->entries[low].fd);
	return -1;
}

bool fdstore_has_left(const struct fdstore *s, const char *end_of_name)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].fd >= 0 && str_has_suffix(s->entries[i].name, end_of_name))
			return true;
	return false;
}

int fdstore_push(int fd, const char *name)
{
	char message[128];
	int r;

	/* FDPOLL=0: a BPF map or link has nothing that systemd could poll for. */
	snprintf(message, sizeof(message), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	r = sd_pid_notify_with_fds(0, 0, message, &fd, 1);
	return r < 0 ? r : 0;
}

void fdstore_remove(const char *name)
{
	char message[128];

	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	sd_notify(0, message);
}

void fdstore_discard(struct fdstore *s, const char *prefix)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].fd >= 0 && str_after_prefix(s->entries[i].name, prefix))
			fdstore_remove(s->entries[i].name);
	fdstore_close(s);
}

void fdstore_close(struct fdstore *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].fd >= 0)
			close(TAKE_FD(s->entries[i].fd));
	free(s->entries);
	*s = (struct fdstore) {};
}
