/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any string as a value of each kind: no overflow, results in range, untouched on failure. */
#include "fuzz.h"
#include "../../daemon/base/accept.h"
#include "../../daemon/base/parse.h"

#include <string.h>

enum { LONGEST = 4096 };

static void untouched_or_done(int r, bool touched)
{
	MUST(r == 0 || r == -EINVAL || r == -ERANGE || r == -E2BIG);
	MUST(r == 0 || !touched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t mark = UINT64_C(0x0123456789abcdef);
	uint64_t first = mark, last = mark;
	uint32_t number = 12345678;
	struct rate rates[2];
	size_t n = 99;
	char *s;
	int r;

	if (size > LONGEST)
		return 0;
	s = malloc(size + 1);
	MUST(s);
	memcpy(s, data, size);
	s[size] = '\0';
	r = parse_timespan(s, &first);
	untouched_or_done(r, first != mark);
	first = mark;
	r = parse_timespan_range(s, &first, &last);
	untouched_or_done(r, first != mark || last != mark);
	MUST(r < 0 || first <= last);
	first = mark;
	untouched_or_done(parse_size(s, &first), first != mark);
	r = parse_percent(s, &number);
	untouched_or_done(r, number != 12345678);
	MUST(r < 0 || number <= 10000);
	number = 12345678;
	untouched_or_done(parse_u32(s, &number), number != 12345678);
	r = parse_rates(s, rates, 2, &n);
	untouched_or_done(r, n != 99);
	MUST(r < 0 || (n >= 1 && n <= 2));
	r = accept_media(s, "text/plain", "0.0.4");
	MUST(r >= ACCEPT_NOT_NAMED && r <= ACCEPT_BEST);
	accept_gzip(s);
	free(s);
	return 0;
}
