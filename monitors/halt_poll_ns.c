// SPDX-License-Identifier: GPL-2.0-only
/* -n: halt-polling, and windows of PAUSE loops. The kernel half is halt_poll_ns.bpf.c. */
#include "halt_poll_ns.h"

#include <errno.h>

#include "../core/attach.h"
#include "../core/events.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "halt_poll_ns.skel.h"

DEFINE_OPEN_SKELETON(halt_poll_ns_bpf)

#define MAP(_name) offsetof(struct halt_poll_ns_bpf, maps._name)
#define PROG(_name) offsetof(struct halt_poll_ns_bpf, progs._name)

enum { VIEW_CHANGES, VIEW_POLLS, VIEW_PLE };

struct poll_row {
	struct row row;
	const char *comm;
	const char *type;
	uint64_t old_ns;
	uint64_t new_ns;
	uint64_t polls_ok;
	uint64_t polls_failed;
	uint64_t poll_ok_ns;
	uint64_t poll_failed_ns;
	uint64_t window_ns;
	uint64_t grows;
	uint64_t shrinks;
	double caught;
	double burnt;
	uint64_t ple_grows;
	uint64_t ple_shrinks;
	uint64_t ple_spun;
	uint64_t ple_window;
	uint64_t tsc_khz;
};

static const struct view views[] = {
	[VIEW_CHANGES] = { .title = "HALT_POLL_NS", .name = "HALT_POLL_NS", .per_vcpu = true },
	[VIEW_POLLS] = { .title = "HALT_POLLING",
			 .name = "HALT_POLLING",
			 .per_vcpu = true,
			 SAMPLES_OF(VIEW_POLLS) },
	[VIEW_PLE] = { .title = "PAUSE_LOOPS",
		       .name = "PAUSE_LOOPS",
		       .per_vcpu = true,
		       SAMPLES_OF(VIEW_PLE) },
	{},
};

#define COL(...) COLUMN(struct poll_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_CHANGES
#define COUNTS .views = 1 << VIEW_POLLS
#define PLE .views = 1 << VIEW_PLE

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, EVENT, .width = 15,
	    .help = "name of the vCPU's thread"),
	COL(type, "TYPE", COL_STRING, ROLE_LABEL, EVENT, .width = 6, .help = "grow or shrink"),
	COL(old_ns, "OLD(ns)", COL_U64, ROLE_GAUGE, EVENT, .width = 8,
	    .help = "polling window before the change"),
	COL(new_ns, "NEW(ns)", COL_U64, ROLE_GAUGE, EVENT, .width = 8,
	    .help = "polling window from now on"),
	COL(polls_ok, "OK", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "polls ended by a wake-up (KVM's halt_successful_poll)"),
	COL(polls_failed, "FAILED", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "polls that ended without a wake-up (halt_attempted_poll minus "
		    "halt_successful_poll)"),
	COL(caught, "CAUGHT%", COL_PERCENT, ROLE_GAUGE, COUNTS,
	    .flags = COL_TABLE_ONLY | COL_COMPUTED, .help = "share of polls ended by a wake-up"),
	COL(poll_ok_ns, "OK_TIME", COL_NSEC, ROLE_COUNTER, COUNTS,
	    .help = "time in successful polls (halt_poll_success_ns)"),
	COL(poll_failed_ns, "FAIL_TIME", COL_NSEC, ROLE_COUNTER, COUNTS, .flags = COL_COST,
	    .help = "time wasted in failed polls (halt_poll_fail_ns)"),
	COL(burnt, "BURNT%", COL_PERCENT, ROLE_GAUGE, COUNTS,
	    .flags = COL_TABLE_ONLY | COL_COMPUTED,
	    .help = "time in failed polls, as a share of one CPU"),
	COL(grows, "GROWN", COL_U64, ROLE_COUNTER, COUNTS, .help = "times the polling window grew"),
	COL(shrinks, "SHRUNK", COL_U64, ROLE_COUNTER, COUNTS, .help = "times the window shrank"),
	COL(window_ns, "WINDOW(ns)", COL_U64, ROLE_GAUGE, COUNTS, .help = "current polling window"),
	COL(ple_grows, "GROWN", COL_U64, ROLE_COUNTER, PLE, .flags = COL_COST,
	    .help = "times a PAUSE loop filled its window, and the window grew"),
	COL(ple_shrinks, "SHRUNK", COL_U64, ROLE_COUNTER, PLE, .help = "times the window shrank"),
	COL(ple_spun, "SPUN", COL_U64, ROLE_COUNTER, PLE,
	    .help = "sum of the filled windows: TSC cycles on Intel, PAUSEs on AMD"),
	COL(ple_window, "WINDOW", COL_U64, ROLE_GAUGE, PLE,
	    .help = "current window, in the same unit as SPUN"),
	COL(tsc_khz, NULL, COL_U64, ROLE_GAUGE, PLE, .flags = COL_DATA_ONLY,
	    .help = "TSC cycles per millisecond"),
	{},
};

static const struct hook hooks[] = {
	/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
	{ "kvm_fpu", HOOK_TRACEPOINT, "kvm_fpu", PROG(run_tracepoint),
	  .gives = "the first halt of each vCPU", .called_at = AT_RUN },
	{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", PROG(run_raw_tp), .called_at = AT_RUN },
	{ "kvm_fpu", HOOK_TP_BTF, "kvm_fpu", PROG(run_tp_btf) },

	{ "kvm_halt_poll_ns", HOOK_TRACEPOINT, "kvm_halt_poll_ns", PROG(change_tracepoint),
	  .gives = "changes of the polling window", .primary = true },
	{ "kvm_halt_poll_ns", HOOK_RAW_TP, "kvm_halt_poll_ns", PROG(change_raw_tp) },
	{ "kvm_halt_poll_ns", HOOK_TP_BTF, "kvm_halt_poll_ns", PROG(change_tp_btf) },

	{ "kvm_vcpu_wakeup", HOOK_TRACEPOINT, "kvm_vcpu_wakeup", PROG(wakeup_tracepoint),
	  .gives = "the polls and their times", .primary = true },
	{ "kvm_vcpu_wakeup", HOOK_RAW_TP, "kvm_vcpu_wakeup", PROG(wakeup_raw_tp) },
	{ "kvm_vcpu_wakeup", HOOK_TP_BTF, "kvm_vcpu_wakeup", PROG(wakeup_tp_btf) },

	{ "kvm_ple_window_update", HOOK_TRACEPOINT, "kvm_ple_window_update", PROG(ple_tracepoint),
	  VENDOR_VMX | VENDOR_SVM, .gives = "windows of PAUSE loops" },
	{ "kvm_ple_window_update", HOOK_RAW_TP, "kvm_ple_window_update", PROG(ple_raw_tp),
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_ple_window_update", HOOK_TP_BTF, "kvm_ple_window_update", PROG(ple_tp_btf),
	  VENDOR_VMX | VENDOR_SVM },

	{ "task_file", HOOK_ITER, "task_file", PROG(existing),
	  .gives = "the first halt of vCPUs that were in KVM when watching started" },
	{},
};

static int label(struct attachment *at, uint32_t slot, struct row *row)
{
	(void)at;
	(void)slot;
	(void)row;
	return VIEW_POLLS;
}

/* KVM's counters since the vCPU was first seen. */
static void sample(struct attachment *at, uint32_t slot, struct row *to)
{
	const struct poll_record *record = records__get(&at->records, slot);
	struct poll_row *row = (struct poll_row *)to;
	/* In this order: a poll that succeeds meanwhile is not taken for one that failed. */
	uint64_t attempted = __atomic_load_n(&record->now.attempted, __ATOMIC_ACQUIRE);

	row->polls_ok = record->now.ok - record->base.ok;
	attempted -= record->base.attempted;
	row->polls_failed = attempted > row->polls_ok ? attempted - row->polls_ok : 0;
	row->poll_ok_ns = record->now.ok_ns - record->base.ok_ns;
	row->poll_failed_ns = record->now.failed_ns - record->base.failed_ns;
	row->grows = record->grows;
	row->shrinks = record->shrinks;
	row->window_ns = record->window_ns;
	row->ple_grows = record->ple_grows;
	row->ple_shrinks = record->ple_shrinks;
	row->ple_spun = record->ple_spun;
	row->ple_window = record->ple_window ?: UINT64_MAX;
	row->tsc_khz = record->tsc_khz ?: UINT64_MAX;
}

/* Most vCPUs have none. */
static int also(const struct attachment *at, uint32_t slot, const struct row *to)
{
	const struct poll_row *row = (const struct poll_row *)to;

	(void)at;
	(void)slot;
	return row->ple_grows + row->ple_shrinks ? VIEW_PLE : -ENOENT;
}

static const struct record_kind records = {
	.records = MAP(poll_records),
	.record_size = sizeof(struct poll_record),
	.per_slot = 1,
	.in_use_at = offsetof(struct poll_record, in_use),
	.label = label,
	.also = also,
	.sample = sample,
};

static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	(void)scope;
	return view != VIEW_PLE || attach__has(at, "kvm_ple_window_update");
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct poll_row *row = (struct poll_row *)sample->row;
	uint64_t wall = (window->now_ns - window->since_ns) * sample->nr_vcpus,
		 polls = row->polls_ok + row->polls_failed;

	(void)at;
	row->caught = polls ? 100.0 * row->polls_ok / polls : NAN;
	row->burnt = wall ? 100.0 * row->poll_failed_ns / wall : NAN;
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct poll_event *event = data;
	const struct vcpu_ref *ref;
	struct poll_row row = {};

	if (size < sizeof(*event))
		return;
	ref = vcpus__get_new(at->env->vcpus, event->head.slot);
	if (!ref || !ref->chosen)
		return;
	vcpu_ref__row(ref, event->head.ts_ns, &row.row);
	row.comm = event->head.comm;
	row.type = event->grow ? "grow" : "shrink";
	row.old_ns = event->old_ns;
	row.new_ns = event->new_ns;
	events__row(at, &row.row);
}

#define OF_POLLS .views = 1 << VIEW_POLLS
#define OF_PLE .views = 1 << VIEW_PLE
#define POLL(_name, _at, _constant, _help)                                              \
	METRIC(struct poll_row, COUNTER, _name, _at, OF_POLLS, .constant = (_constant), \
	       .help = (_help))

static const struct metric metrics[] = {
	POLL("kvm_halt_polls", polls_ok, "result=\"success\"",
	     "Polls before a halted vCPU sleeps; a wake-up ends the successful ones."),
	POLL("kvm_halt_polls", polls_failed, "result=\"failure\"",
	     "Polls before a halted vCPU sleeps; a wake-up ends the successful ones."),
	POLL("kvm_halt_poll_seconds", poll_ok_ns, "result=\"success\"",
	     "Time spent polling; failed polls waste theirs."),
	POLL("kvm_halt_poll_seconds", poll_failed_ns, "result=\"failure\"",
	     "Time spent polling; failed polls waste theirs."),
	POLL("kvm_halt_poll_window_changes", grows, "direction=\"grow\"",
	     "Changes of the polling window."),
	POLL("kvm_halt_poll_window_changes", shrinks, "direction=\"shrink\"",
	     "Changes of the polling window."),
	METRIC(struct poll_row, GAUGE, "kvm_halt_poll_window_seconds", window_ns, OF_POLLS,
	       .by_vcpu = true, .scale = SCALE_NSEC, .help = "Current polling window."),
	METRIC(struct poll_row, COUNTER, "kvm_pause_loop_window_changes", ple_grows, OF_PLE,
	       .constant = "direction=\"grow\"",
	       .help = "Changes of the PAUSE loop window; it grows when a loop fills it."),
	METRIC(struct poll_row, COUNTER, "kvm_pause_loop_window_changes", ple_shrinks, OF_PLE,
	       .constant = "direction=\"shrink\"",
	       .help = "Changes of the PAUSE loop window; it grows when a loop fills it."),
	{},
};

const struct monitor halt_poll_ns_monitor = {
	.name = "halt_poll_ns",
	.key = 'n',
	.help = "halt-polling time changes",
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct poll_row),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.shows = shows,
	.finish = finish,
	.event = event,
	.event_view = VIEW_CHANGES,
	.events_alone = true,
};
