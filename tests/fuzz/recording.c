// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer's way into the reader of recordings: whatever is in the file, it is read to an end and
 * shown. `make fuzz` builds it; tests/unit/test_fuzz.c reads tests/fuzz/corpus/ without libFuzzer.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../core/replay.h"
#include "../../monitors/monitors.h"
#include "../../output/output.h"
#include "recording.h"

static void replay(const char *path, enum format format)
{
	static const struct filter all;
	static const struct selection by_vm = { .by = BY_VM };
	const struct replay_options options = { .filter = &all, .events = true };
	struct sink sink = { .selection = format == FORMAT_TABLE ? &by_vm : NULL };
	struct replay *r = replay__open(&path, 1, monitors, nr_monitors);
	FILE *none = fopen("/dev/null", "we");

	if (r && none) {
		sink.out = output__new(format, none, format == FORMAT_TABLE ? 100 : 0);
		if (sink.out)
			replay__run(r, &options, &sink);
		output__free(sink.out);
	}
	if (none)
		fclose(none);
	replay__close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("recording", MFD_CLOEXEC);
	char path[32];

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		replay(path, FORMAT_JSON);
		replay(path, FORMAT_TABLE);
	}
	close(fd);
	return 0;
}
