/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables: columns that fit their contents, with libsmartcols, which also escapes control bytes. */
#include "ctl.h"

#include <libsmartcols.h>

struct table {
	const struct ctl *ctl;        /* borrowed */
	struct libscols_table *table; /* owned */
	struct libscols_line *line;   /* borrowed; the last one */
	size_t n_columns;
};

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	scols_unref_table(t->table);
	free(t);
	return NULL;
}

struct table *table_new(const struct ctl *c, const char *const *columns, size_t n)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ctl = c;
	t->n_columns = n;
	t->table = scols_new_table();
	if (!t->table)
		return table_free(t);
	scols_table_enable_noheadings(t->table, !c->legend);
	scols_table_enable_colors(t->table, c->color);
	for (size_t i = 0; i < n; i++)
		/* The last column gives way on a narrow terminal; the others are looked for. */
		if (!scols_table_new_column(
			    t->table, columns[i], 0, i + 1 == n ? SCOLS_FL_TRUNC : 0))
			return table_free(t);
	return t;
}

int table_add(struct table *t, const char *const *cells)
{
	t->line = scols_table_new_line(t->table, NULL);
	if (!t->line)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_columns; i++)
		if (scols_line_set_data(t->line, i, *cells[i] ? cells[i] : "-") != 0)
			return -ENOMEM;
	return 0;
}

void table_color(struct table *t, size_t column, enum color color)
{
	if (t->ctl->color && color != COLOR_NONE)
		scols_cell_set_color(scols_line_get_cell(t->line, column), color_on(t->ctl, color));
}

int table_print(struct table *t)
{
	return scols_print_table(t->table) == 0 ? 0 : -EIO;
}
