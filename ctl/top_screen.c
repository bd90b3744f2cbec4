/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl top: the screen, with curses. Signals belong to the event loop (top.c), which also tells
 * of a new size. On a narrow terminal columns give way, those first that say least at a glance.
 */
#define NCURSES_NOMACROS /* they would take words such as "move" and "erase" */
#include "top.h"

#include <curses.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <term.h>
#include <time.h>

/* Lines above the rows, and below: the keys. */
enum {
	LINE_SUMMARY,
	LINE_TROUBLE, /* or empty */
	LINE_TITLES,
	LINES_ABOVE,
	LINES_BELOW = 1,
};

enum {
	PAIR_GOOD = 1,
	PAIR_BAD,
	PAIR_WARN,
};

struct layout {
	bool shown[TOP_COLUMNS];
	int name_width;
};

static SCREEN *screen; /* owned; NULL: the terminal is not ours */

/* Asked before newterm(), which leaks where the answer is no. */
static bool has_screen(void)
{
	bool yes;
	int error;

	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return false;
	yes = tigetstr("cup"); /* it can move the cursor */
	del_curterm(cur_term);
	return yes;
}

int top_screen_begin(struct top *t)
{
	if (!has_screen())
		return -ENOTTY;
	set_escdelay(25); /* ms; an arrow key that arrives in two parts is rare nowadays */
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return -ENOTTY;
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, true);
	nodelay(stdscr, true);
	if (t->ctl->color && has_colors()) {
		start_color();
		use_default_colors();
		init_pair(PAIR_GOOD, COLOR_GREEN, -1);
		init_pair(PAIR_BAD, COLOR_RED, -1);
		init_pair(PAIR_WARN, COLOR_YELLOW, -1);
	}
	return 0;
}

void top_screen_end(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

void top_screen_resize(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		resizeterm(size.ws_row, size.ws_col);
}

static attr_t color_of(const struct top *t, enum color color)
{
	if (!t->ctl->color || !has_colors())
		return color == COLOR_BAD ? A_BOLD : A_NORMAL;
	switch (color) {
	case COLOR_GOOD:
		return (attr_t)COLOR_PAIR(PAIR_GOOD);
	case COLOR_BAD:
		return (attr_t)COLOR_PAIR(PAIR_BAD) | A_BOLD;
	case COLOR_WARN:
		return (attr_t)COLOR_PAIR(PAIR_WARN);
	default:
		return A_NORMAL;
	}
}

/* Figures stand beside the names, however wide the terminal is. */
static struct layout lay_out(const struct top *t)
{
	static const enum top_column dispensable[] = { TOP_P50, TOP_RESTARTS, TOP_P95, TOP_QUEUE,
		TOP_OLDEST, TOP_HEALTH, TOP_P99, TOP_ERRORS, TOP_IN_FLIGHT, TOP_RATE };
	struct layout l;
	int left = COLS, longest = top_columns[TOP_UNIT].width;

	for (unsigned int i = 0; i < TOP_COLUMNS; i++) {
		l.shown[i] = true;
		left -= i == TOP_UNIT ? 0 : top_columns[i].width + 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dispensable) && left < top_columns[TOP_UNIT].width; i++) {
		l.shown[dispensable[i]] = false;
		left += top_columns[dispensable[i]].width + 1;
	}
	for (size_t i = 0; i < t->n_rows; i++)
		longest = MAX(longest, (int)top_name_length(&t->rows[i]));
	l.name_width = MAX(MIN(left, longest), 1);
	return l;
}

/* The unit without ".service", which all have; cut where it is longer than the column. */
static void draw_name(int y, const struct top_row *row, int width)
{
	size_t length = top_name_length(row);

	if (length <= (size_t)width) {
		mvaddnstr(y, 0, row->name, (int)length);
		return;
	}
	/* Unit names are of ASCII. */
	mvaddnstr(y, 0, row->name, width - 1);
	addstr(str_eq(nl_langinfo(CODESET), "UTF-8") ? "…" : "~");
}

static void draw_row(
	const struct top *t, const struct layout *l, int y, const struct top_row *row, attr_t base)
{
	const char *health = row->cells[TOP_HEALTH];
	int x = l->name_width;

	attrset((int)base);
	draw_name(y, row, l->name_width);
	for (unsigned int i = TOP_UNIT + 1; i < TOP_COLUMNS; i++) {
		int width = top_columns[i].width;

		if (!l->shown[i])
			continue;
		if (i == TOP_HEALTH) {
			attrset((int)(base | color_of(t, health_color(health))));
			mvaddnstr(y, x + 1, health, width);
		} else {
			mvprintw(y, x + 1, "%*.*s", width, width, row->cells[i]);
		}
		x += width + 1;
	}
}

static void draw_titles(const struct top *t, const struct layout *l)
{
	int x = l->name_width;

	attrset((int)A_REVERSE);
	mvprintw(LINE_TITLES, 0, "%-*s", COLS, "");
	attrset((int)(A_REVERSE | (t->sort == TOP_UNIT ? A_BOLD : 0)));
	mvaddstr(LINE_TITLES, 0, "UNIT");
	for (unsigned int i = TOP_UNIT + 1; i < TOP_COLUMNS; i++) {
		int width = top_columns[i].width;

		if (!l->shown[i])
			continue;
		attrset((int)(A_REVERSE | (i == t->sort ? A_BOLD | A_UNDERLINE : 0)));
		mvprintw(LINE_TITLES, x + 1, i == TOP_HEALTH ? "%-*s" : "%*s", width,
			top_columns[i].title);
		x += width + 1;
	}
}

static void draw_summary(const struct top *t)
{
	char text[256], now[32] = "";
	time_t clock = time(NULL);
	struct tm tm;

	if (localtime_r(&clock, &tm))
		strftime(now, sizeof(now), "%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s  %zu of %zu units, by %s", now, t->n_rows, t->n_units,
		top_columns[t->sort].word);
	attrset((int)A_BOLD);
	mvaddnstr(LINE_SUMMARY, 0, text, COLS);
	attrset((int)color_of(t, COLOR_BAD));
	mvaddnstr(LINE_TROUBLE, 0, t->trouble, COLS);
}

int top_screen_page(void)
{
	return MAX(LINES - LINES_ABOVE - LINES_BELOW, 1);
}

void top_screen_draw(struct top *t)
{
	static const char keys[] =
		"q quit  r rate  e errors  p P99  u queue  i in flight  o oldest  n name";
	int page = top_screen_page(), last = MAX((int)t->n_rows - page, 0);
	struct layout l = lay_out(t);
	char nothing[TIME_SIZE * 2];

	t->first = MAX(MIN(t->first, last), 0);
	attrset((int)A_NORMAL);
	erase();
	draw_summary(t);
	draw_titles(t, &l);
	/* What is old looks so. */
	for (int i = 0; i < page && (size_t)(t->first + i) < t->n_rows; i++)
		draw_row(t, &l, LINES_ABOVE + i, &t->rows[t->first + i],
			*t->trouble ? A_DIM : A_NORMAL);
	attrset((int)A_NORMAL);
	if (t->n_rows == 0 && t->answer)
		mvaddnstr(LINES_ABOVE, 0, top_nothing(t, nothing), COLS);
	attrset((int)A_DIM);
	mvaddnstr(LINES - 1, 0, keys, COLS - 1);
	attrset((int)A_NORMAL);
	refresh();
}

enum top_key top_screen_key(int *ret)
{
	*ret = getch();
	switch (*ret) {
	case ERR:
		return TOP_KEY_NONE;
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_FIRST;
	case KEY_END:
		return TOP_KEY_LAST;
	case '\f': /* Ctrl+L: something else has written on the terminal */
		clearok(curscr, true);
		return TOP_KEY_REDRAW;
	default:
		return TOP_KEY_OTHER;
	}
}
