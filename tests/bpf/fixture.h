/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP programs loaded for a test, and single packets run over connections that lie in an
 * array; see http_any.bpf.c. Whatever fails, fails the whole test.
 */
#pragma once

#include "../../daemon/state/http.h"
#include "http_any.h"
#include "packet.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "http.skel.h"
#include "http_any.skel.h"

enum { SKIPPED = 77, PASSES = 1 };

struct fixture {
	struct http *http;
	struct http_any *any;
	struct http_totals *totals;  /* mapped */
	struct http_detail *details; /* mapped */
	struct any_report *reports;  /* mapped */
	struct random random;
	unsigned int runs;
	bool pages; /* packets may have a part that is not linear */
};

void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...);
/* --seed=N, --runs=N */
void read_options(int argc, char **argv, struct fixture *f);
/* Ends the test with status 77 where the kernel has no such programs, or refuses all of BPF. */
void load(struct fixture *f);
void unload(struct fixture *f);
/* Runs a program over a packet; what must hold of every run holds. linear: of its bytes, so many
 * are not in pages; 0: all. Returns how long it took, in nanoseconds. */
uint32_t run(int program, const struct test_packet *p, uint32_t mark, uint32_t linear);
uint32_t any_linear(struct fixture *f, const struct test_packet *p);
/* A connection begins anew; first: the sequence number of its first byte. */
void begin(struct fixture *f, uint32_t subject, uint32_t first);
void reset_counts(struct fixture *f);
uint64_t untracked(const struct fixture *f);
/* What the unit has in flight is what the one connection that there is has open. */
void check_in_flight(const struct fixture *f, uint32_t subject, const char *when);
uint64_t sum(const struct http_detail *d, enum http_clock clock);
