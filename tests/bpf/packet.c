/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets for the test of the kernel programs; see packet.h. */
#include "packet.h"

#include <stdio.h>
#include <string.h>

enum { TCP = 6, HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60 };

uint32_t random_next(struct random *r)
{
	/* xorshift64 */
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)(r->state >> 16);
}

uint32_t random_below(struct random *r, uint32_t n)
{
	return random_next(r) % n;
}

bool random_once(struct random *r, uint32_t n)
{
	return random_below(r, n) == 0;
}

static void fill(struct random *r, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)random_next(r);
}

static uint8_t *room(struct test_packet *p, size_t n)
{
	uint8_t *at = p->bytes + p->size;

	memset(at, 0, n);
	p->size += n;
	return at;
}

static void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_ethernet(struct test_packet *p, uint16_t protocol)
{
	p->size = 0;
	put16(room(p, ETHERNET) + 12, protocol);
}

static void put_v4(struct test_packet *p, unsigned int words, uint8_t protocol, size_t payload)
{
	uint8_t *h = room(p, 20);

	h[0] = (uint8_t)(0x40 | words);
	put16(h + 2, words * 4 + payload);
	h[8] = 64;
	h[9] = protocol;
	memcpy(h + 12, "\x0a\0\0\2\x0a\0\0\1", 8);
}

static void put_v6(struct test_packet *p, uint8_t next, size_t payload)
{
	uint8_t *h = room(p, 40);

	h[0] = 0x60;
	put16(h + 4, payload);
	h[6] = next;
	h[7] = 64;
	h[8] = h[24] = 0xfd;
	h[23] = 2;
	h[39] = 1;
}

static void put_tcp(struct test_packet *p, uint32_t sequence, unsigned int words, uint8_t flags)
{
	uint8_t *h = room(p, 20);

	put16(h, 40000);
	put16(h + 2, 80);
	put16(h + 4, sequence >> 16);
	put16(h + 6, sequence);
	h[12] = (uint8_t)(words << 4);
	h[13] = flags;
	put16(h + 14, 65535);
}

void packet_segment(struct test_packet *p, bool v6, uint32_t sequence, uint8_t flags,
	const void *data, size_t size)
{
	put_ethernet(p, v6 ? 0x86dd : 0x0800);
	if (v6)
		put_v6(p, TCP, 20 + size);
	else
		put_v4(p, 5, TCP, 20 + size);
	put_tcp(p, sequence, 5, flags);
	memcpy(room(p, size), data, size);
}

/* A chain of extension headers in the packet, the last one in front of TCP or of something else. */
static void put_extensions(struct test_packet *p, struct random *r)
{
	static const uint8_t kinds[] = { HOP_BY_HOP, ROUTING, DESTINATION, DESTINATION, HOP_BY_HOP,
		FRAGMENT, 50, 51, 59, 135 };
	uint8_t *next = p->bytes + ETHERNET + 6;

	for (uint32_t n = random_below(r, 7); n > 0; n--) {
		uint32_t words = random_once(r, 20) ? random_below(r, 40) : random_below(r, 4);
		uint8_t *h;

		*next = kinds[random_below(r, sizeof(kinds))];
		h = room(p, 8 + words * 8);
		fill(r, h + 2, 6 + words * 8);
		h[1] = (uint8_t)(random_once(r, 20) ? random_next(r) : words);
		next = h;
	}
	*next = random_once(r, 10) ? (uint8_t)random_next(r) : TCP;
}

static void put_headers(struct test_packet *p, struct random *r)
{
	size_t payload = random_once(r, 4) ? random_below(r, 65536) : 1000;

	if (random_once(r, 20)) {
		put_ethernet(p, (uint16_t)random_next(r));
	} else if (random_once(r, 2)) {
		unsigned int words = random_once(r, 3) ? random_below(r, 16) : 5;

		put_ethernet(p, 0x0800);
		put_v4(p, words, random_once(r, 16) ? (uint8_t)random_next(r) : TCP, payload);
		if (words > 5 && !random_once(r, 10))
			fill(r, room(p, words * 4 - 20), words * 4 - 20);
		if (random_once(r, 10)) /* a fragment */
			put16(p->bytes + ETHERNET + 6, random_next(r));
	} else {
		put_ethernet(p, 0x86dd);
		put_v6(p, TCP, payload);
		if (random_once(r, 2))
			put_extensions(p, r);
	}
	/* The version is not that of the Ethernet header. */
	if (random_once(r, 30))
		p->bytes[ETHERNET] = (uint8_t)random_next(r);
}

static size_t put_text(uint8_t *ret, size_t most, const char *text)
{
	size_t n = strlen(text);

	if (n > most)
		n = most;
	memcpy(ret, text, n);
	return n;
}

static const char *const requests[] = {
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
	"\r\n\r\n",
	"CONNECT a:443 HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\nX",
	"POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 999999999999999999\r\n\r\n",
	"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n",
	"ontent-length: 5\r\n\r\nhello",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03",
	"EHLO example\r\n",
	"*1\r\n$4\r\nPING\r\n",
};

static const char *const answers[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 500 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
	"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbegin",
	"HTTP/1.1 304 Not Mod",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello",
	"HTTP/1.0 200 OK\r\n\r\nto the end",
	"HTTP/2 200\r\n",
	"220 mail.example ESMTP\r\n",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The first ones are the better ones, and come more often. */
static const char *any_text(struct random *r, bool ingress)
{
	size_t n = ingress ? COUNT(requests) : COUNT(answers);
	uint32_t which = random_below(r, 1 + random_below(r, (uint32_t)n));

	return ingress ? requests[which] : answers[which];
}

size_t payload_anything(struct random *r, uint8_t *ret, size_t most, bool ingress)
{
	size_t n = 0;

	for (uint32_t parts = 1 + random_below(r, 3); parts > 0 && n < most; parts--) {
		uint32_t length = random_below(r, 600);

		if (length > most - n)
			length = (uint32_t)(most - n);
		switch (random_below(r, 40)) {
		case 0:
			fill(r, ret + n, length);
			n += length;
			break;
		case 1:
			memset(ret + n, "\nA\r \0:5G"[random_below(r, 8)], length);
			n += length;
			break;
		default:
			n += put_text(
				ret + n, most - n, any_text(r, ingress != random_once(r, 40)));
		}
	}
	for (uint32_t wrong = random_once(r, 20) ? 1 + random_below(r, 3) : 0; wrong && n; wrong--)
		ret[random_below(r, (uint32_t)n)] ^= (uint8_t)(1 << random_below(r, 8));
	return n;
}

void packet_anything(struct test_packet *p, struct random *r, uint32_t sequence, bool ingress)
{
	static const uint8_t usual[] = { TCP_FLAG_ACK, TCP_FLAG_ACK | 8,
		TCP_FLAG_ACK | TCP_FLAG_FIN, TCP_FLAG_SYN, TCP_FLAG_RST,
		TCP_FLAG_SYN | TCP_FLAG_ACK };
	unsigned int words;
	size_t n;

	put_headers(p, r);
	if (random_once(r, 6))
		sequence += random_below(r, 4000) - 2000;
	else if (random_once(r, 20))
		sequence = random_next(r) << 8;
	words = random_once(r, 5) ? random_below(r, 16) : 5;
	put_tcp(p, sequence, words,
		random_once(r, 5)   ? (uint8_t)random_next(r)
		: random_once(r, 5) ? usual[random_below(r, sizeof(usual))]
				    : TCP_FLAG_ACK);
	if (words > 5 && !random_once(r, 10))
		fill(r, room(p, words * 4 - 20), words * 4 - 20);
	n = PACKET_MAX - p->size < 1400 ? PACKET_MAX - p->size : 1400;
	n = random_once(r, 8) ? 0 : payload_anything(r, p->bytes + p->size, n, ingress);
	p->size += n;
	if (random_once(r, 8)) /* cut off; one byte behind the Ethernet header has to be there */
		p->size = ETHERNET + 1 + random_below(r, (uint32_t)(p->size - ETHERNET));
	for (uint32_t wrong = random_once(r, 6) ? 1 + random_below(r, 4) : 0; wrong; wrong--)
		p->bytes[ETHERNET + random_below(r, (uint32_t)(p->size - ETHERNET))] =
			(uint8_t)random_next(r);
}
