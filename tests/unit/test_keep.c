// SPDX-License-Identifier: GPL-2.0-only
/* core/keep.c: the longest of each VM, as copies, and no more of them than there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/keep.h"
#include "../../core/monitor.h"

struct event_row {
	struct row row;
	uint64_t ns;
	const char *what;
	const char *other; /* of another view: not copied */
	const char *const *words;
};

#define COL(...) COLUMN(struct event_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(ns, "TIME", COL_NSEC, ROLE_GAUGE, .help = "how long"),
	COL(what, "WHAT", COL_STRING, ROLE_LABEL, .views = 1 << 1, .help = "what"),
	COL(other, "OTHER", COL_STRING, ROLE_LABEL, .views = 1 << 0, .help = "of another view"),
	COL(words, "WORDS", COL_STRINGS, ROLE_LABEL, .views = 1 << 1, .help = "words"),
	{},
};

static const struct monitor monitor = {
	.name = "test",
	.columns = columns,
	.row_size = sizeof(struct event_row),
	.event_ns_at = offsetof(struct event_row, ns),
};

/* From buffers that are gone by the time it is looked at. */
static void put(struct keep *k, uint64_t vm_nr, uint64_t ns, const char *what)
{
	char vm[16], text[16];
	const char *const words[] = { text, vm, NULL };
	struct event_row row = { .row = { .vm = vm, .vm_nr = vm_nr },
				 .ns = ns,
				 .what = text,
				 .other = (const char *)1,
				 .words = words };

	snprintf(vm, sizeof(vm), "vm%d", (int)vm_nr);
	snprintf(text, sizeof(text), "%s", what);
	keep__row(k, &row.row);
	memset(vm, 'x', sizeof(vm));
	memset(text, 'x', sizeof(text));
}

static const struct event_row *get(struct keep *k, size_t i)
{
	return (const struct event_row *)keep__get(k, i);
}

static void expect(struct keep *k, size_t i, const char *vm, uint64_t ns, const char *what)
{
	const struct event_row *row = get(k, i);

	assert_non_null(row);
	assert_string_equal(row->row.vm, vm);
	assert_int_equal(row->ns, ns);
	assert_string_equal(row->what, what);
	assert_string_equal(row->words[0], what);
	assert_string_equal(row->words[1], vm);
	assert_null(row->words[2]);
}

static void test_longest(void **state)
{
	struct keep *k = keep__new(&monitor, 1, 3);

	(void)state;
	assert_non_null(k);
	assert_null(get(k, 0));
	put(k, 1, 50, "b");
	put(k, 1, 10, "gone");
	put(k, 2, 7, "alone");
	put(k, 1, 90, "a");
	put(k, 1, 50, "c");
	/* As long as the last one, which was first; and longer. */
	put(k, 1, 50, "late");
	put(k, 1, 60, "between");
	expect(k, 0, "vm1", 90, "a");
	expect(k, 1, "vm1", 60, "between");
	expect(k, 2, "vm1", 50, "b");
	expect(k, 3, "vm2", 7, "alone");
	assert_null(get(k, 4));
	assert_int_equal(keep__given_up(k), 0);
	keep__free(k);
}

static void test_many_vms(void **state)
{
	struct keep *k = keep__new(&monitor, 1, 2);
	size_t nr = 0;
	bool has_long = false;

	(void)state;
	put(k, 1, 1000000, "long");
	for (int vm = 2; vm <= 10 * KEEP_MOST_VMS; vm++) {
		put(k, vm, 10 + vm, "x");
		put(k, vm, 5, "y");
	}
	while (get(k, nr)) {
		has_long |= get(k, nr)->ns == 1000000;
		nr++;
	}
	assert_true(has_long);
	assert_int_equal(nr, 2 * KEEP_MOST_VMS - 1);
	assert_int_equal(keep__given_up(k), 9 * KEEP_MOST_VMS);
	keep__free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_many_vms),
	};

	keep__free(NULL);
	return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
