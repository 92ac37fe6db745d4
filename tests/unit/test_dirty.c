/* SPDX-License-Identifier: GPL-2.0-only */
/* What -d computes without a kernel: the migration's prediction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../monitors/migration.h"

enum { MIB = 1024 * 1024, GIB_PAGES = 262144 };

static void test_idle_guest(void **state)
{
	/* 1 GiB at 100 MiB/s, nothing dirtied: one round of 10.24 s and no stop. */
	const struct migration_input in = { GIB_PAGES, 0, 0, 100.0 * MIB };
	struct migration m = migration__predict(&in);

	(void)state;
	assert_true(m.converges);
	assert_int_equal(m.rounds, 1);
	assert_true(m.seconds > 10.23 && m.seconds < 10.25);
	assert_true(m.downtime == 0);
}

static void test_converges(void **state)
{
	/* Half of what is sent is dirtied meanwhile: each round is half as long. */
	const struct migration_input in = { 25600, 12800, 25600, 100.0 * MIB };
	struct migration m = migration__predict(&in);

	(void)state;
	assert_true(m.converges);
	/* Rounds of 1, 0.5 s; then 0.25 s are left, which is a short enough stop. */
	assert_int_equal(m.rounds, 2);
	assert_true(m.downtime > 0.2499 && m.downtime < 0.2501);
	assert_true(m.seconds > 1.7499 && m.seconds < 1.7501);
}

static void test_small_working_set(void **state)
{
	/* Dirtied faster than sent, but always the same few pages. */
	const struct migration_input in = { GIB_PAGES, 1000000, 7000, 100.0 * MIB };
	struct migration m = migration__predict(&in);

	(void)state;
	assert_true(m.converges);
	assert_int_equal(m.rounds, 1);
	assert_true(m.downtime > 0.27 && m.downtime < 0.28);
}

static void test_does_not_converge(void **state)
{
	struct migration_input in = { GIB_PAGES, 25600, GIB_PAGES, 100.0 * MIB };

	(void)state;
	/* As fast as it is sent. */
	assert_false(migration__predict(&in).converges);
	in.rate = 1000000;
	assert_false(migration__predict(&in).converges);
	/* A working set that takes longer than the stop may. */
	in.working_set = 8000;
	assert_false(migration__predict(&in).converges);
	in.bandwidth = 0;
	assert_false(migration__predict(&in).converges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_guest),
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_small_working_set),
		cmocka_unit_test(test_does_not_converge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
