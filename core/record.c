// SPDX-License-Identifier: GPL-2.0-only
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>
#include <zstd.h>

#include "../output/format.h"
#include "attach.h"
#include "caller.h"
#include "clock.h"
#include "events.h"
#include "limits.h"
#include "log.h"
#include "memory.h"
#include "monitor.h"
#include "recording.h"
#include "sink.h"
#include "times.h"
#include "zone.h"

enum {
	LEVEL = 6,		  /* of zstd */
	EVENTS_ROOM = 1 << 20,	  /* bytes of single events that wait for a frame of their own */
	FRAME_ROOM = 1 << 20,	  /* an interval that is larger than that is in several frames */
	EVENTS_NS = NSEC_PER_SEC, /* and so long they wait at most while others come */
};

/* A name that stands for another one. */
struct mask {
	char *name;
	char number[32];
};

struct recorder {
	struct record_options options;
	struct sink *sink;
	int fds[RECORDING_SEGMENTS];
	size_t nr_fds, current;
	off_t written;	   /* of the current file, in whole frames */
	off_t interval_at; /* where the interval began, or the last one did */
	ZSTD_CCtx *packer;
	char *packed;
	size_t packed_room;
	struct buf head;  /* the first line of each file */
	struct buf frame; /* lines of the next frame */
	struct buf line, mended;
	uint64_t frame_since_ns;
	bool in_window, has_offset, failed;
	int64_t real_offset_ns; /* that readers know of */
	struct row group;	/* whose samples the line is of that is open */
	bool group_is_open;
	void *masks; /* by name: tsearch() */
	unsigned int nr_vms, nr_names;
};

static struct recorder *recorder_of(const struct output *out)
{
	return *(struct recorder **)out->state;
}

/* Names */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct mask *)a)->name, ((const struct mask *)b)->name);
}

static const char *mask_of(struct recorder *r, const char *name, const char *what, unsigned int *nr)
{
	struct mask key = { .name = (char *)name }, **node = tfind(&key, &r->masks, by_name);
	struct mask *mask;

	if (node)
		return (*node)->number;
	mask = calloc(1, sizeof(*mask));
	if (!mask)
		return what;
	mask->name = strdup(name);
	snprintf(mask->number, sizeof(mask->number), "%s%u", what, ++*nr);
	if (!mask->name || !tsearch(mask, &r->masks, by_name)) {
		free(mask->name);
		free(mask);
		return what;
	}
	return mask->number;
}

static void free_mask(void *node)
{
	struct mask *mask = node;

	free(mask->name);
	free(mask);
}

static const char *vm_name(struct recorder *r, const char *name)
{
	return r->options.mask && name ? mask_of(r, name, "vm", &r->nr_vms) : name;
}

static const char *process_name(struct recorder *r, const char *name)
{
	return r->options.mask && name ? mask_of(r, name, "process", &r->nr_names) : name;
}

/* Members of objects that hold names; what else would tell who a VM is, is left out. */
static void mask_member(struct recorder *r, struct json_object *obj, const char *key,
			struct json_object *value)
{
	static const char *const vms[] = { "vm" };
	static const char *const names[] = { "comm", "name", "hostname" };
	static const char *const secrets[] = { "vmm",	       "uuid",
					       "libvirt_name", "kube_namespace",
					       "kube_vmi",     "pod_uid",
					       "cgroup",       "options" };
	const char *text = json_object_get_string(value);

	for (size_t i = 0; i < sizeof(vms) / sizeof(*vms); i++)
		if (!strcmp(key, vms[i]))
			json_object_object_add(obj, key, json_object_new_string(vm_name(r, text)));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(key, names[i]))
			json_object_object_add(obj, key,
					       json_object_new_string(process_name(r, text)));
	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++)
		if (!strcmp(key, secrets[i]))
			json_object_object_add(obj, key, NULL);
}

/* In place, as deep as it goes: what the program writes is flat. */
static void mask_object(struct recorder *r, struct json_object *obj)
{
	if (json_object_is_type(obj, json_type_array))
		for (size_t i = 0; i < json_object_array_length(obj); i++)
			mask_object(r, json_object_array_get_idx(obj, i));
	if (!json_object_is_type(obj, json_type_object))
		return;
	/* A member that is there keeps its place. */
	json_object_object_foreach(obj, key, value)
	{
		if (json_object_is_type(value, json_type_string) || !strcmp(key, "options"))
			mask_member(r, obj, key, value);
		else
			mask_object(r, value);
	}
}

/* Files */

static void fail(struct recorder *r, int err)
{
	if (r->failed)
		return;
	r->failed = true;
	say_failed("record: %s can't be written: %s; it ends with its last complete frame",
		   r->options.path, limits__reason(-err));
	if (ftruncate(r->fds[r->current], r->written))
		say("record: %s can't be truncated after that frame: %s", r->options.path,
		    strerror(errno));
	if (r->options.alone)
		r->sink->out->err = err;
}

static int write_all(int fd, const char *data, size_t len)
{
	ssize_t done;

	for (; len; data += done, len -= done) {
		done = write(fd, data, len);
		if (done < 0 && errno != EINTR)
			return errno;
		if (done < 0)
			done = 0;
	}
	return 0;
}

/* 0 or an errno. */
static int pack(struct recorder *r, const struct buf *lines, size_t *len)
{
	size_t room = ZSTD_compressBound(lines->len);

	if (room > r->packed_room) {
		free(r->packed);
		r->packed_room = 0;
		r->packed = malloc(room);
		if (!r->packed)
			return ENOMEM;
		r->packed_room = room;
	}
	*len = ZSTD_compress2(r->packer, r->packed, r->packed_room, lines->data, lines->len);
	return ZSTD_isError(*len) ? ENOMEM : 0;
}

static int write_frame(struct recorder *r, const struct buf *lines)
{
	size_t len;
	int err = lines->failed ? ENOMEM : pack(r, lines, &len);

	if (!err)
		err = write_all(r->fds[r->current], r->packed, len);
	if (!err)
		r->written += len;
	return err;
}

/* The next segment begins: it is readable alone, so VMs are told of again. */
static int rotate(struct recorder *r)
{
	int fd;

	fdatasync(r->fds[r->current]);
	r->current = (r->current + 1) % r->nr_fds;
	fd = r->fds[r->current];
	r->written = r->interval_at = 0;
	r->sink->told_vms = 0;
	if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
		return errno;
	return write_frame(r, &r->head);
}

/* There is no room for one more interval like the last one, or events like those since then. */
static bool is_full(const struct recorder *r)
{
	return r->options.limit &&
	       (uint64_t)(2 * r->written - r->interval_at) > r->options.limit / RECORDING_SEGMENTS;
}

/* Writes the lines that wait. The disk begins with them at once; the end waits for it. */
static void end_frame(struct recorder *r)
{
	int err = 0;

	if (!r->frame.len)
		return;
	if (!r->failed)
		err = write_frame(r, &r->frame);
	buf__reset(&r->frame);
	/* Segments end with an interval. */
	if (!err && !r->failed && !r->in_window && is_full(r))
		err = rotate(r);
	if (err)
		fail(r, err);
	else
		sync_file_range(r->fds[r->current], 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Lines */

static void end_line(struct recorder *r)
{
	const struct buf *line;

	buf__putc(&r->line, '\n');
	line = buf__mend_json(&r->line, &r->mended);
	if (line->failed)
		memory__is_short();
	else if (!r->failed)
		buf__add(&r->frame, line->data, line->len);
	buf__reset(&r->line);
	if (r->frame.len > FRAME_ROOM)
		end_frame(r);
}

static void put_key(struct buf *line, const char *key, bool first)
{
	buf__puts(line, first ? "\"" : ",\"");
	buf__puts(line, key);
	buf__add(line, "\":", 2);
}

static void put_number(struct buf *line, uint64_t value)
{
	if (value == UINT64_MAX)
		buf__puts(line, "null");
	else
		buf__number(line, value);
}

static void put_string(struct buf *line, const char *s)
{
	if (s)
		buf__json_string(line, s);
	else
		buf__puts(line, "null");
}

static void put_object(struct buf *line, struct json_object *obj)
{
	buf__puts(line, json_object_to_json_string_ext(
				obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void put_masked(struct recorder *r, struct json_object *obj)
{
	struct json_object *copy = NULL;

	if (r->options.mask && !json_object_deep_copy(obj, &copy, NULL)) {
		mask_object(r, copy);
		put_object(&r->line, copy);
		json_object_put(copy);
	} else {
		put_object(&r->line, obj);
	}
}

/* Sum, shortest, longest; the first bucket that is not empty, and the counts from there on. */
static void put_times(struct buf *line, const struct times *t)
{
	unsigned int first = 0, end = STAT_BUCKETS;

	while (first < STAT_BUCKETS && !t->hist[first])
		first++;
	while (end > first && !t->hist[end - 1])
		end--;
	buf__putc(line, '[');
	buf__number(line, t->total_ns);
	buf__putc(line, ',');
	put_number(line, t->min_ns);
	buf__putc(line, ',');
	put_number(line, t->max_ns);
	if (first < end) {
		buf__putc(line, ',');
		buf__number(line, first);
	}
	for (unsigned int i = first; i < end; i++) {
		buf__putc(line, ',');
		buf__number(line, t->hist[i]);
	}
	buf__putc(line, ']');
}

static void put_tally(struct buf *line, const struct tally *t)
{
	buf__putc(line, '[');
	for (uint32_t i = 0; i < t->nr; i++)
		buf__printf(line, "%s%d,%llu", i ? "," : "", t->list[i].key,
			    (unsigned long long)t->list[i].count);
	buf__putc(line, ']');
}

/* Words that are not zero: number and value. */
static void put_bits(struct buf *line, const uint64_t *bits, size_t size)
{
	const char *comma = "";

	buf__putc(line, '[');
	for (size_t i = 0; i < size / sizeof(*bits); i++) {
		if (!bits[i])
			continue;
		buf__printf(line, "%s%zu,%llu", comma, i, (unsigned long long)bits[i]);
		comma = ",";
	}
	buf__putc(line, ']');
}

static void put_real(struct buf *line, const struct column *col, const struct row *row)
{
	double real;

	if (cell__real(col, row, &real))
		buf__printf(line, "%.17g", real);
	else
		buf__puts(line, "null");
}

static void put_strings(struct buf *line, const char *const *strings)
{
	const char *comma = "";

	if (!strings) {
		buf__puts(line, "null");
		return;
	}
	buf__putc(line, '[');
	for (; *strings; strings++, comma = ",") {
		buf__puts(line, comma);
		buf__json_string(line, *strings);
	}
	buf__putc(line, ']');
}

/* What a reader takes for granted where it is not said. */
static bool is_nothing(const struct column *col, const struct row *row)
{
	const void *cell = cell__at(col, row);
	uint64_t number;
	int64_t value;
	double real;

	switch (col->type) {
	case COL_TIMES:
		return !((const struct times *)cell)->count &&
		       !((const struct times *)cell)->total_ns;
	case COL_TALLY:
		return !((const struct tally *)cell)->nr;
	case COL_BITS:
	case COL_STRING:
	case COL_STRINGS:
	case COL_OBJECT:
		return false;
	case COL_BOOL:
		return !*(const uint8_t *)cell;
	case COL_S64:
		return cell__signed(col, row, &value) && !value;
	case COL_PERCENT:
	case COL_DOUBLE:
		return cell__real(col, row, &real) && real == 0;
	default:
		return cell__number(col, row, &number) && !number;
	}
}

static void put_cell(struct recorder *r, const struct column *col, const struct row *row)
{
	struct buf *line = &r->line;
	const char *text;
	uint64_t number;
	int64_t value;
	bool flag;

	switch (col->type) {
	case COL_STRING:
		text = cell__string(col, row);
		put_string(line, col->flags & COL_NAME ? process_name(r, text) : text);
		break;
	case COL_STRINGS:
		put_strings(line, cell__strings(col, row));
		break;
	case COL_OBJECT:
		put_masked(r, cell__object(col, row));
		break;
	case COL_TIMES:
		put_times(line, cell__at(col, row));
		break;
	case COL_TALLY:
		put_tally(line, cell__at(col, row));
		break;
	case COL_BITS:
		put_bits(line, cell__at(col, row), col->size);
		break;
	case COL_PERCENT:
	case COL_DOUBLE:
		put_real(line, col, row);
		break;
	case COL_BOOL:
		buf__puts(line, !cell__bool(col, row, &flag) ? "null" : flag ? "true" : "false");
		break;
	case COL_S64:
		if (cell__signed(col, row, &value))
			buf__printf(line, "%lld", (long long)value);
		else
			buf__puts(line, "null");
		break;
	default:
		put_number(line, cell__number(col, row, &number) ? number : UINT64_MAX);
	}
}

/* Whose a row is. What it does not have is left out. */
static void put_whose(struct recorder *r, const struct row *row)
{
	struct buf *line = &r->line;

	if (row->vm) {
		put_key(line, "vm", false);
		put_string(line, vm_name(r, row->vm));
	}
	if (row->vm_id) {
		put_key(line, "vm_id", false);
		put_string(line, row->vm_id);
	}
	if (row->vm_nr) {
		put_key(line, "vm_nr", false);
		buf__number(line, row->vm_nr);
	}
	if (row->pid != UINT32_MAX) {
		put_key(line, "pid", false);
		buf__number(line, row->pid);
	}
	if (row->tid != UINT32_MAX) {
		put_key(line, "tid", false);
		buf__number(line, row->tid);
	}
	if (row->vcpu != UINT32_MAX) {
		put_key(line, "vcpu", false);
		buf__number(line, row->vcpu);
	}
}

static bool has(const struct section *section, const struct column *col)
{
	return !col->views || (col->views & section->view_bit);
}

/* Of samples: what the store has of them. The rest is computed when they are shown. */
static bool is_kept(const struct column *col)
{
	return col->type != COL_STRINGS && col->type != COL_OBJECT && !col->times &&
	       !(col->flags & COL_COMPUTED);
}

static void close_group(struct recorder *r)
{
	if (!r->group_is_open)
		return;
	r->group_is_open = false;
	buf__puts(&r->line, "]}");
	end_line(r);
}

static bool same_group(const struct row *a, const struct row *b)
{
	return a->vm == b->vm && a->vm_nr == b->vm_nr && a->pid == b->pid && a->tid == b->tid &&
	       a->vcpu == b->vcpu;
}

static void open_group(struct recorder *r, const struct section *section, const struct row *row)
{
	close_group(r);
	buf__putc(&r->line, '{');
	put_key(&r->line, "table", true);
	buf__json_string(&r->line, section->view->name);
	put_whose(r, row);
	put_key(&r->line, "rows", false);
	buf__putc(&r->line, '[');
	r->group = *row;
	r->group_is_open = true;
}

/* Zero, unless the row's times would tell something else; or what they tell. */
static bool is_unsaid(const struct column *col, const struct row *row, const struct times *times)
{
	uint64_t number, told;

	if (!recording__told_by(col, times, &told))
		return is_nothing(col, row);
	return cell__number(col, row, &number) && number == told;
}

/* Labels, numbers, times: what is alike from row to row side by side. */
enum part { PART_LABELS, PART_NUMBERS, PART_TIMES, NR_PARTS };

static enum part part_of(const struct column *col)
{
	if (col->type == COL_TIMES)
		return PART_TIMES;
	return col->role == ROLE_LABEL ? PART_LABELS : PART_NUMBERS;
}

static void record_sample(struct output *out, const struct row *row, struct json_object *more)
{
	const struct section *section = &out->section;
	struct recorder *r = recorder_of(out);
	const struct times *times = recording__times(section->columns, section->view_bit, row);
	bool first = true;

	if (!r->group_is_open || !same_group(&r->group, row))
		open_group(r, section, row);
	else
		buf__putc(&r->line, ',');
	buf__putc(&r->line, '{');
	for (enum part part = 0; part < NR_PARTS; part++)
		for (const struct column *col = section->columns; col->name; col++) {
			if (part_of(col) != part || !has(section, col) || !is_kept(col) ||
			    is_unsaid(col, row, times))
				continue;
			put_key(&r->line, col->name, first);
			put_cell(r, col, row);
			first = false;
		}
	if (more) {
		put_key(&r->line, "more", first);
		put_masked(r, more);
	}
	buf__putc(&r->line, '}');
}

/* A single event, or a row of a list: all that any format shows of it. */
static void record_row(struct output *out, const struct row *row, unsigned int flags)
{
	const struct section *section = &out->section;
	struct recorder *r = recorder_of(out);
	struct buf *line = &r->line;

	if (flags & (ROW_DERIVED | ROW_AGAIN))
		return;
	if (!r->frame.len)
		r->frame_since_ns = row->ts_ns;
	buf__putc(line, '{');
	put_key(line, section->scope == SCOPE_EVENT ? "event" : "list", true);
	buf__json_string(line, section->view->name);
	put_key(line, "ts_ns", false);
	buf__number(line, row->ts_ns);
	put_whose(r, row);
	for (const struct column *col = section->columns; col->name; col++) {
		if (!has(section, col) || !column__is_shown(col) || is_nothing(col, row))
			continue;
		put_key(line, col->name, false);
		put_cell(r, col, row);
	}
	buf__putc(line, '}');
	end_line(r);
}

static void say_offset(struct output *out)
{
	struct recorder *r = recorder_of(out);

	if (!out->has_clock || (r->has_offset && r->real_offset_ns == out->real_offset_ns))
		return;
	r->has_offset = true;
	r->real_offset_ns = out->real_offset_ns;
	buf__printf(&r->line, "{\"real_offset_ns\":%lld}", (long long)r->real_offset_ns);
	end_line(r);
}

static void record_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
				uint64_t now_ns)
{
	struct recorder *r = recorder_of(out);

	say_offset(out);
	r->in_window = true;
	r->interval_at = r->written;
	buf__printf(&r->line, "{\"window\":\"%s\",\"since_ns\":%llu,\"now_ns\":%llu}",
		    scope__name(scope), (unsigned long long)since_ns, (unsigned long long)now_ns);
	end_line(r);
}

static void record_end_window(struct output *out)
{
	struct recorder *r = recorder_of(out);

	buf__puts(&r->line, "{\"window\":\"end\"}");
	end_line(r);
	r->in_window = false;
	end_frame(r);
}

static void record_begin(struct output *out)
{
	say_offset(out);
}

static void record_end(struct output *out)
{
	close_group(recorder_of(out));
}

/* The first line */

static const char *type_name(const struct column *col)
{
	static const char *const names[] = {
		[COL_STRING] = "string", [COL_U32] = "u32",	  [COL_U64] = "u64",
		[COL_HEX] = "hex",	 [COL_NSEC] = "ns",	  [COL_PERCENT] = "percent",
		[COL_DOUBLE] = "double", [COL_BOOL] = "bool",	  [COL_STRINGS] = "strings",
		[COL_S64] = "s64",	 [COL_OBJECT] = "object", [COL_TIMES] = "times",
		[COL_TALLY] = "tally",	 [COL_BITS] = "bits",
	};

	return names[col->type];
}

static struct json_object *columns_object(const struct monitor *m, unsigned int view)
{
	static const char *const roles[] = {
		[ROLE_LABEL] = "label",
		[ROLE_COUNTER] = "counter",
		[ROLE_GAUGE] = "gauge",
	};
	struct json_object *columns = json_object_new_object();
	char text[64];

	for (const struct column *col = m->columns; col->name; col++) {
		if (col->views && !(col->views >> view & 1))
			continue;
		snprintf(text, sizeof(text), "%s %s", roles[col->role], type_name(col));
		json_object_object_add(columns, col->name, json_object_new_string(text));
	}
	return columns;
}

static struct json_object *options_array(const struct chosen *chosen)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < chosen->nr_given; i++) {
		struct json_object *option = json_object_new_array();
		const char *arg = chosen->given[i].arg;

		json_object_array_add(option,
				      json_object_new_string(chosen->given[i].option->name));
		json_object_array_add(option, arg ? json_object_new_string(arg) : NULL);
		json_object_array_add(array, option);
	}
	return array;
}

static struct json_object *monitor_object(const struct recorder *r, const struct chosen *chosen)
{
	struct json_object *obj = json_object_new_object(), *tables = json_object_new_object();
	const struct monitor *m = chosen->monitor;

	json_object_object_add(obj, "name", json_object_new_string(m->name));
	json_object_object_add(obj, "options", options_array(chosen));
	json_object_object_add(obj, "events",
			       json_object_new_boolean(events__are_shown(r->options.env, chosen)));
	for (unsigned int view = 0; m->views[view].title; view++)
		json_object_object_add(tables, m->views[view].name, columns_object(m, view));
	json_object_object_add(obj, "tables", tables);
	return obj;
}

/* What "start" is followed by. */
static void put_head(struct recorder *r, struct json_object *start)
{
	struct json_object *monitors = json_object_new_array();
	char zone[ZONE_LEN];

	for (size_t i = 0; i < r->options.nr_chosen; i++)
		json_object_array_add(monitors, monitor_object(r, &r->options.chosen[i]));
	zone__read(zone);
	buf__printf(&r->line,
		    "{\"recording\":%d,\"segments\":%zu,\"masked\":%s,\"zone\":", RECORDING_VERSION,
		    r->nr_fds, r->options.mask ? "true" : "false");
	buf__json_string(&r->line, zone);
	put_key(&r->line, "monitors", false);
	put_object(&r->line, monitors);
	put_key(&r->line, "start", false);
	put_masked(r, start);
	buf__putc(&r->line, '}');
	json_object_put(monitors);
}

static bool is_start(struct json_object *obj)
{
	struct json_object *scope = json_object_object_get(obj, "scope");

	return scope && !strcmp(json_object_get_string(scope), "start");
}

/* The first object of the run is a frame of its own, which each segment begins with. */
static void record_object(struct output *out, struct json_object *obj)
{
	struct recorder *r = recorder_of(out);

	if (is_start(obj)) {
		put_head(r, obj);
		end_line(r);
		buf__add(&r->head, r->frame.data, r->frame.len);
		end_frame(r);
		return;
	}
	buf__puts(&r->line, "{\"object\":");
	put_masked(r, obj);
	buf__putc(&r->line, '}');
	end_line(r);
}

/* Events do not wait for their interval: who is killed has lost little. */
static void record_flush(struct output *out)
{
	struct recorder *r = recorder_of(out);

	if (r->frame.len &&
	    (r->frame.len > EVENTS_ROOM || clock__ns() - r->frame_since_ns > EVENTS_NS))
		end_frame(r);
}

static void record_free(struct output *out)
{
	struct recorder *r = recorder_of(out);

	end_frame(r);
	for (size_t i = 0; i < r->nr_fds; i++) {
		/* Not a pipe, nor what else can't be. */
		if (!r->failed && fdatasync(r->fds[i]) && errno != EINVAL && errno != EROFS)
			fail(r, errno);
		close(r->fds[i]);
	}
	ZSTD_freeCCtx(r->packer);
	free(r->packed);
	buf__free(&r->head);
	buf__free(&r->frame);
	buf__free(&r->line);
	buf__free(&r->mended);
	tdestroy(r->masks, free_mask);
	free(r);
}

static const struct output_ops record_ops = {
	.name = "recording",
	.suffix = "zst",
	.state_size = sizeof(struct recorder *),
	.begin_window = record_begin_window,
	.end_window = record_end_window,
	.begin = record_begin,
	.row = record_row,
	.sample = record_sample,
	.end = record_end,
	.object = record_object,
	.flush = record_flush,
	.free = record_free,
};

/* Opening */

/* A descriptor or -errno. */
static int open_file(const char *path, bool force)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
	int fd = open(path, flags | (force ? 0 : O_EXCL), 0600);
	struct stat stat;

	if (fd < 0)
		return -errno;
	/* Somebody's device or pipe is no recording, whatever --force says. */
	if (fstat(fd, &stat) || !S_ISREG(stat.st_mode) || fchmod(fd, 0600) || ftruncate(fd, 0)) {
		int err = errno ? -errno : -EINVAL;

		close(fd);
		return S_ISREG(stat.st_mode) ? err : -EINVAL;
	}
	return fd;
}

static int say_why(const char *path, int err)
{
	if (err == -EEXIST)
		say("record: %s already exists; --force overwrites it", path);
	else if (err == -ELOOP || err == -EINVAL)
		say("record: %s is not a regular file; give another file", path);
	else
		say("record: %s can't be created: %s", path, limits__reason(err));
	return err;
}

size_t record__nr_files(uint64_t limit)
{
	return limit ? RECORDING_SEGMENTS : 1;
}

static int open_files(struct recorder *r)
{
	size_t nr = record__nr_files(r->options.limit);
	char path[4096];

	for (size_t i = 0; i < nr; i++) {
		int *fd = &r->fds[i];

		snprintf(path, sizeof(path), i ? "%s.%zu" : "%s", r->options.path, i);
		*fd = r->options.fds ? r->options.fds[i] : open_file(path, r->options.force);
		if (*fd < 0)
			return say_why(path, *fd);
		r->nr_fds++;
	}
	return 0;
}

/* Of a name that nothing has: O_EXCL refuses files and links alike. */
static int create_file(void *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	return fd;
}

/* A second has one name, and others where that is taken. */
static int create_named(char *name, size_t size)
{
	enum { MAX_TRIES = 100 };
	time_t now = time(NULL);
	char stamp[32], nth[8];
	int fd = -EEXIST;
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	for (int i = 1; fd == -EEXIST && i <= MAX_TRIES; i++) {
		snprintf(nth, sizeof(nth), i > 1 ? "-%d" : "", i);
		snprintf(name, size, "kvm_watcher-%s%s.%s", stamp, nth, record_ops.suffix);
		fd = caller__open(create_file, name);
	}
	return fd;
}

int record__create(int segment, char *name, size_t size)
{
	char path[128];

	if (segment < 0 || segment >= RECORDING_SEGMENTS || (segment && !*name))
		return -EINVAL;
	if (!segment)
		return create_named(name, size);
	snprintf(path, sizeof(path), "%s.%d", name, segment);
	return caller__open(create_file, path);
}

int record__open(const struct record_options *options, struct sink *sink)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int err = 0;

	if (r) {
		r->options = *options;
		r->sink = sink;
		r->packer = ZSTD_createCCtx();
	}
	/* It writes by its descriptors. An output has a recorder, or there is none of both. */
	sink->out = r && r->packer ? output__new_nowhere(&record_ops) : NULL;
	if (!sink->out) {
		say("record: can't be started: %s", limits__reason(-ENOMEM));
		err = -ENOMEM;
	} else {
		*(struct recorder **)sink->out->state = r;
		ZSTD_CCtx_setParameter(r->packer, ZSTD_c_compressionLevel, LEVEL);
		ZSTD_CCtx_setParameter(r->packer, ZSTD_c_checksumFlag, 1);
		err = open_files(r);
		if (!err)
			return 0;
		output__free(sink->out);
		sink->out = NULL;
		return err;
	}
	if (r)
		ZSTD_freeCCtx(r->packer);
	free(r);
	return err;
}
