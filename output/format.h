/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the formats share and nobody else sees: the vtable, a growing buffer
 * and the reading of cells. A format is a struct output_ops in a file of its
 * own and one line of the table in output.c. A recording (core/record.c) is one
 * that --format does not name.
 */
#ifndef KVM_WATCHER_FORMAT_H
#define KVM_WATCHER_FORMAT_H

#include <string.h>

#include "output.h"

struct buf {
	char *data; /* NUL-terminated once something was added */
	size_t len;
	size_t size;
	bool failed; /* out of memory; what was added since is missing */
	int columns; /* of text that is wrapped; 0: nobody says */
};

/* Makes room for len bytes and a NUL. */
bool buf__grow(struct buf *buf, size_t len);

/* Single events are put together of some fifty pieces each. */
static inline bool buf__reserve(struct buf *buf, size_t len)
{
	return buf->len + len < buf->size || buf__grow(buf, len);
}

static inline void buf__add(struct buf *buf, const void *data, size_t len)
{
	if (!buf__reserve(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

static inline void buf__puts(struct buf *buf, const char *s)
{
	/* json-c had no memory for the text. */
	if (s)
		buf__add(buf, s, strlen(s));
	else
		buf->failed = true;
}

static inline void buf__putc(struct buf *buf, char c)
{
	buf__add(buf, &c, 1);
}

/* What was added since: text__neutralise(). */
void buf__neutralise(struct buf *buf, size_t from);
void buf__number(struct buf *buf, uint64_t value);
void buf__signed(struct buf *buf, int64_t value);
/* As %#x has it: 0 without a prefix. */
void buf__hex(struct buf *buf, uint64_t value);
/* In quotes, escaped as JSON wants it but for what is no UTF-8, which buf__mend_json() mends. */
void buf__json_string(struct buf *buf, const char *s);
/* A value as in JSON rows; null: absent. */
void buf__json_cell(struct buf *buf, const struct column *col, const struct row *row);
/* The line itself where there is nothing to mend, else mended, filled in. */
const struct buf *buf__mend_json(const struct buf *line, struct buf *mended);
void buf__pad(struct buf *buf, int n);
void buf__printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf__reset(struct buf *buf);
void buf__free(struct buf *buf);

struct output_ops {
	const char *name;   /* of --format */
	const char *suffix; /* of files */
	size_t state_size;  /* zeroed and found in output.state */
	void (*begin_window)(struct output *out, enum scope scope, uint64_t since_ns,
			     uint64_t now_ns);
	void (*end_window)(struct output *out);
	void (*begin)(struct output *out);
	void (*row)(struct output *out, const struct row *row, unsigned int flags);
	/*
	 * It keeps samples as they are, unselected and unfinished, instead of being shown rows of
	 * them: also what the monitor adds to a sample's columns, or NULL.
	 */
	void (*sample)(struct output *out, const struct row *row, struct json_object *more);
	void (*more)(struct output *out, const char *text);
	void (*end)(struct output *out);
	void (*object)(struct output *out, struct json_object *obj);
	void (*flush)(struct output *out);
	void (*finish)(struct output *out); /* all has been given to it */
	void (*free)(struct output *out);
	bool is_binary;	 /* format__is_binary() */
	bool is_picture; /* format__is_picture() */
	/* Something of this view is in it; NULL: there is of each. */
	bool (*has)(const struct column *columns, const struct view *view, unsigned int view_bit);
	bool for_people; /* shows views that are there only for people (view.again) */
	bool of_whole;	 /* shows a run as a whole: it gets buckets, and rows by cost */
	bool arranges;	 /* puts rows in order itself */
};

/* What a row begins with in data: its own head, and what the section says. */
struct lead {
	struct row row;
	const char *time; /* NULL: the wall clock is not known */
	uint64_t interval_ns;
};

extern const struct output_ops table_ops, json_ops, csv_ops, html_ops;
extern const struct output_ops perfetto_ops, folded_ops;
/* core/metrics.c: it knows the buckets of times. metrics__output() makes one. */
extern const struct output_ops prometheus_ops;

/*
 * One stream, or several: a file per table, each an output of its own. That of
 * one stream has itself alone in files.
 */
struct output {
	const struct output_ops *ops;
	FILE *stream;
	bool owns_stream;
	const char *const *tables; /* the wanted ones; NULL: all */
	struct output **files;	   /* in the order of tables */
	size_t nr_files;
	struct output *self[1];
	struct output *current; /* who takes the section's rows; NULL: nobody wants them */
	bool has_clock;
	int width;	  /* of tables; 0: nobody says */
	bool width_asked; /* by --width: it stays */
	bool terminal;	  /* people see it at once: emphasis, and no value twice */
	int err;	  /* errno of the first failure */
	int64_t real_offset_ns;
	int64_t time_s; /* the second that time is of */
	char time[OUTPUT_TIME_LEN];
	struct section section;
	struct lead lead;
	struct buf line; /* for the formats to build a line in */
	struct buf mended;
	void *state;
};

/* One stream, which ops write to. NULL and errno when out of memory. */
struct output *output__new_as(const struct output_ops *ops, FILE *stream, int width);
/* One that writes to no stream: its ops hand on what they are given. NULL: out of memory. */
struct output *output__new_nowhere(const struct output_ops *ops);

/* Columns of the terminal on stdout; 0 when it is none. */
int terminal__width(void);

void output__write(struct output *out, const char *data, size_t len);

/* Flags that only the leading columns have. */
enum leading_flags {
	LEAD_TIME = 1 << 16, /* table: only where rows are events */
	LEAD_VCPU = 1 << 17, /* only in per-vCPU views */
	LEAD_VM = 1 << 18,   /* whose the rows are */
};

/*
 * The members of struct lead, described like a monitor's columns. A table looks
 * only at those of struct row.
 */
extern const struct column leading_columns[];

/* All of them, whatever the view: what does not apply is absent. Valid until the next one. */
const struct row *output__lead(struct output *out, const struct row *row);

/* True when JSON and CSV have this column in the section's rows. */
bool section__has_data(const struct section *section, const struct column *col);

/* True when the section's rows have a value for this column. */
bool section__has(const struct section *section, const struct column *col);

/* True when the rows were merged over what this leading column names: it is absent in all. */
bool section__merges(const struct section *section, const struct column *col);

static inline const void *cell__at(const struct column *col, const struct row *row)
{
	return (const char *)row + col->offset;
}

/* COL_STRING. NULL: absent. */
const char *cell__string(const struct column *col, const struct row *row);
/* COL_STRINGS. NULL: absent. */
const char *const *cell__strings(const struct column *col, const struct row *row);
/* COL_U32, COL_U64, COL_HEX, COL_NSEC. False: absent. */
bool cell__number(const struct column *col, const struct row *row, uint64_t *value);
/* COL_S64. False: absent. */
bool cell__signed(const struct column *col, const struct row *row, int64_t *value);
/* COL_OBJECT. NULL: absent. */
struct json_object *cell__object(const struct column *col, const struct row *row);
/*
 * An object or array in words, "a=1 b=[2 3]". With hex, what is 65536 or more is
 * an address or a set of bits and written as such; so is a number whose userdata
 * is the word "hex".
 */
void buf__object(struct buf *buf, struct json_object *obj, bool hex);
/* An integer of json-c's, which has 64 bits, with or without a sign. */
void buf__integer(struct buf *buf, struct json_object *value);
/* COL_PERCENT, COL_DOUBLE. False: absent. */
bool cell__real(const struct column *col, const struct row *row, double *value);
bool cell__bool(const struct column *col, const struct row *row, bool *value);

#endif
