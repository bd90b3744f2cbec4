/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the process keeps resident; a daemon that watches others must be small itself. */
#pragma once

/* Free pieces of the heap, which malloc(3) would keep: some 50 us for a heap of 4 MiB. */
void memory_trim(void);

/*
 * Pages of code and constants that were touched so far: mostly libraries that set themselves up and
 * are not needed again. What is needed after all comes back from the page cache at its next use.
 */
void memory_drop_code(void);
