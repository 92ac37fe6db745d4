// SPDX-License-Identifier: GPL-2.0-only
/*
 * A trace for ui.perfetto.dev: single events as slices below VM and vCPU, what grows in intervals
 * as counters. One packet after the other, none is needed again: what is kept are the numbers of
 * tracks, so many at most. The names of fields are those of Perfetto's protos.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "format.h"
#include "frames.h"
#include "protobuf.h"

/* Trace */
enum { TRACE_PACKET = 1 };

/* TracePacket, and some of what is in it */
enum {
	CLOCK_SNAPSHOT = 6,
	TIMESTAMP = 8,
	SEQUENCE_ID = 10,
	TRACK_EVENT = 11,
	INTERNED_DATA = 12,
	SEQUENCE_FLAGS = 13,
	TIMESTAMP_CLOCK_ID = 58,
	PACKET_DEFAULTS = 59,
	TRACK_DESCRIPTOR = 60,
};

enum { STATE_CLEARED = 1, NEEDS_STATE = 2 };

/* ClockSnapshot */
enum { SNAPSHOT_CLOCKS = 1, SNAPSHOT_PRIMARY = 2, CLOCK_ID = 1, CLOCK_TIMESTAMP = 2 };
enum { REALTIME = 1, MONOTONIC = 3, BOOTTIME = 6 };

/* TrackDescriptor and its counter */
enum { TRACK_ID = 1, TRACK_NAME = 2, TRACK_PARENT = 5, TRACK_COUNTER = 8, COUNTER_UNIT = 6 };

/* TrackEvent */
enum {
	EVENT_ANNOTATIONS = 4,
	EVENT_TYPE = 9,
	EVENT_TRACK = 11,
	EVENT_CATEGORIES = 22,
	EVENT_NAME = 23,
	EVENT_VALUE = 44,
};

enum { TYPE_BEGIN = 1, TYPE_END = 2, TYPE_INSTANT = 3, TYPE_COUNTER = 4 };

/* DebugAnnotation */
enum {
	NOTE_NAME_ID = 1,
	NOTE_BOOL = 2,
	NOTE_UNSIGNED = 3,
	NOTE_SIGNED = 4,
	NOTE_DOUBLE = 5,
	NOTE_STRING = 6,
	NOTE_POINTER = 7,
	NOTE_NAME = 10,
	NOTE_MEMBERS = 11,
	NOTE_ARRAY = 12,
};

/* InternedData */
enum { INTERNED_NOTE_NAMES = 3, INTERNED_ID = 1, INTERNED_NAME = 2 };

enum { SEQUENCE = 1, NOTE_TID = 1, FIRST_NOTE = 2 };
enum { NR_BUCKETS = 4096, MAX_TRACKS = 16384, MAX_COUNTERS = 4096, MAX_LANES = 1024 };
enum { CLOCK_STEP_NS = 1000000 };

/* Slices of one track must nest: those that overlap are on further ones of the same name. */
struct lane {
	uint64_t id;
	uint64_t begin_ns, end_ns; /* from its first slice to its last one */
};

/* A track: what it is below, a number and a name tell it from all others. */
struct track {
	struct track *next; /* of its bucket */
	uint64_t id;
	uint64_t parent, number;
	struct lane *lanes; /* of one of slices */
	size_t nr_lanes;
	bool counts, grew; /* one of a counter; it has grown in this window */
	bool is_up;	   /* it is not 0 where it was last written */
	double value;
	char name[]; /* that tells it apart */
};

/* The names of a table's columns have numbers from that on. */
struct noted {
	const struct column *columns;
	unsigned int view_bit;
	uint64_t first;
};

struct perfetto {
	struct track *buckets[NR_BUCKETS];
	size_t nr_tracks, nr_counters;
	uint64_t last_id;
	struct noted *noted;
	size_t nr_noted;
	uint64_t next_note;
	const struct noted *notes; /* of the section */
	const struct column *duration;
	bool started;
	uint64_t snapshot_ns;
	int64_t snapshot_offset_ns;
	uint64_t since_ns, now_ns; /* of the window, or the last one */
	bool in_interval;
	/* Whose the last event was, to find the next one's track faster. */
	struct row last;
	const struct view *last_view;
	struct track *last_track;
	struct buf key, text;
};

static size_t begin_packet(struct output *out)
{
	buf__reset(&out->line);
	return proto__begin(&out->line, TRACE_PACKET);
}

static void end_packet(struct output *out, size_t begin)
{
	proto__end(&out->line, begin);
	if (out->line.failed && !out->err)
		out->err = ENOMEM;
	if (!out->err)
		output__write(out, out->line.data, out->line.len);
}

static void add_clock(struct buf *line, unsigned int clock, uint64_t ns)
{
	size_t begin = proto__begin(line, SNAPSHOT_CLOCKS);

	proto__number(line, CLOCK_ID, clock);
	proto__number(line, CLOCK_TIMESTAMP, ns);
	proto__end(line, begin);
}

/*
 * The trace's own clock is BOOTTIME, in which events of others may be; those without a way to it
 * are dropped. A recording does not tell it, so it is taken as MONOTONIC is.
 */
static void write_clocks(struct output *out, uint64_t ns)
{
	struct perfetto *trace = out->state;
	size_t packet = begin_packet(out), snapshot;

	proto__number(&out->line, SEQUENCE_ID, SEQUENCE);
	snapshot = proto__begin(&out->line, CLOCK_SNAPSHOT);
	add_clock(&out->line, MONOTONIC, ns);
	add_clock(&out->line, BOOTTIME, ns);
	if (out->has_clock)
		add_clock(&out->line, REALTIME, ns + out->real_offset_ns);
	proto__number(&out->line, SNAPSHOT_PRIMARY, BOOTTIME);
	proto__end(&out->line, snapshot);
	end_packet(out, packet);
	trace->snapshot_ns = ns;
	trace->snapshot_offset_ns = out->real_offset_ns;
}

/* What all packets that follow need. */
static void write_start(struct output *out)
{
	size_t packet = begin_packet(out), part, name;

	proto__number(&out->line, SEQUENCE_ID, SEQUENCE);
	proto__number(&out->line, SEQUENCE_FLAGS, STATE_CLEARED);
	part = proto__begin(&out->line, PACKET_DEFAULTS);
	proto__number(&out->line, TIMESTAMP_CLOCK_ID, MONOTONIC);
	proto__end(&out->line, part);
	part = proto__begin(&out->line, INTERNED_DATA);
	name = proto__begin(&out->line, INTERNED_NOTE_NAMES);
	proto__number(&out->line, INTERNED_ID, NOTE_TID);
	proto__string(&out->line, INTERNED_NAME, "tid");
	proto__end(&out->line, name);
	proto__end(&out->line, part);
	end_packet(out, packet);
}

/* Before anything of that moment. A clock that is set makes another snapshot. */
static void keep_clock(struct output *out, uint64_t ns)
{
	struct perfetto *trace = out->state;

	if (!trace->started) {
		trace->started = true;
		trace->next_note = FIRST_NOTE;
		write_clocks(out, ns);
		write_start(out);
	} else if (ns > trace->snapshot_ns && out->has_clock &&
		   llabs(out->real_offset_ns - trace->snapshot_offset_ns) >= CLOCK_STEP_NS) {
		write_clocks(out, ns);
	}
}

/* Tracks */

static void write_track(struct output *out, uint64_t id, uint64_t parent, const char *name,
			const char *unit)
{
	size_t packet = begin_packet(out), track, counter;

	proto__number(&out->line, SEQUENCE_ID, SEQUENCE);
	track = proto__begin(&out->line, TRACK_DESCRIPTOR);
	proto__number(&out->line, TRACK_ID, id);
	if (parent)
		proto__number(&out->line, TRACK_PARENT, parent);
	proto__string(&out->line, TRACK_NAME, name);
	if (unit) {
		counter = proto__begin(&out->line, TRACK_COUNTER);
		proto__string(&out->line, COUNTER_UNIT, unit);
		proto__end(&out->line, counter);
	}
	proto__end(&out->line, track);
	end_packet(out, packet);
}

static size_t bucket_of(uint64_t parent, uint64_t number, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325 ^ parent * 31 ^ number;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
	hash ^= hash >> 32;
	return hash * 0x9e3779b97f4a7c15 >> 32 & (NR_BUCKETS - 1);
}

/* NULL: there is none, and none was made. */
static struct track *find_track(const struct perfetto *trace, uint64_t parent, uint64_t number,
				const char *name)
{
	struct track *track = trace->buckets[bucket_of(parent, number, name)];

	while (track &&
	       (track->parent != parent || track->number != number || strcmp(track->name, name)))
		track = track->next;
	return track;
}

static struct track *add_track(struct output *out, uint64_t parent, uint64_t number,
			       const char *name)
{
	struct perfetto *trace = out->state;
	struct track **bucket = &trace->buckets[bucket_of(parent, number, name)];
	size_t len = strlen(name) + 1;
	struct track *track = calloc(1, sizeof(*track) + len);

	if (!track) {
		out->err = out->err ?: ENOMEM;
		return NULL;
	}
	memcpy(track->name, name, len);
	track->id = ++trace->last_id;
	track->parent = parent;
	track->number = number;
	track->next = *bucket;
	*bucket = track;
	return track;
}

static void free_track(struct track *track)
{
	free(track->lanes);
	free(track);
}

/*
 * Memory has an end. Those that come again are new tracks of the same names, which the viewer puts
 * together.
 */
static void forget_tracks(struct perfetto *trace, bool (*is_over)(const struct track *track))
{
	for (size_t i = 0; i < NR_BUCKETS; i++) {
		struct track **at = &trace->buckets[i], *track;

		while ((track = *at)) {
			if (!is_over(track)) {
				at = &track->next;
				continue;
			}
			*at = track->next;
			trace->nr_counters -= track->counts;
			trace->nr_tracks -= !track->counts;
			free_track(track);
		}
	}
	trace->last_track = NULL;
}

static bool is_of_events(const struct track *track)
{
	return !track->counts;
}

static bool is_idle(const struct track *track)
{
	return track->counts && !track->is_up && !track->grew;
}

/* One that holds others, or slices. */
static struct track *get_track(struct output *out, uint64_t parent, uint64_t number,
			       const char *name, const char *shown)
{
	struct perfetto *trace = out->state;
	struct track *track = find_track(trace, parent, number, name);

	if (track)
		return track;
	track = add_track(out, parent, number, name);
	if (!track)
		return NULL;
	trace->nr_tracks++;
	if (shown)
		write_track(out, track->id, parent, shown, NULL);
	return track;
}

static struct track *vm_track(struct output *out, const struct row *row)
{
	struct perfetto *trace = out->state;
	bool is_host =
		!row->vm || section__merges(&out->section, &(struct column){ .flags = LEAD_VM });
	uint64_t number = is_host ? 0 : row->vm_nr ?: row->pid;

	buf__reset(&trace->text);
	buf__puts(&trace->text, is_host ? "host" : row->vm);
	if (!is_host && row->pid != UINT32_MAX)
		buf__printf(&trace->text, " (%u)", row->pid);
	if (trace->text.failed)
		return NULL;
	return get_track(out, 0, number, is_host ? "" : row->vm, trace->text.data);
}

static bool has_vcpu(const struct section *section, const struct row *row)
{
	return section->view->per_vcpu && row->vcpu != UINT32_MAX &&
	       section->merged == MERGED_NOTHING;
}

/* What the row is of: a vCPU, a VM, or the host. */
static struct track *owner_track(struct output *out, const struct row *row)
{
	struct track *vm = vm_track(out, row);
	char name[32];

	if (!vm || !has_vcpu(&out->section, row))
		return vm;
	snprintf(name, sizeof(name), "vCPU %u", row->vcpu);
	return get_track(out, vm->id, row->vcpu, "vcpu", name);
}

/* Events */

/* The numbers of the names of the section's columns, once. */
static const struct noted *note_names(struct output *out)
{
	struct perfetto *trace = out->state;
	const struct section *section = &out->section;
	struct noted *noted = trace->noted;
	size_t packet, part, name;

	for (size_t i = 0; i < trace->nr_noted; i++)
		if (noted[i].columns == section->columns && noted[i].view_bit == section->view_bit)
			return &noted[i];
	noted = reallocarray(noted, trace->nr_noted + 1, sizeof(*noted));
	if (!noted) {
		out->err = out->err ?: ENOMEM;
		return NULL;
	}
	trace->noted = noted;
	noted += trace->nr_noted++;
	*noted = (struct noted){ section->columns, section->view_bit, trace->next_note };
	packet = begin_packet(out);
	proto__number(&out->line, SEQUENCE_ID, SEQUENCE);
	proto__number(&out->line, SEQUENCE_FLAGS, NEEDS_STATE);
	part = proto__begin(&out->line, INTERNED_DATA);
	for (const struct column *col = section->columns; col->name; col++, trace->next_note++) {
		if (!section__has_data(section, col))
			continue;
		name = proto__begin(&out->line, INTERNED_NOTE_NAMES);
		proto__number(&out->line, INTERNED_ID, trace->next_note);
		proto__string(&out->line, INTERNED_NAME, col->name);
		proto__end(&out->line, name);
	}
	proto__end(&out->line, part);
	end_packet(out, packet);
	return noted;
}

static void add_strings(struct buf *line, const char *const *strings)
{
	for (; *strings; strings++) {
		size_t begin = proto__begin(line, NOTE_ARRAY);

		proto__string(line, NOTE_STRING, *strings);
		proto__end(line, begin);
	}
}

/* As it is: how people read a number is not in a recording. */
static void add_json(struct buf *line, struct json_object *obj)
{
	size_t begin;

	switch (json_object_get_type(obj)) {
	case json_type_int:
		if (json_object_get_int64(obj) < 0)
			proto__signed(line, NOTE_SIGNED, json_object_get_int64(obj));
		else
			proto__number(line, NOTE_UNSIGNED, json_object_get_uint64(obj));
		break;
	case json_type_double:
		proto__double(line, NOTE_DOUBLE, json_object_get_double(obj));
		break;
	case json_type_boolean:
		proto__number(line, NOTE_BOOL, json_object_get_boolean(obj));
		break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(obj); i++) {
			begin = proto__begin(line, NOTE_ARRAY);
			add_json(line, json_object_array_get_idx(obj, i));
			proto__end(line, begin);
		}
		break;
	case json_type_object: {
		json_object_object_foreach(obj, key, value)
		{
			begin = proto__begin(line, NOTE_MEMBERS);
			proto__string(line, NOTE_NAME, key);
			add_json(line, value);
			proto__end(line, begin);
		}
		break;
	}
	default:
		proto__string(line, NOTE_STRING, obj ? json_object_get_string(obj) : "");
	}
}

/* False: the cell is absent, and nothing was added. */
static bool add_cell(struct buf *line, const struct column *col, const struct row *row)
{
	uint64_t number;
	int64_t value;
	double real;
	bool flag;

	switch (col->type) {
	case COL_STRING:
		if (!cell__string(col, row))
			return false;
		proto__string(line, NOTE_STRING, cell__string(col, row));
		return true;
	case COL_STRINGS:
		if (!cell__strings(col, row))
			return false;
		add_strings(line, cell__strings(col, row));
		return true;
	case COL_U32:
	case COL_U64:
	case COL_NSEC:
	case COL_HEX:
		if (!cell__number(col, row, &number))
			return false;
		proto__number(line, col->type == COL_HEX ? NOTE_POINTER : NOTE_UNSIGNED, number);
		return true;
	case COL_S64:
		if (!cell__signed(col, row, &value))
			return false;
		proto__signed(line, NOTE_SIGNED, value);
		return true;
	case COL_PERCENT:
	case COL_DOUBLE:
		if (!cell__real(col, row, &real))
			return false;
		proto__double(line, NOTE_DOUBLE, real);
		return true;
	case COL_BOOL:
		if (!cell__bool(col, row, &flag))
			return false;
		proto__number(line, NOTE_BOOL, flag);
		return true;
	case COL_OBJECT:
		if (!cell__object(col, row))
			return false;
		add_json(line, cell__object(col, row));
		return true;
	default:
		return false;
	}
}

static void add_note(struct buf *line, uint64_t id, const struct column *col, const struct row *row)
{
	size_t before = line->len, note = proto__begin(line, EVENT_ANNOTATIONS);

	proto__number(line, NOTE_NAME_ID, id);
	if (add_cell(line, col, row))
		proto__end(line, note);
	else
		line->len = before;
}

static void add_notes(struct output *out, const struct row *row)
{
	static const struct column tid =
		COLUMN(struct row, tid, "TID", COL_U32, ROLE_LABEL, .help = NULL);
	const struct perfetto *trace = out->state;
	const struct section *section = &out->section;
	uint64_t id = trace->notes->first;

	if (section->view->per_vcpu)
		add_note(&out->line, NOTE_TID, &tid, row);
	for (const struct column *col = section->columns; col->name; col++, id++)
		if (section__has_data(section, col))
			add_note(&out->line, id, col, row);
}

/* Its frames, else its first word that is no process's name, else the table's name. */
static const char *name_of(struct output *out, const struct row *row)
{
	struct perfetto *trace = out->state;
	const struct section *section = &out->section;

	buf__reset(&trace->text);
	if (buf__frames(&trace->text, section, row, " "))
		return trace->text.failed ? NULL : trace->text.data;
	for (const struct column *col = section->columns; col->name; col++)
		if (col->type == COL_STRING && col->role == ROLE_LABEL &&
		    !(col->flags & COL_NAME) && section__has_data(section, col) &&
		    cell__string(col, row))
			return cell__string(col, row);
	return section->view->name;
}

static struct track *table_track(struct output *out, const struct row *row)
{
	struct perfetto *trace = out->state;
	const struct view *view = out->section.view;
	struct track *owner;

	if (trace->last_track && trace->last_view == view && trace->last.vm_nr == row->vm_nr &&
	    trace->last.pid == row->pid && trace->last.vcpu == row->vcpu &&
	    trace->last.vm == row->vm)
		return trace->last_track;
	if (trace->nr_tracks >= MAX_TRACKS)
		forget_tracks(trace, is_of_events);
	owner = owner_track(out, row);
	if (!owner)
		return NULL;
	trace->last_track = get_track(out, owner->id, 0, view->name, NULL);
	trace->last_view = view;
	trace->last = *row;
	return trace->last_track;
}

static bool is_free(const struct lane *lane, uint64_t begin_ns, uint64_t end_ns)
{
	return begin_ns >= lane->end_ns || end_ns < lane->begin_ns;
}

/* 0: there are too many. */
static uint64_t take_lane(struct output *out, struct track *track, uint64_t begin_ns,
			  uint64_t end_ns)
{
	struct perfetto *trace = out->state;
	struct lane *lanes;
	size_t i = 0;

	while (i < track->nr_lanes && !is_free(&track->lanes[i], begin_ns, end_ns))
		i++;
	if (i == MAX_LANES)
		return 0;
	if (i == track->nr_lanes) {
		lanes = reallocarray(track->lanes, i + 1, sizeof(*lanes));
		if (!lanes) {
			out->err = out->err ?: ENOMEM;
			return 0;
		}
		track->lanes = lanes;
		track->nr_lanes++;
		lanes[i] = (struct lane){
			.id = i ? ++trace->last_id : track->id,
			.begin_ns = begin_ns,
			.end_ns = end_ns,
		};
		write_track(out, lanes[i].id, track->parent, track->name, NULL);
		return lanes[i].id;
	}
	if (begin_ns < track->lanes[i].begin_ns)
		track->lanes[i].begin_ns = begin_ns;
	if (end_ns > track->lanes[i].end_ns)
		track->lanes[i].end_ns = end_ns;
	return track->lanes[i].id;
}

/* A moment has no length, and may be within a slice. */
static uint64_t moment_lane(struct output *out, struct track *track, uint64_t ns)
{
	return track->nr_lanes ? track->lanes[0].id : take_lane(out, track, ns, ns);
}

static void write_event(struct output *out, const struct row *row, unsigned int type, uint64_t lane,
			uint64_t ns)
{
	const char *name = type == TYPE_END ? NULL : name_of(out, row);
	size_t packet = begin_packet(out), event;

	proto__number(&out->line, TIMESTAMP, ns);
	proto__number(&out->line, SEQUENCE_ID, SEQUENCE);
	proto__number(&out->line, SEQUENCE_FLAGS, NEEDS_STATE);
	event = proto__begin(&out->line, TRACK_EVENT);
	proto__number(&out->line, EVENT_TYPE, type);
	proto__number(&out->line, EVENT_TRACK, lane);
	if (type != TYPE_END) {
		proto__string(&out->line, EVENT_CATEGORIES, out->section.monitor);
		proto__string(&out->line, EVENT_NAME, name ?: "");
		add_notes(out, row);
	}
	proto__end(&out->line, event);
	end_packet(out, packet);
}

static void event_row(struct output *out, const struct row *row)
{
	struct perfetto *trace = out->state;
	uint64_t ns, lane = 0;
	struct track *track;

	keep_clock(out, row->ts_ns);
	track = table_track(out, row);
	if (!trace->notes)
		trace->notes = note_names(out);
	if (!track || !trace->notes)
		return;
	if (trace->duration && cell__number(trace->duration, row, &ns)) {
		ns = ns < row->ts_ns ? ns : row->ts_ns;
		lane = take_lane(out, track, row->ts_ns - ns, row->ts_ns);
	}
	if (lane) {
		write_event(out, row, TYPE_BEGIN, lane, row->ts_ns - ns);
		write_event(out, row, TYPE_END, lane, row->ts_ns);
	} else {
		lane = moment_lane(out, track, row->ts_ns);
		write_event(out, row, TYPE_INSTANT, lane, row->ts_ns);
	}
}

/* Counters */

static bool is_of_cost(const struct column *columns, const struct column *col)
{
	if (col->times != TIMES_COUNT && col->times != TIMES_TOTAL)
		return false;
	for (; columns->name; columns++)
		if (columns->type == COL_TIMES && columns->offset == col->times_at)
			return columns->flags & COL_COST;
	return false;
}

static bool is_counter(const struct section *section, const struct column *col)
{
	return col->role == ROLE_COUNTER && section__has_data(section, col) &&
	       (col->type == COL_U32 || col->type == COL_U64 || col->type == COL_NSEC);
}

/* What costs, states of vCPUs, and the table's first number: all would be thousands. */
static bool is_drawn(const struct section *section, const struct column *col)
{
	if (!is_counter(section, col))
		return false;
	if (col->flags & (COL_COST | COL_STACK) || is_of_cost(section->columns, col))
		return true;
	for (const struct column *other = section->columns; other < col; other++)
		if (is_counter(section, other) && other->type != COL_NSEC)
			return false;
	return col->type != COL_NSEC;
}

/* What the row is of, in words: all labels, or its frames alone. */
static void write_series(struct buf *buf, const struct section *section, const struct row *row,
			 bool all)
{
	buf__add(buf, "", 0);
	if (!all && buf__frames(buf, section, row, " ")) {
		buf__putc(buf, ' ');
		return;
	}
	for (const struct column *col = section->columns; col->name; col++) {
		size_t from = buf->len;

		if (col->role != ROLE_LABEL || (!all && !section__has_data(section, col)) ||
		    (col->views && !(col->views & section->view_bit)))
			continue;
		buf__label(buf, col, row);
		if (buf->len > from)
			buf__putc(buf, ' ');
	}
}

static const char *unit_of(const struct column *col)
{
	return col->type == COL_NSEC ? "%" : "/s";
}

static struct track *new_counter(struct output *out, uint64_t parent, uint64_t number,
				 const char *key, const struct column *col, struct buf *shown)
{
	struct perfetto *trace = out->state;
	struct track *track;

	buf__puts(shown, col->name);
	if (shown->failed)
		return NULL;
	track = add_track(out, parent, number, key);
	if (!track)
		return NULL;
	track->counts = true;
	trace->nr_counters++;
	write_track(out, track->id, parent, shown->data, unit_of(col));
	return track;
}

/* The counters of a table are together. */
static struct track *group_track(struct output *out, const struct track *owner)
{
	const char *name = out->section.view->name;

	return get_track(out, owner->id, 1, name, name);
}

/* Where there are too many, one of its VM for all that have none. */
static struct track *other_counter(struct output *out, const struct row *row,
				   const struct column *col, uint64_t number)
{
	static const char others[] = "(others)";
	struct perfetto *trace = out->state;
	struct track *vm = vm_track(out, row), *table = vm ? group_track(out, vm) : NULL, *track;

	if (!table)
		return NULL;
	track = find_track(trace, table->id, number, others);
	if (track)
		return track;
	buf__reset(&trace->text);
	buf__printf(&trace->text, "%s ", others);
	return new_counter(out, table->id, number, others, col, &trace->text);
}

static struct track *get_counter(struct output *out, const struct row *row, struct track *owner,
				 const struct column *col)
{
	enum { THREAD_SHIFT = 32 };
	struct perfetto *trace = out->state;
	const struct section *section = &out->section;
	uint64_t number = col - section->columns + 1, thread = 0;
	struct track *track;

	if (section->view->per_vcpu && section->merged == MERGED_NOTHING &&
	    row->tid != UINT32_MAX && !has_vcpu(section, row))
		thread = row->tid;
	track = find_track(trace, owner->id, number | thread << THREAD_SHIFT, trace->key.data);
	if (track)
		return track;
	if (trace->nr_counters >= MAX_COUNTERS)
		return NULL;
	buf__reset(&trace->text);
	write_series(&trace->text, section, row, false);
	if (thread)
		buf__printf(&trace->text, "%u ", row->tid);
	return new_counter(out, owner->id, number | thread << THREAD_SHIFT, trace->key.data, col,
			   &trace->text);
}

static void counter_row(struct output *out, const struct row *row)
{
	struct perfetto *trace = out->state;
	const struct section *section = &out->section;
	struct track *owner = NULL, *track;
	uint64_t value;

	for (const struct column *col = section->columns; col->name; col++) {
		if (!is_drawn(section, col) || !cell__number(col, row, &value) || !value)
			continue;
		if (!owner) {
			owner = owner_track(out, row);
			owner = owner ? group_track(out, owner) : NULL;
			buf__reset(&trace->key);
			write_series(&trace->key, section, row, true);
		}
		if (!owner)
			return;
		if (trace->key.failed) {
			out->err = out->err ?: ENOMEM;
			return;
		}
		track = get_counter(out, row, owner, col);
		if (!track)
			track = other_counter(out, row, col, col - section->columns + 1);
		if (!track)
			return;
		track->value += value * (col->type == COL_NSEC ? 100.0 : 1e9);
		track->grew = true;
	}
}

static void write_value(struct output *out, struct track *track, uint64_t ns, double value)
{
	size_t packet = begin_packet(out), event;

	proto__number(&out->line, TIMESTAMP, ns);
	proto__number(&out->line, SEQUENCE_ID, SEQUENCE);
	event = proto__begin(&out->line, TRACK_EVENT);
	proto__number(&out->line, EVENT_TYPE, TYPE_COUNTER);
	proto__number(&out->line, EVENT_TRACK, track->id);
	proto__double(&out->line, EVENT_VALUE, value);
	proto__end(&out->line, event);
	end_packet(out, packet);
	track->is_up = value != 0;
	track->value = 0;
	track->grew = false;
}

/* A value is there until the next one: from the begin of its interval on. */
static void write_counters(struct output *out)
{
	struct perfetto *trace = out->state;
	uint64_t span = trace->now_ns - trace->since_ns;

	for (size_t i = 0; i < NR_BUCKETS; i++)
		for (struct track *track = trace->buckets[i]; track; track = track->next)
			if (track->counts && (track->grew || track->is_up))
				write_value(out, track, trace->since_ns,
					    track->grew && span ? track->value / span : 0);
	if (trace->nr_counters > MAX_COUNTERS / 2)
		forget_tracks(trace, is_idle);
}

static void end_counters(struct output *out)
{
	struct perfetto *trace = out->state;

	for (size_t i = 0; i < NR_BUCKETS; i++)
		for (struct track *track = trace->buckets[i]; track; track = track->next)
			if (track->is_up)
				write_value(out, track, trace->now_ns, 0);
}

static void perfetto_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
				  uint64_t now_ns)
{
	struct perfetto *trace = out->state;

	keep_clock(out, now_ns);
	trace->in_interval = scope == SCOPE_INTERVAL;
	if (!trace->in_interval) {
		end_counters(out);
		return;
	}
	/* Where nothing is known of the time between. */
	if (since_ns > trace->now_ns)
		end_counters(out);
	trace->since_ns = since_ns;
	trace->now_ns = now_ns;
}

static void perfetto_end_window(struct output *out)
{
	struct perfetto *trace = out->state;

	if (trace->in_interval)
		write_counters(out);
	trace->in_interval = false;
}

static void perfetto_begin(struct output *out)
{
	struct perfetto *trace = out->state;

	trace->notes = NULL;
	trace->duration = view__duration(out->section.columns, out->section.view_bit);
}

static void perfetto_row(struct output *out, const struct row *row, unsigned int flags)
{
	if (out->err || (flags & (ROW_DERIVED | ROW_AGAIN)))
		return;
	if (out->section.scope == SCOPE_EVENT)
		event_row(out, row);
	else if (out->section.scope == SCOPE_INTERVAL)
		counter_row(out, row);
}

static bool is_any(const struct track *track)
{
	return track;
}

static void perfetto_free(struct output *out)
{
	struct perfetto *trace = out->state;

	forget_tracks(trace, is_any);
	free(trace->noted);
	buf__free(&trace->key);
	buf__free(&trace->text);
}

const struct output_ops perfetto_ops = {
	.name = "perfetto",
	.suffix = "pftrace",
	.state_size = sizeof(struct perfetto),
	.begin_window = perfetto_begin_window,
	.end_window = perfetto_end_window,
	.begin = perfetto_begin,
	.row = perfetto_row,
	.free = perfetto_free,
	.is_binary = true,
	.is_picture = true,
};
