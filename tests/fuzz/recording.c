// SPDX-License-Identifier: GPL-2.0-only
/* The reader of recordings: whatever is in the file, it is read to an end and shown. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../core/replay.h"
#include "../../monitors/monitors.h"
#include "../../output/output.h"
#include "fuzz.h"

static void replay(const char *path, enum format format)
{
	static const struct filter all;
	static const struct selection by_vm = { .by = BY_VM };
	const struct replay_options options = { .filter = &all, .events = true };
	struct sink sink = { .selection = format == FORMAT_TABLE ? &by_vm : NULL };
	struct replay *r = replay__open(&path, 1, monitors, nr_monitors);
	struct written w = {};

	if (r && !written__open(&w, format, format == FORMAT_TABLE ? 100 : 0)) {
		sink.out = w.out;
		replay__run(r, &options, &sink);
		written__check(&w);
	}
	replay__close(r);
}

int fuzz_recording(const uint8_t *data, size_t size)
{
	int fd = memfd_create("recording", MFD_CLOEXEC);
	char path[32];

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		replay(path, FORMAT_JSON);
		replay(path, FORMAT_CSV);
		replay(path, FORMAT_TABLE);
	}
	close(fd);
	return 0;
}
