/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All memory slots of a VM's normal address space. The SMM address space shows
 * the same memory again. Until 5.16 the slots are an array; then they hang in a
 * hash table by id (a54d806688fe "KVM: Keep memslots in tree-based structures").
 * KVM allows 32764 slots, on 5.10 509 (KVM_CAP_NR_MEMSLOTS).
 */
#ifndef KVM_WATCHER_MEMSLOTS_BPF_H
#define KVM_WATCHER_MEMSLOTS_BPF_H

#include "compat.bpf.h"

/* KVM_MEM_LOG_DIRTY_PAGES of a slot's flags. */
#define MEMSLOT_LOGS 1U

/*
 * The sum of the slots' pages, which are 2^40 at most: what an x86 can address. With it,
 * how many of them log, and that there are more than were looked at.
 */
#define MEMSLOTS_LOGGED_SHIFT 40
#define MEMSLOTS_MORE (1ULL << 62)
#define MEMSLOTS_LOGGED(sum) (((sum) & (MEMSLOTS_MORE - 1)) >> MEMSLOTS_LOGGED_SHIFT)
#define MEMSLOTS_PAGES ((1ULL << MEMSLOTS_LOGGED_SHIFT) - 1)

/*
 * The table's buckets, and as many parts of the array. Of 32764 ids a bucket has
 * 256, or a few more; the array's parts hold them all.
 */
enum { MEMSLOT_PARTS = 1 << 7, MOST_IN_BUCKET = 512, MOST_IN_PART = 256 };

static __always_inline struct hlist_node *memslot_bucket(struct kvm_memslots *slots, u32 bucket)
{
	struct hlist_node *node = NULL;

	bpf_probe_read_kernel(&node, sizeof(node),
			      (void *)slots + bpf_core_field_offset(struct kvm_memslots, id_hash) +
				      (u64)bucket * bpf_core_type_size(struct hlist_head));
	return node;
}

/* How far a slot's node for the table is from the slot: it has two, of which one is in use. */
static __always_inline u64 memslot_node_offset(struct kvm_memslots *slots)
{
	u64 active = BPF_CORE_READ(slots, node_idx) & 1;

	return bpf_core_field_offset(struct kvm_memory_slot, id_node) +
	       active * bpf_core_type_size(struct hlist_node);
}

/* No branch: the verifier would follow both ways in every round. */
static __always_inline u64 memslots_add(u64 sum, struct kvm_memory_slot *memslot)
{
	u64 logs = BPF_CORE_READ(memslot, flags) & MEMSLOT_LOGS;

	return sum + BPF_CORE_READ(memslot, npages) + (logs << MEMSLOTS_LOGGED_SHIFT);
}

/*
 * Not static: the verifier then looks at these two once, and not in every
 * round of the loop that calls them, for which Linux 5.10 took minutes. Looked
 * at alone, each has to say itself which kernels it is for.
 */
__noinline u64 memslots_in_bucket(u64 address, u32 bucket)
{
	struct kvm_memslots *slots = (void *)address;
	struct hlist_node *node;
	u64 sum = 0, offset;

	if (memslots_in_array() || bucket >= MEMSLOT_PARTS)
		return 0;
	offset = memslot_node_offset(slots);
	node = memslot_bucket(slots, bucket);
	for (int i = 0; i < MOST_IN_BUCKET && node; i++) {
		sum = memslots_add(sum, (void *)node - offset);
		node = BPF_CORE_READ(node, next);
	}
	return node ? sum | MEMSLOTS_MORE : sum;
}

__noinline u64 memslots_in_part(u64 address, u32 part)
{
	struct kvm_memslots *slots = (void *)address;
	u32 used, first = part * MOST_IN_PART;
	u64 sum = 0;

	if (!memslots_in_array() || part >= MEMSLOT_PARTS)
		return 0;
	used = BPF_CORE_READ((struct kvm_memslots___array *)slots, used_slots);
	for (u32 i = 0; i < MOST_IN_PART && first + i < used; i++)
		sum = memslots_add(sum, memslot_at(slots, first + i));
	return sum;
}

static __always_inline u64 memslots_sum(struct kvm *kvm)
{
	u64 slots = (u64)memslots_of(kvm, 0), sum = 0, more;

	for (u32 part = 0; part < MEMSLOT_PARTS; part++) {
		more = memslots_in_array() ? memslots_in_part(slots, part) :
					     memslots_in_bucket(slots, part);
		sum = ((sum & ~MEMSLOTS_MORE) + (more & ~MEMSLOTS_MORE)) |
		      ((sum | more) & MEMSLOTS_MORE);
	}
	return sum;
}

#endif
