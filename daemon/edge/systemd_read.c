/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading units from PID 1: several properties are asked for in one go and answered in order, one
 * reading a unit at a time, and never more calls at once than the broker allows.
 */
#include "../base/clock.h"
#include "../base/str.h"
#include "systemd_facts.h"
#include "systemd_impl.h"

/* PID 1 answers in well under a millisecond; during daemon-reload of a large host in about a
 * second. */
#define CALL_TIMEOUT_USEC (5 * USEC_PER_SEC)
/*
 * Calls over the bus that may wait for an answer at once. The broker allows 128 per connection by
 * default (max_replies_per_connection of dbus-daemon) and refuses the others; actions and
 * authorizations need some too.
 */
#define CALLS_AT_ONCE 96

struct reading {
	struct systemd *systemd;   /* borrowed */
	char *unit;                /* owned */
	enum depth depth;          /* how much is read */
	bool waiting;              /* for its turn; nothing was asked yet */
	bool unloaded;             /* PID 1 has no such unit now */
	unsigned int n_calls;      /* its part of systemd.n_calls */
	uint64_t begun_ns;         /* when PID 1 was asked */
	TAILQ_ENTRY(reading) link; /* of those that wait */
	bool again;                /* asked for meanwhile: … */
	enum depth again_depth;    /* … this much */
	bool failed, forgotten;
	unsigned int pending;    /* answers outstanding */
	struct unit_facts facts; /* being put together */
	struct facts_extra extra;
};

#define GET_UNIT "GetUnit()" /* as the name of a call: whether the unit is loaded at all */

struct property_call {
	struct reading *reading; /* borrowed */
	char name[32];           /* "" for GetAll and ListUnitsByNames */
};

static void start_waiting(struct systemd *s);

static struct reading *reading_free(struct reading *r)
{
	if (!r)
		return NULL;
	facts_extra_done(&r->extra);
	free(r->unit);
	free(r);
	return NULL;
}

/* Requires= and BindsTo= become the unit's dependencies; other unit types matter as well. */
static void take_dependencies(struct unit *u, struct facts_extra *e)
{
	char **lists[] = { e->requires, e->binds_to };

	for (size_t i = 0; i < u->n_dependencies; i++)
		free(u->dependencies[i]);
	u->n_dependencies = 0;
	if (!u->dependencies)
		u->dependencies = calloc(DEPENDENCIES_MAX, sizeof(char *));
	for (size_t l = 0; l < ARRAY_SIZE(lists) && u->dependencies; l++)
		for (char **name = lists[l]; name && *name; name++) {
			if (u->n_dependencies == DEPENDENCIES_MAX ||
				!str_has_suffix(*name, ".service"))
				continue;
			u->dependencies[u->n_dependencies] = strdup(*name);
			if (u->dependencies[u->n_dependencies])
				u->n_dependencies++;
		}
}

/*
 * Whether a shallow reading settles what it was made for, or which deeper one has to follow.
 *
 * What matters is that no job may explain the death. PID 1 tells of jobs on its own socket as on
 * the bus, so a direct answer comes behind all signals of jobs that it sent there. Only a
 * connection that has just been made has missed some, and they may still be on their way over the
 * bus; then an answer settles only one thing: PID 1 still takes the unit for running, in the same
 * invocation, and nobody has asked for anything. No stop can explain the death then, and a job that
 * is queued later replaces ours.
 */
static enum depth depth_needed(const struct reading *r, const struct unit *u)
{
	bool same = !r->failed && str_eq(r->facts.invocation, u->facts.invocation);

	/* Of another invocation, what was not asked for is out of date. */
	if (r->depth <= DEPTH_QUICK && !same)
		return r->depth == DEPTH_DIRECT ? DEPTH_QUICK : DEPTH_CHANGING;
	if (r->depth == DEPTH_DIRECT && !r->systemd->direct_is_whole &&
		(r->facts.active != ACTIVE_ACTIVE || r->facts.job))
		return DEPTH_QUICK;
	return r->depth;
}

void readings_check_complete(struct systemd *s)
{
	if (!s->listed || s->complete || s->readings.live > 0)
		return;
	s->complete = true;
	s->handlers->on_complete(s->userdata);
}

/*
 * PID 1 unloads a unit that is down and that nobody refers to, and loads it anew when somebody asks
 * for it. It knows nothing of the life before then, but we do.
 */
static void remember_former_life(struct unit_facts *f, const struct unit_facts *old)
{
	if (f->active != ACTIVE_INACTIVE || *f->invocation || !*old->invocation)
		return;
	str_copy(f->invocation, sizeof(f->invocation), old->invocation);
	f->exec_main_pid = old->exec_main_pid;
	f->exec_main_code = old->exec_main_code;
	f->exec_main_status = old->exec_main_status;
}

static void finish_reading(struct reading *r)
{
	struct systemd *s = r->systemd;
	struct unit *u = r->forgotten ? NULL : world_unit(s->world, r->unit);
	enum depth again_depth = r->again_depth;
	/* Forgotten, and then met anew under the same name, it is asked for again as well. */
	bool again = r->again && world_unit(s->world, r->unit);

	hash_remove_str(&s->readings, r->unit);
	s->n_calls -= r->n_calls;
	if (!r->failed && r->depth > DEPTH_DIRECT && s->direct_since_ns &&
		r->begun_ns > s->direct_since_ns)
		s->direct_is_whole = true;
	if (u && r->unloaded) {
		s->handlers->on_unit_gone(s->userdata, r->unit);
		u = NULL;
		again = again && world_unit(s->world, r->unit);
	}
	if (u && depth_needed(r, u) != r->depth) {
		reading_start(s, r->unit, MAX(depth_needed(r, u), again ? again_depth : 0));
		reading_free(r);
		return;
	}
	if (u && r->failed)
		s->handlers->on_no_facts(s->userdata, u);
	else if (u) {
		struct unit_files files = { .fragment = r->extra.fragment ? r->extra.fragment : "",
			.drop_ins = r->extra.drop_ins };

		/* Not asked for, and most likely different now. */
		if (r->depth < DEPTH_CHANGING && r->facts.active != u->facts.active)
			r->facts.result[0] = '\0';
		remember_former_life(&r->facts, &u->facts);
		u->facts = r->facts;
		u->facts.read_ns = clock_monotonic_ns();
		if (r->depth == DEPTH_ALL) {
			take_dependencies(u, &r->extra);
			unit_take_names(u, TAKE_PTR(r->extra.names));
		}
		s->handlers->on_facts(s->userdata, u, r->depth == DEPTH_ALL ? &files : NULL);
	}
	if (again)
		reading_start(s, r->unit, again_depth);
	reading_free(r);
	readings_check_complete(s);
}

static int read_listed(sd_bus_message *m, struct unit_facts *f)
{
	const char *load, *active, *sub, *skip, *type;
	uint32_t job;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
	if (r < 0)
		return r;
	r = sd_bus_message_read(m, "(ssssssouso)", &skip, &skip, &load, &active, &sub, &skip, &skip,
		&job, &type, &skip);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	str_copy(f->load_state, sizeof(f->load_state), load);
	str_copy(f->sub_state, sizeof(f->sub_state), sub);
	str_copy(f->job_type, sizeof(f->job_type), type);
	f->active = active_state_parse(active);
	f->job = job;
	return 0;
}

static int ask_all(struct reading *r);

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct property_call *call = userdata;
	struct reading *r = call->reading;
	struct systemd *s = r->systemd;
	int error = 0;

	if (sd_bus_message_is_method_error(m, SYSTEMD_NAME ".NoSuchUnit"))
		r->unloaded = true;
	else if (sd_bus_message_is_method_error(m, NULL))
		error = -sd_bus_message_get_errno(m);
	else if (str_eq(call->name, GET_UNIT))
		error = ask_all(r);
	else if (*call->name)
		error = facts_read_variant(m, call->name, &r->facts, NULL);
	else if (sd_bus_message_has_signature(m, "a(ssssssouso)"))
		error = read_listed(m, &r->facts);
	else
		error = facts_read_dictionary(m, &r->facts, &r->extra);
	if (error < 0)
		r->failed = true;
	else if (r->depth == DEPTH_DIRECT && s->direct_since_ns == 0)
		s->direct_since_ns = clock_monotonic_ns();
	if (--r->pending == 0)
		finish_reading(r);
	start_waiting(s);
	return 0;
}

static sd_bus *bus_of(const struct reading *r)
{
	return r->depth == DEPTH_DIRECT && r->systemd->direct ? r->systemd->direct
							      : r->systemd->bus;
}

/* Sends m and counts its answer; name as in struct property_call. Takes m. */
static int ask(struct reading *r, sd_bus_message *m, const char *name)
{
	struct property_call *call = calloc(1, sizeof(*call));
	sd_bus_slot *slot = NULL;
	int error;

	if (!call) {
		sd_bus_message_unref(m);
		return -ENOMEM;
	}
	call->reading = r;
	str_copy(call->name, sizeof(call->name), name);
	error = sd_bus_call_async(bus_of(r), &slot, m, on_answer, call, CALL_TIMEOUT_USEC);
	sd_bus_message_unref(m);
	if (error < 0) {
		free(call);
		return error;
	}
	sd_bus_slot_set_destroy_callback(slot, free);
	sd_bus_slot_set_floating(slot, 1);
	sd_bus_slot_unref(slot);
	r->pending++;
	return 0;
}

static int ask_properties(struct reading *r, const char *path, const char *interface,
	const char *name /* NULL: all */)
{
	sd_bus_message *m = NULL;
	int error = sd_bus_message_new_method_call(bus_of(r), &m, SYSTEMD_NAME, path,
		"org.freedesktop.DBus.Properties", name ? "Get" : "GetAll");

	if (error >= 0)
		error = name ? sd_bus_message_append(m, "ss", interface, name)
			     : sd_bus_message_append(m, "s", interface);
	if (error < 0) {
		sd_bus_message_unref(m);
		return error;
	}
	return ask(r, m, name ? name : "");
}

/* State, load state and job with its type: one call that names them all. */
static int ask_listed(struct reading *r)
{
	sd_bus_message *m = NULL;
	int error = sd_bus_message_new_method_call(bus_of(r), &m, SYSTEMD_NAME, SYSTEMD_PATH,
		SYSTEMD_NAME ".Manager", "ListUnitsByNames");

	if (error >= 0)
		error = sd_bus_message_append(m, "as", 1, r->unit);
	if (error < 0) {
		sd_bus_message_unref(m);
		return error;
	}
	return ask(r, m, "");
}

static int ask_all(struct reading *r)
{
	/* The control group is there only while the unit runs, and PID 1 announces no change of it.
	 */
	static const char *const changing[] = { "MainPID", "ExecMainPID", "ExecMainCode",
		"ExecMainStatus", "Result", "NRestarts", "ControlGroup" };
	static const char *const entered = "ActiveEnterTimestampMonotonic";
	static const char *const frozen = "FreezerState";
	static const char *const fixed[] = { "Restart", "Type", "TimeoutStartUSec",
		"RemainAfterExit" };
	_cleanup_free_ char *path = NULL;
	int error = sd_bus_path_encode(SYSTEMD_PATH "/unit", r->unit, &path);

	if (error < 0)
		return error;
	error = r->depth == DEPTH_ALL ? ask_properties(r, path, UNIT_INTERFACE, NULL)
				      : ask_properties(r, path, UNIT_INTERFACE, "InvocationID");
	for (size_t i = 0; i < ARRAY_SIZE(changing) && error >= 0 && r->depth >= DEPTH_CHANGING;
		i++)
		error = ask_properties(r, path, SERVICE_INTERFACE, changing[i]);
	for (size_t i = 0; i < ARRAY_SIZE(fixed) && error >= 0 && r->depth == DEPTH_ALL; i++)
		error = ask_properties(r, path, SERVICE_INTERFACE, fixed[i]);
	if (error >= 0 && r->depth == DEPTH_CHANGING)
		error = ask_properties(r, path, UNIT_INTERFACE, entered);
	/* Of this PID 1 announces no change, and an interlock needs it: also in a hurry. */
	if (error >= 0 && r->depth < DEPTH_ALL)
		error = ask_properties(r, path, UNIT_INTERFACE, frozen);
	/* Last: its state and job are then no older than any other answer. */
	return error < 0 ? error : ask_listed(r);
}

/*
 * Whether PID 1 has it loaded. Asking for a property or by ListUnitsByNames loads a unit that is
 * not, and PID 1 announces that, and unloads it again: to answer each announcement with a question
 * would never end. Asking for its path does not load it.
 */
static int ask_loaded(struct reading *r)
{
	sd_bus_message *m = NULL;
	int error = sd_bus_message_new_method_call(
		bus_of(r), &m, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_NAME ".Manager", "GetUnit");

	if (error >= 0)
		error = sd_bus_message_append(m, "s", r->unit);
	if (error < 0) {
		sd_bus_message_unref(m);
		return error;
	}
	return ask(r, m, GET_UNIT);
}

/* How many calls of it may wait for an answer at the same time. */
static unsigned int calls_of(const struct reading *r)
{
	switch (r->depth) {
	case DEPTH_DIRECT:
		return r->systemd->direct ? 0 : 3;
	case DEPTH_QUICK:
		return 3;
	case DEPTH_CHANGING:
		return 11;
	default:
		return 13;
	}
}

static int begin_reading(struct reading *r)
{
	struct systemd *s = r->systemd;
	const struct unit *u = r->forgotten ? NULL : world_unit(s->world, r->unit);
	int error = -ENOENT;

	if (r->waiting)
		TAILQ_REMOVE(&s->waiting, r, link);
	r->waiting = false;
	if (u) {
		r->facts = u->facts;
		r->begun_ns = clock_monotonic_ns();
		r->n_calls = calls_of(r);
		s->n_calls += r->n_calls;
		/* Of a death PID 1 does not know yet, as a rule: no time to lose. */
		error = r->depth < DEPTH_CHANGING ? ask_all(r) : ask_loaded(r);
	}
	if (error < 0) {
		r->failed = true;
		if (r->pending == 0) { /* nothing will come back to end it */
			s->n_calls -= r->n_calls;
			hash_remove_str(&s->readings, r->unit);
			reading_free(r);
		}
	}
	return error;
}

static bool has_room(const struct reading *r)
{
	return r->systemd->n_calls + calls_of(r) <= CALLS_AT_ONCE;
}

static void start_waiting(struct systemd *s)
{
	struct reading *r;

	while ((r = TAILQ_FIRST(&s->waiting)) && has_room(r))
		begin_reading(r);
}

int reading_start(struct systemd *s, const char *unit, enum depth depth)
{
	struct reading *r = hash_get_str(&s->readings, unit);

	if (!world_unit(s->world, unit))
		return -ENOENT;
	if (r && r->waiting) {
		r->depth = MAX(r->depth, depth);
		r->forgotten = false;
		return 0;
	}
	if (r) {
		r->again = true;
		r->again_depth = MAX(r->again_depth, depth);
		return 0;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->systemd = s;
	r->depth = depth;
	r->unit = strdup(unit);
	if (!r->unit || hash_put_str(&s->readings, r->unit, r) < 0) {
		reading_free(r);
		return -ENOMEM;
	}
	/* Quick ones are about a death: they overtake what is only refreshed. */
	if (has_room(r) && (depth <= DEPTH_QUICK || TAILQ_EMPTY(&s->waiting)))
		return begin_reading(r);
	r->waiting = true;
	if (depth <= DEPTH_QUICK)
		TAILQ_INSERT_HEAD(&s->waiting, r, link);
	else
		TAILQ_INSERT_TAIL(&s->waiting, r, link);
	return 0;
}

int systemd_read(struct systemd *s, struct unit *u)
{
	return reading_start(s, u->name, DEPTH_CHANGING);
}

int systemd_read_quick(struct systemd *s, struct unit *u)
{
	systemd_connect_directly(s);
	return reading_start(s, u->name, s->direct ? DEPTH_DIRECT : DEPTH_QUICK);
}

int systemd_read_all(struct systemd *s, struct unit *u)
{
	return reading_start(s, u->name, DEPTH_ALL);
}

void systemd_forget(struct systemd *s, const struct unit *u)
{
	struct reading *r = hash_get_str(&s->readings, u->name);

	if (!r)
		return;
	r->forgotten = true;
	r->again = false;
}

void readings_done(struct systemd *s)
{
	struct reading *r;
	size_t cursor = 0;

	while ((r = hash_next(&s->readings, &cursor)))
		reading_free(r);
	hash_done(&s->readings);
}
