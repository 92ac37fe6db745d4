/* SPDX-License-Identifier: GPL-2.0-only */
/* The arithmetic of -o: from the kernel's records to a budget that adds up. */
#ifndef KVM_WATCHER_VCPU_BUDGET_H
#define KVM_WATCHER_VCPU_BUDGET_H

#include <stdint.h>

#include "vcpu_load.h"

enum { CPU_LIST_LEN = 64 };

/* Closes the state that is open at that moment, as the next event would. */
void budget__close(uint64_t ns[NR_BUDGET], const struct load_record *r, uint64_t now);

/*
 * An event takes its time before it is recorded, so that a look in between can
 * make a part fall. What was told stays, and parts that grew get that much less:
 * all only grow, and their sum is as it was.
 */
void budget__only_grow(uint64_t ns[NR_BUDGET], const uint64_t told[NR_BUDGET]);

/* The time in KVM, of which polling is a part; begins with zeros. */
struct kvm_split {
	uint64_t both, polled; /* as the kernel had them at the last look */
	uint64_t kvm, poll;    /* told apart; both only grow */
	uint64_t owed;	       /* polling that was told as KVM's */
};

/*
 * Polling is known when the halt ends, perhaps after a look that has told it as
 * time in KVM. It is then taken from the time that follows: the sum is right at
 * every look, and the parts are once as much time has passed in KVM.
 */
void budget__split(struct kvm_split *split, uint64_t both, uint64_t polled);

/* "0-2,5": as many as fit; NULL: none. */
const char *cpu_list__write(const uint64_t bits[CPU_WORDS], char text[CPU_LIST_LEN]);

#endif
