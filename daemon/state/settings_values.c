/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the values of single keys may be, where they are more than a time span or a count, and what
 * is said of those that are wrong: the nearest word, or how to write it. Pure. See settings_impl.h.
 */
#include "settings_impl.h"
#include "heal.h"
#include "../base/log.h"
#include "../base/parse.h"
#include "../base/str.h"

#include <ctype.h>

/* A count as large as the log of restarts could not be seen in it. */
#define BUDGET_COUNT_MAX ((uint32_t)RESTART_LOG_MAX - 1)

/* A value that is none of `words`: says the nearest, or all of them. */
static void unknown_word(struct reader *r, unsigned int line, const char *key, const char *value,
	const char *const *words, size_t n)
{
	const char *near = str_nearest(value, words, n);
	_cleanup_strbuf_ struct strbuf all = {};

	if (near) {
		wrong(r, line, "%s=%s is unknown; did you mean '%s'?", key, value, near);
		return;
	}
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&all, "%s%s", i ? ", " : "", words[i]);
	wrong(r, line, "%s=%s is unknown; it is one of %s", key, value, strbuf_text(&all));
}

void settings_set_heal(struct reader *r, const char *value, unsigned int line)
{
	static const char *const words[] = { "off", "observe", "restart" };
	int mode = heal_mode_parse(value);

	if (mode < 0) {
		unknown_word(r, line, "Heal", value, words, ARRAY_SIZE(words));
		return;
	}
	r->rule->values.heal = (enum heal_mode)mode;
}

void settings_set_severity(struct reader *r, const char *value, unsigned int line)
{
	static const char *const words[] = { "info", "warning", "critical" };
	int severity = severity_parse(value);

	if (severity < 0) {
		unknown_word(r, line, "Severity", value, words, ARRAY_SIZE(words));
		return;
	}
	r->rule->values.severity = (enum severity)severity;
}

void settings_set_budget(struct reader *r, const char *value, unsigned int line)
{
	const uint64_t shortest = NSEC_PER_SEC, longest = 30 * 24 * 3600 * NSEC_PER_SEC;
	struct rate rates[BUDGET_WINDOWS];
	size_t n;
	int e = parse_rates(value, rates, ARRAY_SIZE(rates), &n);

	if (e == -E2BIG) {
		wrong(r, line, "Budget=%s has too many windows; there can be %d", value,
			BUDGET_WINDOWS);
		return;
	}
	if (e < 0) {
		wrong(r, line, "Budget=%s is not COUNT/WINDOW; write it as in 5/1min 20/1d", value);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (rates[i].count < 1 || rates[i].count > BUDGET_COUNT_MAX) {
			wrong(r, line,
				"Budget=%s: a count is from 1 to %u; Heal=observe is for no "
				"restart at all",
				value, BUDGET_COUNT_MAX);
			return;
		}
		if (rates[i].window_ns < shortest || rates[i].window_ns > longest) {
			wrong(r, line, "Budget=%s: a window is from 1s to 30d", value);
			return;
		}
	}
	memset(r->rule->values.budget, 0, sizeof(r->rule->values.budget));
	for (size_t i = 0; i < n; i++)
		r->rule->values.budget[i] = (struct budget) { rates[i].count, rates[i].window_ns };
}

void settings_set_backoff(struct reader *r, const char *value, unsigned int line)
{
	const uint64_t shortest = 100 * NSEC_PER_MSEC, longest = 24 * 3600 * NSEC_PER_SEC;
	uint64_t first, last;

	if (parse_timespan_range(value, &first, &last) < 0) {
		wrong(r, line, "Backoff=%s is not FIRST..LONGEST; write it as in 1s..1min", value);
		return;
	}
	if (first < shortest || last > longest) {
		wrong(r, line, "Backoff=%s is out of range; it is from 100ms to 1d", value);
		return;
	}
	r->rule->values.backoff_first_ns = first;
	r->rule->values.backoff_max_ns = last;
}

void settings_set_check(struct reader *r, const char *value, unsigned int line)
{
	if (strlen(value) >= sizeof(r->rule->values.check)) {
		wrong(r, line, "Check= is longer than %d bytes; put the command into a script",
			COMMAND_SIZE - 1);
		return;
	}
	str_copy(r->rule->values.check, sizeof(r->rule->values.check), value);
}

void settings_set_http(struct reader *r, const char *value, unsigned int line)
{
	static const char *const words[] = { "auto", "yes", "no" };
	int mode = http_mode_parse(value);
	bool yes;

	if (mode < 0 && parse_bool(value, &yes) == 0)
		mode = yes ? HTTP_MODE_YES : HTTP_MODE_NO;
	if (mode < 0) {
		unknown_word(r, line, "HTTP", value, words, ARRAY_SIZE(words));
		return;
	}
	r->rule->values.http = (enum http_mode)mode;
}

void settings_set_http_error_ratio(struct reader *r, const char *value, unsigned int line)
{
	uint32_t hundredths = 0;

	if (!str_eq(value, "off") && parse_percent(value, &hundredths) < 0) {
		wrong(r, line, "HTTPErrorRatio=%s is not a percentage; write it as in 5%%, or off",
			value);
		return;
	}
	r->rule->values.http_error_ratio = (double)hundredths / 10000;
}

void settings_set_http_latency_heal(struct reader *r, const char *value, unsigned int line)
{
	bool yes;

	if (parse_bool(value, &yes) < 0) {
		wrong(r, line, "HTTPLatencyHeal=%s is not yes or no", value);
		return;
	}
	r->rule->values.http_latency_heal = yes;
}

void settings_set_http_routes(struct reader *r, const char *value, unsigned int line)
{
	uint32_t n;
	bool yes;

	/* First as a number: 1 is one route, and not "yes". */
	if (parse_u32(value, &n) < 0) {
		if (parse_bool(value, &yes) < 0) {
			wrong(r, line, "HTTPRoutes=%s is not yes, no or a count", value);
			return;
		}
		n = yes ? HTTP_ROUTES_DEFAULT : 0;
	}
	if (n > HTTP_ROUTES_MAX) {
		wrong(r, line, "HTTPRoutes=%s is too many; there can be %d", value,
			HTTP_ROUTES_MAX);
		return;
	}
	r->rule->values.http_routes = n;
}

static bool is_port(const char *s, size_t n)
{
	uint32_t port;
	char digits[8];

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, s, n);
	digits[n] = '\0';
	return parse_u32(digits, &port) == 0 && port >= 1 && port <= 65535;
}

/*
 * HOST, HOST:PORT or [IPV6]:PORT in the first n bytes of s. The characters are those of names and
 * addresses: no user, no password, nothing that a resolver or libcurl would take for something
 * else.
 */
static bool is_authority(const char *s, size_t n, bool needs_port)
{
	static const char name[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_",
			  address[] = "0123456789abcdefABCDEF:.";
	size_t host;

	if (n > 0 && s[0] == '[') {
		host = 1 + strspn(s + 1, address);
		if (host < 3 || host >= n || s[host] != ']')
			return false;
		host++;
	} else {
		host = strspn(s, name);
		if (host == 0 || s[0] == '-')
			return false;
	}
	if (host >= n)
		return host == n && !needs_port;
	return s[host] == ':' && is_port(s + host + 1, n - host - 1);
}

static bool is_probe(const char *value)
{
	const char *rest = str_after_prefix(value, "tcp://");

	if (rest)
		return is_authority(rest, strlen(rest), true);
	rest = str_after_prefix(value, "http://");
	if (!rest)
		rest = str_after_prefix(value, "https://");
	if (!rest || !is_authority(rest, strcspn(rest, "/"), false) || !strchr(rest, '/'))
		return false;
	/* What a request line can carry as it is; anything else has to be written in percents. */
	for (const char *p = strchr(rest, '/'); *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '#')
			return false;
	return true;
}

void settings_set_probe(struct reader *r, const char *value, unsigned int line)
{
	if (strlen(value) >= sizeof(r->rule->values.probe)) {
		wrong(r, line, "Probe= is longer than %d bytes", PROBE_SIZE - 1);
		return;
	}
	if (!is_probe(value)) {
		wrong(r, line,
			"Probe=%s is not a probe; write it as in http://127.0.0.1:8000/health or "
			"tcp://127.0.0.1:8000",
			value);
		return;
	}
	str_copy(r->rule->values.probe, sizeof(r->rule->values.probe), value);
}

void settings_set_log_level(struct reader *r, const char *value, unsigned int line)
{
	const char *words[LOG_DEBUG + 1];

	for (int i = 0; i <= LOG_DEBUG; i++) {
		words[i] = log_level_word(i);
		if (str_eq(words[i], value) || (value[0] == (char)('0' + i) && !value[1])) {
			r->host->log_level = i;
			return;
		}
	}
	unknown_word(r, line, "LogLevel", value, words, ARRAY_SIZE(words));
}

bool settings_take_pattern(struct reader *r, const char *key, const char *value, unsigned int line,
	char *ret, size_t size)
{
	static const char *const others[] = { ".automount", ".device", ".mount", ".path", ".scope",
		".slice", ".socket", ".swap", ".target", ".timer" };
	bool glob = value[strcspn(value, "*?[")] != '\0';

	for (const char *p = value; *p; p++)
		if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p) || *p == '/') {
			wrong(r, line, "%s '%s' is not a unit name; use one name or glob", key,
				value);
			return false;
		}
	for (size_t i = 0; !glob && i < ARRAY_SIZE(others); i++)
		if (str_has_suffix(value, others[i])) {
			wrong(r, line, "%s '%s' is not a service; only services are watched", key,
				value);
			return false;
		}
	if (strlen(value) + (glob ? 0 : strlen(".service")) >= size) {
		wrong(r, line, "%s '%s' is too long; use a glob", key, value);
		return false;
	}
	str_copy(ret, size, value);
	if (!glob && !str_has_suffix(value, ".service"))
		memcpy(ret + strlen(ret), ".service", sizeof(".service"));
	return true;
}

/* A list: each line adds to it. */
void settings_add_excludes(struct reader *r, const char *value, unsigned int line)
{
	struct host_settings *s = r->host;

	while (*value) {
		char one[UNIT_NAME_SIZE];
		size_t n = strcspn(value, " \t");

		if (n >= sizeof(one)) {
			wrong(r, line, "Exclude= holds a name that is too long; use a glob");
			return;
		}
		memcpy(one, value, n);
		one[n] = '\0';
		value += n + strspn(value + n, " \t");
		if (s->n_excludes == EXCLUDES_MAX) {
			wrong(r, line, "Exclude= has more than %d names; use globs", EXCLUDES_MAX);
			return;
		}
		if (settings_take_pattern(r, "Exclude=", one, line, s->excludes[s->n_excludes],
			    sizeof(s->excludes[0])))
			s->n_excludes++;
	}
}
