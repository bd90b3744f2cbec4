/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to the daemon: one connection to the system bus, calls that wait, and each error turned
 * into a sentence and an exit code. mendd is never started by asking for it.
 */
#include "ctl.h"

/* Above the daemon's own deadline for a person who types a password (two minutes). */
#define CALL_TIMEOUT_USEC (150 * USEC_PER_SEC)

int out_of_memory(void)
{
	complain("Out of memory.");
	return EXIT_UNHEALTHY;
}

int bus_open(struct ctl *c)
{
	int r;

	if (c->bus)
		return 0;
	r = sd_bus_open_system(&c->bus);
	if (r < 0) {
		complain("Cannot reach the system bus: %s", strerror(-r));
		return EXIT_NO_DAEMON;
	}
	return 0;
}

static void suggest_unit(struct ctl *c, const char *name);

/* Says what went wrong; `unit` is the name that was asked for, NULL: none. */
static int explain_error(struct ctl *c, int r, const sd_bus_error *e, const char *unit)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
		{ "org.mendd1.Error.NoSuchUnit", EXIT_NOT_WATCHED },
		{ SD_BUS_ERROR_INVALID_ARGS, EXIT_USAGE },
	};

	if (sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
		    SD_BUS_ERROR_DISCONNECTED)) {
		complain("mendd is not running. Start it with: systemctl start mendd");
		return EXIT_NO_DAEMON;
	}
	if (sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT)) {
		complain("mendd does not answer. 'systemctl status mendd' may say why.");
		return EXIT_NO_DAEMON;
	}
	complain("%s", e->message ? e->message : strerror(-r));
	if (unit && sd_bus_error_has_name(e, "org.mendd1.Error.NoSuchUnit"))
		suggest_unit(c, unit);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (sd_bus_error_has_name(e, codes[i].name))
			return codes[i].code;
	return EXIT_UNHEALTHY;
}

static int call_va(struct ctl *c, sd_bus_message **ret, const char *path, const char *interface,
	const char *member, const char *types, va_list ap)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *first = NULL;
	int r;

	r = bus_open(c);
	if (r != 0)
		return r;
	r = sd_bus_message_new_method_call(c->bus, &m, BUS_NAME, path, interface, member);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, 0);
	/* With a person at the terminal polkit may ask for a password. */
	if (r >= 0 && isatty(STDIN_FILENO))
		r = sd_bus_message_set_allow_interactive_authorization(m, 1);
	if (r >= 0 && *types) {
		if (*types == 's') {
			va_list again;

			va_copy(again, ap);
			first = va_arg(again, const char *);
			va_end(again);
		}
		r = sd_bus_message_appendv(m, types, ap);
	}
	if (r < 0) {
		complain("Cannot ask mendd: %s", strerror(-r));
		return EXIT_UNHEALTHY;
	}
	r = sd_bus_call(c->bus, m, CALL_TIMEOUT_USEC, &error, &reply);
	if (r < 0)
		return explain_error(c, r, &error, first);
	if (ret)
		*ret = TAKE_PTR(reply);
	return 0;
}

int bus_call(struct ctl *c, sd_bus_message **ret, const char *path, const char *interface,
	const char *member, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = call_va(c, ret, path, interface, member, types, ap);
	va_end(ap);
	return r;
}

static int bad_answer(void)
{
	complain("mendd gave an answer that this mendctl does not understand. Do their versions "
		 "match?");
	return EXIT_UNHEALTHY;
}

int bus_call_json(struct ctl *c, json_t **ret, const char *member, const char *types, ...)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const char *text;
	json_t *j;
	va_list ap;
	int r;

	va_start(ap, types);
	r = call_va(c, &m, BUS_PATH, BUS_MANAGER, member, types, ap);
	va_end(ap);
	if (r != 0)
		return r;
	if (sd_bus_message_read(m, "s", &text) < 0)
		return bad_answer();
	j = json_loads(text, 0, NULL);
	if (!j)
		return bad_answer();
	*ret = j;
	return 0;
}

int bus_properties(struct ctl *c, json_t **ret, const char *path, const char *interface)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = bus_call(c, &m, path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface);
	if (r != 0)
		return r;
	return json_from_message(m, ret) < 0 ? bad_answer() : 0;
}

int bus_unit(struct ctl *c, json_t **ret, const char *unit)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const char *path;
	int r;

	r = bus_call(c, &m, BUS_PATH, BUS_MANAGER, "GetUnit", "s", unit);
	if (r != 0)
		return r;
	if (sd_bus_message_read(m, "o", &path) < 0)
		return bad_answer();
	return bus_properties(c, ret, path, BUS_UNIT);
}

int bus_units(struct ctl *c, json_t **ret)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const char *name, *health, *mode, *state, *cause, *path;
	uint64_t restarts, since;
	json_t *list;
	int r;

	r = bus_call(c, &m, BUS_PATH, BUS_MANAGER, "ListUnits", "");
	if (r != 0)
		return r;
	if (sd_bus_message_enter_container(m, 'a', "(ssssstto)") < 0)
		return bad_answer();
	list = json_array();
	while ((r = sd_bus_message_read(m, "(ssssstto)", &name, &health, &mode, &state, &cause,
			&restarts, &since, &path)) > 0)
		json_array_append_new(
			list, json_pack("{ss ss ss ss ss sI sI ss}", "name", name, "health", health,
				      "mode", mode, "state", state, "cause", cause, "restarts",
				      (json_int_t)restarts, "since_usec", (json_int_t)since, "path",
				      path));
	if (r < 0) {
		json_decref(list);
		return bad_answer();
	}
	*ret = list;
	return 0;
}

/* Without ".service", which would make all names alike; owned by the caller. */
static char *stem(const char *name)
{
	size_t n = strlen(name);

	return strndup(name, str_has_suffix(name, ".service") ? n - strlen(".service") : n);
}

/* "Did you mean": asked for here and not in the daemon, whose time belongs to the services. */
static void suggest_unit(struct ctl *c, const char *name)
{
	_cleanup_free_ char **names = NULL;
	_cleanup_free_ char *asked = stem(name);
	const char *near;
	json_t *list = NULL;
	size_t n;

	if (bus_units(c, &list) != 0)
		return;
	n = json_array_size(list);
	names = calloc(n + 1, sizeof(*names));
	for (size_t i = 0; names && i < n; i++)
		names[i] = stem(get_text(json_array_get(list, i), "name"));
	near = names && asked ? str_nearest(asked, (const char *const *)names, n) : NULL;
	if (near)
		complain("Did you mean %s.service?", near);
	for (size_t i = 0; names && i < n; i++)
		free(names[i]);
	json_decref(list);
}

char *unit_name(const char *s)
{
	static const char *const suffixes[] = { ".service", ".socket", ".target", ".timer",
		".mount", ".automount", ".path", ".slice", ".scope", ".device", ".swap" };
	char *name = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_has_suffix(s, suffixes[i]))
			return strdup(s);
	return asprintf(&name, "%s.service", s) < 0 ? NULL : name;
}
