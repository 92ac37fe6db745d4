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
	double count, writes, to_vmm, total_ns;
	double kvm_ns, vmm_ns; /* filled in by devices__count() and devices__worst() */
};

void devices__count(struct devices *d, const struct look *l);

/*
 * The device with the most accesses that went to the VMM, of ports or of pages, or of single ports
 * that takes says yes to. all_to_vmm: those of all devices together.
 */
struct devices devices__worst(const struct look *l, const char *class,
			      bool (*takes)(const struct fact *row), double *all_to_vmm);

/* The cheapest class of exits takes so long that the host itself must be slow: its median. */
bool host_is_slow(const struct look *l, double *p50_ns);

#endif
