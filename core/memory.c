// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Of Linux 6.1; the headers may be older. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { LARGE_PAGE = 2 << 20 };

/*
 * What is taken and freed at each look stays with the heap. Its end moves by large pages: what is
 * untouched when it becomes one needs no copy, and all of it is resident from then on.
 */
static void keep_heap(void)
{
#ifdef __GLIBC__
	enum { MOST_KEPT = 16 << 20 };

	mallopt(M_MMAP_THRESHOLD, MOST_KEPT);
	mallopt(M_TRIM_THRESHOLD, MOST_KEPT);
	mallopt(M_TOP_PAD, LARGE_PAGE);
#endif
}

void memory__use_large_pages(void)
{
	static uintptr_t begin, done;
	uintptr_t now = (uintptr_t)sbrk(0), end = now & ~(uintptr_t)(LARGE_PAGE - 1);

	if (!begin)
		begin = now;
	if (!done && now - begin < LEAST_LARGE_HEAP)
		return;
	if (!done) {
		keep_heap();
		done = (begin + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
	}
	/* What is new alone: a call looks at every page of its range, and waits for all CPUs. */
	if (end > done && !madvise((void *)done, end - done, MADV_HUGEPAGE))
		/* What is touched is moved at once, where the kernel knows how; else in a while. */
		madvise((void *)done, end - done, MADV_COLLAPSE);
	done = end;
}

/* Pages that are given back are taken again one by one, which takes time: so not at each look. */
void memory__give_back(void)
{
#ifdef __GLIBC__
	enum { LOOKS = 16, LEAST = 4 << 20 };
	static unsigned int looks;
	struct mallinfo2 heap;

	if (++looks % LOOKS)
		return;
	heap = mallinfo2();
	/* Of a host on which little changes not even the lists of a look are that much. */
	if (heap.fordblks > LEAST + heap.uordblks / 4)
		malloc_trim(LARGE_PAGE);
#endif
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker makes these names. */

/*
 * Without memory json-c makes no object, and aborts when something is put into it, or when it is
 * asked how much is in it. These stand before its functions (Makefile): what has nowhere to go is
 * dropped, and nothing is in an array that is not there.
 */
int __real_json_object_object_add(struct json_object *obj, const char *key,
				  struct json_object *value);
int __real_json_object_array_add(struct json_object *array, struct json_object *value);
int __wrap_json_object_object_add(struct json_object *obj, const char *key,
				  struct json_object *value);
int __wrap_json_object_array_add(struct json_object *array, struct json_object *value);
size_t __real_json_object_array_length(const struct json_object *array);
size_t __wrap_json_object_array_length(const struct json_object *array);
void __real_json_object_set_userdata(struct json_object *obj, void *data,
				     json_object_delete_fn *delete);
void __wrap_json_object_set_userdata(struct json_object *obj, void *data,
				     json_object_delete_fn *delete);

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

size_t __wrap_json_object_array_length(const struct json_object *array)
{
	return array ? __real_json_object_array_length(array) : 0;
}

void __wrap_json_object_set_userdata(struct json_object *obj, void *data,
				     json_object_delete_fn *delete)
{
	if (obj)
		__real_json_object_set_userdata(obj, data, delete);
	else
		memory__is_short();
}
/* NOLINTEND(bugprone-reserved-identifier) */
