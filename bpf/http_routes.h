/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting by route, for units that ask for it (HTTPRoutes=). Place 0 is no route's. */
#ifndef MENDD_HTTP_ROUTES_H
#define MENDD_HTTP_ROUTES_H

#include "http_count.h"

/* Filled in by the daemon: the classic bucket of each of ours. */
const volatile __u8 classic_of[HTTP_BUCKETS];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HTTP_ROUTES);
	__type(key, struct http_route_key);
	__type(value, u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HTTP_ROUTES);
	__type(key, u32);
	__type(value, struct http_route);
} route_counts SEC(".maps");

/* Places in `route_counts` that are nobody's, as `free_details`. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, HTTP_ROUTES);
	__type(value, u32);
} free_routes SEC(".maps");

static __always_inline u32 add_route(struct http_totals *t, struct http_route_key *key)
{
	struct http_route *r;
	u32 place, *other;

	if (bpf_map_pop_elem(&free_routes, &place))
		return 0;
	r = bpf_map_lookup_elem(&route_counts, &place);
	if (!r)
		return 0;
	http_copy(r->name, key->name, HTTP_ROUTE);
	if (bpf_map_update_elem(&routes, key, &place, BPF_NOEXIST)) {
		/* Another CPU was faster. */
		bpf_map_push_elem(&free_routes, &place, 0);
		other = bpf_map_lookup_elem(&routes, key);
		return other ? *other : 0;
	}
	r->unit = key->unit; /* from now on the daemon sees it */
	__sync_fetch_and_add(&t->routes, 1);
	return place;
}

/* The place of a request's route; its first line is in `walk`. 0: there is none. */
static __always_inline u32 find_route(
	struct http_totals *t, struct http_route_walk *walk, struct http_route_key *key, u32 unit)
{
	u32 *place;

	http_route_of(walk);
	key->unit = unit;
	http_copy(key->name, walk->route, HTTP_ROUTE);
	place = bpf_map_lookup_elem(&routes, key);
	if (place)
		return *place;
	if (t->routes < t->routes_max)
		return add_route(t, key);
	__builtin_memset(key->name, 0, sizeof(key->name));
	__builtin_memcpy(key->name, "_OTHER", 6);
	place = bpf_map_lookup_elem(&routes, key);
	return place ? *place : add_route(t, key);
}

static __always_inline void count_route(u32 place, u32 class, u64 ns)
{
	struct http_route *r = place ? bpf_map_lookup_elem(&route_counts, &place) : NULL;
	u32 bucket = bucket_of(ns), classic;

	if (!r || bucket >= HTTP_BUCKETS)
		return;
	classic = classic_of[bucket];
	count(&r->answered[bounded(class, HTTP_CLASSES)]);
	__sync_fetch_and_add(&r->sum_ns, ns);
	count(&r->buckets[bounded(classic, HTTP_CLASSIC_BOUNDS + 1)]);
}

#endif
