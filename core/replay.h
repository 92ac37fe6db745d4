/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Recordings instead of a kernel: what they hold goes through the same store, selection and
 * output as a run does. Several files are one timeline, by the clocks of their hosts.
 */
#ifndef KVM_WATCHER_REPLAY_H
#define KVM_WATCHER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter.h"
#include "hooks.h"
#include "recording.h"
#include "report.h"
#include "sink.h"

struct replay_options {
	const struct filter *filter;
	uint64_t interval_ns;	/* 0: as it was recorded */
	int64_t from_ns, to_ns; /* CLOCK_REALTIME; 0: all */
	bool events;		/* single events, too */
	bool by_file;		/* rows are of files instead of VMs */
	bool quiet;		/* no objects, and not a word about what was lost */
	/* Told of each sample that is asked for; or NULL. */
	void (*saw)(void *ctx, const struct row *row);
	void *ctx;
};

struct replay;

/*
 * Opens the files, and the further segments of those that have some. NULL after a message.
 * The strings stay the caller's.
 */
struct replay *replay__open(const char *const *paths, size_t nr,
			    const struct monitor *const *monitors, size_t nr_monitors);
void replay__close(struct replay *r);

/* The monitors that were running in any of the files. Returns how many. */
size_t replay__chosen(const struct replay *r, struct chosen chosen[MAX_MONITORS]);

/* When the first one begins: its host's CLOCK_REALTIME. From then on local times are its host's. */
int64_t replay__start(const struct replay *r);

/* The longest interval of the files. */
uint64_t replay__interval_ns(const struct replay *r);

/* How many intervals of the files are between these moments, as in the options. */
uint64_t replay__count(const struct replay *r, int64_t from_ns, int64_t to_ns);

/* The first object of the first file; the last one of the last, which is there after it was run. */
struct json_object *replay__first(const struct replay *r);
struct json_object *replay__summary(const struct replay *r);

/* False: no file has single events of that monitor. */
bool replay__had_events(const struct replay *r, const struct monitor *m);

/* Hands all of it to the sink. 0, or -errno of the output. Says what is wrong with a file. */
int replay__run(struct replay *r, const struct replay_options *options, struct sink *sink);

#endif
