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

/* KVM's own count of what halt-polling did for a vCPU, at one moment. */
struct halt_stats {
	u64 attempted;
	u64 ok;
	u64 ok_ns;
	u64 failed_ns;
};

/*
 * Brought up to date in kvm_vcpu_halt() (kvm_vcpu_block() on 5.10) before the
 * event kvm_vcpu_wakeup. They moved into stat.generic in 5.14.
 */
static __always_inline void read_halt_stats(void *vcpu, struct halt_stats *s)
{
	struct kvm_vcpu___generic *generic = vcpu;
	struct kvm_vcpu___flat *flat = vcpu;

	if (bpf_core_field_exists(generic->stat.generic.halt_attempted_poll)) {
		s->attempted = BPF_CORE_READ(generic, stat.generic.halt_attempted_poll);
		s->ok = BPF_CORE_READ(generic, stat.generic.halt_successful_poll);
		s->ok_ns = BPF_CORE_READ(generic, stat.generic.halt_poll_success_ns);
		s->failed_ns = BPF_CORE_READ(generic, stat.generic.halt_poll_fail_ns);
	} else if (bpf_core_field_exists(flat->stat.halt_attempted_poll)) {
		s->attempted = BPF_CORE_READ(flat, stat.halt_attempted_poll);
		s->ok = BPF_CORE_READ(flat, stat.halt_successful_poll);
		s->ok_ns = BPF_CORE_READ(flat, stat.halt_poll_success_ns);
		s->failed_ns = BPF_CORE_READ(flat, stat.halt_poll_fail_ns);
	}
}

/*
 * The vCPU's thread waits in kvm_vcpu_block(): halted, or not started yet
 * (virt/kvm/kvm_main.c, prepare_to_rcuwait(&vcpu->wait)).
 */
static __always_inline bool vcpu_waits(struct kvm_vcpu *vcpu)
{
	return BPF_CORE_READ(vcpu, wait.task);
}

/* vcpu->mode of include/linux/kvm_host.h: IN_GUEST_MODE is 1. */
static __always_inline bool vcpu_in_guest(struct kvm_vcpu *vcpu)
{
	return BPF_CORE_READ(vcpu, mode) == 1;
}

/* task_struct.state became __state in 5.14. 0: running or ready to. */
static __always_inline u32 task_state(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return BPF_CORE_READ(old, state);
}

/* task_cpu(): task_struct.cpu moved into thread_info in 5.16. */
static __always_inline u32 task_cpu(struct task_struct *task)
{
	struct task_struct___thread_info *now = (void *)task;
	struct task_struct___cpu *old = (void *)task;

	if (bpf_core_field_exists(now->thread_info.cpu))
		return BPF_CORE_READ(now, thread_info.cpu);
	return BPF_CORE_READ(old, cpu);
}

/* As loaded_vcpu(), for any task. */
static __always_inline struct kvm_vcpu *task_vcpu(struct task_struct *task)
{
	struct hlist_node *node = BPF_CORE_READ(task, preempt_notifiers.first);

	if (!node)
		return NULL;
	return (void *)node - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) -
	       bpf_core_field_offset(struct preempt_notifier, link);
}

/* The thread that last ran the vCPU, or NULL: pid_task(vcpu->pid, PIDTYPE_PID). */
static __always_inline struct task_struct *vcpu_task(struct kvm_vcpu *vcpu)
{
	struct pid *pid = BPF_CORE_READ(vcpu, pid);
	struct hlist_node *node = pid ? BPF_CORE_READ(pid, tasks[0].first) : NULL;

	return node ? (void *)node - bpf_core_field_offset(struct task_struct, pid_links[0]) : NULL;
}

#endif
