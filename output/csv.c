/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CSV as in RFC 4180; text is neutralised (text.h). Tables with the same columns
 * share a heading, which comes once, before the first line of the first of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

struct csv {
	char **headed; /* headings that were written */
	size_t nr_headed;
};

/*
 * Spreadsheets compute cells that begin with one of these, however they are quoted (OWASP: CSV
 * injection), some also where a wide form stands for it. An apostrophe makes them text.
 */
static bool is_formula(const char *s)
{
	static const char *const begins[] = {
		"=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20",
	};

	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (!strncmp(s, begins[i], strlen(begins[i])))
			return true;
	return false;
}

/* Some readers take a semicolon for the comma. */
static void add_text(struct buf *buf, const char *s)
{
	const char *quote = strpbrk(s, ",;\"") ? "\"" : "";
	size_t from = buf->len;

	buf__puts(buf, quote);
	if (is_formula(s))
		buf__putc(buf, '\'');
	for (; *s; s++) {
		if (*s == '"')
			buf__putc(buf, '"');
		buf__putc(buf, *s);
	}
	buf__puts(buf, quote);
	buf__neutralise(buf, from);
}

static void add_strings(struct buf *buf, const char *const *strings)
{
	struct buf joined = {};
	size_t i;

	for (i = 0; strings[i]; i++) {
		if (i)
			buf__putc(&joined, '|');
		buf__puts(&joined, strings[i]);
	}
	if (joined.data)
		add_text(buf, joined.data);
	buf->failed |= joined.failed;
	buf__free(&joined);
}

static void add_real(struct buf *buf, double value)
{
	buf__printf(buf, "%.3f", value);
	while (buf->len && buf->data[buf->len - 1] == '0')
		buf->len--;
	if (buf->len && buf->data[buf->len - 1] == '.')
		buf->len--;
}

static void add_cell(struct buf *buf, const struct column *col, const struct row *row)
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
			buf__printf(buf, "%" PRIu64, number);
		break;
	case COL_PERCENT:
	case COL_DOUBLE:
		if (cell__real(col, row, &real))
			add_real(buf, real);
		break;
	case COL_S64:
		if (cell__signed(col, row, &value))
			buf__printf(buf, "%" PRId64, value);
		break;
	case COL_OBJECT:
		buf__object(&text, cell__object(col, row), false);
		if (text.data)
			add_text(buf, text.data);
		buf->failed |= text.failed;
		buf__free(&text);
		break;
	case COL_BOOL:
		if (cell__bool(col, row, &flag))
			buf__puts(buf, flag ? "true" : "false");
		break;
	case COL_TIMES:
	case COL_TALLY:
	case COL_BITS:
		break;
	}
}

static void write_line(struct output *out)
{
	buf__puts(&out->line, "\r\n");
	if (out->line.failed && !out->err)
		out->err = ENOMEM;
	if (!out->err)
		output__write(out, out->line.data, out->line.len);
}

static void add_columns(struct output *out, const struct column *col, const struct row *row)
{
	for (; col->name; col++) {
		if (!section__has_data(&out->section, col))
			continue;
		buf__putc(&out->line, ',');
		add_cell(&out->line, col, row);
	}
}

static void add_headings(struct output *out, const struct column *col)
{
	for (; col->name; col++) {
		if (!section__has_data(&out->section, col))
			continue;
		buf__putc(&out->line, ',');
		add_text(&out->line, col->name);
	}
}

/* True when a table with the same columns has it already. */
static bool is_headed(const struct csv *csv, const char *heading)
{
	for (size_t i = 0; i < csv->nr_headed; i++)
		if (!strcmp(csv->headed[i], heading))
			return true;
	return false;
}

static bool add_headed(struct csv *csv, const char *heading)
{
	char **headed = reallocarray(csv->headed, csv->nr_headed + 1, sizeof(*headed));

	if (!headed)
		return false;
	csv->headed = headed;
	headed[csv->nr_headed] = strdup(heading);
	return headed[csv->nr_headed] && ++csv->nr_headed;
}

static void csv_begin(struct output *out)
{
	struct csv *csv = out->state;

	buf__reset(&out->line);
	buf__puts(&out->line, "monitor,table,scope");
	add_headings(out, leading_columns);
	add_headings(out, out->section.columns);
	if (out->line.failed || is_headed(csv, out->line.data))
		return;
	if (add_headed(csv, out->line.data))
		write_line(out);
	else if (!out->err)
		out->err = ENOMEM;
}

static void csv_row(struct output *out, const struct row *row, unsigned int flags)
{
	if (flags & (ROW_DERIVED | ROW_AGAIN))
		return;
	buf__reset(&out->line);
	add_text(&out->line, out->section.monitor);
	buf__putc(&out->line, ',');
	add_text(&out->line, out->section.view->name);
	buf__putc(&out->line, ',');
	buf__puts(&out->line, scope__name(out->section.scope));
	add_columns(out, leading_columns, output__lead(out, row));
	add_columns(out, out->section.columns, row);
	write_line(out);
}

static void csv_free(struct output *out)
{
	struct csv *csv = out->state;

	for (size_t i = 0; i < csv->nr_headed; i++)
		free(csv->headed[i]);
	free(csv->headed);
}

const struct output_ops csv_ops = {
	.name = "csv",
	.suffix = "csv",
	.state_size = sizeof(struct csv),
	.begin = csv_begin,
	.row = csv_row,
	.free = csv_free,
};
