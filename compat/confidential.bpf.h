/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which VMs hide their memory, or their registers too, from the host. */
#ifndef KVM_WATCHER_CONFIDENTIAL_BPF_H
#define KVM_WATCHER_CONFIDENTIAL_BPF_H

#include "compat.bpf.h"
#include "confidential.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/*
 * In the BTF of kvm_amd, which 5.10 has not. struct kvm_svm begins with struct kvm; later
 * kernels have the rest only with CONFIG_KVM_AMD_SEV.
 */
struct kvm_sev_info {
	bool active;
	bool es_active;
	u64 vmsa_features; /* since 6.10 */
};

struct kvm_svm {
	struct kvm_sev_info sev_info;
};

/*
 * Since 6.8 (89ea60c2c7b5 "KVM: x86: Add support for "protected VMs" that can utilize
 * private memory").
 */
struct kvm_arch___type {
	unsigned long vm_type;
};

struct kvm___type {
	struct kvm_arch___type arch;
};

#pragma clang attribute pop

/*
 * As confidential.h has it. KVM_SEV_INIT, the older way, makes a VM of the default type an
 * encrypted one: of that struct kvm_sev_info alone tells, and of it only kvm_amd's VMs have
 * one. User space knows whose VMs these are.
 */
static __always_inline u32 kvm_confidential(struct kvm *kvm)
{
	enum { FEATURE_SNP_ACTIVE = 1 };
	struct kvm___type *typed = (void *)kvm;
	struct kvm_svm *svm = (void *)kvm;
	u32 found = 0;

	if (bpf_core_field_exists(typed->arch.vm_type))
		found = BPF_CORE_READ_BITFIELD_PROBED(typed, arch.vm_type)
			<< CONFIDENTIAL_TYPE_SHIFT;
	if (!bpf_core_field_exists(svm->sev_info.es_active))
		return found;
	if (BPF_CORE_READ(svm, sev_info.active))
		found |= CONFIDENTIAL_SEV;
	if (BPF_CORE_READ(svm, sev_info.es_active))
		found |= CONFIDENTIAL_SEV_ES;
	if (bpf_core_field_exists(svm->sev_info.vmsa_features) &&
	    BPF_CORE_READ(svm, sev_info.vmsa_features) & FEATURE_SNP_ACTIVE)
		found |= CONFIDENTIAL_SEV_SNP;
	return found;
}

#endif
