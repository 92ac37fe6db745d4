// SPDX-License-Identifier: GPL-2.0-only
#include "filter.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "vm.h"

/* The pod of a VM of KubeVirt has its VM's name in its own; of others only the UID is known. */
static bool has_pod(const struct filter *filter, const struct identity *who)
{
	char vmi[sizeof(who->kube_namespace) + sizeof(who->kube_vmi)];
	char pod[sizeof(who->kube_namespace) + sizeof(who->pod_uid)];

	snprintf(vmi, sizeof(vmi), "%s/%s", who->kube_namespace, who->kube_vmi);
	snprintf(pod, sizeof(pod), "%s/%s", who->kube_namespace, who->pod_uid);
	return (who->kube_vmi[0] && !fnmatch(filter->pattern, vmi, FNM_PATHNAME)) ||
	       (who->pod_uid[0] && !fnmatch(filter->pattern, pod, FNM_PATHNAME));
}

bool filter__has_vm(const struct filter *filter, pid_t pid, const char *label,
		    const struct identity *who)
{
	if (filter->pid && filter->pid != pid)
		return false;
	if (!filter->vm)
		return true;
	switch (filter->vm_by) {
	case VM_BY_UUID:
		return !strcmp(filter->uuid, who->uuid);
	case VM_BY_POD:
		return has_pod(filter, who);
	case VM_BY_CGROUP:
		/* systemd's names have backslashes. */
		return who->cgroup[0] && !fnmatch(filter->pattern, who->cgroup, FNM_NOESCAPE);
	default:
		return vm__match(filter->pattern, label);
	}
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
