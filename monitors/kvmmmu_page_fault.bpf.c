// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -f: KVM MMU page faults, and with -m the MMIO accesses among them.
 *
 * Fault: from kvm_page_fault, the first thing that the vendor's exit handler
 *        does (handle_ept_violation() in arch/x86/kvm/vmx/vmx.c,
 *        npf_interception() in arch/x86/kvm/svm/svm.c), to the next kvm_entry
 *        of that vCPU, or to kvm_userspace_exit when that comes first.
 * MMIO:  from the same begin, on VMX with a cached MMIO page from kvm_exit,
 *        because handle_ept_misconfig() has no event of its own, to the
 *        kvm_entry after the emulation. What user space took, from
 *        kvm_userspace_exit to KVM_RUN, is told apart.
 *
 * What the fault became: kvm_mmu_spte_requested (the slow way, once it knows
 * the page), fast_page_fault, kvm_mmio and kvm_fast_mmio, all in the thread of
 * the vCPU between the two ends.
 */
#include "../bpf/each.bpf.h"
#include "../bpf/entry.bpf.h"
#include "../bpf/events.bpf.h"
#include "../bpf/pages.bpf.h"
#include "../bpf/told.bpf.h"
#include "../bpf/stat.bpf.h"
#include "kvmmmu_page_fault.h"

#define KVM_EXIT_MMIO 6
#define VMX_EPT_MISCONFIG 49
#define PAGE_SHIFT 12
#define SPTE_LARGE (1ULL << 7)
#define SPTE_PFN_MASK 0x000ffffffffff000ULL

enum { MMIO_READ_UNSATISFIED, MMIO_READ, MMIO_WRITE };

/* -m */
const volatile __u32 with_mmio;
/* This host's vendor: kvm_page_fault has an exit qualification on VMX, an error code on SVM. */
const volatile __u32 vendor_is_vmx;
/* Where the classic event's record has them; read from tracefs before loading. */
const volatile __u32 fault_address_at, error_code_at, error_code_size;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct fault_state);
} fault_states SEC(".maps");

TABLE(fault_records, struct fault_record, fault_index, struct fault_key, free_records);
SHARES(fault_shares);
RECENT(recent_records);

/*
 * When the vCPU last left its guest, where the reason is told too late to be had
 * cheaply: the reason then is looked at when there is an MMIO access. By slot;
 * exit_slots is as slot_cache, for this monitor alone.
 */
struct exit_time {
	u64 vcpu;
	u64 ns;
};

static struct exit_time exit_times[MAX_VCPU_SLOTS];
static u16 exit_slots[1 << SLOT_CACHE_BITS];

/* State of the vCPU that the current thread has loaded. */
static __always_inline struct fault_state *current_state(u32 *slot)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (!vcpu || !task_chosen())
		return NULL;
	*slot = vcpus__running_slot(vcpu);
	return *slot ? bpf_map_lookup_elem(&fault_states, slot) : NULL;
}

/* The same, when a fault is being handled. */
static __always_inline struct fault_state *faulting_state(u32 *slot)
{
	struct fault_state *state = current_state(slot);

	return state && state->start_ns ? state : NULL;
}

/* The error bits of KVM's own encoding, PFERR_* of arch/x86/include/asm/kvm_host.h. */
static __always_inline u32 errors_of_pferr(u64 code)
{
	return (code & 1) << ERROR_PRESENT | (code >> 1 & 1) << ERROR_WRITE |
	       (code >> 2 & 1) << ERROR_USER | (code >> 3 & 1) << ERROR_RESERVED |
	       (code >> 4 & 1) << ERROR_EXEC | (code >> 5 & 1) << ERROR_PKEY |
	       (code >> 15 & 1) << ERROR_SGX;
}

/* An EPT violation's exit qualification, the way handle_ept_violation() translates it. */
static __always_inline u32 errors_of_ept(u64 code)
{
	return !!(code & 0x38) << ERROR_PRESENT | (code >> 1 & 1) << ERROR_WRITE |
	       (code & 1) << ERROR_USER | (code >> 2 & 1) << ERROR_EXEC;
}

/* The record of key, made now if it is new. 0 when there is none left. */
static __noinline u32 find_record(struct fault_key *key, u64 kvm)
{
	u32 index =
		TABLE_FIND(recent_records, fault_records, struct fault_record, fault_index, key);
	u32 tgid;
	struct fault_record *record;

	if (index)
		return index;
	tgid = vcpus__tgid(key->vcpu_slot);
	if (share__is_used_up(&fault_shares, tgid)) {
		key->base = NO_ADDRESS;
		key->npages = 0;
		key->slot = NO_SLOT;
		index = table__find(&fault_index, key);
		if (index)
			return index;
	}
	record = table__take(tgid, &fault_records, &free_records, &index, LOST_RECORDS_FULL);
	if (!record)
		return 0;
	record->key = *key;
	record->kvm = kvm;
	if (table__enter(&fault_index, key, &free_records, &index, LOST_RECORDS_FULL)) {
		share__take(&fault_shares, index, tgid);
		record->in_use = 1;
	}
	return index;
}

/* A fault that is over, as the events tell it. */
struct result {
	struct fault_event event;
	struct fault_key key;
};

static __noinline void count(struct result *r, u64 userspace_addr)
{
	u32 index = find_record(&r->key, r->event.kvm);
	struct fault_record *record = bpf_map_lookup_elem(&fault_records, &index);

	if (!record || !index)
		return;
	record->userspace_addr = userspace_addr;
	record->count++;
	record->by_level[r->event.level & (NR_LEVELS - 1)]++;
	for (int i = 0; i < NR_FAULT_ERRORS; i++)
		record->by_error[i] += r->event.errors >> i & 1;
	record->fast += r->event.fast;
	record->writes += r->event.write;
	if (r->event.vmm_ns != NO_ADDRESS)
		record->vmm_ns += r->event.vmm_ns;
	stat__add(&record->stat, r->event.delay_ns);
}

static __noinline void report(struct result *r)
{
	struct fault_event *event;

	if (event__is_quick(r->event.delay_ns))
		return;
	event = event__reserve(sizeof(*event));
	if (!event)
		return;
	__builtin_memcpy(event, &r->event, sizeof(*event));
	event__head(&event->head, r->event.head.slot);
	bpf_ringbuf_submit(event, 0);
}

static __always_inline bool in_slot(const struct memslot_place *m, u64 gfn)
{
	return m->npages && gfn - m->base_gfn < m->npages;
}

/* The VMM had an access until the KVM_RUN that told__ask_time() has asked for. */
static __always_inline void end_vmm(struct fault_state *state, u32 slot)
{
	struct vcpu_info *info;

	if (!state->left_ns)
		return;
	info = bpf_map_lookup_elem(&vcpus, &slot);
	if (info && info->run_ns > state->left_ns)
		state->vmm_ns += info->run_ns - state->left_ns;
	state->left_ns = 0;
}

/* The directory has it of each vCPU, for as long as it lives. */
static __always_inline struct kvm *kvm_of(const struct fault_state *state, u32 slot)
{
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);

	if (info && info->vcpu == state->vcpu)
		return (void *)info->kvm;
	return (void *)READ_U64((struct kvm_vcpu *)state->vcpu, kvm);
}

/* The fault, or one of its MMIO accesses, is over. */
static __noinline void finish(struct fault_state *state, u32 slot, u64 now)
{
	struct result r = {};
	struct page_key page = {};
	struct kvm *kvm = kvm_of(state, slot);
	u64 gpa = state->mmio ? state->mmio_gpa : state->gpa, gfn = gpa >> PAGE_SHIFT;
	u64 since = state->mmio && state->mmio_ns ? state->mmio_ns : state->start_ns;
	bool memory;

	/* A misconfiguration without an access: no emulation came of it. */
	if (gpa == NO_ADDRESS)
		return;
	end_vmm(state, slot);
	/* What was emulated was none of memory's, whatever slot there is. */
	if (!state->mapped && !state->mmio)
		memslot_read(memslot_find(kvm, gfn), &state->memslot, NULL);
	memory = in_slot(&state->memslot, gfn) && !state->mmio;
	if (!memory && !with_mmio)
		return;
	r.key.vcpu_slot = slot;
	r.key.kind = memory ? FAULT_TDP : FAULT_MMIO;
	r.key.slot = memory ? state->memslot.slot : NO_SLOT;
	r.key.base = memory ? state->memslot.base_gfn : gpa;
	r.key.npages = memory ? state->memslot.npages : 0;
	r.event.head.slot = slot;
	r.event.kvm = (u64)kvm;
	r.event.gpa = gpa;
	r.event.delay_ns = now - since;
	r.event.vmm_ns = state->vmm_ns ? state->vmm_ns : NO_ADDRESS;
	r.event.kind = r.key.kind;
	r.event.slot = r.key.slot;
	r.event.errors = state->errors;
	r.event.hva = r.event.pfn = NO_ADDRESS;
	if (memory) {
		r.event.level = state->level;
		r.event.fast = state->fast;
		r.event.hva = state->memslot.userspace_addr +
			      ((gfn - state->memslot.base_gfn) << PAGE_SHIFT);
		if (state->level) {
			u64 below = (1ULL << 9 * (state->level - 1)) - 1;

			r.event.pfn = state->pfn | (gfn & below);
		}
	} else {
		r.event.errors |= 1 << ERROR_RESERVED;
		r.event.size = state->mmio_size;
		r.event.write = state->mmio ? state->mmio_write : state->errors >> ERROR_WRITE & 1;
		r.event.errors &= ~(1 << ERROR_WRITE);
		r.event.errors |= r.event.write << ERROR_WRITE;
	}
	page.region = (u64)kvm;
	page.owner = bpf_get_current_pid_tgid() >> 32;
	page.slot = r.key.slot;
	r.event.page_faults = pages__count(&page, gfn);
	count(&r, state->memslot.userspace_addr);
	report(&r);
}

static __always_inline void close_fault(struct fault_state *state, u32 slot, u64 now)
{
	finish(state, slot, now);
	state->start_ns = 0;
}

static __always_inline void open_fault(struct fault_state *state, void *vcpu, u64 gpa, u32 errors,
				       u64 now)
{
	__builtin_memset(state, 0, sizeof(*state));
	state->vcpu = (u64)vcpu;
	state->tid = (u32)bpf_get_current_pid_tgid();
	state->start_ns = now;
	state->gpa = gpa;
	state->errors = errors;
	entry__expect(vcpu);
}

/* fault: a vCPU has left the guest because of the address gpa. */
static __noinline int on_fault(u64 gpa, u32 errors, u64 now)
{
	struct fault_state *state;
	u32 slot;

	state = current_state(&slot);
	if (!state)
		return 0;
	/* Without an entry in between: KVM handled it and went on to the next exit. */
	if (state->start_ns)
		close_fault(state, slot, now);
	open_fault(state, loaded_vcpu(), gpa, errors, now);
	return 0;
}

/* entry: the vCPU goes back into the guest. */
static __noinline int end_fault(void)
{
	u64 now = bpf_ktime_get_ns();
	struct fault_state *state;
	u32 slot;

	state = faulting_state(&slot);
	if (state)
		close_fault(state, slot, now);
	return 0;
}

/* map: kvm_mmu_spte_requested, the slow way. The level may still be lowered for NX huge pages. */
static __noinline int on_map(u64 arg0, u64 arg1, u64 arg2)
{
	struct fault_state *state;
	u32 slot;

	state = faulting_state(&slot);
	if (!state)
		return 0;
	state->fast = 0;
	state->mapped = 0;
	if (page_fault_is_struct(arg0)) {
		struct page_fault fault = {};

		page_fault_read(arg0, &fault);
		state->level = fault.level;
		state->pfn = fault.pfn;
		state->mapped = !!fault.slot;
		memslot_read(fault.slot, &state->memslot, NULL);
	} else {
		state->level = arg1;
		state->pfn = arg2;
	}
	if (state->level >= NR_LEVELS)
		state->level = LEVEL_UNKNOWN;
	return 0;
}

/* fast: fast_page_fault has looked at the entry; sptep is its place, old what it was. */
static __noinline int on_fast(u64 sptep, u64 old)
{
	struct fault_state *state;
	u32 slot;

	state = faulting_state(&slot);
	if (!state)
		return 0;
	state->fast = 1;
	if (old & SPTE_LARGE)
		return 0;
	state->level = LEVEL_4K;
	state->pfn = (old & SPTE_PFN_MASK) >> PAGE_SHIFT;
	return 0;
}

/* misconfig: on VMX a page known to be MMIO leaves the guest this way; its address is not told. */
static __always_inline int on_misconfig(u32 reason)
{
	struct fault_state *state;
	u64 now;
	u32 slot;

	if ((reason & 0xffff) != VMX_EPT_MISCONFIG)
		return 0;
	now = bpf_ktime_get_ns();
	state = current_state(&slot);
	if (state && !state->start_ns)
		open_fault(state, loaded_vcpu(), NO_ADDRESS, 1 << ERROR_RESERVED, now);
	return 0;
}

static __always_inline struct exit_time *exit_time(void *vcpu)
{
	u64 slot = opaque(exit_slots[slot_cache__index((u64)vcpu)]);

	return &exit_times[slot & (MAX_VCPU_SLOTS - 1)];
}

static __noinline int first_exit(struct kvm_vcpu *vcpu, u64 now)
{
	u32 slot = vcpus__find_slot(vcpu, true);
	struct exit_time *time;

	if (!slot)
		return 0;
	exit_slots[slot_cache__index((u64)vcpu)] = slot;
	/* Not what stands there now: it may be another vCPU's. */
	time = &exit_times[slot & (MAX_VCPU_SLOTS - 1)];
	time->vcpu = (u64)vcpu;
	time->ns = now;
	return 0;
}

/* The exit's reason costs more to look at than its time. A misconfig will need the time. */
static __always_inline int note_exit(void *vcpu, u64 now)
{
	struct exit_time *time = exit_time(vcpu);

	if (time->vcpu != (u64)vcpu)
		return first_exit(vcpu, now);
	time->ns = now;
	return 0;
}

/* There is MMIO without a fault: is it of a misconfig that note_exit() has noted? */
static __noinline int noted_misconfig(struct fault_state *state)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct exit_time *time;

	if (!state || !vcpu)
		return 0;
	time = exit_time(vcpu);
	if (time->vcpu == (u64)vcpu && (exit_reason(vcpu, ISA_VMX) & 0xffff) == VMX_EPT_MISCONFIG)
		open_fault(state, vcpu, NO_ADDRESS, 1 << ERROR_RESERVED, time->ns);
	return 0;
}

/* mmio: one access that the emulator makes because of the fault. */
static __noinline int on_mmio(u32 type, u32 size, u64 gpa)
{
	u64 now = bpf_ktime_get_ns();
	struct fault_state *state;
	u32 slot;

	state = current_state(&slot);
	if (!state)
		return 0;
	if (!state->start_ns)
		noted_misconfig(state);
	if (!state->start_ns)
		return 0;
	end_vmm(state, slot);
	if (type == MMIO_READ && state->mmio_waits) {
		state->mmio_waits = 0;
		return 0;
	}
	/* A string instruction makes several: the one before is over. */
	if (state->mmio) {
		finish(state, slot, now);
		state->mmio_ns = now;
		state->vmm_ns = 0;
	}
	state->mmio = 1;
	state->mmio_waits = type == MMIO_READ_UNSATISFIED;
	state->mmio_write = type == MMIO_WRITE;
	state->mmio_size = size;
	state->mmio_gpa = gpa;
	return 0;
}

/* fast_mmio: a write that an ioeventfd took, without emulation. */
static __noinline int on_fast_mmio(u64 gpa, u64 now)
{
	struct fault_state *state;
	u32 slot;

	state = current_state(&slot);
	if (!state)
		return 0;
	if (!state->start_ns)
		noted_misconfig(state);
	if (!state->start_ns)
		open_fault(state, loaded_vcpu(), gpa, 0, now);
	state->mmio = 1;
	state->mmio_write = 1;
	state->mmio_gpa = gpa;
	return 0;
}

/* leave: KVM_RUN returns; user space has the access, or the fault ends here. */
static __noinline int on_leave(u32 reason)
{
	struct fault_state *state;
	struct vcpu_info *info;
	u32 slot;
	u64 now;

	if (!task_chosen())
		return 0;
	/* The vCPU is not loaded any more. */
	slot = vcpus__thread_slot((u32)bpf_get_current_pid_tgid());
	state = slot ? bpf_map_lookup_elem(&fault_states, &slot) : NULL;
	if (!state || !state->start_ns)
		return 0;
	now = bpf_ktime_get_ns();
	if (state->mmio && reason == KVM_EXIT_MMIO) {
		end_vmm(state, slot);
		state->left_ns = now;
		info = bpf_map_lookup_elem(&vcpus, &slot);
		if (info)
			told__ask_time(info);
	} else {
		close_fault(state, slot, now);
	}
	return 0;
}

/* run, where it is attached itself: KVM_RUN begins; remembers whose thread this is. */
static __noinline int on_run(struct kvm_vcpu *vcpu)
{
	struct fault_state *state;
	u32 slot;

	if (!vcpu || !task_chosen())
		return 0;
	slot = vcpus__slot(vcpu);
	state = bpf_map_lookup_elem(&fault_states, &slot);
	if (!state || !slot)
		return 0;
	vcpus__bind((u32)bpf_get_current_pid_tgid(), slot);
	if (state->start_ns && state->left_ns) {
		state->vmm_ns += bpf_ktime_get_ns() - state->left_ns;
		state->left_ns = 0;
	}
	return 0;
}

/* fault: 5.10 (ulong addr, u32 code), 6.1+ (vcpu, u64 addr, u64 code). */
static __always_inline int on_fault_args(u64 arg0, u64 arg1, u64 arg2, u64 now)
{
	/* A guest-physical address has no high bit, a kernel pointer does. */
	bool named = (s64)arg0 < 0;
	u64 gpa = named ? arg1 : arg0, code = named ? arg2 : arg1;

	return on_fault(gpa, vendor_is_vmx ? errors_of_ept(code) : errors_of_pferr(code), now);
}

/* Kernels whose event has two arguments refuse the first. */
RAW_TP(fault_raw_tp, kvm_page_fault,
       on_fault_args(ctx->args[0], ctx->args[1], ctx->args[2], bpf_ktime_get_ns()))
RAW_TP(fault_raw_tp_old, kvm_page_fault,
       on_fault_args(ctx->args[0], ctx->args[1], 0, bpf_ktime_get_ns()))
TP_BTF(fault_tp_btf, kvm_page_fault,
       on_fault_args(untyped_arg(ctx, 0), ctx[1], ctx[2], bpf_ktime_get_ns()))

SEC("?tp/kvm/kvm_page_fault")
int fault_tracepoint(void *ctx)
{
	u64 now = bpf_ktime_get_ns(), gpa = 0, code = 0;

	bpf_probe_read_kernel(&gpa, sizeof(gpa), ctx + fault_address_at);
	bpf_probe_read_kernel(&code, sizeof(code), ctx + error_code_at);
	if (error_code_size == 4)
		code = (u32)code;
	on_fault(gpa, vendor_is_vmx ? errors_of_ept(code) : errors_of_pferr(code), now);
	return LEAVE_TO_PERF;
}

/* kvm_mmu_page_fault(vcpu, gpa, u64 code, ...): the code is KVM's own on both vendors. */
FENTRY(fault_fentry, kvm_mmu_page_fault,
       on_fault(ctx[1], errors_of_pferr(ctx[2]), bpf_ktime_get_ns()))
KPROBE(fault_kprobe, kvm_mmu_page_fault,
       on_fault(ctx->si, errors_of_pferr(ctx->dx), bpf_ktime_get_ns()))

SEC("?raw_tp/kvm_entry")
int entry_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	void *vcpu = (void *)ctx->args[0];

	end_fault();
	entry__call_next(ctx, vcpu);
	return 0;
}

TP_BTF(entry_tp_btf, kvm_entry, end_fault())
PROGRAM(entry_tracepoint, "tp/kvm/kvm_entry", void *ctx, end_fault())
FENTRY(entry_fentry_vmx, vmx_vcpu_run, end_fault())
FENTRY(entry_fentry_svm, svm_vcpu_run, end_fault())
KPROBE(entry_kprobe_vmx, vmx_vcpu_run, end_fault())
KPROBE(entry_kprobe_svm, svm_vcpu_run, end_fault())

/* map: 5.10 (gpa, int level, pfn); 6.1+ (fault); 7.2 (fault, u8 access). */
SEC("?raw_tp/kvm_mmu_spte_requested")
int map_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	u64 fault = ctx->args[0];

	if (page_fault_is_struct(fault))
		return on_map(fault, 0, 0);
	return on_map(fault, untyped_arg(ctx, 1), untyped_arg(ctx, 2));
}

struct map_fields {
	u64 gfn, pfn;
	u8 level;
};

/* With its type the fault is read without a helper, and so is its slot. */
static __always_inline int on_map_by_type(u64 *ctx)
{
	struct kvm_page_fault *fault = (void *)ctx[0];
	struct kvm_memory_slot *memslot;
	struct fault_state *state;
	u32 slot;

	state = faulting_state(&slot);
	if (!state)
		return 0;
	memslot = fault->slot;
	state->fast = 0;
	state->mapped = !!memslot;
	state->level = fault->goal_level < NR_LEVELS ? fault->goal_level : LEVEL_UNKNOWN;
	state->pfn = fault->pfn;
	/* What is read of no slot is 0. */
	state->memslot.slot = (u32)memslot->as_id << 16 | (u16)memslot->id;
	state->memslot.base_gfn = memslot->base_gfn;
	state->memslot.npages = memslot->npages;
	state->memslot.userspace_addr = memslot->userspace_addr;
	return 0;
}

/* In two places of the order. */
TP_BTF(map_tp_btf_first, kvm_mmu_spte_requested, on_map_by_type(ctx))
TP_BTF(map_tp_btf, kvm_mmu_spte_requested, on_map_by_type(ctx))

TRACEPOINT(map_tracepoint, "kvmmmu/kvm_mmu_spte_requested", map_fields,
	   on_map(0, args.level, args.pfn))

/* fast: 5.10 (vcpu, gpa, code, sptep, old, ret); 6.1+ (vcpu, fault, sptep, old, ret). */
SEC("?raw_tp/fast_page_fault")
int fast_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	u64 third = ctx->args[2], fourth = ctx->args[3], fifth = ctx->args[4];
	bool named = page_fault_is_struct(ctx->args[1]);

	/* All are read first: the compiler would compute a place in the context: refused. */
	barrier_var(third);
	barrier_var(fourth);
	barrier_var(fifth);
	return on_fast(named ? third : fourth, named ? fourth : fifth);
}

struct fast_fields {
	u64 before[3];
	u64 sptep, old;
};

TP_BTF(fast_tp_btf, fast_page_fault, on_fast(untyped_arg(ctx, 2), ctx[3]))
TRACEPOINT(fast_tracepoint, "kvmmmu/fast_page_fault", fast_fields, on_fast(args.sptep, args.old))

struct exit_fields {
	u32 reason;
};

/* misconfig: kvm_exit, whose reason vm_exit.bpf.c explains. */
RAW_TP(misconfig_raw_tp, kvm_exit,
       exit_args_old(ctx->args[0]) ? on_misconfig(ctx->args[0]) :
				     note_exit((void *)ctx->args[0], bpf_ktime_get_ns()))

/* The same as one of the two programs beside it, by what this kernel has. */
static __always_inline int each_exit(void *vcpu, u64 reason, u64 now)
{
	if (casts)
		return on_misconfig(exit_reason_at_once(vcpu, ISA_VMX, true));
	return reason == REASON_NOT_TOLD ? note_exit(vcpu, now) : on_misconfig(reason);
}

EACH_EXIT(misconfig_each, each_exit((void *)vcpu, reason, now))

/* Where reading the reason needs no helper. Kernels that can do that have the new arguments. */
RAW_TP(misconfig_raw_tp_cast, kvm_exit,
       on_misconfig(exit_reason_at_once((void *)ctx->args[0], ISA_VMX, true)))
TP_BTF(misconfig_tp_btf, kvm_exit, note_exit((void *)untyped_arg(ctx, 0), bpf_ktime_get_ns()))
TRACEPOINT(misconfig_tracepoint, "kvm/kvm_exit", exit_fields, on_misconfig(args.reason))

struct mmio_fields {
	u32 type, len;
	u64 gpa;
};

/* mmio: (int type, int len, u64 gpa, void *val) */
RAW_TP(mmio_raw_tp, kvm_mmio, on_mmio(ctx->args[0], ctx->args[1], ctx->args[2]))
TP_BTF(mmio_tp_btf, kvm_mmio, on_mmio(ctx[0], ctx[1], ctx[2]))
TRACEPOINT(mmio_tracepoint, "kvm/kvm_mmio", mmio_fields, on_mmio(args.type, args.len, args.gpa))

struct fast_mmio_fields {
	u64 gpa;
};

/* fast_mmio: (u64 gpa) */
RAW_TP(fast_mmio_raw_tp, kvm_fast_mmio, on_fast_mmio(ctx->args[0], bpf_ktime_get_ns()))
TP_BTF(fast_mmio_tp_btf, kvm_fast_mmio, on_fast_mmio(ctx[0], bpf_ktime_get_ns()))
TRACEPOINT(fast_mmio_tracepoint, "kvm/kvm_fast_mmio", fast_mmio_fields,
	   on_fast_mmio(args.gpa, bpf_ktime_get_ns()))

/* leave: (u32 reason, int errno) */
RAW_TP(leave_raw_tp, kvm_userspace_exit, on_leave(ctx->args[0]))
TP_BTF(leave_tp_btf, kvm_userspace_exit, on_leave(ctx[0]))
TRACEPOINT(leave_tracepoint, "kvm/kvm_userspace_exit", exit_fields, on_leave(args.reason))

/* At its end the vCPU still is loaded on 5.10 and not any more later: by the thread. */
SEC("?fexit/kvm_arch_vcpu_ioctl_run")
int leave_fexit(u64 *ctx)
{
	struct kvm_vcpu *vcpu = (void *)untyped_arg(ctx, 0);

	return on_leave(BPF_CORE_READ(vcpu, run, exit_reason));
}

/* run: after vcpu_load() in KVM_RUN. */
static __always_inline int on_fpu(u64 load)
{
	return load ? on_run(loaded_vcpu()) : 0;
}

TOLD_PROGRAMS(run, on_fpu)
FENTRY(run_fentry, kvm_arch_vcpu_ioctl_run, on_run((void *)untyped_arg(ctx, 0)))
KPROBE(run_kprobe, kvm_arch_vcpu_ioctl_run, on_run((void *)ctx->di))

char LICENSE[] SEC("license") = "Dual BSD/GPL";
