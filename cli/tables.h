/* SPDX-License-Identifier: GPL-2.0-only */
/* Which tables a command writes: --table, and what a CSV file can hold. */
#ifndef KVM_WATCHER_TABLES_H
#define KVM_WATCHER_TABLES_H

#include "../output/output.h"

struct options;

enum { MAX_TABLES = 64 };

/* A table that a command knows. */
struct table_ref {
	const struct view *view;
	const struct column *columns;
	unsigned int view_bit;
	const char *without; /* why these options leave it out: the rest of a sentence; or NULL */
};

/* Adds the views that an output can have. Returns how many there are then. */
size_t tables__add(struct table_ref refs[MAX_TABLES], size_t nr, const struct view *views,
		   const struct column *columns);

/*
 * Fills opts->tables: those that --table names, or else those that the options
 * do not leave out. 0, or EXIT_USAGE after a message.
 */
int tables__choose(struct options *opts, const struct table_ref *refs, size_t nr);

/* How --output names one: with a slash at its end. */
bool is_directory(const char *path);

#endif
