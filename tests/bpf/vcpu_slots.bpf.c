// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Two that see a new vCPU at the same moment: both have looked and found no
 * slot, and then each asks for one. One after the other is that same order.
 */
#include "../../bpf/vcpus.bpf.h"

volatile __u32 first, second, known, old, later;

SEC("raw_tp")
int two_new_slots(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct kvm_vcpu *vcpu = (void *)ctx->args[0];

	first = vcpus__new_slot(vcpu, pid_tgid, task);
	second = vcpus__new_slot(vcpu, pid_tgid, task);
	known = vcpus__find_slot(vcpu, false);
	return 0;
}

/* The same address again, and the count of exits has fallen from 5: the vCPU is another one. */
SEC("raw_tp")
int old_address(struct bpf_raw_tracepoint_args *ctx)
{
	struct vcpu_info *info;
	u32 slot = first;

	info = bpf_map_lookup_elem(&vcpus, &slot);
	if (info)
		info->exits = 5;
	old = vcpus__find_slot((void *)ctx->args[0], false);
	later = vcpus__find_slot((void *)ctx->args[0], true);
	return 0;
}

/* A vCPU is born whose place in the cache is that of args[0]: args[1], which may be the same. */
SEC("raw_tp")
int birth(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvm_vcpu *vcpu = (void *)ctx->args[0];
	volatile struct slot_place *place = vcpus__place(vcpu);

	if (!first)
		first = vcpus__slot(vcpu);
	if (place && ctx->args[1])
		place->birth = birth__next(place->birth, ctx->args[1]);
	known = vcpus__find_slot(vcpu, false);
	later = vcpus__slot(vcpu);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
