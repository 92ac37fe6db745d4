/* SPDX-License-Identifier: GPL-2.0-only */
/* Dispatch to the formats, and what they share. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "format.h"
#include "text.h"

static const struct output_ops *const formats[] = {
	[FORMAT_TABLE] = &table_ops,
	[FORMAT_JSON] = &json_ops,
	[FORMAT_CSV] = &csv_ops,
};

enum { NR_FORMATS = sizeof(formats) / sizeof(*formats) };

int format__find(const char *name)
{
	for (size_t i = 0; i < NR_FORMATS; i++)
		if (!strcmp(formats[i]->name, name))
			return i;
	return -1;
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

const struct column leading_columns[] = {
	COLUMN(struct row, ts_ns, "TIME", COL_U64, ROLE_LABEL, .flags = LEAD_TIME, .width = 15),
	COLUMN(struct row, vm, "VM", COL_STRING, ROLE_LABEL, .flags = COL_ONCE | LEAD_VM),
	COLUMN(struct row, pid, "PID", COL_U32, ROLE_LABEL, .flags = COL_ONCE | LEAD_VM,
	       .width = 7),
	COLUMN(struct row, tid, "TID", COL_U32, ROLE_LABEL, .flags = COL_ONCE | LEAD_VCPU,
	       .width = 7, .drop = DROP_SECOND),
	COLUMN(struct row, vcpu, "VCPU", COL_U32, ROLE_LABEL, .flags = LEAD_VCPU),
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
	struct output *out = calloc(1, sizeof(*out));

	if (!out)
		return NULL;
	out->ops = formats[format];
	out->stream = stream;
	out->width = width;
	out->terminal = width > 0;
	out->state = calloc(1, out->ops->state_size + 1);
	if (!out->state) {
		free(out);
		return NULL;
	}
	return out;
}

void output__free(struct output *out)
{
	if (!out)
		return;
	if (out->ops->free)
		out->ops->free(out);
	buf__free(&out->line);
	buf__free(&out->mended);
	free(out->state);
	free(out);
}

void output__set_width(struct output *out, int width)
{
	out->width = width;
	out->width_asked = true;
}

void output__set_clock(struct output *out, int64_t real_offset_ns)
{
	out->real_offset_ns = real_offset_ns;
}

void output__begin_window(struct output *out, enum scope scope, uint64_t since_ns, uint64_t now_ns)
{
	if (out->ops->begin_window)
		out->ops->begin_window(out, scope, since_ns, now_ns);
}

void output__end_window(struct output *out)
{
	if (out->ops->end_window)
		out->ops->end_window(out);
}

void output__begin(struct output *out, const struct section *section)
{
	out->section = *section;
	if (out->ops->begin)
		out->ops->begin(out);
}

void output__row(struct output *out, const struct row *row, unsigned int flags)
{
	out->ops->row(out, row, flags);
}

void output__more(struct output *out, const char *text)
{
	if (out->ops->more)
		out->ops->more(out, text);
}

void output__end(struct output *out)
{
	if (out->ops->end)
		out->ops->end(out);
}

void output__object(struct output *out, struct json_object *obj)
{
	if (out->ops->object)
		out->ops->object(out, obj);
	json_object_put(obj);
}

int output__flush(struct output *out)
{
	errno = 0;
	if (fflush(out->stream) && !out->err)
		out->err = errno ? errno : EIO;
	/* Who gets to know it decides. */
	clearerr(out->stream);
	return out->err;
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

static void buf__value(struct buf *buf, struct json_object *value, bool hex)
{
	enum { LEAST_HEX = 65536 };

	switch (json_object_get_type(value)) {
	case json_type_int:
		if (hex && json_object_get_uint64(value) >= LEAST_HEX)
			buf__printf(buf, "%#" PRIx64, json_object_get_uint64(value));
		else
			buf__puts(buf, json_object_get_string(value));
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
			buf__printf(buf, "%s%s=", between, key);
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

/* Room for len bytes and a NUL. */
static bool buf__reserve(struct buf *buf, size_t len)
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

void buf__add(struct buf *buf, const void *data, size_t len)
{
	if (!buf__reserve(buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf__puts(struct buf *buf, const char *s)
{
	buf__add(buf, s, strlen(s));
}

void buf__neutralise(struct buf *buf, size_t from)
{
	if (!buf->failed && buf->len > from)
		buf->len = from + text__neutralise(buf->data + from, buf->len - from);
}

void buf__putc(struct buf *buf, char c)
{
	buf__add(buf, &c, 1);
}

void buf__pad(struct buf *buf, int n)
{
	while (n-- > 0)
		buf__putc(buf, ' ');
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
