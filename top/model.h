/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the screens show: the rows of every interval, by table, as far back as memory goes. An
 * output fills it, of a run or of recordings alike. Only what is not zero is kept, oldest first
 * out. One thread fills it, another one reads it.
 */
#ifndef KVM_WATCHER_TOP_MODEL_H
#define KVM_WATCHER_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/monitor.h"
#include "../output/output.h"

enum { MODEL_TABLES = 80, TABLE_COLUMNS = 64, HISTORY_BYTES = 64 << 20 };

/* A view of a monitor. */
struct table {
	const struct monitor *monitor;
	const struct view *view;
	size_t at; /* in the model */
	size_t monitor_at;
	unsigned int view_bit;
	bool of_events;
	const struct column *columns[TABLE_COLUMNS];
	size_t nr_columns;
	const struct column *times; /* whose buckets are kept; NULL: none */
};

enum cell_kind { CELL_NONE, CELL_U64, CELL_S64, CELL_REAL, CELL_TEXT };

struct cell {
	enum cell_kind kind;
	union {
		uint64_t u;
		int64_t s;
		double real;
		const char *text;
	};
};

/* NAN: it is no number, or absent. */
double cell__value(const struct cell *cell);

/* The cells of a struct that begins with struct row, by columns; texts stay where they are. */
struct arena;
void cells__read(const struct column *const *columns, size_t nr, const struct row *row,
		 struct cell *cells);

struct bucket {
	uint32_t at; /* of bpf/records.h's histogram */
	uint64_t count;
};

/* A VM as a frame has it. */
struct model_vm {
	uint64_t key; /* the same in every frame */
	const char *name, *id;
	uint32_t pid;
	uint32_t vcpus;	       /* whose time is known */
	uint64_t lost_ns;      /* by its vCPUs while they had work */
	uint64_t work_ns;      /* while they had work */
	uint64_t wall_ns;      /* of those that do not stand still */
	uint64_t spent_ns[8];  /* enum spent */
	bool guest_is_hidden;  /* this host can't tell the guest from KVM */
	const char *finding;   /* the costliest; NULL: none */
	unsigned int severity; /* of diagnose */
};

/* Where time goes, in the order of the bars. */
enum spent {
	SPENT_GUEST,
	SPENT_KVM,
	SPENT_VMM,
	SPENT_STEAL,
	SPENT_BLOCKED,
	SPENT_POLL,
	SPENT_HALTED,
	NR_SPENT,
};

/* 0..1; NAN: not known. Who has hardly any work loses hardly anything. */
double pain_of(double lost_ns, double work_ns, double wall_ns);

/* Where the guest is not told from KVM: what is known to be lost. */
uint64_t lost_of(const uint64_t spent[NR_SPENT], uint64_t work_ns, bool guest_is_known);

/* A row as it is read. */
struct model_row {
	const struct table *table;
	uint64_t labels;	   /* a hash of them, whatever VM's; the same in every frame */
	uint64_t ts_ns;		   /* of an event */
	const struct model_vm *vm; /* NULL: of none, or of several */
	uint32_t tid, vcpu;	   /* UINT32_MAX: of none, or of several */
	unsigned int nr_merged;	   /* vCPUs that it was merged of */
	struct cell *cells;	   /* of the table's columns */
	struct bucket *buckets;
	size_t nr_buckets;
};

/* The rows of one interval. It is not changed once it is complete. */
struct frame {
	uint64_t nr; /* which one it is of the run */
	uint64_t since_ns, now_ns;
	int64_t real_offset_ns;
	bool is_total;
	struct model_vm *vms;
	size_t nr_vms;
	struct frame_table {
		size_t first, size; /* in data */
		size_t nr;
		bool has; /* the table was written, if without a row */
	} tables[MODEL_TABLES];
	unsigned char *data;
	char *strings;
	size_t size; /* bytes of all of it */
	unsigned int users;
};

struct model;

struct model *model__new(const struct monitor *const *monitors, size_t nr_monitors,
			 size_t most_bytes);
void model__free(struct model *m);

size_t model__nr_tables(const struct model *m);
const struct table *model__table(const struct model *m, size_t at);
/* Rows of it may be there: it was written once. */
bool model__has_had(const struct model *m, const struct table *t);
/* By the view's name; NULL: there is none. */
const struct table *model__find(const struct model *m, const char *name);
/* The place of a column; -1: the table has none of that name. */
int table__column(const struct table *t, const char *name);

/* An output that fills it; NULL: out of memory. Freed before the model is. */
struct output *model__output(struct model *m);
/*
 * Another output gets all that the model is given. After each interval finding() is asked for each
 * VM: 0, or a severity, and text.
 */
struct model_rules {
	struct output *out;
	unsigned int (*finding)(void *ctx, uint32_t pid, const char *id, char *text, size_t size);
	void *ctx;
};
void model__set_rules(struct model *m, const struct model_rules *rules);
/* Called without the lock after each interval, in the thread that fills it. */
void model__on_frame(struct model *m, void (*call)(void *ctx), void *ctx);

/* Whoever fills it finds nobody reading: its output fails with EPIPE from now on. */
void model__end(struct model *m);

/* The history is changed and read with the lock. */
void model__lock(struct model *m);
void model__unlock(struct model *m);

/* With the lock: how many there are, and one of them, 0 the oldest. */
size_t model__nr_frames(const struct model *m);
struct frame *model__frame(const struct model *m, size_t at);
/* The place of the frame of that number, or of the first one after it. */
size_t model__place(const struct model *m, uint64_t nr);
size_t model__bytes(const struct model *m);
uint64_t model__evicted(const struct model *m);
bool model__failed(const struct model *m);
/* Forgets all frames. */
void model__clear(struct model *m);
/* Keeps it, whatever becomes of the history; the last one that lets go frees it. */
struct frame *frame__get(struct frame *f);
void model__put(struct model *m, struct frame *f);
struct frame *model__take_total(struct model *m);

/* What is missing on this host, and what was lost; with the lock. */
struct missing {
	char monitor[32], need[64], gives[160], why[256];
};
void model__set_missing(struct model *m, const struct missing *list, size_t nr);
size_t model__missing(const struct model *m, const struct missing **list);
void model__set_lost(struct model *m, uint64_t lost);
uint64_t model__lost(const struct model *m);

/* Which rows are read. */
struct pick {
	uint64_t vm;	 /* key; 0: all */
	uint64_t labels; /* 0: all */
	uint32_t tid;	 /* 0: all */
};

/* The rows of a table; they live as long as the arena and the frame. Returns how many. */
size_t frame__rows(const struct frame *f, const struct table *t, const struct pick *pick,
		   struct arena *arena, struct model_row **rows);
const struct model_vm *frame__vm(const struct frame *f, uint64_t key);

/* Memory that is freed at once. */
struct arena *arena__new(void);
void arena__free(struct arena *a);
void arena__reset(struct arena *a);
/* Zeros; ends the program with a sentence when there is no memory. */
void *arena__get(struct arena *a, size_t size);
char *arena__printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena__copy(struct arena *a, const char *text);

/* What tells it from all others of its table. */
uint64_t row__key(const struct model_row *row);

/* Rows that differ in their vCPU alone (by_host: or in their VM) become one. */
size_t rows__merge(struct model_row *rows, size_t nr, bool by_host, struct arena *arena,
		   struct model_row **merged);
/* From buckets, 0 < percent <= 100; NAN: there are none. */
double buckets__percentile(const struct bucket *buckets, size_t nr, double percent);

#endif
