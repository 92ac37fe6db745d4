/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding columns, comparing cells and matching them: what choosing rows needs. */
#ifndef KVM_WATCHER_CELLS_H
#define KVM_WATCHER_CELLS_H

#include "column.h"

/*
 * The column of that name or title, in any case of letters, among the leading ones and
 * those of columns that a view of views (a bit mask) has. NULL: there is none.
 */
const struct column *column__find(const struct column *columns, unsigned int views,
				  const char *name, size_t len);

/* Calls use() for every column that column__find() can find. */
void column__each(const struct column *columns, unsigned int views,
		  void (*use)(const struct column *col, void *ctx), void *ctx);

/* Less than 0 where a comes first: text by letters, numbers the least first, absent ones last. */
int cell__compare(const struct column *col, const struct row *a, const struct row *b);
bool cell__is_absent(const struct column *col, const struct row *row);

/* Makes a cell of any type that formats know absent. */
void cell__set_absent(const struct column *col, void *cell);

enum condition_op { OP_MATCHES, OP_DIFFERS, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL };

/* "COLUMN=PATTERN"; the strings point into what was parsed. */
struct condition {
	const char *column;
	size_t len; /* of its name */
	enum condition_op op;
	const char *value; /* a shell pattern, or a number */
	double number;	   /* of the ops that need one */
};

/* False: it is no condition. */
bool condition__parse(struct condition *condition, const char *text);

/* col: the condition's. An absent value matches "-" alone. */
bool condition__holds(const struct condition *condition, const struct column *col,
		      const struct row *row);

#endif
