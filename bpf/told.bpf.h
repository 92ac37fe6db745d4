/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For monitors that have to know of each vCPU before its events, but have nothing to
 * do at most KVM_RUNs. bpf/entry.bpf.c's program is on kvm_fpu for all of them: it binds
 * the thread to the vCPU and calls their programs, once for each vCPU or when one asks for it.
 */
#ifndef KVM_WATCHER_TOLD_BPF_H
#define KVM_WATCHER_TOLD_BPF_H

#include "run.bpf.h"
#include "vcpus.bpf.h"

/* The place of this monitor's program among those that are called. */
const volatile __u32 run_place;

/* bpf/entry.bpf.c's. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_AT_RUN);
	__type(key, u32);
	__type(value, u32);
} run_programs SEC(".maps");

/* When the next KVM_RUN of the vCPU begins will stand in its run_ns. */
static __always_inline __attribute__((unused)) void told__ask_time(struct vcpu_info *info)
{
	info->told[TOLD_TIME] = 0;
}

/* At the end of a program that is called: the others, and no way back. */
static __always_inline void told__call_next(void *ctx)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	u32 slot = vcpu ? vcpus__cached_slot(vcpu) : 0, place = run_place;
	struct vcpu_info *info = slot ? bpf_map_lookup_elem(&vcpus, &slot) : NULL;
	u64 others = ~0ULL;

	if (info && place < MAX_AT_RUN) {
		info->told[place] = 1;
		others = info->to_tell;
	}
#pragma unroll
	for (u32 i = 1; i < MAX_AT_RUN; i++)
		if (i > run_place && others >> i * BITS_AT_RUN & 1)
			bpf_tail_call(ctx, &run_programs, i);
}

/*
 * Programs _prefix_raw_tp, _prefix_tp_btf and _prefix_tracepoint around _function(load). The
 * first and the last are not attached themselves; load is 1 to them.
 */
#define TOLD_PROGRAMS(_prefix, _function)                    \
	SEC("?raw_tp/kvm_fpu")                               \
	int _prefix##_raw_tp(void *ctx)                      \
	{                                                    \
		_function(1);                                \
		told__call_next(ctx);                        \
		return 0;                                    \
	}                                                    \
	TP_BTF(_prefix##_tp_btf, kvm_fpu, _function(ctx[0])) \
	SEC("?tp/kvm/kvm_fpu")                               \
	int _prefix##_tracepoint(void *ctx)                  \
	{                                                    \
		_function(1);                                \
		told__call_next(ctx);                        \
		return LEAVE_TO_PERF;                        \
	}

#endif
