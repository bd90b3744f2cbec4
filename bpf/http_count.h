/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting for a unit: its places in the mapped arrays, histograms, and the rare records. Place 0
 * of both arrays is nobody's: what is counted there is not counted.
 */
#ifndef MENDD_HTTP_COUNT_H
#define MENDD_HTTP_COUNT_H

#include "kernel.h"

#include "http_wire.h"

/* Ten records a second and unit are enough to see what is slow. */
#define RECORD_EVERY_NS 100000000ULL
/* A 5xx after this long without one is news. */
#define QUIET_NS 60000000000ULL

/* Filled in by the daemon: place of each status code, inclusive upper bounds in nanoseconds. */
const volatile __u8 code_place[1024];
const volatile __u64 bounds[HTTP_BUCKETS];
/* The same: whether http_read is there. */
const volatile bool reads_are_seen;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HTTP_UNITS);
	__type(key, u32);
	__type(value, struct http_totals);
} totals SEC(".maps");

/* The daemon says how many before it loads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct http_detail);
} details SEC(".maps");

/* Places in `details` that are nobody's. The daemon puts them in, again when a unit is gone. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, HTTP_DETAILS_MAX);
	__type(value, u32);
} free_details SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} records SEC(".maps");

static __always_inline struct http_totals *totals_of(u32 unit)
{
	return bpf_map_lookup_elem(&totals, &unit);
}

static __always_inline struct http_detail *detail_of(const struct http_totals *t)
{
	u32 place = (u32)t->detail;

	return bpf_map_lookup_elem(&details, &place);
}

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* Gives the unit a place in `details` at its first request. */
static __always_inline bool has_detail(struct http_totals *t, u32 unit)
{
	u32 place;

	if (t->detail || !unit)
		return true;
	/* Not the daemon's unit any more, or no room for another one. */
	if (!t->name_hash || bpf_map_pop_elem(&free_details, &place))
		return false;
	/* Another CPU may have been faster. */
	if (__sync_val_compare_and_swap(&t->detail, 0, place))
		bpf_map_push_elem(&free_details, &place, 0);
	return true;
}

/*
 * Index of the first bound that is not below the value: 8 steps for 167 buckets. A global function:
 * the verifier looks at it once, and takes what it returns for any number, instead of following
 * each of the 167 ways through everything behind it.
 */
__attribute__((noinline)) u32 bucket_of(u64 ns)
{
	u32 low = 0, high = HTTP_BUCKETS - 1;

	for (int i = 0; i < 8; i++) {
		u32 middle = (low + high) / 2;

		if (low >= high)
			break;
		if (ns <= bounds[middle < HTTP_BUCKETS ? middle : 0])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static __always_inline u32 class_of(u16 status)
{
	return status >= 200 && status < 600 ? status / 100 - 1 : HTTP_CLASS_OTHER;
}

/*
 * An answer may begin before its request has ended, and clocks are those of two CPUs: that has
 * taken no time.
 */
static __always_inline u64 time_from(u64 begin, u64 end)
{
	return (s64)(end - begin) > 0 ? end - begin : 0;
}

/* The same duration n times. */
static __always_inline void observe(struct http_detail *d, u32 clock, u32 class, u64 ns, u32 n)
{
	u64 *buckets = d->histograms[0][0], *sums = d->sums_ns[0];
	u32 row = clock * HTTP_CLASSES + class;

	__sync_fetch_and_add(&buckets[bounded(row * HTTP_BUCKETS + bucket_of(ns),
				     HTTP_CLOCKS * HTTP_CLASSES * HTTP_BUCKETS)],
		n);
	__sync_fetch_and_add(&sums[bounded(row, HTTP_CLOCKS * HTTP_CLASSES)], ns * n);
}

static __always_inline void count_code(struct http_detail *d, u32 method, u16 status)
{
	u32 place = code_place[status & 1023];
	u64 *codes = d->codes[0];

	if (method < HTTP_METHODS && place < HTTP_CODES)
		count(&codes[bounded(method * HTTP_CODES + place, HTTP_METHODS * HTTP_CODES)]);
}

static __always_inline void count_incomplete(struct http_totals *t, u32 reason, u32 n)
{
	u64 *counters = t->incomplete;

	__sync_fetch_and_add(&counters[bounded(reason, HTTP_INCOMPLETE_REASONS)], n);
}

/* Whether the unit may make a record now. */
static __always_inline bool may_record(struct http_totals *t, u64 now)
{
	if (now - t->last_record_ns < RECORD_EVERY_NS)
		return false;
	t->last_record_ns = now;
	return true;
}

/* Whether an answer is worth a record: one above the limit, or the first 5xx after quiet. */
static __always_inline int record_kind(struct http_totals *t, u16 status, u64 took_ns, u64 now)
{
	int kind = -1;

	if (status >= 500) {
		if (now - t->last_error_ns > QUIET_NS)
			kind = HTTP_RECORD_ERROR;
		t->last_error_ns = now;
	}
	if (kind < 0 && t->slow_ns && took_ns > t->slow_ns)
		kind = HTTP_RECORD_SLOW;
	return kind >= 0 && may_record(t, now) ? kind : -1;
}

#endif
