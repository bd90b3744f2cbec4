/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What http_any.bpf.c and its test say to each other. */
#ifndef MENDD_HTTP_ANY_H
#define MENDD_HTTP_ANY_H

#include <linux/types.h>

enum {
	ANY_SUBJECTS = 8,
	/* A packet's mark says which connection it is of, and how that one began. */
	ANY_CONNECTING = 0x100,
	ANY_JOINED = 0x200,
	ANY_BEGIN_KNOWN = 0x400, /* .in_next says where, as TCP does of its sockets */
	ANY_UNIT = 1,
	ANY_SERVER = 2, /* the role, of enum role */
};

/* A connection after its last packet. */
struct any_report {
	__u32 packets; /* that were TCP */
	__u32 role;
	__u32 open;    /* requests that count as in flight */
	__u32 waiting; /* segments that came before what is ahead of them, their bytes */
	__u32 in_next, out_next;
	__u32 offset, length; /* of the last packet's payload */
	__u32 unit;           /* of the listener that any_early was asked by */
	__u32 client_gone;
};

#endif
