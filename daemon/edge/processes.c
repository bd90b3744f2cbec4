/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking at processes through procfs; see processes.h and proc(5). */
#include "processes.h"

#include <fcntl.h>

struct process {
	pid_t pid;
	char comm[64], state, wchan[64];
	long threads;
	unsigned long user_ticks, system_ticks;
	pid_t tracer; /* 0: none that can be seen from here */
};

static bool read_file(pid_t pid, const char *name, char *ret, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret, size - 1);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool read_process(pid_t pid, struct process *p)
{
	char text[1024], *open, *close;

	*p = (struct process) { .pid = pid };
	if (!read_file(pid, "stat", text, sizeof(text)))
		return false;
	/* A comm may hold anything, also brackets: it ends at the last one. */
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open)
		return false;
	*close = '\0';
	str_copy_clean(p->comm, sizeof(p->comm), open + 1);
	if (sscanf(close + 1,
		    " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %ld",
		    &p->state, &p->user_ticks, &p->system_ticks, &p->threads) != 4)
		return false;
	/* Empty or "0" where the kernel does not tell us. */
	if (read_file(pid, "wchan", text, sizeof(text)) && !str_eq(text, "0"))
		str_copy_clean(p->wchan, sizeof(p->wchan), text);
	if (read_file(pid, "status", text, sizeof(text))) {
		const char *tracer = strstr(text, "\nTracerPid:\t");

		if (tracer)
			p->tracer = atoi(tracer + strlen("\nTracerPid:\t"));
	}
	return true;
}

static void add(struct strbuf *b, const struct process *p, bool first)
{
	strbuf_addf(b, "%s{\"pid\":%d,\"comm\":\"", first ? "" : ",", (int)p->pid);
	strbuf_add_json(b, p->comm);
	strbuf_addf(b,
		"\",\"state\":\"%c\",\"threads\":%ld,\"user_ticks\":%lu,\"system_ticks\":%lu",
		p->state, p->threads, p->user_ticks, p->system_ticks);
	if (*p->wchan) {
		strbuf_add(b, ",\"wchan\":\"");
		strbuf_add_json(b, p->wchan);
		strbuf_add(b, "\"");
	}
	if (p->tracer)
		strbuf_addf(b, ",\"tracer\":%d", (int)p->tracer);
	strbuf_add(b, "}");
}

/* T: stopped by a signal; t: by its tracer. A tracer that lets it run is somebody at work all the
 * same, unless it is one of the unit's own processes, which is just how that program is made. */
static bool is_disturbed(const struct process *p, const pid_t *pids, size_t n)
{
	if (p->state == 'T' || p->state == 't')
		return true;
	for (size_t i = 0; i < n; i++)
		if (pids[i] == p->tracer)
			return false;
	return p->tracer != 0;
}

/* The pids of the unit, the main process first. */
static size_t list(const char *procs_file, pid_t main_pid, pid_t ret[PROCESSES_MAX])
{
	_cleanup_fclose_ FILE *f = fopen(procs_file, "re");
	size_t n = 0;
	int pid;

	if (main_pid > 0)
		ret[n++] = main_pid;
	while (f && n < PROCESSES_MAX && fscanf(f, "%d", &pid) == 1)
		if (pid > 0 && pid != main_pid)
			ret[n++] = pid;
	return n;
}

int processes_look(const char *procs_file, pid_t main_pid, bool *ret_stopped, struct strbuf *json)
{
	pid_t pids[PROCESSES_MAX];
	size_t n = list(procs_file, main_pid, pids);
	int seen = 0;

	*ret_stopped = false;
	if (json)
		strbuf_add(json, "[");
	for (size_t i = 0; i < n; i++) {
		struct process p;

		if (!read_process(pids[i], &p))
			continue; /* gone meanwhile */
		if (is_disturbed(&p, pids, n))
			*ret_stopped = true;
		if (json)
			add(json, &p, seen == 0);
		seen++;
	}
	if (json)
		strbuf_add(json, "]");
	return seen;
}
