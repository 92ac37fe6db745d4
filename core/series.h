/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What user space keeps of each vCPU for a monitor that has one record per
 * slot. A vCPU that ends gives its slot back; its series stays for the total.
 */
#ifndef KVM_WATCHER_SERIES_H
#define KVM_WATCHER_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "column.h"

struct run;

/* How every monitor's series begins. */
struct series_head {
	struct row row;
	bool chosen;		/* by -p, --vm and --vcpu */
};

struct series_set {
	size_t size;		/* of a series */
	size_t nr_slots;	/* slot 0 included */
	void **live;		/* by slot */
	void **gone;
	size_t nr_gone, room_gone;
};

/* 0 or -errno. */
int series__open(struct series_set *set, size_t nr_slots, size_t size);
void series__close(struct series_set *set);

/* The series of the vCPU in that slot, zeroed when it is new; NULL: not a known vCPU. */
void *series__of(struct series_set *set, const struct run *run, uint32_t slot);

/* True when the vCPU has ended and its series was put aside: the slot's record is to be cleared. */
bool series__retire(struct series_set *set, const struct run *run, uint32_t slot);

/* The chosen ones by VM and vCPU; with_gone: the ended ones too. To be freed. */
void **series__sorted(const struct series_set *set, bool with_gone, size_t *nr);

#endif
