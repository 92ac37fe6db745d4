/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adding a duration to a struct timing. */
#ifndef KVM_WATCHER_STAT_BPF_H
#define KVM_WATCHER_STAT_BPF_H

#include "records.h"

/* The interval that user space is in; it advances this before it reads. */
volatile __u64 epoch = 1;

/* Index of the histogram's bucket for ns: 4 buckets per power of two. */
static __always_inline u32 stat__bucket(u64 ns)
{
	u32 v, msb, step;

	if (ns >> (STAT_MIN_SHIFT + 32))
		return STAT_BUCKETS - 1;
	v = ns >> STAT_MIN_SHIFT;
	if (!v)
		return 0;
	msb = (v > 0xffff) << 4;
	v >>= msb;
	step = (v > 0xff) << 3;
	v >>= step;
	msb |= step;
	step = (v > 0xf) << 2;
	v >>= step;
	msb |= step;
	step = (v > 0x3) << 1;
	v >>= step;
	msb |= step;
	msb |= v >> 1;
	return (msb << STAT_SUB_BITS) +
	       ((ns >> (msb + STAT_MIN_SHIFT - STAT_SUB_BITS)) & ((1 << STAT_SUB_BITS) - 1));
}

static __always_inline void stat__extremes(struct stat_extremes *x, u64 now, u64 ns)
{
	if (x->epoch != now) {
		x->min_ns = ns;
		x->max_ns = ns;
		/* Last: a half whose epoch is seen has extremes. */
		asm volatile("" : : : "memory");
		x->epoch = now;
	} else if (ns > x->max_ns) {
		x->max_ns = ns;
	} else if (ns < x->min_ns) {
		x->min_ns = ns;
	}
}

/* Only the owner thread of a record may. */
static __always_inline void stat__add(struct timing *stat, u64 ns)
{
	u64 now = epoch, bucket = stat__bucket(ns);
	struct stat_extremes *x = &stat->extremes[now & 1];

	stat->total_ns += ns;
	/* The compiler knows the bound and drops the mask; verifiers up to 6.1 do not know it. */
	asm volatile("" : "+r"(bucket));
	stat->hist[bucket & (STAT_BUCKETS - 1)]++;
	stat__extremes(x, now, ns);
}

/*
 * The same for a record that any CPU adds to. Counts are exact; of two that
 * are extreme at the same moment one may be missed.
 */
static __always_inline void stat__add_shared(struct timing *stat, u64 ns)
{
	u64 now = epoch, bucket = stat__bucket(ns);

	__sync_fetch_and_add(&stat->total_ns, ns);
	asm volatile("" : "+r"(bucket));
	__sync_fetch_and_add(&stat->hist[bucket & (STAT_BUCKETS - 1)], 1);
	stat__extremes(&stat->extremes[now & 1], now, ns);
}

#endif
