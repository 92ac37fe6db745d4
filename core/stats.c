// SPDX-License-Identifier: GPL-2.0-only
#include "stats.h"

#include <math.h>
#include <string.h>

uint64_t counter__delta(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

void stat_delta__init(struct stat_delta *d)
{
	memset(d, 0, sizeof(*d));
	d->min_ns = UINT64_MAX;
	d->max_ns = UINT64_MAX;
}

/* hist_before may be NULL: since the beginning. */
static void set_growth(struct stat_delta *d, const struct timing *now, uint64_t total_before,
		       const __u64 *hist_before)
{
	d->total_ns = counter__delta(now->total_ns, total_before);
	d->timed = 0;
	for (int i = 0; i < STAT_BUCKETS; i++) {
		d->hist[i] = counter__delta(now->hist[i], hist_before ? hist_before[i] : 0);
		d->timed += d->hist[i];
	}
}

void stat_delta__set(struct stat_delta *d, const struct timing *now, const struct timing *before)
{
	set_growth(d, now, before ? before->total_ns : 0, before ? before->hist : NULL);
}

static void take_extremes(struct stat_delta *d, uint64_t min_ns, uint64_t max_ns)
{
	if (min_ns < d->min_ns)
		d->min_ns = min_ns;
	if (d->max_ns == UINT64_MAX || max_ns > d->max_ns)
		d->max_ns = max_ns;
}

void stat_delta__extremes(struct stat_delta *d, const struct timing *now, uint64_t epoch)
{
	const struct stat_extremes *x = &now->extremes;

	for (unsigned int i = 0; i < 2; i++)
		if (x->end_ns[i] && (!epoch || EPOCH_HALF(epoch) == i))
			take_extremes(d, x->min_ns[i], x->end_ns[i] - 1);
}

void timing__clear(struct timing *record, uint64_t epoch)
{
	/* Else untouched: a page of a record that nothing is added to stays clean. */
	if (record->extremes.end_ns[EPOCH_HALF(epoch)])
		__atomic_store_n(&record->extremes.end_ns[EPOCH_HALF(epoch)], 0, __ATOMIC_RELEASE);
}

void stat_delta__merge(struct stat_delta *a, const struct stat_delta *b)
{
	a->timed += b->timed;
	a->total_ns += b->total_ns;
	for (int i = 0; i < STAT_BUCKETS; i++)
		a->hist[i] += b->hist[i];
	if (b->max_ns != UINT64_MAX)
		take_extremes(a, b->min_ns, b->max_ns);
}

void stat_series__look(struct stat_series *s, struct timing *record, uint64_t epoch)
{
	const struct timing now = *record;

	if (!s->run.timed)
		s->run.min_ns = s->run.max_ns = UINT64_MAX;
	stat_delta__init(&s->grown);
	set_growth(&s->grown, &now, s->run.total_ns, s->run.hist);
	set_growth(&s->run, &now, 0, NULL);
	stat_delta__extremes(&s->grown, &now, epoch);
	stat_delta__extremes(&s->run, &now, 0);
	timing__clear(record, epoch);
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

static uint64_t clamp_to_extremes(const struct stat_delta *d, uint64_t ns)
{
	if (d->max_ns == UINT64_MAX)
		return ns;
	if (ns < d->min_ns)
		return d->min_ns;
	return ns > d->max_ns ? d->max_ns : ns;
}

uint64_t stat_delta__percentile(const struct stat_delta *d, double percent)
{
	uint64_t rank, seen = 0;

	if (!d->timed)
		return UINT64_MAX;
	rank = ceil(d->timed * percent / 100);
	if (!rank)
		rank = 1;
	for (unsigned int i = 0; i < STAT_BUCKETS; i++) {
		seen += d->hist[i];
		if (seen < rank)
			continue;
		/* The last bucket is open-ended: only the maximum bounds it. */
		if (i == STAT_BUCKETS - 1 && d->max_ns != UINT64_MAX)
			return d->max_ns;
		return clamp_to_extremes(d, stat_bucket__low(i) + stat_bucket__width(i) / 2);
	}
	return UINT64_MAX;
}
