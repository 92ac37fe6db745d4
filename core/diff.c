// SPDX-License-Identifier: GPL-2.0-only
#include "diff.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../output/format.h"
#include "clock.h"
#include "log.h"
#include "memory.h"
#include "significance.h"

/* What has to differ, in percent, beside the test; a bucket of a percentile is 12.5 % off. */
static const double LEAST_RATE = 5, LEAST_PERCENTILE = 25, FALSE_SHARE = 0.05;

enum metric_kind {
	METRIC_RATE,	   /* a counter, per second of a vCPU */
	METRIC_SHARE,	   /* a counter of nanoseconds: percent of a vCPU's time */
	METRIC_PERCENTILE, /* nanoseconds */
};

struct metric {
	const struct column *col;
	enum metric_kind kind;
};

/* What is measured of the rows of a table. */
struct table {
	struct table *next;
	char *monitor, *name;
	struct metric *metrics;
	size_t nr;
};

/* A row that one side has, or both. */
struct series {
	char *key; /* first: see by_key() */
	struct table *table;
	char *vm, *labels; /* vm: NULL: of all of them, or of none */
	uint32_t vcpu;
	bool idle;
	/* By block and metric; NAN: no such row then. */
	double *values[DIFF_SIDES];
	size_t nr_blocks[DIFF_SIDES];
};

struct block {
	uint64_t since_ns, now_ns;
	bool is_used; /* not the rest at the end */
};

/* A vCPU, by thread: from the first block that has rows of it to the last one. */
struct seen_vcpu {
	char *key; /* VM and thread */
	char *vm;
	size_t first, last;
};

/* How many vCPUs a VM has in each block. */
struct vm_vcpus {
	const char *vm; /* a series has it */
	double vcpus[];
};

struct side {
	struct block *blocks;
	size_t nr_blocks;
	void *vcpus; /* tsearch() */
	struct seen_vcpu **list;
	size_t nr_vcpus;
	void *counts; /* of VMs: tsearch() */
	struct json_object *start, *summary;
	bool had_memory;
	bool is_a; /* all but the blocks is the other side's: diff__split() */
};

struct diff {
	const struct filter *filter;
	const struct selection *selection;
	const char *const *tables;
	struct side sides[DIFF_SIDES];
	enum diff_side reading;
	bool in_interval;
	struct table *known;
	void *series; /* tsearch() */
	struct series **list;
	size_t nr_series;
	struct difference *differences;
	size_t nr;
};

struct diff *diff__new(const struct filter *filter, const struct selection *selection,
		       const char *const *tables)
{
	struct diff *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->filter = filter;
	d->selection = selection;
	d->tables = tables;
	for (int i = 0; i < DIFF_SIDES; i++)
		d->sides[i].had_memory = true;
	return d;
}

static void free_nothing(void *node)
{
	(void)node;
}

void diff__free(struct diff *d)
{
	if (!d)
		return;
	for (int i = 0; i < DIFF_SIDES; i++) {
		struct side *side = &d->sides[i];

		tdestroy(side->vcpus, free_nothing);
		for (size_t j = 0; !side->is_a && j < side->nr_vcpus; j++) {
			free(side->list[j]->key);
			free(side->list[j]->vm);
			free(side->list[j]);
		}
		if (!side->is_a)
			free(side->list);
		free(side->blocks);
		json_object_put(side->start);
		json_object_put(side->summary);
	}
	tdestroy(d->series, free_nothing);
	for (size_t i = 0; i < d->nr_series; i++) {
		struct series *s = d->list[i];

		free(s->values[DIFF_A]);
		if (!d->sides[DIFF_B].is_a)
			free(s->values[DIFF_B]);
		free(s->key);
		free(s->vm);
		free(s->labels);
		free(s);
	}
	for (struct table *t = d->known, *next; t; t = next) {
		next = t->next;
		free(t->monitor);
		free(t->name);
		free(t->metrics);
		free(t);
	}
	free(d->list);
	free(d->differences);
	free(d);
}

/* Collecting */

static int by_key(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A counter, or a percentile: what can be compared of two runs of any length. */
static bool is_metric(const struct column *col, struct metric *metric)
{
	metric->col = col;
	if (col->times == TIMES_P50 || col->times == TIMES_P99) {
		metric->kind = METRIC_PERCENTILE;
		return true;
	}
	if (col->role != ROLE_COUNTER || (col->flags & COL_TABLE_ONLY))
		return false;
	metric->kind = col->type == COL_NSEC ? METRIC_SHARE : METRIC_RATE;
	return col->type == COL_NSEC || col->type == COL_U64;
}

static struct table *add_table(struct diff *d, const struct section *section)
{
	struct table *t = calloc(1, sizeof(*t));
	size_t room = 0;

	for (const struct column *col = section->columns; col->name; col++)
		room++;
	if (t) {
		t->monitor = strdup(section->monitor);
		t->name = strdup(section->view->name);
		t->metrics = calloc(room + 1, sizeof(*t->metrics));
	}
	if (!t || !t->monitor || !t->name || !t->metrics) {
		if (t) {
			free(t->monitor);
			free(t->name);
			free(t->metrics);
		}
		free(t);
		return NULL;
	}
	for (const struct column *col = section->columns; col->name; col++)
		if (section__has_data(section, col) && is_metric(col, &t->metrics[t->nr]))
			t->nr++;
	t->next = d->known;
	d->known = t;
	return t;
}

static struct table *table_of(struct diff *d, const struct section *section)
{
	struct table *t = d->known;

	while (t && strcmp(t->name, section->view->name))
		t = t->next;
	return t ? t : add_table(d, section);
}

static void put_cell(struct buf *to, const struct column *col, const struct row *row)
{
	uint64_t number;
	bool flag;

	if (col->type == COL_STRING)
		buf__puts(to, cell__string(col, row) ?: "-");
	else if (col->type == COL_BOOL)
		buf__puts(to, !cell__bool(col, row, &flag) ? "-" : flag ? "true" : "false");
	else if (!cell__number(col, row, &number))
		buf__putc(to, '-');
	else
		buf__printf(to, col->type == COL_HEX ? "%#" PRIx64 : "%" PRIu64, number);
}

static bool is_label(const struct section *section, const struct column *col)
{
	return col->role == ROLE_LABEL && section__has(section, col) && col->type != COL_STRINGS &&
	       col->type != COL_OBJECT;
}

/* Of a process that has another pid and other threads the next time. */
static void put_key(const struct diff *d, struct buf *to, const struct section *section,
		    const struct row *row)
{
	buf__puts(to, section->view->name);
	buf__putc(to, '\n');
	if (d->selection->by != BY_HOST)
		buf__puts(to, row->vm ?: "");
	if (d->selection->by == BY_VCPU && section->view->per_vcpu)
		buf__printf(to, "\n%u", row->vcpu);
	for (const struct column *col = section->columns; col->name; col++) {
		if (!is_label(section, col))
			continue;
		buf__putc(to, '\n');
		put_cell(to, col, row);
	}
}

/* What people tell the row by: "io, out 0x80". */
static void put_labels(struct buf *to, const struct section *section, const struct row *row)
{
	for (const struct column *col = section->columns; col->name; col++) {
		if (!is_label(section, col) || (col->flags & COL_DATA_ONLY))
			continue;
		if (to->len)
			buf__puts(to, ", ");
		put_cell(to, col, row);
	}
	buf__puts(to, "");
}

static bool is_idle(const struct section *section, const struct row *row)
{
	bool flag = false;

	for (const struct column *col = section->columns; col->name; col++)
		if ((col->flags & COL_IDLE) && section__has(section, col) &&
		    cell__bool(col, row, &flag) && flag)
			return true;
	return false;
}

static struct series *add_series(struct diff *d, const struct section *section,
				 const struct row *row, const char *key)
{
	struct series *s = calloc(1, sizeof(*s)),
		      **more = reallocarray(d->list, d->nr_series + 1, sizeof(*more));
	struct buf labels = {};

	if (more)
		d->list = more;
	if (!s || !more) {
		free(s);
		return NULL;
	}
	put_labels(&labels, section, row);
	s->table = table_of(d, section);
	s->key = strdup(key);
	s->vm = d->selection->by != BY_HOST && row->vm ? strdup(row->vm) : NULL;
	s->idle = is_idle(section, row);
	s->labels = strdup(labels.data ?: "");
	s->vcpu = d->selection->by == BY_VCPU && section->view->per_vcpu ? row->vcpu : UINT32_MAX;
	buf__free(&labels);
	if (s->table && s->key && s->labels && tsearch(s, &d->series, by_key)) {
		d->list[d->nr_series++] = s;
		return s;
	}
	free(s->key);
	free(s->vm);
	free(s->labels);
	free(s);
	return NULL;
}

static struct series *series_of(struct diff *d, const struct section *section,
				const struct row *row)
{
	struct series **node, *s;
	struct buf key = {};

	put_key(d, &key, section, row);
	node = key.failed ? NULL : tfind(&key.data, &d->series, by_key);
	s = node ? *node : key.failed ? NULL : add_series(d, section, row, key.data);
	buf__free(&key);
	return s;
}

/* Room for the block: what was not there before was not there. */
static double *values_of(struct series *s, enum diff_side side, size_t block)
{
	size_t nr = s->table->nr;

	while (s->nr_blocks[side] <= block) {
		size_t room = s->nr_blocks[side] ? s->nr_blocks[side] * 2 : DIFF_BLOCKS;
		double *more = reallocarray(s->values[side], room * nr + 1, sizeof(*more));

		if (!more)
			return NULL;
		for (size_t i = s->nr_blocks[side] * nr; i < room * nr; i++)
			more[i] = NAN;
		s->values[side] = more;
		s->nr_blocks[side] = room;
	}
	return &s->values[side][block * nr];
}

static struct diff *diff_of(const struct output *out)
{
	return *(struct diff **)out->state;
}

static void collect_row(struct output *out, const struct row *row, unsigned int flags)
{
	const struct section *section = &out->section;
	struct diff *d = diff_of(out);
	struct side *side = &d->sides[d->reading];
	struct series *s;
	double *values;

	if (section->scope != SCOPE_INTERVAL || (flags & (ROW_DERIVED | ROW_AGAIN)))
		return;
	s = series_of(d, section, row);
	values = s ? values_of(s, d->reading, side->nr_blocks) : NULL;
	if (!values) {
		side->had_memory = false;
		return;
	}
	for (size_t i = 0; i < s->table->nr; i++) {
		const struct metric *m = &s->table->metrics[i];
		uint64_t number;

		if (!cell__number(m->col, row, &number))
			continue;
		/* Two processes of one name add up. */
		if (isnan(values[i]) || m->kind == METRIC_PERCENTILE)
			values[i] = number;
		else
			values[i] += number;
	}
}

static void collect_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
				 uint64_t now_ns)
{
	struct diff *d = diff_of(out);
	struct side *side = &d->sides[d->reading];
	struct block *more;

	d->in_interval = scope == SCOPE_INTERVAL;
	if (!d->in_interval)
		return;
	more = reallocarray(side->blocks, side->nr_blocks + 1, sizeof(*more));
	if (!more) {
		side->had_memory = false;
		return;
	}
	side->blocks = more;
	side->blocks[side->nr_blocks] = (struct block){ since_ns, now_ns, true };
}

static void collect_end_window(struct output *out)
{
	struct diff *d = diff_of(out);
	struct side *side = &d->sides[d->reading];

	if (d->in_interval && side->blocks)
		side->nr_blocks++;
	d->in_interval = false;
}

static const struct output_ops collect_ops = {
	.name = "difference",
	.state_size = sizeof(struct diff *),
	.begin_window = collect_begin_window,
	.row = collect_row,
	.end_window = collect_end_window,
};

/* A vCPU of the block that is being read. */
static void saw(void *ctx, const struct row *row)
{
	struct diff *d = ctx;
	struct side *side = &d->sides[d->reading];
	struct seen_vcpu **node, *vcpu = NULL, **more;
	char *key;

	if (row->tid == UINT32_MAX || row->vcpu == UINT32_MAX)
		return;
	if (asprintf(&key, "%s\n%u\n%u", row->vm ?: "", row->pid, row->tid) < 0)
		return;
	node = tfind(&key, &side->vcpus, by_key);
	if (node) {
		(*node)->last = side->nr_blocks;
		free(key);
		return;
	}
	more = reallocarray(side->list, side->nr_vcpus + 1, sizeof(*more));
	if (more) {
		side->list = more;
		vcpu = calloc(1, sizeof(*vcpu));
	}
	if (vcpu) {
		*vcpu = (struct seen_vcpu){ key, strdup(row->vm ?: ""), side->nr_blocks,
					    side->nr_blocks };
		if (vcpu->vm && tsearch(vcpu, &side->vcpus, by_key)) {
			side->list[side->nr_vcpus++] = vcpu;
			return;
		}
		free(vcpu->vm);
		free(vcpu);
	}
	free(key);
	side->had_memory = false;
}

/* The last one may be a rest, which tells little of a rate. */
static void drop_rest(struct side *side)
{
	size_t nr = side->nr_blocks;
	struct block *last;

	if (nr < 2)
		return;
	last = &side->blocks[nr - 1];
	last->is_used = (last->now_ns - last->since_ns) * 2 >=
			side->blocks[0].now_ns - side->blocks[0].since_ns;
}

int diff__read(struct diff *d, enum diff_side side, struct replay *r, int64_t from_ns,
	       int64_t to_ns)
{
	uint64_t intervals = replay__count(r, from_ns, to_ns);
	uint64_t merged = (intervals + DIFF_BLOCKS - 1) / DIFF_BLOCKS;
	const struct replay_options options = {
		.filter = d->filter,
		.interval_ns = merged > 1 ? merged * replay__interval_ns(r) : 0,
		.from_ns = from_ns,
		.to_ns = to_ns,
		.quiet = true,
		.saw = saw,
		.ctx = d,
	};
	struct sink sink = { .selection = d->selection };
	int err = -ENOMEM;

	d->reading = side;
	sink.out = output__new_nowhere(&collect_ops);
	if (sink.out) {
		*(struct diff **)sink.out->state = d;
		sink.out->tables = d->tables;
		err = replay__run(r, &options, &sink);
		sink.out->tables = NULL;
		output__free(sink.out);
	}
	d->sides[side].start = json_object_get(replay__first(r));
	d->sides[side].summary = json_object_get(replay__summary(r));
	drop_rest(&d->sides[side]);
	return d->sides[side].had_memory ? err : -ENOMEM;
}

/* Comparing */

/* vCPUs that the VM had in a block, or all VMs. */
static size_t count_vcpus(const struct side *side, const char *vm, size_t block)
{
	size_t nr = 0;

	for (size_t i = 0; i < side->nr_vcpus; i++) {
		const struct seen_vcpu *vcpu = side->list[i];

		nr += vcpu->first <= block && block <= vcpu->last && (!vm || !strcmp(vcpu->vm, vm));
	}
	return nr;
}

/* What a row's numbers are divided by: seconds of vCPUs; of what has none, seconds. 0: skip it. */
static double seconds_of(const struct side *side, const struct series *s, size_t block,
			 const double *vcpus)
{
	const struct block *b = &side->blocks[block];
	double seconds = (b->now_ns - b->since_ns) / 1e9;

	if (!b->is_used)
		return 0;
	if (s->vcpu != UINT32_MAX)
		return vcpus[block] ? seconds : 0;
	return seconds * vcpus[block];
}

/* By block the vCPUs of a VM, or of all: counted once. NULL: out of memory. */
static const double *vcpus_by_block(struct side *side, const struct series *s)
{
	const char *vm = s->vm ?: "\n";
	struct vm_vcpus **node = tfind(&vm, &side->counts, by_key), *counts;
	bool any = false;

	if (node)
		return (*node)->vcpus;
	counts = calloc(1, sizeof(*counts) + (side->nr_blocks + 1) * sizeof(counts->vcpus[0]));
	if (!counts)
		return NULL;
	counts->vm = vm;
	for (size_t i = 0; i < side->nr_blocks; i++) {
		counts->vcpus[i] = count_vcpus(side, s->vm, i);
		any |= counts->vcpus[i] > 0;
	}
	/* It is no VM's, or a VM's of which nothing else was recorded. */
	for (size_t i = 0; i < side->nr_blocks && !any; i++)
		counts->vcpus[i] = 1;
	if (tsearch(counts, &side->counts, by_key))
		return counts->vcpus;
	free(counts);
	return NULL;
}

static void forget_counts(struct side *side)
{
	tdestroy(side->counts, free);
	side->counts = NULL;
}

/* Blocks of a side, by far. */
enum { MOST_VALUES = 4 * DIFF_BLOCKS };

struct measured {
	double values[MOST_VALUES];
	size_t nr;
	double typical; /* of all: a rate of the whole, a percentile's median */
};

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, size_t nr)
{
	double sorted[MOST_VALUES];

	if (!nr)
		return NAN;
	memcpy(sorted, values, nr * sizeof(*sorted));
	qsort(sorted, nr, sizeof(*sorted), by_number);
	return nr % 2 ? sorted[nr / 2] : (sorted[nr / 2 - 1] + sorted[nr / 2]) / 2;
}

static double scale_of(enum metric_kind kind)
{
	/* Nanoseconds of a second, in percent. */
	return kind == METRIC_SHARE ? 100 / 1e9 : 1;
}

static void measure(const struct side *side, const struct series *s, enum diff_side which,
		    size_t metric, const double *vcpus, struct measured *to)
{
	enum metric_kind kind = s->table->metrics[metric].kind;
	double sum = 0, all_seconds = 0;

	to->nr = 0;
	for (size_t i = 0; i < side->nr_blocks && to->nr < MOST_VALUES; i++) {
		double seconds = seconds_of(side, s, i, vcpus), value = NAN;

		if (i < s->nr_blocks[which])
			value = s->values[which][i * s->table->nr + metric];
		if (seconds == 0 || (kind == METRIC_PERCENTILE && isnan(value)))
			continue;
		if (kind == METRIC_PERCENTILE) {
			to->values[to->nr++] = value;
			continue;
		}
		/* No row: nothing was counted. */
		value = isnan(value) ? 0 : value * scale_of(kind);
		sum += value;
		all_seconds += seconds;
		to->values[to->nr++] = value / seconds;
	}
	to->typical = kind == METRIC_PERCENTILE ? median(to->values, to->nr) :
		      all_seconds > 0		? sum / all_seconds :
						  NAN;
}

static const char *unit_of(enum metric_kind kind)
{
	static const char *const units[] = {
		[METRIC_RATE] = "/s",
		[METRIC_SHARE] = "%",
		[METRIC_PERCENTILE] = "ns",
	};

	return units[kind];
}

static void compare_metric(const struct diff *d, const struct series *s, size_t metric,
			   const double *const vcpus[DIFF_SIDES], struct difference *to)
{
	const struct metric *m = &s->table->metrics[metric];
	struct measured a, b;

	measure(&d->sides[DIFF_A], s, DIFF_A, metric, vcpus[DIFF_A], &a);
	measure(&d->sides[DIFF_B], s, DIFF_B, metric, vcpus[DIFF_B], &b);
	*to = (struct difference){
		.monitor = s->table->monitor,
		.table = s->table->name,
		.vm = s->vm,
		.vcpu = s->vcpu,
		.labels = s->labels,
		.column = m->col->name,
		.unit = unit_of(m->kind),
		.a = a.typical,
		.b = b.typical,
		.change = a.typical > 0 ? 100 * (b.typical - a.typical) / a.typical : NAN,
		.nr_a = a.nr,
		.nr_b = b.nr,
		.p = NAN,
	};
	if (a.nr >= DIFF_LEAST_BLOCKS && b.nr >= DIFF_LEAST_BLOCKS)
		to->p = significance__rank_test(a.values, a.nr, b.values, b.nr);
}

static bool is_large(const struct difference *diff, enum metric_kind kind)
{
	double least = kind == METRIC_PERCENTILE ? LEAST_PERCENTILE : LEAST_RATE;

	/* Something out of nothing has no percentage. */
	if (isnan(diff->change))
		return diff->a == 0 && diff->b > 0;
	return fabs(diff->change) >= least;
}

static enum verdict judge(const struct difference *diff, const struct series *s,
			  const struct metric *m, bool chosen)
{
	bool more = diff->b > diff->a, worse = !s->idle && (m->col->flags & COL_WORSE);

	if (isnan(diff->p))
		return VERDICT_TOO_FEW;
	if (!chosen || !is_large(diff, m->kind))
		return VERDICT_SAME;
	if (worse)
		return more ? VERDICT_WORSE : VERDICT_BETTER;
	return more ? VERDICT_MORE : VERDICT_LESS;
}

/* By what the row costs, row by row; those that say something first. */
static int by_cost(const void *a, const void *b)
{
	const struct difference *x = a, *y = b;
	bool x_says = x->verdict >= VERDICT_MORE, y_says = y->verdict >= VERDICT_MORE;
	int order;

	if (x_says != y_says)
		return x_says ? -1 : 1;
	if (fabs(x->cost) != fabs(y->cost))
		return fabs(x->cost) > fabs(y->cost) ? -1 : 1;
	order = strcmp(x->table, y->table);
	if (!order)
		order = strcmp(x->vm ?: "", y->vm ?: "");
	if (!order)
		order = (x->vcpu > y->vcpu) - (x->vcpu < y->vcpu);
	if (!order)
		order = strcmp(x->labels, y->labels);
	return order ? order : (x > y) - (x < y);
}

/* How much of a vCPU's time the row took more: the largest of its times. */
static double cost_of(const struct difference *list, const struct series *s)
{
	double cost = 0;

	for (size_t i = 0; !s->idle && i < s->table->nr; i++) {
		double more = list[i].b - list[i].a;

		if (s->table->metrics[i].kind == METRIC_SHARE && fabs(more) > fabs(cost))
			cost = more;
	}
	return cost;
}

/* All metrics of a row. False: out of memory. */
static bool compare_series(struct diff *d, const struct series *s, struct difference *to)
{
	const double *const vcpus[DIFF_SIDES] = {
		vcpus_by_block(&d->sides[DIFF_A], s),
		vcpus_by_block(&d->sides[DIFF_B], s),
	};
	double cost;

	if (!vcpus[DIFF_A] || !vcpus[DIFF_B])
		return false;
	for (size_t i = 0; i < s->table->nr; i++)
		compare_metric(d, s, i, vcpus, &to[i]);
	cost = cost_of(to, s);
	for (size_t i = 0; i < s->table->nr; i++)
		to[i].cost = cost;
	return true;
}

int diff__compare(struct diff *d)
{
	bool *chosen = NULL, ok = true;
	size_t all = 0, at = 0;
	double *p = NULL;

	for (size_t i = 0; i < d->nr_series; i++)
		all += d->list[i]->table->nr;
	free(d->differences);
	d->differences = calloc(all + 1, sizeof(*d->differences));
	p = calloc(all + 1, sizeof(*p));
	chosen = calloc(all + 1, sizeof(*chosen));
	ok = d->differences && p && chosen;
	for (size_t i = 0; ok && i < d->nr_series; i++) {
		ok = compare_series(d, d->list[i], &d->differences[at]);
		at += d->list[i]->table->nr;
	}
	forget_counts(&d->sides[DIFF_A]);
	forget_counts(&d->sides[DIFF_B]);
	d->nr = 0;
	if (ok) {
		for (size_t i = 0; i < all; i++)
			p[i] = d->differences[i].p;
		significance__choose(p, chosen, all, FALSE_SHARE);
		at = 0;
		for (size_t i = 0; i < d->nr_series; i++)
			for (size_t j = 0; j < d->list[i]->table->nr; j++, at++)
				d->differences[at].verdict =
					judge(&d->differences[at], d->list[i],
					      &d->list[i]->table->metrics[j], chosen[at]);
		qsort(d->differences, all, sizeof(*d->differences), by_cost);
		d->nr = all;
	}
	free(p);
	free(chosen);
	return ok ? 0 : -ENOMEM;
}

bool diff__split(struct diff *d, const bool *goes_to_b, size_t nr)
{
	struct side *a = &d->sides[DIFF_A], *b = &d->sides[DIFF_B];

	if (nr != a->nr_blocks)
		return false;
	free(b->blocks);
	b->blocks = calloc(nr + 1, sizeof(*b->blocks));
	if (!b->blocks)
		return false;
	memcpy(b->blocks, a->blocks, nr * sizeof(*b->blocks));
	b->nr_blocks = nr;
	b->nr_vcpus = a->nr_vcpus;
	b->list = a->list;
	for (size_t i = 0; i < nr; i++) {
		a->blocks[i].is_used = !goes_to_b[i];
		b->blocks[i].is_used = goes_to_b[i];
	}
	for (size_t i = 0; i < d->nr_series; i++) {
		d->list[i]->values[DIFF_B] = d->list[i]->values[DIFF_A];
		d->list[i]->nr_blocks[DIFF_B] = d->list[i]->nr_blocks[DIFF_A];
	}
	b->is_a = true;
	return true;
}

size_t diff__nr_blocks(const struct diff *d)
{
	return d->sides[DIFF_A].nr_blocks;
}

size_t diff__nr(const struct diff *d)
{
	return d->nr;
}

const struct difference *diff__get(const struct diff *d, size_t i)
{
	return &d->differences[i];
}

bool diff__is_worse(const struct diff *d, double percent)
{
	for (size_t i = 0; i < d->nr; i++) {
		const struct difference *diff = &d->differences[i];

		/* What was not there before has become infinitely more. */
		if (diff->verdict == VERDICT_WORSE &&
		    (isnan(diff->change) || diff->change > percent))
			return true;
	}
	return false;
}

/* Writing */

struct diff_row {
	struct row row;
	const char *of_monitor, *of_table, *labels, *column, *unit, *verdict;
	double a, b, change, p, cost;
	uint64_t blocks_a, blocks_b;
};

enum { VIEW_DIFF };

const struct view diff_views[] = {
	[VIEW_DIFF] = { .title = "FROM A TO B (per second of a vCPU)",
			.name = "DIFF",
			.per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct diff_row, __VA_ARGS__)

const struct column diff_columns[] = {
	COL(of_monitor, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "monitor of the row"),
	COL(of_table, "TABLE", COL_STRING, ROLE_LABEL, .flags = COL_ONCE,
	    .help = "table of the row"),
	COL(labels, "ROW", COL_STRING, ROLE_LABEL, .flags = COL_ONCE,
	    .help = "labels of the row, as tables show them"),
	COL(column, "COLUMN", COL_STRING, ROLE_LABEL, .help = "column that is compared"),
	COL(a, "A", COL_DOUBLE, ROLE_GAUGE,
	    .help = "counters: per second of a vCPU; times: percent of a vCPU's time; percentiles: "
		    "ns"),
	COL(b, "B", COL_DOUBLE, ROLE_GAUGE, .help = "the same in B"),
	COL(unit, "UNIT", COL_STRING, ROLE_LABEL, .help = "/s, % or ns"),
	COL(change, "CHANGE%", COL_DOUBLE, ROLE_GAUGE,
	    .help = "change relative to A; absent if A is 0 or a side is absent"),
	COL(p, "P", COL_DOUBLE, ROLE_GAUGE, .drop = DROP_FIRST,
	    .help = "probability of such a difference by chance; absent: too few intervals"),
	COL(verdict, "VERDICT", COL_STRING, ROLE_LABEL, .width = 7,
	    .help = "worse, better, more, less; ~: not significant, or small; too few: too few "
		    "intervals"),
	COL(cost, "COST%", COL_DOUBLE, ROLE_GAUGE, .drop = DROP_SECOND,
	    .help = "by how much the row's share of a vCPU's time grew"),
	COL(blocks_a, NULL, COL_U64, ROLE_GAUGE, .flags = COL_DATA_ONLY,
	    .help = "intervals of A that were compared, merged into at most 30"),
	COL(blocks_b, NULL, COL_U64, ROLE_GAUGE, .flags = COL_DATA_ONLY, .help = "the same for B"),
	{},
};

static const char *verdict_word(enum verdict verdict)
{
	static const char *const words[] = {
		[VERDICT_TOO_FEW] = "too few", [VERDICT_SAME] = "~",
		[VERDICT_MORE] = "more",       [VERDICT_LESS] = "less",
		[VERDICT_WORSE] = "worse",     [VERDICT_BETTER] = "better",
	};

	return words[verdict];
}

static void write_row(const struct diff *d, struct output *out, const struct difference *diff,
		      unsigned int flags)
{
	const struct diff_row row = {
		.row = {
			.ts_ns = d->sides[DIFF_B].nr_blocks ?
					 d->sides[DIFF_B].blocks[d->sides[DIFF_B].nr_blocks - 1]
						 .now_ns :
					 0,
			.vm = diff->vm,
			.pid = UINT32_MAX,
			.tid = UINT32_MAX,
			.vcpu = diff->vcpu,
		},
		.of_monitor = diff->monitor,
		.of_table = diff->table,
		.labels = diff->labels,
		.column = diff->column,
		.unit = diff->unit,
		.verdict = verdict_word(diff->verdict),
		.a = diff->a,
		.b = diff->b,
		.change = diff->change,
		.p = diff->p,
		.cost = diff->cost,
		.blocks_a = diff->nr_a,
		.blocks_b = diff->nr_b,
	};

	output__row(out, &row.row, flags);
}

/* What may be the cause of it, and is no change of the guest's. */
static void add_word(struct json_object *words, const char *what, const char *a, const char *b)
{
	char text[512];

	if (!strcmp(a, b))
		return;
	snprintf(text, sizeof(text), "%s: %s, then %s", what, *a ? a : "none", *b ? b : "none");
	json_object_array_add(words, json_object_new_string(text));
	say("diff: different %s", text);
}

static const char *member(struct json_object *obj, const char *first, const char *second)
{
	obj = json_object_object_get(obj, first);
	if (second)
		obj = json_object_object_get(obj, second);
	return json_object_get_string(obj) ?: "";
}

/* "vm_exit, vcpu_load"; or those hooks that are missing. */
static void list_hooks(struct json_object *start, bool missing, char *text, size_t size)
{
	struct json_object *hooks = json_object_object_get(start, "hooks");
	size_t used = 0;
	const char *last = "";

	*text = '\0';
	for (size_t i = 0; json_object_is_type(hooks, json_type_array) &&
			   i < json_object_array_length(hooks) && used < size;
	     i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);
		const char *name = member(hook, missing ? "need" : "monitor", NULL);

		if (missing ? strcmp(member(hook, "state", NULL), "missing") != 0 :
			      !strcmp(name, last))
			continue;
		used += snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
		last = name;
	}
}

/* "12 events, 3 records_full" */
static void list_losses(struct json_object *summary, char *text, size_t size)
{
	struct json_object *lost = json_object_object_get(summary, "lost");
	size_t used = 0;

	*text = '\0';
	if (!json_object_is_type(lost, json_type_object))
		return;
	json_object_object_foreach(lost, kind, count)
	{
		if (json_object_get_uint64(count) && used < size)
			used += snprintf(text + used, size - used, "%s%" PRIu64 " %s",
					 used ? ", " : "", json_object_get_uint64(count), kind);
	}
}

static struct json_object *words_about(const struct diff *d)
{
	struct json_object *a = d->sides[DIFF_A].start, *b = d->sides[DIFF_B].start,
			   *words = json_object_new_array();
	char of_a[200], of_b[200];

	add_word(words, "kernel", member(a, "host", "kernel"), member(b, "host", "kernel"));
	add_word(words, "vendor", member(a, "host", "vendor"), member(b, "host", "vendor"));
	add_word(words, "host", member(a, "host", "hostname"), member(b, "host", "hostname"));
	add_word(words, "version", member(a, "version", NULL), member(b, "version", NULL));
	list_hooks(a, false, of_a, sizeof(of_a));
	list_hooks(b, false, of_b, sizeof(of_b));
	add_word(words, "monitors", of_a, of_b);
	list_hooks(a, true, of_a, sizeof(of_a));
	list_hooks(b, true, of_b, sizeof(of_b));
	add_word(words, "missing hooks", of_a, of_b);
	list_losses(d->sides[DIFF_A].summary, of_a, sizeof(of_a));
	list_losses(d->sides[DIFF_B].summary, of_b, sizeof(of_b));
	add_word(words, "losses", of_a, of_b);
	return words;
}

static struct json_object *side_object(const struct side *side)
{
	struct json_object *obj = json_object_new_object();
	uint64_t ns = side->nr_blocks ?
			      side->blocks[side->nr_blocks - 1].now_ns - side->blocks[0].since_ns :
			      0;

	json_object_object_add(obj, "start", json_object_get(side->start));
	json_object_object_add(obj, "duration_ns", json_object_new_uint64(ns));
	json_object_object_add(obj, "blocks", json_object_new_uint64(side->nr_blocks));
	json_object_object_add(obj, "vcpus", json_object_new_uint64(side->nr_vcpus));
	return obj;
}

void diff__write(struct diff *d, struct output *out, bool all, size_t top)
{
	const struct side *b = &d->sides[DIFF_B];
	static const enum merged merged[] = {
		[BY_VCPU] = MERGED_NOTHING,
		[BY_VM] = MERGED_VCPUS,
		[BY_HOST] = MERGED_VMS,
	};
	const struct section section = {
		.monitor = "kvm_watcher",
		.columns = diff_columns,
		.view = &diff_views[VIEW_DIFF],
		.view_bit = 1U << VIEW_DIFF,
		.scope = SCOPE_TOTAL,
		.merged = merged[d->selection->by],
		.since_ns = b->nr_blocks ? b->blocks[0].since_ns : 0,
		.now_ns = b->nr_blocks ? b->blocks[b->nr_blocks - 1].now_ns : 0,
	};
	struct json_object *obj = json_object_new_object();
	size_t shown = 0, few = 0;
	char more[160];

	json_object_object_add(obj, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(obj, "scope", json_object_new_string("diff"));
	json_object_object_add(obj, "schema", json_object_new_int(OUTPUT_SCHEMA));
	json_object_object_add(obj, "a", side_object(&d->sides[DIFF_A]));
	json_object_object_add(obj, "b", side_object(&d->sides[DIFF_B]));
	json_object_object_add(obj, "differs", words_about(d));
	output__object(out, obj);
	output__set_clock(out, clock__real_offset_ns());
	output__begin(out, &section);
	for (size_t i = 0; i < d->nr; i++) {
		const struct difference *diff = &d->differences[i];
		bool says = all || diff->verdict >= VERDICT_MORE;

		few += diff->verdict == VERDICT_TOO_FEW;
		says &= !top || shown < top;
		shown += says;
		write_row(d, out, diff, says ? 0 : ROW_DATA);
	}
	if (few == d->nr)
		snprintf(more, sizeof(more),
			 "too few intervals: %zu and %zu; at least %d of each "
			 "are needed",
			 d->sides[DIFF_A].nr_blocks, d->sides[DIFF_B].nr_blocks, DIFF_LEAST_BLOCKS);
	else
		snprintf(more, sizeof(more),
			 "\u2026 and %zu without a significant, large difference, %zu with too few "
			 "intervals",
			 d->nr - shown - (all ? 0 : few), few);
	if (shown < d->nr || few)
		output__more(out, more);
	output__end(out);
	output__finish(out);
}
