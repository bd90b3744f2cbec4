/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client of PID 1, listening: units that come and go, jobs, changes; see systemd.h. Asking is
 * in systemd_read.c.
 */
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/str.h"
#include "systemd_facts.h"
#include "systemd_impl.h"

#define DIRECT_ADDRESS "unix:path=/run/systemd/private"

/* Offers the unit to the manager and, if it is watched then, reads it whole. */
static void meet_unit(struct systemd *s, const char *unit)
{
	if (!unit_name_is_service(unit))
		return;
	s->handlers->on_unit(s->userdata, unit);
	reading_start(s, unit, DEPTH_ALL);
}

static int on_listed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	const char *name, *load, *skip;
	struct systemd *s = userdata;
	uint32_t job;
	int r;

	if (sd_bus_message_is_method_error(m, NULL)) {
		log_error(
			"PID 1 does not list its units: %s", sd_bus_message_get_error(m)->message);
		return 0;
	}
	r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_read(m, "(ssssssouso)", &name, &skip, &load, &skip, &skip, &skip,
			&skip, &job, &skip, &skip)) > 0)
		if (!str_eq(load, "not-found"))
			meet_unit(s, name);
	s->listed = true;
	readings_check_complete(s);
	return r;
}

int systemd_list(struct systemd *s)
{
	return sd_bus_call_method_async(s->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH,
		SYSTEMD_NAME ".Manager", "ListUnits", on_listed, s, NULL);
}

/*
 * A change is only the occasion to read afresh: the signal does not carry everything (InvocationID
 * is not announced), and facts of two moments must not be mixed. Of the two signals that PID 1
 * sends, Service and then Unit, the second one completes the change.
 */
static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	_cleanup_free_ char *name = NULL;
	struct systemd *s = userdata;
	const char *interface;

	if (sd_bus_path_decode(sd_bus_message_get_path(m), SYSTEMD_PATH "/unit", &name) <= 0)
		return 0;
	if (!world_unit(s->world, name) || sd_bus_message_read_basic(m, 's', &interface) < 0)
		return 0;
	if (str_eq(interface, UNIT_INTERFACE))
		reading_start(s, name, DEPTH_CHANGING);
	return 0;
}

static int on_unit_new(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct systemd *s = userdata;
	const char *name;

	if (sd_bus_message_read(m, "so", &name, NULL) < 0)
		return 0;
	meet_unit(s, name);
	return 0;
}

static int on_unit_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct systemd *s = userdata;
	const char *name;

	/* In a reload all of them are removed, and announced again: what is gone is seen after it.
	 */
	if (!s->reloading && sd_bus_message_read(m, "so", &name, NULL) >= 0 &&
		world_unit(s->world, name))
		s->handlers->on_unit_gone(s->userdata, name);
	return 0;
}

static int on_job(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	bool removed = str_eq(sd_bus_message_get_member(m), "JobRemoved");
	const char *unit, *result = NULL;
	struct systemd *s = userdata;
	uint32_t id;
	int r;

	r = removed ? sd_bus_message_read(m, "uoss", &id, NULL, &unit, &result)
		    : sd_bus_message_read(m, "uos", &id, NULL, &unit);
	if (r >= 0 && world_unit(s->world, unit))
		s->handlers->on_job(s->userdata, unit, id, result);
	return 0;
}

/* After daemon-reload anything may be different: files, policy, masks. */
static int on_reloading(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct systemd *s = userdata;
	size_t cursor = 0;
	struct unit *u;
	int active;

	if (sd_bus_message_read(m, "b", &active) < 0)
		return 0;
	s->reloading = active;
	if (active)
		return 0;
	while ((u = hash_next(&s->world->units, &cursor)))
		reading_start(s, u->name, DEPTH_ALL);
	return 0;
}

#define OF_MANAGER(member)                                               \
	"type='signal',path='" SYSTEMD_PATH "',interface='" SYSTEMD_NAME \
	".Manager',member='" member "'"

static int open_direct(struct systemd *s, sd_bus *bus)
{
	int r = sd_bus_set_address(bus, DIRECT_ADDRESS);

	if (r >= 0)
		r = sd_bus_start(bus);
	/* Not a broker's: these only sort what comes in anyway. */
	if (r >= 0)
		r = sd_bus_add_match(bus, NULL, OF_MANAGER("JobNew"), on_job, s);
	if (r >= 0)
		r = sd_bus_add_match(bus, NULL, OF_MANAGER("JobRemoved"), on_job, s);
	if (r >= 0)
		r = sd_bus_attach_event(bus, sd_bus_get_event(s->bus), SD_EVENT_PRIORITY_NORMAL);
	return r;
}

/* PID 1's own socket saves two hops and the broker's turn; root only, and not everywhere. */
void systemd_connect_directly(struct systemd *s)
{
	sd_bus *direct = NULL;

	if (s->direct && sd_bus_is_open(s->direct) > 0)
		return;
	s->direct = sd_bus_close_unref(s->direct);
	s->direct_since_ns = 0;
	s->direct_is_whole = false;
	if (sd_bus_new(&direct) >= 0 && open_direct(s, direct) >= 0)
		s->direct = direct;
	else
		sd_bus_close_unref(direct);
}

static int add_match(struct systemd *s, const char *rule, sd_bus_message_handler_t handler)
{
	int r = sd_bus_add_match_async(s->bus, &s->slots[s->n_slots], rule, handler, NULL, s);

	if (r >= 0)
		s->n_slots++;
	return r;
}

#define FROM_MANAGER(member)                                                                       \
	"type='signal',sender='" SYSTEMD_NAME "',path='" SYSTEMD_PATH "',interface='" SYSTEMD_NAME \
	".Manager',member='" member "'"

int systemd_new(struct systemd **ret, sd_bus *bus, struct world *w,
	const struct systemd_handlers *handlers, void *userdata)
{
	struct systemd *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->bus = bus;
	s->world = w;
	s->handlers = handlers;
	s->userdata = userdata;
	TAILQ_INIT(&s->waiting);
	systemd_connect_directly(s);
	r = add_match(s,
		"type='signal',sender='" SYSTEMD_NAME
		"',interface='org.freedesktop.DBus.Properties',"
		"member='PropertiesChanged',path_namespace='" SYSTEMD_PATH "/unit'",
		on_properties);
	if (r >= 0)
		r = add_match(s, FROM_MANAGER("UnitNew"), on_unit_new);
	if (r >= 0)
		r = add_match(s, FROM_MANAGER("UnitRemoved"), on_unit_removed);
	if (r >= 0)
		r = add_match(s, FROM_MANAGER("JobNew"), on_job);
	if (r >= 0)
		r = add_match(s, FROM_MANAGER("JobRemoved"), on_job);
	if (r >= 0)
		r = add_match(s, FROM_MANAGER("Reloading"), on_reloading);
	/* Without a subscriber PID 1 sends no signals at all. */
	if (r >= 0)
		r = sd_bus_call_method_async(bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH,
			SYSTEMD_NAME ".Manager", "Subscribe", NULL, NULL, NULL);
	if (r >= 0)
		r = systemd_list(s);
	if (r < 0) {
		systemd_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct systemd *systemd_free(struct systemd *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_slots; i++)
		sd_bus_slot_unref(s->slots[i]);
	sd_bus_close_unref(s->direct);
	/* The bus is closed before us, so that no answer can come back to a freed reading. */
	readings_done(s);
	free(s);
	return NULL;
}
