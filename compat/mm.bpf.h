/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the host's memory management does to a VM: the notification that KVM gets, what the
 * current task is at, and the guest memory in a range of host addresses.
 */
#ifndef KVM_WATCHER_MM_BPF_H
#define KVM_WATCHER_MM_BPF_H

#include "compat.bpf.h"
#include "unmap.h"

/* MMU_NOTIFY_* of include/linux/mmu_notifier.h: the numbers are the kernel's own, in its BTF. */
enum mmu_notifier_event {
	MMU_NOTIFY_UNMAP,
	MMU_NOTIFY_CLEAR,
	MMU_NOTIFY_PROTECTION_VMA,
	MMU_NOTIFY_PROTECTION_PAGE,
	MMU_NOTIFY_SOFT_DIRTY,
	MMU_NOTIFY_RELEASE,
	MMU_NOTIFY_MIGRATE,   /* since 5.9 */
	MMU_NOTIFY_EXCLUSIVE, /* since 5.14 */
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mmu_notifier {
	struct hlist_node hlist;
};

/* Since 5.6: all notifiers of a process. */
struct mmu_notifier_subscriptions {
	struct hlist_head list;
};

struct mm_struct___notifiers {
	struct mmu_notifier_subscriptions *notifier_subscriptions;
};

/* Since 5.0; event since 5.2. */
struct mmu_notifier_range {
	unsigned long start;
	unsigned long end;
	enum mmu_notifier_event event;
};

/* mm_struct.owner is there with CONFIG_MEMCG. */
struct mm_struct___owner {
	struct task_struct *owner;
};

struct kvm___notifier {
	struct mmu_notifier mmu_notifier;
};

struct interval_tree_node {
	struct rb_node rb;
	unsigned long start;
	unsigned long last;
	unsigned long __subtree_last;
};

struct rb_root_cached {
	struct rb_root rb_root;
};

struct kvm_memory_slot___hva {
	struct interval_tree_node hva_node[2];
};

/* Since 5.17: a tree by host address, of the nodes hva_node[node_idx] of the slots. */
struct kvm_memslots___tree {
	struct rb_root_cached hva_tree;
};

struct pt_regs___r10 {
	unsigned long r10;
};

#pragma clang attribute pop

static __always_inline u32 unmap_event(struct mmu_notifier_range *range)
{
	u32 event;

	if (!bpf_core_field_exists(range->event))
		return UNMAP_EVENT_UNKNOWN;
	event = BPF_CORE_READ(range, event);
#define IS(_event)                                                                      \
	if (bpf_core_enum_value_exists(enum mmu_notifier_event, MMU_NOTIFY_##_event) && \
	    event == bpf_core_enum_value(enum mmu_notifier_event, MMU_NOTIFY_##_event)) \
		return UNMAP_EVENT_##_event;
	UNMAP_EVENTS(IS)
#undef IS
	return UNMAP_EVENT_UNKNOWN;
}

/* MR_* of include/linux/migrate_mode.h: what mm_migrate_pages_start tells. */
enum migrate_reason {
	MR_COMPACTION,
	MR_NUMA_MISPLACED,
};

static __always_inline bool migrates_to_compact(u32 reason)
{
	return bpf_core_enum_value_exists(enum migrate_reason, MR_COMPACTION) &&
	       reason == bpf_core_enum_value(enum migrate_reason, MR_COMPACTION);
}

static __always_inline bool migrates_by_numa(u32 reason)
{
	return bpf_core_enum_value_exists(enum migrate_reason, MR_NUMA_MISPLACED) &&
	       reason == bpf_core_enum_value(enum migrate_reason, MR_NUMA_MISPLACED);
}

/* The VM whose notifier is called: struct kvm has it inside. */
static __always_inline struct kvm *notified_kvm(u64 notifier)
{
	if (!bpf_core_field_exists(((struct kvm___notifier *)0)->mmu_notifier))
		return NULL;
	return (void *)notifier - bpf_core_field_offset(struct kvm___notifier, mmu_notifier);
}

/* A thread of the process that has made the VM, or NULL. */
static __always_inline struct task_struct *kvm_owner(struct kvm *kvm)
{
	struct mm_struct___owner *mm = (void *)BPF_CORE_READ(kvm, mm);
	struct task_struct *task = (void *)bpf_get_current_task();

	if (BPF_CORE_READ(task, mm) == (void *)mm)
		return task;
	return bpf_core_field_exists(mm->owner) ? BPF_CORE_READ(mm, owner) : NULL;
}

/*
 * PF_KTHREAD and PF_MEMALLOC of include/linux/sched.h: neither has another number since
 * 2.6. The second one is set while the task reclaims memory, or compacts it for itself.
 */
enum { TASK_KERNEL = 0x00200000, TASK_RECLAIMS = 0x00000800 };

/*
 * The system call that the current task is in; NO_CALL: it is in a page fault, an interrupt, or
 * on its way back to user space. Entering a call sets ax to -ENOSYS, leaving it to the result;
 * exceptions set orig_ax to -1 (arch/x86/entry/).
 */
static __always_inline s32 current_call(struct pt_regs *regs)
{
	enum { NOT_YET = -38 };

	if ((s64)BPF_CORE_READ(regs, ax) != NOT_YET)
		return NO_CALL;
	return BPF_CORE_READ(regs, orig_ax) & 0x7fffffff;
}

static __always_inline unsigned long fourth_argument(struct pt_regs *regs)
{
	return BPF_CORE_READ((struct pt_regs___r10 *)regs, r10);
}

/*
 * The VM of the current process, where nobody says whose notifier is called: the first
 * notifier that is inside a struct kvm of this process. NULL: there is none.
 */
static __noinline __attribute__((unused)) struct kvm *current_mm_kvm(void)
{
	enum { MOST_NOTIFIERS = 16 };
	struct task_struct *task = (void *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct mm_struct___notifiers *notified = (void *)mm;
	struct hlist_node *node;
	struct kvm *kvm;

	if (!mm || !bpf_core_field_exists(notified->notifier_subscriptions))
		return NULL;
	node = BPF_CORE_READ(notified, notifier_subscriptions, list.first);
	for (int i = 0; i < MOST_NOTIFIERS && node; i++) {
		kvm = notified_kvm((u64)node - bpf_core_field_offset(struct mmu_notifier, hlist));
		if (kvm && BPF_CORE_READ(kvm, mm) == mm)
			return kvm;
		node = BPF_CORE_READ(node, next);
	}
	return NULL;
}

/* Slots that are looked at where they are an array, and steps down the tree elsewhere. */
enum { MOST_HVA_SLOTS = 512, MOST_HVA_STEPS = 64, MOST_IN_RANGE = 32 };

/*
 * Of the slots that have memory in [first, last], the one that begins lowest: its address,
 * or 0. Not static: see memslots_in_bucket().
 */
__noinline u64 hva_slot_in_tree(u64 address, u64 first, u64 last)
{
	struct kvm_memslots *slots = (void *)address;
	struct kvm_memslots___tree *tree = (void *)address;
	struct interval_tree_node *node, *child;
	u64 offset;

	if (memslots_in_array() || !bpf_core_field_exists(tree->hva_tree))
		return 0;
	offset = bpf_core_field_offset(struct kvm_memory_slot___hva, hva_node) +
		 (BPF_CORE_READ(slots, node_idx) & 1) *
			 bpf_core_type_size(struct interval_tree_node);
	node = (void *)BPF_CORE_READ(tree, hva_tree.rb_root.rb_node);
	if (!node || BPF_CORE_READ(node, __subtree_last) < first)
		return 0;
	for (int i = 0; i < MOST_HVA_STEPS; i++) {
		child = (void *)BPF_CORE_READ(node, rb.rb_left);
		if (!child || BPF_CORE_READ(child, __subtree_last) < first) {
			if (BPF_CORE_READ(node, start) > last)
				return 0;
			if (BPF_CORE_READ(node, last) >= first)
				return (u64)node - offset;
			child = (void *)BPF_CORE_READ(node, rb.rb_right);
			if (!child || BPF_CORE_READ(child, __subtree_last) < first)
				return 0;
		}
		node = child;
	}
	return 0;
}

/* The same where slots are an array. No branch: see memslots_add(). */
__noinline u64 hva_slot_in_array(u64 address, u64 first, u64 last)
{
	const u64 none = ~0ULL >> 1;
	struct kvm_memslots *slots = (void *)address;
	u64 best = none, found = 0;
	u32 used;

	if (!memslots_in_array())
		return 0;
	used = BPF_CORE_READ((struct kvm_memslots___array *)slots, used_slots);
	for (u32 i = 0; i < MOST_HVA_SLOTS && i < used; i++) {
		struct kvm_memory_slot *memslot = memslot_at(slots, i);
		u64 begin = BPF_CORE_READ(memslot, userspace_addr);
		u64 end = begin + (BPF_CORE_READ(memslot, npages) << 12) - 1;
		/* All ones where the slot is elsewhere, and where it begins lower than the best. */
		u64 elsewhere = (s64)((end - first) | (last - begin)) >> 63;
		u64 lower;

		begin |= elsewhere & none;
		lower = (s64)(begin - best) >> 63;
		best += (begin - best) & lower;
		found += ((u64)memslot - found) & lower;
	}
	return found;
}

/*
 * Pages of guest memory at the host addresses from start up to end, each once, however many
 * slots show it. A range beyond 32 slots has those of the first ones.
 */
static __noinline __attribute__((unused)) u64 guest_pages(struct kvm *kvm, u64 start, u64 end)
{
	u64 slots = (u64)memslots_of(kvm, 0), pages = 0, found, begin, after;

	/* All of an address space is 0 to ~0. */
	if (end > ~0ULL >> 1)
		end = ~0ULL >> 1;
	for (int i = 0; i < MOST_IN_RANGE && start < end; i++) {
		struct kvm_memory_slot *memslot;

		found = memslots_in_array() ? hva_slot_in_array(slots, start, end - 1) :
					      hva_slot_in_tree(slots, start, end - 1);
		if (!found)
			break;
		memslot = (void *)found;
		begin = BPF_CORE_READ(memslot, userspace_addr);
		after = begin + (BPF_CORE_READ(memslot, npages) << 12);
		if (begin < start)
			begin = start;
		if (after > end)
			after = end;
		if (after <= begin)
			break;
		pages += (after - begin + 4095) >> 12;
		start = after;
	}
	return pages;
}

#endif
