// SPDX-License-Identifier: GPL-2.0-only
#include "recording.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>
#include <zstd.h>

#include "../output/cells.h"
#include "clock.h"
#include "limits.h"
#include "record.h"
#include "times.h"

enum {
	READ_SIZE = 1 << 17,
	MOST_FRAME = 256 << 20, /* bytes of lines; recorders begin a new one after a quarter */
	MOST_DEPTH = 16,
	MOST_STRINGS = 64, /* of one column */
	MAX_RECORDED_TABLES = MAX_MONITORS * 8,
};

struct recording {
	FILE *file;
	struct recording_head head;
	struct json_object *head_line;
	ZSTD_DCtx *unpacker; /* NULL: the file is plain JSON Lines */
	char *packed;
	ZSTD_inBuffer in;
	char *frame; /* a whole one, or whole lines */
	size_t frame_len, frame_room, frame_at;
	bool at_end;
	struct json_tokener *tokener;
	struct json_object *parsed;
	struct recorded_table tables[MAX_RECORDED_TABLES];
	size_t nr_tables;
	/* Of a line of samples: those that follow. */
	struct json_object *rows;
	size_t next_row;
	struct row head_row;
	const struct recorded_table *table;
	struct row *row;
	const char *strings[MOST_STRINGS + 1];
	void *texts; /* strings of gauges, each once: tsearch() */
	struct recorded_line line;
	char why[256];
	bool is_cut;
};

static bool damaged(struct recording *rec, const char *what)
{
	if (!rec->why[0])
		snprintf(rec->why, sizeof(rec->why), "%s; everything before that was read", what);
	return false;
}

/* Its recorder was killed, or is still at it. */
static void cut_off(struct recording *rec)
{
	rec->is_cut = !rec->why[0];
	damaged(rec, "it ends within an interval, which is left out");
}

/* Frames */

static bool has_room(struct recording *rec, size_t len)
{
	size_t room = rec->frame_room ? rec->frame_room : 2 * (size_t)READ_SIZE;
	char *more;

	while (room < len)
		room *= 2;
	if (room == rec->frame_room)
		return true;
	if (room > MOST_FRAME)
		return damaged(rec, "it has an interval that is larger than any recorder writes");
	more = realloc(rec->frame, room);
	if (!more)
		return damaged(rec, "there is not enough memory to read on");
	rec->frame = more;
	rec->frame_room = room;
	return true;
}

/* More of the file. False at its end. */
static bool refill(struct recording *rec)
{
	if (rec->in.pos < rec->in.size)
		return true;
	rec->in.size = fread(rec->packed, 1, READ_SIZE, rec->file);
	rec->in.pos = 0;
	return rec->in.size > 0;
}

/* The next frame as a whole: what is behind its last byte is not looked at. */
static bool read_frame(struct recording *rec)
{
	bool began = false;
	size_t left = 1;

	rec->frame_len = rec->frame_at = 0;
	while (left) {
		ZSTD_outBuffer out;

		if (!refill(rec)) {
			if (began)
				cut_off(rec);
			return false;
		}
		began = true;
		if (!has_room(rec, rec->frame_len + READ_SIZE))
			return false;
		out = (ZSTD_outBuffer){ rec->frame, rec->frame_room, rec->frame_len };
		left = ZSTD_decompressStream(rec->unpacker, &out, &rec->in);
		if (ZSTD_isError(left))
			return damaged(rec, "it is damaged");
		rec->frame_len = out.pos;
	}
	return true;
}

/* Of a plain file some whole lines. */
static bool read_lines(struct recording *rec)
{
	size_t rest = rec->frame_len - rec->frame_at, got;

	memmove(rec->frame, rec->frame + rec->frame_at, rest);
	rec->frame_len = rest;
	rec->frame_at = 0;
	do {
		if (!has_room(rec, rec->frame_len + READ_SIZE))
			return false;
		got = fread(rec->frame + rec->frame_len, 1, READ_SIZE, rec->file);
		rec->frame_len += got;
	} while (got && !memchr(rec->frame + rec->frame_len - got, '\n', got));
	if (!got && rec->frame_len)
		return damaged(rec, "its last line is incomplete");
	return got;
}

/* The next line, which ends before *len. NULL: there is none. */
static const char *next_line(struct recording *rec, size_t *len)
{
	for (;;) {
		char *from = rec->frame + rec->frame_at,
		     *end = rec->frame_at < rec->frame_len ?
				    memchr(from, '\n', rec->frame_len - rec->frame_at) :
				    NULL;

		if (end) {
			*len = end - from;
			rec->frame_at += *len + 1;
			return from;
		}
		if (rec->unpacker && rec->frame_at < rec->frame_len) {
			damaged(rec, "it has an incomplete line");
			return NULL;
		}
		if (!(rec->unpacker ? read_frame(rec) : read_lines(rec)))
			return NULL;
	}
}

/* NULL: the end, or what is no line of a recording. */
static struct json_object *next_object(struct recording *rec)
{
	size_t len;
	const char *line = next_line(rec, &len);

	json_object_put(rec->parsed);
	rec->parsed = NULL;
	if (!line)
		return NULL;
	json_tokener_reset(rec->tokener);
	rec->parsed = json_tokener_parse_ex(rec->tokener, line, len);
	if (json_object_is_type(rec->parsed, json_type_object) &&
	    json_tokener_get_error(rec->tokener) == json_tokener_success)
		return rec->parsed;
	json_object_put(rec->parsed);
	rec->parsed = NULL;
	damaged(rec, "it has a malformed line");
	return NULL;
}

/* Members. What is of another type than it should be is not there. */

static uint64_t number_of(struct json_object *obj, uint64_t otherwise)
{
	return json_object_is_type(obj, json_type_int) ? json_object_get_uint64(obj) : otherwise;
}

static uint64_t get_number(struct json_object *obj, const char *key, uint64_t otherwise)
{
	return number_of(json_object_object_get(obj, key), otherwise);
}

static const char *get_string(struct json_object *obj, const char *key)
{
	struct json_object *value = json_object_object_get(obj, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static uint32_t as_u32(uint64_t number)
{
	return number < UINT32_MAX ? number : UINT32_MAX;
}

/* Cells */

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* One that stays. NULL: out of memory, or none was given. */
static const char *keep_text(struct recording *rec, const char *text)
{
	char **node = text ? tfind(text, &rec->texts, by_text) : NULL, *copy;

	if (node || !text)
		return node ? *node : NULL;
	copy = strdup(text);
	if (!copy || !tsearch(copy, &rec->texts, by_text)) {
		free(copy);
		return NULL;
	}
	return copy;
}

static bool read_times(struct times *t, struct json_object *array)
{
	enum { TOTAL, MIN, MAX, FIRST, COUNTS };
	size_t nr = json_object_array_length(array);
	uint64_t bucket;

	times__init(t);
	if (nr < FIRST)
		return false;
	t->total_ns = number_of(json_object_array_get_idx(array, TOTAL), 0);
	t->min_ns = number_of(json_object_array_get_idx(array, MIN), UINT64_MAX);
	t->max_ns = number_of(json_object_array_get_idx(array, MAX), UINT64_MAX);
	if (nr < COUNTS)
		return true;
	bucket = number_of(json_object_array_get_idx(array, FIRST), UINT64_MAX);
	if (bucket >= STAT_BUCKETS || nr - COUNTS > STAT_BUCKETS - bucket)
		return false;
	for (size_t i = COUNTS; i < nr; i++, bucket++) {
		t->hist[bucket] = number_of(json_object_array_get_idx(array, i), 0);
		t->count += t->hist[bucket];
	}
	return true;
}

static bool read_tally(struct tally *t, struct json_object *array)
{
	size_t nr = json_object_array_length(array);

	*t = (struct tally){};
	for (size_t i = 0; i + 1 < nr; i += 2)
		tally__add(t, json_object_get_int(json_object_array_get_idx(array, i)),
			   number_of(json_object_array_get_idx(array, i + 1), 0));
	return nr % 2 == 0;
}

static bool read_bits(uint64_t *bits, size_t size, struct json_object *array)
{
	size_t nr = json_object_array_length(array);

	memset(bits, 0, size);
	for (size_t i = 0; i + 1 < nr; i += 2) {
		uint64_t word = number_of(json_object_array_get_idx(array, i), UINT64_MAX);

		if (word >= size / sizeof(*bits))
			return false;
		bits[word] = number_of(json_object_array_get_idx(array, i + 1), 0);
	}
	return nr % 2 == 0;
}

/* One column of a row has strings at most. */
static bool read_strings(struct recording *rec, const char *const **cell, struct json_object *array)
{
	size_t nr = json_object_array_length(array);

	if (nr > MOST_STRINGS)
		return false;
	for (size_t i = 0; i < nr; i++)
		rec->strings[i] = json_object_get_string(json_object_array_get_idx(array, i));
	rec->strings[nr] = NULL;
	for (size_t i = 0; i < nr; i++)
		if (!rec->strings[i])
			return false;
	*cell = rec->strings;
	return true;
}

static double real_of(struct json_object *value)
{
	return value ? json_object_get_double(value) : NAN;
}

static bool is_array(const struct column *col)
{
	return col->type == COL_TIMES || col->type == COL_TALLY || col->type == COL_BITS ||
	       col->type == COL_STRINGS;
}

/* Also what formats do not know. */
static void set_absent(const struct column *col, void *cell)
{
	switch (col->type) {
	case COL_TIMES:
		times__init(cell);
		break;
	case COL_TALLY:
		*(struct tally *)cell = (struct tally){};
		break;
	case COL_BITS:
		memset(cell, 0, col->size);
		break;
	default:
		cell__set_absent(col, cell);
	}
}

static bool read_array(struct recording *rec, const struct column *col, void *cell,
		       struct json_object *array)
{
	if (!json_object_is_type(array, json_type_array)) {
		set_absent(col, cell);
		return !array;
	}
	switch (col->type) {
	case COL_TIMES:
		return read_times(cell, array);
	case COL_TALLY:
		return read_tally(cell, array);
	case COL_BITS:
		return read_bits(cell, col->size, array);
	default:
		return read_strings(rec, cell, array);
	}
}

static const char *text_of(struct recording *rec, const struct column *col,
			   struct json_object *value)
{
	const char *text =
		json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;

	return col->role == ROLE_LABEL ? text : keep_text(rec, text);
}

/* False: it is nothing that a recorder writes. */
static bool read_cell(struct recording *rec, const struct column *col, struct row *row,
		      struct json_object *value)
{
	void *cell = (char *)row + col->offset;
	double real;

	if (is_array(col))
		return read_array(rec, col, cell, value);
	switch (col->type) {
	case COL_STRING:
		*(const char **)cell = text_of(rec, col, value);
		return true;
	case COL_OBJECT:
		*(struct json_object **)cell = value;
		return true;
	case COL_BOOL:
		*(uint8_t *)cell = !value ? BOOL_ABSENT : json_object_get_boolean(value);
		return true;
	case COL_S64:
		*(int64_t *)cell = value ? json_object_get_int64(value) : INT64_MIN;
		return true;
	case COL_PERCENT:
	case COL_DOUBLE:
		real = real_of(value);
		memcpy(cell, &real, sizeof(real));
		return true;
	case COL_U32:
		*(uint32_t *)cell = as_u32(number_of(value, UINT64_MAX));
		return true;
	default:
		*(uint64_t *)cell = number_of(value, UINT64_MAX);
		return true;
	}
}

const struct times *recording__times(const struct column *columns, unsigned int view_bit,
				     const struct row *row)
{
	for (const struct column *col = columns; col->name; col++)
		if (col->type == COL_TIMES && (!col->views || (col->views & view_bit)))
			return (const struct times *)((const char *)row + col->offset);
	return NULL;
}

bool recording__told_by(const struct column *col, const struct times *times, uint64_t *told)
{
	if (!times || col->role != ROLE_COUNTER || col->times ||
	    (col->type != COL_U64 && col->type != COL_NSEC))
		return false;
	*told = !strcmp(col->name, "count") ? times->count : times->total_ns;
	return !strcmp(col->name, "count") || !strcmp(col->name, "total_ns");
}

static bool has_view(const struct column *col, unsigned int view)
{
	return !col->views || (col->views >> view & 1);
}

/* The column of that name; they come in their order, so the one after the last is asked first. */
static const struct column *find_column(const struct monitor *m, unsigned int view,
					const char *name, const struct column *after)
{
	for (const struct column *col = after; col->name; col++)
		if (has_view(col, view) && !strcmp(col->name, name))
			return col;
	for (const struct column *col = m->columns; col->name; col++)
		if (has_view(col, view) && !strcmp(col->name, name))
			return col;
	return NULL;
}

static const struct monitor *monitor_of(const struct recording *rec,
					const struct recorded_table *table)
{
	return rec->head.monitors[table->monitor].monitor;
}

/* Members that are no columns are the head's, or a newer version's. */
static bool read_row(struct recording *rec, const struct recorded_table *table,
		     struct json_object *obj)
{
	const struct monitor *m = monitor_of(rec, table);
	const struct column *col, *after = m->columns;

	memcpy(rec->row, table->nothing, m->row_size);
	rec->line.more = NULL;
	json_object_object_foreach(obj, key, value)
	{
		col = find_column(m, table->view, key, after);
		if (!col) {
			if (!strcmp(key, "more"))
				rec->line.more = value;
			continue;
		}
		after = col + 1;
		if (!read_cell(rec, col, rec->row, value))
			return damaged(rec, "it has a malformed row");
	}
	return true;
}

static void read_whose(struct row *row, struct json_object *obj)
{
	*row = (struct row){
		.ts_ns = get_number(obj, "ts_ns", 0),
		.vm = get_string(obj, "vm"),
		.vm_id = get_string(obj, "vm_id"),
		.vm_nr = get_number(obj, "vm_nr", 0),
		.pid = as_u32(get_number(obj, "pid", UINT32_MAX)),
		.tid = as_u32(get_number(obj, "tid", UINT32_MAX)),
		.vcpu = as_u32(get_number(obj, "vcpu", UINT32_MAX)),
	};
}

/* The head */

static const struct recorded_table *find_table(const struct recording *rec, const char *name)
{
	for (size_t i = 0; name && i < rec->nr_tables; i++)
		if (!strcmp(rec->tables[i].name, name))
			return &rec->tables[i];
	return NULL;
}

static void add_unknown(struct recorded_monitor *to, const char *table, const char *column)
{
	char *text = NULL;

	if (asprintf(&text, "%s%s%s of %s", to->unknown ?: "", to->unknown ? ", " : "", column,
		     table) < 0)
		return;
	free(to->unknown);
	to->unknown = text;
}

/* What the file does not list it does not have; what it lists is zero where it is not said. */
static bool add_table(struct recording *rec, size_t monitor, const char *name,
		      struct json_object *columns)
{
	struct recorded_monitor *of = &rec->head.monitors[monitor];
	const struct monitor *m = of->monitor;
	struct recorded_table *table = &rec->tables[rec->nr_tables];
	unsigned int view = 0;

	while (m->views[view].title && strcmp(m->views[view].name, name))
		view++;
	if (!m->views[view].title) {
		add_unknown(of, name, "all columns");
		return true;
	}
	if (rec->nr_tables == MAX_RECORDED_TABLES)
		return damaged(rec, "it has too many tables");
	*table = (struct recorded_table){
		.name = name,
		.monitor = monitor,
		.view = view,
		.nothing = calloc(1, m->row_size),
	};
	if (!table->nothing)
		return damaged(rec, "there is not enough memory to read it");
	rec->nr_tables++;
	for (const struct column *col = m->columns; col->name; col++) {
		bool is_there = json_object_object_get(columns, col->name);
		static const struct times times;
		uint64_t told;

		if (has_view(col, view) &&
		    (!is_there || col->type == COL_TIMES || col->type == COL_STRING))
			set_absent(col, (char *)table->nothing + col->offset);
		if (has_view(col, view) && is_there && recording__told_by(col, &times, &told) &&
		    table->nr_told < MOST_TOLD)
			table->told[table->nr_told++] = col;
	}
	json_object_object_foreach(columns, key, value)
	{
		(void)value;
		if (!find_column(m, view, key, m->columns))
			add_unknown(of, name, key);
	}
	return true;
}

static const struct monitor *find_monitor(const struct monitor *const *monitors, size_t nr,
					  const char *name)
{
	for (size_t i = 0; name && i < nr; i++)
		if (!strcmp(monitors[i]->name, name))
			return monitors[i];
	return NULL;
}

/* Those that this version does not know, or no longer takes, have no effect. */
static void set_options(struct recorded_monitor *to, struct json_object *options)
{
	for (size_t i = 0; i < json_object_array_length(options); i++) {
		struct json_object *option = json_object_array_get_idx(options, i);
		const struct monitor_option *o = to->monitor->options;
		const char *name, *arg;

		if (!json_object_is_type(option, json_type_array))
			continue;
		name = json_object_get_string(json_object_array_get_idx(option, 0));
		arg = json_object_get_string(json_object_array_get_idx(option, 1));
		for (; o && o->name && name; o++)
			if (!strcmp(o->name, name) && (!o->arg == !arg) && o->set(&to->config, arg))
				memset(&to->config, 0, sizeof(to->config));
	}
}

static bool add_monitor(struct recording *rec, struct json_object *obj,
			const struct monitor *const *monitors, size_t nr)
{
	struct json_object *options = json_object_object_get(obj, "options"),
			   *tables = json_object_object_get(obj, "tables");
	struct recorded_monitor *to = &rec->head.monitors[rec->head.nr_monitors];

	if (!json_object_is_type(tables, json_type_object) || rec->head.nr_monitors == MAX_MONITORS)
		return damaged(rec, "its first line is not that of a recording");
	to->monitor = find_monitor(monitors, nr, get_string(obj, "name"));
	if (!to->monitor)
		return true;
	to->had_events = json_object_get_boolean(json_object_object_get(obj, "events"));
	if (json_object_is_type(options, json_type_array))
		set_options(to, options);
	rec->head.nr_monitors++;
	json_object_object_foreach(tables, name, columns)
	{
		if (!json_object_is_type(columns, json_type_object) ||
		    !add_table(rec, rec->head.nr_monitors - 1, name, columns))
			return damaged(rec, "its first line is not that of a recording");
	}
	return true;
}

static bool read_start(struct recording_head *head, struct json_object *start)
{
	struct json_object *clock = json_object_object_get(start, "clock"),
			   *host = json_object_object_get(start, "host");

	if (!json_object_is_type(clock, json_type_object) ||
	    !json_object_is_type(host, json_type_object))
		return false;
	head->start = start;
	head->start_ns = get_number(clock, "mono_ns", 0);
	head->real_offset_ns = get_number(clock, "real_ns", 0) - head->start_ns;
	head->interval_ns = get_number(start, "interval_ns", 0);
	head->hostname = get_string(host, "hostname") ?: "";
	head->vendor = get_string(host, "vendor") ?: "";
	head->kernel = get_string(host, "kernel") ?: "";
	return true;
}

static bool read_head(struct recording *rec, const struct monitor *const *monitors, size_t nr)
{
	struct json_object *line = next_object(rec), *list;
	struct recording_head *head = &rec->head;
	size_t size = sizeof(struct row);

	if (!line) {
		rec->why[0] = '\0';
		return damaged(rec, "it is not a recording of kvm_watcher record, or it is empty");
	}
	rec->head_line = json_object_get(line);
	head->version = get_number(line, "recording", 0);
	if (!head->version)
		return damaged(rec, "it is not a recording of kvm_watcher record");
	if (head->version > RECORDING_VERSION) {
		snprintf(rec->why, sizeof(rec->why),
			 "it has version %d of the format, and this program reads up to %d: use a "
			 "newer kvm_watcher",
			 head->version, RECORDING_VERSION);
		return false;
	}
	head->segments = get_number(line, "segments", 1);
	head->zone = get_string(line, "zone") ?: "UTC0";
	head->masked = json_object_get_boolean(json_object_object_get(line, "masked"));
	list = json_object_object_get(line, "monitors");
	if (!json_object_is_type(list, json_type_array) ||
	    !read_start(head, json_object_object_get(line, "start")))
		return damaged(rec, "its first line is not that of a recording");
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!add_monitor(rec, json_object_array_get_idx(list, i), monitors, nr))
			return false;
	for (size_t i = 0; i < head->nr_monitors; i++)
		if (head->monitors[i].monitor->row_size > size)
			size = head->monitors[i].monitor->row_size;
	rec->row = calloc(1, size);
	return rec->row || damaged(rec, "there is not enough memory to read it");
}

/* The file alone: nothing of it is read yet. NULL and errno. */
static struct recording *open_file(const char *path)
{
	struct recording *rec = calloc(1, sizeof(*rec));
	int first;

	if (!rec)
		return NULL;
	rec->head.path = path;
	rec->file = fopen(path, "re");
	if (!rec->file) {
		free(rec);
		return NULL;
	}
	first = getc(rec->file);
	ungetc(first, rec->file);
	rec->unpacker = first == '{' ? NULL : ZSTD_createDCtx();
	rec->packed = malloc(READ_SIZE);
	rec->in.src = rec->packed;
	rec->tokener = json_tokener_new_ex(MOST_DEPTH);
	if (rec->packed && rec->tokener && (first == '{' || rec->unpacker) &&
	    has_room(rec, READ_SIZE))
		return rec;
	recording__close(rec);
	errno = ENOMEM;
	return NULL;
}

struct recording *recording__open(const char *path, const struct monitor *const *monitors,
				  size_t nr_monitors, char why[256])
{
	struct recording *rec = open_file(path);

	if (!rec) {
		snprintf(why, 256, "%s%s", limits__reason(-errno),
			 errno == EACCES ? "; its owner and root may read it" : "");
		return NULL;
	}
	if (ferror(rec->file)) {
		snprintf(why, 256, "%s", strerror(errno));
	} else if (read_head(rec, monitors, nr_monitors)) {
		return rec;
	} else {
		snprintf(why, 256, "%.*s", (int)strcspn(rec->why, ";"), rec->why);
	}
	recording__close(rec);
	return NULL;
}

void recording__close(struct recording *rec)
{
	if (!rec)
		return;
	for (size_t i = 0; i < rec->nr_tables; i++)
		free(rec->tables[i].nothing);
	for (size_t i = 0; i < rec->head.nr_monitors; i++)
		free(rec->head.monitors[i].unknown);
	json_object_put(rec->parsed);
	json_object_put(rec->head_line);
	if (rec->tokener)
		json_tokener_free(rec->tokener);
	ZSTD_freeDCtx(rec->unpacker);
	tdestroy(rec->texts, free);
	free(rec->packed);
	free(rec->frame);
	free(rec->row);
	fclose(rec->file);
	free(rec);
}

const struct recording_head *recording__head(const struct recording *rec)
{
	return &rec->head;
}

const char *recording__why(const struct recording *rec)
{
	return rec->why[0] ? rec->why : NULL;
}

uint64_t recording__count(const struct recording_head *head, int64_t from_ns, int64_t to_ns)
{
	static const char interval[] = "{\"window\":\"interval\"";
	struct recording *rec = open_file(head->path);
	const char *line;
	uint64_t nr = 0;
	size_t len;

	/* Other lines need not be understood. */
	while (rec && (line = next_line(rec, &len))) {
		struct json_object *window;
		int64_t middle_ns;

		if (len < sizeof(interval) || memcmp(line, interval, sizeof(interval) - 1))
			continue;
		json_tokener_reset(rec->tokener);
		window = json_tokener_parse_ex(rec->tokener, line, len);
		middle_ns = get_number(window, "since_ns", 0) / 2 +
			    get_number(window, "now_ns", 0) / 2 + head->real_offset_ns;
		nr += (!from_ns || middle_ns >= from_ns) && (!to_ns || middle_ns < to_ns);
		json_object_put(window);
	}
	recording__close(rec);
	return nr;
}

bool recording__is_damaged(const struct recording *rec)
{
	return rec->why[0] && !rec->is_cut;
}

/* Lines */

static const struct recorded_line *the_end(struct recording *rec)
{
	rec->at_end = true;
	rec->line.what = RECORDED_END;
	return &rec->line;
}

/* Counters that the file has, and that were not said, are what the times tell. */
static void tell_counters(struct recording *rec, const struct recorded_table *table,
			  struct json_object *obj)
{
	const struct monitor *m = monitor_of(rec, table);
	const struct times *times = recording__times(m->columns, 1U << table->view, rec->row);
	uint64_t told;

	for (size_t i = 0; times && i < table->nr_told; i++) {
		const struct column *col = table->told[i];

		if (!json_object_object_get_ex(obj, col->name, NULL) &&
		    recording__told_by(col, times, &told))
			*(uint64_t *)((char *)rec->row + col->offset) = told;
	}
}

/* The next row of a line of samples. NULL: the line is over. */
static const struct recorded_line *next_sample(struct recording *rec)
{
	struct json_object *row;

	if (!rec->rows || rec->next_row == json_object_array_length(rec->rows)) {
		rec->rows = NULL;
		return NULL;
	}
	row = json_object_array_get_idx(rec->rows, rec->next_row++);
	if (!json_object_is_type(row, json_type_object) || !read_row(rec, rec->table, row)) {
		damaged(rec, "it has a malformed row");
		return the_end(rec);
	}
	tell_counters(rec, rec->table, row);
	*rec->row = rec->head_row;
	rec->line.what = RECORDED_SAMPLE;
	rec->line.table = rec->table;
	rec->line.row = rec->row;
	return &rec->line;
}

static const struct recorded_line *read_window(struct recording *rec, struct json_object *line,
					       const char *scope)
{
	rec->line.what = RECORDED_WINDOW;
	if (!strcmp(scope, "end")) {
		rec->line.what = RECORDED_WINDOW_END;
		return &rec->line;
	}
	rec->line.scope = !strcmp(scope, scope__name(SCOPE_TOTAL)) ? SCOPE_TOTAL : SCOPE_INTERVAL;
	rec->line.since_ns = get_number(line, "since_ns", 0);
	rec->line.now_ns = get_number(line, "now_ns", 0);
	if (rec->line.now_ns >= rec->line.since_ns)
		return &rec->line;
	damaged(rec, "it has an interval that ends before it begins");
	return the_end(rec);
}

static const struct recorded_line *read_single(struct recording *rec, enum recorded what,
					       struct json_object *line)
{
	if (!read_row(rec, rec->table, line))
		return the_end(rec);
	read_whose(rec->row, line);
	rec->line.what = what;
	rec->line.table = rec->table;
	rec->line.row = rec->row;
	return &rec->line;
}

/* NULL: it has nothing that is handed on. */
static const struct recorded_line *read_line(struct recording *rec, struct json_object *line)
{
	struct json_object *object = json_object_object_get(line, "object"),
			   *offset = json_object_object_get(line, "real_offset_ns"),
			   *rows = json_object_object_get(line, "rows");
	const char *window = get_string(line, "window"), *event = get_string(line, "event"),
		   *list = get_string(line, "list");

	if (window)
		return read_window(rec, line, window);
	if (json_object_is_type(rows, json_type_array)) {
		rec->table = find_table(rec, get_string(line, "table"));
		rec->rows = rec->table ? rows : NULL;
		rec->next_row = 0;
		read_whose(&rec->head_row, line);
		return next_sample(rec);
	}
	if (event || list) {
		rec->table = find_table(rec, event ?: list);
		if (!rec->table)
			return NULL;
		return read_single(rec, event ? RECORDED_EVENT : RECORDED_LIST, line);
	}
	if (offset)
		rec->line.real_offset_ns = json_object_get_int64(offset);
	if (!json_object_is_type(object, json_type_object))
		return NULL;
	rec->line.what = RECORDED_OBJECT;
	rec->line.object = object;
	return &rec->line;
}

const struct recorded_line *recording__next(struct recording *rec)
{
	const struct recorded_line *found = rec->at_end ? the_end(rec) : next_sample(rec);

	while (!found) {
		struct json_object *line = next_object(rec);

		found = line ? read_line(rec, line) : the_end(rec);
	}
	return found;
}
