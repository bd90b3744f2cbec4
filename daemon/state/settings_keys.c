/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which keys there are, in which section, and what each stands for: time spans and counts by their
 * limits, anything else by a function of settings_values.c. See settings_impl.h.
 */
#include "settings_impl.h"
#include "../base/parse.h"
#include "../base/str.h"

enum key_kind {
	KEY_OTHER, /* .set knows */
	KEY_SPAN,
	KEY_SPAN_OR_OFF, /* "off" and 0 switch it off */
	KEY_COUNT,
};

struct key {
	const char *name;
	enum section section;
	uint32_t bit; /* enum unit_key */
	enum key_kind kind;
	size_t size;   /* bytes of the field in its structure … */
	size_t offset; /* … and where: what an empty value brings back */
	uint64_t min, max;
	const char *limits; /* of a time span, for people */
	settings_set_t set;
};

#define FIELD(structure, member)                      \
	.offset = offsetof(struct structure, member), \
	.size = sizeof(((struct structure *)0)->member)
#define LIMITS(from, to, words) .min = from, .max = to, .limits = words
#define HOST(name, member, function)                                              \
	{                                                                         \
		name, SECTION_HOST, FIELD(host_settings, member), .set = function \
	}
#define HOST_COUNT(name, member, from, to)                                      \
	{                                                                       \
		name, SECTION_HOST, 0, KEY_COUNT, FIELD(host_settings, member), \
			LIMITS(from, to, NULL)                                  \
	}
#define UNIT(name, bit, member, function)                                                         \
	{                                                                                         \
		name, SECTION_UNIT, UNIT_KEY_##bit, FIELD(unit_settings, member), .set = function \
	}
#define UNIT_IN(kind, name, bit, member, from, to, words)                               \
	{                                                                               \
		name, SECTION_UNIT, UNIT_KEY_##bit, kind, FIELD(unit_settings, member), \
			LIMITS(from, to, words)                                         \
	}
#define UNIT_SPAN(...) UNIT_IN(KEY_SPAN, __VA_ARGS__)
#define UNIT_SPAN_OR_OFF(...) UNIT_IN(KEY_SPAN_OR_OFF, __VA_ARGS__)
#define UNIT_COUNT(...) UNIT_IN(KEY_COUNT, __VA_ARGS__, NULL)

#define MS NSEC_PER_MSEC
#define S NSEC_PER_SEC
#define DAY (24 * 3600 * NSEC_PER_SEC)

static const struct key keys[] = {
	HOST("LogLevel", log_level, settings_set_log_level),
	HOST_COUNT("MaxUnits", units_max, 1, UNITS_MAX),
	HOST_COUNT("MaxHTTPUnits", http_units_max, 1, UNITS_MAX),
	HOST("Exclude", n_excludes, settings_add_excludes),
	UNIT("Heal", HEAL, heal, settings_set_heal),
	UNIT("Severity", SEVERITY, severity, settings_set_severity),
	UNIT("Budget", BUDGET, budget, settings_set_budget),
	/* first and longest lie side by side; checked below */
	{ "Backoff", SECTION_UNIT, UNIT_KEY_BACKOFF,
		.offset = offsetof(struct unit_settings, backoff_first_ns),
		.size = 2 * sizeof(uint64_t), .set = settings_set_backoff },
	UNIT_SPAN("VerifyFor", VERIFY_FOR, verify_for_ns, 100 * MS, 600 * S, "100ms to 10min"),
	UNIT_SPAN("Probation", PROBATION, probation_ns, S, DAY, "1s to 1d"),
	UNIT("Check", CHECK, check, settings_set_check),
	UNIT_SPAN("CheckInterval", CHECK_INTERVAL, check_interval_ns, S, DAY, "1s to 1d"),
	UNIT_SPAN("CheckTimeout", CHECK_TIMEOUT, check_timeout_ns, 100 * MS, 600 * S,
		"100ms to 10min"),
	UNIT_COUNT("CheckFailures", CHECK_FAILURES, check_failures, 1, 100),
	UNIT("HTTP", HTTP, http, settings_set_http),
	UNIT("HTTPErrorRatio", HTTP_ERROR_RATIO, http_error_ratio, settings_set_http_error_ratio),
	/* as long as the seconds that are remembered of a unit's HTTP */
	UNIT_SPAN("HTTPErrorFor", HTTP_ERROR_FOR, http_error_for_ns, S, 60 * S, "1s to 1min"),
	UNIT_COUNT("HTTPErrorMin", HTTP_ERROR_MIN, http_error_min, 1, 1000000),
	UNIT_SPAN_OR_OFF("HTTPLatencyP99", HTTP_LATENCY_P99, http_latency_p99_ns, MS, 30 * S,
		"1ms to 30s, or off"),
	UNIT_SPAN("HTTPLatencyFor", HTTP_LATENCY_FOR, http_latency_for_ns, S, 3600 * S, "1s to 1h"),
	UNIT("HTTPLatencyHeal", HTTP_LATENCY_HEAL, http_latency_heal,
		settings_set_http_latency_heal),
	UNIT_SPAN_OR_OFF("HangAfter", HANG_AFTER, hang_after_ns, S, 3600 * S, "1s to 1h, or off"),
	UNIT("HTTPRoutes", HTTP_ROUTES, http_routes, settings_set_http_routes),
	UNIT("Probe", PROBE, probe, settings_set_probe),
	UNIT_SPAN("ProbeInterval", PROBE_INTERVAL, probe_interval_ns, S, DAY, "1s to 1d"),
	UNIT_SPAN(
		"ProbeTimeout", PROBE_TIMEOUT, probe_timeout_ns, 100 * MS, 60 * S, "100ms to 1min"),
	UNIT_COUNT("ProbeFailures", PROBE_FAILURES, probe_failures, 1, 100),
	UNIT_SPAN_OR_OFF(
		"StartGrace", START_GRACE, start_grace_ns, S, 3600 * S, "1s to 1h, or off"),
};

_Static_assert(offsetof(struct unit_settings, backoff_max_ns) ==
		       offsetof(struct unit_settings, backoff_first_ns) + sizeof(uint64_t),
	"Backoff= resets both with one copy");

static void *target(struct reader *r, const struct key *k)
{
	return k->section == SECTION_HOST ? (char *)r->host + k->offset
					  : (char *)&r->rule->values + k->offset;
}

static void set_span(struct reader *r, const struct key *k, const char *value, unsigned int line)
{
	bool can_be_off = k->kind == KEY_SPAN_OR_OFF;
	uint64_t ns = 0;

	if (!(can_be_off && str_eq(value, "off")) && parse_timespan(value, &ns) < 0) {
		wrong(r, line, "%s=%s is not a time span; write it as in 500ms or 1min 30s",
			k->name, value);
		return;
	}
	if ((ns < k->min || ns > k->max) && !(can_be_off && ns == 0)) {
		wrong(r, line, "%s=%s is out of range; it is from %s", k->name, value, k->limits);
		return;
	}
	memcpy(target(r, k), &ns, sizeof(ns));
}

static void set_count(struct reader *r, const struct key *k, const char *value, unsigned int line)
{
	uint32_t n;

	if (parse_u32(value, &n) < 0 || n < k->min || n > k->max) {
		wrong(r, line, "%s=%s is not a count; it is from %llu to %llu", k->name, value,
			(unsigned long long)k->min, (unsigned long long)k->max);
		return;
	}
	memcpy(target(r, k), &n, sizeof(n));
}

/* An empty value brings the default back, as in systemd's own files. */
static void set_default(struct reader *r, const struct key *k)
{
	if (k->section == SECTION_HOST) {
		struct host_settings defaults;

		host_settings_init(&defaults);
		memcpy(target(r, k), (char *)&defaults + k->offset, k->size);
	} else {
		struct unit_settings defaults;

		unit_settings_init(&defaults);
		memcpy(target(r, k), (char *)&defaults + k->offset, k->size);
	}
}

static void unknown_key(struct reader *r, const char *section, const char *key, unsigned int line)
{
	const char *names[ARRAY_SIZE(keys)], *near;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].section == r->section) {
			names[n++] = keys[i].name;
		} else if (str_eq(keys[i].name, key)) {
			wrong(r, line, "key '%s' does not belong in [%s]; it goes into %s", key,
				section,
				keys[i].section == SECTION_UNIT ? "a [Unit NAME] section"
								: "[Mendd] of mendd.conf");
			return;
		}
	}
	near = str_nearest(key, names, n);
	if (near)
		wrong(r, line, "unknown key '%s' in [%s]; did you mean '%s'?", key, section, near);
	else
		wrong(r, line, "unknown key '%s' in [%s]; mendd.conf(5) lists the known ones", key,
			section);
}

static void set_value(struct reader *r, const struct key *k, const char *value, unsigned int line)
{
	switch (k->kind) {
	case KEY_SPAN:
	case KEY_SPAN_OR_OFF:
		set_span(r, k, value, line);
		break;
	case KEY_COUNT:
		set_count(r, k, value, line);
		break;
	case KEY_OTHER:
		k->set(r, value, line);
		break;
	}
}

void settings_key(struct reader *r, const char *section, const char *key, const char *value,
	unsigned int line)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct key *k = &keys[i];

		if (k->section != r->section || !str_eq(k->name, key))
			continue;
		if (*value)
			set_value(r, k, value, line);
		else
			set_default(r, k);
		if (r->rule && k->section == SECTION_UNIT)
			r->rule->set |= k->bit;
		return;
	}
	unknown_key(r, section, key, line);
}
