/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl show: all properties, for programs. mendctl explain: the decision, for people. */
#include "ctl.h"

#include <inttypes.h>

static void print_value(const char *key, const json_t *v)
{
	char *text;

	switch (json_typeof(v)) {
	case JSON_STRING:
		put_clean(stdout, json_string_value(v));
		break;
	case JSON_INTEGER:
		printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_TRUE:
		printf("yes");
		break;
	case JSON_FALSE:
		printf("no");
		break;
	case JSON_REAL:
		printf("%.6g", json_real_value(v));
		break;
	case JSON_NULL: /* a time of "never", or not a number: of nothing */
		printf("%s", str_has_suffix(key, "USec") ? "infinity" : "");
		break;
	default: /* a list or counters by name */
		text = json_dumps(v, JSON_COMPACT);
		fputs(text ? text : "", stdout);
		free(text);
	}
}

int verb_show(struct ctl *c, int argc, char **argv)
{
	int worst = 0;

	for (int i = 0; i < argc; i++) {
		_cleanup_free_ char *name = unit_name(argv[i]);
		json_t *u = NULL, *value;
		const char *key;
		int r;

		r = name ? bus_unit(c, &u, name) : out_of_memory();
		worst = MAX(worst, r);
		if (r != 0)
			continue;
		if (c->json != JSON_OFF) {
			print_json(c, u);
		} else {
			pager_open(c);
			if (i > 0)
				putchar('\n');
			json_object_foreach(u, key, value)
			{
				printf("%s=", key);
				print_value(key, value);
				putchar('\n');
			}
		}
		json_decref(u);
	}
	return worst;
}

static void line(const char *key, const char *value)
{
	if (!*value)
		return;
	printf("%12s: ", key);
	put_clean(stdout, value);
	putchar('\n');
}

void print_budget(const json_t *explained)
{
	const json_t *window;
	char span[TIME_SIZE];
	size_t i;

	printf("%12s: ", "Budget");
	json_array_foreach (json_object_get(explained, "budget"), i, window)
		printf("%s%" PRIu64 " of %" PRIu64 " restarts in %s%s", i ? ", " : "used ",
			get_number(window, "used"), get_number(window, "count"),
			format_span(get_number(window, "window_usec"), span),
			str_eq(get_text(window, "of"), "systemd") ? " (systemd's start limit)"
								  : "");
	puts(i ? "" : "no limit");
}

static void print_alerts(const struct ctl *c, const json_t *alerts)
{
	const char *key = "Alerts";
	const json_t *a;
	size_t i;

	json_array_foreach (alerts, i, a) {
		const char *state = get_text(a, "state");
		char away[TIME_SIZE];

		printf("%12s%s ", key, *key ? ":" : " ");
		key = "";
		printf("%s ", get_text(a, "rule"));
		put_colored(c, str_eq(state, "firing") ? COLOR_BAD : COLOR_NONE, state);
		if (get_number(a, "since_usec") > 0 && !str_eq(state, "inactive"))
			printf(" (%s)", format_relative(get_number(a, "since_usec"), away));
		if (*get_text(a, "text")) {
			printf(": ");
			put_clean(stdout, get_text(a, "text"));
		}
		putchar('\n');
	}
}

static void print_attempt(const json_t *a)
{
	if (!json_is_object(a))
		return;
	printf("%12s: number %" PRIu64 ", %s by %s, verdict %s", "Last attempt",
		get_number(a, "number"), get_text(a, "action"), get_text(a, "initiator"),
		get_text(a, "verdict"));
	if (*get_text(a, "error")) {
		printf(": ");
		put_clean(stdout, get_text(a, "error"));
	}
	putchar('\n');
}

static void print_decision(const struct ctl *c, const json_t *d)
{
	const char *verb = get_text(d, "verb");
	char at[TIME_SIZE], away[TIME_SIZE];

	printf("%12s: ", "Decision");
	put_colored(c, COLOR_BOLD, verb);
	if (str_eq(verb, "act"))
		printf(" (%s, by %s)", get_text(d, "action"), get_text(d, "initiator"));
	else if (str_eq(verb, "adopt"))
		printf(" (a restart by %s)", get_text(d, "initiator"));
	else if (str_eq(verb, "conclude"))
		printf(" (%s)", get_text(d, "verdict"));
	putchar('\n');
	if (*get_text(d, "refusal_text")) {
		printf("%12s: %s: ", "Held by", get_text(d, "refusal"));
		put_clean(stdout, get_text(d, "refusal_text"));
		putchar('\n');
	}
	line("Why", get_text(d, "text"));
	if (get_number(d, "wake_usec") > 0)
		printf("%12s: %s (%s)\n", "Asked again",
			format_time(get_number(d, "wake_usec"), at),
			format_relative(get_number(d, "wake_usec"), away));
	else if (!str_eq(verb, "act"))
		line("Asked again", "when something changes");
}

int verb_explain(struct ctl *c, int argc, char **argv)
{
	_cleanup_free_ char *name = unit_name(argv[0]);
	json_t *e = NULL;
	bool bad;
	int r;

	r = name ? bus_call_json(c, &e, "Explain", "s", name) : out_of_memory();
	if (r != 0)
		return r;
	bad = str_eq(get_text(e, "health"), "unhealthy");
	if (c->json != JSON_OFF) {
		r = print_json(c, e);
	} else {
		pager_open(c);
		put_colored(c, COLOR_BOLD, get_text(e, "unit"));
		putchar('\n');
		printf("%12s: ", "Health");
		put_colored(c, health_color(get_text(e, "health")), get_text(e, "health"));
		putchar('\n');
		line("Reason", get_text(e, "health_reason"));
		line("Mode", get_text(e, "mode"));
		line("State", get_text(e, "state"));
		line("Cause", get_text(json_object_get(e, "trouble"), "cause"));
		line("Trouble", get_text(json_object_get(e, "trouble"), "text"));
		line("Incident", get_text(e, "incident"));
		print_alerts(c, json_object_get(e, "alerts"));
		print_budget(e);
		print_attempt(json_object_get(e, "attempt"));
		print_decision(c, json_object_get(e, "decision"));
	}
	json_decref(e);
	return r != 0 ? r : bad ? EXIT_UNHEALTHY : EXIT_HEALTHY;
}
