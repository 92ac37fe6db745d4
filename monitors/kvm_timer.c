// SPDX-License-Identifier: GPL-2.0-only
/* -T: the timers of the local APICs. The kernel half is kvm_timer.bpf.c. */
#include "kvm_timer.h"

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/lapics.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "kvm_timer.skel.h"

DEFINE_OPEN_SKELETON(kvm_timer_bpf)

#define MAP(_name) offsetof(struct kvm_timer_bpf, maps._name)
#define PROG(_name) offsetof(struct kvm_timer_bpf, progs._name)

enum { VIEW_TIMERS };

struct timer_row {
	struct row row;
	const char *mode;
	uint8_t hv; /* or BOOL_ABSENT */
	const char *hv_number;
	uint64_t count;
	uint64_t restarted;
	uint64_t switched;
	uint64_t fired;
	uint64_t never_fired;
	struct times late;
	uint64_t late_count;
	uint64_t late_mean_ns;
	uint64_t late_p50_ns;
	uint64_t late_p99_ns;
	uint64_t late_max_ns;
};

static const struct view views[] = {
	[VIEW_TIMERS] = { .title = "KVM_TIMER",
			  .name = "KVM_TIMER",
			  .per_vcpu = true,
			  SAMPLES_OF(VIEW_TIMERS) },
	{},
};

#define COL(...) COLUMN(struct timer_row, __VA_ARGS__)
#define LATE(what) OF_TIMES(struct timer_row, late, what)

static const struct column columns[] = {
	COL(mode, "TIMER_MODE", COL_STRING, ROLE_LABEL, .width = 11,
	    .help = "ONESHOT, PERIODIC or TSCDEADLINE"),
	COL(hv_number, "HV", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY,
	    .help = "1: VMX preemption timer, 0: an hrtimer"),
	COL(hv, NULL, COL_BOOL, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "true: VMX preemption timer; false: an hrtimer"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, .help = "timers armed"),
	COL(restarted, NULL, COL_U64, ROLE_COUNTER, .flags = COL_DATA_ONLY,
	    .help = "timers restarted while they ran"),
	COL(switched, "SWITCHED", COL_U64, ROLE_COUNTER,
	    .help = "timers that moved from hv to an hrtimer, or from an hrtimer to this hv"),
	COL(fired, "FIRED", COL_U64, ROLE_COUNTER, .help = "expiries; each period counts"),
	COL(never_fired, "NEVER", COL_U64, ROLE_COUNTER,
	    .help = "timers stopped or rearmed before they fired"),
	COL(late, "EXPIRIES", COL_TIMES, ROLE_COUNTER, .flags = COL_COST,
	    .help = "times from the deadline to the expiry"),
	COL(late_count, NULL, COL_U64, ROLE_COUNTER, LATE(COUNT), .flags = COL_DATA_ONLY,
	    .help = "expiries whose deadline is known"),
	COL(late_mean_ns, NULL, COL_NSEC, ROLE_GAUGE, LATE(MEAN),
	    .flags = COL_DATA_ONLY | COL_WORSE,
	    .help = "mean time from the deadline to the expiry"),
	COL(late_p50_ns, "LATE_P50", COL_NSEC, ROLE_GAUGE, LATE(P50), .flags = COL_USEC | COL_WORSE,
	    .help = "median time from the deadline to the expiry, within 12.5 % (table: us)"),
	COL(late_p99_ns, "LATE_P99", COL_NSEC, ROLE_GAUGE, LATE(P99), .flags = COL_USEC | COL_WORSE,
	    .help = "99th percentile, within 12.5 %"),
	COL(late_max_ns, "LATE_MAX", COL_NSEC, ROLE_GAUGE, LATE(MAX), .flags = COL_USEC | COL_WORSE,
	    .help = "longest"),
	{},
};

static bool with_kvm_types(void)
{
	return host__has_btf("kvm");
}

static bool without_kvm_types(void)
{
	return !with_kvm_types();
}

/*
 * KVM starts timers with preemption off, and hrtimers expire in an interrupt:
 * there a kprobe or classic tracepoint is skipped when a program of such a
 * kind is interrupted (and until 6.3 nobody counts that), so they come last.
 * Without the types of kvm there is no fentry: a raw tracepoint then sees the
 * hrtimers expire, and a kprobe the rest, in the vCPU's thread.
 */
static const struct hook hooks[] = {
	LAPICS_RUN_HOOKS("which vCPU a local APIC belongs to: expiries"),

	{ "kvm_wait_lapic_expire", HOOK_RAW_TP, "kvm_wait_lapic_expire", PROG(wait_raw_tp),
	  .gives = "how late hv timers in TSC-deadline mode are" },
	{ "kvm_wait_lapic_expire", HOOK_TP_BTF, "kvm_wait_lapic_expire", PROG(wait_tp_btf) },
	{ "kvm_wait_lapic_expire", HOOK_TRACEPOINT, "kvm_wait_lapic_expire",
	  PROG(wait_tracepoint) },

	{ "hrtimer_expire_entry", HOOK_RAW_TP, "hrtimer_expire_entry", PROG(hrtimer_raw_tp),
	  .gives = "expiries of hrtimers: how late they fire, and which never do",
	  .applies = without_kvm_types },
	{ "hrtimer_expire_entry", HOOK_TP_BTF, "hrtimer_expire_entry", PROG(hrtimer_tp_btf),
	  .applies = without_kvm_types },
	{ "hrtimer_expire_entry", HOOK_TRACEPOINT, "hrtimer_expire_entry", PROG(hrtimer_tracepoint),
	  .applies = without_kvm_types },

	{ "apic_timer_expired", HOOK_FENTRY, "apic_timer_expired", PROG(expire_fentry),
	  .gives = "expiries: how late hv timers fire, and which never do" },
	{ "apic_timer_expired", HOOK_KPROBE, "apic_timer_expired", PROG(expire_kprobe) },
	{ "apic_timer_expired", HOOK_RAW_TP, "hrtimer_expire_entry", PROG(hrtimer_raw_tp),
	  .applies = with_kvm_types },
	{ "apic_timer_expired", HOOK_TP_BTF, "hrtimer_expire_entry", PROG(hrtimer_tp_btf),
	  .applies = with_kvm_types },
	{ "apic_timer_expired", HOOK_TRACEPOINT, "hrtimer_expire_entry", PROG(hrtimer_tracepoint),
	  .applies = with_kvm_types },

	{ "kvm_hv_timer_state", HOOK_RAW_TP, "kvm_hv_timer_state", PROG(start_raw_tp),
	  .gives = "the timers", .primary = true },
	{ "kvm_hv_timer_state", HOOK_TP_BTF, "kvm_hv_timer_state", PROG(start_tp_btf) },
	{ "kvm_hv_timer_state", HOOK_TRACEPOINT, "kvm_hv_timer_state", PROG(start_tracepoint) },

	LAPICS_ITER_HOOK,
	{},
};

static int prepare(struct attachment *at, void *opened)
{
	struct kvm_timer_bpf *skel = opened;

	skel->rodata->sees_hv_expiry = bpf_program__autoload(skel->progs.expire_kprobe) ||
				       bpf_program__autoload(skel->progs.expire_fentry);
	skel->rodata->sees_hrtimers = bpf_program__autoload(skel->progs.hrtimer_raw_tp) ||
				      bpf_program__autoload(skel->progs.hrtimer_tp_btf) ||
				      bpf_program__autoload(skel->progs.hrtimer_tracepoint);
	return lapics__prepare(LAPIC_MAPS(skel), vcpus__max(at->env->vcpus) + 1);
}

static int start(struct attachment *at)
{
	const struct kvm_timer_bpf *skel = at->skel;

	return lapics__open(at->state, LAPIC_MAPS(skel));
}

static void stop(struct attachment *at)
{
	lapics__close(at->state);
}

/* A vCPU that ends takes the timer with it that still was armed. */
static void end_timers(struct attachment *at)
{
	for (size_t slot = 1; slot <= vcpus__max(at->env->vcpus); slot++) {
		const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, slot);
		struct timer_state *state = records__state(&at->records, slot);
		struct timer_record *record;

		if (!ref || !ref->ended || !state->armed)
			continue;
		state->armed = 0;
		if (!state->record || state->record >= at->records.nr)
			continue;
		record = records__get(&at->records, state->record);
		record->never_fired++;
	}
}

/* In this order: a timer that is ended can't fire any more. */
static void look(struct attachment *at)
{
	lapics__forget_ended(at->state, at->env->vcpus);
	end_timers(at);
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	static const char *const modes[] = {
		[TIMER_ONESHOT] = "ONESHOT",
		[TIMER_PERIODIC] = "PERIODIC",
		[TIMER_TSCDEADLINE] = "TSCDEADLINE",
		[TIMER_UNKNOWN] = NULL,
	};
	const struct timer_record *record = records__get(&at->records, index);
	struct timer_row *row = (struct timer_row *)to;

	row->mode = modes[record->key.mode & 3];
	row->hv = record->key.hv;
	row->hv_number = row->hv ? "1" : "0";
	return VIEW_TIMERS;
}

/* In this order: what is timed has fired, what has fired was armed. */
static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct timer_record *record = records__get(&at->records, index);
	struct timer_row *row = (struct timer_row *)to;

	records__times(at, index, &row->late, &record->late);
	row->fired = __atomic_load_n(&record->fired, __ATOMIC_ACQUIRE);
	row->never_fired = __atomic_load_n(&record->never_fired, __ATOMIC_ACQUIRE);
	row->switched = __atomic_load_n(&record->switched, __ATOMIC_ACQUIRE);
	row->restarted = record->restarted;
	row->count = record->count;
}

static const struct record_kind records = {
	.records = MAP(timer_records),
	.record_size = sizeof(struct timer_record),
	.per_slot = 3,
	.index = MAP(timer_index),
	.free_records = MAP(free_records),
	.shares = MAP(timer_shares),
	.key_at = offsetof(struct timer_record, key),
	.slot_at = offsetof(struct timer_record, key.slot),
	.states = MAP(timer_states),
	.state_size = sizeof(struct timer_state),
	.in_use_at = offsetof(struct timer_record, in_use),
	.label = label,
	.sample = sample,
};

#define OF_TIMERS .views = 1 << VIEW_TIMERS
#define TIMER(_name, _at, _help)                                  \
	METRIC(struct timer_row, COUNTER, _name, _at, OF_TIMERS,  \
	       .labels = { LABEL(struct timer_row, "mode", mode), \
			   LABEL(struct timer_row, "hv", hv) },   \
	       .help = (_help))

static const struct metric metrics[] = {
	TIMER("kvm_timer_armed", count, "Timers armed."),
	TIMER("kvm_timer_restarted", restarted, "Timers restarted while they ran."),
	TIMER("kvm_timer_switched", switched,
	      "Timers that moved between an hrtimer and the preemption timer."),
	TIMER("kvm_timer_fired", fired, "Expiries."),
	TIMER("kvm_timer_never_fired", never_fired, "Timers stopped or rearmed before they fired."),
	METRIC(struct timer_row, HISTOGRAM, "kvm_timer_lateness_seconds", late, OF_TIMERS,
	       .labels = { LABEL(struct timer_row, "mode", mode) },
	       .help = "Time from deadlines to expiries."),
	{},
};

const struct monitor kvm_timer_monitor = {
	.name = "kvm_timer",
	.key = 'T',
	.help = "hv and software timers",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct timer_row),
	.state_size = sizeof(struct lapics),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.look = look,
};
