// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may know whom: every #include "../ROOM/FILE" follows an arrow of the
 * table. Run from the project's root, where the sources are.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* From the top to the ground: arrows go down only. */
static const struct {
	const char *room;
	const char *knows[10];
} rooms[] = {
	{ "cli",
	  { "top", "serve", "diagnose", "monitors", "core", "output", "decode", "bpf", "compat" } },
	{ "top", { "diagnose", "monitors", "core", "output", "decode", "bpf", "compat" } },
	{ "serve", { "diagnose", "monitors", "core", "output", "decode", "bpf", "compat" } },
	{ "diagnose", { "monitors", "core", "output", "decode", "bpf", "compat" } },
	{ "monitors", { "core", "output", "decode", "bpf", "compat" } },
	{ "core", { "output", "decode", "bpf", "compat" } },
	{ "output", {} },
	{ "decode", {} },
	{ "bpf", { "compat" } },
	{ "compat", {} },
};
enum { NR_ROOMS = sizeof(rooms) / sizeof(*rooms) };

static int find_room(const char *name)
{
	for (int i = 0; i < NR_ROOMS; i++)
		if (!strcmp(rooms[i].room, name))
			return i;
	return -1;
}

static bool may_know(int room, const char *other)
{
	for (const char *const *known = rooms[room].knows; *known; known++)
		if (!strcmp(*known, other))
			return true;
	return false;
}

static void test_arrows_go_down(void **state)
{
	(void)state;
	for (int i = 0; i < NR_ROOMS; i++)
		for (const char *const *known = rooms[i].knows; *known; known++)
			assert_true(find_room(*known) > i);
	assert_true(may_know(find_room("cli"), "core"));
	assert_false(may_know(find_room("core"), "cli"));
	assert_false(may_know(find_room("output"), "core"));
}

/* The room that a line includes from: "" is the file's own; false where it is no such line. */
static bool included_room(const char *line, char room[64])
{
	char path[128];

	if (sscanf(line, " # include \"%127[^\"]\"", path) != 1)
		return false;
	room[0] = '\0';
	sscanf(path, "../%63[^/\"]", room);
	return true;
}

static void test_lines(void **state)
{
	char room[64];

	(void)state;
	assert_true(included_room("#include \"../core/vm.h\"\n", room));
	assert_string_equal(room, "core");
	assert_true(included_room("# include \"vm.h\"\n", room));
	assert_string_equal(room, "");
	assert_false(included_room("#include <bpf/bpf.h>\n", room));
}

/* Returns how many files of other rooms it includes. */
static size_t check_file(int room, const char *name)
{
	char path[300], line[512], other[64];
	size_t nr = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", rooms[room].room, name);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (!included_room(line, other) || !other[0])
			continue;
		if (!may_know(room, other))
			fail_msg("%s: %s/ must not know %s/: %s", path, rooms[room].room, other,
				 line);
		nr++;
	}
	fclose(file);
	return nr;
}

static void test_includes(void **state)
{
	size_t nr = 0;

	(void)state;
	for (int i = 0; i < NR_ROOMS; i++) {
		DIR *dir = opendir(rooms[i].room);
		struct dirent *entry;
		size_t files = 0;

		if (!dir)
			fail_msg("%s/ can't be read: run this from the project's root",
				 rooms[i].room);
		while ((entry = readdir(dir))) {
			const char *end = strrchr(entry->d_name, '.');

			if (!end || (strcmp(end, ".c") && strcmp(end, ".h")))
				continue;
			nr += check_file(i, entry->d_name);
			files++;
		}
		closedir(dir);
		assert_true(files > 0);
	}
	assert_true(nr > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrows_go_down),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_includes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
