/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plugins that are linked into the daemon. They know of it only what mendd-plugin.h says, and
 * are registered by the same function as those that are loaded.
 */
#pragma once

#include "mendd-plugin.h"

extern const struct mend_plugin journal_plugin; /* sink: the journal */
extern const struct mend_plugin restart_plugin; /* action: RestartUnit of PID 1 */
extern const struct mend_plugin tcp_plugin;     /* check: does a port accept connections */
