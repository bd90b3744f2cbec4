/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mendctl metrics: the exposition that Prometheus would get, through a file descriptor. */
#include "ctl.h"

int verb_metrics(struct ctl *c, int argc, char **argv)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const char *format = c->format ? c->format : "text";
	char buf[65536];
	off_t at = 0;
	ssize_t n;
	int r, fd;

	if (!str_eq(format, "text") && !str_eq(format, "openmetrics")) {
		complain("--format= is text or openmetrics.");
		return EXIT_USAGE;
	}
	r = bus_call(c, &m, BUS_PATH, BUS_MANAGER, "DumpMetrics", "s", format);
	if (r != 0)
		return r;
	r = sd_bus_message_read(m, "h", &fd); /* borrowed from the message */
	if (r < 0) {
		complain("mendd sent no metrics: %s", strerror(-r));
		return EXIT_UNHEALTHY;
	}
	pager_open(c);
	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			break; /* main() says why */
		at += n;
	}
	return n < 0 ? EXIT_UNHEALTHY : EXIT_HEALTHY;
}
