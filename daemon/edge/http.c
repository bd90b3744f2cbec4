/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP programs seen from the daemon; see http.h. The kernel counts into mapped arrays; here is
 * only which unit has which place, and which cgroups are attached. Both are found again after a
 * restart: the place by the hash of the unit's name, the links by the cgroup's id in their names.
 */
#include "http.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/str.h"
#include "fdstore.h"
#include "http_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
/* A walk over very many connections is done so seldom that it takes at most this share of time. */
#define WALK_SHARE 100

enum { IN, OUT, DIRECTIONS };

/* One cgroup to which the programs are attached. */
struct attached {
	uint64_t cgroup;
	int links[DIRECTIONS]; /* owned */
};

struct place {
	uint64_t name_hash;
	uint32_t unit; /* in totals */
	struct http_state *state; /* borrowed: it is the unit's */
};

struct http_source {
	struct world *world;    /* borrowed */
	struct fdstore *stored; /* borrowed; links of a former run are taken from it while starting */
	struct http_programs programs;
	struct http_totals *totals;        /* mapped */
	const struct http_detail *details; /* mapped */
	size_t n_details;
	struct hash attached; /* cgroup id -> struct attached, owned */
	struct hash places;   /* hash of a unit's name -> struct place, owned */
	uint32_t next_place;
	uint64_t walk_after_ns;
};

static const char *const direction_words[DIRECTIONS] = { "in", "out" };

static uint64_t hash_of(const char *unit)
{
	uint64_t h = hash_bytes(unit, strlen(unit));

	return h ? h : 1; /* 0 is a free place */
}

static void link_name(char ret[64], int direction, uint64_t cgroup)
{
	char part[40];

	snprintf(part, sizeof(part), "%s-%" PRIu64, direction_words[direction], cgroup);
	http_stored_name(ret, part);
}

/* The unit's place; a new one if it has none. NULL: there is no room. */
static struct place *place_of(struct http_source *s, const char *unit)
{
	uint64_t h = hash_of(unit);
	struct place *p = hash_get_u64(&s->places, h);
	uint32_t i;

	if (p)
		return p;
	for (i = 1; i < HTTP_UNITS && s->totals[i].name_hash; i++)
		;
	if (i == HTTP_UNITS)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->name_hash = h;
	p->unit = i;
	if (hash_put_u64(&s->places, h, p) < 0) {
		free(p);
		return NULL;
	}
	s->totals[i].name_hash = h;
	return p;
}

/* The places of a former run. */
static int find_places(struct http_source *s)
{
	for (uint32_t i = 1; i < HTTP_UNITS; i++) {
		struct place *p;

		if (!s->totals[i].name_hash)
			continue;
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->name_hash = s->totals[i].name_hash;
		p->unit = i;
		if (hash_put_u64(&s->places, p->name_hash, p) < 0) {
			free(p);
			return -ENOMEM;
		}
	}
	return 0;
}

static const struct http_detail *detail_of(const struct http_source *s, uint32_t unit)
{
	uint64_t detail = s->totals[unit].detail;

	return detail && detail < s->n_details ? &s->details[detail] : NULL;
}

struct http_state *http_source_state(struct http_source *s, const char *unit)
{
	struct place *p = place_of(s, unit);

	if (!p)
		return NULL;
	if (!p->state)
		p->state = http_state_new(&s->totals[p->unit], detail_of(s, p->unit));
	return p->state;
}

void http_source_forget(struct http_source *s, const char *unit)
{
	struct place *p = hash_remove_u64(&s->places, hash_of(unit));

	if (!p)
		return;
	memset(&s->totals[p->unit], 0, sizeof(s->totals[p->unit]));
	free(p);
}

static int attach_one(struct http_source *s, int direction, uint64_t cgroup, int cgroup_fd)
{
	char name[64];
	int fd;

	link_name(name, direction, cgroup);
	fd = s->stored ? fdstore_take(s->stored, name) : -1;
	if (fd >= 0)
		return fd;
	fd = bpf_link_create(s->programs.programs[direction == IN ? HTTP_PROGRAM_IN : HTTP_PROGRAM_OUT],
		cgroup_fd, direction == IN ? BPF_CGROUP_INET_INGRESS : BPF_CGROUP_INET_EGRESS, NULL);
	if (fd < 0)
		return -errno;
	fdstore_push(fd, name);
	return fd;
}

static void free_attached(struct attached *a)
{
	for (int i = 0; i < DIRECTIONS; i++)
		if (a->links[i] >= 0)
			close(a->links[i]);
	free(a);
}

int http_source_attach(struct http_source *s, const char *unit, uint64_t cgroup, const char *path)
{
	struct place *p = place_of(s, unit);
	_cleanup_close_ int fd = -1;
	char full[640];
	struct attached *a;
	int r;

	if (!p)
		return -ENOSPC;
	if (hash_get_u64(&s->attached, cgroup))
		return 0;
	snprintf(full, sizeof(full), CGROUP_ROOT "%s", path);
	fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->cgroup = cgroup;
	a->links[IN] = a->links[OUT] = -1;
	/* First of which unit it is, then the programs, which ask. */
	r = bpf_map_update_elem(s->programs.maps[HTTP_MAP_MEMBERS], &cgroup, &p->unit, BPF_ANY);
	for (int i = 0; r >= 0 && i < DIRECTIONS; i++)
		r = a->links[i] = attach_one(s, i, cgroup, fd);
	if (r >= 0)
		r = hash_put_u64(&s->attached, cgroup, a);
	if (r < 0)
		free_attached(a);
	return r < 0 ? r : 0;
}

void http_source_detach(struct http_source *s, uint64_t cgroup)
{
	struct attached *a = hash_remove_u64(&s->attached, cgroup);
	char name[64];

	bpf_map_delete_elem(s->programs.maps[HTTP_MAP_MEMBERS], &cgroup);
	if (!a)
		return;
	for (int i = 0; i < DIRECTIONS; i++) {
		link_name(name, i, cgroup);
		fdstore_remove(name);
	}
	free_attached(a);
}

void http_source_limit(struct http_source *s, const char *unit, uint64_t slow_ns)
{
	const struct place *p = hash_get_u64(&s->places, hash_of(unit));

	if (p)
		s->totals[p->unit].slow_ns = slow_ns;
}

void http_source_probe_port(struct http_source *s, uint16_t port, bool in_use)
{
	uint16_t key = htobe16(port);
	uint8_t one = 1;

	if (in_use)
		bpf_map_update_elem(s->programs.maps[HTTP_MAP_PROBE_PORTS], &key, &one, BPF_ANY);
	else
		bpf_map_delete_elem(s->programs.maps[HTTP_MAP_PROBE_PORTS], &key);
}

/* Runs the iterator once: it writes the oldest requests into the totals. */
static void walk(struct http_source *s, uint64_t now_ns)
{
	_cleanup_close_ int fd = -1;
	size_t cursor = 0;
	struct place *p;
	char none[8];

	if (s->programs.links[HTTP_PROGRAM_WALK] < 0 || now_ns < s->walk_after_ns)
		return;
	fd = bpf_iter_create(s->programs.links[HTTP_PROGRAM_WALK]);
	if (fd < 0)
		return;
	while ((p = hash_next(&s->places, &cursor))) {
		struct http_totals *t = &s->totals[p->unit];

		t->oldest_ns = t->oldest_unanswered_ns = 0;
		t->unanswered = t->unread = 0;
	}
	while (read(fd, none, sizeof(none)) > 0)
		;
	s->walk_after_ns = now_ns + WALK_SHARE * clock_since_ns(clock_monotonic_ns(), now_ns);
}

void http_source_tick(struct http_source *s, uint64_t now_ns)
{
	bool in_flight = false;
	size_t cursor = 0, n = 0;
	struct place *p;

	while ((p = hash_next(&s->places, &cursor))) {
		const struct http_totals *t = &s->totals[p->unit];

		in_flight = in_flight || t->started > t->finished;
		n += t->detail != 0;
	}
	if (in_flight)
		walk(s, now_ns);
	cursor = 0;
	while ((p = hash_next(&s->places, &cursor))) {
		if (!p->state)
			continue;
		if (!p->state->detail)
			p->state->detail = detail_of(s, p->unit);
		http_tick(p->state, now_ns);
	}
	s->world->http_units = n;
}

static int map_arrays(struct http_source *s)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	void *p;

	if (bpf_obj_get_info_by_fd(s->programs.maps[HTTP_MAP_DETAILS], &info, &size) < 0)
		return -errno;
	s->n_details = info.max_entries;
	p = mmap(NULL, HTTP_UNITS * sizeof(*s->totals), PROT_READ | PROT_WRITE, MAP_SHARED,
		s->programs.maps[HTTP_MAP_TOTALS], 0);
	if (p == MAP_FAILED)
		return -errno;
	s->totals = p;
	p = mmap(NULL, s->n_details * sizeof(*s->details), PROT_READ, MAP_SHARED,
		s->programs.maps[HTTP_MAP_DETAILS], 0);
	if (p == MAP_FAILED)
		return -errno;
	s->details = p;
	s->world->http_units_max = s->n_details - 1;
	return 0;
}

struct http_source *http_source_free(struct http_source *s)
{
	struct attached *a;
	size_t cursor = 0;
	void *p;

	if (!s)
		return NULL;
	while ((a = hash_next(&s->attached, &cursor)))
		free_attached(a);
	cursor = 0;
	while ((p = hash_next(&s->places, &cursor)))
		free(p);
	hash_done(&s->attached);
	hash_done(&s->places);
	if (s->totals)
		munmap(s->totals, HTTP_UNITS * sizeof(*s->totals));
	if (s->details)
		munmap((void *)(uintptr_t)s->details, s->n_details * sizeof(*s->details));
	http_programs_done(&s->programs);
	free(s);
	return NULL;
}

int http_source_new(struct http_source **ret, struct world *w, struct fdstore *stored)
{
	struct http_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->world = w;
	s->stored = stored;
	r = http_programs_load(&s->programs, w, stored);
	if (r < 0) {
		free(s);
		return r;
	}
	r = map_arrays(s);
	if (r >= 0)
		r = find_places(s);
	if (r < 0) {
		http_source_free(s);
		world_feature(w, "http", false, "HTTP is not measured: %s", strerror(-r));
		return r;
	}
	*ret = s;
	return 0;
}
