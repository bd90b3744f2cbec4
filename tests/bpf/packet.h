/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets by the thousand, right ones and wrong ones, and the same ones again from the same seed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ETHERNET = 14,
	PACKET_MAX =
		3072, /* what BPF_PROG_TEST_RUN takes fits into a page with all that is around it */
};

struct random {
	uint64_t state; /* not 0 */
};

uint32_t random_next(struct random *r);
/* 0 … n-1 */
uint32_t random_below(struct random *r, uint32_t n);
/* True once in n times. */
bool random_once(struct random *r, uint32_t n);

/* One as it comes from the network: Ethernet header, IP header and what is behind it. */
struct test_packet {
	size_t size;
	uint8_t bytes[PACKET_MAX];
};

enum { TCP_FLAG_FIN = 1, TCP_FLAG_SYN = 2, TCP_FLAG_RST = 4, TCP_FLAG_ACK = 16 };

/* In order from head to tail; a segment of at most 2,000 bytes. */
void packet_segment(struct test_packet *p, bool v6, uint32_t sequence, uint8_t flags,
	const void *data, size_t size);
/* Anything: headers that lie, extension headers, fragments, any flags, cut off anywhere; often a
 * segment near to `sequence`. */
void packet_anything(struct test_packet *p, struct random *r, uint32_t sequence, bool ingress);
/* What has something to do with HTTP, mostly what comes in this direction; its size, at most
 * `most`. */
size_t payload_anything(struct random *r, uint8_t *ret, size_t most, bool ingress);
