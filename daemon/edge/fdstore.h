/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * systemd's FD store: file descriptors that outlive the daemon. The kernel programs' links and maps
 * are kept there, so that a daemon that is killed and started again finds every record of the time
 * between. Names carry a key of the programs' code: another version of the programs is never
 * adopted.
 */
#pragma once

#include "../base/macros.h"

enum {
	/* FileDescriptorStoreMax= of the unit: two links for each cgroup whose HTTP is measured. */
	FDSTORE_MAX = 16384,
	FDSTORE_NAME = 64,
};

struct fdstore_entry {
	int fd; /* owned until taken */
	char name[FDSTORE_NAME];
};

struct fdstore {
	size_t n;
	struct fdstore_entry *entries; /* owned */
};

/* Takes what systemd passed, once per process; sockets of socket units are among them. */
void fdstore_receive(struct fdstore *s);
/* The descriptor of this name, now owned by the caller; -1: there is none. */
int fdstore_take(struct fdstore *s, const char *name);
/* Whether there is one that nobody took and whose name ends so: what another version has left. */
bool fdstore_has_left(const struct fdstore *s, const char *end_of_name);
/* Hands a duplicate to systemd. 0, or -errno; 0 without effect where there is no service manager.
 */
int fdstore_push(int fd, const char *name);
/* Removes it from systemd's store: all of this name. */
void fdstore_remove(const char *name);
/*
 * Closes what nobody took, and removes entries whose name begins with `prefix` from systemd's
 * store. The end of `s`.
 */
void fdstore_discard(struct fdstore *s, const char *prefix);
/* Closes what nobody took, and leaves systemd's store as it is. The end of `s`. */
void fdstore_close(struct fdstore *s);
