/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading a BPF object of which the kernel may refuse some programs; see bpf_load.h. */
#include "bpf_load.h"
#include "../base/log.h"
#include "../base/str.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdlib.h>

enum {
	/*
	 * Statistics, and with them the reason of a refusal. Without any level libbpf verifies a
	 * refused program a second time to get at that reason; with a higher one the log grows with
	 * the program, and libbpf tries again with larger buffers.
	 */
	LOG_STATS = 4,
	/* The statistics of one program take some hundred bytes. Older kernels (6.4) refuse a
	 * program whose log does not fit. */
	LOG_SIZE = 16384,
};

_printf_(2, 0) static int take_message(
	enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[512];

	/* The verifier's words are for those who ask for them: LogLevel=debug. */
	if (log_level() < LOG_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, ap);
	log_debug("libbpf: %s", line);
	return 0;
}

void bpf_load_log(void)
{
	libbpf_set_print(take_message);
}

/* Whether a line of the verifier's log is one of its statistics. */
static bool is_statistics(const char *line)
{
	return str_after_prefix(line, "verification time ") ||
	       str_after_prefix(line, "stack depth ") || str_after_prefix(line, "processed ");
}

/* The last line that says something, without its end. "": there is none. */
static void last_line(const char *log, char *ret, size_t size)
{
	ret[0] = 0;
	while (*log) {
		size_t n = strcspn(log, "\n");

		if (n && !is_statistics(log))
			snprintf(ret, size, "%.*s", (int)MIN(n, size - 1), log);
		log += n + (log[n] == '\n');
	}
}

static void describe(struct bpf_refusal *ret, const char *program, int error, const char *log)
{
	char line[BPF_WHY_SIZE - 64];

	last_line(log, line, sizeof(line));
	ret->error = error;
	snprintf(ret->why, sizeof(ret->why), "the kernel refuses the program %.15s: %s%s%s",
		program, strerror(-error), *line ? ": " : "", line);
}

/*
 * One attempt. *ret_refused is the program at which it ended, l->n where that is not known: the
 * kernel may refuse before the verifier has said a word, and libbpf loads one after the other.
 */
static int attempt(const struct bpf_loadable *l, const bool *wanted, char *logs,
	size_t *ret_refused, struct bpf_refusal *ret)
{
	int r = l->open(l->userdata, wanted);
	const char *log = "";

	*ret_refused = l->n;
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n; i++) {
		struct bpf_program *p = l->program(l->userdata, i);

		logs[i * LOG_SIZE] = 0;
		if (!wanted[i])
			continue;
		bpf_program__set_log_buf(p, logs + i * LOG_SIZE, LOG_SIZE);
		bpf_program__set_log_level(p, LOG_STATS);
	}
	r = l->load(l->userdata);
	if (r >= 0)
		return 0;
	/* Those before it have been loaded, and say so in their statistics too. */
	for (size_t i = 0; i < l->n; i++) {
		char line[BPF_WHY_SIZE];

		last_line(logs + i * LOG_SIZE, line, sizeof(line));
		if (wanted[i] && *line)
			*ret_refused = i;
	}
	if (*ret_refused < l->n)
		log = logs + *ret_refused * LOG_SIZE;
	else
		for (size_t i = 0, n = 0; i < l->n; i++) /* the only one, maybe */
			if (wanted[i] && n++ == 0)
				*ret_refused = i;
			else if (wanted[i])
				*ret_refused = l->n;
	if (*ret_refused < l->n)
		describe(ret, bpf_program__name(l->program(l->userdata, *ret_refused)), r, log);
	l->close(l->userdata);
	return r;
}

/* Which of them are refused, each alone: where a whole attempt did not tell. */
static int try_each(
	const struct bpf_loadable *l, bool *wanted, char *logs, struct bpf_refusal *refusals)
{
	_cleanup_free_ bool *alone = calloc(l->n, sizeof(*alone));
	size_t refused;
	int r;

	if (!alone)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		if (!wanted[i])
			continue;
		alone[i] = true;
		r = attempt(l, alone, logs, &refused, &refusals[i]);
		alone[i] = false;
		if (r >= 0) {
			l->close(l->userdata);
			continue;
		}
		if (l->is_required(i))
			return r;
		wanted[i] = false;
	}
	return 0;
}

int bpf_load(const struct bpf_loadable *l, bool *wanted, struct bpf_refusal *refusals)
{
	_cleanup_free_ char *logs = malloc(l->n * LOG_SIZE);
	bool tried = false;
	int r;

	if (!logs)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		refusals[i].error = 0;
	for (;;) {
		struct bpf_refusal refusal = {};
		size_t refused;

		r = attempt(l, wanted, logs, &refused, &refusal);
		if (r >= 0)
			return 0;
		if (refused < l->n) {
			refusals[refused] = refusal;
			wanted[refused] = false;
			if (l->is_required(refused))
				return r;
			continue;
		}
		if (tried)
			return r; /* it is the object, or the kernel has no memory */
		tried = true;
		r = try_each(l, wanted, logs, refusals);
		if (r < 0)
			return r;
	}
}
