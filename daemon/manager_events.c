/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel, PID 1, checks and sources report becomes unit state; then the unit is judged
 * (manager_step.c). Nothing is decided here.
 */
#include "manager.h"
#include "base/clock.h"
#include "edge/config_files.h"
#include "edge/config_saved.h"

#include <fcntl.h>
#include <sys/stat.h>

/* How long a cgroup that is gone keeps its name: far longer than a record can be late. */
#define TOMBSTONE_NS (60 * NSEC_PER_SEC)

struct cgroup_name {
	uint64_t id;
	uint64_t gone_ns; /* 0: it exists */
	char unit[];
};

struct unit *manager_unit_of_cgroup(struct manager *m, uint64_t id)
{
	const struct cgroup_name *c = hash_get_u64(&m->cgroups, id);

	return c ? world_unit(&m->world, c->unit) : NULL;
}

static void remember_cgroup(struct manager *m, uint64_t id, const char *unit)
{
	struct cgroup_name *c = hash_get_u64(&m->cgroups, id);

	if (c && str_eq(c->unit, unit)) {
		c->gone_ns = 0;
		return;
	}
	free(hash_remove_u64(&m->cgroups, id));
	if (m->cgroups.live >= CGROUPS_MAX)
		return;
	c = malloc(sizeof(*c) + strlen(unit) + 1);
	if (!c)
		return;
	c->id = id;
	c->gone_ns = 0;
	memcpy(c->unit, unit, strlen(unit) + 1);
	if (hash_put_u64(&m->cgroups, id, c) < 0)
		free(c);
}

void manager_forget_cgroups(struct manager *m, uint64_t now_ns)
{
	struct cgroup_name *c;
	size_t cursor = 0;

	while ((c = hash_next(&m->cgroups, &cursor)))
		if (c->gone_ns && clock_since_ns(now_ns, c->gone_ns) > TOMBSTONE_NS)
			free(hash_remove_u64(&m->cgroups, c->id));
	if (m->n_nameless && clock_since_ns(now_ns, m->nameless[0].death.seen_ns) > TOMBSTONE_NS)
		m->n_nameless = 0;
}

/*
 * Whether the OOM killer came because of the unit's own memory limit: its cgroup counts "oom" only
 * then, and "oom_kill" also when an outer limit or the whole host was the reason. memory.events(5)
 * in the kernel's cgroup-v2.rst. The cgroup still exists while its process is dying.
 */
static bool own_limit_was_hit(const struct unit *u)
{
	char path[640], line[128];
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long n;

	snprintf(path, sizeof(path), CGROUP_ROOT "%s/memory.events", u->facts.cgroup);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "oom %llu", &n) == 1)
			return n > 0;
	return false;
}

/* A child of PID 1: the main process or one that systemd runs around it. */
static bool is_central(const struct unit *u, const struct death *d)
{
	return d->parent_pid == 1 || d->pid == u->facts.main_pid ||
	       d->pid == u->facts.exec_main_pid;
}

/*
 * Not the main process, and the unit goes on without it. An orphan is a child of PID 1 as the main
 * process is: it is known by the main process being another one, and alive.
 */
static bool is_helper(const struct unit *u, const struct death *d)
{
	const struct unit_facts *f = &u->facts;

	if (!is_central(u, d))
		return true;
	return d->pid != f->main_pid && d->pid != f->exec_main_pid && f->main_pid &&
	       f->active == ACTIVE_ACTIVE && !unit_find_death(u, f->main_pid);
}

static void on_unit_death(struct manager *m, struct unit *u, const struct death *seen)
{
	struct death d = *seen;

	if (d.killer == KILLER_OOM && !d.oom_limit_known)
		d.oom_own_limit = own_limit_was_hit(u);
	unit_note_death(u, &d);
	delay_histogram_add(&m->world.detection,
		(double)clock_since_ns(clock_monotonic_ns(), d.time_ns) / (double)NSEC_PER_SEC);
	if (is_central(u, &d)) {
		if (d.code)
			manager_find_obstacle(m, u);
		unit_remember_death(u, &d);
		/* What PID 1 killed, it has a reason for: its Result is needed as well. */
		if (d.killer != KILLER_SYSTEMD && d.pid == u->facts.exec_main_pid)
			systemd_read_quick(m->systemd, u);
		else
			systemd_read(m->systemd, u);
	}
	if (d.signal && d.killer != KILLER_SYSTEMD && is_helper(u, &d))
		manager_tell_helper(m, u, &d);
}

/*
 * mendd was away while the unit's process died and its cgroup went: the records of both wait in the
 * ring, and only the second one has a name. So the death waits for it.
 */
static void keep_nameless(struct manager *m, uint64_t cgroup, const struct death *d)
{
	if (!m->nameless)
		m->nameless = calloc(NAMELESS_MAX, sizeof(*m->nameless));
	if (m->nameless && m->n_nameless < NAMELESS_MAX)
		m->nameless[m->n_nameless++] = (struct nameless) { cgroup, *d };
}

static void give_names(struct manager *m, uint64_t cgroup, const char *name)
{
	struct unit *u = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < m->n_nameless; i++) {
		if (m->nameless[i].cgroup != cgroup) {
			m->nameless[kept++] = m->nameless[i];
			continue;
		}
		u = u ? u : manager_watch(m, name);
		if (u)
			on_unit_death(m, u, &m->nameless[i].death);
	}
	m->n_nameless = kept;
}

static void on_cgroup(void *userdata, uint64_t id, const char *name, const char *path)
{
	struct manager *m = userdata;
	struct unit *u;

	if (str_has_suffix(name, ".socket")) {
		manager_socket_born(m, name, id, path);
		return;
	}
	u = manager_watch(m, name);
	if (!u) {
		kernel_watch(m->kernel, id, false);
		return;
	}
	remember_cgroup(m, id, name);
	u->cgroup_id = id;
	manager_measure_cgroup(m, u, id, path);
	u->listening_now = (struct socket_set) {};
	give_names(m, id, name);
}

static void on_cgroup_gone(void *userdata, uint64_t id, const char *name)
{
	struct manager *m = userdata;
	struct cgroup_name *c = hash_get_u64(&m->cgroups, id);
	struct unit *u = c ? world_unit(&m->world, c->unit) : NULL;

	if (str_has_suffix(name, ".socket")) {
		manager_socket_gone(m, name, id);
		return;
	}
	if (m->http)
		http_source_detach(m->http, id);
	if (!c)
		give_names(m, id, name);
	if (c)
		c->gone_ns = clock_monotonic_ns();
	if (u && u->cgroup_id == id)
		u->cgroup_id = 0;
}

static void on_death(void *userdata, uint64_t cgroup, const struct death *d)
{
	struct manager *m = userdata;
	struct unit *u = manager_unit_of_cgroup(m, cgroup);

	if (u)
		on_unit_death(m, u, d);
	else if (!hash_get_u64(&m->cgroups, cgroup))
		keep_nameless(m, cgroup, d);
}

void manager_on_connector(void *userdata, const struct death *d)
{
	struct manager *m = userdata;
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor)))
		if (d->pid == u->facts.main_pid) {
			if (!unit_find_death(u, d->pid)) /* or PID 1 was faster */
				on_unit_death(m, u, d);
			return;
		}
}

static void on_exec(void *userdata, uint64_t cgroup, pid_t pid, const struct program *p)
{
	struct manager *m = userdata;
	struct unit *u = manager_unit_of_cgroup(m, cgroup);
	const struct program *old;
	struct program new = *p;

	if (!u)
		return;
	old = &u->program;
	new.changed = *old->path &&str_eq(old->path, new.path) &&
		      (old->device != new.device || old->inode != new.inode ||
			      old->mtime_ns != new.mtime_ns);
	u->program = new;
}

static void on_loss(void *userdata, const char *kind, uint64_t count)
{
	struct manager *m = userdata;
	size_t cursor = 0;
	struct unit *u;

	/* What was lost may have been a death: PID 1 knows which units are down. */
	while ((u = hash_next(&m->world.units, &cursor)))
		systemd_read(m->systemd, u);
	if (ratelimit_pass(&m->loss_limit, clock_monotonic_ns()))
		manager_tell_host(m, MESSAGE_EVENTS_LOST, LOG_WARNING,
			"%llu records of kind %s were lost; asking systemd how its units stand",
			(unsigned long long)count, kind);
}

const struct kernel_handlers manager_kernel_handlers = {
	.on_death = on_death,
	.on_exec = on_exec,
	.on_cgroup = on_cgroup,
	.on_cgroup_gone = on_cgroup_gone,
	.on_loss = on_loss,
};

static void on_unit(void *userdata, const char *name)
{
	manager_watch(userdata, name);
}

/*
 * Whether a unit that PID 1 has unloaded stays watched: one that has a file does, because it may be
 * started again and its counters should go on then. Not so instances: of some templates there is
 * one per connection, and they would fill the table.
 */
static bool is_kept(const struct unit *u)
{
	const struct unit_edge *e = u->edge;

	return !strchr(u->name, '@') && e->fragment && access(e->fragment, F_OK) == 0;
}

/*
 * PID 1 has unloaded it: it is down, has no job, and nobody refers to it. PID 1 does that at once
 * after an end that it takes for a clean one, so that the death may still have to be judged.
 */
static void on_unit_gone(void *userdata, const char *name)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, name);
	struct unit_facts *f = &u->facts;
	uint64_t now = clock_monotonic_ns();

	if (f->read_ns && f->active != ACTIVE_INACTIVE) {
		f->active = ACTIVE_INACTIVE;
		str_copy(f->sub_state, sizeof(f->sub_state), "dead");
		f->main_pid = 0;
		f->job = 0;
		f->read_ns = now;
		manager_step(m, u);
	}
	if (is_kept(u))
		return;
	manager_close_gone(m, u, now);
	manager_unwatch(m, u);
}

/* Without BPF nobody tells of cgroups: their ids come from the path that PID 1 names. */
static void find_cgroup(struct manager *m, struct unit *u)
{
	char path[640];
	struct stat st;

	if (m->kernel || !*u->facts.cgroup)
		return;
	snprintf(path, sizeof(path), CGROUP_ROOT "%s", u->facts.cgroup);
	if (stat(path, &st) < 0)
		return;
	u->cgroup_id = st.st_ino;
	remember_cgroup(m, st.st_ino, u->name);
}

/* Few units have one, and it is large. */
static void take_own_rule(struct unit *u, const struct unit_rule *rule)
{
	free(u->own_rule);
	u->own_rule = rule ? malloc(sizeof(*rule)) : NULL;
	if (u->own_rule)
		*u->own_rule = *rule;
}

static void read_files(struct manager *m, struct unit *u, const struct unit_files *files)
{
	struct unit_edge *e = u->edge;
	char error[256], before[256];
	struct unit_rule rule;
	bool present;

	free(e->fragment);
	e->fragment = *files->fragment ? strdup(files->fragment) : NULL;
	str_copy(before, sizeof(before), u->settings.error);
	config_read_own_rule(files->fragment, files->drop_ins, CONFIG_SAVED_DIR, &rule, &present,
		error, sizeof(error));
	take_own_rule(u, present ? &rule : NULL);
	manager_apply_settings(m, u);
	if (*error && !str_eq(error, before))
		manager_tell_unit(m, u, MESSAGE_CONFIG_ERROR, LOG_CRIT,
			"this file of it is not used: %s", error);
}

static void on_facts(void *userdata, struct unit *u, const struct unit_files *files)
{
	const struct unit_facts *f = &u->facts;
	struct manager *m = userdata;
	struct unit_edge *e = u->edge;
	uint64_t now = clock_monotonic_ns();

	if (e->exec_main_pid && f->exec_main_pid != e->exec_main_pid) {
		u->former = (struct former) { .exec_main_pid = e->exec_main_pid,
			.n_restarts = e->n_restarts,
			.changed_ns = now };
		str_copy(u->former.invocation, sizeof(u->former.invocation), e->invocation);
	}
	/* As it was when this main process came: PID 1 counts on before it starts the next one. */
	if (f->exec_main_pid != e->exec_main_pid)
		e->n_restarts = f->n_restarts;
	e->exec_main_pid = f->exec_main_pid;
	if (!str_eq(e->invocation, f->invocation)) {
		str_copy(e->invocation, sizeof(e->invocation), f->invocation);
		e->up_since_ns = 0;
	}
	if (f->active != ACTIVE_ACTIVE)
		e->up_since_ns = 0;
	else if (e->up_since_ns == 0)
		e->up_since_ns = now;
	/* The signal that announced the job did not say what it is for. */
	if (f->job && f->job == u->job.id)
		str_copy(u->job.type, sizeof(u->job.type), f->job_type);
	/* Its aliases are known only now. */
	if (files && !manager_is_watchable(m, u->name)) {
		manager_leave(m, u);
		return;
	}
	find_cgroup(m, u);
	if (files)
		read_files(m, u, files);
	manager_step(m, u);
}

static void on_no_facts(void *userdata, struct unit *u)
{
	struct unit_edge *e = u->edge;

	/* Facts stay as old as they are; the interlock "stale" knows. */
	e->unread = true;
	manager_step(userdata, u);
}

static void on_job(void *userdata, const char *unit, uint32_t id, const char *result)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, unit);
	uint64_t now = clock_monotonic_ns();

	/* During our own action the job is our own: it was queued with mode "fail". */
	if (u->heal.state == HEAL_STATE_ACT && u->job.id != id)
		return;
	/* PID 1 tells twice, on its own socket and on the bus: the first time counts. */
	if (u->job.id == id && (!result || u->job.ended_ns))
		return;
	if (!result) {
		u->job = (struct foreign_job) {
			.id = id, .seen_ns = now, .former_pid = u->facts.exec_main_pid
		};
		return;
	}
	if (u->job.id != id)
		u->job = (struct foreign_job) { .id = id, .seen_ns = now };
	u->job.ended_ns = now;
	str_copy(u->job.result, sizeof(u->job.result), result);
	systemd_read(m->systemd, u);
}

static void on_socket(void *userdata, const char *socket, const char *service)
{
	manager_socket_starts(userdata, socket, service);
}

static void on_complete(void *userdata)
{
	struct manager *m = userdata;

	m->complete = true;
	if (m->http)
		http_source_settle(m->http);
	fdstore_discard(&m->stored, "mendd-v");
	log_info("%zu services are watched", m->world.units.live);
	manager_status(m);
}

const struct systemd_handlers manager_systemd_handlers = {
	.on_unit = on_unit,
	.on_unit_gone = on_unit_gone,
	.on_facts = on_facts,
	.on_no_facts = on_no_facts,
	.on_job = on_job,
	.on_socket = on_socket,
	.on_complete = on_complete,
};

void manager_on_check(void *userdata, const char *unit, const struct mend_verdict *v)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, unit);
	struct check_state *c;

	if (!u)
		return;
	c = &u->check;
	c->in_row = c->status == v->status ? c->in_row + 1 : 1;
	c->status = v->status;
	c->time_ns = clock_monotonic_ns();
	str_copy(c->text, sizeof(c->text), v->text);
	/* While it is being restarted, a check that fails is no news. */
	if (v->status != MEND_OK && c->in_row == u->settings.check_failures &&
		u->heal.state != HEAL_STATE_ACT && u->heal.state != HEAL_STATE_VERIFY)
		manager_tell_unit(m, u, MESSAGE_CHECK_FAILED,
			v->status == MEND_CRITICAL ? LOG_ERR : LOG_WARNING, "check: %s", v->text);
	manager_judge_unit(m, u);
}

int manager_on_observation(void *userdata, const struct mend_observation *o)
{
	struct manager *m = userdata;
	struct unit *u = world_unit(&m->world, o->unit);

	if (!u)
		return -ENOENT;
	/* A source is believed as much as PID 1 confirms: it is an occasion to look. */
	return systemd_read(m->systemd, u);
}
