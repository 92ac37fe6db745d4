/* SPDX-License-Identifier: GPL-2.0-only */
/* Which VMs and vCPUs the user asks for. */
#ifndef KVM_WATCHER_FILTER_H
#define KVM_WATCHER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MAX_VCPU_FILTER = 64 };

struct filter {
	pid_t pid;			 /* 0: every VM */
	const char *vm;			 /* shell pattern; NULL: every VM */
	uint32_t vcpus[MAX_VCPU_FILTER]; /* the first nr_vcpus; none: every vCPU */
	size_t nr_vcpus;
};

/* True when that VM is asked for: its process, and its name as it is shown. */
bool filter__has_vm(const struct filter *filter, pid_t pid, const char *label);

/* True when VMs of which nothing is known are asked for. */
bool filter__has_every_vm(const struct filter *filter);

/* True when no vCPU was asked for, or this one. */
bool filter__has_vcpu(const struct filter *filter, uint32_t vcpu);

#endif
