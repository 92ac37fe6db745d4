/* SPDX-License-Identifier: GPL-2.0-only */
/* Watching: attaches all monitors, then a window after the other until it ends. */
#ifndef KVM_WATCHER_LOOP_H
#define KVM_WATCHER_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "summary.h"

struct attach_env;
struct chosen;

struct watch_options {
	const struct chosen *chosen; /* nr_chosen of them, MAX_MONITORS at most */
	size_t nr_chosen;
	uint64_t time_ns; /* 0: until a signal */
	bool self_cost;	  /* say at the end what watching took */
	struct about about;
};

/*
 * After stop__open(). Measures until a signal, the time is over, the VM of the filter's process or
 * the reader of the output ends. 0, or -errno after a message.
 */
int loop__watch(struct attach_env *env, const struct watch_options *opts);

#endif
