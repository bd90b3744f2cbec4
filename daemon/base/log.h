/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's own log: one line to standard error with systemd's "<N>" priority prefix, which
 * journald strips and understands. What happens to *units* is not logged here; it goes through the
 * sinks. Floors 0 to 2 do not log: they return errors and the caller on floor 3 or 4 says them.
 */
#pragma once

#include "macros.h"

#include <syslog.h>

/* Lines above this syslog level are dropped. Owned by LogControl1 and the configuration. */
void log_set_level(int level);
int log_level(void);
/* "emerg" … "debug", as syslog and systemd have them; the level for such a word, or -EINVAL. */
const char *log_level_word(int level);
int log_level_parse(const char *s);

void log_line(int level, const char *format, ...) _printf_(2, 3);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)

/* Logs and hands the error on: return log_error_errno(r, "cannot open %s", path). error is
 * negative. */
#define log_error_errno(error, format, ...)                      \
	({                                                       \
		int _e = (error);                                \
		errno = -_e;                                     \
		log_line(LOG_ERR, format ": %m", ##__VA_ARGS__); \
		_e;                                              \
	})
#define log_warning_errno(error, format, ...)                        \
	({                                                           \
		int _e = (error);                                    \
		errno = -_e;                                         \
		log_line(LOG_WARNING, format ": %m", ##__VA_ARGS__); \
		_e;                                                  \
	})

/*
 * Rate limit: at most `burst` events per `interval_ns`. Pure: time is a parameter. Suppressed
 * events are counted in .dropped until the next one that passes.
 */
struct ratelimit {
	uint64_t interval_ns;
	uint32_t burst;
	uint64_t begin_ns;
	uint32_t count;
	uint64_t dropped;
};

bool ratelimit_pass(struct ratelimit *r, uint64_t now_ns);
