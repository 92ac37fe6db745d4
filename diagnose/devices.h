/* SPDX-License-Identifier: GPL-2.0-only */
/* Exits by what they were for: which device of the guest's it was. */
#ifndef KVM_WATCHER_DEVICES_H
#define KVM_WATCHER_DEVICES_H

#include "rule.h"

/* Accesses to a range of ports, addresses or MSRs; the first members choose. */
struct devices {
	const char *class; /* "io", "msr", "fault|mmio" */
	double first, last;
	const char *name;
	double count, writes, to_vmm, kvm_ns, vmm_ns;
};

void devices__count(struct devices *d, const struct look *l);
/* Adds what a row of KVM_EXIT_DETAIL has, if it is of that. */
void devices__add(struct devices *d, const struct look *l, const struct fact *row);

/* The device with the most accesses that went to the VMM, of ports or of pages. */
struct devices devices__worst(const struct look *l, const char *class, double *all_to_vmm);

/* The cheapest class of exits takes so long that the host itself must be slow: its median. */
bool host_is_slow(const struct look *l, double *p50_ns);

#endif
