/* SPDX-License-Identifier: GPL-2.0-only */
/* Times and tallies as user space keeps them: cumulative, and what can be computed from them. */
#ifndef KVM_WATCHER_TIMES_H
#define KVM_WATCHER_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "../bpf/records.h"

/* How long something took: COL_TIMES. */
struct times {
	uint64_t count; /* of what was timed: the sum of hist */
	uint64_t total_ns;
	uint64_t min_ns; /* UINT64_MAX while there is none */
	uint64_t max_ns; /* UINT64_MAX while there is none */
	uint64_t hist[STAT_BUCKETS];
};

void times__init(struct times *t);

/* The kernel's counters of a record that have 32 bits, and how often each has begun anew. */
struct times_high {
	struct times_high *next;
	const struct timing *of;
	uint32_t low[STAT_BUCKETS]; /* at the last look */
	uint32_t high[STAT_BUCKETS];
};

/* So often at least is a record read: none counts half of 2^32 in one bucket meanwhile. */
#define TIMES_LOOK_NS (60 * 1000000000ULL)

/*
 * Reads a kernel record: count, total and buckets since it exists, extremes of
 * the epoch that has ended. Makes room for the extremes of the next epoch but
 * one. *high is the record's, NULL at first: it is made when the first counter is
 * half full.
 */
void times__read(struct times *t, struct timing *record, uint64_t ended_epoch,
		 struct times_high **high);

/* Takes extremes in. max_ns == UINT64_MAX: there are none. */
void times__extremes(struct times *t, uint64_t min_ns, uint64_t max_ns);

/* Adds b to a. */
void times__add(struct times *a, const struct times *b);

/*
 * Nearest-rank percentile (0 < percent <= 100) from the histogram: the middle
 * of its bucket, within 12.5 % of the true value, never outside min..max.
 * UINT64_MAX when nothing was timed.
 */
uint64_t times__percentile(const struct times *t, double percent);

/* UINT64_MAX when nothing was timed. */
uint64_t times__mean(const struct times *t);

/* Lower bound and width of a bucket in ns. */
uint64_t stat_bucket__low(unsigned int bucket);
uint64_t stat_bucket__width(unsigned int bucket);

/* Counters by a number of which there are many, but few at a time: COL_TALLY. */
enum { TALLY_KEYS = 16, TALLY_OTHER = -1 };

struct tally {
	uint32_t nr;
	struct {
		int32_t key; /* TALLY_OTHER: of all that found no place */
		uint64_t count;
	} list[TALLY_KEYS + 1];
};

/* Adds to the counter of a key, or to that of the others when there is no place for it. */
void tally__add(struct tally *t, int32_t key, uint64_t count);

/* 0 when there is no such key. */
uint64_t tally__get(const struct tally *t, int32_t key);

#endif
