// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One program for what several monitors wait for, which finds out who has to know of it.
 *
 * kvm_exit and kvm_entry: of all that do something at each of them, if there are several. A hook
 * costs more than a call, and what each of them would find out is handed over (bpf/each.bpf.h).
 *
 * kvm_entry: of all monitors that wait for a vCPU's entry, but only after something
 * else. At nearly every entry nothing waits, and this says so in a few instructions. Else
 * it calls the monitors' programs, each of which calls the next (bpf/entry.bpf.h).
 *
 * kvm_fpu, at the begin of KVM_RUN: of all that have to know each vCPU once, before its
 * events. That there is a vCPU, whose it is, and that it is no new one at an old address
 * is found out here for all of them (bpf/run.bpf.h).
 *
 * Kernel: vmx_vcpu_run() in arch/x86/kvm/vmx/vmx.c, svm_vcpu_run() in
 * arch/x86/kvm/svm/svm.c; vcpu_enter_guest() in arch/x86/kvm/x86.c on 5.10.
 */
#include "each.bpf.h"
#include "run.bpf.h"
#include "vcpus.bpf.h"

/*
 * A variable, which costs less than a map, and the only one: to the monitors this is their map
 * waited_vcpus, and the compiler would choose the order of several.
 */
struct {
	struct waited_vcpus waited;
	/* The places of the programs that there are, a bit or a byte each; user space's. */
	volatile __u64 called, raw_called, classic_called;
} shared;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_AT_ENTRY);
	__type(key, u32);
	__type(value, u32);
} entry_programs SEC(".maps");

/* To the monitors either of them is their run_programs: programs in one map are of one kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_AT_RUN);
	__type(key, u32);
	__type(value, u32);
} raw_run_programs SEC(".maps"), classic_run_programs SEC(".maps");

/* Who waits for this entry is called, and does not return. */
static __always_inline int call_waiting(void *ctx, u64 vcpu)
{
	/* Read once: another vCPU may displace it at any time. */
	volatile u64 *word = &shared.waited.vcpus[slot_cache__index(vcpu)];
	u64 waits = *word;

	if (waits == vcpu)
		return 0;
	/* Not of this vCPU: each of them may wait. Each takes itself out. */
	if ((waits ^ vcpu) > ALL_AT_ENTRY)
		*word = waits = vcpu | shared.called;
#pragma unroll
	for (int i = 0; i < MAX_AT_ENTRY; i++)
		if (waits & 1 << i)
			bpf_tail_call(ctx, &entry_programs, i);
	return 0;
}

SEC("?raw_tp/kvm_entry")
int vcpu_entry(struct bpf_raw_tracepoint_args *ctx)
{
	return call_waiting(ctx, ctx->args[0]);
}

/* Places for functions of monitors: these do nothing. */
#define EXIT_PLACE(_name)                                                           \
	__attribute__((noinline)) int _name(u64 vcpu, u64 isa, u64 reason, u64 now) \
	{                                                                           \
		asm volatile("" ::"r"(vcpu), "r"(isa), "r"(reason), "r"(now));      \
		return 0;                                                           \
	}
#define ENTRY_PLACE(_name)                                     \
	__attribute__((noinline)) int _name(u64 vcpu, u64 now) \
	{                                                      \
		asm volatile("" ::"r"(vcpu), "r"(now));        \
		return 0;                                      \
	}

EXIT_PLACE(each_exit_1)
EXIT_PLACE(each_exit_2)
EXIT_PLACE(each_exit_3)
ENTRY_PLACE(each_entry_1)
ENTRY_PLACE(each_entry_2)
ENTRY_PLACE(each_entry_3)

/* How many of these there are, of exits two at least; user space writes it before loading. */
const volatile __u32 at_each_exit, at_each_entry;

/* Some monitors wait for entries. */
const volatile __u32 some_wait;

/* At an entry the time is read first: what takes time here is not the exit's. */
SEC("?raw_tp/kvm_entry")
int vcpu_each_entry(struct bpf_raw_tracepoint_args *ctx)
{
	u64 vcpu = ctx->args[0], now;

	if (!task_chosen())
		return 0;
	now = bpf_ktime_get_ns();
	if (at_each_entry > 2)
		each_entry_3(vcpu, now);
	if (at_each_entry > 1)
		each_entry_2(vcpu, now);
	each_entry_1(vcpu, now);
	return some_wait ? call_waiting(ctx, vcpu) : 0;
}

/* Backwards: the first one that was chosen is the last to be called, when little is left. */
SEC("?raw_tp/kvm_exit")
int vcpu_each_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 vcpu = ctx->args[0], isa = ctx->args[1], reason = REASON_NOT_TOLD, now;

	if (!task_chosen())
		return 0;
	if (exit_args_old(vcpu)) {
		reason = vcpu;
		vcpu = isa;
		/* Not read as an argument: kernels that have two would refuse the program. */
		isa = untyped_arg(ctx, 2);
	}
	now = bpf_ktime_get_ns();
	if (at_each_exit > 2)
		each_exit_3(vcpu, isa, reason, now);
	each_exit_2(vcpu, isa, reason, now);
	each_exit_1(vcpu, isa, reason, now);
	return 0;
}

/* Somebody has asked when this vCPU's next KVM_RUN begins. */
#define ASKED_TIME (1ULL << TOLD_TIME * BITS_AT_RUN)

/* KVM_RUN begins in the current thread: whom of these there is something to tell. */
static __always_inline u64 whom_to_tell(u64 all)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	u32 tid = (u32)bpf_get_current_pid_tgid(), slot;
	struct vcpu_info *info;
	u64 whom;

	if (!vcpu || !task_chosen())
		return 0;
	slot = vcpus__slot(vcpu);
	info = bpf_map_lookup_elem(&vcpus, &slot);
	/* For one that finds no slot each of them counts its own loss. */
	if (!slot || !info) {
		vcpus__unbind(tid);
		return all;
	}
	vcpus__bind(tid, slot);
	whom = (all | ASKED_TIME) & ~*(volatile u64 *)info->told;
	if (whom & ASKED_TIME) {
		info->run_ns = bpf_ktime_get_ns();
		info->told[TOLD_TIME] = 1;
		whom &= ~ASKED_TIME;
	}
	if (whom)
		info->to_tell = whom;
	return whom;
}

/* Each calls the next (bpf/told.bpf.h). */
#define TELL(_ctx, _programs, _whom)                                            \
	do {                                                                    \
		_Pragma("unroll") for (int i = 0; i < MAX_AT_RUN;               \
				       i++) if ((_whom) >> i * BITS_AT_RUN & 1) \
			bpf_tail_call(_ctx, &(_programs), i);                   \
	} while (0)

SEC("raw_tp/kvm_fpu")
int vcpu_run_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u64 whom = ctx->args[0] ? whom_to_tell(shared.raw_called) : 0;

	if (whom)
		TELL(ctx, raw_run_programs, whom);
	return 0;
}

SEC("tp/kvm/kvm_fpu")
int vcpu_run_classic(void *ctx)
{
	struct kvm_fpu_fields args = {};
	u64 whom;

	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	whom = args.load ? whom_to_tell(shared.classic_called) : 0;
	if (whom)
		TELL(ctx, classic_run_programs, whom);
	return LEAVE_TO_PERF;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
