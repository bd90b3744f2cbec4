/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verification; see verify.h. */
#include "verify.h"
#include "../base/str.h"
#include "../base/clock.h"
#include "cause.h"
#include "traffic.h"

#include <arpa/inet.h>

/* Results of the unit's check or probe that must be good in a row before they prove anything. */
#define CHECKS_FOR_PROOF 3
/*
 * What has died and is up again has been healed: its first answers may tell that too, and are
 * waited for so long beyond VerifyFor=. Where nobody asks it anything, nothing is waited for.
 */
#define DEATH_PATIENCE_NS (500 * NSEC_PER_MSEC)
/* Answers of a cold start say nothing against an action before this. */
#define WORSE_AFTER_NS (5 * NSEC_PER_SEC)

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

static bool is_level(const struct unit *u)
{
	return u->heal.trouble.rule != RULE_UNIT_DOWN;
}

bool verify_is_worse(const struct unit *u, uint64_t now_ns)
{
	const struct attempt *a = &u->heal.attempt;
	struct traffic now;

	if (!u->levels || !u->http || clock_since_ns(now_ns, a->done_ns) < WORSE_AFTER_NS)
		return false;
	now = traffic_since(u->http, a->done_ns, now_ns);
	return traffic_is_worse(&u->levels->before, &now);
}

/* A level had to be healed: only its traffic can say that it is. `otherwise`: what is known
 * without. */
static enum proof prove_level(const struct unit *u, const struct traffic *t, uint64_t waited_ns,
	enum proof otherwise, char *ret_text, size_t size)
{
	const struct http_state *h = u->http;
	bool back = traffic_is_back(u, t, ret_text, size);

	if (back)
		return PROOF_STRONG;
	/* Errors, or no answers at all: time will tell, or the rule fires again. */
	if (t->answered >= TRAFFIC_ENOUGH || (t->answered && traffic_fails(u, t)) ||
		(!t->answered && h->unanswered))
		return PROOF_NOT_YET;
	/* Nobody, or hardly anybody, asks. */
	return otherwise == PROOF_WEAK && waited_ns < VERIFY_TRAFFIC_NS ? PROOF_NOT_YET : otherwise;
}

/* A death: it is up again, and what its traffic says is welcome but not needed. */
static enum proof prove_death(const struct unit *u, const struct traffic *t, uint64_t waited_ns,
	char *ret_text, size_t size)
{
	bool back = traffic_is_back(u, t, ret_text, size);
	bool asked =
		http_view(u->http, http_seconds_since(u->http, u->heal.attempt.done_ns)).started;

	if (back)
		return PROOF_STRONG;
	/* Errors as it comes up may pass; if not, they are a trouble of their own. */
	if (t->answered >= TRAFFIC_ENOUGH && traffic_fails(u, t))
		return waited_ns < VERIFY_TRAFFIC_NS ? PROOF_NOT_YET : PROOF_WEAK;
	return asked && waited_ns < u->settings.verify_for_ns + DEATH_PATIENCE_NS ? PROOF_COMING
										  : PROOF_WEAK;
}

/* What real requests say. `known`: the proof that there is without them; text says it. */
static enum proof prove_by_traffic(
	const struct unit *u, enum proof known, uint64_t now_ns, char *ret_text, size_t size)
{
	const struct attempt *a = &u->heal.attempt;
	uint64_t waited = clock_since_ns(now_ns, a->done_ns);
	struct traffic t;
	enum proof proof;
	char text[96];

	if (!http_is_spoken(u->http))
		return known;
	t = traffic_since(u->http, a->done_ns, now_ns);
	proof = is_level(u) ? prove_level(u, &t, waited, known, text, sizeof(text))
			    : prove_death(u, &t, waited, text, sizeof(text));
	/* Traffic that says too little does not take away what a check has proved. */
	if (known == PROOF_STRONG && (proof == PROOF_WEAK || proof == PROOF_COMING))
		return known;
	/* Nor does it say more than that. */
	if (known == PROOF_STRONG && proof == PROOF_STRONG && t.answered < TRAFFIC_ENOUGH)
		return known;
	if (proof != PROOF_WEAK || t.answered)
		snprintf(ret_text, size, "up; %s", text);
	return proof;
}

static bool has_proved(int status, uint32_t in_row, uint64_t time_ns, uint64_t done_ns)
{
	return time_ns > done_ns && status == 0 && in_row >= CHECKS_FOR_PROOF;
}

enum proof verify_conditions(const struct unit *u, uint64_t now_ns, char *ret_text, size_t size)
{
	const struct attempt *a = &u->heal.attempt;
	/* A probe that cannot be made proves nothing, and stands in the way of nothing. */
	bool probed = *u->settings.probe && (u->probe.status == 0 || u->probe.status == 2);
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
	if (*u->settings.check &&
		!has_proved(u->check.status, u->check.in_row, u->check.time_ns, a->done_ns)) {
		snprintf(ret_text, size, "its check has not agreed %d times yet", CHECKS_FOR_PROOF);
		return PROOF_NOT_YET;
	}
	if (probed && !has_proved(u->probe.status, u->probe.in_row, u->probe.time_ns, a->done_ns)) {
		snprintf(ret_text, size, "its probe has not agreed %d times yet", CHECKS_FOR_PROOF);
		return PROOF_NOT_YET;
	}
	if (*u->settings.check || probed) {
		snprintf(ret_text, size, "up, %zu sockets open, %s ok", u->listening.n,
			!probed              ? "check"
			: *u->settings.check ? "check and probe"
					     : "probe");
		return prove_by_traffic(u, PROOF_STRONG, now_ns, ret_text, size);
	}
	if (u->listening.n > 0)
		snprintf(ret_text, size, "up, %zu sockets open again", u->listening.n);
	else
		snprintf(ret_text, size, "up; it had no sockets that could be compared");
	return prove_by_traffic(u, PROOF_WEAK, now_ns, ret_text, size);
}
