/* SPDX-License-Identifier: GPL-2.0-only */
/* What pictures make of columns: which say what a row is of, and which say how long it took. */
#ifndef KVM_WATCHER_FRAMES_H
#define KVM_WATCHER_FRAMES_H

#include "format.h"

/*
 * How long a single event took, up to its ts_ns: the view's first COL_NSEC that is a gauge of its
 * own. NULL: its events are moments.
 */
const struct column *view__duration(const struct column *columns, unsigned int view_bit);

/* A label in words: numbers with their name, but for those of frames; absent: nothing. */
void buf__label(struct buf *buf, const struct column *col, const struct row *row);

/*
 * What the row is of: its frames, each but the first behind between. False: it has none, and
 * nothing was added.
 */
bool buf__frames(struct buf *buf, const struct section *section, const struct row *row,
		 const char *between);

#endif
