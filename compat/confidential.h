/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What confidential.bpf.h tells of a VM, in 32 bits: 0 of an ordinary one. */
#ifndef KVM_WATCHER_CONFIDENTIAL_H
#define KVM_WATCHER_CONFIDENTIAL_H

/* Of kvm_amd's struct kvm_sev_info; with another vendor's module they mean nothing. */
enum {
	CONFIDENTIAL_SEV = 1 << 0,
	CONFIDENTIAL_SEV_ES = 1 << 1,
	CONFIDENTIAL_SEV_SNP = 1 << 2,
	CONFIDENTIAL_TYPE_SHIFT = 8,
};

/* What a VM is made as: KVM_X86_*_VM of arch/x86/include/uapi/asm/kvm.h, in the bits above. */
enum {
	KVM_TYPE_DEFAULT,
	KVM_TYPE_SW_PROTECTED, /* for tests: nothing is encrypted */
	KVM_TYPE_SEV,
	KVM_TYPE_SEV_ES,
	KVM_TYPE_SNP,
	KVM_TYPE_TDX,
};

#endif
