// SPDX-License-Identifier: GPL-2.0-only
/* -n: halt-polling. The kernel half is halt_poll_ns.bpf.c. */
#include "halt_poll_ns.h"

#include <stdlib.h>
#include <string.h>

#include "../core/attach.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "halt_poll_ns.skel.h"

enum { VIEW_CHANGES, VIEW_POLLS };

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
};

static const struct view views[] = {
	[VIEW_CHANGES] = { .title = "HALT_POLL_NS", .per_vcpu = true },
	[VIEW_POLLS] = { .title = "HALT_POLLING", .per_vcpu = true },
	{},
};

extern const struct monitor halt_poll_ns_monitor;

#define COL(...) COLUMN(struct poll_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_CHANGES
#define COUNTS .views = 1 << VIEW_POLLS

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, EVENT, .width = 15, .help = "the vCPU's thread"),
	COL(type, "TYPE", COL_STRING, ROLE_LABEL, EVENT, .width = 6, .help = "grow or shrink"),
	COL(old_ns, "OLD(ns)", COL_U64, ROLE_GAUGE, EVENT, .width = 8,
	    .help = "the polling window before"),
	COL(new_ns, "NEW(ns)", COL_U64, ROLE_GAUGE, EVENT, .width = 8, .help = "and from now on"),
	COL(polls_ok, "OK", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "polls that a wake-up ended (KVM's halt_successful_poll)"),
	COL(polls_failed, "FAILED", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "polls that ended without one (halt_attempted_poll less the successful)"),
	COL(caught, "CAUGHT%", COL_PERCENT, ROLE_GAUGE, COUNTS, .flags = COL_TABLE_ONLY,
	    .help = "of the polls: those that a wake-up ended"),
	COL(poll_ok_ns, "OK_TIME", COL_NSEC, ROLE_COUNTER, COUNTS,
	    .help = "spent in successful polls (halt_poll_success_ns)"),
	COL(poll_failed_ns, "FAIL_TIME", COL_NSEC, ROLE_COUNTER, COUNTS,
	    .help = "burnt in failed polls (halt_poll_fail_ns)"),
	COL(burnt, "BURNT%", COL_PERCENT, ROLE_GAUGE, COUNTS, .flags = COL_TABLE_ONLY,
	    .help = "of a CPU: the time of failed polls"),
	COL(grows, "GROWN", COL_U64, ROLE_COUNTER, COUNTS, .help = "times the window grew"),
	COL(shrinks, "SHRUNK", COL_U64, ROLE_COUNTER, COUNTS, .help = "times it shrank"),
	COL(window_ns, "WINDOW(ns)", COL_U64, ROLE_GAUGE, COUNTS, .help = "the polling window now"),
	{},
};

static const struct hook hooks[] = {
	/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
	{ "kvm_fpu", HOOK_TRACEPOINT, "kvm_fpu", "run_tracepoint",
	  .gives = "the first halt of each vCPU" },
	{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", "run_raw_tp" },
	{ "kvm_fpu", HOOK_TP_BTF, "kvm_fpu", "run_tp_btf" },

	{ "kvm_halt_poll_ns", HOOK_TRACEPOINT, "kvm_halt_poll_ns", "change_tracepoint",
	  .gives = "the changes of the polling window", .primary = true },
	{ "kvm_halt_poll_ns", HOOK_RAW_TP, "kvm_halt_poll_ns", "change_raw_tp" },
	{ "kvm_halt_poll_ns", HOOK_TP_BTF, "kvm_halt_poll_ns", "change_tp_btf" },

	{ "kvm_vcpu_wakeup", HOOK_TRACEPOINT, "kvm_vcpu_wakeup", "wakeup_tracepoint",
	  .gives = "the polls and their times", .primary = true },
	{ "kvm_vcpu_wakeup", HOOK_RAW_TP, "kvm_vcpu_wakeup", "wakeup_raw_tp" },
	{ "kvm_vcpu_wakeup", HOOK_TP_BTF, "kvm_vcpu_wakeup", "wakeup_tp_btf" },

	{ "task_file", HOOK_ITER, "task_file", "existing",
	  .gives = "the first halt of vCPUs that were in KVM when watching started" },
	{},
};

struct series {
	struct series_head head;
	struct poll_record base; /* at the begin of the interval; zero at first */
	struct poll_record now;
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "poll_records",
	.record_size = sizeof(struct poll_record),
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
	output__row(at->env->out, &row.row, 0);
}

/* What was added between two looks, in KVM's counters since the vCPU was first seen. */
static void fill_counts(struct poll_row *row, const struct poll_record *now,
			const struct poll_record *before)
{
	static const struct poll_record none;
	const struct poll_counts *from = before ? &before->now : &now->base;
	uint64_t attempted = counter__delta(now->now.attempted, from->attempted);

	row->polls_ok = counter__delta(now->now.ok, from->ok);
	row->polls_failed = attempted > row->polls_ok ? attempted - row->polls_ok : 0;
	row->poll_ok_ns = counter__delta(now->now.ok_ns, from->ok_ns);
	row->poll_failed_ns = counter__delta(now->now.failed_ns, from->failed_ns);
	before = before ? before : &none;
	row->grows = counter__delta(now->grows, before->grows);
	row->shrinks = counter__delta(now->shrinks, before->shrinks);
	row->window_ns = now->window_ns;
}

static void write_row(const struct window *window, const struct series *s)
{
	uint64_t wall = window->now_ns - window->since_ns, polls;
	struct poll_row row = { .row = s->head.row };

	fill_counts(&row, &s->now,
		    window->scope == SCOPE_INTERVAL && s->base.in_use ? &s->base : NULL);
	polls = row.polls_ok + row.polls_failed;
	if (window->scope == SCOPE_INTERVAL && !polls && !row.grows && !row.shrinks)
		return;
	row.row.ts_ns = window->now_ns;
	row.caught = polls ? 100.0 * row.polls_ok / polls : NAN;
	row.burnt = wall ? 100.0 * row.poll_failed_ns / wall : NAN;
	output__row(window->out, &row.row, 0);
}

static void look(const struct attachment *at)
{
	const struct poll_record *records = set.records;

	for (size_t slot = 1; slot < set.nr; slot++) {
		struct series *s =
			records[slot].in_use ? series__of(&set, at->env->vcpus, slot) : NULL;

		if (s)
			s->now = records[slot];
	}
}

static void report(struct attachment *at, const struct window *window)
{
	struct series **list;
	size_t nr;

	if (window->scope == SCOPE_INTERVAL)
		look(at);
	list = (struct series **)series__sorted(&set, window->scope == SCOPE_TOTAL, &nr);
	window__begin(window, &halt_poll_ns_monitor, VIEW_POLLS);
	for (size_t i = 0; list && i < nr; i++)
		write_row(window, list[i]);
	output__end(window->out);
	for (size_t i = 0; list && i < nr; i++)
		list[i]->base = list[i]->now;
	free(list);
	if (window->scope == SCOPE_INTERVAL)
		series__retire_ended(&set, at->env->vcpus, at->obj);
}

const struct monitor halt_poll_ns_monitor = {
	.name = "halt_poll_ns",
	.key = 'n',
	.help = "halt-polling time changes",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = halt_poll_ns_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_CHANGES,
	.stop = stop,
};
