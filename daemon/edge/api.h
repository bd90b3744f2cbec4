/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our own D-Bus API, org.mendd1: it shows what the daemon remembers and passes on what people ask
 * for. It reads the world and never writes to it; every change goes through struct verbs, after
 * authorization (api_auth.c). No policy here, and nothing here waits: questions to the bus and to
 * polkit are asynchronous, with a deadline.
 *
 *     /org/mendd1                 org.mendd1.Manager, ObjectManager
 *     /org/mendd1/unit/<escaped>  org.mendd1.Unit
 *     /org/freedesktop/LogControl1  org.freedesktop.LogControl1, for systemctl service-log-level
 *
 * The manager tells what happened through the notifications below; they never fail for the caller:
 * what the bus does not take is logged with a rate limit and lost. An api of NULL, of a daemon that
 * has no bus (yet), hears of nothing.
 */
#pragma once

#include "verbs.h"

#include <systemd/sd-bus.h>

#define API_NAME "org.mendd1"
#define API_PATH "/org/mendd1"
#define API_UNIT_PATH "/org/mendd1/unit"
#define API_LOG_PATH "/org/freedesktop/LogControl1"
#define API_LOG_INTERFACE "org.freedesktop.LogControl1"
#define API_MANAGER_INTERFACE "org.mendd1.Manager"
#define API_UNIT_INTERFACE "org.mendd1.Unit"

#define API_ERROR_NO_SUCH_UNIT "org.mendd1.Error.NoSuchUnit"
#define API_ERROR_NO_SUCH_INCIDENT "org.mendd1.Error.NoSuchIncident"
#define API_ERROR_CONFIG "org.mendd1.Error.ConfigInvalid"
#define API_ERROR_REFUSED "org.mendd1.Error.Refused"
#define API_ERROR_UNAVAILABLE "org.mendd1.Error.Unavailable"

struct api;

/* Writes the exposition into ret; format is "text" or "openmetrics". 0 or -errno. */
typedef int (*api_dump_metrics_t)(void *userdata, const char *format, struct strbuf *ret);

/*
 * Puts the objects on the bus and asks for the name, without waiting. bus is attached to the event
 * loop by the caller and referenced here; w and v are borrowed and outlive the api. Units that are
 * in w already are shown without a UnitAdded.
 */
int api_new(struct api **ret, sd_bus *bus, struct world *w, const struct verbs *v);
struct api *api_free(struct api *a);

/* Who writes the metrics for DumpMetrics(); until then it answers Unavailable. */
void api_set_dump_metrics(struct api *a, api_dump_metrics_t dump, void *userdata);

/* After the unit is in the world. */
void api_unit_added(struct api *a, const struct unit *u);
/* While the unit is still in the world. */
void api_unit_removed(struct api *a, const struct unit *u);
/*
 * After anything but a counter changed: PropertiesChanged with what differs from the last time, and
 * HealthChanged where that differs. Cheap when nothing did; call it as often as is convenient.
 */
void api_unit_changed(struct api *a, const struct unit *u);
void api_incident_opened(struct api *a, const struct incident *i);
void api_incident_closed(struct api *a, const struct incident *i);
/* u NULL: an alert of the host; its unit is "" on the bus. */
void api_alert_changed(
	struct api *a, const struct unit *u, const char *rule, enum alert_state state);
/* After the pause, the settings, a feature or a plugin's state changed. */
void api_manager_changed(struct api *a);
