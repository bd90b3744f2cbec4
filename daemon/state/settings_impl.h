/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the parts of the settings, and nobody else: settings.c (the values), settings_parse.c
 * (sections and lines), settings_keys.c (which keys there are), settings_values.c (what their
 * values may be).
 */
#pragma once

#include "settings.h"

enum section {
	SECTION_OTHER,    /* skipped */
	SECTION_HOST,     /* [Mendd] */
	SECTION_EXCLUDES, /* probably meant as [Mendd]: only its Exclude= is read */
	SECTION_UNIT,     /* [Unit PATTERN], [X-Mendd] */
	SECTION_PLUGIN,
};

struct reader {
	const char *file;               /* borrowed */
	struct settings_errors *errors; /* borrowed */
	struct host_settings *host;     /* borrowed; NULL for a unit file */
	struct unit_rule *rule;         /* borrowed; of the present section */
	bool *present;                  /* borrowed; for a unit file */
	enum section section;
	char plugin[PLUGIN_NAME_SIZE];

	/* Of the present section: where things stood before it, and what is wrong with it. */
	char name[UNIT_NAME_SIZE];        /* as it was written */
	struct host_settings host_before; /* its pointers are not owned and not used */
	struct unit_rule rule_before;     /* of a unit file */
	bool doubtful;                    /* it has a mistake */
	bool heal_doubtful;               /* which may have been meant as Heal= */
};

#define wrong(reader, line, ...) settings_error((reader)->errors, (reader)->file, line, __VA_ARGS__)

/* Below the caps, which are the caller's to look at. 0 or -ENOMEM. */
int host_settings_add_rule(struct host_settings *s, const struct unit_rule *rule);
int host_settings_add_plugin(
	struct host_settings *s, const char *plugin, const char *key, const char *value);
/* Leaves the first n. */
void host_settings_drop_plugins(struct host_settings *s, size_t n);

/* One line of [Mendd], [Unit …] or [X-Mendd]; `section` is its name as it was written. */
void settings_key(struct reader *r, const char *section, const char *key, const char *value,
	unsigned int line);

/*
 * A unit name or glob as people write it: without a suffix it means the service, as for systemctl.
 * false where it cannot match a service; said.
 */
bool settings_take_pattern(struct reader *r, const char *key, const char *value, unsigned int line,
	char *ret, size_t size);

/* Values of single keys. Each gets a value that is not empty, and says itself what is wrong. */
typedef void (*settings_set_t)(struct reader *r, const char *value, unsigned int line);
void settings_set_heal(struct reader *r, const char *value, unsigned int line);
void settings_set_severity(struct reader *r, const char *value, unsigned int line);
void settings_set_budget(struct reader *r, const char *value, unsigned int line);
void settings_set_backoff(struct reader *r, const char *value, unsigned int line);
void settings_set_check(struct reader *r, const char *value, unsigned int line);
void settings_set_http(struct reader *r, const char *value, unsigned int line);
void settings_set_http_error_ratio(struct reader *r, const char *value, unsigned int line);
void settings_set_http_latency_heal(struct reader *r, const char *value, unsigned int line);
void settings_set_http_routes(struct reader *r, const char *value, unsigned int line);
void settings_set_probe(struct reader *r, const char *value, unsigned int line);
void settings_set_log_level(struct reader *r, const char *value, unsigned int line);
void settings_add_excludes(struct reader *r, const char *value, unsigned int line);
