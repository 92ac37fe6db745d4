// SPDX-License-Identifier: GPL-2.0-only
#include "select.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "monitor.h"
#include "samples.h"
#include "times.h"

const struct selection everything;

/* Columns */

/* The views that show samples; all: those of events and lists, too. */
static unsigned int views_of(const struct monitor *m, bool all)
{
	unsigned int views = 0;

	for (unsigned int view = 0; m->views[view].title; view++)
		if (all || m->views[view].samples)
			views |= 1U << view;
	return views;
}

static unsigned int views_that_show(const struct monitor *m, unsigned int of)
{
	unsigned int views = 0;

	for (unsigned int view = 0; m->views[view].title; view++)
		if (m->views[view].samples == of + 1)
			views |= 1U << view;
	return views;
}

/* An option that names a column. */
struct naming {
	const char *option;
	const char *name;
	size_t len;
	bool events; /* it is for single events, too */
};

static size_t namings(const struct selection *sel, struct naming list[MAX_CONDITIONS + 1])
{
	size_t nr = 0;

	if (sel->sort)
		list[nr++] = (struct naming){ "--sort", sel->sort, strlen(sel->sort), false };
	for (size_t i = 0; i < sel->nr_where; i++)
		list[nr++] =
			(struct naming){ "--where", sel->where[i].column, sel->where[i].len, true };
	return nr;
}

static bool has_column(const struct monitor *m, const struct naming *naming)
{
	return column__find(m->columns, views_of(m, naming->events), naming->name, naming->len);
}

struct names {
	char *text;
	size_t size, used;
};

static bool is_in(const struct names *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *s = names->text; (s = strstr(s, name)); s += len)
		if ((s == names->text || s[-1] == ' ') && (!s[len] || s[len] == ','))
			return true;
	return false;
}

static void add_name(struct names *names, const char *name)
{
	if (is_in(names, name) || names->used + strlen(name) + 3 > names->size)
		return;
	names->used += snprintf(names->text + names->used, names->size - names->used, "%s%s",
				names->used ? ", " : "", name);
}

static void add_column_name(const struct column *col, void *names)
{
	add_name(names, col->name);
}

bool selection__is_wrong(const struct selection *sel, const struct chosen *chosen, size_t nr,
			 char *text, size_t size)
{
	struct naming list[MAX_CONDITIONS + 1];
	struct names names = { .text = text, .size = size };
	size_t nr_namings = namings(sel, list);

	for (size_t i = 0; i < nr_namings; i++) {
		bool known = false;

		for (size_t j = 0; j < nr; j++)
			known |= has_column(chosen[j].monitor, &list[i]);
		if (known)
			continue;
		names.used = snprintf(text, size, "%s: \"%.*s\" is not a column; choose from ",
				      list[i].option, (int)list[i].len, list[i].name);
		if (names.used >= size)
			return true;
		names.text += names.used;
		names.size -= names.used;
		names.used = 0;
		for (size_t j = 0; j < nr; j++)
			column__each(chosen[j].monitor->columns,
				     views_of(chosen[j].monitor, list[i].events), add_column_name,
				     &names);
		return true;
	}
	return false;
}

static bool has_times(const struct monitor *m)
{
	for (const struct column *col = m->columns; col->name; col++)
		if (col->type == COL_TIMES)
			return true;
	return false;
}

void selection__explain(const struct selection *sel, const struct chosen *chosen, size_t nr)
{
	struct naming list[MAX_CONDITIONS + 1];
	size_t nr_namings = namings(sel, list);
	char text[256];

	for (size_t i = 0; i < nr_namings; i++) {
		struct names names = { .text = text, .size = sizeof(text) };

		for (size_t j = 0; j < nr; j++)
			if (!has_column(chosen[j].monitor, &list[i]))
				add_name(&names, chosen[j].monitor->name);
		if (names.used)
			say("%s: \"%.*s\" is not a column of %s, whose rows are not affected",
			    list[i].option, (int)list[i].len, list[i].name, text);
	}
	for (size_t j = 0; sel->histogram && j < nr; j++)
		if (!has_times(chosen[j].monitor))
			say("--histogram: %s measures no times", chosen[j].monitor->name);
}

/* Conditions */

enum stage { ON_LABELS, ON_VALUES, ON_BOTH };

static bool is_at(enum stage stage, const struct column *col)
{
	return stage == ON_BOTH || (col->role == ROLE_LABEL) == (stage == ON_LABELS);
}

static bool holds(const struct selection *sel, const struct column *columns, unsigned int views,
		  const struct row *row, enum stage stage)
{
	for (size_t i = 0; i < sel->nr_where; i++) {
		const struct condition *c = &sel->where[i];
		const struct column *col = column__find(columns, views, c->column, c->len);

		if (col && is_at(stage, col) && !condition__holds(c, col, row))
			return false;
	}
	return true;
}

bool selection__has(const struct selection *sel, const struct column *columns, unsigned int views,
		    const struct row *row)
{
	return holds(sel, columns, views, row, ON_BOTH);
}

/* Moves those that hold to the front. */
static size_t filter(const struct select *s, struct sample *list, size_t nr, enum stage stage)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++) {
		struct sample sample = list[i];

		if (!holds(s->sel, s->m->columns, s->views, sample.row, stage))
			continue;
		list[i] = list[kept];
		list[kept++] = sample;
	}
	return kept;
}

/* Comparing. What is equal in all of that is in the same order in every interval. */

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int by_vm(const struct row *a, const struct row *b)
{
	int order = a->vm == b->vm ? 0 : strcmp(a->vm ?: "", b->vm ?: "");

	if (!order)
		order = compare(a->pid, b->pid);
	return order ? order : compare(a->vm_nr, b->vm_nr);
}

static int by_vcpu(const struct row *a, const struct row *b)
{
	int order = by_vm(a, b);

	if (!order)
		order = compare(a->vcpu, b->vcpu);
	return order ? order : compare(a->tid, b->tid);
}

/* Those that are a series' key; shown: only those that the user sees. */
static int by_labels(const struct monitor *m, unsigned int views, bool shown, const struct row *a,
		     const struct row *b)
{
	int order = 0;

	for (const struct column *col = m->columns; !order && col->name; col++) {
		if (col->role != ROLE_LABEL || (col->flags & (COL_TABLE_ONLY | COL_COMPUTED)) ||
		    (col->views && !(col->views & views)) || (shown && !column__is_shown(col)))
			continue;
		order = cell__compare(col, a, b);
	}
	return order;
}

/* Merging */

static int by_head(const void *a, const void *b)
{
	return by_vcpu(((const struct sample *)a)->row, ((const struct sample *)b)->row);
}

static int same_group(const struct select *s, const struct row *a, const struct row *b)
{
	int order = s->sel->by == BY_HOST ? 0 : by_vm(a, b);

	return order ? order : by_labels(s->m, 1U << s->of, true, a, b);
}

static int by_group(const void *a, const void *b, void *s)
{
	const struct row *x = ((const struct sample *)a)->row, *y = ((const struct sample *)b)->row;
	int order = same_group(s, x, y);

	return order ? order : by_vcpu(x, y);
}

/* Raw is sorted by_head(): each gets to know how many vCPUs what it is merged to has. */
static void count_vcpus(const struct select *s)
{
	for (size_t i = 0, end; i < s->nr_raw; i = end) {
		unsigned int nr = 0;

		for (end = i; end < s->nr_raw; end++) {
			const struct row *row = s->raw[end].row,
					 *above = end > i ? s->raw[end - 1].row : NULL;

			if (above && s->sel->by == BY_VM && by_vm(above, row))
				break;
			nr += !above || by_vm(above, row) || above->vcpu != row->vcpu;
		}
		for (size_t j = i; j < end; j++)
			s->raw[j].nr_vcpus = nr;
	}
}

static void drop_labels(const struct select *s, struct row *row)
{
	row->tid = row->vcpu = UINT32_MAX;
	if (s->sel->by == BY_VM)
		return;
	row->vm = row->vm_id = NULL;
	row->vm_nr = 0;
	row->pid = UINT32_MAX;
}

static struct row *merge(const struct select *s, const struct samples *samples,
			 const struct sample *parts, size_t nr, bool run, char *to)
{
	struct row *row = (struct row *)to;

	memcpy(row, run ? parts->run : parts->row, s->m->row_size);
	for (size_t i = 1; i < nr; i++)
		samples__merge(samples, s->of, row, run ? parts[i].run : parts[i].row);
	samples__derive(samples, s->of, row);
	drop_labels(s, row);
	return row;
}

static size_t group_size(const struct select *s, size_t first)
{
	size_t nr = 1;

	while (first + nr < s->nr_raw &&
	       !same_group(s, s->parts[first].row, s->parts[first + nr].row))
		nr++;
	return nr;
}

static int merge_all(struct select *s, const struct samples *samples)
{
	/* Members of rows are aligned for the largest type. */
	size_t size = (s->m->row_size + 15) & ~(size_t)15, nr = 0;
	char *to;

	count_vcpus(s);
	s->parts = malloc((s->nr_raw + 1) * sizeof(*s->parts));
	if (!s->parts)
		return -ENOMEM;
	memcpy(s->parts, s->raw, s->nr_raw * sizeof(*s->parts));
	qsort_r(s->parts, s->nr_raw, sizeof(*s->parts), by_group, s);
	for (size_t i = 0; i < s->nr_raw; i += group_size(s, i))
		nr++;
	s->list = calloc(nr + 1, sizeof(*s->list));
	s->merged = to = malloc(2 * nr * size + 1);
	if (!s->list || !s->merged)
		return -ENOMEM;
	for (size_t i = 0, of; i < s->nr_raw; i += of, to += 2 * size) {
		of = group_size(s, i);
		s->list[s->nr++] = (struct sample){
			.row = merge(s, samples, &s->parts[i], of, false, to),
			.run = merge(s, samples, &s->parts[i], of, true, to + size),
			.parts = &s->parts[i],
			.nr_parts = of,
			.nr_vcpus = s->parts[i].nr_vcpus,
		};
	}
	return 0;
}

/* A view that others are no order for. */
static bool shows_vms(const struct monitor *m)
{
	for (const struct view *view = m->views; view->title; view++)
		if (view->of_vm)
			return true;
	return false;
}

int select__open(struct select *s, const struct selection *sel, const struct monitor *m,
		 const struct samples *samples, unsigned int of, struct sample *raw, size_t nr_raw)
{
	int err = 0;

	*s = (struct select){
		.sel = sel,
		.m = m,
		.of = of,
		.views = views_that_show(m, of),
		.raw = raw,
		.nr_raw = nr_raw,
	};
	s->nr_raw = filter(s, raw, nr_raw, ON_LABELS);
	if (sel->by != BY_VCPU || shows_vms(m))
		qsort(raw, s->nr_raw, sizeof(*raw), by_head);
	for (size_t i = 0; i < s->nr_raw; i++)
		raw[i].nr_vcpus = 1;
	if (sel->by != BY_VCPU) {
		err = merge_all(s, samples);
	} else {
		s->list = malloc((s->nr_raw + 1) * sizeof(*s->list));
		if (!s->list)
			return -ENOMEM;
		memcpy(s->list, raw, s->nr_raw * sizeof(*raw));
		s->nr = s->nr_raw;
	}
	s->nr_all = s->nr;
	return err;
}

void select__free(struct select *s)
{
	free(s->raw);
	free(s->parts);
	free(s->list);
	free(s->merged);
}

/* Order */

struct place {
	struct sample sample;
	double cost; /* what it adds to its vCPU's and VM's */
	double all;  /* with what drowns the rest: halts */
	double vcpu_cost, vm_cost;
};

struct ordering {
	const struct select *s;
	const struct column *col; /* NULL: by cost */
};

static double cell_cost(const struct column *col, const struct row *row)
{
	const void *cell = (const char *)row + col->offset;
	uint64_t number;

	if (col->type == COL_TIMES)
		return ((const struct times *)cell)->total_ns;
	number = *(const uint64_t *)cell;
	return number == UINT64_MAX ? 0 : number;
}

static double cost_of(const struct select *s, const struct row *row)
{
	double cost = 0;

	for (const struct column *col = s->m->columns; col->name; col++)
		if ((col->flags & COL_COST) && (!col->views || (col->views >> s->of & 1)))
			cost += cell_cost(col, row);
	return cost;
}

static int by_place_head(const void *a, const void *b)
{
	return by_vcpu(((const struct place *)a)->sample.row,
		       ((const struct place *)b)->sample.row);
}

/* Sorted by head: what each vCPU and each VM costs. */
static void add_up(struct place *places, size_t nr)
{
	for (size_t i = 0, vm_end, end; i < nr; i = vm_end) {
		double vm_cost = 0;

		for (vm_end = i;
		     vm_end < nr && !by_vm(places[i].sample.row, places[vm_end].sample.row);
		     vm_end = end) {
			double cost = 0;

			for (end = vm_end;
			     end < nr && !by_place_head(&places[vm_end], &places[end]); end++)
				cost += places[end].cost;
			for (size_t j = vm_end; j < end; j++)
				places[j].vcpu_cost = cost;
			vm_cost += cost;
		}
		for (size_t j = i; j < vm_end; j++)
			places[j].vm_cost = vm_cost;
	}
}

static int greatest_first(double a, double b)
{
	return (a < b) - (a > b);
}

static int by_cost(const struct place *a, const struct place *b)
{
	const struct row *x = a->sample.row, *y = b->sample.row;
	int order = greatest_first(a->vm_cost, b->vm_cost);

	if (!order)
		order = by_vm(x, y);
	if (!order)
		order = greatest_first(a->vcpu_cost, b->vcpu_cost);
	if (!order)
		order = by_vcpu(x, y);
	if (!order)
		order = greatest_first(a->cost, b->cost);
	return order ? order : greatest_first(a->all, b->all);
}

static int by_row_cost(const struct place *a, const struct place *b)
{
	int order = greatest_first(a->cost, b->cost);

	return order ? order : greatest_first(a->all, b->all);
}

/* Labels the least first, what is measured the greatest first, what is absent last. */
static int by_column(const struct ordering *o, const struct row *a, const struct row *b)
{
	int order = cell__compare(o->col, a, b);

	if (cell__is_absent(o->col, a) || cell__is_absent(o->col, b))
		return order;
	return (o->col->role == ROLE_LABEL) == o->s->sel->inverted ? -order : order;
}

static int by_place(const void *a, const void *b, void *ordering)
{
	const struct place *x = a, *y = b;
	const struct ordering *o = ordering;
	const struct row *m = x->sample.row, *n = y->sample.row;
	int order = o->col ? by_column(o, m, n) : o->s->by_row ? by_row_cost(x, y) : by_cost(x, y);

	if (!order)
		order = by_vcpu(m, n);
	return order ? order : by_labels(o->s->m, o->s->views, false, m, n);
}

static const struct column *sort_column(const struct select *s)
{
	const char *name = s->sel->sort;

	return name ? column__find(s->m->columns, s->views, name, strlen(name)) : NULL;
}

/* Cutting */

/* What --top counts. */
enum unit { UNIT_VCPU, UNIT_VM, UNIT_ROW };

static enum unit unit_of(const struct select *s)
{
	if (s->sel->by == BY_HOST || sort_column(s))
		return UNIT_ROW;
	return s->sel->by == BY_VCPU && s->m->views[s->of].per_vcpu ? UNIT_VCPU : UNIT_VM;
}

bool select__is_flat(const struct select *s)
{
	return s->by_row || sort_column(s);
}

/* One of them, and how it compares with others. */
struct group {
	size_t first, nr;
	double cost;
};

static bool is_same(enum unit unit, const struct row *a, const struct row *b)
{
	return unit == UNIT_VCPU ? !by_vcpu(a, b) : unit == UNIT_VM && !by_vm(a, b);
}

static size_t find_groups(enum unit unit, const struct place *places, size_t nr,
			  struct group *groups)
{
	size_t found = 0;

	for (size_t i = 0; i < nr; i++) {
		if (!i || !is_same(unit, places[i - 1].sample.row, places[i].sample.row))
			groups[found++] = (struct group){
				.first = i,
				/* Rows, and VMs, are in order already. */
				.cost = unit == UNIT_VCPU ? places[i].vcpu_cost : 0,
			};
		groups[found - 1].nr++;
	}
	return found;
}

static int by_group_cost(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	int order = greatest_first(x->cost, y->cost);

	return order ? order : compare(x->first, y->first);
}

static int by_first(const void *a, const void *b)
{
	return compare(((const struct group *)a)->first, ((const struct group *)b)->first);
}

/* How many of the groups, of which the first ones cost most, there is room for. */
static size_t how_many(const struct select *s, const struct group *groups, size_t nr,
		       unsigned int lines)
{
	size_t fit, used = 0;

	if (s->sel->top)
		return s->sel->top < nr ? s->sel->top : nr;
	for (fit = 0; fit < nr && lines; fit++) {
		/* A line over the rows of each vCPU. */
		used += groups[fit].nr + (s->m->sum && groups[fit].nr > 1);
		if (used > lines && fit >= LEAST_GROUPS)
			break;
	}
	return lines ? fit : nr;
}

/* The list again: groups that there is room for, and the others behind them. */
static int cut(struct select *s, const struct place *places, unsigned int lines)
{
	struct group *groups = calloc(s->nr + 1, sizeof(*groups));
	size_t nr, fit, at = 0, all = s->nr;

	if (!groups)
		return -ENOMEM;
	nr = find_groups(unit_of(s), places, all, groups);
	qsort(groups, nr, sizeof(*groups), by_group_cost);
	fit = how_many(s, groups, nr, lines);
	qsort(groups, fit, sizeof(*groups), by_first);
	for (size_t i = 0; i < nr; i++) {
		if (i == fit)
			s->nr = at;
		for (size_t j = 0; j < groups[i].nr; j++)
			s->list[at++] = places[groups[i].first + j].sample;
	}
	s->nr_left_out = nr - fit;
	free(groups);
	return 0;
}

int select__order(struct select *s, unsigned int lines)
{
	const struct ordering o = { .s = s, .col = sort_column(s) };
	struct place *places;
	int err;

	s->nr = filter(s, s->list, s->nr, ON_VALUES);
	places = calloc(s->nr + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < s->nr; i++) {
		const struct row *row = s->list[i].row;

		places[i].sample = s->list[i];
		places[i].all = cost_of(s, row);
		places[i].cost = s->m->sum && !s->m->sum->has(row) ? 0 : places[i].all;
	}
	qsort(places, s->nr, sizeof(*places), by_place_head);
	add_up(places, s->nr);
	qsort_r(places, s->nr, sizeof(*places), by_place, (void *)&o);
	err = cut(s, places, lines);
	free(places);
	return err;
}

const char *select__more(const struct select *s, char *text, size_t size)
{
	static const char *const words[] = {
		[UNIT_VCPU] = "vCPU",
		[UNIT_VM] = "VM",
		[UNIT_ROW] = "row",
	};

	if (!s->nr_left_out)
		return NULL;
	snprintf(text, size, "\u2026 and %zu more %s%s", s->nr_left_out, words[unit_of(s)],
		 s->nr_left_out == 1 ? "" : "s");
	return text;
}
