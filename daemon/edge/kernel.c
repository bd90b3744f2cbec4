/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel programs seen from the daemon; see kernel.h. Records come in on the loop through the
 * ring buffer's epoll fd, are translated into the daemon's own terms, and handed to the manager. No
 * policy.
 */
#include "kernel.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/str.h"
#include "fdstore.h"
#include "kernel_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/types.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../bpf/wire.h"

/*
 * Records of helpers do not wake the daemon; they are fetched at the latest after this time. Once a
 * second costs an idle daemon one system call a second.
 */
#define DRAIN_USEC USEC_PER_SEC
#define CGROUP_ROOT "/sys/fs/cgroup"
#define TREE_DEPTH 12 /* slices, service, and delegated children below it */
#define CGROUP_PATH 1024

static const char *const loss_kinds[WIRE_KINDS] = { "watch", "death", "exec", "cgroup",
	"cgroup-gone" };

struct kernel {
	sd_event *event;                        /* borrowed */
	struct world *world;                    /* borrowed */
	const struct kernel_handlers *handlers; /* borrowed: constant */
	void *userdata;                         /* of the handlers */
	struct kernel_programs programs;
	struct ring_buffer *ring;    /* owned */
	sd_event_source *io, *timer; /* owned */
	uint64_t lost[WIRE_KINDS];   /* as last read */
	long page_size;
	int n_cpus;
};

/*
 * Positive codes are faults, tty and limits. Of the negative ones these four are made by the kernel
 * too (a timer, a message queue, asynchronous I/O), in the context of whoever ran then;
 * include/uapi/asm-generic/siginfo.h.
 */
static bool is_kernels_own(int si_code)
{
	return si_code > 0 || si_code == SI_TIMER || si_code == SI_MESGQ || si_code == SI_ASYNCIO ||
	       si_code == SI_SIGIO;
}

static void translate_sender(const struct wire_sender *s, struct death *ret)
{
	if (is_kernels_own(s->si_code))
		ret->killer = KILLER_KERNEL;
	else if (s->is_self)
		ret->killer = KILLER_SELF;
	else if (s->pid == 1)
		ret->killer = KILLER_SYSTEMD;
	else
		ret->killer = KILLER_PROCESS;
	ret->killer_si_code = s->si_code;
	ret->killer_time_ns = s->time_ns;
	if (ret->killer == KILLER_KERNEL)
		return; /* whoever was running then had nothing to do with it */
	ret->killer_pid = s->pid;
	ret->killer_uid = s->uid;
	str_copy(ret->killer_comm, sizeof(ret->killer_comm), s->comm);
	str_copy(ret->killer_unit, sizeof(ret->killer_unit), s->cgroup);
}

static void on_death(struct kernel *k, const struct wire_death *w)
{
	struct death d = {
		.source = DEATH_FROM_KERNEL,
		.time_ns = w->header.time_ns,
		.seen_ns = clock_monotonic_ns(),
		.pid = w->pid,
		.parent_pid = w->parent_pid,
		.start_ns = w->start_boot_ns,
		.lifetime_ns = w->lifetime_ns,
		.peak_rss_bytes = w->peak_rss_pages * (uint64_t)k->page_size,
		.uid = w->uid,
	};

	str_copy(d.comm, sizeof(d.comm), w->comm);
	if (WIFSIGNALED(w->status)) {
		d.signal = WTERMSIG(w->status);
		d.core_dumped = WCOREDUMP(w->status);
	} else {
		d.code = WEXITSTATUS(w->status);
		if (w->has_sender)
			d.asked_signal = w->sender.signal;
	}
	if (w->has_sender)
		translate_sender(&w->sender, &d);
	/*
	 * Not only by SIGKILL: the kernel tells of the OOM kill before it sends the signal, and PID
	 * 1 (OOMPolicy=stop) can be faster with its SIGTERM.
	 */
	if (w->oom_victim && d.signal) {
		d.killer = KILLER_OOM;
		d.oom_limit_known = w->own_ooms >= 0;
		d.oom_own_limit = w->own_ooms > 0;
	}
	k->handlers->on_death(k->userdata, w->header.unit_cgroup, &d);
}

static void on_exec(struct kernel *k, const struct wire_exec *w)
{
	struct program p = {
		.device = w->device,
		.inode = w->inode,
		.mtime_ns = w->mtime_ns,
		.time_ns = w->header.time_ns,
	};

	str_copy(p.path, sizeof(p.path), w->path);
	k->handlers->on_exec(k->userdata, w->header.unit_cgroup, w->pid, &p);
}

/* systemd puts "_" before a cgroup's name where it would collide with a file of the kernel's. */
static const char *unit_of_cgroup_name(const char *name)
{
	return name[0] == '_' ? name + 1 : name;
}

/*
 * The kernel's path begins at the root of the whole hierarchy, which in a container is further up
 * than the one that is mounted: the last parts are those that count.
 */
static const char *path_below_root(const struct wire_cgroup *c)
{
	const char *path = c->path + strnlen(c->path, sizeof(c->path) - 1);
	uint32_t parts = c->slices + 1;

	if (path == c->path + sizeof(c->path) - 1)
		return ""; /* cut */
	while (path > c->path && parts > 0)
		if (*--path == '/')
			parts--;
	return parts == 0 ? path : "";
}

static void on_cgroup(struct kernel *k, const struct wire_cgroup *c)
{
	const char *unit = unit_of_cgroup_name(c->name);

	if (c->header.kind == WIRE_CGROUP_NEW)
		k->handlers->on_cgroup(
			k->userdata, c->header.unit_cgroup, unit, path_below_root(c));
	else
		k->handlers->on_cgroup_gone(k->userdata, c->header.unit_cgroup, unit);
}

static int on_record(void *userdata, void *data, size_t size)
{
	const struct wire_header *h = data;
	struct kernel *k = userdata;

	if (size < sizeof(*h) || h->version != WIRE_VERSION)
		return 0; /* a record that cannot be understood must not stop those behind it */
	k->world->events++;
	switch (h->kind) {
	case WIRE_DEATH:
		if (size >= sizeof(struct wire_death))
			on_death(k, data);
		break;
	case WIRE_EXEC:
		if (size >= sizeof(struct wire_exec))
			on_exec(k, data);
		break;
	case WIRE_CGROUP_NEW:
	case WIRE_CGROUP_GONE:
		if (size >= sizeof(struct wire_cgroup))
			on_cgroup(k, data);
		break;
	}
	return 0;
}

/* Adds up the per-CPU loss counters and tells the manager what is new. */
static void read_losses(struct kernel *k)
{
	uint64_t values[k->n_cpus];
	bool unwatched = false;

	for (uint32_t kind = 0; kind < WIRE_KINDS; kind++) {
		uint64_t sum = 0;

		if (bpf_map_lookup_elem(k->programs.maps[MAP_LOST], &kind, values) < 0)
			continue;
		for (int cpu = 0; cpu < k->n_cpus; cpu++)
			sum += values[cpu];
		str_copy(k->world->lost[kind].kind, sizeof(k->world->lost[kind].kind),
			loss_kinds[kind]);
		k->world->lost[kind].count = sum;
		if (sum > k->lost[kind]) {
			uint64_t more = sum - k->lost[kind];

			k->lost[kind] = sum;
			unwatched = unwatched || kind == 0 || kind == WIRE_CGROUP_NEW;
			k->handlers->on_loss(k->userdata, loss_kinds[kind], more);
		}
	}
	k->world->n_lost = WIRE_KINDS;
	/* The birth of a cgroup that nothing watches, or of whose unit nobody has heard. */
	if (unwatched)
		kernel_scan(k);
}

static void drain(struct kernel *k)
{
	int r = ring_buffer__consume(k->ring);

	if (r < 0)
		log_warning_errno(r, "cannot read the kernel's records");
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	drain(userdata);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct kernel *k = userdata;

	drain(k);
	read_losses(k);
	sd_event_source_set_time_relative(source, DRAIN_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int kernel_watch(struct kernel *k, uint64_t cgroup, bool watch)
{
	uint64_t unit = watch ? cgroup : 0;

	return bpf_map_update_elem(k->programs.maps[MAP_WATCHED], &cgroup, &unit, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

uint64_t kernel_unit_cgroup(const struct kernel *k, uint64_t cgroup)
{
	uint64_t unit = 0;

	bpf_map_lookup_elem(k->programs.maps[MAP_WATCHED], &cgroup, &unit);
	return unit;
}

/* A directory of the cgroup tree that is being walked. */
struct place {
	int fd;
	uint64_t unit; /* whose tree this is, 0 above services */
	int depth;
	const char *path; /* below the cgroup root */
};

static void scan(struct kernel *k, const struct place *parent, const char *name, uint64_t unit);

static void scan_entry(struct kernel *k, const struct place *p, const struct dirent *entry)
{
	const char *unit = unit_of_cgroup_name(entry->d_name);
	uint64_t id = entry->d_ino;
	char path[CGROUP_PATH];

	if (p->unit) {
		bpf_map_update_elem(k->programs.maps[MAP_WATCHED], &id, &p->unit, BPF_NOEXIST);
		scan(k, p, entry->d_name, p->unit);
		return;
	}
	if (snprintf(path, sizeof(path), "%s/%s", p->path, entry->d_name) >= (int)sizeof(path))
		path[0] = '\0';
	if (str_has_suffix(entry->d_name, ".socket"))
		k->handlers->on_cgroup(k->userdata, id, unit, path);
	else if (str_has_suffix(entry->d_name, ".service")) {
		bpf_map_update_elem(k->programs.maps[MAP_WATCHED], &id, &id, BPF_NOEXIST);
		k->handlers->on_cgroup(k->userdata, id, unit, path);
		/* What is below an unwanted one is not looked at. */
		if (kernel_unit_cgroup(k, id))
			scan(k, p, entry->d_name, id);
	} else if (str_has_suffix(entry->d_name, ".slice"))
		scan(k, p, entry->d_name, 0);
	/* Scopes are no services, nor what containers keep below them. */
}

static void scan(struct kernel *k, const struct place *parent, const char *name, uint64_t unit)
{
	_cleanup_close_ int fd =
		openat(parent->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char path[CGROUP_PATH];
	struct place p = { .fd = fd, .unit = unit, .depth = parent->depth + 1, .path = path };
	struct dirent *entry;
	DIR *dir;

	if (fd < 0 || p.depth > TREE_DEPTH)
		return;
	if (parent->depth == 0)
		path[0] = '\0';
	else if (snprintf(path, sizeof(path), "%s/%s", parent->path, name) >= (int)sizeof(path))
		return;
	dir = fdopendir(dup(fd));
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			scan_entry(k, &p, entry);
	closedir(dir);
}

int kernel_scan(struct kernel *k)
{
	const struct place above = { .fd = AT_FDCWD, .path = "" };

	scan(k, &above, CGROUP_ROOT, 0);
	return 0;
}

void kernel_refresh(struct kernel *k)
{
	uint64_t key, next, n = 0;
	int fd = k->programs.maps[MAP_WATCHED];

	read_losses(k);
	k->world->n_programs = 0;
	kernel_programs_stats(&k->programs, k->world);
	for (int r = bpf_map_get_next_key(fd, NULL, &next); r == 0 && n < WIRE_WATCHED_MAX;
		r = bpf_map_get_next_key(fd, &key, &next)) {
		key = next;
		n++;
	}
	k->world->watched_entries = n;
	k->world->watched_max = WIRE_WATCHED_MAX;
}

bool kernel_is_adopted(const struct kernel *k)
{
	return k->programs.adopted;
}

struct kernel *kernel_free(struct kernel *k)
{
	if (!k)
		return NULL;
	sd_event_source_disable_unref(k->io);
	sd_event_source_disable_unref(k->timer);
	ring_buffer__free(k->ring);
	kernel_programs_done(&k->programs);
	free(k);
	return NULL;
}

static void kernel_freep(struct kernel **k)
{
	kernel_free(*k);
}

int kernel_new(struct kernel **ret, sd_event *event, struct world *w, struct fdstore *stored,
	const struct kernel_handlers *handlers, void *userdata)
{
	_cleanup_(kernel_freep) struct kernel *k = calloc(1, sizeof(*k));
	struct stat root;
	int r;

	if (!k)
		return -ENOMEM;
	k->event = event;
	k->world = w;
	k->handlers = handlers;
	k->userdata = userdata;
	k->page_size = sysconf(_SC_PAGESIZE);
	k->n_cpus = libbpf_num_possible_cpus();
	if (k->n_cpus <= 0)
		return k->n_cpus ? k->n_cpus : -ENODATA;
	if (stat(CGROUP_ROOT "/cgroup.controllers", &root) < 0 || stat(CGROUP_ROOT, &root) < 0) {
		world_feature(w, "cgroups", false,
			"no unified cgroup hierarchy at " CGROUP_ROOT
			"; boot with systemd.unified_cgroup_hierarchy=1");
		world_feature(w, "bpf", false,
			"not tried: without the unified cgroup hierarchy nothing tells which unit a "
			"process belongs to");
		return -ENOENT;
	}
	world_feature(w, "cgroups", true, "unified hierarchy at " CGROUP_ROOT);
	r = kernel_programs_load(&k->programs, w, stored, root.st_ino);
	if (r < 0)
		return r;
	k->ring = ring_buffer__new(k->programs.maps[MAP_EVENTS], on_record, k, NULL);
	if (!k->ring)
		return -errno;
	r = sd_event_add_io(event, &k->io, ring_buffer__epoll_fd(k->ring), EPOLLIN, on_readable, k);
	if (r < 0)
		return r;
	/* Deaths before everything else that is ready at the same time. */
	r = sd_event_source_set_priority(k->io, SD_EVENT_PRIORITY_IMPORTANT);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(
		event, &k->timer, CLOCK_MONOTONIC, DRAIN_USEC, 100000, on_timer, k);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(k);
	return 0;
}
