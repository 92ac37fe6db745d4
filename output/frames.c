// SPDX-License-Identifier: GPL-2.0-only
#include "frames.h"

#include <inttypes.h>

const struct column *view__duration(const struct column *columns, unsigned int view_bit)
{
	const struct section section = { .view_bit = view_bit };

	for (const struct column *col = columns; col->name; col++)
		if (col->type == COL_NSEC && col->role == ROLE_GAUGE && col->times == TIMES_NONE &&
		    section__has_data(&section, col))
			return col;
	return NULL;
}

void buf__label(struct buf *buf, const struct column *col, const struct row *row)
{
	const char *between = col->flags & COL_FRAME ? "" : " ";
	const char *name = col->flags & COL_FRAME ? "" : col->name;
	uint64_t number;
	int64_t value;
	bool flag;

	switch (col->type) {
	case COL_STRING:
		if (cell__string(col, row))
			buf__puts(buf, cell__string(col, row));
		break;
	case COL_HEX:
		if (cell__number(col, row, &number))
			buf__printf(buf, "%s%s%#" PRIx64, name, between, number);
		break;
	case COL_U32:
	case COL_U64:
	case COL_NSEC:
		if (cell__number(col, row, &number))
			buf__printf(buf, "%s%s%" PRIu64, name, between, number);
		break;
	case COL_S64:
		if (cell__signed(col, row, &value))
			buf__printf(buf, "%s%s%" PRId64, name, between, value);
		break;
	case COL_BOOL:
		if (cell__bool(col, row, &flag) && flag)
			buf__puts(buf, col->name);
		break;
	default:
		break;
	}
}

bool buf__frames(struct buf *buf, const struct section *section, const struct row *row,
		 const char *between)
{
	size_t begin = buf->len;

	for (const struct column *col = section->columns; col->name; col++) {
		size_t before = buf->len, from;

		if (col->role != ROLE_LABEL || !(col->flags & COL_FRAME) ||
		    !section__has(section, col))
			continue;
		if (before > begin)
			buf__puts(buf, between);
		from = buf->len;
		buf__label(buf, col, row);
		if (buf->len == from)
			buf->len = before;
	}
	return buf->len > begin;
}
