/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the administrator decided, as plain values: the host's settings (mendd.conf) and a unit's
 * ([X-Mendd] in its unit file, [Unit NAME-OR-GLOB] in mendd.conf, which wins). Reading files is the
 * edge's work (daemon/edge/config_files.h); here are the values, their defaults and their parser.
 */
#pragma once

#include "words.h"

#include <stdio.h>

enum {
	BUDGET_WINDOWS = 2,
	UNITS_MAX = 4096,     /* units watched at most; further ones are refused and counted */
	UNIT_NAME_SIZE = 256, /* systemd's UNIT_NAME_MAX, with the terminating byte */
	UNIT_RULES_MAX = 256, /* [Unit …] sections */
	EXCLUDES_MAX = 64,
	COMMAND_SIZE = 1024,
	PROBE_SIZE = 512,
	HTTP_ROUTES_DEFAULT = 50,  /* HTTPRoutes=yes */
	HTTP_ROUTES_MAX = 200,     /* routes of one unit at most: each is a series of its own */
	PLUGIN_SETTINGS_MAX = 256, /* Key=Value lines of all [Plugin NAME] sections */
	PLUGIN_NAME_SIZE = 64,     /* of struct plugin_state */
	PLUGIN_VALUE_SIZE = 1024,  /* key and value of such a line, each */
	SETTINGS_ERRORS_MAX = 20,  /* told at once; nobody reads more */
};

/* At most `count` restarts in `window_ns`; count 0: this window does not apply. */
struct budget {
	uint32_t count;
	uint64_t window_ns;
};

struct unit_settings {
	enum heal_mode heal;
	enum severity severity;
	struct budget budget[BUDGET_WINDOWS]; /* Budget=5/1min 20/1d */
	uint64_t backoff_first_ns;            /* Backoff=1s..1min */
	uint64_t backoff_max_ns;
	uint64_t verify_for_ns;   /* VerifyFor=: how long all conditions must hold for a verdict */
	uint64_t probation_ns;    /* Probation=: a relapse within it re-opens the incident */
	char check[COMMAND_SIZE]; /* Check=: name of a check plugin, or a command line; "" none */
	uint64_t check_interval_ns; /* CheckInterval= */
	uint64_t check_timeout_ns;  /* CheckTimeout= */
	uint32_t check_failures;    /* CheckFailures=: critical results in a row until it counts */

	enum http_mode http;          /* HTTP=: whether its HTTP is measured */
	double http_error_ratio;      /* HTTPErrorRatio=: alert above this share of 5xx; 0: off */
	uint64_t http_error_for_ns;   /* HTTPErrorFor=: the window that is looked at */
	uint32_t http_error_min;      /* HTTPErrorMin=: fewer errors in it mean nothing */
	uint64_t http_latency_p99_ns; /* HTTPLatencyP99=: alert above this; 0: off */
	uint64_t http_latency_for_ns; /* HTTPLatencyFor=: for as long as this */
	bool http_latency_heal;       /* HTTPLatencyHeal=: slowness alone may restart it */
	uint64_t hang_after_ns;       /* HangAfter=: requests, and none answered; 0: off */
	uint32_t http_routes;         /* HTTPRoutes=: routes counted apart; 0: none */
	char probe[PROBE_SIZE];       /* Probe=: http(s)://… or tcp://HOST:PORT; "" none */
	uint64_t probe_interval_ns;   /* ProbeInterval= */
	uint64_t probe_timeout_ns;    /* ProbeTimeout= */
	uint32_t probe_failures;      /* ProbeFailures=: in a row until it counts */
	uint64_t start_grace_ns;      /* StartGrace=: of HTTP and probe after a start; 0: none */
	/* First thing that was wrong with the unit's own section, "" where nothing was: shown in
	 * status. */
	char error[256];
};

/* One [Unit PATTERN] section, or one [X-Mendd] section: only the keys that it sets. */
struct unit_rule {
	char pattern[UNIT_NAME_SIZE]; /* fnmatch(3) pattern; "" for [X-Mendd] */
	uint32_t set;                 /* bits of enum unit_key */
	struct unit_settings values;
};

enum unit_key {
	UNIT_KEY_HEAL = 1 << 0,
	UNIT_KEY_SEVERITY = 1 << 1,
	UNIT_KEY_BUDGET = 1 << 2,
	UNIT_KEY_BACKOFF = 1 << 3,
	UNIT_KEY_VERIFY_FOR = 1 << 4,
	UNIT_KEY_PROBATION = 1 << 5,
	UNIT_KEY_CHECK = 1 << 6,
	UNIT_KEY_CHECK_INTERVAL = 1 << 7,
	UNIT_KEY_CHECK_TIMEOUT = 1 << 8,
	UNIT_KEY_CHECK_FAILURES = 1 << 9,
	UNIT_KEY_HTTP = 1 << 10,
	UNIT_KEY_HTTP_ERROR_RATIO = 1 << 11,
	UNIT_KEY_HTTP_ERROR_FOR = 1 << 12,
	UNIT_KEY_HTTP_ERROR_MIN = 1 << 13,
	UNIT_KEY_HTTP_LATENCY_P99 = 1 << 14,
	UNIT_KEY_HTTP_LATENCY_FOR = 1 << 15,
	UNIT_KEY_HTTP_LATENCY_HEAL = 1 << 16,
	UNIT_KEY_HANG_AFTER = 1 << 17,
	UNIT_KEY_HTTP_ROUTES = 1 << 18,
	UNIT_KEY_PROBE = 1 << 19,
	UNIT_KEY_PROBE_INTERVAL = 1 << 20,
	UNIT_KEY_PROBE_TIMEOUT = 1 << 21,
	UNIT_KEY_PROBE_FAILURES = 1 << 22,
	UNIT_KEY_START_GRACE = 1 << 23,
};

/* A line of a [Plugin NAME] section. mendd does not look into it: the plugin does. */
struct plugin_setting {
	char *plugin; /* owned */
	char *key;    /* owned */
	char *value;  /* owned */
};

struct host_settings {
	int log_level;                   /* LogLevel=, a syslog level */
	uint32_t units_max;              /* MaxUnits= */
	uint32_t http_units_max;         /* MaxHTTPUnits=: units whose HTTP is measured */
	char excludes[EXCLUDES_MAX][64]; /* Exclude=: fnmatch patterns of units not watched */
	size_t n_excludes;
	struct unit_rule *rules; /* owned; in order of files and lines: later ones win */
	size_t n_rules;
	struct plugin_setting *plugin_settings; /* owned; in order of files and lines */
	size_t n_plugin_settings;
};

void host_settings_init(struct host_settings *s); /* defaults */
void host_settings_done(struct host_settings *s);
void unit_settings_init(struct unit_settings *s); /* defaults */

/*
 * The settings of one unit: defaults, then its own rule (NULL: none), then the host's, in order.
 * `aliases` are further names of it (NULL-terminated; NULL: none): a rule for any of them counts.
 */
void unit_settings_merge(struct unit_settings *ret, const struct host_settings *host,
	const struct unit_rule *own, const char *unit, char *const *aliases);

bool host_settings_excludes(const struct host_settings *s, const char *unit, char *const *aliases);

/* 0 or -ENOMEM. *ret is freed with host_settings_done(). */
int host_settings_copy(struct host_settings *ret, const struct host_settings *s);
/*
 * Adds to s what the rules of `other` from `first_rule` on, and its excludes from `first_exclude`
 * on, forbid: excluded units, Heal=off and Heal=observe. 0 or -ENOMEM; what is above the caps is
 * left out.
 */
int host_settings_forbid(struct host_settings *s, const struct host_settings *other,
	size_t first_rule, size_t first_exclude);
/* The same of one unit's rules. */
void unit_rule_forbid(struct unit_rule *rule, const struct unit_rule *other);

/*
 * What is wrong with a set of files: one line each, "FILE:LINE: what; hint", at most
 * SETTINGS_ERRORS_MAX of them.
 */
struct strbuf;
struct settings_errors {
	struct strbuf *text; /* borrowed */
	unsigned int count;  /* all of them, also those that were not written down */
};

/* line 0: concerns the whole file. */
void settings_error(struct settings_errors *errors, const char *file, unsigned int line,
	const char *format, ...) _printf_(4, 5);

/*
 * Reads one configuration file into s, on top of what is there: later keys win, sections add up.
 * `file` is for messages. 0 or -ENOMEM; mistakes of the file are in errors->count.
 *
 * A section with a mistake may forbid and not allow, because nobody knows what was meant: of
 * [Mendd] (or what was probably meant as that) Exclude= counts, of [Unit …] Heal=off and
 * Heal=observe, where Heal= itself may be what is wrong Heal=observe. All else of it is left out.
 */
int host_settings_parse(struct host_settings *s, const char *file, const char *text, size_t size,
	struct settings_errors *errors);

/*
 * Reads the [X-Mendd] sections of one unit file or drop-in on top of *rule; all other sections are
 * systemd's business. *present becomes true where there is one. 0 or -ENOMEM; mistakes as above.
 */
int unit_rule_parse(struct unit_rule *rule, bool *present, const char *file, const char *text,
	size_t size, struct settings_errors *errors);

/*
 * Writes a unit name as a pattern that matches only it: the inverse of fnmatch(3) with
 * FNM_NOESCAPE, which is how patterns are matched, because unit names hold backslashes. false where
 * it does not fit.
 */
bool unit_pattern_literal(const char *unit, char *ret, size_t size);
