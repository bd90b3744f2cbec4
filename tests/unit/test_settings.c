/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/state/settings*.c: values of every key, every message with its hint, and how rules add up.
 */
#include "cmocka_all.h"
#include "../../daemon/base/str.h"
#include "../../daemon/state/settings.h"

#include <syslog.h>

#define S NSEC_PER_SEC

/* Parses text as "f"; the errors as text ("" for none). */
static int parse_host(struct host_settings *s, struct strbuf *said, const char *text)
{
	struct settings_errors errors = { .text = said };
	int r;

	host_settings_init(s);
	r = host_settings_parse(s, "f", text, strlen(text), &errors);
	assert_int_equal(errors.count > 0, said->len > 0);
	return r;
}

static void host_keys(void **state)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf said = {};

	assert_int_equal(parse_host(&s, &said,
				 "[Mendd]\nLogLevel=debug\nMaxUnits=100\nMaxHTTPUnits=64\n"
				 "Exclude=a b@*.service\nExclude=c.service\n"
				 "[Plugin tcp]\nPort = 80\nPort=81\n[Plugin mail.2]\nTo=a=b\n"),
		0);
	assert_string_equal(strbuf_text(&said), "");
	assert_int_equal(s.log_level, LOG_DEBUG);
	assert_int_equal(s.units_max, 100);
	assert_int_equal(s.http_units_max, 64);
	assert_int_equal(s.n_excludes, 3);
	assert_true(host_settings_excludes(&s, "a.service", NULL));
	assert_true(host_settings_excludes(&s, "b@1.service", NULL));
	assert_true(host_settings_excludes(&s, "c.service", NULL));
	assert_false(host_settings_excludes(&s, "a", NULL));
	assert_false(host_settings_excludes(&s, "aa.service", NULL));
	assert_int_equal(s.n_plugin_settings, 3);
	assert_string_equal(s.plugin_settings[0].plugin, "tcp");
	assert_string_equal(s.plugin_settings[0].key, "Port");
	assert_string_equal(s.plugin_settings[0].value, "80");
	assert_string_equal(s.plugin_settings[1].value, "81");
	assert_string_equal(s.plugin_settings[2].plugin, "mail.2");
	assert_string_equal(s.plugin_settings[2].value, "a=b");
}

static void host_defaults_come_back(void **state)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf said = {};

	assert_int_equal(parse_host(&s, &said,
				 "[Mendd]\nLogLevel=3\nMaxUnits=1\nMaxHTTPUnits=1\nExclude=a\n"
				 "LogLevel=\nMaxUnits=\nMaxHTTPUnits=\nExclude=\nExclude=z\n"),
		0);
	assert_string_equal(strbuf_text(&said), "");
	assert_int_equal(s.log_level, LOG_INFO);
	assert_int_equal(s.units_max, UNITS_MAX);
	assert_int_equal(s.http_units_max, 256);
	assert_int_equal(s.n_excludes, 1);
	assert_string_equal(s.excludes[0], "z.service");
}

static void unit_keys(void **state)
{
	static const char text[] =
		"[Unit]\nDescription=x\n[X-Mendd]\n"
		"Heal=restart\nSeverity=critical\nBudget=3/30s\nBackoff=2s..4min\n"
		"VerifyFor=500ms\nProbation=1h\nCheck=disk -w '10%' \"a b\"\n"
		"CheckInterval=15\nCheckTimeout=1.5s\nCheckFailures=7\n"
		"HTTP=yes\nHTTPErrorRatio=2.5%\nHTTPErrorFor=10s\nHTTPErrorMin=20\n"
		"HTTPLatencyP99=500ms\nHTTPLatencyFor=1min\nHTTPLatencyHeal=yes\nHangAfter=5s\n"
		"HTTPRoutes=yes\nProbe=http://[::1]:8000/health?a=b\nProbeInterval=2s\n"
		"ProbeTimeout=500ms\nProbeFailures=2\nStartGrace=2min\n"
		"[Service]\nHeel=1\nHeal=nonsense\n";
	_cleanup_strbuf_ struct strbuf said = {};
	struct settings_errors errors = { .text = &said };
	struct host_settings host = {};
	struct unit_settings u;
	struct unit_rule rule = {};
	bool present = false;

	unit_settings_init(&rule.values);
	assert_int_equal(unit_rule_parse(&rule, &present, "f", text, strlen(text), &errors), 0);
	assert_string_equal(strbuf_text(&said), "");
	assert_true(present);
	assert_int_equal(rule.set, (1 << 24) - 1);
	unit_settings_merge(&u, &host, &rule, "x.service", NULL);
	assert_int_equal(u.heal, HEAL_RESTART);
	assert_int_equal(u.severity, SEVERITY_CRITICAL);
	assert_int_equal(u.budget[0].count, 3);
	assert_int_equal(u.budget[0].window_ns, 30 * S);
	assert_int_equal(u.budget[1].count, 0);
	assert_int_equal(u.backoff_first_ns, 2 * S);
	assert_int_equal(u.backoff_max_ns, 240 * S);
	assert_int_equal(u.verify_for_ns, S / 2);
	assert_int_equal(u.probation_ns, 3600 * S);
	assert_string_equal(u.check, "disk -w '10%' \"a b\"");
	assert_int_equal(u.check_interval_ns, 15 * S);
	assert_int_equal(u.check_timeout_ns, 1500 * NSEC_PER_MSEC);
	assert_int_equal(u.check_failures, 7);
	assert_int_equal(u.http, HTTP_MODE_YES);
	assert_true(u.http_error_ratio > .02499 && u.http_error_ratio < .02501);
	assert_int_equal(u.http_error_for_ns, 10 * S);
	assert_int_equal(u.http_error_min, 20);
	assert_int_equal(u.http_latency_p99_ns, S / 2);
	assert_int_equal(u.http_latency_for_ns, 60 * S);
	assert_true(u.http_latency_heal);
	assert_int_equal(u.hang_after_ns, 5 * S);
	assert_int_equal(u.http_routes, HTTP_ROUTES_DEFAULT);
	assert_string_equal(u.probe, "http://[::1]:8000/health?a=b");
	assert_int_equal(u.probe_interval_ns, 2 * S);
	assert_int_equal(u.probe_timeout_ns, S / 2);
	assert_int_equal(u.probe_failures, 2);
	assert_int_equal(u.start_grace_ns, 120 * S);
}

/* What can be switched off, and the several ways to say a thing. */
static void http_values(void **state)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf said = {};
	struct unit_settings u;

	assert_int_equal(
		parse_host(&s, &said,
			"[Unit off]\nHTTP=off\nHTTPErrorRatio=off\nHTTPLatencyP99=0\n"
			"HangAfter=off\nHTTPRoutes=no\n"
			"[Unit zero]\nHTTP=auto\nHTTPErrorRatio=0%\nHTTPLatencyP99=off\n"
			"HangAfter=0\nHTTPRoutes=0\n"
			"[Unit one]\nHTTP=on\nHTTPRoutes=1\nHTTPLatencyHeal=no\n"
			"Probe=tcp://db-1.example:5432\n"
			"[Unit most]\nHTTPRoutes=200\nProbe=https://localhost:8443/\nStartGrace=off\n"),
		0);
	assert_string_equal(strbuf_text(&said), "");
	for (int i = 0; i < 2; i++) {
		unit_settings_merge(&u, &s, NULL, i ? "zero.service" : "off.service", NULL);
		assert_int_equal(u.http, i ? HTTP_MODE_AUTO : HTTP_MODE_NO);
		assert_true(u.http_error_ratio == 0);
		assert_int_equal(u.http_latency_p99_ns, 0);
		assert_int_equal(u.hang_after_ns, 0);
		assert_int_equal(u.http_routes, 0);
	}
	unit_settings_merge(&u, &s, NULL, "one.service", NULL);
	assert_int_equal(u.http, HTTP_MODE_YES);
	assert_int_equal(u.http_routes, 1);
	assert_false(u.http_latency_heal);
	assert_string_equal(u.probe, "tcp://db-1.example:5432");
	unit_settings_merge(&u, &s, NULL, "most.service", NULL);
	assert_int_equal(u.http_routes, HTTP_ROUTES_MAX);
	assert_string_equal(u.probe, "https://localhost:8443/");
	assert_int_equal(u.start_grace_ns, 0);
}

static void probes_that_are_none(void **state)
{
	static const char *const rows[] = { "localhost:80", "http:/localhost/", "http://localhost",
		"http:///x", "http://user@host/", "http://host:/", "http://host:0/",
		"http://host:65536/", "http://host:80x/", "http://[::1/", "http://[]:80/",
		"http://[::1]x/", "http://-host/", "http://host/a b", "http://host/\xff",
		"http://host/#part", "https://host", "https://host:0/", "tcp://host",
		"tcp://host:80/", "tcp://:80", "tcp://[::1]", "ftp://host/" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(host_settings_done) struct host_settings s = {};
		_cleanup_strbuf_ struct strbuf text = {}, said = {};

		strbuf_addf(&text, "[Unit a]\nProbe=%s\n", rows[i]);
		assert_int_equal(parse_host(&s, &said, text.data), 0);
		CHECK_ROW(strstr(strbuf_text(&said), "is not a probe; write it as in http://"),
			rows[i]);
	}
}

static void unit_defaults_come_back(void **state)
{
	static const char text[] =
		"[Unit a]\nHeal=\nSeverity=\nBudget=\nBackoff=\nVerifyFor=\n"
		"Probation=\nCheck=\nCheckInterval=\nCheckTimeout=\nCheckFailures=\n"
		"HTTP=\nHTTPErrorRatio=\nHTTPErrorFor=\nHTTPErrorMin=\nHTTPLatencyP99=\n"
		"HTTPLatencyFor=\nHTTPLatencyHeal=\nHangAfter=\nHTTPRoutes=\nProbe=\n"
		"ProbeInterval=\nProbeTimeout=\nProbeFailures=\nStartGrace=\n";
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf said = {};
	struct unit_settings defaults, got;
	struct unit_rule own;

	unit_settings_init(&defaults);
	/* an own rule in which every byte differs from the default; the empty values undo it */
	memset(&own, 0x11, sizeof(own));
	own.set = UINT32_MAX;
	own.values.error[0] = '\0';
	own.values.http_latency_heal = true;
	assert_int_equal(parse_host(&s, &said, text), 0);
	assert_string_equal(strbuf_text(&said), "");
	unit_settings_merge(&got, &s, &own, "a.service", NULL);
	assert_int_equal(got.heal, defaults.heal);
	assert_int_equal(got.severity, defaults.severity);
	assert_memory_equal(got.budget, defaults.budget, sizeof(got.budget));
	assert_int_equal(got.backoff_first_ns, defaults.backoff_first_ns);
	assert_int_equal(got.backoff_max_ns, defaults.backoff_max_ns);
	assert_int_equal(got.verify_for_ns, defaults.verify_for_ns);
	assert_int_equal(got.probation_ns, defaults.probation_ns);
	assert_string_equal(got.check, "");
	assert_int_equal(got.check_interval_ns, defaults.check_interval_ns);
	assert_int_equal(got.check_timeout_ns, defaults.check_timeout_ns);
	assert_int_equal(got.check_failures, defaults.check_failures);
	assert_int_equal(got.http, defaults.http);
	assert_true(got.http_error_ratio == .05);
	assert_int_equal(got.http_error_for_ns, defaults.http_error_for_ns);
	assert_int_equal(got.http_error_min, defaults.http_error_min);
	assert_int_equal(got.http_latency_p99_ns, defaults.http_latency_p99_ns);
	assert_int_equal(got.http_latency_for_ns, defaults.http_latency_for_ns);
	assert_false(got.http_latency_heal);
	assert_int_equal(got.hang_after_ns, defaults.hang_after_ns);
	assert_int_equal(got.http_routes, defaults.http_routes);
	assert_string_equal(got.probe, "");
	assert_int_equal(got.probe_interval_ns, defaults.probe_interval_ns);
	assert_int_equal(got.probe_timeout_ns, defaults.probe_timeout_ns);
	assert_int_equal(got.probe_failures, defaults.probe_failures);
	assert_int_equal(got.start_grace_ns, defaults.start_grace_ns);
}

static void messages(void **state)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		/* keys and sections */
		{ "[Mendd]\nLogLevl=info\n",
			"f:2: unknown key 'LogLevl' in [Mendd]; did you mean 'LogLevel'?\n" },
		{ "[Mendd]\nloglevel=info\n",
			"f:2: unknown key 'loglevel' in [Mendd]; did you mean 'LogLevel'?\n" },
		{ "[Mendd]\nXyzzy=1\n",
			"f:2: unknown key 'Xyzzy' in [Mendd]; mendd.conf(5) lists the known ones\n" },
		{ "[Mendd]\nHeal=off\n",
			"f:2: key 'Heal' does not belong in [Mendd]; it goes into a "
			"[Unit NAME] section\n" },
		{ "[Unit a]\nLogLevel=info\n",
			"f:2: key 'LogLevel' does not belong in [Unit a]; it goes into [Mendd] of "
			"mendd.conf\n" },
		{ "\n\n[Unit a]\n\nHeel=off\n",
			"f:5: unknown key 'Heel' in [Unit a]; did you mean 'Heal'?\n" },
		{ "[Mend]\nx=1\n", "f:1: unknown section [Mend]; did you mean [Mendd]?\n" },
		{ "[Units a]\n", "f:1: unknown section [Units a]; did you mean [Unit NAME]?\n" },
		{ "[Service]\n",
			"f:1: unknown section [Service]; there are [Mendd], [Unit NAME] and "
			"[Plugin NAME]\n" },
		{ "[X-Mendd]\nHeal=off\n",
			"f:1: [X-Mendd] is for unit files; write [Unit NAME] here\n" },
		{ "[Unit]\nHeal=off\n",
			"f:1: [Unit] lacks the unit's name; write [Unit nginx.service]\n" },
		{ "[Unit a b]\n", "f:1: [Unit] 'a b' is not a unit name; use one name or glob\n" },
		{ "[Unit a/b]\n", "f:1: [Unit] 'a/b' is not a unit name; use one name or glob\n" },
		{ "[Unit a.socket]\n",
			"f:1: [Unit] 'a.socket' is not a service; only services are watched\n" },
		{ "[Plugin]\n",
			"f:1: [Plugin ]: not a plugin's name; write it as in [Plugin tcp]\n" },
		{ "[Plugin ../x]\n",
			"f:1: [Plugin ../x]: not a plugin's name; write it as in [Plugin tcp]\n" },
		{ "Heal=off\n",
			"f:1: the key stands before the first section; write [Section] above "
			"it\n" },
		/* values */
		{ "[Mendd]\nLogLevel=debgu\n",
			"f:2: LogLevel=debgu is unknown; did you mean 'debug'?\n" },
		{ "[Mendd]\nLogLevel=8\n",
			"f:2: LogLevel=8 is unknown; it is one of emerg, alert, crit, err, warning, "
			"notice, info, debug\n" },
		{ "[Mendd]\nMaxUnits=0\n",
			"f:2: MaxUnits=0 is not a count; it is from 1 to 4096\n" },
		{ "[Mendd]\nMaxUnits=4097\n",
			"f:2: MaxUnits=4097 is not a count; it is from 1 to 4096\n" },
		{ "[Unit a]\nHeal=restrat\n",
			"f:2: Heal=restrat is unknown; did you mean 'restart'?\n" },
		{ "[Unit a]\nHeal=yesplease\n",
			"f:2: Heal=yesplease is unknown; it is one of off, observe, restart\n" },
		{ "[Unit a]\nSeverity=critcal\n",
			"f:2: Severity=critcal is unknown; did you mean 'critical'?\n" },
		{ "[Unit a]\nBudget=5\n",
			"f:2: Budget=5 is not COUNT/WINDOW; write it as in 5/1min 20/1d\n" },
		{ "[Unit a]\nBudget=1/1s 2/2s 3/3s\n",
			"f:2: Budget=1/1s 2/2s 3/3s has too many windows; there can be 2\n" },
		{ "[Unit a]\nBudget=64/1min\n",
			"f:2: Budget=64/1min: a count is from 1 to 63; Heal=observe is for no restart "
			"at all\n" },
		{ "[Unit a]\nBudget=0/1min\n",
			"f:2: Budget=0/1min: a count is from 1 to 63; Heal=observe is for no restart at "
			"all\n" },
		{ "[Unit a]\nBudget=1/1ms\n", "f:2: Budget=1/1ms: a window is from 1s to 30d\n" },
		{ "[Unit a]\nBudget=1/infinity\n",
			"f:2: Budget=1/infinity: a window is from 1s to 30d\n" },
		{ "[Unit a]\nBackoff=1min..1s\n",
			"f:2: Backoff=1min..1s is not FIRST..LONGEST; write it as in 1s..1min\n" },
		{ "[Unit a]\nBackoff=1ms..1s\n",
			"f:2: Backoff=1ms..1s is out of range; it is from 100ms to 1d\n" },
		{ "[Unit a]\nBackoff=1s..infinity\n",
			"f:2: Backoff=1s..infinity is out of range; it is from 100ms to 1d\n" },
		{ "[Unit a]\nVerifyFor=soon\n",
			"f:2: VerifyFor=soon is not a time span; write it as in 500ms or 1min 30s\n" },
		{ "[Unit a]\nVerifyFor=0\n",
			"f:2: VerifyFor=0 is out of range; it is from 100ms to 10min\n" },
		{ "[Unit a]\nProbation=infinity\n",
			"f:2: Probation=infinity is out of range; it is from 1s to 1d\n" },
		{ "[Unit a]\nCheckInterval=10ms\n",
			"f:2: CheckInterval=10ms is out of range; it is from 1s to 1d\n" },
		{ "[Unit a]\nCheckTimeout=1h\n",
			"f:2: CheckTimeout=1h is out of range; it is from 100ms to 10min\n" },
		{ "[Unit a]\nCheckFailures=101\n",
			"f:2: CheckFailures=101 is not a count; it is from 1 to 100\n" },
		{ "[Mendd]\nMaxHTTPUnits=4097\n",
			"f:2: MaxHTTPUnits=4097 is not a count; it is from 1 to 4096\n" },
		{ "[Mendd]\nMaxHttpUnits=1\n",
			"f:2: unknown key 'MaxHttpUnits' in [Mendd]; did you mean 'MaxHTTPUnits'?\n" },
		{ "[Mendd]\nHangAfter=5s\n",
			"f:2: key 'HangAfter' does not belong in [Mendd]; it goes into a "
			"[Unit NAME] section\n" },
		{ "[Unit a]\nHTTPErorRatio=5%\n",
			"f:2: unknown key 'HTTPErorRatio' in [Unit a]; did you mean "
			"'HTTPErrorRatio'?\n" },
		{ "[Unit a]\nHTTP=aut\n", "f:2: HTTP=aut is unknown; did you mean 'auto'?\n" },
		{ "[Unit a]\nHTTP=sometimes\n",
			"f:2: HTTP=sometimes is unknown; it is one of auto, yes, no\n" },
		{ "[Unit a]\nHTTPErrorRatio=5\n",
			"f:2: HTTPErrorRatio=5 is not a percentage; write it as in 5%, or off\n" },
		{ "[Unit a]\nHTTPErrorRatio=101%\n",
			"f:2: HTTPErrorRatio=101% is not a percentage; write it as in 5%, or off\n" },
		{ "[Unit a]\nHTTPErrorFor=2min\n",
			"f:2: HTTPErrorFor=2min is out of range; it is from 1s to 1min\n" },
		{ "[Unit a]\nHTTPErrorFor=off\n",
			"f:2: HTTPErrorFor=off is not a time span; write it as in 500ms or 1min 30s\n" },
		{ "[Unit a]\nHTTPErrorMin=0\n",
			"f:2: HTTPErrorMin=0 is not a count; it is from 1 to 1000000\n" },
		{ "[Unit a]\nHTTPLatencyP99=1min\n",
			"f:2: HTTPLatencyP99=1min is out of range; it is from 1ms to 30s, or off\n" },
		{ "[Unit a]\nHTTPLatencyFor=500ms\n",
			"f:2: HTTPLatencyFor=500ms is out of range; it is from 1s to 1h\n" },
		{ "[Unit a]\nHTTPLatencyHeal=restart\n",
			"f:2: HTTPLatencyHeal=restart is not yes or no\n" },
		{ "[Unit a]\nHangAfter=500ms\n",
			"f:2: HangAfter=500ms is out of range; it is from 1s to 1h, or off\n" },
		{ "[Unit a]\nHTTPRoutes=some\n",
			"f:2: HTTPRoutes=some is not yes, no or a count\n" },
		{ "[Unit a]\nHTTPRoutes=201\n",
			"f:2: HTTPRoutes=201 is too many; there can be 200\n" },
		{ "[Unit a]\nProbe=ftp://a/\n",
			"f:2: Probe=ftp://a/ is not a probe; write it as in "
			"http://127.0.0.1:8000/health or tcp://127.0.0.1:8000\n" },
		{ "[Unit a]\nProbe=a:80\n",
			"f:2: Probe=a:80 is not a probe; write it as in "
			"http://127.0.0.1:8000/health or tcp://127.0.0.1:8000\n" },
		{ "[Unit a]\nProbeInterval=0\n",
			"f:2: ProbeInterval=0 is out of range; it is from 1s to 1d\n" },
		{ "[Unit a]\nProbeTimeout=2min\n",
			"f:2: ProbeTimeout=2min is out of range; it is from 100ms to 1min\n" },
		{ "[Unit a]\nProbeFailures=101\n",
			"f:2: ProbeFailures=101 is not a count; it is from 1 to 100\n" },
		{ "[Unit a]\nStartGrace=2h\n",
			"f:2: StartGrace=2h is out of range; it is from 1s to 1h, or off\n" },
		/* all of them, not only the first */
		{ "[Mend]\n[Unit a]\nHeal=x\nnonsense\nBudget=5\n",
			"f:1: unknown section [Mend]; did you mean [Mendd]?\n"
			"f:3: Heal=x is unknown; it is one of off, observe, restart\n"
			"f:4: neither a [Section] nor a Key=Value line; comments begin with #\n"
			"f:5: Budget=5 is not COUNT/WINDOW; write it as in 5/1min 20/1d\n" },
		/* a broken section does not hand its keys to the one before */
		{ "[Unit a]\n[Unit b\nHeal=nonsense\n",
			"f:2: the section line does not end with ']'; close it\n" },
		/* what strangers wrote moves no cursor and is well-formed */
		{ "[Unit a]\nHeal=\x1b[2J\xff\n",
			"f:2: Heal=?[2J\xef\xbf\xbd is unknown; it is one of off, observe, restart\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(host_settings_done) struct host_settings s = {};
		_cleanup_strbuf_ struct strbuf said = {};

		CHECK_ROW(parse_host(&s, &said, rows[i].text) == 0, rows[i].text);
		if (!str_eq(strbuf_text(&said), rows[i].said))
			print_error("said:\n%s", strbuf_text(&said));
		CHECK_ROW(str_eq(strbuf_text(&said), rows[i].said), rows[i].text);
	}
}

static void messages_end(void **state)
{
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf text = {}, said = {};
	size_t lines = 0;

	strbuf_add(&text, "[Mendd]\n");
	for (size_t i = 0; i < 1000; i++)
		strbuf_add(&text, "Nonsense=1\n");
	assert_int_equal(parse_host(&s, &said, text.data), 0);
	for (const char *p = said.data; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, SETTINGS_ERRORS_MAX + 1);
	assert_true(str_has_suffix(said.data, "\n… and more\n"));
}

static void caps(void **state)
{
	static const struct {
		const char *head, *line, *said;
		int fit;
	} rows[] = {
		{ "", "[Unit a]\n", "f:257: more than 256 [Unit] sections; use globs\n",
			UNIT_RULES_MAX },
		{ "[Mendd]\n", "Exclude=a\n", "f:66: Exclude= has more than 64 names; use globs\n",
			EXCLUDES_MAX },
		{ "[Plugin a]\n", "k=v\n",
			"f:258: more than 256 lines for plugins; move some into the plugin's file\n",
			PLUGIN_SETTINGS_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int more = 0; more <= 1; more++) {
			_cleanup_(host_settings_done) struct host_settings s = {};
			_cleanup_strbuf_ struct strbuf text = {}, said = {};

			strbuf_add(&text, rows[i].head);
			for (int j = 0; j < rows[i].fit + more; j++)
				strbuf_add(&text, rows[i].line);
			assert_int_equal(parse_host(&s, &said, text.data), 0);
			assert_string_equal(strbuf_text(&said), more ? rows[i].said : "");
		}
}

static void long_values(void **state)
{
	static const char *const heads[] = { "[Unit a]\nCheck=", "[Unit a]\nProbe=http://a/",
		"[Plugin a]\nk=", "[Plugin ", "[Unit ", "[Mendd]\nExclude=" };
	static const size_t longest[] = { COMMAND_SIZE - 1, PROBE_SIZE - 1 - 9,
		PLUGIN_VALUE_SIZE - 1, PLUGIN_NAME_SIZE - 1, UNIT_NAME_SIZE - 1 - 8, 64 - 1 - 8 };

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		for (size_t more = 0; more <= 1; more++) {
			_cleanup_(host_settings_done) struct host_settings s = {};
			_cleanup_strbuf_ struct strbuf text = {}, said = {};

			strbuf_add(&text, heads[i]);
			for (size_t j = 0; j < longest[i] + more; j++)
				strbuf_add(&text, "x");
			if (strchr(heads[i], '=') == NULL)
				strbuf_add(&text, "]");
			assert_int_equal(parse_host(&s, &said, text.data), 0);
			CHECK_ROW((said.len > 0) == (more > 0), heads[i]);
		}
}

static void own_section_mistakes(void **state)
{
	static const struct {
		const char *text, *said;
		bool present;
	} rows[] = {
		{ "[Unit]\nnonsense\n[X-Other]\nHeel=1\n", "", false },
		{ "[X-Mendd]\nHeel=1\n",
			"f:2: unknown key 'Heel' in [X-Mendd]; did you mean 'Heal'?\n", true },
		{ "[X-Mend]\nHeal=off\n",
			"f:1: unknown section [X-Mend]; did you mean [X-Mendd]?\n", true },
		{ "[x-mendd]\nHeal=off\n",
			"f:1: unknown section [x-mendd]; did you mean [X-Mendd]?\n", true },
		{ "[X-Mendd\nHeal=off\n", "f:1: the section line does not end with ']'; close it\n",
			true },
		{ "[X-Mendd]\nHeal\n",
			"f:2: neither a [Section] nor a Key=Value line; comments begin with #\n",
			true },
		{ "[X-Mendd]\nMaxUnits=1\n",
			"f:2: key 'MaxUnits' does not belong in [X-Mendd]; it goes into [Mendd] of "
			"mendd.conf\n",
			true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_strbuf_ struct strbuf said = {};
		struct settings_errors errors = { .text = &said };
		struct unit_rule rule = {};
		bool present = false;

		CHECK_ROW(unit_rule_parse(&rule, &present, "f", rows[i].text, strlen(rows[i].text),
				  &errors) == 0,
			rows[i].text);
		CHECK_ROW(str_eq(strbuf_text(&said), rows[i].said), rows[i].text);
		CHECK_ROW(present == rows[i].present, rows[i].text);
	}
}

static void not_text_at_all(void **state)
{
	static const char text[] = "[Unit]\n\0\n[X-Mendd]\nHeal=restart\n";
	_cleanup_strbuf_ struct strbuf said = {};
	struct settings_errors errors = { .text = &said };
	struct unit_rule rule = {};
	bool present = false;

	assert_int_equal(unit_rule_parse(&rule, &present, "f", text, sizeof(text) - 1, &errors), 0);
	assert_string_equal(strbuf_text(&said),
		"f: too large or no text; whether it has an [X-Mendd] section is unknown\n");
}

static void merging(void **state)
{
	static const char text[] = "[Unit *]\nSeverity=info\nCheckFailures=9\n"
				   "[Unit a]\nHeal=off\n"
				   "[Unit a*.service]\nProbation=2h\nSeverity=warning\n"
				   "[Unit a]\nHeal=observe\n"
				   "[Unit b\\x2dc.service]\nProbation=3h\n";
	_cleanup_(host_settings_done) struct host_settings s = {};
	_cleanup_strbuf_ struct strbuf said = {};
	struct unit_rule own = { .set = UNIT_KEY_HEAL | UNIT_KEY_CHECK };
	struct unit_settings u;

	own.values.heal = HEAL_RESTART;
	str_copy(own.values.check, sizeof(own.values.check), "own");
	str_copy(own.values.error, sizeof(own.values.error), "trouble");
	assert_int_equal(parse_host(&s, &said, text), 0);
	assert_string_equal(strbuf_text(&said), "");
	/* the host wins over the unit's own, later rules over earlier ones, key by key */
	unit_settings_merge(&u, &s, &own, "a.service", NULL);
	assert_int_equal(u.heal, HEAL_OBSERVE);
	assert_int_equal(u.severity, SEVERITY_WARNING);
	assert_int_equal(u.check_failures, 9);
	assert_int_equal(u.probation_ns, 7200 * S);
	assert_string_equal(u.check, "own");
	assert_string_equal(u.error, "trouble");
	/* another unit */
	unit_settings_merge(&u, &s, NULL, "z.service", NULL);
	assert_int_equal(u.heal, HEAL_OBSERVE);
	assert_int_equal(u.severity, SEVERITY_INFO);
	assert_string_equal(u.error, "");
	/* a backslash is an ordinary character of unit names */
	unit_settings_merge(&u, &s, NULL, "b\\x2dc.service", NULL);
	assert_int_equal(u.probation_ns, 3 * 3600 * S);
	unit_settings_merge(&u, &s, NULL, "bx2dc.service", NULL);
	assert_int_not_equal(u.probation_ns, 3 * 3600 * S);
}

static void literal_patterns(void **state)
{
	static const struct {
		const char *unit, *pattern;
	} rows[] = {
		{ "a.service", "a.service" },
		{ "a\\x2db@c:d.service", "a\\x2db@c:d.service" },
		{ "a*.service", "a[*].service" },
		{ "a?[b].service", "a[?][[]b].service" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(host_settings_done) struct host_settings s = {};
		_cleanup_strbuf_ struct strbuf text = {}, said = {};
		struct unit_settings u;
		char pattern[64];

		CHECK_ROW(
			unit_pattern_literal(rows[i].unit, pattern, sizeof(pattern)), rows[i].unit);
		CHECK_ROW(str_eq(pattern, rows[i].pattern), rows[i].unit);
		strbuf_addf(&text, "[Unit %s]\nHeal=restart\n", pattern);
		assert_int_equal(parse_host(&s, &said, text.data), 0);
		CHECK_ROW(said.len == 0, rows[i].unit);
		unit_settings_merge(&u, &s, NULL, rows[i].unit, NULL);
		CHECK_ROW(u.heal == HEAL_RESTART, rows[i].unit);
		unit_settings_merge(&u, &s, NULL, "abc.service", NULL);
		CHECK_ROW(u.heal == HEAL_OBSERVE, rows[i].unit);
	}
	{
		char small[4];

		assert_false(unit_pattern_literal("a*b", small, sizeof(small)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_keys),
		cmocka_unit_test(host_defaults_come_back),
		cmocka_unit_test(unit_keys),
		cmocka_unit_test(http_values),
		cmocka_unit_test(probes_that_are_none),
		cmocka_unit_test(unit_defaults_come_back),
		cmocka_unit_test(messages),
		cmocka_unit_test(messages_end),
		cmocka_unit_test(caps),
		cmocka_unit_test(long_values),
		cmocka_unit_test(own_section_mistakes),
		cmocka_unit_test(not_text_at_all),
		cmocka_unit_test(merging),
		cmocka_unit_test(literal_patterns),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
