/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading a BPF object of which the kernel may refuse some programs. What it refuses is left out,
 * with the reason; each attempt is made once, since a refusal may cost a second of the verifier's
 * time.
 */
#pragma once

#include "../base/macros.h"

#include <stddef.h>

struct bpf_program;

enum { BPF_WHY_SIZE = 256 };

/* Of one program. */
struct bpf_refusal {
	int error;              /* -errno; 0: it was not refused */
	char why[BPF_WHY_SIZE]; /* program, error, and the verifier's last line if it has said any
				 */
};

/* An object and its programs, by number. What open() has opened, load() loads and close() closes.
 */
struct bpf_loadable {
	size_t n;
	void *userdata;
	/* A new object with only the programs in `wanted`; 0, or -errno. */
	int (*open)(void *userdata, const bool *wanted);
	int (*load)(void *userdata);
	void (*close)(void *userdata);
	struct bpf_program *(*program)(void *userdata, size_t i);
	bool (*is_required)(size_t i);
};

/*
 * Loads the object with as many of the programs in `wanted` as the kernel takes; changes `wanted`,
 * and fills in refusals[i] for those that are left out. 0: it is loaded and open. -errno: a
 * required program is refused (its refusal says why), or the object as a whole is; then it is
 * closed.
 */
int bpf_load(const struct bpf_loadable *l, bool *wanted, struct bpf_refusal *refusals);

/* What libbpf says goes to the log at level debug. Once, before anything is loaded. */
void bpf_load_log(void);
