// SPDX-License-Identifier: GPL-2.0-only
#include "filter.h"

#include <string.h>

#include "vm.h"

bool filter__has_vm(const struct filter *filter, pid_t pid, const char *label)
{
	return (!filter->pid || filter->pid == pid) && vm__match(filter->vm, label);
}

bool filter__has_every_vm(const struct filter *filter)
{
	return !filter->pid && !filter->vm;
}

void filter__clear_vcpus(struct filter *filter)
{
	memset(filter->vcpus, 0, sizeof(filter->vcpus));
	filter->chooses_vcpu = true;
}

void filter__add_vcpus(struct filter *filter, uint32_t first, uint32_t last)
{
	for (uint32_t vcpu = first; vcpu <= last && vcpu <= MAX_VCPU; vcpu++)
		filter->vcpus[vcpu / 64] |= 1ULL << vcpu % 64;
}

bool filter__has_vcpu(const struct filter *filter, uint32_t vcpu)
{
	return !filter->chooses_vcpu ||
	       (vcpu <= MAX_VCPU && filter->vcpus[vcpu / 64] >> vcpu % 64 & 1);
}
