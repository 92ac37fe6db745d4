/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_HEX_H
#define KVM_WATCHER_HEX_H

#include <json-c/json.h>

/* A number that people read in hexadecimal: tables know it by this mark (COL_BIG_HEX). */
static inline struct json_object *new_hex(uint64_t value)
{
	struct json_object *number = json_object_new_uint64(value);

	json_object_set_userdata(number, (void *)"hex", NULL);
	return number;
}

/* A member that the object has not yet, whose name stays: json-c looks for and copies none. */
static inline void add_member(struct json_object *obj, const char *name, struct json_object *value)
{
	const unsigned int flags = JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_KEY_IS_CONSTANT;

	/* Without memory the other one knows what to do. */
	if (!obj || json_object_object_add_ex(obj, name, value, flags))
		json_object_object_add(obj, name, value);
}

static inline void add_hex(struct json_object *obj, const char *name, uint64_t value)
{
	add_member(obj, name, new_hex(value));
}

#endif
