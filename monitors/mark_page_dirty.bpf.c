// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -d: pages marked dirty in memory slots that have dirty logging on.
 *
 * Kernel: mark_page_dirty_in_slot() in virt/kvm/kvm_main.c, which sets the
 * page's bit in the slot's bitmap or pushes it into the vCPU's dirty ring. All
 * ways lead through it since 5.12: the fault that makes a page writable
 * (make_spte(), fast_page_fault()), a full PML buffer, the emulator, KVM's own
 * writes, and vhost's. The VM is the function's, not the current task's.
 */
#include "../bpf/events.bpf.h"
#include "../bpf/existing.bpf.h"
#include "../bpf/hooks.bpf.h"
#include "../bpf/pages.bpf.h"
#include "../compat/memslots.bpf.h"
#include "mark_page_dirty.h"

TABLE(dirty_slots, struct dirty_slot, dirty_slot_index, struct dirty_key, free_dirty_slots);
SHARES(dirty_shares);
RECENT(recent_slots);

/* One page that is being marked. */
struct mark {
	struct dirty_key key;
	u64 gfn;
	u64 rel_gfn;
	u64 userspace_addr;
	bool dirtied; /* it was clean in the log */
	bool ringed;
};

/* -p: a vCPU of another VM is of no interest; a thread without one may work for ours (vhost). */
static __always_inline bool chosen(const struct kvm_vcpu *loaded)
{
	return !loaded || task_chosen();
}

/* A record for a key that has none. 0 when there is none left. */
static __noinline u32 new_slot(struct mark *mark, struct kvm_vcpu *vcpu)
{
	struct dirty_slot *slot;
	u32 index = 0;

	if (share__is_used_up(&dirty_shares, mark->key.creator)) {
		lose_of(LOST_RECORDS_FULL, mark->key.creator);
		return 0;
	}
	slot = table__take(mark->key.creator, &dirty_slots, &free_dirty_slots, &index,
			   LOST_RECORDS_FULL);
	if (!slot)
		return 0;
	slot->key = mark->key;
	slot->userspace_addr = mark->userspace_addr;
	slot->vcpu_slot = vcpu ? vcpus__slot(vcpu) : 0;
	if (table__enter(&dirty_slot_index, &mark->key, &free_dirty_slots, &index,
			 LOST_RECORDS_FULL)) {
		share__take(&dirty_shares, index, mark->key.creator);
		slot->in_use = 1;
	}
	return index;
}

static __noinline void report(struct mark *mark, u32 record, struct kvm_vcpu *vcpu)
{
	struct dirty_event *event = event__reserve(sizeof(*event));

	if (!event)
		return;
	event__head(&event->head, vcpu ? vcpus__slot(vcpu) : 0);
	event->kvm = mark->key.kvm;
	event->gfn = mark->gfn;
	event->rel_gfn = mark->rel_gfn;
	event->npages = mark->key.npages;
	event->userspace_addr = mark->userspace_addr;
	event->record = record;
	event->slot = mark->key.slot;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void count(struct mark *mark, struct kvm_vcpu *vcpu)
{
	u32 index = TABLE_FIND(recent_slots, dirty_slots, struct dirty_slot, dirty_slot_index,
			       &mark->key);
	struct page_key page = {};
	struct dirty_slot *slot;

	if (!index)
		index = new_slot(mark, vcpu);
	slot = bpf_map_lookup_elem(&dirty_slots, &index);
	if (slot && index) {
		__sync_fetch_and_add(&slot->count, 1);
		if (mark->dirtied)
			__sync_fetch_and_add(&slot->dirtied, 1);
		if (mark->ringed)
			__sync_fetch_and_add(&slot->ringed, 1);
		page.region = index;
		pages__count(&page, mark->rel_gfn);
	}
	report(mark, index, vcpu);
}

static __always_inline bool is_set(const unsigned long *bitmap, u64 bit)
{
	return READ_U64_AT(bitmap + bit / 64) >> (bit & 63) & 1;
}

/* mark_page_dirty_in_slot() begins. */
static __noinline int on_mark(struct kvm *kvm, struct kvm_memory_slot *memslot, u64 gfn)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct mark mark = {};
	struct memslot_place place = {};
	struct memslot_log log = {};
	unsigned long *bitmap;

	if (!memslot || !chosen(vcpu))
		return 0;
	memslot_read(memslot, &place, &log);
	if (!(log.flags & MEMSLOT_LOGS))
		return 0;
	if (!kvm && vcpu)
		kvm = BPF_CORE_READ(vcpu, kvm);
	if (!kvm) {
		lose(LOST_THREAD_UNKNOWN);
		return 0;
	}
	mark.key.kvm = (u64)kvm;
	mark.key.creator = vcpus__creator(kvm, vcpu);
	mark.key.slot = place.slot;
	mark.key.base_gfn = place.base_gfn;
	mark.key.npages = place.npages;
	mark.gfn = gfn;
	mark.rel_gfn = gfn - mark.key.base_gfn;
	mark.userspace_addr = place.userspace_addr;
	bitmap = (void *)log.bitmap;
	/* Of x86's slots those of a VM with dirty rings have no bitmap (kvm_use_dirty_bitmap()). */
	mark.ringed = vcpu && !bitmap && dirty_ring_size(kvm);
	/* A dirty ring has an entry for every mark. */
	mark.dirtied = mark.ringed || (bitmap && !is_set(bitmap, mark.rel_gfn));
	count(&mark, vcpu);
	return 0;
}

/* mark: since 5.12 (kvm, slot, gfn); before (slot, gfn), which a gfn in the second place tells. */
FENTRY(mark_fentry, mark_page_dirty_in_slot,
       on_mark((void *)untyped_arg(ctx, 0), (void *)untyped_arg(ctx, 1), ctx[2]))

SEC("?kprobe/mark_page_dirty_in_slot")
int mark_kprobe(struct pt_regs *ctx)
{
	if ((s64)ctx->si < 0)
		return on_mark((void *)ctx->di, (void *)ctx->si, ctx->dx);
	return on_mark(NULL, (void *)ctx->di, ctx->si);
}

/*
 * Where the function above is inlined into its two callers (kernels whose
 * memory slots are a sorted array): their (kvm, gfn) and (vcpu, gfn).
 */
SEC("?kprobe/mark_page_dirty")
int mark_vm_kprobe(struct pt_regs *ctx)
{
	struct kvm *kvm = (void *)ctx->di;

	return on_mark(kvm, memslot_in_array(kvm, 0, ctx->si), ctx->si);
}

SEC("?kprobe/kvm_vcpu_mark_page_dirty")
int mark_vcpu_kprobe(struct pt_regs *ctx)
{
	struct kvm_vcpu *vcpu = (void *)ctx->di;
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);

	return on_mark(kvm, memslot_in_array(kvm, in_smm(vcpu), ctx->si), ctx->si);
}

/*
 * Partial, where functions can't be hooked: kvm_dirty_ring_push(ring, u32 slot,
 * u64 offset) sees the VMs that have a dirty ring, in the vCPU's thread.
 */
static __noinline int on_push(u32 slot, u64 offset)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct mark mark = { .gfn = NO_GFN, .rel_gfn = offset, .dirtied = true, .ringed = true };
	struct kvm *kvm;

	if (!vcpu || !chosen(vcpu))
		return 0;
	kvm = BPF_CORE_READ(vcpu, kvm);
	mark.key.kvm = (u64)kvm;
	mark.key.creator = BPF_CORE_READ(kvm, userspace_pid);
	mark.key.slot = slot;
	mark.key.base_gfn = NO_GFN;
	count(&mark, vcpu);
	return 0;
}

RAW_TP(push_raw_tp, kvm_dirty_ring_push, on_push(ctx->args[1], ctx->args[2]))
TP_BTF(push_tp_btf, kvm_dirty_ring_push, on_push(ctx[1], ctx[2]))

SEC("?tp/kvm/kvm_dirty_ring_push")
int push_tracepoint(void *ctx)
{
	u32 slot = 0;
	u64 offset = 0;

	/* slot@20 and offset@24 on all kernels that have the event. */
	bpf_probe_read_kernel(&slot, sizeof(slot), ctx + 20);
	bpf_probe_read_kernel(&offset, sizeof(offset), ctx + 24);
	on_push(slot, offset);
	return LEAVE_TO_PERF;
}

/* The VMs that exist now and whether they log: a struct logging_entry per descriptor. */
SEC("?iter/task_file")
int list_logging(struct bpf_iter__task_file *ctx)
{
	struct kvm *kvm = existing_vm(ctx);
	struct logging_entry entry = {};
	u64 memory;

	if (!kvm)
		return 0;
	memory = memslots_sum(kvm);
	entry.pages = memory & MEMSLOTS_PAGES;
	/* Nothing is said of a VM of which not all is known. */
	entry.logging = MEMSLOTS_LOGGED(memory) || (memory & MEMSLOTS_MORE);
	entry.kvm = (u64)kvm;
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
