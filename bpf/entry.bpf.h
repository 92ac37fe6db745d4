/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For monitors that wait for a vCPU's next kvm_entry, but only after something
 * else: nearly every entry is none of theirs, and this says so in a few
 * instructions, without finding out whose slot it is.
 */
#ifndef KVM_WATCHER_ENTRY_BPF_H
#define KVM_WATCHER_ENTRY_BPF_H

#include "vcpus.bpf.h"

/*
 * Direct-mapped by the vCPU's address: a vCPU for whose entry nothing waits. Only
 * a vCPU's own thread enters it here, and takes it out before there is something
 * to wait for; so what it finds is true, and what another vCPU has displaced
 * costs a look. A new vCPU at an old address has nothing that waits either.
 */
static u64 idle_vcpus[1 << SLOT_CACHE_BITS];

/* The current thread's vCPU has something that waits for its entry. */
static __always_inline void entry__expect(void *vcpu)
{
	idle_vcpus[slot_cache__index((u64)vcpu)] = 0;
}

static __always_inline bool entry__expected(void *vcpu)
{
	return idle_vcpus[slot_cache__index((u64)vcpu)] != (u64)vcpu;
}

/* The vCPU enters its guest, and nothing waits for that any more. */
static __always_inline void entry__seen(void *vcpu)
{
	idle_vcpus[slot_cache__index((u64)vcpu)] = (u64)vcpu;
}

#endif
