/* SPDX-License-Identifier: GPL-2.0-only */
/* Which VMs and vCPUs the user asks for. */
#ifndef KVM_WATCHER_FILTER_H
#define KVM_WATCHER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MAX_VCPU = 65535 };

struct filter {
	pid_t pid;	   /* 0: every VM */
	const char *vm;	   /* shell pattern; NULL: every VM */
	bool chooses_vcpu; /* only those whose bits are set, by number; else every vCPU */
	uint64_t vcpus[(MAX_VCPU + 1) / 64];
};

/* From now on no vCPU is asked for. */
void filter__clear_vcpus(struct filter *filter);

/* Asks for vCPUs from first to last, MAX_VCPU at most, besides those before. */
void filter__add_vcpus(struct filter *filter, uint32_t first, uint32_t last);

/* True when that VM is asked for: its process, and its name as it is shown. */
bool filter__has_vm(const struct filter *filter, pid_t pid, const char *label);

/* True when VMs of which nothing is known are asked for. */
bool filter__has_every_vm(const struct filter *filter);

/* True when every vCPU is asked for, or this one. */
bool filter__has_vcpu(const struct filter *filter, uint32_t vcpu);

#endif
