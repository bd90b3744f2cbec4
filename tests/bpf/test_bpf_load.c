/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel refuses is left out, once, with its reason; see daemon/edge/bpf_load.h. */
#include "../../daemon/edge/bpf_load.h"
#include "../../daemon/base/clock.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "refused.skel.h"

enum { GOOD, TOO_LONG, DENIED, PROGRAMS, SKIPPED = 77 };

struct attempts {
	struct refused *skeleton;
	unsigned int n;
};

static int required; /* the program that is; -1: none */

static struct bpf_program *program_of(void *userdata, size_t i)
{
	const struct refused *s = ((struct attempts *)userdata)->skeleton;
	struct bpf_program *const all[] = { s->progs.good, s->progs.too_long, s->progs.denied };

	return all[i];
}

static int open_it(void *userdata, const bool *wanted)
{
	struct attempts *a = userdata;

	a->n++;
	a->skeleton = refused__open();
	if (!a->skeleton)
		return -errno;
	for (size_t i = 0; i < PROGRAMS; i++)
		bpf_program__set_autoload(program_of(a, i), wanted[i]);
	return 0;
}

static int load_it(void *userdata)
{
	return refused__load(((struct attempts *)userdata)->skeleton);
}

static void close_it(void *userdata)
{
	struct attempts *a = userdata;

	refused__destroy(a->skeleton);
	a->skeleton = NULL;
}

static bool is_required(size_t i)
{
	return required >= 0 && i == (size_t)required;
}

static void check(bool good, const char *what)
{
	printf("%s: %s\n", good ? "ok" : "not ok", what);
	if (!good)
		exit(1);
}

static int load(struct attempts *a, bool *wanted, struct bpf_refusal *refusals)
{
	const struct bpf_loadable l = {
		.n = PROGRAMS,
		.userdata = a,
		.open = open_it,
		.load = load_it,
		.close = close_it,
		.program = program_of,
		.is_required = is_required,
	};
	uint64_t begin = clock_monotonic_ns();
	int r = bpf_load(&l, wanted, refusals);

	printf("%u attempts, %.3f s\n", a->n,
		(double)clock_since_ns(clock_monotonic_ns(), begin) / 1e9);
	for (size_t i = 0; i < PROGRAMS; i++)
		if (refusals[i].error)
			printf("    %s\n", refusals[i].why);
	return r;
}

static void test_optional(void)
{
	struct bpf_refusal refusals[PROGRAMS];
	bool wanted[PROGRAMS] = { true, true, true };
	struct attempts a = {};

	required = GOOD;
	check(load(&a, wanted, refusals) == 0, "it is loaded without those that are refused");
	check(wanted[GOOD] && !wanted[TOO_LONG] && !wanted[DENIED], "which these are");
	check(bpf_program__fd(a.skeleton->progs.good) >= 0, "the good one is there");
	check(a.n == 3, "an attempt for each that is refused, and the last one");
	check(!refusals[GOOD].error && refusals[TOO_LONG].error == -E2BIG &&
			refusals[DENIED].error == -EACCES,
		"their errors");
	check(strstr(refusals[TOO_LONG].why, "the program too_long: ") &&
			strstr(refusals[TOO_LONG].why, "too "),
		"too long: the verifier's words");
	check(strstr(refusals[DENIED].why, "the program denied: ") &&
			strstr(refusals[DENIED].why, "packet"),
		"denied: the verifier's words");
	close_it(&a);
}

static void test_required(int which, int error)
{
	struct bpf_refusal refusals[PROGRAMS];
	bool wanted[PROGRAMS] = { [GOOD] = true };
	struct attempts a = {};

	wanted[which] = true;
	required = which;
	check(load(&a, wanted, refusals) == error, "a required program is refused: that error");
	check(a.n == 1, "after one attempt");
	check(!a.skeleton, "nothing is left open");
	check(*refusals[which].why, "and the reason is told");
}

static void test_none(void)
{
	struct bpf_refusal refusals[PROGRAMS];
	bool wanted[PROGRAMS] = { [DENIED] = true };
	struct attempts a = {};

	required = -1;
	check(load(&a, wanted, refusals) == 0 && !wanted[DENIED],
		"the only one is refused, and not required: an object without programs");
	close_it(&a);
}

int main(void)
{
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SKB, NULL) != 1) {
		puts("skipped: BPF is refused here");
		return SKIPPED;
	}
	bpf_load_log();
	test_optional();
	test_required(TOO_LONG, -E2BIG);
	test_required(DENIED, -EACCES);
	test_none();
	return 0;
}
