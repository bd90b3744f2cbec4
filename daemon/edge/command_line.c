/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Splitting and finding; see command_line.h. */
#include "command_line.h"

#include "../base/str.h"

#include <sys/stat.h>

/* Value of an octal or hexadecimal escape of exactly n digits, -1: it is not one. NUL is refused:
 * no argument can contain it. */
static int number(const char *s, int n, int base)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		int d = s[i] >= '0' && s[i] <= '9'   ? s[i] - '0'
			: s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10
			: s[i] >= 'A' && s[i] <= 'F' ? s[i] - 'A' + 10
						     : base;

		if (d >= base)
			return -1;
		v = v * base + d;
	}
	return v > 0 && v < 256 ? v : -1;
}

/* Reads the escape behind a backslash; the number of characters read, -EINVAL: there is no such. */
static int unescape(const char *s, char *ret)
{
	static const char from[] = "abfnrtvs\\\"' ", to[] = "\a\b\f\n\r\t\v \\\"' ";
	const char *at = *s ? strchr(from, *s) : NULL;
	int v;

	if (at) {
		*ret = to[at - from];
		return 1;
	}
	if (*s == 'x') {
		v = number(s + 1, 2, 16);
		*ret = (char)v;
		return v < 0 ? -EINVAL : 3;
	}
	v = number(s, 3, 8);
	*ret = (char)v;
	return v < 0 ? -EINVAL : 3;
}

int command_split(const char *line, char ***ret)
{
	_cleanup_free_ char **words = NULL;
	size_t n = 0, room = (COMMAND_WORDS_MAX + 1) * sizeof(char *);
	char *out;

	/* No word is longer than what it is written as, and each has white space behind it. */
	words = calloc(1, room + strlen(line) + 1);
	if (!words)
		return -ENOMEM;
	out = (char *)words + room;
	for (;;) {
		char quote = '\0';

		line += strspn(line, " \t\n\r");
		if (!*line)
			break;
		if (n == COMMAND_WORDS_MAX)
			return -E2BIG;
		words[n++] = out;
		for (; *line && (quote || !strchr(" \t\n\r", *line)); line++) {
			if (quote ? *line == quote : *line == '"' || *line == '\'') {
				quote = quote ? '\0' : *line;
			} else if (*line == '\\') {
				int r = unescape(line + 1, out++);

				if (r < 0)
					return r;
				line += r;
			} else {
				*out++ = *line;
			}
		}
		if (quote)
			return -EINVAL;
		*out++ = '\0';
	}
	if (n == 0)
		return -ENODATA;
	*ret = TAKE_PTR(words);
	return 0;
}

static int is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -EACCES;
	return 0;
}

int command_find(const char *word, char *ret, size_t size)
{
	/* Where distributions put the monitoring-plugins first, as Check=check_disk … means them.
	 */
	static const char *const folders[] = {
		"/usr/local/lib/nagios/plugins",
		"/usr/lib/nagios/plugins",
		"/usr/lib64/nagios/plugins",
		"/usr/lib/monitoring-plugins",
		"/usr/local/bin",
		"/usr/bin",
		"/usr/local/sbin",
		"/usr/sbin",
		"/bin",
	};
	int found = -ENOENT;

	if (word[0] == '/')
		return str_copy(ret, size, word) ? is_program(word) : -ENAMETOOLONG;
	if (strchr(word, '/') || !*word)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		int r;

		if ((size_t)snprintf(ret, size, "%s/%s", folders[i], word) >= size)
			return -ENAMETOOLONG;
		r = is_program(ret);
		if (r >= 0)
			return 0;
		if (r != -ENOENT)
			found = r;
	}
	return found;
}
