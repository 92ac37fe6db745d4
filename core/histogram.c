// SPDX-License-Identifier: GPL-2.0-only
#include "histogram.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../output/output.h"
#include "attach.h"
#include "monitor.h"
#include "samples.h"
#include "select.h"
#include "times.h"
#include "window.h"

/* Two times at most: what there is room for in a line. */
enum { MAX_TIMES = 2, BAR_LEN = 30, STEP = 1 << STAT_SUB_BITS, LINES = STAT_BUCKETS / STEP };
enum { NAME_LEN = 48, LINE_COLUMNS = 3 + 3 * MAX_TIMES };

/* What a row has behind the monitor's own struct. */
struct line {
	uint64_t from_ns;
	uint64_t to_ns;
	uint64_t count[MAX_TIMES];
	double percent[MAX_TIMES];
	const char *bar;
	struct json_object *buckets[MAX_TIMES];
};

struct histogram {
	struct column *columns; /* the labels of the view, then those of struct line */
	size_t nr_columns;
	const struct column *times[MAX_TIMES];
	size_t nr_times;
	size_t line_at; /* offset of struct line in a row */
	struct row *row;
	char names[MAX_TIMES][4][NAME_LEN];
	struct view view;
	char title[NAME_LEN], name[NAME_LEN];
};

static struct line *line_of(const struct histogram *h)
{
	return (struct line *)((char *)h->row + h->line_at);
}

static void add_column(struct histogram *h, const struct column *col, size_t at)
{
	struct column *to = &h->columns[h->nr_columns++];

	*to = *col;
	to->views = 0;
	to->offset += at;
}

/* The labels, once for all lines below each other. */
static void add_labels(struct histogram *h, const struct monitor *m, unsigned int view)
{
	for (const struct column *col = m->columns; col->name; col++) {
		if (col->role != ROLE_LABEL || !column__is_shown(col) ||
		    (col->views && !(col->views >> view & 1)))
			continue;
		add_column(h, col, 0);
		h->columns[h->nr_columns - 1].flags |= COL_ONCE;
	}
}

#define LINE(...) COLUMN(struct line, __VA_ARGS__)

static void add_range(struct histogram *h)
{
	static const struct column columns[] = {
		LINE(from_ns, "FROM", COL_NSEC, ROLE_LABEL, .flags = COL_TABLE_ONLY),
		LINE(to_ns, "TO", COL_NSEC, ROLE_LABEL, .flags = COL_TABLE_ONLY),
	};

	add_column(h, &columns[0], h->line_at);
	add_column(h, &columns[1], h->line_at);
}

static const char *title_of(const struct column *times)
{
	return times->title ? times->title : "COUNT";
}

static void add_times(struct histogram *h, size_t i)
{
	char(*names)[NAME_LEN] = h->names[i];
	const struct column columns[] = {
		{ .name = names[0],
		  .title = title_of(h->times[i]),
		  .type = COL_U64,
		  .role = ROLE_COUNTER,
		  .flags = COL_TABLE_ONLY,
		  .offset = offsetof(struct line, count[i]) },
		{ .name = names[1],
		  .title = "%",
		  .type = COL_PERCENT,
		  .role = ROLE_GAUGE,
		  .flags = COL_TABLE_ONLY,
		  .offset = offsetof(struct line, percent[i]) },
		{ .name = names[2],
		  .type = COL_OBJECT,
		  .role = ROLE_COUNTER,
		  .flags = COL_DATA_ONLY | COL_BUCKETS,
		  .help = "non-empty buckets: lower bound in ns, and count",
		  .offset = offsetof(struct line, buckets[i]) },
	};

	snprintf(names[0], NAME_LEN, "%s_count", h->times[i]->name);
	snprintf(names[1], NAME_LEN, "%s_percent", h->times[i]->name);
	snprintf(names[2], NAME_LEN, "%s_buckets", h->times[i]->name);
	for (size_t j = 0; j < sizeof(columns) / sizeof(*columns); j++)
		add_column(h, &columns[j], h->line_at);
}

static void add_bar(struct histogram *h)
{
	const struct column bar = LINE(bar, title_of(h->times[0]), COL_STRING, ROLE_LABEL,
				       .flags = COL_TABLE_ONLY, .width = BAR_LEN);

	add_column(h, &bar, h->line_at);
}

static void find_times(struct histogram *h, const struct monitor *m, unsigned int view)
{
	for (const struct column *col = m->columns; col->name && h->nr_times < MAX_TIMES; col++)
		if (col->type == COL_TIMES && (!col->views || (col->views >> view & 1)))
			h->times[h->nr_times++] = col;
}

/* The view's, made for its first time. NULL: it has no times, or there is no memory. */
static struct histogram *histogram_of(struct attachment *at, unsigned int view)
{
	const struct monitor *m = at->monitor;
	struct histogram *h = at->histograms[view];
	size_t nr = 0;

	if (!h)
		h = at->histograms[view] = calloc(1, sizeof(*h));
	if (!h || h->row)
		return h;
	h->nr_times = h->nr_columns = 0;
	find_times(h, m, view);
	if (!h->nr_times)
		return NULL;
	while (m->columns[nr].name)
		nr++;
	h->line_at = (m->row_size + 15) & ~(size_t)15;
	/* Of a time before, when there was no memory for the rest. */
	free(h->columns);
	h->columns = calloc(nr + LINE_COLUMNS + 1, sizeof(*h->columns));
	h->row = h->columns ? calloc(1, h->line_at + sizeof(struct line)) : NULL;
	if (!h->row)
		return NULL;
	add_labels(h, m, view);
	add_range(h);
	for (size_t i = 0; i < h->nr_times; i++)
		add_times(h, i);
	add_bar(h);
	snprintf(h->title, sizeof(h->title), "HISTOGRAM OF %s", m->views[view].title);
	h->view = m->views[view];
	h->view.title = h->title;
	snprintf(h->name, sizeof(h->name), "%s_HISTOGRAM", m->views[view].name);
	h->view.name = h->name;
	h->view.part_of = m->views[view].name;
	return h;
}

void histogram__free(struct attachment *at)
{
	for (unsigned int view = 0; view < MAX_VIEWS; view++) {
		struct histogram *h = at->histograms[view];

		if (h) {
			free(h->columns);
			free(h->row);
		}
		free(h);
		at->histograms[view] = NULL;
	}
}

static const struct times *times_of(const struct histogram *h, size_t i, const struct row *row)
{
	return (const struct times *)((const char *)row + h->times[i]->offset);
}

static struct json_object *buckets_array(const struct times *t)
{
	struct json_object *array = json_object_new_array(), *pair;

	for (unsigned int i = 0; array && i < STAT_BUCKETS; i++) {
		if (!t->hist[i])
			continue;
		pair = json_object_new_array();
		json_object_array_add(pair, json_object_new_uint64(stat_bucket__low(i)));
		json_object_array_add(pair, json_object_new_uint64(t->hist[i]));
		json_object_array_add(array, pair);
	}
	return array;
}

static void write_buckets(const struct histogram *h, const struct window *window)
{
	struct line *line = line_of(h);

	for (size_t i = 0; i < h->nr_times; i++)
		line->buckets[i] = buckets_array(times_of(h, i, h->row));
	output__row(window->out, h->row, ROW_DATA);
	for (size_t i = 0; i < h->nr_times; i++)
		json_object_put(line->buckets[i]);
	memset(line->buckets, 0, sizeof(line->buckets));
}

/* A line is a power of two: four of the buckets. */
static uint64_t count_line(const struct times *t, int line)
{
	uint64_t count = 0;

	for (int i = 0; i < STEP; i++)
		count += t->hist[line * STEP + i];
	return count;
}

static void write_lines(const struct histogram *h, const struct window *window)
{
	static const char full[] = "##############################";
	struct line *line = line_of(h);
	uint64_t most = 1;

	for (int i = 0; i < LINES; i++) {
		uint64_t count = count_line(times_of(h, 0, h->row), i);

		most = count > most ? count : most;
	}
	for (int i = 0; i < LINES; i++) {
		bool any = false;

		for (size_t j = 0; j < h->nr_times; j++) {
			const struct times *t = times_of(h, j, h->row);

			line->count[j] = count_line(t, i);
			line->percent[j] = t->count ? 100.0 * line->count[j] / t->count : NAN;
			any |= line->count[j];
		}
		if (!any)
			continue;
		line->from_ns = stat_bucket__low(i * STEP);
		line->to_ns = i == LINES - 1 ? UINT64_MAX : stat_bucket__low((i + 1) * STEP);
		line->bar = full + BAR_LEN - (line->count[0] * BAR_LEN + most - 1) / most;
		output__row(window->out, h->row, ROW_AGAIN);
	}
}

const struct view *histogram__view(struct attachment *at, unsigned int view,
				   const struct column **columns)
{
	struct histogram *h = histogram_of(at, view);

	if (!h)
		return NULL;
	*columns = h->columns;
	return &h->view;
}

void histogram__write(struct attachment *at, unsigned int view, const struct select *s,
		      const struct window *window)
{
	struct histogram *h = histogram_of(at, view);

	if (!h)
		return;
	window__begin_as(window, at->monitor, view, &h->view, h->columns);
	for (size_t i = 0; i < s->nr; i++) {
		memcpy(h->row, s->list[i].row, at->monitor->row_size);
		write_lines(h, window);
		if (window->selection->histogram || output__wants_buckets(window->out))
			write_buckets(h, window);
	}
	output__end(window->out);
}
