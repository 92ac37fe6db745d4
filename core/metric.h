/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a column is called where a fleet is monitored. A monitor lists its metrics beside its
 * columns; core/metrics.c is generic over them, and knows no monitor.
 */
#ifndef KVM_WATCHER_METRIC_H
#define KVM_WATCHER_METRIC_H

#include <stdbool.h>
#include <stddef.h>

enum metric_type {
	METRIC_COUNTER, /* "_total" is added to its name */
	METRIC_GAUGE,
	METRIC_HISTOGRAM, /* of a column of times */
	METRIC_INFO,	  /* 1, and labels; "_info" is added */
};

/* What a column's number is in, where its type does not say it. */
enum metric_scale { SCALE_BY_TYPE, SCALE_NSEC, SCALE_PAGES, SCALE_KIB };

enum { MAX_METRIC_LABELS = 5 };

struct metric {
	const char *name; /* a family: several rows of one name stand side by side */
	enum metric_type type;
	const char *help;
	unsigned int views;   /* bit mask of those whose rows it is of */
	size_t at;	      /* the column's offset in the row */
	const char *constant; /* a label that is always the same: state="guest"; or NULL */
	const char *key;      /* of a COL_OBJECT: the label that its members' names are */
	/* Columns that become labels. */
	struct metric_label {
		const char *name;
		size_t at;
	} labels[MAX_METRIC_LABELS];
	bool by_vcpu;	/* of each vCPU unless --metrics-by=vm; else of each VM */
	bool of_window; /* a gauge of what was just measured: it goes with it */
	enum metric_scale scale;
};

#define METRIC(_row, _type, _name, _at, ...)                                                  \
	{                                                                                     \
		.name = _name, .type = METRIC_##_type, .at = offsetof(_row, _at), __VA_ARGS__ \
	}

/* In a metric: that column of the row is a label of that name. */
#define LABEL(_row, _name, _at)            \
	{                                  \
		_name, offsetof(_row, _at) \
	}

#endif
