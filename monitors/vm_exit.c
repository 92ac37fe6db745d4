// SPDX-License-Identifier: GPL-2.0-only
/* -e: VM exits, to KVM and to user space. The kernel half is vm_exit.bpf.c. */
#include "vm_exit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/run.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../decode/exit_reasons.h"
#include "vm_exit.skel.h"

enum { RECORDS_PER_SLOT = 16, REASON_LEN = 48 };
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
	{}
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
	{}
};

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
	  .gives = "the times of the table KVM_EXIT" },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", "entry_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_FENTRY, "vmx_vcpu_run", "entry_fentry_vmx", VENDOR_VMX },
	{ "kvm_entry", HOOK_FENTRY, "svm_vcpu_run", "entry_fentry_svm", VENDOR_SVM },
	{ "kvm_entry", HOOK_KPROBE, "vmx_vcpu_run", "entry_kprobe_vmx", VENDOR_VMX },
	{ "kvm_entry", HOOK_KPROBE, "svm_vcpu_run", "entry_kprobe_svm", VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", "entry_tracepoint", VENDOR_VMX | VENDOR_SVM },

	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_cast", VENDOR_VMX | VENDOR_SVM, true,
	  .gives = "the table KVM_EXIT", .primary = true, .applies = host__can_cast },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp", VENDOR_VMX | VENDOR_SVM, true,
	  .gives = "the table KVM_EXIT", .primary = true },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp_old", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_exit", HOOK_TP_BTF, "kvm_exit", "exit_tp_btf", VENDOR_VMX | VENDOR_SVM, true },
	{ "kvm_exit", HOOK_FENTRY, "vmx_vcpu_run", "exit_fexit_vmx", VENDOR_VMX, true },
	{ "kvm_exit", HOOK_FENTRY, "svm_vcpu_run", "exit_fexit_svm", VENDOR_SVM, true },
	{ "kvm_exit", HOOK_KPROBE, "vmx_vcpu_run", "exit_kretprobe_vmx", VENDOR_VMX, true },
	{ "kvm_exit", HOOK_KPROBE, "svm_vcpu_run", "exit_kretprobe_svm", VENDOR_SVM, true },
	{ "kvm_exit", HOOK_TRACEPOINT, "kvm_exit", "exit_tracepoint", VENDOR_VMX | VENDOR_SVM },
	{}
};

/* What one kernel record has become over the run. */
struct series {
	struct exit_key key;
	struct row row;
	bool chosen;
	uint64_t count;			/* at the last look */
	struct timing stat;		/* at the last look */
	struct stat_delta extremes;	/* of the whole run: min_ns and max_ns only */
};

/* A row to be: the series and what it grew by. */
struct growth {
	const struct series *series;
	uint64_t count;
	struct stat_delta delta;
};

static struct {
	char *variables;		/* the BPF object's, and in it: */
	struct exit_state *states;
	struct exit_record *records;
	size_t variables_size, records_size, nr_records;
	struct series **live;		/* by record */
	struct series **gone;		/* of vCPUs that have ended */
	size_t nr_gone, room_gone;
} self;

static int prepare(struct run *run, struct bpf_object *obj)
{
	size_t slots = vcpus__max(run->vcpus) + 1;
	int err, at;

	self.nr_records = slots * RECORDS_PER_SLOT;
	err = map__resize(obj, "exit_records", self.nr_records);
	if (!err)
		err = map__resize(obj, "exit_index", self.nr_records);
	if (!err)
		err = map__resize(obj, "free_records", self.nr_records);
	at = host__field_offset("kvm/kvm_exit", "exit_reason");
	if (!err && at > 0)
		err = map__set_const(obj, "exit_reason_at", at);
	at = host__field_offset("kvm/kvm_exit", "isa");
	if (!err && at > 0)
		err = map__set_const(obj, "exit_isa_at", at);
	return err;
}

static int start(struct run *run, struct attachment *at)
{
	struct bpf_map *map;
	long offset = map__find_variable(at->obj, ".bss", "exit_states", &map);

	(void)run;
	if (offset < 0)
		return offset;
	self.variables = map__mmap(map, &self.variables_size);
	if (!self.variables)
		return -errno;
	self.states = (struct exit_state *)(self.variables + offset);
	self.records = map__mmap_name(at->obj, "exit_records", &self.records_size);
	if (!self.records)
		return -errno;
	self.live = calloc(self.nr_records, sizeof(*self.live));
	if (!self.live)
		return -ENOMEM;
	return map__fill_queue(at->obj, "free_records", 1, self.nr_records - 1);
}

static void stop(struct run *run, struct attachment *at)
{
	(void)run;
	(void)at;
	if (self.variables)
		munmap(self.variables, self.variables_size);
	if (self.records)
		munmap(self.records, self.records_size);
	for (size_t i = 0; self.live && i < self.nr_records; i++)
		free(self.live[i]);
	for (size_t i = 0; i < self.nr_gone; i++)
		free(self.gone[i]);
	free(self.live);
	free(self.gone);
	memset(&self, 0, sizeof(self));
}

static struct series *series_of(struct run *run, size_t index)
{
	const struct exit_record *record = &self.records[index];
	const struct vcpu_ref *ref = vcpus__get(run->vcpus, record->key.slot);
	struct series *s = self.live[index];

	if (s || !ref)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = record->key;
	s->chosen = ref->chosen;
	vcpu_ref__row(ref, 0, &s->row);
	stat_delta__init(&s->extremes);
	self.live[index] = s;
	return s;
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
	const struct growth *x = a, *y = b;
	const struct series *s = x->series, *t = y->series;
	bool user = s->key.kind == EXIT_TO_USER, user2 = t->key.kind == EXIT_TO_USER;

	if (user != user2)
		return user - user2;
	if (s->row.pid != t->row.pid)
		return s->row.pid < t->row.pid ? -1 : 1;
	if (s->row.vm != t->row.vm)
		return strcmp(s->row.vm, t->row.vm) < 0 ? -1 : 1;
	if (s->row.vcpu != t->row.vcpu)
		return s->row.vcpu < t->row.vcpu ? -1 : 1;
	if (s->row.tid != t->row.tid)
		return s->row.tid < t->row.tid ? -1 : 1;
	if (x->delta.total_ns != y->delta.total_ns)
		return x->delta.total_ns > y->delta.total_ns ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return s->key.code < t->key.code ? -1 : s->key.code > t->key.code;
}

static bool same_vcpu(const struct growth *a, const struct growth *b)
{
	return a->series->row.tid == b->series->row.tid &&
	       a->series->row.vcpu == b->series->row.vcpu && a->series->row.vm == b->series->row.vm;
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

static void write_row(struct run *run, const struct growth *g)
{
	uint64_t wall = run->now_ns - run->since_ns;
	struct exit_row row = { .row = g->series->row };
	char reason[REASON_LEN];

	row.row.ts_ns = run->now_ns;
	row.kind = g->series->key.kind == EXIT_TO_USER ? "userspace" : "kvm";
	row.reason = reason_name(&g->series->key, reason, sizeof(reason));
	row.reason_code = g->series->key.code;
	row.count = g->count;
	row.share = is_halt(&g->series->key) || !wall ? NAN : 100.0 * g->delta.total_ns / wall;
	fill_times(&row, &g->delta);
	output__row(run->out, &row.row, 0);
}

/* The line over all reasons of a vCPU; halts would drown the rest in it. */
static void write_all(struct run *run, const struct growth *first, size_t nr)
{
	uint64_t wall = run->now_ns - run->since_ns;
	struct exit_row row = { .row = first->series->row, .reason = "(all but halts)" };
	struct stat_delta sum;

	stat_delta__init(&sum);
	for (size_t i = 0; i < nr; i++) {
		if (is_halt(&first[i].series->key))
			continue;
		stat_delta__merge(&sum, &first[i].delta);
		row.count += first[i].count;
	}
	row.row.ts_ns = run->now_ns;
	row.share = wall ? 100.0 * sum.total_ns / wall : NAN;
	fill_times(&row, &sum);
	output__row(run->out, &row.row, ROW_DERIVED);
}

static void write_view(struct run *run, struct growth *rows, size_t nr, enum scope scope, int view)
{
	run__begin(run, &vm_exit_monitor, scope, view);
	for (size_t i = 0, group; i < nr; i += group) {
		for (group = 0; i + group < nr && same_vcpu(&rows[i], &rows[i + group]); group++)
			write_row(run, &rows[i + group]);
		if (group > 1)
			write_all(run, &rows[i], group);
	}
	output__end(run->out);
}

static void write_rows(struct run *run, const struct attachment *at, struct growth *rows, size_t nr,
		       enum scope scope)
{
	size_t kvm = 0;

	qsort(rows, nr, sizeof(*rows), by_view_vcpu_time);
	while (kvm < nr && rows[kvm].series->key.kind != EXIT_TO_USER)
		kvm++;
	if (attach__has(at, "kvm_exit"))
		write_view(run, rows, kvm, scope, VIEW_KVM);
	if (attach__has(at, "kvm_userspace_exit"))
		write_view(run, rows + kvm, nr - kvm, scope, VIEW_USER);
}

/* 1 while an exit of this record is not over. */
static unsigned int unfinished(const struct exit_record *record)
{
	const struct exit_state *state = &self.states[record->key.slot];
	uint32_t index = record - self.records;

	/* In this order: the programs write the record before the time. */
	if (__atomic_load_n(&state->exit_ns, __ATOMIC_ACQUIRE) &&
	    __atomic_load_n(&state->record, __ATOMIC_ACQUIRE) == index)
		return 1;
	return __atomic_load_n(&state->left_ns, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&state->left_record, __ATOMIC_ACQUIRE) == index;
}

/* What a record grew by since the last look, which this one becomes. */
static bool look(struct series *s, const struct exit_record *record, uint64_t epoch,
		 struct growth *g)
{
	struct timing now = record->stat;
	struct stat_delta whole;
	uint64_t count;

	stat_delta__set(&whole, &now, NULL);
	count = whole.timed + __atomic_load_n(&record->untimed, __ATOMIC_RELAXED);
	/* Last: an exit that ends meanwhile then is missing from both, and never in both. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	count += unfinished(record);
	if (count < s->count)
		count = s->count;
	g->series = s;
	g->count = count - s->count;
	stat_delta__init(&g->delta);
	stat_delta__set(&g->delta, &now, &s->stat);
	stat_delta__extremes(&g->delta, &now, epoch);
	stat_delta__extremes(&s->extremes, &now, 0);
	s->count = count;
	s->stat = now;
	return g->count || g->delta.timed;
}

static void whole_run(const struct series *s, struct growth *g)
{
	g->series = s;
	g->count = s->count;
	g->delta = s->extremes;
	stat_delta__set(&g->delta, &s->stat, NULL);
}

static int keep_gone(struct series *s)
{
	if (self.nr_gone == self.room_gone) {
		size_t room = self.room_gone ? self.room_gone * 2 : 64;
		struct series **more = realloc(self.gone, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		self.gone = more;
		self.room_gone = room;
	}
	self.gone[self.nr_gone++] = s;
	return 0;
}

/* The vCPU has ended: its series is kept for the total, its record is free again. */
static void retire(struct attachment *at, uint32_t index)
{
	struct exit_record *record = &self.records[index];

	if (keep_gone(self.live[index]))
		return;
	self.live[index] = NULL;
	map__forget(at->obj, "exit_index", &record->key, index);
	memset(record, 0, sizeof(*record));
	map__give_back(at->obj, "free_records", index);
}

static void report_interval(struct run *run, struct attachment *at)
{
	struct growth *rows = NULL, *more;
	size_t nr = 0, room = 0;

	for (size_t i = 1; i < self.nr_records; i++) {
		struct series *s = self.records[i].in_use ? series_of(run, i) : NULL;

		if (!s)
			continue;
		if (nr == room) {
			room = room ? room * 2 : 128;
			more = realloc(rows, room * sizeof(*rows));
			if (!more)
				break;
			rows = more;
		}
		if (look(s, &self.records[i], at->ended_epoch, &rows[nr]) && s->chosen)
			nr++;
	}
	write_rows(run, at, rows, nr, SCOPE_INTERVAL);
	free(rows);
	for (size_t i = 1; i < self.nr_records; i++) {
		const struct vcpu_ref *ref;

		if (!self.live[i])
			continue;
		ref = vcpus__get(run->vcpus, self.live[i]->key.slot);
		if (ref && ref->ended)
			retire(at, i);
	}
	for (size_t slot = 1; slot <= vcpus__max(run->vcpus); slot++) {
		const struct vcpu_ref *ref = vcpus__get(run->vcpus, slot);

		if (ref && ref->ended)
			memset(&self.states[slot], 0, sizeof(self.states[slot]));
	}
}

static void report_total(struct run *run, struct attachment *at)
{
	size_t nr = 0, room = self.nr_gone;
	struct growth *rows;

	for (size_t i = 1; i < self.nr_records; i++)
		room += !!self.live[i];
	rows = calloc(room + 1, sizeof(*rows));
	if (!rows)
		return;
	for (size_t i = 0; i < self.nr_gone; i++)
		if (self.gone[i]->chosen)
			whole_run(self.gone[i], &rows[nr++]);
	for (size_t i = 1; i < self.nr_records; i++)
		if (self.live[i] && self.live[i]->chosen)
			whole_run(self.live[i], &rows[nr++]);
	write_rows(run, at, rows, nr, SCOPE_TOTAL);
	free(rows);
}

static void report(struct run *run, struct attachment *at, enum scope scope)
{
	if (scope == SCOPE_INTERVAL)
		report_interval(run, at);
	else
		report_total(run, at);
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
