/* SPDX-License-Identifier: GPL-2.0-only */
/* What -d computes without a kernel: the migration's prediction, and different pages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../monitors/dirty_pages.h"
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

/* Memory as large as a descriptor may say, and slow: longer than nanoseconds are counted. */
static void test_longer_than_can_be_said(void **state)
{
	const struct migration_input in = { (double)UINT64_MAX, 0, 0, 1e-6 };
	struct migration m = migration__predict(&in);

	(void)state;
	assert_true(m.converges);
	assert_true(migration__whole(m.seconds * 1e9) == INT64_MAX);
	assert_true(migration__whole(in.memory) == INT64_MAX);
	assert_true(migration__whole(0x1p63) == INT64_MAX);
	assert_true(migration__whole(0x1.fffffffffffffp62) == INT64_MAX - 1023);
	assert_true(migration__whole(INFINITY) == INT64_MAX);
	assert_true(migration__whole(NAN) == 0);
	assert_true(migration__whole(-1) == 0);
	assert_true(migration__whole(1.9) == 1);
}

enum { NR_CHUNKS = 3, NR_RECORDS = 3, FAST = 0, SLOW = 1 };

/* Two regions of a chunk each, and two sinks. */
struct marked {
	struct page_chunk chunks[NR_CHUNKS];
	struct dirty_region one, two, *regions[NR_RECORDS];
	struct sink sinks[2];
	struct dirty_pages pages;
	uint64_t now_ns;
};

static int set_up(void **state)
{
	struct marked *m = calloc(1, sizeof(*m));

	*state = m;
	if (!m)
		return -1;
	m->regions[1] = &m->one;
	m->regions[2] = &m->two;
	for (int i = 1; i < NR_CHUNKS; i++) {
		m->chunks[i].in_use = 1;
		m->chunks[i].key.region = i;
		m->chunks[i].key.number = 10ULL * i;
		m->regions[i]->wanted = true;
		m->regions[i]->key.base_gfn = 0x1000ULL * i;
	}
	m->pages.counts.chunks = m->chunks;
	m->pages.counts.nr_chunks = NR_CHUNKS;
	m->pages.nr_regions = NR_RECORDS;
	m->pages.lists = true;
	m->pages.past = calloc(NR_CHUNKS, sizeof(*m->pages.past));
	m->now_ns = 1000;
	m->sinks[FAST].since_ns = m->sinks[SLOW].since_ns = m->now_ns;
	return m->pages.past ? 0 : -1;
}

static int tear_down(void **state)
{
	struct marked *m = *state;

	free(m->pages.past);
	free(m->pages.list);
	free(m);
	return 0;
}

static void look(struct marked *m)
{
	m->now_ns += 1000;
	dirty_pages__begin(&m->pages, m->sinks, 2);
	dirty_pages__look(&m->pages, m->regions);
}

/* What report__intervals() does. */
static void show(struct marked *m, size_t sink)
{
	m->sinks[sink].since_ns = m->now_ns;
}

static void mark(struct marked *m, int chunk, int page, int times)
{
	m->chunks[chunk].counts[page] += times;
}

static void unique_is(const struct marked *m, uint64_t fast, uint64_t slow)
{
	assert_int_equal(dirty_pages__unique(&m->pages, &m->one, FAST), fast);
	assert_int_equal(dirty_pages__unique(&m->pages, &m->one, SLOW), slow);
}

/* Each sink has its own window. A page that is marked at several looks in it is one page. */
static void test_windows(void **state)
{
	struct marked *m = *state;

	mark(m, 1, 0, 1);
	mark(m, 1, 1, 5);
	look(m);
	unique_is(m, 2, 2);
	show(m, FAST);

	mark(m, 1, 1, 1);
	mark(m, 1, 2, 1);
	look(m);
	unique_is(m, 2, 3);
	show(m, FAST);

	look(m);
	unique_is(m, 0, 3);
	show(m, FAST);
	show(m, SLOW);

	/* A look that nobody is shown is a part of both windows. */
	mark(m, 1, 0, 1);
	look(m);
	unique_is(m, 1, 1);
	mark(m, 1, 0, 1);
	mark(m, 1, 3, 1);
	look(m);
	unique_is(m, 2, 2);
}

/* Over the run: pages ever marked, and those marked once only. */
static void test_marked_once(void **state)
{
	struct marked *m = *state;

	mark(m, 1, 0, 1);
	mark(m, 1, 1, 2);
	mark(m, 2, 7, 1);
	look(m);
	assert_int_equal(m->one.marked, 2);
	assert_int_equal(m->one.once, 1);
	assert_int_equal(m->two.marked, 1);
	mark(m, 1, 0, 1);
	mark(m, 1, 1, 1);
	mark(m, 1, 2, 1);
	look(m);
	assert_int_equal(m->one.marked, 3);
	assert_int_equal(m->one.once, 1);
	assert_int_equal(m->one.changes, 5);
	assert_int_equal(m->two.once, 1);
}

/* A VM that is named late has all that it did before. One that nobody asks for has nothing. */
static void test_wanted_late(void **state)
{
	struct marked *m = *state;

	m->one.wanted = m->two.wanted = false;
	mark(m, 1, 0, 1);
	mark(m, 2, 0, 1);
	look(m);
	show(m, FAST);
	m->one.wanted = true;
	mark(m, 1, 1, 1);
	look(m);
	assert_int_equal(m->one.marked, 2);
	unique_is(m, 2, 2);
	assert_int_equal(m->two.marked, 0);
	dirty_pages__finish(&m->pages, m->regions);
	assert_int_equal(m->pages.nr, 2);
	assert_ptr_equal(m->pages.list[1].region, &m->one);
	assert_int_equal(m->pages.list[1].rel_gfn, 10 * CHUNK_PAGES + 1);
	assert_int_equal(m->pages.list[1].count, 1);
}

/* A number in the map that no record has leads nowhere. */
static void test_no_such_region(void **state)
{
	struct marked *m = *state;

	mark(m, 1, 0, 1);
	mark(m, 2, 0, 1);
	m->chunks[1].key.region = NR_RECORDS;
	m->chunks[2].key.region = UINT64_MAX;
	look(m);
	m->one.retired = m->two.retired = true;
	dirty_pages__retire(&m->pages, m->regions);
	dirty_pages__finish(&m->pages, m->regions);
	assert_int_equal(m->one.marked + m->two.marked, 0);
	assert_int_equal(m->pages.nr, 0);
}

/* Of what is retired the pages that were marked most are kept, however many there have been. */
static void test_ended_are_bounded(void **state)
{
	enum { FULL = 2 * MOST_ENDED_PAGES };
	struct share shares[NR_CHUNKS] = {};
	struct marked *m = *state;

	m->pages.counts.shares.list = shares;
	m->pages.room = FULL + CHUNK_PAGES;
	m->pages.list = calloc(m->pages.room, sizeof(*m->pages.list));
	assert_non_null(m->pages.list);
	for (m->pages.nr = 0; m->pages.nr < FULL - 1; m->pages.nr++)
		m->pages.list[m->pages.nr] =
			(struct page_count){ &m->two, m->pages.nr, 1 + m->pages.nr % 7 };
	mark(m, 1, 5, 1000);
	mark(m, 1, 6, 1);
	look(m);
	m->one.retired = true;
	dirty_pages__retire(&m->pages, m->regions);
	assert_int_equal(m->pages.nr, MOST_ENDED_PAGES);
	assert_int_equal(m->pages.nr_left_out, FULL + 1 - MOST_ENDED_PAGES);
	assert_ptr_equal(m->pages.list[0].region, &m->one);
	assert_int_equal(m->pages.list[0].count, 1000);
	assert_int_equal(m->pages.list[m->pages.nr - 1].count, 4);

	m->two.dropped = true;
	dirty_pages__drop(&m->pages);
	assert_int_equal(m->pages.nr, 1);
	assert_int_equal(m->pages.nr_left_out, FULL);
}

/* Series have no pages: nobody asks for a list, which would grow. */
static void test_no_list(void **state)
{
	struct share shares[NR_CHUNKS] = {};
	struct marked *m = *state;

	m->pages.counts.shares.list = shares;
	m->pages.lists = false;
	mark(m, 1, 5, 3);
	look(m);
	m->one.retired = true;
	dirty_pages__retire(&m->pages, m->regions);
	assert_int_equal(m->pages.nr, 0);
	assert_int_equal(m->pages.nr_left_out, 0);
	assert_int_equal(m->chunks[1].in_use, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_guest),
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_small_working_set),
		cmocka_unit_test(test_does_not_converge),
		cmocka_unit_test(test_longer_than_can_be_said),
		cmocka_unit_test_setup_teardown(test_windows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_marked_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wanted_late, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_such_region, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ended_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_list, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
