/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's structures, only the fields that are read here. Offsets are resolved at load time
 * from the running kernel's BTF (CO-RE), so order and neighbours do not matter. Where a field was
 * renamed, the older or newer shape is a "flavour" (name___suffix) with the kernel commit or
 * release that changed it.
 */
#ifndef MENDD_KERNEL_H
#define MENDD_KERNEL_H

#include <linux/types.h>

typedef _Bool bool;
enum { false, true };
typedef __u8 u8;
typedef __u16 u16;
typedef __u64 u64;
typedef __u32 u32;
typedef __s32 s32;
typedef __s64 s64;

/* <linux/bpf.h> is user API and stable: map types, flags, program context of the helpers. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

/* A structure as the kernel's own: a field of another kind is not found. */
typedef struct {
	long counter;
} atomic_long_t;

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct kernfs_node {
	const char *name;
	u64 id; /* since 5.5 a plain number on 64 bit: the inode number of the directory */
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	int hierarchy_id; /* 0: the unified hierarchy, the first one that the kernel sets up */
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

enum cgroup_subsys_id {
	memory_cgrp_id, /* the kernel's value depends on its configuration */
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct cgroup_subsys_state *subsys[1];
};

enum memcg_memory_event {
	MEMCG_OOM,
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	atomic_long_t memory_events[1]; /* as hierarchical as memory.events */
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	unsigned long maxrss;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct task_struct {
	unsigned int flags;
	int tgid;
	int exit_code;
	u64 start_time;     /* CLOCK_MONOTONIC */
	u64 start_boottime; /* since 5.5; before: real_start_time */
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct cred *cred;
	char comm[16];
};

struct kernel_siginfo {
	int si_code;
};

struct super_block {
	u32 s_dev;
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
	struct timespec64 i_mtime; /* until 6.6 */
};

struct inode___6_6 {
	struct timespec64 __i_mtime; /* 6.7 to 6.10 */
};

struct inode___6_11 {
	long long i_mtime_sec; /* since 6.11 */
	u32 i_mtime_nsec;
};

struct file {
	struct inode *f_inode;
};

struct in6_addr {
	u8 bytes[16];
};

struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport; /* network order */
	u16 skc_num;   /* host order */
	u16 skc_family;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
};

struct tcp_sock {
	u32 rcv_nxt;
	u32 copied_seq; /* up to which the application has read */
};

struct linux_binprm {
	struct file *file;
	const char *filename;
};

#pragma clang attribute pop

/*
 * What the verifier must see of a number, on the very register that is used: left alone, the
 * compiler compares a copy of it, or nothing where it knows better. Up to 6.1 a comparison of 32
 * bits says nothing of the same number once it was kept on the stack.
 */

/* i, or 0 where it is not below the constant n. */
#define bounded(i, n)                                     \
	({                                                \
		u64 _i = (i);                             \
		__asm__ volatile("if %0 < %1 goto +1\n\t" \
				 "%0 = 0"                 \
				 : "+r"(_i)               \
				 : "i"(n));               \
		_i;                                       \
	})

/* n, of which it is known that it is from 1 to max, a constant power of 2. */
#define one_to(n, max)                                                  \
	({                                                              \
		u64 _n = (n)-1;                                         \
		__asm__ volatile("%0 &= %1" : "+r"(_n) : "i"((max)-1)); \
		(u32)(_n + 1);                                          \
	})

#endif
