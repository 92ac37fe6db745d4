// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include <errno.h>
#include <stdbool.h>

#include <json-c/json.h>

#include "limits.h"
#include "log.h"

void memory__is_short(void)
{
	static bool said;

	if (!said)
		say_failed("parts of the output are missing: %s", limits__reason(-ENOMEM));
	said = true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names. */

/*
 * Without memory json-c makes no object, and aborts when something is put into it. These stand
 * before its functions (Makefile): what has nowhere to go is dropped.
 */
int __real_json_object_object_add(struct json_object *obj, const char *key,
				  struct json_object *value);
int __real_json_object_array_add(struct json_object *array, struct json_object *value);
int __wrap_json_object_object_add(struct json_object *obj, const char *key,
				  struct json_object *value);
int __wrap_json_object_array_add(struct json_object *array, struct json_object *value);

static int drop(struct json_object *value)
{
	memory__is_short();
	json_object_put(value);
	return -1;
}

int __wrap_json_object_object_add(struct json_object *obj, const char *key,
				  struct json_object *value)
{
	return obj && !__real_json_object_object_add(obj, key, value) ? 0 : drop(value);
}

int __wrap_json_object_array_add(struct json_object *array, struct json_object *value)
{
	return array && !__real_json_object_array_add(array, value) ? 0 : drop(value);
}
/* NOLINTEND(bugprone-reserved-identifier) */
