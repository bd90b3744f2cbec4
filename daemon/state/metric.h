/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writer of the two text forms that Prometheus reads: its own, version 0.0.4, and OpenMetrics
 * 1.0.0. It knows how metrics are written down, not which ones there are (judge/collect.h). Names
 * are given as people know them, with _total for counters and _info for information; the writer
 * knows where OpenMetrics leaves such endings out.
 */
#pragma once

#include "../base/str.h"

enum metric_format {
	METRIC_TEXT,        /* text/plain; version=0.0.4 */
	METRIC_OPENMETRICS, /* application/openmetrics-text; version=1.0.0 */
	METRIC_FORMAT_COUNT,
};

enum metric_type {
	METRIC_COUNTER, /* name ends in _total */
	METRIC_GAUGE,
	METRIC_HISTOGRAM,
	METRIC_INFO, /* name ends in _info, value 1 */
};

struct metric_label {
	const char *name;  /* borrowed; [a-zA-Z_][a-zA-Z0-9_]* */
	const char *value; /* borrowed; any bytes: escaped, bad UTF-8 replaced */
};

enum {
	METRIC_LABELS_MAX = 4, /* of one sample; the most that any metric here has is 3 */
};

struct metric_writer {
	struct strbuf *out; /* borrowed */
	enum metric_format format;
	const char *name; /* borrowed; of the present family */
	enum metric_type type;
};

/* The value of Content-Type for a format. */
const char *metric_content_type(enum metric_format format);

void metric_begin(struct metric_writer *w, struct strbuf *out, enum metric_format format);
/* Ends the text. Whether all of it fitted is in out->error. */
void metric_end(struct metric_writer *w);

/*
 * Begins a family; the samples that follow belong to it. `unit` is NULL or the unit that the name
 * holds ("seconds", "bytes"). All strings are borrowed until the next family begins.
 */
void metric_family(struct metric_writer *w, const char *name, enum metric_type type,
	const char *unit, const char *help);

/* One sample. The labels end at the first without a name; NULL: none. */
void metric_sample(struct metric_writer *w, const struct metric_label *labels, double value);
/* The same for counts, which stay exact above 2^53. */
void metric_count(struct metric_writer *w, const struct metric_label *labels, uint64_t value);

/* metric_count() with labels given in place: METRIC_COUNT(w, n, { "name", u->name }). */
#define METRIC_COUNT(w, value, ...) \
	metric_count(w, (const struct metric_label[]) { __VA_ARGS__, { NULL, NULL } }, value)
#define METRIC_SAMPLE(w, value, ...) \
	metric_sample(w, (const struct metric_label[]) { __VA_ARGS__, { NULL, NULL } }, value)

/*
 * One histogram: n bounds (inclusive, rising) and n + 1 buckets, which are not cumulative; the last
 * one is for what is above all bounds.
 */
void metric_histogram(struct metric_writer *w, const struct metric_label *labels,
	const double *bounds, size_t n, const uint64_t *buckets, double sum);

/* A number with as few digits as bring the same double back: "0.1", "1e+21", "+Inf", "NaN". */
void metric_add_number(struct strbuf *out, double value);
