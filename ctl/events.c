/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl events: follows the daemon's signals, one line each, until it is interrupted. It stays
 * when mendd leaves and says when it is back.
 */
#include "ctl.h"
#include "../daemon/base/clock.h"

#include <signal.h>
#include <systemd/sd-event.h>

struct follow {
	struct ctl *ctl; /* borrowed */
	sd_event *event; /* borrowed */
	char **units;    /* borrowed; names to show, none: all */
	int n_units;
	uint32_t printed;
};

static bool is_wanted(const struct follow *f, const char *unit)
{
	if (f->n_units == 0)
		return true;
	for (int i = 0; i < f->n_units; i++)
		if (str_eq(f->units[i], unit))
			return true;
	return false;
}

/* unit and text may be "". */
static void emit(struct follow *f, const char *what, const char *unit, const char *text)
{
	uint64_t now = clock_realtime_usec();
	char at[TIME_SIZE];

	if (!is_wanted(f, unit))
		return;
	if (f->ctl->json != JSON_OFF) {
		json_t *j = json_pack("{sI ss ss ss}", "time_usec", (json_int_t)now, "event", what,
			"unit", unit, "text", text);

		print_json(f->ctl, j);
		json_decref(j);
	} else {
		printf("%s  ", format_time_exact(now, at));
		put_colored(f->ctl, COLOR_BOLD, what);
		printf("%s", *unit ? "  " : "");
		put_clean(stdout, unit);
		printf("%s", *text ? "  " : "");
		put_clean(stdout, text);
		putchar('\n');
	}
	/* Whoever reads this through a pipe waits for it. */
	if (fflush(stdout) != 0)
		sd_event_exit(f->event, EXIT_UNHEALTHY);
	f->printed++;
	if (f->ctl->lines > 0 && f->printed >= f->ctl->lines)
		sd_event_exit(f->event, EXIT_HEALTHY);
}

static int on_health(struct follow *f, sd_bus_message *m)
{
	const char *unit, *before, *now, *reason;
	_cleanup_strbuf_ struct strbuf b = {};
	int r;

	r = sd_bus_message_read(m, "ssss", &unit, &before, &now, &reason);
	if (r < 0)
		return r;
	strbuf_addf(&b, "%s -> %s%s%s", before, now, *reason ? ": " : "", reason);
	emit(f, "health", unit, strbuf_text(&b));
	return 0;
}

static int on_manager_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct follow *f = userdata;
	const char *member = sd_bus_message_get_member(m), *a, *b, *c;
	_cleanup_strbuf_ struct strbuf text = {};

	if (str_eq(member, "HealthChanged"))
		return on_health(f, m);
	if (str_eq(member, "UnitAdded") || str_eq(member, "UnitRemoved")) {
		if (sd_bus_message_read(m, "so", &a, &b) >= 0)
			emit(f, str_eq(member, "UnitAdded") ? "unit-added" : "unit-removed", a, "");
		return 0;
	}
	if (sd_bus_message_read(m, "sss", &a, &b, &c) < 0)
		return 0; /* of a newer daemon */
	if (str_eq(member, "AlertChanged")) {
		strbuf_addf(&text, "%s: %s", b, c);
		emit(f, "alert", *a ? a : "(host)", strbuf_text(&text));
	} else if (str_eq(member, "IncidentOpened")) {
		strbuf_addf(&text, "%s: %s", a, c);
		emit(f, "incident-opened", b, strbuf_text(&text));
	} else if (str_eq(member, "IncidentClosed")) {
		strbuf_addf(&text, "%s: %s", a, c);
		emit(f, "incident-closed", b, strbuf_text(&text));
	}
	return 0;
}

/* Of a unit: what its healing does. Of the manager: state and pause. */
static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct follow *f = userdata;
	_cleanup_free_ char *unit = NULL;
	_cleanup_strbuf_ struct strbuf text = {};
	static const char *const shown[] = { "HealMode", "HealingState", "Refusal", "CheckStatus",
		"State", "ConfigError" };
	const char *interface;
	json_t *changed = NULL;

	if (sd_bus_message_read(m, "s", &interface) < 0 || json_from_message(m, &changed) < 0)
		return 0;
	sd_bus_path_decode(sd_bus_message_get_path(m), BUS_PATH "/unit", &unit);
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (json_object_get(changed, shown[i]))
			strbuf_addf(&text, "%s%s=%s", text.len ? " " : "", shown[i],
				get_text(changed, shown[i]));
	if (text.len > 0)
		emit(f, unit ? "healing" : "mendd", unit ? unit : "", strbuf_text(&text));
	json_decref(changed);
	return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	const char *name, *before, *now;

	if (sd_bus_message_read(m, "sss", &name, &before, &now) >= 0)
		emit(userdata, "mendd", "", *now ? "is running" : "is gone");
	return 0;
}

static int add_matches(struct ctl *c, struct follow *f)
{
	int r;

	r = sd_bus_match_signal(
		c->bus, NULL, BUS_NAME, BUS_PATH, BUS_MANAGER, NULL, on_manager_signal, f);
	if (r < 0)
		return r;
	r = sd_bus_add_match(c->bus, NULL,
		"type='signal',sender='" BUS_NAME "',path_namespace='" BUS_PATH
		"',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
		on_properties, f);
	if (r < 0)
		return r;
	return sd_bus_add_match(c->bus, NULL,
		"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
		"member='NameOwnerChanged',arg0='" BUS_NAME "'",
		on_owner, f);
}

static int watch(struct ctl *c, struct follow *f)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = sd_event_new(&event);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_bus_attach_event(c->bus, event, SD_EVENT_PRIORITY_NORMAL);
	f->event = event;
	if (r >= 0)
		r = add_matches(c, f);
	if (r < 0) {
		complain("Cannot follow: %s", strerror(-r));
		return EXIT_UNHEALTHY;
	}
	if (c->legend && !c->quiet)
		complain("Following mendd; Ctrl+C ends it.");
	r = sd_event_loop(event);
	sd_bus_detach_event(c->bus);
	return r < 0 ? EXIT_UNHEALTHY : r;
}

int verb_events(struct ctl *c, int argc, char **argv)
{
	struct follow f = { .ctl = c };
	sd_bus_message *m = NULL;
	int r;

	/* Says early that mendd is not running, instead of waiting for it in silence. */
	r = bus_call(c, &m, BUS_PATH, "org.freedesktop.DBus.Peer", "Ping", "");
	if (r != 0)
		return r;
	sd_bus_message_unref(m);
	f.units = calloc((size_t)argc + 1, sizeof(*f.units));
	for (; f.units && f.n_units < argc; f.n_units++)
		f.units[f.n_units] = unit_name(argv[f.n_units]);
	r = f.units ? watch(c, &f) : out_of_memory();
	for (int i = 0; i < f.n_units; i++)
		free(f.units[i]);
	free(f.units);
	return r;
}
