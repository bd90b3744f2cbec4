/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.freedesktop.LogControl1, which `systemctl service-log-level` speaks: how much the daemon says
 * of itself, until it is started again or its configuration read. To let sd-bus judge who may set
 * it would block the loop with a question to the bus; so the call is taken before sd-bus sees it,
 * and goes the way of all changes.
 */
#include "api_internal.h"

static int get_level(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	return sd_bus_message_append(reply, "s", log_level_word(log_level()));
}

/* Never reached; it makes the property writable in the introspection, and fails closed. */
static int set_level(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *value, void *userdata, sd_bus_error *ret_error)
{
	return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED, "Not this way.");
}

static int get_target(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	/* Standard error, where journald listens and strips the level. */
	return sd_bus_message_append(reply, "s", "console");
}

static int get_identifier(sd_bus *bus, const char *path, const char *interface,
	const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	return sd_bus_message_append(reply, "s", "mendd");
}

const sd_bus_vtable api_log_control_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, set_level, 0, 0),
	SD_BUS_PROPERTY("LogTarget", "s", get_target, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};

int api_on_log_control(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct request q = { .kind = REQUEST_LOG_LEVEL };
	const char *interface, *property, *word;
	int r;

	if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Set") ||
		!sd_bus_message_has_signature(m, "ssv"))
		return 0; /* sd-bus's */
	r = sd_bus_message_read(m, "ss", &interface, &property);
	if (r < 0)
		return r;
	if (!str_eq(interface, API_LOG_INTERFACE) || !str_eq(property, "LogLevel")) {
		r = sd_bus_message_rewind(m, 1);
		return r < 0 ? r : 0;
	}
	r = sd_bus_message_read(m, "v", "s", &word);
	if (r == -ENXIO)
		return sd_bus_error_set(
			ret_error, SD_BUS_ERROR_INVALID_ARGS, "The level is a string.");
	if (r < 0)
		return r;
	q.log_level = log_level_parse(word);
	if (q.log_level < 0)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"The level is one of emerg, alert, crit, err, warning, notice, info and "
			"debug.");
	r = auth_ask(userdata, m, &q, ret_error);
	return r < 0 ? r : 1;
}
