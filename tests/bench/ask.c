/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long mendd lets a caller on the bus wait: reads a property of org.mendd1 again and again
 *until SIGTERM, and prints one reply time per line, in nanoseconds.
 *
 *	bench_ask EVERY_USEC
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t done;

static void on_signal(int number)
{
	done = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	sd_bus *bus = NULL;
	int r;

	if (argc != 2)
		return 2;
	sigaction(SIGTERM, &action, NULL);
	r = sd_bus_open_system(&bus);
	while (r >= 0 && !done) {
		uint64_t asked = now_ns();
		uint32_t units;

		r = sd_bus_get_property_trivial(bus, "org.mendd1", "/org/mendd1",
			"org.mendd1.Manager", "NUnits", NULL, 'u', &units);
		if (r >= 0)
			printf("%llu\n", (unsigned long long)(now_ns() - asked));
		if (r == -EINTR)
			r = 0;
		usleep((useconds_t)atoi(argv[1]));
	}
	sd_bus_unref(bus);
	if (r < 0)
		fprintf(stderr, "org.mendd1 does not answer: %s\n", strerror(-r));
	return r < 0;
}
