/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Watching: attaches monitors, then a window after the other until it ends. A driver may steer it
 * meanwhile: measure other monitors, look when somebody asks, end it.
 */
#ifndef KVM_WATCHER_LOOP_H
#define KVM_WATCHER_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"
#include "summary.h"

struct attach_env;
struct attachment;
struct chosen;
struct run;

/*
 * Who steers a run. The loop calls it between two of its steps, in its own thread. Each function
 * may be NULL; it returns 0, RUN_END when the run is over, or -errno when it failed.
 */
enum { RUN_END = 1 };

struct driver {
	void *ctx;
	int fd;					     /* -1: none */
	int (*began)(void *ctx, struct run *run);    /* the first interval begins */
	int (*ready)(void *ctx, struct run *run);    /* fd is readable */
	int (*reported)(void *ctx, struct run *run); /* sinks have got their interval */
};

struct watch_options {
	const struct chosen *chosen; /* nr_chosen of them, MAX_MONITORS at most */
	size_t nr_chosen;
	uint64_t time_ns; /* 0: until a signal */
	bool self_cost;	  /* say at the end what watching took */
	struct about about;
	const struct driver *driver; /* or NULL */
	uint32_t measured;	     /* which of chosen[] at first, 1 << index; 0: all */
	bool records;		     /* the driver may begin recordings (broker__new_recording()) */
	bool quiet; /* not a word of what is watched, missing or lost: the driver says it */
};

/*
 * After stop__open(). Measures until a signal, the time is over, the VM of the filter's process or
 * the reader of the output ends. 0, or -errno after a message.
 */
int loop__watch(struct attach_env *env, const struct watch_options *opts);

/* For a driver. */

/*
 * Which of chosen[] are measured from now on, as watch_options' measured. If that changes, sinks
 * with an interval get what was measured until now, the others are detached, and what is new
 * counts from its own beginning. What the host refuses is left out: run__measured(), and
 * run__attachment() has why. 0, or -errno when nothing more can be measured.
 */
int run__measure(struct run *run, uint32_t chosen);
uint32_t run__measured(const struct run *run);
/* The same, and all that was measured before is forgotten: the run begins now. */
int run__restart(struct run *run, uint32_t chosen);

/* A fresh sample of everything; returns its moment. */
uint64_t run__look(struct run *run);
/* Gives these sinks (1 << index) their interval or the total until that sample. */
void run__report(struct run *run, uint64_t sinks, enum scope scope);

/*
 * A sink whose place was kept has an output from now on: its first object, and intervals since the
 * run began (run__restart()); and it has none any more, when it has got the rest. 0 or -errno.
 */
void run__begin_sink(struct run *run, size_t sink);
int run__end_sink(struct run *run, size_t sink);

/* Of chosen[i], attached or not: its needs say what this host has. */
const struct attachment *run__attachment(const struct run *run, size_t i);
/* Since the run began, also by what is detached. */
void run__losses(const struct run *run, uint64_t lost[NR_LOST]);
uint64_t run__start_ns(const struct run *run);

#endif
