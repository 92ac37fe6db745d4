/* SPDX-License-Identifier: GPL-2.0-only */
/* Who ran while a vCPU waited for the CPU, of -o: the worst of each sink's window. */
#ifndef KVM_WATCHER_VCPU_THIEVES_H
#define KVM_WATCHER_VCPU_THIEVES_H

#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"
#include "vcpu_load.h"

enum { TOP_THIEVES = 3 };

struct thieves;

/* How long a task had the CPU that a vCPU waited for. */
struct task_time {
	const char *comm; /* NULL: this and all that follow are none */
	uint32_t pid;
	uint64_t ns;
};

/* Slots are below nr_slots. Ended vCPUs beyond keep_ended are forgotten. NULL: out of memory. */
struct thieves *thieves__new(size_t nr_slots, size_t nr_sinks, size_t keep_ended);
void thieves__free(struct thieves *t);

/* The slot is that of the vCPU at the head of row, until it ends. Errors: it has no thieves. */
void thieves__begin(struct thieves *t, uint32_t slot, const struct row *row);
void thieves__end(struct thieves *t, uint32_t slot);

/* What the kernel has of a task and a slot now. */
void thieves__note(struct thieves *t, uint32_t slot, const struct thief *thief);

/*
 * The worst of the vCPU at the head of row; by SCOPE_INTERVAL since that sink
 * asked last. Names are there until the vCPU is forgotten.
 */
void thieves__top(struct thieves *t, const struct row *row, size_t sink, enum scope scope,
		  struct task_time top[TOP_THIEVES + 1]);

#endif
