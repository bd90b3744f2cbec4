/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as mendd.conf and as a unit file: what was accepted without a mistake is within the
 * limits that the healing policy relies on.
 */
#include "fuzz.h"
#include "../../daemon/base/str.h"
#include "../../daemon/state/heal.h"
#include "../../daemon/state/settings.h"

static void check_unit(const struct unit_settings *u)
{
	MUST((unsigned int)u->heal < HEAL_MODE_COUNT);
	MUST((unsigned int)u->severity < SEVERITY_COUNT);
	MUST(u->budget[0].count >= 1);
	for (int i = 0; i < BUDGET_WINDOWS; i++) {
		MUST(u->budget[i].count < RESTART_LOG_MAX);
		MUST(u->budget[i].count == 0 || u->budget[i].window_ns >= NSEC_PER_SEC);
	}
	MUST(u->backoff_first_ns > 0 && u->backoff_first_ns <= u->backoff_max_ns);
	MUST(u->backoff_max_ns <= 24 * 3600 * NSEC_PER_SEC);
	MUST(u->verify_for_ns > 0 && u->verify_for_ns <= 600 * NSEC_PER_SEC);
	MUST(u->probation_ns > 0 && u->probation_ns <= 24 * 3600 * NSEC_PER_SEC);
	MUST(u->check_interval_ns > 0 && u->check_timeout_ns > 0 && u->check_failures >= 1);
	MUST(memchr(u->check, '\0', sizeof(u->check)));
	MUST((unsigned int)u->http < HTTP_MODE_COUNT && u->http_routes <= HTTP_ROUTES_MAX);
	MUST(u->http_error_ratio >= 0 && u->http_error_ratio <= 1 && u->http_error_min >= 1);
	/* no longer than what is remembered of a unit's HTTP */
	MUST(u->http_error_for_ns > 0 && u->http_error_for_ns < 64 * NSEC_PER_SEC);
	MUST(u->http_latency_for_ns > 0);
	MUST(u->hang_after_ns == 0 || u->hang_after_ns >= NSEC_PER_SEC);
	MUST(u->start_grace_ns <= 3600 * NSEC_PER_SEC);
	MUST(u->probe_interval_ns > 0 && u->probe_timeout_ns > 0 && u->probe_failures >= 1);
	MUST(memchr(u->probe, '\0', sizeof(u->probe)));
}

static void check_errors(const struct settings_errors *e)
{
	const char *text = strbuf_text(e->text);

	MUST((e->count > 0) == (e->text->len > 0));
	MUST(strlen(text) == e->text->len);
	/* passes as a string of D-Bus */
	for (const char *p = text; *p; p += str_utf8_length(p))
		MUST(str_utf8_length(p) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_strbuf_ struct strbuf host_text = {}, own_text = {};
	struct settings_errors host_errors = { .text = &host_text },
			       own_errors = { .text = &own_text };
	_cleanup_(host_settings_done) struct host_settings host = {};
	struct unit_rule own = {};
	struct unit_settings merged;
	bool present = false;

	host_settings_init(&host);
	unit_settings_init(&own.values);
	MUST(host_settings_parse(&host, "f", (const char *)data, size, &host_errors) == 0);
	MUST(unit_rule_parse(&own, &present, "f", (const char *)data, size, &own_errors) == 0);
	check_errors(&host_errors);
	check_errors(&own_errors);
	MUST(host.n_rules <= UNIT_RULES_MAX && host.n_excludes <= EXCLUDES_MAX);
	MUST(host.n_plugin_settings <= PLUGIN_SETTINGS_MAX);
	MUST(host.units_max >= 1 && host.units_max <= UNITS_MAX);
	MUST(host.http_units_max >= 1 && host.http_units_max <= UNITS_MAX);
	MUST(present || own.set == 0);
	/* also with mistakes: each value alone is in its limits */
	unit_settings_merge(&merged, &host, &own, "a.service", NULL);
	check_unit(&merged);
	host_settings_excludes(&host, "a.service", NULL);
	return 0;
}
