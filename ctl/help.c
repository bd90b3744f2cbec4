/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of verbs, and the help texts that are made of it. */
#include "ctl.h"

const struct verb verbs[] = {
	{ "status", "[UNIT…]", "Show the host, or units and what becomes of them",
		"Without UNIT: mendd itself and a table of all watched units. With UNIT (a name or\n"
		"a glob): health, last exit and who caused it, healing, incident, check, probe,\n"
		"HTTP, sockets.\n"
		"The table leaves out units that are not running and not meant to; -a has them too.\n",
		0, -1, OPTION_ALL, verb_status },
	{ "list", "", "List the watched units, who needs somebody first",
		"As the table of status, without what stands above it. -a has inactive units too.\n",
		0, 0, OPTION_ALL, verb_list },
	{ "show", "UNIT…", "Show all properties of units, for programs",
		"One Name=Value a line. Times are microseconds since the epoch.\n", 1, -1, 0,
		verb_show },
	{ "explain", "UNIT", "Say what mendd would do with a unit now, and why",
		"Asks the policy for its decision without carrying it out; with the unit's alerts.\n",
		1, 1, 0, verb_explain },
	{ "incidents", "[UNIT]", "List incidents, newest first", "-n limits their number (100).\n",
		0, 1, OPTION_LINES, verb_incidents },
	{ "incident", "ID", "Tell one incident from the first sign to the verdict",
		"ID may be its beginning, at least four characters. --format= is text, json or\n"
		"markdown, which is a postmortem to be completed by people.\n",
		1, 1, OPTION_FORMAT, verb_incident },
	{ "logs", "UNIT…", "Show the journal of units, with mendd's own lines among theirs",
		"Runs journalctl with --unit= for each; -n and -f are handed on to it.\n", 1, -1,
		OPTION_LINES | OPTION_FOLLOW, verb_logs },
	{ "events", "[UNIT…]", "Follow what happens, one line each",
		"Ends with Ctrl+C, or after -n lines.\n", 0, -1, OPTION_LINES, verb_events },
	{ "top", "[UNIT…]", "Watch the HTTP of units live",
		"Requests a second, errors, time to the first byte (median, 95 and 99 of 100) and until\n"
		"the application reads, over the last 10 seconds; requests in flight and the age of\n"
		"the oldest, now. UNIT may be a glob; -a shows units without HTTP too.\n"
		"Keys: r rate, e errors, p P99, u queue, i in flight, o oldest, n name choose the\n"
		"order; arrows and page keys scroll; q quits. --sort= is rate, errors, p99, queue,\n"
		"inflight, oldest or name. -b prints text, -n times or for ever; so does --json=.\n",
		0, -1,
		OPTION_ALL | OPTION_LINES | OPTION_ITERATIONS | OPTION_DELAY | OPTION_BATCH |
			OPTION_SORT,
		verb_top },
	{ "enable", "UNIT…", "Let mendd restart a unit when it fails",
		"Written to the configuration (Heal=restart); it outlives a reboot.\n", 1, -1, 0,
		verb_enable },
	{ "disable", "UNIT…", "Only observe a unit",
		"Written to the configuration (Heal=observe); it outlives a reboot.\n", 1, -1, 0,
		verb_disable },
	{ "pause", "", "Stop all healing for a while",
		"--for= is how long (5min); a pause always ends, after a week at the latest.\n"
		"Units are still watched and incidents are still opened.\n",
		0, 0, OPTION_FOR | OPTION_REASON, verb_pause },
	{ "resume", "", "End a pause", "", 0, 0, 0, verb_resume },
	{ "restart", "UNIT", "Restart a unit once and verify that it works",
		"--reason= is needed: the incident says it. Goes past budget and observe-only,\n"
		"not past the other interlocks.\n",
		1, 1, OPTION_REASON, verb_restart },
	{ "reset", "UNIT…", "Forget back-off and used-up budget of a unit", "", 1, -1, 0,
		verb_reset },
	{ "reload", "", "Read the configuration again",
		"Each mistake is told; what has none is in use all the same.\n", 0, 0, 0,
		verb_reload },
	{ "metrics", "", "Print the metrics", "--format= is text (the default) or openmetrics.\n",
		0, 0, OPTION_FORMAT, verb_metrics },
	{ "check-config", "[FILE…]", "Look for mistakes in the configuration",
		"Without FILE: the installed files. The running daemon reads them, so that what is\n"
		"checked is what it would use.\n",
		0, -1, 0, verb_check_config },
	{ "audit", "[UNIT…]", "Say what is missing before the outage",
		"For each running service: a restart policy, a check or a probe, an alert, HTTP where\n"
		"HTTP=yes says so. For the host: whether anybody scrapes the metrics.\n",
		0, -1, 0, verb_audit },
	{ "doctor", "", "Say what this host lets mendd see and do",
		"Each line is ok, degraded or missing, with what to do about it.\n", 0, 0, 0,
		verb_doctor },
	{ "plugins", "", "List plugins and why any was set aside", "", 0, 0, 0, verb_plugins },
	{ "help", "[VERB]", "Show the verbs, or what one of them does", "", 0, 1, 0, verb_help },
	{ "version", "", "Show the version of mendctl, and of mendd where it runs", "", 0, 0, 0,
		verb_version },
};
const size_t n_verbs = ARRAY_SIZE(verbs);

static const char common_options[] =
	"  -h, --help            This text, or that of the verb\n"
	"      --version         The version\n"
	"      --json=MODE       pretty, short or off: JSON instead of text\n"
	"      --no-legend       Neither header nor hints\n"
	"      --no-pager        Do not pipe the output into a pager\n"
	"  -q, --quiet           Print only what was asked for and errors\n";

static const struct {
	unsigned int option;
	const char *text;
} other_options[] = {
	{ OPTION_FOR, "      --for=SPAN        How long, as 5min or \"1h 30min\"\n" },
	{ OPTION_REASON, "      --reason=TEXT     Why; it is written down\n" },
	{ OPTION_FORMAT, "      --format=FORMAT   Form of an incident or of the metrics\n" },
	{ OPTION_ALL, "  -a, --all             Also units that are inactive, or without HTTP\n" },
	{ OPTION_LINES, "  -n, --lines=N         At most so many lines\n" },
	{ OPTION_FOLLOW, "  -f, --follow          Go on with what comes\n" },
	{ OPTION_ITERATIONS, "      --iterations=N    End after so many refreshes (-n)\n" },
	{ OPTION_DELAY, "  -d, --delay=SPAN      Time between refreshes, 1s if not given\n" },
	{ OPTION_BATCH,
		"  -b, --batch           Plain text for each refresh; needs no terminal\n" },
	{ OPTION_SORT, "      --sort=KEY        Order of the live table\n" },
};

const struct verb *find_verb(const char *name)
{
	const char *names[64], *near;
	size_t n = MIN(n_verbs, ARRAY_SIZE(names));

	for (size_t i = 0; i < n; i++) {
		if (str_eq(verbs[i].name, name))
			return &verbs[i];
		names[i] = verbs[i].name;
	}
	near = str_nearest(name, names, n);
	if (near)
		complain("Unknown verb %s. Did you mean %s?", name, near);
	else
		complain("Unknown verb %s. 'mendctl --help' lists them.", name);
	return NULL;
}

static void print_options(unsigned int options)
{
	for (size_t i = 0; i < ARRAY_SIZE(other_options); i++)
		if (options & other_options[i].option)
			fputs(other_options[i].text, stdout);
}

void print_help(void)
{
	fputs("mendctl [OPTION…] [VERB] [UNIT…]\n\n"
	      "Ask mendd how the services of this host are, and tell it what to do.\n\n"
	      "Verbs:\n",
		stdout);
	for (size_t i = 0; i < n_verbs; i++) {
		char usage[64];
		/* "…" has three bytes and one column. */
		int wide = strstr(verbs[i].arguments, "…") ? 2 : 0;

		snprintf(usage, sizeof(usage), "%s %s", verbs[i].name, verbs[i].arguments);
		printf("  %-*s%s\n", 24 + wide, usage, verbs[i].summary);
	}
	printf("\nOptions, before or behind the verb:\n%s", common_options);
	fputs("Options of some verbs ('mendctl help VERB'):\n", stdout);
	print_options(~0u);
	fputs("\n\".service\" may be left out of unit names.\n\n"
	      "Exit status: 0 all is well, 1 something is not, 2 usage, 3 unit not watched,\n"
	      "4 mendd is not running.\n\nSee mendctl(1).\n",
		stdout);
}

void print_verb_help(const struct verb *v)
{
	printf("mendctl %s%s%s\n\n%s.\n%s\nOptions:\n", v->name, *v->arguments ? " " : "",
		v->arguments, v->summary, v->help);
	print_options(v->options);
	fputs(common_options, stdout);
}

int verb_help(struct ctl *c, int argc, char **argv)
{
	const struct verb *v = argc > 0 ? find_verb(argv[0]) : NULL;

	if (argc > 0 && !v)
		return EXIT_USAGE;
	if (v)
		print_verb_help(v);
	else
		print_help();
	return EXIT_HEALTHY;
}

/* Without a daemon it says its own version all the same. */
int verb_version(struct ctl *c, int argc, char **argv)
{
	json_t *m = NULL;

	puts("mendctl " MENDD_VERSION);
	if (bus_properties(c, &m, BUS_PATH, BUS_MANAGER) != 0)
		return EXIT_NO_DAEMON;
	fputs("mendd ", stdout);
	put_clean(stdout, get_text(m, "Version"));
	putchar('\n');
	json_decref(m);
	return EXIT_HEALTHY;
}
