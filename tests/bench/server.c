/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service that the benchmarks kill: as little as a server can be. It listens, and answers each
 * connection with its pid, so that a client can tell a new process from a dying one. Linked
 * statically: its start-up is then no part of what is compared.
 *
 *	bench_server [--resident MIB] [--daemon PIDFILE] PORT
 *
 * --resident: memory that it touches, which the kernel has to give back when it dies
 * --daemon:   goes to the background and writes its pid there, as monit wants it
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void write_pid(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f) != 0)
		fail(path);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "resident", required_argument, NULL, 'r' },
		{ "daemon", required_argument, NULL, 'd' },
		{},
	};
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *pid_file = NULL;
	size_t resident = 0;
	int c, fd, one = 1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'r':
			resident = strtoul(optarg, NULL, 10) << 20;
			break;
		case 'd':
			pid_file = optarg;
			break;
		default:
			return 2;
		}
	if (optind + 1 != argc)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[optind]));
	if (pid_file) {
		if (daemon(0, 0) < 0)
			fail("daemon");
		write_pid(pid_file);
	}
	if (resident) {
		char *memory = malloc(resident);

		if (!memory)
			fail("malloc");
		memset(memory, 1, resident);
		__asm__ volatile("" : : "r"(memory) : "memory"); /* it is never read: keep it */
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Connections of the process before wait in TIME_WAIT on this port. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
		fail("listen");
	for (;;) {
		int client = accept(fd, NULL, NULL);
		int pid = getpid();

		if (client < 0)
			continue;
		if (send(client, &pid, sizeof(pid), MSG_NOSIGNAL) < 0)
			perror("send");
		close(client);
	}
}
