/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pressure stall information (PSI) of the host: /proc/pressure. Three small files of procfs, some
 * 20 us to read; asked only while an alert is pending or fires.
 */
#pragma once

#include "../state/alert.h"

#define PRESSURE_DIR "/proc/pressure"

/*
 * "some avg10" of cpu, memory and io; and "some total", in seconds, in *ret_waits (may be NULL). 0,
 * or -errno: -ENOENT of a kernel without PSI, -EOPNOTSUPP where it is switched off (psi=0),
 * -EBADMSG.
 */
int pressure_read(const char *dir, struct pressure *ret, struct pressure *ret_waits);
