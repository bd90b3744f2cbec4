/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Data that comes with a handshake, before there is a socket to remember it with: on the ACK that
 * completes it (always, where the server defers to accept), or on the SYN (TCP Fast Open).
 */
#ifndef MENDD_HTTP_EARLY_H
#define MENDD_HTTP_EARLY_H

#include "http_payload.h"

#define AF_INET6 10

/*
 * At the listening socket: the end of a handshake that brings data. What is to take its payload, in
 * the name of nobody; NULL: nothing is.
 */
static __always_inline struct connection *begin_early(struct __sk_buff *skb, struct packet *p)
{
	struct connection *c, *blank;
	struct bench *bench;
	struct ends ends;
	u32 unit;
	long failed;

	if (!p || !p->length || p->flags & TCP_RST || !read_ends(skb, p, &ends))
		return NULL;
	unit = find_unit(skb);
	if (!unit)
		return NULL;
	c = bpf_map_lookup_elem(&early, &ends);
	if (c && c->in.known && c->in.next == p->sequence + p->length)
		return NULL; /* once more */
	/* Data on a SYN comes behind the sequence number that the SYN itself takes. */
	if (p->flags & TCP_SYN)
		p->sequence++;
	bench = take_bench();
	if (!bench)
		return NULL;
	blank = clear_blank(bench);
	blank->early_unit = unit;
	blank->early_from = p->sequence;
	blank->early_length = p->length;
	failed = bpf_map_update_elem(&early, &ends, blank, BPF_ANY);
	return_bench(bench);
	c = failed ? NULL : bpf_map_lookup_elem(&early, &ends);
	if (!c)
		return NULL;
	keep_ahead(&c->ahead, skb, p); /* and whether it was, only the socket will know */
	p->flags &= ~(u32)(TCP_SYN | TCP_FIN);
	return c;
}

/* Moves what came with the handshake to its socket: from now on it counts. */
static __always_inline struct connection *move_early(void *sk, struct connection *moved)
{
	struct connection *c;
	struct http_totals *t;
	u32 unit;

	moved->unit = moved->early_unit;
	c = open_connection(sk, moved);
	/* Fast Open: the end of the handshake and the first answer may come at the same time. */
	unit = c ? __sync_lock_test_and_set(&c->early_unit, 0) : 0;
	t = unit ? totals_of(unit) : NULL;
	if (!t)
		return c;
	if (c->role == ROLE_UNTRACKED)
		count(&t->untracked[c->reason < HTTP_UNTRACKED_REASONS ? c->reason : 0]);
	if (c->role == ROLE_SERVER && c->open) {
		__sync_fetch_and_add(&t->started, c->open);
		if (!has_detail(t, unit))
			give_up(c, t, HTTP_UNTRACKED_FULL);
	}
	return c;
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
	struct connection *moved, *blank;
	struct bench *bench;
	struct ends ends;
	u32 next;

	read_socket_ends(sk, &ends);
	moved = bpf_map_lookup_elem(&early, &ends);
	if (!moved)
		return;
	next = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	if (next - moved->early_from <= moved->early_length)
		move_early(sk, moved);
	else {
		/* What came was not the beginning: only that it came is remembered. */
		bench = take_bench();
		if (!bench)
			return;
		blank = clear_blank(bench);
		blank->unit = moved->early_unit;
		blank->ahead = moved->ahead;
		blank->ahead.length = moved->early_length;
		blank->in.next = next;
		blank->in.known = 1;
		open_connection(sk, blank);
		return_bench(bench);
	}
	bpf_map_delete_elem(&early, &ends);
}

#endif
