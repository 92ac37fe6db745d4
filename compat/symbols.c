// SPDX-License-Identifier: GPL-2.0-only
#include "symbols.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

struct symbol {
	char name[56];
	uint64_t address;
};

static struct {
	struct symbol *list;
	size_t nr, room;
	/* Of which modules. */
	uint64_t ids[NR_HOST_MODULES];
} known;

/*
 * Linux before 6.2 unpacks all of the kernel's names to find one, then goes through those
 * of modules (kallsyms_lookup_name() in kernel/kallsyms.c): 40 ms for a kprobe. Later ones
 * have an index, and a function that searches it.
 */
static bool kernel_has_index(void)
{
	static int has_index = -1;

	if (has_index < 0)
		has_index = host__knows_target("kallsyms_lookup_names");
	return has_index;
}

static bool add(const char *line)
{
	struct symbol s;
	char type;

	if (sscanf(line, "%" SCNx64 " %c %55s", &s.address, &type, s.name) != 3 || !s.address ||
	    (type != 't' && type != 'T') || strlen(s.name) == sizeof(s.name) - 1)
		return true;
	if (known.nr == known.room) {
		size_t room = known.room ? 2 * known.room : 1024;
		struct symbol *list = realloc(known.list, room * sizeof(*list));

		if (!list)
			return false;
		known.list = list;
		known.room = room;
	}
	known.list[known.nr++] = s;
	return true;
}

static void read_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512];

	known.nr = 0;
	while (file && fgets(line, sizeof(line), file)) {
		size_t len = strlen(line);

		/* "ffffffffc03dc470 t kvm_vcpu_halt\t[kvm]\n" */
		if (len > 2 && line[len - 2] == ']' && strstr(line, "\t[kvm") && !add(line))
			break;
	}
	if (file)
		fclose(file);
}

uint64_t symbols__address(const char *function)
{
	bool is_same = known.list;

	if (kernel_has_index())
		return 0;
	for (int i = 0; i < NR_HOST_MODULES; i++) {
		uint64_t id = host__module_id(i);

		is_same &= known.ids[i] == id;
		known.ids[i] = id;
	}
	if (!is_same)
		read_symbols();
	/* The first one, which the kernel finds, too. */
	for (size_t i = 0; i < known.nr; i++)
		if (!strcmp(known.list[i].name, function))
			return known.list[i].address;
	return 0;
}
