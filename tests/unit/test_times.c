// SPDX-License-Identifier: GPL-2.0-only
/*
 * core/times.c against the kernel half's own bpf/stat.bpf.h, which is plain C
 * but for its types and barriers, and against exact percentiles of known data.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/types.h>

typedef __u64 u64;
typedef __u32 u32;

#define barrier() asm volatile("" ::: "memory")
#define barrier_var(var) asm volatile("" : "+r"(var))

#include "../../bpf/stat.bpf.h"
#include "../../core/times.h"

enum { SAMPLES = 20000, LAST = STAT_BUCKETS - 1 };

/* xorshift64*: the same data in every run. */
static uint64_t seed = 88172645463325252ULL;

static uint64_t next_random(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static double random_unit(void)
{
	return (next_random() >> 11) * 0x1.0p-53;
}

static void test_bounds(void **state)
{
	uint64_t end = 0;

	(void)state;
	for (unsigned int i = 0; i < STAT_BUCKETS; i++) {
		assert_int_equal(stat_bucket__low(i), end);
		assert_true(stat_bucket__width(i) > 0);
		end = stat_bucket__low(i) + stat_bucket__width(i);
	}
	assert_int_equal(end, 1ULL << 38);
	/* Half of a bucket is at most an eighth of what is in it. */
	for (unsigned int i = 1; i < STAT_BUCKETS; i++)
		assert_true(stat_bucket__width(i) * 4 <= stat_bucket__low(i));
}

static unsigned int bucket_of(uint64_t ns)
{
	static struct timing stat;

	return stat__bucket(&stat, ns) - stat.hist;
}

static void test_kernel_agrees(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < STAT_BUCKETS; i++) {
		uint64_t low = stat_bucket__low(i), width = stat_bucket__width(i);

		assert_int_equal(bucket_of(low), i);
		assert_int_equal(bucket_of(low + width / 2), i);
		assert_int_equal(bucket_of(low + width - 1), i);
	}
	for (uint64_t ns = 0; ns < 1 << 16; ns++) {
		unsigned int i = bucket_of(ns);

		assert_in_range(ns, stat_bucket__low(i),
				stat_bucket__low(i) + stat_bucket__width(i) - 1);
	}
	for (int n = 0; n < 1000000; n++) {
		uint64_t ns = next_random() >> (26 + next_random() % 38);
		unsigned int i = bucket_of(ns);

		assert_in_range(ns, stat_bucket__low(i),
				stat_bucket__low(i) + stat_bucket__width(i) - 1);
	}
	assert_int_equal(bucket_of(1ULL << 38), LAST);
	assert_int_equal(bucket_of(UINT64_MAX), LAST);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* In the first bucket the bound is half its width instead. */
static void check_close(uint64_t got, uint64_t exact)
{
	uint64_t error = got > exact ? got - exact : exact - got;

	assert_true(exact < stat_bucket__low(1) ? error <= stat_bucket__width(0) / 2 :
						  error * 8 <= exact);
}

static void check_percentiles(uint64_t *values, size_t nr)
{
	static const unsigned int percents[] = { 1, 10, 25, 50, 75, 90, 95, 99, 100 };
	struct times with, without;
	struct times_high *high = NULL;
	struct timing stat = {};
	uint64_t total = 0;

	for (size_t i = 0; i < nr; i++) {
		stat__add(&stat, values[i]);
		total += values[i];
	}
	qsort(values, nr, sizeof(*values), by_value);
	times__read(&with, &stat, epoch, &high);
	assert_null(high);
	without = with;
	without.min_ns = without.max_ns = UINT64_MAX;
	assert_int_equal(with.count, nr);
	assert_int_equal(with.total_ns, total);
	assert_int_equal(with.min_ns, values[0]);
	assert_int_equal(with.max_ns, values[nr - 1]);
	for (size_t i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
		size_t rank = (nr * percents[i] + 99) / 100;
		uint64_t exact = values[rank - 1];

		check_close(times__percentile(&with, percents[i]), exact);
		check_close(times__percentile(&without, percents[i]), exact);
		assert_in_range(times__percentile(&with, percents[i]), values[0], values[nr - 1]);
	}
}

static uint64_t uniform(void)
{
	return next_random() % 1000000;
}

static uint64_t log_uniform(void)
{
	return exp2(random_unit() * 37);
}

static uint64_t exponential(void)
{
	return -log(1 - random_unit()) * 5000;
}

static uint64_t two_peaks(void)
{
	return next_random() % 10 ? 900 + next_random() % 200 : 40000000 + next_random() % 9000000;
}

static uint64_t tiny(void)
{
	return next_random() % 200;
}

static uint64_t constant(void)
{
	return 4096;
}

static void test_percentiles(void **state)
{
	uint64_t (*const distributions[])(void) = {
		uniform, log_uniform, exponential, two_peaks, tiny, constant,
	};
	static const size_t sizes[] = { 1, 2, 3, 10, 99, 100, 101, SAMPLES };
	uint64_t *values = calloc(SAMPLES, sizeof(*values));

	(void)state;
	assert_non_null(values);
	for (size_t d = 0; d < sizeof(distributions) / sizeof(*distributions); d++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
			for (size_t i = 0; i < sizes[s]; i++)
				values[i] = distributions[d]();
			check_percentiles(values, sizes[s]);
		}
	free(values);
}

/* What a record has, with the extremes of the epoch that is written. */
static struct times read_all(struct timing *stat)
{
	struct times_high *high = NULL;
	struct times t;

	times__read(&t, stat, epoch, &high);
	assert_null(high);
	return t;
}

static void test_empty(void **state)
{
	struct timing stat = {};
	struct times t = read_all(&stat);

	(void)state;
	assert_int_equal(t.count, 0);
	assert_int_equal(t.total_ns, 0);
	assert_true(t.min_ns == UINT64_MAX && t.max_ns == UINT64_MAX);
	assert_true(times__mean(&t) == UINT64_MAX);
	assert_true(times__percentile(&t, 50) == UINT64_MAX);
	assert_true(times__percentile(&t, 100) == UINT64_MAX);
}

static void test_single(void **state)
{
	struct timing stat = {};
	struct times t;

	(void)state;
	stat__add(&stat, 1234567);
	t = read_all(&stat);
	/* The extremes leave no room for an error. */
	assert_int_equal(times__percentile(&t, 1), 1234567);
	assert_int_equal(times__percentile(&t, 100), 1234567);
	assert_int_equal(times__mean(&t), 1234567);
}

static void test_last_bucket(void **state)
{
	uint64_t hour = 3600 * 1000000000ULL;
	struct timing stat = {};
	struct times t;

	(void)state;
	stat__add(&stat, hour);
	t = read_all(&stat);
	assert_int_equal(t.hist[LAST], 1);
	assert_int_equal(times__percentile(&t, 50), hour);
	t.min_ns = t.max_ns = UINT64_MAX;
	assert_in_range(times__percentile(&t, 50), stat_bucket__low(LAST), 1ULL << 38);
}

/* As core does at a look: it ends an epoch, then reads its half and clears it. */
static struct times look(struct timing *stat)
{
	uint64_t ended = epoch;
	struct times_high *high = NULL;
	struct times t;

	epoch += EPOCH_STEP;
	times__read(&t, stat, ended, &high);
	assert_null(high);
	return t;
}

static void test_epochs(void **state)
{
	struct times_high *high = NULL;
	struct timing stat = {};
	uint64_t ended;
	struct times t;

	(void)state;
	stat__add(&stat, 500);
	stat__add(&stat, 300);
	stat__add(&stat, 700);
	ended = epoch;
	epoch += EPOCH_STEP;
	/* The next interval has begun before the last one is read. */
	stat__add(&stat, 10);
	times__read(&t, &stat, ended, &high);
	assert_int_equal(t.min_ns, 300);
	assert_int_equal(t.max_ns, 700);
	assert_int_equal(t.count, 4);
	t = look(&stat);
	assert_int_equal(t.min_ns, 10);
	assert_int_equal(t.max_ns, 10);

	/* Nothing happens in the third; in the fourth zero is a time, and the first that comes. */
	t = look(&stat);
	assert_true(t.min_ns == UINT64_MAX && t.max_ns == UINT64_MAX);
	stat__add(&stat, 0);
	stat__add(&stat, 20);
	t = look(&stat);
	assert_int_equal(t.min_ns, 0);
	assert_int_equal(t.max_ns, 20);
	assert_int_equal(t.count, 6);
	epoch = EPOCH_STEP;
}

/* The kernel's counters begin anew; what is made of them does not, look by look. */
static void test_counters_begin_anew(void **state)
{
	enum { LOOKS = 40 };
	const uint32_t step = 0x6fffffff;
	struct timing stat = {}, other = {};
	struct times_high *high = NULL;
	struct times t;

	(void)state;
	for (uint64_t i = 1; i <= LOOKS; i++) {
		stat.hist[7] += step;
		stat.hist[8] += 1;
		times__read(&t, &stat, epoch, &high);
		assert_int_equal(t.hist[7], i * step);
		assert_int_equal(t.hist[8], i);
		assert_int_equal(t.count, t.hist[7] + t.hist[8]);
		assert_true(i < 2 ? !high : !!high);
	}
	free(high);
	high = NULL;
	times__read(&t, &other, epoch, &high);
	assert_null(high);
}

static void test_zero_is_a_time(void **state)
{
	struct timing stat = {};
	struct times t;

	(void)state;
	stat__add(&stat, 0);
	t = read_all(&stat);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.min_ns, 0);
	assert_int_equal(t.max_ns, 0);
	assert_int_equal(times__percentile(&t, 50), 0);
}

static struct times times_of(const uint64_t *values, size_t nr)
{
	struct timing stat = {};

	for (size_t i = 0; i < nr; i++)
		stat__add(&stat, values[i]);
	return read_all(&stat);
}

static void test_add(void **state)
{
	static const uint64_t all[] = { 900, 100, 5000, 70000, 100, 3000 };
	struct times a = times_of(all, 2), b = times_of(all + 2, 4), none = times_of(NULL, 0);
	struct times sum = none, whole = times_of(all, 6);

	(void)state;
	times__add(&sum, &none);
	assert_memory_equal(&sum, &none, sizeof(sum));
	times__add(&sum, &a);
	assert_memory_equal(&sum, &a, sizeof(sum));
	times__add(&sum, &none);
	assert_memory_equal(&sum, &a, sizeof(sum));
	times__add(&sum, &b);
	assert_memory_equal(&sum, &whole, sizeof(sum));
	assert_int_equal(sum.min_ns, 100);
	assert_int_equal(sum.max_ns, 70000);
	assert_int_equal(sum.count, 6);
}

/* More keys than there are places: all counts are there, and no key has another one's. */
static void test_tally(void **state)
{
	struct tally t = {};

	(void)state;
	for (int32_t key = 1; key <= TALLY_KEYS + 4; key++)
		tally__add(&t, key, 10ULL * key);
	tally__add(&t, 3, 1);
	tally__add(&t, TALLY_KEYS + 2, 1);
	for (int32_t key = 1; key <= TALLY_KEYS; key++)
		assert_int_equal(tally__get(&t, key), 10 * key + (key == 3));
	for (int32_t key = TALLY_KEYS + 1; key <= TALLY_KEYS + 4; key++)
		assert_int_equal(tally__get(&t, key), 0);
	assert_int_equal(tally__get(&t, TALLY_OTHER), 10 * (17 + 18 + 19 + 20) + 1);
	assert_int_equal(t.nr, TALLY_KEYS + 1);

	/* The others may come first. */
	t = (struct tally){};
	tally__add(&t, TALLY_OTHER, 5);
	for (int32_t key = 1; key <= TALLY_KEYS + 1; key++)
		tally__add(&t, key, 1);
	assert_int_equal(tally__get(&t, TALLY_KEYS), 1);
	assert_int_equal(tally__get(&t, TALLY_OTHER), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_kernel_agrees),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_last_bucket),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_zero_is_a_time),
		cmocka_unit_test(test_counters_begin_anew),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_tally),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
