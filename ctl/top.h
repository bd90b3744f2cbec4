/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl top: what its files share. top.c asks the daemon and keeps time, top_rows.c makes rows of
 * the answer, top_screen.c draws them on a terminal.
 */
#pragma once

#include "ctl.h"

#include <systemd/sd-event.h>

enum top_column {
	TOP_UNIT,
	TOP_RATE,
	TOP_ERRORS,
	TOP_P50,
	TOP_P95,
	TOP_P99,
	TOP_QUEUE,
	TOP_IN_FLIGHT,
	TOP_OLDEST,
	TOP_RESTARTS,
	TOP_HEALTH,
	TOP_COLUMNS,
};

enum { TOP_CELL_SIZE = 32 };

struct top_row {
	const json_t *unit; /* borrowed from .answer of struct top */
	char name[TIME_SIZE * 4];
	char cells[TOP_COLUMNS][TOP_CELL_SIZE]; /* without the name */
};

struct top_column_info {
	const char *title;
	int width;        /* of the unit's name: at least */
	const char *key;  /* of the answer; what is sorted by */
	const char *word; /* for --sort=; NULL: the order cannot be by this column */
	char letter;      /* the key on the screen, and short for the word */
};

extern const struct top_column_info top_columns[TOP_COLUMNS];

struct top {
	struct ctl *ctl;        /* borrowed */
	sd_event *event;        /* owned */
	sd_event_source *timer; /* owned */
	sd_bus_slot *pending;   /* owned; the question that is under way */
	char **patterns;        /* owned; none: all units */
	int n_patterns;
	enum top_column sort;
	uint32_t iterations; /* so many refreshes are still to be shown; 0: no end */

	json_t *answer;       /* owned; the last one; NULL: none yet */
	struct top_row *rows; /* owned */
	size_t n_rows;
	size_t n_units, n_matching; /* watched; and of these named by the patterns */
	char trouble[128];          /* why there is no newer answer; "" */
	int first;                  /* row at the top of the screen */
};

/* top_rows.c */
/* The column for a word or letter, TOP_COLUMNS where there is none. */
enum top_column top_sort_parse(const char *s);
/* Makes the rows of a new answer, which is taken over. 0 or -ENOMEM. */
int top_take(struct top *t, json_t *answer);
/* Of its name without ".service", which all have. */
size_t top_name_length(const struct top_row *row);
void top_sort(struct top *t);
/* A sentence where there are no rows. */
const char *top_nothing(const struct top *t, char buf[TIME_SIZE * 2]);

/* top_screen.c */
enum top_key {
	TOP_KEY_NONE,
	TOP_KEY_UP,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_FIRST,
	TOP_KEY_LAST,
	TOP_KEY_REDRAW,
	TOP_KEY_OTHER, /* *ret is the letter */
};

/* Takes the terminal over. 0 or -errno. */
int top_screen_begin(struct top *t);
/* Gives the terminal back; also where it was never taken. */
void top_screen_end(void);
void top_screen_resize(void);
void top_screen_draw(struct top *t);
/* Rows that fit. */
int top_screen_page(void);
/* The next key that was pressed; TOP_KEY_NONE: there is none. */
enum top_key top_screen_key(int *ret);
