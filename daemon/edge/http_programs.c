/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading and adopting the HTTP programs; see http_programs.h. */
#include "http_programs.h"
#include "../base/log.h"
#include "../base/str.h"
#include "fdstore.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/types.h>

#include "http.skel.h"

static const char *const map_names[HTTP_MAP_COUNT] = { "totals", "details", "free-details",
	"members", "routes", "route-counts", "free-routes", "probe-ports", "records" };

static const struct {
	const char *name, *feature, *does;
	bool required;
} programs[HTTP_PROGRAM_COUNT] = {
	[HTTP_PROGRAM_IN] = { "in", NULL, NULL, true },
	[HTTP_PROGRAM_OUT] = { "out", NULL, NULL, true },
	[HTTP_PROGRAM_READ] = { "read", "http-queue", "how long requests wait to be read", false },
	[HTTP_PROGRAM_STATE] = { "state", "http-ends", "requests that are never answered", false },
	[HTTP_PROGRAM_STATE_2ND] = { "state-2nd", NULL, NULL, false },
};

static uint64_t shape_of(uint32_t n_details)
{
	size_t size;
	const void *elf = http__elf_bytes(&size);

	return hash_bytes(elf, size) + n_details;
}

void http_stored_name(char ret[64], const struct http_programs *p, const char *what)
{
	snprintf(ret, 64, "mendd-v%d-%016" PRIx64 "-http-%s", HTTP_WIRE_VERSION, p->shape, what);
}

static struct bpf_program *program_of(const struct http *s, enum http_program p)
{
	switch (p) {
	case HTTP_PROGRAM_IN:
		return s->progs.http_in;
	case HTTP_PROGRAM_OUT:
		return s->progs.http_out;
	case HTTP_PROGRAM_READ:
		return s->progs.http_read;
	case HTTP_PROGRAM_STATE:
		return s->progs.http_state;
	default:
		return s->progs.http_state_2nd;
	}
}

static struct bpf_map *map_of(const struct http *s, enum http_map m)
{
	switch (m) {
	case HTTP_MAP_TOTALS:
		return s->maps.totals;
	case HTTP_MAP_DETAILS:
		return s->maps.details;
	case HTTP_MAP_FREE_DETAILS:
		return s->maps.free_details;
	case HTTP_MAP_MEMBERS:
		return s->maps.members;
	case HTTP_MAP_ROUTES:
		return s->maps.routes;
	case HTTP_MAP_ROUTE_COUNTS:
		return s->maps.route_counts;
	case HTTP_MAP_FREE_ROUTES:
		return s->maps.free_routes;
	case HTTP_MAP_PROBE_PORTS:
		return s->maps.probe_ports;
	default:
		return s->maps.records;
	}
}

static int take(
	const struct http_programs *p, struct fdstore *stored, const char *kind, const char *what)
{
	char part[32], name[64];

	snprintf(part, sizeof(part), "%s-%s", kind, what);
	http_stored_name(name, p, part);
	return fdstore_take(stored, name);
}

static void push(const struct http_programs *p, int fd, const char *kind, const char *what)
{
	char part[32], name[64];

	if (fd < 0)
		return;
	snprintf(part, sizeof(part), "%s-%s", kind, what);
	http_stored_name(name, p, part);
	fdstore_push(fd, name);
}

static bool adopt(struct http_programs *p, struct fdstore *stored)
{
	bool complete = true;

	for (int i = 0; i < HTTP_MAP_COUNT; i++) {
		p->maps[i] = take(p, stored, "map", map_names[i]);
		complete = complete && p->maps[i] >= 0;
	}
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++) {
		p->programs[i] = take(p, stored, "program", programs[i].name);
		p->links[i] = take(p, stored, "link", programs[i].name);
		complete = complete && (p->programs[i] >= 0 || !programs[i].required);
	}
	if (!complete)
		http_programs_done(p);
	return complete;
}

/* What is being loaded. */
struct loading {
	struct http *skeleton; /* owned between open and close */
	uint32_t n_details;
};

static int open_programs(void *userdata, const bool *wanted)
{
	struct loading *l = userdata;
	struct http *s = http__open();
	uint64_t bounds[HTTP_BOUNDS];
	int r;

	if (!s)
		return -errno;
	for (unsigned int code = 0; code < ARRAY_SIZE(s->rodata->code_place); code++)
		s->rodata->code_place[code] = (__u8)http_place_of_code(code);
	http_bounds_ns(bounds);
	for (unsigned int i = 0; i < HTTP_BOUNDS; i++)
		s->rodata->bounds[i] = bounds[i];
	for (unsigned int i = 0; i < HTTP_BUCKETS; i++)
		s->rodata->classic_of[i] = (__u8)http_classic_of_bucket(i);
	s->rodata->reads_are_seen = wanted[HTTP_PROGRAM_READ];
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++)
		bpf_program__set_autoload(program_of(s, i), wanted[i]);
	r = bpf_map__set_max_entries(s->maps.details, l->n_details);
	if (r < 0)
		http__destroy(s);
	else
		l->skeleton = s;
	return r;
}

static int load_programs(void *userdata)
{
	return http__load(((struct loading *)userdata)->skeleton);
}

static void close_programs(void *userdata)
{
	struct loading *l = userdata;

	http__destroy(TAKE_PTR(l->skeleton));
}

static struct bpf_program *nth_program(void *userdata, size_t i)
{
	return program_of(((struct loading *)userdata)->skeleton, i);
}

static bool is_required(size_t i)
{
	return programs[i].required;
}

/* cgroup_skb programs are attached to cgroups one by one, later. */
static void attach(struct http_programs *p, const struct http *s)
{
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++) {
		struct bpf_program *program = program_of(s, i);
		struct bpf_link *link;

		if (!bpf_program__autoload(program))
			continue;
		p->programs[i] = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
		if (i == HTTP_PROGRAM_IN || i == HTTP_PROGRAM_OUT)
			continue;
		link = bpf_program__attach(program);
		if (link) {
			p->links[i] = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3);
			bpf_link__destroy(link); /* the duplicate keeps it attached */
		} else {
			p->refusals[i].error = -errno;
			snprintf(p->refusals[i].why, sizeof(p->refusals[i].why),
				"the program %s cannot be attached: %m", programs[i].name);
		}
	}
}

static void clear(struct http_programs *p, uint32_t n_details)
{
	memset(p, 0, sizeof(*p));
	memset(p->maps, -1, sizeof(p->maps));
	memset(p->programs, -1, sizeof(p->programs));
	memset(p->links, -1, sizeof(p->links));
	p->shape = shape_of(n_details);
}

bool http_programs_adopt(struct http_programs *p, uint32_t n_details, struct fdstore *stored)
{
	clear(p, n_details);
	if (adopt(p, stored))
		return true;
	if (fdstore_has_left(stored, "-http-map-totals"))
		log_notice("HTTP is counted anew: the tables of the former run have another shape "
			   "(another version, or MaxHTTPUnits=)");
	return false;
}

int http_programs_load(struct http_programs *p, uint32_t n_details)
{
	struct loading loading = { .n_details = n_details };
	const struct bpf_loadable loadable = {
		.n = HTTP_PROGRAM_COUNT,
		.userdata = &loading,
		.open = open_programs,
		.load = load_programs,
		.close = close_programs,
		.program = nth_program,
		.is_required = is_required,
	};
	bool wanted[HTTP_PROGRAM_COUNT];
	int r;

	clear(p, n_details);
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++)
		wanted[i] = true;
	r = bpf_load(&loadable, wanted, p->refusals);
	if (r < 0)
		return r;
	for (int i = 0; i < HTTP_MAP_COUNT; i++)
		p->maps[i] = fcntl(bpf_map__fd(map_of(loading.skeleton, i)), F_DUPFD_CLOEXEC, 3);
	for (uint32_t place = 1; place < HTTP_ROUTES; place++)
		bpf_map_update_elem(p->maps[HTTP_MAP_FREE_ROUTES], NULL, &place, BPF_ANY);
	for (uint32_t place = 1; place < n_details; place++)
		bpf_map_update_elem(p->maps[HTTP_MAP_FREE_DETAILS], NULL, &place, BPF_ANY);
	attach(p, loading.skeleton);
	close_programs(&loading);
	for (int i = 0; i < HTTP_MAP_COUNT; i++)
		if (p->maps[i] < 0)
			r = -EMFILE;
	if (r < 0)
		http_programs_done(p);
	return r;
}

void http_programs_store(const struct http_programs *p)
{
	for (int i = 0; i < HTTP_MAP_COUNT; i++)
		push(p, p->maps[i], "map", map_names[i]);
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++) {
		push(p, p->programs[i], "program", programs[i].name);
		push(p, p->links[i], "link", programs[i].name);
	}
}

void http_programs_tell(const struct http_programs *p, int error, struct world *w)
{
	const char *why = error < 0 ? strerror(-error) : "";

	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++) {
		if (!p->refusals[i].error)
			continue;
		log_warning("%s", p->refusals[i].why);
		if (programs[i].required)
			why = p->refusals[i].why;
	}
	if (error < 0) {
		world_feature(w, "http", false, "HTTP is not measured: %s", why);
		return;
	}
	world_feature(w, "http", true, "requests, status codes and latency of services, measured");
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++)
		if (programs[i].feature)
			world_feature(w, programs[i].feature, p->links[i] >= 0, "%s%s%s",
				programs[i].does, p->links[i] >= 0 ? "" : ": ",
				p->links[i] >= 0       ? ""
				: p->refusals[i].error ? p->refusals[i].why
						       : "this kernel refuses the program");
	/* What ends unseen would be taken for a request that waits for ever. */
	world_feature(w, "http-oldest", http_programs_see_ends(p), "%s%s",
		"how long requests have been waiting",
		http_programs_see_ends(p) ? "" : ": needs http-ends");
}

bool http_programs_see_ends(const struct http_programs *p)
{
	return p->links[HTTP_PROGRAM_STATE] >= 0 || p->links[HTTP_PROGRAM_STATE_2ND] >= 0;
}

void http_programs_done(struct http_programs *p)
{
	for (int i = 0; i < HTTP_MAP_COUNT; i++)
		if (p->maps[i] >= 0)
			close(TAKE_FD(p->maps[i]));
	for (int i = 0; i < HTTP_PROGRAM_COUNT; i++) {
		if (p->programs[i] >= 0)
			close(TAKE_FD(p->programs[i]));
		if (p->links[i] >= 0)
			close(TAKE_FD(p->links[i]));
	}
}
