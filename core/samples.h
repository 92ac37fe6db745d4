/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The store: for each series of a monitor its last cumulative sample, and for
 * each sink what that sink has seen of it.
 *
 * A series is what its labels say: the head of its rows (VM, process, thread,
 * vCPU) and the view's label columns. A source feeds it, as a rule one kernel
 * record; several sources of the same labels add up. Sources come and go, the
 * series stays.
 *
 * Counters only grow: a value that falls is taken for the one before. Growth
 * that a source has brought is the series' for good.
 *
 * Memory is bounded. Of series without a source the latest are kept; older
 * ones are folded into a remainder, which has the labels of the series but no
 * VM. One VM has not too many of them: further ones are folded into one of that
 * VM, without their labels. That is exact: a remainder has all that its series had, and of that a
 * sink is shown only what it has not seen. Folding is final.
 */
#ifndef KVM_WATCHER_SAMPLES_H
#define KVM_WATCHER_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"

enum {
	MAX_VIEWS = 8,
	/* VMs whose series are kept one by one, also when they have ended. */
	KEEP_VMS_OF_RUN = 500,
	MOST_SERIES_PER_VM = 16, /* on average */
	MOST_ENDED_OF_VM = 4096, /* of one VM: what ends after them is its OTHERS */
	/* Remainders with labels of their own: guests choose some of these. */
	MAX_REMAINDERS = 4096,
};

/* The VM of a remainder's rows. */
#define ENDED_VMS "(ended)"

/* The name of what is beyond a VM's share of a monitor's records (bpf/table.bpf.h). */
#define OTHERS "(other)"

struct samples;
struct source;

/* A series as a sink is shown it. */
struct sample {
	struct row *row;       /* growth in the window; gauges as they are now */
	const struct row *run; /* since the beginning */
	/* What it was merged of by --by, unfinished; NULL: nothing. */
	const struct sample *parts;
	size_t nr_parts;
	unsigned int nr_vcpus; /* whose wall time is what its times are a share of */
};

/*
 * columns are those of all views; a row has row_size bytes. What has ended is
 * kept until keep_vms VMs have come since, and as long as no more VMs have series.
 * NULL: out of memory.
 */
struct samples *samples__new(const struct column *columns, size_t row_size, size_t nr_sinks,
			     size_t keep_vms);
void samples__free(struct samples *s);

/* A source of the series with the labels of row, which is copied. NULL: out of memory. */
struct source *samples__open(struct samples *s, unsigned int view, const struct row *row);

/*
 * Takes what a source counts now: counters, times and tallies since it was
 * opened; gauges and bits as they are. Labels of now are not looked at.
 */
void samples__take(struct samples *s, struct source *source, const struct row *now);

/*
 * The same, but what it counts so far was before the window and is nobody's: only
 * what it grows by from now on is. A series that then does not grow is not shown.
 * False: out of memory, it still would be shown all.
 */
bool samples__begin(struct samples *s, struct source *source, const struct row *now);

/* The source is gone; what it has brought stays. */
void samples__close(struct samples *s, struct source *source);

/*
 * For what no record tells of, and a monitor asks for at every look: the series with the
 * labels of row has a source from the first time on, up to the samples__end_poll() of a
 * look that has not had it. While begins, as samples__begin().
 */
enum poll_show {
	SHOW_GROWTH,  /* as others: what has grown */
	SHOW_CHANGES, /* also gauges that are not what they were, and what is new */
	SHOW_ALWAYS,  /* what is there */
};
void samples__poll(struct samples *s, unsigned int view, const struct row *row, bool begins,
		   enum poll_show show);
void samples__end_poll(struct samples *s);

/*
 * Without a source: the series with the labels of row has grown by that much. Gauges are as they
 * are in row; one that is of one interval (MERGE_WINDOW) is absent when that comes twice
 * before a sink has looked. The series counts as one that has ended. False: out of memory.
 */
bool samples__add(struct samples *s, unsigned int view, const struct row *row);

/*
 * The series of a view for a sink, by SCOPE_INTERVAL those that grew since it
 * looked last, which it has seen then; by SCOPE_TOTAL all of them. What is
 * derived from times is filled in. *list is to be freed at once with free().
 * 0 or -ENOMEM, with nothing seen.
 */
int samples__read(struct samples *s, size_t sink, unsigned int view, enum scope scope,
		  struct sample **list, size_t *nr);

/* Adds b's counters, times and tallies of a view to a, both as samples__read() gave them. */
void samples__merge(const struct samples *s, unsigned int view, struct row *a, const struct row *b);

/* Makes the data of a row zero, as of nothing that was measured. */
void samples__zero(const struct samples *s, unsigned int view, struct row *row);

/* Fills in what a view's columns derive from its times. */
void samples__derive(const struct samples *s, unsigned int view, struct row *row);

/* For tests and for the monitoring of itself. */
size_t samples__nr_series(const struct samples *s);
size_t samples__nr_remainders(const struct samples *s);

#endif
