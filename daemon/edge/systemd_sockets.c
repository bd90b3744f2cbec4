/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client of PID 1: which service a socket unit starts. Asked when the socket's cgroup is born,
 * because a service that is loaded already is not told of sockets that come later.
 */
#include "../base/log.h"
#include "../base/str.h"
#include "systemd_impl.h"

struct socket_call {
	struct systemd *systemd; /* borrowed */
	char name[];
};

static int on_triggers(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct socket_call *call = userdata;
	struct systemd *s = call->systemd;
	const char *service;

	if (sd_bus_message_is_method_error(m, NULL))
		return 0; /* gone again */
	if (sd_bus_message_enter_container(m, 'v', "as") < 0 ||
		sd_bus_message_enter_container(m, 'a', "s") < 0)
		return 0;
	while (sd_bus_message_read_basic(m, 's', &service) > 0)
		if (str_has_suffix(service, ".service"))
			s->handlers->on_socket(s->userdata, call->name, service);
	return 0;
}

int systemd_read_socket(struct systemd *s, const char *name)
{
	_cleanup_free_ char *path = NULL;
	struct socket_call *call;
	sd_bus_slot *slot = NULL;
	int r = sd_bus_path_encode(SYSTEMD_PATH "/unit", name, &path);

	if (r < 0)
		return r;
	call = malloc(sizeof(*call) + strlen(name) + 1);
	if (!call)
		return -ENOMEM;
	call->systemd = s;
	memcpy(call->name, name, strlen(name) + 1);
	r = sd_bus_call_method_async(s->bus, &slot, SYSTEMD_NAME, path,
		"org.freedesktop.DBus.Properties", "Get", on_triggers, call, "ss", UNIT_INTERFACE,
		"Triggers");
	if (r < 0) {
		free(call);
		return r;
	}
	sd_bus_slot_set_destroy_callback(slot, free);
	sd_bus_slot_set_floating(slot, 1);
	sd_bus_slot_unref(slot);
	return 0;
}
