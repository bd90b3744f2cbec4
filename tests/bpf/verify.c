/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads each program of the given object files on its own, and says how many instructions the
 * verifier has looked at. The objects may come from any compiler.
 *
 *     verify [--limit=N] [--without=PROGRAM]… OBJECT…
 *
 * Prints "ok FILE: PROGRAM: N instructions", or "not ok …" where the kernel refuses a program or N
 * is above the limit. Exit status 1 if a line says "not ok", 77 where BPF is not to be had.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_SIZE = 1 << 20, MAX_LEFT_OUT = 8, SKIPPED = 77 };

static char log_text[LOG_SIZE];
static const char *left_out[MAX_LEFT_OUT];
static size_t n_left_out;

static int print(enum libbpf_print_level level, const char *format, va_list list)
{
	return 0;
}

/* One of the constants that the daemon fills in before loading; false: the object has none such. */
static bool set_constant(struct bpf_object *object, const char *name, char value)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -1;
	const struct btf_type *section = id >= 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
	size_t size = 0;
	char *data = map ? (char *)bpf_map__initial_value(map, &size) : NULL;

	for (int i = 0; section && data && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *var = &btf_var_secinfos(section)[i];
		const struct btf_type *type = btf__type_by_id(btf, var->type);

		if (strcmp(btf__name_by_offset(btf, type->name_off), name) == 0 &&
			var->offset < size) {
			data[var->offset] = value;
			return true;
		}
	}
	return false;
}

/* Why it is refused: what stands before the statistics, which end the log. */
static const char *reason(void)
{
	char *statistics = strstr(log_text, "verification time ");

	if (statistics)
		*statistics = 0;
	return log_text;
}

enum result { LOADED, LEFT_OUT, REFUSED, NO_SUCH_PROGRAM };

static bool is_left_out(const char *program)
{
	for (size_t i = 0; i < n_left_out; i++)
		if (strcmp(program, left_out[i]) == 0)
			return true;
	return false;
}

/* The object's program number `wanted`. `last`: a refusal is final, and said. */
static enum result verify(
	const char *file, int wanted, unsigned int limit, bool victim_is_task, bool last)
{
	struct bpf_object *object = bpf_object__open_file(file, NULL);
	const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
	struct bpf_program *program, *chosen = NULL;
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	int i = 0, r;

	if (!object) {
		printf("not ok %s: cannot be opened: %s\n", base, strerror(errno));
		return NO_SUCH_PROGRAM;
	}
	bpf_object__for_each_program(program, object)
	{
		bpf_program__set_autoload(program, i == wanted);
		if (i++ == wanted)
			chosen = program;
	}
	if (!chosen) {
		bpf_object__close(object);
		return NO_SUCH_PROGRAM;
	}
	if (is_left_out(bpf_program__name(chosen))) {
		bpf_object__close(object);
		return LEFT_OUT;
	}
	/* At 0 the verifier would see less of the programs. */
	set_constant(object, "reads_are_seen", 1);
	set_constant(object, "victim_is_task", victim_is_task);
	log_text[0] = 0;
	bpf_program__set_log_buf(chosen, log_text, sizeof(log_text));
	bpf_program__set_log_level(chosen, 4); /* statistics, and why it is refused */
	r = bpf_object__load(object);
	if (r < 0 && last)
		printf("not ok %s: %s: %s: %s\n", base, bpf_program__name(chosen), strerror(-r),
			reason());
	else if (r >= 0 && bpf_obj_get_info_by_fd(bpf_program__fd(chosen), &info, &size) < 0) {
		printf("not ok %s: %s: no information: %m\n", base, bpf_program__name(chosen));
		r = -errno;
	} else if (r >= 0) {
		r = info.verified_insns > limit ? -E2BIG : 0;
		printf("%s %s: %s: %u instructions\n", r < 0 ? "not ok" : "ok", base,
			bpf_program__name(chosen), info.verified_insns);
	}
	bpf_object__close(object);
	return r < 0 ? REFUSED : LOADED;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'n' },
		{ "without", required_argument, NULL, 'w' },
		{},
	};
	unsigned int limit = 1000000;
	bool failed = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'n':
			limit = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			if (n_left_out == MAX_LEFT_OUT)
				return 2;
			left_out[n_left_out++] = optarg;
			break;
		default:
			return 2;
		}
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SKB, NULL) != 1) {
		puts("skipped: BPF is refused here");
		return SKIPPED;
	}
	libbpf_set_print(print);
	for (; optind < argc; optind++) {
		enum result r = LOADED;
		int i;

		for (i = 0; r != NO_SUCH_PROGRAM; i++) {
			/* Which of the two a kernel takes, the daemon finds out by its BTF. */
			r = verify(argv[optind], i, limit, false, false);
			if (r == REFUSED)
				r = verify(argv[optind], i, limit, true, true);
			failed |= r == REFUSED;
		}
		failed |= i == 1; /* not one program in it */
	}
	return failed;
}
