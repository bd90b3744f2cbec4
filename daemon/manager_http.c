/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where HTTP is measured: the cgroups of watched units, from their birth on, and those of the
 * socket units that start them. The kernel knows the cgroups, PID 1 which socket belongs to which
 * service; here both come together. What is measured, edge/http.h says; what it means, the judges.
 */
#include "manager.h"
#include "base/clock.h"

/* Hosts have some tens. */
#define SOCKET_UNITS_MAX 1024
#define TELL_EVERY_NS (60 * NSEC_PER_SEC)

/* Its listening sockets, and with them all connections, belong to its cgroup. */
struct socket_unit {
	char *service; /* owned; NULL: not known yet */
	uint64_t cgroup;
	char *path; /* owned; of the cgroup */
	char name[];
};

static void measure(struct manager *m, struct unit *u, uint64_t cgroup, const char *path)
{
	int r;

	if (!m->http || !cgroup || !*path)
		return;
	if (u->settings.http == HTTP_MODE_NO) {
		http_source_detach(m->http, cgroup);
		return;
	}
	r = http_source_attach(m->http, u->name, cgroup, path);
	if (r == -ENOENT)
		return; /* gone again */
	if (u->http)
		u->http->attach_error = r;
	if (r < 0)
		log_warning_errno(r, "%s: its HTTP is not measured", u->name);
}

void manager_measure_cgroup(struct manager *m, struct unit *u, uint64_t cgroup, const char *path)
{
	measure(m, u, cgroup, path);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static struct socket_unit *socket_unit(struct manager *m, const char *name)
{
	struct socket_unit *s = hash_get_str(&m->socket_units, name);

	if (s || m->socket_units.live >= SOCKET_UNITS_MAX)
		return s;
	s = calloc(1, sizeof(*s) + strlen(name) + 1);
	if (!s)
		return NULL;
	memcpy(s->name, name, strlen(name) + 1);
	if (hash_put_str(&m->socket_units, s->name, s) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

static void free_socket_unit(struct socket_unit *s)
{
	free(s->service);
	free(s->path);
	free(s);
}

static void measure_socket(struct manager *m, const struct socket_unit *s)
{
	struct unit *u = s->service ? world_unit(&m->world, s->service) : NULL;

	if (u && s->path)
		measure(m, u, s->cgroup, s->path);
}

/*
 * The first connection may come before PID 1 has answered: until then it is the service of the same
 * name, as it is without Service=. One that does not exist is forgotten when PID 1 says so.
 */
static void guess_service(struct manager *m, struct socket_unit *s)
{
	char name[UNIT_NAME_SIZE];
	struct unit *u;

	if (s->service)
		return;
	snprintf(name, sizeof(name), "%.*s.service", (int)(strlen(s->name) - strlen(".socket")),
		s->name);
	u = manager_watch(m, name);
	if (u)
		s->service = strdup(u->name);
}

void manager_socket_born(struct manager *m, const char *name, uint64_t cgroup, const char *path)
{
	struct socket_unit *s = socket_unit(m, name);

	if (!s)
		return;
	free(s->path);
	s->path = strdup(path);
	s->cgroup = cgroup;
	if (m->systemd) {
		guess_service(m, s);
		systemd_read_socket(m->systemd, name);
	}
	measure_socket(m, s);
}

void manager_socket_gone(struct manager *m, const char *name, uint64_t cgroup)
{
	struct socket_unit *s = hash_get_str(&m->socket_units, name);

	if (m->http)
		http_source_detach(m->http, cgroup);
	if (s && s->cgroup == cgroup)
		free_socket_unit(hash_remove_str(&m->socket_units, name));
}

void manager_socket_starts(struct manager *m, const char *name, const char *service)
{
	struct socket_unit *s = hash_get_str(&m->socket_units, name);

	if (!s || (s->service && str_eq(s->service, service)))
		return;
	if (s->service && m->http)
		http_source_detach(m->http, s->cgroup);
	free(s->service);
	s->service = strdup(service);
	measure_socket(m, s);
}

void manager_read_socket_units(struct manager *m)
{
	size_t cursor = 0;
	struct socket_unit *s;

	while ((s = hash_next(&m->socket_units, &cursor)))
		systemd_read_socket(m->systemd, s->name);
}

/* --- units ------------------------------------------------------------------------------------ */

void manager_apply_http(struct manager *m, struct unit *u)
{
	size_t cursor = 0;
	struct socket_unit *s;

	if (!m->http)
		return;
	measure(m, u, u->cgroup_id, u->facts.cgroup);
	while ((s = hash_next(&m->socket_units, &cursor)))
		if (s->service && str_eq(s->service, u->name))
			measure_socket(m, s);
	http_source_limit(
		m->http, u->name, u->settings.http_latency_p99_ns, u->settings.http_routes);
}

void manager_begin_http(struct manager *m, struct unit *u)
{
	if (m->http && !u->http)
		u->http = http_source_state(m->http, u->name);
}

void manager_end_http(struct manager *m, struct unit *u)
{
	size_t cursor = 0;
	struct socket_unit *s;

	if (!m->http)
		return;
	while ((s = hash_next(&m->socket_units, &cursor)))
		if (s->service && str_eq(s->service, u->name))
			http_source_detach(m->http, s->cgroup);
	http_source_detach(m->http, u->cgroup_id);
	http_source_forget(m->http, u->name);
}

/* --- the source ------------------------------------------------------------------------------- */

static void on_record(void *userdata, const char *unit, const struct http_record *r)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, unit);
	struct unit_edge *e;

	if (!u || !u->http || !u->edge)
		return;
	e = u->edge;
	if (r->kind != HTTP_RECORD_FULL)
		u->http->example = *r;
	/* The kernel makes up to ten a second: the journal gets the first of them. */
	if (r->kind != HTTP_RECORD_ERROR && e->http_told_ns &&
		clock_since_ns(r->time_ns, e->http_told_ns) < TELL_EVERY_NS)
		return;
	e->http_told_ns = r->time_ns;
	manager_tell_http(m, u, r);
}

/* The programs are there, or not (error); `stored` as of http_source_new(). */
static void begin_source(
	struct manager *m, struct http_programs *programs, struct fdstore *stored, int error)
{
	size_t cursor = 0;
	struct unit *u;

	http_programs_tell(programs, error, &m->world);
	if (error < 0)
		return;
	error = http_source_new(&m->http, &m->world, programs, stored, on_record, m);
	if (error < 0) {
		world_feature(
			&m->world, "http", false, "HTTP is not measured: %s", strerror(-error));
		return;
	}
	while ((u = hash_next(&m->world.units, &cursor))) {
		manager_begin_http(m, u);
		manager_apply_http(m, u);
	}
}

static uint32_t details_wanted(const struct manager *m)
{
	return m->world.settings.http_units_max + 1;
}

void manager_adopt_http(struct manager *m)
{
	struct http_programs programs;

	if (!m->kernel)
		world_feature(&m->world, "http", false,
			"HTTP is not measured: nothing tells of new cgroups");
	else if (http_programs_adopt(&programs, details_wanted(m), &m->stored))
		begin_source(m, &programs, &m->stored, 0);
	else
		world_feature(&m->world, "http", false,
			"HTTP is not measured yet: the kernel is looking at its programs");
}

static void on_loaded(void *userdata, struct http_programs *programs, int error)
{
	struct manager *m = userdata;

	if (error >= 0)
		http_programs_store(programs);
	begin_source(m, programs, NULL, error);
	if (m->http)
		log_info("HTTP is measured from now on");
	if (m->http && m->complete)
		http_source_settle(m->http);
	manager_status(m);
	if (m->api)
		api_manager_changed(m->api);
}

void manager_load_http(struct manager *m)
{
	int r;

	if (!m->kernel || m->http)
		return;
	r = http_loader_new(&m->http_loader, m->event, details_wanted(m), on_loaded, m);
	if (r < 0)
		world_feature(&m->world, "http", false,
			"HTTP is not measured: no thread to load its programs: %s", strerror(-r));
}

void manager_free_http(struct manager *m)
{
	size_t cursor = 0;
	struct socket_unit *s;

	http_loader_free(m->http_loader);
	http_source_free(m->http);
	while ((s = hash_next(&m->socket_units, &cursor)))
		free_socket_unit(s);
	hash_done(&m->socket_units);
}
