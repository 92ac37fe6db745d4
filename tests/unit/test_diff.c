// SPDX-License-Identifier: GPL-2.0-only
/* What is called a difference: rarely chance, and always what is one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../core/diff.h"
#include "../../core/significance.h"
#include "../../monitors/monitors.h"

/* Of 7.2-svm: -e -o -w -f every 0.2 s beside guests that do the same again and again. */
static const char fixture[] = "tests/golden/recording.zst";

static const struct filter all_vms;

/* Values of which the answers are known: R's wilcox.test(a, b, exact = FALSE). */
static void test_rank_test(void **state)
{
	const double a[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 },
		     b[] = { 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
		     ties[] = { 1, 1, 1, 1, 1, 2, 2, 2, 2, 2 };

	(void)state;
	assert_true(fabs(significance__rank_test(a, 10, b, 10) - 0.005075) < 1e-6);
	assert_true(significance__rank_test(a, 10, a, 10) == 1);
	assert_true(significance__rank_test(ties, 5, ties, 5) == 1);
	assert_true(significance__rank_test(ties, 5, ties + 5, 5) < 0.005);
	assert_true(isnan(significance__rank_test(a, 1, b, 10)));
	/* Either side may come first. */
	assert_true(significance__rank_test(a, 10, b, 10) == significance__rank_test(b, 10, a, 10));
}

/* Benjamini and Hochberg's own example: of 15 tests the first four. */
static void test_many_tests(void **state)
{
	const double p[] = { 0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
			     0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000 };
	double shuffled[16];
	bool chosen[16];

	(void)state;
	significance__choose(p, chosen, 15, 0.05);
	for (int i = 0; i < 15; i++)
		assert_int_equal(chosen[i], i < 4);
	shuffled[0] = NAN;
	for (int i = 0; i < 15; i++)
		shuffled[15 - i] = p[i];
	significance__choose(shuffled, chosen, 16, 0.05);
	for (int i = 0; i < 16; i++)
		assert_int_equal(chosen[i], i > 11);
}

static struct diff *read_fixture(const struct selection *selection)
{
	const char *path = fixture;
	struct replay *r = replay__open(&path, 1, monitors, nr_monitors);
	struct diff *d = diff__new(&all_vms, selection, NULL);

	assert_non_null(r);
	assert_non_null(d);
	assert_int_equal(diff__read(d, DIFF_A, r, 0, 0), 0);
	replay__close(r);
	return d;
}

/* Half of the blocks, by chance, against the other half: nothing has changed. */
static void test_chance(void **state)
{
	static const struct selection selections[] = { { .by = BY_VM }, { .by = BY_HOST } };
	enum { SPLITS = 1000 };

	(void)state;
	for (size_t which = 0; which < 2; which++) {
		struct diff *d = read_fixture(&selections[which]);
		size_t nr = diff__nr_blocks(d), different = 0, tested = 0;
		unsigned int seed = 7;
		bool goes_to_b[DIFF_BLOCKS * 2];

		assert_in_range(nr, 20, DIFF_BLOCKS + 1);
		for (int split = 0; split < SPLITS; split++) {
			bool any = false;

			for (size_t i = 0; i < nr; i++)
				goes_to_b[i] = i % 2;
			for (size_t i = nr; i > 1; i--) {
				size_t other = rand_r(&seed) % i;
				bool swap = goes_to_b[i - 1];

				goes_to_b[i - 1] = goes_to_b[other];
				goes_to_b[other] = swap;
			}
			assert_true(diff__split(d, goes_to_b, nr));
			assert_int_equal(diff__compare(d), 0);
			for (size_t i = 0; i < diff__nr(d); i++) {
				any |= diff__get(d, i)->verdict >= VERDICT_MORE;
				tested += diff__get(d, i)->verdict != VERDICT_TOO_FEW;
			}
			different += any;
		}
		print_message("by %s: %zu of %d splits were called different, %zu values tested "
			      "in each\n",
			      which ? "host" : "VM", different, SPLITS, tested / SPLITS);
		assert_true(tested / SPLITS > 20);
		assert_true(different <= SPLITS * 7 / 100);
		diff__free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank_test),
		cmocka_unit_test(test_many_tests),
		cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
