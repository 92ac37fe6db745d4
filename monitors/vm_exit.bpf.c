// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -e: VM exits, to KVM and to user space.
 *
 * KVM exit:  from kvm_exit to the next kvm_entry of the same vCPU.
 * User exit: from kvm_userspace_exit until the vCPU is in KVM_RUN again.
 *
 * Each of the four moments (exit, entry, leave, run) has alternatives, one
 * thin program per kind of hook around the same function; core/hooks.c picks.
 * Kernel: vmx_vcpu_run() in arch/x86/kvm/vmx/vmx.c, svm_vcpu_run() and
 * svm_handle_exit() in arch/x86/kvm/svm/svm.c, kvm_vcpu_ioctl() in
 * virt/kvm/kvm_main.c, kvm_arch_vcpu_ioctl_run() in arch/x86/kvm/x86.c.
 */
#include "../bpf/each.bpf.h"
#include "../bpf/run.bpf.h"
#include "../bpf/stat.bpf.h"
#include "../bpf/vcpus.bpf.h"
#include "vm_exit.h"

#define EINTR 4
#define KVM_EXIT_INTR 10

TABLE(exit_records, struct exit_record, exit_index, struct exit_key, free_records);
SHARES(exit_shares);

/* By slot; user space clears those of ended vCPUs. */
struct exit_state exit_states[MAX_VCPU_SLOTS] __attribute__((aligned(sizeof(struct exit_state))));

/* As slot_cache, but of places in exit_states, in bytes; a variable costs less than a map. */
static u32 exit_places[1 << SLOT_CACHE_BITS];

/* --l2: exits of guests of guests are apart. */
const volatile bool l2;

/* Where the classic events' records have them; read from tracefs before loading. */
const volatile __u32 exit_reason_at, exit_isa_at, xen_nr_at;

static __always_inline struct exit_state *state_at(u64 place)
{
	_Static_assert(!(sizeof(struct exit_state) & (sizeof(struct exit_state) - 1)), "masked");
	return opaque_pointer((void *)exit_states +
			      (opaque(place) & (sizeof(exit_states) - sizeof(struct exit_state))));
}

static __always_inline struct exit_state *state_of(u64 slot)
{
	return state_at(slot * sizeof(struct exit_state));
}

/* No two of the usual reasons of a vendor share a place: the factor was looked for. */
static __always_inline u32 cache__index(u32 code)
{
	return code * 0x23c4cdbbU >> (32 - EXIT_CACHE_BITS);
}

/* The vCPU whose state it is. */
static __always_inline struct kvm_vcpu *vcpu_of(const struct exit_state *state)
{
	return (void *)(state->vcpu & ~(u64)(EXITED | PENDING));
}

/* The state of vcpu is that of slot from now on. */
static __always_inline struct exit_state *take_state(struct kvm_vcpu *vcpu, u32 slot)
{
	struct exit_state *state = state_of(slot);

	exit_places[slot_cache__index((u64)vcpu)] = slot * sizeof(*state);
	if (vcpu_of(state) != vcpu) {
		/* Else all zero would be an entry for code 0. */
		state->cache[cache__index(0)] = ~0U;
		state->slot = slot;
		state->vcpu = (u64)vcpu;
	}
	return state;
}

/* The state of {vCPU, current thread}, after the cache did not know it; NULL: none. */
static __noinline struct exit_state *claim_state(struct kvm_vcpu *vcpu, bool create)
{
	u32 slot = vcpus__find_slot(vcpu, create);

	return slot ? take_state(vcpu, slot) : NULL;
}

/* Where the cache says that vcpu's state is: right when it is of vcpu. */
static __always_inline struct exit_state *cached_state(void *vcpu)
{
	return state_at(exit_places[slot_cache__index((u64)vcpu)]);
}

/* The record of key, made now if it is new. 0 when there is none left. */
static __noinline u32 find_record(struct exit_key *key)
{
	u32 index = table__find(&exit_index, key), tgid;

	if (index)
		return index;
	tgid = vcpus__tgid(key->slot);
	if (share__is_used_up(&exit_shares, tgid)) {
		key->code = EXIT_OTHER;
		index = table__find(&exit_index, key);
	}
	return index ?:
		       TABLE_ADD(tgid, exit_shares, exit_records, struct exit_record, exit_index,
				 free_records, key, LOST_RECORDS_FULL);
}

/* The record of code: the slow way, and for the cache. */
static __noinline u32 cache_record(struct exit_state *state, u32 isa, u32 code)
{
	struct exit_key key = { .slot = state->slot, .kind = isa, .code = code };
	u32 record;

	if (l2 && isa & EXIT_OF_L2)
		key.code ^= EXIT_CODE_L2;
	record = find_record(&key);
	if (record && !(code >> (32 - EXIT_RECORD_BITS)))
		state->cache[cache__index(code)] = code << EXIT_RECORD_BITS | record;
	state->seen_exit = 1;
	return record;
}

/* The exit before this one was not followed by an entry: it counts, and has no time. */
static __noinline int end_untimed(struct exit_state *state)
{
	struct exit_record *record = bpf_map_lookup_elem(&exit_records, &state->record);

	lose_at_once(LOST_EXITS_UNTIMED);
	if (record)
		record->untimed++;
	return 0;
}

/* No record's index when the cache does not have it. */
static __always_inline u64 cached_record(struct exit_state *state, u32 code)
{
	u64 place = cache__index(code) * sizeof(*state->cache);

	ADD(place, state);
	return ((struct exit_state *)place)->cache[0] ^ (u64)code << EXIT_RECORD_BITS;
}

/* The time is read late, and at an entry first: what these programs take is not the exit's. */
static __always_inline int begin_exit(struct exit_state *state, void *vcpu, u32 record)
{
	state->record = record;
	state->exit_ns = bpf_ktime_get_ns();
	/* In this order: who sees that there is an exit sees its record and its begin. */
	barrier();
	state->vcpu = (u64)vcpu | EXITED;
	return 0;
}

#include "vm_exit_detail.bpf.h"
#include "vm_exit_slow.bpf.h"

/* The exit before this one had no entry, or a detail of this one is known already. */
static __noinline int unusual_exit(struct exit_state *state, void *vcpu, u32 code, u32 isa)
{
	bool pending = state->vcpu & PENDING;
	u64 record;

	if (state->vcpu & EXITED)
		end_untimed(state);
	record = cached_record(state, code);
	if (record >> EXIT_RECORD_BITS)
		record = cache_record(state, isa, code);
	begin_exit(state, vcpu, record);
	return pending ? take_pending(state) : 0;
}

/* A vCPU left the guest for code. */
static __noinline int on_exit(void *vcpu, u32 code, u32 isa)
{
	struct exit_state *state = cached_state(vcpu);
	u64 record;

	if (vcpu_of(state) != vcpu) {
		state = claim_state(vcpu, true);
		if (!state)
			return 0;
	}
	if (state->vcpu & (EXITED | PENDING))
		return unusual_exit(state, vcpu, code, isa);
	record = cached_record(state, code);
	if (record >> EXIT_RECORD_BITS)
		record = cache_record(state, isa, code);
	return begin_exit(state, vcpu, record);
}

/* The same where it may be asked whose exit it was: it has a place of its own in the cache. */
static __always_inline int on_exit_asking(void *vcpu, u32 code, u32 isa)
{
	if (l2 && vcpu_in_l2(vcpu)) {
		code ^= EXIT_CODE_L2;
		isa |= EXIT_OF_L2;
	}
	return on_exit(vcpu, code, isa);
}

static __always_inline int end_exit(struct exit_state *state, void *vcpu, u64 now, bool ask_slow)
{
	struct exit_record *record;
	u64 ns;

	state->vcpu = (u64)vcpu;
	COPY(ns, now - state->exit_ns);
	record = bpf_map_lookup_elem(&exit_records, &state->record);
	if (record)
		stat__add(&record->stat, ns);
	return ask_slow && is_slow(ns) ? slow_exit(state, vcpu, ns) : 0;
}

/* An entry of a vCPU that the cache does not know, or of one that has left for nothing. */
static __noinline int unusual_entry(struct kvm_vcpu *vcpu, u64 now)
{
	struct exit_state *state = claim_state(vcpu, false);

	if (!state)
		return 0;
	if (state->vcpu & EXITED)
		return end_exit(state, vcpu, now, true);
	state->vcpu = (u64)vcpu;
	if (state->seen_exit)
		lose_at_once(LOST_EXITS_UNTRACED);
	return 0;
}

/* The vCPU goes back into the guest. */
static __always_inline int on_entry_asking(void *vcpu, u64 now, bool ask_slow)
{
	struct exit_state *state = cached_state(opaque_pointer(vcpu));

	if (opaque(state->vcpu ^ (u64)vcpu) != EXITED)
		return unusual_entry(vcpu, now);
	return end_exit(state, vcpu, now, ask_slow);
}

static __always_inline int on_entry(void *vcpu)
{
	return on_entry_asking(vcpu, bpf_ktime_get_ns(), false);
}

/* The same, which tells of slow ones where they are asked for. */
static __always_inline int on_entry_any(void *vcpu)
{
	return on_entry_asking(vcpu, bpf_ktime_get_ns(), true);
}

/* In this order: an exit that user space sees as open is not in its record. */
static __always_inline void end_user_exit(struct exit_state *state, u64 now)
{
	struct exit_record *record = bpf_map_lookup_elem(&exit_records, &state->left_record);
	u64 begin = state->left_ns;

	state->left_ns = 0;
	barrier();
	if (record)
		stat__add(&record->stat, now > begin ? now - begin : 0);
	if (slower_than_ns)
		slow_in_vmm(state, now > begin ? now - begin : 0);
}

/* A vCPU found no slot: what has been of another one at its address is not its. */
static __noinline int forget_old(struct kvm_vcpu *vcpu)
{
	exit_places[slot_cache__index((u64)vcpu)] = 0;
	vcpus__unbind((u32)bpf_get_current_pid_tgid());
	return 0;
}

/* KVM_RUN begins: which vCPU this thread runs, and the end of a user-space exit. */
static __noinline int on_run(struct kvm_vcpu *vcpu, bool certain)
{
	u64 now = bpf_ktime_get_ns();
	struct exit_state *state;
	u32 slot;

	if (!vcpu || !task_chosen())
		return 0;
	slot = vcpus__slot(vcpu);
	if (!slot)
		return forget_old(vcpu);
	state = take_state(vcpu, slot);
	vcpus__bind((u32)bpf_get_current_pid_tgid(), slot);
	state->run_ns = now;
	if (state->left_ns && certain)
		end_user_exit(state, now);
	return 0;
}

/* KVM_RUN ends, the vCPU still is loaded: only news when it began before we did. */
static __noinline int on_run_end(void)
{
	u32 tid = (u32)bpf_get_current_pid_tgid(), slot;

	if (!task_chosen() || vcpus__thread_slot(tid))
		return 0;
	slot = vcpus__current_slot();
	if (slot)
		vcpus__bind(tid, slot);
	/* Not always 0: the compiler would return nothing, and verifiers want a number. */
	return slot;
}

/* State of the vCPU that the current thread ran last, after vcpu_put(). */
static __always_inline struct exit_state *thread_state(u32 *slot)
{
	*slot = vcpus__thread_slot((u32)bpf_get_current_pid_tgid());
	if (*slot)
		return state_of(*slot);
	lose(LOST_THREAD_UNKNOWN);
	return NULL;
}

/* Those of PIO and MMIO, and interrupted ones, do not share a place. */
static __always_inline u32 left_cache__index(u32 code)
{
	return (code ^ code >> 2) & 3;
}

/* The record of exits to user space with code, which the state's cache does not have. */
static __noinline u32 user_record(struct exit_state *state, u32 slot, u32 code)
{
	struct exit_key key = { .slot = slot, .kind = EXIT_TO_USER, .code = code };
	u32 record = find_record(&key);

	if (!(code >> (32 - EXIT_RECORD_BITS)))
		state->left_cache[left_cache__index(code)] = code << EXIT_RECORD_BITS | record;
	return record;
}

/* KVM_RUN returns to user space with reason, or with a negative errno. */
static __always_inline int on_leave(struct exit_state *state, u32 slot, u32 reason, int error)
{
	u32 code = reason, record;
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);
	struct kvm_vcpu *vcpu = vcpu_of(state);

	/* What vcpus__stale() compares with: this may have been the vCPU's only KVM_RUN. */
	if (info && !info->exits)
		info->exits = BPF_CORE_READ(vcpu, stat.exits);
	if (details)
		leave_detail(state, slot, reason, error);
	if (state->left_ns)
		end_user_exit(state,
			      state->run_ns > state->left_ns ? state->run_ns : state->left_ns);
	if (error == -EINTR)
		code = KVM_EXIT_INTR;
	else if (error < 0)
		code = EXIT_ERRNO | -error;
	record = state->left_cache[left_cache__index(code)] ^ code << EXIT_RECORD_BITS;
	if (!record || record >> EXIT_RECORD_BITS || code >> (32 - EXIT_RECORD_BITS))
		record = user_record(state, slot, code);
	state->left_record = record;
	state->left_ns = bpf_ktime_get_ns();
	return 0;
}

static __noinline int leave_with(u32 reason, int error)
{
	struct exit_state *state;
	u32 slot = 0;

	if (!task_chosen())
		return 0;
	state = thread_state(&slot);
	return state ? on_leave(state, slot, reason, error) : 0;
}

/* At the end of kvm_arch_vcpu_ioctl_run(): the reason is in struct kvm_run. */
static __noinline int leave_returning(int error)
{
	struct exit_state *state;
	struct kvm_vcpu *vcpu;
	u32 slot = 0;

	if (!task_chosen())
		return 0;
	state = thread_state(&slot);
	if (!state)
		return 0;
	vcpu = vcpu_of(state);
	return on_leave(state, slot, BPF_CORE_READ(vcpu, run, exit_reason), error);
}

/* The arguments of kvm_exit until 5.15. */
static __noinline int exit_old(struct bpf_raw_tracepoint_args *ctx)
{
	/* The third is not read as an argument: kernels that have two would refuse the program. */
	return on_exit((void *)ctx->args[1], ctx->args[0], untyped_arg(ctx, 2));
}

/* The same, where that reads the reason. */
static __noinline int exit_of(void *vcpu, u32 isa)
{
	return vcpu ? on_exit(vcpu, exit_reason(vcpu, isa), isa) : 0;
}

/* exit_of(), where it may be asked whose exit it was. */
static __noinline int exit_asking(void *vcpu, u32 isa)
{
	return vcpu ? on_exit_asking(vcpu, exit_reason(vcpu, isa), isa) : 0;
}

/* exit_of(), at once where there is nothing unusual: the reason needs to be kept for that only. */
static __always_inline int exit_at_once(void *vcpu, u32 code, u32 isa)
{
	struct exit_state *state = cached_state(vcpu);
	u64 record = cached_record(state, code);

	if (state->vcpu != (u64)vcpu || record >> EXIT_RECORD_BITS)
		return exit_of(vcpu, isa);
	return begin_exit(state, vcpu, record);
}

/* Of all VMs, without -p; not even the look at whether there is one is in it. */
static __always_inline int exit_of_any(struct bpf_raw_tracepoint_args *ctx)
{
	void *vcpu = (void *)ctx->args[0];
	u32 isa;

	if (exit_args_old((u64)vcpu))
		return exit_old(ctx);
	isa = exit_isa(ctx->args[1]);
	return exit_at_once(vcpu, exit_reason(vcpu, isa), isa);
}

/* Where reading the reason needs no helper; the verifier says whether it may. */
static __always_inline int exit_of_isa(struct bpf_raw_tracepoint_args *ctx, u32 isa)
{
	void *vcpu = (void *)ctx->args[0];

	return exit_at_once(vcpu, exit_reason_at_once(vcpu, isa, true), isa);
}

/* exit: vmx_vcpu_run() since the beginning; svm_handle_exit(), then svm_vcpu_run(). */
RAW_TP(exit_raw_tp, kvm_exit, exit_of_any(ctx))
RAW_TP(exit_raw_tp_chosen, kvm_exit, task_chosen() ? exit_of_any(ctx) : 0)
RAW_TP(exit_raw_tp_vmx, kvm_exit, exit_of_isa(ctx, ISA_VMX))
RAW_TP(exit_raw_tp_vmx_chosen, kvm_exit, task_chosen() ? exit_of_isa(ctx, ISA_VMX) : 0)
RAW_TP(exit_raw_tp_svm, kvm_exit, exit_of_isa(ctx, ISA_SVM))
RAW_TP(exit_raw_tp_svm_chosen, kvm_exit, task_chosen() ? exit_of_isa(ctx, ISA_SVM) : 0)

/* The time at which all were called is not of use here: they take some. */
static __always_inline int each_exit(void *vcpu, u32 isa, u64 reason)
{
	if (reason != REASON_NOT_TOLD)
		return on_exit(vcpu, reason, isa);
	isa = exit_isa(isa);
	return exit_at_once(vcpu, exit_reason_at_once(vcpu, isa, casts), isa);
}

EACH_EXIT(exit_each, each_exit((void *)vcpu, isa, reason))

/* Without the vendor's BTF: attaches where the event has three arguments, with the reason. */
RAW_TP(exit_raw_tp_old, kvm_exit,
       task_chosen() ? on_exit((void *)ctx->args[1], ctx->args[0], ctx->args[2]) : 0)

/* With --l2: the two of them that fit any vendor and any -p. */
static __always_inline int exit_l2(struct bpf_raw_tracepoint_args *ctx)
{
	if (exit_args_old(ctx->args[0]))
		return on_exit_asking((void *)ctx->args[1], ctx->args[0], untyped_arg(ctx, 2));
	return exit_asking((void *)ctx->args[0], exit_isa(ctx->args[1]));
}

RAW_TP(exit_raw_tp_l2, kvm_exit, task_chosen() ? exit_l2(ctx) : 0)
RAW_TP(exit_raw_tp_l2_old, kvm_exit,
       task_chosen() ? on_exit_asking((void *)ctx->args[1], ctx->args[0], ctx->args[2]) : 0)

/* A kernel that has BTF for this event has the new arguments. */
TP_BTF(exit_tp_btf, kvm_exit,
       task_chosen() ? exit_asking((void *)untyped_arg(ctx, 0), exit_isa(ctx[1])) : 0)

SEC("?tp/kvm/kvm_exit")
int exit_tracepoint(void *ctx)
{
	u32 reason = 0, isa = 0;
	struct kvm_vcpu *vcpu;

	if (!task_chosen())
		return LEAVE_TO_PERF;
	vcpu = loaded_vcpu();
	if (!vcpu)
		return LEAVE_TO_PERF;
	bpf_probe_read_kernel(&reason, sizeof(reason), ctx + exit_reason_at);
	bpf_probe_read_kernel(&isa, sizeof(isa), ctx + exit_isa_at);
	on_exit_asking(vcpu, reason, isa);
	return LEAVE_TO_PERF;
}

FEXIT(exit_fexit_vmx, vmx_vcpu_run,
      task_chosen() ? exit_asking((void *)untyped_arg(ctx, 0), ISA_VMX) : 0)
FEXIT(exit_fexit_svm, svm_vcpu_run,
      task_chosen() ? exit_asking((void *)untyped_arg(ctx, 0), ISA_SVM) : 0)
KRETPROBE(exit_kretprobe_vmx, vmx_vcpu_run, task_chosen() ? exit_asking(loaded_vcpu(), ISA_VMX) : 0)
KRETPROBE(exit_kretprobe_svm, svm_vcpu_run, task_chosen() ? exit_asking(loaded_vcpu(), ISA_SVM) : 0)

/* entry: kvm_entry(vcpu, ...), in vmx_vcpu_run() and svm_vcpu_run(); before them on 5.10. */
RAW_TP(entry_raw_tp, kvm_entry, on_entry((void *)ctx->args[0]))
RAW_TP(entry_raw_tp_chosen, kvm_entry, task_chosen() ? on_entry((void *)ctx->args[0]) : 0)
RAW_TP(entry_raw_tp_slow, kvm_entry, task_chosen() ? on_entry_any((void *)ctx->args[0]) : 0)
EACH_ENTRY(entry_each, on_entry_asking((void *)vcpu, now, false))
TP_BTF(entry_tp_btf, kvm_entry, task_chosen() ? on_entry_any((void *)untyped_arg(ctx, 0)) : 0)

SEC("?tp/kvm/kvm_entry")
int entry_tracepoint(void *ctx)
{
	struct kvm_vcpu *vcpu;

	if (!task_chosen())
		return LEAVE_TO_PERF;
	vcpu = loaded_vcpu();
	if (vcpu)
		on_entry_any(vcpu);
	return LEAVE_TO_PERF;
}

FENTRY(entry_fentry_vmx, vmx_vcpu_run,
       task_chosen() ? on_entry_any((void *)untyped_arg(ctx, 0)) : 0)
FENTRY(entry_fentry_svm, svm_vcpu_run,
       task_chosen() ? on_entry_any((void *)untyped_arg(ctx, 0)) : 0)
KPROBE(entry_kprobe_vmx, vmx_vcpu_run, task_chosen() ? on_entry_any((void *)ctx->di) : 0)
KPROBE(entry_kprobe_svm, svm_vcpu_run, task_chosen() ? on_entry_any((void *)ctx->di) : 0)

/* run: kvm_fpu(load) from kvm_load_guest_fpu() and kvm_put_guest_fpu(), the vCPU loaded. */
static __always_inline int run_from_fpu(int load)
{
	struct kvm_vcpu *vcpu;

	if (!load)
		return on_run_end();
	vcpu = loaded_vcpu();
	return vcpu ? on_run(vcpu, enters_run(vcpu)) : 0;
}

RUN_PROGRAMS(run, run_from_fpu)

FENTRY(run_fentry, kvm_arch_vcpu_ioctl_run, on_run((void *)untyped_arg(ctx, 0), true))
KPROBE(run_kprobe, kvm_arch_vcpu_ioctl_run, on_run((void *)ctx->di, true))

/* leave: kvm_userspace_exit(u32 reason, int errno) in kvm_vcpu_ioctl(). */
RAW_TP(leave_raw_tp, kvm_userspace_exit, leave_with(ctx->args[0], ctx->args[1]))
TP_BTF(leave_tp_btf, kvm_userspace_exit, leave_with(ctx[0], ctx[1]))

SEC("?tp/kvm/kvm_userspace_exit")
int leave_tracepoint(void *ctx)
{
	struct {
		u32 reason;
		int error;
	} args = {};

	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	leave_with(args.reason, args.error);
	return LEAVE_TO_PERF;
}

FEXIT(leave_fexit, kvm_arch_vcpu_ioctl_run, leave_returning(ctx[1]))

/*
 * No kretprobe: it has a few instances for all CPUs, a vCPU that halts in
 * KVM_RUN holds one, and what the others then miss is not told to anybody.
 */

char LICENSE[] SEC("license") = "Dual BSD/GPL";
