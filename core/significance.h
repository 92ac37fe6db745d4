/* SPDX-License-Identifier: GPL-2.0-only */
/* Is it a difference, or chance? No distribution is assumed: what a host measures has none. */
#ifndef KVM_WATCHER_SIGNIFICANCE_H
#define KVM_WATCHER_SIGNIFICANCE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Mann and Whitney's U test: how likely a difference in rank as large as that between a and b, or
 * a larger one, is where both are of one source (two-sided; ties and continuity are corrected
 * for, the normal distribution is taken for that of U). NAN with less than two values on a side.
 */
double significance__rank_test(const double *a, size_t nr_a, const double *b, size_t nr_b);

/*
 * Benjamini and Hochberg: of many tests those that may be called differences, so that at most the
 * share rate of what is called so is chance. p: NAN is none.
 */
void significance__choose(const double *p, bool *chosen, size_t nr, double rate);

#endif
