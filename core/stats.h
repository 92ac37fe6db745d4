/* SPDX-License-Identifier: GPL-2.0-only */
/* From cumulative kernel records to what a row shows. */
#ifndef KVM_WATCHER_STATS_H
#define KVM_WATCHER_STATS_H

#include <stdint.h>

#include "../bpf/records.h"

/* Growth of a cumulative counter; one that restarted counts from zero. */
uint64_t counter__delta(uint64_t now, uint64_t before);

/* What was added to a histogram between two snapshots. */
struct stat_delta {
	uint64_t timed; /* events with a time */
	uint64_t total_ns;
	uint64_t min_ns; /* UINT64_MAX while there is none */
	uint64_t max_ns; /* UINT64_MAX while there is none */
	__u64 hist[STAT_BUCKETS];
};

void stat_delta__init(struct stat_delta *d);
/* before may be NULL: since the beginning. Extremes are not touched. */
void stat_delta__set(struct stat_delta *d, const struct timing *now, const struct timing *before);
/* Takes the extremes of one epoch in, or of both halves with epoch == 0. */
void stat_delta__extremes(struct stat_delta *d, const struct timing *now, uint64_t epoch);
/* Makes room for the extremes of the next epoch but one, when those of epoch have been taken. */
void timing__clear(struct timing *record, uint64_t epoch);
/* Adds b to a. */
void stat_delta__merge(struct stat_delta *a, const struct stat_delta *b);

/* A record's times as user space follows them. Begins with zeros. */
struct stat_series {
	struct stat_delta run;	 /* until the last look */
	struct stat_delta grown; /* from the look before to the last one */
};

/* Once per interval, with the epoch that has ended, whose extremes it clears in record. */
void stat_series__look(struct stat_series *s, struct timing *record, uint64_t epoch);

/*
 * Nearest-rank percentile (0 < percent <= 100) from the histogram: the middle
 * of its bucket, within 12.5 % of the true value, never outside min..max.
 * UINT64_MAX when nothing was timed.
 */
uint64_t stat_delta__percentile(const struct stat_delta *d, double percent);

/* Lower bound and width of a bucket in ns. */
uint64_t stat_bucket__low(unsigned int bucket);
uint64_t stat_bucket__width(unsigned int bucket);

#endif
