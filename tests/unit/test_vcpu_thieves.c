// SPDX-License-Identifier: GPL-2.0-only
/* The thieves of vCPUs: each sink's window, vCPUs that end and come again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../monitors/vcpu_thieves.h"

static void note(struct thieves *t, uint32_t slot, uint32_t pid, uint64_t ns)
{
	struct thief thief = { .ns = ns, .pid = pid, .comm = "task" };

	thieves__note(t, slot, &thief);
}

/* "pid=ns ..." */
static void check(struct thieves *t, uint32_t tid, size_t sink, enum scope scope, const char *want)
{
	struct row row = { .vm_nr = 1, .pid = 10, .tid = tid };
	struct task_time top[TOP_THIEVES + 1];
	char text[200] = "";

	thieves__top(t, &row, sink, scope, top);
	for (const struct task_time *task = top; task->comm; task++) {
		assert_string_equal(task->comm, "task");
		sprintf(text + strlen(text), "%u=%llu ", task->pid, (unsigned long long)task->ns);
	}
	assert_string_equal(text, want);
}

static void begin(struct thieves *t, uint32_t slot, uint32_t tid)
{
	struct row row = { .vm_nr = 1, .vm = "gone soon", .pid = 10, .tid = tid };

	thieves__begin(t, slot, &row);
	thieves__begin(t, slot, &row);
}

static void test_windows(void **state)
{
	struct thieves *t = thieves__new(8, 2, 4);

	(void)state;
	begin(t, 1, 100);
	note(t, 1, 1, 50);
	note(t, 1, 2, 70);
	note(t, 1, 3, 10);
	note(t, 1, 4, 20);
	note(t, 2, 5, 99);
	note(t, 99, 5, 99);
	check(t, 100, 0, SCOPE_INTERVAL, "2=70 1=50 4=20 ");
	check(t, 100, 0, SCOPE_INTERVAL, "");
	note(t, 1, 3, 15);
	note(t, 1, 1, 45);
	check(t, 100, 0, SCOPE_INTERVAL, "3=5 ");
	check(t, 100, 1, SCOPE_INTERVAL, "2=70 1=50 4=20 ");
	check(t, 100, 1, SCOPE_INTERVAL, "");
	check(t, 100, 0, SCOPE_TOTAL, "2=70 1=50 4=20 ");
	check(t, 101, 0, SCOPE_TOTAL, "");
	thieves__free(t);
}

static void test_ends(void **state)
{
	struct thieves *t = thieves__new(8, 1, 2);

	(void)state;
	begin(t, 1, 100);
	note(t, 1, 1, 50);
	check(t, 100, 0, SCOPE_INTERVAL, "1=50 ");
	note(t, 1, 1, 60);
	thieves__end(t, 1);
	thieves__end(t, 1);
	check(t, 100, 0, SCOPE_INTERVAL, "1=10 ");
	/* In another slot the kernel begins anew; in two at once, too. */
	begin(t, 2, 100);
	begin(t, 3, 100);
	note(t, 2, 1, 7);
	check(t, 100, 0, SCOPE_INTERVAL, "1=7 ");
	note(t, 3, 1, 8);
	check(t, 100, 0, SCOPE_INTERVAL, "1=8 ");
	thieves__end(t, 2);
	thieves__end(t, 3);
	for (uint32_t i = 1; i < 3; i++) {
		check(t, 100, 0, SCOPE_TOTAL, "1=67 1=8 ");
		begin(t, 1, 100 + i);
		note(t, 1, 1, i);
		thieves__end(t, 1);
	}
	/* Two are kept. */
	check(t, 100, 0, SCOPE_TOTAL, "");
	check(t, 101, 0, SCOPE_TOTAL, "1=1 ");
	check(t, 102, 0, SCOPE_TOTAL, "1=2 ");
	thieves__free(t);
	thieves__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
