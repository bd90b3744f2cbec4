/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading and adopting; see kernel_programs.h. Feature checks, never version checks: what the
 * kernel's own BTF says of a tracepoint's arguments decides which variant is loaded.
 */
#include "kernel_programs.h"
#include "../base/log.h"
#include "../base/str.h"
#include "fdstore.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/types.h>
#include <sys/stat.h>

#include "../../bpf/wire.h"
#include "lifecycle.skel.h"

static const char *const map_names[MAP_COUNT] = { "events", "watched", "lost" };

static const struct {
	const char *name, *feature, *does;
	bool required;
} links[LINK_COUNT] = {
	[LINK_EXIT] = { "exit", "deaths", "process deaths with status and memory", true },
	[LINK_EXIT_2ND] = { "exit-2nd", NULL, NULL, false },
	[LINK_SIGNAL] = { "signal", "signals", "who sent the fatal signal", false },
	[LINK_OOM] = { "oom", "oom", "victims of the OOM killer", false },
	[LINK_EXEC] = { "exec", "exec", "which program a unit runs, and whether it changed",
		false },
	[LINK_BORN] = { "born", "cgroup-births", "restarted units are watched without a gap",
		true },
	[LINK_ENDED] = { "ended", "cgroup-ends", "cgroups of stopped units are forgotten", false },
};

static struct bpf_program *program_of(const struct lifecycle *s, enum kernel_link link, bool told)
{
	switch (link) {
	case LINK_EXIT:
		return told ? s->progs.exit_told : s->progs.exit_counted;
	case LINK_EXIT_2ND:
		return s->progs.exit_told_2nd;
	case LINK_SIGNAL:
		return s->progs.signal_sent;
	case LINK_OOM:
		return s->progs.oom_victim;
	case LINK_EXEC:
		return s->progs.program_executed;
	case LINK_BORN:
		return s->progs.cgroup_born;
	default:
		return s->progs.cgroup_ended;
	}
}

/* Number of arguments of a BTF tracepoint without the hidden first one; -1: there is none. */
static int tracepoint_arguments(const struct btf *btf, const char *name, uint32_t *ret_proto)
{
	char type_name[64];
	const struct btf_type *t;
	int id;

	snprintf(type_name, sizeof(type_name), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, type_name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return -1;
	t = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type); /* pointer … */
	*ret_proto = t->type;                                               /* … to function */
	return (int)btf_vlen(btf__type_by_id(btf, t->type)) - 1;
}

/* Whether the tracepoint's first own argument is a pointer. */
static bool first_is_pointer(const struct btf *btf, uint32_t proto)
{
	const struct btf_param *p = btf_params(btf__type_by_id(btf, proto));
	const struct btf_type *t = btf__type_by_id(btf, p[1].type);

	while (btf_is_typedef(t) || btf_is_mod(t))
		t = btf__type_by_id(btf, t->type);
	return btf_is_ptr(t);
}

/* The name in the FD store: it changes with the programs' code and with the records' layout. */
static void stored_name(char ret[64], const char *what)
{
	size_t size;
	const void *elf = lifecycle__elf_bytes(&size);

	snprintf(ret, 64, "mendd-v%d-%016llx-%s", WIRE_VERSION,
		(unsigned long long)hash_bytes(elf, size), what);
}

/* For the kernel's accounting; a link alone names its program only to CAP_SYS_ADMIN. */
static void stored_program_name(char ret[64], enum kernel_link link)
{
	char what[32];

	snprintf(what, sizeof(what), "%s-program", links[link].name);
	stored_name(ret, what);
}

static bool adopt(struct kernel_programs *p, struct fdstore *stored)
{
	bool complete = true;
	char name[64];

	for (int i = 0; i < MAP_COUNT; i++) {
		stored_name(name, map_names[i]);
		p->maps[i] = fdstore_take(stored, name);
		complete = complete && p->maps[i] >= 0;
	}
	for (int i = 0; i < LINK_COUNT; i++) {
		stored_name(name, links[i].name);
		p->links[i] = fdstore_take(stored, name);
		stored_program_name(name, i);
		p->programs[i] = fdstore_take(stored, name);
		complete = complete && (p->links[i] >= 0 || !links[i].required);
	}
	if (!complete)
		kernel_programs_done(p);
	return complete;
}

static void store_all(const struct kernel_programs *p)
{
	char name[64];

	for (int i = 0; i < MAP_COUNT; i++) {
		stored_name(name, map_names[i]);
		fdstore_push(p->maps[i], name);
	}
	for (int i = 0; i < LINK_COUNT; i++) {
		if (p->links[i] < 0)
			continue;
		stored_name(name, links[i].name);
		fdstore_push(p->links[i], name);
		stored_program_name(name, i);
		fdstore_push(p->programs[i], name);
	}
}

/* What is being loaded. */
struct loading {
	struct lifecycle *skeleton; /* owned between open and close */
	const struct btf *btf;      /* borrowed; the kernel's */
	uint64_t root_cgroup;
	bool told; /* the kernel tells which thread is the last one */
};

static int open_programs(void *userdata, const bool *wanted)
{
	struct loading *l = userdata;
	struct lifecycle *s = lifecycle__open();
	struct bpf_program *program;
	struct stat pidns;
	uint32_t proto = 0;

	if (!s)
		return -errno;
	if (stat("/proc/self/ns/pid", &pidns) < 0)
		pidns.st_ino = 0;
	s->rodata->pidns_inum = (uint32_t)pidns.st_ino;
	s->rodata->root_cgroup = l->root_cgroup;
	if (tracepoint_arguments(l->btf, "mark_victim", &proto) > 0)
		s->rodata->victim_is_task = first_is_pointer(l->btf, proto);
	bpf_object__for_each_program(program, s->obj) bpf_program__set_autoload(program, false);
	for (int i = 0; i < LINK_COUNT; i++)
		if (wanted[i])
			bpf_program__set_autoload(program_of(s, i, l->told), true);
	l->skeleton = s;
	return 0;
}

static int load_programs(void *userdata)
{
	return lifecycle__load(((struct loading *)userdata)->skeleton);
}

static void close_programs(void *userdata)
{
	struct loading *l = userdata;

	lifecycle__destroy(TAKE_PTR(l->skeleton));
}

static struct bpf_program *nth_program(void *userdata, size_t i)
{
	const struct loading *l = userdata;

	return program_of(l->skeleton, i, l->told);
}

static bool is_required(size_t i)
{
	return links[i].required;
}

static int attach(struct kernel_programs *p, struct lifecycle *s, bool told)
{
	for (int i = 0; i < LINK_COUNT; i++) {
		struct bpf_program *program = program_of(s, i, told);
		struct bpf_link *link;

		if (!bpf_program__autoload(program))
			continue;
		link = bpf_program__attach(program);
		if (link) {
			p->links[i] = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3);
			p->programs[i] = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
			bpf_link__destroy(link); /* the duplicate keeps it attached */
		} else if (links[i].required)
			return -errno;
	}
	return 0;
}

static int load(struct kernel_programs *p, uint64_t root_cgroup)
{
	struct btf *btf = btf__load_vmlinux_btf();
	struct loading loading = { .btf = btf, .root_cgroup = root_cgroup };
	const struct bpf_loadable loadable = {
		.n = LINK_COUNT,
		.userdata = &loading,
		.open = open_programs,
		.load = load_programs,
		.close = close_programs,
		.program = nth_program,
		.is_required = is_required,
	};
	bool wanted[LINK_COUNT];
	uint32_t proto;
	int r;

	if (!btf)
		return -errno;
	for (int i = 0; i < LINK_COUNT; i++)
		wanted[i] = true;
	loading.told = tracepoint_arguments(btf, "sched_process_exit", &proto) > 1;
	wanted[LINK_EXIT_2ND] = loading.told;
	r = bpf_load(&loadable, wanted, p->refusals);
	btf__free(btf);
	if (r < 0)
		return r;
	p->maps[MAP_EVENTS] = fcntl(bpf_map__fd(loading.skeleton->maps.events), F_DUPFD_CLOEXEC, 3);
	p->maps[MAP_WATCHED] =
		fcntl(bpf_map__fd(loading.skeleton->maps.watched), F_DUPFD_CLOEXEC, 3);
	p->maps[MAP_LOST] = fcntl(bpf_map__fd(loading.skeleton->maps.lost), F_DUPFD_CLOEXEC, 3);
	r = attach(p, loading.skeleton, loading.told);
	close_programs(&loading);
	for (int i = 0; i < MAP_COUNT && r >= 0; i++)
		if (p->maps[i] < 0)
			r = -EMFILE;
	if (r < 0)
		kernel_programs_done(p);
	return r;
}

/* Why the programs as a whole do not load. */
static const char *why_none(const struct kernel_programs *p, int error)
{
	for (int i = 0; i < LINK_COUNT; i++)
		if (links[i].required && p->refusals[i].error)
			return p->refusals[i].why;
	return strerror(-error);
}

int kernel_programs_load(
	struct kernel_programs *p, struct world *w, struct fdstore *stored, uint64_t root_cgroup)
{
	int r;

	memset(p->maps, -1, sizeof(p->maps));
	memset(p->links, -1, sizeof(p->links));
	memset(p->programs, -1, sizeof(p->programs));
	memset(p->refusals, 0, sizeof(p->refusals));
	bpf_load_log();
	p->adopted = adopt(p, stored);
	if (!p->adopted) {
		r = load(p, root_cgroup);
		if (r < 0) {
			world_feature(w, "bpf", false, "deaths are not seen in the kernel: %s%s",
				why_none(p, r),
				r == -EPERM ? " (CAP_BPF and CAP_PERFMON are needed)" : "");
			return r;
		}
		store_all(p);
		if (fdstore_has_left(stored, "-events"))
			log_notice("what the kernel has recorded meanwhile is not read: the "
				   "programs of the former run are another version's");
	}
	world_feature(w, "bpf", true, "%s",
		p->adopted ? "kernel programs of the former run go on" : "kernel programs loaded");
	for (int i = 0; i < LINK_COUNT; i++) {
		const char *why = p->refusals[i].error ? p->refusals[i].why
						       : "this kernel refuses the program";

		if (p->refusals[i].error)
			log_warning("%s", why);
		if (links[i].feature)
			world_feature(w, links[i].feature, p->links[i] >= 0, "%s%s%s",
				links[i].does, p->links[i] >= 0 ? "" : ": ",
				p->links[i] >= 0 ? "" : why);
	}
	return 0;
}

void kernel_programs_stats(const struct kernel_programs *p, struct world *w)
{
	for (int i = 0; i < LINK_COUNT; i++)
		kernel_program_stats(p->programs[i], w);
}

void kernel_program_stats(int fd, struct world *w)
{
	struct program_stats *s = &w->programs[w->n_programs];
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (w->n_programs == ARRAY_SIZE(w->programs) || fd < 0 ||
		bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return;
	str_copy(s->name, sizeof(s->name), info.name);
	s->runs = info.run_cnt;
	s->run_ns = info.run_time_ns;
	s->misses = info.recursion_misses;
	w->n_programs++;
}

void kernel_programs_done(struct kernel_programs *p)
{
	for (int i = 0; i < LINK_COUNT; i++) {
		if (p->links[i] >= 0)
			close(TAKE_FD(p->links[i]));
		if (p->programs[i] >= 0)
			close(TAKE_FD(p->programs[i]));
	}
	for (int i = 0; i < MAP_COUNT; i++)
		if (p->maps[i] >= 0)
			close(TAKE_FD(p->maps[i]));
}
