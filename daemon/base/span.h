/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time spans as people write them; read by parse_timespan() of parse.h. */
#pragma once

#include "macros.h"

enum { SPAN_SIZE = 64 };

/* "3min 20s", "612us", "0s": the two largest units that are not 0 and follow each other. Returns
 * buf. */
const char *span_format(uint64_t usec, char buf[SPAN_SIZE]);
