// SPDX-License-Identifier: GPL-2.0-only
/* What guests say that they are, in Hyper-V's MSR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../decode/guest_os.h"

static void check(uint64_t id, const char *name)
{
	char text[GUEST_OS_LEN];

	assert_string_equal(guest_os__name(id, text), name);
}

static void test_names(void **state)
{
	(void)state;
	/* Windows 11 and Linux 6.1.0, as each writes it. */
	check(0x0001040a00005867ULL, "Windows 10.0 build 22631");
	check(0x8100000601000000ULL, "Linux 6.1.0");
	check(0x8200000d00000000ULL, "FreeBSD, version 0xd0000");
	check(0xff00000000000000ULL, "open system 127, version 0");
	check(0x0002000000000001ULL, "0x2000000000001");
	check(0x0001ff0000000000ULL, "0x1ff0000000000");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
