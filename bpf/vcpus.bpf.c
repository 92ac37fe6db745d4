// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Owner of the maps that all monitors share, and the list of the vCPUs that
 * exist now: one struct vcpu_entry per vCPU descriptor of every process.
 */
#include "existing.bpf.h"
#include "../compat/memslots.bpf.h"

SEC("?iter/task_file")
int list_vcpus(struct bpf_iter__task_file *ctx)
{
	struct kvm_vcpu *vcpu = existing_vcpu(ctx);
	struct task_struct *task = ctx->task;
	struct vcpu_entry entry = {};
	struct kvm *kvm;
	u64 memory;

	if (!vcpu || !task)
		return 0;
	kvm = BPF_CORE_READ(vcpu, kvm);
	entry.kvm = (u64)kvm;
	entry.exits = BPF_CORE_READ(vcpu, stat.exits);
	memory = memslots_sum(kvm);
	entry.mem_pages = memory & MEMSLOTS_MORE ? 0 : memory & MEMSLOTS_PAGES;
	entry.start_ns = BPF_CORE_READ(task, start_boottime);
	entry.tgid = task->tgid;
	entry.tid = BPF_CORE_READ(vcpu, pid, numbers[0].nr);
	entry.vcpu_id = BPF_CORE_READ(vcpu, vcpu_id);
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
