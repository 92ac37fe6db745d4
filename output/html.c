/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page with the pictures of a run: one file that asks nobody for anything. It is written when all
 * is over; until then memory is bounded, whatever the run's length. Intervals are merged with their
 * neighbours when there are too many; over time there are lines of all rows, of each VM, of each
 * vCPU where a view says what its time is made of, and of each combination of labels. Of these
 * groups the costliest are kept. html_page.c writes it.
 */
#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "format.h"
#include "html.h"

enum {
	MAX_KEY = 512,
	ROWS_ROOM = 64 << 10,	  /* bytes of a table's rows */
	OBJECTS_ROOM = 512 << 10, /* and of objects of a kind */
};

static const size_t most[] = {
	[BY_ALL] = 1,
	[BY_VM] = 256,
	[BY_VCPU] = 2048,
	[BY_LABELS] = 64,
};

static struct page *page_of(const struct output *out)
{
	return out->state;
}

/* Moments */

static void merge_cells(struct cell *a, struct cell *b);

static void fold_group(struct table *t, struct group *g)
{
	for (size_t i = 0; i < t->nr_lines; i++) {
		float *values = g->values[i];

		for (size_t j = 0; values && j < HTML_MOMENTS; j++) {
			float sum = 2 * j < HTML_MOMENTS ? values[2 * j] + values[2 * j + 1] : 0;

			values[j] = sum;
		}
	}
	for (size_t i = 0; i < MAX_TIMES; i++) {
		struct cell *cells = g->cells[i];

		for (size_t j = 0; cells && j < HTML_MOMENTS / 2; j++) {
			struct cell sum = cells[2 * j];

			merge_cells(&sum, &cells[2 * j + 1]);
			cells[2 * j] = (struct cell){};
			cells[j] = sum;
		}
	}
}

/* Half as many, each of twice the length. */
static void fold(struct page *p)
{
	for (size_t i = 0; i < HTML_MOMENTS / 2; i++) {
		struct moment *a = &p->moments[2 * i], *b = &p->moments[2 * i + 1];

		p->moments[i] = (struct moment){ a->since_ns, b->now_ns, b->real_offset_ns };
	}
	for (struct table *t = p->tables; t; t = t->next)
		for (size_t i = 0; i < t->nr_groups; i++)
			fold_group(t, t->groups[i]);
	p->nr_moments = HTML_MOMENTS / 2;
	p->per_moment *= 2;
	p->in_last = p->per_moment;
}

static void html_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
			      uint64_t now_ns)
{
	struct page *p = page_of(out);
	struct moment *last;

	p->in_interval = scope == SCOPE_INTERVAL;
	if (!p->in_interval)
		return;
	if (!p->per_moment)
		p->per_moment = 1;
	if (p->nr_moments == HTML_MOMENTS && p->in_last == p->per_moment)
		fold(p);
	if (p->nr_moments && p->in_last < p->per_moment) {
		last = &p->moments[p->nr_moments - 1];
		p->in_last++;
	} else {
		last = &p->moments[p->nr_moments++];
		last->since_ns = since_ns;
		p->in_last = 1;
	}
	last->now_ns = now_ns;
	last->real_offset_ns = out->has_clock ? out->real_offset_ns : 0;
}

static void html_end_window(struct output *out)
{
	page_of(out)->in_interval = false;
}

/* Tables */

static bool has(const struct section *section, const struct column *col)
{
	return !col->views || (col->views & section->view_bit);
}

static bool is_line(const struct section *section, const struct column *col)
{
	bool number = col->type == COL_U32 || col->type == COL_U64 || col->type == COL_NSEC ||
		      col->type == COL_DOUBLE;

	return number && col->role == ROLE_COUNTER && section__has_data(section, col);
}

static void find_lines(struct table *t, const struct section *section)
{
	for (const struct column *col = section->columns; col->name; col++) {
		if (t->nr_lines == MAX_LINES || !is_line(section, col))
			continue;
		t->lines[t->nr_lines++] = col;
		t->has_stack |= col->flags & COL_STACK;
	}
}

static struct table *find_table(const struct page *p, const char *name)
{
	for (struct table *t = p->tables; t; t = t->next)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

static void free_table(struct table *t);

static struct table *new_table(struct page *p, const struct section *section)
{
	struct table *t = calloc(1, sizeof(*t)), **end = &p->tables;

	if (!t)
		return NULL;
	t->monitor = strdup(section->monitor);
	t->name = strdup(section->view->name);
	t->title = strdup(section->view->title);
	if (!t->monitor || !t->name || !t->title) {
		free_table(t);
		return NULL;
	}
	t->columns = section->columns;
	t->view_bit = section->view_bit;
	t->per_vcpu = section->view->per_vcpu;
	t->events = section->scope == SCOPE_EVENT;
	find_lines(t, section);
	while (*end)
		end = &(*end)->next;
	*end = t;
	return t;
}

static bool is_histogram(const struct section *section)
{
	for (const struct column *col = section->columns; col->name; col++)
		if (col->flags & COL_BUCKETS)
			return true;
	return false;
}

/* Its names are its own: the columns go when the monitor does. */
static void take_times(struct page *p, struct table *t, const struct section *section)
{
	if (t->nr_times)
		return;
	for (const struct column *col = section->columns; col->name; col++) {
		char *name;

		if (!(col->flags & COL_BUCKETS) || t->nr_times == MAX_TIMES)
			continue;
		name = strdup(col->name);
		p->failed |= !name;
		if (!name)
			return;
		t->times[t->nr_times++] = name;
	}
}

static void html_begin(struct output *out)
{
	const struct section *section = &out->section;
	struct page *p = page_of(out);

	p->current = p->histogram_of = NULL;
	if (is_histogram(section)) {
		p->histogram_of =
			section->view->part_of ? find_table(p, section->view->part_of) : NULL;
		if (p->histogram_of)
			take_times(p, p->histogram_of, section);
		return;
	}
	p->current = find_table(p, section->view->name);
	if (!p->current)
		p->current = new_table(p, section);
	p->failed |= !p->current;
}

/* Groups */

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct group *)a)->key, ((const struct group *)b)->key);
}

static void free_group(struct group *g, size_t nr_lines)
{
	if (!g)
		return;
	for (size_t i = 0; g->values && i < nr_lines; i++)
		free(g->values[i]);
	for (size_t i = 0; i < MAX_TIMES; i++) {
		for (size_t j = 0; g->cells[i] && j < HTML_MOMENTS; j++)
			free(g->cells[i][j].counts);
		free(g->cells[i]);
	}
	free(g->values);
	free(g->sums);
	free(g->name);
	free(g->key);
	free(g);
}

static void nothing(void *node)
{
	(void)node;
}

static void free_table(struct table *t)
{
	if (t->by_key)
		tdestroy(t->by_key, nothing);
	for (size_t i = 0; i < t->nr_groups; i++)
		free_group(t->groups[i], t->nr_lines);
	for (size_t i = 0; i < t->nr_rows; i++)
		free(t->rows[i].text);
	for (size_t i = 0; i < t->nr_times; i++)
		free(t->times[i]);
	free(t->groups);
	free(t->monitor);
	free(t->name);
	free(t->title);
	buf__free(&t->written);
	free(t);
}

/* The one that costs least makes room: what all rows have stays whole. */
static void drop_least(struct table *t, enum by by)
{
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < t->nr_groups; i++)
		if (t->groups[i]->by == by &&
		    (least == SIZE_MAX || t->groups[i]->cost < t->groups[least]->cost))
			least = i;
	if (least == SIZE_MAX)
		return;
	tdelete(t->groups[least], &t->by_key, by_key);
	free_group(t->groups[least], t->nr_lines);
	t->groups[least] = t->groups[--t->nr_groups];
	t->nr_of[by]--;
	t->nr_gone[by]++;
}

static struct group *new_group(struct table *t, enum by by, const char *key, const char *name)
{
	struct group *g, **groups;

	if (t->nr_of[by] >= most[by])
		drop_least(t, by);
	if (t->nr_groups == t->room) {
		groups = realloc(t->groups, (2 * t->room + 8) * sizeof(*groups));
		if (!groups)
			return NULL;
		t->groups = groups;
		t->room = 2 * t->room + 8;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->by = by;
	g->key = strdup(key);
	g->name = strdup(name);
	g->sums = calloc(t->nr_lines + 1, sizeof(*g->sums));
	g->values = calloc(t->nr_lines + 1, sizeof(*g->values));
	if (!g->key || !g->name || !g->sums || !g->values || !tsearch(g, &t->by_key, by_key)) {
		free_group(g, t->nr_lines);
		return NULL;
	}
	t->groups[t->nr_groups++] = g;
	t->nr_of[by]++;
	return g;
}

static bool is_label(const struct section *section, const struct column *col)
{
	return col->role == ROLE_LABEL && has(section, col) && column__is_shown(col) &&
	       col->type != COL_STRINGS && col->type != COL_OBJECT;
}

static void add_member(struct buf *name, const char *key)
{
	buf__puts(name, name->len ? ",\"" : "\"");
	buf__puts(name, key);
	buf__puts(name, "\":");
}

/* Labels that say a thing twice, a number beside its word, are data only. */
static void name_labels(struct buf *name, const struct section *section, const struct row *row)
{
	bool words = false;

	for (const struct column *col = section->columns; col->name; col++)
		words |= is_label(section, col) && !(col->flags & COL_DATA_ONLY);
	for (const struct column *col = section->columns; col->name; col++) {
		if (!is_label(section, col) || (words && (col->flags & COL_DATA_ONLY)))
			continue;
		add_member(name, col->name);
		buf__json_cell(name, col, row);
	}
}

static void name_vm(struct buf *name, const struct row *row)
{
	static const char *const members[] = { "vm", "vm_id", "pid" };

	for (const struct column *col = leading_columns; col->name; col++)
		for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
			if (!strcmp(col->name, members[i])) {
				add_member(name, col->name);
				buf__json_cell(name, col, row);
			}
}

/* False: the row has none by that. */
static bool name_group(struct output *out, enum by by, const struct row *row, struct buf *name)
{
	const struct section *section = &out->section;

	buf__reset(name);
	switch (by) {
	case BY_VCPU:
		if (!section->view->per_vcpu || section->merged != MERGED_NOTHING ||
		    row->vcpu == UINT32_MAX)
			return false;
		name_vm(name, row);
		buf__printf(name, ",\"vcpu\":%u", row->vcpu);
		break;
	case BY_VM:
		if (section->merged == MERGED_VMS || !row->vm)
			return false;
		name_vm(name, row);
		break;
	case BY_LABELS:
		name_labels(name, section, row);
		return name->len;
	default:
		break;
	}
	return true;
}

static struct group *group_of(struct output *out, struct table *t, enum by by,
			      const struct row *row)
{
	static const struct buf empty;
	struct page *p = page_of(out);
	struct buf *name = &out->line;
	const struct buf *mended = &empty;
	struct group key = {}, **node, *g;
	char text[MAX_KEY];

	if (!name_group(out, by, row, name))
		return NULL;
	if (name->len)
		mended = buf__mend_json(name, &out->mended);
	snprintf(text, sizeof(text), "%d%s", by, mended->len ? mended->data : "");
	key.key = text;
	node = tfind(&key, &t->by_key, by_key);
	if (node)
		return *node;
	g = new_group(t, by, text, mended->len ? mended->data : "");
	p->failed |= !g;
	return g;
}

static bool value_of(const struct column *col, const struct row *row, double *value)
{
	uint64_t number;

	if (col->type == COL_DOUBLE)
		return cell__real(col, row, value);
	if (!cell__number(col, row, &number))
		return false;
	*value = number;
	return true;
}

static void add_line(struct page *p, struct group *g, size_t line, double value)
{
	if (value <= 0 || !p->nr_moments)
		return;
	if (!g->values[line])
		g->values[line] = calloc(HTML_MOMENTS, sizeof(**g->values));
	p->failed |= !g->values[line];
	if (!g->values[line])
		return;
	g->values[line][p->nr_moments - 1] += value;
	g->sums[line] += value;
}

/* By cost, or by the first line if nothing is said to cost. */
static double cost_of(const struct table *t, const struct row *row)
{
	double cost = 0, first = 0, value;
	bool any = false;

	for (size_t i = 0; i < t->nr_lines; i++) {
		if (!value_of(t->lines[i], row, &value))
			continue;
		if (t->lines[i]->flags & COL_COST) {
			cost += value;
			any = true;
		}
		first = i ? first : value;
	}
	return any ? cost : first;
}

static void add_lines(struct output *out, struct table *t, const struct row *row)
{
	struct page *p = page_of(out);
	double cost = cost_of(t, row), value;

	for (enum by by = BY_ALL; by < NR_BY; by++) {
		struct group *g;

		if (by == BY_VCPU && !t->has_stack)
			continue;
		g = group_of(out, t, by, row);
		if (!g)
			continue;
		g->cost += cost;
		for (size_t i = 0; i < t->nr_lines; i++)
			if (value_of(t->lines[i], row, &value))
				add_line(p, g, i, value);
	}
}

/* Histograms */

/*
 * A bucket by where it begins: four for each power of two (docs/output.md), so 4 to 7 are those
 * from 4 to 7 ns, and 8 is that from 8 to 9 ns.
 */
static unsigned int bucket_of(uint64_t low_ns)
{
	unsigned int octave;

	if (low_ns < 4)
		return low_ns;
	octave = 63 - __builtin_clzll(low_ns);
	return 4 * (octave - 1) + (unsigned int)(low_ns >> (octave - 2) & 3);
}

/* Room for buckets low to low + nr - 1. */
static bool widen(struct cell *cell, unsigned int low, unsigned int nr)
{
	unsigned int end = low + nr, old_end = cell->low + cell->nr;
	uint64_t *counts;

	if (cell->nr) {
		low = low < cell->low ? low : cell->low;
		end = end > old_end ? end : old_end;
		if (low == cell->low && end == old_end)
			return true;
	}
	counts = calloc(end - low, sizeof(*counts));
	if (!counts)
		return false;
	if (cell->nr)
		memcpy(counts + cell->low - low, cell->counts, cell->nr * sizeof(*counts));
	free(cell->counts);
	cell->low = low;
	cell->nr = end - low;
	cell->counts = counts;
	return true;
}

/* b is empty then. */
static void merge_cells(struct cell *a, struct cell *b)
{
	if (b->nr && widen(a, b->low, b->nr))
		for (unsigned int i = 0; i < b->nr; i++)
			a->counts[b->low + i - a->low] += b->counts[i];
	free(b->counts);
	*b = (struct cell){};
}

static void add_buckets(struct page *p, struct group *g, size_t time, struct json_object *buckets)
{
	struct cell *cell;

	if (!g->cells[time])
		g->cells[time] = calloc(HTML_MOMENTS, sizeof(**g->cells));
	p->failed |= !g->cells[time];
	if (!g->cells[time])
		return;
	cell = &g->cells[time][p->nr_moments - 1];
	for (size_t i = 0; i < json_object_array_length(buckets); i++) {
		struct json_object *pair = json_object_array_get_idx(buckets, i);
		unsigned int bucket =
			bucket_of(json_object_get_uint64(json_object_array_get_idx(pair, 0)));

		if (!widen(cell, bucket, 1)) {
			p->failed = true;
			return;
		}
		cell->counts[bucket - cell->low] +=
			json_object_get_uint64(json_object_array_get_idx(pair, 1));
	}
}

static void add_histogram(struct output *out, struct table *t, const struct row *row)
{
	struct page *p = page_of(out);

	for (enum by by = BY_ALL; by < NR_BY; by++) {
		const struct column *col = out->section.columns;
		struct group *g = by == BY_VCPU ? NULL : group_of(out, t, by, row);

		for (size_t i = 0; g && col->name; col++) {
			if (!(col->flags & COL_BUCKETS) || i == t->nr_times)
				continue;
			add_buckets(p, g, i++, cell__object(col, row));
		}
	}
}

/* Rows of tables */

/* Events: the longest. Others come in the order they are shown in. */
static double rank_of(const struct output *out, const struct row *row)
{
	uint64_t value;

	for (const struct column *col = out->section.columns; col->name; col++)
		if (out->section.scope == SCOPE_EVENT && col->type == COL_NSEC &&
		    section__has_data(&out->section, col) && cell__number(col, row, &value))
			return value;
	return 0;
}

static void put_row(struct output *out, struct buf *line, const struct row *row)
{
	const struct section *section = &out->section;
	const char *comma = "[";

	for (const struct column *col = leading_columns; col->name; col++, comma = ",") {
		buf__puts(line, comma);
		buf__json_cell(line, col, output__lead(out, row));
	}
	for (const struct column *col = section->columns; col->name; col++) {
		if (!section__has_data(section, col))
			continue;
		buf__puts(line, comma);
		buf__json_cell(line, col, row);
	}
	buf__putc(line, ']');
}

/* Where it belongs; NULL: there are enough that rank higher. */
static struct shown_row *place_for(struct table *t, double rank)
{
	struct shown_row *least = &t->rows[0];

	if (t->nr_rows < MAX_ROWS && t->rows_len < ROWS_ROOM)
		return &t->rows[t->nr_rows++];
	t->nr_left_out++;
	for (size_t i = 1; i < t->nr_rows; i++)
		if (t->rows[i].rank < least->rank)
			least = &t->rows[i];
	return least->rank < rank ? least : NULL;
}

static void show_row(struct output *out, struct table *t, const struct row *row)
{
	double rank = rank_of(out, row);
	struct shown_row *at = place_for(t, rank);
	const struct buf *line;

	if (!at)
		return;
	buf__reset(&out->line);
	put_row(out, &out->line, row);
	line = buf__mend_json(&out->line, &out->mended);
	if (at->text)
		t->rows_len -= html__length(at->text, strlen(at->text));
	free(at->text);
	at->text = line->failed ? NULL : strdup(line->data);
	at->rank = rank;
	at->nr = t->nr_rows + t->nr_left_out;
	page_of(out)->failed |= !at->text;
	if (at->text)
		t->rows_len += html__length(line->data, line->len);
}

static void html_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct page *p = page_of(out);

	if (flags & (ROW_DERIVED | ROW_AGAIN))
		return;
	if (p->histogram_of && p->in_interval)
		add_histogram(out, p->histogram_of, row);
	if (!p->current)
		return;
	if (out->section.scope != SCOPE_INTERVAL)
		show_row(out, p->current, row);
	else if (p->in_interval)
		add_lines(out, p->current, row);
}

/* Objects */

/* False: there is no room. */
static bool add_object(struct output *out, struct buf *to, size_t *used, struct json_object *obj)
{
	const struct buf *line;
	size_t len;

	buf__reset(&out->line);
	buf__puts(&out->line, to->len ? "," : "");
	buf__puts(&out->line,
		  json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE));
	line = buf__mend_json(&out->line, &out->mended);
	page_of(out)->failed |= line->failed;
	len = line->failed ? 0 : html__length(line->data, line->len);
	if (len > OBJECTS_ROOM - *used)
		return false;
	*used += len;
	if (len)
		buf__add(to, line->data, line->len);
	return true;
}

static void html_object(struct output *out, struct json_object *obj)
{
	const char *scope = json_object_get_string(json_object_object_get(obj, "scope"));
	struct page *p = page_of(out);

	if (!scope)
		return;
	if (!strcmp(scope, "start"))
		add_object(out, &p->starts, &p->starts_len, obj);
	else if (!strcmp(scope, "diff"))
		add_object(out, &p->diffs, &p->diffs_len, obj);
	else if (!strcmp(scope, "summary"))
		add_object(out, &p->summaries, &p->summaries_len, obj);
	else if (!strcmp(scope, "vm") && !add_object(out, &p->vms, &p->vms_len, obj))
		p->nr_vms_left_out++;
}

static void html_free(struct output *out)
{
	struct page *p = page_of(out);

	while (p->tables) {
		struct table *t = p->tables;

		p->tables = t->next;
		free_table(t);
	}
	buf__free(&p->starts);
	buf__free(&p->vms);
	buf__free(&p->summaries);
	buf__free(&p->diffs);
}

const struct output_ops html_ops = {
	.name = "html",
	.suffix = "html",
	.state_size = sizeof(struct page),
	.begin_window = html_begin_window,
	.end_window = html_end_window,
	.begin = html_begin,
	.row = html_row,
	.object = html_object,
	.finish = html__finish,
	.free = html_free,
	.of_whole = true,
};
