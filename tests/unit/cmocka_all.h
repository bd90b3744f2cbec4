/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmocka with the headers that it needs before itself, and a check that names the row of a table.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Fails and says for which input. */
#define CHECK_ROW(condition, input)                                      \
	do {                                                             \
		if (!(condition)) {                                      \
			print_error("for input \"%s\":\n", (input));     \
			_assert_true(0, #condition, __FILE__, __LINE__); \
		}                                                        \
	} while (0)
