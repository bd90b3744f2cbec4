/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl incidents: the list. mendctl incident: one of them, in the form that was asked for. */
#include "ctl.h"

#include <inttypes.h>

static int print_list(const struct ctl *c, const json_t *list)
{
	static const char *const columns[] = { "ID", "UNIT", "OPENED", "LASTED", "CAUSE",
		"ATTEMPTS", "VERDICT", "SUMMARY" };
	struct table *t = table_new(c, columns, ARRAY_SIZE(columns));
	const json_t *i;
	size_t n;

	if (!t)
		return out_of_memory();
	json_array_foreach (list, n, i) {
		bool open = get_bool(i, "open");
		char id[9], opened[TIME_SIZE], lasted[TIME_SIZE], attempts[24];

		str_copy(id, sizeof(id), get_text(i, "id"));
		snprintf(attempts, sizeof(attempts), "%" PRIu64, get_number(i, "attempts"));
		if (table_add(t, (const char *const[]) { id, get_text(i, "unit"),
					 format_time(get_number(i, "opened_usec"), opened),
					 open ? "open"
					      : format_span(get_number(i, "duration_usec"), lasted),
					 get_text(i, "cause"), attempts, get_text(i, "verdict"),
					 get_text(i, "summary") }) < 0) {
			table_free(t);
			return out_of_memory();
		}
		if (open)
			table_color(t, 3, COLOR_BAD);
	}
	table_print(t);
	table_free(t);
	return 0;
}

int verb_incidents(struct ctl *c, int argc, char **argv)
{
	_cleanup_free_ char *name = argc > 0 ? unit_name(argv[0]) : strdup("");
	json_t *list = NULL;
	const json_t *i;
	bool open = false;
	size_t n;
	int r;

	r = name ? bus_call_json(c, &list, "ListIncidents", "su", name, c->lines) : out_of_memory();
	if (r == 0 && *name && json_array_size(list) == 0)
		r = bus_call(c, NULL, BUS_PATH, BUS_MANAGER, "GetUnit", "s", name);
	if (r != 0) {
		json_decref(list);
		return r;
	}
	json_array_foreach (list, n, i)
		open |= get_bool(i, "open");
	if (c->json != JSON_OFF) {
		r = print_json(c, list);
	} else if (json_array_size(list) == 0) {
		if (!c->quiet)
			puts("No incidents.");
	} else {
		pager_open(c);
		r = print_list(c, list);
	}
	json_decref(list);
	return r != 0 ? r : open ? EXIT_UNHEALTHY : EXIT_HEALTHY;
}

int verb_incident(struct ctl *c, int argc, char **argv)
{
	const char *format = c->format ? c->format : c->json != JSON_OFF ? "json" : "text";
	json_t *i = NULL;
	int r;

	if (!str_eq(format, "text") && !str_eq(format, "json") && !str_eq(format, "markdown")) {
		complain("--format= is one of text, json and markdown.");
		return EXIT_USAGE;
	}
	r = bus_call_json(c, &i, "GetIncident", "s", argv[0]);
	if (r != 0)
		return r;
	if (str_eq(format, "json")) {
		if (c->json == JSON_OFF)
			c->json = JSON_PRETTY;
		r = print_json(c, i);
	} else {
		pager_open(c);
		if (str_eq(format, "text"))
			report_text(c, i);
		else
			report_markdown(i);
	}
	json_decref(i);
	return r;
}
