/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading /proc/pressure; see pressure.h. */
#include "pressure.h"

#include <fcntl.h>
#include <string.h>

static int read_one(const char *dir, const char *name, double *ret, double *ret_waits)
{
	_cleanup_close_ int fd = -1;
	char path[256], text[256];
	unsigned long long total;
	double avg10;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	/* "some avg10=0.12 avg60=… avg300=… total=…"; Documentation/accounting/psi.rst */
	if (sscanf(text, "some avg10=%lf avg60=%*f avg300=%*f total=%llu", &avg10, &total) != 2 ||
		!(avg10 >= 0 && avg10 <= 100))
		return -EBADMSG;
	*ret = avg10;
	*ret_waits = (double)total / 1e6; /* of microseconds */
	return 0;
}

int pressure_read(const char *dir, struct pressure *ret, struct pressure *ret_waits)
{
	struct pressure p, waits;
	int r = read_one(dir, "cpu", &p.cpu, &waits.cpu);

	if (r >= 0)
		r = read_one(dir, "memory", &p.memory, &waits.memory);
	if (r >= 0)
		r = read_one(dir, "io", &p.io, &waits.io);
	if (r < 0)
		return r;
	*ret = p;
	if (ret_waits)
		*ret_waits = waits;
	return 0;
}
