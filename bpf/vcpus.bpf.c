// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Owner of the maps that all monitors share, and the list of the vCPUs that
 * exist now: one struct vcpu_entry per vCPU descriptor of every process.
 * Kernel: create_vcpu_fd() in virt/kvm/kvm_main.c names the file "kvm-vcpu:N".
 */
#include "vcpus.bpf.h"

static __always_inline bool is_vcpu(const char name[10])
{
	static const char want[] = "kvm-vcpu:";

	for (int i = 0; i < 9; i++)
		if (name[i] != want[i])
			return false;
	return true;
}

SEC("?iter/task_file")
int list_vcpus(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct vcpu_entry entry = {};
	const unsigned char *name;
	struct kvm_vcpu *vcpu;
	char text[10] = {};
	struct kvm *kvm;

	/* Threads share the table: the leader's is enough. */
	if (!file || !task || task->pid != task->tgid)
		return 0;
	name = BPF_CORE_READ(file, f_path.dentry, d_name.name);
	bpf_probe_read_kernel_str(text, sizeof(text), name);
	if (!is_vcpu(text))
		return 0;
	vcpu = BPF_CORE_READ(file, private_data);
	kvm = BPF_CORE_READ(vcpu, kvm);
	entry.kvm = (u64)kvm;
	entry.exits = BPF_CORE_READ(vcpu, stat.exits);
	entry.mem_pages = memslot_pages(kvm);
	entry.start_ns = BPF_CORE_READ(task, start_boottime);
	entry.tgid = task->tgid;
	entry.tid = BPF_CORE_READ(vcpu, pid, numbers[0].nr);
	entry.vcpu_id = BPF_CORE_READ(vcpu, vcpu_id);
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
