/* SPDX-License-Identifier: GPL-2.0-only */
/* JSON Lines: one object per row. */
#include <errno.h>

#include <json-c/json.h>

#include "format.h"

enum {
	ADD_FLAGS = JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY,
	PRINT_FLAGS = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE |
		      JSON_C_TO_STRING_NOZERO,
};

static struct json_object *new_real(double value)
{
	static char three_decimals[] = "%.3f";
	struct json_object *obj = json_object_new_double(value);

	if (obj)
		json_object_set_serializer(obj, json_object_double_to_json_string,
					   three_decimals, NULL);
	return obj;
}

static struct json_object *new_strings(const char *const *strings)
{
	struct json_object *array = json_object_new_array();

	for (; array && *strings; strings++)
		json_object_array_add(array, json_object_new_string(*strings));
	return array;
}

/* NULL is json-c's null, which is also how an absent value is written. */
static struct json_object *new_value(const struct column *col, const struct row *row)
{
	const char *const *strings;
	const char *string;
	uint64_t number;
	int64_t value;
	double real;
	bool flag;

	switch (col->type) {
	case COL_STRING:
		string = cell__string(col, row);
		return string ? json_object_new_string(string) : NULL;
	case COL_STRINGS:
		strings = cell__strings(col, row);
		return strings ? new_strings(strings) : NULL;
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		return cell__number(col, row, &number) ? json_object_new_uint64(number) : NULL;
	case COL_PERCENT:
	case COL_DOUBLE:
		return cell__real(col, row, &real) ? new_real(real) : NULL;
	case COL_S64:
		return cell__signed(col, row, &value) ? json_object_new_int64(value) : NULL;
	case COL_OBJECT:
		return json_object_get(cell__object(col, row));
	case COL_BOOL:
		return cell__bool(col, row, &flag) ? json_object_new_boolean(flag) : NULL;
	}
	return NULL;
}

static void json_line(struct output *out, struct json_object *obj)
{
	const char *text;
	size_t len;

	text = json_object_to_json_string_length(obj, PRINT_FLAGS, &len);
	if (!text) {
		out->err = out->err ? out->err : ENOMEM;
		return;
	}
	/* Outside of strings all is ASCII, so the text as a whole can be mended. */
	output__write_utf8(out, text, len);
	output__write(out, "\n", 1);
}

static void add_columns(struct output *out, struct json_object *obj,
			const struct column *col, const struct row *row)
{
	for (; col->name; col++) {
		if ((col->flags & COL_TABLE_ONLY) || !section__has(&out->section, col))
			continue;
		json_object_object_add_ex(obj, col->name, new_value(col, row), ADD_FLAGS);
	}
}

static void json_row(struct output *out, const struct row *row, unsigned int flags)
{
	const struct section *section = &out->section;
	struct json_object *obj;

	if (out->err || (flags & (ROW_DERIVED | ROW_AGAIN)))
		return;
	obj = json_object_new_object();
	if (!obj) {
		out->err = ENOMEM;
		return;
	}
	json_object_object_add_ex(obj, "monitor", json_object_new_string(section->monitor),
				  ADD_FLAGS);
	json_object_object_add_ex(obj, "scope", json_object_new_string(scope__name(section->scope)),
				  ADD_FLAGS);
	add_columns(out, obj, leading_columns, row);
	add_columns(out, obj, section->columns, row);
	json_line(out, obj);
	json_object_put(obj);
}

const struct output_ops json_ops = {
	.row = json_row,
	.object = json_line,
};
