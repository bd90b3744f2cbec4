/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See metric.h. By hand, because the text is simple and the libraries for it bring threads and a
 * registry of their own; what it must be is checked with promtool in the tests.
 */
#include "metric.h"

#include <inttypes.h>
#include <math.h>

const char *metric_content_type(enum metric_format format)
{
	return format == METRIC_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

void metric_begin(struct metric_writer *w, struct strbuf *out, enum metric_format format)
{
	*w = (struct metric_writer) { .out = out, .format = format };
}

void metric_end(struct metric_writer *w)
{
	if (w->format == METRIC_OPENMETRICS)
		strbuf_add(w->out, "# EOF\n");
}

/* Label values, and HELP of OpenMetrics; HELP of 0.0.4 has bare quotes. */
static void add_escaped(struct strbuf *out, const char *s, bool quotes)
{
	while (*s) {
		/* Runs of plain ASCII are nearly all there is: copied at once. */
		size_t plain = 0, n;

		while ((unsigned char)s[plain] >= 0x20 && (unsigned char)s[plain] < 0x80 &&
			s[plain] != '\\' && s[plain] != '"')
			plain++;
		if (plain > 0) {
			strbuf_add_mem(out, s, plain);
			s += plain;
			continue;
		}
		n = str_utf8_length(s);
		if (*s == '\n')
			strbuf_add(out, "\\n");
		else if (*s == '\\' || (*s == '"' && quotes))
			strbuf_add_mem(out, (const char[]) { '\\', *s }, 2);
		else if (n == 0)
			strbuf_add(out, "\xef\xbf\xbd"); /* U+FFFD: one bad byte fails a scrape */
		else
			strbuf_add_mem(out, s, n);
		s += n ? n : 1;
	}
}

/* Without floor(): it would be all that needs libm. */
static bool is_whole(double value)
{
	return value > -1e15 && value < 1e15 && (double)(int64_t)value == value;
}

void metric_add_number(struct strbuf *out, double value)
{
	char text[40];

	if (isnan(value)) {
		strbuf_add(out, "NaN");
		return;
	}
	if (isinf(value)) {
		strbuf_add(out, value > 0 ? "+Inf" : "-Inf");
		return;
	}
	if (is_whole(value)) { /* "60", where %.1g says "6e+01" */
		snprintf(text, sizeof(text), "%.0f", value);
		strbuf_add(out, text);
		return;
	}
	/* 15 digits nearly always bring a double back, 17 always. No setlocale() in the daemon, so
	 * the point is a point. */
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	strbuf_add(out, text);
}

/* The name without the ending that OpenMetrics adds to samples only. */
static int family_length(const struct metric_writer *w, const char *name)
{
	const char *ending = w->type == METRIC_COUNTER ? "_total"
			     : w->type == METRIC_INFO  ? "_info"
						       : "";
	size_t n = strlen(name);

	if (w->format == METRIC_OPENMETRICS && str_has_suffix(name, ending))
		n -= strlen(ending);
	return (int)n;
}

void metric_family(struct metric_writer *w, const char *name, enum metric_type type,
	const char *unit, const char *help)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
		[METRIC_INFO] = "info",
	};
	bool open = w->format == METRIC_OPENMETRICS;
	int n;

	w->name = name;
	w->type = type;
	n = family_length(w, name);
	strbuf_addf(w->out, "# HELP %.*s ", n, name);
	add_escaped(w->out, help, open);
	strbuf_addf(w->out, "\n# TYPE %.*s %s\n", n, name,
		type == METRIC_INFO && !open ? "gauge" : types[type]);
	if (open && unit)
		strbuf_addf(w->out, "# UNIT %.*s %s\n", n, name, unit);
}

/* name, ending, labels, le where there is one, and the space before the value. */
static void add_series(struct metric_writer *w, const char *ending,
	const struct metric_label *labels, const double *le)
{
	char separator = '{';

	strbuf_add(w->out, w->name);
	strbuf_add(w->out, ending);
	for (size_t i = 0; labels && labels[i].name && i < METRIC_LABELS_MAX; i++) {
		strbuf_add_mem(w->out, &separator, 1);
		strbuf_add(w->out, labels[i].name);
		strbuf_add(w->out, "=\"");
		add_escaped(w->out, labels[i].value, true);
		strbuf_add(w->out, "\"");
		separator = ',';
	}
	if (le) {
		strbuf_add_mem(w->out, &separator, 1);
		strbuf_add(w->out, "le=\"");
		metric_add_number(w->out, *le);
		/* OpenMetrics wants bounds in one canonical form: 1.0, not 1 */
		if (w->format == METRIC_OPENMETRICS && is_whole(*le))
			strbuf_add(w->out, ".0");
		strbuf_add(w->out, "\"");
		separator = ',';
	}
	strbuf_add(w->out, separator == ',' ? "} " : " ");
}

static void add_count(struct metric_writer *w, uint64_t value)
{
	char digits[21], *p = digits + sizeof(digits); /* 2^64 has 20 of them */

	*--p = '\n';
	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	strbuf_add_mem(w->out, p, (size_t)(digits + sizeof(digits) - p));
}

void metric_sample(struct metric_writer *w, const struct metric_label *labels, double value)
{
	add_series(w, "", labels, NULL);
	metric_add_number(w->out, value);
	strbuf_add(w->out, "\n");
}

void metric_count(struct metric_writer *w, const struct metric_label *labels, uint64_t value)
{
	add_series(w, "", labels, NULL);
	add_count(w, value);
}

void metric_histogram(struct metric_writer *w, const struct metric_label *labels,
	const double *bounds, size_t n, const uint64_t *buckets, double sum)
{
	const double infinity = INFINITY;
	uint64_t count = 0;

	for (size_t i = 0; i <= n; i++) {
		count += buckets[i];
		add_series(w, "_bucket", labels, i < n ? &bounds[i] : &infinity);
		add_count(w, count);
	}
	add_series(w, "_sum", labels, NULL);
	metric_add_number(w->out, sum);
	strbuf_add(w->out, "\n");
	add_series(w, "_count", labels, NULL);
	add_count(w, count);
}
