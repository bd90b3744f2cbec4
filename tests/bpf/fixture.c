/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP programs loaded for a test; see fixture.h. */
#include "fixture.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fputs("not ok: ", stdout);
	vprintf(format, list);
	puts("");
	va_end(list);
	exit(1);
}

static void dump(const struct test_packet *p)
{
	for (size_t i = 0; i < p->size; i++)
		printf("%02x%s", p->bytes[i], i % 32 == 31 ? "\n" : "");
	puts("");
}

uint32_t run(int program, const struct test_packet *p, uint32_t mark, uint32_t linear)
{
	struct __sk_buff context = { .mark = mark, .data_end = linear };
	uint8_t after[PACKET_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->bytes, .data_size_in = (__u32)p->size,
		.data_out = after, .data_size_out = sizeof(after), .ctx_in = &context,
		.ctx_size_in = sizeof(context));
	int r = bpf_prog_test_run_opts(program, &o);

	/* Newer kernels refuse to run what is shorter than an IP header; it never gets that far. */
	if (r == -EINVAL && p->size < ETHERNET + 40)
		return 0;
	if (r < 0) {
		dump(p);
		fail("a packet of %zu bytes (%u linear) cannot be run: %s", p->size, linear,
			strerror(-r));
	}
	if (o.retval != PASSES) {
		dump(p);
		fail("a packet of %zu bytes gets %u", p->size, o.retval);
	}
	/* The Ethernet header, which these programs do not get, comes back empty. */
	if (o.data_size_out != p->size ||
		memcmp(after + ETHERNET, p->bytes + ETHERNET, p->size - ETHERNET) != 0) {
		dump(p);
		fail("a packet of %zu bytes has been changed (there are %u)", p->size,
			o.data_size_out);
	}
	return o.duration;
}

static int open_programs(struct fixture *f)
{
	uint64_t bounds[HTTP_BOUNDS];
	struct bpf_program *program;
	int r;

	f->http = http__open();
	f->any = http_any__open();
	if (!f->http || !f->any)
		return -errno;
	http_bounds_ns(bounds);
	for (unsigned int i = 0; i < HTTP_BOUNDS; i++)
		f->any->rodata->bounds[i] = bounds[i];
	for (unsigned int code = 0; code < sizeof(f->any->rodata->code_place); code++)
		f->any->rodata->code_place[code] = (__u8)http_place_of_code(code);
	f->any->rodata->reads_are_seen = true;
	/* The product's programs are in there too. */
	bpf_object__for_each_program(program, f->any->obj)
	{
		if (strncmp(bpf_program__name(program), "http_", 5) == 0)
			bpf_program__set_autoload(program, false);
	}
	r = http__load(f->http);
	return r < 0 ? r : http_any__load(f->any);
}

static void *map_array(struct bpf_map *map, size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		fail("mmap: %m");
	return p;
}

/* Whether test runs take packets of which a part is in pages, as those of newer kernels do. */
static bool has_pages(int program)
{
	uint8_t packet[200] = { [12] = 8 };
	struct __sk_buff context = { .data_end = 100 };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = sizeof(packet),
		.ctx_in = &context, .ctx_size_in = sizeof(context));

	return bpf_prog_test_run_opts(program, &o) == 0;
}

void load(struct fixture *f)
{
	int r;

	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB, BPF_FUNC_loop, NULL) == 0 &&
		geteuid() == 0) {
		puts("skipped: this kernel has no bpf_loop (5.17), or BPF is refused");
		exit(SKIPPED);
	}
	r = open_programs(f);
	if (r == -EPERM) { /* EACCES is what the verifier says of a mistake */
		printf("skipped: BPF is refused here: %s\n", strerror(-r));
		exit(SKIPPED);
	}
	if (r < 0)
		fail("the kernel refuses the programs: %s", strerror(-r));
	f->totals = map_array(f->any->maps.totals, HTTP_UNITS, sizeof(*f->totals));
	f->details = map_array(f->any->maps.details, 2, sizeof(*f->details));
	f->reports = map_array(f->any->maps.reports, ANY_SUBJECTS, sizeof(*f->reports));
	f->pages = has_pages(bpf_program__fd(f->any->progs.any_in));
	printf("packets with a part in pages: %s\n", f->pages ? "yes" : "not on this kernel");
}

uint32_t any_linear(struct fixture *f, const struct test_packet *p)
{
	uint32_t all = (uint32_t)p->size - ETHERNET;

	/* The kernel wants the Ethernet header in the linear part, and something behind it. */
	return f->pages && all > 1 && random_once(&f->random, 4)
		       ? 1 + random_below(&f->random, all - 1)
		       : 0;
}

void begin(struct fixture *f, uint32_t subject, uint32_t first)
{
	static uint8_t zero[1 << 16];
	size_t size = bpf_map__value_size(f->any->maps.subjects);

	if (size > sizeof(zero) || bpf_map__update_elem(f->any->maps.subjects, &subject,
					   sizeof(subject), zero, size, BPF_ANY) < 0)
		fail("cannot reset a connection of %zu bytes: %m", size);
	memset(&f->reports[subject], 0, sizeof(f->reports[subject]));
	f->reports[subject].in_next = first;
}

void reset_counts(struct fixture *f)
{
	memset(&f->totals[ANY_UNIT], 0, sizeof(f->totals[0]));
	memset(&f->details[1], 0, sizeof(f->details[1]));
	f->totals[ANY_UNIT].name_hash = 1;
	f->totals[ANY_UNIT].detail = 1;
}

uint64_t untracked(const struct fixture *f)
{
	uint64_t n = 0;

	for (int i = 0; i < HTTP_UNTRACKED_REASONS; i++)
		n += f->totals[ANY_UNIT].untracked[i];
	return n;
}

void check_in_flight(const struct fixture *f, uint32_t subject, const char *when)
{
	const struct http_totals *t = &f->totals[ANY_UNIT];
	const struct any_report *r = &f->reports[subject];

	if (t->started - t->finished != r->open)
		fail("%s: %llu started, %llu finished, %u open, role %u", when,
			(unsigned long long)t->started, (unsigned long long)t->finished, r->open,
			r->role);
}

uint64_t sum(const struct http_detail *d, enum http_clock clock)
{
	uint64_t n = 0;

	for (int c = 0; c < HTTP_CLASSES; c++)
		for (int b = 0; b < HTTP_BUCKETS; b++)
			n += d->histograms[clock][c][b];
	return n;
}

void read_options(int argc, char **argv, struct fixture *f)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' }, {} };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 's')
			f->random.state = strtoull(optarg, NULL, 0);
		else if (c == 'r')
			f->runs = (unsigned int)strtoul(optarg, NULL, 0);
		else
			exit(2);
	}
	if (!f->random.state || f->runs < 1000) {
		fputs("a seed is not 0, and runs are at least 1000\n", stderr);
		exit(2);
	}
}

void unload(struct fixture *f)
{
	http__destroy(f->http);
	http_any__destroy(f->any);
}
