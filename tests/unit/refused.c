/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plugin with one thing wrong, which is chosen by a macro when it is built: one for each reason
 * why the loader refuses. Without a macro nothing is wrong.
 */
#include "../../plugins/mendd-plugin.h"

#include <errno.h>

#if !defined(NO_VERB) && !defined(NO_TABLE)
static int32_t emit(void *plugin, const struct mend_record *record)
{
	return 0;
}
#endif

static int32_t create(const struct mend_services *services, struct mend_host *host, void **ret)
{
#ifdef CREATE_FAILS
	return -ENETDOWN;
#else
	*ret = NULL;
	return 0;
#endif
}

#ifndef NO_TABLE
static const struct mend_sink table = {
#ifdef SHORT_TABLE
	.size = sizeof(uint32_t),
#else
	.size = sizeof(table),
#endif
#ifndef NO_VERB
	.emit = emit,
#endif
};
#endif

#ifdef NO_SYMBOL
#define mend_plugin_v1 mend_plugin
#endif
#ifdef SYMBOL_OF_V2
#define mend_plugin_v1 mend_plugin_v2
#endif

extern const struct mend_plugin mend_plugin_v1;
MEND_EXPORT const struct mend_plugin mend_plugin_v1 = {
#ifdef SHORT_DESCRIPTOR
	.size = offsetof(struct mend_plugin, create),
#else
	.size = sizeof(mend_plugin_v1),
#endif
#ifdef WRONG_MAJOR
	.major = MEND_ABI_MAJOR + 1,
#else
	.major = MEND_ABI_MAJOR,
#endif
#ifdef NEWER_MINOR
	.minor = MEND_ABI_MINOR + 7,
#else
	.minor = MEND_ABI_MINOR,
#endif
#ifdef UNKNOWN_KIND
	.kind = 77,
#else
	.kind = MEND_KIND_SINK,
#endif
#ifdef BAD_NAME
	.name = "Bad/Name",
#else
	.name = "for-tests",
#endif
	.version = "1",
	.summary = "for tests",
	.create = create,
#ifndef NO_TABLE
	.sink = &table,
#endif
#ifdef TWO_TABLES
	.check = (const struct mend_check *)&table,
#endif
};
