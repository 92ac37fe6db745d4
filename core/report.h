/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the kernel to the sinks. A look takes a sample of everything; a report
 * gives one sink what it has not seen. Both go through all attachments.
 */
#ifndef KVM_WATCHER_REPORT_H
#define KVM_WATCHER_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "../output/output.h"

struct attach_env;
struct attachment;

/* Who is shown rows. Each has an interval of its own. */
struct sink {
	struct output *out;
	uint64_t interval_ns; /* 0: it is shown totals only */
	uint64_t since_ns;    /* what its next interval begins with */
	uint64_t due_ns;      /* and when it ends */
};

enum { MAX_SINKS = 8 };

/* What is attached. */
struct attached {
	struct attachment *list[16];
	size_t nr;
};

/* Takes a sample of everything; then those that have ended are let go. Returns when that was. */
uint64_t report__look(struct attach_env *env, const struct attached *attached);

/* Gives a sink the interval that ends now: what has grown since its last one. */
void report__interval(struct attach_env *env, const struct attached *attached, size_t sink,
		      uint64_t now_ns);

/* Gives it all there is since start_ns, and the lists of the run. */
void report__total(struct attach_env *env, const struct attached *attached, size_t sink,
		   uint64_t start_ns, uint64_t now_ns);

#endif
