/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading /proc/pressure; see pressure.h. */
#include "pressure.h"

#include <fcntl.h>
#include <string.h>

static int read_one(const char *dir, const char *name, double *ret)
{
	_cleanup_close_ int fd = -1;
	char path[256], text[256];
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
	if (sscanf(text, "some avg10=%lf", &avg10) != 1 || !(avg10 >= 0 && avg10 <= 100))
		return -EBADMSG;
	*ret = avg10;
	return 0;
}

int pressure_read(const char *dir, struct pressure *ret)
{
	struct pressure p;
	int r = read_one(dir, "cpu", &p.cpu);

	if (r >= 0)
		r = read_one(dir, "memory", &p.memory);
	if (r >= 0)
		r = read_one(dir, "io", &p.io);
	if (r >= 0)
		*ret = p;
	return r;
}
