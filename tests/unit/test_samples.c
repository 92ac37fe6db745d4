// SPDX-License-Identifier: GPL-2.0-only
/* core/samples.c: growth, several sinks, several sources, folding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/samples.h"
#include "../../core/times.h"

struct thing_row {
	struct row row;
	const char *reason;
	uint32_t code;
	uint64_t place;
	uint64_t since;
	uint64_t count;
	struct times time;
	struct tally errors;
	uint64_t cpus[2];
	uint64_t window;
	uint64_t sum;
	uint64_t most;
	uint64_t total_ns, min_ns, max_ns, mean_ns, p50_ns;
};

#define COL(...) COLUMN(struct thing_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct thing_row, time, what)

static const struct column columns[] = {
	COL(reason, "REASON", COL_STRING, ROLE_LABEL),
	COL(code, "CODE", COL_U32, ROLE_LABEL),
	COL(place, NULL, COL_HEX, ROLE_LABEL, .flags = COL_KEY_ONLY),
	COL(since, NULL, COL_U64, ROLE_LABEL, .flags = COL_KEY_ONLY | COL_WHOSE),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER),
	COL(time, NULL, COL_TIMES, ROLE_COUNTER),
	COL(errors, NULL, COL_TALLY, ROLE_COUNTER),
	COL(cpus, NULL, COL_BITS, ROLE_GAUGE, .size = sizeof(((struct thing_row *)0)->cpus)),
	COL(window, "WINDOW", COL_NSEC, ROLE_GAUGE),
	COL(sum, "SUM", COL_U64, ROLE_GAUGE, .merge = MERGE_SUM),
	COL(most, "MOST", COL_U64, ROLE_GAUGE, .merge = MERGE_MAX),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, TIME(TOTAL)),
	COL(min_ns, "MIN", COL_NSEC, ROLE_GAUGE, TIME(MIN)),
	COL(max_ns, "MAX", COL_NSEC, ROLE_GAUGE, TIME(MAX)),
	COL(mean_ns, "MEAN", COL_NSEC, ROLE_GAUGE, TIME(MEAN)),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, TIME(P50)),
	{},
};

enum { SINKS = 2, FAST = 0, SLOW = 1 };

static struct samples *new_samples(size_t keep_ended)
{
	struct samples *s = samples__new(columns, sizeof(struct thing_row), SINKS, keep_ended);

	assert_non_null(s);
	return s;
}

/* The labels of a series, with nothing counted. */
static struct thing_row labelled(const char *reason, uint32_t vm)
{
	struct thing_row row = {
		.row = { .vm = "vm", .vm_nr = vm, .pid = 10 + vm, .tid = 20 + vm },
		.reason = reason,
	};

	times__init(&row.time);
	return row;
}

static struct source *open_source(struct samples *s, const struct thing_row *row)
{
	struct source *source = samples__open(s, 0, &row->row);

	assert_non_null(source);
	return source;
}

/* Adds a time to a cumulative row, whose extremes are those of this look. */
static void add_time(struct thing_row *row, uint64_t ns)
{
	row->time.count++;
	row->time.total_ns += ns;
	row->time.hist[40]++;
	times__extremes(&row->time, ns, ns);
}

static void take(struct samples *s, struct source *source, struct thing_row *row)
{
	samples__take(s, source, &row->row);
	row->time.min_ns = row->time.max_ns = UINT64_MAX;
}

/* The only row of a reading; false when there is none. */
static bool read_one(struct samples *s, size_t sink, enum scope scope, struct thing_row *row)
{
	struct sample *list;
	size_t nr;

	assert_int_equal(samples__read(s, sink, 0, scope, &list, &nr), 0);
	assert_true(nr <= 1);
	if (nr)
		*row = *(struct thing_row *)list[0].row;
	free(list);
	return nr;
}

static void test_growth(void **state)
{
	struct samples *s = new_samples(10);
	struct thing_row now = labelled("io", 1), got;
	struct source *source = open_source(s, &now);

	(void)state;
	assert_false(read_one(s, FAST, SCOPE_INTERVAL, &got));
	now.count = 5;
	now.window = 100;
	add_time(&now, 1000);
	take(s, source, &now);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 5);
	assert_int_equal(got.window, 100);
	assert_int_equal(got.total_ns, 1000);
	assert_string_equal(got.reason, "io");
	/* Nothing new is no row, though a gauge may have changed. */
	now.window = 50;
	take(s, source, &now);
	assert_false(read_one(s, FAST, SCOPE_INTERVAL, &got));
	now.count = 7;
	take(s, source, &now);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 2);
	assert_int_equal(got.window, 50);
	assert_int_equal(got.total_ns, 0);
	assert_true(got.mean_ns == UINT64_MAX && got.max_ns == UINT64_MAX);
	/* A counter that falls is taken for the one before, and goes on from there. */
	now.count = 3;
	take(s, source, &now);
	assert_false(read_one(s, FAST, SCOPE_INTERVAL, &got));
	now.count = 8;
	take(s, source, &now);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 1);
	/* Totals can be had at any time, and take nothing from anybody. */
	for (int i = 0; i < 2; i++) {
		assert_true(read_one(s, FAST, SCOPE_TOTAL, &got));
		assert_int_equal(got.count, 8);
		assert_int_equal(got.max_ns, 1000);
	}
	samples__close(s, source);
	samples__free(s);
}

/* What has ended and all sinks have seen is packed: its total is as it was, and may grow. */
static void test_packed(void **state)
{
	struct samples *s = new_samples(10);
	struct thing_row now = labelled("io", 1), got, before;
	struct source *source = open_source(s, &now);

	(void)state;
	now.count = 5;
	now.window = UINT64_MAX;
	now.cpus[1] = 1ULL << 63;
	now.sum = 1;
	add_time(&now, 1000);
	add_time(&now, 3000);
	tally__add(&now.errors, -7, 2);
	take(s, source, &now);
	samples__close(s, source);
	assert_true(read_one(s, FAST, SCOPE_TOTAL, &before));
	/* The second reading of an interval finds nothing, and packs what both sinks have seen. */
	for (size_t sink = 0; sink < SINKS; sink++)
		assert_true(read_one(s, sink, SCOPE_INTERVAL, &got));
	for (size_t sink = 0; sink < SINKS; sink++) {
		assert_false(read_one(s, sink, SCOPE_INTERVAL, &got));
		assert_true(read_one(s, sink, SCOPE_TOTAL, &got));
		assert_memory_equal(&got, &before, sizeof(got));
	}
	/* A source that comes back goes on from there, and sinks see its growth alone. */
	for (int i = 0; i < 2; i++) {
		now = labelled("io", 1);
		now.count = 2;
		add_time(&now, 500);
		source = open_source(s, &now);
		take(s, source, &now);
		samples__close(s, source);
		for (size_t sink = 0; sink < SINKS; sink++) {
			assert_true(read_one(s, sink, SCOPE_INTERVAL, &got));
			assert_int_equal(got.count, 2);
			assert_int_equal(got.total_ns, 500);
			assert_int_equal(got.max_ns, 500);
			assert_int_equal(got.errors.nr, 0);
			assert_false(read_one(s, sink, SCOPE_INTERVAL, &got));
		}
		assert_true(read_one(s, FAST, SCOPE_TOTAL, &got));
		assert_int_equal(got.count, 7 + 2 * i);
		assert_int_equal(got.min_ns, 500);
		assert_int_equal(got.max_ns, 3000);
		assert_int_equal(tally__get(&got.errors, -7), 2);
	}
	samples__free(s);
}

/* Packed ones are folded as others are. */
static void test_packed_folded(void **state)
{
	enum { KEPT = 4, VMS = 40 };
	struct samples *s = new_samples(KEPT);
	struct sample *list;
	uint64_t count = 0, total_ns = 0;
	struct thing_row got;
	size_t nr;

	(void)state;
	for (uint32_t vm = 1; vm <= VMS; vm++) {
		struct thing_row now = labelled("io", vm);
		struct source *source = open_source(s, &now);

		now.count = vm;
		add_time(&now, 1000ULL * vm);
		take(s, source, &now);
		samples__close(s, source);
		for (size_t sink = 0; sink < SINKS; sink++) {
			assert_true(read_one(s, sink, SCOPE_INTERVAL, &got));
			assert_int_equal(got.count, vm);
			assert_false(read_one(s, sink, SCOPE_INTERVAL, &got));
		}
	}
	assert_int_equal(samples__nr_remainders(s), 1);
	assert_int_equal(samples__read(s, FAST, 0, SCOPE_TOTAL, &list, &nr), 0);
	assert_true(nr <= KEPT + 1);
	for (size_t i = 0; i < nr; i++) {
		const struct thing_row *row = (const struct thing_row *)list[i].row;

		assert_ptr_not_equal(list[i].run, NULL);
		count += row->count;
		total_ns += row->total_ns;
	}
	assert_int_equal(count, VMS * (VMS + 1) / 2);
	assert_int_equal(total_ns, 1000 * count);
	free(list);
	samples__free(s);
}

/* What was counted before the window is no part of it, extremes included. */
static void test_begin(void **state)
{
	struct samples *s = new_samples(10);
	struct thing_row now = labelled("io", 1), other = labelled("io", 1), got;
	struct source *source = open_source(s, &now), *second;

	(void)state;
	for (int i = 0; i < 2; i++) {
		now.count += 5;
		add_time(&now, 9000);
		tally__add(&now.errors, 14, 3);
		assert_true(samples__begin(s, source, &now.row));
		now.time.min_ns = now.time.max_ns = UINT64_MAX;
	}
	/* All of it was before: it is not even a row of zeros. */
	assert_false(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_false(read_one(s, FAST, SCOPE_TOTAL, &got));
	take(s, source, &now);
	assert_false(read_one(s, FAST, SCOPE_TOTAL, &got));
	now.count += 2;
	add_time(&now, 1000);
	tally__add(&now.errors, 14, 1);
	take(s, source, &now);
	for (enum scope scope = SCOPE_INTERVAL; scope <= SCOPE_TOTAL; scope++) {
		assert_true(read_one(s, FAST, scope, &got));
		assert_int_equal(got.count, 2);
		assert_int_equal(got.time.count, 1);
		assert_int_equal(got.total_ns, 1000);
		assert_int_equal(got.max_ns, 1000);
		assert_int_equal(tally__get(&got.errors, 14), 1);
	}
	/* A second source, named late: what it had is not taken, what there is stays. */
	second = open_source(s, &other);
	other.count = 100;
	assert_true(samples__begin(s, second, &other.row));
	assert_true(read_one(s, FAST, SCOPE_TOTAL, &got));
	assert_int_equal(got.count, 2);
	other.count = 101;
	take(s, second, &other);
	assert_true(read_one(s, SLOW, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 3);
	samples__close(s, source);
	samples__close(s, second);
	samples__free(s);
}

/* A series of which all was before the window leaves nothing behind when it is folded. */
static void test_begin_folded(void **state)
{
	struct samples *s = new_samples(1);
	struct thing_row got;

	(void)state;
	for (uint32_t vm = 1; vm <= 5; vm++) {
		struct thing_row now = labelled("io", vm);
		struct source *source = open_source(s, &now);

		now.count = 7;
		assert_true(samples__begin(s, source, &now.row));
		samples__close(s, source);
	}
	assert_int_equal(samples__nr_remainders(s), 0);
	assert_false(read_one(s, FAST, SCOPE_TOTAL, &got));
	samples__free(s);
}

/* Asked for and not told: sources come and go by what a look has. */
static void test_polled(void **state)
{
	struct thing_row a = labelled("a", 1), b = labelled("b", 1), got;
	struct samples *s = new_samples(KEEP_VMS_OF_RUN);

	(void)state;
	a.count = 100;
	b.count = UINT64_MAX;
	samples__poll(s, 0, &a.row, true, SHOW_ALWAYS);
	samples__poll(s, 0, &b.row, true, SHOW_GROWTH);
	samples__end_poll(s);
	assert_false(read_one(s, FAST, SCOPE_TOTAL, &got));
	/* What is absent at the begin is absent then; without growth it is shown if it is to be. */
	samples__poll(s, 0, &b.row, false, SHOW_ALWAYS);
	samples__end_poll(s);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_string_equal(got.reason, "b");
	assert_true(got.count == UINT64_MAX);
	samples__poll(s, 0, &b.row, false, SHOW_GROWTH);
	samples__end_poll(s);
	assert_false(read_one(s, FAST, SCOPE_INTERVAL, &got));
	/* a was not there for a look: its counter of now is a new source's, counted from zero. */
	a.count = 3;
	samples__poll(s, 0, &a.row, false, SHOW_GROWTH);
	samples__end_poll(s);
	a.count = 7;
	samples__poll(s, 0, &a.row, false, SHOW_GROWTH);
	samples__end_poll(s);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_string_equal(got.reason, "a");
	assert_int_equal(got.count, 7);
	assert_int_equal(samples__nr_series(s), 2);

	/* A gauge that changes is shown, one that does not is not. */
	for (int look = 0; look < 4; look++) {
		a.sum = look / 2;
		samples__poll(s, 0, &a.row, false, SHOW_CHANGES);
		samples__end_poll(s);
		assert_int_equal(read_one(s, FAST, SCOPE_INTERVAL, &got), look == 2);
	}
	samples__free(s);
}

/* Thousands that come and go leave no more behind than others do. */
static void test_polled_is_bounded(void **state)
{
	struct samples *s = new_samples(2);

	(void)state;
	for (uint32_t vm = 1; vm <= 1000; vm++) {
		struct thing_row row = labelled("a", vm);

		row.count = vm;
		samples__poll(s, 0, &row.row, false, SHOW_GROWTH);
		samples__end_poll(s);
	}
	samples__end_poll(s);
	assert_true(samples__nr_series(s) <= 4);
	samples__free(s);
}

static void test_sinks(void **state)
{
	struct samples *s = new_samples(10);
	struct thing_row now = labelled("io", 1), got;
	struct source *source = open_source(s, &now);

	(void)state;
	for (int i = 1; i <= 4; i++) {
		now.count += i;
		now.cpus[0] = 1 << i;
		now.most = i == 2 ? 9 : i;
		add_time(&now, i == 2 ? 9000 : 100 * i);
		take(s, source, &now);
		/* The fast one looks each time: it must not take the extremes from the other. */
		assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
		assert_int_equal(got.count, i);
		assert_int_equal(got.cpus[0], 1 << i);
		assert_int_equal(got.most, i == 2 ? 9 : i);
		assert_int_equal(got.max_ns, i == 2 ? 9000 : 100 * i);
		assert_int_equal(got.min_ns, got.max_ns);
		assert_int_equal(got.total_ns, got.max_ns);
	}
	assert_true(read_one(s, SLOW, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 10);
	assert_int_equal(got.cpus[0], 0x1e);
	assert_int_equal(got.most, 9);
	assert_int_equal(got.max_ns, 9000);
	assert_int_equal(got.min_ns, 100);
	assert_int_equal(got.total_ns, 9800);
	assert_false(read_one(s, SLOW, SCOPE_INTERVAL, &got));
	now.count++;
	now.cpus[0] = 1;
	now.most = 4;
	take(s, source, &now);
	assert_true(read_one(s, SLOW, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 1);
	assert_int_equal(got.cpus[0], 1);
	assert_int_equal(got.most, 4);
	assert_true(got.max_ns == UINT64_MAX);
	samples__free(s);
	/* Sources are closed before the store. */
	free(source);
}

/* Records of the same labels add up, and what one has brought stays when it is gone. */
static void test_sources(void **state)
{
	struct samples *s = new_samples(10);
	struct thing_row a = labelled("io", 1), b = a, c = a, got;
	struct source *one = open_source(s, &a), *two, *three;

	(void)state;
	a.count = 5;
	a.sum = 3;
	add_time(&a, 100);
	tally__add(&a.errors, 11, 2);
	take(s, one, &a);
	two = open_source(s, &b);
	b.count = 7;
	b.sum = 4;
	add_time(&b, 50);
	tally__add(&b.errors, 11, 1);
	tally__add(&b.errors, 22, 1);
	take(s, two, &b);
	a.count = 6;
	a.sum = 2;
	tally__add(&a.errors, 11, 1);
	take(s, one, &a);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 13);
	assert_int_equal(got.sum, 6);
	assert_int_equal(got.min_ns, 50);
	assert_int_equal(got.max_ns, 100);
	assert_int_equal(got.total_ns, 150);
	assert_int_equal(tally__get(&got.errors, 11), 4);
	assert_int_equal(tally__get(&got.errors, 22), 1);
	samples__close(s, one);
	samples__close(s, two);
	/* Again the same labels: a new record begins with zero. */
	three = open_source(s, &c);
	c.count = 1;
	tally__add(&c.errors, 33, 1);
	take(s, three, &c);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 1);
	assert_int_equal(got.errors.nr, 1);
	assert_int_equal(tally__get(&got.errors, 33), 1);
	assert_true(read_one(s, FAST, SCOPE_TOTAL, &got));
	assert_int_equal(got.count, 14);
	assert_int_equal(got.max_ns, 100);
	assert_int_equal(samples__nr_series(s), 1);
	samples__close(s, three);
	samples__free(s);
}

static void test_keys(void **state)
{
	struct samples *s = new_samples(10);
	struct thing_row rows[] = {
		labelled("io", 1), labelled("io", 2), labelled("hlt", 1),
		labelled(NULL, 1), labelled("io", 1), labelled("io", 1),
	};
	struct source *sources[6], *again;
	char reason[] = "io";

	(void)state;
	rows[4].code = 1;
	/* Not shown, and yet of another thing. */
	rows[5].place = 0x1000;
	for (int i = 0; i < 6; i++)
		sources[i] = open_source(s, &rows[i]);
	assert_int_equal(samples__nr_series(s), 6);
	/* Texts are copied, and compared by what they say. */
	rows[0].reason = reason;
	again = open_source(s, &rows[0]);
	reason[0] = 'x';
	assert_int_equal(samples__nr_series(s), 6);
	samples__close(s, again);
	for (int i = 0; i < 6; i++)
		samples__close(s, sources[i]);
	samples__free(s);
}

struct sums {
	uint64_t count, total_ns, max_ns;
	size_t rows;
};

static struct sums sum_up(struct samples *s, size_t sink, enum scope scope)
{
	struct sums sums = {};
	struct sample *list;

	assert_int_equal(samples__read(s, sink, 0, scope, &list, &sums.rows), 0);
	for (size_t i = 0; i < sums.rows; i++) {
		const struct thing_row *row = (struct thing_row *)list[i].row;

		sums.count += row->count;
		sums.total_ns += row->total_ns;
		if (row->max_ns != UINT64_MAX && row->max_ns > sums.max_ns)
			sums.max_ns = row->max_ns;
	}
	free(list);
	return sums;
}

/* Thousands of VMs come and go: memory is bounded, and each sink sees everything once. */
static void test_folding(void **state)
{
	enum { VMS = 3000, KEEP = 100, SLOW_EVERY = 7 };
	struct samples *s = new_samples(KEEP);
	uint64_t count = 0, total_ns = 0, fast = 0, slow = 0, last = 0;
	struct sums sums;

	(void)state;
	for (uint32_t vm = 1; vm <= VMS; vm++) {
		struct thing_row now = labelled(vm % 3 ? "io" : "hlt", vm);
		struct source *source;

		now.since = vm;
		source = open_source(s, &now);
		now.count = vm;
		add_time(&now, vm);
		take(s, source, &now);
		count += vm;
		total_ns += vm;
		if (vm % 2) {
			sums = sum_up(s, FAST, SCOPE_INTERVAL);
			fast += sums.count;
		}
		if (!(vm % SLOW_EVERY)) {
			sums = sum_up(s, SLOW, SCOPE_INTERVAL);
			slow += sums.count;
			assert_int_equal(sums.max_ns, vm);
		}
		samples__close(s, source);
		assert_true(samples__nr_series(s) <= KEEP);
		sums = sum_up(s, SLOW, SCOPE_TOTAL);
		assert_true(sums.count > last);
		last = sums.count;
	}
	sums = sum_up(s, FAST, SCOPE_TOTAL);
	assert_int_equal(sums.count, count);
	assert_int_equal(sums.total_ns, total_ns);
	assert_int_equal(sums.max_ns, VMS);
	fast += sum_up(s, FAST, SCOPE_INTERVAL).count;
	slow += sum_up(s, SLOW, SCOPE_INTERVAL).count;
	assert_int_equal(fast, count);
	assert_int_equal(slow, count);
	assert_int_equal(samples__nr_series(s), KEEP - 1);
	/* A remainder per label set: "io" and "hlt". Since when, was each one's own. */
	assert_int_equal(samples__nr_remainders(s), 2);
	samples__free(s);
}

/* What has ended makes room for what lives, down to a quarter of all there is. */
static void test_the_living_come_first(void **state)
{
	enum { LIVE = 90, ENDED = 100, KEEP = 100 };
	struct samples *s = new_samples(KEEP);
	struct source *sources[3 * LIVE];
	struct thing_row now;

	(void)state;
	for (uint32_t vm = 1; vm <= 3 * LIVE; vm++) {
		now = labelled("io", vm);
		now.count = 1;
		sources[vm - 1] = open_source(s, &now);
		take(s, sources[vm - 1], &now);
		if (vm != LIVE && vm != 3 * LIVE)
			continue;
		for (uint32_t i = 0; i < ENDED; i++) {
			struct source *source;

			now = labelled("io", 1000 * vm + i);
			now.count = 1;
			source = open_source(s, &now);
			take(s, source, &now);
			samples__close(s, source);
		}
		assert_in_range(samples__nr_series(s), vm + vm / 4, vm + vm / 3 + 1);
	}
	assert_int_equal(sum_up(s, FAST, SCOPE_TOTAL).count, 3 * LIVE + 2 * ENDED);
	for (size_t i = 0; i < 3UL * LIVE; i++)
		samples__close(s, sources[i]);
	assert_int_equal(sum_up(s, SLOW, SCOPE_TOTAL).count, 3 * LIVE + 2 * ENDED);
	assert_in_range(samples__nr_series(s), KEEP - 1, KEEP);
	samples__free(s);
}

/* VMs that nobody asks for have numbers too: they do not make the others old. */
static void test_others_count_for_nothing(void **state)
{
	struct samples *s = new_samples(2);

	(void)state;
	for (uint32_t vm = 1; vm <= 2001; vm += 1000) {
		struct thing_row now = labelled("io", vm);
		struct source *source = open_source(s, &now);

		now.count = 1;
		take(s, source, &now);
		samples__close(s, source);
		assert_int_equal(samples__nr_remainders(s), vm == 2001);
	}
	samples__free(s);
}

/* What was folded does not come back: the VM that looks like it begins anew. */
static void test_folding_is_final(void **state)
{
	struct samples *s = new_samples(0);
	struct thing_row now = labelled("io", 1), got;
	struct source *source = open_source(s, &now);

	(void)state;
	now.count = 5;
	take(s, source, &now);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	samples__close(s, source);
	/* The one that has seen it sees nothing new, the other one does. */
	assert_false(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_true(read_one(s, SLOW, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 5);
	assert_string_equal(got.row.vm, ENDED_VMS);
	assert_true(got.row.pid == UINT32_MAX);
	now.count = 0;
	source = open_source(s, &now);
	now.count = 2;
	take(s, source, &now);
	assert_true(read_one(s, FAST, SCOPE_INTERVAL, &got));
	assert_int_equal(got.count, 2);
	assert_string_equal(got.row.vm, "vm");
	assert_int_equal(sum_up(s, FAST, SCOPE_TOTAL).count, 7);
	samples__close(s, source);
	assert_int_equal(sum_up(s, FAST, SCOPE_TOTAL).count, 7);
	samples__free(s);
}

/* Guests choose labels, too: when they choose too many, remainders have none. */
static void test_remainders_are_bounded(void **state)
{
	enum { LABELS = MAX_REMAINDERS + 500 };
	struct samples *s = new_samples(0);

	(void)state;
	for (uint32_t i = 0; i < LABELS; i++) {
		struct thing_row now = labelled("hypercall", 1);
		struct source *source;

		now.code = i;
		source = open_source(s, &now);
		now.count = 3;
		take(s, source, &now);
		samples__close(s, source);
	}
	assert_int_equal(samples__nr_series(s), 0);
	assert_int_equal(samples__nr_remainders(s), MAX_REMAINDERS + 1);
	assert_int_equal(sum_up(s, FAST, SCOPE_TOTAL).count, 3 * LABELS);
	samples__free(s);
}

static void test_merge(void **state)
{
	struct samples *s = new_samples(0);
	struct thing_row a = labelled("io", 1), b = labelled("hlt", 1);

	(void)state;
	a.count = 2;
	a.window = 1;
	a.sum = 10;
	a.most = 7;
	add_time(&a, 300);
	b.count = 3;
	b.window = 2;
	b.sum = 20;
	b.most = 5;
	b.cpus[1] = 4;
	add_time(&b, 100);
	samples__merge(s, 0, &a.row, &b.row);
	samples__derive(s, 0, &a.row);
	assert_string_equal(a.reason, "io");
	assert_int_equal(a.count, 5);
	/* Of two different ones there is no last. */
	assert_int_equal(a.window, UINT64_MAX);
	assert_int_equal(a.sum, 30);
	assert_int_equal(a.most, 7);
	assert_int_equal(a.cpus[1], 4);
	assert_int_equal(a.total_ns, 400);
	assert_int_equal(a.min_ns, 100);
	assert_int_equal(a.max_ns, 300);
	assert_int_equal(a.mean_ns, 200);
	samples__free(s);
}

/* A VM has too many series that have ended: they are its others, and no other VM has changed. */
static void test_one_vm_is_bounded(void **state)
{
	enum { LABELS = 2 * MOST_ENDED_OF_VM, EVERY = 1000 };
	struct samples *s = new_samples(KEEP_VMS_OF_RUN);
	struct thing_row now = labelled("io", 2);
	struct source *source = open_source(s, &now);
	uint64_t fast = 0, others = 0;
	struct sample *list;
	size_t nr;

	(void)state;
	now.count = 7;
	take(s, source, &now);
	samples__close(s, source);
	for (uint32_t i = 0; i < LABELS; i++) {
		now = labelled("ioctl", 1);
		now.row.tid = i;
		now.code = i;
		source = open_source(s, &now);
		now.count = 3;
		take(s, source, &now);
		if (!(i % EVERY))
			fast += sum_up(s, FAST, SCOPE_INTERVAL).count;
		samples__close(s, source);
	}
	assert_true(samples__nr_series(s) <= MOST_ENDED_OF_VM + 3);
	assert_int_equal(samples__nr_remainders(s), 0);
	fast += sum_up(s, FAST, SCOPE_INTERVAL).count;
	assert_int_equal(fast, 3 * LABELS + 7);
	assert_int_equal(sum_up(s, SLOW, SCOPE_INTERVAL).count, fast);
	assert_int_equal(samples__read(s, FAST, 0, SCOPE_TOTAL, &list, &nr), 0);
	for (size_t i = 0; i < nr; i++) {
		const struct thing_row *row = (struct thing_row *)list[i].row;

		if (!strcmp(row->reason, OTHERS)) {
			assert_int_equal(row->row.pid, 11);
			assert_true(row->row.tid == UINT32_MAX);
			others = row->count;
		} else if (row->row.vm_nr == 2) {
			assert_int_equal(row->count, 7);
		}
	}
	assert_true(others >= 3UL * (LABELS - MOST_ENDED_OF_VM - 1));
	free(list);
	samples__free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_packed_folded),
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_begin_folded),
		cmocka_unit_test(test_polled),
		cmocka_unit_test(test_polled_is_bounded),
		cmocka_unit_test(test_sinks),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_the_living_come_first),
		cmocka_unit_test(test_others_count_for_nothing),
		cmocka_unit_test(test_folding_is_final),
		cmocka_unit_test(test_remainders_are_bounded),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_one_vm_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
