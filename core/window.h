/* SPDX-License-Identifier: GPL-2.0-only */
/* The period that rows are about, and where they go. */
#ifndef KVM_WATCHER_WINDOW_H
#define KVM_WATCHER_WINDOW_H

#include <stdint.h>

#include "../output/output.h"

struct monitor;
struct selection;

struct window {
	struct output *out;
	const struct selection *selection;
	enum scope scope;
	uint64_t since_ns, now_ns; /* CLOCK_MONOTONIC; both 0 with SCOPE_EVENT */
	bool total_follows;	   /* see struct section */
};

/* Begins a section for it. */
void window__begin(const struct window *window, const struct monitor *m, unsigned int view);

/* The same with other columns and another title. */
void window__begin_as(const struct window *window, const struct monitor *m, unsigned int view,
		      const struct view *as, const struct column *columns);

#endif
