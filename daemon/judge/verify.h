/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Did the restart work? The conditions of a verdict, computed from what was observed. Pure. */
#pragma once

#include "../state/unit.h"

enum proof {
	PROOF_NOT_YET, /* text says what is missing */
	PROOF_COMING,  /* all that can be seen at once is well; its traffic is about to tell more */
	PROOF_WEAK,    /* up, and its sockets are open; nothing asked it anything */
	PROOF_STRONG,  /* its traffic, its probe or its check agrees */
};

enum proof verify_conditions(const struct unit *u, uint64_t now_ns, char *ret_text, size_t size);

/* What was done made its traffic markedly worse than it was before. */
bool verify_is_worse(const struct unit *u, uint64_t now_ns);

/* For so long after an action against a level its traffic is waited for. */
#define VERIFY_TRAFFIC_NS (10 * NSEC_PER_SEC)

/* Every socket of `before` is in `now` too. *ret_missing: the first one that is not; may be NULL.
 */
bool sockets_are_back(const struct socket_set *before, const struct socket_set *now,
	struct listening_socket *ret_missing);
/* Both cannot be listened on at once: same port, and same address or one that stands for all. */
bool sockets_collide(const struct listening_socket *a, const struct listening_socket *b);
void socket_describe(const struct listening_socket *s, char *ret, size_t size);
