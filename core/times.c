// SPDX-License-Identifier: GPL-2.0-only
#include "times.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

void times__init(struct times *t)
{
	memset(t, 0, sizeof(*t));
	t->min_ns = UINT64_MAX;
	t->max_ns = UINT64_MAX;
}

void times__extremes(struct times *t, uint64_t min_ns, uint64_t max_ns)
{
	if (max_ns == UINT64_MAX)
		return;
	if (min_ns < t->min_ns)
		t->min_ns = min_ns;
	if (t->max_ns == UINT64_MAX || max_ns > t->max_ns)
		t->max_ns = max_ns;
}

/* Of the few records that need it. */
static void add_high(struct times *t, const struct timing *record, const struct timing *now,
		     struct times_high **high)
{
	struct times_high *h = *high;

	if (!h) {
		h = *high = calloc(1, sizeof(*h));
		if (!h) {
			memory__is_short();
			return;
		}
		h->of = record;
	}
	for (int i = 0; i < STAT_BUCKETS; i++) {
		h->high[i] += now->hist[i] < h->low[i];
		h->low[i] = now->hist[i];
		t->hist[i] += (uint64_t)h->high[i] << 32;
		t->count += (uint64_t)h->high[i] << 32;
	}
}

void times__read(struct times *t, struct timing *record, uint64_t ended_epoch,
		 struct times_high **high)
{
	unsigned int half = EPOCH_HALF(ended_epoch);
	const struct timing now = *record;
	uint32_t bits = 0;

	times__init(t);
	t->total_ns = now.total_ns;
	for (int i = 0; i < STAT_BUCKETS; i++) {
		t->hist[i] = now.hist[i];
		t->count += now.hist[i];
		bits |= now.hist[i];
	}
	if (*high || bits >> 31)
		add_high(t, record, &now, high);
	/* Else untouched: a page of a record that nothing is added to stays clean. */
	if (!now.extremes.end_ns[half])
		return;
	times__extremes(t, now.extremes.min_ns[half], now.extremes.end_ns[half] - 1);
	__atomic_store_n(&record->extremes.end_ns[half], 0, __ATOMIC_RELEASE);
}

void times__add(struct times *a, const struct times *b)
{
	a->count += b->count;
	a->total_ns += b->total_ns;
	for (int i = 0; i < STAT_BUCKETS; i++)
		a->hist[i] += b->hist[i];
	times__extremes(a, b->min_ns, b->max_ns);
}

uint64_t stat_bucket__low(unsigned int bucket)
{
	unsigned int octave = bucket >> STAT_SUB_BITS, sub = bucket & ((1 << STAT_SUB_BITS) - 1);

	if (!bucket)
		return 0;
	return ((uint64_t)(1 << STAT_SUB_BITS) + sub) << (octave + STAT_MIN_SHIFT - STAT_SUB_BITS);
}

uint64_t stat_bucket__width(unsigned int bucket)
{
	return stat_bucket__low(bucket + 1) - stat_bucket__low(bucket);
}

static uint64_t clamp_to_extremes(const struct times *t, uint64_t ns)
{
	if (t->max_ns == UINT64_MAX)
		return ns;
	if (ns < t->min_ns)
		return t->min_ns;
	return ns > t->max_ns ? t->max_ns : ns;
}

uint64_t times__percentile(const struct times *t, double percent)
{
	uint64_t rank, seen = 0;

	if (!t->count)
		return UINT64_MAX;
	rank = ceil(t->count * percent / 100);
	if (!rank)
		rank = 1;
	for (unsigned int i = 0; i < STAT_BUCKETS; i++) {
		seen += t->hist[i];
		if (seen < rank)
			continue;
		/* The last bucket is open-ended: only the maximum bounds it. */
		if (i == STAT_BUCKETS - 1 && t->max_ns != UINT64_MAX)
			return t->max_ns;
		return clamp_to_extremes(t, stat_bucket__low(i) + stat_bucket__width(i) / 2);
	}
	return UINT64_MAX;
}

uint64_t times__mean(const struct times *t)
{
	return t->count ? t->total_ns / t->count : UINT64_MAX;
}

void tally__add(struct tally *t, int32_t key, uint64_t count)
{
	bool others = false;
	uint32_t i;

	for (i = 0; i < t->nr && t->list[i].key != key; i++)
		others |= t->list[i].key == TALLY_OTHER;
	if (i == t->nr && key != TALLY_OTHER && t->nr - others == TALLY_KEYS) {
		tally__add(t, TALLY_OTHER, count);
		return;
	}
	if (i == t->nr)
		t->list[t->nr++].key = key;
	t->list[i].count += count;
}

uint64_t tally__get(const struct tally *t, int32_t key)
{
	for (uint32_t i = 0; i < t->nr; i++)
		if (t->list[i].key == key)
			return t->list[i].count;
	return 0;
}
