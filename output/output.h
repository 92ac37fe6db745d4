/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing rows. A section is one view of one monitor in one scope:
 *
 *	output__begin(out, &section);
 *	output__row(out, &row.row, 0);
 *	output__end(out);
 *
 * Each stream's first error (a closed pipe, a full disk) is kept and told by
 * output__flush().
 */
#ifndef KVM_WATCHER_OUTPUT_H
#define KVM_WATCHER_OUTPUT_H

#include <limits.h>
#include <stdio.h>

#include "column.h"

struct json_object;

/*
 * The version of what JSON says (docs/schema.json). Within one, members are
 * added, and never renamed or removed.
 */
enum { OUTPUT_SCHEMA = 1 };

enum format {
	FORMAT_TABLE,
	FORMAT_JSON,
	FORMAT_CSV,
	FORMAT_HTML,
	FORMAT_PERFETTO,
	FORMAT_FOLDED,
	FORMAT_PROMETHEUS,
};

enum row_flags {
	ROW_DERIVED = 1 << 0, /* computed from other rows: tables only, emphasised */
	ROW_AGAIN = 1 << 1,   /* a part of another row, arranged for people: tables only */
	ROW_DATA = 1 << 2,    /* for programs: no tables */
};

/* What the rows of a section were merged over: its names do not apply. */
enum merged { MERGED_NOTHING, MERGED_VCPUS, MERGED_VMS };

struct section {
	const char *monitor;	      /* long option's name */
	const struct column *columns; /* ends with a NULL name */
	const struct view *view;
	unsigned int view_bit; /* 1 << index of the view */
	enum scope scope;
	/* What the rows cover, CLOCK_MONOTONIC; both 0 for events and for a state. */
	uint64_t since_ns, now_ns;
	bool total_follows; /* of the same period, with the same rows: people need them once */
	enum merged merged;
};

/* The format of that name; -1: there is none. */
int format__find(const char *name);
const char *format__name(enum format format);
/* All names in words: "table, json or csv". */
const char *format__names(char *buf, size_t size);
/* What names of files in it end with, without the dot. */
const char *format__suffix(enum format format);

/* What a monitor's files beside an output in it are in. */
enum format format__beside(enum format format);
/* It is no text: not for a terminal. */
bool format__is_binary(enum format format);
/* A trace, or stacks, of all tables: no files for each, no histograms. */
bool format__is_picture(enum format format);
/* It shows where time went, and has something of this view. */
bool format__has_rows(enum format format, const struct column *columns, const struct view *view,
		      unsigned int view_bit);

/* The columns of two views are the same in data: one CSV file can have both. */
bool view__same_data(const struct column *a, unsigned int a_bit, const struct column *b,
		     unsigned int b_bit);

struct output;

/* What a user wants written, and where. */
struct output_target {
	enum format format;
	const char *path; /* NULL: stdout; with a slash at its end: a directory, a file per table */
	const char *const
		*tables; /* names of views, ends with NULL; NULL: all. Kept by reference */
};

/* NULL and errno when out of memory. width: terminal columns, 0 when not a terminal. */
struct output *output__new(enum format format, FILE *stream, int width);
/* Tables are so wide, whatever they are written to. */
void output__set_width(struct output *out, int width);

/*
 * To stdout, as wide as the terminal if it is one, or to files, which are
 * created or emptied. A directory needs tables. 0 or -errno; then failed has the path.
 */
int output__open(const struct output_target *target, struct output **out, char failed[PATH_MAX]);

void output__free(struct output *out);

/* False: rows of this view would not be written. */
bool output__wants(const struct output *out, const struct view *view);

enum { OUTPUT_TIME_LEN = 40 };

/* A moment of CLOCK_REALTIME by RFC 3339, in the local zone, with ms. */
void output__write_time(char text[OUTPUT_TIME_LEN], int64_t real_ns);

/*
 * What CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, for the rows that follow:
 * the host's clock may be set while kvm_watcher runs.
 */
void output__set_clock(struct output *out, int64_t real_offset_ns);

/* Around the sections of one interval, or of the run; events have none. */
void output__begin_window(struct output *out, enum scope scope, uint64_t since_ns, uint64_t now_ns);
void output__end_window(struct output *out);

void output__begin(struct output *out, const struct section *section);
void output__row(struct output *out, const struct row *row, unsigned int flags);
/*
 * It wants samples instead of rows: as samples__read() gives them, and what the monitor adds,
 * which it takes ownership of.
 */
bool output__keeps_samples(const struct output *out);
void output__sample(struct output *out, const struct row *row, struct json_object *more);
/* A line of words below the section's rows, for people. */
void output__more(struct output *out, const char *text);
void output__end(struct output *out);

/* Lines of the terminal that tables are written to; 0: there is none. */
unsigned int output__lines(const struct output *out);

/*
 * One object that is not a row (the first and the last line of a run), to each
 * file. Takes ownership of obj. Table and CSV print nothing for it.
 */
void output__object(struct output *out, struct json_object *obj);

/* It wants the buckets of all times, asked for or not. */
bool output__wants_buckets(const struct output *out);
/* It wants rows by what each costs, whatever VM they are of. */
bool output__is_by_cost(const struct output *out);
/* It puts rows in order itself, and sums nothing up: they may come as they are. */
bool output__arranges(const struct output *out);

/* 0, or the errno of the first write that failed; flushes. */
int output__flush(struct output *out);
/* The same after the last object: some formats write everything now. */
int output__finish(struct output *out);

#endif
