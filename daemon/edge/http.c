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
#include "../state/http_ages.h"
#include "fdstore.h"
#include "http_programs.h"
#include "http_routes.h"
#include "kernel_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

enum { IN, OUT, DIRECTIONS };

/* One cgroup to which the programs are attached. */
struct attached {
	uint64_t cgroup;
	int links[DIRECTIONS]; /* owned */
};

/* A unit's place in the arrays. */
struct place {
	uint64_t name_hash;
	uint32_t unit;            /* in totals */
	struct http_state *state; /* borrowed: it is the unit's; NULL: of a former run */
	char *name;               /* owned; the same */
	bool clear;               /* nothing is in flight, nor counted as such */
};

struct http_source {
	struct world *world;    /* borrowed */
	struct fdstore *stored; /* borrowed; links of a former run; NULL when settled */
	struct http_programs programs;
	struct http_totals *totals;  /* mapped */
	struct http_detail *details; /* mapped; written only to be zeroed */
	size_t n_details;
	struct http_routes routes;
	struct hash attached; /* cgroup id -> struct attached, owned */
	struct hash places;   /* hash of a unit's name -> struct place, owned */
	uint32_t last_place;  /* the one that was given last: reuse comes as late as possible */
	struct ring_buffer *records; /* owned */
	http_record_fn on_record;
	void *userdata; /* of on_record */
};

static const char *const direction_words[DIRECTIONS] = { "in", "out" };

static uint64_t hash_of(const char *unit)
{
	uint64_t h = hash_bytes(unit, strlen(unit));

	return h ? h : 1; /* 0 is a free place */
}

static void link_name(char ret[64], const struct http_source *s, int direction, uint64_t cgroup)
{
	char part[40];

	snprintf(part, sizeof(part), "%s-%" PRIu64, direction_words[direction], cgroup);
	http_stored_name(ret, &s->programs, part);
}

static struct place *free_place(struct place *p)
{
	if (p)
		free(p->name);
	free(p);
	return NULL;
}

static struct place *add_place(struct http_source *s, uint64_t name_hash, uint32_t unit)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->name_hash = name_hash;
	p->unit = unit;
	if (hash_put_u64(&s->places, name_hash, p) < 0)
		return free_place(p);
	return p;
}

/* The unit's place; a new one if it has none. NULL: there is no room. */
static struct place *place_of(struct http_source *s, const char *unit)
{
	uint64_t h = hash_of(unit);
	struct place *p = hash_get_u64(&s->places, h);

	for (uint32_t i = 1; !p && i < HTTP_UNITS; i++) {
		uint32_t at = 1 + (s->last_place + i - 1) % (HTTP_UNITS - 1);

		if (s->totals[at].name_hash)
			continue;
		p = add_place(s, h, at);
		if (!p)
			return NULL;
		s->totals[at].name_hash = h;
		s->last_place = at;
	}
	return p;
}

/* The places of a former run. */
static int find_places(struct http_source *s)
{
	for (uint32_t i = 1; i < HTTP_UNITS; i++)
		if (s->totals[i].name_hash && !add_place(s, s->totals[i].name_hash, i))
			return -ENOMEM;
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

	if (!p || p->state)
		return p ? p->state : NULL;
	p->name = strdup(unit);
	if (p->name)
		p->state = http_state_new(&s->totals[p->unit], detail_of(s, p->unit));
	if (!p->state)
		return NULL;
	p->state->ends_unseen = !http_programs_see_ends(&s->programs);
	/* What comes before the next tick is already of its first second. */
	http_tick(p->state, clock_monotonic_ns());
	return p->state;
}

/* Connections that are still there count for a place without a name: nowhere. */
static void forget(struct http_source *s, struct place *p)
{
	struct http_totals *t = &s->totals[p->unit];
	uint32_t detail = (uint32_t)t->detail;

	hash_remove_u64(&s->places, p->name_hash);
	t->routes_max = 0; /* the kernel adds no more */
	if (t->routes)
		http_routes_forget(&s->routes, p->unit);
	memset(t, 0, sizeof(*t));
	if (detail && detail < s->n_details) {
		memset(&s->details[detail], 0, sizeof(s->details[detail]));
		bpf_map_update_elem(
			s->programs.maps[HTTP_MAP_FREE_DETAILS], NULL, &detail, BPF_ANY);
	}
	free_place(p);
}

void http_source_forget(struct http_source *s, const char *unit)
{
	struct place *p = hash_get_u64(&s->places, hash_of(unit));

	if (p)
		forget(s, p);
}

/* Cgroups that ended while nobody was mendd. */
static void forget_members(struct http_source *s)
{
	int map = s->programs.maps[HTTP_MAP_MEMBERS];
	uint64_t cgroup, next;
	bool more = bpf_map_get_next_key(map, NULL, &next) == 0;

	while (more) {
		cgroup = next;
		more = bpf_map_get_next_key(map, &cgroup, &next) == 0;
		if (!hash_get_u64(&s->attached, cgroup))
			bpf_map_delete_elem(map, &cgroup);
	}
}

void http_source_settle(struct http_source *s)
{
	size_t cursor = 0;
	struct place *p;

	s->stored = NULL;
	forget_members(s);
	while ((p = hash_next(&s->places, &cursor)))
		if (!p->state)
			forget(s, p);
}

static int attach_one(struct http_source *s, int direction, uint64_t cgroup, int cgroup_fd)
{
	char name[64];
	int fd;

	link_name(name, s, direction, cgroup);
	fd = s->stored ? fdstore_take(s->stored, name) : -1;
	if (fd >= 0)
		return fd;
	fd = bpf_link_create(
		s->programs.programs[direction == IN ? HTTP_PROGRAM_IN : HTTP_PROGRAM_OUT],
		cgroup_fd, direction == IN ? BPF_CGROUP_INET_INGRESS : BPF_CGROUP_INET_EGRESS,
		NULL);
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

/* Its links, here and in the store: there they would keep the programs attached. */
static void detach(struct http_source *s, struct attached *a)
{
	char name[64];

	for (int i = 0; i < DIRECTIONS; i++) {
		link_name(name, s, i, a->cgroup);
		fdstore_remove(name);
	}
	free_attached(a);
}

int http_source_attach(struct http_source *s, const char *unit, uint64_t cgroup, const char *path)
{
	struct place *p = place_of(s, unit);
	_cleanup_close_ int fd = -1;
	char full[640];
	struct attached *a;
	struct stat st;
	int r;

	if (!p)
		return -ENOSPC;
	if (hash_get_u64(&s->attached, cgroup))
		return 0;
	snprintf(full, sizeof(full), CGROUP_ROOT "%s", path);
	fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != cgroup)
		return -ENOENT; /* the next one of this name, which comes by itself */
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
	if (r < 0) {
		bpf_map_delete_elem(s->programs.maps[HTTP_MAP_MEMBERS], &cgroup);
		detach(s, a);
	}
	return r < 0 ? r : 0;
}

void http_source_detach(struct http_source *s, uint64_t cgroup)
{
	struct attached *a = hash_remove_u64(&s->attached, cgroup);

	bpf_map_delete_elem(s->programs.maps[HTTP_MAP_MEMBERS], &cgroup);
	if (a)
		detach(s, a);
}

void http_source_refresh(struct http_source *s)
{
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++)
		kernel_program_stats(s->programs.programs[i], s->world);
}

void http_source_limit(struct http_source *s, const char *unit, uint64_t slow_ns, uint32_t routes)
{
	const struct place *p = hash_get_u64(&s->places, hash_of(unit));

	if (!p)
		return;
	s->totals[p->unit].slow_ns = slow_ns;
	s->totals[p->unit].routes_max = routes;
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

static int take_record(void *userdata, void *data, size_t size)
{
	const struct http_record *r = data;
	struct http_source *s = userdata;
	const struct place *p;

	if (size < sizeof(*r) || r->version != HTTP_WIRE_VERSION || r->unit >= HTTP_UNITS)
		return 0;
	p = hash_get_u64(&s->places, s->totals[r->unit].name_hash);
	if (p && p->name)
		s->on_record(s->userdata, p->name, r);
	return 0;
}

/* Keeps the counts of requests by age in order; the kernel only adds to them. */
static void tend_ages(const struct http_source *s, struct place *p, uint64_t now_ns)
{
	struct http_totals *t = &s->totals[p->unit];
	struct http_detail *d =
		t->detail && t->detail < s->n_details ? &s->details[t->detail] : NULL;

	if (!d)
		return;
	if (t->started > t->finished) {
		p->clear = false;
		http_ages_retire(&d->waiting, now_ns);
		http_ages_retire(&d->transfers, now_ns);
	} else if (!p->clear && p->state && p->state->settled) {
		http_ages_settle(&d->waiting, &t->started);
		http_ages_settle(&d->transfers, &t->started);
		p->clear = true;
	}
}

void http_source_tick(struct http_source *s, uint64_t now_ns)
{
	size_t cursor = 0, n = 0;
	struct place *p;

	ring_buffer__consume(s->records);
	while ((p = hash_next(&s->places, &cursor))) {
		n += s->totals[p->unit].detail != 0;
		tend_ages(s, p, now_ns);
		if (!p->state)
			continue;
		if (!p->state->detail)
			p->state->detail = detail_of(s, p->unit);
		http_routes_find(&s->routes, p->state, p->unit);
		http_tick(p->state, now_ns);
	}
	s->world->http_units = n;
}

static int map_all(struct http_source *s)
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
	p = mmap(NULL, s->n_details * sizeof(*s->details), PROT_READ | PROT_WRITE, MAP_SHARED,
		s->programs.maps[HTTP_MAP_DETAILS], 0);
	if (p == MAP_FAILED)
		return -errno;
	s->details = p;
	s->world->http_units_max = s->n_details - 1;
	s->records = ring_buffer__new(s->programs.maps[HTTP_MAP_RECORDS], take_record, s, NULL);
	return s->records ? http_routes_open(&s->routes, &s->programs) : -errno;
}

struct http_source *http_source_free(struct http_source *s)
{
	struct attached *a;
	struct place *p;
	size_t cursor = 0;

	if (!s)
		return NULL;
	while ((a = hash_next(&s->attached, &cursor)))
		free_attached(a);
	cursor = 0;
	while ((p = hash_next(&s->places, &cursor)))
		free_place(p);
	ring_buffer__free(s->records);
	hash_done(&s->attached);
	hash_done(&s->places);
	if (s->totals)
		munmap(s->totals, HTTP_UNITS * sizeof(*s->totals));
	if (s->details)
		munmap(s->details, s->n_details * sizeof(*s->details));
	http_routes_done(&s->routes);
	http_programs_done(&s->programs);
	free(s);
	return NULL;
}

int http_source_new(struct http_source **ret, struct world *w, struct http_programs *programs,
	struct fdstore *stored, http_record_fn on_record, void *userdata)
{
	struct http_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		http_programs_done(programs);
		return -ENOMEM;
	}
	s->world = w;
	s->programs = *programs;
	s->stored = stored;
	s->on_record = on_record;
	s->userdata = userdata;
	r = map_all(s);
	if (r >= 0)
		r = find_places(s);
	if (r < 0) {
		http_source_free(s);
		return r;
	}
	*ret = s;
	return 0;
}
