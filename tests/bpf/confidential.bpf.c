// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* kvm_confidential() of bytes in which only what it reads is set, where this kernel has it. */
#include "../../compat/confidential.bpf.h"

enum { LEAST_SIZE = 1 << 17 };

struct vm {
	u8 bytes[LEAST_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct vm);
} vms SEC(".maps");

volatile __u32 found, has_sev, has_features, has_type;

/* Not in the instruction that writes: libbpf would want that to be as wide as the field. */
#define SET(_field, _value)                             \
	({                                              \
		u64 at = bpf_core_field_offset(_field); \
                                                        \
		asm volatile("" : "+r"(at));            \
		if (at < LEAST_SIZE)                    \
			vm->bytes[at] = (u8)(_value);   \
	})

/* args[0]: the bits CONFIDENTIAL_*, args[1]: the type. */
SEC("raw_tp")
int tell(struct bpf_raw_tracepoint_args *ctx)
{
	u64 bits = ctx->args[0], type = ctx->args[1];
	struct kvm___type *typed = NULL;
	struct kvm_svm *svm = NULL;
	u32 zero = 0;
	struct vm *vm = bpf_map_lookup_elem(&vms, &zero);

	if (!vm)
		return 0;
	has_sev = bpf_core_field_exists(svm->sev_info.es_active);
	has_features = bpf_core_field_exists(svm->sev_info.vmsa_features);
	has_type = bpf_core_field_exists(typed->arch.vm_type);
	if (bpf_core_field_exists(svm->sev_info.es_active)) {
		SET(svm->sev_info.active, !!(bits & CONFIDENTIAL_SEV));
		SET(svm->sev_info.es_active, !!(bits & CONFIDENTIAL_SEV_ES));
	}
	/* Beside it is a feature that says nothing of this (SVM_SEV_FEAT_DEBUG_SWAP). */
	if (bpf_core_field_exists(svm->sev_info.vmsa_features))
		SET(svm->sev_info.vmsa_features, 1 << 5 | !!(bits & CONFIDENTIAL_SEV_SNP));
	if (bpf_core_field_exists(typed->arch.vm_type))
		SET(typed->arch.vm_type, type);
	found = kvm_confidential((void *)vm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
