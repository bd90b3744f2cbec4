/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service that does on request whatever services die of. Requests are lines in a FIFO, so that
 * nothing but the request itself happens to the process: no signal, no connection.
 *
 *     victim FIFO [--listen PORT] [--notify] [--fork PIDFILE] [--started FILE]
 *
 * Requests: exit CODE · segv · abort · kill SIGNAL (itself) · leader-exit CODE (the main thread
 * leaves, another one goes on) · thread-exec (a thread that is not the first executes the program
 * anew) · child [FILE] · orphan [FILE] (a child that waits, its pid in FILE; an orphan belongs to
 * PID 1) · child-exit CODE · storm COUNT · crowd COUNT (many at a time) · pairs COUNT (children
 * whose two threads leave at the same moment) · threads COUNT (that wait) · eat BYTES
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arguments;
static FILE *requests;

static void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void serve(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0)
		fail("cannot listen");
}

static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t n;

	if (!path || fd < 0 || strlen(path) >= sizeof(a.sun_path))
		fail("NOTIFY_SOCKET");
	strcpy(a.sun_path, path);
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	if (sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&a, n) < 0)
		fail("notify");
	close(fd);
}

static void write_pid(const char *path, pid_t pid)
{
	char other[512];
	FILE *f;

	/* Renamed into place: whoever sees the file sees all of it. */
	snprintf(other, sizeof(other), "%s.new", path);
	f = fopen(other, "we");
	if (!f || fprintf(f, "%d\n", (int)pid) < 0 || fclose(f) != 0 || rename(other, path) < 0)
		fail(path);
}

static void wait_for_ever(const char *file)
{
	write_pid(file, getpid());
	for (;;)
		pause();
}

static void spawn(const char *file, int orphan)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (orphan && fork() != 0)
			_exit(0);
		while (orphan && getppid() != 1)
			usleep(1000);
		wait_for_ever(file);
	}
	if (orphan)
		waitpid(pid, NULL, 0);
}

static void storm(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0)
			_exit(i % 2 ? 3 : 0);
		waitpid(pid, NULL, 0);
	}
}

/* Many children at a time that take the processors from each other, also on their way out. */
static void crowd(long count)
{
	long alive = 0;

	for (long i = 0; i < count; i++) {
		pid_t pid;

		if (alive == 32) {
			waitpid(-1, NULL, 0);
			alive--;
		}
		pid = fork();
		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			for (volatile long n = i % 7 * 30000; n > 0; n--)
				;
			_exit(i % 2 ? 3 : 0);
		}
		alive++;
	}
	while (alive-- > 0)
		waitpid(-1, NULL, 0);
}

static void begin_thread(void *(*function)(void *), void *userdata)
{
	pthread_t t;

	if (pthread_create(&t, NULL, function, userdata) != 0)
		fail("pthread_create");
}

static void *wait_thread(void *unused)
{
	for (;;)
		pause();
	return NULL;
}

static volatile int at_the_door;

/* Both threads of the process leave as soon as both are here. */
static void *leave_together(void *unused)
{
	__sync_fetch_and_add(&at_the_door, 1);
	while (at_the_door < 2)
		;
	syscall(SYS_exit, 0); /* this thread only */
	return NULL;
}

static void pairs(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			begin_thread(leave_together, NULL);
			leave_together(NULL);
		}
		waitpid(pid, NULL, 0);
	}
}

static void eat(long bytes)
{
	for (long n = 0; n < bytes; n += 1 << 20) {
		char *p = malloc(1 << 20);

		if (!p)
			fail("malloc");
		memset(p, 1, 1 << 20);
	}
}

static void obey(void);

static void *other_thread(void *unused)
{
	obey();
	return NULL;
}

static void *executing_thread(void *file)
{
	char *again[] = { arguments[0], arguments[1], "--started", file, NULL };

	execv("/proc/self/exe", again);
	fail("execv");
	return NULL;
}

static void do_request(const char *verb, const char *argument, long number)
{
	if (strcmp(verb, "exit") == 0) {
		exit((int)number);
	} else if (strcmp(verb, "segv") == 0) {
		*(volatile int *)16 = 1;
	} else if (strcmp(verb, "abort") == 0) {
		abort();
	} else if (strcmp(verb, "kill") == 0) {
		kill(getpid(), (int)number);
	} else if (strcmp(verb, "leader-exit") == 0) {
		begin_thread(other_thread, NULL);
		syscall(SYS_exit, number); /* this thread only */
	} else if (strcmp(verb, "thread-exec") == 0) {
		begin_thread(executing_thread, strdup(argument));
		for (;;)
			pause();
	} else if (strcmp(verb, "child") == 0) {
		spawn(argument, 0);
	} else if (strcmp(verb, "orphan") == 0) {
		spawn(argument, 1);
	} else if (strcmp(verb, "child-exit") == 0) {
		pid_t pid = fork();

		if (pid == 0)
			_exit((int)number);
		waitpid(pid, NULL, 0);
	} else if (strcmp(verb, "storm") == 0) {
		storm(number);
	} else if (strcmp(verb, "crowd") == 0) {
		crowd(number);
	} else if (strcmp(verb, "pairs") == 0) {
		pairs(number);
	} else if (strcmp(verb, "threads") == 0) {
		while (number-- > 0)
			begin_thread(wait_thread, NULL);
	} else if (strcmp(verb, "eat") == 0) {
		eat(number);
	} else {
		fprintf(stderr, "unknown request '%s'\n", verb);
		exit(2);
	}
}

static void obey(void)
{
	char line[512], verb[32], argument[256];

	while (fgets(line, sizeof(line), requests)) {
		argument[0] = '\0';
		if (sscanf(line, "%31s %255s", verb, argument) >= 1)
			do_request(verb, argument, strtol(argument, NULL, 10));
	}
}

static void become_daemon(const char *pid_file)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid > 0) {
		write_pid(pid_file, pid);
		exit(EXIT_SUCCESS);
	}
	setsid();
}

int main(int argc, char **argv)
{
	const char *started = NULL;
	int fd, notify = 0;

	arguments = argv;
	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc)
			serve(atoi(argv[++i]));
		else if (strcmp(argv[i], "--fork") == 0 && i + 1 < argc)
			become_daemon(argv[++i]);
		else if (strcmp(argv[i], "--started") == 0 && i + 1 < argc)
			started = argv[++i];
		else if (strcmp(argv[i], "--notify") == 0)
			notify = 1;
		else
			return 2;
	/* For reading and writing: it never ends, also when a requester closes it. */
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	requests = fd < 0 ? NULL : fdopen(fd, "r");
	if (!requests)
		fail(argv[1]);
	if (started)
		write_pid(started, getpid());
	if (notify)
		notify_ready();
	obey();
	return EXIT_FAILURE;
}
