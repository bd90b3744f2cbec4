/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All memory in one place: the unit table, recent incidents, features; see world.h. */
#include "world.h"
#include "../base/str.h"

#include <stdarg.h>

/*
 * Detection takes tens of microseconds, recovery seconds to minutes: one set of bounds serves both,
 * in steps of about 1-3-10 so that a histogram_quantile() is never off by more than that step.
 */
const double world_delay_bounds[DELAY_BUCKETS] = { .0001, .0003, .001, .003, .01, .03, .1, .5, 1, 3,
	10, 60 };

void delay_histogram_add(struct delay_histogram *h, double seconds)
{
	size_t i = 0;

	while (i < DELAY_BUCKETS && seconds > world_delay_bounds[i])
		i++;
	h->buckets[i]++;
	h->sum += seconds;
	h->count++;
}

void world_init(struct world *w)
{
	*w = (struct world) { .settings_ok = true };
	host_settings_init(&w->settings);
}

void world_done(struct world *w)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&w->units, &cursor)))
		unit_free(u);
	hash_done(&w->units);
	for (size_t i = 0; i < INCIDENTS_RECENT_MAX; i++)
		incident_free(w->recent[i]);
	host_settings_done(&w->settings);
}

struct unit *world_unit(const struct world *w, const char *name)
{
	return hash_get_str(&w->units, name);
}

struct unit *world_unit_by_any_name(const struct world *w, const char *name)
{
	struct unit *u = world_unit(w, name);
	size_t cursor = 0;

	if (u)
		return u;
	while ((u = hash_next(&w->units, &cursor)))
		for (size_t i = 0; u->aliases && u->aliases[i]; i++)
			if (str_eq(u->aliases[i], name))
				return u;
	return NULL;
}

struct unit *world_unit_add(struct world *w, const char *name)
{
	struct unit *u = world_unit(w, name);

	if (u)
		return u;
	if (!unit_name_is_service(name)) {
		errno = EINVAL;
		return NULL;
	}
	if (w->units.live >= w->settings.units_max) {
		w->units_refused++;
		errno = ENOSPC;
		return NULL;
	}
	u = unit_new(name);
	if (!u || hash_put_str(&w->units, u->name, u) < 0) {
		unit_free(u);
		errno = ENOMEM;
		return NULL;
	}
	unit_settings_merge(&u->settings, &w->settings, NULL, name, NULL);
	return u;
}

void world_unit_remove(struct world *w, struct unit *u)
{
	hash_remove_str(&w->units, u->name);
	unit_free(u);
}

static int compare_units(const void *a, const void *b)
{
	const struct unit *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int world_units_sorted(const struct world *w, struct unit ***ret, size_t *ret_n)
{
	struct unit **list = calloc(w->units.live + 1, sizeof(struct unit *));
	size_t cursor = 0, n = 0;
	struct unit *u;

	if (!list)
		return -ENOMEM;
	while ((u = hash_next(&w->units, &cursor)))
		list[n++] = u;
	qsort(list, n, sizeof(struct unit *), compare_units);
	*ret = list;
	*ret_n = n;
	return 0;
}

void world_incident_archive(struct world *w, struct incident *i)
{
	struct incident **slot = &w->recent[w->n_recent++ % INCIDENTS_RECENT_MAX];

	incident_free(*slot);
	*slot = i;
}

const struct incident *world_incident(const struct world *w, const char *id)
{
	const struct incident *found = NULL;
	size_t length = strlen(id), cursor = 0, matches = 0;
	struct unit *u;

	if (length < 4)
		return NULL;
	while ((u = hash_next(&w->units, &cursor)))
		if (u->incident && strncmp(u->incident->id, id, length) == 0) {
			found = u->incident;
			matches++;
		}
	for (size_t i = 0; i < INCIDENTS_RECENT_MAX; i++)
		if (w->recent[i] && strncmp(w->recent[i]->id, id, length) == 0) {
			found = w->recent[i];
			matches++;
		}
	return matches == 1 ? found : NULL;
}

void world_feature(struct world *w, const char *name, bool up, const char *format, ...)
{
	struct feature *f = (struct feature *)world_find_feature(w, name);
	va_list ap;

	if (!f) {
		if (w->n_features == FEATURES_MAX)
			return;
		f = &w->features[w->n_features++];
		str_copy(f->name, sizeof(f->name), name);
	}
	f->up = up;
	va_start(ap, format);
	vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
}

const struct feature *world_find_feature(const struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n_features; i++)
		if (str_eq(w->features[i].name, name))
			return &w->features[i];
	return NULL;
}

bool world_healing_enabled(const struct world *w)
{
	size_t cursor = 0;
	struct unit *u;

	if (w->pause.active || w->pause.kill_switch)
		return false;
	while ((u = hash_next(&w->units, &cursor)))
		if (u->settings.heal == HEAL_RESTART)
			return true;
	return false;
}
