/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A setting may be written for a unit that nobody watches yet: one that was never started, or that
 * PID 1 has unloaded. Whether there is such a unit, and what its name is where the one that was
 * given is an alias, PID 1 is asked (LoadUnit, which it allows to everybody). Then the request goes
 * on as all others do.
 */
#include "api_internal.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"

enum {
	LOADING_MAX = 16, /* questions at once: a stranger may ask as well */
};

#define LOAD_TIMEOUT_USEC (5 * USEC_PER_SEC)

struct loading {
	struct api *api;      /* borrowed */
	sd_bus_message *call; /* owned */
	sd_bus_slot *slot;    /* owned; the question under way */
	struct request request;
	struct loading *next; /* owned by the list */
};

/* What PID 1 says of a unit. */
struct loaded {
	const char *id, *state, *error; /* borrowed from the message */
};

static void loading_free(struct loading *l)
{
	struct loading **p;

	for (p = &l->api->loadings; *p; p = &(*p)->next)
		if (*p == l) {
			*p = l->next;
			l->api->n_loadings--;
			break;
		}
	sd_bus_slot_unref(l->slot);
	sd_bus_message_unref(l->call);
	free(l);
}

void load_drop_all(struct api *a)
{
	while (a->loadings)
		loading_free(a->loadings);
}

static void refuse(struct loading *l, const char *format, ...) _printf_(2, 3);
static void refuse(struct loading *l, const char *format, ...)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	va_list ap;

	va_start(ap, format);
	sd_bus_error_setfv(&error, API_ERROR_NO_SUCH_UNIT, format, ap);
	va_end(ap);
	sd_bus_reply_method_error(l->call, &error);
	loading_free(l);
}

static int read_property(sd_bus_message *m, const char *name, struct loaded *ret)
{
	const char *code;

	if (str_eq(name, "Id"))
		return sd_bus_message_read(m, "v", "s", &ret->id);
	if (str_eq(name, "LoadState"))
		return sd_bus_message_read(m, "v", "s", &ret->state);
	if (str_eq(name, "LoadError"))
		return sd_bus_message_read(m, "v", "(ss)", &code, &ret->error);
	return sd_bus_message_skip(m, "v");
}

static int read_properties(sd_bus_message *m, struct loaded *ret)
{
	const char *name;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read_basic(m, 's', &name);
		if (r >= 0)
			r = read_property(m, name, ret);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	struct loading *l = userdata;
	struct loaded unit = { "", "", "" };

	if (sd_bus_message_is_method_error(m, NULL) || read_properties(m, &unit) < 0 ||
		!unit_name_is_service(unit.id)) {
		refuse(l, "systemd does not say whether there is a unit %s.", l->request.unit);
	} else if (str_eq(unit.state, "not-found")) {
		refuse(l, "There is no unit %s: systemd finds no file of it.", unit.id);
	} else if (!str_eq(unit.state, "loaded")) {
		refuse(l, "Unit %s cannot be watched: systemd says \"%s\"%s%s", unit.id, unit.state,
			*unit.error ? ": " : ".", unit.error);
	} else if (host_settings_excludes(&l->api->world->settings, unit.id, NULL)) {
		refuse(l, "Unit %s is not watched: Exclude= in mendd.conf leaves it out.", unit.id);
	} else {
		str_copy(l->request.unit, sizeof(l->request.unit), unit.id);
		if (auth_ask(l->api, l->call, &l->request, &error) < 0)
			sd_bus_reply_method_error(l->call, &error);
		loading_free(l);
	}
	return 0;
}

static int on_loaded(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct loading *l = userdata;
	const char *path;

	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &path) < 0) {
		const sd_bus_error *e = sd_bus_message_get_error(m);

		refuse(l, "Unit %s is not watched, and systemd cannot load it%s%s.",
			l->request.unit, e && e->message ? ": " : "",
			e && e->message ? e->message : "");
		return 0;
	}
	l->slot = sd_bus_slot_unref(l->slot);
	if (sd_bus_call_method_async(l->api->bus, &l->slot, SYSTEMD_NAME, path,
		    "org.freedesktop.DBus.Properties", "GetAll", on_properties, l, "s",
		    SYSTEMD_NAME ".Unit") < 0)
		refuse(l, "systemd cannot be asked about %s.", l->request.unit);
	return 0;
}

int load_ask(struct api *a, sd_bus_message *call, const struct request *q, sd_bus_error *ret_error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	struct loading *l;
	int r;

	if (a->n_loadings >= LOADING_MAX)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
			"Too many requests about units that are not watched.");
	r = sd_bus_message_new_method_call(
		a->bus, &m, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_NAME ".Manager", "LoadUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", q->unit);
	if (r < 0)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->api = a;
	l->call = sd_bus_message_ref(call);
	l->request = *q;
	l->next = a->loadings;
	a->loadings = l;
	a->n_loadings++;
	r = sd_bus_call_async(a->bus, &l->slot, m, on_loaded, l, LOAD_TIMEOUT_USEC);
	if (r < 0)
		loading_free(l);
	return r;
}
