/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verification; see verify.h. */
#include "verify.h"
#include "../base/str.h"
#include "cause.h"

#include <arpa/inet.h>

/* Results of the unit's check that must be good in a row before they prove anything. */
#define CHECKS_FOR_PROOF 3

void socket_describe(const struct listening_socket *s, char *ret, size_t size)
{
	char address[INET6_ADDRSTRLEN];

	if (!inet_ntop(s->family, s->address, address, sizeof(address)))
		str_copy(address, sizeof(address), "?");
	snprintf(ret, size, s->family == AF_INET6 ? "[%s]:%u" : "%s:%u", address,
		(unsigned int)s->port);
}

static bool same_socket(const struct listening_socket *a, const struct listening_socket *b)
{
	size_t n = a->family == AF_INET6 ? 16 : 4;

	return a->family == b->family && a->protocol == b->protocol && a->port == b->port &&
	       memcmp(a->address, b->address, n) == 0;
}

static bool is_wildcard(const struct listening_socket *s)
{
	static const uint8_t any[16];

	return memcmp(s->address, any, s->family == AF_INET6 ? 16 : 4) == 0;
}

bool sockets_collide(const struct listening_socket *a, const struct listening_socket *b)
{
	if (a->protocol != b->protocol || a->port != b->port)
		return false;
	/* An IPv6 wildcard usually takes IPv4 too. */
	if (a->family != b->family)
		return (a->family == AF_INET6 && is_wildcard(a)) ||
		       (b->family == AF_INET6 && is_wildcard(b));
	return same_socket(a, b) || is_wildcard(a) || is_wildcard(b);
}

bool sockets_are_back(const struct socket_set *before, const struct socket_set *now,
	struct listening_socket *ret_missing)
{
	for (size_t i = 0; i < before->n; i++) {
		bool found = false;

		for (size_t j = 0; j < now->n && !found; j++)
			found = same_socket(&before->sockets[i], &now->sockets[j]);
		if (!found) {
			if (ret_missing)
				*ret_missing = before->sockets[i];
			return false;
		}
	}
	return true;
}

enum proof verify_conditions(const struct unit *u, char *ret_text, size_t size)
{
	const struct attempt *a = &u->heal.attempt;
	struct listening_socket missing;
	char name[64];

	if (!unit_is_up(u)) {
		snprintf(ret_text, size, "not up yet (%s, %s)", active_state_word(u->facts.active),
			u->facts.sub_state);
		return PROOF_NOT_YET;
	}
	if (str_eq(u->facts.invocation, a->old_invocation)) {
		snprintf(ret_text, size, "no new invocation yet");
		return PROOF_NOT_YET;
	}
	if (u->listening.n > 0) {
		/* Sockets must have been looked at after the restart; before, they prove nothing.
		 */
		if (u->listening_now.read_ns <= a->done_ns) {
			snprintf(ret_text, size, "its sockets have not been looked at yet");
			return PROOF_NOT_YET;
		}
		if (!sockets_are_back(&u->listening, &u->listening_now, &missing)) {
			socket_describe(&missing, name, sizeof(name));
			snprintf(ret_text, size, "%s is not open yet", name);
			return PROOF_NOT_YET;
		}
	}
	if (*u->settings.check) {
		if (u->check.time_ns <= a->done_ns || u->check.status != 0 ||
			u->check.in_row < CHECKS_FOR_PROOF) {
			snprintf(ret_text, size, "its check has not agreed %d times yet",
				CHECKS_FOR_PROOF);
			return PROOF_NOT_YET;
		}
		snprintf(ret_text, size, "up, %zu sockets open, check ok", u->listening.n);
		return PROOF_STRONG;
	}
	if (u->listening.n > 0)
		snprintf(ret_text, size, "up, %zu sockets open again", u->listening.n);
	else
		snprintf(ret_text, size, "up; it had no sockets that could be compared");
	return PROOF_WEAK;
}
