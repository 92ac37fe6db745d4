// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -n: halt-polling. Single changes of the polling window from kvm_halt_poll_ns
 * (grow_halt_poll_ns() and shrink_halt_poll_ns() in virt/kvm/kvm_main.c). What
 * polling did is taken from KVM's own counters of the vCPU, read at the end of
 * every halt: kvm_vcpu_wakeup, the last thing that kvm_vcpu_halt()
 * (kvm_vcpu_block() on 5.10) does, after it has updated them.
 *
 * Windows of PAUSE loops: kvm_ple_window_update. One grows when a loop has filled it
 * (grow_ple_window() from handle_pause() in arch/x86/kvm/vmx/vmx.c, pause_interception()
 * in svm/svm.c), and shrinks when the vCPU's thread gets a CPU (kvm_arch_sched_in()).
 *
 * The counters of a vCPU when it is first seen are its base: by the iterator
 * for one that is in KVM_RUN at the start, at kvm_fpu (KVM_RUN begins,
 * kvm_load_guest_fpu() in arch/x86/kvm/x86.c) for all others.
 */
#include "../bpf/events.bpf.h"
#include "../bpf/existing.bpf.h"
#include "../bpf/told.bpf.h"
#include "halt_poll_ns.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct poll_record);
} poll_records SEC(".maps");

static __always_inline void read_counts(struct kvm_vcpu *vcpu, struct poll_counts *counts)
{
	struct halt_stats s = {};

	read_halt_stats(vcpu, &s);
	counts->attempted = s.attempted;
	counts->ok = s.ok;
	counts->ok_ns = s.ok_ns;
	counts->failed_ns = s.failed_ns;
}

/* The record of a slot; one that is new begins with the counters as they are. */
static __noinline struct poll_record *poll_record(struct kvm_vcpu *vcpu, u32 slot)
{
	struct poll_record *record = bpf_map_lookup_elem(&poll_records, &slot);

	if (!slot || !record)
		return NULL;
	if (!record->in_use) {
		read_counts(vcpu, &record->base);
		record->now = record->base;
		record->window_ns = BPF_CORE_READ(vcpu, halt_poll_ns);
		record->in_use = 1;
	}
	return record;
}

/* A halt of the current vCPU has ended. */
static __noinline int on_wakeup(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct poll_record *record;

	if (!vcpu)
		return 0;
	record = poll_record(vcpu, vcpus__running_slot(vcpu));
	if (!record)
		return 0;
	read_counts(vcpu, &record->now);
	record->window_ns = BPF_CORE_READ(vcpu, halt_poll_ns);
	return 0;
}

/* The current vCPU's window changes; it does so before the wake-up is traced. */
static __noinline int on_change(bool grow, u32 new_ns, u32 old_ns)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct poll_record *record;
	struct poll_event *event;
	u32 slot;

	if (!vcpu)
		return 0;
	slot = vcpus__running_slot(vcpu);
	record = poll_record(vcpu, slot);
	if (!record)
		return 0;
	if (grow)
		record->grows++;
	else
		record->shrinks++;
	record->window_ns = new_ns;
	event = event__reserve(sizeof(*event));
	if (!event)
		return 0;
	event__head(&event->head, slot);
	event->grow = grow;
	event->old_ns = old_ns;
	event->new_ns = new_ns;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __noinline int on_run(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (vcpu)
		poll_record(vcpu, vcpus__slot(vcpu));
	return 0;
}

static __always_inline int on_fpu(u64 load)
{
	return load ? on_run() : 0;
}

/* kvm_vcpu_wakeup(u64 ns, bool waited, bool valid): only the moment matters here. */
RAW_TP(wakeup_raw_tp, kvm_vcpu_wakeup, on_wakeup())
TP_BTF(wakeup_tp_btf, kvm_vcpu_wakeup, on_wakeup())

SEC("?tp/kvm/kvm_vcpu_wakeup")
int wakeup_tracepoint(void *ctx)
{
	on_wakeup();
	return LEAVE_TO_PERF;
}

/* kvm_halt_poll_ns(bool grow, u32 vcpu_id, u32 new, u32 old) */
RAW_TP(change_raw_tp, kvm_halt_poll_ns, on_change(ctx->args[0] & 1, ctx->args[2], ctx->args[3]))
TP_BTF(change_tp_btf, kvm_halt_poll_ns, on_change(ctx[0] & 1, ctx[2], ctx[3]))

SEC("?tp/kvm/kvm_halt_poll_ns")
int change_tracepoint(void *ctx)
{
	struct {
		u8 grow;
		u8 pad[3];
		u32 vcpu_id;
		u32 new_ns;
		u32 old_ns;
	} args = {};

	/* The same record on all kernels, after the common fields. */
	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_change(args.grow, args.new_ns, args.old_ns);
	return LEAVE_TO_PERF;
}

/* The window of the current vCPU's PAUSE loops changes. */
static __noinline int on_ple(u32 new, u32 old)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct poll_record *record = vcpu ? poll_record(vcpu, vcpus__running_slot(vcpu)) : NULL;

	if (!record)
		return 0;
	if (new > old) {
		record->ple_grows++;
		record->ple_spun += old;
	} else {
		record->ple_shrinks++;
	}
	if (!record->tsc_khz)
		record->tsc_khz = BPF_CORE_READ(vcpu, arch.virtual_tsc_khz);
	record->ple_window = new;
	return 0;
}

/* kvm_ple_window_update(unsigned int vcpu_id, unsigned int new, unsigned int old) */
RAW_TP(ple_raw_tp, kvm_ple_window_update, on_ple(ctx->args[1], ctx->args[2]))
TP_BTF(ple_tp_btf, kvm_ple_window_update, on_ple(ctx[1], ctx[2]))

SEC("?tp/kvm/kvm_ple_window_update")
int ple_tracepoint(void *ctx)
{
	struct {
		u32 vcpu_id;
		u32 new;
		u32 old;
	} args = {};

	/* The same record on all kernels, after the common fields. */
	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_ple(args.new, args.old);
	return LEAVE_TO_PERF;
}

TOLD_PROGRAMS(run, on_fpu)

SEC("?iter/task_file")
int existing(struct bpf_iter__task_file *ctx)
{
	struct kvm_vcpu *vcpu = existing_vcpu(ctx);
	struct task_struct *task = vcpu ? vcpu_task(vcpu) : NULL;

	if (task)
		poll_record(vcpu, vcpus__slot_of(vcpu, task));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
