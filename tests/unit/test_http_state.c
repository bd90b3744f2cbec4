/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daemon/state/http.c: bounds and folds against counting directly, windows, rates, quantiles. The
 * kernel is a pair of structs here, written as the programs write them.
 */
#include "cmocka_all.h"
#include "../../daemon/state/http.h"

#include <math.h>

#define SECOND NSEC_PER_SEC
#define BEGIN (1000 * SECOND)

/* Native histograms of schema 3, as Prometheus counts: 2^(k/8) seconds, inclusive. */
#define FIRST_K (-112)
#define LAST_K 40

struct kernel {
	struct http_totals totals;
	struct http_detail detail;
	struct http_state *state;
	uint64_t now_ns;
};

static uint64_t bounds[HTTP_BOUNDS];

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int low = 0, high = HTTP_BOUNDS;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (ns <= bounds[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int setup(void **state)
{
	struct kernel *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	http_bounds_ns(bounds);
	k->now_ns = BEGIN;
	k->state = http_state_new(&k->totals, NULL);
	assert_non_null(k->state);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kernel *k = *state;

	http_state_free(k->state);
	free(k);
	return 0;
}

static void tick(struct kernel *k)
{
	k->now_ns += SECOND;
	http_tick(k->state, k->now_ns);
}

static void start(struct kernel *k)
{
	k->totals.started++;
}

static void queue(struct kernel *k, uint64_t ns)
{
	k->detail.histograms[HTTP_QUEUE][HTTP_CLASS_OTHER][bucket_of(ns)]++;
	k->detail.sums_ns[HTTP_QUEUE][HTTP_CLASS_OTHER] += ns;
}

static void first_byte(struct kernel *k, enum http_class class, uint64_t ns)
{
	k->detail.histograms[HTTP_FIRST_BYTE][class][bucket_of(ns)]++;
	k->detail.sums_ns[HTTP_FIRST_BYTE][class] += ns;
}

static void request(struct kernel *k, enum http_class class, uint64_t ns)
{
	k->state->detail = &k->detail; /* the manager, when totals.detail tells of a place */
	start(k);
	first_byte(k, class, ns);
	k->totals.finished++;
}

static void bounds_are_what_was_promised(void **state)
{
	size_t found = 0;

	assert_int_equal(HTTP_BOUNDS, 166);
	for (size_t i = 1; i < HTTP_BOUNDS; i++)
		assert_true(bounds[i - 1] < bounds[i]);
	for (size_t c = 0; c < HTTP_CLASSIC_BOUNDS; c++)
		for (size_t i = 0; i < HTTP_BOUNDS; i++)
			found += bounds[i] == (uint64_t)llround(http_classic_bounds[c] * 1e9);
	assert_int_equal(found, HTTP_CLASSIC_BOUNDS);
	for (int k = FIRST_K; k <= LAST_K; k++) {
		uint64_t bound = (uint64_t)floorl(exp2l((long double)k / 8) * 1e9L);
		unsigned int at = bucket_of(bound);

		assert_true(at < HTTP_BOUNDS);
		assert_int_equal(bounds[at], bound);
	}
	assert_int_equal(bounds[0], 61035); /* 2^-14 s */
	assert_int_equal(bounds[HTTP_BOUNDS - 1], 32 * SECOND);
	/* Interpolation within a bucket is off by 9 % at most. */
	for (size_t i = 1; i < HTTP_BOUNDS; i++)
		assert_true((double)bounds[i] / (double)bounds[i - 1] < 1.091);
}

/* xorshift64*: the same durations in every run. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * UINT64_C(2685821657736338717);
}

static unsigned int classic_of(uint64_t ns)
{
	unsigned int i = 0;

	while (i < HTTP_CLASSIC_BOUNDS && (double)ns / 1e9 > http_classic_bounds[i])
		i++;
	return i;
}

static int native_of(uint64_t ns)
{
	int k = (int)ceill(8 * log2l((long double)ns / 1e9L)) - 1;

	/* The logarithm is rounded: the last step is by comparison. */
	while ((long double)ns > exp2l((long double)k / 8) * 1e9L)
		k++;
	return k < FIRST_K ? FIRST_K : k > LAST_K ? LAST_K + 1 : k;
}

static void folds_are_exact(void **state)
{
	struct kernel *k = *state;
	uint64_t classic[HTTP_CLASSIC_BOUNDS + 1] = {}, folded[HTTP_CLASSIC_BOUNDS + 1];
	uint64_t native[LAST_K - FIRST_K + 2] = {}, native_folded[LAST_K - FIRST_K + 2] = {};
	uint64_t random = 88172645463325252u, total_ns = 0;
	double sum;

	k->state->detail = &k->detail;
	for (int i = 0; i < 1000000; i++) {
		/* From a microsecond to a hundred seconds, evenly by the logarithm. */
		double at = (double)(next_random(&random) >> 11) / 0x1p53;
		uint64_t ns = (uint64_t)(1e3 * pow(10, 8 * at));

		/* And what lies exactly on a bound, and beside it. */
		if (i % 10 == 0)
			ns = bounds[(unsigned int)i / 10 % HTTP_BOUNDS] + (uint64_t)(i / 10 % 3) -
			     1;
		first_byte(k, HTTP_CLASS_2XX, ns);
		total_ns += ns;
		classic[classic_of(ns)]++;
		native[native_of(ns) - FIRST_K]++;
	}
	http_fold_classic(k->state, HTTP_FIRST_BYTE, HTTP_CLASS_2XX, folded, &sum);
	assert_memory_equal(classic, folded, sizeof(classic));
	assert_true(fabs(sum - (double)total_ns / 1e9) < 1e-3);
	for (unsigned int b = 0; b < HTTP_BUCKETS; b++) {
		int to = b < HTTP_BOUNDS ? native_of(bounds[b]) : LAST_K + 1;

		native_folded[to - FIRST_K] +=
			k->detail.histograms[HTTP_FIRST_BYTE][HTTP_CLASS_2XX][b];
	}
	assert_memory_equal(native, native_folded, sizeof(native));
	/* Nothing of it is in another class or clock. */
	memset(classic, 0, sizeof(classic));
	http_fold_classic(k->state, HTTP_FIRST_BYTE, HTTP_CLASS_5XX, folded, &sum);
	assert_memory_equal(classic, folded, sizeof(classic));
	assert_true(sum == 0);
	http_fold_classic(k->state, HTTP_DURATION, HTTP_CLASS_2XX, folded, &sum);
	assert_memory_equal(classic, folded, sizeof(classic));
}

static void nothing_measured_is_no_number(void **state)
{
	struct kernel *k = *state;
	uint64_t folded[HTTP_CLASSIC_BOUNDS + 1] = { 7 }, n = 7;
	const struct http_state *const none[] = { NULL, k->state };
	double sum = 7;

	http_tick(k->state, k->now_ns);
	tick(k);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		struct http_view v = http_view(none[i], HTTP_WINDOW);

		assert_true(v.span == 0 && v.rate == 0 && v.started == 0 && v.errors == 0);
		assert_true(isnan(v.error_ratio));
		assert_true(http_quantile_ns(none[i], HTTP_WINDOW, .99, &n) == UINT64_MAX);
		assert_int_equal(n, 0);
		assert_true(http_queue_quantile_ns(none[i], 3, .5, NULL) == UINT64_MAX);
		assert_int_equal(http_code_count(none[i], HTTP_GET, 1), 0);
		http_fold_classic(none[i], HTTP_QUEUE, HTTP_CLASS_OTHER, folded, &sum);
		assert_int_equal(folded[0], 0);
		assert_true(sum == 0);
		assert_int_equal(http_blindness(none[i]), -1);
	}
	assert_null(k->state->window);
	assert_int_equal(k->state->last_answer_ns, 0);
}

static void the_first_tick_is_a_beginning(void **state)
{
	struct kernel *k = *state;
	uint64_t n;

	for (int i = 0; i < 1000; i++)
		request(k, HTTP_CLASS_5XX, SECOND);
	http_tick(k->state, k->now_ns);
	assert_int_equal(http_view(k->state, 60).answered, 0);
	assert_int_equal(k->state->counts.answered[HTTP_CLASS_5XX], 1000);
	assert_int_equal(k->state->last_answer_ns, 0);
	request(k, HTTP_CLASS_2XX, 1000000);
	tick(k);
	assert_int_equal(http_view(k->state, 60).answered, 1);
	assert_int_equal(http_view(k->state, 60).errors, 0);
	http_quantile_ns(k->state, 10, .5, &n);
	assert_int_equal(n, 1);
	assert_int_equal(k->state->last_answer_ns, k->now_ns);
	assert_int_equal(k->state->last_arrival_ns, k->now_ns);
}

static void the_first_request_counts(void **state)
{
	struct kernel *k = *state;
	struct http_view v;
	uint64_t n;

	http_tick(k->state, k->now_ns);
	for (int i = 0; i < 5; i++)
		tick(k);
	request(k, HTTP_CLASS_2XX, 1000000);
	tick(k);
	v = http_view(k->state, HTTP_WINDOW);
	assert_int_equal(v.answered, 1);
	/* It is about the second in which it came, not about the idle ones before. */
	assert_true(v.span == 1 && v.rate == 1);
	http_quantile_ns(k->state, 10, .5, &n);
	assert_int_equal(n, 1);
}

/* A unit for whose details the kernel has no room still has a rate and errors. */
static void requests_without_details(void **state)
{
	struct kernel *k = *state;

	http_tick(k->state, k->now_ns);
	k->totals.started = 4;
	k->totals.finished = 2;
	k->totals.incomplete[HTTP_SERVER_DIED] = 1;
	k->totals.incomplete[HTTP_CLIENT_RESET] = 1;
	tick(k);
	assert_int_equal(http_view(k->state, 10).started, 4);
	assert_int_equal(http_view(k->state, 10).errors, 1);
	assert_int_equal(http_view(k->state, 10).incomplete, 2);
	assert_true(http_view(k->state, 10).error_ratio == 1);
	assert_int_equal(k->state->in_flight, 2);
	assert_int_equal(k->state->oldest_unanswered_ns, 0);
	assert_int_equal(k->state->last_arrival_ns, k->now_ns);
}

static void windows_end(void **state)
{
	struct kernel *k = *state;
	struct http_view v;
	uint64_t n;

	http_tick(k->state, k->now_ns);
	for (int second = 0; second < 200; second++) {
		for (int i = 0; i < second; i++)
			request(k, HTTP_CLASS_2XX, 1000000);
		tick(k);
	}
	v = http_view(k->state, 1);
	assert_true(v.span == 1 && v.started == 199 && v.rate == 199);
	v = http_view(k->state, 10);
	assert_true(v.span == 10 && v.started == 1945 && v.rate == 194.5);
	v = http_view(k->state, HTTP_SECONDS);
	assert_true(v.span == HTTP_SECONDS && v.started == 64 * (199 + 136) / 2);
	assert_int_equal(http_view(k->state, 10000).started, v.started); /* not more than there is
									  */
	assert_int_equal(http_view(k->state, 0).started, 0);
	http_quantile_ns(k->state, 10000, .5, &n);
	assert_int_equal(n, 16 * (199 + 184) / 2);
	http_quantile_ns(k->state, 2, .5, &n);
	assert_int_equal(n, 199 + 198);
	/* And it is quiet for as long as anything is remembered. */
	for (int second = 0; second < HTTP_SECONDS; second++)
		tick(k);
	assert_int_equal(http_view(k->state, HTTP_SECONDS).started, 0);
	assert_true(http_view(k->state, HTTP_SECONDS).span == HTTP_SECONDS);
	assert_true(isnan(http_view(k->state, HTTP_SECONDS).error_ratio));
	assert_true(http_quantile_ns(k->state, 16, .5, NULL) == UINT64_MAX);
}

static void a_late_tick_is_a_longer_second(void **state)
{
	struct kernel *k = *state;

	http_tick(k->state, k->now_ns);
	for (int i = 0; i < 100; i++)
		request(k, HTTP_CLASS_2XX, 1000000);
	k->now_ns += 4 * SECOND;
	http_tick(k->state, k->now_ns);
	assert_true(http_view(k->state, 10).rate == 25);
	assert_true(http_view(k->state, 10).span == 4);
}

static void errors_are_the_servers(void **state)
{
	struct kernel *k = *state;
	struct http_counts counts;
	struct http_view v;

	http_tick(k->state, k->now_ns);
	for (int i = 0; i < 90; i++)
		request(k, i % 2 ? HTTP_CLASS_2XX : HTTP_CLASS_4XX, 1000000);
	for (int i = 0; i < 6; i++)
		request(k, HTTP_CLASS_5XX, 1000000);
	for (int r = 0; r < HTTP_INCOMPLETE_REASONS; r++) {
		start(k);
		k->totals.finished++;
		k->totals.incomplete[r]++;
	}
	counts = http_counts_now(k->state);
	assert_int_equal(http_errors(&counts), 8);
	assert_int_equal(counts.started, 101);
	assert_int_equal(k->state->counts.started, 0); /* as of the last tick */
	tick(k);
	v = http_view(k->state, 10);
	assert_int_equal(v.started, 101);
	assert_int_equal(v.answered, 96);
	assert_int_equal(v.errors, 8); /* with a reset by the server and its death */
	assert_int_equal(v.incomplete, 5);
	assert_true(fabs(v.error_ratio - 8.0 / 98) < 1e-12);
}

static void quantiles_of_known_distributions(void **state)
{
	static const double quantiles[] = { .01, .5, .9, .95, .99 };
	struct kernel *k = *state;
	uint64_t n;

	http_tick(k->state, k->now_ns);
	/* 1 to 1000 ms, evenly; spread over ten seconds and three classes. */
	for (unsigned int i = 0; i < 10000; i++) {
		request(k, (enum http_class)(HTTP_CLASS_2XX + i % 3), (i / 10 + 1) * NSEC_PER_MSEC);
		if (i % 1000 == 999)
			tick(k);
	}
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		double got = (double)http_quantile_ns(k->state, 10, quantiles[i], &n) / 1e9;

		assert_int_equal(n, 10000);
		assert_true(fabs(got / quantiles[i] - 1) < .09);
	}
	/* The newest second had the slowest. */
	assert_true(http_quantile_ns(k->state, 1, .5, &n) > 900 * NSEC_PER_MSEC);
	assert_int_equal(n, 1000);
	assert_true(http_quantile_ns(k->state, 10, 1, NULL) <= 1050 * NSEC_PER_MSEC);
	assert_true(http_quantile_ns(k->state, 10, 0, NULL) <= 1 * NSEC_PER_MSEC);
}

static void quantiles_at_the_ends(void **state)
{
	struct kernel *k = *state;

	http_tick(k->state, k->now_ns);
	request(k, HTTP_CLASS_2XX, 1);
	tick(k);
	assert_true(http_quantile_ns(k->state, 1, .99, NULL) <= bounds[0]);
	request(k, HTTP_CLASS_2XX, 3600 * SECOND);
	tick(k);
	/* Above all bounds: at least the last one. */
	assert_int_equal(http_quantile_ns(k->state, 1, .5, NULL), 32 * SECOND);
	request(k, HTTP_CLASS_2XX, bounds[100]);
	tick(k);
	assert_int_equal(http_quantile_ns(k->state, 1, 1, NULL), bounds[100]);
}

static void the_queue_is_apart(void **state)
{
	struct kernel *k = *state;
	uint64_t n, p95;

	http_tick(k->state, k->now_ns);
	for (int i = 0; i < 100; i++) {
		request(k, HTTP_CLASS_2XX, 500 * NSEC_PER_MSEC);
		queue(k, (i < 90 ? 1 : 400) * NSEC_PER_MSEC);
	}
	tick(k);
	p95 = http_queue_quantile_ns(k->state, 10, .95, &n);
	assert_int_equal(n, 100);
	assert_true(p95 > 366 * NSEC_PER_MSEC && p95 < 440 * NSEC_PER_MSEC);
	assert_true(http_queue_quantile_ns(k->state, 10, .5, NULL) <= NSEC_PER_MSEC);
	assert_true(http_quantile_ns(k->state, 10, .5, NULL) > 400 * NSEC_PER_MSEC);
}

static void what_is_in_flight(void **state)
{
	struct kernel *k = *state;

	k->state->detail = &k->detail;
	http_tick(k->state, k->now_ns);
	start(k);
	start(k);
	http_ages_add(&k->detail.waiting, BEGIN, 1);
	http_ages_add(&k->detail.waiting, BEGIN + SECOND / 2, 1);
	queue(k, SECOND / 10); /* one of them was read */
	tick(k);
	assert_int_equal(k->state->in_flight, 2);
	assert_int_equal(k->state->unanswered, 2);
	assert_int_equal(k->state->unread, 1);
	assert_int_equal(k->state->oldest_ns, BEGIN);
	assert_int_equal(http_oldest_age_ns(k->state, k->now_ns + NSEC_PER_SEC),
		k->now_ns + NSEC_PER_SEC - BEGIN);
	/* One of them is finished, perhaps this one: it is not said to grow older. */
	k->totals.finished = 1;
	assert_int_equal(http_oldest_age_ns(k->state, k->now_ns + NSEC_PER_SEC), k->now_ns - BEGIN);
	tick(k);
	assert_int_equal(http_oldest_age_ns(k->state, k->now_ns + NSEC_PER_SEC),
		k->now_ns + NSEC_PER_SEC - BEGIN);
	/* Those that wait were looked at before they were answered: the counters know better. */
	k->totals.finished = 2;
	assert_int_equal(http_oldest_age_ns(k->state, k->now_ns + NSEC_PER_SEC), 0);
	tick(k);
	assert_int_equal(k->state->in_flight, 0);
	assert_int_equal(k->state->unanswered, 0);
	assert_int_equal(k->state->unread, 0);
	assert_int_equal(k->state->oldest_ns, 0);
	assert_int_equal(k->state->oldest_unanswered_ns, 0);
	k->totals.finished = 3; /* never seen as -1 */
	tick(k);
	assert_int_equal(k->state->in_flight, 0);
}

/* An answer may begin long after the request and long before its end. */
static void answers_between_arrival_and_end(void **state)
{
	struct kernel *k = *state;
	uint64_t n;

	k->state->detail = &k->detail;
	http_tick(k->state, k->now_ns);
	start(k);
	for (int i = 0; i < 5; i++)
		tick(k);
	assert_int_equal(http_view(k->state, 1).answered, 0);
	first_byte(k, HTTP_CLASS_2XX, 5 * SECOND);
	tick(k);
	assert_int_equal(http_view(k->state, 1).answered, 1);
	assert_int_equal(k->state->in_flight, 1);
	assert_int_equal(k->state->last_answer_ns, k->now_ns);
	assert_int_equal(k->state->last_arrival_ns, k->now_ns - 5 * SECOND);
	http_quantile_ns(k->state, 1, .5, &n);
	assert_int_equal(n, 1);
}

/* The kernel's counters are not one: a tick may fall between "finished" and the histogram. */
static void a_tick_between_two_counts(void **state)
{
	struct kernel *k = *state;
	uint64_t n;

	http_tick(k->state, k->now_ns);
	request(k, HTTP_CLASS_2XX, NSEC_PER_MSEC);
	tick(k);
	start(k);
	k->totals.finished++;
	tick(k);
	first_byte(k, HTTP_CLASS_2XX, NSEC_PER_MSEC);
	for (int i = 0; i < 3; i++)
		tick(k);
	assert_int_equal(http_view(k->state, 10).answered, 2);
	http_quantile_ns(k->state, 10, .5, &n);
	assert_int_equal(n, 2);
}

static void memory_that_was_emptied(void **state)
{
	struct kernel *k = *state;

	http_tick(k->state, k->now_ns);
	for (int i = 0; i < 10; i++)
		request(k, HTTP_CLASS_2XX, NSEC_PER_MSEC);
	tick(k);
	memset(&k->totals, 0, sizeof(k->totals));
	memset(&k->detail, 0, sizeof(k->detail));
	tick(k);
	assert_int_equal(http_view(k->state, 1).started, 0);
	assert_int_equal(http_view(k->state, 1).answered, 0);
	assert_true(http_quantile_ns(k->state, 1, .5, NULL) == UINT64_MAX);
	request(k, HTTP_CLASS_2XX, NSEC_PER_MSEC);
	tick(k);
	assert_int_equal(http_view(k->state, 1).answered, 1);
}

static void codes_have_places(void **state)
{
	static const uint16_t known[] = { HTTP_KNOWN_CODES };
	struct kernel *k = *state;

	assert_true(ARRAY_SIZE(known) < HTTP_CODES);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		unsigned int place = http_place_of_code(known[i]);

		assert_true(place > 0 && place < HTTP_CODES);
		assert_int_equal(http_code_of_place(place), known[i]);
	}
	assert_int_equal(http_place_of_code(299), 0);
	assert_int_equal(http_place_of_code(0), 0);
	assert_int_equal(http_code_of_place(0), 0);
	assert_int_equal(http_code_of_place(HTTP_CODES), 0);
	k->state->detail = &k->detail;
	k->detail.codes[HTTP_POST][http_place_of_code(404)] = 3;
	assert_int_equal(http_code_count(k->state, HTTP_POST, http_place_of_code(404)), 3);
	assert_int_equal(http_code_count(k->state, HTTP_GET, http_place_of_code(404)), 0);
	assert_int_equal(http_code_count(k->state, HTTP_METHODS, 1), 0);
	assert_int_equal(http_code_count(k->state, HTTP_GET, HTTP_CODES), 0);
}

static void blindness(void **state)
{
	struct kernel *k = *state;

	assert_int_equal(http_blindness(k->state), -1); /* nothing came */
	k->totals.untracked[HTTP_UNTRACKED_NOT_HTTP] = 2;
	assert_string_equal(
		http_untracked_word((enum http_untracked)http_blindness(k->state)), "not_http");
	k->totals.untracked[HTTP_UNTRACKED_TLS] = 3; /* most of them count */
	assert_int_equal(http_blindness(k->state), HTTP_UNTRACKED_TLS);
	k->totals.started = 1; /* some of it is seen */
	assert_int_equal(http_blindness(k->state), -1);
}

static void every_value_has_a_word(void **state)
{
	for (int i = 0; i < HTTP_METHODS; i++)
		assert_string_not_equal(http_method_word((enum http_method)i), "unknown");
	for (int i = 0; i < HTTP_CLASSES; i++)
		assert_string_not_equal(http_class_word((enum http_class)i), "unknown");
	for (int i = 0; i < HTTP_INCOMPLETE_REASONS; i++)
		assert_string_not_equal(http_incomplete_word((enum http_incomplete)i), "unknown");
	for (int i = 0; i < HTTP_UNTRACKED_REASONS; i++)
		assert_string_not_equal(http_untracked_word((enum http_untracked)i), "unknown");
	assert_string_equal(http_method_word(HTTP_METHODS), "unknown");
	assert_string_equal(http_class_word(HTTP_CLASSES), "unknown");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bounds_are_what_was_promised),
		TEST(folds_are_exact),
		TEST(nothing_measured_is_no_number),
		TEST(the_first_tick_is_a_beginning),
		TEST(the_first_request_counts),
		TEST(requests_without_details),
		TEST(windows_end),
		TEST(a_late_tick_is_a_longer_second),
		TEST(errors_are_the_servers),
		TEST(quantiles_of_known_distributions),
		TEST(quantiles_at_the_ends),
		TEST(the_queue_is_apart),
		TEST(what_is_in_flight),
		TEST(answers_between_arrival_and_end),
		TEST(a_tick_between_two_counts),
		TEST(memory_that_was_emptied),
		TEST(codes_have_places),
		TEST(blindness),
		TEST(every_value_has_a_word),
	};

	return cmocka_run_group_tests_name("http_state", tests, NULL, NULL);
}
