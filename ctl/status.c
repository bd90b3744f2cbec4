/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl status: the host with a table of units, or single units at length. */
#include "ctl.h"

#include <fnmatch.h>
#include <inttypes.h>

static void label(const char *s)
{
	printf("%12s: ", s);
}

static void print_healing(const struct ctl *c, const json_t *m, size_t enabled)
{
	const json_t *pause = json_object_get(m, "Pause");
	uint64_t until = (uint64_t)json_integer_value(json_array_get(pause, 0));
	const char *reason = json_string_value(json_array_get(pause, 1));
	char at[TIME_SIZE], away[TIME_SIZE];

	label("Healing");
	if (get_bool(m, "KillSwitch")) {
		put_colored(c, COLOR_WARN, "off");
		puts(": /etc/mendd/healing-off exists; nothing is restarted until it is removed");
	} else if (until > 0) {
		put_colored(c, COLOR_WARN, "paused");
		printf(" until %s (%s); nothing is restarted%s", format_time(until, at),
			format_relative(until, away), str_is_empty(reason) ? "" : ": ");
		put_clean(stdout, reason ? reason : "");
		putchar('\n');
	} else if (enabled == 0) {
		put_colored(c, COLOR_WARN, "off");
		puts(": failures are reported, and no unit is restarted ('mendctl enable UNIT')");
	} else {
		put_colored(c, COLOR_GOOD, "on");
		printf(": %zu unit%s restarted on failure, the others only observed\n", enabled,
			enabled == 1 ? " is" : "s are");
	}
}

static void print_degraded(const struct ctl *c, const json_t *m)
{
	const char *config = get_text(m, "ConfigError");
	const json_t *feature;
	size_t i;

	if (get_bool(m, "Degraded")) {
		label("DEGRADED");
		put_colored(c, COLOR_BAD,
			"no kernel programs: deaths are seen late and nobody knows who caused them");
		putchar('\n');
	}
	json_array_foreach (json_object_get(m, "Features"), i, feature) {
		if (json_is_true(json_array_get(feature, 1)))
			continue;
		label("Degraded");
		put_colored(c, COLOR_WARN, json_string_value(json_array_get(feature, 0)));
		printf(": ");
		put_clean(stdout, json_string_value(json_array_get(feature, 2)));
		putchar('\n');
	}
	if (*config) {
		label("Config");
		put_colored(c, COLOR_BAD, config);
		puts("; all else of the configuration is in use");
	}
}

static void print_header(const struct ctl *c, const json_t *m, const json_t *list)
{
	uint64_t lost = get_number(m, "NEventsLost"), refused = get_number(m, "NUnitsRefused");
	const char *state = get_text(m, "State");
	enum color color = str_eq(state, "running") ? COLOR_GOOD : COLOR_WARN;
	char since[TIME_SIZE];
	size_t enabled = 0, bad = 0, i;
	const json_t *unit;

	json_array_foreach (list, i, unit) {
		enabled += str_eq(get_text(unit, "mode"), "restart");
		bad += str_eq(get_text(unit, "health"), "unhealthy");
	}
	printf("%s%s%s mendd %s, ", color_on(c, color), bullet(), color_off(c, color),
		get_text(m, "Version"));
	put_colored(c, color, state);
	printf(" since %s\n", format_time(get_number(m, "StartedUSec"), since));
	print_healing(c, m, enabled);
	label("Units");
	printf("%zu watched, ", json_array_size(list));
	if (bad > 0)
		printf("%s%zu unhealthy%s", color_on(c, COLOR_BAD), bad, color_off(c, COLOR_BAD));
	else
		printf("none unhealthy");
	if (refused > 0)
		printf(", %s%" PRIu64 " refused above MaxUnits=%s", color_on(c, COLOR_WARN),
			refused, color_off(c, COLOR_WARN));
	putchar('\n');
	label("Incidents");
	printf("%" PRIu64 " open\n", get_number(m, "NIncidentsOpen"));
	label("Events");
	printf("%" PRIu64 " from the kernel, ", get_number(m, "NEvents"));
	if (lost > 0)
		printf("%s%" PRIu64 " lost%s\n", color_on(c, COLOR_BAD), lost,
			color_off(c, COLOR_BAD));
	else
		puts("none lost");
	print_degraded(c, m);
	putchar('\n');
}

/* "restart" while nothing is going on, else "restart: backoff". */
static void healing_cell(const json_t *unit, char *ret, size_t size)
{
	const char *mode = get_text(unit, "mode"), *state = get_text(unit, "state");

	if (str_eq(state, "idle"))
		str_copy(ret, size, mode);
	else
		snprintf(ret, size, "%s: %s", mode, state);
}

/* How much a unit needs somebody to look at it: the least first. */
static int rank(const char *health)
{
	static const char *const order[] = { "unhealthy", "unknown", "healthy", "inactive" };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (str_eq(order[i], health))
			return (int)i;
	return 1; /* a word of a newer daemon */
}

static int compare_units(const void *a, const void *b)
{
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
	int d = rank(get_text(x, "health")) - rank(get_text(y, "health"));

	return d ? d : strcmp(get_text(x, "name"), get_text(y, "name"));
}

/* Of a unit that is not well, why; asked for one by one, because few are not. */
static void add_reason(struct ctl *c, json_t *unit)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const char *reason;

	if (rank(get_text(unit, "health")) > 1 ||
		bus_call(c, &m, get_text(unit, "path"), "org.freedesktop.DBus.Properties", "Get",
			"ss", BUS_UNIT, "HealthReason") != 0 ||
		sd_bus_message_read(m, "v", "s", &reason) < 0)
		return;
	json_object_set_new(unit, "reason", json_string(reason));
}

/* The same rows, who needs somebody first, and with their reasons. */
static int order_units(struct ctl *c, json_t **list)
{
	size_t n = json_array_size(*list), i;
	json_t **rows = calloc(n + 1, sizeof(*rows)), *ordered = json_array(), *unit;

	if (!rows || !ordered) {
		free(rows);
		json_decref(ordered);
		return out_of_memory();
	}
	json_array_foreach (*list, i, unit)
		rows[i] = unit;
	qsort(rows, n, sizeof(*rows), compare_units);
	for (i = 0; i < n; i++) {
		add_reason(c, rows[i]);
		json_array_append(ordered, rows[i]);
	}
	free(rows);
	json_decref(*list);
	*list = ordered;
	return 0;
}

static int add_row(struct table *t, const json_t *unit)
{
	const char *health = get_text(unit, "health"), *cause = get_text(unit, "cause");
	char healing[64], restarts[24], since[TIME_SIZE];

	healing_cell(unit, healing, sizeof(healing));
	snprintf(restarts, sizeof(restarts), "%" PRIu64, get_number(unit, "restarts"));
	if (table_add(t, (const char *const[]) { get_text(unit, "name"), health, healing,
				 str_eq(cause, "none") ? "" : cause, restarts,
				 format_relative(get_number(unit, "since_usec"), since),
				 get_text(unit, "reason") }) < 0)
		return -ENOMEM;
	table_color(t, 1, health_color(health));
	return 0;
}

static int print_table(const struct ctl *c, const json_t *list)
{
	static const char *const columns[] = { "UNIT", "HEALTH", "HEALING", "CAUSE", "RESTARTS",
		"SINCE", "REASON" };
	struct table *t = table_new(c, columns, ARRAY_SIZE(columns));
	const json_t *unit;
	size_t i, hidden = 0;
	int r = t ? 0 : -ENOMEM;

	json_array_foreach (list, i, unit) {
		if (!c->all && str_eq(get_text(unit, "health"), "inactive"))
			hidden++;
		else if (r >= 0)
			r = add_row(t, unit);
	}
	if (r >= 0)
		table_print(t);
	table_free(t);
	if (r < 0)
		return out_of_memory();
	if (hidden > 0 && c->legend && !c->quiet)
		printf("\n%zu inactive units are not shown; --all shows them.\n", hidden);
	return 0;
}

int verb_list(struct ctl *c, int argc, char **argv)
{
	json_t *list = NULL;
	int r = bus_units(c, &list);

	if (r == 0)
		r = order_units(c, &list);
	if (r == 0 && c->json != JSON_OFF) {
		r = print_json(c, list);
	} else if (r == 0) {
		pager_open(c);
		r = print_table(c, list);
	}
	json_decref(list);
	return r;
}

static int status_host(struct ctl *c)
{
	json_t *m = NULL, *list = NULL;
	const json_t *unit;
	bool bad;
	size_t i;
	int r;

	r = bus_properties(c, &m, BUS_PATH, BUS_MANAGER);
	if (r == 0)
		r = bus_units(c, &list);
	if (r == 0)
		r = order_units(c, &list);
	if (r != 0)
		goto finish;
	bad = get_number(m, "NIncidentsOpen") > 0;
	json_array_foreach (list, i, unit)
		bad |= str_eq(get_text(unit, "health"), "unhealthy");
	if (c->json != JSON_OFF) {
		json_t *all = json_pack("{sO sO}", "manager", m, "units", list);

		r = print_json(c, all);
		json_decref(all);
	} else {
		pager_open(c);
		if (c->legend && !c->quiet)
			print_header(c, m, list);
		r = print_table(c, list);
	}
	if (r == 0 && bad)
		r = EXIT_UNHEALTHY;
finish:
	json_decref(m);
	json_decref(list);
	return r;
}

static void print_exit(const json_t *u)
{
	const char *text = get_text(u, "LastExitDescription");
	const char *other = get_text(u, "LastProcessExitDescription");
	uint64_t when = get_number(u, "LastExitTimeUSec");
	char at[TIME_SIZE], ago[TIME_SIZE], span[TIME_SIZE], rss[TIME_SIZE];

	if (when == 0)
		return;
	label("Last exit");
	put_clean(stdout, get_text(u, "LastExitComm"));
	printf("[%" PRIu64 "] ", get_number(u, "LastExitPid"));
	put_clean(stdout, text);
	printf("\n%12s  %s, %s", "", format_time_exact(when, at), format_relative(when, ago));
	if (get_number(u, "LastExitLifetimeUSec") > 0)
		printf(", had run for %s",
			format_span(get_number(u, "LastExitLifetimeUSec"), span));
	if (get_number(u, "LastExitPeakRSS") > 0)
		printf(", peak memory %s", format_bytes(get_number(u, "LastExitPeakRSS"), rss));
	putchar('\n');
	if (get_number(u, "LastProcessExitTimeUSec") != when && *other) {
		label("Then");
		printf("another of its processes ");
		put_clean(stdout, other);
		printf(", %s\n", format_relative(get_number(u, "LastProcessExitTimeUSec"), ago));
	}
}

static void print_counts(const json_t *u, const json_t *explained)
{
	const json_t *n = json_object_get(u, "NRestarts");

	label("Restarts");
	printf("%" PRIu64 " by mendd, %" PRIu64 " by systemd, %" PRIu64 " by others\n",
		get_number(n, "mendd"), get_number(n, "systemd"), get_number(n, "other"));
	print_budget(explained);
}

static void print_sockets(const json_t *u)
{
	const json_t *sockets = json_object_get(u, "ListeningSockets"), *s;
	size_t i;

	if (json_array_size(sockets) == 0)
		return;
	label("Sockets");
	json_array_foreach (sockets, i, s) {
		printf("%s", i ? ", " : "");
		put_clean(stdout, json_string_value(s));
	}
	putchar('\n');
}

/* What the decision says about now and next; see Explain() in org.mendd1(5). */
static void print_next(const struct ctl *c, const json_t *u, const json_t *explained)
{
	const json_t *d = json_object_get(explained, "decision");
	char ago[TIME_SIZE];

	label("Healing");
	put_colored(c, COLOR_BOLD, get_text(u, "HealMode"));
	printf(", ");
	put_clean(stdout, get_text(u, "HealingState"));
	if (get_number(u, "HealingSinceUSec") > 0)
		printf(" since %s", format_relative(get_number(u, "HealingSinceUSec"), ago));
	if (get_bool(u, "Denied"))
		printf(" (the host depends on it: it is never touched)");
	putchar('\n');
	if (*get_text(d, "text")) {
		label("Next");
		put_clean(stdout, get_text(d, "text"));
		if (get_number(d, "wake_usec") > 0)
			printf(" (%s)", format_relative(get_number(d, "wake_usec"), ago));
		putchar('\n');
	}
}

static void print_unit(const struct ctl *c, const json_t *u, const json_t *explained)
{
	const char *health = get_text(u, "Health");
	enum color color = health_color(health);
	char at[TIME_SIZE], ago[TIME_SIZE];

	printf("%s%s%s ", color_on(c, color), bullet(), color_off(c, color));
	put_clean(stdout, get_text(u, "Name"));
	putchar('\n');
	label("Health");
	put_colored(c, color, health);
	if (*get_text(u, "HealthReason")) {
		printf(": ");
		put_clean(stdout, get_text(u, "HealthReason"));
	}
	if (get_number(u, "SinceUSec") > 0)
		printf(" (since %s, %s)", format_time(get_number(u, "SinceUSec"), at),
			format_relative(get_number(u, "SinceUSec"), ago));
	putchar('\n');
	label("systemd");
	put_clean(stdout, get_text(u, "ActiveState"));
	printf(" (");
	put_clean(stdout, get_text(u, "SubState"));
	putchar(')');
	if (get_number(u, "MainPID") > 0)
		printf(", main process %" PRIu64, get_number(u, "MainPID"));
	putchar('\n');
	print_next(c, u, explained);
	print_exit(u);
	if (*get_text(u, "IncidentID")) {
		label("Incident");
		put_clean(stdout, get_text(u, "IncidentID"));
		printf(" (%s; mendctl incident %.8s)\n",
			get_bool(u, "IncidentOpen") ? "open" : "closed", get_text(u, "IncidentID"));
	}
	print_counts(u, explained);
	if (*get_text(u, "CheckStatus")) {
		label("Check");
		put_clean(stdout, get_text(u, "CheckStatus"));
		printf(": ");
		put_clean(stdout, get_text(u, "CheckText"));
		printf(" (%s)\n", format_relative(get_number(u, "CheckTimeUSec"), ago));
	}
	if (*get_text(u, "ProbeStatus")) {
		label("Probe");
		put_clean(stdout, get_text(u, "ProbeStatus"));
		printf(": ");
		put_clean(stdout, get_text(u, "ProbeText"));
		printf(" (%s)\n", format_relative(get_number(u, "ProbeTimeUSec"), ago));
	}
	print_http(c, u);
	print_sockets(u);
	if (*get_text(u, "Program")) {
		label("Program");
		put_clean(stdout, get_text(u, "Program"));
		puts(get_bool(u, "ProgramChanged") ? " (changed since the start before)" : "");
	}
	if (*get_text(u, "ConfigError")) {
		label("Config");
		put_colored(c, COLOR_BAD, get_text(u, "ConfigError"));
		putchar('\n');
	}
}

/* Prints one unit, or appends it to `all` for JSON. */
static int status_unit(struct ctl *c, const char *name, size_t *n_printed, json_t *all)
{
	json_t *u = NULL, *explained = NULL;
	int r;

	r = bus_unit(c, &u, name);
	if (r == 0)
		r = bus_call_json(c, &explained, "Explain", "s", name);
	if (r == 0 && all) {
		json_object_set(u, "Explain", explained);
		json_array_append(all, u);
	} else if (r == 0) {
		pager_open(c);
		if ((*n_printed)++ > 0)
			putchar('\n');
		print_unit(c, u, explained);
	}
	if (r == 0 && str_eq(get_text(u, "Health"), "unhealthy"))
		r = EXIT_UNHEALTHY;
	json_decref(u);
	json_decref(explained);
	return r;
}

/* A worse code hides a better one: 4, 3, 2, 1, 0. */
static int status_pattern(
	struct ctl *c, const char *pattern, const json_t *list, size_t *n_printed, json_t *all)
{
	const json_t *unit;
	int worst = 0;
	bool any = false;
	size_t i;

	json_array_foreach (list, i, unit) {
		const char *name = get_text(unit, "name");

		if (fnmatch(pattern, name, 0) != 0)
			continue;
		any = true;
		worst = MAX(worst, status_unit(c, name, n_printed, all));
	}
	if (any)
		return worst;
	complain("No watched unit is called %s.", pattern);
	return EXIT_NOT_WATCHED;
}

int verb_status(struct ctl *c, int argc, char **argv)
{
	json_t *list = NULL, *all = NULL;
	size_t n_printed = 0;
	int worst = 0, r;

	if (argc == 0)
		return status_host(c);
	r = bus_units(c, &list);
	if (r != 0)
		return r;
	if (c->json != JSON_OFF)
		all = json_array();
	for (int i = 0; i < argc; i++) {
		_cleanup_free_ char *name = unit_name(argv[i]);

		if (!name)
			r = out_of_memory();
		else if (strpbrk(name, "*?["))
			r = status_pattern(c, name, list, &n_printed, all);
		else
			r = status_unit(c, name, &n_printed, all);
		worst = MAX(worst, r);
	}
	if (all)
		print_json(c, all);
	json_decref(all);
	json_decref(list);
	return worst;
}
