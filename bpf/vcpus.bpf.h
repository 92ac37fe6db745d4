/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The directory of vCPUs. Every vCPU thread that is seen gets a slot, a small
 * number that indexes the arrays of all monitors. The maps here are one set
 * for all monitors: user space makes every object reuse bpf/vcpus.bpf.c's.
 *
 * Identity. A struct kvm_vcpu is freed and its address used again, so a
 * pointer alone names nobody; {pointer, thread} does. The pair is checked once
 * per KVM_RUN (kvm_fpu), which every new vCPU passes, and not at every exit.
 * Each new vCPU is given a descriptor, which bpf/vcpus.bpf.c counts (births_told);
 * where a read needs no helper, the vCPU's count of exits is looked at instead.
 *
 * End. A vCPU has one struct file, for as long as anybody has a descriptor of it
 * (create_vcpu_fd() in virt/kvm/kvm_main.c), and only through it can it run. At
 * every look bpf/vcpus.bpf.c's find_end looks at that file, and at the thread.
 */
#ifndef KVM_WATCHER_VCPUS_BPF_H
#define KVM_WATCHER_VCPUS_BPF_H

#include "../compat/compat.bpf.h"
#include "../compat/confidential.bpf.h"
#include "records.h"
#include "table.bpf.h"

/* Slots, and records of a table, that any process may have if there are so many. */
enum { SURE_SLOTS = 16, SURE_RECORDS = 32 };

/* Only this VMM's process (-p); 0: all. */
const volatile __u32 only_tgid;

/* {vCPU, thread} -> slot */
TABLE(vcpus, struct vcpu_info, vcpu_slots, struct vcpu_key, free_slots);
SHARES(vcpu_shares);

/* thread -> slot of the vCPU it runs, for events after vcpu_put() */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} thread_slots SEC(".maps");

/* Direct-mapped by the vCPU's address: the fast way to the slot, no helper called. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << SLOT_CACHE_BITS);
	__type(key, u32);
	__type(value, struct slot_place);
} slot_cache SEC(".maps");

/* Each new vCPU is noted in its place there. */
const volatile __u32 births_told;

/*
 * Direct-mapped by the thread's number: the fast way into thread_slots. 0: no thread of this
 * place has run a vCPU so far, so most threads of a host are known to run none.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << THREAD_CACHE_BITS);
	__type(key, u32);
	__type(value, u64);
} thread_cache SEC(".maps");

/* Slots that were given out, so that user space can look the VM up while it lives. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} new_vcpus SEC(".maps");

/*
 * Command lines of processes that are new, until user space has named them: a VM may end before
 * anybody looks at /proc. Without room that is all there is.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct process_key);
	__type(value, struct process_args);
} new_processes SEC(".maps");

/* The current task is one of those that -p chooses. */
static __always_inline bool task_chosen(void)
{
	return !only_tgid || bpf_get_current_pid_tgid() >> 32 == only_tgid;
}

static __always_inline volatile struct slot_place *vcpus__place(void *vcpu)
{
	u32 index = slot_cache__index((u64)vcpu);

	return bpf_map_lookup_elem(&slot_cache, &index);
}

/* The process of a slot's vCPU. */
static __always_inline u32 vcpus__tgid(u32 slot)
{
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);

	return info ? info->tgid : 0;
}

/* What its vCPUs have of the slots is sure of the records too; else the half of what is left. */
static __always_inline bool share__is_used_up(void *shares, u32 tgid)
{
	struct share *slots = share__at(&vcpu_shares, share__place(tgid));
	struct share *all_slots = share__at(&vcpu_shares, 0), *all = share__at(shares, 0);
	u64 sure;

	if (only_tgid || !slots || !all_slots || !all)
		return false;
	sure = (u64)slots->taken * all->taker / all_slots->taker;
	return share__is_beyond(shares, tgid, sure < SURE_RECORDS ? SURE_RECORDS : sure, 1);
}

/* Nothing of the table is the process's so far, as far as its place tells. */
static __always_inline bool share__is_first(void *shares, u32 tgid)
{
	struct share *mine = share__at(shares, share__place(tgid));

	return mine && !mine->taken;
}

/*
 * Keeps the command line, as far as its memory is there, if the current task is of the process
 * (mm->arg_start and arg_end, as get_mm_cmdline() in fs/proc/base.c has them). 1: user space has
 * to forget it.
 */
static __noinline __attribute__((unused)) int vcpus__keep_args(u32 tgid, u64 start_ns)
{
	static const struct process_args none;
	struct process_key key = { .start_ns = start_ns, .tgid = tgid };
	struct task_struct *task = (void *)bpf_get_current_task();
	struct process_args *args;
	u64 begin, len;

	if (bpf_get_current_pid_tgid() >> 32 != tgid ||
	    bpf_map_update_elem(&new_processes, &key, &none, BPF_NOEXIST))
		return 0;
	args = bpf_map_lookup_elem(&new_processes, &key);
	if (!args)
		return 1;
	begin = BPF_CORE_READ(task, mm, arg_start);
	len = BPF_CORE_READ(task, mm, arg_end) - begin;
	if (len > sizeof(args->text))
		len = sizeof(args->text);
	/* Here the verifier knows the bounds. */
	barrier_var(len);
	if (!bpf_probe_read_user(args->text, len, (void *)begin))
		args->len = len;
	return 1;
}

/*
 * Gives {vcpu, thread} a slot. 0 when there is none left. The thread itself, the
 * iterator and those that wake the thread may come here at the same moment.
 */
static __noinline u32 vcpus__new_slot(struct kvm_vcpu *vcpu, u64 pid_tgid, struct task_struct *task)
{
	struct vcpu_key key = { .vcpu = (u64)vcpu, .tid = (u32)pid_tgid };
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	volatile struct slot_place *place = vcpus__place(vcpu);
	struct vcpu_info *info;
	u32 slot = 0, tgid = pid_tgid >> 32;
	bool first = share__is_first(&vcpu_shares, tgid);

	/* One VM may be the host's only one, and large: three quarters are for it. */
	if (!only_tgid && share__is_beyond(&vcpu_shares, tgid, SURE_SLOTS, 7)) {
		lose_of(LOST_VCPUS_FULL, tgid);
		return 0;
	}
	info = table__take(tgid, &vcpus, &free_slots, &slot, LOST_VCPUS_FULL);
	if (!info)
		return 0;
	info->vcpu = (u64)vcpu;
	info->kvm = (u64)BPF_CORE_READ(vcpu, kvm);
	info->vcpu_id = BPF_CORE_READ(vcpu, vcpu_id);
	info->tgid = tgid;
	info->tid = key.tid;
	info->start_ns = BPF_CORE_READ(leader, start_boottime);
	info->thread = (u64)task;
	info->since_ns = BPF_CORE_READ(task, start_boottime);
	info->leader = (u64)leader;
	info->creator = READ_U32((struct kvm *)info->kvm, userspace_pid);
	info->confidential = kvm_confidential((void *)info->kvm);
	info->first_exits = READ_U64(vcpu, stat.exits);
	info->birth = place ? place->birth : 0;
	BPF_CORE_READ_STR_INTO(&info->comm, leader, comm);
	if (!table__enter(&vcpu_slots, &key, &free_slots, &slot, LOST_VCPUS_FULL))
		return slot;
	share__take(&vcpu_shares, slot, tgid);
	info->kept_args = first && vcpus__keep_args(tgid, info->start_ns);
	info->state = VCPU_RUNS;
	bpf_ringbuf_output(&new_vcpus, &slot, sizeof(slot), 0);
	return slot;
}

/* The vCPU's descriptor, when the current thread is in an ioctl() on it; else 0. */
static __noinline u64 vcpus__file(struct kvm_vcpu *vcpu)
{
	struct pt_regs *regs = user_regs();
	struct file *file = file_of(BPF_CORE_READ(regs, di));

	if (!file || BPF_CORE_READ(file, private_data) != vcpu || named_kind(file) != FD_VCPU)
		return 0;
	return (u64)file;
}

/*
 * True when slot is not (any more) that of vcpu in the current thread. One
 * thread may run a VM, free it, and run the next one at the same address: then
 * that one's birth was told, or KVM's count of exits falls, and the next look gives out a
 * new slot. birth: the last one at the vCPU's place, which may be another vCPU's.
 */
static __always_inline bool vcpus__ended(struct vcpu_info *info, struct kvm_vcpu *vcpu, u32 birth)
{
	struct vcpu_key key = { .vcpu = (u64)vcpu, .tid = info->tid };
	u64 exits;

	if (!births_told || !birth__is_of(birth, key.vcpu)) {
		exits = READ_U64(vcpu, stat.exits);
		if (exits >= info->exits) {
			info->exits = exits;
			info->birth = birth;
			return false;
		}
	}
	info->exits = EXITS_ENDED;
	info->state = VCPU_ENDED;
	bpf_map_delete_elem(&vcpu_slots, &key);
	return true;
}

static __always_inline bool vcpus__stale(struct vcpu_info *info, struct kvm_vcpu *vcpu, u32 birth)
{
	if (info->vcpu != (u64)vcpu || info->tid != (u32)bpf_get_current_pid_tgid())
		return true;
	return (!births_told || info->birth != birth) && vcpus__ended(info, vcpu, birth);
}

/*
 * The slow way: slot of {vcpu, current thread}, given out now if create is
 * set, and remembered in the cache. 0: none, or not chosen by -p.
 */
static __noinline __attribute__((unused)) u32 vcpus__find_slot(struct kvm_vcpu *vcpu, bool create)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct vcpu_key key = { .vcpu = (u64)vcpu, .tid = (u32)pid_tgid };
	volatile struct slot_place *place = vcpus__place(vcpu);
	struct vcpu_info *info;
	u32 slot;

	if (only_tgid && pid_tgid >> 32 != only_tgid)
		return 0;
	slot = table__find(&vcpu_slots, &key);
	info = bpf_map_lookup_elem(&vcpus, &slot);
	if (slot && info && vcpus__stale(info, vcpu, place ? place->birth : 0))
		slot = 0;
	if (!slot && create) {
		slot = vcpus__new_slot(vcpu, pid_tgid, (void *)bpf_get_current_task());
		info = bpf_map_lookup_elem(&vcpus, &slot);
	}
	/* Without a slot, a new vCPU at an old address must not be taken for the old one. */
	if (place && (slot || create))
		place->slot = slot;
	if (slot && info && !info->file)
		info->file = vcpus__file(vcpu);
	return slot;
}

/* The same for a thread that is not the current one; the cache is left alone. */
static __noinline __attribute__((unused)) u32 vcpus__slot_of(struct kvm_vcpu *vcpu,
							     struct task_struct *task)
{
	u32 tid = BPF_CORE_READ(task, pid), tgid = BPF_CORE_READ(task, tgid);
	struct vcpu_key key = { .vcpu = (u64)vcpu, .tid = tid };

	if (only_tgid && tgid != only_tgid)
		return 0;
	return table__find(&vcpu_slots, &key) ?: vcpus__new_slot(vcpu, (u64)tgid << 32 | tid, task);
}

static __always_inline volatile u64 *thread__word(u32 tid)
{
	u32 index = thread_cache__index(tid);

	return bpf_map_lookup_elem(&thread_cache, &index);
}

static __noinline __attribute__((unused)) int thread__enter(u32 tid, u32 slot)
{
	volatile u64 *word = thread__word(tid);

	bpf_map_update_elem(&thread_slots, &tid, &slot, BPF_ANY);
	if (word)
		*word = thread_cache__word(tid, slot);
	return 0;
}

/* From now on the thread's events after vcpu_put() are slot's. */
static __always_inline void vcpus__bind(u32 tid, u32 slot)
{
	volatile u64 *word = thread__word(tid);

	if (!word || *word != thread_cache__word(tid, slot))
		thread__enter(tid, slot);
}

/* The same for a thread that is not the current one, unless it has bound itself. */
static __always_inline void vcpus__bind_other(u32 tid, u32 slot)
{
	volatile u64 *word = thread__word(tid);

	bpf_map_update_elem(&thread_slots, &tid, &slot, BPF_NOEXIST);
	if (word && !*word)
		*word = THREAD_CACHE_SPOILT;
}

/* From now on it is not known whose they are. */
static __always_inline void vcpus__unbind(u32 tid)
{
	volatile u64 *word = thread__word(tid);

	bpf_map_delete_elem(&thread_slots, &tid);
	if (word && *word)
		*word = THREAD_CACHE_SPOILT;
}

static __noinline __attribute__((unused)) u32 thread__find(u32 tid)
{
	u32 *slot = bpf_map_lookup_elem(&thread_slots, &tid);

	return slot ? *slot : 0;
}

/* The slot of the vCPU that the thread ran last; 0: none is known. */
static __always_inline u32 vcpus__thread_slot(u32 tid)
{
	volatile u64 *word = thread__word(tid);
	struct vcpu_info *info;
	u64 seen = word ? *word : 0;
	u32 slot = seen;

	if (!seen)
		return 0;
	info = bpf_map_lookup_elem(&vcpus, &slot);
	if (seen >> 32 == tid && info && info->tid == tid && info->state == VCPU_RUNS)
		return slot;
	return thread__find(tid);
}

/* What the cache has for vcpu. It may be another's, who may enter it at any time: read once. */
static __always_inline u32 vcpus__guess(void *vcpu)
{
	volatile struct slot_place *place = vcpus__place(vcpu);

	return place ? place->slot : 0;
}

/*
 * The slot that the cache has for vcpu, 0 if it is none of vcpu's. For a look at
 * whether there is anything to do: it does not see that vcpu is a new one at an
 * old address, which vcpus__slot() does.
 */
static __always_inline u32 vcpus__cached_slot(void *vcpu)
{
	u32 slot = vcpus__guess(vcpu);
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);

	return info && info->vcpu == (u64)vcpu ? slot : 0;
}

/* Slot of a vCPU that the current thread has loaded, given out now if it is new; 0: not chosen. */
static __always_inline u32 vcpus__slot(struct kvm_vcpu *vcpu)
{
	volatile struct slot_place *place = vcpus__place(vcpu);
	u32 slot = place ? place->slot : 0;
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);

	if (info && place && !vcpus__stale(info, vcpu, place->birth))
		return slot;
	return vcpus__find_slot(vcpu, true);
}

/*
 * The same inside KVM_RUN, for a monitor with a hook at its begin, which has seen whether vcpu is
 * a new one at an old address: that is not looked at again.
 */
static __always_inline u32 vcpus__running_slot(struct kvm_vcpu *vcpu)
{
	u32 slot = vcpus__guess(vcpu);
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);

	if (info && info->vcpu == (u64)vcpu && info->tid == (u32)bpf_get_current_pid_tgid())
		return slot;
	return vcpus__find_slot(vcpu, true);
}

/*
 * Who has made a VM: kvm->userspace_pid. The directory has it of vcpu's, which is loaded or NULL,
 * and where births are told is known to have no other one at an old address.
 */
static __always_inline u32 vcpus__creator(struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	volatile struct slot_place *place = births_told && vcpu ? vcpus__place(vcpu) : NULL;
	u32 slot = place ? place->slot : 0;
	struct vcpu_info *info = place ? bpf_map_lookup_elem(&vcpus, &slot) : NULL;

	if (info && info->vcpu == (u64)vcpu && info->birth == place->birth && info->kvm == (u64)kvm)
		return info->creator;
	return READ_U32(kvm, userspace_pid);
}

/*
 * Slot of the vCPU that the current thread has loaded, given out now if it is
 * new; 0: none is loaded, or it is not chosen. For tracepoints that fire in a
 * vCPU's thread and do not say which vCPU it is.
 */
static __always_inline u32 vcpus__current_slot(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	return vcpu ? vcpus__slot(vcpu) : 0;
}

#endif
