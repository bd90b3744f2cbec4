/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of the configuration files as they last were without a mistake. Such a copy takes the
 * place of its file while that has one or cannot be read, also after a restart of the daemon or
 * of the host.
 */
#pragma once

#include "../base/macros.h"

#define CONFIG_SAVED_DIR "/var/lib/mendd/config"

/* Keeps the text as the copy of `path`; does nothing where it is the same already. 0 or -errno. */
int config_saved_put(const char *directory, const char *path, const char *text, size_t size);

/* *ret is owned by the caller. -ENOENT: there is no copy; or another error. */
int config_saved_get(const char *directory, const char *path, char **ret, size_t *ret_size);

/* Calls fn for the path of each copy, in no order. Nothing where there are none. */
void config_saved_each(
	const char *directory, void (*fn)(void *userdata, const char *path), void *userdata);

/* Removes the copies of files that are not there any more; `root` is put before their paths. */
void config_saved_prune(const char *directory, const char *root);
