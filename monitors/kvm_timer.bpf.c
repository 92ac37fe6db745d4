// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -T: the timers of the local APICs.
 *
 * Started: kvm_hv_timer_state, at the end of start_hv_timer() and
 *          start_sw_timer() in arch/x86/kvm/lapic.c, with preemption off: by
 *          VMX' preemption timer, or by an hrtimer. It also comes when there is
 *          no timer to start, after a halt; and for one that runs already, when
 *          it goes from one to the other. What timer it is tells its deadline.
 * Fired:   apic_timer_expired() in there begins; or, of the APIC's hrtimer,
 *          hrtimer_expire_entry (__run_hrtimer() in kernel/time/hrtimer.c). That
 *          alone does not see VMX' timer.
 * Late:    from the deadline asked for to that moment. A hrtimer's deadline is
 *          its own, and KVM's advance is added where it has started it earlier
 *          (start_sw_tscdeadline()). With VMX' timer it is target_expiration, and
 *          in TSC-deadline mode, whose deadline is in the guest's time, what
 *          kvm_wait_lapic_expire says before the entry (__kvm_wait_lapic_expire()).
 */
#include "../bpf/hooks.bpf.h"
#include "../bpf/lapics.bpf.h"
#include "../bpf/stat.bpf.h"
#include "kvm_timer.h"

/* What sees expiries: apic_timer_expired(), for both kinds of timer, or the hrtimers' own event. */
const volatile __u32 sees_hv_expiry, sees_hrtimers;

TABLE(timer_records, struct timer_record, timer_index, struct timer_key, free_records);
SHARES(timer_shares);
RECENT(recent_records);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct timer_state);
} timer_states SEC(".maps");

static __noinline u32 find_record(u32 slot, u32 mode, u32 hv)
{
	struct timer_key key = { .slot = slot, .mode = mode, .hv = hv };
	u32 index =
		TABLE_FIND(recent_records, timer_records, struct timer_record, timer_index, &key);

	if (!index && share__is_used_up(&timer_shares, vcpus__tgid(slot)))
		lose_of(LOST_RECORDS_FULL, vcpus__tgid(slot));
	else if (!index)
		index = TABLE_ADD(vcpus__tgid(slot), timer_shares, timer_records,
				  struct timer_record, timer_index, free_records, &key,
				  LOST_RECORDS_FULL);
	return index;
}

static __always_inline struct timer_record *record_at(u32 index)
{
	return index ? bpf_map_lookup_elem(&timer_records, &index) : NULL;
}

/* The APIC's timer as it is now. deadline is 0 when there is none. */
static __always_inline void read_timer(struct kvm_lapic *lapic, struct kvm_vcpu *vcpu,
				       struct apic_timer *timer)
{
	if (lapic_timer(lapic, vcpu, timer)) {
		timer->mode = timer->mode >> 17 & 3;
		timer->deadline = timer->mode == TIMER_TSCDEADLINE ? timer->tscdeadline :
								     timer->target_expiration;
	} else {
		timer->mode = TIMER_UNKNOWN;
		timer->deadline = ~0ULL;
	}
}

/* The timer is started, with the deadline it has now; hv tells by what. */
static __noinline int start(struct timer_state *state, u32 slot, struct apic_timer *timer, u32 hv)
{
	struct timer_record *record, *old;
	bool same;
	u32 index;

	if (!state || !timer)
		return 0;
	index = find_record(slot, timer->mode, hv);
	record = record_at(index);
	if (!record)
		return 0;
	same = state->record && state->deadline == timer->deadline && state->mode == timer->mode &&
	       timer->mode != TIMER_UNKNOWN;
	if (same) {
		record->restarted++;
		record->switched += hv != state->hv;
	} else {
		old = record_at(state->record);
		if (old && state->armed)
			old->never_fired++;
		record->count++;
		state->armed = sees_hv_expiry || !hv;
	}
	state->mode = timer->mode;
	state->hv = hv;
	state->record = index;
	/* Last: from here on an expiry is this one's. */
	barrier();
	state->deadline = timer->deadline;
	return 0;
}

/* The timer that is started fires; asked is 0 when its deadline is not known. */
static __noinline int fire(struct timer_state *state, u64 asked)
{
	u64 now = bpf_ktime_get_ns();
	struct timer_record *record;

	if (!state)
		return 0;
	record = record_at(state->record);
	if (!record)
		return 0;
	record->fired++;
	state->armed = 0;
	if (asked && state->mode != TIMER_UNKNOWN)
		stat__add(&record->late, now > asked ? now - asked : 0);
	return 0;
}

/* When it was asked for, on the clock of bpf_ktime_get_ns(); 0: not known. */
static __always_inline u64 asked_for(struct kvm_lapic *lapic, const struct apic_timer *timer,
				     bool by_hrtimer)
{
	if (by_hrtimer)
		return lapic_expires(lapic) +
		       (timer->mode == TIMER_TSCDEADLINE ? timer->advance_ns : 0);
	return timer->mode == TIMER_ONESHOT || timer->mode == TIMER_PERIODIC ?
		       timer->target_expiration :
		       0;
}

/* kvm_hv_timer_state of the vCPU that the current thread has loaded. */
static __noinline int on_start(u32 vcpu_id, u32 hv)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct apic_timer timer = {};
	struct timer_state *state;
	struct vcpu_info *info;
	u32 slot = 0;
	u64 early;

	if (vcpu)
		slot = vcpus__running_slot(vcpu);
	info = bpf_map_lookup_elem(&vcpus, &slot);
	if (!vcpu || (slot && info && info->vcpu_id != vcpu_id)) {
		if (!only_tgid)
			lose(LOST_THREAD_UNKNOWN);
		return 0;
	}
	state = bpf_map_lookup_elem(&timer_states, &slot);
	if (!slot || !state)
		return 0;
	read_timer((void *)lapics__of(vcpu, slot), vcpu, &timer);
	state->starting = timer.deadline;
	barrier();
	/* It fired before this and on_expire() counted it; KVM may have forgotten its deadline. */
	early = state->early;
	state->early = 0;
	if (timer.deadline && early != timer.deadline) {
		start(state, slot, &timer, hv);
		/* start_sw_period() and start_sw_tscdeadline() don't start what is late already. */
		if (!sees_hv_expiry && !hv && timer.mode == TIMER_ONESHOT &&
		    timer.target_expiration <= bpf_ktime_get_ns())
			fire(state, timer.target_expiration);
		if (!sees_hv_expiry && !hv && timer.mode == TIMER_TSCDEADLINE &&
		    timer.tscdeadline == timer.expired_tscdeadline)
			fire(state, 0);
	}
	barrier();
	state->starting = 0;
	if (state->meanwhile) {
		state->meanwhile = 0;
		fire(state, state->asked);
	}
	return 0;
}

/* The timer of an APIC has expired. */
static __noinline int on_expire(struct kvm_lapic *lapic, bool by_hrtimer)
{
	u32 slot = lapics__slot((u64)lapic);
	struct timer_state *state = bpf_map_lookup_elem(&timer_states, &slot);
	struct vcpu_info *info = bpf_map_lookup_elem(&vcpus, &slot);
	struct apic_timer timer = {};

	if (!slot || !state || !info)
		return 0;
	read_timer(lapic, (void *)info->vcpu, &timer);
	/*
	 * It may expire before the event that tells of its start.
	 * A hrtimer goes on from period to period.
	 */
	if (timer.deadline && !(by_hrtimer && timer.mode == TIMER_PERIODIC) &&
	    (timer.deadline != state->deadline || timer.mode != state->mode)) {
		/* In an interrupt of on_start(), which goes on after this. */
		if (state->starting == timer.deadline) {
			state->asked = asked_for(lapic, &timer, by_hrtimer);
			barrier();
			state->meanwhile = 1;
			return 0;
		}
		start(state, slot, &timer, timer.hv);
		state->early = timer.deadline;
	}
	return fire(state, asked_for(lapic, &timer, by_hrtimer));
}

/* So many ticks of the guest's TSC after its deadline the current vCPU enters its guest. */
static __always_inline int on_wait(s64 delta)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct timer_record *record;
	struct timer_state *state;
	u32 slot, khz;

	if (!vcpu)
		return 0;
	slot = vcpus__running_slot(vcpu);
	state = bpf_map_lookup_elem(&timer_states, &slot);
	if (!slot || !state || !state->hv || state->mode != TIMER_TSCDEADLINE)
		return 0;
	record = record_at(state->record);
	khz = BPF_CORE_READ(vcpu, arch.virtual_tsc_khz);
	if (record && khz)
		stat__add(&record->late, delta > 0 ? (u64)delta * 1000000 / khz : 0);
	return 0;
}

/* kvm_hv_timer_state(u32 vcpu_id, u32 hv_timer_in_use) */
RAW_TP(start_raw_tp, kvm_hv_timer_state, on_start(ctx->args[0], ctx->args[1] & 1))
TP_BTF(start_tp_btf, kvm_hv_timer_state, on_start(ctx[0], ctx[1] & 1))

SEC("?tp/kvm/kvm_hv_timer_state")
int start_tracepoint(void *ctx)
{
	struct {
		u32 vcpu_id, hv;
	} args = {};

	bpf_probe_read_kernel(&args, sizeof(args), ctx + 8);
	on_start(args.vcpu_id, args.hv & 1);
	return LEAVE_TO_PERF;
}

/* apic_timer_expired(apic, bool from_timer_fn) */
static __always_inline int on_function(struct kvm_lapic *lapic, bool by_hrtimer)
{
	return by_hrtimer && sees_hrtimers ? 0 : on_expire(lapic, by_hrtimer);
}

KPROBE(expire_kprobe, apic_timer_expired, on_function((void *)ctx->di, ctx->si & 0xff))
FENTRY(expire_fentry, apic_timer_expired, on_function((void *)untyped_arg(ctx, 0), ctx[1] & 0xff))

/* hrtimer_expire_entry(struct hrtimer *hrtimer, ktime_t *now): any of the host's, few an APIC's. */
RAW_TP(hrtimer_raw_tp, hrtimer_expire_entry, on_expire(hrtimer_lapic(ctx->args[0]), true))
TP_BTF(hrtimer_tp_btf, hrtimer_expire_entry, on_expire(hrtimer_lapic(untyped_arg(ctx, 0)), true))

SEC("?tp/timer/hrtimer_expire_entry")
int hrtimer_tracepoint(void *ctx)
{
	u64 hrtimer = 0;

	bpf_probe_read_kernel(&hrtimer, sizeof(hrtimer), ctx + 8);
	on_expire(hrtimer_lapic(hrtimer), true);
	return LEAVE_TO_PERF;
}

/* kvm_wait_lapic_expire(u32 vcpu_id, s64 delta) */
RAW_TP(wait_raw_tp, kvm_wait_lapic_expire, on_wait(ctx->args[1]))
TP_BTF(wait_tp_btf, kvm_wait_lapic_expire, on_wait(ctx[1]))

SEC("?tp/kvm/kvm_wait_lapic_expire")
int wait_tracepoint(void *ctx)
{
	s64 delta = 0;

	bpf_probe_read_kernel(&delta, sizeof(delta), ctx + 16);
	on_wait(delta);
	return LEAVE_TO_PERF;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
