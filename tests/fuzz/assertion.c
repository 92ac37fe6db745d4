// SPDX-License-Identifier: GPL-2.0-only
/* What a user asserts of a run. */
#include <stdlib.h>
#include <string.h>

#include "../../diagnose/assert.h"
#include "fuzz.h"

int fuzz_assertion(const uint8_t *data, size_t size)
{
	char *text = fuzz_text_of(data, size);
	struct assertion a;

	if (text && !assertion__parse(&a, text)) {
		check_ends(a.slice, sizeof(a.slice));
		check_ends(a.class, sizeof(a.class));
		check_ends(a.reason, sizeof(a.reason));
		check_ends(a.table, sizeof(a.table));
		check_ends(a.column, sizeof(a.column));
		check_ends(a.vm, sizeof(a.vm));
		if (a.nr_labels > sizeof(a.labels) / sizeof(*a.labels) || a.agg >= NR_AGG)
			abort();
		assertion__is_time(&a);
		assertion__is_share(&a);
	}
	free(text);
	return 0;
}
