/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The output contract. A monitor declares its columns once; table, JSON and
 * CSV are generic over them. Adding a format touches no monitor and adding a
 * monitor touches no format.
 */
#ifndef KVM_WATCHER_COLUMN_H
#define KVM_WATCHER_COLUMN_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the member of the row struct is, and so how it is written. */
enum column_type {
	COL_STRING,  /* const char *; NULL is "absent" */
	COL_U32,     /* uint32_t; UINT32_MAX is "absent" */
	COL_U64,     /* uint64_t; UINT64_MAX is "absent" */
	COL_HEX,     /* uint64_t: hexadecimal in tables, a number elsewhere */
	COL_NSEC,    /* uint64_t nanoseconds; tables show the column's unit */
	COL_PERCENT, /* double, 0..100; NAN is "absent" */
	COL_DOUBLE,  /* double; NAN is "absent" */
	COL_BOOL,    /* bool, or uint8_t; BOOL_ABSENT is "absent" */
	COL_STRINGS, /* const char *const *, NULL-terminated: a JSON array */
	COL_S64,     /* int64_t; INT64_MIN is "absent" */
	COL_OBJECT,  /* struct json_object *: an object or array; NULL is "absent" */
	/* Inside the program only: other columns show what they hold. */
	COL_TIMES, /* struct times */
	COL_TALLY, /* struct tally */
	COL_BITS,  /* a set of bits, in uint64_t[]; size says how many bytes */
};

enum { BOOL_ABSENT = 2 };

/* LABEL names a series; COUNTER only grows over a run; GAUGE goes both ways. */
enum column_role { ROLE_LABEL, ROLE_COUNTER, ROLE_GAUGE };

/* What a gauge is of several sources, or over time. */
enum column_merge {
	MERGE_LAST,   /* the last one that was measured */
	MERGE_SUM,    /* of the sources' last ones */
	MERGE_MAX,    /* the greatest since the sink looked */
	MERGE_NONE,   /* there is none: absent where there are several */
	MERGE_WINDOW, /* the same, and it is of one interval, not of several */
};

/* What a column shows of its times. */
enum column_of_times {
	TIMES_NONE,
	TIMES_COUNT,
	TIMES_TOTAL,
	TIMES_MIN,
	TIMES_MAX,
	TIMES_MEAN,
	TIMES_P50,
	TIMES_P90,
	TIMES_P99,
};

enum column_flags {
	COL_TABLE_ONLY = 1 << 0, /* derived: JSON and CSV leave it out */
	COL_DATA_ONLY = 1 << 1,	 /* JSON and CSV only: a table has no room */
	COL_ONCE = 1 << 2,	 /* table: blank while it repeats the row above */
	COL_WIDE = 1 << 3,	 /* table: only where more than 100 columns fit */
	COL_USEC = 1 << 4,	 /* table: COL_NSEC in us instead of ms */
	COL_REST = 1 << 5, /* table: the last column, text that is never cut but by the terminal */
	COL_KEY_ONLY = 1 << 7, /* a label that tells series apart, and is not shown */
	COL_COMPUTED = 1 << 8, /* by the monitor, from the rest of the row, when it is shown */
	COL_WORSE = 1 << 9,    /* more of it is worse */
	COL_HIDDEN = 1 << 10,  /* for the monitor alone: no format shows it */
	COL_WORD = 1 << 11,    /* table: spaces are '_', so that it is one word */
	COL_NAME =
		1 << 12, /* somebody chose it for a process: masked in a recording for strangers */
	COL_IDLE = 1 << 13,    /* a label: where it is true the guest waits, which is no cost */
	COL_COST = 1 << 14,    /* numbers and times: tables begin with what has most of it */
	COL_STACK = 1 << 19,   /* times: a part of a whole, which those of one view add up to */
	COL_BUCKETS = 1 << 20, /* COL_OBJECT: [[from ns, count], ...], the buckets of a histogram */
	/* Names what the row is of, in pictures; a counter: the row's part of its view's state. */
	COL_FRAME = 1 << 15,
	COL_CLASS = 1 << 21,  /* text: what rows have in common with those whose time they hold */
	COL_WHOSE = 1 << 16,  /* a label: whose the row is, more exactly; nobody's who has ended */
	COL_BIG_HEX = 1 << 6, /* table: COL_OBJECT's large or marked numbers in hexadecimal */
};

/*
 * Where a table has too little room: what goes first. Other numbers go last; before the last one of
 * them goes, texts that are no label do, and what says DROP_IN_NEED.
 */
enum column_drop { DROP_LAST, DROP_FIRST, DROP_SECOND, DROP_THIRD, DROP_IN_NEED };

struct json_object;

struct column {
	const char *name;  /* JSON key and CSV heading, "total_ns" */
	const char *title; /* table heading, "TOTAL_TIME"; NULL with COL_DATA_ONLY */
	enum column_type type;
	enum column_role role;
	size_t offset;		    /* in the monitor's row struct */
	unsigned int views;	    /* bit mask of the views that have it; 0: all */
	unsigned int flags;	    /* enum column_flags */
	int width;		    /* least width in tables; at least the title's */
	enum column_drop drop;	    /* table */
	enum column_merge merge;    /* of gauges */
	enum column_of_times times; /* what it shows of the column of times at ... */
	size_t times_at;	    /* ... this offset */
	size_t size;		    /* COL_BITS: bytes */
	const char *help;
};

/* False: it is for the program alone. */
bool column__is_shown(const struct column *col);

#define COLUMN(_row, _member, _title, _type, _role, ...)                         \
	{                                                                        \
		.name = #_member, .title = _title, .type = _type, .role = _role, \
		.offset = offsetof(_row, _member), __VA_ARGS__                   \
	}

/* In a column: it shows that of the row's member of times, "P50" or "TOTAL". */
#define OF_TIMES(_row, _member, _what) .times = TIMES_##_what, .times_at = offsetof(_row, _member)

/*
 * A view is one table of a monitor: -e has two, KVM_EXIT and
 * KVM_USERSPACE_EXIT. Column masks say which view has which column. An array
 * of views ends with a NULL title.
 */
struct view {
	const char *title;    /* heading of the table, units included */
	const char *name;     /* "table" in data, of --table and of files; no other view's */
	const char *part_of;  /* --table and files have it where they have this one; or NULL */
	bool per_vcpu;	      /* rows are of one vCPU: tid and vcpu apply */
	bool again;	      /* people see the rows of another view here: no data */
	bool apart;	      /* of a file that the monitor writes beside the output */
	bool of_vm;	      /* rows are of one VM each, however others are grouped */
	bool histogram;	      /* people see one of its times at the end of a run */
	unsigned int samples; /* SAMPLES_OF(view) that it shows, itself or another; else none */
	/*
	 * For stacks: rows are parts of this state of a vCPU, and where a COL_IDLE is true parts of
	 * idle. Of several views of one state the last one counts: it is the finest.
	 */
	const char *state, *idle;
	const char *holds; /* the state of another view, whose time is in these rows', too */
};

/* In a view. */
#define SAMPLES_OF(_view) .samples = (_view) + 1

/* Every monitor's row struct begins with this. */
struct row {
	uint64_t ts_ns;	   /* CLOCK_MONOTONIC */
	const char *vm;	   /* the VM's name */
	const char *vm_id; /* no other VM's on this boot of the host; NULL: not known */
	uint32_t pid;	   /* the VMM's process */
	uint32_t tid;	   /* the vCPU's thread */
	uint32_t vcpu;
	uint64_t vm_nr; /* of the VM, no other one's in this run; 0: not known. Not shown */
};

enum scope { SCOPE_INTERVAL, SCOPE_TOTAL, SCOPE_EVENT };

const char *scope__name(enum scope scope);

#endif
