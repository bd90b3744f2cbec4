/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl plugins: what was loaded, and why anything was not. */
#include "ctl.h"

#include <inttypes.h>

static json_t *plugin_object(const json_t *row)
{
	static const char *const keys[] = { "name", "kind", "version", "path", "active", "error",
		"calls", "failures" };
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_set(o, keys[i], json_array_get(row, i));
	return o;
}

int verb_plugins(struct ctl *c, int argc, char **argv)
{
	static const char *const columns[] = { "NAME", "KIND", "VERSION", "STATE", "CALLS",
		"FAILURES", "NOTE" };
	json_t *m = NULL, *list = json_array(), *row;
	struct table *t = table_new(c, columns, ARRAY_SIZE(columns));
	int r, bad = 0;
	size_t i;

	r = t && list ? bus_properties(c, &m, BUS_PATH, BUS_MANAGER) : out_of_memory();
	if (r == 0)
		json_array_foreach (json_object_get(m, "Plugins"), i, row)
			json_array_append_new(list, plugin_object(row));
	json_array_foreach (list, i, row) {
		bool active = get_bool(row, "active");
		const char *error = get_text(row, "error");
		char calls[24], failures[24];

		bad += !active;
		snprintf(calls, sizeof(calls), "%" PRIu64, get_number(row, "calls"));
		snprintf(failures, sizeof(failures), "%" PRIu64, get_number(row, "failures"));
		if (table_add(t,
			    (const char *const[]) { get_text(row, "name"), get_text(row, "kind"),
				    get_text(row, "version"), active ? "active" : "set aside",
				    calls, failures, *error ? error : get_text(row, "path") }) < 0)
			r = out_of_memory();
		else
			table_color(t, 3, active ? COLOR_GOOD : COLOR_BAD);
	}
	if (r == 0 && c->json != JSON_OFF)
		print_json(c, list);
	else if (r == 0 && json_array_size(list) > 0)
		table_print(t);
	else if (r == 0 && !c->quiet)
		puts("No plugins.");
	table_free(t);
	json_decref(list);
	json_decref(m);
	return r != 0 ? r : bad ? EXIT_UNHEALTHY : EXIT_HEALTHY;
}
