/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel drift, all of it: one accessor per thing that moved. Each says what
 * changed, since when, and how the kernel is asked (its BTF or the arguments
 * themselves, never its version).
 */
#ifndef KVM_WATCHER_COMPAT_BPF_H
#define KVM_WATCHER_COMPAT_BPF_H

#include "fd_kind.h"
#include "kvm_types.bpf.h"
#include "memslot.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The isa argument of kvm_exit: KVM_ISA_VMX, KVM_ISA_SVM of arch/x86/kvm/trace.h. */
enum { ISA_VMX = 1, ISA_SVM = 2 };

/*
 * What a program on a classic tracepoint returns: trace_call_bpf() in
 * kernel/trace/bpf_trace.c. An event for which one of them returns 0 is taken from all
 * perf events that others have on it, as perf's.
 */
enum { LEAVE_TO_PERF = 1 };

/*
 * kvm_exit's arguments. Until 5.15: (u32 reason, vcpu, u32 isa); then
 * (vcpu, u32 isa) (0a62a0319abb "KVM: x86: Get exit_reason as part of kvm_x86_ops.get_exit_info").
 * A reason never has the highest bit and a kernel pointer always does.
 */
static __always_inline bool exit_args_old(u64 arg0)
{
	return (s64)arg0 >= 0;
}

/*
 * Argument n of a tp_btf, fentry or fexit program as a plain number: the
 * verifier gives pointers there a type and then forbids to compute with them.
 */
static __always_inline u64 untyped_arg(void *ctx, int n)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + n * sizeof(value));
	return value;
}

/*
 * The isa argument of kvm_exit. Where the types of only one vendor are known, as
 * with one of the two modules loaded, it needs no look.
 */
static __always_inline u32 exit_isa(u32 isa)
{
	if (!bpf_core_type_exists(struct vcpu_svm))
		return ISA_VMX;
	if (!bpf_core_type_exists(struct vcpu_vmx))
		return ISA_SVM;
	return isa;
}

/*
 * Since 6.2 an address can be read through without calling a helper, as a
 * pointer to any type of vmlinux (a35b9af4ec2c "bpf: Add a kfunc to generic type
 * cast"): so as one that begins with what is there. can_cast: this kernel has it.
 */
extern void *bpf_rdonly_cast(const void *address, __u32 btf_id) __ksym __weak;

/*
 * The types that are cast to. No type of the kernel's: compat/picked_types.c makes one, in
 * which each member's place is the number that the kernel has for the type of that name.
 * bpf_core_type_id_kernel() would be the number among the types that are picked.
 */
struct type_numbers {
	char hlist_node;
	char upid;
} __attribute__((preserve_access_index));
#define TYPE_NUMBER(_type) bpf_core_field_offset(((struct type_numbers *)0)->_type)

/*
 * A pointer whose type the verifier knows becomes a plain number to it, which it lets us compute
 * with. On little endian this is no instruction of the processor's.
 */
#define FORGET_TYPE(pointer) asm volatile("%0 = le64 %0" : "+r"(pointer))

/* This kernel has that cast; user space sets it (core/hooks.c). */
const volatile __u32 casts;

/* Sums and copies where they are written: the compiler's own choice costs a register more. */
#define ADD(sum, addend) asm volatile("%0 += %1" : "+r"(sum) : "r"(addend))
#define COPY(to, from) asm volatile("%0 = %1" : "=r"(to) : "r"(from))

/* The helper itself makes what it can't read 0. */
static __always_inline u32 read_u32(void *address, bool can_cast)
{
	u32 value;

	if (can_cast)
		return ((struct upid *)bpf_rdonly_cast(address, TYPE_NUMBER(upid)))->nr;
	bpf_probe_read_kernel(&value, sizeof(value), address);
	return value;
}

static __always_inline void *read_pointer(void *address, bool can_cast)
{
	void *value;

	if (can_cast)
		return ((struct hlist_node *)bpf_rdonly_cast(address, TYPE_NUMBER(hlist_node)))
			->next;
	bpf_probe_read_kernel(&value, sizeof(value), address);
	return value;
}

/*
 * Members that lie close together, for kernels where each alone takes a helper: those from
 * _first on are read at once. They are where the BTF says, so that is asked for first.
 */
enum { NEAR_BYTES = 128 };
#define NEAR_BASE(_pointer, _first) (bpf_core_field_offset((_pointer)->_first) & ~7ULL)
#define IS_NEAR(_pointer, _first, _member)                                           \
	(bpf_core_field_offset((_pointer)->_member) - NEAR_BASE(_pointer, _first) <= \
	 NEAR_BYTES - sizeof(u64))
/* So much is read of them: size grows up to a member's end, and beyond what a member may have. */
#define NEAR_REACH(_size, _pointer, _first, _member)                                  \
	do {                                                                          \
		u64 _end = bpf_core_field_offset((_pointer)->_member) + sizeof(u64) - \
			   NEAR_BASE(_pointer, _first);                               \
                                                                                      \
		if (_end > (_size))                                                   \
			(_size) = _end;                                               \
	} while (0)
/* The compiler must not know the place: it would compute it by bits, which verifiers refuse. */
#define NEAR_MEMBER(_near, _pointer, _first, _member, _type)          \
	({                                                            \
		u64 _at = bpf_core_field_offset((_pointer)->_member); \
                                                                      \
		_at -= NEAR_BASE(_pointer, _first);                   \
		barrier_var(_at);                                     \
		*(_type *)((_near) + _at);                            \
	})

/* A member of 4 or 8 bytes of a structure of the kernel's, the cheapest way. */
#define READ_U32(_pointer, _member) read_u32((void *)&(_pointer)->_member, casts)
#define READ_U64(_pointer, _member) READ_U64_AT(&(_pointer)->_member)
#define READ_U64_AT(_address)                                              \
	({                                                                 \
		u64 _value = (u64)read_pointer((void *)(_address), casts); \
                                                                           \
		FORGET_TYPE(_value);                                       \
		_value;                                                    \
	})

/*
 * Exit reason of the exit that just happened, from the vendor's part of the
 * vCPU, which begins with struct kvm_vcpu:
 *   VMX: vcpu_vmx.exit_reason.full, written in vmx_vcpu_run() before kvm_exit;
 *        since 6.16 vcpu_vmx.vt.exit_reason.full.
 *   SVM: the low half of vmcb->control.exit_code, always valid in memory.
 * The types are in the BTF of kvm_intel and kvm_amd, when that module is loaded.
 */
static __always_inline u32 exit_reason_at_once(void *vcpu, u32 isa, bool can_cast)
{
	if (isa == ISA_VMX) {
		struct vcpu_vmx___vt *vt = NULL;
		struct vcpu_vmx *vmx = NULL;
		u64 place;

		if (bpf_core_field_exists(vt->vt))
			place = (u64)&vt->vt.exit_reason.full;
		else if (bpf_core_field_exists(vmx->exit_reason))
			place = (u64)&vmx->exit_reason.full;
		else
			return ~0U;
		ADD(place, vcpu);
		return read_u32((void *)place, can_cast);
	} else if (isa == ISA_SVM) {
		struct vcpu_svm *svm = vcpu;
		struct vmcb *vmcb;

		if (bpf_core_field_exists(svm->vmcb)) {
			vmcb = read_pointer(&svm->vmcb, can_cast);
			return read_u32(&vmcb->control.exit_code, can_cast);
		}
	}
	return ~0U;
}

static __always_inline u32 exit_reason(void *vcpu, u32 isa)
{
	return exit_reason_at_once(vcpu, isa, false);
}

/*
 * What made a vCPU of VMX leave by an exception or an NMI, once vmx_get_intr_info() has read it:
 * vcpu_vmx.exit_intr_info, since 6.16 vcpu_vmx.vt.exit_intr_info. False: not known here.
 */
static __always_inline bool vmx_intr_info(void *vcpu, u32 *info)
{
	struct vcpu_vmx___vt *vt = vcpu;
	struct vcpu_vmx *vmx = vcpu;

	if (bpf_core_field_exists(vt->vt.exit_intr_info))
		*info = BPF_CORE_READ(vt, vt.exit_intr_info);
	else if (bpf_core_field_exists(vmx->exit_intr_info))
		*info = BPF_CORE_READ(vmx, exit_intr_info);
	else
		return false;
	return true;
}

/*
 * The vCPU that the current thread has loaded, or NULL: between vcpu_load()
 * and vcpu_put() (virt/kvm/kvm_main.c) the vCPU's preempt notifier is the one
 * entry of the task's list. The same on all kernels, in vmlinux BTF, and for
 * every vendor; it serves the tracepoints that carry no vCPU.
 */
static __always_inline struct kvm_vcpu *loaded_vcpu(void)
{
	struct task_struct *task;
	struct hlist_node *node;

	/* Since 5.11 the current task can be had with its type, and be read without a helper. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = (void *)bpf_get_current_task_btf();
		node = task->preempt_notifiers.first;
		FORGET_TYPE(node);
	} else {
		task = (void *)bpf_get_current_task();
		node = BPF_CORE_READ(task, preempt_notifiers.first);
	}
	if (!node)
		return NULL;
	return (void *)node - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) -
	       bpf_core_field_offset(struct preempt_notifier, link);
}

/*
 * kvm_fpu(load=1) in a thread with a loaded vCPU means KVM_RUN, except that
 * some kernels also load the FPU in KVM_GET_MP_STATE. The registers with which the thread
 * entered the kernel tell the two apart; since 5.15 they are read without a helper. Before,
 * vcpu->wants_to_run (6.10, backported) does, where the kernel has it: it is false in
 * KVM_RUN with immediate_exit, which ends at once with -EINTR.
 */
static __always_inline bool enters_run(struct kvm_vcpu *vcpu)
{
	enum { KVM_RUN = 0xae80 };
	struct pt_regs *regs;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
		return (u32)regs->si == KVM_RUN;
	}
	if (bpf_core_field_exists(vcpu->wants_to_run))
		return BPF_CORE_READ(vcpu, wants_to_run);
	return true;
}

/* The current thread's name: since 5.11 without a helper, which looks for its end. */
static __always_inline void current_comm(char comm[16])
{
	struct task_struct *task;
	u64 *words = (u64 *)comm;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		bpf_get_current_comm(comm, 16);
		return;
	}
	task = (void *)bpf_get_current_task_btf();
	words[0] = *(u64 *)&task->comm[0];
	words[1] = *(u64 *)&task->comm[8];
}

/* Entries of a VM's dirty rings, 0: none. Dirty rings came with 5.11. */
static __always_inline u32 dirty_ring_size(struct kvm *kvm)
{
	if (bpf_core_field_exists(kvm->dirty_ring_size))
		return BPF_CORE_READ(kvm, dirty_ring_size);
	return 0;
}

/* True where memory slots are a sorted array: until 5.16 (virt/kvm/kvm_main.c). */
static __always_inline bool memslots_in_array(void)
{
	return bpf_core_field_exists(((struct kvm_memslots___array *)0)->used_slots);
}

/* HF_SMM_MASK of arch/x86/include/asm/kvm_host.h, while memory slots were an array. */
static __always_inline u32 in_smm(struct kvm_vcpu *vcpu)
{
	return BPF_CORE_READ(vcpu, arch.hflags) >> 6 & 1;
}

static __always_inline struct kvm_memslots *memslots_of(struct kvm *kvm, u32 as_id)
{
	struct kvm_memslots *slots = NULL;

	bpf_probe_read_kernel(&slots, sizeof(slots),
			      (void *)kvm + bpf_core_field_offset(kvm->memslots) +
				      (as_id & 1) * sizeof(slots));
	return slots;
}

static __always_inline struct kvm_memory_slot *memslot_at(struct kvm_memslots *slots, u32 i)
{
	return (void *)slots + bpf_core_field_offset(struct kvm_memslots___array, memslots) +
	       (u64)i * bpf_core_type_size(struct kvm_memory_slot);
}

/* The slot that has gfn, where slots are an array: what search_memslots() does. Else NULL. */
static __noinline __attribute__((unused)) struct kvm_memory_slot *
memslot_in_array(struct kvm *kvm, u32 as_id, u64 gfn)
{
	struct kvm_memslots *slots = memslots_of(kvm, as_id);
	struct kvm_memory_slot *memslot;
	u32 low = 0, high, used;

	if (!slots || !memslots_in_array())
		return NULL;
	used = BPF_CORE_READ((struct kvm_memslots___array *)slots, used_slots);
	high = used;
	for (int i = 0; i < 16 && low < high; i++) {
		u32 middle = low + (high - low) / 2;

		if (gfn >= BPF_CORE_READ(memslot_at(slots, middle), base_gfn))
			high = middle;
		else
			low = middle + 1;
	}
	if (low >= used)
		return NULL;
	memslot = memslot_at(slots, low);
	if (gfn - BPF_CORE_READ(memslot, base_gfn) >= BPF_CORE_READ(memslot, npages))
		return NULL;
	return memslot;
}

/* What mark_page_dirty.bpf.c wants to know beyond the place. */
struct memslot_log {
	u64 bitmap;
	u32 flags;
};

/* All of a slot that is of interest; log may be NULL. */
static __noinline __attribute__((unused)) int
memslot_read(struct kvm_memory_slot *memslot, struct memslot_place *place, struct memslot_log *log)
{
	char near[NEAR_BYTES] __attribute__((aligned(8)));
	struct memslot_log logs;
	u64 size = 0;

	if (!place)
		return 0;
	if (casts || !memslot || !IS_NEAR(memslot, base_gfn, userspace_addr) ||
	    !IS_NEAR(memslot, base_gfn, flags) || !IS_NEAR(memslot, base_gfn, id) ||
	    !IS_NEAR(memslot, base_gfn, as_id) || !IS_NEAR(memslot, base_gfn, dirty_bitmap)) {
		place->slot = READ_U32(memslot, as_id) << 16 | (u16)READ_U32(memslot, id);
		place->base_gfn = READ_U64(memslot, base_gfn);
		place->npages = memslot ? READ_U64(memslot, npages) : 0;
		place->userspace_addr = READ_U64(memslot, userspace_addr);
		logs.bitmap = READ_U64(memslot, dirty_bitmap);
		logs.flags = READ_U32(memslot, flags);
	} else {
		NEAR_REACH(size, memslot, base_gfn, userspace_addr);
		NEAR_REACH(size, memslot, base_gfn, flags);
		NEAR_REACH(size, memslot, base_gfn, id);
		NEAR_REACH(size, memslot, base_gfn, as_id);
		NEAR_REACH(size, memslot, base_gfn, dirty_bitmap);
		bpf_probe_read_kernel(near, size, (void *)memslot + NEAR_BASE(memslot, base_gfn));
		place->slot = (u32)NEAR_MEMBER(near, memslot, base_gfn, as_id, u16) << 16 |
			      NEAR_MEMBER(near, memslot, base_gfn, id, u16);
		place->base_gfn = NEAR_MEMBER(near, memslot, base_gfn, base_gfn, u64);
		place->npages = NEAR_MEMBER(near, memslot, base_gfn, npages, u64);
		place->userspace_addr = NEAR_MEMBER(near, memslot, base_gfn, userspace_addr, u64);
		logs.bitmap = NEAR_MEMBER(near, memslot, base_gfn, dirty_bitmap, u64);
		logs.flags = NEAR_MEMBER(near, memslot, base_gfn, flags, u32);
	}
	if (log)
		*log = logs;
	return 0;
}

/*
 * The slot of the normal address space that has gfn, or NULL: from the array,
 * or (since 5.17) down the tree by gfn, as __gfn_to_memslot() does it.
 */
static __noinline __attribute__((unused)) struct kvm_memory_slot *memslot_find(struct kvm *kvm,
									       u64 gfn)
{
	struct kvm_memslots *slots = memslots_of(kvm, 0);
	struct kvm_memory_slot *memslot;
	struct rb_node *node;
	u64 at, base;

	if (memslots_in_array())
		return memslot_in_array(kvm, 0, gfn);
	at = BPF_CORE_READ(slots, node_idx) & 1;
	at = bpf_core_field_offset(struct kvm_memory_slot, gfn_node) +
	     at * bpf_core_type_size(struct rb_node);
	node = BPF_CORE_READ(slots, gfn_tree.rb_node);
	for (int i = 0; i < 24 && node; i++) {
		memslot = (void *)node - at;
		base = BPF_CORE_READ(memslot, base_gfn);
		if (gfn < base)
			node = BPF_CORE_READ(node, rb_left);
		else if (gfn - base < BPF_CORE_READ(memslot, npages))
			return memslot;
		else
			node = BPF_CORE_READ(node, rb_right);
	}
	return NULL;
}

/*
 * The first argument of kvm_mmu_spte_requested and the second one of
 * fast_page_fault: a guest-physical address until 5.15, then a struct
 * kvm_page_fault *. Addresses have no high bit, kernel pointers do.
 */
static __always_inline bool page_fault_is_struct(u64 arg)
{
	return (s64)arg < 0;
}

/* What a fault has led to, as far as this kernel tells. */
struct page_fault {
	struct kvm_memory_slot *slot;
	u64 pfn;
	u32 level;
};

static __noinline __attribute__((unused)) int page_fault_read(u64 arg, struct page_fault *seen)
{
	char near[NEAR_BYTES] __attribute__((aligned(8)));
	struct kvm_page_fault *fault = (void *)arg;
	u64 size = 0;

	if (!seen)
		return 0;
	if (!bpf_core_field_exists(fault->slot) || !bpf_core_field_exists(fault->goal_level) ||
	    !bpf_core_field_exists(fault->pfn))
		return 0;
	if (casts || !IS_NEAR(fault, goal_level, slot) || !IS_NEAR(fault, goal_level, pfn)) {
		seen->slot = (void *)READ_U64(fault, slot);
		seen->level = READ_U32(fault, goal_level) & 0xff;
		seen->pfn = READ_U64(fault, pfn);
		return 0;
	}
	NEAR_REACH(size, fault, goal_level, slot);
	NEAR_REACH(size, fault, goal_level, pfn);
	NEAR_REACH(size, fault, goal_level, goal_level);
	bpf_probe_read_kernel(near, size, (void *)fault + NEAR_BASE(fault, goal_level));
	seen->slot = NEAR_MEMBER(near, fault, goal_level, slot, struct kvm_memory_slot *);
	seen->level = NEAR_MEMBER(near, fault, goal_level, goal_level, u8);
	seen->pfn = NEAR_MEMBER(near, fault, goal_level, pfn, u64);
	return 0;
}

/* KVM's own count of what halt-polling did for a vCPU, at one moment. */
struct halt_stats {
	u64 attempted;
	u64 ok;
	u64 ok_ns;
	u64 failed_ns;
};

/*
 * Brought up to date in kvm_vcpu_halt() (kvm_vcpu_block() on 5.10) before the
 * event kvm_vcpu_wakeup. They moved into stat.generic in 5.14.
 */
static __always_inline void read_halt_stats(void *vcpu, struct halt_stats *s)
{
	struct kvm_vcpu___generic *generic = vcpu;
	struct kvm_vcpu___flat *flat = vcpu;

	if (bpf_core_field_exists(generic->stat.generic.halt_attempted_poll)) {
		s->attempted = BPF_CORE_READ(generic, stat.generic.halt_attempted_poll);
		s->ok = BPF_CORE_READ(generic, stat.generic.halt_successful_poll);
		s->ok_ns = BPF_CORE_READ(generic, stat.generic.halt_poll_success_ns);
		s->failed_ns = BPF_CORE_READ(generic, stat.generic.halt_poll_fail_ns);
	} else if (bpf_core_field_exists(flat->stat.halt_attempted_poll)) {
		s->attempted = BPF_CORE_READ(flat, stat.halt_attempted_poll);
		s->ok = BPF_CORE_READ(flat, stat.halt_successful_poll);
		s->ok_ns = BPF_CORE_READ(flat, stat.halt_poll_success_ns);
		s->failed_ns = BPF_CORE_READ(flat, stat.halt_poll_fail_ns);
	}
}

/*
 * The vCPU's thread, when that waits in kvm_vcpu_block(): halted, or not started yet
 * (virt/kvm/kvm_main.c, prepare_to_rcuwait(&vcpu->wait)). Else NULL.
 */
static __always_inline struct task_struct *vcpu_waiter(struct kvm_vcpu *vcpu)
{
	return BPF_CORE_READ(vcpu, wait.task);
}

static __always_inline bool vcpu_waits(struct kvm_vcpu *vcpu)
{
	return vcpu_waiter(vcpu);
}

/* The same, and it is halted: KVM_MP_STATE_HALTED of linux/kvm.h. */
static __always_inline bool vcpu_halted(struct kvm_vcpu *vcpu)
{
	enum { HALTED = 3 };

	return vcpu_waits(vcpu) && BPF_CORE_READ(vcpu, arch.mp_state) == HALTED;
}

/* vcpu->mode of include/linux/kvm_host.h: IN_GUEST_MODE is 1. */
static __always_inline bool vcpu_in_guest(struct kvm_vcpu *vcpu)
{
	return BPF_CORE_READ(vcpu, mode) == 1;
}

/* The guest's registers are encrypted: SEV-ES, SEV-SNP, TDX (since 5.11). */
static __always_inline bool vcpu_hides_registers(struct kvm_vcpu *vcpu)
{
	return bpf_core_field_exists(vcpu->arch.guest_state_protected) &&
	       BPF_CORE_READ(vcpu, arch.guest_state_protected);
}

/*
 * The registers of a hypercall's caller are 64 bits wide. What a guest with encrypted ones
 * gives the host always is: is_64_bit_hypercall() in arch/x86/kvm/x86.h.
 */
static __always_inline bool vcpu_in_long_mode(struct kvm_vcpu *vcpu)
{
	enum { EFER_LMA = 1 << 10 };

	return BPF_CORE_READ(vcpu, arch.efer) & EFER_LMA || vcpu_hides_registers(vcpu);
}

/*
 * The vCPU runs a guest of its guest: is_guest_mode() of arch/x86/kvm/kvm_cache_regs.h. KVM keeps
 * it as a statistic since 5.14, which it sets with its flag. That flag, HF_GUEST_MASK of hflags,
 * is bit 5, and since 6.4 bit 0: so it is asked where there is no such statistic.
 */
static __always_inline bool vcpu_in_l2(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu___nested *nested = (void *)vcpu;

	if (bpf_core_field_exists(nested->stat.guest_mode))
		return BPF_CORE_READ(nested, stat.guest_mode);
	return BPF_CORE_READ(vcpu, arch.hflags) >> 5 & 1;
}

/*
 * The guest's RIP, where KVM has read it since the last exit: enum kvm_reg of
 * arch/x86/include/asm/kvm_host.h, of which 16 is VCPU_REGS_RIP (7.2: VCPU_REG_RIP, and
 * a member rip beside regs[16]; regs_avail is a bitmap there). ~0: it has not, or the
 * guest's registers are encrypted.
 */
static __always_inline u64 vcpu_cached_rip(struct kvm_vcpu *vcpu)
{
	enum { REGS_RIP = 16 };
	struct kvm_vcpu___bitmap *bitmap = (void *)vcpu;
	unsigned long rip = 0;
	u32 available = 0;

	if (vcpu_hides_registers(vcpu))
		return ~0ULL;
	if (bpf_core_field_exists(vcpu->arch.regs_avail))
		available = BPF_CORE_READ(vcpu, arch.regs_avail);
	else if (bpf_core_field_exists(bitmap->arch.regs_avail))
		available = BPF_CORE_READ(bitmap, arch.regs_avail[0]);
	if (!(available & 1U << REGS_RIP))
		return ~0ULL;
	if (bpf_core_field_exists(bitmap->arch.rip))
		return BPF_CORE_READ(bitmap, arch.rip);
	bpf_probe_read_kernel(&rip, sizeof(rip),
			      (void *)vcpu + bpf_core_field_offset(vcpu->arch.regs) +
				      REGS_RIP * sizeof(rip));
	return rip;
}

/* task_struct.state became __state in 5.14. 0: running or ready to. */
static __always_inline u32 task_state(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return BPF_CORE_READ(old, state);
}

/* Runs, or is being switched to or from. task_struct.on_cpu: an int, one byte since 7.2. */
static __always_inline bool task_on_cpu(struct task_struct *task)
{
	return BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu);
}

/* task_cpu(): task_struct.cpu moved into thread_info in 5.16. */
static __always_inline u32 task_cpu(struct task_struct *task)
{
	struct task_struct___cpu *old = (void *)task;

	if (bpf_core_field_exists(task->thread_info.cpu))
		return BPF_CORE_READ(task, thread_info.cpu);
	return BPF_CORE_READ(old, cpu);
}

/* The vCPU of the first of a task's preempt_notifiers, or NULL. */
static __always_inline struct kvm_vcpu *notified_vcpu(struct hlist_node *node)
{
	if (!node)
		return NULL;
	return (void *)node - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) -
	       bpf_core_field_offset(struct preempt_notifier, link);
}

/* As loaded_vcpu(), for any task. */
static __always_inline struct kvm_vcpu *task_vcpu(struct task_struct *task)
{
	return notified_vcpu(BPF_CORE_READ(task, preempt_notifiers.first));
}

/* The thread that last ran the vCPU, or NULL: pid_task(vcpu->pid, PIDTYPE_PID). */
static __always_inline struct task_struct *vcpu_task(struct kvm_vcpu *vcpu)
{
	struct pid *pid = BPF_CORE_READ(vcpu, pid);
	struct hlist_node *node = pid ? BPF_CORE_READ(pid, tasks[0].first) : NULL;

	return node ? (void *)node - bpf_core_field_offset(struct task_struct, pid_links[0]) : NULL;
}

/* The registers that the current task entered the kernel with: task_pt_regs(). */
static __always_inline struct pt_regs *user_regs(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	void *stack = BPF_CORE_READ(task, stack);

	/* bpf_task_pt_regs() came with 5.15; before, they were at the very end of 16 KiB. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	return stack + (16 << 10) - bpf_core_type_size(struct pt_regs);
}

/* The file of a descriptor of the current process, or NULL. */
static __always_inline struct file *file_of(u32 fd)
{
	struct task_struct *task;
	struct files_struct *open;
	struct fdtable *fdt;
	struct file **files;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = (void *)bpf_get_current_task_btf();
		open = task->files;
		fdt = open ? open->fdt : NULL;
		if (!fdt || fd >= fdt->max_fds)
			return NULL;
		files = fdt->fd;
		FORGET_TYPE(files);
	} else {
		task = (void *)bpf_get_current_task();
		fdt = BPF_CORE_READ(task, files, fdt);
		if (!fdt || fd >= BPF_CORE_READ(fdt, max_fds))
			return NULL;
		files = BPF_CORE_READ(fdt, fd);
	}
	return (void *)READ_U64_AT(files + fd);
}

/*
 * What KVM's anonymous inodes are called, which only the kernel does: "kvm-vm",
 * "kvm-vcpu:N" and "kvm-<device>" (kvm_dev_ioctl_create_vm(), create_vcpu_fd(),
 * kvm_ioctl_create_device() in virt/kvm/kvm_main.c). The rest of a name is of no
 * interest here.
 */
static __always_inline u32 named_kind(struct file *file)
{
	char name[16] __attribute__((aligned(8))) = {};
	const u64 *words = (const u64 *)name;
	u64 first, second;

	bpf_probe_read_kernel_str(name, sizeof(name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	first = words[0];
	second = words[1];
	/* Little endian: "kvm-" */
	if ((u32)first != 0x2d6d766b)
		return FD_OTHER;
	/* "vm\0" */
	if ((first >> 32 & 0xffffff) == 0x006d76)
		return FD_VM;
	/* "vcpu", ":" */
	if (first >> 32 == 0x75706376 && (second & 0xff) == ':')
		return FD_VCPU;
	/* "vm-s", "vcpu", "-": descriptors of statistics have no ioctl */
	if (first >> 32 == 0x732d6d76 || first >> 32 == 0x75706376)
		return FD_OTHER;
	return FD_DEVICE;
}

/*
 * A struct file that somebody has seen in use still is: that memory stays one of
 * files. The last fput() leaves f_count at 0, and f_ref below 0 (FILE_REF_DEAD of
 * include/linux/file_ref.h).
 */
static __always_inline bool file_is_open(struct file *file)
{
	struct file___count *old = (void *)file;

	if (bpf_core_field_exists(file->f_ref))
		return BPF_CORE_READ(file, f_ref.refcnt.counter) >= 0;
	return BPF_CORE_READ(old, f_count.counter) > 0;
}

/* Behind a pointer to a task, which may be of the past, still is that task, and not at its end. */
static __always_inline bool task_lives(struct task_struct *task, u32 tid, u64 start_ns)
{
	return (u32)BPF_CORE_READ(task, pid) == tid &&
	       BPF_CORE_READ(task, start_boottime) == start_ns && !BPF_CORE_READ(task, exit_state);
}

/* The same for a process. Its main thread may have ended before the others. */
static __always_inline bool process_lives(struct task_struct *leader, u32 tgid, u64 start_ns)
{
	return (u32)BPF_CORE_READ(leader, pid) == tgid &&
	       BPF_CORE_READ(leader, start_boottime) == start_ns &&
	       (!BPF_CORE_READ(leader, exit_state) ||
		BPF_CORE_READ(leader, signal, nr_threads) > 1);
}

#define ANON_INODE_FS_MAGIC 0x09041934
#define S_IFMT 0170000
#define S_IFCHR 0020000
#define DEV_KVM (10 << 20 | 232) /* MISC_MAJOR, KVM_MINOR */

/* What kind of KVM's descriptors a file is: a file on a disk may have any name. */
static __always_inline u32 file_kind(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFCHR)
		return BPF_CORE_READ(inode, i_rdev) == DEV_KVM ? FD_KVM : FD_OTHER;
	if (BPF_CORE_READ(inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return FD_OTHER;
	return named_kind(file);
}

/*
 * The VM that the current thread works for, for tracepoints that do not say it:
 * that of the vCPU it has loaded, or of the VM's descriptor whose ioctl() it is
 * in. NULL: neither, as in a kernel thread. In an interrupt it is the VM of
 * what was interrupted.
 */
static __noinline __attribute__((unused)) struct kvm *current_kvm(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct pt_regs *regs;
	struct file *file;

	if (vcpu)
		return BPF_CORE_READ(vcpu, kvm);
	regs = user_regs();
	if (BPF_CORE_READ(regs, orig_ax) != 16 /* ioctl */)
		return NULL;
	file = file_of(BPF_CORE_READ(regs, di));
	/* The name is enough: this is called in KVM. */
	if (!file || named_kind(file) != FD_VM)
		return NULL;
	return BPF_CORE_READ(file, private_data);
}

/*
 * Offsets of struct kvm_lapic on kernels that have no BTF of kvm: those of
 * 5.10 (arch/x86/kvm/lapic.h). lapic_known() makes sure of them: the APIC has
 * to point back to its vCPU.
 */
enum {
	LAPIC_TIMER = 16,
	LAPIC_TARGET = 88,
	LAPIC_MODE = 96,
	LAPIC_TSCDEADLINE = 104,
	LAPIC_TSC_EXPIRED = 112,
	LAPIC_ADVANCE = 120,
	LAPIC_HV = 140,
	LAPIC_VCPU = 152,
	LAPIC_REGS = 176,
};

#define LAPIC_FIELD(_lapic, _field, _offset, _value)                         \
	do {                                                                 \
		if (bpf_core_field_exists((_lapic)->_field))                 \
			*(_value) = BPF_CORE_READ(_lapic, _field);           \
		else                                                         \
			bpf_probe_read_kernel(_value, sizeof(*(_value)),     \
					      (void *)(_lapic) + (_offset)); \
	} while (0)

static __always_inline bool lapic_known(struct kvm_lapic *lapic, struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu *back = NULL;

	LAPIC_FIELD(lapic, vcpu, LAPIC_VCPU, &back);
	return back && back == vcpu;
}

/* An APIC's timer at one moment. */
struct apic_timer {
	u64 target_expiration;
	u64 tscdeadline;
	u64 expired_tscdeadline;
	u64 deadline; /* the one of these that counts; the caller's */
	u32 advance_ns;
	u32 mode; /* the LVT's bits */
	u32 hv;
};

#define LAPIC_FIRST lapic_timer.target_expiration
#define LAPIC_NEAR(_member, _type) NEAR_MEMBER(near, lapic, LAPIC_FIRST, lapic_timer._member, _type)

/* Where the members lie close together; false: they do not, or their places are not known. */
static __always_inline bool lapic_timer_at_once(struct kvm_lapic *lapic, struct kvm_vcpu *vcpu,
						struct apic_timer *timer, bool *known)
{
	char near[NEAR_BYTES] __attribute__((aligned(8)));
	u64 size = 0;

	if (!bpf_core_field_exists(lapic->lapic_timer) || !bpf_core_field_exists(lapic->vcpu) ||
	    !IS_NEAR(lapic, LAPIC_FIRST, lapic_timer.timer_mode) ||
	    !IS_NEAR(lapic, LAPIC_FIRST, lapic_timer.tscdeadline) ||
	    !IS_NEAR(lapic, LAPIC_FIRST, lapic_timer.expired_tscdeadline) ||
	    !IS_NEAR(lapic, LAPIC_FIRST, lapic_timer.timer_advance_ns) ||
	    !IS_NEAR(lapic, LAPIC_FIRST, lapic_timer.hv_timer_in_use) ||
	    !IS_NEAR(lapic, LAPIC_FIRST, vcpu))
		return false;
	NEAR_REACH(size, lapic, LAPIC_FIRST, lapic_timer.timer_mode);
	NEAR_REACH(size, lapic, LAPIC_FIRST, lapic_timer.tscdeadline);
	NEAR_REACH(size, lapic, LAPIC_FIRST, lapic_timer.expired_tscdeadline);
	NEAR_REACH(size, lapic, LAPIC_FIRST, lapic_timer.timer_advance_ns);
	NEAR_REACH(size, lapic, LAPIC_FIRST, lapic_timer.hv_timer_in_use);
	NEAR_REACH(size, lapic, LAPIC_FIRST, vcpu);
	bpf_probe_read_kernel(near, size, (void *)lapic + NEAR_BASE(lapic, LAPIC_FIRST));
	*known = NEAR_MEMBER(near, lapic, LAPIC_FIRST, vcpu, u64) == (u64)vcpu;
	timer->target_expiration = LAPIC_NEAR(target_expiration, u64);
	timer->tscdeadline = LAPIC_NEAR(tscdeadline, u64);
	timer->expired_tscdeadline = LAPIC_NEAR(expired_tscdeadline, u64);
	timer->advance_ns = LAPIC_NEAR(timer_advance_ns, u32);
	timer->mode = LAPIC_NEAR(timer_mode, u32);
	timer->hv = LAPIC_NEAR(hv_timer_in_use, u8) & 1;
	return true;
}

/* The APIC's timer. False: it is not that vCPU's APIC, or this kernel's has other places. */
static __noinline __attribute__((unused)) bool
lapic_timer(struct kvm_lapic *lapic, struct kvm_vcpu *vcpu, struct apic_timer *timer)
{
	bool hv = false, known = false;

	if (!timer)
		return false;
	if (lapic_timer_at_once(lapic, vcpu, timer, &known))
		return known;
	if (!lapic_known(lapic, vcpu))
		return false;
	LAPIC_FIELD(lapic, lapic_timer.target_expiration, LAPIC_TARGET, &timer->target_expiration);
	LAPIC_FIELD(lapic, lapic_timer.tscdeadline, LAPIC_TSCDEADLINE, &timer->tscdeadline);
	LAPIC_FIELD(lapic, lapic_timer.expired_tscdeadline, LAPIC_TSC_EXPIRED,
		    &timer->expired_tscdeadline);
	LAPIC_FIELD(lapic, lapic_timer.timer_advance_ns, LAPIC_ADVANCE, &timer->advance_ns);
	LAPIC_FIELD(lapic, lapic_timer.timer_mode, LAPIC_MODE, &timer->mode);
	LAPIC_FIELD(lapic, lapic_timer.hv_timer_in_use, LAPIC_HV, &hv);
	timer->hv = hv;
	return true;
}

/* When the APIC's hrtimer is to expire, or has been. */
static __always_inline u64 lapic_expires(struct kvm_lapic *lapic)
{
	void *hrtimer = (void *)lapic + LAPIC_TIMER;

	if (bpf_core_field_exists(lapic->lapic_timer))
		hrtimer = (void *)lapic + bpf_core_field_offset(lapic->lapic_timer.timer);
	return READ_U64((struct hrtimer *)hrtimer, node.expires);
}

/* The APIC that a hrtimer would be the timer of. */
static __always_inline struct kvm_lapic *hrtimer_lapic(u64 hrtimer)
{
	struct kvm_lapic *lapic = NULL;

	if (bpf_core_field_exists(lapic->lapic_timer))
		return (void *)hrtimer - bpf_core_field_offset(lapic->lapic_timer.timer);
	return (void *)hrtimer - LAPIC_TIMER;
}

/* The vector waits in the APIC's interrupt request register. Not where the CPU posts interrupts. */
static __always_inline bool lapic_requests(struct kvm_lapic *lapic, u8 vector)
{
	void *regs = NULL;
	u32 bits = 0;

	LAPIC_FIELD(lapic, regs, LAPIC_REGS, &regs);
	bpf_probe_read_kernel(&bits, sizeof(bits), regs + 0x200 + (vector >> 5) * 16);
	return bits >> (vector & 31) & 1;
}

/* The CPU delivers interrupts to the guest without KVM: APICv of Intel, AVIC of AMD. */
static __always_inline bool apicv_active(struct kvm_vcpu *vcpu, struct kvm_lapic *lapic)
{
	struct kvm_vcpu___apicv *old = (void *)vcpu;

	if (bpf_core_field_exists(lapic->apicv_active))
		return BPF_CORE_READ(lapic, apicv_active);
	if (bpf_core_field_exists(old->arch.apicv_active))
		return BPF_CORE_READ(old, arch.apicv_active);
	return false;
}

enum { LAPIC_KNOWN = 1, LAPIC_POSTS = 2, LAPIC_REQUESTS = 4 };

/* All of these of an APIC that are true: it is that vCPU's, and the two above. */
static __noinline __attribute__((unused)) u32 lapic_look(struct kvm_lapic *lapic,
							 struct kvm_vcpu *vcpu, u8 vector)
{
	char near[NEAR_BYTES] __attribute__((aligned(8)));
	void *regs;
	u64 size = 0;
	u32 seen = 0;

	if (!bpf_core_field_exists(lapic->apicv_active) || !bpf_core_field_exists(lapic->vcpu) ||
	    !IS_NEAR(lapic, vcpu, regs) || !IS_NEAR(lapic, vcpu, apicv_active)) {
		seen |= lapic_known(lapic, vcpu) ? LAPIC_KNOWN : 0;
		seen |= apicv_active(vcpu, lapic) ? LAPIC_POSTS : 0;
		return seen | (lapic_requests(lapic, vector) ? LAPIC_REQUESTS : 0);
	}
	NEAR_REACH(size, lapic, vcpu, vcpu);
	NEAR_REACH(size, lapic, vcpu, regs);
	NEAR_REACH(size, lapic, vcpu, apicv_active);
	bpf_probe_read_kernel(near, size, (void *)lapic + NEAR_BASE(lapic, vcpu));
	regs = NEAR_MEMBER(near, lapic, vcpu, regs, void *);
	if (NEAR_MEMBER(near, lapic, vcpu, vcpu, u64) == (u64)vcpu)
		seen |= LAPIC_KNOWN;
	if (NEAR_MEMBER(near, lapic, vcpu, apicv_active, u8) & 1)
		seen |= LAPIC_POSTS;
	else if (read_u32(regs + 0x200 + (vector >> 5) * 16, casts) >> (vector & 31) & 1)
		seen |= LAPIC_REQUESTS;
	return seen;
}

/*
 * The VM of kvm_pic_set_irq() and kvm_ioapic_set_irq() from their first two
 * arguments: (chip, int pin, ..) until 6.16, then (routing entry, kvm, ..). A
 * pin is never a pointer. A chip points to its VM; without the BTF of kvm
 * (5.10) at the offsets of 5.10's irq.h and ioapic.h, and then the VM has to
 * point back.
 */
enum { PIC_KVM = 16, IOAPIC_KVM = 416 };

static __always_inline u64 pic_kvm(u64 first, u64 second)
{
	struct kvm_pic *pic = (void *)first;
	struct kvm *kvm = NULL;

	if (second >> 32)
		return second;
	if (bpf_core_field_exists(pic->kvm))
		return READ_U64(pic, kvm);
	bpf_probe_read_kernel(&kvm, sizeof(kvm), (void *)first + PIC_KVM);
	return kvm && BPF_CORE_READ(kvm, arch.vpic) == pic ? (u64)kvm : 0;
}

static __always_inline u64 ioapic_kvm(u64 first, u64 second)
{
	struct kvm_ioapic *ioapic = (void *)first;
	struct kvm *kvm = NULL;

	if (second >> 32)
		return second;
	if (bpf_core_field_exists(ioapic->kvm))
		return READ_U64(ioapic, kvm);
	bpf_probe_read_kernel(&kvm, sizeof(kvm), (void *)first + IOAPIC_KVM);
	return kvm && BPF_CORE_READ(kvm, arch.vioapic) == ioapic ? (u64)kvm : 0;
}

#endif
