/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What changed from one recording to another: the rates of all counters per second of a vCPU, and
 * percentiles, of the rows that both have. The samples of the test are intervals, merged to at
 * most DIFF_BLOCKS on each side, since what follows each other is alike.
 */
#ifndef KVM_WATCHER_DIFF_H
#define KVM_WATCHER_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay.h"
#include "select.h"

enum {
	DIFF_BLOCKS = 30,
	DIFF_LEAST_BLOCKS = 10, /* with less nothing is said */
};

struct diff;

/* What it writes. */
extern const struct view diff_views[];
extern const struct column diff_columns[];

enum diff_side { DIFF_A, DIFF_B, DIFF_SIDES };

/* What is compared: rows as a replay with that filter and selection would show them. */
struct diff *diff__new(const struct filter *filter, const struct selection *selection,
		       const char *const *tables);
void diff__free(struct diff *d);

/* One side: all of r, or what is between these moments. 0, or -errno after a message. */
int diff__read(struct diff *d, enum diff_side side, struct replay *r, int64_t from_ns,
	       int64_t to_ns);

/*
 * For tests of chance: only A was read, and of its blocks, as many as there are, some become B's.
 * May be done again and again.
 */
bool diff__split(struct diff *d, const bool *goes_to_b, size_t nr);
size_t diff__nr_blocks(const struct diff *d);

/* Both sides are read. 0 or -ENOMEM. */
int diff__compare(struct diff *d);

enum verdict {
	VERDICT_TOO_FEW,
	VERDICT_SAME,
	VERDICT_MORE,
	VERDICT_LESS,
	VERDICT_WORSE,
	VERDICT_BETTER
};

/* One value of one row. */
struct difference {
	const char *monitor, *table, *vm, *labels, *column, *unit;
	uint32_t vcpu;
	double a, b;	   /* in unit */
	double change;	   /* percent of a; NAN: a is 0 */
	double p;	   /* before many tests are corrected for; NAN: not tested */
	double cost;	   /* how much more of a vCPU's time the row takes, or less; in percent */
	size_t nr_a, nr_b; /* blocks */
	enum verdict verdict;
};

/* In order: what costs most first. */
size_t diff__nr(const struct diff *d);
const struct difference *diff__get(const struct diff *d, size_t i);

/* Hands them to the output, those that say nothing only as data, unless all. */
void diff__write(struct diff *d, struct output *out, bool all, size_t top);

/* True when something became worse by more than percent. */
bool diff__is_worse(const struct diff *d, double percent);

#endif
