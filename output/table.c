/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables, for people. The rows of an interval are kept until end() and set the
 * widths; events are written as they come, with the columns' declared widths.
 *
 * A cell's text is neutralised (text.h), because names come from the guests' owners.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

#define BOLD "\033[1m"
#define UNDERLINE "\033[4m"
#define NORMAL "\033[0m"

enum {
	PIPE_WIDTH = 100,  /* where nobody tells how wide the paper is */
	HEADER_EVERY = 50, /* events per header */
	LEAST_TEXT = 6,	   /* text isn't cut below this */
	LEAST_WIDE = 12,   /* a wide text column isn't worth less */
	TIME_CHARS = 7,	   /* a time is as precise as this allows */
};

struct table_column {
	const struct column *col;
	int natural; /* widest of the title and the cells so far */
	int width;
	bool shown;
	char *above; /* COL_ONCE: the value of the row above */
};

struct table_row {
	size_t text; /* its cells, one NUL-terminated string each */
	unsigned int flags;
};

struct table {
	struct table_column *cols;
	size_t nr_cols;
	struct buf text;
	struct table_row *rows;
	size_t nr_rows;
	size_t size_rows;
	int gap;
	bool started;
	bool failed;
	bool heading_due; /* of events: printed with the first one */
	/* Events go on below their header until something else is written. */
	const char *events_of;
	unsigned int events_view;
	unsigned int since_header;
};

static bool is_text(const struct column *col)
{
	return col->type == COL_STRING || col->type == COL_STRINGS || col->type == COL_OBJECT;
}

static bool is_left(const struct column *col)
{
	return is_text(col) || col->type == COL_BOOL;
}

/* Characters, each taken as one column wide. */
static int text_width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

/* Bytes of the first n characters. */
static size_t text_prefix(const char *s, int n)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if ((s[i] & 0xc0) != 0x80 && n-- == 0)
			break;
	return i;
}

static void add_text(struct buf *buf, const char *s)
{
	size_t from = buf->len;

	buf__puts(buf, s);
	buf__neutralise(buf, from);
}

static void add_strings(struct buf *buf, const char *const *strings)
{
	size_t i;

	for (i = 0; strings[i]; i++) {
		if (i)
			buf__putc(buf, ',');
		add_text(buf, strings[i]);
	}
}

static void add_time(struct buf *buf, uint64_t ns, bool usec)
{
	double value = usec ? ns / 1e3 : ns / 1e6;
	int decimals = usec ? 3 : 4;
	char text[32];

	while (snprintf(text, sizeof(text), "%.*f", decimals, value) > TIME_CHARS && decimals)
		decimals--;
	buf__puts(buf, text);
}

static void add_number(struct buf *buf, const struct column *col, uint64_t value)
{
	if (col->flags & LEAD_TIME)
		buf__printf(buf, "%" PRIu64 ".%06" PRIu64, value / 1000000000,
			    value % 1000000000 / 1000);
	else if (col->type == COL_NSEC)
		add_time(buf, value, col->flags & COL_USEC);
	else if (col->type == COL_HEX)
		buf__printf(buf, "%#" PRIx64, value);
	else
		buf__printf(buf, "%" PRIu64, value);
}

/* Adds the text of a cell; nothing at all when the value is absent. */
static void add_value(struct buf *buf, const struct column *col, const struct row *row)
{
	const char *const *strings;
	struct buf text = {};
	const char *string;
	uint64_t number;
	int64_t value;
	double real;
	bool flag;

	switch (col->type) {
	case COL_STRING:
		string = cell__string(col, row);
		if (string)
			add_text(buf, string);
		break;
	case COL_S64:
		if (cell__signed(col, row, &value))
			buf__printf(buf, "%" PRId64, value);
		break;
	case COL_OBJECT:
		buf__object(&text, cell__object(col, row), col->flags & COL_BIG_HEX);
		if (text.data)
			add_text(buf, text.data);
		buf->failed |= text.failed;
		buf__free(&text);
		break;
	case COL_STRINGS:
		strings = cell__strings(col, row);
		if (strings)
			add_strings(buf, strings);
		break;
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		if (cell__number(col, row, &number))
			add_number(buf, col, number);
		break;
	case COL_PERCENT:
		if (cell__real(col, row, &real))
			buf__printf(buf, "%.1f%s", real, strchr(col->title, '%') ? "" : "%");
		break;
	case COL_DOUBLE:
		if (cell__real(col, row, &real))
			buf__printf(buf, "%.2f", real);
		break;
	case COL_BOOL:
		if (cell__bool(col, row, &flag))
			buf__puts(buf, flag ? "yes" : "no");
		break;
	case COL_TIMES:
	case COL_TALLY:
	case COL_BITS:
		break;
	}
}

static int limit(const struct output *out)
{
	return out->width > 0 ? out->width : PIPE_WIDTH;
}

static int total_width(const struct table *t)
{
	int total = -t->gap;
	size_t i;

	for (i = 0; i < t->nr_cols; i++)
		if (t->cols[i].shown)
			total += t->cols[i].width + t->gap;
	return total;
}

static void set_widths(struct table *t, bool declared)
{
	size_t i;

	for (i = 0; i < t->nr_cols; i++) {
		struct table_column *c = &t->cols[i];

		c->width = c->natural;
		if (declared && c->width < c->col->width)
			c->width = c->col->width;
	}
}

static void show_wide(struct table *t, int max)
{
	int room;
	size_t i;

	if (max <= PIPE_WIDTH)
		return;
	for (i = 0; i < t->nr_cols; i++) {
		struct table_column *c = &t->cols[i];

		room = max - total_width(t) - t->gap;
		if (!(c->col->flags & COL_WIDE))
			continue;
		if (c->width > room && is_text(c->col) && room >= LEAST_WIDE)
			c->width = room;
		c->shown = c->width <= room;
	}
}

static void shrink_text(struct table *t, int max)
{
	int excess, least;
	size_t i;

	for (i = t->nr_cols; i-- > 0;) {
		struct table_column *c = &t->cols[i];

		excess = total_width(t) - max;
		least = text_width(c->col->title);
		if (least < LEAST_TEXT)
			least = LEAST_TEXT;
		if (excess <= 0)
			return;
		if (!c->shown || !is_text(c->col) || c->width <= least)
			continue;
		c->width = c->width - excess > least ? c->width - excess : least;
	}
}

static void drop_numbers(struct table *t, int max)
{
	size_t i;

	for (i = t->nr_cols; i-- > 0 && total_width(t) > max;)
		if (t->cols[i].col->role != ROLE_LABEL && !is_text(t->cols[i].col))
			t->cols[i].shown = false;
}

/*
 * Makes the table fit: closer together first, then shorter text, and where the
 * terminal is too narrow even for that, without its last numbers.
 */
static void fit(struct table *t, int max, bool streaming)
{
	size_t i;

	for (i = 0; i < t->nr_cols; i++)
		t->cols[i].shown = !(t->cols[i].col->flags & COL_WIDE);
	t->gap = 2;
	set_widths(t, true);
	show_wide(t, max);
	if (total_width(t) > max && !streaming)
		set_widths(t, false);
	if (total_width(t) > max)
		t->gap = 1;
	shrink_text(t, max);
	drop_numbers(t, max);
}

/* Makes room for the row just added to a table whose header was written. */
static void grow(struct table *t, int max)
{
	size_t i;

	for (i = 0; i < t->nr_cols; i++)
		if (t->cols[i].width < t->cols[i].natural)
			t->cols[i].width = t->cols[i].natural;
	shrink_text(t, max);
}

static void write_line(struct output *out, const char *emphasis)
{
	struct buf *line = &out->line;

	if (line->failed && !out->err)
		out->err = ENOMEM;
	if (out->err)
		return;
	if (out->width > 0 && line->len)
		line->len = text_prefix(line->data, out->width);
	while (!emphasis && line->len && line->data[line->len - 1] == ' ')
		line->len--;
	if (emphasis)
		output__write(out, emphasis, strlen(emphasis));
	output__write(out, line->data, line->len);
	if (emphasis)
		output__write(out, NORMAL, strlen(NORMAL));
	output__write(out, "\n", 1);
}

static const char *emphasis(const struct output *out, const char *code)
{
	return out->width > 0 ? code : NULL;
}

static void add_cell(struct buf *line, const struct table_column *c, const char *text)
{
	int width = text_width(text);

	if (!is_left(c->col))
		buf__pad(line, c->width - width);
	if (width > c->width && is_text(c->col) && !(c->col->flags & COL_REST)) {
		buf__add(line, text, text_prefix(text, c->width - 1));
		buf__putc(line, '~');
		width = c->width;
	} else {
		buf__puts(line, text);
	}
	if (is_left(c->col) && width < c->width)
		buf__pad(line, c->width - width);
}

static bool has_time(const struct table_column *c, bool usec)
{
	return c->shown && c->col->type == COL_NSEC && !(c->col->flags & COL_USEC) == !usec;
}

/* "times in ms", "times in us", or "times in ms, but X and Y in us". */
static void add_units(struct buf *line, const struct table *t)
{
	bool ms = false, us = false;
	const char *sep = ", but ";
	size_t i;

	for (i = 0; i < t->nr_cols; i++) {
		ms |= has_time(&t->cols[i], false);
		us |= has_time(&t->cols[i], true);
	}
	if (ms || us)
		buf__printf(line, ", times in %s", ms ? "ms" : "us");
	if (!ms || !us)
		return;
	for (i = 0; i < t->nr_cols; i++) {
		if (!has_time(&t->cols[i], true))
			continue;
		buf__printf(line, "%s%s", sep, t->cols[i].col->title);
		sep = " and ";
	}
	buf__puts(line, " in us");
}

static void add_left_out(struct buf *line, const struct table *t)
{
	const char *sep = "; too narrow for ";
	size_t i;

	for (i = 0; i < t->nr_cols; i++) {
		const struct table_column *c = &t->cols[i];

		if (c->shown || (c->col->flags & COL_WIDE))
			continue;
		buf__printf(line, "%s%s", sep, c->col->title);
		sep = ", ";
	}
}

static void add_scope(struct buf *line, const struct section *section)
{
	double seconds = (section->now_ns - section->since_ns) / 1e9;
	int decimals = seconds < 1 ? 2 : 1;

	if (section->scope == SCOPE_EVENT)
		buf__puts(line, "events");
	else if (section->now_ns == section->since_ns)
		buf__puts(line, "now");
	else
		buf__printf(line, "%s%.*f s", section->scope == SCOPE_TOTAL ? "whole run, " : "",
			    decimals, seconds);
}

static void print_heading(struct output *out)
{
	struct table *t = out->state;

	buf__reset(&out->line);
	if (t->started)
		output__write(out, "\n", 1);
	t->started = true;
	buf__printf(&out->line, "%s (", out->section.view->title);
	add_scope(&out->line, &out->section);
	add_units(&out->line, t);
	add_left_out(&out->line, t);
	buf__putc(&out->line, ')');
	if (!t->nr_rows && out->section.scope != SCOPE_EVENT)
		buf__puts(&out->line, ": none");
	write_line(out, emphasis(out, BOLD));
}

static void print_header(struct output *out)
{
	struct table *t = out->state;
	const char *gap = "";
	size_t i;

	buf__reset(&out->line);
	for (i = 0; i < t->nr_cols; i++) {
		struct table_column *c = &t->cols[i];

		free(c->above);
		c->above = NULL;
		if (!c->shown)
			continue;
		buf__puts(&out->line, gap);
		add_cell(&out->line, c, c->col->title);
		gap = t->gap == 2 ? "  " : " ";
	}
	write_line(out, emphasis(out, UNDERLINE));
	t->since_header = 0;
}

/* True when a COL_ONCE cell is the same as above; remembers it when not. */
static bool repeats(struct table_column *c, const char *text)
{
	if (c->above && !strcmp(c->above, text))
		return true;
	free(c->above);
	c->above = strdup(text);
	return false;
}

static void print_row(struct output *out, const char *text, unsigned int flags)
{
	struct table *t = out->state;
	bool same_group = true;
	const char *gap = "";
	size_t i;

	buf__reset(&out->line);
	for (i = 0; i < t->nr_cols; i++, text += strlen(text) + 1) {
		struct table_column *c = &t->cols[i];
		const char *shown = text;

		if (!c->shown)
			continue;
		if (c->col->flags & COL_ONCE) {
			/* Below another PID, a TID is news even if it's the same. */
			same_group = repeats(c, text) && same_group;
			shown = same_group ? "" : text;
		}
		buf__puts(&out->line, gap);
		add_cell(&out->line, c, shown);
		gap = t->gap == 2 ? "  " : " ";
	}
	write_line(out, flags & ROW_DERIVED ? emphasis(out, BOLD) : NULL);
}

static void add_column(struct output *out, const struct column *col)
{
	struct table *t = out->state;
	struct table_column *cols;

	if ((col->flags & COL_DATA_ONLY) || !section__has(&out->section, col))
		return;
	if ((col->flags & LEAD_TIME) && out->section.scope != SCOPE_EVENT)
		return;
	cols = reallocarray(t->cols, t->nr_cols + 1, sizeof(*cols));
	if (!cols) {
		t->failed = true;
		return;
	}
	t->cols = cols;
	cols[t->nr_cols++] = (struct table_column){
		.col = col,
		.natural = text_width(col->title),
	};
}

static void reset(struct table *t)
{
	size_t i;

	for (i = 0; i < t->nr_cols; i++)
		free(t->cols[i].above);
	t->nr_cols = 0;
	t->nr_rows = 0;
	buf__reset(&t->text);
}

static bool continues_events(const struct output *out)
{
	const struct table *t = out->state;

	return out->section.scope == SCOPE_EVENT && t->events_of &&
	       !strcmp(t->events_of, out->section.monitor) &&
	       t->events_view == out->section.view_bit;
}

static void table_begin(struct output *out)
{
	struct table *t = out->state;
	const struct column *col;

	if (continues_events(out))
		return;
	reset(t);
	for (col = leading_columns; col->name; col++)
		add_column(out, col);
	for (col = out->section.columns; col->name; col++)
		add_column(out, col);
	if (t->failed && !out->err)
		out->err = ENOMEM;
	t->events_of = NULL;
	if (out->section.scope != SCOPE_EVENT)
		return;
	t->events_of = out->section.monitor;
	t->events_view = out->section.view_bit;
	t->heading_due = true;
}

/* Adds the cells' text; returns where it starts. */
static size_t add_cells(struct table *t, const struct row *row)
{
	size_t start = t->text.len, from, i;
	int width;

	for (i = 0; i < t->nr_cols; i++) {
		from = t->text.len;
		add_value(&t->text, t->cols[i].col, row);
		if (t->text.len == from)
			buf__putc(&t->text, '-');
		buf__putc(&t->text, '\0');
		if (t->text.failed)
			break;
		width = text_width(t->text.data + from);
		if (t->cols[i].natural < width && !(t->cols[i].col->flags & COL_REST))
			t->cols[i].natural = width;
	}
	return start;
}

static struct table_row *new_row(struct table *t)
{
	size_t size = t->size_rows ? 2 * t->size_rows : 64;
	struct table_row *rows;

	if (t->nr_rows == t->size_rows) {
		rows = reallocarray(t->rows, size, sizeof(*rows));
		if (!rows)
			return NULL;
		t->rows = rows;
		t->size_rows = size;
	}
	return &t->rows[t->nr_rows++];
}

static void keep_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct table *t = out->state;
	struct table_row *kept = new_row(t);

	if (!kept) {
		out->err = ENOMEM;
		return;
	}
	kept->flags = flags;
	kept->text = add_cells(t, row);
}

static void stream_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct table *t = out->state;

	if (t->heading_due) {
		t->heading_due = false;
		fit(t, limit(out), true);
		print_heading(out);
		print_header(out);
	}
	buf__reset(&t->text);
	add_cells(t, row);
	grow(t, limit(out));
	if (t->since_header == HEADER_EVERY)
		print_header(out);
	if (!t->text.failed)
		print_row(out, t->text.data, flags);
	t->since_header++;
}

static void table_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct table *t = out->state;

	if (out->err)
		return;
	if (out->section.scope == SCOPE_EVENT)
		stream_row(out, row, flags);
	else
		keep_row(out, row, flags);
	if (t->text.failed && !out->err)
		out->err = ENOMEM;
}

static void table_end(struct output *out)
{
	struct table *t = out->state;
	size_t i;

	if (out->err || out->section.scope == SCOPE_EVENT)
		return;
	fit(t, limit(out), false);
	print_heading(out);
	if (t->nr_rows)
		print_header(out);
	for (i = 0; i < t->nr_rows; i++)
		print_row(out, t->text.data + t->rows[i].text, t->rows[i].flags);
}

static void table_free(struct output *out)
{
	struct table *t = out->state;

	reset(t);
	free(t->cols);
	free(t->rows);
	buf__free(&t->text);
}

const struct output_ops table_ops = {
	.name = "table",
	.suffix = "txt",
	.state_size = sizeof(struct table),
	.begin = table_begin,
	.row = table_row,
	.end = table_end,
	.free = table_free,
};
