/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mendctl check-config: the daemon's own parser judges, so what is right here is right there. Files
 * are read here, with the rights of whoever asks, and sent as text.
 */
#include "ctl.h"

/* As much as the daemon takes; see API_CONFIG_MAX. */
#define FILE_MAX ((size_t)256 * 1024)

static int read_file(const char *path, struct strbuf *ret)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char buf[4096];
	size_t n;

	if (!f)
		return -errno;
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		strbuf_add_mem(ret, buf, n);
	if (ferror(f))
		return -EIO;
	if (ret->error)
		return ret->error;
	/* The bus carries text only. */
	return strlen(strbuf_text(ret)) == ret->len ? 0 : -EINVAL;
}

static int report(struct ctl *c, const char *name, sd_bus_message *m, json_t *all)
{
	const char *mistakes;

	if (sd_bus_message_read(m, "s", &mistakes) < 0)
		return EXIT_UNHEALTHY;
	if (all) {
		json_array_append_new(
			all, json_pack("{ss ss}", "file", name, "mistakes", mistakes));
	} else if (*mistakes) {
		_cleanup_free_ char *copy = strdup(mistakes);
		char *cursor = copy, *line;

		while (cursor && (line = strsep(&cursor, "\n")))
			if (*line)
				complain("%s", line);
	} else if (!c->quiet) {
		put_clean(stdout, name);
		puts(": no mistakes");
	}
	return *mistakes ? EXIT_UNHEALTHY : EXIT_HEALTHY;
}

static int check_file(struct ctl *c, const char *path, json_t *all)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_strbuf_ struct strbuf text = { .cap = FILE_MAX + 1 };
	int r;

	r = read_file(path, &text);
	if (r < 0) {
		complain("Cannot read %s: %s", path, strerror(-r));
		return EXIT_UNHEALTHY;
	}
	r = bus_call(
		c, &m, BUS_PATH, BUS_MANAGER, "VerifyConfigText", "ss", path, strbuf_text(&text));
	return r != 0 ? r : report(c, path, m, all);
}

int verb_check_config(struct ctl *c, int argc, char **argv)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	json_t *all = c->json != JSON_OFF ? json_array() : NULL;
	int worst = 0, r;

	if (argc == 0) {
		worst = bus_call(c, &m, BUS_PATH, BUS_MANAGER, "VerifyConfig", "");
		if (worst == 0)
			worst = report(c, "The installed configuration", m, all);
	}
	for (int i = 0; i < argc; i++) {
		r = check_file(c, argv[i], all);
		worst = MAX(worst, r);
		if (r == EXIT_NO_DAEMON)
			break; /* the next file would only say so again */
	}
	if (worst == EXIT_NO_DAEMON)
		complain("Without it, 'mendd --check-config' looks at the installed files.");
	else if (all)
		print_json(c, all);
	json_decref(all);
	return worst;
}
