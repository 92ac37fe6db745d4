/* SPDX-License-Identifier: GPL-2.0-only */
/* Small files of /proc, /sys and cgroups: what anybody may read, and what is in it. */
#ifndef KVM_WATCHER_HOST_FILES_H
#define KVM_WATCHER_HOST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILE_LEN = 16384, FILE_PATH_LEN = 4096 };

/* The file's text, cut where there is no more room, without the last line's end. NULL: none. */
const char *file__read(const char *path, char text[FILE_LEN]);

/* Of "always [madvise] never" that one; a text without brackets is as it is. Changes it. */
const char *file__choice(char *text);

/* All of text is a number, and not a negative one. */
bool file__number(const char *text, uint64_t *number);

/* The number behind key at the beginning of a line, "key 123" or "Key:   123 kB" (in bytes). */
bool file__value(const char *text, const char *key, uint64_t *number);

/* "some avg10=0.00 ... total=123": that number of the line of that name. */
bool file__pressure(const char *text, const char *line, uint64_t *us);

/*
 * Of the lines of /proc/PID/cgroup: the path in version 2, into path; *is_v1: version 1 has
 * the CPUs or the memory. NULL: none, or one above the reader's own root.
 */
const char *file__cgroup(const char *text, char path[FILE_PATH_LEN], bool *is_v1);

/* Calls use for each entry of a directory in the order of names; "." and ".." are left out. */
void file__each(const char *dir, void (*use)(void *ctx, const char *name), void *ctx);

#endif
