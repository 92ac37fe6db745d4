/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the kernel to the sinks. A look takes a sample of everything; a report
 * gives one sink what it has not seen. Both go through all attachments.
 */
#ifndef KVM_WATCHER_REPORT_H
#define KVM_WATCHER_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "monitor.h"
#include "sink.h"
#include "window.h"

struct attach_env;
struct attachment;

/* What is attached. */
struct attachments {
	struct attachment *list[MAX_MONITORS];
	size_t nr;
};

/*
 * The window begins: nothing that happened before is shown. Returns its moment,
 * which is exact to the time that a look takes; of what lasts, to the nanosecond.
 */
uint64_t report__begin(struct attach_env *env, const struct attachments *attached);

/* The window ends: the last look, before anything is detached. Returns its moment. */
uint64_t report__end(struct attach_env *env, const struct attachments *attached);

/* Shows the events that wait. */
void report__events(const struct attachments *attached);

/* Takes a sample of everything; then those that have ended are let go. Returns when that was. */
uint64_t report__look(struct attach_env *env, const struct attachments *attached);

/*
 * Gives sinks (a mask of 1 << index) the interval that ends now: what has grown since their last
 * one. total_follows (a mask): it is all of the run, whose total is next. All are given one
 * monitor after the other, so events that come meanwhile are at the same place in all.
 */
void report__intervals(struct attach_env *env, const struct attachments *attached, uint64_t sinks,
		       uint64_t now_ns, uint64_t total_follows);

/* Gives them all there is since start_ns, and the lists of the run. */
void report__totals(struct attach_env *env, const struct attachments *attached, uint64_t sinks,
		    uint64_t start_ns, uint64_t now_ns);

/* The same in parts, between which somebody else may write to the sink. */
struct report {
	struct attach_env *env;
	const struct attachments *attached;
	struct window window;
	size_t sink, next; /* the attachment that is next */
	unsigned int lines;
};

void report__open(struct report *r, struct attach_env *env, const struct attachments *attached,
		  size_t sink, const struct window *window);
/* Those before that one which have not been written. */
void report__write_until(struct report *r, size_t end);
void report__close(struct report *r);

#endif
