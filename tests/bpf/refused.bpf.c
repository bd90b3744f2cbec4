// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs of which a kernel takes one and refuses two, for different reasons. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("cgroup_skb/ingress")
int good(struct __sk_buff *skb)
{
	return 1;
}

/* The verifier follows it round by round, and gives up after a million instructions. */
SEC("cgroup_skb/ingress")
int too_long(struct __sk_buff *skb)
{
	__u32 sum = skb->len;

	for (__u32 i = 0; i < 4000; i++) {
#pragma clang loop unroll(disable)
		for (__u32 k = 0; k < 200; k++) {
			__asm__ volatile("%0 += %1" : "+r"(sum) : "r"(k));
			__asm__ volatile("%0 ^= %1" : "+r"(sum) : "r"(i));
		}
	}
	return sum != 0;
}

/* Reads where nothing says that it may. */
SEC("cgroup_skb/ingress")
int denied(struct __sk_buff *skb)
{
	const __u8 *data = (const __u8 *)(long)skb->data;

	return data[4000] != 7;
}
