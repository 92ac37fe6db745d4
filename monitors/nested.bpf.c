// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * --nested: what guests do that have guests. L0 is this host, L1 its guest, L2 the guest's.
 *
 * Entry: kvm_nested_vmenter, which was kvm_nested_vmrun until 6.0. SVM: once L1's VMCB has been
 *   found good, in nested_svm_vmrun() and later enter_svm_guest_mode() (arch/x86/kvm/svm/nested.c).
 *   VMX: since 6.1, at the begin of nested_vmx_enter_non_root_mode() (arch/x86/kvm/vmx/nested.c),
 *   which may still refuse; also when user space restores a vCPU that was in L2.
 * Exit: kvm_nested_vmexit, when L2 has left for L0. SVM: svm_handle_exit(), each exit. VMX:
 *   nested_vmx_reflect_vmexit(), each but entries that the processor refused and, since 6.9, the
 *   preemption timer's where KVM goes back to L2 at once.
 * Injection: kvm_nested_vmexit_inject, when L1 is made to see an exit: nested_svm_vmexit(),
 *   nested_vmx_vmexit(). Of L2's last exit, or of one that KVM makes: for an interrupt of L1's, a
 *   fault in L1's tables, an entry that failed.
 */
#include "../bpf/vcpus.bpf.h"
#include "../bpf/hooks.bpf.h"
#include "../bpf/stat.bpf.h"
#include "nested.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct nested_state);
} nested_states SEC(".maps");

TABLE(nested_records, struct nested_record, nested_index, struct nested_key, free_records);
SHARES(nested_shares);

/* Where the classic events' records have them; read from tracefs before loading. */
const volatile __u32 exit_reason_at, exit_isa_at, inject_code_at, inject_isa_at;

/* The record of key, made now if it is new. 0 when there is none left. */
static __noinline u32 find_record(struct nested_key *key)
{
	u32 index = table__find(&nested_index, key), tgid;

	if (index)
		return index;
	tgid = vcpus__tgid(key->slot);
	if (share__is_used_up(&nested_shares, tgid)) {
		key->kind |= NESTED_OTHER;
		key->code = 0;
		index = table__find(&nested_index, key);
	}
	return index ?:
		       TABLE_ADD(tgid, nested_shares, nested_records, struct nested_record,
				 nested_index, free_records, key, LOST_RECORDS_FULL);
}

/* The same by way of the vCPU's cache: a hash is looked into only when that misses. */
static __always_inline struct nested_record *cached_record(struct nested_state *state,
							   struct nested_key *key, u32 *index)
{
	u64 what = (u64)key->kind << 32 | key->code;
	u32 at = (key->kind ^ key->code) * 0x9e3779b1U >> (32 - NESTED_CACHE_BITS);
	struct nested_place *place = &state->cache[at];

	if (!place->record || place->what != what) {
		place->record = find_record(key);
		place->what = what;
	}
	*index = place->record;
	return *index ? bpf_map_lookup_elem(&nested_records, index) : NULL;
}

/* The state of the vCPU that the current thread has loaded; NULL: it is not chosen. */
static __noinline struct nested_state *current_state(u32 *slot)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct nested_state *state;
	u32 own;

	if (!vcpu || !slot)
		return NULL;
	own = vcpus__slot(vcpu);
	*slot = own;
	state = own ? bpf_map_lookup_elem(&nested_states, &own) : NULL;
	if (state && state->vcpu != (u64)vcpu) {
		__builtin_memset(state, 0, sizeof(*state));
		state->vcpu = (u64)vcpu;
	}
	return state;
}

/* From L2 to L1, or back: the time of the one before is over, and index's begins. */
static __noinline int change(struct nested_state *state, u32 index, bool to_l2)
{
	struct nested_record *record;
	u64 now = bpf_ktime_get_ns(), since;

	if (!state)
		return 0;
	since = state->since;
	record = bpf_map_lookup_elem(&nested_records, &state->since_record);
	/* Two entries in a row: the first one has failed. */
	if (record && since && state->since_record && !state->in_l2 == to_l2)
		stat__add(&record->stat, now > since ? now - since : 0);
	state->since_record = index;
	state->in_l2 = to_l2;
	state->since = now;
	return 0;
}

/* L1 enters L2. */
static __noinline int on_enter(void)
{
	struct nested_key key = { .kind = NESTED_ENTRY };
	struct nested_record *record;
	struct nested_state *state;
	u32 index;

	state = current_state(&key.slot);
	if (!state)
		return 0;
	record = cached_record(state, &key, &index);
	if (record)
		record->count++;
	state->exit_record = 0;
	return change(state, index, true);
}

/* L2 has left for code. */
static __noinline int on_exit(u32 code, u32 isa)
{
	struct nested_key key = { .kind = isa, .code = code };
	struct nested_record *record;
	struct nested_state *state;
	u32 index;

	state = current_state(&key.slot);
	if (!state)
		return 0;
	record = cached_record(state, &key, &index);
	if (record)
		record->count++;
	state->exit_code = code;
	state->exit_record = index;
	return 0;
}

/* L1 is given an exit for code. */
static __noinline int on_inject(u32 code, u32 isa)
{
	struct nested_key key = { .kind = isa, .code = code };
	struct nested_record *record;
	struct nested_state *state;
	u32 index;

	state = current_state(&key.slot);
	if (!state)
		return 0;
	record = cached_record(state, &key, &index);
	if (record) {
		/* In this order: what was reflected was given. */
		record->injected++;
		if (state->exit_record == index && state->exit_code == code)
			record->reflected++;
	}
	state->exit_record = 0;
	return change(state, index, false);
}

/* Fields of an event that are where tracefs says. */
static __always_inline u32 field(void *ctx, u32 at)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + at);
	return value;
}

#define CHOSEN(_call) (task_chosen() ? (_call) : 0)

/* On the classic tracepoint. */
#define TRACED(_name, _event, _call)  \
	SEC("?tp/kvm/" #_event)       \
	int _name(void *ctx)          \
	{                             \
		if (task_chosen())    \
			_call;        \
		return LEAVE_TO_PERF; \
	}

TRACED(enter_tracepoint, kvm_nested_vmenter, on_enter())
TRACED(enter_tracepoint_old, kvm_nested_vmrun, on_enter())
RAW_TP(enter_raw_tp, kvm_nested_vmenter, CHOSEN(on_enter()))
RAW_TP(enter_raw_tp_old, kvm_nested_vmrun, CHOSEN(on_enter()))
TP_BTF(enter_tp_btf, kvm_nested_vmenter, CHOSEN(on_enter()))

/* The arguments are those of kvm_exit: exit_args_old(). */
static __always_inline int exit_of(void *vcpu, u32 isa)
{
	return vcpu ? on_exit(exit_reason(vcpu, isa), isa) : 0;
}

static __always_inline int exit_raw(struct bpf_raw_tracepoint_args *ctx)
{
	if (exit_args_old(ctx->args[0]))
		return on_exit(ctx->args[0], untyped_arg(ctx, 2));
	return exit_of((void *)ctx->args[0], exit_isa(ctx->args[1]));
}

TRACED(exit_tracepoint, kvm_nested_vmexit,
       on_exit(field(ctx, exit_reason_at), field(ctx, exit_isa_at)))
RAW_TP(exit_raw_tp, kvm_nested_vmexit, CHOSEN(exit_raw(ctx)))
RAW_TP(exit_raw_tp_old, kvm_nested_vmexit, CHOSEN(on_exit(ctx->args[0], ctx->args[2])))
TP_BTF(exit_tp_btf, kvm_nested_vmexit,
       CHOSEN(exit_of((void *)untyped_arg(ctx, 0), exit_isa(ctx[1]))))

/* (u32 code, u64 info1, u64 info2, u32 int_info, u32 err, u32 isa); code is a u64 in 7.2. */
TRACED(inject_tracepoint, kvm_nested_vmexit_inject,
       on_inject(field(ctx, inject_code_at), field(ctx, inject_isa_at)))
RAW_TP(inject_raw_tp, kvm_nested_vmexit_inject, CHOSEN(on_inject(ctx->args[0], ctx->args[5])))
TP_BTF(inject_tp_btf, kvm_nested_vmexit_inject, CHOSEN(on_inject(ctx[0], ctx[5])))

char LICENSE[] SEC("license") = "Dual BSD/GPL";
