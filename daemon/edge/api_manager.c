/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.mendd1.Manager: the vtable and the marshalling of what concerns the whole host, and of all
 * reading. Reading is for everybody and answers from memory; incidents that left it come from the
 * store, through the manager's verbs.
 */
#include "api_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

const char *api_state_word(const struct world *w)
{
	if (w->pause.active || w->pause.kill_switch)
		return "paused";
	if (w->degraded || !w->settings_ok)
		return "degraded";
	return "running";
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	return sd_bus_message_append(reply, "s", MENDD_VERSION);
}

static int get_features(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct world *w = ((struct api *)userdata)->world;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(sbs)");
	for (size_t i = 0; r >= 0 && i < w->n_features; i++) {
		const struct feature *f = &w->features[i];

		r = sd_bus_message_open_container(reply, 'r', "sbs");
		if (r >= 0)
			r = sd_bus_message_append(reply, "sb", f->name, f->up);
		if (r >= 0)
			r = append_text(reply, f->text);
		if (r >= 0)
			r = sd_bus_message_close_container(reply);
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_plugin(sd_bus_message *reply, const struct plugin_state *p)
{
	const char *const texts[] = { p->name, p->kind, p->version, p->path };
	int r;

	r = sd_bus_message_open_container(reply, 'r', "ssssbstt");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(texts); i++)
		r = append_text(reply, texts[i]);
	if (r >= 0)
		r = sd_bus_message_append(reply, "b", p->active);
	if (r >= 0)
		r = append_text(reply, p->error);
	if (r >= 0)
		r = sd_bus_message_append(reply, "tt", p->calls, p->failures);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_plugins(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct world *w = ((struct api *)userdata)->world;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ssssbstt)");
	for (size_t i = 0; r >= 0 && i < w->n_plugins; i++)
		r = append_plugin(reply, &w->plugins[i]);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	return sd_bus_message_append(reply, "s", api_state_word(((struct api *)userdata)->world));
}

static int get_flag(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct world *w = ((struct api *)userdata)->world;
	bool v = str_eq(property, "HealingEnabled") ? world_healing_enabled(w)
		 : str_eq(property, "KillSwitch")   ? w->pause.kill_switch
						    : w->degraded;

	return sd_bus_message_append(reply, "b", v);
}

static int get_count(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct world *w = ((struct api *)userdata)->world;
	size_t cursor = 0;
	uint32_t n = 0;
	struct unit *u;

	while ((u = hash_next(&w->units, &cursor)))
		n += str_eq(property, "NUnits")            ? 1
		     : str_eq(property, "NUnitsUnhealthy") ? u->health == HEALTH_UNHEALTHY
							   : u->incident && u->incident->open;
	return sd_bus_message_append(reply, "u", n);
}

static int get_total(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct world *w = ((struct api *)userdata)->world;
	uint64_t v = str_eq(property, "NEvents")          ? w->events
		     : str_eq(property, "NEventsLost")    ? world_events_lost(w)
		     : str_eq(property, "NUnitsRefused")  ? w->units_refused
		     : str_eq(property, "StartedUSec")    ? w->started_usec
		     : str_eq(property, "LastScrapeUSec") ? w->last_scrape_usec
							  : w->settings_loaded_usec;

	return sd_bus_message_append(reply, "t", v);
}

static int get_pause(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct pause *p = &((struct api *)userdata)->world->pause;
	int r;

	r = sd_bus_message_open_container(reply, 'r', "ts");
	if (r < 0)
		return r;
	r = sd_bus_message_append(reply, "t", p->active ? wall_usec(p->until_ns) : UINT64_C(0));
	if (r < 0)
		return r;
	r = append_text(reply, p->active ? p->reason : "");
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_config_error(sd_bus *bus, const char *path, const char *interface,
	const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	return append_text(reply, ((struct api *)userdata)->world->settings_error);
}

static int on_get_unit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_free_ char *path = NULL;
	const char *name;
	struct unit *u;
	int r;

	r = sd_bus_message_read(m, "s", &name);
	if (r < 0)
		return r;
	u = find_unit(a->world, name, ret_error);
	if (!u)
		return -ENOENT;
	r = sd_bus_path_encode(API_UNIT_PATH, u->name, &path);
	if (r < 0)
		return r;
	return sd_bus_reply_method_return(m, "o", path);
}

static int append_unit(sd_bus_message *reply, const struct unit *u)
{
	_cleanup_free_ char *path = NULL;
	int r;

	r = sd_bus_path_encode(API_UNIT_PATH, u->name, &path);
	if (r < 0)
		return r;
	return sd_bus_message_append(reply, "(ssssstto)", u->name, health_word(u->health),
		heal_mode_word(u->settings.heal), heal_state_word(u->heal.state),
		cause_word(u->heal.trouble.present ? u->heal.trouble.cause : CAUSE_NONE),
		unit_restarts(u), wall_usec(unit_since_ns(u)), path);
}

int api_list_units(struct api *a, sd_bus_message *call, const char *type,
	int (*append)(sd_bus_message *reply, const struct unit *u))
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_free_ struct unit **units = NULL;
	size_t n;
	int r;

	r = world_units_sorted(a->world, &units, &n);
	if (r < 0)
		return r;
	r = sd_bus_message_new_method_return(call, &reply);
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(reply, 'a', type);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = append(reply, units[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_message_send(reply);
}

static int on_list_units(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	return api_list_units(userdata, m, "(ssssstto)", append_unit);
}

/* Line breaks and tabs between tokens are fine in JSON, but not in a line of text; whatever else a
 * store or a plugin handed over is made printable. */
static int reply_json(sd_bus_message *m, struct strbuf *b)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r;

	if (b->error)
		return b->error;
	for (size_t i = 0; i < b->len; i++)
		if ((unsigned char)b->data[i] < 0x20)
			b->data[i] = ' ';
	r = sd_bus_message_new_method_return(m, &reply);
	if (r < 0)
		return r;
	r = append_text(reply, strbuf_text(b));
	return r < 0 ? r : sd_bus_message_send(reply);
}

static int on_list_incidents(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_strbuf_ struct strbuf b = {};
	const struct unit *u;
	const char *unit;
	uint32_t limit;
	int r;

	r = sd_bus_message_read(m, "su", &unit, &limit);
	if (r < 0)
		return r;
	/* A unit that is gone may have had incidents: only the form of the name counts. */
	if (*unit && !unit_name_is_service(unit))
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"That is not the name of a service unit.");
	u = world_unit_by_any_name(a->world, unit);
	limit = limit == 0 ? (uint32_t)API_INCIDENTS_DEFAULT
			   : MIN(limit, (uint32_t)API_INCIDENTS_MAX);
	r = a->verbs->list_incidents(a->verbs->manager, u ? u->name : unit, limit, &b);
	if (r < 0)
		return set_error(ret_error, r, NULL);
	return reply_json(m, &b);
}

static int on_get_incident(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_strbuf_ struct strbuf b = {};
	const struct incident *i;
	const char *id;
	size_t length;
	int r;

	r = sd_bus_message_read(m, "s", &id);
	if (r < 0)
		return r;
	length = strlen(id);
	if (length < 4 || length >= INCIDENT_ID_SIZE || strspn(id, "0123456789abcdef-") != length)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"An incident's id is a UUID in lower case, or at least its first four "
			"characters.");
	i = world_incident(a->world, id);
	if (i) {
		incident_to_json(i, &b);
	} else {
		r = a->verbs->stored_incident(a->verbs->manager, id, &b);
		if (r == -ENOENT || r == -ENODATA)
			return sd_bus_error_setf(ret_error, API_ERROR_NO_SUCH_INCIDENT,
				"There is no incident %s, or more than one begins so.", id);
		if (r < 0)
			return set_error(ret_error, r, NULL);
	}
	return reply_json(m, &b);
}

static int on_explain(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_strbuf_ struct strbuf b = {};
	const char *name;
	struct unit *u;
	int r;

	r = sd_bus_message_read(m, "s", &name);
	if (r < 0)
		return r;
	u = find_unit(a->world, name, ret_error);
	if (!u)
		return -ENOENT;
	explain_to_json(u, a->world, &b);
	return reply_json(m, &b);
}

static int text_to_memfd(const struct strbuf *b)
{
	_cleanup_close_ int fd = -1;
	size_t done = 0;

	fd = memfd_create("mendd-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	/* Sealed: what the reader maps does not change under it. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int on_dump_metrics(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_strbuf_ struct strbuf b = {};
	_cleanup_close_ int fd = -1;
	const char *format;
	int r;

	r = sd_bus_message_read(m, "s", &format);
	if (r < 0)
		return r;
	if (!str_eq(format, "text") && !str_eq(format, "openmetrics"))
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
			"The format is \"text\" or \"openmetrics\".");
	if (!a->dump_metrics)
		return set_error(ret_error, -EOPNOTSUPP, "This mendd has no metrics.");
	r = a->dump_metrics(a->dump_userdata, format, &b);
	if (r >= 0)
		r = b.error;
	if (r < 0)
		return set_error(ret_error, r, NULL);
	fd = text_to_memfd(&b);
	if (fd < 0)
		return fd;
	return sd_bus_reply_method_return(m, "h", fd);
}

/* Both VerifyConfig() (the installed files) and VerifyConfigText() (name and text of one). */
static int on_verify_config(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_strbuf_ struct strbuf b = {}, clean = {};
	const char *name = NULL, *text = NULL;
	char *rest, *line;
	int r;

	if (!sd_bus_message_has_signature(m, "")) {
		r = sd_bus_message_read(m, "ss", &name, &text);
		if (r < 0)
			return r;
		r = check_text(name, "file name", ret_error);
		if (r < 0)
			return r;
		if (strlen(text) > API_CONFIG_MAX)
			return sd_bus_error_setf(ret_error, SD_BUS_ERROR_INVALID_ARGS,
				"The text is longer than %d bytes.", API_CONFIG_MAX);
	}
	if (!a->verbs->verify_config)
		return set_error(ret_error, -EOPNOTSUPP, NULL);
	r = a->verbs->verify_config(a->verbs->manager, name, text, &b);
	if (r < 0)
		return set_error(ret_error, r, NULL);
	/* Mistakes quote the files, which may hold any byte; only the newlines between are ours. */
	rest = strbuf_take(&b);
	if (!rest)
		return b.error;
	for (char *cursor = rest; (line = strsep(&cursor, "\n"));)
		if (*line) {
			strbuf_add_clean(&clean, line);
			strbuf_add(&clean, "\n");
		}
	free(rest);
	if (clean.error)
		return clean.error;
	return sd_bus_reply_method_return(m, "s", strbuf_text(&clean));
}

#define READ SD_BUS_VTABLE_UNPRIVILEGED
/* Who may is asked of polkit, not of the capabilities that sd-bus would look at. */
#define WRITE SD_BUS_VTABLE_UNPRIVILEGED
#define ANNOUNCED SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

const sd_bus_vtable api_manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, CONSTANT),
	SD_BUS_PROPERTY("Features", "a(sbs)", get_features, 0, ANNOUNCED),
	SD_BUS_PROPERTY("State", "s", get_state, 0, ANNOUNCED),
	SD_BUS_PROPERTY("HealingEnabled", "b", get_flag, 0, ANNOUNCED),
	SD_BUS_PROPERTY("KillSwitch", "b", get_flag, 0, ANNOUNCED),
	SD_BUS_PROPERTY("Degraded", "b", get_flag, 0, ANNOUNCED),
	SD_BUS_PROPERTY("Pause", "(ts)", get_pause, 0, ANNOUNCED),
	SD_BUS_PROPERTY("ConfigError", "s", get_config_error, 0, ANNOUNCED),
	SD_BUS_PROPERTY("Plugins", "a(ssssbstt)", get_plugins, 0, 0),
	SD_BUS_PROPERTY("NUnits", "u", get_count, 0, 0),
	SD_BUS_PROPERTY("NUnitsUnhealthy", "u", get_count, 0, 0),
	SD_BUS_PROPERTY("NIncidentsOpen", "u", get_count, 0, 0),
	SD_BUS_PROPERTY("NUnitsRefused", "t", get_total, 0, 0),
	SD_BUS_PROPERTY("NEvents", "t", get_total, 0, 0),
	SD_BUS_PROPERTY("NEventsLost", "t", get_total, 0, 0),
	SD_BUS_PROPERTY("StartedUSec", "t", get_total, 0, CONSTANT),
	SD_BUS_PROPERTY("LastScrapeUSec", "t", get_total, 0, 0),
	SD_BUS_PROPERTY("ConfigLoadedUSec", "t", get_total, 0, 0),

	SD_BUS_METHOD_WITH_ARGS(
		"GetUnit", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path), on_get_unit, READ),
	SD_BUS_METHOD_WITH_ARGS("ListUnits", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssssstto)", units),
		on_list_units, READ),
	SD_BUS_METHOD_WITH_ARGS(
		"ListHTTP", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", units), api_on_list_http, READ),
	SD_BUS_METHOD_WITH_ARGS("ListIncidents", SD_BUS_ARGS("s", unit, "u", limit),
		SD_BUS_RESULT("s", json), on_list_incidents, READ),
	SD_BUS_METHOD_WITH_ARGS("GetIncident", SD_BUS_ARGS("s", id), SD_BUS_RESULT("s", json),
		on_get_incident, READ),
	SD_BUS_METHOD_WITH_ARGS(
		"Explain", SD_BUS_ARGS("s", unit), SD_BUS_RESULT("s", json), on_explain, READ),
	SD_BUS_METHOD_WITH_ARGS("DumpMetrics", SD_BUS_ARGS("s", format), SD_BUS_RESULT("h", fd),
		on_dump_metrics, READ),
	SD_BUS_METHOD_WITH_ARGS("VerifyConfig", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", mistakes),
		on_verify_config, READ),
	SD_BUS_METHOD_WITH_ARGS("VerifyConfigText", SD_BUS_ARGS("s", name, "s", text),
		SD_BUS_RESULT("s", mistakes), on_verify_config, READ),

	SD_BUS_METHOD_WITH_ARGS("RestartUnit", SD_BUS_ARGS("s", name, "s", reason, "t", flags),
		SD_BUS_NO_RESULT, api_on_write, WRITE),
	SD_BUS_METHOD_WITH_ARGS("PauseHealing", SD_BUS_ARGS("t", usec, "s", reason, "t", flags),
		SD_BUS_NO_RESULT, api_on_write, WRITE),
	SD_BUS_METHOD_WITH_ARGS(
		"ResumeHealing", SD_BUS_ARGS("t", flags), SD_BUS_NO_RESULT, api_on_write, WRITE),
	SD_BUS_METHOD_WITH_ARGS("ResetUnit", SD_BUS_ARGS("s", name, "t", flags), SD_BUS_NO_RESULT,
		api_on_write, WRITE),
	SD_BUS_METHOD_WITH_ARGS("SetHealing", SD_BUS_ARGS("s", name, "s", mode), SD_BUS_NO_RESULT,
		api_on_write, WRITE),
	SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, api_on_write, WRITE),

	SD_BUS_SIGNAL_WITH_ARGS("UnitAdded", SD_BUS_ARGS("s", name, "o", path), 0),
	SD_BUS_SIGNAL_WITH_ARGS("UnitRemoved", SD_BUS_ARGS("s", name, "o", path), 0),
	SD_BUS_SIGNAL_WITH_ARGS("HealthChanged",
		SD_BUS_ARGS("s", unit, "s", old_health, "s", new_health, "s", reason), 0),
	SD_BUS_SIGNAL_WITH_ARGS("AlertChanged", SD_BUS_ARGS("s", unit, "s", rule, "s", state), 0),
	SD_BUS_SIGNAL_WITH_ARGS("IncidentOpened", SD_BUS_ARGS("s", id, "s", unit, "s", cause), 0),
	SD_BUS_SIGNAL_WITH_ARGS("IncidentClosed", SD_BUS_ARGS("s", id, "s", unit, "s", verdict), 0),
	SD_BUS_VTABLE_END,
};
