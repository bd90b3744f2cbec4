/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A unit's memory: creation, counting, names; see unit.h. No judgement here. */
#include "unit.h"
#include "../base/str.h"
#include "incident.h"

static const char *const active_words[] = {
	[ACTIVE_UNKNOWN] = "unknown",
	[ACTIVE_ACTIVE] = "active",
	[ACTIVE_RELOADING] = "reloading",
	[ACTIVE_INACTIVE] = "inactive",
	[ACTIVE_FAILED] = "failed",
	[ACTIVE_ACTIVATING] = "activating",
	[ACTIVE_DEACTIVATING] = "deactivating",
};

enum active_state active_state_parse(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(active_words); i++)
		if (str_eq(active_words[i], s))
			return (enum active_state)i;
	return ACTIVE_UNKNOWN;
}

const char *active_state_word(enum active_state v)
{
	return (size_t)v < ARRAY_SIZE(active_words) ? active_words[v] : "unknown";
}

struct unit *unit_new(const char *name)
{
	struct unit *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->name = strdup(name);
	if (!u->name)
		return unit_free(u);
	unit_settings_init(&u->settings);
	u->check.status = -1;
	u->probe.status = -1;
	u->heal.wake_ns = TIME_INFINITY;
	return u;
}

struct unit *unit_free(struct unit *u)
{
	if (!u)
		return NULL;
	for (size_t i = 0; i < u->n_dependencies; i++)
		free(u->dependencies[i]);
	free(u->dependencies);
	incident_free(u->incident);
	http_state_free(u->http);
	free(u->levels);
	free(u->own_rule);
	free(u->deaths);
	unit_take_names(u, NULL);
	free(u->name);
	free(u);
	return NULL;
}

static void free_names(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}

void unit_take_names(struct unit *u, char **names)
{
	size_t n = 0;

	free_names(u->aliases);
	for (size_t i = 0; names && names[i]; i++)
		if (str_eq(names[i], u->name))
			free(names[i]);
		else
			names[n++] = names[i];
	if (names)
		names[n] = NULL;
	u->aliases = names;
}

void unit_note_death(struct unit *u, const struct death *d)
{
	u->exits[death_outcome(d)]++;
	if (d->killer == KILLER_OOM)
		u->oom_kills++;
	u->last_death = *d;
}

void unit_remember_death(struct unit *u, const struct death *d)
{
	/* Without memory for it, PID 1's word has to do. */
	if (!u->deaths)
		u->deaths = calloc(DEATHS_RECENT, sizeof(*u->deaths));
	if (u->deaths)
		u->deaths[u->n_deaths++ % DEATHS_RECENT] = *d;
}

const struct death *unit_find_death(const struct unit *u, pid_t pid)
{
	uint64_t n = MIN(u->n_deaths, (uint64_t)DEATHS_RECENT);

	for (uint64_t i = 1; pid > 0 && i <= n; i++) {
		const struct death *d = &u->deaths[(u->n_deaths - i) % DEATHS_RECENT];

		if (d->pid == pid)
			return d;
	}
	return NULL;
}

struct levels *unit_levels(struct unit *u)
{
	if (!u->levels)
		u->levels = calloc(1, sizeof(*u->levels));
	return u->levels;
}

enum alert_state unit_alert_state(const struct unit *u, enum rule r)
{
	return u->levels ? u->levels->alerts[r].state : ALERT_INACTIVE;
}

bool unit_name_is_service(const char *name)
{
	/* systemd's VALID_CHARS of unit names, src/basic/unit-name.c, with '@' for instances. */
	static const char valid[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    ":-_.\\@";
	size_t n = strlen(name);

	return n > strlen(".service") && n < UNIT_NAME_SIZE && strspn(name, valid) == n &&
	       name[0] != '.' && str_has_suffix(name, ".service");
}
