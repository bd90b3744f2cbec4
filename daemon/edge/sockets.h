/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which unit listens where: the kernel's sock_diag, which names the cgroup of every socket
 * (since 5.9). Reads the network namespace of the daemon; a service with PrivateNetwork= has no
 * sockets here, and its restarts are then verified without them.
 */
#pragma once

#include "../state/unit.h"

struct sockets;

/* -errno where sock_diag is not to be had. */
int sockets_new(struct sockets **ret);
struct sockets *sockets_free(struct sockets *s);

/* Called for each listening TCP socket; cgroup 0: this kernel does not tell. */
typedef void (*socket_fn)(void *userdata, uint64_t cgroup, const struct listening_socket *socket);
/* One dump of all listening sockets, answered by the kernel within the call. 0 or -errno. */
int sockets_read(struct sockets *s, socket_fn fn, void *userdata);
