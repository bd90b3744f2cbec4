/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/base/unitfile.c: what is reported for a text, written down as one string per text. */
#include "cmocka_all.h"
#include "../../daemon/base/str.h"
#include "../../daemon/base/unitfile.h"

/* Everything the parser says, one line each: "3 [Unit] Key=Value", "1 [Unit]", "2! what". */
static int note_entry(
	void *userdata, const char *section, const char *key, const char *value, unsigned int line)
{
	if (key)
		strbuf_addf(userdata, "%u [%s] %s=%s\n", line, section, key, value);
	else
		strbuf_addf(userdata, "%u [%s]\n", line, section);
	return 0;
}

static void note_mistake(void *userdata, const char *section, unsigned int line, const char *what)
{
	strbuf_addf(userdata, "%u! [%s] %.*s\n", line, section, (int)strcspn(what, ";"), what);
}

static int parse(struct strbuf *said, const char *text, size_t size)
{
	const struct unitfile_handler handler = {
		.userdata = said,
		.entry = note_entry,
		.mistake = note_mistake,
	};

	return unitfile_parse(text, size, &handler);
}

static void forms(void **state)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		{ "", "" },
		{ "\n\n", "" },
		{ "[A]", "1 [A]\n" },
		{ "[A]\nk=v\n", "1 [A]\n2 [A] k=v\n" },
		{ "[A]\nk=v", "1 [A]\n2 [A] k=v\n" },
		{ " [A] \n  k  =  v w  \n", "1 [A]\n2 [A] k=v w\n" },
		{ "[ A ]\n", "1 [A]\n" },
		{ "[Unit foo@bar.service]\n", "1 [Unit foo@bar.service]\n" },
		{ "[A]\nk=\n", "1 [A]\n2 [A] k=\n" },
		{ "[A]\nk=a=b\n", "1 [A]\n2 [A] k=a=b\n" },
		{ "[A]\nk=\"q\" 'r'\n", "1 [A]\n2 [A] k=\"q\" 'r'\n" },
		{ "[A]\nk=1\nk=2\n[B]\n[A]\nk=3\n",
			"1 [A]\n2 [A] k=1\n3 [A] k=2\n4 [B]\n5 [A]\n6 [A] k=3\n" },
		{ "# c\n; c\n[A]\n # c\n\t; c\nk=v # no comment\n",
			"3 [A]\n6 [A] k=v # no comment\n" },
		{ "[A]\r\nk=v\r\n", "1 [A]\n2 [A] k=v\n" },
		{ "\xef\xbb\xbf[A]\n", "1 [A]\n" },
		/* continuation */
		{ "[A]\nk=a \\\nb\n", "1 [A]\n2 [A] k=a  b\n" },
		{ "[A]\nk=a\\\n  b\\\n  c\nl=d\n", "1 [A]\n2 [A] k=a   b   c\n5 [A] l=d\n" },
		{ "[A]\nk=a\\\r\nb\r\n", "1 [A]\n2 [A] k=a b\n" },
		{ "[A]\nk=a\\\n# comment\n; and \\\nb\n", "1 [A]\n2 [A] k=a b\n" },
		{ "[A]\nk=a\\\n\nl=b\n", "1 [A]\n2 [A] k=a\n4 [A] l=b\n" },
		{ "[A]\nk=a\\\\\nl=b\n", "1 [A]\n2 [A] k=a\\\\\n3 [A] l=b\n" },
		{ "[A]\nk=a\\\\\\\nb\n", "1 [A]\n2 [A] k=a\\\\ b\n" },
		{ "[A]\nk=a\\", "1 [A]\n2 [A] k=a\n" },
		{ "[A]\n\\\nk=v\n", "1 [A]\n2 [A] k=v\n" },
		/* a comment is not continued */
		{ "[A]\n# c \\\nk=v\n", "1 [A]\n3 [A] k=v\n" },
		/* mistakes, and going on behind them */
		{ "k=v\n[A]\nl=w\n",
			"1! [] the key stands before the first section\n2 [A]\n3 [A] l=w\n" },
		{ "[A]\nnonsense\nk=v\n",
			"1 [A]\n2! [A] neither a [Section] nor a Key=Value line\n3 [A] k=v\n" },
		{ "[A]\n=v\nk=v\n", "1 [A]\n2! [A] there is no key before the '='\n3 [A] k=v\n" },
		{ "[A\nk=v\n[B]\nl=w\n",
			"1! [A] the section line does not end with ']'\n3 [B]\n4 [B] l=w\n" },
		{ "[\n", "1! [] the section line does not end with ']'\n" },
		{ "[]\nk=v\n", "1! [] the section has no name\n" },
		{ "[ ]\nk=v\n", "1! [] the section has no name\n" },
		{ "[A] x\n", "1! [A] x] the section line does not end with ']'\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_strbuf_ struct strbuf said = {};

		CHECK_ROW(parse(&said, rows[i].text, strlen(rows[i].text)) == 0, rows[i].text);
		if (!str_eq(strbuf_text(&said), rows[i].said))
			print_error("said:\n%s", strbuf_text(&said));
		CHECK_ROW(str_eq(strbuf_text(&said), rows[i].said), rows[i].text);
	}
}

static void nul_byte(void **state)
{
	static const char text[] = "[A]\nk=v\nl=\0w\nm=x\n";
	_cleanup_strbuf_ struct strbuf said = {};

	assert_int_equal(parse(&said, text, sizeof(text) - 1), -EBADMSG);
	assert_string_equal(strbuf_text(&said), "1 [A]\n2 [A] k=v\n3! [A] there is a NUL byte\n");
}

static void long_lines(void **state)
{
	_cleanup_strbuf_ struct strbuf text = {}, said = {};

	/* The longest line allowed … */
	strbuf_add(&text, "[A]\nk=");
	for (size_t i = 0; i < UNITFILE_LINE_MAX - 2; i++)
		strbuf_add(&text, "v");
	strbuf_add(&text, "\n");
	assert_int_equal(parse(&said, text.data, text.len), 0);
	strbuf_reset(&said);
	/* … one byte more … */
	text.data[text.len - 1] = 'v';
	strbuf_add(&text, "\n");
	assert_int_equal(parse(&said, text.data, text.len), -ENOBUFS);
	assert_string_equal(strbuf_text(&said), "1 [A]\n2! [A] the line is longer than 64 KiB\n");
	strbuf_reset(&said);
	/* … and the same by continuation, told with the line where it begins. */
	strbuf_reset(&text);
	strbuf_add(&text, "[A]\nk=\\\n");
	for (size_t i = 0; i < UNITFILE_LINE_MAX / 32 + 1; i++)
		strbuf_add(&text, "01234567890123456789012345678901\\\n");
	assert_int_equal(parse(&said, text.data, text.len), -ENOBUFS);
	assert_string_equal(strbuf_text(&said), "1 [A]\n2! [A] the line is longer than 64 KiB\n");
}

static void large_files(void **state)
{
	_cleanup_strbuf_ struct strbuf text = {}, said = {};

	while (text.len < UNITFILE_SIZE_MAX)
		strbuf_add(&text, "# 3456789abcdef\n");
	assert_int_equal(text.len, UNITFILE_SIZE_MAX);
	assert_int_equal(parse(&said, text.data, text.len), 0);
	assert_string_equal(strbuf_text(&said), "");
	strbuf_add(&text, "\n");
	assert_int_equal(parse(&said, text.data, text.len), -EFBIG);
	assert_string_equal(strbuf_text(&said), "1! [] the file is larger than 1 MiB\n");
}

static int stop_at_entry(
	void *userdata, const char *section, const char *key, const char *value, unsigned int line)
{
	++*(int *)userdata;
	return -ECANCELED;
}

static void stopping(void **state)
{
	static const char text[] = "[A]\n[B]\n";
	int calls = 0;
	const struct unitfile_handler handler = {
		.userdata = &calls,
		.entry = stop_at_entry,
		.mistake = note_mistake,
	};

	assert_int_equal(unitfile_parse(text, strlen(text), &handler), -ECANCELED);
	assert_int_equal(calls, 1);
	assert_int_equal(unitfile_parse(NULL, 0, &handler), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(nul_byte),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(large_files),
		cmocka_unit_test(stopping),
	};

	return cmocka_run_group_tests_name("unitfile", tests, NULL, NULL);
}
