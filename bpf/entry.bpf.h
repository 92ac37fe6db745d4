/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For monitors that wait for a vCPU's next kvm_entry, but only after something
 * else. bpf/entry.bpf.c's program is on kvm_entry for all of them, and calls
 * theirs where a vCPU has something that waits.
 */
#ifndef KVM_WATCHER_ENTRY_BPF_H
#define KVM_WATCHER_ENTRY_BPF_H

#include "vcpus.bpf.h"

/* The place of this monitor's program among those that are called. */
const volatile __u32 entry_place;

/* Both are bpf/entry.bpf.c's. */
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
	__type(value, struct waited_vcpus);
} waited_vcpus SEC(".maps");

/* Where the vCPU stands, or another one: which may displace it at any time, so it is read once. */
static __always_inline volatile u64 *entry__word(void *vcpu)
{
	struct waited_vcpus *waited;
	u32 only = 0;

	waited = bpf_map_lookup_elem(&waited_vcpus, &only);
	return waited ? &waited->vcpus[slot_cache__index((u64)vcpu)] : NULL;
}

/* The current thread's vCPU has something of this monitor's that waits for its entry. */
static __always_inline void entry__expect(void *vcpu)
{
	volatile u64 *word = entry__word(vcpu);
	u64 waits;

	if (!word)
		return;
	waits = *word;
	*word = (waits ^ (u64)vcpu) > ALL_AT_ENTRY ? 0 : waits | 1 << entry_place;
}

/*
 * At the end of a program that is called at an entry: the others that wait, and
 * no way back. What this one waited for it has seen.
 */
static __always_inline void entry__call_next(void *ctx, void *vcpu)
{
	volatile u64 *word = entry__word(vcpu);
	u64 waits;

	if (!word)
		return;
	waits = *word;
	if ((waits ^ (u64)vcpu) > ALL_AT_ENTRY)
		waits = ALL_AT_ENTRY;
	else
		*word = waits &= ~(1ULL << entry_place);
#pragma unroll
	for (u32 i = 1; i < MAX_AT_ENTRY; i++)
		if (i > entry_place && waits & 1 << i)
			bpf_tail_call(ctx, &entry_programs, i);
}

#endif
