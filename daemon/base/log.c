/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's own log lines and the rate limit; see log.h. */
#include "log.h"

#include <stdarg.h>
#include <string.h>

static int max_level = LOG_INFO;

static const char *const level_words[] = { [LOG_EMERG] = "emerg",
	[LOG_ALERT] = "alert",
	[LOG_CRIT] = "crit",
	[LOG_ERR] = "err",
	[LOG_WARNING] = "warning",
	[LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug" };

const char *log_level_word(int level)
{
	return level >= 0 && level <= LOG_DEBUG ? level_words[level] : "unknown";
}

int log_level_parse(const char *s)
{
	for (int i = 0; i <= LOG_DEBUG; i++)
		if (strcmp(level_words[i], s) == 0)
			return i;
	return -EINVAL;
}

void log_set_level(int level)
{
	max_level = level;
}

int log_level(void)
{
	return max_level;
}

void log_line(int level, const char *format, ...)
{
	int saved = errno;
	char line[2048]; /* journald would split longer ones anyway (LineMax is 48 K, people read 2
			    K) */
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, format);
	errno = saved;
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (char *p = line; *p; p++)
		if (*p == '\n') /* one call is one line: a newline would forge a second one */
			*p = ' ';
	fprintf(stderr, "<%d>%s\n", level, line);
	errno = saved;
}

bool ratelimit_pass(struct ratelimit *r, uint64_t now_ns)
{
	if (r->begin_ns == 0 || now_ns >= r->begin_ns + r->interval_ns) {
		r->begin_ns = now_ns ? now_ns : 1;
		r->count = 0;
		r->dropped = 0;
	}
	if (r->count < r->burst) {
		r->count++;
		return true;
	}
	r->dropped++;
	return false;
}
