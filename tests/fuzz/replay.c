/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main() for a fuzz target without a fuzzer: runs the target over every file of the directories
 * and over the files that are given, so that what a fuzzer once found stays found, with any
 * compiler. Ends with 1 where there was nothing to run.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 4 * 1024 * 1024 };

static unsigned int runs;

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data = malloc(LARGEST), *exact;
	size_t n;

	if (!f || !data) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, LARGEST, f);
	fclose(f);
	/* A block of just that size, so that a sanitizer sees the first byte read behind it. */
	exact = malloc(n ? n : 1);
	if (!exact)
		exit(1);
	memcpy(exact, data, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	free(data);
	runs++;
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *e;

		if (!dir) {
			replay_file(argv[i]);
			continue;
		}
		while ((e = readdir(dir))) {
			char path[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			replay_file(path);
		}
		closedir(dir);
	}
	printf("%u inputs\n", runs);
	return runs == 0;
}
