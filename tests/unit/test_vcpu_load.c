/* SPDX-License-Identifier: GPL-2.0-only */
/* The budget's arithmetic, and the columns that hold tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../monitors/vcpu_budget.h"
#include "../../output/output.h"

static uint64_t sum(const uint64_t ns[NR_BUDGET])
{
	uint64_t total = 0;

	for (int i = 0; i < NR_BUDGET; i++)
		total += ns[i];
	return total;
}

static void test_open_states(void **state)
{
	static const struct {
		uint32_t state, off;
		uint64_t waking;
		enum budget first;
		uint64_t first_ns, steal_ns;
	} cases[] = {
		{ IN_GUEST, 0, 0, IN_GUEST, 1000, 0 },
		/* A wake-up of the past says nothing about who is running. */
		{ IN_KVM, 0, 5300, IN_KVM, 1000, 0 },
		{ IN_KVM, IN_STEAL, 0, IN_STEAL, 1000, 1000 },
		{ IN_KVM, IN_HALT, 0, IN_HALT, 1000, 0 },
		{ IN_KVM, IN_HALT, 4000, IN_HALT, 1000, 0 },
		/* Woken, and not on a CPU yet. */
		{ IN_KVM, IN_HALT, 5300, IN_HALT, 300, 700 },
		{ IN_KVM, IN_BLOCKED, 5999, IN_BLOCKED, 999, 1 },
		{ IN_VMM, IN_VMM, 5000, IN_VMM, 0, 1000 },
		/* Woken after the look. */
		{ IN_KVM, IN_HALT, 6001, IN_HALT, 1000, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct load_record r = { .since_ns = 5000,
					 .state = cases[i].state,
					 .off = cases[i].off,
					 .woken_ns = cases[i].waking };
		uint64_t ns[NR_BUDGET] = {};

		budget__close(ns, &r, 6000);
		assert_int_equal(ns[cases[i].first], cases[i].first_ns);
		assert_int_equal(ns[IN_STEAL], cases[i].steal_ns);
		assert_int_equal(sum(ns), 1000);
	}
}

static void test_split(void **state)
{
	struct kvm_split split = {};

	(void)state;
	budget__split(&split, 700, 200);
	assert_int_equal(split.kvm, 500);
	assert_int_equal(split.poll, 200);
	/* A poll of 1000 ends, of which 300 were told as KVM's at the look before. */
	budget__split(&split, 1400, 1200);
	assert_int_equal(split.kvm, 500);
	assert_int_equal(split.poll, 900);
	/* It gets them from what comes next, and nothing ever falls. */
	budget__split(&split, 1500, 1200);
	assert_int_equal(split.kvm, 500);
	assert_int_equal(split.poll, 1000);
	budget__split(&split, 2000, 1200);
	assert_int_equal(split.kvm, 800);
	assert_int_equal(split.poll, 1200);
	assert_int_equal(split.owed, 0);
}

static void test_only_grow(void **state)
{
	uint64_t told[NR_BUDGET] = { 100, 200, 300 }, ns[NR_BUDGET] = { 120, 195, 330 };

	(void)state;
	/* 5 ns of the second part were told too early: 50 more in all, less those. */
	budget__only_grow(ns, told);
	assert_int_equal(ns[0], 115);
	assert_int_equal(ns[1], 200);
	assert_int_equal(ns[2], 330);
}

static void test_cpu_list(void **state)
{
	uint64_t bits[CPU_WORDS] = {};
	char text[CPU_LIST_LEN];

	(void)state;
	assert_null(cpu_list__write(bits, text));
	bits[0] = 1 | 1 << 2 | 1 << 3 | 1ULL << 63;
	bits[1] = 3;
	bits[CPU_WORDS - 1] = 1ULL << 63;
	assert_string_equal(cpu_list__write(bits, text), "0,2-3,63-65,1023");
	memset(bits, 0xff, sizeof(bits));
	assert_string_equal(cpu_list__write(bits, text), "0-1023");
	memset(bits, 0x55, sizeof(bits));
	assert_true(strlen(cpu_list__write(bits, text)) < CPU_LIST_LEN);
}

struct task_row {
	struct row row;
	uint64_t ns;
};

static char *written(enum format format, unsigned int flags)
{
	static const struct column columns[] = {
		COLUMN(struct task_row, ns, "NS", COL_U64, ROLE_GAUGE),
		{},
	};
	static const struct view view = { .title = "T", .name = "T" };
	struct section section = { "m", columns, &view, 1, SCOPE_TOTAL, 1 };
	struct task_row row = { .row = { .ts_ns = 1, .vm = "v", .pid = 2 }, .ns = 345 };
	struct output *out;
	char *text = NULL;
	FILE *stream;
	size_t size;

	stream = open_memstream(&text, &size);
	out = output__new(format, stream, 0);
	output__begin(out, &section);
	output__row(out, &row.row, flags);
	output__end(out);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	fclose(stream);
	return text;
}

/* What only arranges another row anew is for people. */
static void test_row_again(void **state)
{
	char *text = written(FORMAT_JSON, ROW_AGAIN);

	(void)state;
	assert_string_equal(text ? text : "", "");
	free(text);
	text = written(FORMAT_TABLE, ROW_AGAIN);
	assert_non_null(strstr(text, "345"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_states), cmocka_unit_test(test_split),
		cmocka_unit_test(test_only_grow),   cmocka_unit_test(test_cpu_list),
		cmocka_unit_test(test_row_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
