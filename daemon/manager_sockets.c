/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which unit listens where: what is normal for a unit that is well, whether that is back after a
 * restart, and who holds an address that a unit needs and could not have.
 */
#include "manager.h"
#include "base/clock.h"
#include "judge/verify.h"

/* A service that has not opened a socket in this time after its start has none. */
#define SETTLED_NS (60 * NSEC_PER_SEC)

static void clear_sockets(struct manager *m, uint64_t now_ns)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor)))
		u->listening_now = (struct socket_set) { .read_ns = now_ns };
}

static struct unit *unit_of_socket(struct manager *m, uint64_t cgroup)
{
	return manager_unit_of_cgroup(
		m, m->kernel ? kernel_unit_cgroup(m->kernel, cgroup) : cgroup);
}

static void on_socket(void *userdata, uint64_t cgroup, const struct listening_socket *socket)
{
	struct manager *m = userdata;
	struct unit *u = unit_of_socket(m, cgroup);
	struct socket_set *set;

	if (!u)
		return;
	set = &u->listening_now;
	if (set->n < SOCKETS_MAX)
		set->sockets[set->n++] = *socket;
}

static bool same_set(const struct socket_set *a, const struct socket_set *b)
{
	return a->n == b->n && memcmp(a->sockets, b->sockets, a->n * sizeof(a->sockets[0])) == 0;
}

/* What is normal for a unit that is well. Kept on disk where a verification may ask for it: the
 * daemon may be restarted while the unit is down or on probation. */
static void learn(struct manager *m, struct unit *u)
{
	bool changed = !same_set(&u->listening, &u->listening_now);

	u->listening = u->listening_now;
	if (changed && u->settings.heal == HEAL_RESTART)
		store_put_unit(m->store, u, NULL, NULL);
}

void manager_read_sockets(struct manager *m)
{
	uint64_t now = clock_monotonic_ns();
	size_t cursor = 0;
	struct unit *u;

	if (!m->sockets)
		return;
	clear_sockets(m, now);
	if (sockets_read(m->sockets, on_socket, m) < 0)
		return;
	m->sockets_read_ns = now;
	while ((u = hash_next(&m->world.units, &cursor))) {
		const struct unit_edge *e = u->edge;

		if (u->heal.state != HEAL_STATE_IDLE || !e->up_since_ns)
			continue;
		/* None yet: it may still be starting. None for long: it listens no more. */
		if (u->listening_now.n > 0 || clock_since_ns(now, e->up_since_ns) > SETTLED_NS)
			learn(m, u);
	}
}

/* A walk over all listening sockets for those that stand in a unit's way. */
struct seeker {
	struct manager *manager; /* borrowed, like the unit */
	struct unit *unit;
};

static void on_sought(void *userdata, uint64_t cgroup, const struct listening_socket *socket)
{
	struct seeker *s = userdata;
	struct unit *holder = unit_of_socket(s->manager, cgroup);
	struct unit *u = s->unit;
	char address[64];

	for (size_t i = 0; i < u->listening.n && holder != u && !*u->obstacle; i++) {
		if (!sockets_collide(&u->listening.sockets[i], socket))
			continue;
		socket_describe(&u->listening.sockets[i], address, sizeof(address));
		snprintf(u->obstacle, sizeof(u->obstacle), "%s is in use by %s", address,
			holder ? holder->name : "a process of no watched service");
	}
}

void manager_check_obstacles(struct manager *m)
{
	size_t cursor = 0;
	struct unit *u;

	while ((u = hash_next(&m->world.units, &cursor))) {
		if (u->heal.refusal != REFUSAL_OBSTACLE || !*u->obstacle)
			continue;
		manager_find_obstacle(m, u);
		if (!*u->obstacle)
			manager_step(m, u);
	}
}

void manager_find_obstacle(struct manager *m, struct unit *u)
{
	struct seeker s = { .manager = m, .unit = u };

	u->obstacle[0] = '\0';
	if (m->sockets && u->listening.n > 0)
		sockets_read(m->sockets, on_sought, &s);
}
