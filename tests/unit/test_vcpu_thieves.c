// SPDX-License-Identifier: GPL-2.0-only
/* The thieves of vCPUs: windows, names, vCPUs that end and come again, thieves that do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/vcpus.h"
#include "../../monitors/vcpu_thieves.h"

static struct vm_ref db1 = { .nr = 7, .tgid = 70, .label = "db1" };

static void note_of(struct thieves *t, uint32_t slot, const struct vm_ref *vm, uint32_t vcpu,
		    const char *comm, uint32_t tid, uint64_t ns)
{
	struct thief thief = { .ns = ns,
			       .key = { .slot = slot, .tid = tid },
			       .tgid = vm ? vm->tgid : tid };

	snprintf(thief.comm, sizeof(thief.comm), "%s", comm);
	thieves__note(t, &thief, vm, vcpu);
}

static void note(struct thieves *t, uint32_t slot, uint32_t tid, uint64_t ns)
{
	char name[16];

	snprintf(name, sizeof(name), "task%u", tid);
	note_of(t, slot, NULL, UINT32_MAX, name, tid, ns);
}

static void add_text(char *text, const struct loot *top)
{
	char name[THIEF_NAME_LEN];

	for (; top->comm; top++)
		sprintf(text + strlen(text), "%s:%d=%llu ", loot__name(top, name), (int)top->pid,
			(unsigned long long)top->ns);
}

/* "name:pid=ns ..." of the worst one by one, and by VM; returns the total */
static uint64_t ask(struct thieves *t, uint32_t tid, size_t sink, enum scope scope, char tasks[500],
		    char sums[500])
{
	struct row row = { .vm_nr = 1, .pid = 10, .tid = tid };
	struct loot top[TOP_THIEVES + 1], top_sums[TOP_THIEVES + 1];
	uint64_t total = thieves__top(t, &row, sink, scope, top, top_sums);

	tasks[0] = sums[0] = '\0';
	add_text(tasks, top);
	add_text(sums, top_sums);
	return total;
}

/* Of tasks that no VM has */
static void check(struct thieves *t, uint32_t tid, size_t sink, enum scope scope, uint64_t total,
		  const char *want)
{
	char tasks[500], sums[500];

	assert_int_equal(ask(t, tid, sink, scope, tasks, sums), total);
	assert_string_equal(tasks, want);
	assert_string_equal(sums, want);
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
	check(t, 100, 0, SCOPE_INTERVAL, 150, "task2:2=70 task1:1=50 task4:4=20 ");
	check(t, 100, 0, SCOPE_INTERVAL, 0, "");
	note(t, 1, 3, 5);
	check(t, 100, 0, SCOPE_INTERVAL, 5, "task3:3=5 ");
	check(t, 100, 1, SCOPE_INTERVAL, 155, "task2:2=70 task1:1=50 task4:4=20 ");
	check(t, 100, 1, SCOPE_INTERVAL, 0, "");
	check(t, 100, 0, SCOPE_TOTAL, 155, "task2:2=70 task1:1=50 task4:4=20 ");
	check(t, 100, 0, SCOPE_TOTAL, 155, "task2:2=70 task1:1=50 task4:4=20 ");
	check(t, 101, 0, SCOPE_TOTAL, 0, "");
	/* What found no record in the kernel. */
	note(t, 1, 0, 1000);
	check(t, 100, 0, SCOPE_INTERVAL, 1000, "");
	check(t, 100, 0, SCOPE_INTERVAL, 0, "");
	check(t, 100, 0, SCOPE_TOTAL, 1155, "task2:2=70 task1:1=50 task4:4=20 ");
	thieves__free(t);
}

static void test_ends(void **state)
{
	struct thieves *t = thieves__new(8, 1, 2);

	(void)state;
	begin(t, 1, 100);
	note(t, 1, 1, 50);
	check(t, 100, 0, SCOPE_INTERVAL, 50, "task1:1=50 ");
	note(t, 1, 1, 10);
	thieves__end(t, 1);
	thieves__end(t, 1);
	note(t, 1, 1, 10);
	check(t, 100, 0, SCOPE_INTERVAL, 10, "task1:1=10 ");
	/* In another slot, and in two at once, it is the same vCPU. */
	begin(t, 2, 100);
	begin(t, 3, 100);
	note(t, 2, 1, 7);
	check(t, 100, 0, SCOPE_INTERVAL, 7, "task1:1=7 ");
	note(t, 3, 1, 8);
	check(t, 100, 0, SCOPE_INTERVAL, 8, "task1:1=8 ");
	thieves__end(t, 2);
	thieves__end(t, 3);
	for (uint32_t i = 1; i < 3; i++) {
		check(t, 100, 0, SCOPE_TOTAL, 75, "task1:1=75 ");
		begin(t, 1, 100 + i);
		note(t, 1, 1, i);
		thieves__end(t, 1);
	}
	/* Two are kept. */
	check(t, 100, 0, SCOPE_TOTAL, 0, "");
	check(t, 101, 0, SCOPE_TOTAL, 1, "task1:1=1 ");
	check(t, 102, 0, SCOPE_TOTAL, 2, "task1:1=2 ");
	thieves__free(t);
	thieves__free(NULL);
}

static void test_names(void **state)
{
	struct thieves *t = thieves__new(8, 1, 2);
	struct vm_ref db2 = { .nr = 8, .tgid = 80, .label = "db2" };
	char tasks[500], sums[500];

	(void)state;
	begin(t, 1, 100);
	note_of(t, 1, &db2, 1, "CPU 1/KVM", 81, 30);
	assert_int_equal(ask(t, 100, 0, SCOPE_INTERVAL, tasks, sums), 30);
	assert_string_equal(tasks, "db2/vcpu1:81=30 ");
	assert_string_equal(sums, "db2/vcpu1:81=30 ");
	/* The threads of one name of a VMM are one; a vCPU is one whatever its thread. */
	note_of(t, 1, &db2, UINT32_MAX, "worker", 82, 20);
	note_of(t, 1, &db2, UINT32_MAX, "worker", 83, 25);
	note_of(t, 1, &db2, 1, "CPU 1/KVM", 84, 10);
	note_of(t, 1, &db1, UINT32_MAX, "qemu iothread", 71, 40);
	note_of(t, 1, NULL, UINT32_MAX, "sh", 5, 1);
	note_of(t, 1, NULL, UINT32_MAX, "make", 5, 41);
	assert_int_equal(ask(t, 100, 0, SCOPE_INTERVAL, tasks, sums), 137);
	assert_string_equal(tasks, "db2 (worker):-1=45 make:5=42 db1 (qemu iothread):71=40 ");
	assert_string_equal(sums, "db2 (worker) +1:-1=55 make:5=42 db1 (qemu iothread):71=40 ");
	/* Tasks of one name are summed for people. */
	note_of(t, 1, NULL, UINT32_MAX, "cc1", 6, 10);
	note_of(t, 1, NULL, UINT32_MAX, "cc1", 7, 20);
	note_of(t, 1, NULL, UINT32_MAX, "ld", 8, 25);
	assert_int_equal(ask(t, 100, 0, SCOPE_INTERVAL, tasks, sums), 55);
	assert_string_equal(tasks, "ld:8=25 cc1:7=20 cc1:6=10 ");
	assert_string_equal(sums, "cc1:-1=30 ld:8=25 ");
	/* Alone a vCPU is no match for the first three, its VM is. */
	note_of(t, 1, &db1, UINT32_MAX, "qemu iothread", 71, 100);
	note_of(t, 1, NULL, UINT32_MAX, "make", 5, 100);
	note_of(t, 1, NULL, UINT32_MAX, "cc1", 6, 100);
	for (uint32_t i = 0; i < 4; i++)
		note_of(t, 1, &db2, i, "CPU", 81 + i, 40 + i);
	assert_int_equal(ask(t, 100, 0, SCOPE_INTERVAL, tasks, sums), 466);
	assert_null(strstr(tasks, "db2"));
	assert_int_equal(strncmp(sums, "db2/vcpu3 +3:84=166 ", 20), 0);
	thieves__free(t);
	assert_int_equal(db1.users, 0);
	assert_int_equal(db2.users, 0);
}

/* The kernel's side, with few records: those in the index, and the stack of the free ones. */
/* Room for three looks' tasks and the hog, but not for those of the busy look. */
enum { TASKS_PER_LOOK = 100, NR_RECORDS = 3 * TASKS_PER_LOOK + 1 };
enum { LOOKS = 200, BUSY_LOOK = 140, HOG = 1, HOG_FROM = 150 };

struct kernel {
	struct thief records[NR_RECORDS];
	uint64_t unnamed_ns, all_unnamed_ns;
	bool indexed[NR_RECORDS], is_free[NR_RECORDS];
	unsigned int states[NR_RECORDS];
};

static void rob(struct kernel *k, uint32_t tid, uint64_t ns)
{
	int at = -1;

	for (int i = 0; i < NR_RECORDS; i++)
		if (k->indexed[i] && k->records[i].key.tid == tid)
			at = i;
	for (int i = 0; at < 0 && i < NR_RECORDS; i++)
		if (k->is_free[i])
			at = i;
	if (at < 0) {
		k->unnamed_ns += ns;
		return;
	}
	k->is_free[at] = false;
	k->indexed[at] = true;
	k->records[at].key = (struct thief_key){ .slot = 1, .tid = tid };
	k->records[at].tgid = tid;
	k->records[at].ns += ns;
	snprintf(k->records[at].comm, COMM_LEN, tid == HOG ? "hog" : "cc1");
}

static void look(struct kernel *k, struct thieves *t)
{
	note(t, 1, 0, k->unnamed_ns);
	k->all_unnamed_ns += k->unnamed_ns;
	k->unnamed_ns = 0;
	for (int i = 0; i < NR_RECORDS; i++) {
		unsigned int was = k->states[i];
		bool grew = k->records[i].ns;

		if (grew)
			thieves__note(t, &k->records[i], NULL, UINT32_MAX);
		k->records[i].ns = 0;
		k->states[i] = thief_record__next(was, grew, 0);
		if (was == THIEF_HELD && k->states[i] == THIEF_LEAVING) {
			assert_true(k->indexed[i]);
			k->indexed[i] = false;
		}
		if (was == THIEF_LEAVING && k->states[i] == THIEF_FREE) {
			assert_false(k->indexed[i]);
			assert_false(k->is_free[i]);
			k->is_free[i] = true;
		}
	}
}

/* 20,000 tasks, each of which takes something for a moment: there is room for who comes late. */
static void test_short_lived(void **state)
{
	struct thieves *t = thieves__new(8, 2, 4);
	struct kernel k = {};
	uint64_t taken = 0, told = 0, new_ns;
	char tasks[500], sums[500], want[100];
	uint32_t tid = 1000;

	(void)state;
	memset(k.is_free, true, sizeof(k.is_free));
	begin(t, 1, 100);
	for (int i = 0; i < LOOKS; i++) {
		for (int j = 0; j < TASKS_PER_LOOK * (i == BUSY_LOOK ? 4 : 1); j++) {
			rob(&k, tid, 1 + tid % 7);
			taken += 1 + tid++ % 7;
		}
		if (i >= HOG_FROM) {
			rob(&k, HOG, 50);
			taken += 50;
		}
		look(&k, t);
		new_ns = ask(t, 100, 0, SCOPE_INTERVAL, tasks, sums);
		told += new_ns;
		assert_int_equal(told, taken);
		assert_int_equal(k.all_unnamed_ns > 0, i >= BUSY_LOOK);
		/* Some unnamed may be left in the busy look, and nowhere else. */
		if (i < BUSY_LOOK)
			snprintf(want, sizeof(want), "cc1:-1=%llu ", (unsigned long long)new_ns);
		else if (i >= HOG_FROM)
			snprintf(want, sizeof(want), "cc1:-1=%llu hog:1=50 ",
				 (unsigned long long)new_ns - 50);
		else
			continue;
		assert_string_equal(sums, want);
	}
	/* The other sink has looked at nothing yet. */
	snprintf(want, sizeof(want), " hog:1=%d ", 50 * (LOOKS - HOG_FROM));
	assert_int_equal(ask(t, 100, 1, SCOPE_INTERVAL, tasks, sums), taken);
	assert_non_null(strstr(sums, want));
	assert_int_equal(strncmp(sums, "cc1:-1=", 7), 0);
	assert_int_equal(ask(t, 100, 1, SCOPE_TOTAL, tasks, sums), taken);
	assert_non_null(strstr(sums, want));
	assert_int_equal(strncmp(sums, "cc1:-1=", 7), 0);
	/* Names are any: there is no room for all of them. */
	for (tid = 0; tid < 1000; tid++)
		note(t, 1, 100000 + tid, 3 + tid % 2);
	assert_int_equal(ask(t, 100, 0, SCOPE_INTERVAL, tasks, sums), 3500);
	assert_string_equal(tasks, sums);
	assert_int_equal(ask(t, 100, 0, SCOPE_TOTAL, tasks, sums), taken + 3500);
	assert_non_null(strstr(sums, want));
	thieves__free(t);
}

/* One that a program still had in hand when it was taken out of the index. */
static void test_late(void **state)
{
	(void)state;
	assert_int_equal(thief_record__next(THIEF_FREE, false, 0), THIEF_FREE);
	assert_int_equal(thief_record__next(THIEF_FREE, true, 0), THIEF_HELD);
	assert_int_equal(thief_record__next(THIEF_HELD, true, 0), THIEF_HELD);
	assert_int_equal(thief_record__next(THIEF_HELD, false, 0), THIEF_LEAVING);
	assert_int_equal(thief_record__next(THIEF_LEAVING, true, 0), THIEF_LEAVING);
	assert_int_equal(thief_record__next(THIEF_LEAVING, false, 0), THIEF_FREE);
	/* With patience it may come back. */
	assert_int_equal(thief_record__next(THIEF_FREE, false, 2), THIEF_FREE);
	assert_int_equal(thief_record__next(THIEF_HELD, false, 2), THIEF_HELD + 1);
	assert_int_equal(thief_record__next(THIEF_HELD + 1, true, 2), THIEF_HELD);
	assert_int_equal(thief_record__next(THIEF_HELD + 1, false, 2), THIEF_HELD + 2);
	assert_int_equal(thief_record__next(THIEF_HELD + 2, false, 2), THIEF_LEAVING);
	assert_int_equal(thief_record__next(THIEF_HELD + 2, false, 0), THIEF_LEAVING);
	assert_int_equal(thief_record__next(THIEF_LEAVING, false, 2), THIEF_FREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_names),	cmocka_unit_test(test_short_lived),
		cmocka_unit_test(test_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
