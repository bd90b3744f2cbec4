/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any string as a command line: words that end, no more than there may be, nothing left on failure.
 */
#include "fuzz.h"
#include "../../daemon/edge/command_line.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char **words = NULL;
	size_t n = 0, total = 0;
	char *line;
	int r;

	if (size > 4096)
		return 0;
	line = malloc(size + 1);
	MUST(line);
	memcpy(line, data, size);
	line[size] = '\0';
	r = command_split(line, &words);
	MUST(r == 0 || r == -EINVAL || r == -E2BIG || r == -ENODATA);
	MUST((r == 0) == (words != NULL));
	for (; r == 0 && words[n]; n++)
		total += strlen(words[n]) + 1;
	MUST(r < 0 || (n > 0 && n <= COMMAND_WORDS_MAX));
	MUST(total <= size + 1);
	free(words);
	free(line);
	return 0;
}
