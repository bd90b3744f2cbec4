/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads the HTTP programs of its own build as the daemon does, attaches them to a cgroup, runs a
 * command, and prints a line of JSON: what each program ran and took meanwhile, by the kernel's own
 * accounting, and the requests that were counted. So programs of two builds can be compared under
 * the same load, in turn. Beside them hangs an empty program: what the accounting takes itself.
 *
 *	bench_attach CGROUP COMMAND…    CGROUP: below /sys/fs/cgroup, with a slash before it
 */
#include "../../daemon/edge/http_programs.h"
#include "../../daemon/edge/http.h"
#include "../../daemon/state/http.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PROGRAMS = 16, FDS = 256 };

struct account {
	char name[BPF_OBJ_NAME_LEN];
	uint64_t runs, ns;
};

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void on_record(void *userdata, const char *unit, const struct http_record *r)
{
}

/* return 1; */
static void attach_empty(int cgroup)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_CGROUP_INET_INGRESS);
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "empty", "GPL", code, 2, &options);

	if (fd < 0 || bpf_link_create(fd, cgroup, BPF_CGROUP_INET_INGRESS, NULL) < 0)
		fail("the empty program");
}

/* All programs that this process holds. */
static size_t read_accounts(struct account *ret)
{
	size_t n = 0;

	for (int fd = 3; fd < FDS && n < PROGRAMS; fd++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		char path[40], what[40] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, what, sizeof(what) - 1) < 0 || !strstr(what, "bpf-prog") ||
			bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
			continue;
		memcpy(ret[n].name, info.name, sizeof(ret[n].name));
		ret[n].runs = info.run_cnt;
		ret[n++].ns = info.run_time_ns;
	}
	return n;
}

static void run(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execv(command[0], command);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		fail(command[0]);
}

int main(int argc, char **argv)
{
	struct account before[PROGRAMS] = {}, after[PROGRAMS] = {};
	struct http_counts counts;
	struct http_source *s;
	struct http_programs programs;
	struct world w = { .settings.http_units_max = 16 };
	struct stat st;
	char path[512];
	int cgroup, r;
	size_t n;

	if (argc < 3)
		return 2;
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s", argv[1]);
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0 || fstat(cgroup, &st) < 0)
		fail(path);
	r = http_programs_load(&programs, w.settings.http_units_max + 1);
	http_programs_tell(&programs, r, &w);
	if (r < 0 || http_source_new(&s, &w, &programs, NULL, on_record, NULL) < 0 ||
		!http_source_state(s, "bench.service") ||
		http_source_attach(s, "bench.service", st.st_ino, argv[1]) < 0) {
		fprintf(stderr, "the programs cannot be attached: %s\n",
			w.n_features ? w.features[0].text : "?");
		return 1;
	}
	attach_empty(cgroup);
	if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		fail("the kernel's accounting");
	read_accounts(before);
	run(argv + 2);
	n = read_accounts(after);
	counts = http_counts_now(http_source_state(s, "bench.service"));
	printf("{\"started\":%llu,\"finished\":%llu", (unsigned long long)counts.started,
		(unsigned long long)counts.finished);
	for (size_t i = 0; i < n; i++)
		printf(",\"%s\":[%llu,%llu]", after[i].name,
			(unsigned long long)(after[i].runs - before[i].runs),
			(unsigned long long)(after[i].ns - before[i].ns));
	printf("}\n");
	http_source_free(s);
	return 0;
}
