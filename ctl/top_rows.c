/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl top: rows of the daemon's answer, which of them are shown, and their order. */
#include "top.h"

#include <fnmatch.h>
#include <inttypes.h>

const struct top_column_info top_columns[TOP_COLUMNS] = {
	[TOP_UNIT] = { "UNIT", 18, "Name", "name", 'n' },
	[TOP_RATE] = { "RATE", 5, "HTTPRequestRate", "rate", 'r' },
	[TOP_ERRORS] = { "ERR%", 4, "HTTPErrorRatio", "errors", 'e' },
	[TOP_P50] = { "P50", 5, "HTTPFirstByteP50USec", NULL, 0 },
	[TOP_P95] = { "P95", 5, "HTTPFirstByteP95USec", NULL, 0 },
	[TOP_P99] = { "P99", 5, "HTTPFirstByteP99USec", "p99", 'p' },
	[TOP_QUEUE] = { "QUEUE", 5, "HTTPQueueP95USec", "queue", 'u' },
	[TOP_IN_FLIGHT] = { "INFL", 5, "HTTPInFlight", "inflight", 'i' },
	[TOP_OLDEST] = { "OLDEST", 6, "HTTPOldestInFlightUSec", "oldest", 'o' },
	[TOP_RESTARTS] = { "RESTARTS", 8, "Restarts", NULL, 0 },
	[TOP_HEALTH] = { "HEALTH", 9, "Health", NULL, 0 },
};

enum top_column top_sort_parse(const char *s)
{
	for (unsigned int i = 0; i < TOP_COLUMNS; i++) {
		const struct top_column_info *c = &top_columns[i];

		if (c->word && (str_eq(c->word, s) || (s[0] == c->letter && !s[1])))
			return (enum top_column)i;
	}
	return TOP_COLUMNS;
}

static bool speaks_http(const json_t *unit)
{
	return str_eq(get_text(unit, "HTTPVisibility"), "http");
}

static bool is_wanted(const struct top *t, const char *name)
{
	if (t->n_patterns == 0)
		return true;
	for (int i = 0; i < t->n_patterns; i++)
		if (fnmatch(t->patterns[i], name, 0) == 0)
			return true;
	return false;
}

static void fill_row(struct top_row *row, const json_t *unit)
{
	static const enum top_column spans[] = { TOP_P50, TOP_P95, TOP_P99, TOP_QUEUE, TOP_OLDEST };
	char buf[TIME_SIZE];

	row->unit = unit;
	str_copy_clean(row->name, sizeof(row->name), get_text(unit, "Name"));
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++)
		str_copy(row->cells[spans[i]], TOP_CELL_SIZE,
			format_short(json_object_get(unit, top_columns[spans[i]].key), buf));
	str_copy(row->cells[TOP_RATE], TOP_CELL_SIZE,
		format_rate(json_object_get(unit, "HTTPRequestRate"), buf));
	str_copy(row->cells[TOP_ERRORS], TOP_CELL_SIZE,
		format_percent(json_object_get(unit, "HTTPErrorRatio"), buf));
	/* A whole number as long as it fits. */
	if (speaks_http(unit) && get_number(unit, "HTTPInFlight") < 10000)
		snprintf(row->cells[TOP_IN_FLIGHT], TOP_CELL_SIZE, "%" PRIu64,
			get_number(unit, "HTTPInFlight"));
	else
		str_copy(row->cells[TOP_IN_FLIGHT], TOP_CELL_SIZE,
			format_rate(json_object_get(unit, "HTTPInFlight"), buf));
	/* Where none is in flight there is no age. */
	if (get_number(unit, "HTTPOldestInFlightUSec") == 0)
		str_copy(row->cells[TOP_OLDEST], TOP_CELL_SIZE, "-");
	snprintf(row->cells[TOP_RESTARTS], TOP_CELL_SIZE, "%" PRIu64, get_number(unit, "Restarts"));
	str_copy_clean(row->cells[TOP_HEALTH], TOP_CELL_SIZE, get_text(unit, "Health"));
}

size_t top_name_length(const struct top_row *row)
{
	size_t length = strlen(row->name);

	return str_has_suffix(row->name, ".service") ? length - strlen(".service") : length;
}

int top_take(struct top *t, json_t *answer)
{
	struct top_row *rows = calloc(json_array_size(answer) + 1, sizeof(*rows));
	const json_t *unit;
	size_t i;

	if (!rows) {
		json_decref(answer);
		return -ENOMEM;
	}
	json_decref(t->answer);
	t->answer = answer;
	free(t->rows);
	t->rows = rows;
	t->n_rows = t->n_matching = 0;
	t->n_units = json_array_size(answer);
	json_array_foreach (answer, i, unit) {
		if (!is_wanted(t, get_text(unit, "Name")))
			continue;
		t->n_matching++;
		if (t->ctl->all || speaks_http(unit))
			fill_row(&rows[t->n_rows++], unit);
	}
	top_sort(t);
	return 0;
}

/* Below all figures where there is none. */
static double figure(const json_t *unit, const char *key)
{
	const json_t *v = json_object_get(unit, key);

	return json_is_number(v) ? json_number_value(v) : -1;
}

static int compare(const void *pa, const void *pb, void *userdata)
{
	const struct top_row *a = pa, *b = pb;
	const struct top *t = userdata;

	if (t->sort != TOP_UNIT) {
		double x = figure(a->unit, top_columns[t->sort].key),
		       y = figure(b->unit, top_columns[t->sort].key);

		if (x > y || x < y)
			return x > y ? -1 : 1;
	}
	return strcmp(a->name, b->name);
}

void top_sort(struct top *t)
{
	qsort_r(t->rows, t->n_rows, sizeof(*t->rows), compare, t);
}

const char *top_nothing(const struct top *t, char buf[TIME_SIZE * 2])
{
	if (t->n_matching == 0)
		return "No watched unit is called that.";
	snprintf(buf, TIME_SIZE * 2,
		"No HTTP has been seen yet. --all shows all %zu units, 'mendctl status UNIT' "
		"says why.",
		t->n_matching);
	return buf;
}
