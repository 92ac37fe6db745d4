/* SPDX-License-Identifier: GPL-2.0-only */
/* Command lines of VMMs: options, and their lists of items. */
#ifndef KVM_WATCHER_ARGS_H
#define KVM_WATCHER_ARGS_H

#include <stddef.h>

/* A command line, cut into its NUL-terminated arguments; one more NUL is behind data[len]. */
struct args {
	char *data;
	size_t len;
};

/* The argument behind arg, the first one with NULL; NULL: there is none. */
const char *args__next(const struct args *args, const char *arg);

/* The value of the last "OPTION VALUE" or "OPTION=VALUE"; NULL: there is none. */
const char *args__option(const struct args *args, const char *option);

/*
 * Copies the value of key from QEMU's "KEY=VALUE,KEY=VALUE", where ",," is a
 * comma and the first item may come without its key, which then is implied.
 * Leaves dst alone where there is none.
 */
void args__copy_item(char *dst, size_t size, const char *list, const char *key,
		     const char *implied);

/* Copies what fits, and no part of a character. */
void args__copy(char *dst, size_t size, const char *src);

#endif
