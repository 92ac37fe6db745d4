// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * --vm_state: what KVM itself counts and keeps of VMs and vCPUs, from their structures
 * (struct kvm, struct kvm_vcpu in include/linux/kvm_host.h, their arch parts in
 * arch/x86/include/asm/kvm_host.h). Nothing is hooked: user space runs the iterator over
 * all descriptors once per look, and each one keeps its VM or vCPU while it is read.
 */
#include "../bpf/existing.bpf.h"
#include "../compat/kvm_state.bpf.h"
#include "../compat/memslots.bpf.h"
#include "vm_state.h"

static __noinline int write_head(struct seq_file *seq, struct task_struct *task, struct kvm *kvm,
				 struct kvm_vcpu *vcpu)
{
	struct state_head head = {};

	head.kvm = (u64)kvm;
	head.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	head.tgid = BPF_CORE_READ(task, tgid);
	head.vcpu_id = ENTRY_OF_VM;
	if (vcpu) {
		head.tid = BPF_CORE_READ(vcpu, pid, numbers[0].nr);
		head.vcpu_id = BPF_CORE_READ(vcpu, vcpu_id);
	}
	return bpf_seq_write(seq, &head, sizeof(head));
}

static __noinline int write_vcpu(struct seq_file *seq, struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu___state *from = (void *)vcpu;
	struct state_of_vcpu to = {};
	u64 debug = STATE_OF(from, guest_debug);

#define READ(_name) to._name = STATE_OF(from, stat._name);
	KVM_VCPU_COUNTERS(READ)
#undef READ
	to.apicv = vcpu_apicv(vcpu);
	to.in_nested = STATE_OF(from, stat.guest_mode);
	to.blocking = STATE_OF(from, stat.generic.blocking);
	to.debugged = debug == STATE_ABSENT ? debug : !!debug;
	return bpf_seq_write(seq, &to, sizeof(to));
}

static __noinline int write_vm(struct seq_file *seq, struct kvm *kvm)
{
	struct kvm___state *from = (void *)kvm;
	struct state_of_vm to = {};
	u64 memory = memslots_sum(kvm);

#define READ(_name) to._name = STATE_OF_STAT(from, _name);
	KVM_VM_COUNTERS(READ)
#undef READ
#define READ(_name) to._name = STATE_OF(from, stat._name);
	READ(mmu_unsync)
	READ(lpages)
	READ(nx_lpage_splits)
#undef READ
	to.pages_4k = KVM_PAGES(kvm, pages_4k);
	to.pages_2m = KVM_PAGES(kvm, pages_2m);
	to.pages_1g = KVM_PAGES(kvm, pages_1g);
	to.vcpus = STATE_OF(from, created_vcpus);
	to.memory_pages = memory & MEMSLOTS_MORE ? STATE_ABSENT : memory & MEMSLOTS_PAGES;
	to.logged_slots = memory & MEMSLOTS_MORE ? STATE_ABSENT : MEMSLOTS_LOGGED(memory);
	to.irqchip_mode = STATE_OF(from, arch.irqchip_mode);
	to.inhibit_bits = kvm_apicv_inhibits(kvm);
	to.disabled_bits = kvm_disabled_exits(kvm);
	to.master_clock_bit = STATE_OF(from, arch.use_master_clock);
	to.confidential_bits = kvm_confidential(kvm);
	to.guest_os_id = STATE_OF(from, arch.hyperv.hv_guest_os_id);
	return bpf_seq_write(seq, &to, sizeof(to));
}

/* A state_head and a state for each descriptor of a VM or a vCPU that its process holds. */
SEC("?iter/task_file")
int list_state(struct bpf_iter__task_file *ctx)
{
	struct kvm_vcpu *vcpu = existing_vcpu(ctx);
	struct kvm *kvm = vcpu ? BPF_CORE_READ(vcpu, kvm) : existing_vm(ctx);
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;

	if (!kvm || !task || (only_tgid && (u32)task->tgid != only_tgid))
		return 0;
	/* What has no room in the buffer is asked for again, head and all. */
	if (write_head(seq, task, kvm, vcpu))
		return 0;
	if (vcpu)
		write_vcpu(seq, vcpu);
	else
		write_vm(seq, kvm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
