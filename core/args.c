// SPDX-License-Identifier: GPL-2.0-only
#include "args.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../output/text.h"

void args__copy(char *dst, size_t size, const char *src)
{
	size_t len = text__cut(src, strnlen(src, size), size - 1);

	memcpy(dst, src, len);
	dst[len] = '\0';
}

const char *args__next(const struct args *args, const char *arg)
{
	const char *end = args->data + args->len;

	arg = arg ? arg + strlen(arg) + 1 : args->data;
	return arg < end ? arg : NULL;
}

const char *args__option(const struct args *args, const char *option)
{
	const char *arg, *value = NULL;
	size_t len = strlen(option);

	for (arg = args__next(args, NULL); arg; arg = args__next(args, arg)) {
		if (strncmp(arg, option, len))
			continue;
		if (arg[len] == '=') {
			value = arg + len + 1;
		} else if (!arg[len]) {
			arg = args__next(args, arg);
			if (!arg)
				break;
			value = arg;
		}
	}
	return value;
}

void args__copy_item(char *dst, size_t size, const char *list, const char *key, const char *implied)
{
	size_t key_len = strlen(key);
	bool first, wanted;
	char *item, *to;

	item = strdup(list);
	if (!item)
		return;
	for (first = true; *list; first = false) {
		for (to = item; *list && (*list != ',' || list[1] == ','); list++) {
			list += *list == ',';
			*to++ = *list;
		}
		*to = '\0';
		list += *list == ',';
		wanted = !strncmp(item, key, key_len) && item[key_len] == '=';
		if (wanted)
			args__copy(dst, size, item + key_len + 1);
		else if (first && implied && !strchr(item, '='))
			args__copy(dst, size, item);
	}
	free(item);
}
