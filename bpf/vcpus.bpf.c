// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Owner of the maps that all monitors share, and the list of the vCPUs that
 * exist now: a struct vcpu_entry per descriptor of a VM or vCPU that its process holds.
 * And what notes each new vCPU.
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

	kvm = vcpu ? BPF_CORE_READ(vcpu, kvm) : existing_vm(ctx);
	if (!kvm || !task)
		return 0;
	entry.kvm = (u64)kvm;
	memory = memslots_sum(kvm);
	entry.mem_pages = memory & MEMSLOTS_MORE ? 0 : memory & MEMSLOTS_PAGES;
	entry.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	entry.tgid = task->tgid;
	entry.vcpu_id = ENTRY_OF_VM;
	entry.confidential = kvm_confidential(kvm);
	entry.creator = BPF_CORE_READ(kvm, userspace_pid);
	if (vcpu) {
		entry.exits = BPF_CORE_READ(vcpu, stat.exits);
		entry.tid = BPF_CORE_READ(vcpu, pid, numbers[0].nr);
		entry.vcpu_id = BPF_CORE_READ(vcpu, vcpu_id);
	}
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

static __noinline bool vcpu_lives(const struct vcpu_info *info)
{
	/* Outside of the macros: these would look for our own struct in the kernel's types. */
	const struct kvm_vcpu *vcpu = (void *)info->vcpu;
	struct file *file = (void *)info->file;
	volatile struct slot_place *place = vcpus__place((void *)vcpu);
	u64 seen = *(volatile u64 *)&info->exits;
	u32 birth = place ? place->birth : 0;

	/* In this order: it grows. */
	barrier();
	if (births_told && info->birth != birth && birth__is_of(birth, info->vcpu))
		return false;
	if (BPF_CORE_READ(vcpu, stat.exits) < seen)
		return false;
	return !file || (BPF_CORE_READ(file, private_data) == (void *)vcpu && file_is_open(file));
}

/*
 * Marks the vCPU of a slot as ended when it has: from now on its slot is found for nobody.
 * What it reads may be freed: then it is not what it was. What a thread has loaded is left
 * alone: it is in use, whoever it may be. Not static: the verifier goes through it once.
 */
__noinline int find_end_of(u32 slot)
{
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);
	struct vcpu_key key = {};
	struct task_struct *thread;

	if (!info || info->state != VCPU_RUNS)
		return 0;
	thread = (void *)info->thread;
	key.vcpu = info->vcpu;
	key.tid = info->tid;
	if (task_lives(thread, key.tid, info->since_ns)) {
		if ((u64)task_vcpu(thread) == key.vcpu || vcpu_lives(info))
			return 0;
		info->exits = EXITS_ENDED;
	}
	if (table__find(&vcpu_slots, &key) == slot)
		bpf_map_delete_elem(&vcpu_slots, &key);
	info->state = VCPU_ENDED;
	return 0;
}

/*
 * Of slot args[0] and what follows, up to args[1] and END_ROUND of them. Attached to nothing;
 * core/vcpus.c runs it with BPF_PROG_TEST_RUN: a system call for each slot took ten times as long.
 */
SEC("?raw_tp")
int find_end(struct bpf_raw_tracepoint_args *ctx)
{
	u32 slot = ctx->args[0], last = ctx->args[1];

	for (int i = 0; i < END_ROUND && slot <= last; i++, slot++)
		find_end_of(slot);
	return 0;
}

/*
 * anon_inode_getfd(name, fops, vcpu): create_vcpu_fd() (virt/kvm/kvm_main.c) gives each new vCPU
 * its descriptor, without which nobody runs it. The slot of its address, if there is one, is
 * another one's. The function is the kernel's own: a hook on it lets the modules of KVM go, and
 * stays when they come back; a program on a tracepoint of theirs would hold them.
 */
SEC("?kprobe/anon_inode_getfd")
int born(struct pt_regs *ctx)
{
	static const char of_vcpu[] = "kvm-vcpu:";
	char name[sizeof(of_vcpu)] = {};
	volatile struct slot_place *place;

	bpf_probe_read_kernel_str(name, sizeof(name), (void *)ctx->di);
	for (unsigned int i = 0; i < sizeof(of_vcpu); i++)
		if (name[i] != of_vcpu[i])
			return 0;
	place = vcpus__place((void *)ctx->dx);
	if (place)
		place->birth = birth__next(place->birth, ctx->dx);
	return 0;
}

/* 1: the task at args[0] leads the process args[1], started at args[2], which has not ended. */
SEC("?raw_tp")
int ask_process(struct bpf_raw_tracepoint_args *ctx)
{
	return process_lives((void *)ctx->args[0], ctx->args[1], ctx->args[2]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
