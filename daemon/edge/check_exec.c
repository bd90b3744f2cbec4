/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs executables as checks; see check_exec.h.
 *
 * A child is known by its pidfd, which the loop watches like any fd. It is reaped only after its
 * group has been killed, so that the number of the group cannot have become somebody else's. What
 * cannot be done here: a process that left its group (setsid) and outlives the check is found by
 * nobody but the daemon's cgroup.
 *
 * A child in uninterruptible sleep does not die when killed. Its verdict comes in time all the
 * same; the child stays known until it is gone, and that unit's check does not run meanwhile.
 */
#include "check_exec.h"
#include "check_output.h"
#include "command_line.h"

#include "../base/str.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/wait.h>

/* A killed process is gone within this time, unless the kernel holds it. */
#define DYING_NS (UINT64_C(500) * NSEC_PER_MSEC)

struct run {
	struct check_exec *exec; /* borrowed */
	uint64_t ticket;         /* 0: the verdict has been given, only the reaping is left */
	char unit[256];
	pid_t pid;
	int pidfd;  /* owned */
	int output; /* owned; -1: closed */
	int64_t pidfd_id, output_id, timer_id;
	uint64_t timeout_ns;
	char end[64]; /* why we ended it, "": we did not */
	size_t n, total;
	char buffer[CHECK_OUTPUT_MAX + 1];
	TAILQ_ENTRY(run) link;
};

struct check_exec {
	const struct mend_services *services;
	struct mend_host *host;
	TAILQ_HEAD(, run) runs;
};

static void report(struct check_exec *e, uint64_t ticket, const struct check_output *o)
{
	struct mend_verdict verdict = {
		.size = sizeof(verdict),
		.status = o->status,
		.text = o->text,
		.perfdata = o->perfdata,
	};

	e->services->check_report(e->host, ticket, &verdict);
}

static void report_unknown(struct check_exec *e, uint64_t ticket, const char *format, ...)
	_printf_(3, 4);
static void report_unknown(struct check_exec *e, uint64_t ticket, const char *format, ...)
{
	struct check_output o = { .status = MEND_UNKNOWN };
	va_list ap;

	va_start(ap, format);
	vsnprintf(o.text, sizeof(o.text), format, ap);
	va_end(ap);
	report(e, ticket, &o);
}

static void close_output(struct run *x)
{
	x->exec->services->io_del(x->exec->host, x->output_id);
	if (x->output >= 0)
		close(x->output);
	x->output = -1;
}

static void run_free(struct run *x)
{
	const struct mend_services *s = x->exec->services;

	close_output(x);
	s->io_del(x->exec->host, x->pidfd_id);
	s->timer_del(x->exec->host, x->timer_id);
	if (x->pidfd >= 0)
		close(x->pidfd);
	TAILQ_REMOVE(&x->exec->runs, x, link);
	free(x);
}

static void kill_group(const struct run *x)
{
	kill(-x->pid, SIGKILL); /* not reaped yet, so the group is still ours */
}

/* Reads what there is, keeps what has room. false: end of file. */
static bool drain(struct run *x)
{
	char scrap[16384];

	for (int i = 0; i < 4; i++) { /* 64 KiB, a full pipe; then others have their turn */
		ssize_t n = read(x->output, scrap, sizeof(scrap));
		size_t keep;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		keep = MIN((size_t)n, (size_t)CHECK_OUTPUT_MAX - x->n);
		memcpy(x->buffer + x->n, scrap, keep);
		x->n += keep;
		x->total += (size_t)n;
	}
	return true;
}

static void on_output(void *userdata, int32_t fd, uint32_t revents)
{
	struct run *x = userdata;

	if (!drain(x))
		close_output(x);
	if (x->total > CHECK_FLOOD_MAX && !*x->end) {
		str_copy(x->end, sizeof(x->end), "it printed more than 1 MiB and was killed");
		close_output(x);
		kill_group(x);
	}
}

static void on_exit_of(void *userdata, int32_t fd, uint32_t revents)
{
	struct run *x = userdata;
	struct check_exec *e = x->exec;
	struct check_output o;
	uint64_t ticket = x->ticket;
	siginfo_t si = {};

	kill_group(x);
	if (x->output >= 0)
		drain(x);
	if (waitid(P_PIDFD, (id_t)x->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0) {
		/* Somebody else has reaped it: no way to know how it ended. */
		si.si_code = CLD_EXITED;
		si.si_status = 255;
	}
	x->buffer[x->n] = '\0';
	check_output_read(&o, x->buffer, x->n, si.si_code, si.si_status);
	if (*x->end) {
		o = (struct check_output) { .status = MEND_UNKNOWN };
		str_copy(o.text, sizeof(o.text), x->end);
	}
	run_free(x);
	if (ticket)
		report(e, ticket, &o);
}

static void on_stuck(void *userdata, uint64_t now_ns)
{
	struct run *x = userdata;
	uint64_t ticket = x->ticket;

	x->timer_id = 0;
	x->ticket = 0;
	if (ticket)
		report_unknown(x->exec, ticket, "%s; process %d does not die", x->end, x->pid);
}

static void on_timeout(void *userdata, uint64_t now_ns)
{
	struct run *x = userdata;
	const struct mend_services *s = x->exec->services;

	snprintf(x->end, sizeof(x->end), "timed out after %" PRIu64 " ms",
		x->timeout_ns / NSEC_PER_MSEC);
	kill_group(x);
	x->timer_id = s->timer_add(x->exec->host, now_ns + DYING_NS, on_stuck, x);
}

/* The child, or -errno. fd becomes its standard output. */
static int spawn(pid_t *ret, const char *path, char **argv, const char *unit, int fd)
{
	static char path_variable[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char lang_variable[] = "LANG=C.UTF-8";
	char unit_variable[300];
	char *environment[] = { path_variable, lang_variable, unit_variable, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	snprintf(unit_variable, sizeof(unit_variable), "MENDD_UNIT=%s", unit);
	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_addopen(
			&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (!r) /* whatever a library has forgotten to mark */
		r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	if (!r)
		r = posix_spawn_file_actions_addchdir_np(&actions, "/");
	if (!r)
		r = posix_spawnattr_setflags(&attributes,
			POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawnattr_setpgroup(&attributes, 0);
	if (!r)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(&attributes, &all);
	if (!r)
		r = posix_spawn(ret, path, &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* The daemon may be protected from the OOM killer; what it runs for others must not be. */
static void unprotect(pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) < 0)
		return; /* gone already, or not allowed to: nothing that the check depends on */
}

static int start(struct check_exec *e, struct run *x, const char *path, char **argv)
{
	const struct mend_services *s = e->services;
	_cleanup_close_ int write_end = -1;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	x->output = fds[0];
	write_end = fds[1];
	/* Only our end: the flag of a pipe belongs to each end, and the child expects to block. */
	if (fcntl(x->output, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn(&x->pid, path, argv, x->unit, write_end);
	if (r < 0)
		return r;
	unprotect(x->pid);
	x->pidfd = pidfd_open(x->pid, 0); /* a zombie keeps its number, so this is our child */
	if (x->pidfd < 0) {
		r = -errno;
		kill_group(x);
		waitpid(x->pid, NULL, 0);
		return r;
	}
	x->output_id = s->io_add(e->host, x->output, MEND_IO_IN, on_output, x);
	x->pidfd_id = s->io_add(e->host, x->pidfd, MEND_IO_IN, on_exit_of, x);
	x->timer_id = s->timer_add(e->host, s->now_ns() + x->timeout_ns, on_timeout, x);
	if (x->output_id < 0 || x->pidfd_id < 0 || x->timer_id < 0) {
		kill_group(x);
		waitpid(x->pid, NULL, 0); /* killed before it could begin to sleep */
		return -EMFILE;
	}
	return 0;
}

/* A run of the unit that was canceled or has been given up. */
static struct run *find_ending(struct check_exec *e, const char *unit)
{
	struct run *x;

	TAILQ_FOREACH (x, &e->runs, link)
		if (str_eq(x->unit, unit))
			return x;
	return NULL;
}

/* Frees a run that has been killed, if it is dead by now. */
static bool reap(struct run *x)
{
	siginfo_t si = {};

	kill_group(x);
	if (waitid(P_PIDFD, (id_t)x->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid == 0)
		return false;
	run_free(x);
	return true;
}

static int32_t exec_run(void *plugin, const struct mend_check_request *request, uint64_t ticket)
{
	struct check_exec *e = plugin;
	_cleanup_free_ char **argv = NULL;
	char path[PATH_MAX];
	struct run *x;
	int r;

	x = find_ending(e, request->unit);
	if (x && !reap(x)) {
		report_unknown(e, ticket, "its last run is still ending (process %d)", x->pid);
		return 0;
	}
	/* Mistakes of the configuration are verdicts, not errors of this plugin: one bad command
	 * line must not set aside everybody's checks. */
	r = command_split(request->arguments, &argv);
	if (r < 0) {
		report_unknown(e, ticket, "bad command line: %s",
			r == -EINVAL ? "an open quote or an unknown escape" : strerror(-r));
		return 0;
	}
	r = command_find(argv[0], path, sizeof(path));
	if (r < 0) {
		report_unknown(e, ticket, "cannot run %s: %s", argv[0],
			r == -EINVAL ? "a path must be absolute" : strerror(-r));
		return 0;
	}
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->exec = e;
	x->ticket = ticket;
	x->timeout_ns = request->timeout_ns;
	x->pidfd = x->output = -1;
	str_copy(x->unit, sizeof(x->unit), request->unit);
	TAILQ_INSERT_TAIL(&e->runs, x, link);
	r = start(e, x, path, argv);
	if (r < 0) {
		run_free(x);
		report_unknown(e, ticket, "cannot run %s: %s", path, strerror(-r));
	}
	return 0;
}

static void exec_cancel(void *plugin, uint64_t ticket)
{
	struct check_exec *e = plugin;
	struct run *x;

	TAILQ_FOREACH (x, &e->runs, link)
		if (x->ticket == ticket) {
			x->ticket = 0; /* on_exit_of() reaps it */
			str_copy(x->end, sizeof(x->end), "canceled");
			kill_group(x);
			return;
		}
}

static int32_t exec_create(const struct mend_services *services, struct mend_host *host, void **ret)
{
	struct check_exec *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->services = services;
	e->host = host;
	TAILQ_INIT(&e->runs);
	*ret = e;
	return 0;
}

static void exec_destroy(void *plugin)
{
	struct check_exec *e = plugin;
	struct run *x;

	while ((x = TAILQ_FIRST(&e->runs))) {
		if (!reap(x)) /* not waited for: PID 1 inherits it when the daemon is gone */
			run_free(x);
	}
	free(e);
}

static const struct mend_check exec_check = {
	.size = sizeof(exec_check),
	.run = exec_run,
	.cancel = exec_cancel,
};

const struct mend_plugin check_exec_plugin = {
	.size = sizeof(check_exec_plugin),
	.major = MEND_ABI_MAJOR,
	.minor = 0,
	.kind = MEND_KIND_CHECK,
	.name = "exec",
	.version = MENDD_VERSION,
	.summary = "runs any executable of the monitoring-plugins' convention",
	.create = exec_create,
	.destroy = exec_destroy,
	.check = &exec_check,
};
