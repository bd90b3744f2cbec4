/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs that change something: each is one call, and one line that says what is now so. */
#include "ctl.h"
#include "../daemon/base/clock.h"

/* Long enough for a deploy, short enough to be forgotten. */
#define PAUSE_DEFAULT_USEC (5 * 60 * USEC_PER_SEC)

static void say(const struct ctl *c, const char *unit, const char *text)
{
	if (c->quiet)
		return;
	put_clean(stdout, unit);
	printf("%s%s\n", *unit ? ": " : "", text);
}

static int set_healing(struct ctl *c, int argc, char **argv, const char *mode, const char *text)
{
	int worst = 0;

	for (int i = 0; i < argc; i++) {
		_cleanup_free_ char *name = unit_name(argv[i]);
		int r;

		r = name ? bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "SetHealing", "ss", name, mode)
			 : out_of_memory();
		if (r == 0)
			say(c, name, text);
		worst = MAX(worst, r);
	}
	return worst;
}

int verb_enable(struct ctl *c, int argc, char **argv)
{
	return set_healing(c, argc, argv, "restart", "is restarted when it fails");
}

int verb_disable(struct ctl *c, int argc, char **argv)
{
	return set_healing(c, argc, argv, "observe", "is only observed");
}

int verb_pause(struct ctl *c, int argc, char **argv)
{
	uint64_t usec = c->for_usec ? c->for_usec : PAUSE_DEFAULT_USEC;
	char span[TIME_SIZE], at[TIME_SIZE];
	int r;

	r = bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "PauseHealing", "tst", usec,
		c->reason ? c->reason : "", UINT64_C(0));
	if (r == 0 && !c->quiet)
		printf("Healing is paused for %s, until %s; 'mendctl resume' ends it.\n",
			format_span(usec, span), format_time(clock_realtime_usec() + usec, at));
	return r;
}

int verb_resume(struct ctl *c, int argc, char **argv)
{
	int r;

	r = bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "ResumeHealing", "t", UINT64_C(0));
	if (r == 0)
		say(c, "", "Healing is no longer paused.");
	return r;
}

int verb_restart(struct ctl *c, int argc, char **argv)
{
	_cleanup_free_ char *name = unit_name(argv[0]);
	int r;

	if (str_is_empty(c->reason)) {
		complain("Say why: mendctl restart %s --reason=TEXT. The incident will say it.",
			argv[0]);
		return EXIT_USAGE;
	}
	r = name ? bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "RestartUnit", "sst", name, c->reason,
			   UINT64_C(0))
		 : out_of_memory();
	if (r == 0)
		say(c, name, "is being restarted; 'mendctl explain' says how far it is");
	return r;
}

int verb_reset(struct ctl *c, int argc, char **argv)
{
	int worst = 0;

	for (int i = 0; i < argc; i++) {
		_cleanup_free_ char *name = unit_name(argv[i]);
		int r;

		r = name ? bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "ResetUnit", "st", name,
				   UINT64_C(0))
			 : out_of_memory();
		if (r == 0)
			say(c, name, "back-off and budget are forgotten");
		worst = MAX(worst, r);
	}
	return worst;
}

int verb_reload(struct ctl *c, int argc, char **argv)
{
	int r;

	r = bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "Reload", "");
	if (r == 0)
		say(c, "", "The configuration was read again.");
	return r;
}
