/* SPDX-License-Identifier: GPL-2.0-only */
/* Which VMs and vCPUs the user asks for. */
#ifndef KVM_WATCHER_FILTER_H
#define KVM_WATCHER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "identity.h"

enum { MAX_VCPU = 65535 };

/* What --vm is of. */
enum vm_by { VM_BY_NAME, VM_BY_UUID, VM_BY_POD, VM_BY_CGROUP };

struct filter {
	pid_t pid;	/* 0: every VM */
	const char *vm; /* as it was given; NULL: every VM */
	enum vm_by vm_by;
	const char *pattern; /* of vm; of a pod it is "NAMESPACE/NAME" */
	char uuid[UUID_LEN]; /* with VM_BY_UUID instead */
	bool chooses_vcpu;   /* only those whose bits are set, by number; else every vCPU */
	uint64_t vcpus[(MAX_VCPU + 1) / 64];
};

/* From now on no vCPU is asked for. */
void filter__clear_vcpus(struct filter *filter);

/* Asks for vCPUs from first to last, MAX_VCPU at most, besides those before. */
void filter__add_vcpus(struct filter *filter, uint32_t first, uint32_t last);

/* True when that VM is asked for: its process, and its name as it is shown, or who it is. */
bool filter__has_vm(const struct filter *filter, pid_t pid, const char *label,
		    const struct identity *who);

/* True when VMs of which nothing is known are asked for. */
bool filter__has_every_vm(const struct filter *filter);

/* True when every vCPU is asked for, or this one. */
bool filter__has_vcpu(const struct filter *filter, uint32_t vcpu);

#endif
