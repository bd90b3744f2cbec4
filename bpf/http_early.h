/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Data that comes with a handshake, before there is a socket to remember it with: on the ACK that
 * completes it (always, where the server defers to accept), or on the SYN (TCP Fast Open).
 */
#ifndef MENDD_HTTP_EARLY_H
#define MENDD_HTTP_EARLY_H

#include "http_payload.h"

#define AF_INET6 10

/* Never written: what a new connection of `early` begins as, too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct connection);
} blank SEC(".maps");

/*
 * At the listening socket: the end of a handshake that brings data. What is to take its payload, in
 * the name of nobody; NULL: nothing is.
 */
static __attribute__((noinline)) struct connection *begin_early(
	struct __sk_buff *skb, struct packet *p)
{
	struct connection *c, *empty;
	struct ends ends;
	u32 zero = 0, unit;

	if (!p || !p->length || p->flags & TCP_RST || !read_ends(skb, p, &ends))
		return NULL;
	unit = find_unit(skb);
	empty = bpf_map_lookup_elem(&blank, &zero);
	if (!unit || !empty)
		return NULL;
	c = bpf_map_lookup_elem(&early, &ends);
	if (c && c->in.known && c->in.next == p->sequence + p->length)
		return NULL; /* once more */
	if (bpf_map_update_elem(&early, &ends, empty, BPF_ANY))
		return NULL;
	c = bpf_map_lookup_elem(&early, &ends);
	if (!c)
		return NULL;
	/* Data on a SYN comes behind the sequence number that the SYN itself takes. */
	if (p->flags & TCP_SYN)
		p->sequence++;
	c->early_unit = unit;
	c->early_from = p->sequence;
	c->early_length = p->length;
	keep_ahead(&c->ahead, skb, p); /* and whether it was, only the socket will know */
	return c;
}

/* Moves what came with the handshake to its socket: from now on it counts. */
static __always_inline void adopt_early(struct connection *c, u32 unit)
{
	struct http_totals *t = totals_of(unit);

	c->unit = unit;
	if (!t)
		return;
	if (c->role == ROLE_UNTRACKED)
		count(&t->untracked[c->reason < HTTP_UNTRACKED_REASONS ? c->reason : 0]);
	if (c->role == ROLE_SERVER && c->open) {
		if (!has_detail(t, unit)) {
			count(&t->untracked[HTTP_UNTRACKED_FULL]);
			c->role = ROLE_UNTRACKED;
			return;
		}
		__sync_fetch_and_add(&t->started, c->open);
	}
}

static __always_inline void read_socket_ends(struct sock *sk, struct ends *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->from_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	ret->to_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_num));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO(&ret->from, sk, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&ret->to, sk, __sk_common.skc_v6_rcv_saddr);
		return;
	}
	map_v4(ret->from);
	map_v4(ret->to);
	BPF_CORE_READ_INTO((u32 *)(ret->from + 12), sk, __sk_common.skc_daddr);
	BPF_CORE_READ_INTO((u32 *)(ret->to + 12), sk, __sk_common.skc_rcv_saddr);
}

static __always_inline void connection_begins(struct sock *sk)
{
	struct connection *c, *moved, *empty;
	struct ends ends;
	u32 zero = 0, next;

	read_socket_ends(sk, &ends);
	moved = bpf_map_lookup_elem(&early, &ends);
	empty = bpf_map_lookup_elem(&blank, &zero);
	if (!moved || !empty)
		return;
	next = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	/* What came was not the beginning: only that it came is remembered. */
	if (next - moved->early_from <= moved->early_length)
		c = bpf_sk_storage_get(&connections, sk, moved, BPF_SK_STORAGE_GET_F_CREATE);
	else {
		c = bpf_sk_storage_get(&connections, sk, empty, BPF_SK_STORAGE_GET_F_CREATE);
		if (c && !c->unit) {
			c->ahead = moved->ahead;
			c->ahead.length = moved->early_length;
			c->early_unit = moved->early_unit;
			c->in.next = next;
			c->in.known = 1;
		}
	}
	/* Fast Open: its first answer may have moved it already. */
	if (c && !c->unit)
		adopt_early(c, c->early_unit);
	bpf_map_delete_elem(&early, &ends);
}

#endif
