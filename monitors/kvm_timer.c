// SPDX-License-Identifier: GPL-2.0-only
/* -T: the timers of the local APICs. The kernel half is kvm_timer.bpf.c. */
#include "kvm_timer.h"

#include <stdlib.h>
#include <string.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/lapics.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "kvm_timer.skel.h"

struct timer_row {
	struct row row;
	const char *mode;
	bool hv;
	const char *hv_number;
	uint64_t count;
	uint64_t restarted;
	uint64_t switched;
	uint64_t fired;
	uint64_t never_fired;
	uint64_t late_count;
	uint64_t late_mean_ns;
	uint64_t late_p50_ns;
	uint64_t late_p99_ns;
	uint64_t late_max_ns;
};

static const struct view views[] = {
	{ .title = "KVM_TIMER", .per_vcpu = true },
	{},
};

extern const struct monitor kvm_timer_monitor;

#define COL(...) COLUMN(struct timer_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(mode, "TIMER_MODE", COL_STRING, ROLE_LABEL, .width = 11,
	    .help = "ONESHOT, PERIODIC or TSCDEADLINE"),
	COL(hv_number, "HV", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY,
	    .help = "1: VMX' preemption timer, 0: an hrtimer"),
	COL(hv, NULL, COL_BOOL, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "VMX' preemption timer, else an hrtimer"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, .help = "timers armed"),
	COL(restarted, NULL, COL_U64, ROLE_COUNTER, .flags = COL_DATA_ONLY,
	    .help = "timers that ran already started anew"),
	COL(switched, "SWITCHED", COL_U64, ROLE_COUNTER,
	    .help = "of these: from hv to an hrtimer, or from an hrtimer to this hv"),
	COL(fired, "FIRED", COL_U64, ROLE_COUNTER, .help = "expiries, each period counts"),
	COL(never_fired, "NEVER", COL_U64, ROLE_COUNTER,
	    .help = "armed, and stopped or armed anew before they fired"),
	COL(late_count, NULL, COL_U64, ROLE_COUNTER, .flags = COL_DATA_ONLY,
	    .help = "expiries whose deadline is known"),
	COL(late_mean_ns, NULL, COL_NSEC, ROLE_GAUGE, .flags = COL_DATA_ONLY,
	    .help = "from the deadline to the expiry: mean"),
	COL(late_p50_ns, "LATE_P50", COL_NSEC, ROLE_GAUGE, .flags = COL_USEC,
	    .help = "from the deadline to the expiry: median, within 12.5 % (table: us)"),
	COL(late_p99_ns, "LATE_P99", COL_NSEC, ROLE_GAUGE, .flags = COL_USEC,
	    .help = "99th percentile, within 12.5 %"),
	COL(late_max_ns, "LATE_MAX", COL_NSEC, ROLE_GAUGE, .flags = COL_USEC, .help = "most"),
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
	LAPICS_RUN_HOOKS("which local APIC is which vCPU's: expiries"),

	{ "kvm_wait_lapic_expire", HOOK_RAW_TP, "kvm_wait_lapic_expire", "wait_raw_tp",
	  .gives = "how late hv timers in TSC-deadline mode are" },
	{ "kvm_wait_lapic_expire", HOOK_TP_BTF, "kvm_wait_lapic_expire", "wait_tp_btf" },
	{ "kvm_wait_lapic_expire", HOOK_TRACEPOINT, "kvm_wait_lapic_expire", "wait_tracepoint" },

	{ "hrtimer_expire_entry", HOOK_RAW_TP, "hrtimer_expire_entry", "hrtimer_raw_tp",
	  .gives = "expiries of hrtimers: how late they fire, and which never do",
	  .applies = without_kvm_types },
	{ "hrtimer_expire_entry", HOOK_TP_BTF, "hrtimer_expire_entry", "hrtimer_tp_btf",
	  .applies = without_kvm_types },
	{ "hrtimer_expire_entry", HOOK_TRACEPOINT, "hrtimer_expire_entry", "hrtimer_tracepoint",
	  .applies = without_kvm_types },

	{ "apic_timer_expired", HOOK_FENTRY, "apic_timer_expired", "expire_fentry",
	  .gives = "expiries: how late hv timers fire, and which never do" },
	{ "apic_timer_expired", HOOK_KPROBE, "apic_timer_expired", "expire_kprobe" },
	{ "apic_timer_expired", HOOK_RAW_TP, "hrtimer_expire_entry", "hrtimer_raw_tp",
	  .applies = with_kvm_types },
	{ "apic_timer_expired", HOOK_TP_BTF, "hrtimer_expire_entry", "hrtimer_tp_btf",
	  .applies = with_kvm_types },
	{ "apic_timer_expired", HOOK_TRACEPOINT, "hrtimer_expire_entry", "hrtimer_tracepoint",
	  .applies = with_kvm_types },

	{ "kvm_hv_timer_state", HOOK_RAW_TP, "kvm_hv_timer_state", "start_raw_tp",
	  .gives = "the timers", .primary = true },
	{ "kvm_hv_timer_state", HOOK_TP_BTF, "kvm_hv_timer_state", "start_tp_btf" },
	{ "kvm_hv_timer_state", HOOK_TRACEPOINT, "kvm_hv_timer_state", "start_tracepoint" },

	LAPICS_ITER_HOOK,
	{},
};

/* What a record counts, at one moment. */
struct counts {
	uint64_t armed, restarted, switched, fired, never_fired;
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	struct timer_key key;
	struct counts now, before;
	struct stat_series late;
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "timer_records",
	.record_size = sizeof(struct timer_record),
	.per_slot = 3,
	.index = "timer_index",
	.free_records = "free_records",
	.slot_at = offsetof(struct timer_record, key.slot),
	.states = "timer_states",
	.state_size = sizeof(struct timer_state),
};

static struct {
	struct lapics lapics;
	struct series_set set;
} self;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	size_t slots = vcpus__max(at->env->vcpus) + 1;
	int err = series__prepare(&self.set, &kind, obj, slots);

	if (!err)
		err = lapics__prepare(obj, slots);
	if (!err)
		err = map__set_const(obj, "sees_hv_expiry",
				     attach__loads(obj, "expire_kprobe") ||
					     attach__loads(obj, "expire_fentry"));
	return err ? err :
		     map__set_const(obj, "sees_hrtimers",
				    attach__loads(obj, "hrtimer_raw_tp") ||
					    attach__loads(obj, "hrtimer_tp_btf") ||
					    attach__loads(obj, "hrtimer_tracepoint"));
}

static int start(struct attachment *at)
{
	int err = lapics__open(&self.lapics, at->obj);

	return err ? err : series__open(&self.set, at->obj);
}

static void stop(struct attachment *at)
{
	(void)at;
	lapics__close(&self.lapics);
	series__close(&self.set);
	memset(&self, 0, sizeof(self));
}

/* A vCPU that ends takes the timer with it that still was armed. */
static void end_timers(const struct attachment *at)
{
	struct timer_record *records = self.set.records;
	struct timer_state *states = self.set.states;

	for (size_t slot = 1; slot <= vcpus__max(at->env->vcpus); slot++) {
		const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, slot);
		struct timer_state *state = &states[slot];

		if (!ref || !ref->ended || !state->armed)
			continue;
		state->armed = 0;
		if (state->record && state->record < self.set.nr)
			records[state->record].never_fired++;
	}
}

static void look(struct series *s, struct timer_record *record, uint64_t epoch)
{
	s->key = record->key;
	s->before = s->now;
	s->now = (struct counts){
		.armed = record->count,
		.restarted = record->restarted,
		.switched = record->switched,
		.fired = record->fired,
		.never_fired = record->never_fired,
	};
	stat_series__look(&s->late, &record->late, epoch);
	s->head.quiet = !memcmp(&s->now, &s->before, sizeof(s->now));
}

static void write_series(const struct window *window, const struct series *s)
{
	static const char *const modes[] = {
		[TIMER_ONESHOT] = "ONESHOT",
		[TIMER_PERIODIC] = "PERIODIC",
		[TIMER_TSCDEADLINE] = "TSCDEADLINE",
		[TIMER_UNKNOWN] = NULL,
	};
	static const struct counts none;
	const struct counts *from = window->scope == SCOPE_TOTAL ? &none : &s->before,
			    *to = &s->now;
	const struct stat_delta *late =
		window->scope == SCOPE_TOTAL ? &s->late.run : &s->late.grown;
	struct timer_row row = {
		.row = s->head.row,
		.mode = modes[s->key.mode & 3],
		.hv = s->key.hv,
		.hv_number = s->key.hv ? "1" : "0",
		.count = counter__delta(to->armed, from->armed),
		.restarted = counter__delta(to->restarted, from->restarted),
		.switched = counter__delta(to->switched, from->switched),
		.fired = counter__delta(to->fired, from->fired),
		.never_fired = counter__delta(to->never_fired, from->never_fired),
		.late_count = late->timed,
		.late_mean_ns = late->timed ? late->total_ns / late->timed : UINT64_MAX,
		.late_p50_ns = stat_delta__percentile(late, 50),
		.late_p99_ns = stat_delta__percentile(late, 99),
		.late_max_ns = late->max_ns,
	};

	row.row.ts_ns = window->now_ns;
	output__row(window->out, &row.row, 0);
}

static int by_vcpu_mode(const void *a, const void *b)
{
	const struct series *s = *(struct series *const *)a, *t = *(struct series *const *)b;
	int order = series__by_vcpu(a, b);

	if (order)
		return order;
	if (s->key.mode != t->key.mode)
		return (int)s->key.mode - (int)t->key.mode;
	return (int)t->key.hv - (int)s->key.hv;
}

static void report(struct attachment *at, const struct window *window)
{
	struct timer_record *records = self.set.records;
	struct series **rows;
	size_t nr;

	if (window->scope == SCOPE_INTERVAL)
		end_timers(at);
	for (size_t i = 1; window->scope == SCOPE_INTERVAL && i < self.set.nr; i++) {
		struct series *s =
			records[i].in_use ? series__of(&self.set, at->env->vcpus, i) : NULL;

		if (s)
			look(s, &records[i], at->ended_epoch);
	}
	rows = (struct series **)series__list(&self.set, window->scope == SCOPE_TOTAL, &nr);
	if (!rows)
		return;
	qsort(rows, nr, sizeof(*rows), by_vcpu_mode);
	window__begin(window, &kvm_timer_monitor, 0);
	for (size_t i = 0; i < nr; i++)
		write_series(window, rows[i]);
	output__end(window->out);
	free(rows);
	if (window->scope == SCOPE_TOTAL)
		return;
	lapics__forget_ended(&self.lapics, at->env->vcpus, at->obj);
	series__retire_ended(&self.set, at->env->vcpus, at->obj);
}

const struct monitor kvm_timer_monitor = {
	.name = "kvm_timer",
	.key = 'T',
	.help = "hv and software timers",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = kvm_timer_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.stop = stop,
};
