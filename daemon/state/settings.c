/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settings as values: their defaults, how a unit's are put together from several rules, and which
 * rule is meant for which unit. Their text form is read in settings_parse.c. See settings.h.
 */
#include "settings_impl.h"
#include "../base/str.h"

#include <fnmatch.h>
#include <syslog.h>

void unit_settings_init(struct unit_settings *s)
{
	*s = (struct unit_settings) {
		.heal = HEAL_OBSERVE, /* nothing is touched before somebody says so */
		.severity = SEVERITY_WARNING,
		/* A crash loop ends after the first window; a daily one is seen in the second. */
		.budget = { { 5, 60 * NSEC_PER_SEC }, { 20, 24 * 3600 * NSEC_PER_SEC } },
		.backoff_first_ns = NSEC_PER_SEC,
		.backoff_max_ns = 60 * NSEC_PER_SEC,
		/*
		 * Long enough for a server that cannot bind its port to have died again, short
		 * enough for a verdict within two seconds of the death; what dies later is a
		 * relapse, which probation is there for.
		 */
		.verify_for_ns = NSEC_PER_SEC,
		.probation_ns = 5 * 60 * NSEC_PER_SEC,
		.check_interval_ns = 30 * NSEC_PER_SEC,
		.check_timeout_ns = 10 * NSEC_PER_SEC, /* what monitoring plugins expect */
		.check_failures = 3,
		/* One 500 of two requests is no outage; five within five seconds are. */
		.http_error_ratio = 0.05,
		.http_error_for_ns = 5 * NSEC_PER_SEC,
		.http_error_min = 5,
		.http_latency_for_ns = 30 * NSEC_PER_SEC, /* what is slow, only its owner knows */
		.hang_after_ns =
			30 * NSEC_PER_SEC, /* what clients and proxies wait for, by default */
		.probe_interval_ns = 5 * NSEC_PER_SEC,
		.probe_timeout_ns = NSEC_PER_SEC,
		.probe_failures = 3,
		/* A service that starts loads, migrates and connects: it may be slow, and fail. */
		.start_grace_ns = 30 * NSEC_PER_SEC,
	};
}

void host_settings_init(struct host_settings *s)
{
	*s = (struct host_settings) {
		.log_level = LOG_INFO,
		.units_max = UNITS_MAX,
		.http_units_max = 256, /* 34 KB of the kernel's memory each */
	};
}

void host_settings_done(struct host_settings *s)
{
	if (!s)
		return;
	host_settings_drop_plugins(s, 0);
	free(s->plugin_settings);
	free(s->rules);
	*s = (struct host_settings) {};
}

static void apply_http(struct unit_settings *s, uint32_t set, const struct unit_settings *v)
{
	if (set & UNIT_KEY_HTTP)
		s->http = v->http;
	if (set & UNIT_KEY_HTTP_ERROR_RATIO)
		s->http_error_ratio = v->http_error_ratio;
	if (set & UNIT_KEY_HTTP_ERROR_FOR)
		s->http_error_for_ns = v->http_error_for_ns;
	if (set & UNIT_KEY_HTTP_ERROR_MIN)
		s->http_error_min = v->http_error_min;
	if (set & UNIT_KEY_HTTP_LATENCY_P99)
		s->http_latency_p99_ns = v->http_latency_p99_ns;
	if (set & UNIT_KEY_HTTP_LATENCY_FOR)
		s->http_latency_for_ns = v->http_latency_for_ns;
	if (set & UNIT_KEY_HTTP_LATENCY_HEAL)
		s->http_latency_heal = v->http_latency_heal;
	if (set & UNIT_KEY_HANG_AFTER)
		s->hang_after_ns = v->hang_after_ns;
	if (set & UNIT_KEY_HTTP_ROUTES)
		s->http_routes = v->http_routes;
}

static void apply_probe(struct unit_settings *s, uint32_t set, const struct unit_settings *v)
{
	if (set & UNIT_KEY_PROBE)
		memcpy(s->probe, v->probe, sizeof(s->probe));
	if (set & UNIT_KEY_PROBE_INTERVAL)
		s->probe_interval_ns = v->probe_interval_ns;
	if (set & UNIT_KEY_PROBE_TIMEOUT)
		s->probe_timeout_ns = v->probe_timeout_ns;
	if (set & UNIT_KEY_PROBE_FAILURES)
		s->probe_failures = v->probe_failures;
	if (set & UNIT_KEY_START_GRACE)
		s->start_grace_ns = v->start_grace_ns;
}

static void apply(struct unit_settings *s, const struct unit_rule *rule)
{
	const struct unit_settings *v = &rule->values;

	if (rule->set & UNIT_KEY_HEAL)
		s->heal = v->heal;
	if (rule->set & UNIT_KEY_SEVERITY)
		s->severity = v->severity;
	if (rule->set & UNIT_KEY_BUDGET)
		memcpy(s->budget, v->budget, sizeof(s->budget));
	if (rule->set & UNIT_KEY_BACKOFF) {
		s->backoff_first_ns = v->backoff_first_ns;
		s->backoff_max_ns = v->backoff_max_ns;
	}
	if (rule->set & UNIT_KEY_VERIFY_FOR)
		s->verify_for_ns = v->verify_for_ns;
	if (rule->set & UNIT_KEY_PROBATION)
		s->probation_ns = v->probation_ns;
	if (rule->set & UNIT_KEY_CHECK)
		memcpy(s->check, v->check, sizeof(s->check));
	if (rule->set & UNIT_KEY_CHECK_INTERVAL)
		s->check_interval_ns = v->check_interval_ns;
	if (rule->set & UNIT_KEY_CHECK_TIMEOUT)
		s->check_timeout_ns = v->check_timeout_ns;
	if (rule->set & UNIT_KEY_CHECK_FAILURES)
		s->check_failures = v->check_failures;
	apply_http(s, rule->set, v);
	apply_probe(s, rule->set, v);
}

/* Unit names hold backslashes (foo\x2dbar.service), so a backslash escapes nothing in a pattern. */
static bool pattern_matches(const char *pattern, const char *unit)
{
	return str_eq(pattern, unit) || fnmatch(pattern, unit, FNM_NOESCAPE) == 0;
}

static bool matches_any(const char *pattern, const char *unit, char *const *aliases)
{
	if (pattern_matches(pattern, unit))
		return true;
	for (size_t i = 0; aliases && aliases[i]; i++)
		if (pattern_matches(pattern, aliases[i]))
			return true;
	return false;
}

void unit_settings_merge(struct unit_settings *ret, const struct host_settings *host,
	const struct unit_rule *own, const char *unit, char *const *aliases)
{
	unit_settings_init(ret);
	if (own) {
		apply(ret, own);
		memcpy(ret->error, own->values.error, sizeof(ret->error));
	}
	for (size_t i = 0; i < host->n_rules; i++)
		if (matches_any(host->rules[i].pattern, unit, aliases))
			apply(ret, &host->rules[i]);
}

bool host_settings_excludes(const struct host_settings *s, const char *unit, char *const *aliases)
{
	for (size_t i = 0; i < s->n_excludes; i++)
		if (matches_any(s->excludes[i], unit, aliases))
			return true;
	return false;
}

int host_settings_copy(struct host_settings *ret, const struct host_settings *s)
{
	*ret = *s;
	ret->rules = NULL;
	ret->n_rules = 0;
	ret->plugin_settings = NULL;
	ret->n_plugin_settings = 0;
	if (s->n_rules > 0) {
		ret->rules = malloc(s->n_rules * sizeof(*s->rules));
		if (!ret->rules)
			return -ENOMEM;
		memcpy(ret->rules, s->rules, s->n_rules * sizeof(*s->rules));
		ret->n_rules = s->n_rules;
	}
	for (size_t i = 0; i < s->n_plugin_settings; i++) {
		const struct plugin_setting *p = &s->plugin_settings[i];

		if (host_settings_add_plugin(ret, p->plugin, p->key, p->value) < 0) {
			host_settings_done(ret);
			return -ENOMEM;
		}
	}
	return 0;
}

int host_settings_add_plugin(
	struct host_settings *s, const char *plugin, const char *key, const char *value)
{
	struct plugin_setting one = {};

	if (!s->plugin_settings) {
		s->plugin_settings = calloc(PLUGIN_SETTINGS_MAX, sizeof(*s->plugin_settings));
		if (!s->plugin_settings)
			return -ENOMEM;
	}
	if (str_set(&one.plugin, plugin) < 0 || str_set(&one.key, key) < 0 ||
		str_set(&one.value, value) < 0) {
		free(one.plugin);
		free(one.key);
		return -ENOMEM;
	}
	s->plugin_settings[s->n_plugin_settings++] = one;
	return 0;
}

void host_settings_drop_plugins(struct host_settings *s, size_t n)
{
	while (s->n_plugin_settings > n) {
		struct plugin_setting *p = &s->plugin_settings[--s->n_plugin_settings];

		free(p->plugin);
		free(p->key);
		free(p->value);
	}
}

int host_settings_add_rule(struct host_settings *s, const struct unit_rule *rule)
{
	struct unit_rule *rules = realloc(s->rules, (s->n_rules + 1) * sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	s->rules = rules;
	s->rules[s->n_rules++] = *rule;
	return 0;
}

static bool forbids(const struct unit_rule *rule)
{
	return rule->set & UNIT_KEY_HEAL && rule->values.heal != HEAL_RESTART;
}

void unit_rule_forbid(struct unit_rule *rule, const struct unit_rule *other)
{
	if (!forbids(other))
		return;
	rule->set |= UNIT_KEY_HEAL;
	rule->values.heal = other->values.heal;
}

int host_settings_forbid(struct host_settings *s, const struct host_settings *other,
	size_t first_rule, size_t first_exclude)
{
	for (size_t i = first_rule; i < other->n_rules && s->n_rules < UNIT_RULES_MAX; i++) {
		struct unit_rule rule = { .set = UNIT_KEY_HEAL };

		if (!forbids(&other->rules[i]))
			continue;
		memcpy(rule.pattern, other->rules[i].pattern, sizeof(rule.pattern));
		unit_settings_init(&rule.values);
		rule.values.heal = other->rules[i].values.heal;
		if (host_settings_add_rule(s, &rule) < 0)
			return -ENOMEM;
	}
	for (size_t i = first_exclude; i < other->n_excludes && s->n_excludes < EXCLUDES_MAX; i++)
		memcpy(s->excludes[s->n_excludes++], other->excludes[i], sizeof(s->excludes[0]));
	return 0;
}

bool unit_pattern_literal(const char *unit, char *ret, size_t size)
{
	struct strbuf b = {};
	bool fits;

	for (const char *p = unit; *p; p++)
		if (strchr("*?[", *p))
			strbuf_addf(&b, "[%c]", *p);
		else
			strbuf_add_mem(&b, p, 1);
	fits = !b.error && str_copy(ret, size, strbuf_text(&b));
	strbuf_done(&b);
	return fits;
}
