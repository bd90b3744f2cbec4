/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration on disk: which files count, reading them, and the one file that mendd writes
 * itself. What stands in them is the business of state/settings.h. `root` is a prefix of all
 * paths, for tests and for images; NULL or "" is the host.
 */
#pragma once

#include "../base/str.h"
#include "../state/settings.h"

enum {
	CONFIG_FILES_MAX = 256, /* drop-ins of the host, and drop-ins of one unit */
};

/*
 * Reads the first mendd.conf of /etc/mendd, /run/mendd, /usr/local/lib/mendd and /usr/lib/mendd,
 * and then all *.conf of their mendd.conf.d, sorted by name, where an earlier directory hides the
 * same name of a later one, and a link to /dev/null hides it altogether. No file at all is fine.
 *
 * 0: *ret is set; it is not looked at before, so free an old one with host_settings_done().
 * -EINVAL: something is wrong; errors has a line "FILE:LINE: what; hint" for each mistake, and *ret
 * is untouched. -ENOMEM.
 */
int config_load(const char *root, struct host_settings *ret, struct strbuf *errors);

/*
 * The same, so that a mistake costs as little as possible. A file with one, or that cannot be read,
 * is replaced by its copy in the directory `saved` (see config_saved.h; NULL: none are used or
 * made), and what its present text forbids is added; where there is no copy, only its sections
 * without a mistake count, and what the others forbid (see host_settings_parse()).
 *
 * 0 and -EINVAL: *ret is set, with -EINVAL errors tells the mistakes, and behind those of a file
 * what is used instead. -ENOMEM: *ret is untouched.
 */
int config_load_best(const char *root, const char *saved, struct host_settings *ret,
	struct settings_errors *errors);

/*
 * Reads the [X-Mendd] sections of a unit's own files: the fragment (NULL or "": none), then its
 * drop-ins (NULL-terminated, NULL: none) in the order that systemd gives. A file that is gone has
 * no section: systemd tells of the next state soon.
 *
 * 0: *ret is the rule, *ret_present whether there is a section or a mistake; ret_error is "".
 * -EINVAL: the first mistake is in ret_error, "FILE:LINE: what; hint", and in .values.error, so
 * that unit_settings_merge() hands it on to `mendctl status`. A file with a mistake is replaced as
 * config_load_best() does it; one that cannot be read and has no copy sets Heal=observe, because it
 * may have forbidden to heal. -ENOMEM: as -EINVAL, without words.
 */
int config_read_own_rule(const char *fragment_path, char *const *drop_in_paths, const char *saved,
	struct unit_rule *ret, bool *ret_present, char *ret_error, size_t error_size);

#define CONFIG_WRITTEN_DIR "/etc/mendd/mendd.conf.d"
#define CONFIG_WRITTEN_FILE "80-mendctl.conf"
#define CONFIG_WRITTEN CONFIG_WRITTEN_DIR "/" CONFIG_WRITTEN_FILE

/*
 * Writes Heal= of one unit into /etc/mendd/mendd.conf.d/80-mendctl.conf, atomically; sections of
 * other units there stay as they are. Takes effect at the next config_load(). -EINVAL: no unit's
 * name; -EBADMSG: that file is not readable as configuration, and is left as it is; -ENOSPC: it
 * would hold too many sections; or an error of the file system.
 */
int config_write_heal(const char *root, const char *unit, enum heal_mode mode);
