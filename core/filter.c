// SPDX-License-Identifier: GPL-2.0-only
#include "filter.h"

#include "vm.h"

bool filter__has_vm(const struct filter *filter, pid_t pid, const char *label)
{
	return (!filter->pid || filter->pid == pid) && vm__match(filter->vm, label);
}

bool filter__has_every_vm(const struct filter *filter)
{
	return !filter->pid && !filter->vm;
}

bool filter__has_vcpu(const struct filter *filter, uint32_t vcpu)
{
	for (size_t i = 0; i < filter->nr_vcpus; i++)
		if (filter->vcpus[i] == vcpu)
			return true;
	return !filter->nr_vcpus;
}
