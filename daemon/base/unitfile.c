/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See unitfile.h. Physical lines are gathered into one logical line in a buffer of bounded size,
 * which is then cut up in place. The rules of continuation and of comments are those of systemd's
 * own parser, so that a unit file means the same to both. Floor 0: nothing outside libc.
 */
#include "unitfile.h"
#include "str.h"

struct parser {
	const struct unitfile_handler *handler; /* borrowed */
	char *logical;                          /* owned; UNITFILE_LINE_MAX + 1 bytes */
	size_t len;
	unsigned int line;       /* of the physical line */
	unsigned int first_line; /* of the logical one */
	bool continued;
	char *section; /* owned; NULL before the first */
	bool skip;     /* behind a broken section line */
};

static void mistake(struct parser *p, unsigned int line, const char *what)
{
	p->handler->mistake(p->handler->userdata, p->section ? p->section : "", line, what);
}

static int on_section(struct parser *p, char *s)
{
	size_t n = strlen(s);
	bool closed = s[n - 1] == ']' && n >= 2;
	int r;

	if (closed)
		s[n - 1] = '\0';
	r = str_set(&p->section, str_trim(s + 1));
	if (r < 0)
		return r;
	p->skip = true;
	if (!closed) {
		mistake(p, p->first_line, "the section line does not end with ']'; close it");
		return 0;
	}
	if (!*p->section) {
		mistake(p, p->first_line, "the section has no name; write [Name]");
		return 0;
	}
	p->skip = false;
	return p->handler->entry(p->handler->userdata, p->section, NULL, NULL, p->first_line);
}

static int on_logical_line(struct parser *p)
{
	char *s, *equal;

	p->logical[p->len] = '\0';
	p->len = 0;
	p->continued = false;
	s = str_trim(p->logical);
	if (!*s)
		return 0;
	if (*s == '[')
		return on_section(p, s);
	if (p->skip)
		return 0;
	equal = strchr(s, '=');
	if (!equal) {
		mistake(p, p->first_line,
			"neither a [Section] nor a Key=Value line; comments begin with #");
		return 0;
	}
	*equal = '\0';
	s = str_trim(s);
	if (!*s) {
		mistake(p, p->first_line, "there is no key before the '='; write Key=Value");
		return 0;
	}
	if (!p->section) {
		mistake(p, p->first_line,
			"the key stands before the first section; write [Section] above it");
		return 0;
	}
	return p->handler->entry(
		p->handler->userdata, p->section, s, str_trim(equal + 1), p->first_line);
}

static bool is_comment(const char *s, size_t n)
{
	while (n > 0 && (*s == ' ' || *s == '\t'))
		s++, n--;
	return n > 0 && (*s == '#' || *s == ';');
}

/* Whether the line ends with a backslash that is not itself escaped. */
static bool goes_on(const char *s, size_t n)
{
	size_t backslashes = 0;

	while (backslashes < n && s[n - 1 - backslashes] == '\\')
		backslashes++;
	return backslashes % 2 == 1;
}

static int on_line(struct parser *p, const char *s, size_t n)
{
	p->line++;
	if (n > 0 && s[n - 1] == '\r')
		n--;
	if (memchr(s, '\0', n)) {
		mistake(p, p->line, "there is a NUL byte; this is not a text file");
		return -EBADMSG;
	}
	if (is_comment(s, n))
		return 0;
	if (!p->continued)
		p->first_line = p->line;
	if (n > UNITFILE_LINE_MAX - p->len) {
		mistake(p, p->first_line, "the line is longer than 64 KiB; split it");
		return -ENOBUFS;
	}
	memcpy(p->logical + p->len, s, n);
	p->len += n;
	p->continued = goes_on(s, n);
	if (!p->continued)
		return on_logical_line(p);
	p->logical[p->len - 1] = ' ';
	return 0;
}

int unitfile_parse(const char *text, size_t size, const struct unitfile_handler *handler)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	struct parser p = { .handler = handler };
	const char *end;
	int r = 0;

	if (size == 0) /* text may be NULL then */
		return 0;
	end = text + size;
	if (size > UNITFILE_SIZE_MAX) {
		mistake(&p, 1, "the file is larger than 1 MiB; split it");
		return -EFBIG;
	}
	p.logical = malloc(UNITFILE_LINE_MAX + 1);
	if (!p.logical)
		return -ENOMEM;
	if (size >= strlen(byte_order_mark) &&
		memcmp(text, byte_order_mark, strlen(byte_order_mark)) == 0)
		text += strlen(byte_order_mark);
	while (text < end && r >= 0) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;

		r = on_line(&p, text, (size_t)(stop - text));
		text = newline ? newline + 1 : end;
	}
	if (r >= 0 && p.continued) /* the file ends with a backslash */
		r = on_logical_line(&p);
	free(p.section);
	free(p.logical);
	return r < 0 ? r : 0;
}
