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

/* The kernel's side, of one CPU: room for a look's tasks and the hog, not for a busy look's. */
enum { TASKS_PER_LOOK = 100, NR_PLACES = TASKS_PER_LOOK + 1 };
enum { LOOKS = 200, BUSY_LOOK = 140, HOG = 1, HOG_FROM = 150 };

struct kernel {
	struct thief places[NR_PLACES];
	uint32_t nr;
	size_t read;
	uint64_t unnamed_ns, all_unnamed_ns;
};

/* NULL: there is none. */
static struct thief *place_of(struct kernel *k, uint32_t tid)
{
	struct thief *place;

	for (uint32_t i = 0; i < k->nr; i++)
		if (k->places[i].key.tid == tid)
			return &k->places[i];
	do {
		if (k->nr == NR_PLACES)
			return NULL;
		place = &k->places[k->nr++];
	} while (place->ns);
	place->key = (struct thief_key){ .slot = 1, .tid = tid };
	place->tgid = tid;
	snprintf(place->comm, COMM_LEN, tid == HOG ? "hog" : "cc1");
	return place;
}

static void rob(struct kernel *k, uint32_t tid, uint64_t ns)
{
	struct thief *place = place_of(k, tid);

	if (place)
		place->ns += ns;
	else
		k->unnamed_ns += ns;
}

static struct thief_log log_of(struct kernel *k)
{
	return (struct thief_log){ k->places, NR_PLACES, &k->nr, &k->read };
}

static void take(void *ctx, const struct thief *thief)
{
	thieves__note(ctx, thief, NULL, UINT32_MAX);
}

static void look(struct kernel *k, struct thieves *t)
{
	const struct thief_log log = log_of(k);

	note(t, 1, 0, k->unnamed_ns);
	k->all_unnamed_ns += k->unnamed_ns;
	k->unnamed_ns = 0;
	thief_log__take(&log, take, t);
	assert_int_equal(k->nr, 0);
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

struct taken {
	struct kernel *k;
	/* Each time that something is handed over a program adds so much to this place, or */
	struct thief *late;
	uint32_t comes, last; /* this task comes, then the next one, up to that */
	uint64_t ns;
	char text[500];
};

static void take_late(void *ctx, const struct thief *thief)
{
	struct taken *taken = ctx;

	sprintf(taken->text + strlen(taken->text), "%u:%u=%llu ", thief->key.slot, thief->key.tid,
		(unsigned long long)thief->ns);
	if (taken->late)
		taken->late->ns += taken->ns;
	if (taken->comes && taken->comes <= taken->last)
		rob(taken->k, taken->comes++, taken->ns);
}

static const char *take_all(struct kernel *k, struct taken *taken)
{
	const struct thief_log log = log_of(k);

	taken->k = k;
	taken->text[0] = '\0';
	thief_log__take(&log, take_late, taken);
	return taken->text;
}

/* A program that had a place in hand when that was read: its time is told the next time, once. */
static void test_late(void **state)
{
	struct kernel k = {};
	struct taken taken = {};
	uint64_t ns_of[2] = {};
	const struct thief_log log = log_of(&k);

	(void)state;
	rob(&k, 5, 10);
	rob(&k, 6, 20);
	rob(&k, 5, 1);
	thief_log__sum(&log, ns_of, 2);
	assert_int_equal(ns_of[1], 31);
	thief_log__sum(&log, ns_of, 1);
	assert_int_equal(ns_of[1], 31);
	taken.late = &k.places[0];
	taken.ns = 3;
	/* What came while it was read is read, too, but not for ever. */
	assert_string_equal(take_all(&k, &taken), "1:5=11 1:6=20 1:5=6 1:5=3 ");
	taken.late = NULL;
	assert_int_equal(k.nr, 0);
	assert_int_equal(k.places[0].ns, 3);
	/* Its place would be another's next, who takes the one behind it. */
	rob(&k, 7, 4);
	rob(&k, 8, 2);
	assert_int_equal(k.unnamed_ns, 0);
	assert_string_equal(take_all(&k, &taken), "1:5=3 1:7=4 1:8=2 ");
	assert_string_equal(take_all(&k, &taken), "");
	/* The same where nothing else happens. */
	rob(&k, 9, 1);
	taken.late = &k.places[0];
	assert_string_equal(take_all(&k, &taken), "1:9=1 1:9=3 1:9=3 ");
	taken.late = NULL;
	assert_int_equal(k.nr, 0);
	assert_string_equal(take_all(&k, &taken), "1:9=3 ");
	assert_string_equal(take_all(&k, &taken), "");
	/* Who comes last is not forgotten; the log begins anew when that is read. */
	rob(&k, 10, 1);
	taken.comes = 11;
	taken.last = 13;
	assert_string_equal(take_all(&k, &taken), "1:10=1 1:11=3 1:12=3 ");
	assert_int_equal(k.nr, 4);
	assert_string_equal(take_all(&k, &taken), "1:13=3 ");
	assert_int_equal(k.nr, 0);
	assert_string_equal(take_all(&k, &taken), "");
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
