/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a monitor has in the kernel: an array of records, one per vCPU or as
 * many as are asked for, and the source that each record is (samples.h). Core
 * goes through them at every look; a monitor says what a record's labels are
 * and what it counts.
 */
#ifndef KVM_WATCHER_RECORD_SET_H
#define KVM_WATCHER_RECORD_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"
#include "shares.h"

struct attachment;
struct skeleton;
struct samples;
struct source;
struct times;
struct times_high;
struct timing;

/* The maps are members of the monitor's skeleton (skeleton.h). */
struct record_kind {
	size_t records; /* mapped array: by slot, or as the index says */
	size_t record_size;
	unsigned int per_slot; /* records for each slot; 1 without an index */
	size_t least;	       /* records at least; 0: what 256 slots have */

	/* Of records that are not one per slot; else 0. */
	size_t index;	     /* hash: a record's key -> its number */
	size_t key_at;	     /* where a record has its key */
	size_t free_records; /* stack of the numbers that are free */
	size_t shares;	     /* array: who has how many of them; 0: nobody counts */
	size_t slot_at;	     /* where a record has the slot of its vCPU, a u32 */
	bool of_vm;	     /* it has none: it is a VM's, and label() finds whose */

	/*
	 * By slot: what else the kernel has of a vCPU; or 0. A mapped array, or a variable
	 * of MAX_VCPU_SLOTS, which costs programs less to reach: the section's map, and
	 * where it is in there.
	 */
	size_t states;
	size_t states_at;
	size_t state_size;
	/*
	 * Where a state, and where a record, has the time at which something began that
	 * may last and is not over, a u64; 0: nowhere.
	 */
	size_t begins_in_state[2];
	size_t begins_in_record;

	/* Where a record has a u32 that is not 0 once a program has written its key ... */
	size_t in_use_at;
	/* ... or what tells instead; else NULL. */
	bool (*in_use)(const void *record);
	/*
	 * A record is seen for the first time: fills in the labels. row->row is the
	 * vCPU's already; with of_vm everything is left to this. Returns the view
	 * that the record is for, -EAGAIN to be asked again at the next look, or
	 * -ENOENT when the user does not ask for it.
	 */
	int (*label)(struct attachment *at, uint32_t index, struct row *row);
	/*
	 * The other view that the record is for as well, now that sample() has filled in row;
	 * label() fills in the labels of both. -ENOENT: none, or none yet. NULL: of no record.
	 */
	int (*also)(const struct attachment *at, uint32_t index, const struct row *row);
	/* At every look: everything in row but its labels. */
	void (*sample)(struct attachment *at, uint32_t index, struct row *row);
	/* The record is about to be cleared: what else goes with it; or NULL. */
	void (*forget)(struct attachment *at, uint32_t index);
	/*
	 * After a look: retires what has ended. NULL: records of ended vCPUs, and with
	 * of_vm those whose process had ended at the look before.
	 */
	void (*retire)(struct attachment *at);
};

struct record_set {
	struct skeleton *skel;
	const struct record_kind *kind;
	void *records, *states; /* the kernel's, mapped */
	void *variables;	/* the mapping that has the states in it */
	size_t records_size, variables_size;
	struct shares shares;
	size_t nr; /* records, number 0 included, which nobody has */
	struct record_owner {
		struct source *source; /* NULL: none yet */
		struct source *also;   /* of the other view; or NULL */
		bool unwanted;	       /* the user does not ask for it */
		bool ended;	       /* of_vm: its process had, at the last look */
		bool early;	       /* what it has so far was before the window */
		uint32_t tgid;
		struct times_high *high; /* of its times, of those that need it */
		uint64_t early_ns,
			passed_ns; /* records__passed(): before the window, and up to now */
	} * owners;		   /* by record */
	struct row *row;	   /* of the look that is under way */
	struct row *sampled; /* what sample() has made of it, while the labels are asked for */
};

/* Before skel is loaded: sizes of its maps; slot 0 counts as a slot. 0 or -errno. */
int records__prepare(struct record_set *set, const struct record_kind *kind,
		     const struct skeleton *skel, size_t nr_slots);
/* After that: so many more of each slot; the stack of free ones is for all of them. 0 or -errno. */
int records__add(struct record_set *set, const struct skeleton *skel, unsigned int per_slot);
/* skel is loaded: maps the arrays, all records are free. 0 or -errno. */
int records__open(struct record_set *set, struct skeleton *skel, size_t row_size);
/* Also of a set that was opened half-way, or not at all. */
void records__close(struct record_set *set, struct samples *samples);

/* Takes a sample of every record in use; while at->begins, as what was before the window. */
void records__look(struct attachment *at);
/* The window begins at at->now_ns: what is not over is cut there. */
void records__cut(struct attachment *at);
/* Makes room: after records__look(). */
void records__retire_ended(struct attachment *at);

/*
 * In sample(), of a record that one thread writes: that much of total_ns had
 * passed by the look's moment. What ended between that and the reading of the
 * record is the next interval's; so no interval has more than its own length,
 * but the last one, which has all that is left, and the run has no more than its own.
 */
uint64_t records__passed(struct attachment *at, uint32_t index, uint64_t total_ns);

/* In sample(): the times of a record, of which timing is a member. */
void records__times(struct attachment *at, uint32_t index, struct times *t, struct timing *timing);

/* Clears a record, which is free again; what it has brought stays in the store. */
void records__retire(struct attachment *at, uint32_t index);

static inline void *records__get(const struct record_set *set, uint32_t index)
{
	return (char *)set->records + index * set->kind->record_size;
}

static inline bool records__in_use(const struct record_set *set, uint32_t index)
{
	const void *record = records__get(set, index);

	if (set->kind->in_use)
		return set->kind->in_use(record);
	return __atomic_load_n((const uint32_t *)((const char *)record + set->kind->in_use_at),
			       __ATOMIC_ACQUIRE);
}

static inline void *records__state(const struct record_set *set, uint32_t slot)
{
	return (char *)set->states + slot * set->kind->state_size;
}

#endif
