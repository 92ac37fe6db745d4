/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A monitor: one row in monitors/monitors.c, one BPF file and one user-space
 * file beside it. Nothing else in the program knows a monitor by name.
 */
#ifndef KVM_WATCHER_MONITOR_H
#define KVM_WATCHER_MONITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "../output/column.h"

struct attachment;
struct bpf_object;
struct hook;
struct window;

enum { MAX_MONITORS = 16 };

/* Room for the values of a monitor's own options, which all begin as 0. */
struct monitor_config {
	_Alignas(8) char bytes[32];
};

/* An option that only this monitor knows. */
struct monitor_option {
	const char *name;
	char key;	 /* 0: none */
	const char *arg; /* what it takes, for --help; NULL: nothing */
	const char *help;
	bool is_part; /* --help has it among the monitors; without its monitor it is an error */
	/* Puts arg into config. NULL, or what is wrong with arg: the rest of a sentence. */
	const char *(*set)(void *config, const char *arg);
};

struct monitor {
	const char *name; /* long option, and "monitor" in the output */
	char key;	  /* short option */
	const char *help; /* one line of --help */
	/* Its own options, up to one without a name, or NULL; and the size of what they fill. */
	const struct monitor_option *options;
	size_t config_size;

	const struct view *views;
	const struct column *columns;
	const struct hook *hooks; /* what it needs, see attach.h */

	/* The BPF object, as bpftool's skeleton carries it. */
	const void *(*elf)(size_t *size);
	/* Before the object is loaded: sizes of maps, constants. 0 or -errno. */
	int (*prepare)(struct attachment *at, struct bpf_object *obj);
	/* The object is loaded, its programs are not attached yet. 0 or -errno. */
	int (*start)(struct attachment *at);
	/* Writes the rows of the interval that ends now, or of the whole run. */
	void (*report)(struct attachment *at, const struct window *window);
	/*
	 * One event of the object's ring "events" (bpf/events.bpf.h), or NULL.
	 * The section of view event_view is open: writes a row into it.
	 */
	void (*event)(struct attachment *at, const void *data, size_t size);
	unsigned int event_view;
	/* All hooks are attached, iterators have run; or NULL. */
	void (*attached)(struct attachment *at);
	/* The hooks are about to be detached, and still complete; or NULL. */
	void (*ending)(struct attachment *at);
	/* Undoes start, also one that failed half-way. */
	void (*stop)(struct attachment *at);
};

/* One that the user asks for, and its own options. */
struct chosen {
	const struct monitor *monitor;
	const void *config;
};

#endif
