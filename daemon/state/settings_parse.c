/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text form of the settings: which keys there are, where they may stand, and what their values
 * may be. Every mistake is told with file, line and a hint, and reading goes on behind it, so that
 * one run shows all of them. Pure: reading files is the edge's work. See settings.h.
 */
#include "settings.h"
#include "heal.h"
#include "../base/log.h"
#include "../base/parse.h"
#include "../base/str.h"
#include "../base/unitfile.h"

#include <ctype.h>
#include <stdarg.h>

/* A count as large as the log of restarts could not be seen in it. */
#define BUDGET_COUNT_MAX ((uint32_t)RESTART_LOG_MAX - 1)

enum section {
	SECTION_OTHER, /* skipped */
	SECTION_HOST,  /* [Mendd] */
	SECTION_UNIT,  /* [Unit PATTERN], [X-Mendd] */
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
};

void settings_error(struct settings_errors *errors, const char *file, unsigned int line,
	const char *format, ...)
{
	_cleanup_strbuf_ struct strbuf raw = {};
	va_list ap;

	if (errors->count++ >= SETTINGS_ERRORS_MAX) {
		if (errors->count == SETTINGS_ERRORS_MAX + 1)
			strbuf_add(errors->text, "… and more\n");
		return;
	}
	strbuf_addf(&raw, line ? "%s:%u: " : "%s: ", file, line);
	va_start(ap, format);
	strbuf_addv(&raw, format, ap);
	va_end(ap);
	strbuf_add_clean(errors->text, strbuf_text(&raw));
	strbuf_add(errors->text, "\n");
}

#define wrong(reader, line, ...) settings_error((reader)->errors, (reader)->file, line, __VA_ARGS__)

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

/* Values of single keys. Each gets a value that is not empty, and says itself what is wrong. */

static void set_heal(struct reader *r, const char *value, unsigned int line)
{
	static const char *const words[] = { "off", "observe", "restart" };
	int mode = heal_mode_parse(value);

	if (mode < 0) {
		unknown_word(r, line, "Heal", value, words, ARRAY_SIZE(words));
		return;
	}
	r->rule->values.heal = (enum heal_mode)mode;
}

static void set_severity(struct reader *r, const char *value, unsigned int line)
{
	static const char *const words[] = { "info", "warning", "critical" };
	int severity = severity_parse(value);

	if (severity < 0) {
		unknown_word(r, line, "Severity", value, words, ARRAY_SIZE(words));
		return;
	}
	r->rule->values.severity = (enum severity)severity;
}

static void set_budget(struct reader *r, const char *value, unsigned int line)
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

static void set_backoff(struct reader *r, const char *value, unsigned int line)
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

static void set_check(struct reader *r, const char *value, unsigned int line)
{
	if (strlen(value) >= sizeof(r->rule->values.check)) {
		wrong(r, line, "Check= is longer than %d bytes; put the command into a script",
			COMMAND_SIZE - 1);
		return;
	}
	str_copy(r->rule->values.check, sizeof(r->rule->values.check), value);
}

static void set_check_failures(struct reader *r, const char *value, unsigned int line)
{
	const uint32_t most = 100;
	uint32_t n;

	if (parse_u32(value, &n) < 0 || n < 1 || n > most) {
		wrong(r, line, "CheckFailures=%s is not a count; it is from 1 to %u", value, most);
		return;
	}
	r->rule->values.check_failures = n;
}

static void set_log_level(struct reader *r, const char *value, unsigned int line)
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

static void set_units_max(struct reader *r, const char *value, unsigned int line)
{
	uint32_t n;

	if (parse_u32(value, &n) < 0 || n < 1 || n > UNITS_MAX) {
		wrong(r, line, "MaxUnits=%s is not a count; it is from 1 to %d", value, UNITS_MAX);
		return;
	}
	r->host->units_max = n;
}

/*
 * A unit name or glob as people write it: without a suffix it means the service, as for systemctl.
 * false where it cannot match a service; said.
 */
static bool take_pattern(struct reader *r, const char *key, const char *value, unsigned int line,
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
static void add_excludes(struct reader *r, const char *value, unsigned int line)
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
		if (take_pattern(r, "Exclude=", one, line, s->excludes[s->n_excludes],
			    sizeof(s->excludes[0])))
			s->n_excludes++;
	}
}

struct span_limits {
	uint64_t min_ns, max_ns;
	const char *text;
};

struct key {
	const char *name;
	enum section section;
	uint32_t bit;  /* enum unit_key */
	size_t span;   /* offset of a time span in struct unit_settings; 0: see .set */
	size_t size;   /* bytes of the field in its structure … */
	size_t offset; /* … and where: what an empty value brings back */
	struct span_limits limits;
	void (*set)(struct reader *r, const char *value, unsigned int line);
};

#define FIELD(structure, member)                      \
	.offset = offsetof(struct structure, member), \
	.size = sizeof(((struct structure *)0)->member)
#define SPAN(member, from, to, words)                                                  \
	.span = offsetof(struct unit_settings, member), .limits = { from, to, words }, \
	FIELD(unit_settings, member)

static const struct key keys[] = {
	{ "LogLevel", SECTION_HOST, FIELD(host_settings, log_level), .set = set_log_level },
	{ "MaxUnits", SECTION_HOST, FIELD(host_settings, units_max), .set = set_units_max },
	{ "Exclude", SECTION_HOST, FIELD(host_settings, n_excludes), .set = add_excludes },
	{ "Heal", SECTION_UNIT, UNIT_KEY_HEAL, FIELD(unit_settings, heal), .set = set_heal },
	{ "Severity", SECTION_UNIT, UNIT_KEY_SEVERITY, FIELD(unit_settings, severity),
		.set = set_severity },
	{ "Budget", SECTION_UNIT, UNIT_KEY_BUDGET, FIELD(unit_settings, budget),
		.set = set_budget },
	/* first and longest lie side by side; checked below */
	{ "Backoff", SECTION_UNIT, UNIT_KEY_BACKOFF,
		.offset = offsetof(struct unit_settings, backoff_first_ns),
		.size = 2 * sizeof(uint64_t), .set = set_backoff },
	{ "VerifyFor", SECTION_UNIT, UNIT_KEY_VERIFY_FOR,
		SPAN(verify_for_ns, 100 * NSEC_PER_MSEC, 600 * NSEC_PER_SEC, "100ms to 10min") },
	{ "Probation", SECTION_UNIT, UNIT_KEY_PROBATION,
		SPAN(probation_ns, NSEC_PER_SEC, 24 * 3600 * NSEC_PER_SEC, "1s to 1d") },
	{ "Check", SECTION_UNIT, UNIT_KEY_CHECK, FIELD(unit_settings, check), .set = set_check },
	{ "CheckInterval", SECTION_UNIT, UNIT_KEY_CHECK_INTERVAL,
		SPAN(check_interval_ns, NSEC_PER_SEC, 24 * 3600 * NSEC_PER_SEC, "1s to 1d") },
	{ "CheckTimeout", SECTION_UNIT, UNIT_KEY_CHECK_TIMEOUT,
		SPAN(check_timeout_ns, 100 * NSEC_PER_MSEC, 600 * NSEC_PER_SEC, "100ms to 10min") },
	{ "CheckFailures", SECTION_UNIT, UNIT_KEY_CHECK_FAILURES,
		FIELD(unit_settings, check_failures), .set = set_check_failures },
};

_Static_assert(offsetof(struct unit_settings, backoff_max_ns) ==
		       offsetof(struct unit_settings, backoff_first_ns) + sizeof(uint64_t),
	"Backoff= resets both with one copy");

static void set_span(struct reader *r, const struct key *k, const char *value, unsigned int line)
{
	uint64_t ns;

	if (parse_timespan(value, &ns) < 0) {
		wrong(r, line, "%s=%s is not a time span; write it as in 500ms or 1min 30s",
			k->name, value);
		return;
	}
	if (ns < k->limits.min_ns || ns > k->limits.max_ns) {
		wrong(r, line, "%s=%s is out of range; it is from %s", k->name, value,
			k->limits.text);
		return;
	}
	memcpy((char *)&r->rule->values + k->span, &ns, sizeof(ns));
}

/* An empty value brings the default back, as in systemd's own files. */
static void set_default(struct reader *r, const struct key *k)
{
	if (k->section == SECTION_HOST) {
		struct host_settings defaults;

		host_settings_init(&defaults);
		memcpy((char *)r->host + k->offset, (char *)&defaults + k->offset, k->size);
	} else {
		struct unit_settings defaults;

		unit_settings_init(&defaults);
		memcpy((char *)&r->rule->values + k->offset, (char *)&defaults + k->offset,
			k->size);
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

static int add_plugin_setting(
	struct reader *r, const char *key, const char *value, unsigned int line)
{
	struct host_settings *s = r->host;
	struct plugin_setting one = {};

	if (s->n_plugin_settings == PLUGIN_SETTINGS_MAX) {
		wrong(r, line, "more than %d lines for plugins; move some into the plugin's file",
			PLUGIN_SETTINGS_MAX);
		return 0;
	}
	if (strlen(key) >= PLUGIN_VALUE_SIZE || strlen(value) >= PLUGIN_VALUE_SIZE) {
		wrong(r, line, "key or value is longer than %d bytes; shorten it",
			PLUGIN_VALUE_SIZE - 1);
		return 0;
	}
	if (!s->plugin_settings) {
		s->plugin_settings = calloc(PLUGIN_SETTINGS_MAX, sizeof(*s->plugin_settings));
		if (!s->plugin_settings)
			return -ENOMEM;
	}
	if (str_set(&one.plugin, r->plugin) < 0 || str_set(&one.key, key) < 0 ||
		str_set(&one.value, value) < 0) {
		free(one.plugin);
		free(one.key);
		return -ENOMEM;
	}
	s->plugin_settings[s->n_plugin_settings++] = one;
	return 0;
}

static int begin_unit(struct reader *r, const char *pattern, unsigned int line)
{
	struct host_settings *s = r->host;
	struct unit_rule rule = {};
	struct unit_rule *rules;

	if (!*pattern) {
		wrong(r, line, "[Unit] lacks the unit's name; write [Unit nginx.service]");
		return 0;
	}
	if (!take_pattern(r, "[Unit]", pattern, line, rule.pattern, sizeof(rule.pattern)))
		return 0;
	if (s->n_rules == UNIT_RULES_MAX) {
		wrong(r, line, "more than %d [Unit] sections; use globs", UNIT_RULES_MAX);
		return 0;
	}
	rules = realloc(s->rules, (s->n_rules + 1) * sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	unit_settings_init(&rule.values);
	s->rules = rules;
	r->rule = &rules[s->n_rules++];
	*r->rule = rule;
	r->section = SECTION_UNIT;
	return 0;
}

static void begin_plugin(struct reader *r, const char *name, unsigned int line)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	if (!*name || name[n]) {
		wrong(r, line, "[Plugin %s]: not a plugin's name; write it as in [Plugin tcp]",
			name);
		return;
	}
	if (!str_copy(r->plugin, sizeof(r->plugin), name)) {
		wrong(r, line, "[Plugin %s]: the name is longer than %d bytes; shorten it", name,
			PLUGIN_NAME_SIZE - 1);
		return;
	}
	r->section = SECTION_PLUGIN;
}

/* The argument of "[Unit nginx]" for the word Unit; NULL where the section is another one. */
static const char *section_argument(const char *section, const char *word)
{
	const char *rest = str_after_prefix(section, word);

	if (!rest || (*rest && !isspace((unsigned char)*rest)))
		return NULL;
	while (isspace((unsigned char)*rest))
		rest++;
	return rest;
}

static int begin_host_section(struct reader *r, const char *section, unsigned int line)
{
	static const char *const known[] = { "Mendd", "Unit", "Plugin" };
	char word[32];
	const char *argument, *near;

	r->section = SECTION_OTHER;
	if (str_eq(section, "Mendd")) {
		r->section = SECTION_HOST;
		return 0;
	}
	argument = section_argument(section, "Unit");
	if (argument)
		return begin_unit(r, argument, line);
	argument = section_argument(section, "Plugin");
	if (argument) {
		begin_plugin(r, argument, line);
		return 0;
	}
	if (str_eq(section, "X-Mendd")) {
		wrong(r, line, "[X-Mendd] is for unit files; write [Unit NAME] here");
		return 0;
	}
	str_copy(word, sizeof(word), section);
	word[strcspn(word, " \t")] = '\0';
	near = str_nearest(word, known, ARRAY_SIZE(known));
	wrong(r, line, "unknown section [%s]; %s%s%s", section,
		near ? "did you mean [" : "there are [Mendd], [Unit NAME] and [Plugin NAME]",
		near ? near : "", near ? (str_eq(near, "Mendd") ? "]?" : " NAME]?") : "");
	return 0;
}

static void begin_own_section(struct reader *r, const char *section, unsigned int line)
{
	r->section = SECTION_OTHER;
	if (str_eq(section, "X-Mendd")) {
		r->section = SECTION_UNIT;
		*r->present = true;
	} else if (str_distance(section, "X-Mendd", 2) <= 2) {
		/* systemd ignores all of [X-…], so nobody else would ever say it */
		wrong(r, line, "unknown section [%s]; did you mean [X-Mendd]?", section);
		*r->present = true;
	}
}

static int on_entry(
	void *userdata, const char *section, const char *key, const char *value, unsigned int line)
{
	struct reader *r = userdata;

	if (!key) {
		if (r->host)
			return begin_host_section(r, section, line);
		begin_own_section(r, section, line);
		return 0;
	}
	if (r->section == SECTION_OTHER)
		return 0;
	if (r->section == SECTION_PLUGIN)
		return add_plugin_setting(r, key, value, line);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct key *k = &keys[i];

		if (k->section != r->section || !str_eq(k->name, key))
			continue;
		if (!*value)
			set_default(r, k);
		else if (k->set)
			k->set(r, value, line);
		else
			set_span(r, k, value, line);
		if (r->rule && k->section == SECTION_UNIT)
			r->rule->set |= k->bit;
		return 0;
	}
	unknown_key(r, section, key, line);
	return 0;
}

static void on_mistake(void *userdata, const char *section, unsigned int line, const char *what)
{
	struct reader *r = userdata;

	/* What is wrong elsewhere in a unit file is systemd's to tell. */
	if (!r->host) {
		if (str_distance(section, "X-Mendd", 2) > 2)
			return;
		*r->present = true;
	}
	wrong(r, line, "%s", what);
}

static int read_text(struct reader *r, const char *text, size_t size)
{
	const struct unitfile_handler handler = {
		.userdata = r,
		.entry = on_entry,
		.mistake = on_mistake,
	};
	unsigned int before = r->errors->count;
	int e = unitfile_parse(text, size, &handler);

	if (e == -ENOMEM)
		return e;
	/* All others were told as mistakes, but perhaps in a section of a unit file that is not
	 * ours; and ours may have come behind it. */
	if (e < 0 && r->errors->count == before)
		wrong(r, 0, "too large or no text; whether it has an [X-Mendd] section is unknown");
	return 0;
}

int host_settings_parse(struct host_settings *s, const char *file, const char *text, size_t size,
	struct settings_errors *errors)
{
	struct reader r = { .file = file, .errors = errors, .host = s };

	return read_text(&r, text, size);
}

int unit_rule_parse(struct unit_rule *rule, bool *present, const char *file, const char *text,
	size_t size, struct settings_errors *errors)
{
	struct reader r = { .file = file, .errors = errors, .rule = rule, .present = present };

	return read_text(&r, text, size);
}
