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
	u8 method;            /* of a request that begins with its first bytes, or HTTP_OTHER */
	u8 ends_head;         /* its last four bytes are an empty line's */
	u8 heads;             /* how many empty lines there are in it; at least 8: very many */
	u8 unclear;           /* an empty line may lie over one of its joints */
	u8 broken;            /* there is more than one stretch */
};

/* One direction of it. Of two CPUs at most one works on a direction at any time. */
struct direction {
	struct http_stream stream;
	u32 next;         /* sequence number of the next byte */
	u32 known;        /* that number is valid */
	u32 offset, left; /* of the segment that is being looked at: next byte, bytes to come */
};

/*
 * Ordered by who writes: ingress often runs on another CPU than the application and egress, and
 * each cache line that both write travels back and forth with every request. The kernel puts it 8
 * bytes behind the beginning of a line; the counts are to fill one.
 */
struct connection {
	u32 unit; /* place in `totals` */
	/* Until it is moved from `early`: the same; and the data that came. */
	u32 early_unit, early_from, early_length;
	struct ahead ahead;
	u32 role;       /* enum role; what changes it may run on two CPUs: change_role() */
	u8 reason;      /* enum http_untracked */
	u8 connecting;  /* this side began it */
	u8 joined;      /* met in the middle, and no answer understood since */
	u8 client_gone; /* it has sent FIN or RST, before the server did */
	u8 server_gone; /* the other way round */
	u8 server_died; /* closed for a process that ended */
	u8 was;         /* enum role before bytes were lost; 0: there was none */
	u8 reserved[13];
	/*
	 * Requests so far: arrived (written by ingress), answered (egress), read; ingress and
	 * egress may run on two CPUs at the same time. Either may find that up to .dropped nothing
	 * more will be known.
	 */
	u32 arrived, answered, read, dropped;
	u32 open;       /* how many count as in flight: changed by all, atomically */
	u16 late_route; /* as .late_ns */
	/* Of request i at i % HTTP_PENDING, if .kept says so: its number, modulo 256. */
	u8 kept[HTTP_PENDING];
	u8 method[HTTP_PENDING];
	u16 route[HTTP_PENDING]; /* place in `route_counts`; 0: none */
	u64 late_ns;             /* arrival of the last one that found no place there */
	u64 arrival_ns[HTTP_PENDING];
	struct direction in;
	u64 body_ns; /* when the last request's body was complete; before its arrival: it has none
		      */
	/* While the last request's body is incomplete: how far the application has read; written
	 * by http_read. */
	u32 read_to;
	u8 reading;                           /* .read_to is valid */
	u8 late_method[HTTP_METHODS_PENDING]; /* of those that found no place above */
	struct direction out;
	u64 begin_ns;    /* first byte of the answer that is leaving */
	u64 answered_ns; /* arrival of the request whose answer's body is on its way; 0: none */
	u64 queue_ns;    /* how long the last request that was read had waited */
	/* What is counted of this connection in the unit's .waiting and .transfers; 0: nothing.
	 * Changed by exchange: whoever takes a value out takes it off there too. */
	u64 waiting_ns, transfer_ns;
	u32 sent_ahead;    /* .arrived when the last answer ended */
	u16 answer_status; /* of .answered_ns */
};

_Static_assert(__builtin_offsetof(struct connection, arrived) == 56 &&
		       __builtin_offsetof(struct connection, arrival_ns) == 120,
	"the counts fill a cache line");

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

/*
 * What is remembered of the socket's connection; if nothing was, it begins as `blank`. Both ends
 * may say their first words at the same time, on two CPUs: the second to make room is refused it,
 * and finds what the first has made. NULL: there is no memory.
 */
static __always_inline struct connection *open_connection(void *sk, struct connection *blank)
{
	struct connection *c =
		bpf_sk_storage_get(&connections, sk, blank, BPF_SK_STORAGE_GET_F_CREATE);

	return c ? c : bpf_sk_storage_get(&connections, sk, blank, BPF_SK_STORAGE_GET_F_CREATE);
}

/* A count of answered or read requests, those included of which nothing more will be known. */
static __always_inline u32 beyond_dropped(const struct connection *c, u32 request)
{
	u32 dropped = c->dropped;

	return (s32)(dropped - request) > 0 ? dropped : request;
}

static __always_inline u64 arrival_of(const struct connection *c, u32 request)
{
	u32 at = request & PENDING_MASK;

	return c->kept[at] == (u8)request ? c->arrival_ns[at] : c->late_ns;
}

static __always_inline u32 route_of(const struct connection *c, u32 request)
{
	u32 at = request & PENDING_MASK;

	return c->kept[at] == (u8)request ? c->route[at] : c->late_route;
}

static __always_inline u8 method_of(const struct connection *c, u32 request)
{
	u32 at = request & PENDING_MASK;

	return c->kept[at] == (u8)request ? c->method[at] : c->late_method[request & METHODS_MASK];
}

/* In place of what was counted in `ages` for a connection: one that began then, or none (0). */
static __always_inline void count_age(struct http_ages *ages, u64 *counted, u64 began_ns)
{
	u64 before = __sync_lock_test_and_set(counted, began_ns);

	if (before)
		http_ages_add(ages, before, -1);
	if (began_ns)
		http_ages_add(ages, began_ns, 1);
}

/* Since when the server has kept the connection's first request waiting; 0: it does not. */
__attribute__((noinline)) int set_waiting(struct connection *c, struct http_totals *t, u64 began_ns)
{
	struct http_detail *d;

	if (!c || !t)
		return 0;
	d = detail_of(t);
	if (d)
		count_age(&d->waiting, &c->waiting_ns, began_ns);
	return 0;
}

/* The same of a request in flight that does not wait for the server: bytes are on their way. */
__attribute__((noinline)) int set_transfer(
	struct connection *c, struct http_totals *t, u64 began_ns)
{
	struct http_detail *d;

	if (!c || !t)
		return 0;
	d = detail_of(t);
	if (d)
		count_age(&d->transfers, &c->transfer_ns, began_ns);
	return 0;
}

/* What has arrived will not be seen to be read any more. */
static __always_inline void forget_unread(struct connection *c, struct http_totals *t)
{
	u32 arrived = *(volatile u32 *)&c->arrived;
	s32 unread = (s32)(arrived - beyond_dropped(c, c->read));

	if (unread <= 0)
		return;
	__sync_fetch_and_add(&t->never_read, unread);
	c->read = arrived;
}

/* What is open will not be seen to end. */
static __always_inline void drop_requests(struct connection *c, struct http_totals *t)
{
	u32 open = __sync_lock_test_and_set(&c->open, 0);

	if (open)
		__sync_fetch_and_add(&t->finished, open);
	forget_unread(c, t);
	c->dropped = c->arrived;
	c->answered_ns = 0;
	if (c->waiting_ns)
		set_waiting(c, t, 0);
	if (c->transfer_ns)
		set_transfer(c, t, 0);
}

/* One request less in flight, if none of the other CPUs has given all of them up meanwhile. */
static __always_inline void finish_one(struct connection *c, struct http_totals *t)
{
	for (int i = 0; i < 4; i++) {
		u32 open = *(volatile u32 *)&c->open;

		if (!open)
			return;
		if (__sync_val_compare_and_swap(&c->open, open, open - 1) == open) {
			count(&t->finished);
			return;
		}
	}
}

/* From one role that it may have now to another one; false: another CPU has changed it. */
static __always_inline bool change_role(struct connection *c, u32 from, u32 to)
{
	return __sync_val_compare_and_swap(&c->role, from, to) == from;
}

/*
 * Only connections that the unit accepted are counted, each once; what it does as a client is its
 * own. Not inlined: the verifier looks at it once.
 */
__attribute__((noinline)) int leave(
	struct connection *c, struct http_totals *t, u32 reason, u32 new_role)
{
	u32 role = ROLE_NEW;

	if (!c || !t)
		return 0;
	/* First this: who adds a request after what is open was dropped will see it. */
	for (int i = 0; i < 4; i++) {
		role = *(volatile u32 *)&c->role;
		if (role == ROLE_UNTRACKED || role == new_role)
			return 0; /* another CPU has done it */
		if (change_role(c, role, new_role))
			break;
	}
	c->reason = (u8)reason;
	if (role != ROLE_CLIENT && !c->connecting && reason < HTTP_UNTRACKED_REASONS)
		count(&t->untracked[reason]);
	drop_requests(c, t);
	return 0;
}

static __always_inline void give_up(struct connection *c, struct http_totals *t, u32 reason)
{
	leave(c, t, reason, ROLE_UNTRACKED);
}

static __always_inline void begin_anew(struct direction *d)
{
	d->stream.stage = HTTP_FIRST_LINE;
	d->stream.seen = 0;
	d->stream.head = 0;
	d->stream.flags = 0;
}

/* Bytes were missed: wait for the next request that begins with a segment. */
static __always_inline void lose_track(struct connection *c, struct http_totals *t)
{
	leave(c, t, HTTP_UNTRACKED_LOST, c->connecting ? ROLE_UNTRACKED : ROLE_JOINED);
	begin_anew(&c->in);
	begin_anew(&c->out);
	c->ahead.length = 0;
}

#endif
