/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Splitting of command lines, and what an executable check printed; both pure, table by table. */
#include "../../daemon/edge/check_output.h"
#include "../../daemon/edge/command_line.h"
#include "loop.h"

#include "../../daemon/base/str.h"
#include "../../plugins/mendd-plugin.h"

#include <signal.h>
#include <sys/wait.h>

static void splits(void **state)
{
	static const struct {
		const char *line;
		const char *words[6];
	} cases[] = {
		{ "one", { "one" } },
		{ "  one\ttwo  three ", { "one", "two", "three" } },
		{ "check_disk -w 10% -c 5% /var",
			{ "check_disk", "-w", "10%", "-c", "5%", "/var" } },
		{ "a 'b c' \"d e\"", { "a", "b c", "d e" } },
		{ "a '' \"\" b", { "a", "", "", "b" } },
		{ "--text='it is \"so\"'", { "--text=it is \"so\"" } },
		{ "a\\ b c\\sd", { "a b", "c d" } },
		{ "'\\x41\\102\\t'", { "AB\t" } },
		{ "$HOME * | ;", { "$HOME", "*", "|", ";" } },
		{ "\"a\\\"b\"", { "a\"b" } },
		{ "a\nb", { "a", "b" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char **words = NULL;
		size_t n = 0;

		assert_int_equal(command_split(cases[i].line, &words), 0);
		for (; n < 6 && cases[i].words[n]; n++)
			assert_string_equal(words[n], cases[i].words[n]);
		assert_null(words[n]);
	}
}

static void refuses_to_split(void **state)
{
	static const struct {
		const char *line;
		int error;
	} cases[] = {
		{ "", -ENODATA },
		{ " \t ", -ENODATA },
		{ "a 'b", -EINVAL },
		{ "a \"b'", -EINVAL },
		{ "a \\", -EINVAL },
		{ "a \\q", -EINVAL },
		{ "a \\x4", -EINVAL },
		{ "a \\x00", -EINVAL }, /* would end the word */
		{ "a \\000", -EINVAL },
		{ "a \\400", -EINVAL },
	};
	char many[2 * (COMMAND_WORDS_MAX + 1) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char **words = NULL;

		assert_int_equal(command_split(cases[i].line, &words), cases[i].error);
		assert_null(words);
	}
	for (size_t i = 0; i <= COMMAND_WORDS_MAX; i++)
		memcpy(many + 2 * i, "x ", 3);
	{
		_cleanup_free_ char **words = NULL;

		assert_int_equal(command_split(many, &words), -E2BIG);
		many[2 * COMMAND_WORDS_MAX] = '\0';
		assert_int_equal(command_split(many, &words), 0);
		assert_null(words[COMMAND_WORDS_MAX]);
	}
}

static void finds(void **state)
{
	char path[256], small[4];

	assert_int_equal(command_find("sh", path, sizeof(path)), 0);
	assert_true(path[0] == '/' && str_has_suffix(path, "/sh"));
	assert_int_equal(command_find("/bin/sh", path, sizeof(path)), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(command_find("no-such-program", path, sizeof(path)), -ENOENT);
	assert_int_equal(command_find("/etc/passwd", path, sizeof(path)), -EACCES);
	assert_int_equal(command_find("/etc", path, sizeof(path)), -EACCES);
	assert_int_equal(command_find("./sh", path, sizeof(path)), -EINVAL);
	assert_int_equal(command_find("", path, sizeof(path)), -EINVAL);
	assert_int_equal(command_find("/bin/sh", small, sizeof(small)), -ENAMETOOLONG);
}

static void reads_output(void **state)
{
	static const struct {
		const char *output;
		int code, status;
		int expect;
		const char *text, *perfdata;
	} cases[] = {
		{ "DISK OK - free space\n", CLD_EXITED, 0, MEND_OK, "DISK OK - free space", "" },
		{ "bad | a=1s;2;3 b=4\nmore", CLD_EXITED, 2, MEND_CRITICAL, "bad", "a=1s;2;3 b=4" },
		{ "warn|", CLD_EXITED, 1, MEND_WARNING, "warn", "" },
		{ "?", CLD_EXITED, 3, MEND_UNKNOWN, "?", "" },
		{ "", CLD_EXITED, 2, MEND_CRITICAL, "no output, exit code 2", "" },
		{ "\n", CLD_EXITED, 0, MEND_OK, "no output, exit code 0", "" },
		{ "Usage: x", CLD_EXITED, 64, MEND_UNKNOWN,
			"the check exited with 64, which means nothing: Usage: x", "" },
		{ "", CLD_EXITED, 4, MEND_UNKNOWN, "the check exited with 4, which means nothing",
			"" },
		{ "OK", CLD_KILLED, SIGSEGV, MEND_UNKNOWN, "the check was killed by SIGSEGV", "" },
		{ "OK", CLD_DUMPED, SIGABRT, MEND_UNKNOWN, "the check was killed by SIGABRT", "" },
		{ "\x1b[31mred\x01\xff", CLD_EXITED, 0, MEND_OK, "[31mred ?", "" },
		{ "a\xc2\x9b"
		  "31mb",
			CLD_EXITED, 0, MEND_OK, "a 31mb", "" },
		{ "{\"status\":\"warning\",\"text\":\"hm\"}", CLD_EXITED, 0, MEND_WARNING, "hm",
			"" },
		{ "{\"status\":2,\"text\":\"no\",\"perfdata\":\"a=1\"}", CLD_EXITED, 0,
			MEND_CRITICAL, "no", "a=1" },
		{ "{\"status\":\"ok\"}", CLD_EXITED, 2, MEND_OK, "", "" },
		{ "{\"status\":\"fine\"}", CLD_EXITED, 0, MEND_UNKNOWN,
			"its JSON has no status ok, warning, critical or unknown", "" },
		{ "{\"status\":7}", CLD_EXITED, 0, MEND_UNKNOWN,
			"its JSON has no status ok, warning, critical or unknown", "" },
		{ "{\"status\":\"ok\"}", CLD_EXITED, 9, MEND_UNKNOWN,
			"the check exited with 9, which means nothing: {\"status\":\"ok\"}", "" },
	};
	struct check_output o;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_output_read(&o, cases[i].output, strlen(cases[i].output), cases[i].code,
			cases[i].status);
		assert_int_equal(o.status, cases[i].expect);
		assert_string_equal(o.text, cases[i].text);
		assert_string_equal(o.perfdata, cases[i].perfdata);
	}
	check_output_read(&o, "{ no", 4, CLD_EXITED, 0);
	assert_int_equal(o.status, MEND_UNKNOWN);
	assert_non_null(strstr(o.text, "begins like JSON and is none"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits),
		cmocka_unit_test(refuses_to_split),
		cmocka_unit_test(finds),
		cmocka_unit_test(reads_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
