// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * --unmaps: who takes mappings of a VM's memory away.
 *
 * Counted: calls of kvm_mmu_notifier_invalidate_range_start() in virt/kvm/kvm_main.c. The
 *          host's memory management calls it before it changes a range of addresses of
 *          the VM's process, in the task that changes it. struct kvm has the notifier
 *          inside, which tells the VM.
 * Timed:   from that call to its return: KVM waits for its lock, takes the range out of the
 *          guest's page tables and flushes TLBs.
 * Who:     the current task. Names tell only threads of the kernel apart. That a task
 *          compacts memory or moves pages say mm_compaction_begin and _end (mm/compaction.c)
 *          and mm_migrate_pages_start and mm_migrate_pages (mm/migrate.c).
 *
 * Where functions can't be hooked, kvm_unmap_hva_range has the range, and the VM is
 * that of the current process.
 */
#include "../bpf/hooks.bpf.h"
#include "../bpf/stat.bpf.h"
#include "../bpf/vcpus.bpf.h"
#include "../compat/mm.bpf.h"
#include "unmaps.h"

/* The call's return is seen. */
const volatile __u32 sees_return;

TABLE(unmap_records, struct unmap_record, unmap_index, struct unmap_key, free_records);
SHARES(unmap_shares);

/* Of a task: what it is at besides. */
struct work {
	u8 compacts;
	u8 migrates;
	u8 by_numa;
	u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct work);
} works SEC(".maps");

/* The call that a thread is in. */
struct unmap_call {
	u64 since;
	u32 record;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct unmap_call);
} calls SEC(".maps");

/* The one that is notified of. */
struct unmap {
	struct unmap_key key;
	struct task_struct *owner; /* a thread of the VM's process, or NULL */
	u64 start, end;
};

static __always_inline bool begins_with(const char comm[16], const char *name, int length)
{
	for (int i = 0; i < length; i++)
		if (comm[i] != name[i])
			return false;
	return true;
}

#define IS_NAMED(_comm, _name) begins_with(_comm, _name, sizeof(_name) - 1)

/* Threads of the kernel that do nothing else. NR_ACTORS: none of them. */
static __noinline u32 kernel_actor(const char *name)
{
	char comm[16];

	if (!name)
		return NR_ACTORS;
	__builtin_memcpy(comm, name, sizeof(comm));
	if (IS_NAMED(comm, "kcompactd"))
		return ACTOR_COMPACTION;
	if (IS_NAMED(comm, "kswapd"))
		return ACTOR_RECLAIM;
	if (IS_NAMED(comm, "kdamond"))
		return ACTOR_DAMON;
	/* These two allocate memory as well, and then compact or reclaim. */
	if (IS_NAMED(comm, "ksmd"))
		return ACTOR_KSM;
	if (IS_NAMED(comm, "khugepaged"))
		return ACTOR_KHUGEPAGED;
	return NR_ACTORS;
}

/* MADV_COLD and MADV_PAGEOUT are asked for by name: what reclaims then is the call. */
static __noinline bool asks_to_reclaim(struct pt_regs *regs, s32 call)
{
	enum { SYS_MADVISE = 28, SYS_PROCESS_MADVISE = 440, ADVISE_COLD = 20, ADVISE_PAGEOUT = 21 };
	u64 advice = 0;

	if (call == SYS_MADVISE)
		advice = BPF_CORE_READ(regs, dx);
	else if (call == SYS_PROCESS_MADVISE)
		advice = fourth_argument(regs);
	return (u32)advice == ADVISE_COLD || (u32)advice == ADVISE_PAGEOUT;
}

enum { SYS_IOCTL = 16 };

/* A command of userfaultfd's: _IO...(0xAA, ...). */
static __always_inline bool asks_userfaultfd(struct pt_regs *regs, s32 call)
{
	return call == SYS_IOCTL && (BPF_CORE_READ(regs, si) >> 8 & 0xff) == 0xaa;
}

/* A task of user space's; call is the system call it is in. */
static __noinline u32 user_actor(struct pt_regs *regs, s32 call, u32 event, bool own)
{
	if (asks_userfaultfd(regs, call))
		return ACTOR_USERFAULTFD;
	if (!own)
		return ACTOR_OTHER;
	if (call >= 0)
		return ACTOR_VMM;
	/* mprotect() is a call. Outside of one a thread marks its own pages for NUMA balancing. */
	if (event == UNMAP_EVENT_PROTECTION_VMA || event == UNMAP_EVENT_PROTECTION_PAGE)
		return ACTOR_NUMA;
	return ACTOR_FAULT;
}

/* Fills in key.actor, key.call and key.comm of the current task. */
static __noinline int find_actor(struct unmap *unmap, bool own)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 tid = bpf_get_current_pid_tgid(), flags = BPF_CORE_READ(task, flags);
	struct work *work = bpf_map_lookup_elem(&works, &tid);
	struct pt_regs *regs = user_regs();
	u32 known = NR_ACTORS;
	char comm[16] = {};
	s32 call = NO_CALL;

	if (!unmap)
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
	if (flags & TASK_KERNEL) {
		known = kernel_actor(comm);
	} else {
		call = current_call(regs);
		if (call == SYS_IOCTL && loaded_vcpu())
			call = CALL_RUN;
	}
	unmap->key.call = call;
	if (known == ACTOR_COMPACTION || known == ACTOR_RECLAIM || known == ACTOR_DAMON)
		unmap->key.actor = known;
	else if (work && work->by_numa)
		unmap->key.actor = ACTOR_NUMA;
	else if (work && work->compacts)
		unmap->key.actor = ACTOR_COMPACTION;
	else if (work && work->migrates)
		unmap->key.actor = ACTOR_MIGRATION;
	else if (flags & TASK_RECLAIMS && !asks_to_reclaim(regs, call))
		unmap->key.actor = ACTOR_RECLAIM;
	else if (known != NR_ACTORS)
		unmap->key.actor = known;
	else if (flags & TASK_KERNEL)
		unmap->key.actor = ACTOR_KERNEL;
	else
		unmap->key.actor = user_actor(regs, call, unmap->key.event, own);
	if (unmap->key.actor == ACTOR_KERNEL || unmap->key.actor == ACTOR_OTHER)
		__builtin_memcpy(unmap->key.comm, comm, sizeof(comm));
	return 0;
}

/* The record of unmap's key, made now if it is new. 0 when there is none left. */
static __noinline u32 find_record(struct unmap *unmap)
{
	struct unmap_record *record;
	struct task_struct *owner;
	u32 index;

	if (!unmap)
		return 0;
	index = table__find(&unmap_index, &unmap->key);
	if (!index && share__is_used_up(&unmap_shares, unmap->key.tgid)) {
		unmap->key.call = CALL_OTHERS;
		unmap->key.event = UNMAP_EVENT_UNKNOWN;
		__builtin_memset(unmap->key.comm, 0, sizeof(unmap->key.comm));
		index = table__find(&unmap_index, &unmap->key);
	}
	if (index)
		return index;
	record = table__take(unmap->key.tgid, &unmap_records, &free_records, &index,
			     LOST_RECORDS_FULL);
	if (!record)
		return 0;
	record->key = unmap->key;
	owner = unmap->owner;
	if (owner) {
		struct task_struct *leader = BPF_CORE_READ(owner, group_leader);

		record->start_ns = BPF_CORE_READ(leader, start_boottime);
		BPF_CORE_READ_STR_INTO(&record->vm_comm, leader, comm);
	}
	if (table__enter(&unmap_index, &unmap->key, &free_records, &index, LOST_RECORDS_FULL)) {
		share__take(&unmap_shares, index, unmap->key.tgid);
		record->in_use = 1;
	}
	return index;
}

/* The record that it is counted in, 0: none. */
static __noinline u32 count(struct unmap *unmap)
{
	struct unmap_record *record;
	u64 pages = 0;
	u32 index;

	if (!unmap)
		return 0;
	index = find_record(unmap);
	record = bpf_map_lookup_elem(&unmap_records, &index);
	if (!index || !record)
		return 0;
	if (unmap->key.kvm)
		pages = guest_pages((struct kvm *)unmap->key.kvm, unmap->start, unmap->end);
	/* In this order, which is not user space's: what has guest memory is counted. */
	__sync_fetch_and_add(&record->count, 1);
	if (pages) {
		__sync_fetch_and_add(&record->guest, 1);
		__sync_fetch_and_add(&record->pages, pages);
	}
	return index;
}

static __always_inline void find_vm(struct unmap *unmap, struct kvm *kvm)
{
	struct task_struct *owner = kvm_owner(kvm);

	unmap->key.kvm = (u64)kvm;
	unmap->key.tgid = BPF_CORE_READ(owner, tgid);
	unmap->owner = owner;
}

/* kvm_mmu_notifier_invalidate_range_start() begins. */
static __noinline int begin(u64 notifier, struct mmu_notifier_range *range)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct kvm *kvm = notified_kvm(notifier);
	u32 tid = bpf_get_current_pid_tgid();
	struct unmap_call call = {};
	struct unmap unmap = {};

	if (!kvm || !range)
		return 0;
	find_vm(&unmap, kvm);
	if (only_tgid && unmap.key.tgid && unmap.key.tgid != only_tgid)
		return 0;
	unmap.key.event = unmap_event(range);
	unmap.start = BPF_CORE_READ(range, start);
	unmap.end = BPF_CORE_READ(range, end);
	find_actor(&unmap, BPF_CORE_READ(kvm, mm) == BPF_CORE_READ(task, mm));
	call.record = count(&unmap);
	if (!sees_return || !call.record)
		return 0;
	/* Last: finding out who it is is no time of KVM's. */
	call.since = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&calls, &tid, &call, BPF_ANY))
		lose_of(LOST_RECORDS_FULL, unmap.key.tgid);
	return 0;
}

static __noinline int end(void)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct unmap_call *call = bpf_map_lookup_elem(&calls, &tid);
	u64 now = bpf_ktime_get_ns();
	struct unmap_record *record;
	u32 index;

	if (!call)
		return 0;
	index = call->record;
	record = bpf_map_lookup_elem(&unmap_records, &index);
	if (record)
		stat__add_shared(&record->time, now - call->since);
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

/* kvm_unmap_hva_range(start, end): whose VM it is shows only in its own process. */
static __noinline int on_told(u64 start, u64 end)
{
	struct unmap unmap = { .start = start, .end = end };
	struct kvm *kvm = current_mm_kvm();

	find_actor(&unmap, kvm != NULL);
	if (kvm && (unmap.key.actor == ACTOR_VMM || unmap.key.actor == ACTOR_FAULT ||
		    unmap.key.actor == ACTOR_USERFAULTFD))
		find_vm(&unmap, kvm);
	if (only_tgid && unmap.key.tgid != only_tgid)
		return 0;
	count(&unmap);
	return 0;
}

/* The task begins or ends to compact, or to move pages. */
static __always_inline int on_compaction(bool begins)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct work work = { .compacts = 1 };

	if (begins)
		bpf_map_update_elem(&works, &tid, &work, BPF_ANY);
	else
		bpf_map_delete_elem(&works, &tid);
	return 0;
}

static __noinline int on_migration(u32 reason)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct work work = {
		.compacts = migrates_to_compact(reason),
		.migrates = 1,
		.by_numa = migrates_by_numa(reason),
	};

	/* A compaction has begun before: it is one still when this has ended. */
	if (!bpf_map_lookup_elem(&works, &tid))
		bpf_map_update_elem(&works, &tid, &work, BPF_ANY);
	return 0;
}

static __noinline int on_migrated(void)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct work *work = bpf_map_lookup_elem(&works, &tid);

	if (work && work->migrates)
		bpf_map_delete_elem(&works, &tid);
	return 0;
}

/* (struct mmu_notifier *, const struct mmu_notifier_range *) */
KPROBE(begin_kprobe, kvm_mmu_notifier_invalidate_range_start, begin(ctx->di, (void *)ctx->si))
FENTRY(begin_fentry, kvm_mmu_notifier_invalidate_range_start,
       begin(untyped_arg(ctx, 0), (void *)untyped_arg(ctx, 1)))
KRETPROBE(end_kprobe, kvm_mmu_notifier_invalidate_range_start, end())
FEXIT(end_fexit, kvm_mmu_notifier_invalidate_range_start, end())

/* Since 5.13: kvm_unmap_hva_range(unsigned long start, unsigned long end) */
struct range_fields {
	u64 start, end;
};

RAW_TP(range_raw_tp, kvm_unmap_hva_range, on_told(ctx->args[0], ctx->args[1]))
TP_BTF(range_tp_btf, kvm_unmap_hva_range, on_told(ctx[0], ctx[1]))
TRACEPOINT(range_tracepoint, "kvm/kvm_unmap_hva_range", range_fields, on_told(args.start, args.end))

/* Their arguments are of no interest. */
RAW_TP(compaction_raw_tp, mm_compaction_begin, on_compaction(true))
TP_BTF(compaction_tp_btf, mm_compaction_begin, on_compaction(true))
RAW_TP(compacted_raw_tp, mm_compaction_end, on_compaction(false))
TP_BTF(compacted_tp_btf, mm_compaction_end, on_compaction(false))

/* Since 5.16: mm_migrate_pages_start(enum migrate_mode mode, int reason) */
RAW_TP(migration_raw_tp, mm_migrate_pages_start, on_migration(ctx->args[1]))
TP_BTF(migration_tp_btf, mm_migrate_pages_start, on_migration(ctx[1]))
RAW_TP(migrated_raw_tp, mm_migrate_pages, on_migrated())
TP_BTF(migrated_tp_btf, mm_migrate_pages, on_migrated())

char LICENSE[] SEC("license") = "Dual BSD/GPL";
