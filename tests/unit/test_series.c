// SPDX-License-Identifier: GPL-2.0-only
/* What user space keeps of the records of vCPUs, live and ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../../core/series.h"

enum { RECORDS = 200 };

struct record {
	uint64_t count;
};

struct series {
	struct series_head head;
	uint64_t count;
};

static int nr_forgotten;

static void forget(const struct bpf_object *obj, void *series, uint32_t index)
{
	(void)obj;
	assert_int_equal(((struct series *)series)->count, 1000 + index);
	nr_forgotten++;
}

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.record_size = sizeof(struct record),
	.per_slot = 1,
	.forget = forget,
};

/* An open set without a kernel behind it. */
static int setup(void **state)
{
	static struct series_set set;

	set.kind = &kind;
	set.nr = RECORDS;
	set.records_size = RECORDS * sizeof(struct record);
	set.records = mmap(NULL, set.records_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set.live = calloc(RECORDS, sizeof(*set.live));
	nr_forgotten = 0;
	*state = &set;
	return set.records == MAP_FAILED || !set.live;
}

static int teardown(void **state)
{
	struct series_set *set = *state;

	series__close(set);
	assert_null(set->records);
	/* Once more: there is nothing left to do. */
	series__close(set);
	return 0;
}

static struct series *add(struct series_set *set, uint32_t index, const struct row *row)
{
	struct series *s = series__add(set, index);

	assert_ptr_equal(set->live[index], s);
	assert_int_equal(s->count, 0);
	s->head.row = *row;
	s->head.chosen = true;
	s->count = 1000 + index;
	((struct record *)set->records)[index].count = 7;
	return s;
}

/* The counts of a list's series, less 1000: the records. */
static void assert_list(struct series **list, size_t nr, size_t nr_want, const uint32_t *want)
{
	assert_non_null(list);
	assert_int_equal(nr, nr_want);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(list[i]->count, 1000 + want[i]);
	free(list);
}

#define LIST(get, set, with_gone, ...)                                       \
	do {                                                                 \
		const uint32_t want[] = { __VA_ARGS__ };                     \
		size_t nr;                                                   \
		struct series **list = (void *)get(set, with_gone, &nr);     \
		assert_list(list, nr, sizeof(want) / sizeof(want[0]), want); \
	} while (0)

static void test_sorted(void **state)
{
	struct series_set *set = *state;
	size_t nr;

	free(series__sorted(set, true, &nr));
	assert_int_equal(nr, 0);
	add(set, 1, &(struct row){ .pid = 20, .vm = "a", .vcpu = 0, .tid = 21 });
	add(set, 2, &(struct row){ .pid = 10, .vm = "b", .vcpu = 1, .tid = 12 });
	add(set, 3, &(struct row){ .pid = 10, .vm = "b#2", .vcpu = 0, .tid = 9 });
	add(set, 4, &(struct row){ .pid = 10, .vm = "b", .vcpu = 0, .tid = 14 });
	add(set, 5, &(struct row){ .pid = 10, .vm = "b", .vcpu = 0, .tid = 11 });
	LIST(series__sorted, set, false, 5, 4, 2, 3, 1);
	LIST(series__list, set, false, 1, 2, 3, 4, 5);
}

static void test_chosen_and_quiet(void **state)
{
	struct series_set *set = *state;

	add(set, 1, &(struct row){ .pid = 1, .vm = "a" })->head.chosen = false;
	add(set, 2, &(struct row){ .pid = 2, .vm = "b" })->head.quiet = true;
	add(set, 3, &(struct row){ .pid = 3, .vm = "c" });
	LIST(series__list, set, false, 3);
	/* What was quiet last has its place in the total all the same. */
	LIST(series__list, set, true, 2, 3);
	series__retire(set, NULL, 1);
	series__retire(set, NULL, 2);
	LIST(series__sorted, set, true, 2, 3);
}

static void test_retire(void **state)
{
	struct series_set *set = *state;
	const struct record *records = set->records;

	add(set, 1, &(struct row){ .pid = 1, .vm = "a" });
	add(set, 2, &(struct row){ .pid = 2, .vm = "b" });
	series__retire(set, NULL, 2);
	assert_int_equal(nr_forgotten, 1);
	assert_null(set->live[2]);
	assert_int_equal(records[2].count, 0);
	assert_int_equal(records[1].count, 7);
	LIST(series__sorted, set, false, 1);
	LIST(series__sorted, set, true, 1, 2);

	/* The record's next series is another one, and both count. */
	add(set, 2, &(struct row){ .pid = 3, .vm = "c" });
	LIST(series__sorted, set, false, 1, 2);
	LIST(series__sorted, set, true, 1, 2, 2);

	/* A record that nobody has looked at yet. */
	((struct record *)set->records)[3].count = 7;
	series__retire(set, NULL, 3);
	assert_int_equal(records[3].count, 0);
	assert_int_equal(nr_forgotten, 1);
}

/* More than there was room for at first, in every list. */
static void test_many(void **state)
{
	struct series_set *set = *state;
	size_t nr;

	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t i = 1; i < RECORDS; i++) {
			add(set, i, &(struct row){ .pid = i, .vm = "a", .vcpu = round });
			series__retire(set, NULL, i);
		}
	assert_int_equal(nr_forgotten, 3 * (RECORDS - 1));
	free(series__list(set, false, &nr));
	assert_int_equal(nr, 0);
	free(series__list(set, true, &nr));
	assert_int_equal(nr, 3 * (RECORDS - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sorted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chosen_and_quiet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
