/* SPDX-License-Identifier: GPL-2.0-only */
#include "cells.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "format.h"

static bool can_find(const struct column *col, unsigned int views)
{
	/* Labels that the monitor makes when it writes: no row has them before. */
	if (col->role == ROLE_LABEL && (col->flags & COL_COMPUTED))
		return false;
	return column__is_shown(col) && (!col->views || (col->views & views));
}

static bool is_called(const struct column *col, const char *name, size_t len)
{
	return (!strncasecmp(col->name, name, len) && !col->name[len]) ||
	       (col->title && !strncasecmp(col->title, name, len) && !col->title[len]);
}

const struct column *column__find(const struct column *columns, unsigned int views,
				  const char *name, size_t len)
{
	for (const struct column *col = leading_columns; col->name; col++)
		if (is_called(col, name, len))
			return col;
	for (const struct column *col = columns; col->name; col++)
		if (can_find(col, views) && is_called(col, name, len))
			return col;
	return NULL;
}

void column__each(const struct column *columns, unsigned int views,
		  void (*use)(const struct column *col, void *ctx), void *ctx)
{
	for (const struct column *col = leading_columns; col->name; col++)
		use(col, ctx);
	for (const struct column *col = columns; col->name; col++)
		if (can_find(col, views))
			use(col, ctx);
}

static bool is_text(const struct column *col)
{
	return col->type == COL_STRING || col->type == COL_STRINGS || col->type == COL_OBJECT;
}

/* False: it is absent, or no number. */
static bool as_real(const struct column *col, const struct row *row, double *value)
{
	uint64_t number;
	int64_t integer;
	bool flag, there;

	switch (col->type) {
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		there = cell__number(col, row, &number);
		*value = number;
		return there;
	case COL_S64:
		there = cell__signed(col, row, &integer);
		*value = integer;
		return there;
	case COL_PERCENT:
	case COL_DOUBLE:
		return cell__real(col, row, value);
	case COL_BOOL:
		there = cell__bool(col, row, &flag);
		*value = flag;
		return there;
	default:
		return false;
	}
}

static bool is_integer(const struct column *col)
{
	return col->type == COL_U64 || col->type == COL_HEX || col->type == COL_NSEC;
}

/* The text of a cell that has one; NULL: absent. buf is for what has to be put together. */
static const char *as_text(const struct column *col, const struct row *row, struct buf *buf)
{
	const char *const *strings;

	switch (col->type) {
	case COL_STRING:
		return cell__string(col, row);
	case COL_STRINGS:
		strings = cell__strings(col, row);
		for (size_t i = 0; strings && strings[i]; i++)
			buf__printf(buf, "%s%s", i ? "," : "", strings[i]);
		return strings && !buf->data ? "" : buf->data;
	case COL_OBJECT:
		buf__object(buf, cell__object(col, row), col->flags & COL_BIG_HEX);
		return cell__object(col, row) && !buf->data ? "" : buf->data;
	default:
		return NULL;
	}
}

bool cell__is_absent(const struct column *col, const struct row *row)
{
	struct buf buf = {};
	double value;
	bool absent;

	if (!is_text(col))
		return !as_real(col, row, &value);
	absent = !as_text(col, row, &buf);
	buf__free(&buf);
	return absent;
}

static int compare_text(const struct column *col, const struct row *a, const struct row *b)
{
	struct buf of_a = {}, of_b = {};
	const char *x = as_text(col, a, &of_a), *y = as_text(col, b, &of_b);
	int order = x && y ? strcmp(x, y) : !x - !y;

	buf__free(&of_a);
	buf__free(&of_b);
	return order;
}

int cell__compare(const struct column *col, const struct row *a, const struct row *b)
{
	bool is_a, is_b;
	uint64_t m, n;
	double x, y;

	if (is_text(col))
		return compare_text(col, a, b);
	if (is_integer(col)) {
		is_a = cell__number(col, a, &m);
		is_b = cell__number(col, b, &n);
		return is_a && is_b ? (m > n) - (m < n) : is_b - is_a;
	}
	is_a = as_real(col, a, &x);
	is_b = as_real(col, b, &y);
	return is_a && is_b ? (x > y) - (x < y) : is_b - is_a;
}

/* Conditions */

static const struct {
	const char *sign;
	enum condition_op op;
} signs[] = {
	{ "!=", OP_DIFFERS }, { "<=", OP_LESS_EQUAL }, { ">=", OP_GREATER_EQUAL },
	{ "=", OP_MATCHES },  { "<", OP_LESS },	       { ">", OP_GREATER },
};

enum { NR_SIGNS = sizeof(signs) / sizeof(*signs) };

static bool parse_number(struct condition *condition)
{
	static const struct {
		const char *unit;
		double factor;
	} units[] = { { "", 1 }, { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	char *end;

	condition->number = strtod(condition->value, &end);
	for (size_t i = 0; end != condition->value && i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].unit)) {
			condition->number *= units[i].factor;
			return true;
		}
	return false;
}

bool condition__parse(struct condition *condition, const char *text)
{
	condition->column = text;
	condition->len = strcspn(text, "=<>!");
	text += condition->len;
	for (size_t i = 0; condition->len && i < NR_SIGNS; i++) {
		size_t len = strlen(signs[i].sign);

		if (strncmp(text, signs[i].sign, len))
			continue;
		condition->op = signs[i].op;
		condition->value = text + len;
		return condition->op <= OP_DIFFERS || parse_number(condition);
	}
	return false;
}

static bool matches_text(const char *pattern, const char *text)
{
	return !fnmatch(pattern, text, 0);
}

/* As JSON writes it, or as a table does. */
static bool matches_number(const char *pattern, const struct column *col, const struct row *row)
{
	uint64_t number;
	int64_t integer;
	char text[64];
	double real;
	bool flag;

	if (col->type == COL_BOOL)
		return cell__bool(col, row, &flag) &&
		       (matches_text(pattern, flag ? "true" : "false") ||
			matches_text(pattern, flag ? "yes" : "no"));
	if (col->type == COL_PERCENT || col->type == COL_DOUBLE) {
		snprintf(text, sizeof(text), "%.1f", cell__real(col, row, &real) ? real : NAN);
	} else if (col->type == COL_S64) {
		cell__signed(col, row, &integer);
		snprintf(text, sizeof(text), "%" PRId64, integer);
	} else {
		cell__number(col, row, &number);
		snprintf(text, sizeof(text), "%#" PRIx64, number);
		if (col->type == COL_HEX && matches_text(pattern, text))
			return true;
		snprintf(text, sizeof(text), "%" PRIu64, number);
	}
	return matches_text(pattern, text);
}

static bool matches(const char *pattern, const struct column *col, const struct row *row)
{
	struct buf buf = {};
	bool yes;

	if (cell__is_absent(col, row))
		return !strcmp(pattern, "-");
	if (!is_text(col))
		return matches_number(pattern, col, row);
	yes = matches_text(pattern, as_text(col, row, &buf));
	buf__free(&buf);
	return yes;
}

bool condition__holds(const struct condition *condition, const struct column *col,
		      const struct row *row)
{
	double value;

	if (condition->op == OP_MATCHES || condition->op == OP_DIFFERS)
		return matches(condition->value, col, row) == (condition->op == OP_MATCHES);
	if (!as_real(col, row, &value))
		return false;
	switch (condition->op) {
	case OP_LESS:
		return value < condition->number;
	case OP_LESS_EQUAL:
		return value <= condition->number;
	case OP_GREATER:
		return value > condition->number;
	default:
		return value >= condition->number;
	}
}

void cell__set_absent(const struct column *col, void *cell)
{
	const double no_real = NAN;
	const uint32_t no_u32 = UINT32_MAX;
	const uint64_t no_number = UINT64_MAX;
	const int64_t no_signed = INT64_MIN;

	switch (col->type) {
	case COL_STRING:
	case COL_STRINGS:
	case COL_OBJECT:
		memset(cell, 0, sizeof(void *));
		break;
	case COL_U32:
		memcpy(cell, &no_u32, sizeof(no_u32));
		break;
	case COL_BOOL:
		*(uint8_t *)cell = BOOL_ABSENT;
		break;
	case COL_S64:
		memcpy(cell, &no_signed, sizeof(no_signed));
		break;
	case COL_PERCENT:
	case COL_DOUBLE:
		memcpy(cell, &no_real, sizeof(no_real));
		break;
	default:
		memcpy(cell, &no_number, sizeof(no_number));
	}
}
