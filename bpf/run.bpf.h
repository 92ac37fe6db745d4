/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * KVM_RUN begins and ends, as kvm_fpu(int load) tells: kvm_load_guest_fpu() and
 * kvm_put_guest_fpu() in arch/x86/kvm/x86.c, with the vCPU loaded.
 */
#ifndef KVM_WATCHER_RUN_BPF_H
#define KVM_WATCHER_RUN_BPF_H

#include "hooks.bpf.h"

struct kvm_fpu_fields {
	u32 load;
};

/*
 * For who has something to do at each of them: programs _prefix_raw_tp, _prefix_tp_btf and
 * _prefix_tracepoint around _function(load).
 */
#define RUN_PROGRAMS(_prefix, _function)                           \
	RAW_TP(_prefix##_raw_tp, kvm_fpu, _function(ctx->args[0])) \
	TP_BTF(_prefix##_tp_btf, kvm_fpu, _function(ctx[0]))       \
	TRACEPOINT(_prefix##_tracepoint, "kvm/kvm_fpu", kvm_fpu_fields, _function(args.load))

#endif
