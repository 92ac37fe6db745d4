// SPDX-License-Identifier: GPL-2.0-only
/* -w: vCPU wake-ups. The kernel half is vcpu_wakeup.bpf.c. */
#include "vcpu_wakeup.h"

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/events.h"
#include "../core/iter.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "vcpu_wakeup.skel.h"

DEFINE_OPEN_SKELETON(vcpu_wakeup_bpf)

#define MAP(_name) offsetof(struct vcpu_wakeup_bpf, maps._name)
#define PROG(_name) offsetof(struct vcpu_wakeup_bpf, progs._name)

enum { VIEW_EVENTS, VIEW_SUMMARY, VIEW_SLOW };
enum { OF_EVENTS = 1 << VIEW_EVENTS | 1 << VIEW_SLOW };

struct wakeup_row {
	struct row row;
	uint64_t halt_ns;
	uint64_t latency_ns;
	const char *comm;
	const char *mode;
	const char *valid_word;
	bool valid;
	uint64_t count;
	uint64_t polled;
	uint64_t waited;
	uint64_t invalid;
	struct times halt; /* of those that ended */
	uint64_t total_ns; /* of all */
	uint32_t open;
	uint64_t min_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	struct times wake;
	uint64_t wake_count;
	uint64_t wake_p50_ns;
	uint64_t wake_p99_ns;
	uint64_t wake_max_ns;
};

static const struct view views[] = {
	[VIEW_EVENTS] = { .title = "VCPU_WAKEUP", .name = "VCPU_WAKEUP", .per_vcpu = true },
	[VIEW_SUMMARY] = { .title = "HALTS AND WAKE-UPS",
			   .name = "HALTS",
			   .per_vcpu = true,
			   .histogram = true,
			   SAMPLES_OF(VIEW_SUMMARY) },
	[VIEW_SLOW] = { .title = "SLOW VCPU_WAKEUP", .name = "SLOW_WAKEUP", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct wakeup_row, __VA_ARGS__)
#define EVENT .views = OF_EVENTS
#define SLOW .views = 1 << VIEW_SLOW
#define SUMMARY .views = 1 << VIEW_SUMMARY
#define HALT(what) SUMMARY, OF_TIMES(struct wakeup_row, halt, what)
#define WAKE(what) SUMMARY, OF_TIMES(struct wakeup_row, wake, what)

static const struct column columns[] = {
	COL(latency_ns, "LATENCY", COL_NSEC, ROLE_GAUGE, SLOW, .width = 10,
	    .help = "time from the wake-up to the guest"),
	COL(halt_ns, "DUR_HALT", COL_NSEC, ROLE_GAUGE, EVENT, .width = 10,
	    .help = "time the vCPU was halted, including polling"),
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, EVENT, .width = 15,
	    .help = "name of the vCPU's thread"),
	COL(mode, "WAIT/POLL", COL_STRING, ROLE_LABEL, EVENT,
	    .help = "wait: the thread slept; poll: the wake-up came during polling"),
	COL(valid_word, "VALID?", COL_STRING, ROLE_LABEL, EVENT, .flags = COL_TABLE_ONLY,
	    .width = 7, .help = "invalid: KVM treats the wake-up as one that polling can't help"),
	COL(valid, NULL, COL_BOOL, ROLE_LABEL, EVENT, .flags = COL_DATA_ONLY,
	    .help = "true: the wake-up was valid"),

	COL(count, "COUNT", COL_U64, ROLE_COUNTER, SUMMARY, .help = "ended halts"),
	COL(polled, "POLL", COL_U64, ROLE_COUNTER, SUMMARY,
	    .help = "of COUNT, halts that ended while polling"),
	COL(waited, NULL, COL_U64, ROLE_COUNTER, SUMMARY, .flags = COL_DATA_ONLY,
	    .help = "of COUNT, halts that slept"),
	COL(invalid, "INVALID", COL_U64, ROLE_COUNTER, SUMMARY,
	    .help = "of COUNT, halts whose wake-up was not valid"),
	COL(halt, "HALTS", COL_TIMES, ROLE_COUNTER, SUMMARY, .help = "durations of halts"),
	COL(total_ns, "HALTED", COL_NSEC, ROLE_COUNTER, SUMMARY,
	    .help = "time halted, including a current halt"),
	COL(open, "OPEN", COL_U32, ROLE_GAUGE, SUMMARY, .merge = MERGE_SUM,
	    .help = "vCPUs halted at the end of the interval: not in COUNT yet"),
	COL(min_ns, NULL, COL_NSEC, ROLE_GAUGE, HALT(MIN), .flags = COL_DATA_ONLY,
	    .help = "shortest halt"),
	COL(max_ns, "MAX", COL_NSEC, ROLE_GAUGE, HALT(MAX), .help = "longest halt"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, HALT(P50), .help = "median halt, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, HALT(P90), .flags = COL_DATA_ONLY,
	    .help = "90th percentile of the halts"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, HALT(P99), .help = "99th percentile of the halts"),
	COL(wake, "WAKE-UPS", COL_TIMES, ROLE_COUNTER, SUMMARY, .flags = COL_COST,
	    .help = "time from the wake-up to the guest"),
	COL(wake_count, NULL, COL_U64, ROLE_COUNTER, WAKE(COUNT), .flags = COL_DATA_ONLY,
	    .help = "wake-ups timed until guest entry"),
	COL(wake_p50_ns, "WAKE_P50", COL_NSEC, ROLE_GAUGE, WAKE(P50), .flags = COL_WORSE,
	    .help = "median time from the wake-up to the guest"),
	COL(wake_p99_ns, "WAKE_P99", COL_NSEC, ROLE_GAUGE, WAKE(P99), .flags = COL_WORSE,
	    .help = "99th percentile of the time from the wake-up to the guest"),
	COL(wake_max_ns, "WAKE_MAX", COL_NSEC, ROLE_GAUGE, WAKE(MAX), .flags = COL_WORSE,
	    .help = "longest time from the wake-up to the guest"),
	{},
};

/*
 * kvm_vcpu_halt() is all of a halt since 5.17, which brought trees of slots; before, x86 had
 * another function of that name.
 */
static bool halts_in_halt(void)
{
	return !host__memslots_in_array();
}

static const struct hook hooks[] = {
	/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
	{ "sched_waking", HOOK_TP_BTF, "sched_waking", PROG(waking_tp_btf),
	  .gives = "the latency of wake-ups of sleeping vCPUs" },
	{ "sched_waking", HOOK_RAW_TP, "sched_waking", PROG(waking_raw_tp) },

	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp), VENDOR_VMX | VENDOR_SVM,
	  .gives = "the wake-up latency", .called_at = AT_ENTRY },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", PROG(entry_tp_btf), VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", PROG(entry_tracepoint),
	  VENDOR_VMX | VENDOR_SVM },

	{ "kvm_vcpu_wakeup", HOOK_TRACEPOINT, "kvm_vcpu_wakeup", PROG(wakeup_tracepoint),
	  .gives = "the wake-ups", .primary = true },
	{ "kvm_vcpu_wakeup", HOOK_RAW_TP, "kvm_vcpu_wakeup", PROG(wakeup_raw_tp) },
	{ "kvm_vcpu_wakeup", HOOK_TP_BTF, "kvm_vcpu_wakeup", PROG(wakeup_tp_btf) },

	/* The kprobe first: Debian's 6.12 attaches fentry to kvm_vcpu_halt() and never calls it. */
	{ "kvm_vcpu_halt", HOOK_KPROBE, "kvm_vcpu_halt", PROG(halt_kprobe),
	  .gives = "the time of halts before they end", .applies = halts_in_halt },
	{ "kvm_vcpu_halt", HOOK_FENTRY, "kvm_vcpu_halt", PROG(halt_fentry),
	  .applies = halts_in_halt },
	{ "kvm_vcpu_halt", HOOK_FENTRY, "kvm_vcpu_block", PROG(halt_fentry_old),
	  .gives = "the time of halts before they end", .applies = host__memslots_in_array },
	{ "kvm_vcpu_halt", HOOK_KPROBE, "kvm_vcpu_block", PROG(halt_kprobe_old),
	  .applies = host__memslots_in_array },

	{ "task", HOOK_ITER, "task", PROG(halted),
	  .gives = "the first halt of vCPUs that were halted when watching started" },
	{},
};

/* Where nothing tells when a halt begins, those that last are looked for at each look. */
static void look(struct attachment *at)
{
	int link = attach__iterator(at, "task");

	if (link >= 0 && !attach__has(at, "kvm_vcpu_halt"))
		iter__read(link, NULL, NULL);
}

static int label(struct attachment *at, uint32_t slot, struct row *row)
{
	(void)at;
	(void)slot;
	(void)row;
	return VIEW_SUMMARY;
}

/*
 * In this order: what is timed is counted, of the halts no more are invalid than
 * there were, and none is open that is counted.
 */
static void sample(struct attachment *at, uint32_t slot, struct row *to)
{
	struct wakeup_record *record = records__get(&at->records, slot);
	const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, slot);
	struct wakeup_row *row = (struct wakeup_row *)to;
	uint64_t since, total;

	records__times(at, slot, &row->wake, &record->wake);
	records__times(at, slot, &row->halt, &record->halt);
	row->invalid = __atomic_load_n(&record->invalid, __ATOMIC_ACQUIRE);
	row->polled = record->counts[HALT_POLLED];
	row->waited = record->counts[HALT_WAITED];
	row->count = row->polled + row->waited;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	since = __atomic_load_n(&record->halt_since, __ATOMIC_RELAXED);
	total = row->halt.total_ns;
	row->open = since && ref && !ref->ended;
	if (row->open && at->now_ns > since)
		total += at->now_ns - since;
	row->total_ns = records__passed(at, slot, total);
}

static const struct record_kind records = {
	.records = MAP(wakeup_records),
	.record_size = sizeof(struct wakeup_record),
	.per_slot = 1,
	.in_use_at = offsetof(struct wakeup_record, in_use),
	.begins_in_record = offsetof(struct wakeup_record, halt_since),
	.label = label,
	.sample = sample,
};

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct wakeup_event *event = data;
	struct wakeup_row row = {};
	const struct vcpu_ref *ref;

	if (size < sizeof(*event))
		return;
	ref = vcpus__get_new(at->env->vcpus, event->head.slot);
	if (!ref || !ref->chosen)
		return;
	vcpu_ref__row(ref, event->head.ts_ns, &row.row);
	row.halt_ns = event->halt_ns;
	row.latency_ns = event->wake_ns;
	row.comm = event->head.comm;
	row.mode = event->flags & WAKEUP_WAITED ? "wait" : "poll";
	row.valid = event->flags & WAKEUP_VALID;
	row.valid_word = row.valid ? "valid" : "invalid";
	events__row(at, &row.row);
}

#define OF_HALTS .views = 1 << VIEW_SUMMARY

static const struct metric metrics[] = {
	METRIC(struct wakeup_row, COUNTER, "kvm_halts", polled, OF_HALTS,
	       .constant = "how=\"poll\"", .help = "Ended halts: while polling, or asleep."),
	METRIC(struct wakeup_row, COUNTER, "kvm_halts", waited, OF_HALTS,
	       .constant = "how=\"wait\"", .help = "Ended halts: while polling, or asleep."),
	METRIC(struct wakeup_row, COUNTER, "kvm_halts_invalid", invalid, OF_HALTS,
	       .help = "Halts whose wake-up KVM treats as one that polling can't help."),
	METRIC(struct wakeup_row, HISTOGRAM, "kvm_halt_duration_seconds", halt, OF_HALTS,
	       .help = "Duration of halts, including polling."),
	METRIC(struct wakeup_row, HISTOGRAM, "kvm_wakeup_latency_seconds", wake, OF_HALTS,
	       .help = "Time from the wake-up of a halted vCPU until it runs its guest."),
	{},
};

const struct monitor vcpu_wakeup_monitor = {
	.name = "vcpu_wakeup",
	.key = 'w',
	.help = "vCPU wake-ups",
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct wakeup_row),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.look = look,
	.event = event,
	.event_view = VIEW_EVENTS,
	.slow_view = VIEW_SLOW,
	.event_ns_at = offsetof(struct wakeup_row, latency_ns),
	.events_alone = true,
};
