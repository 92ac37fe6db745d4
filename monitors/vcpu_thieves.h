/* SPDX-License-Identifier: GPL-2.0-only */
/* Who ran while a vCPU waited for the CPU, of -o: the worst of each sink's window. */
#ifndef KVM_WATCHER_VCPU_THIEVES_H
#define KVM_WATCHER_VCPU_THIEVES_H

#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"
#include "vcpu_load.h"

struct vm_ref;

/* KEEP_THIEVES: the worst of a vCPU, which are always known one by one. */
enum { TOP_THIEVES = 3, KEEP_THIEVES = 32, THIEF_NAME_LEN = 128 };

struct thieves;

/*
 * How long somebody had the CPU that a vCPU waited for: a vCPU, the threads of
 * one name of a VMM, another task, or tasks of one name.
 */
struct loot {
	const struct vm_ref *vm; /* NULL: it is no VM's */
	uint32_t vcpu;		 /* UINT32_MAX: it is none */
	const char *comm;	 /* NULL: this and all that follow are none */
	uint32_t pid;		 /* the thread's; UINT32_MAX: there are several of that name */
	unsigned int more;	 /* of the same VM, with less each, that are in ns */
	uint64_t ns;
};

/* "db1/vcpu1", "db1 (worker)" or "make", and how many more are in it: "db1/vcpu1 +3". */
const char *loot__name(const struct loot *loot, char name[THIEF_NAME_LEN]);

/* Slots are below nr_slots. Ended vCPUs beyond keep_ended are forgotten. NULL: out of memory. */
struct thieves *thieves__new(size_t nr_slots, size_t nr_sinks, size_t keep_ended);
void thieves__free(struct thieves *t);

/* The slot is that of the vCPU at the head of row, until it ends. Errors: it has no thieves. */
void thieves__begin(struct thieves *t, uint32_t slot, const struct row *row);
void thieves__end(struct thieves *t, uint32_t slot);

/*
 * What a task has taken from the vCPU of key.slot since the last time. vm, and vcpu of it: if the
 * task is one of theirs, else NULL and UINT32_MAX. Without a task (key.tid 0) nobody is named.
 */
void thieves__note(struct thieves *t, const struct thief *thief, const struct vm_ref *vm,
		   uint32_t vcpu);

/*
 * What was taken from the vCPU at the head of row, all in all, and the worst: one by one, and
 * summed by VM, or by name where they are no VM's. By SCOPE_INTERVAL since that sink asked last.
 * Names are there until the next thieves__note().
 */
uint64_t thieves__top(struct thieves *t, const struct row *row, size_t sink, enum scope scope,
		      struct loot tasks[TOP_THIEVES + 1], struct loot sums[TOP_THIEVES + 1]);

/*
 * All that thieves__top() would sum up, one by one, in its place: for a recording. loot->comm is
 * NULL where nobody is named.
 */
void thieves__each(struct thieves *t, const struct row *row, size_t sink, enum scope scope,
		   void (*take)(void *ctx, const struct loot *loot), void *ctx);

/* And back: so much was taken from the vCPU at the head of row. */
void thieves__add(struct thieves *t, const struct row *row, const struct loot *loot);

/* The log of a CPU, whose programs go on writing it. */
struct thief_log {
	struct thief *thieves;
	size_t room;  /* for so many */
	uint32_t *nr; /* of them are in it */
	size_t *read; /* so many were, at the last look */
};

/* Adds to ns_of[slot] what is in the log. */
void thief_log__sum(const struct thief_log *log, uint64_t *ns_of, size_t nr_slots);

/*
 * Hands over what is in the log, each nanosecond once, and begins it anew. What a program adds to
 * a place after that was read is handed over the next time.
 */
void thief_log__take(const struct thief_log *log,
		     void (*take)(void *ctx, const struct thief *thief), void *ctx);

#endif
