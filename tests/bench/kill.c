/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills a bench_server and measures how long nobody is served: from just before kill(2) to the
 * first answer of another process. Prints nanoseconds.
 *
 *	bench_kill COMM PORT SECONDS
 *
 * COMM is what it calls itself: mendd takes the same killer twice in ten minutes for an operator
 *and holds, so each kill of a benchmark needs another name. SECONDS: when to give up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	POLL_NS = 200000, /* the resolution of what is measured */
	POLLS_BEFORE = 50 /* the same rhythm before the kill: caches and clocks are warm */
};

static struct sockaddr_in address = { .sin_family = AF_INET };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The pid that answers, 0: nobody. */
static int who_serves(void)
{
	/* A dying process may have taken the connection; the kernel resets that when it is gone. On
	 * a busy machine a live one answers late. */
	struct timeval patience = { .tv_usec = 500000 };
	struct linger reset = { .l_onoff = 1 }; /* leave no TIME_WAIT behind, there are thousands */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pid = 0;

	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		recv(fd, &pid, sizeof(pid), MSG_WAITALL) != sizeof(pid))
		pid = 0;
	close(fd);
	return pid;
}

static void next_poll(uint64_t *at)
{
	struct timespec t;

	*at += POLL_NS;
	t.tv_sec = (time_t)(*at / 1000000000);
	t.tv_nsec = (long)(*at % 1000000000);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

int main(int argc, char **argv)
{
	uint64_t at = now_ns(), killed, deadline;
	int old = 0, pid;

	if (argc != 4)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	prctl(PR_SET_TIMERSLACK, 1UL);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	for (int i = 0; i < POLLS_BEFORE; i++) {
		pid = who_serves();
		old = pid ? pid : old;
		next_poll(&at);
	}
	if (old <= 1) {
		fprintf(stderr, "nobody serves port %s\n", argv[2]);
		return 1;
	}
	killed = now_ns();
	deadline = killed + strtoul(argv[3], NULL, 10) * 1000000000;
	if (kill(old, SIGKILL) < 0) {
		perror("kill");
		return 1;
	}
	do {
		pid = who_serves();
		if (pid && pid != old) {
			printf("%llu\n", (unsigned long long)(now_ns() - killed));
			return 0;
		}
		if (at < now_ns())
			at = now_ns();
		next_poll(&at);
	} while (now_ns() < deadline);
	fprintf(stderr, "nobody serves port %s again\n", argv[2]);
	return 1;
}
