/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* refuse NAME: as long as it lives, the kernel refuses BPF programs of that name. Says "ready". */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>

#include "refuse.skel.h"

int main(int argc, char *argv[])
{
	struct refuse *s = refuse__open();

	if (!s || argc != 2)
		return 2;
	/* Cut, as the kernel's names are. */
	snprintf((char *)s->rodata->refused, sizeof(s->rodata->refused), "%s", argv[1]);
	if (refuse__load(s) < 0 || refuse__attach(s) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
