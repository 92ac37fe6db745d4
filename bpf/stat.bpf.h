/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Adding a duration to a struct timing. Plain C but for its types and barriers,
 * of which tests/unit/test_stats.c has its own.
 */
#ifndef KVM_WATCHER_STAT_BPF_H
#define KVM_WATCHER_STAT_BPF_H

#include "records.h"

/* The interval that user space is in; it advances this before it reads. */
volatile __u64 epoch = EPOCH_STEP;

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
	RUN4(0),	   OCTAVE(RUN1, 0),   OCTAVE(RUN2, 4),
	OCTAVE(RUN4, 8),   OCTAVE(RUN8, 12),  OCTAVE(RUN16, 16),
	OCTAVE(RUN32, 20), OCTAVE(RUN64, 24), OCTAVE(RUN128, 28),
};

/*
 * v as the compiler knows nothing of it: else it compares one value and indexes
 * with another one, which verifiers do not see to be bounded by that.
 */
static __always_inline u64 opaque(u64 v)
{
	barrier_var(v);
	return v;
}

/* The same for a pointer: it is computed once, and where this stands. */
static __always_inline void *opaque_pointer(void *p)
{
	barrier_var(p);
	return p;
}

/* 8 powers of two higher, the same once more: three times to 2^38 ns. */
static __always_inline u64 stat__far_bucket(u64 step)
{
	u64 base = 8 << STAT_SUB_BITS;

	step = opaque(step >> 8);
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
	return stat_buckets[step] + base;
}

/* The histogram's bucket for ns: 4 buckets per power of two. */
static __always_inline __u32 *stat__bucket(struct timing *stat, u64 ns)
{
	u64 step = opaque(ns >> STAT_TABLE_SHIFT);
	u64 bucket = opaque(__builtin_expect(step < STAT_TABLE, 1) ? stat_buckets[step] :
								     stat__far_bucket(step));

	return &stat->hist[bucket & (STAT_BUCKETS - 1)];
}

static __always_inline void stat__extremes(struct timing *stat, u64 ns)
{
	/* As if they began at the epoch's half, which then is the first. */
	struct timing *half = opaque_pointer((void *)stat + (epoch & EPOCH_STEP));
	struct stat_extremes *x = &half->extremes;

	if (ns >= x->end_ns[0]) {
		if (!x->end_ns[0])
			x->min_ns[0] = ns;
		/* Last: a half that has an end has extremes. */
		barrier();
		x->end_ns[0] = ns + 1;
	} else if (ns < x->min_ns[0]) {
		x->min_ns[0] = ns;
	}
}

/* Only the owner thread of a record may. */
static __always_inline void stat__add(struct timing *stat, u64 ns)
{
	stat->total_ns += ns;
	++*stat__bucket(stat, ns);
	stat__extremes(stat, ns);
}

/*
 * The same for a record that any CPU adds to. Counts are exact; of two that
 * are extreme at the same moment one may be missed.
 */
static __always_inline void stat__add_shared(struct timing *stat, u64 ns)
{
	__sync_fetch_and_add(&stat->total_ns, ns);
	__sync_fetch_and_add(stat__bucket(stat, ns), 1);
	stat__extremes(stat, ns);
}

#endif
