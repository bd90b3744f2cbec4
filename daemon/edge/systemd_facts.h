/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus properties of a systemd unit, parsed into struct unit_facts by one table. */
#pragma once

#include "../state/unit.h"

#include <systemd/sd-bus.h>

/* What a full reading collects beside the facts. All owned. */
struct facts_extra {
	char *fragment;
	char **drop_ins;
	char **requires;
	char **binds_to;
	char **names; /* all of the unit's, aliases too */
};

void facts_extra_done(struct facts_extra *e);

/* Reads one variant at the message's position as property `name`. Unknown names are skipped. */
int facts_read_variant(
	sd_bus_message *m, const char *name, struct unit_facts *f, struct facts_extra *extra);
/* Reads a{sv} as GetAll and PropertiesChanged have it; extra may be NULL. */
int facts_read_dictionary(sd_bus_message *m, struct unit_facts *f, struct facts_extra *extra);
