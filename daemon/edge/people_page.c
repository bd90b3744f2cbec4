/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page for people at /: what mendctl status shows, for those who have a browser at hand. No
 * script, nothing loaded from elsewhere, everything escaped: reasons hold the names of strangers'
 * processes. See metrics_page.h.
 */
#include "metrics_page.h"

#include <inttypes.h>
#include <time.h>

#define FOOT "<p>mendd " MENDD_VERSION "</p></body></html>\n"

/* The list is looked at while something happens: browsers fetch it again by themselves. */
#define REFRESH "<meta http-equiv=\"refresh\" content=\"5\">\n"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>mendd</title>\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<style>\n"
	"body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em;"
	" color: #222; background: #fff }\n"
	"table { border-collapse: collapse; width: 100% }\n"
	"th, td { text-align: left; padding: .3em .8em; border-bottom: 1px solid #ddd;"
	" vertical-align: top }\n"
	".healthy { color: #18794e } .unhealthy { color: #c62a2f; font-weight: bold }\n"
	".unknown, .inactive { color: #666 }\n"
	".note { background: #fff3d6; padding: .5em .8em }\n"
	"@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1a1a1a }"
	" th, td { border-color: #444 } .note { color: #222 }"
	" .healthy { color: #4cc38a } .unhealthy { color: #ff6369 } }\n"
	"</style>\n";

static void add_html(struct strbuf *out, const char *text)
{
	_cleanup_strbuf_ struct strbuf clean = {};

	strbuf_add_clean(&clean, text);
	for (const char *s = strbuf_text(&clean); *s; s++) {
		switch (*s) {
		case '&':
			strbuf_add(out, "&amp;");
			break;
		case '<':
			strbuf_add(out, "&lt;");
			break;
		case '>':
			strbuf_add(out, "&gt;");
			break;
		case '"':
			strbuf_add(out, "&quot;");
			break;
		case '\'':
			strbuf_add(out, "&#39;");
			break;
		default:
			strbuf_add_mem(out, s, 1);
		}
	}
}

static void add_note(struct strbuf *out, const char *what, const char *text)
{
	strbuf_addf(out, "<p class=\"note\">%s", what);
	add_html(out, text);
	strbuf_add(out, "</p>\n");
}

static void add_unit(struct strbuf *out, const struct unit *u)
{
	const char *word = health_word(u->health);
	bool down = u->incident && u->incident->open;

	strbuf_add(out, "<tr><td>");
	add_html(out, u->name);
	strbuf_addf(out, "</td><td class=\"%s\">%s</td><td>", word, word);
	add_html(out, down ? u->incident->summary : u->health_reason);
	strbuf_addf(out, "</td><td>%s</td><td>%s</td><td>", heal_mode_word(u->settings.heal),
		heal_state_word(u->heal.state));
	/* An id is a UUID that we have made. */
	if (down)
		strbuf_addf(
			out, "<a href=\"/incident/%s\">%.8s</a>", u->incident->id, u->incident->id);
	strbuf_add(out, "</td></tr>\n");
}

static void add_units(struct strbuf *out, struct unit *const *units, size_t n, enum health health)
{
	for (size_t i = 0; i < n; i++)
		if (units[i]->health == health)
			add_unit(out, units[i]);
}

int people_page(const struct world *w, struct strbuf *out)
{
	_cleanup_free_ struct unit **units = NULL;
	uint64_t count[HEALTH_COUNT] = {};
	size_t n;
	int r = world_units_sorted(w, &units, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		count[(unsigned int)units[i]->health < HEALTH_COUNT ? units[i]->health
								    : HEALTH_UNKNOWN]++;
	out->cap = METRICS_PAGE_MAX;
	strbuf_add(out, head);
	strbuf_add(out, REFRESH "</head><body>\n");
	strbuf_addf(out,
		"<h1>mendd</h1>\n<p>%zu units: %" PRIu64 " healthy, %" PRIu64 " unhealthy, %" PRIu64
		" inactive, %" PRIu64 " unknown. <a href=\"/metrics\">Metrics</a></p>\n",
		n, count[HEALTH_HEALTHY], count[HEALTH_UNHEALTHY], count[HEALTH_INACTIVE],
		count[HEALTH_UNKNOWN]);
	if (w->pause.active || w->pause.kill_switch)
		add_note(out, "Healing is paused: ", w->pause.reason);
	else if (!world_healing_enabled(w))
		add_note(out, "Healing is off: no unit has Heal=restart. Enable it with ",
			"mendctl enable UNIT");
	if (w->degraded)
		add_note(out,
			"Degraded: ", "the kernel programs are not running; see mendctl doctor");
	if (!w->settings_ok)
		add_note(out, "The configuration has a mistake, all else of it is in use: ",
			w->settings_error);
	strbuf_add(out, "<table><thead><tr><th>Unit</th><th>Health</th><th>Why</th><th>Heal</th>"
			"<th>State</th><th>Incident</th></tr></thead><tbody>\n");
	/* The sick first: they are why somebody looks. */
	add_units(out, units, n, HEALTH_UNHEALTHY);
	add_units(out, units, n, HEALTH_UNKNOWN);
	add_units(out, units, n, HEALTH_HEALTHY);
	add_units(out, units, n, HEALTH_INACTIVE);
	strbuf_add(out, "</tbody></table>\n" FOOT);
	return out->error;
}

static void add_fact(struct strbuf *out, const char *name, const char *value)
{
	if (!*value)
		return;
	strbuf_addf(out, "<tr><th>%s</th><td>", name);
	add_html(out, value);
	strbuf_add(out, "</td></tr>\n");
}

/* Universal time: the daemon does not know where the reader is. */
static void add_time(struct strbuf *out, const char *name, uint64_t usec)
{
	time_t seconds = (time_t)(usec / USEC_PER_SEC);
	char text[64];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
		add_fact(out, name, text);
}

int incident_page(const struct world *w, const char *id, struct strbuf *out)
{
	const struct incident *i = world_incident(w, id);

	if (!i)
		return -ENOENT;
	out->cap = METRICS_PAGE_MAX;
	strbuf_add(out, head);
	strbuf_add(out, "</head><body>\n<h1>");
	add_html(out, i->unit);
	strbuf_add(out, "</h1>\n<p><a href=\"/\">All units</a></p>\n<table><tbody>\n");
	add_fact(out, "What", i->summary);
	add_fact(out, "Cause", cause_word(i->cause));
	add_fact(out, "State", i->open ? "open" : "closed");
	add_fact(out, "Verdict", verdict_word(i->verdict));
	add_fact(out, "Resolution", i->resolution);
	add_time(out, "Failed", incident_realtime_usec(i, i->opened_ns));
	if (i->closed_ns)
		add_time(out, "Closed", incident_realtime_usec(i, i->closed_ns));
	add_fact(out, "Incident", i->id);
	strbuf_add(out, "</tbody></table>\n<h2>Timeline</h2>\n<table><tbody>\n");
	for (size_t k = 0; k < i->n_events && k < INCIDENT_EVENTS_MAX; k++) {
		const struct incident_event *e = &i->events[k];

		strbuf_addf(out, "<tr><td>%+.3f s</td><td>",
			(double)(int64_t)(e->time_ns - i->opened_ns) / 1e9);
		add_html(out, e->kind);
		strbuf_add(out, "</td><td>");
		add_html(out, e->text);
		strbuf_add(out, "</td></tr>\n");
	}
	strbuf_add(out, "</tbody></table>\n<p>All of it: mendctl incident ");
	strbuf_addf(out, "%.8s</p>\n" FOOT, i->id);
	return out->error;
}
