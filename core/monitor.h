/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A monitor: one row in monitors/monitors.c, one BPF file and one user-space file in
 * monitors/. Nothing else in the program knows a monitor by name.
 */
#ifndef KVM_WATCHER_MONITOR_H
#define KVM_WATCHER_MONITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "../output/column.h"
#include "skeleton.h"

struct attachment;
struct hook;
struct json_object;
struct metric;
struct record_kind;
struct row_sum;
struct sample;
struct window;

enum { MAX_MONITORS = 24 };

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
	char key;	  /* short option; 0: none */
	const char *help; /* one line of --help */
	/* Its own options, up to one without a name, or NULL; and the size of what they fill. */
	const struct monitor_option *options;
	size_t config_size;

	unsigned int archs; /* only there can it measure (enum host_arch); 0: everywhere */
	const struct view *views;
	const struct column *columns;
	const struct metric *metrics; /* core/metric.h, up to one without a name; or NULL */
	uint64_t look_ns;  /* it wants a look so often, if no sink does; 0: it does not care */
	size_t row_size;   /* of its row struct, which begins with struct row */
	size_t state_size; /* of what it keeps while it is attached: at->state, zero at first */
	const struct hook *hooks;	   /* what it needs, see attach.h; NULL: nothing */
	const struct record_kind *records; /* what its programs count in; or NULL */

	/* The BPF object: DEFINE_OPEN_SKELETON(). NULL without hooks. */
	struct skeleton *(*open_skeleton)(const struct bpf_object_open_opts *opts);

	/* Each of these may be NULL. */

	/* Before the object is loaded: sizes of maps, constants. 0 or -errno. */
	int (*prepare)(struct attachment *at, void *skel);
	/* The object is loaded, its programs are not attached yet. 0 or -errno. */
	int (*start)(struct attachment *at);
	/* Undoes start, also one that failed half-way. */
	void (*stop)(struct attachment *at);
	/* All hooks are attached, iterators have run. */
	void (*attached)(struct attachment *at);
	/*
	 * A look, before and after the records are looked at (records.h). While at->begins
	 * there is nothing to be shown yet: what was counted so far is to be forgotten.
	 */
	void (*look)(struct attachment *at);
	void (*looked)(struct attachment *at);

	/*
	 * Why a view is not there with these options: the rest of a sentence that begins with its
	 * name; NULL: it is.
	 */
	const char *(*without)(const void *config, unsigned int view);
	/* What goes beyond the columns. A view is not shown where this is false. */
	bool (*shows)(const struct attachment *at, unsigned int view, enum scope scope);
	/* Fills in what is COL_COMPUTED. Objects are put by the caller. */
	void (*finish)(struct attachment *at, const struct sample *sample,
		       const struct window *window);
	/*
	 * What finish() has of a sample beyond its columns, for a recording; NULL: nothing. It is
	 * given back before a sample is taken that was recorded (at->replays); of what the columns
	 * hold row has all.
	 */
	struct json_object *(*save)(struct attachment *at, const struct sample *sample,
				    const struct window *window);
	void (*load)(struct attachment *at, struct row *row, struct json_object *saved);
	/* A line for people over the rows of each vCPU. */
	const struct row_sum *sum;
	/* Writes the rows of a view another way. False: as they are. */
	bool (*write)(struct attachment *at, unsigned int view, const struct sample *list,
		      size_t nr, const struct window *window);
	/* At the end of a run: rows that are no samples, or files. */
	void (*lists)(struct attachment *at, const struct window *window);

	/*
	 * One event of the object's ring "events" (bpf/events.bpf.h), with the section of
	 * view event_view open: makes a row of it for events__row().
	 */
	void (*event)(struct attachment *at, const void *data, size_t size);
	unsigned int event_view;
	/*
	 * In its row: the time that --slower-than compares; UINT64_MAX where it is not known.
	 * 0: its events have none, and are not there with that option.
	 */
	size_t event_ns_at;
	unsigned int slow_view; /* the view of those, where it is another one; 0: it is not */
	bool only_slow;		/* it has single events with --slower-than alone */
	bool events_alone; /* they are shown where it is the only monitor, also without --events */
	bool keeps_events; /* those that are not shown it puts into a file, unless --summary */
	bool writes_files; /* at the end of the run */
};

/* See struct monitor. */
struct row_sum {
	const char *label;
	size_t label_at;		    /* the column that shows it */
	bool (*has)(const struct row *row); /* the row is a part of the sum */
};

/* One that the user asks for, and its own options, as they were given and what they filled. */
struct chosen {
	const struct monitor *monitor;
	const void *config;
	const struct given_option {
		const struct monitor_option *option;
		const char *arg; /* or NULL */
	} * given;
	size_t nr_given;
	uint64_t slower_ns; /* its single events that took longer are shown; 0: as of all */
};

#endif
