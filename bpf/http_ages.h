/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Since when requests have been in flight, for a whole unit: how many began in which interval of
 * time. The oldest one is read from it without a walk over connections. Plain C for BPF and for the
 * host.
 *
 * Whoever adds an entry remembers when it began, and takes it out again by the same time. Intervals
 * share HTTP_AGE_SLOTS slots. Before a slot is used again, the daemon moves what is left in it to
 * .old, and says with .old_before that entries that began earlier are counted there. A program that
 * has read the former .old_before meanwhile takes its entry out of the wrong place; the daemon
 * moves that difference too, since it goes on emptying slots for as long as nothing new comes into
 * them.
 */
#ifndef MENDD_HTTP_AGES_H
#define MENDD_HTTP_AGES_H

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

enum {
	HTTP_AGE_SHIFT = 28, /* an interval has 2^28 ns: 0.27 s */
	HTTP_AGE_SLOTS = 512,
	/* Intervals that are counted in slots: 69 s. The other slots are being emptied. */
	HTTP_AGE_FRESH = 256,
	/* A slot: the number of entries from this bit on; below, the sum of their offsets in the
	 * interval, in units of 2^6 ns: 22 bits each. So a million entries fit. */
	HTTP_AGE_COUNT_SHIFT = 42,
	HTTP_AGE_OFFSET_SHIFT = 6,
};

struct http_ages {
	__u64 slots[HTTP_AGE_SLOTS]; /* of interval i: slot i % HTTP_AGE_SLOTS */
	__u64 old_before;            /* an interval; written by the daemon */
	__u64 old;                   /* entries that began before it */
	__u64 old_sum;               /* of their intervals */
	__u64 reserved;
};

static __always_inline __u64 http_age_interval(__u64 time_ns)
{
	return time_ns >> HTTP_AGE_SHIFT;
}

/* What one entry adds to its slot. */
static __always_inline __u64 http_age_entry(__u64 began_ns)
{
	__u64 offset = began_ns & ((1ULL << HTTP_AGE_SHIFT) - 1);

	return (1ULL << HTTP_AGE_COUNT_SHIFT) | offset >> HTTP_AGE_OFFSET_SHIFT;
}

/* One entry more that began at this time (CLOCK_MONOTONIC), or with n = -1 one less. */
static __always_inline void http_ages_add(struct http_ages *a, __u64 began_ns, __s64 n)
{
	__u64 interval = http_age_interval(began_ns);

	if ((__s64)(interval - *(volatile __u64 *)&a->old_before) < 0) {
		__sync_fetch_and_add(&a->old, n);
		__sync_fetch_and_add(&a->old_sum, n * interval);
	} else
		__sync_fetch_and_add(
			&a->slots[interval & (HTTP_AGE_SLOTS - 1)], n * http_age_entry(began_ns));
}

#endif
