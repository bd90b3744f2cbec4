/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of top*.c where the option "top" is disabled. */
#include "ctl.h"

int verb_top(struct ctl *c, int argc, char **argv)
{
	complain(
		"This mendctl was built without 'top'. 'mendctl status UNIT' and the metrics have the "
		"same figures.");
	return EXIT_UNHEALTHY;
}
