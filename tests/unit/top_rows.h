/* SPDX-License-Identifier: GPL-2.0-only */
/* Made-up rows of the program's own monitors, by names of columns: for the screens' tests. */
#ifndef KVM_WATCHER_TEST_TOP_ROWS_H
#define KVM_WATCHER_TEST_TOP_ROWS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/times.h"
#include "../../monitors/monitors.h"
#include "../../output/cells.h"
#include "../../output/format.h"

/* A row of a table, as its monitor would fill it: absent where nothing is said. */
struct made_row {
	const struct monitor *m;
	unsigned int view;
	struct row *row;
};

static inline const struct monitor *monitor_of(const char *table, unsigned int *view)
{
	for (size_t i = 0; i < nr_monitors; i++)
		for (*view = 0; monitors[i]->views[*view].title; (*view)++)
			if (!strcmp(monitors[i]->views[*view].name, table))
				return monitors[i];
	abort();
}

static inline void *made_at(const struct made_row *r, const char *name)
{
	for (const struct column *col = r->m->columns; col->name; col++)
		if (!strcmp(col->name, name) && (!col->views || (col->views >> r->view & 1)))
			return (char *)r->row + col->offset;
	abort();
}

static inline struct made_row make_row(const char *table, const char *vm, const char *id,
				       uint32_t pid, uint32_t tid, uint32_t vcpu)
{
	struct made_row r = {};

	r.m = monitor_of(table, &r.view);
	r.row = calloc(1, r.m->row_size);
	if (!r.row)
		abort();
	for (const struct column *col = r.m->columns; col->name; col++)
		if (column__is_shown(col) && (col->role == ROLE_LABEL || col->times) &&
		    (!col->views || (col->views >> r.view & 1)))
			cell__set_absent(col, (char *)r.row + col->offset);
	r.row->vm = vm;
	r.row->vm_id = id;
	r.row->pid = pid;
	r.row->tid = tid;
	r.row->vcpu = vcpu;
	return r;
}

static inline void put_u64(const struct made_row *r, const char *name, uint64_t value)
{
	*(uint64_t *)made_at(r, name) = value;
}

static inline void put_text(const struct made_row *r, const char *name, const char *text)
{
	*(const char **)made_at(r, name) = text;
}

static inline void put_flag(const struct made_row *r, const char *name, bool flag)
{
	*(uint8_t *)made_at(r, name) = flag;
}

/* So many of one length, and what is derived of them. */
static inline void put_times(const struct made_row *r, const char *name, unsigned int bucket,
			     uint64_t count)
{
	struct times *t = made_at(r, name);

	t->hist[bucket] += count;
	t->count += count;
	t->total_ns += count * stat_bucket__low(bucket);
	t->min_ns = stat_bucket__low(bucket);
	t->max_ns = stat_bucket__low(bucket + 1);
	for (const struct column *col = r->m->columns; col->name; col++) {
		uint64_t *cell = (uint64_t *)((char *)r->row + col->offset);

		if (!col->times || (char *)r->row + col->times_at != (char *)t)
			continue;
		*cell = col->times == TIMES_P50	  ? times__percentile(t, 50) :
			col->times == TIMES_P90	  ? times__percentile(t, 90) :
			col->times == TIMES_P99	  ? times__percentile(t, 99) :
			col->times == TIMES_MAX	  ? t->max_ns :
			col->times == TIMES_MIN	  ? t->min_ns :
			col->times == TIMES_COUNT ? t->count :
						    times__mean(t);
	}
}

static inline void write_section(struct output *out, const struct made_row *r, size_t nr,
				 enum scope scope, uint64_t since_ns, uint64_t now_ns)
{
	const struct section section = {
		.monitor = r->m->name,
		.columns = r->m->columns,
		.view = &r->m->views[r->view],
		.view_bit = 1U << r->view,
		.scope = scope,
		.since_ns = since_ns,
		.now_ns = now_ns,
	};

	output__begin(out, &section);
	for (size_t i = 0; i < nr; i++) {
		r[i].row->ts_ns = now_ns;
		output__row(out, r[i].row, 0);
		free(r[i].row);
	}
	output__end(out);
}

#endif
