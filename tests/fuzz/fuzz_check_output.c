/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whatever an executable check may print: the verdict is one of four, its texts are clean lines.
 * The first byte says how it ended. */
#include "fuzz.h"
#include "../../daemon/base/str.h"
#include "../../daemon/edge/check_output.h"
#include "../../plugins/mendd-plugin.h"

#include <signal.h>

static void clean_line(const char *s, size_t size)
{
	MUST(memchr(s, '\0', size));
	for (const unsigned char *p = (const unsigned char *)s; *p;) {
		size_t n = str_utf8_length((const char *)p);

		MUST(*p >= 0x20 && *p != 0x7f);
		MUST(n > 0);
		p += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check_output o;
	char *output;
	int end;

	if (size == 0 || size > 4097) /* CHECK_OUTPUT_MAX, and the first byte */
		return 0;
	end = data[0];
	output = malloc(size);
	MUST(output);
	memcpy(output, data + 1, size - 1);
	output[size - 1] = '\0';
	check_output_read(&o, output, size - 1, end < 128 ? CLD_EXITED : CLD_KILLED, end % 128);
	MUST(o.status >= MEND_OK && o.status <= MEND_UNKNOWN);
	MUST(end <= MEND_UNKNOWN || o.status == MEND_UNKNOWN);
	clean_line(o.text, sizeof(o.text));
	clean_line(o.perfdata, sizeof(o.perfdata));
	free(output);
	return 0;
}
