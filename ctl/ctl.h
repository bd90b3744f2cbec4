/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl: what its small files share. It knows the daemon only over D-Bus, and everything that it
 * prints from there was written by strangers (a process name, a check's output): print with
 * put_clean() or a table, never with a bare printf("%s").
 */
#pragma once

#include "../daemon/base/str.h"

#include <jansson.h>
#include <systemd/sd-bus.h>

/* Exit codes; part of the interface. */
enum {
	EXIT_HEALTHY = 0,
	EXIT_UNHEALTHY = 1, /* something is not well, or what was asked for was refused */
	EXIT_USAGE = 2,
	EXIT_NOT_WATCHED = 3,
	EXIT_NO_DAEMON = 4,
};

#define BUS_NAME "org.mendd1"
#define BUS_PATH "/org/mendd1"
#define BUS_MANAGER "org.mendd1.Manager"
#define BUS_UNIT "org.mendd1.Unit"

enum json_mode {
	JSON_OFF,
	JSON_SHORT_FORM,
	JSON_PRETTY,
};

struct ctl {
	sd_bus *bus; /* owned; NULL until bus_open() */
	enum json_mode json;
	bool legend, use_pager, quiet, color, all;
	const char *reason; /* NULL: not given; borrowed from argv, as the next */
	const char *format;
	uint64_t for_usec; /* 0: not given */
	uint32_t lines;    /* 0: not given */
	bool batch, follow;
	uint64_t delay_usec; /* 0: not given */
	const char *sort;    /* NULL: not given; borrowed */
};

/* Options that only some verbs know, as bits of verb.options. */
enum {
	OPTION_FOR = 1 << 0,
	OPTION_REASON = 1 << 1,
	OPTION_FORMAT = 1 << 2,
	OPTION_LINES = 1 << 3,
	OPTION_ALL = 1 << 4,
	OPTION_ITERATIONS = 1 << 5,
	OPTION_DELAY = 1 << 6,
	OPTION_BATCH = 1 << 7,
	OPTION_SORT = 1 << 8,
	OPTION_FOLLOW = 1 << 9,
};

struct verb {
	const char *name;
	const char *arguments; /* "UNIT…", for the help text */
	const char *summary;   /* one line */
	const char *help;      /* what more the verb's own help says */
	int min, max;          /* number of arguments; max -1: any */
	unsigned int options;
	int (*run)(struct ctl *c, int argc, char **argv); /* an exit code */
};

extern const struct verb verbs[];
extern const size_t n_verbs;

int verb_status(struct ctl *c, int argc, char **argv);
int verb_list(struct ctl *c, int argc, char **argv);
int verb_logs(struct ctl *c, int argc, char **argv);
int verb_help(struct ctl *c, int argc, char **argv);
int verb_version(struct ctl *c, int argc, char **argv);
int verb_show(struct ctl *c, int argc, char **argv);
int verb_explain(struct ctl *c, int argc, char **argv);
int verb_incidents(struct ctl *c, int argc, char **argv);
int verb_incident(struct ctl *c, int argc, char **argv);
int verb_events(struct ctl *c, int argc, char **argv);
int verb_top(struct ctl *c, int argc, char **argv);
int verb_enable(struct ctl *c, int argc, char **argv);
int verb_disable(struct ctl *c, int argc, char **argv);
int verb_pause(struct ctl *c, int argc, char **argv);
int verb_resume(struct ctl *c, int argc, char **argv);
int verb_restart(struct ctl *c, int argc, char **argv);
int verb_reset(struct ctl *c, int argc, char **argv);
int verb_reload(struct ctl *c, int argc, char **argv);
int verb_metrics(struct ctl *c, int argc, char **argv);
int verb_check_config(struct ctl *c, int argc, char **argv);
int verb_doctor(struct ctl *c, int argc, char **argv);
int verb_audit(struct ctl *c, int argc, char **argv);
int verb_plugins(struct ctl *c, int argc, char **argv);

/* help.c */
void print_help(void);
void print_verb_help(const struct verb *v);
/* NULL: there is none of that name; said. */
const struct verb *find_verb(const char *name);

/* bus.c. All return 0, or an exit code after having said why on stderr. */
int bus_open(struct ctl *c);
/* Calls a method and waits; types and arguments as sd_bus_message_append(). ret may be NULL. */
int bus_call(struct ctl *c, sd_bus_message **ret, const char *path, const char *interface,
	const char *member, const char *types, ...);
/* As bus_call() on the manager, for methods that answer with a JSON text. */
int bus_call_json(struct ctl *c, json_t **ret, const char *member, const char *types, ...);
/* All properties of an object, as one JSON object; a time of "never" is null. */
int bus_properties(struct ctl *c, json_t **ret, const char *path, const char *interface);
/* Properties of a unit. */
int bus_unit(struct ctl *c, json_t **ret, const char *unit);
/* Rows of ListUnits() as objects: name, health, mode, state, cause, restarts, since_usec, path. */
int bus_units(struct ctl *c, json_t **ret);
/* The name with ".service" behind it where it has no suffix of a unit; owned by the caller. */
char *unit_name(const char *s);
int out_of_memory(void);

/* json.c */
/* One complete value of the message. 0 or -errno; *ret is owned by the caller. */
int json_from_message(sd_bus_message *m, json_t **ret);
int print_json(const struct ctl *c, const json_t *j);
/* Members by name, with "" and 0 where they are missing or of another type. */
const char *get_text(const json_t *o, const char *key);
uint64_t get_number(const json_t *o, const char *key);
bool get_bool(const json_t *o, const char *key);

/* term.c */
enum color {
	COLOR_NONE,
	COLOR_GOOD,
	COLOR_BAD,
	COLOR_WARN,
	COLOR_DIM,
	COLOR_BOLD,
};

void term_init(struct ctl *c);
void pager_open(struct ctl *c);
bool pager_is_open(void);
void pager_close(void);
const char *color_on(const struct ctl *c, enum color color);
const char *color_off(const struct ctl *c, enum color color);
enum color health_color(const char *health);
void put_clean(FILE *f, const char *s);
void put_colored(const struct ctl *c, enum color color, const char *s);
const char *bullet(void);
/* To stderr; the text is cleaned. */
void complain(const char *format, ...) _printf_(1, 2);

/* time.c */
enum { TIME_SIZE = 64 };
/* "2026-03-01 12:00:00", local time; "-" for 0. Returns buf. */
const char *format_time(uint64_t usec, char buf[TIME_SIZE]);
/* With milliseconds, for timelines. */
const char *format_time_exact(uint64_t usec, char buf[TIME_SIZE]);
/* "3min 20s": two units at most. */
const char *format_span(uint64_t usec, char buf[TIME_SIZE]);
/* "3min 20s ago", "in 4s"; "-" for 0. */
const char *format_relative(uint64_t usec, char buf[TIME_SIZE]);
const char *format_bytes(uint64_t bytes, char buf[TIME_SIZE]);

/* http.c */
/* "1.2ms", "12s", "3min": at most five characters; "-" for null. Returns buf, as the next ones. */
const char *format_short(const json_t *usec, char buf[TIME_SIZE]);
/* "0", "1.2", "123", "12k" a second. */
const char *format_rate(const json_t *rate, char buf[TIME_SIZE]);
/* A ratio as percentage without its sign. */
const char *format_percent(const json_t *ratio, char buf[TIME_SIZE]);
/* Lines of status for a unit's properties. */
/* Why a unit's HTTP is not seen (HTTPVisibility); NULL for words of a newer daemon. */
const char *explain_visibility(const char *word);
void print_http(const struct ctl *c, const json_t *u);

/* table.c */
struct table;
struct table *table_new(const struct ctl *c, const char *const *columns, size_t n);
struct table *table_free(struct table *t);
int table_add(struct table *t, const char *const *cells);
/* Of the last added row. */
void table_color(struct table *t, size_t column, enum color color);
int table_print(struct table *t);

/* show.c: how much of its restart budget a unit has used, from an answer of Explain(). */
void print_budget(const json_t *explained);

/* report.c: an incident for people. */
void report_text(const struct ctl *c, const json_t *incident);
/* report_markdown.c: a postmortem. */
void report_markdown(const json_t *incident);
