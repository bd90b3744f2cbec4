/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests in flight by the time at which they began: what is read, and what happens as time
 * passes. */
#include "../../daemon/state/http_ages.h"

#include "cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECOND NSEC_PER_SEC
#define INTERVAL (UINT64_C(1) << HTTP_AGE_SHIFT)
/* A multiple of an interval, far from 0. */
#define BEGIN (INTERVAL * 40000)

static void expect(const struct http_ages *a, uint64_t now, uint64_t n, uint64_t oldest)
{
	struct http_age age = http_ages_read(a, now);

	assert_int_equal(age.n, n);
	assert_int_equal(age.oldest_ns, oldest);
}

static void ages_empty_nothing_is_oldest(void **state)
{
	struct http_ages a = {};

	expect(&a, BEGIN, 0, 0);
	http_ages_retire(&a, BEGIN);
	expect(&a, BEGIN, 0, 0);
}

static void ages_single_is_exact(void **state)
{
	struct http_ages a = {};
	uint64_t began = BEGIN + 12345 * 256;

	http_ages_add(&a, began, 1);
	expect(&a, began + SECOND, 1, began);
	http_ages_add(&a, began + SECOND, 1);
	expect(&a, began + 2 * SECOND, 2, began);
	http_ages_add(&a, began, -1);
	expect(&a, began + 2 * SECOND, 1, began + SECOND);
	http_ages_add(&a, began + SECOND, -1);
	expect(&a, began + 2 * SECOND, 0, 0);
}

/* Two of one interval: their mean, so that nothing is said to be older than it is. */
static void ages_same_interval_mean(void **state)
{
	struct http_ages a = {};

	http_ages_add(&a, BEGIN + INTERVAL / 4, 1);
	http_ages_add(&a, BEGIN + INTERVAL / 2, 1);
	expect(&a, BEGIN + SECOND, 2, BEGIN + INTERVAL / 8 * 3);
	http_ages_add(&a, BEGIN + INTERVAL / 4, -1);
	expect(&a, BEGIN + SECOND, 1, BEGIN + INTERVAL / 2);
}

static void ages_many_fit(void **state)
{
	struct http_ages a = {};

	for (unsigned int i = 0; i < 1000000; i++)
		http_ages_add(&a, BEGIN + INTERVAL - 256, 1);
	expect(&a, BEGIN + SECOND, 1000000, BEGIN + INTERVAL - 256);
}

/* The kernel's clock may be ahead of the one that was read here. */
static void ages_future_counts(void **state)
{
	struct http_ages a = {};

	http_ages_add(&a, BEGIN + 2 * INTERVAL, 1);
	http_ages_retire(&a, BEGIN);
	expect(&a, BEGIN, 1, BEGIN);
	http_ages_add(&a, BEGIN + 2 * INTERVAL, -1);
	expect(&a, BEGIN, 0, 0);
}

/* One request waits for minutes among others that come and go. */
static void ages_old_stays_oldest(void **state)
{
	struct http_ages a = {};
	struct http_age age;
	uint64_t now = BEGIN;

	http_ages_add(&a, BEGIN, 1);
	for (unsigned int i = 0; i < 1000; i++) {
		now += SECOND;
		http_ages_add(&a, now, 1);
		http_ages_retire(&a, now);
		age = http_ages_read(&a, now);
		assert_int_equal(age.n, 2);
		assert_in_range(age.oldest_ns, BEGIN, BEGIN + INTERVAL);
		http_ages_add(&a, now, -1);
	}
	assert_int_equal(a.old, 1);
	http_ages_add(&a, BEGIN, -1);
	expect(&a, now, 0, 0);
}

/* Whoever took an entry out by a former .old_before took it out of the wrong place. */
static void ages_late_end_is_mended(void **state)
{
	struct http_ages a = {};
	uint64_t now = BEGIN + 100 * SECOND;

	http_ages_add(&a, BEGIN, 1);
	http_ages_retire(&a, now);
	assert_int_equal(a.old, 1);
	a.slots[http_age_interval(BEGIN) % HTTP_AGE_SLOTS] -= http_age_entry(BEGIN);
	expect(&a, now, 0, 0);
	http_ages_retire(&a, now + SECOND);
	assert_int_equal(a.old, 0);
	for (unsigned int i = 0; i < HTTP_AGE_SLOTS; i++)
		assert_int_equal(a.slots[i], 0);
}

/* Nobody has emptied slots for a long time: what is counted twice or never is gone after a while.
 */
static void ages_without_daemon_heal(void **state)
{
	struct http_ages a = {};
	uint64_t now = BEGIN + 600 * SECOND, other = BEGIN + HTTP_AGE_SLOTS * INTERVAL * 3;

	http_ages_retire(&a, BEGIN);
	http_ages_add(&a, BEGIN, 1);
	http_ages_add(&a, other, 1); /* the same slot */
	http_ages_retire(&a, now);
	assert_int_equal(http_ages_read(&a, now).n, 2);
	http_ages_add(&a, BEGIN, -1);
	assert_int_equal(http_ages_read(&a, now).n, 1);
	http_ages_add(&a, other, -1);
	for (unsigned int i = 0; i < 80; i++)
		http_ages_retire(&a, now += SECOND);
	expect(&a, now, 0, 0);
	assert_int_equal(a.old, 0);
}

static void ages_settle_clears(void **state)
{
	struct http_ages a = {};
	__u64 started = 7;

	http_ages_add(&a, BEGIN, 1);
	http_ages_retire(&a, BEGIN + 100 * SECOND);
	http_ages_add(&a, BEGIN + 99 * SECOND, 1);
	http_ages_settle(&a, &started);
	expect(&a, BEGIN + 100 * SECOND, 0, 0);
	assert_int_equal(a.old, 0);
	assert_int_equal(a.old_sum, 0);
}

/* --- the kernel's part and the daemon's at the same time ---------------------------------------
 */

struct race {
	struct http_ages a;
	uint64_t now; /* runs much faster than the real one */
	bool over;
};

static uint64_t race_now(struct race *r)
{
	return __atomic_load_n(&r->now, __ATOMIC_SEQ_CST);
}

static void *come_and_go(void *userdata)
{
	struct race *r = userdata;
	uint64_t began[64] = {};
	unsigned int seed = (unsigned int)(uintptr_t)&began;

	while (!__atomic_load_n(&r->over, __ATOMIC_SEQ_CST)) {
		unsigned int at = (unsigned int)rand_r(&seed) % 64;

		if (began[at])
			http_ages_add(&r->a, began[at], -1);
		began[at] = began[at] ? 0 : race_now(r);
		if (began[at])
			http_ages_add(&r->a, began[at], 1);
	}
	for (unsigned int i = 0; i < 64; i++)
		if (began[i])
			http_ages_add(&r->a, began[i], -1);
	return NULL;
}

static void ages_race_loses_nothing(void **state)
{
	static struct race r;
	pthread_t threads[3];
	uint64_t end;

	r.now = BEGIN;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &r), 0);
	for (unsigned int i = 0; i < 200000; i++) {
		__atomic_store_n(&r.now, r.now + SECOND / 10, __ATOMIC_SEQ_CST);
		http_ages_retire(&r.a, r.now);
		/* One that goes and comes again while this is read may be counted twice. */
		assert_true(http_ages_read(&r.a, r.now).n <= 2 * 3 * 64);
	}
	__atomic_store_n(&r.over, true, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	for (end = r.now + 200 * SECOND; r.now < end; r.now += SECOND)
		http_ages_retire(&r.a, r.now);
	assert_int_equal(r.a.old, 0);
	expect(&r.a, r.now, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages_empty_nothing_is_oldest),
		cmocka_unit_test(ages_single_is_exact),
		cmocka_unit_test(ages_same_interval_mean),
		cmocka_unit_test(ages_many_fit),
		cmocka_unit_test(ages_future_counts),
		cmocka_unit_test(ages_old_stays_oldest),
		cmocka_unit_test(ages_late_end_is_mended),
		cmocka_unit_test(ages_without_daemon_heal),
		cmocka_unit_test(ages_settle_clears),
		cmocka_unit_test(ages_race_loses_nothing),
	};

	return cmocka_run_group_tests_name("http_ages", tests, NULL, NULL);
}
