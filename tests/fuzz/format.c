// SPDX-License-Identifier: GPL-2.0-only
/* The format file of an event in tracefs: where its record has a field. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../compat/host.h"
#include "fuzz.h"

int fuzz_format(const uint8_t *data, size_t size)
{
	static const char *const fields[] = { "vcpu_id", "exit_reason", "common_type", "" };

	for (size_t i = 0; size && i < sizeof(fields) / sizeof(*fields); i++) {
		FILE *file = fmemopen((void *)data, size, "r");
		int place;

		if (!file)
			return 0;
		/* Whoever reads there adds it to an address. */
		place = host__parse_format(file, fields[i]);
		if (place < 0 && place != -ENOENT)
			abort();
		fclose(file);
	}
	return 0;
}
