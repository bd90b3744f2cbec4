/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl audit: what is missing before the outage. A service that nobody restarts, that nothing
 * asks whether it works, or whose failure nobody is told of.
 */
#include "ctl.h"
#include "../daemon/base/clock.h"

/* Prometheus scrapes every minute at the least; three misses in a row mean that nobody does. */
#define SCRAPE_STALE_USEC (3 * 60 * USEC_PER_SEC)

/* Services that are done when their process is: there is nothing to keep alive. */
static bool is_oneshot(const json_t *u)
{
	return str_eq(get_text(u, "ServiceType"), "oneshot");
}

/* HTTP is expected of it, and whatever has come could not be measured. */
static bool is_blind(const json_t *u)
{
	const char *visibility = get_text(u, "HTTPVisibility");

	return str_eq(get_text(u, "HTTPMode"), "yes") && !str_eq(visibility, "http") &&
	       !str_eq(visibility, "none");
}

static void find(json_t *findings, const char *what)
{
	json_array_append_new(findings, json_string(what));
}

static json_t *audit_unit(const json_t *u)
{
	const char *restart = get_text(u, "RestartPolicy"), *mode = get_text(u, "HealMode");
	bool listens = json_array_size(json_object_get(u, "ListeningSockets")) > 0;
	json_t *findings = json_array();

	if (str_eq(restart, "no") && !str_eq(mode, "restart"))
		find(findings, "no restart policy: neither Restart= nor Heal=restart");
	if (str_eq(mode, "off"))
		find(findings, "no alert: Heal=off opens no incident");
	if (listens && *get_text(u, "Check") == '\0' && *get_text(u, "Probe") == '\0')
		find(findings, "no check and no probe: a restart can be verified only weakly");
	if (is_blind(u)) {
		const char *word = get_text(u, "HTTPVisibility"), *text = explain_visibility(word);
		char what[160];

		snprintf(what, sizeof(what), "no HTTP, in spite of HTTP=yes: %s",
			text ? text : word);
		find(findings, what);
	}
	if (*get_text(u, "ConfigError"))
		find(findings, "its [X-Mendd] section is not used: it has a mistake");
	return findings;
}

static json_t *audit_host(const json_t *m, uint64_t now_usec)
{
	uint64_t scraped = get_number(m, "LastScrapeUSec");
	json_t *findings = json_array();

	if (scraped == 0)
		find(findings,
			"no alert: the metrics have never been scraped, alerts reach the journal only");
	else if (now_usec > scraped + SCRAPE_STALE_USEC)
		find(findings, "no alert: the metrics are not scraped any more");
	if (str_eq(get_text(m, "State"), "degraded"))
		find(findings, "degraded: see mendctl doctor");
	return findings;
}

/* A unit is looked at where it runs, or where it was asked for by name. */
static int audit_one(struct ctl *c, const char *name, bool named, json_t *all)
{
	json_t *u = NULL, *findings;
	int r = bus_unit(c, &u, name);

	if (r != 0)
		return r;
	if (named || (str_eq(get_text(u, "ActiveState"), "active") && !is_oneshot(u) &&
			     !get_bool(u, "Denied"))) {
		findings = audit_unit(u);
		json_array_append_new(all,
			json_pack("{ss so}", "unit", get_text(u, "Name"), "missing", findings));
	}
	json_decref(u);
	return 0;
}

static int print_audit(const struct ctl *c, const json_t *all, size_t *ret_findings)
{
	static const char *const columns[] = { "UNIT", "MISSING" };
	struct table *t = table_new(c, columns, ARRAY_SIZE(columns));
	const json_t *row, *finding;
	size_t i, j, good = 0;

	if (!t)
		return out_of_memory();
	json_array_foreach (all, i, row) {
		const char *name = get_text(row, "unit");

		good += json_array_size(json_object_get(row, "missing")) == 0;
		json_array_foreach (json_object_get(row, "missing"), j, finding) {
			if (table_add(t, (const char *const[]) { j == 0 ? name : "",
						 json_string_value(finding) }) < 0) {
				table_free(t);
				return out_of_memory();
			}
			(*ret_findings)++;
		}
	}
	if (c->json != JSON_OFF)
		print_json(c, all);
	else if (*ret_findings > 0)
		table_print(t);
	if (c->json == JSON_OFF && c->legend && !c->quiet)
		printf("%s%zu %s nothing.\n", *ret_findings > 0 ? "\n" : "", good,
			good == 1 ? "entry lacks" : "entries lack");
	table_free(t);
	return 0;
}

int verb_audit(struct ctl *c, int argc, char **argv)
{
	json_t *m = NULL, *list = NULL, *all = json_array();
	uint64_t now = clock_realtime_usec();
	size_t findings = 0, i;
	const json_t *unit;
	int r;

	r = all ? bus_properties(c, &m, BUS_PATH, BUS_MANAGER) : out_of_memory();
	if (r == 0 && argc == 0) {
		json_array_append_new(all,
			json_pack("{ss so}", "unit", "(this host)", "missing", audit_host(m, now)));
		r = bus_units(c, &list);
		if (r == 0)
			json_array_foreach (list, i, unit) {
				r = audit_one(c, get_text(unit, "name"), false, all);
				if (r != 0)
					break;
			}
	}
	for (int a = 0; a < argc && r == 0; a++) {
		_cleanup_free_ char *name = unit_name(argv[a]);

		r = name ? audit_one(c, name, true, all) : out_of_memory();
	}
	if (r == 0) {
		pager_open(c);
		r = print_audit(c, all, &findings);
	}
	json_decref(m);
	json_decref(list);
	json_decref(all);
	return r != 0 ? r : findings ? EXIT_UNHEALTHY : EXIT_HEALTHY;
}
