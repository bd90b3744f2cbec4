/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that the daemon remembers, in one place. The manager owns it and alone writes to it; the
 * judges and the edges (D-Bus, metrics, sinks) read it.
 */
#pragma once

#include "incident.h"
#include "unit.h"

enum {
	FEATURES_MAX = 32,
	PROGRAMS_MAX = 16,
	PLUGINS_MAX = 32,
	LOSS_KINDS = 8,
	DELAY_BUCKETS = 12,
};

/* Something that this host can or cannot do; shown by mendctl doctor and mendd_collector_up. */
struct feature {
	char name[32]; /* "bpf", "deaths", "signals", "oom", "exec", "cgroups", "connector", "store"
			  … */
	bool up;
	char text[320]; /* why not, or what it does */
};

/* One kernel program with the kernel's own accounting (0 unless kernel.bpf_stats_enabled). */
struct program_stats {
	char name[32];
	uint64_t runs, run_ns;
	uint64_t misses; /* left out: it was under way on that CPU; always counted, from 5.12 on */
};

/* Records that the kernel could not hand over, by kind. */
struct loss {
	char kind[16]; /* "death", "exec", "cgroup", … */
	uint64_t count;
};

struct plugin_state {
	char name[64];
	char kind[16];  /* "check", "action", "sink", "source" */
	char path[256]; /* "" for one that is linked in */
	char version[32];
	bool active;
	char error[192]; /* why it was refused or set aside; "" */
	uint64_t calls, failures;
	uint64_t slow; /* calls that took longer than 10 ms: the loop stood still meanwhile */
};

struct pause {
	bool active;
	uint64_t until_ns; /* always set: a pause ends */
	char reason[256];
	uid_t uid;        /* who asked */
	bool kill_switch; /* the file exists */
};

/* Cumulative histogram of seconds with fixed bounds (world_delay_bounds). */
struct delay_histogram {
	uint64_t buckets[DELAY_BUCKETS + 1]; /* not cumulative; last: +Inf */
	double sum;
	uint64_t count;
};

extern const double world_delay_bounds[DELAY_BUCKETS]; /* seconds, inclusive upper bounds */
void delay_histogram_add(struct delay_histogram *h, double seconds);

struct world {
	struct host_settings settings;
	bool settings_ok;              /* last (re)load of the configuration was accepted */
	char settings_error[512];      /* file:line: what; "" */
	uint64_t settings_loaded_usec; /* wall clock */

	struct hash units;      /* name -> struct unit, owned */
	uint64_t units_refused; /* above units_max */

	struct incident *recent[INCIDENTS_RECENT_MAX]; /* owned, closed; a ring */
	uint64_t n_recent;               /* ever put in; newest at (n_recent - 1) % MAX */
	uint64_t incidents[CAUSE_COUNT]; /* opened, ever */

	struct pause pause;
	struct host_state host;
	uint32_t actions_in_flight;

	struct feature features[FEATURES_MAX];
	size_t n_features;
	struct program_stats programs[PROGRAMS_MAX];
	size_t n_programs;
	struct plugin_state plugins[PLUGINS_MAX];
	size_t n_plugins;
	struct loss lost[LOSS_KINDS];
	size_t n_lost;
	uint64_t events;                       /* records received from the kernel */
	uint64_t watched_entries, watched_max; /* of the kernel's map of watched cgroups */
	uint64_t http_units, http_units_max;   /* that speak HTTP; what MaxHTTPUnits= allows */
	uint64_t store_failures;
	uint64_t store_written;
	bool degraded; /* no BPF: deaths come from the connector and from PID 1 */
	uint64_t
		last_scrape_usec; /* wall clock; when somebody last fetched the metrics; 0: never */
	uint64_t started_usec;    /* wall clock */

	struct delay_histogram detection; /* death in the kernel to mendd knowing */
	struct delay_histogram recovery;  /* death to verified */
};

void world_init(struct world *w);
void world_done(struct world *w);

/* NULL where it is not watched. */
struct unit *world_unit(const struct world *w, const char *name);
/* Also by a name that is an alias of the unit's. */
struct unit *world_unit_by_any_name(const struct world *w, const char *name);
/* Finds or makes it; NULL and errno: ENOSPC above the cap (counted), ENOMEM, EINVAL for a bad name.
 */
struct unit *world_unit_add(struct world *w, const char *name);
void world_unit_remove(struct world *w, struct unit *u);
/* Units sorted by name, for people; *ret is owned by the caller, the units are borrowed. */
int world_units_sorted(const struct world *w, struct unit ***ret, size_t *ret_n);

/* Moves a closed incident into the ring of recent ones; takes ownership. */
void world_incident_archive(struct world *w, struct incident *i);
/* An open or recent incident by id or an unambiguous beginning of it (at least 4 characters). */
const struct incident *world_incident(const struct world *w, const char *id);

/* Sets or adds a feature. */
void world_feature(struct world *w, const char *name, bool up, const char *format, ...)
	_printf_(4, 5);
/* The feature, NULL: never set. */
const struct feature *world_find_feature(const struct world *w, const char *name);
bool world_healing_enabled(const struct world *w); /* any unit with Heal=restart, and no pause */
