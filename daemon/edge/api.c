/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The D-Bus API's life and its signals: puts the objects on the bus, finds a unit for a path, and
 * turns the manager's notifications into signals. See api.h.
 */
#include "api_internal.h"

#include <inttypes.h>

/* Of complaints about the bus: more than this tells nothing new. */
#define COMPLAINTS_INTERVAL_NS (60 * NSEC_PER_SEC)
#define COMPLAINTS_BURST 5

static void complain(struct api *a, int error, const char *what)
{
	if (error < 0 && ratelimit_pass(&a->complaints, clock_monotonic_ns()))
		log_warning("Cannot announce %s on the bus: %s", what, strerror(-error));
}

static struct announced *announced_free(struct announced *n)
{
	if (!n)
		return NULL;
	free(n->name);
	free(n->path);
	free(n);
	return NULL;
}

/* Remembers the unit as it is now; `n` is new or is being brought up to date. */
static void announced_update(struct announced *n, const struct unit *u)
{
	n->health = u->health;
	n->heal_mode = u->settings.heal;
	n->heal_state = u->heal.state;
	n->refusal = u->heal.refusal;
	n->cause = u->heal.trouble.present ? u->heal.trouble.cause : CAUSE_NONE;
	n->check_status = u->check.status;
	n->probe_status = u->probe.status;
	n->incident_open = u->incident && u->incident->open;
	str_copy(n->health_reason, sizeof(n->health_reason), u->health_reason);
	str_copy(n->invocation, sizeof(n->invocation), u->facts.invocation);
	str_copy(n->incident, sizeof(n->incident), u->incident ? u->incident->id : "");
	str_copy(n->config_error, sizeof(n->config_error), u->settings.error);
}

/* The unit's memory of what was told, made where there is none. NULL for lack of memory. */
static struct announced *announced_get(struct api *a, const struct unit *u, bool *ret_new)
{
	struct announced *n = hash_get_str(&a->announced, u->name);

	*ret_new = !n;
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->name = strdup(u->name);
	if (!n->name || sd_bus_path_encode(API_UNIT_PATH, u->name, &n->path) < 0 ||
		hash_put_str(&a->announced, n->name, n) < 0)
		return announced_free(n);
	announced_update(n, u);
	return n;
}

static int find_unit_object(sd_bus *bus, const char *path, const char *interface, void *userdata,
	void **ret_found, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	_cleanup_free_ char *name = NULL;
	struct unit *u;
	int r;

	r = sd_bus_path_decode(path, API_UNIT_PATH, &name);
	if (r <= 0)
		return r;
	u = world_unit(a->world, name);
	if (!u)
		return 0;
	*ret_found = u;
	return 1;
}

static int list_unit_objects(
	sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *ret_error)
{
	struct api *a = userdata;
	size_t cursor = 0, n = 0;
	struct unit *u;
	char **nodes;
	int r = 0;

	nodes = calloc(a->world->units.live + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	while (r >= 0 && (u = hash_next(&a->world->units, &cursor))) {
		r = sd_bus_path_encode(API_UNIT_PATH, u->name, &nodes[n]);
		if (r >= 0)
			n++;
	}
	if (r < 0) {
		while (n > 0)
			free(nodes[--n]);
		free(nodes);
		return r;
	}
	*ret_nodes = nodes;
	return 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	uint32_t answer = 0;

	enum {
		PRIMARY_OWNER = 1, /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */
		ALREADY_OWNER = 4,
	};

	if (e)
		log_error("Cannot take the name %s on the bus: %s", API_NAME,
			e->message ? e->message : e->name);
	else if (sd_bus_message_read(m, "u", &answer) < 0 ||
		 (answer != PRIMARY_OWNER && answer != ALREADY_OWNER))
		log_error("Another process has the name %s on the bus; mendctl talks to that one",
			API_NAME);
	return 0;
}

static uint64_t features_hash(const struct world *w)
{
	return hash_bytes(w->features, w->n_features * sizeof(w->features[0]));
}

static void remember_manager(struct api *a)
{
	const struct world *w = a->world;

	str_copy(a->told.state, sizeof(a->told.state), api_state_word(w));
	str_copy(a->told.config_error, sizeof(a->told.config_error), w->settings_error);
	str_copy(a->told.pause_reason, sizeof(a->told.pause_reason), w->pause.reason);
	a->told.healing = world_healing_enabled(w);
	a->told.degraded = w->degraded;
	a->told.kill_switch = w->pause.kill_switch;
	a->told.pause_until_ns = w->pause.active ? w->pause.until_ns : 0;
	a->told.features = features_hash(w);
}

int api_new(struct api **ret, sd_bus *bus, struct world *w, const struct verbs *v)
{
	struct api *a = calloc(1, sizeof(*a));
	size_t cursor = 0;
	struct unit *u;
	bool fresh;
	int r;

	if (!a)
		return -ENOMEM;
	a->bus = sd_bus_ref(bus);
	a->world = w;
	a->verbs = v;
	a->complaints = (struct ratelimit) { .interval_ns = COMPLAINTS_INTERVAL_NS,
		.burst = COMPLAINTS_BURST };
	r = sd_bus_add_object_vtable(
		bus, &a->manager_slot, API_PATH, API_MANAGER_INTERFACE, api_manager_vtable, a);
	if (r >= 0)
		r = sd_bus_add_fallback_vtable(bus, &a->unit_slot, API_UNIT_PATH,
			API_UNIT_INTERFACE, api_unit_vtable, find_unit_object, a);
	if (r >= 0)
		r = sd_bus_add_node_enumerator(
			bus, &a->enumerator_slot, API_UNIT_PATH, list_unit_objects, a);
	if (r >= 0)
		r = sd_bus_add_object_manager(bus, &a->object_manager_slot, API_PATH);
	if (r >= 0)
		r = sd_bus_add_object_vtable(bus, &a->log_slot, API_LOG_PATH, API_LOG_INTERFACE,
			api_log_control_vtable, a);
	if (r >= 0)
		r = sd_bus_add_object(bus, &a->log_set_slot, API_LOG_PATH, api_on_log_control, a);
	while (r >= 0 && (u = hash_next(&w->units, &cursor)))
		if (!announced_get(a, u, &fresh))
			r = -ENOMEM;
	/* Last, so that nobody who waited for the name finds half of the objects. */
	if (r >= 0)
		r = sd_bus_request_name_async(bus, &a->name_slot, API_NAME, 0, on_name, a);
	if (r < 0) {
		api_free(a);
		return r;
	}
	remember_manager(a);
	*ret = a;
	return 0;
}

struct api *api_free(struct api *a)
{
	struct announced *n;
	size_t cursor = 0;

	if (!a)
		return NULL;
	load_drop_all(a);
	auth_drop_all(a);
	sd_bus_slot_unref(a->name_slot);
	sd_bus_slot_unref(a->log_set_slot);
	sd_bus_slot_unref(a->log_slot);
	sd_bus_slot_unref(a->object_manager_slot);
	sd_bus_slot_unref(a->enumerator_slot);
	sd_bus_slot_unref(a->unit_slot);
	sd_bus_slot_unref(a->manager_slot);
	while ((n = hash_next(&a->announced, &cursor)))
		announced_free(n);
	hash_done(&a->announced);
	sd_bus_unref(a->bus);
	free(a);
	return NULL;
}

void api_set_dump_metrics(struct api *a, api_dump_metrics_t dump, void *userdata)
{
	a->dump_metrics = dump;
	a->dump_userdata = userdata;
}

void api_unit_added(struct api *a, const struct unit *u)
{
	struct announced *n;
	bool fresh;

	if (!a)
		return;
	n = announced_get(a, u, &fresh);
	if (!n) {
		complain(a, -ENOMEM, "a new unit");
		return;
	}
	if (!fresh)
		return;
	complain(a, sd_bus_emit_object_added(a->bus, n->path), "a new unit");
	complain(a,
		sd_bus_emit_signal(a->bus, API_PATH, API_MANAGER_INTERFACE, "UnitAdded", "so",
			u->name, n->path),
		"a new unit");
}

void api_unit_removed(struct api *a, const struct unit *u)
{
	struct announced *n = a ? hash_remove_str(&a->announced, u->name) : NULL;

	if (!n)
		return;
	complain(a, sd_bus_emit_object_removed(a->bus, n->path), "that a unit is gone");
	complain(a,
		sd_bus_emit_signal(a->bus, API_PATH, API_MANAGER_INTERFACE, "UnitRemoved", "so",
			u->name, n->path),
		"that a unit is gone");
	announced_free(n);
}

static int emit_health(struct api *a, const struct announced *n, const struct unit *u)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_signal(a->bus, &m, API_PATH, API_MANAGER_INTERFACE, "HealthChanged");
	if (r < 0)
		return r;
	r = sd_bus_message_append(
		m, "sss", u->name, health_word(n->health), health_word(u->health));
	if (r < 0)
		return r;
	r = append_text(m, u->health_reason);
	return r < 0 ? r : sd_bus_send(a->bus, m, NULL);
}

/* Appends a name to a list that has room for all of them. */
static void note_if(bool differs, char **names, size_t *n, const char *name)
{
	if (differs)
		names[(*n)++] = (char *)name;
}

void api_unit_changed(struct api *a, const struct unit *u)
{
	char *names[16] = {};
	struct announced now = {}, *old;
	size_t n = 0;
	bool fresh;

	if (!a)
		return;
	old = announced_get(a, u, &fresh);
	if (!old) {
		complain(a, -ENOMEM, "a change of a unit");
		return;
	}
	announced_update(&now, u);
	note_if(now.health != old->health, names, &n, "Health");
	note_if(!str_eq(now.health_reason, old->health_reason), names, &n, "HealthReason");
	note_if(now.heal_mode != old->heal_mode, names, &n, "HealMode");
	note_if(now.heal_state != old->heal_state, names, &n, "HealingState");
	note_if(now.refusal != old->refusal, names, &n, "Refusal");
	note_if(now.cause != old->cause, names, &n, "Cause");
	note_if(!str_eq(now.invocation, old->invocation), names, &n, "InvocationID");
	note_if(!str_eq(now.incident, old->incident), names, &n, "IncidentID");
	note_if(now.incident_open != old->incident_open, names, &n, "IncidentOpen");
	note_if(now.check_status != old->check_status, names, &n, "CheckStatus");
	note_if(now.probe_status != old->probe_status, names, &n, "ProbeStatus");
	note_if(!str_eq(now.config_error, old->config_error), names, &n, "ConfigError");
	if (n == 0)
		return;
	complain(a,
		sd_bus_emit_properties_changed_strv(a->bus, old->path, API_UNIT_INTERFACE, names),
		"a change of a unit");
	if (now.health != old->health)
		complain(a, emit_health(a, old, u), "a change of health");
	announced_update(old, u);
}

void api_incident_opened(struct api *a, const struct incident *i)
{
	if (!a)
		return;
	complain(a,
		sd_bus_emit_signal(a->bus, API_PATH, API_MANAGER_INTERFACE, "IncidentOpened", "sss",
			i->id, i->unit, cause_word(i->cause)),
		"an incident");
}

void api_incident_closed(struct api *a, const struct incident *i)
{
	if (!a)
		return;
	complain(a,
		sd_bus_emit_signal(a->bus, API_PATH, API_MANAGER_INTERFACE, "IncidentClosed", "sss",
			i->id, i->unit, verdict_word(i->verdict)),
		"the end of an incident");
}

void api_alert_changed(
	struct api *a, const struct unit *u, const char *rule, enum alert_state state)
{
	if (!a)
		return;
	complain(a,
		sd_bus_emit_signal(a->bus, API_PATH, API_MANAGER_INTERFACE, "AlertChanged", "sss",
			u ? u->name : "", rule, alert_state_word(state)),
		"an alert");
}

void api_manager_changed(struct api *a)
{
	const struct world *w;
	char *names[16] = {};
	size_t n = 0;

	if (!a)
		return;
	w = a->world;
	note_if(!str_eq(a->told.state, api_state_word(w)), names, &n, "State");
	note_if(a->told.healing != world_healing_enabled(w), names, &n, "HealingEnabled");
	note_if(a->told.kill_switch != w->pause.kill_switch, names, &n, "KillSwitch");
	note_if(a->told.degraded != w->degraded, names, &n, "Degraded");
	note_if(a->told.pause_until_ns != (w->pause.active ? w->pause.until_ns : 0) ||
			!str_eq(a->told.pause_reason, w->pause.reason),
		names, &n, "Pause");
	note_if(!str_eq(a->told.config_error, w->settings_error), names, &n, "ConfigError");
	note_if(a->told.features != features_hash(w), names, &n, "Features");
	if (n == 0)
		return;
	remember_manager(a);
	complain(a,
		sd_bus_emit_properties_changed_strv(a->bus, API_PATH, API_MANAGER_INTERFACE, names),
		"a change of the manager");
}
