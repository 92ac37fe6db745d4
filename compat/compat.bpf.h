/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel drift, all of it: one accessor per thing that moved. Each says what
 * changed, since when, and how the kernel is asked (its BTF or the arguments
 * themselves, never its version).
 */
#ifndef KVM_WATCHER_COMPAT_BPF_H
#define KVM_WATCHER_COMPAT_BPF_H

#include "kvm_types.bpf.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The isa argument of kvm_exit: KVM_ISA_VMX, KVM_ISA_SVM of arch/x86/kvm/trace.h. */
enum { ISA_VMX = 1, ISA_SVM = 2 };

/*
 * kvm_exit's arguments. Until 5.15: (u32 reason, vcpu, u32 isa); then
 * (vcpu, u32 isa) (0a62a0319abb "KVM: x86: Get exit_reason as part of kvm_x86_ops.get_exit_info").
 * A reason never reaches 2^32 and a kernel pointer always does.
 */
static __always_inline bool exit_args_old(u64 arg0)
{
	return !(arg0 >> 32);
}

/*
 * Argument n of a tp_btf, fentry or fexit program as a plain number: the
 * verifier gives pointers there a type and then forbids to compute with them.
 */
static __always_inline u64 untyped_arg(void *ctx, int n)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + n * sizeof(value));
	return value;
}

/*
 * Exit reason of the exit that just happened, from the vendor's part of the
 * vCPU, which begins with struct kvm_vcpu:
 *   VMX: vcpu_vmx.exit_reason.full, written in vmx_vcpu_run() before kvm_exit;
 *        since 6.16 vcpu_vmx.vt.exit_reason.full.
 *   SVM: the low half of vmcb->control.exit_code, always valid in memory.
 * The types are in the BTF of kvm_intel and kvm_amd, when that module is loaded.
 */
static __always_inline u32 exit_reason(void *vcpu, u32 isa)
{
	if (isa == ISA_VMX) {
		struct vcpu_vmx___vt *vt = vcpu;
		struct vcpu_vmx *vmx = vcpu;

		if (bpf_core_field_exists(vt->vt))
			return BPF_CORE_READ(vt, vt.exit_reason.full);
		if (bpf_core_field_exists(vmx->exit_reason))
			return BPF_CORE_READ(vmx, exit_reason.full);
	} else if (isa == ISA_SVM) {
		struct vcpu_svm *svm = vcpu;

		if (bpf_core_field_exists(svm->vmcb))
			return BPF_CORE_READ(svm, vmcb, control.exit_code);
	}
	return ~0U;
}

/* Memory slots looked at at most: VMMs have some tens. */
enum { MAX_SLOTS_SEEN = 512, MAX_SLOTS_PER_BUCKET = 8 };

/*
 * Pages in a VM's memory slots, the SMM address space (which shows the same
 * memory again) left out. Until 5.16 the slots are an array, then they hang in
 * a hash table (a54d806688fe "KVM: Keep memslots in tree-based structures").
 */
static __always_inline u64 memslot_pages(struct kvm *kvm)
{
	struct kvm_memslots *slots = BPF_CORE_READ(kvm, memslots[0]);
	struct kvm_memslots___array *array = (void *)slots;
	u64 pages = 0;

	if (bpf_core_field_exists(slots->id_hash)) {
		int index = BPF_CORE_READ(slots, node_idx) & 1;

		for (int i = 0; i < 128; i++) {
			struct hlist_node *node;

			bpf_core_read(&node, sizeof(node), &slots->id_hash[i].first);
			for (int j = 0; node && j < MAX_SLOTS_PER_BUCKET; j++) {
				struct kvm_memory_slot *slot = (void *)node -
					bpf_core_field_offset(struct kvm_memory_slot, id_node) -
					index * sizeof(struct hlist_node) * 2;

				pages += BPF_CORE_READ(slot, npages);
				node = BPF_CORE_READ(node, next);
			}
		}
	} else if (bpf_core_field_exists(array->used_slots)) {
		int used = BPF_CORE_READ(array, used_slots);
		void *slot = (void *)array + bpf_core_field_offset(struct kvm_memslots___array, memslots);

		for (int i = 0; i < MAX_SLOTS_SEEN && i < used; i++) {
			unsigned long npages = 0;

			bpf_probe_read_kernel(&npages, sizeof(npages),
					      slot + bpf_core_field_offset(struct kvm_memory_slot, npages));
			pages += npages;
			slot += bpf_core_type_size(struct kvm_memory_slot);
		}
	}
	return pages;
}

/*
 * The vCPU that the current thread has loaded, or NULL: between vcpu_load()
 * and vcpu_put() (virt/kvm/kvm_main.c) the vCPU's preempt notifier is the one
 * entry of the task's list. The same on all kernels, in vmlinux BTF, and for
 * every vendor; it serves the tracepoints that carry no vCPU.
 */
static __always_inline struct kvm_vcpu *loaded_vcpu(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct hlist_node *node = BPF_CORE_READ(task, preempt_notifiers.first);

	if (!node)
		return NULL;
	return (void *)node - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) -
	       bpf_core_field_offset(struct preempt_notifier, link);
}

/*
 * kvm_fpu(load=1) in a thread with a loaded vCPU means KVM_RUN, except that
 * some kernels also load the FPU in KVM_GET_MP_STATE. Those that have
 * vcpu->wants_to_run (6.10, backported to 6.1) tell the two apart; it is
 * false in KVM_RUN with immediate_exit, which ends at once with -EINTR.
 */
static __always_inline bool enters_run(struct kvm_vcpu *vcpu)
{
	if (bpf_core_field_exists(vcpu->wants_to_run))
		return BPF_CORE_READ(vcpu, wants_to_run);
	return true;
}

#endif
