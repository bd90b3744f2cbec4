/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is remembered of one connection, in its socket's own storage, so that it ends with the
 * socket; and where it is found.
 */
#ifndef MENDD_HTTP_CONNECTION_H
#define MENDD_HTTP_CONNECTION_H

#include "http_packet.h"
#include "http_routes.h"

#define PENDING_MASK (HTTP_PENDING - 1)
#define METHODS_MASK (HTTP_METHODS_PENDING - 1)
#define TREE_DEPTH 12 /* cgroups between the root and a process, slices included */
/* Handshakes that carry data and are not over yet. */
#define EARLY_MAX 256

enum role {
	ROLE_NEW,    /* nothing seen yet */
	ROLE_JOINED, /* met in the middle: waiting for a request at the beginning of a segment */
	ROLE_SERVER,
	ROLE_CLIENT,
	ROLE_UNTRACKED,
};

/* Segments that came before what is ahead of them, as one stretch. */
struct ahead {
	u32 sequence, length; /* length 0: there are none */
	u8 method;    /* its first bytes are those of a request; HTTP_METHODS: they are not */
	u8 ends_head; /* its last four bytes are an empty line's */
	u8 heads;     /* how many empty lines there are in it; at least 8: very many */
	u8 unclear;   /* an empty line may lie over one of its joints */
	u8 broken;    /* there is more than one stretch */
};

struct connection {
	struct http_stream in, out;
	u64 arrival_ns[HTTP_PENDING]; /* of request i at i % HTTP_PENDING, if .kept says so */
	u64 late_ns;                  /* arrival of the last one that found no place there */
	u64 begin_ns;                 /* first byte of the answer that is leaving */
	u64 answered_ns; /* arrival of the request whose answer's body is on its way; 0: none */
	u64 queue_ns;    /* how long the last request that was read had waited */
	u32 in_next, out_next; /* sequence numbers */
	u32 unit;              /* place in `totals` */
	/* While in `early`, where it counts for nobody: the same, and the data that came. */
	u32 early_unit, early_from, early_length;
	/*
	 * Requests so far: arrived (written by ingress), answered (egress), read; ingress and
	 * egress may run on two CPUs at the same time. Either may find that up to .dropped nothing
	 * more will be known.
	 */
	u32 arrived, answered, read, dropped;
	u32 open; /* how many count as in flight: changed by all, atomically */
	/* Of the segment that is being looked at, egress and ingress: next byte, and bytes that
	 * come. */
	struct cursor {
		u32 offset, left;
	} cursors[2];
	struct ahead ahead;
	u16 answer_status;       /* of .answered_ns */
	u16 route[HTTP_PENDING]; /* place in `route_counts`, as .arrival_ns; 0: none */
	u16 late_route;
	u8 kept[HTTP_PENDING]; /* number of the request, modulo 256, whose arrival is kept */
	u8 method[HTTP_METHODS_PENDING];
	u8 role;
	u8 reason;              /* enum http_untracked */
	u8 in_known, out_known; /* in_next and out_next are valid */
	u8 connecting;          /* this side began it */
	u8 joined;              /* met in the middle, and no answer understood since */
	u8 client_gone;         /* it has sent FIN or RST, before the server did */
	u8 server_gone;         /* the other way round */
	u8 server_died;         /* closed for a process that ended */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} connections SEC(".maps");

/* Cgroup id -> place in `totals`; the cgroups to which the programs are attached. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HTTP_UNITS * 2);
	__type(key, u64);
	__type(value, u32);
} members SEC(".maps");

/*
 * Data that came with the end of the handshake, before there was a socket to remember it with: it
 * is seen at the listening socket. Counts for nobody until it is moved.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, EARLY_MAX);
	__type(key, struct ends);
	__type(value, struct connection);
} early SEC(".maps");

/* Ports of mendd's own probes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u16); /* network order */
	__type(value, u8);
} probe_ports SEC(".maps");

/* The unit whose cgroup, or one above it, the socket is in; 0: of none. */
static __always_inline u32 find_unit(struct __sk_buff *skb)
{
	u64 id = bpf_skb_cgroup_id(skb);
	u32 *unit = bpf_map_lookup_elem(&members, &id);

	for (int level = TREE_DEPTH; !unit && level > 0; level--) {
		id = bpf_skb_ancestor_cgroup_id(skb, level);
		if (id)
			unit = bpf_map_lookup_elem(&members, &id);
	}
	return unit ? *unit : 0;
}

#endif
