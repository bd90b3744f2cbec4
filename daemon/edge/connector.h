/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The netlink process connector: deaths where BPF is refused ("degraded"). It tells pid and status,
 * not the sender of a signal and not the cgroup, so only main processes can be recognised. Needs
 * CAP_NET_ADMIN in the host's own pid and user namespace.
 */
#pragma once

#include "../state/death.h"

#include <systemd/sd-event.h>

struct connector;

typedef void (*connector_fn)(void *userdata, const struct death *d);

int connector_new(struct connector **ret, sd_event *event, connector_fn fn, void *userdata);
struct connector *connector_free(struct connector *c);
