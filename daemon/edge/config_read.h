/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between config_files.c and config_write.c: reading one whole file, with its cap. */
#pragma once

#include "../base/macros.h"

enum {
	CONFIG_MODE = 0644, /* no secrets in it: everybody may see what mendd will do */
	CONFIG_DIRECTORY_MODE = 0755,
};

/*
 * Reads a regular file, at most one byte more than UNITFILE_SIZE_MAX, so that the parser refuses
 * what is larger. *ret is owned by the caller. -ENOENT, -EISDIR, -EBADFD for a FIFO or socket, …
 */
int config_read_file(const char *path, char **ret, size_t *ret_size);
