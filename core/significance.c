// SPDX-License-Identifier: GPL-2.0-only
#include "significance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct value {
	double value;
	bool of_a;
};

static int by_value(const void *a, const void *b)
{
	double x = ((const struct value *)a)->value, y = ((const struct value *)b)->value;

	return (x > y) - (x < y);
}

/* The ranks of a's values, summed up, those of equal ones shared; and what ties take away. */
static double rank_sum(const struct value *all, size_t nr, double *ties)
{
	double sum = 0;

	*ties = 0;
	for (size_t i = 0, end; i < nr; i = end) {
		double equal, rank;

		for (end = i; end < nr && all[end].value == all[i].value; end++)
			;
		equal = end - i;
		rank = i + (equal + 1) / 2;
		*ties += equal * equal * equal - equal;
		for (size_t j = i; j < end; j++)
			sum += all[j].of_a ? rank : 0;
	}
	return sum;
}

double significance__rank_test(const double *a, size_t nr_a, const double *b, size_t nr_b)
{
	double n = nr_a, m = nr_b, sum, ties, u, variance, away;
	struct value *all;

	if (nr_a < 2 || nr_b < 2)
		return NAN;
	all = malloc((nr_a + nr_b) * sizeof(*all));
	if (!all)
		return NAN;
	for (size_t i = 0; i < nr_a; i++)
		all[i] = (struct value){ a[i], true };
	for (size_t i = 0; i < nr_b; i++)
		all[nr_a + i] = (struct value){ b[i], false };
	qsort(all, nr_a + nr_b, sizeof(*all), by_value);
	sum = rank_sum(all, nr_a + nr_b, &ties);
	free(all);
	u = sum - n * (n + 1) / 2;
	variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)));
	if (variance <= 0)
		return 1;
	away = fabs(u - n * m / 2) - 0.5;
	return away <= 0 ? 1 : erfc(away / sqrt(2 * variance));
}

static int by_p(const void *a, const void *b)
{
	double x = **(const double *const *)a, y = **(const double *const *)b;

	return (x > y) - (x < y);
}

void significance__choose(const double *p, bool *chosen, size_t nr, double rate)
{
	const double **sorted = malloc((nr + 1) * sizeof(*sorted));
	size_t tests = 0, last = 0;

	memset(chosen, 0, nr * sizeof(*chosen));
	if (!sorted)
		return;
	for (size_t i = 0; i < nr; i++)
		if (!isnan(p[i]))
			sorted[tests++] = &p[i];
	qsort(sorted, tests, sizeof(*sorted), by_p);
	for (size_t i = 0; i < tests; i++)
		if (*sorted[i] <= rate * (i + 1) / tests)
			last = i + 1;
	for (size_t i = 0; i < last; i++)
		chosen[sorted[i] - p] = true;
	free(sorted);
}
