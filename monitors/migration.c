// SPDX-License-Identifier: GPL-2.0-only
#include "migration.h"

enum { PAGE_BYTES = 4096 };

static double least(double a, double b)
{
	return a < b ? a : b;
}

uint64_t migration__whole(double number)
{
	/* The bound itself is a double; what UINT64_MAX would be as one is beyond it. */
	if (!(number > 0))
		return 0;
	return number < 0x1p63 ? (uint64_t)number : INT64_MAX;
}

struct migration migration__predict(const struct migration_input *in)
{
	double left = in->memory, before, pages_per_s = in->bandwidth / PAGE_BYTES;
	double limit = pages_per_s * MIGRATION_DOWNTIME_MS / 1000;
	struct migration m = {};

	if (pages_per_s <= 0)
		return m;
	while (m.rounds < MIGRATION_MOST_ROUNDS) {
		double seconds = left / pages_per_s;

		m.rounds++;
		m.seconds += seconds;
		before = left;
		left = least(in->rate * seconds, in->working_set);
		if (left <= limit) {
			m.converges = true;
			break;
		}
		if (m.rounds > 1 && left >= before)
			break;
	}
	m.downtime = left / pages_per_s;
	m.seconds += m.downtime;
	return m;
}
