/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl top: asks the daemon for the HTTP of all units, again and again, and shows it: on a
 * screen (top_screen.c), as text, or as JSON. One question is under way at most, and nothing waits
 * for it: keys are served meanwhile. While mendd is away it says so, and goes on when mendd is
 * back.
 */
#include "top.h"
#include "../daemon/base/clock.h"

#include <signal.h>

#define DELAY_USEC USEC_PER_SEC
/* Then it is said that mendd does not answer, and asked again. */
#define ANSWER_TIMEOUT_USEC (5 * USEC_PER_SEC)

static void print_text(const struct top *t)
{
	char at[TIME_SIZE], nothing[TIME_SIZE * 2];
	size_t width = strlen(top_columns[TOP_UNIT].title);

	for (size_t i = 0; i < t->n_rows; i++)
		width = MAX(width, strlen(t->rows[i].name));
	if (t->ctl->legend && !t->ctl->quiet) {
		printf("%s\n%-*s", format_time(clock_realtime_usec(), at), (int)width,
			top_columns[TOP_UNIT].title);
		for (unsigned int i = TOP_UNIT + 1; i < TOP_HEALTH; i++)
			printf(" %*s", top_columns[i].width, top_columns[i].title);
		printf(" %s\n", top_columns[TOP_HEALTH].title);
	}
	for (size_t i = 0; i < t->n_rows; i++) {
		const struct top_row *row = &t->rows[i];

		printf("%-*s", (int)width, row->name);
		for (unsigned int c = TOP_UNIT + 1; c < TOP_HEALTH; c++)
			printf(" %*s", top_columns[c].width, row->cells[c]);
		putchar(' ');
		put_colored(t->ctl, health_color(row->cells[TOP_HEALTH]), row->cells[TOP_HEALTH]);
		putchar('\n');
	}
	if (t->n_rows == 0 && t->ctl->legend && !t->ctl->quiet)
		puts(top_nothing(t, nothing));
	if (t->ctl->legend && !t->ctl->quiet && t->iterations != 1)
		putchar('\n');
}

static void print_units(const struct top *t)
{
	json_t *units = json_array(), *all;

	for (size_t i = 0; i < t->n_rows; i++)
		json_array_append(units, (json_t *)t->rows[i].unit);
	all = json_pack("{sI so}", "time_usec", (json_int_t)clock_realtime_usec(), "units", units);
	print_json(t->ctl, all);
	json_decref(all);
}

/* After an answer. */
static void show(struct top *t)
{
	if (!t->ctl->batch)
		top_screen_draw(t);
	else if (t->ctl->json != JSON_OFF)
		print_units(t);
	else
		print_text(t);
	/* Whoever reads this through a pipe waits for it. */
	if (t->ctl->batch && fflush(stdout) != 0)
		sd_event_exit(t->event, EXIT_UNHEALTHY);
	if (t->iterations > 0 && --t->iterations == 0)
		sd_event_exit(t->event, EXIT_HEALTHY);
}

/* There is no answer; a batch says it once, the screen as long as it is so. */
static void set_trouble(struct top *t, const char *text)
{
	if (t->ctl->batch && !str_eq(t->trouble, text) && *text)
		complain("%s", text);
	str_copy(t->trouble, sizeof(t->trouble), text);
	if (!t->ctl->batch && *text)
		top_screen_draw(t);
}

static void give_up(struct top *t, int code, const char *text)
{
	top_screen_end();
	complain("%s", text);
	sd_event_exit(t->event, code);
}

static void on_failure(struct top *t, const sd_bus_error *e)
{
	if (sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
		set_trouble(t, "mendd is not running; waiting for it to come back.");
	else if (sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT))
		set_trouble(t, "mendd does not answer.");
	else if (sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_METHOD))
		/* The name is there before the objects, while it starts. */
		set_trouble(t, "mendd does not know of this question (yet).");
	else if (sd_bus_error_has_names(e, SD_BUS_ERROR_DISCONNECTED))
		give_up(t, EXIT_NO_DAEMON, "The system bus is gone.");
	else
		give_up(t, EXIT_UNHEALTHY, e->message ? e->message : e->name);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct top *t = userdata;
	json_t *answer = NULL;

	t->pending = sd_bus_slot_unref(t->pending);
	if (sd_bus_message_is_method_error(m, NULL)) {
		on_failure(t, sd_bus_message_get_error(m));
		return 0;
	}
	if (json_from_message(m, &answer) < 0 || !json_is_array(answer)) {
		json_decref(answer);
		give_up(t, EXIT_UNHEALTHY,
			"mendd gave an answer that this mendctl does not understand.");
		return 0;
	}
	set_trouble(t, "");
	if (top_take(t, answer) < 0)
		give_up(t, EXIT_UNHEALTHY, "Out of memory.");
	else
		show(t);
	return 0;
}

static int ask(struct top *t)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(
		t->ctl->bus, &m, BUS_NAME, BUS_PATH, BUS_MANAGER, "ListHTTP");
	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, 0);
	if (r >= 0)
		r = sd_bus_call_async(
			t->ctl->bus, &t->pending, m, on_answer, t, ANSWER_TIMEOUT_USEC);
	return r;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct top *t = userdata;
	uint64_t now, delay = t->ctl->delay_usec ? t->ctl->delay_usec : DELAY_USEC;

	sd_event_now(t->event, CLOCK_MONOTONIC, &now);
	/* In step, but without catching up after a Ctrl+Z. */
	sd_event_source_set_time(s, MAX(usec + delay, now + delay / 2));
	sd_event_source_set_enabled(s, SD_EVENT_ON);
	if (!t->pending && ask(t) < 0)
		give_up(t, EXIT_NO_DAEMON, "The system bus is gone.");
	return 0;
}

static int on_resize(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	top_screen_resize();
	top_screen_draw(userdata);
	return 0;
}

static void on_key(struct top *t, enum top_key key, int letter)
{
	int page = top_screen_page();
	char word[2] = { (char)letter };
	enum top_column column;

	switch (key) {
	case TOP_KEY_UP:
		t->first -= 1;
		break;
	case TOP_KEY_DOWN:
		t->first += 1;
		break;
	case TOP_KEY_PAGE_UP:
		t->first -= page;
		break;
	case TOP_KEY_PAGE_DOWN:
		t->first += page;
		break;
	case TOP_KEY_FIRST:
		t->first = 0;
		break;
	case TOP_KEY_LAST:
		t->first = (int)t->n_rows;
		break;
	case TOP_KEY_OTHER:
		if (letter == 'q')
			sd_event_exit(t->event, EXIT_HEALTHY);
		column = letter > 0 && letter < 0x80 ? top_sort_parse(word) : TOP_COLUMNS;
		if (column == TOP_COLUMNS)
			break;
		t->sort = column;
		t->first = 0;
		top_sort(t);
		break;
	case TOP_KEY_NONE:
	case TOP_KEY_REDRAW:
		break;
	}
}

static int on_keys(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct top *t = userdata;
	enum top_key key;
	int letter;

	while ((key = top_screen_key(&letter)) != TOP_KEY_NONE)
		on_key(t, key, letter);
	if (revents & (EPOLLHUP | EPOLLERR)) /* the terminal was closed */
		return sd_event_exit(t->event, EXIT_HEALTHY);
	top_screen_draw(t);
	return 0;
}

static int add_sources(struct top *t)
{
	int r;

	r = sd_event_add_signal(t->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(t->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_bus_attach_event(t->ctl->bus, t->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_event_add_time(t->event, &t->timer, CLOCK_MONOTONIC,
			clock_monotonic_ns() / NSEC_PER_USEC, 1, on_time, t);
	if (r >= 0 && !t->ctl->batch)
		r = sd_event_add_signal(t->event, NULL, SIGWINCH, on_resize, t);
	if (r >= 0 && !t->ctl->batch)
		r = sd_event_add_io(t->event, NULL, STDIN_FILENO, EPOLLIN, on_keys, t);
	return r;
}

static int run(struct top *t)
{
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = sd_event_new(&t->event);
	if (r >= 0 && !t->ctl->batch) {
		r = top_screen_begin(t);
		if (r < 0) {
			complain("This terminal ($TERM) has no screen to draw on; --batch prints "
				 "text.");
			return EXIT_USAGE;
		}
	}
	if (r >= 0)
		r = add_sources(t);
	if (r >= 0)
		r = sd_event_loop(t->event);
	top_screen_end();
	sd_bus_detach_event(t->ctl->bus);
	if (r < 0) {
		complain("Cannot follow mendd: %s", strerror(-r));
		return EXIT_UNHEALTHY;
	}
	return r;
}

static int check(struct ctl *c, struct top *t)
{
	if (c->json != JSON_OFF)
		c->batch = true;
	t->sort = c->sort ? top_sort_parse(c->sort) : TOP_RATE;
	if (t->sort == TOP_COLUMNS) {
		complain("--sort= is one of rate, errors, p99, queue, inflight, oldest and name.");
		return EXIT_USAGE;
	}
	if (!c->batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		complain("The live table needs a terminal; --batch prints text.");
		return EXIT_USAGE;
	}
	return 0;
}

int verb_top(struct ctl *c, int argc, char **argv)
{
	struct top t = { .ctl = c, .iterations = c->lines };
	sd_bus_message *m = NULL;
	int r;

	r = check(c, &t);
	/* Says early that mendd is not running, instead of waiting for it in silence. */
	if (r == 0)
		r = bus_call(c, &m, BUS_PATH, "org.freedesktop.DBus.Peer", "Ping", "");
	if (r != 0)
		return r;
	sd_bus_message_unref(m);
	t.patterns = calloc((size_t)argc + 1, sizeof(*t.patterns));
	for (; t.patterns && t.n_patterns < argc; t.n_patterns++) {
		t.patterns[t.n_patterns] = unit_name(argv[t.n_patterns]);
		if (!t.patterns[t.n_patterns])
			break;
	}
	r = t.patterns && t.n_patterns == argc ? run(&t) : out_of_memory();
	for (int i = 0; i < t.n_patterns; i++)
		free(t.patterns[i]);
	free(t.patterns);
	free(t.rows);
	json_decref(t.answer);
	sd_bus_slot_unref(t.pending);
	sd_event_source_unref(t.timer);
	sd_event_unref(t.event);
	return r;
}
