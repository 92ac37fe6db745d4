/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The vCPUs that exist when watching starts, for an iter/task_file program:
 * its need is the last of a monitor's table, so that it runs when the other
 * hooks are attached (core/attach.c), and no vCPU is missed between the two.
 */
#ifndef KVM_WATCHER_EXISTING_BPF_H
#define KVM_WATCHER_EXISTING_BPF_H

#include "vcpus.bpf.h"

/* The vCPU behind this descriptor, or NULL. */
static __always_inline struct kvm_vcpu *existing_vcpu(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	/* Threads share the table: the leader's is enough. */
	if (!file || !task || task->pid != task->tgid)
		return NULL;
	return file_kind(file) == FD_VCPU ? BPF_CORE_READ(file, private_data) : NULL;
}

#endif
