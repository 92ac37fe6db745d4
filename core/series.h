/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a monitor has in the kernel and what user space keeps of it: arrays of
 * records, one record per vCPU or several, and a series for each record. A
 * vCPU that ends gives its records back; their series stay for the total.
 */
#ifndef KVM_WATCHER_SERIES_H
#define KVM_WATCHER_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/column.h"

struct bpf_object;
struct vcpus;
struct vm_ref;

/* How every monitor's series begins. */
struct series_head {
	struct row row;
	const struct vm_ref *vm;
	bool chosen; /* by -p, --vm and --vcpu */
	bool quiet;  /* did not grow in the interval */
	bool ended;  /* its VM, at the last series__retire_ended_vms() */
};

/* The maps are the BPF object's, by name. */
struct series_kind {
	size_t size;	     /* of a series */
	const char *records; /* mapped array: by slot, or as the index says */
	size_t record_size;
	unsigned int per_slot; /* records for each slot, 1 without an index */
	/* Of records that are not one per slot; else NULL. */
	const char *index;	  /* hash: a record's key -> its number */
	size_t key_at;		  /* where a record has its key */
	const char *free_records; /* queue of the numbers that are free */
	size_t slot_at;		  /* where a record has the slot of its vCPU, a u32 */
	/*
	 * By slot: what else the kernel has of a vCPU; or NULL. A mapped array, or a variable
	 * of MAX_VCPU_SLOTS, which costs programs less to reach.
	 */
	const char *states;
	size_t state_size;
	/* Called before a record is cleared: what else goes with its series; or NULL. */
	void (*forget)(const struct bpf_object *obj, void *series, uint32_t index);
};

struct series_set {
	const struct series_kind *kind;
	void *records, *states; /* the kernel's, mapped */
	void *variables;	/* the mapping that has the states in it */
	size_t records_size, variables_size;
	size_t nr;   /* records, number 0 included, which nobody has */
	void **live; /* by record */
	void **gone;
	size_t nr_gone, room_gone;
};

/* Before obj is loaded: sizes of its maps; slot 0 counts as a slot. 0 or -errno. */
int series__prepare(struct series_set *set, const struct series_kind *kind, struct bpf_object *obj,
		    size_t nr_slots);
/* obj is loaded: maps the arrays, all records are free. 0 or -errno. */
int series__open(struct series_set *set, const struct bpf_object *obj);
/* Also of a set that was opened half-way, or not at all. */
void series__close(struct series_set *set);

/* The series of a record in use, zeroed but for its head when it is new; NULL: of no known vCPU. */
void *series__of(struct series_set *set, struct vcpus *vcpus, uint32_t index);
/* The same, all zero, for records that are not a vCPU's. NULL: out of memory. */
void *series__add(struct series_set *set, uint32_t index);

/* Puts the series aside, if there is one, and clears the record: it is free again. */
void series__retire(struct series_set *set, const struct bpf_object *obj, uint32_t index);
/* Does so with all whose VM's process ended an interval ago: all that it did is shown now. */
void series__retire_ended_vms(struct series_set *set, const struct bpf_object *obj);
/* Does so with all that are of vCPUs that have ended, and clears these vCPUs' states. */
void series__retire_ended(struct series_set *set, const struct vcpus *vcpus,
			  const struct bpf_object *obj);

/*
 * The chosen ones, to be freed. NULL: out of memory. with_gone: those of the
 * whole run, the ended ones too; otherwise those that are live and not quiet.
 */
void **series__list(const struct series_set *set, bool with_gone, size_t *nr);
/* The same, by VM and vCPU. */
void **series__sorted(const struct series_set *set, bool with_gone, size_t *nr);
/* That order, for qsort() of such a list. */
int series__by_vcpu(const void *a, const void *b);

#endif
