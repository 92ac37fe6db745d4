/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * -e --detail: what exits were for. A part of vm_exit.bpf.c.
 *
 * An event between an exit and the entry after it says which port, MSR, address,
 * ... the guest used. It moves the exit from its reason's record to one of the
 * detail: then the programs at exits and entries need not know that there are
 * details. The first one counts.
 */
#ifndef KVM_WATCHER_VM_EXIT_DETAIL_BPF_H
#define KVM_WATCHER_VM_EXIT_DETAIL_BPF_H

#include "../bpf/hooks.bpf.h"
#include "../decode/hypercall_abi.h"

/* --detail; and how many records details may take beyond those that each vCPU has for sure. */
const volatile bool details;
const volatile __u32 max_extra;
__u32 nr_extra;

/*
 * Exits that began up to here keep what they have: user space has counted those
 * that had no detail as such. It advances this before it reads.
 */
volatile __u64 decided_ns;

/* By slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct detail_state);
} detail_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct detail_key);
	__type(value, u32);
} detail_index SEC(".maps");

/* A record for a detail that has none, or that of the others. 0: none is left. */
static __noinline u32 new_detail(struct detail_state *d, struct detail_key *key)
{
	bool sure = d->nr < DETAILS_PER_SLOT / 2;
	bool own = sure || (d->nr < MAX_DETAILS && nr_extra < max_extra);
	struct exit_record *record;
	u32 index = 0;

	if (!own) {
		key->type = DETAIL_OTHERS;
		key->value = 0;
		index = table__find(&detail_index, key);
		if (index)
			return index;
	}
	if (bpf_map_pop_elem(&free_records, &index))
		return 0;
	record = bpf_map_lookup_elem(&exit_records, &index);
	if (!record)
		return 0;
	record->key = key->of;
	record->detail = *key;
	if (!table__enter(&detail_index, key, &free_records, &index, LOST_RECORDS_FULL))
		return index;
	share__take_uncounted(&exit_shares, index);
	d->nr += own;
	if (own && !sure)
		__sync_fetch_and_add(&nr_extra, 1);
	barrier();
	record->in_use = own && !sure ? EXTRA : 1;
	return index;
}

/* The record of a detail: the slow way, and for the cache. */
static __noinline u32 cache_detail(struct detail_state *d, struct detail_place *place,
				   const struct detail_key *wanted, u32 of)
{
	struct detail_key key = *wanted;
	u32 record = table__find(&detail_index, &key) ?: new_detail(d, &key);

	place->value = wanted->value;
	place->type = wanted->type;
	place->of = of;
	place->record = record;
	return record;
}

/* The exit that is not over was for that. */
static __noinline int set_detail(struct exit_state *state, struct detail_state *d, u32 type,
				 u64 value)
{
	struct exit_record *record = bpf_map_lookup_elem(&exit_records, &state->record);
	u32 of = state->record, index = ((u32)value ^ (u32)(value >> 32) ^ type << 8) * 0x9e3779b1U;
	struct detail_place *place;
	struct detail_key key;

	if (!record || !record->in_use || record->detail.type || state->exit_ns <= decided_ns ||
	    d->left_ns > state->exit_ns)
		return 0;
	/* On VMX alone: the events tell of others than those that made the guest leave, too. */
	if (type == DETAIL_EXCEPTION && record->key.code)
		return 0;
	place = &d->cache[index >> (32 - DETAIL_CACHE_BITS)];
	index = place->record;
	if (place->value != value || place->type != type || place->of != of || !index) {
		key.of = record->key;
		key.type = type;
		key.value = value;
		index = cache_detail(d, place, &key, of);
	}
	if (index)
		state->record = index;
	return 0;
}

/*
 * An exit of which a detail was known first has begun. Inline: from a program at exits to
 * a loss in new_detail() there are eight functions, the most that the kernel lets call each
 * other (MAX_CALL_FRAMES in include/linux/bpf_verifier.h).
 */
static __always_inline int take_pending(struct exit_state *state)
{
	u32 slot = state->slot;
	struct detail_state *d = bpf_map_lookup_elem(&detail_states, &slot);

	return d ? set_detail(state, d, d->type, d->value) : 0;
}

/*
 * An event in the thread of a vCPU that has left the guest. On AMD until 6.11
 * svm_vcpu_run() may have handled the exit before svm_handle_exit() traces it.
 */
static __noinline int note_detail(u32 type, u64 value)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct detail_state *d;
	struct exit_state *state;
	u32 slot;

	if (!vcpu)
		return 0;
	state = cached_state(vcpu);
	if (vcpu_of(state) != vcpu) {
		state = claim_state(vcpu, false);
		if (!state)
			return 0;
	}
	slot = state->slot;
	d = bpf_map_lookup_elem(&detail_states, &slot);
	if (!d)
		return 0;
	if (state->vcpu & EXITED)
		return set_detail(state, d, type, value);
	if (state->vcpu & PENDING)
		return 0;
	d->type = type;
	d->value = value;
	state->vcpu = (u64)vcpu | PENDING;
	return 0;
}

/* What is memory to the guest is one by the page: VGA's, and below 4 GiB the firmware's. */
static __always_inline u64 mmio_value(u64 gpa)
{
	bool memory = gpa - 0xa0000 < 0x20000 || gpa - 0xff000000 < 0x1000000;

	return memory ? gpa & ~0xfffULL : gpa;
}

/* struct kvm_run of linux/kvm.h, which never moves: the union behind exit_reason. */
struct run_union {
	union {
		struct {
			u8 direction, size;
			u16 port;
		} io;
		struct {
			u64 phys_addr;
			u8 data[8];
			u32 len;
			u8 is_write;
		} mmio;
		struct {
			u8 error, pad[7];
			u32 reason, index;
		} msr;
	};
};

enum { RUN_UNION = 32, RUN_IO = 2, RUN_MMIO = 6, RUN_RDMSR = 29, RUN_WRMSR = 30 };

/* For some exits the event comes when user space has answered: so it is in what that is asked. */
static __always_inline void set_asked(struct exit_state *state, struct detail_state *d, u32 reason)
{
	void *run = BPF_CORE_READ(vcpu_of(state), run);
	struct run_union u = {};

	bpf_probe_read_kernel(&u, sizeof(u), run + RUN_UNION);
	if (reason == RUN_IO)
		set_detail(state, d,
			   DETAIL_PIO | (u.io.direction ? DETAIL_WRITE : 0) |
				   u.io.size << DETAIL_MORE,
			   u.io.port);
	else if (reason == RUN_MMIO)
		set_detail(state, d, DETAIL_MMIO | (u.mmio.is_write ? DETAIL_WRITE : 0),
			   mmio_value(u.mmio.phys_addr));
	else
		set_detail(state, d, DETAIL_MSR | (reason == RUN_WRMSR ? DETAIL_WRITE : 0),
			   u.msr.index);
}

/* The exit goes on to user space. */
static __noinline int leave_detail(struct exit_state *state, u32 slot, u32 reason, int error)
{
	struct detail_state *d = bpf_map_lookup_elem(&detail_states, &slot);
	struct exit_record *record;

	if (!d || !(state->vcpu & EXITED) || d->left_ns > state->exit_ns)
		return 0;
	if (error >= 0 &&
	    (reason == RUN_IO || reason == RUN_MMIO || reason == RUN_RDMSR || reason == RUN_WRMSR))
		set_asked(state, d, reason);
	record = bpf_map_lookup_elem(&exit_records, &state->record);
	if (record)
		record->to_vmm++;
	d->left_ns = bpf_ktime_get_ns();
	return 0;
}

/* Programs _name_raw_tp and _name_tracepoint around what _call makes of the arguments. */
#define NOTE(_name, _event, _call) RAW_TP(_name, _event, task_chosen() ? _call : 0)
/* Fields of the events' records, which are where they are on all kernels. */
#define NOTE_TRACEPOINT(_name, _event, _fields, _call) \
	SEC("?tp/kvm/" #_event)                        \
	int _name(struct _fields *ctx)                 \
	{                                              \
		if (task_chosen())                     \
			_call;                         \
		return LEAVE_TO_PERF;                  \
	}

/* kvm_msr(u32 write, u32 ecx, ...) of kvm_emulate_rdmsr(), kvm_emulate_wrmsr(), the fast path. */
struct msr_fields {
	u64 common;
	u32 write, ecx;
};

static __always_inline int note_msr(u32 write, u32 msr)
{
	return note_detail(DETAIL_MSR | (write ? DETAIL_WRITE : 0), msr);
}

NOTE(msr_raw_tp, kvm_msr, note_msr(ctx->args[0], ctx->args[1]))
NOTE_TRACEPOINT(msr_tracepoint, kvm_msr, msr_fields, note_msr(ctx->write, ctx->ecx))

/* kvm_pio(u32 write, u32 port, u32 size, ...) of emulator_pio_in_out(). */
struct pio_fields {
	u64 common;
	u32 write, port, size;
};

static __always_inline int note_pio(u32 write, u32 port, u32 size)
{
	return note_detail(DETAIL_PIO | (write ? DETAIL_WRITE : 0) | size << DETAIL_MORE,
			   (u16)port);
}

NOTE(pio_raw_tp, kvm_pio, note_pio(ctx->args[0], ctx->args[1], ctx->args[2]))
NOTE_TRACEPOINT(pio_tracepoint, kvm_pio, pio_fields, note_pio(ctx->write, ctx->port, ctx->size))

/* kvm_mmio(int type, int len, u64 gpa, ...): 0 and 1 are reads, without data yet and with it. */
struct mmio_fields {
	u64 common;
	u32 type, len;
	u64 gpa;
};

static __always_inline int note_mmio(bool write, u64 gpa)
{
	return note_detail(DETAIL_MMIO | (write ? DETAIL_WRITE : 0), mmio_value(gpa));
}

NOTE(mmio_raw_tp, kvm_mmio, note_mmio((u32)ctx->args[0] == 2, ctx->args[2]))
NOTE_TRACEPOINT(mmio_tracepoint, kvm_mmio, mmio_fields, note_mmio(ctx->type == 2, ctx->gpa))

/* kvm_fast_mmio(u64 gpa): a write that an ioeventfd takes. */
struct fast_mmio_fields {
	u64 common, gpa;
};

NOTE(fast_mmio_raw_tp, kvm_fast_mmio, note_mmio(true, ctx->args[0]))
NOTE_TRACEPOINT(fast_mmio_tracepoint, kvm_fast_mmio, fast_mmio_fields, note_mmio(true, ctx->gpa))

/* kvm_cpuid(u32 leaf, u32 subleaf, ...) of kvm_cpuid(). */
struct cpuid_fields {
	u64 common;
	u32 leaf, subleaf;
};

/* Leaves that have subleaves; elsewhere ecx is what the guest happened to have there. */
static __always_inline bool has_subleaves(u32 leaf)
{
	const u64 basic = 1ULL << 4 | 1ULL << 7 | 1ULL << 0xb | 1ULL << 0xd | 1ULL << 0xf |
			  1ULL << 0x10 | 1ULL << 0x12 | 1ULL << 0x14 | 1ULL << 0x17 | 1ULL << 0x18 |
			  1ULL << 0x1a | 1ULL << 0x1b | 1ULL << 0x1d | 1ULL << 0x1e | 1ULL << 0x1f |
			  1ULL << 0x20 | 1ULL << 0x23 | 1ULL << 0x24;
	const u64 extended = 1ULL << 0x1d | 1ULL << 0x20 | 1ULL << 0x26;

	return leaf >> 6 & 0x1ffffff ? false : (leaf >> 31 ? extended : basic) >> (leaf & 63) & 1;
}

static __always_inline int note_cpuid(u32 leaf, u32 subleaf)
{
	return note_detail(DETAIL_CPUID, leaf | (has_subleaves(leaf) ? (u64)subleaf << 32 : 0));
}

NOTE(cpuid_raw_tp, kvm_cpuid, note_cpuid(ctx->args[0], ctx->args[1]))
NOTE_TRACEPOINT(cpuid_tracepoint, kvm_cpuid, cpuid_fields, note_cpuid(ctx->leaf, ctx->subleaf))

/* kvm_cr(u32 write, u32 cr, ...) of handle_cr(); on SVM the reason says it. */
struct cr_fields {
	u64 common;
	u32 write, cr;
};

static __always_inline int note_cr(u32 write, u32 cr)
{
	return note_detail(DETAIL_CR | (write ? DETAIL_WRITE : 0), cr);
}

NOTE(cr_raw_tp, kvm_cr, note_cr(ctx->args[0], ctx->args[1]))
NOTE_TRACEPOINT(cr_tracepoint, kvm_cr, cr_fields, note_cr(ctx->write, ctx->cr))

/* Hypercalls: hypercall.bpf.c has more of their events. */
static __always_inline int note_hypercall(u32 abi, u64 nr)
{
	return note_detail(DETAIL_HYPERCALL | abi << DETAIL_MORE, nr);
}

/* The lower half, where the guest's registers have no more; KVM takes that after the event. */
static __noinline int note_kvm_hypercall(u64 nr)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (nr >> 32 && vcpu && !vcpu_in_long_mode(vcpu))
		nr = (u32)nr;
	return note_hypercall(HYPERCALL_KVM, nr);
}

struct hypercall_fields {
	u64 common, nr;
};

NOTE(hypercall_raw_tp, kvm_hypercall, note_kvm_hypercall(ctx->args[0]))
NOTE_TRACEPOINT(hypercall_tracepoint, kvm_hypercall, hypercall_fields, note_kvm_hypercall(ctx->nr))

struct hv_hypercall_fields {
	u64 common, counts, input, output;
	u16 code;
};

NOTE(hv_hypercall_raw_tp, kvm_hv_hypercall, note_hypercall(HYPERCALL_HYPERV, (u16)ctx->args[0]))
NOTE_TRACEPOINT(hv_hypercall_tracepoint, kvm_hv_hypercall, hv_hypercall_fields,
		note_hypercall(HYPERCALL_HYPERV, ctx->code))

/* The number is the second argument where there are eight. */
NOTE(xen_hypercall_raw_tp, kvm_xen_hypercall,
     (opaque(ctx->args[7]), note_hypercall(HYPERCALL_XEN, ctx->args[1])))
NOTE(xen_hypercall_raw_tp_old, kvm_xen_hypercall, note_hypercall(HYPERCALL_XEN, ctx->args[0]))

SEC("?tp/kvm/kvm_xen_hypercall")
int xen_hypercall_tracepoint(void *ctx)
{
	u64 nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr), ctx + xen_nr_at);
	if (task_chosen())
		note_hypercall(HYPERCALL_XEN, nr);
	return LEAVE_TO_PERF;
}

/*
 * handle_exception_nmi() of VMX: by then vmx_get_intr_info() has read what it was.
 * Where the vendor's types are not known, what KVM injects for it: kvm_inj_exception(u8 vector,
 * ...).
 */
static __noinline int note_exception_exit(void *vcpu)
{
	u32 info;

	if (!vcpu || !vmx_intr_info(vcpu, &info))
		return 0;
	return note_detail(DETAIL_EXCEPTION, (u8)info);
}

struct exception_fields {
	u64 common;
	u8 vector;
};

FENTRY(exception_fentry, handle_exception_nmi,
       task_chosen() ? note_exception_exit((void *)untyped_arg(ctx, 0)) : 0)
KPROBE(exception_kprobe, handle_exception_nmi,
       task_chosen() ? note_exception_exit((void *)ctx->di) : 0)
NOTE(exception_raw_tp, kvm_inj_exception, note_detail(DETAIL_EXCEPTION, (u8)ctx->args[0]))
NOTE_TRACEPOINT(exception_tracepoint, kvm_inj_exception, exception_fields,
		note_detail(DETAIL_EXCEPTION, ctx->vector))

#endif
