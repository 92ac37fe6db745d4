// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -i: interrupts of a vCPU, by vector and through their stages.
 *
 * Raised:   __apic_accept_irq() in arch/x86/kvm/lapic.c begins (its tracepoint
 *           kvm_apic_accept_irq is in there), whatever context it is in: the
 *           local APIC is given a fixed or lowest-priority interrupt.
 * Injected: kvm_inj_virq, in vmx_inject_irq() (arch/x86/kvm/vmx/vmx.c) and
 *           svm_inject_irq() (arch/x86/kvm/svm/svm.c), before they count it in
 *           vcpu->stat.irq_injections. An interrupt whose delivery an exit broke
 *           off is injected again.
 * Ended:    kvm_eoi, in apic_set_eoi(): the guest wrote the APIC's EOI register.
 *           With PV EOI it writes memory instead and KVM takes the EOI from there
 *           later: kvm_pv_eoi follows.
 *
 * Where the CPU delivers interrupts itself (APICv, AVIC) there is no injection
 * and mostly no EOI to see: they are counted as posted when they are raised.
 */
#include "../bpf/events.bpf.h"
#include "../bpf/hooks.bpf.h"
#include "../bpf/lapics.bpf.h"
#include "../bpf/stat.bpf.h"
#include "irq_inject.h"

enum { DM_MASK = 0x700, DM_FIXED = 0, DM_LOWEST = 0x100 };

/* kvm_inj_virq can't fire here, so that an interrupt is in service from its raise on. */
const volatile __u32 no_injections;
/* Where the classic event's record has them; 0: it has not. Read from tracefs before loading. */
const volatile __u32 soft_at, reinjected_at;

TABLE(irq_records, struct irq_record, irq_index, struct irq_key, free_records);
SHARES(irq_shares);
RECENT(recent_records);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct irq_state);
} irq_states SEC(".maps");

/* The record of a slot's vector, made now if it is new. NULL when there is none left. */
static __noinline struct irq_record *irq_record(u32 slot, u32 vector)
{
	struct irq_key key = { .slot = slot, .vector = vector };
	u32 index;

	if (!slot)
		return NULL;
	index = TABLE_FIND(recent_records, irq_records, struct irq_record, irq_index, &key);
	if (!index && share__is_used_up(&irq_shares, vcpus__tgid(slot)))
		lose_of(LOST_RECORDS_FULL, vcpus__tgid(slot));
	else if (!index)
		index = TABLE_ADD(vcpus__tgid(slot), irq_shares, irq_records, struct irq_record,
				  irq_index, free_records, &key, LOST_RECORDS_FULL);
	return index ? bpf_map_lookup_elem(&irq_records, &index) : NULL;
}

/* The APIC of slot's vCPU is given an interrupt. */
static __noinline int on_raise(u32 slot, u32 mode, u32 vector)
{
	struct lapic_state *state = bpf_map_lookup_elem(&lapic_states, &slot);
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);
	struct irq_record *record;
	u32 seen;
	u64 now;

	mode &= DM_MASK;
	if (mode != DM_FIXED && mode != DM_LOWEST)
		return 0;
	if (!slot || !state || !info) {
		/* With -p it is most likely one of another VM. */
		if (!only_tgid)
			lose_of(LOST_THREAD_UNKNOWN, 0);
		return 0;
	}
	record = irq_record(slot, vector & 0xff);
	if (!record)
		return 0;
	now = bpf_ktime_get_ns();
	seen = lapic_look((void *)state->lapic, (void *)info->vcpu, vector);
	__sync_fetch_and_add(&record->raised, 1);
	if (seen & LAPIC_POSTS) {
		__sync_fetch_and_add(&record->posted, 1);
		if (!record->serving_ns)
			record->serving_ns = now;
		return 0;
	}
	/* What was noted while the APIC was switched off is not pending: it took none. */
	if (seen & LAPIC_KNOWN ? seen & LAPIC_REQUESTS : !!record->raised_ns) {
		__sync_fetch_and_add(&record->merged, 1);
		return 0;
	}
	if (!no_injections)
		record->raised_ns = now;
	else if (!record->serving_ns)
		record->serving_ns = now;
	return 0;
}

/*
 * Kernels before 5.19 do not say whether it is injected again. The APIC does
 * not give out a vector that is in service, so then it is the same one.
 */
static __always_inline u32 again(const struct irq_record *record, u32 reinjected)
{
	if (reinjected != FLAG_UNKNOWN)
		return reinjected;
	if (record->serving_ns && record->raised)
		return FLAG_YES;
	return record->raised_ns ? FLAG_NO : FLAG_UNKNOWN;
}

static __noinline int emit(const struct irq_event *seen, u32 slot)
{
	struct irq_event *event;

	if (!seen || event__is_quick(seen->delay_ns))
		return 0;
	event = event__reserve(sizeof(*event));
	if (!event)
		return 0;
	__builtin_memcpy(event, seen, sizeof(*event));
	event__head(&event->head, slot);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* KVM injects an interrupt into the current vCPU. */
static __noinline int on_inject(u32 vector, u32 soft, u32 reinjected)
{
	struct irq_event seen = { .delay_ns = ~0ULL, .vector = vector & 0xff };
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct irq_record *record;
	struct irq_state *state;
	u64 now, raised;
	u32 slot;

	if (!vcpu)
		return 0;
	slot = vcpus__running_slot(vcpu);
	state = bpf_map_lookup_elem(&irq_states, &slot);
	if (!slot || !state)
		return 0;
	lapics__enter(vcpu, slot);
	/* KVM counts it right after the event. */
	state->injections = seen.injections = READ_U64(vcpu, stat.irq_injections) + 1;
	seen.soft = soft == FLAG_UNKNOWN ? BPF_CORE_READ(vcpu, arch.interrupt.soft) : soft;
	record = irq_record(slot, seen.vector);
	if (!record)
		return 0;
	seen.reinjected = again(record, reinjected);
	record->count++;
	record->soft += seen.soft;
	record->reinjected += seen.reinjected == FLAG_YES;
	now = bpf_ktime_get_ns();
	raised = record->raised_ns;
	if (raised && seen.reinjected != FLAG_YES && !seen.soft) {
		record->raised_ns = 0;
		seen.delay_ns = now > raised ? now - raised : 0;
		stat__add(&record->inject, seen.delay_ns);
	}
	/* From the first attempt on; of a software interrupt there is no end to see. */
	if (!seen.soft && (seen.reinjected != FLAG_YES || !record->serving_ns))
		record->serving_ns = now;
	return emit(&seen, slot);
}

/* The current vCPU's guest has ended the interrupt; vector is negative when there was none. */
static __noinline int on_eoi(s32 vector, bool pv)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct irq_record *record;
	u64 since;

	if (!vcpu || vector < 0)
		return 0;
	record = irq_record(vcpus__running_slot(vcpu), vector & 0xff);
	if (!record)
		return 0;
	if (pv) {
		record->pv_eois++;
		return 0;
	}
	record->eois++;
	since = record->serving_ns;
	record->serving_ns = 0;
	if (since)
		stat__add(&record->eoi, bpf_ktime_get_ns() - since);
	return 0;
}

/* __apic_accept_irq(apic, delivery_mode, vector, level, trig_mode, ...) */
KPROBE(raise_kprobe, __apic_accept_irq, on_raise(lapics__slot(ctx->di), ctx->si, ctx->dx))
FENTRY(raise_fentry, __apic_accept_irq, on_raise(lapics__slot(untyped_arg(ctx, 0)), ctx[1], ctx[2]))

/*
 * kvm_apic_accept_irq(u32 apicid, u16 dm, u16 tm, u8 vec)
 * apicid is the vCPU's id. The VM is the caller's.
 */
static __always_inline int on_accept(u32 vcpu_id, u32 mode, u32 vector)
{
	return on_raise(lapics__find((u64)current_kvm(), vcpu_id), mode, vector);
}

RAW_TP(raise_raw_tp, kvm_apic_accept_irq, on_accept(ctx->args[0], ctx->args[1], ctx->args[3]))
TP_BTF(raise_tp_btf, kvm_apic_accept_irq, on_accept(ctx[0], ctx[1], ctx[3]))

SEC("?tp/kvm/kvm_apic_accept_irq")
int raise_tracepoint(void *ctx)
{
	struct {
		u32 vcpu_id;
		u16 mode;
		u16 trigger;
		u8 vector;
	} args = {};

	/* The same record on all kernels, after the common fields. */
	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_accept(args.vcpu_id, args.mode, args.vector);
	return LEAVE_TO_PERF;
}

/*
 * kvm_inj_virq: until 5.18 (u32 irq), then (u32 vector, bool soft, bool
 * reinjected). A program that reads an argument that is not there can't be
 * attached: so the new one is tried first and tells them apart.
 */
RAW_TP(inject_raw_tp, kvm_inj_virq, on_inject(ctx->args[0], ctx->args[1] & 1, ctx->args[2] & 1))
RAW_TP(inject_raw_tp_old, kvm_inj_virq, on_inject(ctx->args[0], FLAG_UNKNOWN, FLAG_UNKNOWN))
TP_BTF(inject_tp_btf, kvm_inj_virq, on_inject(ctx[0], ctx[1] & 1, ctx[2] & 1))
TP_BTF(inject_tp_btf_old, kvm_inj_virq, on_inject(ctx[0], FLAG_UNKNOWN, FLAG_UNKNOWN))

SEC("?tp/kvm/kvm_inj_virq")
int inject_tracepoint(void *ctx)
{
	u32 vector = 0;
	u8 soft = FLAG_UNKNOWN, reinjected = FLAG_UNKNOWN;

	bpf_probe_read_kernel(&vector, sizeof(vector), ctx + 8);
	if (soft_at)
		bpf_probe_read_kernel(&soft, sizeof(soft), ctx + soft_at);
	if (reinjected_at)
		bpf_probe_read_kernel(&reinjected, sizeof(reinjected), ctx + reinjected_at);
	on_inject(vector, soft, reinjected);
	return LEAVE_TO_PERF;
}

/* kvm_eoi, kvm_pv_eoi(struct kvm_lapic *apic, int vector) */
RAW_TP(eoi_raw_tp, kvm_eoi, on_eoi(ctx->args[1], false))
TP_BTF(eoi_tp_btf, kvm_eoi, on_eoi(ctx[1], false))

SEC("?tp/kvm/kvm_eoi")
int eoi_tracepoint(void *ctx)
{
	s32 vector = -1;

	bpf_probe_read_kernel(&vector, sizeof(vector), ctx + 12);
	on_eoi(vector, false);
	return LEAVE_TO_PERF;
}

RAW_TP(pv_eoi_raw_tp, kvm_pv_eoi, on_eoi(ctx->args[1], true))
TP_BTF(pv_eoi_tp_btf, kvm_pv_eoi, on_eoi(ctx[1], true))

SEC("?tp/kvm/kvm_pv_eoi")
int pv_eoi_tracepoint(void *ctx)
{
	s32 vector = -1;

	bpf_probe_read_kernel(&vector, sizeof(vector), ctx + 12);
	on_eoi(vector, true);
	return LEAVE_TO_PERF;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
