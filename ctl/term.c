/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal: colour, the pager, and text of strangers made harmless. */
#include "ctl.h"

#include <fcntl.h>
#include <langinfo.h>
#include <signal.h>
#include <sys/wait.h>

static pid_t pager_pid;

void term_init(struct ctl *c)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	/* NO_COLOR counts when it is set and not empty (no-color.org). */
	c->color = isatty(STDOUT_FILENO) && str_is_empty(no_color) && !str_is_empty(term) &&
		   !str_eq(term, "dumb");
}

/* The pager's command line; NULL: none wanted. As systemctl does. */
static const char *pager_command(void)
{
	static const char *const variables[] = { "SYSTEMD_PAGER", "PAGER" };

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *s = getenv(variables[i]);

		if (s)
			return *s && !str_eq(s, "cat") ? s : NULL;
	}
	return "less";
}

void pager_open(struct ctl *c)
{
	const char *command = pager_command(), *less = getenv("SYSTEMD_LESS");
	int fds[2];

	if (pager_pid > 0 || !c->use_pager || c->json != JSON_OFF || !command ||
		!isatty(STDOUT_FILENO) || str_eq(getenv("TERM"), "dumb"))
		return;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	fflush(stdout);
	pager_pid = fork();
	if (pager_pid == 0) {
		dup2(fds[0], STDIN_FILENO);
		/* F: leave where one screen is enough; R: colours; S: cut long lines; K: Ctrl+C
		   ends it; X: leave the text on the screen. */
		setenv("LESS", less ? less : "FRSXMK", 1);
		/* It may run as root: no shell and no editor from within. */
		setenv("LESSSECURE", "1", 1);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pager_pid > 0)
		dup2(fds[1], STDOUT_FILENO);
	close(fds[0]);
	close(fds[1]);
	signal(SIGPIPE, SIG_IGN);
}

bool pager_is_open(void)
{
	return pager_pid > 0;
}

void pager_close(void)
{
	if (pager_pid <= 0)
		return;
	fclose(stdout);
	while (waitpid(pager_pid, NULL, 0) < 0 && errno == EINTR)
		;
	pager_pid = 0;
}

const char *color_on(const struct ctl *c, enum color color)
{
	static const char *const codes[] = {
		[COLOR_NONE] = "",
		[COLOR_GOOD] = "\033[0;1;32m",
		[COLOR_BAD] = "\033[0;1;31m",
		[COLOR_WARN] = "\033[0;1;33m",
		[COLOR_DIM] = "\033[0;90m",
		[COLOR_BOLD] = "\033[0;1;39m",
	};

	return c->color ? codes[color] : "";
}

const char *color_off(const struct ctl *c, enum color color)
{
	return c->color && color != COLOR_NONE ? "\033[0m" : "";
}

enum color health_color(const char *health)
{
	if (str_eq(health, "healthy"))
		return COLOR_GOOD;
	if (str_eq(health, "unhealthy"))
		return COLOR_BAD;
	return str_eq(health, "unknown") ? COLOR_WARN : COLOR_DIM;
}

void put_clean(FILE *f, const char *s)
{
	_cleanup_strbuf_ struct strbuf b = {};

	if (!s) /* an answer of another form than expected */
		return;
	strbuf_add_clean(&b, s);
	fputs(strbuf_text(&b), f);
}

void put_colored(const struct ctl *c, enum color color, const char *s)
{
	fputs(color_on(c, color), stdout);
	put_clean(stdout, s);
	fputs(color_off(c, color), stdout);
}

const char *bullet(void)
{
	return str_eq(nl_langinfo(CODESET), "UTF-8") ? "●" : "*";
}

/* Each line by itself: a line feed is no control character that could harm here. */
static void put_lines(FILE *f, const char *s)
{
	do {
		size_t n = strcspn(s, "\n");
		_cleanup_strbuf_ struct strbuf line = {};

		strbuf_add_mem(&line, s, n);
		put_clean(f, strbuf_text(&line));
		fputc('\n', f);
		s += n + (s[n] == '\n');
	} while (*s);
}

void complain(const char *format, ...)
{
	_cleanup_strbuf_ struct strbuf b = {};
	va_list ap;

	va_start(ap, format);
	strbuf_addv(&b, format, ap);
	va_end(ap);
	fflush(stdout);
	put_lines(stderr, strbuf_text(&b));
}
