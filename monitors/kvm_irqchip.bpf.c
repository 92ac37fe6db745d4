// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -c: interrupts given to the PICs, the I/O APIC and as messages.
 *
 * What it was tell the tracepoints kvm_pic_set_irq (kvm_pic_set_irq() in
 * arch/x86/kvm/i8259.c), kvm_ioapic_set_irq (ioapic_set_irq() in ioapic.c) and
 * kvm_msi_set_irq (kvm_set_msi_irq() in irq_comm.c, later irq.c), each near
 * the end of the work or in its midst. DELAY, the VM, the line's level and
 * whether a message was merged come from the functions around them, from call
 * to return: kvm_pic_set_irq(), kvm_ioapic_set_irq(), kvm_set_msi(), and
 * kvm_arch_set_irq_inatomic() for irqfds. The last may find that it can't
 * deliver without sleeping; a worker then calls kvm_set_msi(), and only that
 * counts. kvm_set_msi_irq() is also called when no interrupt is sent (routes
 * are scanned, posted interrupts set up): outside of those two calls it is
 * none.
 *
 * These functions do not sleep, so that a kretprobe's pool, as many as there
 * are CPUs, is enough.
 *
 * Where functions can't be hooked, the VM is the one that the current thread
 * works for: of its vCPU, or of the VM whose ioctl() it is in.
 */
#include "../bpf/events.bpf.h"
#include "../bpf/place.bpf.h"
#include "../bpf/told.bpf.h"
#include "../bpf/stat.bpf.h"
#include "kvm_irqchip.h"

/* Which calls have both of their ends watched. */
const volatile __u32 pic_calls, ioapic_calls, msi_calls, atomic_calls;

/* What a redirection entry is set up as: without delivery status, remote IRR and the mask. */
#define IOAPIC_SETUP (~(1ULL << 12 | 1ULL << 14 | 1ULL << 16))

enum call_kind { CALL_PIC, CALL_IOAPIC, CALL_MSI, CALL_ATOMIC };

/* Of one thread; of one CPU for what has interrupts off, and for the idle threads. */
struct call_key {
	u32 who;
	u32 kind;
};

struct irq_call {
	u64 since;
	u64 kvm;
	struct irqchip_event seen; /* what the tracepoint told */
	u32 told;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct call_key);
	__type(value, struct irq_call);
} calls SEC(".maps");

/* The usual ones: of threads, which are in one of these functions at a time. */
enum { PLACE_BITS = 13 };
struct irq_place {
	struct place place; /* busy: 1 + enum call_kind */
	struct irq_call call;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PLACE_BITS);
	__type(key, u32);
	__type(value, struct irq_place);
} call_places SEC(".maps");

TABLE(irqchip_records, struct irqchip_record, irqchip_index, struct irqchip_key, free_records);
SHARES(irqchip_shares);
RECENT(recent_records);

static __always_inline struct call_key call_key(u32 kind)
{
	struct call_key key = { .who = bpf_get_current_pid_tgid(), .kind = kind };

	if (kind == CALL_ATOMIC || !key.who)
		key.who = bpf_get_smp_processor_id() | 1U << 31;
	return key;
}

/* The number of key's record, made now if it is new; 0: none left. */
static __noinline u32 find_record(struct irqchip_key *key)
{
	u32 index = TABLE_FIND(recent_records, irqchip_records, struct irqchip_record,
			       irqchip_index, key);

	if (!index && share__is_used_up(&irqchip_shares, key->owner)) {
		key->where = key->data = 0;
		key->pin = PIN_OTHER;
		index = table__find(&irqchip_index, key);
	}
	return index ?:
		       TABLE_ADD(key->owner, irqchip_shares, irqchip_records, struct irqchip_record,
				 irqchip_index, free_records, key, LOST_RECORDS_FULL);
}

/* One interrupt, complete. kvm is 0 when its VM is not known. */
static __noinline int deliver(struct irqchip_event *seen, u64 kvm)
{
	struct irqchip_record *record;
	struct irqchip_event *event;
	struct irqchip_key key = {};

	if (!seen)
		return 0;
	if (!kvm)
		kvm = (u64)current_kvm();
	key.kvm = kvm;
	key.owner = kvm ? READ_U32((struct kvm *)kvm, userspace_pid) : 0;
	key.where = seen->chip == CHIP_IOAPIC ? seen->entry & IOAPIC_SETUP : seen->entry;
	key.data = seen->data;
	key.chip = seen->chip;
	key.pin = seen->pin;
	seen->record = find_record(&key);
	record = bpf_map_lookup_elem(&irqchip_records, &seen->record);
	if (record && seen->record) {
		__sync_fetch_and_add(&record->count, 1);
		if (seen->coalesced == FLAG_YES)
			__sync_fetch_and_add(&record->coalesced, 1);
		if (seen->masked)
			__sync_fetch_and_add(&record->masked, 1);
		if (seen->asserted == FLAG_NO)
			__sync_fetch_and_add(&record->lowered, 1);
		if (seen->delay_ns != ~0ULL)
			stat__add_shared(&record->delay, seen->delay_ns);
	}
	event = event__reserve(sizeof(*event));
	if (!event)
		return 0;
	__builtin_memcpy(event, seen, sizeof(*event));
	event__head(&event->head, 0);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Where a call of that kind of the current thread's has its place; NULL: in the hash. */
static __always_inline struct irq_place *place_of(u32 kind, u32 tid)
{
	u32 index = tid & ((1 << PLACE_BITS) - 1);

	return kind != CALL_ATOMIC && tid ? bpf_map_lookup_elem(&call_places, &index) : NULL;
}

static __noinline int begin_displaced(u32 kind, u64 kvm, u32 level)
{
	struct call_key key = call_key(kind);
	struct irq_call call = { .kvm = kvm };

	call.seen.asserted = !!level;
	call.since = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&calls, &key, &call, BPF_ANY))
		lose(LOST_RECORDS_FULL);
	return 0;
}

static __noinline int begin(u32 kind, u64 kvm, u32 level)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct irq_place *p = place_of(kind, tid);

	/* In another one: its end was not seen. */
	if (!p || !place__claim(&p->place, tid) || (p->place.busy && p->place.busy != 1 + kind))
		return begin_displaced(kind, kvm, level);
	p->call.kvm = kvm;
	p->call.told = 0;
	p->call.seen.asserted = !!level;
	p->place.busy = 1 + kind;
	p->call.since = bpf_ktime_get_ns();
	return 0;
}

static __noinline int end_call(struct irq_call *call, u32 kind, s32 ret, u64 now)
{
	/* Not a message, or left to the worker: EWOULDBLOCK is below "nobody", which is -1. */
	if (!call || !call->told || (kind == CALL_ATOMIC && ret < -1))
		return 0;
	call->seen.delay_ns = now - call->since;
	if (call->seen.chip == CHIP_MSI)
		call->seen.coalesced = !ret;
	return deliver(&call->seen, call->kvm);
}

static __noinline int end_displaced(u32 kind, s32 ret, u64 now)
{
	struct call_key key = call_key(kind);
	struct irq_call *call = bpf_map_lookup_elem(&calls, &key), done;

	if (!call)
		return 0;
	__builtin_memcpy(&done, call, sizeof(done));
	bpf_map_delete_elem(&calls, &key);
	return end_call(&done, kind, ret, now);
}

static __noinline int end(u32 kind, s32 ret)
{
	u64 now = bpf_ktime_get_ns();
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct irq_place *p = place_of(kind, tid);

	if (!p || p->place.tid != tid || p->place.busy != 1 + kind)
		return end_displaced(kind, ret, now);
	p->place.busy = 0;
	return end_call(&p->call, kind, ret, now);
}

static __always_inline struct irq_call *displaced_call(u32 kind)
{
	struct call_key key = call_key(kind);

	return bpf_map_lookup_elem(&calls, &key);
}

/* What a tracepoint in the call of that kind tells is of it. NULL: there is no such call. */
static __always_inline struct irqchip_event *told_call(u32 kind)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct irq_place *p = place_of(kind, tid);
	struct irq_call *call;

	if (p && p->place.tid == tid && p->place.busy == 1 + kind)
		call = &p->call;
	else
		call = displaced_call(kind);
	if (!call)
		return NULL;
	call->told = 1;
	return &call->seen;
}

static __always_inline void tell(struct irqchip_event *seen, u32 chip, u32 pin, u64 entry, u64 data)
{
	seen->entry = entry;
	seen->data = data;
	seen->chip = chip;
	seen->pin = pin;
	seen->level = seen->masked = 0;
}

static __noinline int on_pic(u32 chip, u32 pin, u32 elcr, u32 imr, u32 coalesced)
{
	struct irqchip_event alone = { .delay_ns = ~0ULL, .asserted = FLAG_UNKNOWN };
	struct irqchip_event *call = pic_calls ? told_call(CALL_PIC) : NULL;
	struct irqchip_event *seen = call ? call : &alone;

	tell(seen, chip & 1, pin & 7, 0, 0);
	seen->level = elcr >> (pin & 7) & 1;
	seen->masked = imr >> (pin & 7) & 1;
	seen->coalesced = coalesced & 1;
	return call ? 0 : deliver(&alone, 0);
}

static __noinline int on_ioapic(u64 entry, u32 pin, u32 coalesced)
{
	struct irqchip_event alone = { .delay_ns = ~0ULL, .asserted = FLAG_UNKNOWN };
	struct irqchip_event *call = ioapic_calls ? told_call(CALL_IOAPIC) : NULL;
	struct irqchip_event *seen = call ? call : &alone;

	tell(seen, CHIP_IOAPIC, pin, entry, 0);
	seen->masked = entry >> 16 & 1;
	seen->coalesced = coalesced & 1;
	return call ? 0 : deliver(&alone, 0);
}

static __noinline int on_msi(u64 address, u64 data)
{
	struct irqchip_event alone = { .delay_ns = ~0ULL, .asserted = FLAG_UNKNOWN };
	struct irqchip_event *call = atomic_calls ? told_call(CALL_ATOMIC) : NULL;

	if (!call && msi_calls) {
		call = told_call(CALL_MSI);
		if (!call)
			return 0;
	}
	if (!call)
		call = &alone;
	tell(call, CHIP_MSI, 0, address, data);
	call->coalesced = FLAG_UNKNOWN;
	return call == &alone ? deliver(&alone, 0) : 0;
}

/* KVM_RUN begins: the vCPU is announced, and so its VM known while it lives. */
static __always_inline int on_fpu(u64 load)
{
	/* Not always 0: the compiler would return nothing, and verifiers want a number. */
	return load ? vcpus__current_slot() : 0;
}

TOLD_PROGRAMS(run, on_fpu)

/*
 * kvm_pic_set_irq(pic, pin, source, level) until 6.16, then (entry, kvm,
 * source, level, line_status); kvm_ioapic_set_irq() alike; kvm_set_msi() and
 * kvm_arch_set_irq_inatomic() always (entry, kvm, source, level, line_status).
 */
KPROBE(pic_begin_kprobe, kvm_pic_set_irq,
       pic_calls ? begin(CALL_PIC, pic_kvm(ctx->di, ctx->si), ctx->cx) : 0)
FENTRY(pic_begin_fentry, kvm_pic_set_irq,
       pic_calls ? begin(CALL_PIC, pic_kvm(untyped_arg(ctx, 0), untyped_arg(ctx, 1)), ctx[3]) : 0)
KRETPROBE(pic_end_kprobe, kvm_pic_set_irq, end(CALL_PIC, ctx->ax))
FEXIT(pic_end_fexit, kvm_pic_set_irq, end(CALL_PIC, 0))
KPROBE(ioapic_begin_kprobe, kvm_ioapic_set_irq,
       ioapic_calls ? begin(CALL_IOAPIC, ioapic_kvm(ctx->di, ctx->si), ctx->cx) : 0)
FENTRY(ioapic_begin_fentry, kvm_ioapic_set_irq,
       ioapic_calls ?
	       begin(CALL_IOAPIC, ioapic_kvm(untyped_arg(ctx, 0), untyped_arg(ctx, 1)), ctx[3]) :
	       0)
KRETPROBE(ioapic_end_kprobe, kvm_ioapic_set_irq, end(CALL_IOAPIC, ctx->ax))
FEXIT(ioapic_end_fexit, kvm_ioapic_set_irq, end(CALL_IOAPIC, 0))
KPROBE(msi_begin_kprobe, kvm_set_msi, msi_calls ? begin(CALL_MSI, ctx->si, ctx->cx) : 0)
FENTRY(msi_begin_fentry, kvm_set_msi, msi_calls ? begin(CALL_MSI, untyped_arg(ctx, 1), ctx[3]) : 0)
KRETPROBE(msi_end_kprobe, kvm_set_msi, end(CALL_MSI, ctx->ax))
FEXIT(msi_end_fexit, kvm_set_msi, end(CALL_MSI, ctx[5]))
KPROBE(atomic_begin_kprobe, kvm_arch_set_irq_inatomic,
       atomic_calls ? begin(CALL_ATOMIC, ctx->si, ctx->cx) : 0)
FENTRY(atomic_begin_fentry, kvm_arch_set_irq_inatomic,
       atomic_calls ? begin(CALL_ATOMIC, untyped_arg(ctx, 1), ctx[3]) : 0)
KRETPROBE(atomic_end_kprobe, kvm_arch_set_irq_inatomic, end(CALL_ATOMIC, ctx->ax))
FEXIT(atomic_end_fexit, kvm_arch_set_irq_inatomic, end(CALL_ATOMIC, ctx[5]))

/* kvm_pic_set_irq(u8 chip, u8 pin, u8 elcr, u8 imr, bool coalesced): a byte for each. */
RAW_TP(pic_raw_tp, kvm_pic_set_irq,
       on_pic(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[4]))
TP_BTF(pic_tp_btf, kvm_pic_set_irq, on_pic(ctx[0], ctx[1], ctx[2], ctx[3], ctx[4]))

SEC("?tp/kvm/kvm_pic_set_irq")
int pic_tracepoint(void *ctx)
{
	struct {
		u8 chip, pin, elcr, imr, coalesced;
	} args = {};

	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_pic(args.chip, args.pin, args.elcr, args.imr, args.coalesced);
	return LEAVE_TO_PERF;
}

/* kvm_ioapic_set_irq(u64 entry, int pin, bool coalesced) */
RAW_TP(ioapic_raw_tp, kvm_ioapic_set_irq, on_ioapic(ctx->args[0], ctx->args[1], ctx->args[2]))
TP_BTF(ioapic_tp_btf, kvm_ioapic_set_irq, on_ioapic(ctx[0], ctx[1], ctx[2]))

SEC("?tp/kvm/kvm_ioapic_set_irq")
int ioapic_tracepoint(void *ctx)
{
	struct {
		u64 entry;
		u32 pin;
		u8 coalesced;
	} args = {};

	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_ioapic(args.entry, args.pin, args.coalesced);
	return LEAVE_TO_PERF;
}

/* kvm_msi_set_irq(u64 address, u64 data) */
RAW_TP(msi_raw_tp, kvm_msi_set_irq, on_msi(ctx->args[0], ctx->args[1]))
TP_BTF(msi_tp_btf, kvm_msi_set_irq, on_msi(ctx[0], ctx[1]))

SEC("?tp/kvm/kvm_msi_set_irq")
int msi_tracepoint(void *ctx)
{
	u64 args[2] = {};

	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_msi(args[0], args[1]);
	return LEAVE_TO_PERF;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
