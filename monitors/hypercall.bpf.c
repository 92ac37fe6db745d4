// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -h: hypercalls, from the moment KVM decodes one until the vCPU is about to
 * enter the guest again (what KVM_EXIT_HYPERCALL takes in user space included).
 *
 * Kernel: kvm_emulate_hypercall() in arch/x86/kvm/x86.c traces KVM's own
 * (kvm_hypercall) after it gave those of a Xen guest to kvm_xen_hypercall() in
 * xen.c and those of a Hyper-V guest to kvm_hv_hypercall() in hyperv.c, which
 * have tracepoints of their own. Refused ones (not from ring 0, unknown
 * number) are traced too.
 */
#include "../bpf/entry.bpf.h"
#include "../bpf/events.bpf.h"
#include "../bpf/hooks.bpf.h"
#include "../bpf/stat.bpf.h"
#include "hypercall.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hypercall_state);
} hypercall_states SEC(".maps");

TABLE(hypercall_records, struct hypercall_record, hypercall_index, struct hypercall_key,
      free_records);
SHARES(hypercall_shares);
RECENT(recent_records);

/* Where the classic events' records have what moved; read from tracefs before loading. */
const volatile __u32 hv_fast_at, hv_var_cnt_at, xen_nr_at, xen_a0_at;

/* A record for a key that has none. 0 when there is none left. */
static __noinline u32 new_record(struct hypercall_key *key)
{
	u32 tgid = vcpus__tgid(key->slot), index = 0;

	if (share__is_used_up(&hypercall_shares, tgid)) {
		key->nr = 0;
		key->abi |= HYPERCALL_OTHER;
		index = table__find(&hypercall_index, key);
	}
	return index ?:
		       TABLE_ADD(tgid, hypercall_shares, hypercall_records, struct hypercall_record,
				 hypercall_index, free_records, key, LOST_RECORDS_FULL);
}

static __noinline int emit(const struct hypercall_event *seen, u32 slot)
{
	struct hypercall_event *event;

	if (!seen)
		return 0;
	event = event__reserve(sizeof(*event));
	if (!event)
		return 0;
	__builtin_memcpy(event, seen, sizeof(*event));
	event__head(&event->head, slot);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* The mode of the caller says how much of its registers is meant. */
static __always_inline bool mode_matters(const struct hypercall_event *seen)
{
	enum { SEND_IPI = 10 }; /* one mask is as wide as a register */
	u64 all = seen->nr | seen->args[0] | seen->args[1] | seen->args[2] | seen->args[3];

	return seen->abi == HYPERCALL_KVM && (all >> 32 || seen->nr == SEND_IPI);
}

/* A hypercall was decoded; seen has its abi, number and arguments. */
static __noinline int on_hypercall(struct hypercall_event *seen)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct hypercall_record *record;
	struct hypercall_state *state;
	struct hypercall_key key = {};
	u32 slot, index;

	if (!seen || !vcpu)
		return 0;
	slot = vcpus__slot(vcpu);
	state = slot ? bpf_map_lookup_elem(&hypercall_states, &slot) : NULL;
	if (!state)
		return 0;
	seen->total = READ_U64(vcpu, stat.hypercalls);
	seen->long_mode = !mode_matters(seen) || vcpu_in_long_mode(vcpu);
	if (seen->abi == HYPERCALL_KVM && !seen->long_mode) {
		/* KVM takes the lower halves too, after the tracepoint. */
		seen->nr = (u32)seen->nr;
		for (int i = 0; i < 4; i++)
			seen->args[i] = (u32)seen->args[i];
	}
	key.nr = seen->nr;
	key.slot = slot;
	key.abi = seen->abi;
	index = TABLE_FIND(recent_records, hypercall_records, struct hypercall_record,
			   hypercall_index, &key);
	if (!index)
		index = new_record(&key);
	record = index ? bpf_map_lookup_elem(&hypercall_records, &index) : NULL;
	if (record)
		record->count++;
	if (state->vcpu != (u64)vcpu)
		state->seen_entry = 0;
	else if (state->since && state->seen_entry)
		lose(LOST_EXITS_UNTIMED);
	if (state->vcpu != (u64)vcpu || state->total != seen->total)
		state->counted_one = 0;
	state->vcpu = (u64)vcpu;
	state->abi = seen->abi;
	state->record = index;
	state->total = seen->total;
	emit(seen, slot);
	entry__expect(vcpu);
	state->since = bpf_ktime_get_ns();
	return 0;
}

/*
 * What KVM has counted after it: where a read takes a helper it is looked at until it was one
 * more, and again when the next one's begin finds another count than that.
 */
static __always_inline void count_one(struct hypercall_state *state, struct kvm_vcpu *vcpu)
{
	u32 abi = 1U << (state->abi & 31);
	u64 total;

	if (!casts && state->counted_one & abi) {
		state->total++;
		return;
	}
	total = READ_U64(vcpu, stat.hypercalls);
	if (total == state->total + 1)
		state->counted_one |= abi;
	state->total = total;
}

/* The vCPU enters the guest. */
static __noinline int end_hypercall(struct kvm_vcpu *vcpu)
{
	u32 slot = vcpus__cached_slot(vcpu);
	struct hypercall_record *record;
	struct hypercall_state *state;
	u64 now, since;

	if (!slot)
		slot = vcpus__find_slot(vcpu, false);
	state = bpf_map_lookup_elem(&hypercall_states, &slot);
	if (!slot || !state || state->vcpu != (u64)vcpu || !state->since)
		return 0;
	record = bpf_map_lookup_elem(&hypercall_records, &state->record);
	since = state->since;
	now = bpf_ktime_get_ns();
	if (record && state->record)
		stat__add(&record->stat, now > since ? now - since : 0);
	state->since = 0;
	state->seen_entry = 1;
	count_one(state, vcpu);
	return 0;
}

/* kvm_hypercall(nr, a0, a1, a2, a3), unsigned long each. */
static __always_inline int on_kvm(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	struct hypercall_event seen = {
		.abi = HYPERCALL_KVM,
		.nr = nr,
		.args = { a0, a1, a2, a3 },
	};

	return task_chosen() ? on_hypercall(&seen) : 0;
}

RAW_TP(kvm_raw_tp, kvm_hypercall,
       on_kvm(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[4]))
TP_BTF(kvm_tp_btf, kvm_hypercall, on_kvm(ctx[0], ctx[1], ctx[2], ctx[3], ctx[4]))

/* The record is the same on all kernels: from byte 8 on, 8 bytes each. */
struct kvm_hypercall_args {
	u64 common, nr, a0, a1, a2, a3;
};

SEC("?tp/kvm/kvm_hypercall")
int kvm_tracepoint(struct kvm_hypercall_args *ctx)
{
	on_kvm(ctx->nr, ctx->a0, ctx->a1, ctx->a2, ctx->a3);
	return LEAVE_TO_PERF;
}

/*
 * kvm_hv_hypercall: until 5.16 (u16 code, bool fast, u16 rep_cnt, u16 rep_idx,
 * u64 ingpa, u64 outgpa); then with u16 var_cnt after fast. A program that
 * reads an argument that is not there can't be attached: so the new one is
 * tried first and tells them apart.
 */
static __always_inline int on_hv(u64 code, u64 fast, u64 var_cnt, u64 rep_cnt, u64 rep_idx,
				 u64 input, u64 output)
{
	struct hypercall_event seen = {
		.abi = HYPERCALL_HYPERV,
		.nr = (u16)code,
		.args = { fast & 1, (u16)var_cnt, (u16)rep_cnt, (u16)rep_idx, input, output },
	};

	return task_chosen() ? on_hypercall(&seen) : 0;
}

RAW_TP(hv_raw_tp, kvm_hv_hypercall,
       on_hv(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[4], ctx->args[5],
	     ctx->args[6]))
RAW_TP(hv_raw_tp_old, kvm_hv_hypercall,
       on_hv(ctx->args[0], ctx->args[1], 0, ctx->args[2], ctx->args[3], ctx->args[4], ctx->args[5]))
TP_BTF(hv_tp_btf, kvm_hv_hypercall, on_hv(ctx[0], ctx[1], ctx[2], ctx[3], ctx[4], ctx[5], ctx[6]))
TP_BTF(hv_tp_btf_old, kvm_hv_hypercall, on_hv(ctx[0], ctx[1], 0, ctx[2], ctx[3], ctx[4], ctx[5]))

/* rep_cnt, rep_idx, ingpa, outgpa and code are where they always were. */
SEC("?tp/kvm/kvm_hv_hypercall")
int hv_tracepoint(void *ctx)
{
	u16 rep_cnt = 0, rep_idx = 0, code = 0, var_cnt = 0;
	u64 input = 0, output = 0;
	u8 fast = 0;

	bpf_probe_read_kernel(&rep_cnt, sizeof(rep_cnt), ctx + 8);
	bpf_probe_read_kernel(&rep_idx, sizeof(rep_idx), ctx + 10);
	bpf_probe_read_kernel(&input, sizeof(input), ctx + 16);
	bpf_probe_read_kernel(&output, sizeof(output), ctx + 24);
	bpf_probe_read_kernel(&code, sizeof(code), ctx + 32);
	bpf_probe_read_kernel(&fast, sizeof(fast), ctx + hv_fast_at);
	if (hv_var_cnt_at)
		bpf_probe_read_kernel(&var_cnt, sizeof(var_cnt), ctx + hv_var_cnt_at);
	on_hv(code, fast, var_cnt, rep_cnt, rep_idx, input, output);
	return LEAVE_TO_PERF;
}

/*
 * kvm_xen_hypercall, since 5.12: (nr, a0 .. a5); later (u8 cpl, nr, a0 .. a5).
 * Told apart as kvm_hv_hypercall is.
 */
static __always_inline int on_xen(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	struct hypercall_event seen = {
		.abi = HYPERCALL_XEN,
		.nr = nr,
		.args = { a0, a1, a2, a3, a4, a5 },
	};

	return task_chosen() ? on_hypercall(&seen) : 0;
}

RAW_TP(xen_raw_tp, kvm_xen_hypercall,
       on_xen(ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[4], ctx->args[5], ctx->args[6],
	      ctx->args[7]))
RAW_TP(xen_raw_tp_old, kvm_xen_hypercall,
       on_xen(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[4], ctx->args[5],
	      ctx->args[6]))
TP_BTF(xen_tp_btf, kvm_xen_hypercall,
       on_xen(ctx[1], ctx[2], ctx[3], ctx[4], ctx[5], ctx[6], ctx[7]))
TP_BTF(xen_tp_btf_old, kvm_xen_hypercall,
       on_xen(ctx[0], ctx[1], ctx[2], ctx[3], ctx[4], ctx[5], ctx[6]))

SEC("?tp/kvm/kvm_xen_hypercall")
int xen_tracepoint(void *ctx)
{
	u64 nr = 0, a[HYPERCALL_ARGS] = {};

	bpf_probe_read_kernel(&nr, sizeof(nr), ctx + xen_nr_at);
	bpf_probe_read_kernel(&a, sizeof(a), ctx + xen_a0_at);
	on_xen(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	return LEAVE_TO_PERF;
}

/* kvm_entry(vcpu, ...), in vmx_vcpu_run() and svm_vcpu_run(); before them on 5.10. */
SEC("?raw_tp/kvm_entry")
int entry_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	void *vcpu = (void *)ctx->args[0];

	end_hypercall(vcpu);
	entry__call_next(ctx, vcpu);
	return 0;
}

TP_BTF(entry_tp_btf, kvm_entry, end_hypercall((void *)untyped_arg(ctx, 0)))

SEC("?tp/kvm/kvm_entry")
int entry_tracepoint(void *ctx)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (vcpu)
		end_hypercall(vcpu);
	return LEAVE_TO_PERF;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
