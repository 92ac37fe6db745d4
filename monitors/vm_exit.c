// SPDX-License-Identifier: GPL-2.0-only
/* -e: VM exits, to KVM and to user space. The kernel half is vm_exit.bpf.c. */
#include "vm_exit.h"

#include <stdlib.h>
#include <string.h>
#include <linux/kvm.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/exit_reasons.h"
#include "vm_exit.skel.h"

enum { REASON_LEN = 48 };
enum { VIEW_KVM, VIEW_USER };

struct exit_row {
	struct row row;
	const char *kind;
	const char *reason;
	uint64_t reason_code;
	uint64_t count;
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t min_ns;
	uint64_t avg_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	double share;
};

static const struct view views[] = {
	[VIEW_KVM] = { .title = "KVM_EXIT", .per_vcpu = true },
	[VIEW_USER] = { .title = "KVM_USERSPACE_EXIT", .per_vcpu = true },
	{},
};

extern const struct monitor vm_exit_monitor;

#define COL(...) COLUMN(struct exit_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "kvm: handled in KVM or beyond; userspace: what the VMM took"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER,
	    .help = "kvm: from kvm_exit to the next kvm_entry; userspace: until KVM_RUN again"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .help = "longest"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, .help = "shortest"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .help = "exits"),
	COL(share, "SHARE%", COL_PERCENT, ROLE_GAUGE, .flags = COL_TABLE_ONLY,
	    .help = "of the wall time of this vCPU; halts have none"),
	COL(avg_ns, "AVG", COL_NSEC, ROLE_GAUGE, .flags = COL_TABLE_ONLY, .help = "mean"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, .help = "median, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, .flags = COL_DATA_ONLY,
	    .help = "90th percentile, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, .help = "99th percentile, within 12.5 %"),
	COL(reason, "REASON", COL_STRING, ROLE_LABEL, .help = "as the kernel spells it"),
	COL(reason_code, NULL, COL_U64, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "the number behind it"),
	{},
};

/* Without -p the programs that run most do not even look whether there is one. */
static bool all_vms(const struct attachment *at)
{
	return !at->env->filter->pid;
}

#define KVM_EXIT_TABLE .gives = "the table KVM_EXIT", .primary = true

static const struct hook hooks[] = {
	/* Preemptible context: classic tracepoints first, see enum hook_kind. */
	{ "kvm_run", HOOK_TRACEPOINT, "kvm_fpu", "run_tracepoint",
	  .gives = "the end of user-space exits" },
	{ "kvm_run", HOOK_RAW_TP, "kvm_fpu", "run_raw_tp" },
	{ "kvm_run", HOOK_TP_BTF, "kvm_fpu", "run_tp_btf" },
	{ "kvm_run", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", "run_fentry" },
	{ "kvm_run", HOOK_KPROBE, "kvm_arch_vcpu_ioctl_run", "run_kprobe" },

	{ "kvm_userspace_exit", HOOK_TRACEPOINT, "kvm_userspace_exit", "leave_tracepoint",
	  .gives = "the table KVM_USERSPACE_EXIT", .primary = true },
	{ "kvm_userspace_exit", HOOK_RAW_TP, "kvm_userspace_exit", "leave_raw_tp" },
	{ "kvm_userspace_exit", HOOK_TP_BTF, "kvm_userspace_exit", "leave_tp_btf" },
	{ "kvm_userspace_exit", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", "leave_fexit" },

	/* Interrupts are off, or preemption is, where these fire: the cheapest first. */
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", "entry_raw_tp", VENDOR_VMX | VENDOR_SVM,
	  .gives = "the times of the table KVM_EXIT", .asked = all_vms },
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", "entry_raw_tp_chosen", VENDOR_VMX | VENDOR_SVM,
	  .gives = "the times of the table KVM_EXIT" },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", "entry_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_FENTRY, "vmx_vcpu_run", "entry_fentry_vmx", VENDOR_VMX },
	{ "kvm_entry", HOOK_FENTRY, "svm_vcpu_run", "entry_fentry_svm", VENDOR_SVM },
	{ "kvm_entry", HOOK_KPROBE, "vmx_vcpu_run", "entry_kprobe_vmx", VENDOR_VMX },
	{ "kvm_entry", HOOK_KPROBE, "svm_vcpu_run", "entry_kprobe_svm", VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", "entry_tracepoint", VENDOR_VMX | VENDOR_SVM },

	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_vmx", VENDOR_VMX, true, KVM_EXIT_TABLE,
	  .applies = host__can_cast, .asked = all_vms },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_vmx_chosen", VENDOR_VMX, true,
	  KVM_EXIT_TABLE, .applies = host__can_cast },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_svm", VENDOR_SVM, true,
	  .applies = host__can_cast, .asked = all_vms },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_svm_chosen", VENDOR_SVM, true,
	  .applies = host__can_cast },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp", VENDOR_VMX | VENDOR_SVM, true,
	  KVM_EXIT_TABLE, .asked = all_vms },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_chosen", VENDOR_VMX | VENDOR_SVM, true,
	  KVM_EXIT_TABLE },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_old", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_exit", HOOK_TP_BTF, "kvm_exit", "exit_tp_btf", VENDOR_VMX | VENDOR_SVM, true },
	{ "kvm_exit", HOOK_FENTRY, "vmx_vcpu_run", "exit_fexit_vmx", VENDOR_VMX, true },
	{ "kvm_exit", HOOK_FENTRY, "svm_vcpu_run", "exit_fexit_svm", VENDOR_SVM, true },
	{ "kvm_exit", HOOK_KPROBE, "vmx_vcpu_run", "exit_kretprobe_vmx", VENDOR_VMX, true },
	{ "kvm_exit", HOOK_KPROBE, "svm_vcpu_run", "exit_kretprobe_svm", VENDOR_SVM, true },
	{ "kvm_exit", HOOK_TRACEPOINT, "kvm_exit", "exit_tracepoint", VENDOR_VMX | VENDOR_SVM },
	{},
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	struct exit_key key;
	uint64_t count;		 /* at the last look */
	uint64_t grown;		 /* since the look before; in the end: in the whole run */
	struct stat_series time; /* in the same way */
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "exit_records",
	.record_size = sizeof(struct exit_record),
	.per_slot = 16,
	.index = "exit_index",
	.free_records = "free_records",
	.key_at = offsetof(struct exit_record, key),
	.slot_at = offsetof(struct exit_record, key.slot),
	.states = "exit_states",
	.state_size = sizeof(struct exit_state),
};

static struct series_set set;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	int err = series__prepare(&set, &kind, obj, vcpus__max(at->env->vcpus) + 1);

	if (!err)
		err = map__set_offset(obj, "exit_reason_at", "kvm/kvm_exit", "exit_reason");
	return err ? err : map__set_offset(obj, "exit_isa_at", "kvm/kvm_exit", "isa");
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

static bool is_halt(const struct exit_key *key)
{
	return key->kind == EXIT_TO_USER ? key->code == KVM_EXIT_HLT :
					   exit_reason__is_halt(key->kind, key->code);
}

static const char *reason_name(const struct exit_key *key, char *buf, size_t size)
{
	if (key->kind != EXIT_TO_USER)
		return exit_reason__name(key->kind, key->code, buf, size);
	if (key->code & EXIT_ERRNO) {
		const char *name = strerrorname_np(key->code & ~EXIT_ERRNO);

		snprintf(buf, size, "ERROR(%s)", name ? name : "?");
		return buf;
	}
	return userspace_reason__name(key->code, buf, size);
}

static int by_view_vcpu_time(const void *a, const void *b)
{
	const struct series *s = *(struct series *const *)a, *t = *(struct series *const *)b;
	bool user = s->key.kind == EXIT_TO_USER, user2 = t->key.kind == EXIT_TO_USER;
	int order = user != user2 ? user - user2 : series__by_vcpu(a, b);

	if (order)
		return order;
	if (s->time.grown.total_ns != t->time.grown.total_ns)
		return s->time.grown.total_ns > t->time.grown.total_ns ? -1 : 1;
	if (s->grown != t->grown)
		return s->grown > t->grown ? -1 : 1;
	return s->key.code < t->key.code ? -1 : s->key.code > t->key.code;
}

static bool same_vcpu(const struct series *a, const struct series *b)
{
	return a->head.row.tid == b->head.row.tid && a->head.row.vcpu == b->head.row.vcpu &&
	       a->head.row.vm == b->head.row.vm;
}

static void fill_times(struct exit_row *row, const struct stat_delta *d)
{
	row->total_ns = d->total_ns;
	row->min_ns = d->min_ns;
	row->max_ns = d->max_ns;
	row->avg_ns = d->timed ? d->total_ns / d->timed : UINT64_MAX;
	row->p50_ns = stat_delta__percentile(d, 50);
	row->p90_ns = stat_delta__percentile(d, 90);
	row->p99_ns = stat_delta__percentile(d, 99);
}

static void write_row(const struct window *window, const struct series *s)
{
	uint64_t wall = window->now_ns - window->since_ns;
	struct exit_row row = { .row = s->head.row };
	char reason[REASON_LEN];

	row.row.ts_ns = window->now_ns;
	row.kind = s->key.kind == EXIT_TO_USER ? "userspace" : "kvm";
	row.reason = reason_name(&s->key, reason, sizeof(reason));
	row.reason_code = s->key.code;
	row.count = s->grown;
	row.share = is_halt(&s->key) || !wall ? NAN : 100.0 * s->time.grown.total_ns / wall;
	fill_times(&row, &s->time.grown);
	output__row(window->out, &row.row, 0);
}

/* The line over all reasons of a vCPU; halts would drown the rest in it. */
static void write_all(const struct window *window, struct series **rows, size_t nr)
{
	uint64_t wall = window->now_ns - window->since_ns;
	struct exit_row row = { .row = rows[0]->head.row, .reason = "(all but halts)" };
	struct stat_delta sum;

	stat_delta__init(&sum);
	for (size_t i = 0; i < nr; i++) {
		if (is_halt(&rows[i]->key))
			continue;
		stat_delta__merge(&sum, &rows[i]->time.grown);
		row.count += rows[i]->grown;
	}
	row.row.ts_ns = window->now_ns;
	row.share = wall ? 100.0 * sum.total_ns / wall : NAN;
	fill_times(&row, &sum);
	output__row(window->out, &row.row, ROW_DERIVED);
}

static void write_view(const struct window *window, struct series **rows, size_t nr, int view)
{
	window__begin(window, &vm_exit_monitor, view);
	for (size_t i = 0, group; i < nr; i += group) {
		for (group = 0; i + group < nr && same_vcpu(rows[i], rows[i + group]); group++)
			write_row(window, rows[i + group]);
		if (group > 1)
			write_all(window, &rows[i], group);
	}
	output__end(window->out);
}

static void write_rows(const struct attachment *at, const struct window *window,
		       struct series **rows, size_t nr)
{
	size_t kvm = 0;

	qsort(rows, nr, sizeof(*rows), by_view_vcpu_time);
	while (kvm < nr && rows[kvm]->key.kind != EXIT_TO_USER)
		kvm++;
	if (attach__has(at, "kvm_exit"))
		write_view(window, rows, kvm, VIEW_KVM);
	if (attach__has(at, "kvm_userspace_exit"))
		write_view(window, rows + kvm, nr - kvm, VIEW_USER);
}

/* 1 while an exit of this record is not over. */
static unsigned int unfinished(const struct exit_record *record)
{
	const struct exit_state *state = (struct exit_state *)set.states + record->key.slot;
	uint32_t index = record - (struct exit_record *)set.records;

	/* In this order: the programs write the record before they say that there is an exit. */
	if ((__atomic_load_n(&state->vcpu, __ATOMIC_ACQUIRE) & EXITED) &&
	    __atomic_load_n(&state->record, __ATOMIC_ACQUIRE) == index)
		return 1;
	return __atomic_load_n(&state->left_ns, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&state->left_record, __ATOMIC_ACQUIRE) == index;
}

/* Takes what a record grew by since the last look. */
static void look(struct series *s, struct exit_record *record, uint64_t epoch)
{
	uint64_t count;

	stat_series__look(&s->time, &record->stat, epoch);
	count = s->time.run.timed + __atomic_load_n(&record->untimed, __ATOMIC_RELAXED);
	/* Last: an exit that ends meanwhile then is missing from both, and never in both. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	count += unfinished(record);
	if (count < s->count)
		count = s->count;
	s->key = record->key;
	s->grown = count - s->count;
	s->count = count;
	s->head.quiet = !s->grown && !s->time.grown.timed;
}

static void report(struct attachment *at, const struct window *window)
{
	struct exit_record *records = set.records;
	struct series **rows;
	size_t nr;

	for (size_t i = 1; window->scope == SCOPE_INTERVAL && i < set.nr; i++) {
		struct series *s = records[i].in_use ? series__of(&set, at->env->vcpus, i) : NULL;

		if (s)
			look(s, &records[i], at->ended_epoch);
	}
	rows = (struct series **)series__list(&set, window->scope == SCOPE_TOTAL, &nr);
	for (size_t i = 0; window->scope == SCOPE_TOTAL && i < nr; i++) {
		rows[i]->grown = rows[i]->count;
		rows[i]->time.grown = rows[i]->time.run;
	}
	if (rows)
		write_rows(at, window, rows, nr);
	free(rows);
	if (window->scope == SCOPE_INTERVAL)
		series__retire_ended(&set, at->env->vcpus, at->obj);
}

const struct monitor vm_exit_monitor = {
	.name = "vm_exit",
	.key = 'e',
	.help = "VM exits, to KVM and to user space",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = vm_exit_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.stop = stop,
};
