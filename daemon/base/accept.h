/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which answer an HTTP client would like, by its Accept and Accept-Encoding headers (RFC 9110,
 * 12.5). Qualities are in thousandths. Elements that are not well-formed are skipped: a bad header
 * gets the default, not an error. Pure; takes any bytes.
 */
#pragma once

#include "macros.h"

enum {
	ACCEPT_BEST = 1000,
	ACCEPT_NOT_NAMED = -1, /* the header says nothing of it */
};

/*
 * The quality of a media type such as "text/plain" in a given version of it: 0 (not wanted) to
 * ACCEPT_BEST, or ACCEPT_NOT_NAMED. The most specific range counts; a range with another version
 * is for another type. header NULL: there was none, anything goes.
 */
int accept_media(const char *header, const char *type, const char *version);

/* true where the client would rather have it compressed with gzip than as it is. */
bool accept_gzip(const char *header);
