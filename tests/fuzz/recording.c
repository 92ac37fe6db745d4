// SPDX-License-Identifier: GPL-2.0-only
/* The reader of recordings: whatever is in the file, it is read to an end and shown. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../core/metrics.h"
#include "../../core/monitor.h"
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

static void begins(void *ctx, struct metrics *m)
{
	(void)ctx;
	metrics__begin(m, 8);
}

/* As serve would have shown what was recorded, with so many series at most. */
static void replay_series(const char *path, uint32_t limit)
{
	static const struct filter all;
	const struct replay_options options = { .filter = &all };
	struct replay *r = replay__open(&path, 1, monitors, nr_monitors);
	struct chosen chosen[MAX_MONITORS];
	/* Each interval by itself. */
	struct sink sink = { .interval_ns = 1 };
	struct metrics *m;
	struct buf buf = {};

	for (size_t i = 0; i < nr_monitors; i++)
		chosen[i] = (struct chosen){ .monitor = monitors[i] };
	m = metrics__new(&(struct metrics_options){ .by = METRICS_BY_VCPU,
						    .limit = limit,
						    .chosen = chosen,
						    .nr_chosen = nr_monitors,
						    .begins = begins });
	sink.out = m ? metrics__output(m) : NULL;
	if (r && sink.out)
		replay__run(r, &options, &sink);
	for (int text = 0; m && text < NR_METRICS_TEXTS; text++) {
		buf.len = 0;
		if (metrics__render(m, text, &buf))
			check_series(buf.data ? buf.data : "", buf.len, text == TEXT_OPENMETRICS);
	}
	output__free(sink.out);
	metrics__free(m);
	buf__free(&buf);
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
		replay_series(path, LEAST_METRICS_LIMIT);
		replay_series(path, DEFAULT_METRICS_LIMIT);
	}
	close(fd);
	return 0;
}
