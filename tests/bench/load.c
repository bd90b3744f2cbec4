/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work for the kernel programs, as fast as one process can make it. Prints how many it made and the
 * nanoseconds that this took.
 *
 *	bench_load exit N      fork, exit(0), wait: N times
 *	bench_load killed N    the same, but the child dies of SIGKILL
 *	bench_load exec N      fork, exec of itself ("bench_load nothing"), wait
 *	bench_load signal N    SIGUSR1 to itself, handled: a signal that could have killed
 *	bench_load child N     SIGCHLD to itself, ignored: one that never kills
 *
 *	bench_load wait FILE KIND N    becomes ready, and begins when FILE appears; then goes on
 *living
 */
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_signal(int number)
{
}

/* One process that begins and ends. */
static int run_child(const char *kind)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (strcmp(kind, "exec") == 0)
			execl("/proc/self/exe", "bench_load", "nothing", NULL);
		else if (strcmp(kind, "killed") == 0)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static int run(const char *kind, unsigned long n)
{
	int number = strcmp(kind, "signal") == 0  ? SIGUSR1
		     : strcmp(kind, "child") == 0 ? SIGCHLD
						  : 0;
	uint64_t begun;

	/* SIGCHLD keeps its default, to be ignored, or children could not be waited for. */
	if (number == SIGUSR1)
		signal(SIGUSR1, on_signal);
	begun = now_ns();
	for (unsigned long i = 0; i < n; i++)
		if (number ? kill(getpid(), number) < 0 : run_child(kind) < 0) {
			perror(kind);
			return 1;
		}
	printf("%lu %llu\n", n, (unsigned long long)(now_ns() - begun));
	fflush(stdout);
	return 0;
}

static void wait_for(const char *file)
{
	char directory[512], event[4096], *slash;
	int fd = inotify_init1(IN_CLOEXEC);

	snprintf(directory, sizeof(directory), "%s", file);
	slash = strrchr(directory, '/');
	if (fd < 0 || !slash)
		exit(2);
	*slash = '\0';
	if (inotify_add_watch(fd, directory, IN_CREATE | IN_MOVED_TO) < 0)
		exit(2);
	while (access(file, F_OK) < 0)
		if (read(fd, event, sizeof(event)) < 0)
			exit(2);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0;
	if (argc == 5 && strcmp(argv[1], "wait") == 0) {
		wait_for(argv[2]);
		if (run(argv[3], strtoul(argv[4], NULL, 10)) != 0)
			return 1;
		for (;;)
			pause();
	}
	return argc == 3 ? run(argv[1], strtoul(argv[2], NULL, 10)) : 2;
}
