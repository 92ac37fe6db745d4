/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * -e --slower-than: single exits that took long. A part of vm_exit.bpf.c.
 *
 * Whoever ends an exit compares its time, in programs of their own: those that run without the
 * option are as they were. What the time went to is kept where it is not spent in the guest's way:
 * at the begin and the end of a stay in user space, and when the thread leaves a CPU and returns.
 */
#ifndef KVM_WATCHER_VM_EXIT_SLOW_BPF_H
#define KVM_WATCHER_VM_EXIT_SLOW_BPF_H

#include "../bpf/events.bpf.h"
#include "../bpf/hooks.bpf.h"

/* HLT and MWAIT, which last as long as the guest has nothing to do. */
enum { VMX_HLT = 12, VMX_MWAIT = 36, SVM_HLT = 0x78, SVM_MWAIT = 0x8b, SVM_MWAIT_ARMED = 0x8c };

/* By slot: where the time of the exit that is not over has gone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct slow_state);
} slow_states SEC(".maps");

static __always_inline bool is_slow(u64 ns)
{
	return slower_than_ns && ns > slower_than_ns;
}

/* Of the exit of state that is not over; NULL: there is none. */
static __noinline struct slow_state *slow_state(struct exit_state *state)
{
	struct slow_state *slow;
	u32 slot;

	if (!state)
		return NULL;
	slot = state->slot;
	slow = bpf_map_lookup_elem(&slow_states, &slot);
	if (slow && slow->exit_ns != state->exit_ns) {
		__builtin_memset(slow, 0, sizeof(*slow));
		slow->exit_ns = state->exit_ns;
	}
	return slow;
}

/* User space had it for so long. */
static __noinline int slow_in_vmm(struct exit_state *state, u64 ns)
{
	struct slow_state *slow = slow_state(state);

	if (slow)
		slow->vmm_ns += ns;
	return 0;
}

static __always_inline bool waits_for_work(const struct exit_key *key)
{
	u32 isa = key->kind & ~EXIT_OF_L2;

	return isa == ISA_VMX ? key->code == VMX_HLT || key->code == VMX_MWAIT :
				isa == ISA_SVM && (key->code == SVM_HLT || key->code == SVM_MWAIT ||
						   key->code == SVM_MWAIT_ARMED);
}

/* An exit of vcpu has ended; it took ns. */
static __noinline int slow_exit(struct exit_state *state, struct kvm_vcpu *vcpu, u64 ns)
{
	struct exit_record *record;
	struct slow_event *event;
	struct slow_state *slow;

	if (!state || !vcpu)
		return 0;
	record = bpf_map_lookup_elem(&exit_records, &state->record);
	slow = slow_state(state);
	if (!record || !record->in_use || !slow || waits_for_work(&record->key))
		return 0;
	event = event__reserve(sizeof(*event));
	if (!event)
		return 0;
	event__head(&event->head, state->slot);
	event->key = record->key;
	event->type = record->detail.type;
	event->value = record->detail.value;
	event->ns = ns;
	event->vmm_ns = slow->vmm_ns;
	event->off_ns = slow->off_ns;
	event->by = slow->by;
	__builtin_memcpy(event->by_comm, slow->by_comm, sizeof(event->by_comm));
	event->rip = vcpu_cached_rip(vcpu);
	event->cpu = bpf_get_smp_processor_id();
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* The thread of a vCPU that is not in the guest. */
static __always_inline struct slow_state *slow_thread(u32 tid)
{
	u32 slot = vcpus__thread_slot(tid);
	struct exit_state *state;

	if (!slot)
		return NULL;
	state = state_of(slot);
	return state->vcpu & EXITED ? slow_state(state) : NULL;
}

static __noinline int slow_leaves_cpu(bool preempted, struct task_struct *next)
{
	struct task_struct *prev = (void *)bpf_get_current_task();
	struct slow_state *slow = slow_thread((u32)bpf_get_current_pid_tgid());

	if (!slow)
		return 0;
	slow->off_since = bpf_ktime_get_ns();
	/* Who sleeps leaves the CPU to whoever wants it. */
	slow->next = preempted || !task_state(prev) ? BPF_CORE_READ(next, tgid) : 0;
	if (slow->next)
		BPF_CORE_READ_STR_INTO(&slow->next_comm, next, comm);
	return 0;
}

static __noinline int slow_gets_cpu(struct task_struct *next)
{
	struct slow_state *slow = slow_thread(BPF_CORE_READ(next, pid));
	u64 ns;

	if (!slow || !slow->off_since)
		return 0;
	ns = bpf_ktime_get_ns() - slow->off_since;
	slow->off_since = 0;
	slow->off_ns += ns;
	if (ns < slow->longest_ns)
		return 0;
	slow->longest_ns = ns;
	slow->by = slow->next;
	__builtin_memcpy(slow->by_comm, slow->next_comm, sizeof(slow->by_comm));
	return 0;
}

static __always_inline int slow_switch(bool preempted, struct task_struct *next)
{
	slow_leaves_cpu(preempted, next);
	return slow_gets_cpu(next);
}

/* sched_switch(bool preempt, prev, next, ...) of __schedule(): of all tasks of the host. */
RAW_TP(slow_switch_raw_tp, sched_switch, slow_switch(ctx->args[0] & 1, (void *)ctx->args[2]))
TP_BTF(slow_switch_tp_btf, sched_switch, slow_switch(ctx[0] & 1, (void *)untyped_arg(ctx, 2)))

#endif
