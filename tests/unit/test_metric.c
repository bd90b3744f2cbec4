/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/state/metric.c: both text forms, byte by byte, and numbers. */
#include "cmocka_all.h"
#include "../../daemon/state/metric.h"

#include <float.h>
#include <math.h>

static void write_all(struct strbuf *out, enum metric_format format)
{
	static const double bounds[] = { .005, 1, 2.5 };
	static const uint64_t buckets[] = { 1, 0, 2, 3 };
	const struct metric_label labels[] = { { "name", "a.service" }, {} };
	struct metric_writer w;

	metric_begin(&w, out, format);
	metric_family(&w, "m_exits_total", METRIC_COUNTER, NULL, "With \"quotes\" and \\.");
	METRIC_COUNT(&w, UINT64_MAX, { "name", "a.service" }, { "outcome", "x" });
	metric_count(&w, NULL, 0);
	metric_family(&w, "m_run_seconds_total", METRIC_COUNTER, "seconds", "Two\nlines.");
	metric_sample(&w, NULL, 1.5);
	metric_family(&w, "m_temperature", METRIC_GAUGE, NULL, "g");
	METRIC_SAMPLE(&w, -0.1, { "v", "q\"b\\n\nu\xc3\xa4x\xff" });
	metric_family(&w, "m_build_info", METRIC_INFO, NULL, "i");
	METRIC_COUNT(&w, 1, { "version", "1" });
	metric_family(&w, "m_delay_seconds", METRIC_HISTOGRAM, "seconds", "h");
	metric_histogram(&w, labels, bounds, 3, buckets, 12.25);
	metric_histogram(&w, NULL, bounds, 3, buckets, 0);
	metric_end(&w);
}

static void text_form(void **state)
{
	_cleanup_strbuf_ struct strbuf out = {};

	write_all(&out, METRIC_TEXT);
	assert_int_equal(out.error, 0);
	assert_string_equal(out.data,
		"# HELP m_exits_total With \"quotes\" and \\\\.\n"
		"# TYPE m_exits_total counter\n"
		"m_exits_total{name=\"a.service\",outcome=\"x\"} 18446744073709551615\n"
		"m_exits_total 0\n"
		"# HELP m_run_seconds_total Two\\nlines.\n"
		"# TYPE m_run_seconds_total counter\n"
		"m_run_seconds_total 1.5\n"
		"# HELP m_temperature g\n"
		"# TYPE m_temperature gauge\n"
		"m_temperature{v=\"q\\\"b\\\\n\\nu\xc3\xa4x\xef\xbf\xbd\"} -0.1\n"
		"# HELP m_build_info i\n"
		"# TYPE m_build_info gauge\n"
		"m_build_info{version=\"1\"} 1\n"
		"# HELP m_delay_seconds h\n"
		"# TYPE m_delay_seconds histogram\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"0.005\"} 1\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"1\"} 1\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"2.5\"} 3\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"+Inf\"} 6\n"
		"m_delay_seconds_sum{name=\"a.service\"} 12.25\n"
		"m_delay_seconds_count{name=\"a.service\"} 6\n"
		"m_delay_seconds_bucket{le=\"0.005\"} 1\n"
		"m_delay_seconds_bucket{le=\"1\"} 1\n"
		"m_delay_seconds_bucket{le=\"2.5\"} 3\n"
		"m_delay_seconds_bucket{le=\"+Inf\"} 6\n"
		"m_delay_seconds_sum 0\n"
		"m_delay_seconds_count 6\n");
}

static void openmetrics_form(void **state)
{
	_cleanup_strbuf_ struct strbuf out = {};

	write_all(&out, METRIC_OPENMETRICS);
	assert_string_equal(out.data,
		"# HELP m_exits With \\\"quotes\\\" and \\\\.\n"
		"# TYPE m_exits counter\n"
		"m_exits_total{name=\"a.service\",outcome=\"x\"} 18446744073709551615\n"
		"m_exits_total 0\n"
		"# HELP m_run_seconds Two\\nlines.\n"
		"# TYPE m_run_seconds counter\n"
		"# UNIT m_run_seconds seconds\n"
		"m_run_seconds_total 1.5\n"
		"# HELP m_temperature g\n"
		"# TYPE m_temperature gauge\n"
		"m_temperature{v=\"q\\\"b\\\\n\\nu\xc3\xa4x\xef\xbf\xbd\"} -0.1\n"
		"# HELP m_build i\n"
		"# TYPE m_build info\n"
		"m_build_info{version=\"1\"} 1\n"
		"# HELP m_delay_seconds h\n"
		"# TYPE m_delay_seconds histogram\n"
		"# UNIT m_delay_seconds seconds\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"0.005\"} 1\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"1.0\"} 1\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"2.5\"} 3\n"
		"m_delay_seconds_bucket{name=\"a.service\",le=\"+Inf\"} 6\n"
		"m_delay_seconds_sum{name=\"a.service\"} 12.25\n"
		"m_delay_seconds_count{name=\"a.service\"} 6\n"
		"m_delay_seconds_bucket{le=\"0.005\"} 1\n"
		"m_delay_seconds_bucket{le=\"1.0\"} 1\n"
		"m_delay_seconds_bucket{le=\"2.5\"} 3\n"
		"m_delay_seconds_bucket{le=\"+Inf\"} 6\n"
		"m_delay_seconds_sum 0\n"
		"m_delay_seconds_count 6\n"
		"# EOF\n");
}

static void numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ -0.0, "-0" },
		{ 1, "1" },
		{ -1, "-1" },
		{ 60, "60" },
		{ 1500000, "1500000" },
		{ 1e14, "100000000000000" },
		{ .1, "0.1" },
		{ .0001, "0.0001" },
		{ .00001, "1e-05" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ .1 + .2, "0.30000000000000004" },
		{ 1795214265.123, "1795214265.123" },
		{ 1e21, "1e+21" },
		{ INFINITY, "+Inf" },
		{ -INFINITY, "-Inf" },
		{ NAN, "NaN" },
		{ -NAN, "NaN" },
	};
	static const double round_trips[] = { DBL_MAX, DBL_MIN, 5e-324, 123456789.987654321,
		4503599627370497.5 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_strbuf_ struct strbuf out = {};

		metric_add_number(&out, rows[i].value);
		CHECK_ROW(str_eq(out.data, rows[i].text), rows[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(round_trips); i++) {
		_cleanup_strbuf_ struct strbuf out = {};

		metric_add_number(&out, round_trips[i]);
		CHECK_ROW(strtod(out.data, NULL) == round_trips[i], out.data);
	}
}

static void buffer_too_small(void **state)
{
	_cleanup_strbuf_ struct strbuf out = { .cap = 64 };

	write_all(&out, METRIC_TEXT);
	assert_int_equal(out.error, -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_form),
		cmocka_unit_test(openmetrics_form),
		cmocka_unit_test(numbers),
		cmocka_unit_test(buffer_too_small),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
