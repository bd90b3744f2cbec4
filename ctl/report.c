/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An incident as text for the terminal: what, when, who, what was done, how it ended. */
#include "ctl.h"

#include <inttypes.h>

static void line(const char *key, const char *value)
{
	if (!*value)
		return;
	printf("%10s: ", key);
	put_clean(stdout, value);
	putchar('\n');
}

static void print_death(const json_t *d)
{
	char at[TIME_SIZE], span[TIME_SIZE], rss[TIME_SIZE];

	if (!json_is_object(d))
		return;
	printf("%10s: ", "Death");
	put_clean(stdout, get_text(d, "comm"));
	printf("[%" PRIu64 "] ", get_number(d, "pid"));
	put_clean(stdout, get_text(d, "description"));
	printf("\n%10s  %s", "", format_time_exact(get_number(d, "time_usec"), at));
	if (get_number(d, "lifetime_usec") > 0)
		printf(", had run for %s", format_span(get_number(d, "lifetime_usec"), span));
	if (get_number(d, "peak_rss_bytes") > 0)
		printf(", peak memory %s", format_bytes(get_number(d, "peak_rss_bytes"), rss));
	putchar('\n');
}

static void print_evidence(const json_t *evidence)
{
	const char *key;
	json_t *value;
	bool first = true;

	json_object_foreach((json_t *)evidence, key, value)
	{
		char *text = json_is_string(value)
				     ? NULL
				     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		printf("%10s%c ", first ? "Evidence" : "", first ? ':' : ' ');
		put_clean(stdout, key);
		printf(" = ");
		put_clean(stdout, text ? text : get_text(evidence, key));
		putchar('\n');
		free(text);
		first = false;
	}
}

void report_text(const struct ctl *c, const json_t *i)
{
	bool open = get_bool(i, "open");
	char at[TIME_SIZE], span[TIME_SIZE];
	const json_t *e;
	size_t n;

	printf("%s%s%s Incident %s\n", color_on(c, open ? COLOR_BAD : COLOR_GOOD), bullet(),
		color_off(c, COLOR_BAD), get_text(i, "id"));
	line("Unit", get_text(i, "unit"));
	line("Summary", get_text(i, "summary"));
	line("Cause", get_text(i, "cause"));
	line("Severity", get_text(i, "severity"));
	line("Failed", format_time_exact(get_number(i, "opened_usec"), at));
	printf("%10s: %s later\n", "Detected", format_span(get_number(i, "detect_usec"), span));
	if (open)
		line("Closed", "no, it is open");
	else
		printf("%10s: %s, after %s\n", "Closed",
			format_time_exact(get_number(i, "closed_usec"), at),
			format_span(get_number(i, "duration_usec"), span));
	printf("%10s: %" PRIu64 ", relapses: %" PRIu64 "\n", "Attempts", get_number(i, "attempts"),
		get_number(i, "relapses"));
	line("Verdict", get_text(i, "verdict"));
	line("Resolution", get_text(i, "resolution"));
	print_death(json_object_get(i, "death"));
	print_evidence(json_object_get(i, "evidence"));
	printf("\nTimeline\n");
	json_array_foreach (json_object_get(i, "timeline"), n, e) {
		printf("  %s  %+10.3fs  ", format_time_exact(get_number(e, "time_usec"), at),
			(double)json_integer_value(json_object_get(e, "offset_usec")) / 1e6);
		put_colored(c, COLOR_BOLD, get_text(e, "kind"));
		printf(": ");
		put_clean(stdout, get_text(e, "text"));
		putchar('\n');
	}
	if (get_number(i, "timeline_dropped") > 0)
		printf("  (%" PRIu64 " entries of the middle were dropped)\n",
			get_number(i, "timeline_dropped"));
}
