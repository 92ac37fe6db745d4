/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading what core/record.c has written. A recording may come from anywhere: whatever is in it,
 * the reader ends with an answer, and what it hands on are rows like those of a run.
 */
#ifndef KVM_WATCHER_RECORDING_H
#define KVM_WATCHER_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"
#include "monitor.h"

struct json_object;
struct recording;
struct times;

enum { MOST_TOLD = 2 };

/* A table of the file, and what it is here. */
struct recorded_table {
	const char *name;
	size_t monitor;			      /* among the recording's */
	unsigned int view;		      /* of it */
	const struct column *told[MOST_TOLD]; /* counters that times may tell */
	size_t nr_told;
	struct row *nothing; /* where nothing is said: zeros; what the file lacks is absent */
};

/* A monitor that was running. */
struct recorded_monitor {
	const struct monitor *monitor; /* NULL: this version does not know it */
	struct monitor_config config;
	bool had_events; /* single events were shown */
	char *unknown;	 /* columns that this version does not know, in words; or NULL */
};

struct recording_head {
	const char *path;
	int version;
	bool masked;
	size_t segments;
	const char *zone;
	struct json_object *start; /* the first object of the run */
	uint64_t start_ns;	   /* its clocks */
	int64_t real_offset_ns;
	uint64_t interval_ns; /* 0: none */
	const char *hostname, *vendor, *kernel;
	struct recorded_monitor monitors[MAX_MONITORS];
	size_t nr_monitors;
};

enum recorded {
	RECORDED_END,	 /* of the file; recording__why() has a sentence if it is damaged there */
	RECORDED_OBJECT, /* of the output: a VM, the summary */
	RECORDED_WINDOW, /* an interval, or the run, begins: its samples and lists follow */
	RECORDED_WINDOW_END,
	RECORDED_SAMPLE, /* one row of what the store had grown by */
	RECORDED_EVENT,	 /* a single event */
	RECORDED_LIST,	 /* a row of a list: in a window of the run */
};

/* What was read; pointers are good until the next one. */
struct recorded_line {
	enum recorded what;
	const struct recorded_table *table;
	struct row *row; /* may be changed; strings of gauges stay as long as the recording */
	struct json_object *more, *object;
	enum scope scope; /* of a window */
	uint64_t since_ns, now_ns;
	int64_t real_offset_ns; /* the last one that was said */
};

/*
 * Opens a file and reads its head. monitors: those that this version has, up to NULL. NULL: why
 * has the sentence, without the file's name.
 */
struct recording *recording__open(const char *path, const struct monitor *const *monitors,
				  size_t nr_monitors, char why[256]);
void recording__close(struct recording *rec);
const struct recording_head *recording__head(const struct recording *rec);

/*
 * The first times of a view's row; NULL: it has none. And the counter that they tell where a
 * sample does not say it: "count" is how many they are, "total_ns" their sum. False: it is none.
 */
const struct times *recording__times(const struct column *columns, unsigned int view_bit,
				     const struct row *row);
bool recording__told_by(const struct column *col, const struct times *times, uint64_t *told);

/* How many intervals of the file are between these moments of its host's clock; 0: all. */
uint64_t recording__count(const struct recording_head *head, int64_t from_ns, int64_t to_ns);

/*
 * The next one. An interval that is not whole is handed on up to where it is damaged, without
 * its end: who reads drops it.
 */
const struct recorded_line *recording__next(struct recording *rec);
/* At its end: NULL, or why that is not the end it should have; is it damaged, or just cut off? */
const char *recording__why(const struct recording *rec);
bool recording__is_damaged(const struct recording *rec);

#endif
