/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl: takes the command line apart and calls one verb of the table. Options may stand before
 * or behind the verb, as people type them.
 */
#include "ctl.h"
#include "../daemon/base/parse.h"

#include <ctype.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>

enum {
	ARG_VERSION = 0x100,
	ARG_JSON,
	ARG_NO_LEGEND,
	ARG_NO_PAGER,
	ARG_FOR,
	ARG_REASON,
	ARG_FORMAT,
	ARG_ITERATIONS,
	ARG_SORT,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, ARG_VERSION },
	{ "json", required_argument, NULL, ARG_JSON },
	{ "no-legend", no_argument, NULL, ARG_NO_LEGEND },
	{ "no-pager", no_argument, NULL, ARG_NO_PAGER },
	{ "all", no_argument, NULL, 'a' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "for", required_argument, NULL, ARG_FOR },
	{ "reason", required_argument, NULL, ARG_REASON },
	{ "format", required_argument, NULL, ARG_FORMAT },
	{ "lines", required_argument, NULL, 'n' },
	{ "iterations", required_argument, NULL, ARG_ITERATIONS },
	{ "delay", required_argument, NULL, 'd' },
	{ "batch", no_argument, NULL, 'b' },
	{ "follow", no_argument, NULL, 'f' },
	{ "sort", required_argument, NULL, ARG_SORT },
	{},
};

/* Of --delay=: what is faster than anybody reads only costs, and what is slower is no live table.
 */
#define DELAY_MIN_NS (100 * NSEC_PER_MSEC)
#define DELAY_MAX_NS (3600 * NSEC_PER_SEC)

/* What the command line asks for besides the options in struct ctl. */
struct request {
	bool help, version;
	unsigned int options; /* OPTION_* that were given */
};

static int usage(const char *text)
{
	complain("%s", text);
	return EXIT_USAGE;
}

/* getopt has no word for what it met: find it in argv and say what it may have meant. */
static int unknown_option(int argc, char **argv, bool needs_argument)
{
	const char *names[ARRAY_SIZE(options)], *word = argv[MIN(optind, argc) - 1], *near;
	char name[64];
	size_t n = 0;

	if (needs_argument && optopt > 0 && optopt < ARG_VERSION) {
		complain("Option -%c needs a value.", optopt);
		return EXIT_USAGE;
	}
	if (needs_argument) {
		complain("Option %s needs a value.", word);
		return EXIT_USAGE;
	}
	if (strncmp(word, "--", 2) != 0 && optopt > 0 && isprint(optopt)) {
		complain("Unknown option -%c. 'mendctl --help' lists them.", optopt);
		return EXIT_USAGE;
	}
	if (strncmp(word, "--", 2) != 0) {
		complain("Unknown option %s. 'mendctl --help' lists them.", word);
		return EXIT_USAGE;
	}
	str_copy(name, sizeof(name), word + 2);
	name[strcspn(name, "=")] = '\0';
	for (const struct option *o = options; o->name; o++)
		names[n++] = o->name;
	near = optopt == 0 ? str_nearest(name, names, n) : NULL;
	if (near)
		complain("Unknown option --%s. Did you mean --%s?", name, near);
	else if (optopt != 0)
		complain("Option --%s takes no value.", name);
	else
		complain("Unknown option --%s. 'mendctl --help' lists them.", name);
	return EXIT_USAGE;
}

static int take_json(struct ctl *c, const char *s)
{
	if (str_eq(s, "pretty"))
		c->json = JSON_PRETTY;
	else if (str_eq(s, "short"))
		c->json = JSON_SHORT_FORM;
	else if (str_eq(s, "off"))
		c->json = JSON_OFF;
	else
		return usage("--json= is one of pretty, short and off.");
	return 0;
}

static int take_lines(struct ctl *c, const char *s, const char *option)
{
	if (parse_u32(s, &c->lines) < 0 || c->lines == 0) {
		complain("%s is a number from 1 on.", option);
		return EXIT_USAGE;
	}
	return 0;
}

static int take_delay(struct ctl *c, const char *s)
{
	uint64_t ns;

	if (parse_timespan(s, &ns) < 0 || ns < DELAY_MIN_NS || ns > DELAY_MAX_NS)
		return usage("--delay= is a time span such as 2 or 500ms, from 100ms to an hour.");
	c->delay_usec = ns / NSEC_PER_USEC;
	return 0;
}

static int take_for(struct ctl *c, const char *s)
{
	uint64_t ns;

	if (parse_timespan(s, &ns) < 0 || ns < NSEC_PER_USEC || ns == TIME_INFINITY)
		return usage("--for= is a time span such as 5min or \"1h 30min\".");
	c->for_usec = ns / NSEC_PER_USEC;
	return 0;
}

/* 0, or an exit code. */
static int take_option(struct ctl *c, struct request *q, int option)
{
	switch (option) {
	case 'h':
		q->help = true;
		return 0;
	case ARG_VERSION:
		q->version = true;
		return 0;
	case ARG_JSON:
		return take_json(c, optarg);
	case ARG_NO_LEGEND:
		c->legend = false;
		return 0;
	case ARG_NO_PAGER:
		c->use_pager = false;
		return 0;
	case 'q':
		c->quiet = true;
		return 0;
	case 'a':
		q->options |= OPTION_ALL;
		c->all = true;
		return 0;
	case ARG_FOR:
		q->options |= OPTION_FOR;
		return take_for(c, optarg);
	case ARG_REASON:
		q->options |= OPTION_REASON;
		c->reason = optarg;
		return 0;
	case ARG_FORMAT:
		q->options |= OPTION_FORMAT;
		c->format = optarg;
		return 0;
	case 'n':
		q->options |= OPTION_LINES;
		return take_lines(c, optarg, "--lines=");
	case ARG_ITERATIONS:
		q->options |= OPTION_ITERATIONS;
		return take_lines(c, optarg, "--iterations=");
	case 'd':
		q->options |= OPTION_DELAY;
		return take_delay(c, optarg);
	case 'b':
		q->options |= OPTION_BATCH;
		c->batch = true;
		return 0;
	case 'f':
		q->options |= OPTION_FOLLOW;
		c->follow = true;
		return 0;
	case ARG_SORT:
		q->options |= OPTION_SORT;
		c->sort = optarg;
		return 0;
	default:
		return EXIT_USAGE;
	}
}

static int check_usage(const struct verb *v, const struct request *q, int argc)
{
	static const char *const names[] = { "--for=", "--reason=", "--format=", "--lines=",
		"--all", "--iterations=", "--delay=", "--batch", "--sort=", "--follow" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (q->options & ~v->options & (1u << i)) {
			complain("'mendctl %s' has no option %s.", v->name, names[i]);
			return EXIT_USAGE;
		}
	if (argc < v->min || (v->max >= 0 && argc > v->max)) {
		complain("Usage: mendctl %s%s%s", v->name, *v->arguments ? " " : "", v->arguments);
		return EXIT_USAGE;
	}
	return 0;
}

static int run(struct ctl *c, int argc, char **argv)
{
	const struct verb *v = &verbs[0]; /* status */
	struct request q = {};
	int option, r;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":haqbfn:d:", options, NULL)) >= 0) {
		r = option == '?' || option == ':' ? unknown_option(argc, argv, option == ':')
						   : take_option(c, &q, option);
		if (r != 0)
			return r;
	}
	if (q.version) {
		puts("mendctl " MENDD_VERSION);
		return EXIT_HEALTHY;
	}
	if (optind < argc) {
		v = find_verb(argv[optind]);
		if (!v)
			return EXIT_USAGE;
		optind++;
	} else if (q.help) {
		print_help();
		return EXIT_HEALTHY;
	}
	if (q.help) {
		print_verb_help(v);
		return EXIT_HEALTHY;
	}
	r = check_usage(v, &q, argc - optind);
	if (r != 0)
		return r;
	return v->run(c, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	struct ctl c = { .legend = true, .use_pager = true };
	int r;

	/* Whoever starts it may ignore this; then a reader that leaves would look like a full disk.
	 */
	signal(SIGPIPE, SIG_DFL);
	setlocale(LC_ALL, "");
	term_init(&c);
	r = run(&c, argc, argv);
	/* Whoever closes the pager has read enough; a full disk is a failure. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && !pager_is_open()) {
		complain("Cannot write all of the output; is the disk full?");
		r = MAX(r, EXIT_UNHEALTHY);
	}
	sd_bus_flush_close_unref(c.bus);
	pager_close();
	return r;
}
