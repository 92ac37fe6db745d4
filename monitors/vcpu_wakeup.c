// SPDX-License-Identifier: GPL-2.0-only
/* -w: vCPU wake-ups. The kernel half is vcpu_wakeup.bpf.c. */
#include "vcpu_wakeup.h"

#include <stdlib.h>
#include <string.h>

#include "../core/attach.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "vcpu_wakeup.skel.h"

enum { VIEW_EVENTS, VIEW_SUMMARY, VIEW_HISTOGRAM };
enum { BAR_LEN = 30 };

struct wakeup_row {
	struct row row;
	uint64_t halt_ns;
	const char *comm;
	const char *mode;
	const char *valid_word;
	bool valid;
	uint64_t count;
	uint64_t polled;
	uint64_t waited;
	uint64_t invalid;
	uint64_t total_ns;
	uint64_t min_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	uint64_t wake_count;
	uint64_t wake_p50_ns;
	uint64_t wake_p99_ns;
	uint64_t wake_max_ns;
	uint64_t from_ns;
	uint64_t to_ns;
	uint64_t halts;
	uint64_t wakes;
	const char *bar;
};

static const struct view views[] = {
	[VIEW_EVENTS] = { .title = "VCPU_WAKEUP", .per_vcpu = true },
	[VIEW_SUMMARY] = { .title = "HALTS AND WAKE-UPS", .per_vcpu = true },
	[VIEW_HISTOGRAM] = { .title = "HISTOGRAM OF HALTS AND WAKE-UPS", .per_vcpu = true },
	{},
};

extern const struct monitor vcpu_wakeup_monitor;

#define COL(...) COLUMN(struct wakeup_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_EVENTS
#define SUMMARY .views = 1 << VIEW_SUMMARY
#define HISTOGRAM .views = 1 << VIEW_HISTOGRAM

static const struct column columns[] = {
	COL(halt_ns, "DUR_HALT", COL_NSEC, ROLE_GAUGE, EVENT, .width = 10,
	    .help = "how long the vCPU was halted, polling included"),
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, EVENT, .width = 15, .help = "the vCPU's thread"),
	COL(mode, "WAIT/POLL", COL_STRING, ROLE_LABEL, EVENT,
	    .help = "wait: the thread slept; poll: polling caught the wake-up"),
	COL(valid_word, "VALID?", COL_STRING, ROLE_LABEL, EVENT, .flags = COL_TABLE_ONLY,
	    .width = 7, .help = "invalid: KVM takes the wake-up for one that polling can't help"),
	COL(valid, NULL, COL_BOOL, ROLE_LABEL, EVENT, .flags = COL_DATA_ONLY, .help = "the same"),

	COL(count, "COUNT", COL_U64, ROLE_COUNTER, SUMMARY, .help = "halts that ended"),
	COL(polled, "POLL", COL_U64, ROLE_COUNTER, SUMMARY, .help = "of them: without sleeping"),
	COL(waited, NULL, COL_U64, ROLE_COUNTER, SUMMARY, .flags = COL_DATA_ONLY,
	    .help = "of them: asleep"),
	COL(invalid, "INVALID", COL_U64, ROLE_COUNTER, SUMMARY, .help = "of them: not valid"),
	COL(total_ns, "HALTED", COL_NSEC, ROLE_COUNTER, SUMMARY, .help = "their time"),
	COL(min_ns, NULL, COL_NSEC, ROLE_GAUGE, SUMMARY, .flags = COL_DATA_ONLY,
	    .help = "shortest halt"),
	COL(max_ns, "MAX", COL_NSEC, ROLE_GAUGE, SUMMARY, .help = "longest halt"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, SUMMARY, .help = "median halt, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, SUMMARY, .flags = COL_DATA_ONLY,
	    .help = "90th percentile of the halts"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, SUMMARY, .help = "99th percentile of the halts"),
	COL(wake_count, NULL, COL_U64, ROLE_COUNTER, SUMMARY, .flags = COL_DATA_ONLY,
	    .help = "wake-ups timed until the guest was entered"),
	COL(wake_p50_ns, "WAKE_P50", COL_NSEC, ROLE_GAUGE, SUMMARY,
	    .help = "from the wake-up to the guest: median"),
	COL(wake_p99_ns, "WAKE_P99", COL_NSEC, ROLE_GAUGE, SUMMARY,
	    .help = "99th percentile of that"),
	COL(wake_max_ns, "WAKE_MAX", COL_NSEC, ROLE_GAUGE, SUMMARY, .help = "longest"),

	COL(from_ns, "FROM", COL_NSEC, ROLE_LABEL, HISTOGRAM, .help = "times from here on"),
	COL(to_ns, "TO", COL_NSEC, ROLE_LABEL, HISTOGRAM, .help = "and below"),
	COL(halts, "HALTS", COL_U64, ROLE_COUNTER, HISTOGRAM, .help = "halts that long"),
	COL(wakes, "WAKE-UPS", COL_U64, ROLE_COUNTER, HISTOGRAM,
	    .help = "wake-ups that took so long to the guest"),
	COL(bar, "HALTS", COL_STRING, ROLE_LABEL, HISTOGRAM, .flags = COL_TABLE_ONLY,
	    .width = BAR_LEN, .help = "the halts as a bar"),
	{},
};

static const struct hook hooks[] = {
	/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
	{ "sched_waking", HOOK_RAW_TP, "sched_waking", "waking_raw_tp",
	  .gives = "the latency of wake-ups of sleeping vCPUs" },
	{ "sched_waking", HOOK_TP_BTF, "sched_waking", "waking_tp_btf" },

	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", "entry_raw_tp", VENDOR_VMX | VENDOR_SVM,
	  .gives = "the wake-up latency", .at_entry = true },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", "entry_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", "entry_tracepoint", VENDOR_VMX | VENDOR_SVM },

	{ "kvm_vcpu_wakeup", HOOK_TRACEPOINT, "kvm_vcpu_wakeup", "wakeup_tracepoint",
	  .gives = "the wake-ups", .primary = true },
	{ "kvm_vcpu_wakeup", HOOK_RAW_TP, "kvm_vcpu_wakeup", "wakeup_raw_tp" },
	{ "kvm_vcpu_wakeup", HOOK_TP_BTF, "kvm_vcpu_wakeup", "wakeup_tp_btf" },
	{},
};

/* Counters at one moment. */
struct look {
	uint64_t counts[NR_HALT_MODES];
	uint64_t invalid;
};

struct series {
	struct series_head head;
	struct look now, before;
	struct stat_series halt, wake;
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "wakeup_records",
	.record_size = sizeof(struct wakeup_record),
	.per_slot = 1,
};

static struct series_set set;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	return series__prepare(&set, &kind, obj, vcpus__max(at->env->vcpus) + 1);
}

static int start(struct attachment *at)
{
	return series__open(&set, at->obj);
}

static void stop(struct attachment *at)
{
	(void)at;
	series__close(&set);
}

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
	row.comm = event->head.comm;
	row.mode = event->waited ? "wait" : "poll";
	row.valid = event->valid;
	row.valid_word = event->valid ? "valid" : "invalid";
	output__row(at->env->out, &row.row, 0);
}

static void write_row(const struct window *window, const struct series *s,
		      const struct look *before, const struct stat_delta *halt,
		      const struct stat_delta *wake)
{
	struct wakeup_row row = { .row = s->head.row };
	const struct look *now = &s->now;

	row.row.ts_ns = window->now_ns;
	row.polled = counter__delta(now->counts[HALT_POLLED], before->counts[HALT_POLLED]);
	row.waited = counter__delta(now->counts[HALT_WAITED], before->counts[HALT_WAITED]);
	row.count = row.polled + row.waited;
	row.invalid = counter__delta(now->invalid, before->invalid);
	if (!row.count)
		return;
	row.total_ns = halt->total_ns;
	row.min_ns = halt->min_ns;
	row.max_ns = halt->max_ns;
	row.p50_ns = stat_delta__percentile(halt, 50);
	row.p90_ns = stat_delta__percentile(halt, 90);
	row.p99_ns = stat_delta__percentile(halt, 99);
	row.wake_count = wake->timed;
	row.wake_p50_ns = stat_delta__percentile(wake, 50);
	row.wake_p99_ns = stat_delta__percentile(wake, 99);
	row.wake_max_ns = wake->max_ns;
	output__row(window->out, &row.row, 0);
}

static void write_summary(const struct window *window, struct series **list, size_t nr)
{
	static const struct look none;

	window__begin(window, &vcpu_wakeup_monitor, VIEW_SUMMARY);
	for (size_t i = 0; i < nr; i++) {
		const struct series *s = list[i];

		if (window->scope == SCOPE_INTERVAL)
			write_row(window, s, &s->before, &s->halt.grown, &s->wake.grown);
		else
			write_row(window, s, &none, &s->halt.run, &s->wake.run);
	}
	output__end(window->out);
}

/* One row per power of two: four of the records' buckets. */
static void write_histogram_of(const struct window *window, const struct series *s)
{
	enum { STEP = 1 << STAT_SUB_BITS, ROWS = STAT_BUCKETS / STEP };
	static const char full[] = "##############################";
	uint64_t halts[ROWS] = {}, wakes[ROWS] = {}, most = 1;
	struct wakeup_row row = { .row = s->head.row };

	for (int i = 0; i < STAT_BUCKETS; i++) {
		halts[i / STEP] += s->halt.run.hist[i];
		wakes[i / STEP] += s->wake.run.hist[i];
	}
	for (int i = 0; i < ROWS; i++)
		most = halts[i] > most ? halts[i] : most;
	row.row.ts_ns = window->now_ns;
	for (int i = 0; i < ROWS; i++) {
		if (!halts[i] && !wakes[i])
			continue;
		row.from_ns = stat_bucket__low(i * STEP);
		row.to_ns = i == ROWS - 1 ? UINT64_MAX : stat_bucket__low((i + 1) * STEP);
		row.halts = halts[i];
		row.wakes = wakes[i];
		row.bar = full + BAR_LEN - (halts[i] * BAR_LEN + most - 1) / most;
		output__row(window->out, &row.row, 0);
	}
}

static void write_histogram(const struct window *window, struct series **list, size_t nr)
{
	window__begin(window, &vcpu_wakeup_monitor, VIEW_HISTOGRAM);
	for (size_t i = 0; i < nr; i++)
		write_histogram_of(window, list[i]);
	output__end(window->out);
}

static void look(struct attachment *at)
{
	struct wakeup_record *records = set.records;

	for (size_t slot = 1; slot < set.nr; slot++) {
		struct wakeup_record *record = &records[slot];
		struct series *s = record->in_use ? series__of(&set, at->env->vcpus, slot) : NULL;

		if (!s)
			continue;
		s->before = s->now;
		memcpy(s->now.counts, record->counts, sizeof(s->now.counts));
		s->now.invalid = record->invalid;
		stat_series__look(&s->halt, &record->halt, at->ended_epoch);
		stat_series__look(&s->wake, &record->wake, at->ended_epoch);
	}
}

static void report(struct attachment *at, const struct window *window)
{
	struct series **list;
	size_t nr;

	if (window->scope == SCOPE_INTERVAL)
		look(at);
	list = (struct series **)series__sorted(&set, window->scope == SCOPE_TOTAL, &nr);
	if (!list)
		return;
	write_summary(window, list, nr);
	if (window->scope == SCOPE_TOTAL)
		write_histogram(window, list, nr);
	free(list);
	if (window->scope == SCOPE_INTERVAL)
		series__retire_ended(&set, at->env->vcpus, at->obj);
}

const struct monitor vcpu_wakeup_monitor = {
	.name = "vcpu_wakeup",
	.key = 'w',
	.help = "vCPU wake-ups",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = vcpu_wakeup_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENTS,
	.stop = stop,
};
