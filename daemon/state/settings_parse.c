/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text form of the settings: sections and lines. Which keys there are is in settings_keys.c,
 * what their values may be in settings_values.c. Every mistake is told with file, line and a hint,
 * and reading goes on behind it, so that one run shows all of them. Pure: reading files is the
 * edge's work. See settings.h.
 */
#include "settings_impl.h"
#include "../base/str.h"
#include "../base/unitfile.h"

#include <ctype.h>
#include <stdarg.h>

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

static int add_plugin_setting(
	struct reader *r, const char *key, const char *value, unsigned int line)
{
	struct host_settings *s = r->host;

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
	return host_settings_add_plugin(s, r->plugin, key, value);
}

static int begin_unit(struct reader *r, const char *pattern, unsigned int line)
{
	struct host_settings *s = r->host;
	struct unit_rule rule = {};

	if (!*pattern) {
		wrong(r, line, "[Unit] lacks the unit's name; write [Unit nginx.service]");
		return 0;
	}
	if (!settings_take_pattern(r, "[Unit]", pattern, line, rule.pattern, sizeof(rule.pattern)))
		return 0;
	if (s->n_rules == UNIT_RULES_MAX) {
		wrong(r, line, "more than %d [Unit] sections; use globs", UNIT_RULES_MAX);
		return 0;
	}
	unit_settings_init(&rule.values);
	if (host_settings_add_rule(s, &rule) < 0)
		return -ENOMEM;
	r->rule = &s->rules[s->n_rules - 1];
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
	int e = 0;

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
	argument = section_argument(section, word);
	near = str_nearest(word, known, ARRAY_SIZE(known));
	/* What it forbids counts. */
	if (near && str_eq(near, "Mendd"))
		r->section = SECTION_EXCLUDES;
	else if (near && str_eq(near, "Unit") && *argument)
		e = begin_unit(r, argument, line);
	wrong(r, line, "unknown section [%s]; %s%s%s", section,
		near ? "did you mean [" : "there are [Mendd], [Unit NAME] and [Plugin NAME]",
		near ? near : "", near ? (str_eq(near, "Mendd") ? "]?" : " NAME]?") : "");
	return e;
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

/* --- a section with a mistake --------------------------------------------------------------- */

static void begin_section(struct reader *r, const char *section)
{
	str_copy(r->name, sizeof(r->name), section);
	r->doubtful = r->heal_doubtful = false;
	if (r->host) {
		r->host_before = *r->host;
	} else {
		r->rule_before = *r->rule;
		r->rule->set = 0; /* what this section alone sets */
	}
}

/* What remains of a rule that cannot be trusted; 0 bits: nothing. */
static void reduce_rule(const struct reader *r, struct unit_rule *rule, uint32_t set)
{
	bool said = set & UNIT_KEY_HEAL && rule->values.heal != HEAL_RESTART;

	if (!said && !r->heal_doubtful)
		return;
	rule->set |= UNIT_KEY_HEAL;
	if (!said)
		rule->values.heal = HEAL_OBSERVE;
}

static void end_host_section(struct reader *r)
{
	struct host_settings *s = r->host;
	const struct host_settings *before = &r->host_before;

	s->log_level = before->log_level;
	s->units_max = before->units_max;
	s->http_units_max = before->http_units_max;
	/* "Exclude=" alone allows what was excluded before. */
	if (s->n_excludes < before->n_excludes) {
		memcpy(s->excludes, before->excludes, sizeof(s->excludes));
		s->n_excludes = before->n_excludes;
	}
	host_settings_drop_plugins(s, before->n_plugin_settings);
	if (s->n_rules > before->n_rules) {
		uint32_t set = r->rule->set;

		r->rule->set = 0;
		reduce_rule(r, r->rule, set);
		if (!r->rule->set)
			s->n_rules = before->n_rules;
	}
}

static void end_own_section(struct reader *r)
{
	struct unit_rule now = *r->rule;

	*r->rule = r->rule_before;
	if (now.set & UNIT_KEY_HEAL)
		r->rule->values.heal = now.values.heal;
	reduce_rule(r, r->rule, now.set);
}

static void end_section(struct reader *r)
{
	if (r->doubtful && r->host)
		end_host_section(r);
	else if (r->doubtful)
		end_own_section(r);
	else if (!r->host)
		r->rule->set |= r->rule_before.set;
	r->doubtful = false;
}

/* Any line that was perhaps to say Heal=. */
static bool may_mean_heal(const char *key)
{
	return strcasecmp(key, "Heal") == 0 || str_distance(key, "Heal", 2) <= 2;
}

static int on_line(struct reader *r, const char *section, const char *key, const char *value,
	unsigned int line)
{
	switch (r->section) {
	case SECTION_OTHER:
		return 0;
	case SECTION_EXCLUDES:
		if (str_eq(key, "Exclude"))
			settings_add_excludes(r, value, line);
		return 0;
	case SECTION_PLUGIN:
		return add_plugin_setting(r, key, value, line);
	case SECTION_HOST:
	case SECTION_UNIT:
		settings_key(r, section, key, value, line);
		return 0;
	}
	return 0;
}

static int on_entry(
	void *userdata, const char *section, const char *key, const char *value, unsigned int line)
{
	struct reader *r = userdata;
	unsigned int before;
	int e = 0;

	if (!key) {
		end_section(r);
		begin_section(r, section);
	}
	before = r->errors->count;
	if (key)
		e = on_line(r, section, key, value, line);
	else if (r->host)
		e = begin_host_section(r, section, line);
	else
		begin_own_section(r, section, line);
	if (r->errors->count > before) {
		r->doubtful = true;
		r->heal_doubtful = r->heal_doubtful || (key && may_mean_heal(key));
	}
	return e;
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
	/* A line that is no Key=Value may have been any key; one of the next section is not ours.
	 */
	if (str_eq(section, r->name))
		r->doubtful = r->heal_doubtful = true;
}

static int read_text(struct reader *r, const char *text, size_t size)
{
	const struct unitfile_handler handler = {
		.userdata = r,
		.entry = on_entry,
		.mistake = on_mistake,
	};
	unsigned int before = r->errors->count;
	int e;

	begin_section(r, "");
	e = unitfile_parse(text, size, &handler);
	end_section(r);
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
