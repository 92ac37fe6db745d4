// SPDX-License-Identifier: GPL-2.0-only
/* Threads of a VMM: some by themselves, the others as a sum, and together what the process used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../decode/thread_roles.h"
#include "../../monitors/vmm_account.h"

enum { MS = 1000000, NR_THREADS = 10000 };

static struct thread_times times(uint64_t cpu_ms, uint64_t user_ms, uint64_t system_ms)
{
	return (struct thread_times){
		.cpu_ns = cpu_ms * MS,
		.user_ns = user_ms * MS,
		.system_ns = system_ms * MS,
		.delay_ns = cpu_ms,
		.major_faults = cpu_ms,
	};
}

static void check(const struct thread_times *told, uint64_t cpu_ms, uint64_t user_ms,
		  uint64_t system_ms)
{
	assert_int_equal(told->cpu_ns, cpu_ms * MS);
	assert_int_equal(told->user_ns, user_ms * MS);
	assert_int_equal(told->system_ns, system_ms * MS);
}

/* The samples tell how the exact time is divided, and nothing that was told is taken back. */
static void test_division(void **state)
{
	struct thread_times told = {}, now;

	(void)state;
	now = times(7, 0, 0);
	thread_times__tell(&told, &now);
	check(&told, 7, 7, 0);
	now = times(30, 20, 10);
	thread_times__tell(&told, &now);
	check(&told, 30, 20, 10);
	now = times(31, 0, 40);
	thread_times__tell(&told, &now);
	check(&told, 31, 20, 11);
	now = times(29, 30, 0);
	thread_times__tell(&told, &now);
	check(&told, 31, 20, 11);
	now.guest_ns = 15ULL * MS;
	now.cpu_ns = 41ULL * MS;
	thread_times__tell(&told, &now);
	check(&told, 41, 30, 11);
	assert_int_equal(told.guest_ns, 15ULL * MS);
}

static const struct known_thread *take(struct account *a, uint32_t tid, uint64_t since,
				       uint64_t cpu_ms, bool is_vcpu)
{
	const struct thread_entry entry = {
		.tid = tid,
		.since_ns = since,
		.times = times(cpu_ms, cpu_ms, 0),
	};

	return account__take(a, &entry, is_vcpu);
}

/* The main thread, which has the times of those that have ended. */
static void take_main(struct account *a, uint64_t cpu_ms, uint64_t ended_ms)
{
	const struct thread_entry entry = {
		.tid = 1,
		.times = times(cpu_ms, cpu_ms, 0),
		.ended = times(ended_ms, ended_ms, 0),
	};

	assert_non_null(account__take(a, &entry, false));
}

static void test_others(void **state)
{
	struct account a = {};

	(void)state;
	account__begin(&a);
	take_main(&a, 5, 0);
	assert_int_equal(take(&a, 2, 20, 10, true)->told.cpu_ns, 10ULL * MS);
	account__end(&a);
	check(&a.others, 0, 0, 0);

	/* 2 has ended with 12, and one that nobody saw with 3. */
	account__begin(&a);
	take_main(&a, 6, 15);
	account__end(&a);
	check(&a.others, 5, 5, 0);
	assert_int_equal(a.nr, 1);

	/* Another 2; one that is missed for a look is not told twice. */
	account__begin(&a);
	take_main(&a, 6, 15);
	assert_int_equal(take(&a, 2, 21, 1, false)->told.cpu_ns, 1ULL * MS);
	account__end(&a);
	check(&a.others, 5, 5, 0);
	account__close(&a);
}

/* Ten thousand threads: the first are known, vCPUs always are, and the sum is right. */
static void test_bounded(void **state)
{
	struct account a = {};
	size_t known = 0;

	(void)state;
	for (int look = 1; look <= 3; look++) {
		known = 0;
		account__begin(&a);
		take_main(&a, 1, 0);
		for (uint32_t tid = 100; tid < 110; tid++)
			assert_non_null(take(&a, tid, 1, look, true));
		for (uint32_t tid = 1000; tid < 1000 + NR_THREADS; tid++)
			known += !!take(&a, tid, 1, look, false);
		account__end(&a);
		assert_int_equal(known, MOST_KNOWN_THREADS - 1);
		assert_int_equal(a.nr_others, NR_THREADS - known);
		check(&a.others, look * a.nr_others, look * a.nr_others, 0);
		assert_true(a.room <= MOST_KNOWN_THREADS + 32);
	}
	/* Those that were known have ended: others take their place. */
	account__begin(&a);
	take_main(&a, 1, 3 * known);
	account__end(&a);
	account__begin(&a);
	assert_non_null(take(&a, 50000, 1, 1, false));
	account__end(&a);
	account__close(&a);
}

/* The kernel's threads are no part of the process's times. */
static void test_kernel_threads(void **state)
{
	struct thread_entry vhost = { .tid = 7, .is_kernel = 1, .times = times(50, 0, 50) };
	struct account a = {};

	(void)state;
	account__begin(&a);
	take_main(&a, 5, 0);
	check(&account__take(&a, &vhost, false)->told, 50, 0, 50);
	account__end(&a);
	check(&a.others, 0, 0, 0);
	account__begin(&a);
	take_main(&a, 5, 2);
	account__end(&a);
	check(&a.others, 2, 2, 0);
	account__close(&a);
}

static void test_roles(void **state)
{
	(void)state;
	assert_string_equal(thread_role("IO iothread1"), "iothread");
	assert_string_equal(thread_role("_disk0_q0"), "iothread");
	assert_string_equal(thread_role("vhost-1234"), "vhost");
	assert_string_equal(thread_role("kvm-pit/1234"), "pit");
	assert_string_equal(thread_role("multifdsend_3"), "migration");
	assert_string_equal(thread_role("mig/src/main"), "migration");
	assert_string_equal(thread_role("worker"), "other");
	assert_string_equal(thread_role(""), "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_division), cmocka_unit_test(test_others),
		cmocka_unit_test(test_bounded),	 cmocka_unit_test(test_kernel_threads),
		cmocka_unit_test(test_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
