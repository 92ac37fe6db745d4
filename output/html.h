/* SPDX-License-Identifier: GPL-2.0-only */
/* What a page of --format=html is made of: html.c collects it, html_page.c writes it. */
#ifndef KVM_WATCHER_HTML_H
#define KVM_WATCHER_HTML_H

#include "format.h"

enum {
	HTML_MOMENTS = 400,   /* points of a line; even */
	HTML_LIMIT = 5000000, /* bytes of the file */
	MAX_LINES = 48,	      /* columns of a table over time */
	MAX_TIMES = 4,	      /* histograms of a table */
	MAX_ROWS = 50,	      /* of a table */
};

enum by { BY_ALL, BY_VM, BY_VCPU, BY_LABELS, NR_BY };

/* Buckets of a moment, from the lowest to the highest that has something. */
struct cell {
	unsigned short low, nr;
	uint64_t *counts;
};

struct group {
	enum by by;
	char *key;  /* starts with by, no other group of the table has it */
	char *name; /* members of a JSON object */
	double cost;
	double *sums; /* by line */
	float **values;
	struct cell *cells[MAX_TIMES];
};

struct shown_row {
	double rank;
	size_t nr;
	char *text;
};

struct table {
	struct table *next;
	char *monitor, *name, *title;
	const struct column *columns;
	unsigned int view_bit;
	bool per_vcpu, events;
	const struct column *lines[MAX_LINES];
	size_t nr_lines;
	bool has_stack;
	char *times[MAX_TIMES]; /* of the histogram: names of columns of buckets */
	size_t nr_times;
	void *by_key; /* groups: tsearch() */
	struct group **groups;
	size_t nr_groups, room, nr_of[NR_BY], nr_gone[NR_BY];
	struct shown_row rows[MAX_ROWS];
	size_t nr_rows, nr_left_out, rows_len;
	struct buf written; /* groups, at the end */
};

struct moment {
	uint64_t since_ns, now_ns;
	int64_t real_offset_ns;
};

struct page {
	struct moment moments[HTML_MOMENTS];
	size_t nr_moments;
	unsigned int per_moment; /* intervals that one is made of */
	unsigned int in_last;
	bool in_interval;
	struct buf starts, vms, summaries, diffs;
	size_t starts_len, vms_len, summaries_len, diffs_len, nr_vms_left_out;
	struct table *tables, *histogram_of, *current;
	bool failed;
};

/* Bytes of it in the page: "<" takes six there. */
size_t html__length(const char *text, size_t len);

/* All has been given to it: writes the page. */
void html__finish(struct output *out);

#endif
