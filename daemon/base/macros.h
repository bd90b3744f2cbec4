/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cleanup attributes and small macros that every floor uses.
 *
 * Ownership idiom: acquire into a _cleanup_ variable, hand over with TAKE_PTR() after the last
 * point of failure. Destructors take NULL and return NULL.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <stdio.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Each argument is evaluated once. The names are unique, so that they nest under -Wshadow. */
#define MIN(a, b) PICK_(__COUNTER__, a, <, b)
#define MAX(a, b) PICK_(__COUNTER__, a, >, b)
#define PICK_(n, a, less, b) PICK_UNIQUE_(n, a, less, b)
#define PICK_UNIQUE_(n, a, less, b)               \
	({                                        \
		__auto_type _a##n = (a);          \
		__auto_type _b##n = (b);          \
		_a##n less _b##n ? _a##n : _b##n; \
	})

#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) *_pp = &(p); \
		__typeof__(p) _v = *_pp;   \
		*_pp = NULL;               \
		_v;                        \
	})
#define TAKE_FD(fd)                \
	({                         \
		int *_pfd = &(fd); \
		int _v = *_pfd;    \
		*_pfd = -1;        \
		_v;                \
	})

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC UINT64_C(1000000000)
#define USEC_PER_SEC UINT64_C(1000000)
/* "never", for deadlines and for systemd's USEC_INFINITY. */
#define TIME_INFINITY UINT64_MAX

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)
