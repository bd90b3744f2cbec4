/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP segment as the cgroup_skb programs see it: from the network header on, with its payload
 * maybe in pages. Only what the HTTP programs need of its headers.
 */
#ifndef MENDD_HTTP_PACKET_H
#define MENDD_HTTP_PACKET_H

#include "kernel.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

struct packet {
	u32 offset; /* of the payload from the network header */
	u32 length; /* of the payload */
	u32 sequence;
	u32 acknowledged; /* valid with TCP_ACK */
	u32 flags;        /* TCP_FIN … */
	u32 address;      /* where the two addresses begin */
	u32 address_size; /* of one: 4 or 16 */
	u16 from, to;     /* ports, network order */
};

/* Both ends of a connection; IPv4 as v4-mapped. */
struct ends {
	u8 from[16], to[16];
	u16 from_port, to_port; /* network order */
};

/* IPv6 extension headers that may stand before TCP: hop-by-hop, routing, destination options. */
static __always_inline bool is_extension(u8 next)
{
	return next == 0 || next == 43 || next == 60;
}

/* What stands first in a TCP header; aligned as the headers before it are. */
struct tcp_begin {
	u16 from, to;
	u32 sequence, acknowledged; /* network order */
	u8 offset, flags;           /* offset: upper four bits, in words */
};

static __always_inline void take_tcp(
	struct packet *p, const struct tcp_begin *tcp, u32 transport, u32 total)
{
	p->offset = transport + (tcp->offset >> 4) * 4u;
	p->length = total > p->offset ? total - p->offset : 0;
	p->sequence = __builtin_bswap32(tcp->sequence);
	p->acknowledged = __builtin_bswap32(tcp->acknowledged);
	p->flags = tcp->flags;
	p->from = tcp->from;
	p->to = tcp->to;
}

__attribute__((noinline)) int parse_slowly(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_begin tcp;
	u8 head[40];
	u32 transport;

	if (!p)
		return false;
	if (skb->protocol == __builtin_bswap16(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, head, 20) || head[9] != IPPROTO_TCP)
			return false;
		transport = (head[0] & 15u) * 4;
		p->address = 12;
		p->address_size = 4;
	} else if (skb->protocol == __builtin_bswap16(ETH_P_IPV6)) {
		u8 next;

		if (bpf_skb_load_bytes(skb, 0, head, 40))
			return false;
		next = head[6];
		transport = 40;
		for (int i = 0; i < 4 && is_extension(next); i++) {
			u8 extension[2];

			if (bpf_skb_load_bytes(skb, transport, extension, 2))
				return false;
			next = extension[0];
			transport += (extension[1] + 1u) * 8;
		}
		if (next != IPPROTO_TCP)
			return false;
		p->address = 8;
		p->address_size = 16;
	} else
		return false;
	if (bpf_skb_load_bytes(skb, transport, &tcp, sizeof(tcp)))
		return false;
	take_tcp(p, &tcp, transport, skb->len);
	return true;
}

/*
 * The usual packet, IPv4 or IPv6 without options, has both headers in its linear part: read in
 * place. false: it is not TCP, or cannot be read.
 */
static __always_inline int parse_packet(struct __sk_buff *skb, struct packet *p)
{
	const u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 60 <= end && data[0] == 0x60 && data[6] == IPPROTO_TCP) {
		p->address = 8;
		p->address_size = 16;
		take_tcp(p, (const void *)(data + 40), 40, skb->len);
		return true;
	}
	if (data + 40 <= end && data[0] == 0x45 && data[9] == IPPROTO_TCP) {
		p->address = 12;
		p->address_size = 4;
		take_tcp(p, (const void *)(data + 20), 20, skb->len);
		return true;
	}
	return parse_slowly(skb, p);
}

/* Of a payload: eight bytes, or of a shorter one the first. */
static __always_inline void load_beginning(struct __sk_buff *skb, u32 at, u32 length, char ret[8])
{
	if (length >= 8)
		bpf_skb_load_bytes(skb, at, ret, 8);
	else
		bpf_skb_load_bytes(skb, at, ret, 1);
}

static __always_inline void map_v4(u8 address[16])
{
	address[10] = address[11] = 0xff;
}

/* The ends of a packet's connection, as seen by its receiver: from is the other side. */
static __always_inline bool read_ends(
	struct __sk_buff *skb, const struct packet *p, struct ends *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->from_port = p->from;
	ret->to_port = p->to;
	if (p->address_size == 16)
		return !bpf_skb_load_bytes(skb, p->address, ret->from, 16) &&
		       !bpf_skb_load_bytes(skb, p->address + 16, ret->to, 16);
	map_v4(ret->from);
	map_v4(ret->to);
	return !bpf_skb_load_bytes(skb, p->address, ret->from + 12, 4) &&
	       !bpf_skb_load_bytes(skb, p->address + 4, ret->to + 12, 4);
}

#endif
