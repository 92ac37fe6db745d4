/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For monitors that wait for a vCPU's next kvm_entry, but only after something
 * else. core/entry.bpf.c's program is on kvm_entry for all of them, and calls
 * theirs where a vCPU has something that waits.
 */
#ifndef KVM_WATCHER_ENTRY_BPF_H
#define KVM_WATCHER_ENTRY_BPF_H

#include "vcpus.bpf.h"

/* The place of this monitor's program among those that are called. */
const volatile __u32 entry_place;

/* Both are core/entry.bpf.c's. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_AT_ENTRY);
	__type(key, u32);
	__type(value, u32);
} entry_programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct idle_vcpus);
} idle_vcpus SEC(".maps");

/* The current thread's vCPU has something that waits for its entry. */
static __always_inline void entry__expect(void *vcpu)
{
	struct idle_vcpus *idle;
	u32 only = 0;

	idle = bpf_map_lookup_elem(&idle_vcpus, &only);
	if (idle)
		idle->vcpus[slot_cache__index((u64)vcpu)] = 0;
}

/* At the end of a program that is called at an entry: the others' programs, and no way back. */
static __always_inline void entry__call_next(void *ctx)
{
#pragma unroll
	for (u32 i = 1; i < MAX_AT_ENTRY; i++)
		if (i > entry_place)
			bpf_tail_call(ctx, &entry_programs, i);
}

#endif
