/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of what guests ask for when they leave: MSRs, ports, addresses, CPUID leaves, ... */
#ifndef KVM_WATCHER_EXIT_DETAILS_H
#define KVM_WATCHER_EXIT_DETAILS_H

#include <stddef.h>
#include <stdint.h>

#include "exit_detail_kinds.h"

/* Long enough for every name. */
enum { EXIT_DETAIL_LEN = 96 };

/*
 * "write 0x6e0 IA32_TSC_DEADLINE", "out 0x70 1 B CMOS index", "(none)": what has no name
 * here is its number alone. Writes into buf and returns it.
 */
const char *exit_detail__name(uint32_t type, uint64_t value, char *buf, size_t size);

/* "msr", "pio", "mmio", "cpuid", "cr", "dr", "exception", "hypercall", "none" or "others" */
const char *exit_detail__kind(uint32_t type);

/* On SVM a reason says which register or exception it was for: then fills in both. */
void exit_detail__of_reason(unsigned int isa, uint32_t code, uint32_t *type, uint64_t *value);

/* Of the lists, for tests: the name behind the number; NULL: it has none here. */
const char *msr__name(uint32_t msr, char *buf, size_t size);
const char *port__name(uint16_t port);

#endif
