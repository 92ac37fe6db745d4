// SPDX-License-Identifier: GPL-2.0-only
/* What --host reads: numbers, choices, keys, pressure, and where a process's cgroup is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../monitors/host_files.h"

static void test_numbers(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_true(file__number("200000", &n));
	assert_int_equal(n, 200000);
	assert_false(file__number("-1", &n));
	assert_false(file__number("0-3", &n));
	assert_false(file__number("", &n));
	assert_false(file__number("99999999999999999999", &n));
	assert_false(file__number(" 1", &n));
}

static void test_choices(void **state)
{
	char several[] = "always [madvise] never", one[] = "always", half[] = "[never";

	(void)state;
	assert_string_equal(file__choice(several), "madvise");
	assert_string_equal(file__choice(one), "always");
	assert_string_equal(file__choice(half), "[never");
}

static void test_keys(void **state)
{
	static const char text[] = "MemTotal:  16 kB\nlow_x 9\nlow 3\nbroken\nlast x";
	uint64_t n = 0;

	(void)state;
	assert_true(file__value(text, "MemTotal", &n));
	assert_int_equal(n, 16384);
	assert_true(file__value(text, "low", &n));
	assert_int_equal(n, 3);
	assert_false(file__value(text, "broken", &n));
	assert_false(file__value(text, "last", &n));
	assert_false(file__value(text, "ow", &n));
}

static void test_pressure(void **state)
{
	static const char text[] = "some avg10=0.00 avg300=1.00\nfull avg10=0.10 total=456";
	uint64_t us = 0;

	(void)state;
	assert_true(file__pressure(text, "full", &us));
	assert_int_equal(us, 456);
	/* Its line has none, the next one's is not its own. */
	assert_false(file__pressure(text, "some", &us));
}

static const char *cgroup(const char *text, bool *is_v1)
{
	static char path[FILE_PATH_LEN];

	return file__cgroup(text, path, is_v1);
}

static void test_cgroups(void **state)
{
	bool is_v1;

	(void)state;
	assert_string_equal(cgroup("0::/machine.slice/vm", &is_v1), "/machine.slice/vm");
	assert_false(is_v1);
	assert_string_equal(cgroup("9:name=systemd:/x\n0::/", &is_v1), "/");
	assert_false(is_v1);
	assert_string_equal(cgroup("3:cpuacct,cpu:/a\n0::/b", &is_v1), "/b");
	assert_true(is_v1);
	assert_null(cgroup("4:memory:/a", &is_v1));
	assert_true(is_v1);
	/* Above the reader's own; and a name is no way up. */
	assert_null(cgroup("0::/../other", &is_v1));
	assert_null(cgroup("", &is_v1));
	assert_null(cgroup("garbage", &is_v1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_choices),
		cmocka_unit_test(test_keys),	cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_cgroups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
