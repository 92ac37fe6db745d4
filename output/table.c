/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables, for people. Rows are kept until the end of their section, events until there are
 * enough for a screen; the widest value yet of each column sets its width. A table has one
 * layout for the whole run, so columns keep their places from one interval to the next.
 *
 * A cell's text is neutralised (text.h), because names come from the guests' owners.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>

#include "format.h"
#include "text.h"

#define BOLD "\033[1m"
#define UNDERLINE "\033[4m"
#define NORMAL "\033[0m"

enum {
	PIPE_WIDTH = 100,  /* where nobody tells how wide the paper is */
	HEADER_EVERY = 50, /* events per header */
	LEAST_TEXT = 8,	   /* text isn't cut below this */
	GOOD_TEXT = 16,	   /* nor below this while a number can go */
	LEAST_WIDE = 12,   /* a wide text column isn't worth less */
	TIME_CHARS = 7,	   /* a time is as precise as this allows */
	COUNT_CHARS = 6,   /* room for counts that are still small */
	NSEC = 1000000000,
};

/* So many ns a double has exactly. */
#define MOST_EXACT (1ULL << 52)

struct table_column {
	const struct column *col;
	int natural; /* widest of the title and the cells so far */
	int least;   /* text: computed labels are never cut */
	int width;
	int was; /* the width before it was fitted anew; 0: not shown */
	bool shown;
	bool missed; /* the reader knows that it isn't shown */
	char *above; /* COL_ONCE: the value of the row above */
};

/* Of one table, for the whole run. */
struct layout {
	struct layout *next;
	const char *monitor;
	unsigned int view;
	bool events;
	struct table_column *cols;
	size_t nr_cols;
	int gap;
};

struct table_row {
	size_t text; /* its cells, one NUL-terminated string each */
	unsigned int flags;
};

/* What was written last decides on the empty lines. */
enum last { NOTHING, WINDOW_LINE, EMPTY_TABLE, ROWS };

struct table {
	struct layout *layouts, *at; /* at: of this section */
	struct buf text;
	struct buf more; /* the line below the rows */
	struct table_row *rows;
	size_t nr_rows;
	size_t size_rows;
	enum last last;
	bool in_window;
	bool window_due; /* its line is printed with its first table */
	enum scope scope;
	uint64_t since_ns, now_ns;
	time_t second; /* that tm is of */
	struct tm tm;  /* tm_mday is 0 at first */
	/* Events go on below their header until something else is written. */
	const struct layout *events_of;
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

/* As "%.*f" has it of the double: only what lies halfway is left to that. False: it does. */
static bool write_time(char text[32], uint64_t ns, uint64_t unit_ns, int decimals)
{
	uint64_t scale = 1, last_ns, parts;
	char *p = text + 31;

	for (int i = 0; i < decimals; i++)
		scale *= 10;
	last_ns = unit_ns / scale;
	parts = ns / last_ns;
	if (2 * (ns % last_ns) == last_ns || ns >= MOST_EXACT)
		return false;
	parts += 2 * (ns % last_ns) > last_ns;
	*p = '\0';
	for (int i = 0; i < decimals || parts || i <= decimals; i++, parts /= 10) {
		if (i == decimals && decimals)
			*--p = '.';
		*--p = '0' + parts % 10;
	}
	memmove(text, p, text + 32 - p);
	return true;
}

static void add_time(struct buf *buf, uint64_t ns, bool usec)
{
	int decimals = usec ? 3 : 4;
	char text[32];

	for (;; decimals--) {
		if (!write_time(text, ns, usec ? 1000 : 1000000, decimals))
			snprintf(text, sizeof(text), "%.*f", decimals, usec ? ns / 1e3 : ns / 1e6);
		if (strlen(text) <= TIME_CHARS || !decimals)
			break;
	}
	buf__puts(buf, text);
}

/* So many digits, with zeros before it. */
static void add_digits(struct buf *buf, unsigned int value, int digits)
{
	char text[10];

	for (int i = digits; i-- > 0; value /= 10)
		text[i] = '0' + value % 10;
	buf__add(buf, text, digits);
}

/* Of the day, here: ns of CLOCK_MONOTONIC. */
static void add_clock(struct buf *buf, const struct output *out, uint64_t ns, bool usec)
{
	struct table *t = out->state;
	uint64_t real_ns = ns + out->real_offset_ns;
	time_t second = real_ns / NSEC;

	/* The zone is looked up once a second: events come by the hundred thousand. */
	if (!t->tm.tm_mday || t->second != second) {
		localtime_r(&second, &t->tm);
		t->second = second;
	}
	add_digits(buf, t->tm.tm_hour, 2);
	buf__putc(buf, ':');
	add_digits(buf, t->tm.tm_min, 2);
	buf__putc(buf, ':');
	add_digits(buf, t->tm.tm_sec, 2);
	if (!usec)
		return;
	buf__putc(buf, '.');
	add_digits(buf, real_ns % NSEC / 1000, 6);
}

static void add_number(struct buf *buf, const struct output *out, const struct column *col,
		       uint64_t value)
{
	if (col->flags & LEAD_TIME)
		add_clock(buf, out, value, true);
	else if (col->type == COL_NSEC)
		add_time(buf, value, col->flags & COL_USEC);
	else if (col->type == COL_HEX)
		buf__hex(buf, value);
	else
		buf__number(buf, value);
}

/* Adds the text of a cell; nothing at all when the value is absent. */
static void add_value(struct buf *buf, const struct output *out, const struct column *col,
		      const struct row *row)
{
	const char *const *strings;
	const char *string;
	uint64_t number;
	size_t from;
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
			buf__signed(buf, value);
		break;
	case COL_OBJECT:
		from = buf->len;
		buf__object(buf, cell__object(col, row), col->flags & COL_BIG_HEX);
		buf__neutralise(buf, from);
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
			add_number(buf, out, col, number);
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

static int total_width(const struct layout *l)
{
	int total = -l->gap;

	for (size_t i = 0; i < l->nr_cols; i++)
		if (l->cols[i].shown)
			total += l->cols[i].width + l->gap;
	return total;
}

static void set_widths(struct layout *l, bool declared)
{
	for (size_t i = 0; i < l->nr_cols; i++) {
		struct table_column *c = &l->cols[i];

		c->width = c->natural;
		if (declared && c->width < c->col->width)
			c->width = c->col->width;
	}
}

static void show_wide(struct layout *l, int max)
{
	int room;

	if (max <= PIPE_WIDTH)
		return;
	for (size_t i = 0; i < l->nr_cols; i++) {
		struct table_column *c = &l->cols[i];

		room = max - total_width(l) - l->gap;
		if (!(c->col->flags & COL_WIDE))
			continue;
		if (c->width > room && is_text(c->col) && room >= LEAST_WIDE)
			c->width = room;
		c->shown = c->width <= room;
	}
}

/* The text that tells whose the row is. */
static bool is_name(const struct column *col)
{
	return is_text(col) && (col->flags & COL_ONCE);
}

static void shrink_text(struct layout *l, int max, int least, bool names)
{
	for (size_t i = l->nr_cols; i-- > 0;) {
		struct table_column *c = &l->cols[i];
		int excess = total_width(l) - max;
		int keep = c->least > least ? c->least : least;

		if (excess <= 0)
			return;
		if (c->shown && is_text(c->col) && (names || !is_name(c->col)) && c->width > keep)
			c->width = c->width - excess > keep ? c->width - excess : keep;
	}
}

/* What a dropped column has left over. */
static void widen_text(struct layout *l, int max)
{
	for (size_t i = 0; i < l->nr_cols; i++) {
		struct table_column *c = &l->cols[i];
		int room = max - total_width(l), lacks = c->natural - c->width;

		if (c->shown && is_text(c->col) && lacks > 0 && room > 0)
			c->width += lacks < room ? lacks : room;
	}
}

static void drop_ranked(struct layout *l, int max)
{
	for (unsigned int rank = DROP_FIRST; rank <= DROP_THIRD; rank++)
		for (size_t i = 0; i < l->nr_cols && total_width(l) > max; i++)
			if (l->cols[i].col->drop == rank)
				l->cols[i].shown = false;
}

/* Rows without any number say little: what is no part of their key goes before the last one. */
static void drop_in_need(struct layout *l, int max)
{
	for (size_t i = l->nr_cols; i-- > 0 && total_width(l) > max;)
		if (l->cols[i].col->role != ROLE_LABEL && is_text(l->cols[i].col))
			l->cols[i].shown = false;
	for (size_t i = 0; i < l->nr_cols && total_width(l) > max; i++)
		if (l->cols[i].col->drop == DROP_IN_NEED)
			l->cols[i].shown = false;
}

static bool is_shown_number(const struct table_column *c)
{
	return c->shown && c->col->role != ROLE_LABEL && !is_text(c->col);
}

/* From the last one on; the first few stay. */
static void drop_numbers(struct layout *l, int max, int stay)
{
	int nr = 0;

	for (size_t i = 0; i < l->nr_cols; i++)
		nr += is_shown_number(&l->cols[i]);
	for (size_t i = l->nr_cols; i-- > 0 && nr > stay && total_width(l) > max;) {
		if (!is_shown_number(&l->cols[i]))
			continue;
		l->cols[i].shown = false;
		nr--;
	}
}

/*
 * Makes the table fit: closer together first, then somewhat shorter text, then without the
 * columns that say when they go, then with short text and without the last numbers. Names of
 * VMs are cut when only one number is left, then texts and process ids go, and then that number.
 * As columns only get wider, what has gone stays away until the terminal is wider.
 */
static void fit(struct layout *l, int max)
{
	for (size_t i = 0; i < l->nr_cols; i++)
		l->cols[i].shown = !(l->cols[i].col->flags & COL_WIDE);
	l->gap = 2;
	set_widths(l, true);
	show_wide(l, max);
	if (total_width(l) > max)
		set_widths(l, false);
	if (total_width(l) > max)
		l->gap = 1;
	shrink_text(l, max, GOOD_TEXT, true);
	drop_ranked(l, max);
	shrink_text(l, max, LEAST_TEXT, false);
	drop_numbers(l, max, 1);
	shrink_text(l, max, LEAST_TEXT, true);
	drop_in_need(l, max);
	drop_numbers(l, max, 0);
	widen_text(l, max);
}

static const char *emphasis(const struct output *out, const char *code)
{
	return out->terminal ? code : NULL;
}

static void write_line(struct output *out, const char *emphasis)
{
	struct buf *line = &out->line;

	if (line->failed && !out->err)
		out->err = ENOMEM;
	if (out->err)
		return;
	if (out->width > 0 && line->len)
		line->len = text__prefix(line->data, out->width);
	while (!emphasis && line->len && line->data[line->len - 1] == ' ')
		line->len--;
	if (emphasis)
		output__write(out, emphasis, strlen(emphasis));
	else
		buf__putc(line, '\n');
	output__write(out, line->data, line->len);
	if (emphasis)
		output__write(out, NORMAL "\n", strlen(NORMAL "\n"));
}

/* The end of a name counts: web-1 is not web-2, nor is qemu#2 qemu#3. */
static void add_cut(struct buf *line, const char *text, int width, bool name)
{
	int end = name ? (width - 1) / 3 : 0;
	const char *rest = text + text__prefix(text, text__width(text) - end);

	/* A wide character may begin a column too early. */
	if (text__width(rest) > end)
		rest += text__prefix(rest, 2);
	buf__add(line, text, text__prefix(text, width - 1 - end));
	buf__putc(line, '~');
	buf__puts(line, rest);
}

static void add_cell(struct buf *line, const struct table_column *c, const char *text)
{
	int width = text__width(text);

	if (!is_left(c->col))
		buf__pad(line, c->width - width);
	if (width > c->width && is_text(c->col) && !(c->col->flags & COL_REST)) {
		size_t from = line->len;

		add_cut(line, text, c->width, is_name(c->col));
		width = line->failed ? c->width : text__width(line->data + from);
	} else {
		buf__puts(line, text);
	}
	if (is_left(c->col))
		buf__pad(line, c->width - width);
}

static bool has_time(const struct table_column *c, bool usec)
{
	return c->shown && c->col->type == COL_NSEC && !(c->col->flags & COL_USEC) == !usec;
}

/* Behind the name: "times in ms", "times in us", or "times in ms, but X and Y in us". */
static const char *add_units(struct buf *line, const struct layout *l, const char *sep)
{
	bool ms = false, us = false;

	for (size_t i = 0; i < l->nr_cols; i++) {
		ms |= has_time(&l->cols[i], false);
		us |= has_time(&l->cols[i], true);
	}
	if (ms || us)
		buf__printf(line, "%stimes in %s", sep, ms ? "ms" : "us");
	if (!ms || !us)
		return ms || us ? ", " : sep;
	sep = ", but ";
	for (size_t i = 0; i < l->nr_cols; i++) {
		if (!has_time(&l->cols[i], true))
			continue;
		buf__printf(line, "%s%s", sep, l->cols[i].col->title);
		sep = " and ";
	}
	buf__puts(line, " in us");
	return ", ";
}

static void add_scope(struct buf *line, enum scope scope, uint64_t since_ns, uint64_t now_ns)
{
	double seconds = (now_ns - since_ns) / 1e9;

	if (scope == SCOPE_EVENT)
		buf__puts(line, "events");
	else if (now_ns == since_ns)
		buf__puts(line, "now");
	else
		buf__printf(line, "%s%.*f s", scope == SCOPE_TOTAL ? "whole run, " : "+",
			    seconds < 1 ? 2 : 1, seconds);
}

/* Does the locale of the environment have lines to draw with? */
static bool locale_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *locale = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && (!locale || !*locale); i++)
		locale = getenv(names[i]);
	return locale && (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}

static void print_window_line(struct output *out)
{
	struct table *t = out->state;
	const char *rule = locale_is_utf8() ? "\u2500\u2500" : "--";

	if (!t->window_due)
		return;
	t->window_due = false;
	if (t->last != NOTHING)
		output__write(out, "\n", 1);
	buf__reset(&out->line);
	buf__printf(&out->line, "%s ", rule);
	add_clock(&out->line, out, t->now_ns, false);
	buf__puts(&out->line, "  ");
	add_scope(&out->line, t->scope, t->since_ns, t->now_ns);
	buf__printf(&out->line, " %s", rule);
	write_line(out, emphasis(out, BOLD));
	t->last = WINDOW_LINE;
}

/* The window's line says when; a table without one, and events, say it themselves. */
static void print_heading(struct output *out)
{
	const struct section *section = &out->section;
	struct table *t = out->state;
	bool own_scope = !t->in_window || section->scope == SCOPE_EVENT;
	enum last this = t->nr_rows ? ROWS : EMPTY_TABLE;
	const char *sep = " (";

	if (section->scope != SCOPE_EVENT)
		print_window_line(out);
	if (t->last == ROWS || (t->last == EMPTY_TABLE && this == ROWS))
		output__write(out, "\n", 1);
	t->last = this;
	buf__reset(&out->line);
	buf__puts(&out->line, section->view->title);
	if (own_scope) {
		buf__puts(&out->line, sep);
		add_scope(&out->line, section->scope, section->since_ns, section->now_ns);
		sep = ", ";
	}
	if (t->nr_rows)
		sep = add_units(&out->line, t->at, sep);
	if (*sep == ',')
		buf__putc(&out->line, ')');
	if (!t->nr_rows)
		buf__puts(&out->line, ": none");
	write_line(out, emphasis(out, BOLD));
}

/* Names the columns that have no room, when that is news. */
static void print_left_out(struct output *out)
{
	struct layout *l = ((struct table *)out->state)->at;
	struct buf *line = &out->line;
	const char *sep = "no room for ";
	bool news = false;

	for (size_t i = 0; i < l->nr_cols; i++) {
		struct table_column *c = &l->cols[i];
		bool misses = !c->shown && !(c->col->flags & COL_WIDE);

		news |= misses && !c->missed;
		c->missed = misses;
	}
	buf__reset(line);
	for (size_t i = 0; news && i < l->nr_cols; i++) {
		const char *title = l->cols[i].col->title;

		if (!l->cols[i].missed)
			continue;
		buf__puts(line, sep);
		sep = ", ";
		if (line->data && text__width(line->data) + text__width(title) + 1 > limit(out)) {
			write_line(out, NULL);
			buf__reset(line);
		}
		buf__puts(line, title);
	}
	if (news)
		write_line(out, NULL);
}

static void add_gap(struct buf *line, const struct layout *l)
{
	if (line->len)
		buf__pad(line, l->gap);
}

static void print_header(struct output *out)
{
	struct table *t = out->state;

	buf__reset(&out->line);
	for (size_t i = 0; i < t->at->nr_cols; i++) {
		struct table_column *c = &t->at->cols[i];

		free(c->above);
		c->above = NULL;
		if (!c->shown)
			continue;
		add_gap(&out->line, t->at);
		add_cell(&out->line, c, c->col->title);
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

	buf__reset(&out->line);
	for (size_t i = 0; i < t->at->nr_cols; i++, text += strlen(text) + 1) {
		struct table_column *c = &t->at->cols[i];
		const char *shown = text;

		if (!c->shown)
			continue;
		if (out->terminal && (c->col->flags & COL_ONCE)) {
			/* Below another PID, a TID is news even if it's the same. */
			same_group = repeats(c, text) && same_group;
			shown = same_group ? "" : text;
		}
		add_gap(&out->line, t->at);
		add_cell(&out->line, c, shown);
	}
	write_line(out, flags & ROW_DERIVED ? emphasis(out, BOLD) : NULL);
}

/* How wide it is before there are values: room for a number that is still small. */
static int first_width(const struct column *col)
{
	int width = text__width(col->title), room = 0;

	if (col->type == COL_NSEC)
		room = TIME_CHARS;
	else if (col->role != ROLE_LABEL && (col->type == COL_U32 || col->type == COL_U64))
		room = COUNT_CHARS;
	return width > room ? width : room;
}

static bool add_column(struct layout *l, const struct section *section, const struct column *col)
{
	struct table_column *cols;

	if ((col->flags & COL_DATA_ONLY) || !section__has(section, col))
		return true;
	if ((col->flags & LEAD_TIME) && section->scope != SCOPE_EVENT)
		return true;
	if (section__merges(section, col))
		return true;
	cols = reallocarray(l->cols, l->nr_cols + 1, sizeof(*cols));
	if (!cols)
		return false;
	l->cols = cols;
	cols[l->nr_cols++] = (struct table_column){
		.col = col,
		.natural = first_width(col),
		.least = text__width(col->title),
	};
	return true;
}

static bool is_of(const struct layout *l, const struct section *section)
{
	return l->view == section->view_bit && l->events == (section->scope == SCOPE_EVENT) &&
	       !strcmp(l->monitor, section->monitor);
}

/* The section's, made for its first time. NULL: out of memory. */
static struct layout *find_layout(struct table *t, const struct section *section)
{
	const struct column *col;
	struct layout *l;
	bool fits = true;

	for (l = t->layouts; l; l = l->next)
		if (is_of(l, section))
			return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	*l = (struct layout){
		.next = t->layouts,
		.monitor = section->monitor,
		.view = section->view_bit,
		.events = section->scope == SCOPE_EVENT,
	};
	t->layouts = l;
	for (col = leading_columns; col->name; col++)
		fits &= add_column(l, section, col);
	for (col = section->columns; col->name; col++)
		fits &= add_column(l, section, col);
	return fits ? l : NULL;
}

/* The terminal may have been resized. */
static void follow_terminal(struct output *out)
{
	struct winsize size;

	if (out->terminal && !out->width_asked && !ioctl(fileno(out->stream), TIOCGWINSZ, &size) &&
	    size.ws_col)
		out->width = size.ws_col;
}

static void forget_rows(struct table *t)
{
	t->nr_rows = 0;
	buf__reset(&t->text);
	buf__reset(&t->more);
}

static void table_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
			       uint64_t now_ns)
{
	struct table *t = out->state;

	t->in_window = t->window_due = true;
	t->scope = scope;
	t->since_ns = since_ns;
	t->now_ns = now_ns;
}

static void table_end_window(struct output *out)
{
	struct table *t = out->state;

	t->in_window = t->window_due = false;
}

static void table_begin(struct output *out)
{
	struct table *t = out->state;

	forget_rows(t);
	follow_terminal(out);
	t->at = find_layout(t, &out->section);
	if (!t->at && !out->err)
		out->err = ENOMEM;
}

/* A name with spaces, as one word. */
static void join_words(char *s)
{
	for (; *s; s++)
		if (*s == ' ')
			*s = '_';
}

static void add_cells(struct output *out, const struct row *row, unsigned int flags)
{
	struct table *t = out->state;
	struct buf *text = &t->text;

	for (size_t i = 0; i < t->at->nr_cols; i++) {
		struct table_column *c = &t->at->cols[i];
		size_t from = text->len;
		int width;

		add_value(text, out, c->col, row);
		if (text->len == from)
			buf__putc(text, '-');
		buf__putc(text, '\0');
		if (text->failed)
			return;
		if ((c->col->flags & COL_WORD) && !(flags & ROW_DERIVED))
			join_words(text->data + from);
		width = text__width(text->data + from);
		if (c->natural < width && !(c->col->flags & COL_REST))
			c->natural = width;
		if (c->least < width && (flags & ROW_DERIVED) && !(c->col->flags & COL_ONCE))
			c->least = width;
	}
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

static void print_rows(struct output *out)
{
	struct table *t = out->state;

	for (size_t i = 0; i < t->nr_rows; i++) {
		if (t->at->events && t->since_header++ == HEADER_EVERY)
			print_header(out);
		print_row(out, t->text.data + t->rows[i].text, t->rows[i].flags);
	}
	if (!t->more.len)
		return;
	buf__reset(&out->line);
	add_text(&out->line, t->more.data);
	write_line(out, NULL);
}

/* True when the heading no longer stands over its data: text that is last may have grown. */
static bool refit(struct layout *l, int max)
{
	bool changed = false, moved = false;
	int gap = l->gap;

	for (size_t i = 0; i < l->nr_cols; i++)
		l->cols[i].was = l->cols[i].shown ? l->cols[i].width : 0;
	fit(l, max);
	for (size_t i = 0; i < l->nr_cols; i++) {
		const struct table_column *c = &l->cols[i];

		moved |= c->shown ? changed || !c->was : c->was;
		changed |= c->was != (c->shown ? c->width : 0);
		moved |= changed && !is_left(c->col);
	}
	return moved || l->gap != gap;
}

static void print_table(struct output *out)
{
	struct table *t = out->state;
	bool changed = refit(t->at, limit(out)), goes_on = t->at->events && t->events_of == t->at;

	if (!goes_on)
		print_heading(out);
	t->events_of = t->at->events ? t->at : NULL;
	if (t->nr_rows && (!goes_on || changed)) {
		print_left_out(out);
		print_header(out);
	}
	print_rows(out);
	forget_rows(t);
}

static bool is_left_to_total(const struct section *section)
{
	return section->scope == SCOPE_INTERVAL && section->total_follows;
}

static void table_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct table *t = out->state;
	struct table_row *kept;

	if (out->err || (flags & ROW_DATA) || is_left_to_total(&out->section))
		return;
	if (t->at->events && t->nr_rows == HEADER_EVERY)
		print_table(out);
	kept = new_row(t);
	if (kept) {
		kept->flags = flags;
		kept->text = t->text.len;
		add_cells(out, row, flags);
	}
	if ((!kept || t->text.failed) && !out->err)
		out->err = ENOMEM;
}

static void table_more(struct output *out, const char *text)
{
	struct table *t = out->state;

	buf__reset(&t->more);
	buf__puts(&t->more, text);
}

static void table_end(struct output *out)
{
	struct table *t = out->state;

	if (out->err || is_left_to_total(&out->section) || (t->at->events && !t->nr_rows))
		return;
	print_table(out);
}

static void layout_free(struct layout *l)
{
	for (size_t i = 0; i < l->nr_cols; i++)
		free(l->cols[i].above);
	free(l->cols);
	free(l);
}

static void table_free(struct output *out)
{
	struct table *t = out->state;
	struct layout *l;

	while ((l = t->layouts)) {
		t->layouts = l->next;
		layout_free(l);
	}
	free(t->rows);
	buf__free(&t->text);
	buf__free(&t->more);
}

const struct output_ops table_ops = {
	.name = "table",
	.suffix = "txt",
	.for_people = true,
	.state_size = sizeof(struct table),
	.begin_window = table_begin_window,
	.end_window = table_end_window,
	.begin = table_begin,
	.row = table_row,
	.more = table_more,
	.end = table_end,
	.free = table_free,
};
