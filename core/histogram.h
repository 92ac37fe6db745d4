/* SPDX-License-Identifier: GPL-2.0-only */
/* The histograms of a view's times: a table for people, all buckets for programs. */
#ifndef KVM_WATCHER_HISTOGRAM_H
#define KVM_WATCHER_HISTOGRAM_H

struct attachment;
struct column;
struct select;
struct view;
struct window;

/*
 * A section of its own for the rows that a view shows: for people a line per
 * power of two, for programs a row with the buckets of each time; these only
 * where the user asks for histograms. Nothing where the view has no times.
 */
void histogram__write(struct attachment *at, unsigned int view, const struct select *s,
		      const struct window *window);

/* That section's view and columns, of one that has times; else NULL. */
const struct view *histogram__view(struct attachment *at, unsigned int view,
				   const struct column **columns);

/* Of all views; the columns that sinks know of are gone then. */
void histogram__free(struct attachment *at);

#endif
