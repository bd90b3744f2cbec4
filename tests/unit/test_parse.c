/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/base/parse.c: every form, every limit, and what must be refused. */
#include "cmocka_all.h"
#include "../../daemon/base/parse.h"

#define UNTOUCHED UINT64_C(0xdeadbeef)
#define S NSEC_PER_SEC
#define MS NSEC_PER_MSEC

static void timespans(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ns;
	} rows[] = {
		{ "0", 0, 0 },
		{ "2", 0, 2 * S },
		{ "500ms", 0, 500 * MS },
		{ " 500 ms ", 0, 500 * MS },
		{ "500msec", 0, 500 * MS },
		{ "5min 20s", 0, 320 * S },
		{ "5min20s", 0, 320 * S },
		{ "5m", 0, 300 * S },
		{ "5 minutes", 0, 300 * S },
		{ "1minute", 0, 60 * S },
		{ "1M", 0, 2629800 * S },
		{ "2months", 0, 2 * 2629800 * S },
		{ "1month", 0, 2629800 * S },
		{ "1y", 0, 31557600 * S },
		{ "2years", 0, 2 * 31557600 * S },
		{ "1w 1d 1h", 0, (604800 + 86400 + 3600) * S },
		{ "1week", 0, 604800 * S },
		{ "1hr", 0, 3600 * S },
		{ "1hour 1hours", 0, 7200 * S },
		{ "1day 2days", 0, 3 * 86400 * S },
		{ "3us", 0, 3000 },
		{ "3usec", 0, 3000 },
		{ "3\xc2\xb5s", 0, 3000 },
		{ "3\xce\xbcs", 0, 3000 },
		{ "7ns", 0, 7 },
		{ "7nsec", 0, 7 },
		{ "1.5s", 0, 1500 * MS },
		{ "1.5", 0, 1500 * MS },
		{ ".5s", 0, 500 * MS },
		{ "0.1s", 0, 100 * MS },
		{ "1.5h", 0, 5400 * S },
		{ "3.1s.2", 0, 3300 * MS },
		{ "3.1 .2", 0, 3300 * MS },
		{ "+3.1s", 0, 3100 * MS },
		{ "0.0000000019s", 0, 1 },
		{ "1\t2", 0, 3 * S },
		{ "infinity", 0, TIME_INFINITY },
		{ "  infinity  ", 0, TIME_INFINITY },
		{ "18446744073709551614ns", 0, UINT64_MAX - 1 },
		{ "18446744073709551615ns", -ERANGE, 0 }, /* that is infinity's value */
		{ "18446744073709551616ns", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "585y", -ERANGE, 0 },
		{ "584y 1y", -ERANGE, 0 },
		{ "18446744073.709551615s", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "   ", -EINVAL, 0 },
		{ "xyz", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "10sec-", -EINVAL, 0 },
		{ "10 sexy", -EINVAL, 0 },
		{ "3.s", -EINVAL, 0 },
		{ "3. 1s", -EINVAL, 0 },
		{ "3.+1s", -EINVAL, 0 },
		{ "3.-1", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ "12.34.56", -EINVAL, 0 },
		{ "12..34", -EINVAL, 0 },
		{ "5mins", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "++1", -EINVAL, 0 },
		{ "infinity 1s", -EINVAL, 0 },
		{ "infinite", -EINVAL, 0 },
		{ "\xff", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t ns = UNTOUCHED;

		CHECK_ROW(parse_timespan(rows[i].text, &ns) == rows[i].result, rows[i].text);
		CHECK_ROW(ns == (rows[i].result == 0 ? rows[i].ns : UNTOUCHED), rows[i].text);
	}
}

static void ranges(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t first, last;
	} rows[] = {
		{ "1s..1min", 0, S, 60 * S },
		{ " 1s .. 1min ", 0, S, 60 * S },
		{ "5s", 0, 5 * S, 5 * S },
		{ "1.5s..2.5s", 0, 1500 * MS, 2500 * MS },
		{ "1s..infinity", 0, S, TIME_INFINITY },
		{ "2s..1s", -EINVAL, 0, 0 },
		{ "..1s", -EINVAL, 0, 0 },
		{ "1s..", -EINVAL, 0, 0 },
		{ "..", -EINVAL, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ "1s..2s..3s", -EINVAL, 0, 0 },
		{ "1s-2s", -EINVAL, 0, 0 },
		{ "9999999999999999s..1s", -ERANGE, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t first = UNTOUCHED, last = UNTOUCHED;
		int r = parse_timespan_range(rows[i].text, &first, &last);

		CHECK_ROW(r == rows[i].result, rows[i].text);
		CHECK_ROW(first == (r == 0 ? rows[i].first : UNTOUCHED), rows[i].text);
		CHECK_ROW(last == (r == 0 ? rows[i].last : UNTOUCHED), rows[i].text);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "10B", 0, 10 },
		{ "64K", 0, 65536 },
		{ "64 K", 0, 65536 },
		{ "1M", 0, 1048576 },
		{ "1.5G", 0, 1610612736 },
		{ "2T", 0, UINT64_C(2) << 40 },
		{ "3P", 0, UINT64_C(3) << 50 },
		{ "15E", 0, UINT64_C(15) << 60 },
		{ "infinity", 0, UINT64_MAX },
		{ "16E", -ERANGE, 0 },
		{ "18446744073709551615", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1X", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "1K 1", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = UNTOUCHED;
		int r = parse_size(rows[i].text, &bytes);

		CHECK_ROW(r == rows[i].result, rows[i].text);
		CHECK_ROW(bytes == (r == 0 ? rows[i].bytes : UNTOUCHED), rows[i].text);
	}
}

static void percentages(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t hundredths;
	} rows[] = {
		{ "0%", 0, 0 },
		{ "5%", 0, 500 },
		{ " 5 % ", 0, 500 },
		{ "2.25%", 0, 225 },
		{ ".5%", 0, 50 },
		{ "0.01%", 0, 1 },
		{ "100%", 0, 10000 },
		{ "100.01%", -ERANGE, 0 },
		{ "101%", -ERANGE, 0 },
		{ "999999999999999999999%", -ERANGE, 0 },
		{ "5", -EINVAL, 0 },
		{ "%", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "5%%", -EINVAL, 0 },
		{ "-5%", -EINVAL, 0 },
		{ "5x%", -EINVAL, 0 },
		{ "5% 6%", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t v = 77;
		int r = parse_percent(rows[i].text, &v);

		CHECK_ROW(r == rows[i].result, rows[i].text);
		CHECK_ROW(v == (r == 0 ? rows[i].hundredths : 77), rows[i].text);
	}
}

static void booleans(void **state)
{
	static const char *const yes[] = { "1", "yes", "Y", "TRUE", "t", "on", " on " };
	static const char *const no[] = { "0", "no", "N", "False", "f", "OFF", "\toff" };
	static const char *const neither[] = { "", " ", "2", "ye", "yess", "o", "enabled", "-1" };
	bool v;

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		v = false;
		CHECK_ROW(parse_bool(yes[i], &v) == 0 && v, yes[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		v = true;
		CHECK_ROW(parse_bool(no[i], &v) == 0 && !v, no[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
		CHECK_ROW(parse_bool(neither[i], &v) == -EINVAL, neither[i]);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t value;
	} rows[] = {
		{ "0", 0, 0 },
		{ " 42 ", 0, 42 },
		{ "007", 0, 7 },
		{ "4294967295", 0, UINT32_MAX },
		{ "4294967296", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1 2", -EINVAL, 0 },
		{ "0x1", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t v = 77;
		int r = parse_u32(rows[i].text, &v);

		CHECK_ROW(r == rows[i].result, rows[i].text);
		CHECK_ROW(v == (r == 0 ? rows[i].value : 77), rows[i].text);
	}
}

static void rates(void **state)
{
	static const struct {
		const char *text;
		int result;
		size_t n;
		struct rate rates[2];
	} rows[] = {
		{ "5/1min 20/1d", 0, 2, { { 5, 60 * S }, { 20, 86400 * S } } },
		{ "5/1min", 0, 1, { { 5, 60 * S } } },
		{ "  5/1min  ", 0, 1, { { 5, 60 * S } } },
		{ "5/1min 30s 20/1d", 0, 2, { { 5, 90 * S }, { 20, 86400 * S } } },
		{ "5/1 min", 0, 1, { { 5, 60 * S } } },
		{ "0/10", 0, 1, { { 0, 10 * S } } },
		{ "1/1s 2/2s 3/3s", -E2BIG, 0, {} },
		{ "", -EINVAL, 0, {} },
		{ "5", -EINVAL, 0, {} },
		{ "5/", -EINVAL, 0, {} },
		{ "/1min", -EINVAL, 0, {} },
		{ "5 /1min", -EINVAL, 0, {} },
		{ "5//1min", -EINVAL, 0, {} },
		{ "5/1min x", -EINVAL, 0, {} },
		{ "-5/1min", -EINVAL, 0, {} },
		{ "5/1min,20/1d", -EINVAL, 0, {} },
		{ "4294967296/1s", -ERANGE, 0, {} },
		{ "1/999999999999999h", -ERANGE, 0, {} },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rate got[2] = {};
		size_t n = 77;
		int r = parse_rates(rows[i].text, got, 2, &n);

		CHECK_ROW(r == rows[i].result, rows[i].text);
		CHECK_ROW(n == (r == 0 ? rows[i].n : 77), rows[i].text);
		for (size_t j = 0; r == 0 && j < n; j++) {
			CHECK_ROW(got[j].count == rows[i].rates[j].count, rows[i].text);
			CHECK_ROW(got[j].window_ns == rows[i].rates[j].window_ns, rows[i].text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timespans),
		cmocka_unit_test(ranges),
		cmocka_unit_test(sizes),
		cmocka_unit_test(percentages),
		cmocka_unit_test(booleans),
		cmocka_unit_test(numbers),
		cmocka_unit_test(rates),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
