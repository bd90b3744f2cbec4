// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Lets the kernel refuse the programs of one name, as a kernel would that lacks what they need. It
 * takes the place of a security module's answer to bpf(2).
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EPERM 1

const volatile char refused[BPF_OBJ_NAME_LEN];

SEC("fmod_ret/security_bpf")
int BPF_PROG(refuse, int command, union bpf_attr *attributes)
{
	char name[BPF_OBJ_NAME_LEN] = {};

	if (command != BPF_PROG_LOAD ||
		bpf_probe_read_kernel(name, sizeof(name), attributes->prog_name))
		return 0;
	for (unsigned int i = 0; i < sizeof(name); i++)
		if (name[i] != refused[i])
			return 0;
	return -EPERM;
}
