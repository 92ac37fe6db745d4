/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What KVM keeps of VMs and vCPUs, each by its name in the running kernel's BTF. A member
 * that this kernel has not is STATE_ABSENT, and so is one of a type that it does not show.
 */
#ifndef KVM_WATCHER_KVM_STATE_BPF_H
#define KVM_WATCHER_KVM_STATE_BPF_H

#include "compat.bpf.h"
#include "kvm_stats.h"

#define STATE_ABSENT (~0ULL)

#define MEMBER(_name) u64 _name;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Pages are counted in an atomic64_t, which is a struct of a number. */
struct kvm_vm_stat___pages {
	struct counter pages_4k;
	struct counter pages_2m;
	struct counter pages_1g;
};

struct kvm_vm_stat_generic___state {
	KVM_VM_COUNTERS(MEMBER)
};

struct kvm_vm_stat___state {
	struct kvm_vm_stat_generic___state generic;
	KVM_VM_COUNTERS(MEMBER)
	KVM_VM_GAUGES(MEMBER)
};

enum kvm_irqchip_mode {
	KVM_IRQCHIP_NONE,
};

struct kvm_hv___state {
	u64 hv_guest_os_id;
};

struct kvm_arch___state {
	unsigned long apicv_inhibit_reasons;
	u64 disabled_exits; /* since 6.17 */
	bool mwait_in_guest;
	bool hlt_in_guest;
	bool pause_in_guest;
	bool cstate_in_guest;
	bool use_master_clock;
	enum kvm_irqchip_mode irqchip_mode;
	struct kvm_hv___state hyperv; /* with CONFIG_KVM_HYPERV */
};

struct kvm___state {
	struct kvm_arch___state arch;
	struct kvm_vm_stat___state stat;
	int created_vcpus;
};

struct kvm___pages {
	struct kvm_vm_stat___pages stat;
};

struct kvm_vcpu_stat_generic___state {
	u64 blocking;
};

struct kvm_vcpu_stat___state {
	struct kvm_vcpu_stat_generic___state generic;
	KVM_VCPU_COUNTERS(MEMBER)
	u64 guest_mode;
};

struct kvm_vcpu___state {
	struct kvm_vcpu_stat___state stat;
	unsigned long guest_debug;
};

#pragma clang attribute pop

/* A number of whatever size the kernel has it in. */
#define STATE_OF(_struct, _member)                                                     \
	({                                                                             \
		u64 _value = 0;                                                        \
                                                                                       \
		if (bpf_core_field_exists((_struct)->_member))                         \
			bpf_probe_read_kernel(                                         \
				&_value, bpf_core_field_size((_struct)->_member),      \
				__builtin_preserve_access_index(&(_struct)->_member)); \
		else                                                                   \
			_value = STATE_ABSENT;                                         \
		_value;                                                                \
	})

/* The same of one that was in the structure itself until 5.13, and then in its generic part. */
#define STATE_OF_STAT(_struct, _member)                                                     \
	(bpf_core_field_exists((_struct)->stat._member) ? STATE_OF(_struct, stat._member) : \
							  STATE_OF(_struct, stat.generic._member))

/* The pages of a size that a VM's page tables map; until 5.14 not counted by size. */
#define KVM_PAGES(_kvm, _member) STATE_OF((struct kvm___pages *)(_kvm), stat._member)

/*
 * Until 5.17 these were macros (7491b7b2e186 "KVM: x86: Make APICv inhibit reasons an
 * enum and cleanup naming"), and so are in no BTF.
 */
enum kvm_apicv_inhibit___any {
	APICV_INHIBIT_REASON_DISABLE, /* as DISABLED was called until 6.8 */
#define INHIBIT(_name) APICV_INHIBIT_REASON_##_name,
	KVM_APICV_INHIBITS(INHIBIT)
#undef INHIBIT
};

enum apicv_inhibit {
#define INHIBIT(_name) INHIBITED_##_name,
	KVM_APICV_INHIBITS(INHIBIT)
#undef INHIBIT
};

static __always_inline u64 apicv_inhibits_of_macros(u64 bits)
{
	static const u8 ours[] = {
		INHIBITED_DISABLED, INHIBITED_HYPERV,	 INHIBITED_NESTED,
		INHIBITED_IRQWIN,   INHIBITED_PIT_REINJ, INHIBITED_X2APIC,
	};
	u64 inhibits = 0;

#pragma unroll
	for (int i = 0; i < (int)sizeof(ours); i++)
		inhibits |= (bits >> i & 1) << ours[i];
	return inhibits | bits >> sizeof(ours) << (APICV_UNKNOWN_SHIFT + sizeof(ours));
}

/* Moves the kernel's bit, if it has one of that name, to ours. */
#define MOVE_INHIBIT(_name, _ours)                                                   \
	if (bpf_core_enum_value_exists(enum kvm_apicv_inhibit___any,                 \
				       APICV_INHIBIT_REASON_##_name)) {              \
		u64 bit = 1ULL << bpf_core_enum_value(enum kvm_apicv_inhibit___any,  \
						      APICV_INHIBIT_REASON_##_name); \
                                                                                     \
		inhibits |= bits & bit ? 1ULL << INHIBITED_##_ours : 0;              \
		bits &= ~bit;                                                        \
	}

static __always_inline u64 kvm_apicv_inhibits(struct kvm *kvm)
{
	u64 bits = STATE_OF((struct kvm___state *)kvm, arch.apicv_inhibit_reasons), inhibits = 0;

	if (bits == STATE_ABSENT)
		return bits;
	if (!bpf_core_type_exists(enum kvm_apicv_inhibit___any))
		return apicv_inhibits_of_macros(bits);
	MOVE_INHIBIT(DISABLE, DISABLED)
#define INHIBIT(_name) MOVE_INHIBIT(_name, _name)
	KVM_APICV_INHIBITS(INHIBIT)
#undef INHIBIT
	return inhibits | bits << APICV_UNKNOWN_SHIFT;
}

/*
 * As the uapi numbers them; until 6.16 a bool each (a2a6fc0e06da "KVM: x86: Consolidate
 * KVM_X86_DISABLE_EXITS_* into a bitmap").
 */
static __always_inline u64 kvm_disabled_exits(struct kvm *kvm)
{
	struct kvm___state *state = (void *)kvm;

	if (bpf_core_field_exists(state->arch.disabled_exits))
		return STATE_OF(state, arch.disabled_exits);
	if (!bpf_core_field_exists(state->arch.hlt_in_guest))
		return STATE_ABSENT;
	return (STATE_OF(state, arch.mwait_in_guest) & 1) |
	       (STATE_OF(state, arch.hlt_in_guest) & 1) << 1 |
	       (STATE_OF(state, arch.pause_in_guest) & 1) << 2 |
	       (STATE_OF(state, arch.cstate_in_guest) & 1) << 3;
}

/* 0 or 1: the CPU delivers interrupts to the guest without KVM. Absent without an APIC. */
static __always_inline u64 vcpu_apicv(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *lapic = BPF_CORE_READ(vcpu, arch.apic);
	struct kvm_vcpu___apicv *old = (void *)vcpu;

	if (!lapic || (!bpf_core_field_exists(lapic->apicv_active) &&
		       !bpf_core_field_exists(old->arch.apicv_active)))
		return STATE_ABSENT;
	return apicv_active(vcpu, lapic);
}

#undef MEMBER

#endif
