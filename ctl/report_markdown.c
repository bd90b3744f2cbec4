/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An incident as a postmortem in Markdown: everything that mendd measured is filled in, and the
 * questions that only people can answer are asked. What strangers wrote is put where it cannot
 * become markup: controls are removed and the characters of Markdown and HTML escaped.
 */
#include "ctl.h"

#include <inttypes.h>

static void put_escaped(const char *s)
{
	_cleanup_strbuf_ struct strbuf b = {};

	strbuf_add_clean(&b, s);
	for (const char *p = strbuf_text(&b); *p; p++) {
		if (strchr("\\`*_{}[]<>#|~!&", *p))
			putchar('\\');
		putchar(*p);
	}
}

static void row(const char *key, const char *value)
{
	if (!*value)
		return;
	printf("| %s | ", key);
	put_escaped(value);
	puts(" |");
}

static void print_facts(const json_t *i)
{
	char text[TIME_SIZE], number[24];

	puts("| | |\n|---|---|");
	row("Unit", get_text(i, "unit"));
	row("Incident", get_text(i, "id"));
	row("Severity", get_text(i, "severity"));
	row("Cause", get_text(i, "cause"));
	row("Failed", format_time_exact(get_number(i, "opened_usec"), text));
	row("Detected after", format_span(get_number(i, "detect_usec"), text));
	if (get_bool(i, "open")) {
		row("Closed", "still open");
	} else {
		row("Closed", format_time_exact(get_number(i, "closed_usec"), text));
		row("Lasted", format_span(get_number(i, "duration_usec"), text));
	}
	snprintf(number, sizeof(number), "%" PRIu64, get_number(i, "attempts"));
	row("Attempts", number);
	row("Verdict", get_text(i, "verdict"));
}

static void print_cause(const json_t *i)
{
	const json_t *d = json_object_get(i, "death"), *evidence = json_object_get(i, "evidence");
	const char *key;
	json_t *value;
	char text[TIME_SIZE];

	printf("\n## Cause\n\n");
	put_escaped(get_text(i, "summary"));
	printf(" (cause: %s)\n", get_text(i, "cause"));
	if (json_is_object(d)) {
		printf("\n* Process: ");
		put_escaped(get_text(d, "comm"));
		printf(", pid %" PRIu64 ", uid %" PRIu64 "\n* End: ", get_number(d, "pid"),
			get_number(d, "uid"));
		put_escaped(get_text(d, "description"));
		printf("\n* Had run for %s", format_span(get_number(d, "lifetime_usec"), text));
		printf(", peak memory %s\n", format_bytes(get_number(d, "peak_rss_bytes"), text));
		if (*get_text(d, "killer_comm")) {
			printf("* Sender of the signal: ");
			put_escaped(get_text(d, "killer_comm"));
			printf(", pid %" PRIu64 ", uid %" PRIu64 ", in ",
				get_number(d, "killer_pid"), get_number(d, "killer_uid"));
			put_escaped(get_text(d, "killer_unit"));
			putchar('\n');
		}
	}
	printf("\n### Evidence, captured before any action\n\n");
	if (json_object_size(evidence) == 0)
		puts("None was captured.");
	json_object_foreach((json_t *)evidence, key, value)
	{
		char *dump = json_is_string(value)
				     ? NULL
				     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		printf("* ");
		put_escaped(key);
		printf(": ");
		put_escaped(dump ? dump : get_text(evidence, key));
		putchar('\n');
		free(dump);
	}
}

static void print_timeline(const json_t *i)
{
	const json_t *e;
	char at[TIME_SIZE];
	size_t n;

	printf("\n## Timeline\n\n| time | since failure | what | |\n|---|---|---|---|\n");
	json_array_foreach (json_object_get(i, "timeline"), n, e) {
		printf("| %s | %+.3f s | ", format_time_exact(get_number(e, "time_usec"), at),
			(double)json_integer_value(json_object_get(e, "offset_usec")) / 1e6);
		put_escaped(get_text(e, "kind"));
		printf(" | ");
		put_escaped(get_text(e, "text"));
		puts(" |");
	}
	if (get_number(i, "timeline_dropped") > 0)
		printf("\n%" PRIu64 " entries of the middle were dropped.\n",
			get_number(i, "timeline_dropped"));
}

static void print_impact(const json_t *i)
{
	char text[TIME_SIZE];

	printf("\n## Impact\n\n");
	if (get_bool(i, "open"))
		puts("* The incident is open; the unit is not known to work yet.");
	else
		printf("* From the failure to the end of the incident: %s.\n",
			format_span(get_number(i, "duration_usec"), text));
	if (get_number(i, "relapses") > 0)
		printf("* It relapsed %" PRIu64 " time%s.\n", get_number(i, "relapses"),
			get_number(i, "relapses") == 1 ? "" : "s");
	puts("* Who was affected, and how: _to be written_");
}

static void print_actions(const json_t *i)
{
	const json_t *e;
	bool any = false;
	size_t n;

	printf("\n## Actions\n\n");
	json_array_foreach (json_object_get(i, "timeline"), n, e) {
		const char *kind = get_text(e, "kind");

		if (!str_eq(kind, "acted") && !str_eq(kind, "held") && !str_eq(kind, "decided"))
			continue;
		printf("* %s: ", kind);
		put_escaped(get_text(e, "text"));
		putchar('\n');
		any = true;
	}
	if (!any)
		puts("None were taken.");
	printf("\n## Verdict\n\n%s", get_text(i, "verdict"));
	if (*get_text(i, "resolution")) {
		printf(": ");
		put_escaped(get_text(i, "resolution"));
	}
	putchar('\n');
}

static void print_whys(const json_t *i)
{
	printf("\n## Five whys\n\n1. Why did ");
	put_escaped(get_text(i, "unit"));
	printf(" fail? ");
	put_escaped(get_text(i, "summary"));
	puts("\n2. Why did that happen? _to be answered_\n3. Why was that possible? _to be answered_\n"
	     "4. Why was it not prevented? _to be answered_\n"
	     "5. Why was it not known before? _to be answered_");
	puts("\n## Follow-up\n\n| what | who | until |\n|---|---|---|\n| | | |");
}

void report_markdown(const json_t *i)
{
	printf("# Postmortem: ");
	put_escaped(get_text(i, "unit"));
	printf(", ");
	put_escaped(get_text(i, "summary"));
	printf("\n\n");
	print_facts(i);
	print_impact(i);
	print_timeline(i);
	print_cause(i);
	print_actions(i);
	print_whys(i);
}
