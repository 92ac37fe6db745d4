/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The vCPUs that exist when watching starts, for an iter/task_file program:
 * its need is the last of a monitor's table, so that it runs when the other
 * hooks are attached (core/hooks.c), and no vCPU is missed between the two.
 */
#ifndef KVM_WATCHER_EXISTING_BPF_H
#define KVM_WATCHER_EXISTING_BPF_H

#include "vcpus.bpf.h"

/*
 * kvm is a VM of the task's process. Others may hold descriptors of it, from
 * fork() or by a socket; KVM refuses them with EIO.
 */
static __always_inline bool owns_vm(struct task_struct *task, struct kvm *kvm)
{
	return BPF_CORE_READ(kvm, mm) == BPF_CORE_READ(task, mm);
}

/*
 * The vCPU behind this descriptor of its VM's process, or NULL. The kernel shows
 * the table that threads share once, and that of a thread that has its own. So
 * a vCPU may come more than once, and also when the main thread has ended.
 */
static __always_inline struct kvm_vcpu *existing_vcpu(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct kvm_vcpu *vcpu;

	if (!file || !task || file_kind(file) != FD_VCPU)
		return NULL;
	vcpu = BPF_CORE_READ(file, private_data);
	return owns_vm(task, BPF_CORE_READ(vcpu, kvm)) ? vcpu : NULL;
}

/* The same of a VM. */
static __always_inline struct kvm *existing_vm(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct kvm *kvm;

	if (!file || !task || file_kind(file) != FD_VM)
		return NULL;
	kvm = BPF_CORE_READ(file, private_data);
	return owns_vm(task, kvm) ? kvm : NULL;
}

#endif
