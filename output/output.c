/* SPDX-License-Identifier: GPL-2.0-only */
/* Dispatch to the formats, and what they share. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "format.h"
#include "text.h"

static const struct output_ops *const formats[] = {
	[FORMAT_TABLE] = &table_ops,
	[FORMAT_JSON] = &json_ops,
	[FORMAT_CSV] = &csv_ops,
	[FORMAT_HTML] = &html_ops,
	[FORMAT_PERFETTO] = &perfetto_ops,
	[FORMAT_FOLDED] = &folded_ops,
	[FORMAT_PROMETHEUS] = &prometheus_ops,
};

enum { NR_FORMATS = sizeof(formats) / sizeof(*formats) };

int format__find(const char *name)
{
	for (size_t i = 0; i < NR_FORMATS; i++)
		if (!strcmp(formats[i]->name, name))
			return i;
	return -1;
}

const char *format__name(enum format format)
{
	return formats[format]->name;
}

const char *format__names(char *buf, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < NR_FORMATS && used < size; i++)
		used += snprintf(buf + used, size - used, "%s%s",
				 !i		    ? "" :
				 i + 1 < NR_FORMATS ? ", " :
						      " or ",
				 formats[i]->name);
	return buf;
}

const char *format__suffix(enum format format)
{
	return formats[format]->suffix;
}

enum format format__beside(enum format format)
{
	return formats[format]->of_whole || formats[format]->is_picture ? FORMAT_JSON : format;
}

bool format__is_binary(enum format format)
{
	return formats[format]->is_binary;
}

bool format__is_picture(enum format format)
{
	return formats[format]->is_picture;
}

bool format__has_rows(enum format format, const struct column *columns, const struct view *view,
		      unsigned int view_bit)
{
	return !formats[format]->has || formats[format]->has(columns, view, view_bit);
}

#define LEAD(_member, ...)                                                  \
	{                                                                   \
		.name = #_member, .offset = offsetof(struct lead, _member), \
		.flags = COL_DATA_ONLY, __VA_ARGS__                         \
	}

const struct column leading_columns[] = {
	COLUMN(struct row, ts_ns, "TIME", COL_U64, ROLE_LABEL, .flags = LEAD_TIME, .width = 15,
	       .help = "CLOCK_MONOTONIC: end of the interval or run, or time of the event"),
	LEAD(time, .type = COL_STRING, .help = "the same by the host's wall clock, as RFC 3339"),
	LEAD(interval_ns, .type = COL_NSEC,
	     .help = "time that the row covers, up to ts_ns; null for events and states"),
	COLUMN(struct row, vm, "VM", COL_STRING, ROLE_LABEL, .flags = COL_ONCE | LEAD_VM,
	       .help = "the VM's name"),
	COLUMN(struct row, vm_id, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY | LEAD_VM,
	       .help = "unique on this boot of the host: process, its start, which of its VMs"),
	COLUMN(struct row, pid, "PID", COL_U32, ROLE_LABEL, .flags = COL_ONCE | LEAD_VM, .width = 7,
	       .drop = DROP_IN_NEED, .help = "process id of the VMM"),
	COLUMN(struct row, tid, "TID", COL_U32, ROLE_LABEL, .flags = COL_ONCE | LEAD_VCPU,
	       .width = 7, .drop = DROP_SECOND, .help = "thread id of the vCPU"),
	COLUMN(struct row, vcpu, "VCPU", COL_U32, ROLE_LABEL, .flags = LEAD_VCPU,
	       .help = "number of the vCPU"),
	{},
};

const char *scope__name(enum scope scope)
{
	switch (scope) {
	case SCOPE_INTERVAL:
		return "interval";
	case SCOPE_TOTAL:
		return "total";
	case SCOPE_EVENT:
		return "event";
	}
	return "unknown";
}

struct output *output__new(enum format format, FILE *stream, int width)
{
	return output__new_as(formats[format], stream, width);
}

struct output *output__new_as(const struct output_ops *ops, FILE *stream, int width)
{
	struct output *out = calloc(1, sizeof(*out));

	if (!out)
		return NULL;
	out->ops = ops;
	out->stream = stream;
	out->width = width;
	out->terminal = width > 0;
	out->self[0] = out;
	out->files = out->self;
	out->nr_files = 1;
	out->state = calloc(1, out->ops->state_size + 1);
	if (!out->state) {
		free(out);
		return NULL;
	}
	return out;
}

struct output *output__new_nowhere(const struct output_ops *ops)
{
	/* In the sandbox nothing is opened for writing. */
	FILE *none = fopen("/dev/null", "re");
	struct output *out = none ? output__new_as(ops, none, 0) : NULL;

	if (out)
		out->owns_stream = true;
	else if (none)
		fclose(none);
	return out;
}

void output__free(struct output *out)
{
	if (!out)
		return;
	for (size_t i = 0; i < out->nr_files; i++)
		if (out->files[i] != out)
			output__free(out->files[i]);
	if (out->files != out->self)
		free(out->files);
	if (out->ops->free)
		out->ops->free(out);
	if (out->owns_stream)
		fclose(out->stream);
	buf__free(&out->line);
	buf__free(&out->mended);
	free(out->state);
	free(out);
}

/* Where the name is among the tables; -1: nowhere. */
static int find_table(const char *const *tables, const char *name)
{
	for (int i = 0; tables && tables[i]; i++)
		if (!strcmp(tables[i], name))
			return i;
	return -1;
}

/* The table that a view is, or is a part of. */
static int place_of(const struct output *out, const struct view *view)
{
	return find_table(out->tables, view->part_of ? view->part_of : view->name);
}

bool output__wants(const struct output *out, const struct view *view)
{
	if (view->again && !out->ops->for_people)
		return false;
	return !out->tables || place_of(out, view) >= 0;
}

void output__set_width(struct output *out, int width)
{
	for (size_t i = 0; i < out->nr_files; i++) {
		out->files[i]->width = width;
		out->files[i]->width_asked = true;
	}
}

void output__set_clock(struct output *out, int64_t real_offset_ns)
{
	for (size_t i = 0; i < out->nr_files; i++) {
		struct output *file = out->files[i];

		if (file->has_clock && file->real_offset_ns == real_offset_ns)
			continue;
		file->has_clock = true;
		file->real_offset_ns = real_offset_ns;
		file->time[0] = '\0';
	}
}

void output__begin_window(struct output *out, enum scope scope, uint64_t since_ns, uint64_t now_ns)
{
	for (size_t i = 0; i < out->nr_files; i++)
		if (out->ops->begin_window)
			out->ops->begin_window(out->files[i], scope, since_ns, now_ns);
}

void output__end_window(struct output *out)
{
	for (size_t i = 0; i < out->nr_files; i++)
		if (out->ops->end_window)
			out->ops->end_window(out->files[i]);
}

void output__begin(struct output *out, const struct section *section)
{
	out->current = NULL;
	if (!output__wants(out, section->view))
		return;
	out->current = out->files == out->self ? out : out->files[place_of(out, section->view)];
	out->current->section = *section;
	if (out->ops->begin)
		out->ops->begin(out->current);
}

void output__row(struct output *out, const struct row *row, unsigned int flags)
{
	if (out->current)
		out->ops->row(out->current, row, flags);
}

bool output__wants_buckets(const struct output *out)
{
	return out->ops->of_whole;
}

bool output__is_by_cost(const struct output *out)
{
	return out->ops->of_whole;
}

bool output__arranges(const struct output *out)
{
	return out->ops->arranges;
}

bool output__keeps_samples(const struct output *out)
{
	return out->ops->sample;
}

void output__sample(struct output *out, const struct row *row, struct json_object *more)
{
	if (out->current)
		out->ops->sample(out->current, row, more);
	json_object_put(more);
}

void output__more(struct output *out, const char *text)
{
	if (out->current && out->ops->more)
		out->ops->more(out->current, text);
}

void output__end(struct output *out)
{
	if (out->current && out->ops->end)
		out->ops->end(out->current);
	out->current = NULL;
}

void output__object(struct output *out, struct json_object *obj)
{
	for (size_t i = 0; i < out->nr_files; i++)
		if (out->ops->object)
			out->ops->object(out->files[i], obj);
	json_object_put(obj);
}

int output__flush(struct output *out)
{
	int err = 0;

	for (size_t i = 0; i < out->nr_files; i++) {
		struct output *file = out->files[i];
		bool failed;

		if (out->ops->flush)
			out->ops->flush(file);
		failed = ferror(file->stream);
		errno = 0;
		failed |= fflush(file->stream) != 0;
		if (failed && !file->err)
			file->err = errno ? errno : EIO;
		/* Who gets to know it decides. */
		clearerr(file->stream);
		err = err ? err : file->err;
	}
	return err;
}

int output__finish(struct output *out)
{
	for (size_t i = 0; i < out->nr_files; i++)
		if (out->ops->finish)
			out->ops->finish(out->files[i]);
	return output__flush(out);
}

void output__write_time(char text[OUTPUT_TIME_LEN], int64_t real_ns)
{
	enum { NSEC_PER_SEC = 1000000000, NSEC_PER_MSEC = 1000000 };
	time_t second = real_ns / NSEC_PER_SEC;
	long minutes;
	struct tm tm;
	size_t len;

	localtime_r(&second, &tm);
	minutes = labs(tm.tm_gmtoff) / 60;
	len = strftime(text, OUTPUT_TIME_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, OUTPUT_TIME_LEN - len, ".%03u%c%02u:%02u",
		 (unsigned int)(real_ns % NSEC_PER_SEC / NSEC_PER_MSEC),
		 tm.tm_gmtoff < 0 ? '-' : '+', (unsigned int)(minutes / 60 % 100),
		 (unsigned int)(minutes % 60));
}

/* The zone is looked up once a second: events come by the hundred thousand. */
static const char *lead_time(struct output *out, uint64_t ts_ns)
{
	enum { MS_AT = 20, NSEC_PER_SEC = 1000000000, NSEC_PER_MSEC = 1000000 };
	int64_t real_ns = ts_ns + out->real_offset_ns;
	unsigned int ms = real_ns % NSEC_PER_SEC / NSEC_PER_MSEC;

	if (!out->has_clock || real_ns < 0)
		return NULL;
	if (!out->time[0] || real_ns / NSEC_PER_SEC != out->time_s) {
		output__write_time(out->time, real_ns);
		out->time_s = real_ns / NSEC_PER_SEC;
	}
	for (int i = MS_AT + 2; i >= MS_AT; i--, ms /= 10)
		out->time[i] = '0' + ms % 10;
	return out->time;
}

const struct row *output__lead(struct output *out, const struct row *row)
{
	const struct section *section = &out->section;
	struct lead *lead = &out->lead;

	lead->row = *row;
	if (!section->view->per_vcpu)
		lead->row.tid = lead->row.vcpu = UINT32_MAX;
	lead->time = lead_time(out, row->ts_ns);
	lead->interval_ns = section->now_ns > section->since_ns ?
				    section->now_ns - section->since_ns :
				    UINT64_MAX;
	return &lead->row;
}

void output__write(struct output *out, const char *data, size_t len)
{
	if (out->err)
		return;
	errno = 0;
	if (fwrite(data, 1, len, out->stream) < len)
		out->err = errno ? errno : EIO;
}

bool column__is_shown(const struct column *col)
{
	return col->type != COL_TIMES && col->type != COL_TALLY && col->type != COL_BITS &&
	       !(col->flags & (COL_KEY_ONLY | COL_HIDDEN));
}

bool section__has(const struct section *section, const struct column *col)
{
	if (!column__is_shown(col))
		return false;
	if ((col->flags & LEAD_VCPU) && !section->view->per_vcpu)
		return false;
	return !col->views || (col->views & section->view_bit);
}

bool section__has_data(const struct section *section, const struct column *col)
{
	return !(col->flags & COL_TABLE_ONLY) && column__is_shown(col) &&
	       (!col->views || (col->views & section->view_bit));
}

/* The next one from col on that a view has in data. */
static const struct column *next_data(const struct column *col, unsigned int bit)
{
	const struct section section = { .view_bit = bit };

	while (col->name && !section__has_data(&section, col))
		col++;
	return col;
}

bool view__same_data(const struct column *a, unsigned int a_bit, const struct column *b,
		     unsigned int b_bit)
{
	for (;; a++, b++) {
		a = next_data(a, a_bit);
		b = next_data(b, b_bit);
		if (!a->name || !b->name)
			return !a->name && !b->name;
		if (strcmp(a->name, b->name))
			return false;
	}
}

bool section__merges(const struct section *section, const struct column *col)
{
	return ((col->flags & LEAD_VCPU) && section->merged >= MERGED_VCPUS) ||
	       ((col->flags & LEAD_VM) && section->merged >= MERGED_VMS);
}

const char *cell__string(const struct column *col, const struct row *row)
{
	return *(const char *const *)cell__at(col, row);
}

const char *const *cell__strings(const struct column *col, const struct row *row)
{
	return *(const char *const *const *)cell__at(col, row);
}

bool cell__signed(const struct column *col, const struct row *row, int64_t *value)
{
	*value = *(const int64_t *)cell__at(col, row);
	return *value != INT64_MIN;
}

struct json_object *cell__object(const struct column *col, const struct row *row)
{
	return *(struct json_object *const *)cell__at(col, row);
}

/* Who made it says that people read it so, however small it is. */
static bool is_hex(struct json_object *value)
{
	const char *mark = json_object_get_userdata(value);

	return mark && !strcmp(mark, "hex");
}

void buf__integer(struct buf *buf, struct json_object *value)
{
	int64_t number = json_object_get_int64(value);

	/* Beyond what it can be, it is unsigned. */
	if (number == INT64_MAX)
		buf__number(buf, json_object_get_uint64(value));
	else
		buf__signed(buf, number);
}

static void buf__value(struct buf *buf, struct json_object *value, bool hex)
{
	enum { LEAST_HEX = 65536 };

	switch (json_object_get_type(value)) {
	case json_type_int:
		if (hex && (json_object_get_uint64(value) >= LEAST_HEX || is_hex(value)))
			buf__hex(buf, json_object_get_uint64(value));
		else
			buf__integer(buf, value);
		break;
	case json_type_array:
	case json_type_object:
		buf__putc(buf, '[');
		buf__object(buf, value, hex);
		buf__putc(buf, ']');
		break;
	default:
		buf__puts(buf, value ? json_object_get_string(value) : "");
	}
}

void buf__object(struct buf *buf, struct json_object *obj, bool hex)
{
	const char *between = "";

	if (json_object_is_type(obj, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(obj); i++, between = " ") {
			buf__puts(buf, between);
			buf__value(buf, json_object_array_get_idx(obj, i), hex);
		}
	} else if (json_object_is_type(obj, json_type_object)) {
		json_object_object_foreach(obj, key, value)
		{
			buf__puts(buf, between);
			buf__puts(buf, key);
			buf__putc(buf, '=');
			buf__value(buf, value, hex);
			between = " ";
		}
	}
}

bool cell__number(const struct column *col, const struct row *row, uint64_t *value)
{
	const void *at = cell__at(col, row);

	if (col->type == COL_U32) {
		*value = *(const uint32_t *)at;
		return *value != UINT32_MAX;
	}
	*value = *(const uint64_t *)at;
	return *value != UINT64_MAX;
}

bool cell__real(const struct column *col, const struct row *row, double *value)
{
	*value = *(const double *)cell__at(col, row);
	return isfinite(*value);
}

bool cell__bool(const struct column *col, const struct row *row, bool *value)
{
	uint8_t flag = *(const uint8_t *)cell__at(col, row);

	*value = flag;
	return flag != BOOL_ABSENT;
}

bool buf__grow(struct buf *buf, size_t len)
{
	size_t size = buf->size ? buf->size : 256;
	char *data;

	while (size <= buf->len + len)
		size *= 2;
	if (size == buf->size)
		return true;
	data = realloc(buf->data, size);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->size = size;
	return true;
}

void buf__neutralise(struct buf *buf, size_t from)
{
	if (!buf->failed && buf->len > from)
		buf->len = from + text__neutralise(buf->data + from, buf->len - from);
}

void buf__pad(struct buf *buf, int n)
{
	if (n <= 0 || !buf__reserve(buf, n))
		return;
	memset(buf->data + buf->len, ' ', n);
	buf->len += n;
	buf->data[buf->len] = '\0';
}

void buf__number(struct buf *buf, uint64_t value)
{
	char text[20], *p = text + sizeof(text);

	do {
		*--p = '0' + value % 10;
		value /= 10;
	} while (value);
	buf__add(buf, p, text + sizeof(text) - p);
}

void buf__signed(struct buf *buf, int64_t value)
{
	if (value < 0)
		buf__putc(buf, '-');
	buf__number(buf, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void buf__hex(struct buf *buf, uint64_t value)
{
	char text[18], *p = text + sizeof(text);

	if (!value) {
		buf__putc(buf, '0');
		return;
	}
	for (; value; value >>= 4)
		*--p = "0123456789abcdef"[value & 0xf];
	*--p = 'x';
	*--p = '0';
	buf__add(buf, p, text + sizeof(text) - p);
}

void buf__printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0 || !buf__reserve(buf, len))
		return;
	va_start(ap, fmt);
	vsnprintf(buf->data + buf->len, len + 1, fmt, ap);
	va_end(ap);
	buf->len += len;
}

void buf__reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

void buf__free(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){};
}
