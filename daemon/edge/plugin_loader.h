/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a path to a descriptor. A plugin runs as root inside of the daemon, so the file and every
 * folder above it must be such that only root can have put it there; it is opened folder by folder
 * without following links, and what was examined is what is mapped.
 *
 * A shared object is never unmapped again, also where it is refused: its code may have left
 * pointers behind.
 */
#pragma once

#include "plugin_host.h"

/* Where plugins are installed. */
#define PLUGIN_DIR "/usr/lib/mendd/plugins"

/* An O_RDONLY fd of a regular file that only root can change. Below 0: ret_text says why not.
 * -EPERM: it exists and is not to be trusted. */
int plugin_open_trusted(const char *path, char *ret_text, size_t size);
