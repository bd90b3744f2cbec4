/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitoring-plugins' convention and the JSON mode; see check_output.h. */
#include "check_output.h"

#include "../base/str.h"
#include "../../plugins/mendd-plugin.h"

#include <jansson.h>
#include <signal.h>

static int status_of_json(const json_t *v)
{
	static const char *const words[] = { "ok", "warning", "critical", "unknown" };

	if (json_is_integer(v) && json_integer_value(v) >= MEND_OK &&
		json_integer_value(v) <= MEND_UNKNOWN)
		return (int)json_integer_value(v);
	for (int i = 0; json_is_string(v) && i < (int)ARRAY_SIZE(words); i++)
		if (str_eq(json_string_value(v), words[i]))
			return i;
	return -EINVAL;
}

static void read_json(struct check_output *o, const char *output, size_t n)
{
	json_error_t error;
	json_t *root = json_loadb(output, n, JSON_REJECT_DUPLICATES, &error);
	const char *text, *perfdata;
	char why[JSON_ERROR_TEXT_LENGTH + 64];
	int status;

	if (!root) {
		o->status = MEND_UNKNOWN;
		/* The error quotes what it stumbled over. */
		snprintf(why, sizeof(why), "it begins like JSON and is none: %s", error.text);
		str_copy_clean(o->text, sizeof(o->text), why);
		return;
	}
	status = status_of_json(json_object_get(root, "status"));
	text = json_string_value(json_object_get(root, "text"));
	perfdata = json_string_value(json_object_get(root, "perfdata"));
	o->status = status < 0 ? MEND_UNKNOWN : status;
	if (status < 0)
		str_copy(o->text, sizeof(o->text),
			"its JSON has no status ok, warning, critical or unknown");
	else
		str_copy_clean(o->text, sizeof(o->text), text);
	str_copy_clean(o->perfdata, sizeof(o->perfdata), perfdata);
	json_decref(root);
}

static void read_line(struct check_output *o, const char *output)
{
	char line[2048];
	char *bar;

	str_copy_clean(line, sizeof(line), output);
	bar = strchr(line, '|');
	if (bar) {
		*bar = '\0';
		str_copy_clean(o->perfdata, sizeof(o->perfdata), str_trim(bar + 1));
	}
	str_copy_clean(o->text, sizeof(o->text), str_trim(line));
}

void check_output_read(struct check_output *o, const char *output, size_t n, int code, int status)
{
	*o = (struct check_output) { .status = MEND_UNKNOWN };
	if (code != CLD_EXITED) {
		const char *abbreviation = sigabbrev_np(status);

		snprintf(o->text, sizeof(o->text), "the check was killed by SIG%s",
			abbreviation ? abbreviation : "RT");
		return;
	}
	if (status > MEND_UNKNOWN) {
		char line[256];

		str_copy_clean(line, sizeof(line), output);
		snprintf(o->text, sizeof(o->text),
			"the check exited with %d, which means nothing%s%s", status,
			*line ? ": " : "", line);
		return;
	}
	if (output[0] == '{') {
		read_json(o, output, n);
		return;
	}
	o->status = status;
	read_line(o, output);
	if (!*o->text)
		snprintf(o->text, sizeof(o->text), "no output, exit code %d", status);
}
