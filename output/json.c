/* SPDX-License-Identifier: GPL-2.0-only */
/* JSON Lines: one object per row. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "format.h"
#include "text.h"

enum {
	PRINT_FLAGS =
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE | JSON_C_TO_STRING_NOZERO,
};

static struct json_object *new_real(double value)
{
	static char three_decimals[] = "%.3f";
	struct json_object *obj = json_object_new_double(value);

	if (obj)
		json_object_set_serializer(obj, json_object_double_to_json_string, three_decimals,
					   NULL);
	return obj;
}

static struct json_object *new_strings(const char *const *strings)
{
	struct json_object *array = json_object_new_array();

	for (; array && *strings; strings++)
		json_object_array_add(array, json_object_new_string(*strings));
	return array;
}

/* What is rare in rows that come in great numbers is left to json-c. NULL: absent. */
static struct json_object *new_value(const struct column *col, const struct row *row)
{
	const char *const *strings;
	double real;

	switch (col->type) {
	case COL_STRINGS:
		strings = cell__strings(col, row);
		return strings ? new_strings(strings) : NULL;
	case COL_PERCENT:
	case COL_DOUBLE:
		return cell__real(col, row, &real) ? new_real(real) : NULL;
	default:
		return NULL;
	}
}

static void add_by_library(struct buf *line, struct json_object *value)
{
	const char *text;
	size_t len;

	text = json_object_to_json_string_length(value, PRINT_FLAGS, &len);
	if (text)
		buf__add(line, text, len);
	else
		line->failed = true;
}

static void add_value(struct buf *line, const struct column *col, const struct row *row)
{
	struct json_object *value = new_value(col, row);

	if (value)
		add_by_library(line, value);
	else
		buf__puts(line, "null");
	json_object_put(value);
}

static void add_escaped(struct buf *line, unsigned char c)
{
	static const char controls[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
	const char *at = c ? strchr(controls, c) : NULL;

	if (at)
		buf__printf(line, "\\%c", letters[at - controls]);
	else
		buf__printf(line, "\\u%04x", c);
}

/* What is escaped, and the end. */
static const bool ends_plain[256] = { [0 ... ' ' - 1] = true, ['"'] = true, ['\\'] = true };

void buf__json_string(struct buf *line, const char *s)
{
	const char *from = s;

	buf__putc(line, '"');
	for (;; s++) {
		if (!ends_plain[(unsigned char)*s])
			continue;
		buf__add(line, from, s - from);
		if (!*s)
			break;
		add_escaped(line, *s);
		from = s + 1;
	}
	buf__putc(line, '"');
}

/* An object as the library writes it, without the text that it makes for each number. */
static void add_object(struct buf *line, struct json_object *value)
{
	const char *between = "";

	switch (json_object_get_type(value)) {
	case json_type_null:
		buf__puts(line, "null");
		break;
	case json_type_int:
		buf__integer(line, value);
		break;
	case json_type_array:
		buf__putc(line, '[');
		for (size_t i = 0; i < json_object_array_length(value); i++, between = ",") {
			buf__puts(line, between);
			add_object(line, json_object_array_get_idx(value, i));
		}
		buf__putc(line, ']');
		break;
	case json_type_object: {
		buf__putc(line, '{');
		json_object_object_foreach(value, key, member)
		{
			buf__puts(line, between);
			buf__json_string(line, key);
			buf__putc(line, ':');
			add_object(line, member);
			between = ",";
		}
		buf__putc(line, '}');
		break;
	}
	case json_type_string: {
		const char *s = json_object_get_string(value);

		if (strlen(s) == (size_t)json_object_get_string_len(value))
			buf__json_string(line, s);
		else
			add_by_library(line, value);
		break;
	}
	default:
		add_by_library(line, value);
	}
}

void buf__json_cell(struct buf *line, const struct column *col, const struct row *row)
{
	uint64_t number;
	int64_t value;
	bool flag;

	switch (col->type) {
	case COL_STRING:
		if (cell__string(col, row))
			buf__json_string(line, cell__string(col, row));
		else
			buf__puts(line, "null");
		return;
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		if (cell__number(col, row, &number))
			buf__number(line, number);
		else
			buf__puts(line, "null");
		return;
	case COL_S64:
		if (!cell__signed(col, row, &value)) {
			buf__puts(line, "null");
			return;
		}
		buf__signed(line, value);
		return;
	case COL_OBJECT:
		add_object(line, cell__object(col, row));
		return;
	case COL_BOOL:
		buf__puts(line, !cell__bool(col, row, &flag) ? "null" : flag ? "true" : "false");
		return;
	default:
		add_value(line, col, row);
	}
}

/* Printable ASCII, as nearly always; the line's controls are escaped already. */
static bool is_plain(const char *s, size_t len)
{
	static const uint64_t high = 0x8080808080808080, ones = 0x0101010101010101;
	uint64_t word;

	for (; len >= sizeof(word); s += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, s, sizeof(word));
		/* DEL and one are 0x80. */
		if ((word | (word + ones)) & high)
			return false;
	}
	for (; len; s++, len--)
		if (*s & 0x80 || *s == 0x7f)
			return false;
	return true;
}

/*
 * A parser reads the same from an escape; a terminal does not obey it. What is no UTF-8 JSON
 * cannot have: it becomes U+FFFD.
 */
static void mend(struct buf *mended, const char *s, size_t len)
{
	struct text_char c = {};

	for (; len; s += c.len, len -= c.len) {
		text__read(&c, s, len);
		if (c.shown || c.cp == '\n')
			buf__add(mended, s, c.len);
		else if (!c.valid)
			buf__puts(mended, "\ufffd");
		else if (c.cp < 0x10000)
			buf__printf(mended, "\\u%04x", c.cp);
		else
			buf__printf(mended, "\\u%04x\\u%04x", 0xd7c0 + (c.cp >> 10),
				    0xdc00 | (c.cp & 0x3ff));
	}
}

/* Outside of strings all is ASCII, so the line as a whole can be mended. */
const struct buf *buf__mend_json(const struct buf *line, struct buf *mended)
{
	if (line->failed || is_plain(line->data, line->len))
		return line;
	buf__reset(mended);
	mend(mended, line->data, line->len);
	return mended;
}

static void write_line(struct output *out)
{
	const struct buf *line = buf__mend_json(&out->line, &out->mended);

	if (!line->failed)
		output__write(out, line->data, line->len);
	else if (!out->err)
		out->err = ENOMEM;
}

static void json_line(struct output *out, struct json_object *obj)
{
	const char *text;
	size_t len;

	buf__reset(&out->line);
	text = json_object_to_json_string_length(obj, PRINT_FLAGS, &len);
	if (text)
		buf__add(&out->line, text, len);
	else
		out->line.failed = true;
	buf__putc(&out->line, '\n');
	write_line(out);
}

/* What all rows of a section have in common: their values, and the text before each of them. */
struct json {
	struct buf texts;
	struct cell_place {
		const struct column *col;
		size_t len; /* of that text, in texts */
	} * cells;
	size_t nr, nr_leading, room;
	size_t head_len; /* of what a row begins with, in texts */
};

/* False: out of memory. */
static bool add_cells(struct json *j, const struct section *section, const struct column *col)
{
	for (; col->name; col++) {
		size_t from = j->texts.len;

		if (!section__has_data(section, col))
			continue;
		if (j->nr == j->room) {
			size_t room = j->room ? 2 * j->room : 64;
			struct cell_place *cells = reallocarray(j->cells, room, sizeof(*j->cells));

			if (!cells)
				return false;
			j->cells = cells;
			j->room = room;
		}
		buf__puts(&j->texts, j->nr ? ",\"" : "\"");
		buf__puts(&j->texts, col->name);
		buf__puts(&j->texts, "\":");
		j->cells[j->nr++] = (struct cell_place){ col, j->texts.len - from };
	}
	return !j->texts.failed;
}

static void json_begin(struct output *out)
{
	const struct section *section = &out->section;
	struct json *j = out->state;
	bool fits;

	buf__reset(&j->texts);
	buf__puts(&j->texts, "{\"monitor\":\"");
	buf__puts(&j->texts, section->monitor);
	buf__puts(&j->texts, "\",\"table\":\"");
	buf__puts(&j->texts, section->view->name);
	buf__puts(&j->texts, "\",\"scope\":\"");
	buf__puts(&j->texts, scope__name(section->scope));
	buf__puts(&j->texts, "\",");
	j->head_len = j->texts.len;
	j->nr = 0;
	fits = add_cells(j, section, leading_columns);
	j->nr_leading = j->nr;
	fits = fits && add_cells(j, section, section->columns);
	if (!fits && !out->err)
		out->err = ENOMEM;
}

/* Single events come by the hundred thousand a second: no json-c object for each. */
static void json_row(struct output *out, const struct row *row, unsigned int flags)
{
	const struct json *j = out->state;
	const struct row *leading;
	struct buf *line = &out->line;
	const char *text = j->texts.data;

	if (out->err || (flags & (ROW_DERIVED | ROW_AGAIN)))
		return;
	leading = output__lead(out, row);
	buf__reset(line);
	buf__add(line, text, j->head_len);
	text += j->head_len;
	for (size_t i = 0; i < j->nr; i++) {
		const struct cell_place *cell = &j->cells[i];

		buf__add(line, text, cell->len);
		text += cell->len;
		buf__json_cell(line, cell->col, i < j->nr_leading ? leading : row);
	}
	buf__add(line, "}\n", 2);
	write_line(out);
}

static void json_free(struct output *out)
{
	struct json *j = out->state;

	buf__free(&j->texts);
	free(j->cells);
}

const struct output_ops json_ops = {
	.name = "json",
	.suffix = "json",
	.state_size = sizeof(struct json),
	.begin = json_begin,
	.row = json_row,
	.object = json_line,
	.free = json_free,
};
