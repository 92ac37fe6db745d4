/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A monitor: one row in monitors.c, one BPF file and one user-space file in
 * monitors/. Nothing else in the program knows a monitor by name.
 */
#ifndef KVM_WATCHER_MONITOR_H
#define KVM_WATCHER_MONITOR_H

#include <stddef.h>

#include "column.h"

struct attachment;
struct bpf_object;
struct hook;
struct run;

struct monitor {
	const char *name; /* long option, and "monitor" in the output */
	char key;	  /* short option */
	const char *help; /* one line of --help */
	const char *with; /* long option this one needs, or NULL: it changes what that one shows */

	/* From here on: what a monitor has that measures something itself. */
	const struct view *views;
	const struct column *columns;
	const struct hook *hooks; /* what it needs, see attach.h */

	/* The BPF object, as bpftool's skeleton carries it. */
	const void *(*elf)(size_t *size);
	/* Before the object is loaded: sizes of maps, constants. 0 or -errno. */
	int (*prepare)(struct run *run, struct bpf_object *obj);
	/* The object is loaded, its programs are not attached yet. 0 or -errno. */
	int (*start)(struct run *run, struct attachment *at);
	/* Writes the rows of the interval that ends now, or of the whole run. */
	void (*report)(struct run *run, struct attachment *at, enum scope scope);
	/*
	 * One event of the object's ring "events" (bpf/events.bpf.h), or NULL.
	 * The section of view event_view is open: writes a row into it.
	 */
	void (*event)(struct run *run, struct attachment *at, const void *data, size_t size);
	unsigned int event_view;
	/* All hooks are attached, iterators have run; or NULL. */
	void (*attached)(struct run *run, struct attachment *at);
	/* The hooks are about to be detached: the last moment when they are complete; or NULL. */
	void (*ending)(struct run *run, struct attachment *at);
	/* Undoes start, also one that failed half-way. */
	void (*stop)(struct run *run, struct attachment *at);
};

extern const struct monitor *const monitors[];
extern const size_t nr_monitors;

/* True for a monitor that has an object of its own: all but switches. */
static inline bool monitor__measures(const struct monitor *m)
{
	return m->elf;
}

#endif
