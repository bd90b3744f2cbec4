/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the D-Bus API share with each other, and with nobody else: the object itself,
 * one asked-for change, and the small tools of marshalling.
 */
#pragma once

#include "api.h"

#include "../base/clock.h"
#include "../base/log.h"

enum {
	API_TEXT_MAX = 255,          /* bytes of a reason; as much as struct pause keeps */
	API_INCIDENTS_MAX = 1000,    /* rows of one ListIncidents() */
	API_INCIDENTS_DEFAULT = 100, /* where the limit is 0 */
	API_CONFIG_MAX = 256 * 1024, /* bytes of a file for VerifyConfigText() */
};

/* What of a unit was last told to the world, to tell only what differs. */
struct announced {
	char *name; /* owned */
	char *path; /* owned */
	enum health health;
	enum heal_mode heal_mode;
	enum heal_state heal_state;
	enum refusal refusal;
	enum cause cause;
	int check_status, probe_status;
	bool incident_open;
	char health_reason[256];
	char invocation[INVOCATION_SIZE];
	char incident[INCIDENT_ID_SIZE];
	char config_error[256];
};

enum request_kind {
	REQUEST_RESTART,
	REQUEST_PAUSE,
	REQUEST_RESUME,
	REQUEST_RESET,
	REQUEST_SET_HEALING,
	REQUEST_RELOAD,
	REQUEST_LOG_LEVEL, /* a property of LogControl1 and not a method */
	REQUEST_COUNT,
};

/* One change that somebody asked for, checked and copied out of the message. */
struct request {
	enum request_kind kind;
	char unit[UNIT_NAME_SIZE];
	char reason[API_TEXT_MAX + 1];
	uint64_t usec;
	enum heal_mode mode;
	int log_level;
};

struct authorization; /* api_auth.c */
struct loading;       /* api_load.c */

struct api {
	sd_bus *bus;                     /* owned reference */
	struct world *world;             /* borrowed, read only */
	const struct verbs *verbs;       /* borrowed */
	api_dump_metrics_t dump_metrics; /* NULL: nobody writes them */
	void *dump_userdata;             /* borrowed */

	sd_bus_slot *manager_slot, *unit_slot, *enumerator_slot, *object_manager_slot; /* owned */
	sd_bus_slot *log_slot, *log_set_slot;                                          /* owned */
	sd_bus_slot *name_slot; /* owned; the pending request of the name */

	struct hash announced; /* unit name -> struct announced, owned */
	struct {
		char state[16];
		bool healing, degraded, kill_switch;
		char config_error[512];
		char pause_reason[256];
		uint64_t pause_until_ns;
		uint64_t features; /* hash over the table */
	} told;                    /* of the manager's properties */

	struct authorization *authorizations; /* owned list */
	unsigned int n_authorizations;
	uint64_t next_cancel_id;
	struct loading *loadings; /* owned list */
	unsigned int n_loadings;
	struct ratelimit complaints; /* about a bus that takes no signals */
};

extern const sd_bus_vtable api_manager_vtable[];
extern const sd_bus_vtable api_unit_vtable[];

extern const sd_bus_vtable api_log_control_vtable[];

/* api_log_control.c: sees the calls to that object before sd-bus does. */
int api_on_log_control(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);

/* api_manager.c: the State property; and the answer to a call for all units, by name, each as an
 * array's member of that type. */
const char *api_state_word(const struct world *w);
int api_list_units(struct api *a, sd_bus_message *call, const char *type,
	int (*append)(sd_bus_message *reply, const struct unit *u));

/* api_verbs.c: the one handler of all methods that change something, and what it ends in. */
int api_on_write(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
const char *request_verb(enum request_kind kind); /* "restart": detail `verb` for polkit */
/* Runs the request and answers the call. */
void request_perform(struct api *a, const struct request *q, uid_t uid, sd_bus_message *call);

/* api_auth.c: asks whether the sender of `call` may, then request_perform() or an error reply.
 * 0: the answer comes later; -errno with ret_error: it cannot even be asked. */
int auth_ask(struct api *a, sd_bus_message *call, const struct request *q, sd_bus_error *ret_error);
void auth_drop_all(struct api *a);

/* api_load.c: asks PID 1 whether the request's unit exists, then goes on with auth_ask(). As that.
 */
int load_ask(struct api *a, sd_bus_message *call, const struct request *q, sd_bus_error *ret_error);
void load_drop_all(struct api *a);

/* api_explain.c: the decision on a unit as a JSON object. */
void explain_to_json(const struct unit *u, const struct world *w, struct strbuf *ret);

/* api_http.c: the getter of all HTTP properties of a unit, and the call for all units at once. */
int api_get_http(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int api_on_list_http(sd_bus_message *call, void *userdata, sd_bus_error *ret_error);
/* "http", "none" (nothing came), "off", "unavailable", or why nothing can be seen: "tls" … */
const char *api_http_visibility(const struct unit *u);

/* api_util.c */

/* Appends a string that strangers may have written (a comm, a cgroup's name, a check's output):
 * bytes that are not UTF-8 and control characters are replaced, since the bus disconnects whoever
 * sends the former and terminals obey the latter. */
int append_text(sd_bus_message *m, const char *s);
/* 0, or -EINVAL with InvalidArgs: longer than API_TEXT_MAX, or with control characters. */
int check_text(const char *s, const char *what, sd_bus_error *ret_error);
/* The unit of that name or alias, or NULL with InvalidArgs or NoSuchUnit. */
struct unit *find_unit(const struct world *w, const char *name, sd_bus_error *ret_error);
/* An error of the daemon as a D-Bus error; text (may be NULL) is for people. Returns negative. */
int set_error(sd_bus_error *ret_error, int error, const char *text);
/* Wall clock in microseconds of a monotonic time; 0 stays 0, TIME_INFINITY stays. */
uint64_t wall_usec(uint64_t monotonic_ns);
/* The process that people ask about: the unit's main one, now or before the last restart; where
 * none of those was seen to end, a control process, or any. Its time_ns is 0 where nothing ended.
 */
const struct death *unit_last_exit(const struct unit *u);
/* Since when the unit is as it is: for the eyes only. Monotonic; 0: not known. */
uint64_t unit_since_ns(const struct unit *u);
uint64_t unit_restarts(const struct unit *u);
uint64_t world_events_lost(const struct world *w);
