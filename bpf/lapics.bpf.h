/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a local APIC to its vCPU's slot, for what happens to an APIC in any
 * context: interrupts are accepted and timers expire in interrupts, in other
 * vCPUs' threads and in the VMM's. A vCPU's APIC is known from its first
 * KVM_RUN on (kvm_fpu), or from the start (the iterator).
 */
#ifndef KVM_WATCHER_LAPICS_BPF_H
#define KVM_WATCHER_LAPICS_BPF_H

#include "existing.bpf.h"
#include "lapics.h"
#include "told.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct lapic_key);
	__type(value, u32);
} lapics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lapic_state);
} lapic_states SEC(".maps");

/*
 * Direct-mapped by an APIC's address: the fast way to its slot. 0: no APIC of this place has been
 * entered so far, so most hrtimers of a host are known to be no APIC's.
 */
enum { LAPIC_PLACE_BITS = 14 };
static u16 lapic_slots[1 << LAPIC_PLACE_BITS];

/* They are of the size of some cache lines, and stand at the begin of one. */
static __always_inline volatile u16 *lapics__place(u64 lapic)
{
	return &lapic_slots[(lapic >> 6 ^ lapic >> 20) & ((1 << LAPIC_PLACE_BITS) - 1)];
}

static __noinline u32 lapics__find(u64 object, u64 id)
{
	struct lapic_key key = { .object = object, .id = id };
	u32 *slot = bpf_map_lookup_elem(&lapics, &key);

	return slot ? *slot : 0;
}

/* The slot of that APIC; 0: not known. */
static __always_inline u32 lapics__slot(u64 lapic)
{
	u32 slot = *lapics__place(lapic);
	struct lapic_state *state = slot ? bpf_map_lookup_elem(&lapic_states, &slot) : NULL;

	if (!slot)
		return 0;
	return state && state->lapic == lapic ? slot : lapics__find(lapic, LAPIC_OBJECT);
}

/* Enters the vCPU of a slot if it is new. Without an APIC in the kernel there is nothing to do. */
static __noinline __attribute__((unused)) int lapics__enter(struct kvm_vcpu *vcpu, u32 slot)
{
	struct lapic_state *state = bpf_map_lookup_elem(&lapic_states, &slot);
	struct lapic_key key = { .id = LAPIC_OBJECT };
	u64 lapic;

	/* It has one APIC as long as it lives. */
	if (!state || !slot || state->lapic)
		return 0;
	lapic = (u64)BPF_CORE_READ(vcpu, arch.apic);
	if (!lapic)
		return 0;
	key.object = lapic;
	state->lapic = lapic;
	state->kvm = (u64)BPF_CORE_READ(vcpu, kvm);
	state->vcpu_id = BPF_CORE_READ(vcpu, vcpu_id);
	bpf_map_update_elem(&lapics, &key, &slot, BPF_ANY);
	/* After that: who finds a place of nobody asks no more. */
	barrier();
	*lapics__place(lapic) = slot;
	key.object = state->kvm;
	key.id = state->vcpu_id;
	bpf_map_update_elem(&lapics, &key, &slot, BPF_ANY);
	return 0;
}

/* The APIC of a slot's vCPU, which it has as long as it lives; 0: it has none. */
static __always_inline u64 lapics__of(struct kvm_vcpu *vcpu, u32 slot)
{
	struct lapic_state *state = bpf_map_lookup_elem(&lapic_states, &slot);

	if (state && !state->lapic)
		lapics__enter(vcpu, slot);
	return state ? state->lapic : 0;
}

/* KVM_RUN begins in the current thread. */
static __noinline __attribute__((unused)) int lapics__run(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	return vcpu ? lapics__enter(vcpu, vcpus__slot(vcpu)) : 0;
}

static __always_inline int lapics__fpu(u64 load)
{
	return load ? lapics__run() : 0;
}

/* These and the iterator are the same for every object that includes this. */
TOLD_PROGRAMS(run, lapics__fpu)

SEC("?iter/task_file")
int existing(struct bpf_iter__task_file *ctx)
{
	struct kvm_vcpu *vcpu = existing_vcpu(ctx);
	struct task_struct *task = vcpu ? vcpu_task(vcpu) : NULL;

	return task ? lapics__enter(vcpu, vcpus__slot_of(vcpu, task)) : 0;
}

#endif
