// SPDX-License-Identifier: GPL-2.0-only
/* -h: hypercalls. The kernel half is hypercall.bpf.c. */
#include "hypercall.h"

#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "../core/attach.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/tempfile.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/hypercalls.h"
#include "hypercall.skel.h"

enum { VIEW_CALLS, VIEW_EVENTS };

struct call_row {
	struct row row;
	const char *abi;
	const char *name;
	uint64_t nr;
	uint64_t count;
	uint64_t vcpu_total;
	uint64_t p50_ns;
	uint64_t p99_ns;
	const char *comm;
	struct json_object *args;
	struct json_object *decoded;
};

static const struct view views[] = {
	[VIEW_CALLS] = { .title = "HYPERCALL", .per_vcpu = true },
	[VIEW_EVENTS] = { .title = "HYPERCALL calls", .per_vcpu = true },
	{},
};

extern const struct monitor hypercall_monitor;

#define COL(...) COLUMN(struct call_row, __VA_ARGS__)
#define CALLS .views = 1 << VIEW_CALLS
#define EVENTS .views = 1 << VIEW_EVENTS

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, EVENTS, .width = 11,
	    .help = "name of the vCPU's thread"),
	COL(abi, "ABI", COL_STRING, ROLE_LABEL, .width = 6,
	    .help = "whose numbers: kvm, hyperv or xen"),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .width = 13, .help = "as that ABI calls it"),
	COL(nr, NULL, COL_U64, ROLE_LABEL, .flags = COL_DATA_ONLY, .help = "the number behind it"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, CALLS, .flags = COL_USEC,
	    .help = "median time until the guest goes on, within 12.5 % (table: us)"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, CALLS, .flags = COL_USEC,
	    .help = "99th percentile, within 12.5 % (table: us)"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, CALLS, .help = "hypercalls of that name"),
	COL(vcpu_total, "HYPERCALLS", COL_U64, ROLE_COUNTER,
	    .help = "all of the vCPU since it exists, by KVM's own count"),
	COL(args, NULL, COL_OBJECT, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "the arguments as they are"),
	COL(decoded, "ARGUMENTS", COL_OBJECT, ROLE_LABEL, EVENTS, .flags = COL_REST | COL_BIG_HEX,
	    .help = "what they mean"),
	{},
};

#define VENDORS (VENDOR_VMX | VENDOR_SVM)

/*
 * Where KVM decodes hypercalls it may be preempted, so the classic tracepoints
 * come first (see attach.h). Of two rows that differ in _old only, the first
 * fits newer kernels alone.
 */
static const struct hook hooks[] = {
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", "entry_raw_tp", VENDORS,
	  .gives = "the times of hypercalls", .at_entry = true },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", "entry_tp_btf", VENDORS },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", "entry_tracepoint", VENDORS },

	{ "kvm_hypercall", HOOK_TRACEPOINT, "kvm_hypercall", "kvm_tracepoint", VENDORS,
	  .gives = "hypercalls of KVM's own numbering", .primary = true },
	{ "kvm_hypercall", HOOK_RAW_TP, "kvm_hypercall", "kvm_raw_tp", VENDORS },
	{ "kvm_hypercall", HOOK_TP_BTF, "kvm_hypercall", "kvm_tp_btf", VENDORS },

	{ "kvm_hv_hypercall", HOOK_TRACEPOINT, "kvm_hv_hypercall", "hv_tracepoint", VENDORS,
	  .gives = "Hyper-V hypercalls", .primary = true },
	{ "kvm_hv_hypercall", HOOK_RAW_TP, "kvm_hv_hypercall", "hv_raw_tp", VENDORS },
	{ "kvm_hv_hypercall", HOOK_RAW_TP, "kvm_hv_hypercall", "hv_raw_tp_old", VENDORS },
	{ "kvm_hv_hypercall", HOOK_TP_BTF, "kvm_hv_hypercall", "hv_tp_btf", VENDORS },
	{ "kvm_hv_hypercall", HOOK_TP_BTF, "kvm_hv_hypercall", "hv_tp_btf_old", VENDORS },

	{ "kvm_xen_hypercall", HOOK_TRACEPOINT, "kvm_xen_hypercall", "xen_tracepoint", VENDORS,
	  .gives = "Xen hypercalls", .primary = true },
	{ "kvm_xen_hypercall", HOOK_RAW_TP, "kvm_xen_hypercall", "xen_raw_tp", VENDORS },
	{ "kvm_xen_hypercall", HOOK_RAW_TP, "kvm_xen_hypercall", "xen_raw_tp_old", VENDORS },
	{ "kvm_xen_hypercall", HOOK_TP_BTF, "kvm_xen_hypercall", "xen_tp_btf", VENDORS },
	{ "kvm_xen_hypercall", HOOK_TP_BTF, "kvm_xen_hypercall", "xen_tp_btf_old", VENDORS },
	{},
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	struct hypercall_key key;
	uint64_t count;	     /* at the last look */
	uint64_t vcpu_total; /* at the last look */
	uint64_t grown;	     /* since the look before */
	struct stat_series time;
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "hypercall_records",
	.record_size = sizeof(struct hypercall_record),
	.per_slot = 8,
	.index = "hypercall_index",
	.free_records = "free_records",
	.slot_at = offsetof(struct hypercall_record, key.slot),
	.states = "hypercall_states",
	.state_size = sizeof(struct hypercall_state),
};

static struct {
	struct series_set set;
	/* The calls one by one, unless --events has them in the output. */
	struct tempfile file;
	struct output *calls;
	bool no_file;
} self;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	int err = series__prepare(&self.set, &kind, obj, vcpus__max(at->env->vcpus) + 1);

	if (!err)
		err = map__set_offset(obj, "hv_fast_at", "kvm/kvm_hv_hypercall", "fast");
	if (!err)
		err = map__set_offset(obj, "hv_var_cnt_at", "kvm/kvm_hv_hypercall", "var_cnt");
	if (!err)
		err = map__set_offset(obj, "xen_nr_at", "kvm/kvm_xen_hypercall", "nr");
	return err ? err : map__set_offset(obj, "xen_a0_at", "kvm/kvm_xen_hypercall", "a0");
}

static int start(struct attachment *at)
{
	return series__open(&self.set, at->obj);
}

static void close_file(void)
{
	if (self.calls) {
		output__end(self.calls);
		output__free(self.calls);
	}
	tempfile__close(&self.file);
}

static void stop(struct attachment *at)
{
	(void)at;
	close_file();
	series__close(&self.set);
	memset(&self, 0, sizeof(self));
}

/* Takes what a record grew by since the last look. */
static void look(struct series *s, struct hypercall_record *record, uint64_t epoch)
{
	const struct hypercall_state *states = self.set.states;
	uint64_t count = __atomic_load_n(&record->count, __ATOMIC_RELAXED);

	s->key = record->key;
	s->grown = counter__delta(count, s->count);
	s->count = count;
	s->vcpu_total = states[record->key.slot].total;
	stat_series__look(&s->time, &record->stat, epoch);
	s->head.quiet = !s->grown;
}

static void write_series(const struct window *window, const struct series *s)
{
	const struct stat_delta *d = window->scope == SCOPE_TOTAL ? &s->time.run : &s->time.grown;
	char name[HYPERCALL_NAME_LEN];
	struct call_row row = {
		.row = s->head.row,
		.abi = hypercall__abi(s->key.abi),
		.name = hypercall__name(s->key.abi, s->key.nr, name, sizeof(name)),
		.nr = s->key.nr,
		.count = window->scope == SCOPE_TOTAL ? s->count : s->grown,
		.vcpu_total = s->vcpu_total,
		.p50_ns = stat_delta__percentile(d, 50),
		.p99_ns = stat_delta__percentile(d, 99),
	};

	row.row.ts_ns = window->now_ns;
	output__row(window->out, &row.row, 0);
}

static int by_vcpu_count(const void *a, const void *b)
{
	const struct series *s = *(struct series *const *)a, *t = *(struct series *const *)b;
	int order = series__by_vcpu(a, b);

	if (order)
		return order;
	if (s->count != t->count)
		return s->count > t->count ? -1 : 1;
	if (s->key.abi != t->key.abi)
		return s->key.abi < t->key.abi ? -1 : 1;
	return s->key.nr < t->key.nr ? -1 : s->key.nr > t->key.nr;
}

static void write_rows(const struct window *window, struct series **rows, size_t nr)
{
	qsort(rows, nr, sizeof(*rows), by_vcpu_count);
	window__begin(window, &hypercall_monitor, VIEW_CALLS);
	for (size_t i = 0; i < nr; i++)
		write_series(window, rows[i]);
	output__end(window->out);
}

static void report(struct attachment *at, const struct window *window)
{
	struct hypercall_record *records = self.set.records;
	struct series **rows;
	size_t nr;

	for (size_t i = 1; window->scope == SCOPE_INTERVAL && i < self.set.nr; i++) {
		struct series *s =
			records[i].in_use ? series__of(&self.set, at->env->vcpus, i) : NULL;

		if (s)
			look(s, &records[i], at->ended_epoch);
	}
	rows = (struct series **)series__list(&self.set, window->scope == SCOPE_TOTAL, &nr);
	if (rows)
		write_rows(window, rows, nr);
	free(rows);
	if (window->scope == SCOPE_INTERVAL) {
		series__retire_ended(&self.set, at->env->vcpus, at->obj);
		if (self.calls)
			output__flush(self.calls);
	}
}

/* Where calls go one by one: the output with --events, else a file made for the first one. */
static struct output *calls_output(const struct attachment *at)
{
	const struct section section = {
		.monitor = hypercall_monitor.name,
		.columns = columns,
		.view = &views[VIEW_EVENTS],
		.view_bit = 1 << VIEW_EVENTS,
		.scope = SCOPE_EVENT,
	};

	if (at->env->events)
		return at->env->out;
	if (self.calls || self.no_file)
		return self.calls;
	if (!tempfile__open(&self.file, at->env->temp_dir, hypercall_monitor.name, at->env->format))
		self.calls = output__new(at->env->format, self.file.stream, 0);
	self.no_file = !self.calls;
	if (self.calls)
		output__begin(self.calls, &section);
	return self.calls;
}

static struct json_object *args_array(const struct hypercall_event *e)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < hypercall__nr_args(e->abi); i++)
		json_object_array_add(array, json_object_new_uint64(e->args[i]));
	return array;
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct hypercall_event *e = data;
	const struct vcpu_ref *ref;
	char name[HYPERCALL_NAME_LEN];
	struct call_row row = {};
	struct output *out;

	if (size < sizeof(*e))
		return;
	ref = vcpus__get_new(at->env->vcpus, e->head.slot);
	out = ref && ref->chosen ? calls_output(at) : NULL;
	if (!out)
		return;
	vcpu_ref__row(ref, e->head.ts_ns, &row.row);
	row.comm = e->head.comm;
	row.abi = hypercall__abi(e->abi);
	row.name = hypercall__name(e->abi, e->nr, name, sizeof(name));
	row.nr = e->nr;
	row.vcpu_total = e->total;
	row.args = args_array(e);
	row.decoded = hypercall__decode(e->abi, e->nr, e->args, e->long_mode);
	output__row(out, &row.row, 0);
	json_object_put(row.args);
	json_object_put(row.decoded);
}

const struct monitor hypercall_monitor = {
	.name = "hypercall",
	.key = 'h',
	.help = "hypercalls",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = hypercall_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENTS,
	.stop = stop,
};
