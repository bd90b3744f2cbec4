// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Life and death of the processes of watched units, and of the units' cgroups.
 *
 * Hooks: tp_btf (BTF-typed raw tracepoints): the cheapest ones that load on a kernel in lockdown,
 * where fentry, fexit and kprobes are refused. Oldest kernel: 5.10 (ring buffer 5.8, BTF
 * tracepoints 5.5).
 *
 *   sched_process_exit    every thread's end; one map look-up for a process of an unwatched cgroup
 *   signal_generate       every signal; leaves at once for those that never kill
 *   mark_victim           the OOM killer's choice
 *   sched_process_exec    every exec; records only those of PID 1's direct children
 *   cgroup_mkdir, _rmdir  birth and end of a cgroup
 *
 * Watching follows restarts without a gap because the kernel itself adopts a new service's cgroup
 * at birth (cgroup_mkdir), before PID 1 can put a process into it; user space learns of it
 * afterwards, from the same ordered ring. Nothing here decides anything, and nothing here can
 * change the workload.
 */
#include "kernel.h"
#include "wire.h"

#include <linux/errno.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by the daemon before loading. */
const volatile __u32 pidns_inum;    /* inode number of the daemon's pid namespace */
const volatile __u64 root_cgroup;   /* id of the cgroup that PID 1 manages; 1 on a host */
const volatile bool victim_is_task; /* mark_victim passes a task (6.9 on), not a pid */

#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h; the value is the same since 2.6 */
#define PIDNS_DEPTH 8         /* the kernel allows 32; real nesting is 1 to 3 */
#define SLICE_DEPTH 10        /* slices within slices between the root and a service */
#define TREE_DEPTH 12         /* the same and cgroups within those of a service that delegates */
#define WAKE_BYTES (WIRE_RING_BYTES / 4)
/*
 * Helpers that die of a signal are news, but each wake-up costs the dying process some 10 us and
 * the daemon 15: a service that kills its children by the thousand would keep both busy. What
 * comes sooner after the last one is fetched with the next, or when the daemon looks by itself.
 */
#define HELPER_WAKE_NS 20000000

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, WIRE_RING_BYTES);
} events SEC(".maps");

/*
 * cgroup id -> id of the cgroup of the unit that it belongs to (itself or an ancestor); 0: known,
 * not to be watched. Preallocated: tracing programs may not allocate on older kernels.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WIRE_WATCHED_MAX);
	__type(key, u64);
	__type(value, u64);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WIRE_SENDERS_MAX);
	__type(key, struct wire_sender_key);
	__type(value, struct wire_sender);
} senders SEC(".maps");

/* Processes (kernel-global pid) that the OOM killer chose, with the time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, u64);
} victims SEC(".maps");

/* Thread groups whose death was recorded. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64); /* start time of the leader: no two processes share it with their pid */
	__type(value, u32);
} recorded SEC(".maps");

/* Records that found no room in the ring, by kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WIRE_KINDS);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

__u64 helper_wake_ns; /* last wake-up for a helper; CPUs may race for it, which costs a wake-up */

static __always_inline void count_lost(u32 kind)
{
	u64 *n = bpf_map_lookup_elem(&lost, &kind);

	if (n)
		*n += 1;
}

static __always_inline void *reserve(u32 kind, u32 size, u64 unit)
{
	struct wire_header *h = bpf_ringbuf_reserve(&events, size, 0);

	if (!h) {
		count_lost(kind);
		return NULL;
	}
	h->kind = kind;
	h->version = WIRE_VERSION;
	h->size = size;
	h->time_ns = bpf_ktime_get_ns();
	h->unit_cgroup = unit;
	return h;
}

/* A submit that wakes the daemon costs fifty times one that does not: urgent records only. */
static __always_inline void submit(void *record, bool urgent)
{
	if (!urgent)
		urgent = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > WAKE_BYTES;
	bpf_ringbuf_submit(record, urgent ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static __always_inline bool is_time_for_helpers(u64 now)
{
	if (now - helper_wake_ns < HELPER_WAKE_NS)
		return false;
	helper_wake_ns = now;
	return true;
}

/* The unit's cgroup id if the task belongs to a watched unit, else 0. */
static __always_inline u64 watched_unit(struct task_struct *task)
{
	u64 id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	u64 *unit = bpf_map_lookup_elem(&watched, &id);

	return unit ? *unit : 0;
}

/* The process id in the daemon's pid namespace; 0 where it is not visible there. */
static __always_inline s32 process_id(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	u32 deepest = BPF_CORE_READ(pid, level);

	for (u32 i = 0; i < PIDNS_DEPTH; i++) {
		struct upid number;

		if (i > deepest)
			break;
		if (bpf_core_read(&number, sizeof(number), &pid->numbers[i]))
			break;
		if (BPF_CORE_READ(number.ns, ns.inum) == pidns_inum)
			return number.nr;
	}
	return 0;
}

/* What wait(2) will report for the thread group: as wait_task_zombie() in kernel/exit.c computes
 * it. */
static __always_inline s32 wait_status(struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(task, signal, group_exit_code);
	return BPF_CORE_READ(task, group_leader, exit_code);
}

static __always_inline bool take_sender(u32 tgid, u32 signal, struct wire_sender *ret)
{
	struct wire_sender_key key = { .tgid = tgid, .signal = signal };
	struct wire_sender *found = bpf_map_lookup_elem(&senders, &key);

	if (!found)
		return false;
	*ret = *found;
	bpf_map_delete_elem(&senders, &key);
	return true;
}

/*
 * How often the unit's own memory limit, or one below it, was the reason to call the OOM killer:
 * "oom" of its memory.events. To be read now, because the cgroup is gone soon after. -1: not known,
 * without the memory controller of the unified hierarchy, or where the kernel has it elsewhere.
 */
static __always_inline s32 own_ooms(struct task_struct *task, u64 unit)
{
	struct cgroup_subsys_state *css;
	u32 index;
	void *set;
	long n;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) ||
		!bpf_core_enum_value_exists(enum memcg_memory_event, MEMCG_OOM) ||
		!bpf_core_field_exists(struct mem_cgroup, memory_events))
		return -1;
	/* Indices are known only when it is loaded: elements of arrays cannot be named by them. */
	index = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	set = BPF_CORE_READ(task, cgroups);
	if (bpf_probe_read_kernel(&css, sizeof(css),
		    set + bpf_core_field_offset(struct css_set, subsys) + index * sizeof(css)))
		return -1;
	for (u32 i = 0; i < TREE_DEPTH; i++) {
		if (!css) /* the controller is not enabled for the unit: it has no limit */
			return 0;
		if (BPF_CORE_READ(css, cgroup, root, hierarchy_id) != 0)
			return -1;
		if (BPF_CORE_READ(css, cgroup, kn, id) != unit) {
			css = BPF_CORE_READ(css, parent);
			continue;
		}
		index = bpf_core_enum_value(enum memcg_memory_event, MEMCG_OOM);
		if (bpf_probe_read_kernel(&n, sizeof(n),
			    (void *)css - bpf_core_field_offset(struct mem_cgroup, css) +
				    bpf_core_field_offset(struct mem_cgroup, memory_events) +
				    index * sizeof(n)))
			return -1;
		return n > 0x7fffffff ? 0x7fffffff : (s32)n;
	}
	return -1;
}

static __always_inline int record_death(struct task_struct *task, u64 unit)
{
	struct wire_death *d;
	u64 *chosen;
	u32 tgid;
	s32 signal;

	d = reserve(WIRE_DEATH, sizeof(*d), unit);
	if (!d)
		return 0;
	tgid = BPF_CORE_READ(task, tgid);
	d->start_boot_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	d->lifetime_ns = d->header.time_ns - BPF_CORE_READ(task, group_leader, start_time);
	d->peak_rss_pages = BPF_CORE_READ(task, signal, maxrss);
	d->pid = process_id(task);
	d->parent_pid = process_id(BPF_CORE_READ(task, group_leader, real_parent));
	d->uid = BPF_CORE_READ(task, cred, uid.val);
	d->status = wait_status(task);
	d->oom_victim = 0;
	d->own_ooms = -1;
	d->reserved = 0;
	d->has_sender = 0;
	__builtin_memset(&d->sender, 0, sizeof(d->sender));
	BPF_CORE_READ_STR_INTO(&d->comm, task, group_leader, comm);

	chosen = bpf_map_lookup_elem(&victims, &tgid);
	/* One that was chosen before this process began was another one with the same pid. */
	if (chosen && *chosen >= BPF_CORE_READ(task, group_leader, start_time)) {
		d->oom_victim = 1;
		d->own_ooms = own_ooms(task, unit);
		bpf_map_delete_elem(&victims, &tgid);
	}
	signal = d->status & 0x7f;
	/* A process that ended by itself may have been asked to: SIGTERM, SIGINT, SIGQUIT. */
	if (signal)
		d->has_sender = take_sender(tgid, signal, &d->sender);
	else
		d->has_sender = take_sender(tgid, 15, &d->sender) ||
				take_sender(tgid, 2, &d->sender) ||
				take_sender(tgid, 3, &d->sender);
	submit(d, d->parent_pid == 1 || (signal && is_time_for_helpers(d->header.time_ns)));
	return 0;
}

/* Whoever comes first to insert the process's start time records its death. */
static __always_inline int record_once(struct task_struct *task)
{
	u64 unit = watched_unit(task), start;
	u32 tgid;

	if (!unit)
		return 0;
	start = BPF_CORE_READ(task, group_leader, start_time);
	tgid = BPF_CORE_READ(task, tgid);
	start ^= (u64)tgid << 40;
	/*
	 * Only "it exists" says that it was recorded: a map without room must not swallow a death.
	 * Kernels before 6.4 return an int where the helper is declared to return a long.
	 */
	if ((int)bpf_map_update_elem(&recorded, &start, &tgid, BPF_NOEXIST) == -EEXIST)
		return 0;
	return record_death(task, unit);
}

/* Newer kernels (6.16 on) say whether this thread is the last one of its process. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_told, struct task_struct *task, bool group_dead)
{
	return group_dead ? record_once(task) : 0;
}

/*
 * The same once more. From 7.0 on a task can lose its processor in the middle of a tracepoint's
 * program, and until it goes on the kernel leaves that program out for everybody else there: 14 of
 * 2,000 deaths on two busy, emulated processors. This one runs then.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_told_2nd, struct task_struct *task, bool group_dead)
{
	return group_dead ? record_once(task) : 0;
}

/*
 * Older kernels do not say it. signal->live is already 0 then, but two threads that leave together
 * can both see that.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_counted, struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, live.counter) == 0 ? record_once(task) : 0;
}

/* CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH: their default is not to terminate. */
#define NEVER_FATAL                                                                    \
	(1ULL << 17 | 1ULL << 18 | 1ULL << 19 | 1ULL << 20 | 1ULL << 21 | 1ULL << 22 | \
		1ULL << 23 | 1ULL << 28)

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_sent, int sig, struct kernel_siginfo *info, struct task_struct *task, int group,
	int result)
{
	struct task_struct *sender;
	struct wire_sender_key key;
	struct wire_sender s = {};
	u64 unit;

	/* 0 delivered, 4 delivered without details (TRACE_SIGNAL_*); 1 ignored, 2 already pending.
	 */
	if (sig <= 0 || sig > 31 || (NEVER_FATAL & (1ULL << sig)) || (result != 0 && result != 4))
		return 0;
	unit = watched_unit(task);
	if (!unit)
		return 0;
	sender = (struct task_struct *)bpf_get_current_task();
	s.time_ns = bpf_ktime_get_ns();
	s.signal = sig;
	/* 0 and 1 are no addresses: "sent by current" and "sent by the kernel" (SEND_SIG_*). */
	if ((u64)info == 0)
		s.si_code = 0;
	else if ((u64)info == 1)
		s.si_code = 128;
	else
		s.si_code = BPF_CORE_READ(info, si_code);
	s.pid = process_id(sender);
	s.uid = (u32)bpf_get_current_uid_gid();
	key.tgid = BPF_CORE_READ(task, tgid);
	key.signal = sig;
	s.is_self = (u32)(bpf_get_current_pid_tgid() >> 32) == key.tgid;
	BPF_CORE_READ_STR_INTO(&s.comm, sender, group_leader, comm);
	bpf_probe_read_kernel_str(
		s.cgroup, sizeof(s.cgroup), BPF_CORE_READ(sender, cgroups, dfl_cgrp, kn, name));
	bpf_map_update_elem(&senders, &key, &s, BPF_ANY);
	return 0;
}

/* (int pid) until 6.8, (struct task_struct *, uid_t) since; the daemon looked it up in BTF. */
SEC("tp_btf/mark_victim")
int oom_victim(u64 *ctx)
{
	u64 now = bpf_ktime_get_ns();
	u32 tgid;

	if (victim_is_task)
		tgid = BPF_CORE_READ((struct task_struct *)ctx[0], tgid);
	else
		tgid = (u32)ctx[0];
	bpf_map_update_elem(&victims, &tgid, &now, BPF_ANY);
	return 0;
}

static __always_inline u64 modification_time(struct inode *inode)
{
	struct inode___6_11 *newer = (void *)inode;
	struct inode___6_6 *middle = (void *)inode;

	if (bpf_core_field_exists(newer->i_mtime_sec))
		return (u64)BPF_CORE_READ(newer, i_mtime_sec) * 1000000000ULL +
		       BPF_CORE_READ(newer, i_mtime_nsec);
	if (bpf_core_field_exists(middle->__i_mtime))
		return (u64)BPF_CORE_READ(middle, __i_mtime.tv_sec) * 1000000000ULL +
		       (u64)BPF_CORE_READ(middle, __i_mtime.tv_nsec);
	if (bpf_core_field_exists(inode->i_mtime))
		return (u64)BPF_CORE_READ(inode, i_mtime.tv_sec) * 1000000000ULL +
		       (u64)BPF_CORE_READ(inode, i_mtime.tv_nsec);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(program_executed, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u64 unit = watched_unit(task);
	struct inode *inode;
	struct wire_exec *e;

	if (!unit || process_id(BPF_CORE_READ(task, group_leader, real_parent)) != 1)
		return 0;
	e = reserve(WIRE_EXEC, sizeof(*e), unit);
	if (!e)
		return 0;
	inode = BPF_CORE_READ(bprm, file, f_inode);
	e->pid = process_id(task);
	e->device = BPF_CORE_READ(inode, i_sb, s_dev);
	e->inode = BPF_CORE_READ(inode, i_ino);
	e->mtime_ns = modification_time(inode);
	if (bpf_probe_read_kernel_str(e->path, sizeof(e->path), BPF_CORE_READ(bprm, filename)) < 0)
		e->path[0] = '\0';
	submit(e, false);
	return 0;
}

/* Whether the name ends in the suffix; both with their length. */
static __always_inline bool ends_with(const char *name, u32 length, const char *suffix, u32 n)
{
	if (length <= n || length >= WIRE_UNIT_NAME)
		return false;
	for (u32 i = 0; i < n; i++) {
		u32 at = (length - n + i) & (WIRE_UNIT_NAME - 1);

		if (name[at] != suffix[i])
			return false;
	}
	return true;
}

/* Scratch for names: 256 bytes twice would not fit into a program's stack of 512. */
struct names {
	char name[WIRE_UNIT_NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct names);
} scratch SEC(".maps");

/*
 * How many slices lie between the cgroup and the root that PID 1 manages; -1 where anything else
 * does. This tells a service of the system manager from one of the same name in a container or in a
 * user's own manager.
 */
static __always_inline int slices_above(struct cgroup_subsys_state *css, char *name)
{
	for (u32 i = 0; i < SLICE_DEPTH; i++) {
		struct cgroup *cgroup;
		long n;

		css = BPF_CORE_READ(css, parent);
		if (!css)
			return -1;
		cgroup = BPF_CORE_READ(css, cgroup);
		if (BPF_CORE_READ(cgroup, kn, id) == root_cgroup)
			return (int)i;
		n = bpf_probe_read_kernel_str(
			name, WIRE_UNIT_NAME, BPF_CORE_READ(cgroup, kn, name));
		if (n <= 1 || !ends_with(name, (u32)n - 1, ".slice", 6))
			return -1;
	}
	return -1;
}

static __always_inline void report_cgroup(
	u32 kind, u64 id, struct cgroup *cgroup, int slices, const char *path)
{
	struct wire_cgroup *c = reserve(kind, sizeof(*c), id);

	if (!c)
		return;
	c->slices = (u32)slices;
	c->reserved = 0;
	if (bpf_probe_read_kernel_str(c->path, sizeof(c->path), path) < 0)
		c->path[0] = '\0';
	if (bpf_probe_read_kernel_str(c->name, sizeof(c->name), BPF_CORE_READ(cgroup, kn, name)) <
		0)
		c->name[0] = '\0';
	submit(c, true);
}

enum { NEITHER, SERVICE, SOCKET };

/* By its name; sockets of socket units are made in their own cgroups. */
static __always_inline int kind_of_unit(struct cgroup *cgroup, char *name)
{
	long n = bpf_probe_read_kernel_str(name, WIRE_UNIT_NAME, BPF_CORE_READ(cgroup, kn, name));

	if (n <= 1)
		return NEITHER;
	if (ends_with(name, (u32)n - 1, ".service", 8))
		return SERVICE;
	return ends_with(name, (u32)n - 1, ".socket", 7) ? SOCKET : NEITHER;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_born, struct cgroup *cgroup, const char *path)
{
	struct cgroup_subsys_state *css = &cgroup->self;
	u64 id = BPF_CORE_READ(cgroup, kn, id), parent, *unit, own;
	struct names *s;
	int kind, slices;
	u32 zero = 0;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		return 0;
	parent = BPF_CORE_READ(css, parent, cgroup, kn, id);
	unit = bpf_map_lookup_elem(&watched, &parent);
	if (unit) {
		own = *unit; /* a child of a watched unit, or of one that is to be left alone */
		if (bpf_map_update_elem(&watched, &id, &own, BPF_ANY))
			count_lost(0);
		return 0;
	}
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return 0;
	kind = kind_of_unit(cgroup, s->name);
	if (kind == NEITHER)
		return 0;
	slices = slices_above(css, s->name);
	if (slices < 0)
		return 0;
	if (kind == SERVICE && bpf_map_update_elem(&watched, &id, &id, BPF_ANY)) {
		count_lost(0);
		return 0;
	}
	report_cgroup(WIRE_CGROUP_NEW, id, cgroup, slices, path);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_ended, struct cgroup *cgroup, const char *path)
{
	u64 id = BPF_CORE_READ(cgroup, kn, id);
	u64 *unit = bpf_map_lookup_elem(&watched, &id);
	struct names *s;
	u32 zero = 0;
	bool own;

	if (unit) {
		own = *unit == id;
		bpf_map_delete_elem(&watched, &id);
	} else {
		s = bpf_map_lookup_elem(&scratch, &zero);
		own = s && BPF_CORE_READ(cgroup, root, hierarchy_id) == 0 &&
		      kind_of_unit(cgroup, s->name) == SOCKET;
	}
	if (own)
		report_cgroup(WIRE_CGROUP_GONE, id, cgroup, 0, path);
	return 0;
}
