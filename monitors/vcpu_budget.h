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
 * Polling is known when the halt ends, and then taken from kvm_ns, perhaps of
 * an interval that was reported already: their sum is right in each.
 */
void budget__settle(uint64_t *kvm, uint64_t *poll);

/* "0-2,5": as many as fit; NULL: none. */
const char *cpu_list__write(const uint64_t bits[CPU_WORDS], char text[CPU_LIST_LEN]);

#endif
