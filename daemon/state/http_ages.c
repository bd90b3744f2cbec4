/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading and emptying the counts of requests by the time at which they began; see http_ages.h. */
#include "http_ages.h"

/* Slots of the next seconds are left alone: the kernel's clock was read later than ours. */
#define GUARD 16

struct slot {
	int64_t n, offset_sum;
};

/* Both fields of a slot may be negative for a moment: an entry was taken out before it came in. */
static struct slot parse_slot(uint64_t value)
{
	const uint64_t mask = (1ULL << HTTP_AGE_COUNT_SHIFT) - 1;
	bool negative = (int64_t)value < 0;
	uint64_t v = negative ? -value : value;
	struct slot s = { (int64_t)(v >> HTTP_AGE_COUNT_SHIFT), (int64_t)(v & mask) };

	if (negative)
		s = (struct slot) { -s.n, -s.offset_sum };
	return s;
}

static uint64_t old_began_ns(const volatile struct http_ages *a, int64_t n)
{
	uint64_t interval = a->old_sum / (uint64_t)n;

	/* The two counts are not read at the same moment. */
	if (interval >= a->old_before)
		interval = a->old_before - 1;
	return (interval + 1) << HTTP_AGE_SHIFT;
}

struct http_age http_ages_read(const volatile struct http_ages *a, uint64_t now_ns)
{
	uint64_t last = http_age_interval(now_ns) + GUARD, first = last - (HTTP_AGE_SLOTS - 1);
	int64_t n = (int64_t)a->old;
	struct http_age age = {};

	if (n > 0 && a->old_before)
		age.oldest_ns = old_began_ns(a, n);
	/* In the order of time; what is before .old_before is being moved, and only counted. */
	for (uint64_t i = first; i != last + 1; i++) {
		uint64_t value = a->slots[i % HTTP_AGE_SLOTS];
		struct slot s;

		if (!value)
			continue;
		s = parse_slot(value);
		n += s.n;
		if (!age.oldest_ns && s.n > 0 && (int64_t)(i - a->old_before) >= 0)
			age.oldest_ns = (i << HTTP_AGE_SHIFT) +
					((uint64_t)(s.offset_sum / s.n) << HTTP_AGE_OFFSET_SHIFT);
	}
	if (n <= 0 || !age.oldest_ns)
		return (struct http_age) {};
	age.n = (uint64_t)n;
	age.oldest_ns = MIN(age.oldest_ns, now_ns);
	return age;
}

void http_ages_retire(struct http_ages *a, uint64_t now_ns)
{
	uint64_t now = http_age_interval(now_ns), before = a->old_before;

	if (now >= HTTP_AGE_FRESH && now - HTTP_AGE_FRESH + 1 > before) {
		before = now - HTTP_AGE_FRESH + 1;
		__atomic_store_n(&a->old_before, before, __ATOMIC_SEQ_CST);
	}
	/* Each time all of them: a program may have been at one when it was emptied. */
	for (uint64_t i = now + GUARD + 1; i < before + HTTP_AGE_SLOTS; i++) {
		__u64 *slot = &a->slots[i % HTTP_AGE_SLOTS];
		uint64_t value = *(volatile __u64 *)slot;
		struct slot s;

		if (!value)
			continue;
		s = parse_slot(__atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST));
		__atomic_fetch_add(&a->old, (uint64_t)s.n, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(
			&a->old_sum, (uint64_t)s.n * (i - HTTP_AGE_SLOTS), __ATOMIC_SEQ_CST);
	}
}

void http_ages_settle(struct http_ages *a, const volatile __u64 *started)
{
	uint64_t before = *started, left[HTTP_AGE_SLOTS], old = a->old, old_sum = a->old_sum;

	for (size_t i = 0; i < HTTP_AGE_SLOTS; i++)
		left[i] = *(volatile __u64 *)&a->slots[i];
	if (*started != before)
		return;
	for (size_t i = 0; i < HTTP_AGE_SLOTS; i++)
		if (left[i])
			__atomic_fetch_sub(&a->slots[i], left[i], __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&a->old, old, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&a->old_sum, old_sum, __ATOMIC_SEQ_CST);
}
