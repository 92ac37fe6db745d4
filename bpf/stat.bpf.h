/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adding a duration to a struct timing. */
#ifndef KVM_WATCHER_STAT_BPF_H
#define KVM_WATCHER_STAT_BPF_H

#include "records.h"

/* The interval that user space is in; it advances this before it reads. */
volatile __u64 epoch = 1;

#define RUN1(b) b
#define RUN2(b) RUN1(b), RUN1(b)
#define RUN4(b) RUN2(b), RUN2(b)
#define RUN8(b) RUN4(b), RUN4(b)
#define RUN16(b) RUN8(b), RUN8(b)
#define RUN32(b) RUN16(b), RUN16(b)
#define RUN64(b) RUN32(b), RUN32(b)
#define RUN128(b) RUN64(b), RUN64(b)
#define OCTAVE(run, b) run(b), run((b) + 1), run((b) + 2), run((b) + 3)

enum { STAT_TABLE = 1024, STAT_TABLE_SHIFT = STAT_MIN_SHIFT - STAT_SUB_BITS };

/* Buckets of the first 8 powers of two, in steps of 16 ns: most exits need one look. */
static const __u8 stat_buckets[STAT_TABLE] = {
	RUN4(0), OCTAVE(RUN1, 0), OCTAVE(RUN2, 4), OCTAVE(RUN4, 8), OCTAVE(RUN8, 12),
	OCTAVE(RUN16, 16), OCTAVE(RUN32, 20), OCTAVE(RUN64, 24), OCTAVE(RUN128, 28),
};

/*
 * v as the compiler knows nothing of it: else it compares one value and indexes
 * with another one, which verifiers do not see to be bounded by that.
 */
static __always_inline u64 opaque(u64 v)
{
	asm volatile("" : "+r"(v));
	return v;
}

/* The same for a pointer: it is computed once, and where this stands. */
static __always_inline void *opaque_pointer(void *p)
{
	asm volatile("" : "+r"(p));
	return p;
}

/* Index of the histogram's bucket for ns: 4 buckets per power of two. */
static __always_inline u32 stat__bucket(u64 ns)
{
	u64 step = opaque(ns >> STAT_TABLE_SHIFT);
	u32 base = 0;

	/* 8 powers of two higher, the same once more: three times to 2^38 ns. */
	if (step >= STAT_TABLE) {
		step = opaque(step >> 8);
		base = 8 << STAT_SUB_BITS;
		if (step >= STAT_TABLE) {
			step = opaque(step >> 8);
			base = 16 << STAT_SUB_BITS;
			if (step >= STAT_TABLE) {
				step = opaque(step >> 8);
				base = 24 << STAT_SUB_BITS;
				if (step >= STAT_TABLE)
					step = STAT_TABLE - 1;
			}
		}
	}
	return stat_buckets[step] + base;
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
	u64 now = epoch, bucket = opaque(stat__bucket(ns));
	struct stat_extremes *x = opaque_pointer(&stat->extremes[now & 1]);

	stat->total_ns += ns;
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
