// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -w: vCPU wake-ups.
 *
 * Halt: from the beginning of kvm_vcpu_halt() (kvm_vcpu_block() on 5.10) in
 * virt/kvm/kvm_main.c to its end, polling included, as kvm_vcpu_wakeup tells. Its
 * length comes with that; the hook at its beginning is for halts that last.
 * Wake-up latency: from sched_waking of the vCPU's sleeping thread
 * (try_to_wake_up() in kernel/sched/core.c), or from kvm_vcpu_wakeup when
 * polling caught the wake-up, to the next kvm_entry of the vCPU.
 */
#include "../bpf/entry.bpf.h"
#include "../bpf/events.bpf.h"
#include "../bpf/hooks.bpf.h"
#include "../bpf/stat.bpf.h"
#include "../bpf/window.bpf.h"
#include "vcpu_wakeup.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wakeup_record);
} wakeup_records SEC(".maps");

static __always_inline struct wakeup_record *wakeup_record(u32 slot)
{
	return slot ? bpf_map_lookup_elem(&wakeup_records, &slot) : NULL;
}

/* A task that holds a vCPU is about to become runnable. */
static __noinline int on_waking(struct task_struct *task)
{
	struct kvm_vcpu *vcpu = task_vcpu(task);
	struct wakeup_record *record;

	if (!vcpu)
		return 0;
	record = wakeup_record(vcpus__slot_of(vcpu, task));
	if (record)
		record->waking_ns = bpf_ktime_get_ns();
	return 0;
}

/* The vCPU, which the current thread has loaded, halts. */
static __noinline int on_halt(struct kvm_vcpu *vcpu)
{
	struct wakeup_record *record = vcpu ? wakeup_record(vcpus__slot(vcpu)) : NULL;

	if (!record)
		return 0;
	record->in_use = 1;
	record->halt_since = bpf_ktime_get_ns();
	return 0;
}

static __noinline int emit(u32 slot, u64 halt_ns, u64 wake_ns, u32 flags)
{
	struct wakeup_event *event = event__reserve(sizeof(*event));

	if (!event)
		return 0;
	event__head(&event->head, slot);
	event->halt_ns = halt_ns;
	event->wake_ns = wake_ns;
	event->flags = flags;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* The current vCPU's halt of halt_ns has ended. */
static __noinline int on_wakeup(u64 halt_ns, bool waited, bool valid)
{
	u64 now = bpf_ktime_get_ns();
	struct wakeup_record *record;
	struct kvm_vcpu *vcpu = loaded_vcpu();
	u32 slot = vcpu ? vcpus__slot(vcpu) : 0;
	u32 flags = (waited ? WAKEUP_WAITED : 0) | (valid ? WAKEUP_VALID : 0);

	record = wakeup_record(slot);
	if (!record)
		return 0;
	record->in_use = 1;
	/* First: a halt that user space sees as open is in no counter. */
	record->halt_since = 0;
	barrier();
	/* No index: the verifier does not know what is left of one that is kept on the stack. */
	if (waited)
		record->counts[HALT_WAITED]++;
	else
		record->counts[HALT_POLLED]++;
	record->invalid += !valid;
	stat__add(&record->halt, window__part(now - halt_ns, now));
	/* A thread that slept was woken last by what ended the halt. */
	record->woken_ns = waited ? record->waking_ns : now;
	record->waking_ns = 0;
	entry__expect(vcpu);
	if (!slower_than_ns)
		return emit(slot, halt_ns, ~0ULL, flags);
	/* How long the wake-up takes is known at the entry. */
	record->halt_ns = halt_ns;
	record->flags = flags;
	return 0;
}

/* The vCPU enters the guest. */
static __noinline int end_wakeup(struct kvm_vcpu *vcpu)
{
	u32 slot = vcpus__slot(vcpu);
	struct wakeup_record *record = wakeup_record(slot);
	u64 since = record ? record->woken_ns : 0, ns;

	if (!since)
		return 0;
	ns = bpf_ktime_get_ns() - since;
	record->woken_ns = 0;
	stat__add(&record->wake, ns);
	return slower_than_ns && ns > slower_than_ns ?
		       emit(slot, record->halt_ns, ns, record->flags) :
		       0;
}

/* kvm_vcpu_wakeup(u64 ns, bool waited, bool valid) */
RAW_TP(wakeup_raw_tp, kvm_vcpu_wakeup, on_wakeup(ctx->args[0], ctx->args[1] & 1, ctx->args[2] & 1))
TP_BTF(wakeup_tp_btf, kvm_vcpu_wakeup, on_wakeup(ctx[0], ctx[1] & 1, ctx[2] & 1))

SEC("?tp/kvm/kvm_vcpu_wakeup")
int wakeup_tracepoint(void *ctx)
{
	struct {
		u64 ns;
		u8 waited;
		u8 valid;
	} args = {};

	/* The same record on all kernels, after the common fields. */
	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_wakeup(args.ns, args.waited & 1, args.valid & 1);
	return LEAVE_TO_PERF;
}

/*
 * kvm_vcpu_halt(vcpu) since 5.17; before that kvm_vcpu_block(vcpu), which now is a
 * part of it (and kvm_vcpu_halt() was another function, of x86's alone).
 */
FENTRY(halt_fentry, kvm_vcpu_halt, on_halt((void *)untyped_arg(ctx, 0)))
KPROBE(halt_kprobe, kvm_vcpu_halt, on_halt((void *)ctx->di))
FENTRY(halt_fentry_old, kvm_vcpu_block, on_halt((void *)untyped_arg(ctx, 0)))
KPROBE(halt_kprobe_old, kvm_vcpu_block, on_halt((void *)ctx->di))

/* sched_waking(struct task_struct *p) */
RAW_TP(waking_raw_tp, sched_waking, on_waking((void *)ctx->args[0]))
/* Most tasks hold none: with their type that takes one look. */
SEC("?tp_btf/sched_waking")
int waking_tp_btf(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct hlist_node *node = task->preempt_notifiers.first;

	FORGET_TYPE(node);
	FORGET_TYPE(task);
	return node ? on_waking(task) : 0;
}

/* kvm_entry(vcpu, ...), in vmx_vcpu_run() and svm_vcpu_run(); before them on 5.10. */
SEC("?raw_tp/kvm_entry")
int entry_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	void *vcpu = (void *)ctx->args[0];

	end_wakeup(vcpu);
	entry__call_next(ctx, vcpu);
	return 0;
}

TP_BTF(entry_tp_btf, kvm_entry, end_wakeup((void *)untyped_arg(ctx, 0)))

SEC("?tp/kvm/kvm_entry")
int entry_tracepoint(void *ctx)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (vcpu)
		end_wakeup(vcpu);
	return LEAVE_TO_PERF;
}

/* A vCPU that is halted already. */
static __noinline int begin_as_it_is(u32 slot, struct kvm_vcpu *vcpu)
{
	struct wakeup_record *record = wakeup_record(slot);

	if (!record || record->halt_since)
		return 0;
	record->halt_since = bpf_ktime_get_ns();
	/* Its end may have been just before. */
	if (!vcpu_halted(vcpu))
		record->halt_since = 0;
	record->in_use = 1;
	return 0;
}

/* The slot of a vCPU that the task has loaded. */
static __always_inline u32 slot_of(struct kvm_vcpu *vcpu, struct task_struct *task)
{
	u32 slot = vcpus__cached_slot(vcpu);
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);

	if (slot && info && info->thread == (u64)task && info->state == VCPU_RUNS)
		return slot;
	return vcpus__slot_of(vcpu, task);
}

/*
 * Of all threads of the host at each look, where nothing else tells of halts (vcpu_wakeup.c). What
 * has not been touched since the last look is far from the CPU, so that what counts is how many
 * lines of memory are read: of a thread that has no vCPU loaded one of its own. A vCPU that is
 * halted is loaded by the thread that waits.
 */
SEC("?iter/task")
int halted(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct hlist_node *node;
	struct kvm_vcpu *vcpu;

	if (!task)
		return 0;
	node = task->preempt_notifiers.first;
	FORGET_TYPE(node);
	FORGET_TYPE(task);
	vcpu = notified_vcpu(node);
	if (vcpu && vcpu_halted(vcpu))
		begin_as_it_is(slot_of(vcpu, task), vcpu);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
