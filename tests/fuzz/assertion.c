// SPDX-License-Identifier: GPL-2.0-only
/* What a user asserts of a run. */
#include <stdlib.h>
#include <string.h>

#include "../../core/clock.h"
#include "../../diagnose/assert.h"
#include "fuzz.h"

static void add_window(struct facts *f, bool total, uint64_t since_s, uint64_t now_s)
{
	struct fact *fact;

	facts__begin(f, total, since_s * NSEC_PER_SEC, now_s * NSEC_PER_SEC);
	fact = facts__add(f, "VCPU_LOAD", "web", "1.1.1", 1, 2, 0);
	fact__number(f, fact, "wall_ns", (now_s - since_s) * 1e9);
	fact__number(f, fact, "steal_ns", 1e8);
	fact = facts__add(f, "KVM_EXIT", "web", "1.1.1", 1, 2, 0);
	fact__text(f, fact, "reason", "IO_INSTRUCTION");
	fact__text(f, fact, "class", "io");
	fact__number(f, fact, "count", 1000);
	fact__number(f, fact, "total_ns", 1e8);
	fact__number(f, fact, "p99_ns", 2e5);
}

/* Of two parts, with one VM. */
static void judge(struct assertion *a)
{
	struct facts f;

	facts__init(&f);
	facts__add_monitor(&f, "vcpu_load", false);
	facts__add_monitor(&f, "vm_exit", false);
	add_window(&f, false, 10, 13);
	add_window(&f, false, 13, 16);
	add_window(&f, true, 10, 16);
	facts__sort(&f);
	assertion__judge(a, &f);
	facts__free(&f);
}

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
		judge(&a);
		/* It is one of the three. */
		if (!assertion_state__name(a.state))
			abort();
		assertion__is_time(&a);
		assertion__is_share(&a);
	}
	free(text);
	return 0;
}
