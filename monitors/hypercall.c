// SPDX-License-Identifier: GPL-2.0-only
/* -h: hypercalls. The kernel half is hypercall.bpf.c. */
#include "hypercall.h"

#include <errno.h>

#include <json-c/json.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/events.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/tempfile.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../decode/hypercalls.h"
#include "hypercall.skel.h"

DEFINE_OPEN_SKELETON(hypercall_bpf)

#define MAP(_name) offsetof(struct hypercall_bpf, maps._name)
#define PROG(_name) offsetof(struct hypercall_bpf, progs._name)

enum { VIEW_CALLS, VIEW_EVENTS };

struct call_row {
	struct row row;
	const char *abi;
	const char *name;
	uint64_t nr;
	uint64_t count;
	struct times time;
	uint64_t vcpu_total;
	uint64_t p50_ns;
	uint64_t p99_ns;
	const char *comm;
	struct json_object *args;
	struct json_object *decoded;
	char text[HYPERCALL_NAME_LEN];
};

static const struct view views[] = {
	[VIEW_CALLS] = { .title = "HYPERCALL",
			 .name = "HYPERCALL",
			 .per_vcpu = true,
			 SAMPLES_OF(VIEW_CALLS) },
	[VIEW_EVENTS] = { .title = "HYPERCALL calls", .name = "HYPERCALL_CALLS", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct call_row, __VA_ARGS__)
#define CALLS .views = 1 << VIEW_CALLS
#define EVENTS .views = 1 << VIEW_EVENTS
#define TIME(what) OF_TIMES(struct call_row, time, what)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, EVENTS, .width = 11,
	    .help = "name of the vCPU's thread"),
	COL(abi, "ABI", COL_STRING, ROLE_LABEL, .width = 6,
	    .help = "ABI of the hypercall number: kvm, hyperv or xen"),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .flags = COL_FRAME, .width = 13,
	    .help = "name in that ABI"),
	COL(nr, NULL, COL_U64, ROLE_LABEL, .flags = COL_DATA_ONLY, .help = "hypercall number"),
	COL(time, "CALLS", COL_TIMES, ROLE_COUNTER, CALLS, .help = "time until the guest resumes"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, CALLS, TIME(P50), .flags = COL_USEC | COL_WORSE,
	    .help = "median time until the guest resumes, within 12.5 % (table: us)"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, CALLS, TIME(P99), .flags = COL_USEC | COL_WORSE,
	    .help = "99th percentile, within 12.5 % (table: us)"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, CALLS, .flags = COL_COST,
	    .help = "hypercalls with that name"),
	COL(vcpu_total, "HYPERCALLS", COL_U64, ROLE_GAUGE, .merge = MERGE_NONE,
	    .help = "all hypercalls of the vCPU since its creation, by KVM's own count"),
	COL(args, NULL, COL_OBJECT, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "raw arguments"),
	COL(decoded, "ARGUMENTS", COL_OBJECT, ROLE_LABEL, EVENTS, .flags = COL_REST | COL_BIG_HEX,
	    .help = "decoded arguments"),
	{},
};

#define VENDORS (VENDOR_VMX | VENDOR_SVM)

/*
 * Where KVM decodes hypercalls it may be preempted, so the classic tracepoints
 * come first (see attach.h). Of two rows that differ in _old only, the first
 * fits newer kernels alone.
 */
static const struct hook hooks[] = {
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp), VENDORS,
	  .gives = "times of hypercalls", .called_at = AT_ENTRY },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", PROG(entry_tp_btf), VENDORS },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", PROG(entry_tracepoint), VENDORS },

	{ "kvm_hypercall", HOOK_TRACEPOINT, "kvm_hypercall", PROG(kvm_tracepoint), VENDORS,
	  .gives = "hypercalls with KVM's own numbers", .primary = true },
	{ "kvm_hypercall", HOOK_RAW_TP, "kvm_hypercall", PROG(kvm_raw_tp), VENDORS },
	{ "kvm_hypercall", HOOK_TP_BTF, "kvm_hypercall", PROG(kvm_tp_btf), VENDORS },

	{ "kvm_hv_hypercall", HOOK_TRACEPOINT, "kvm_hv_hypercall", PROG(hv_tracepoint), VENDORS,
	  .gives = "Hyper-V hypercalls", .primary = true },
	{ "kvm_hv_hypercall", HOOK_RAW_TP, "kvm_hv_hypercall", PROG(hv_raw_tp), VENDORS },
	{ "kvm_hv_hypercall", HOOK_RAW_TP, "kvm_hv_hypercall", PROG(hv_raw_tp_old), VENDORS },
	{ "kvm_hv_hypercall", HOOK_TP_BTF, "kvm_hv_hypercall", PROG(hv_tp_btf), VENDORS },
	{ "kvm_hv_hypercall", HOOK_TP_BTF, "kvm_hv_hypercall", PROG(hv_tp_btf_old), VENDORS },

	{ "kvm_xen_hypercall", HOOK_TRACEPOINT, "kvm_xen_hypercall", PROG(xen_tracepoint), VENDORS,
	  .gives = "Xen hypercalls", .primary = true },
	{ "kvm_xen_hypercall", HOOK_RAW_TP, "kvm_xen_hypercall", PROG(xen_raw_tp), VENDORS },
	{ "kvm_xen_hypercall", HOOK_RAW_TP, "kvm_xen_hypercall", PROG(xen_raw_tp_old), VENDORS },
	{ "kvm_xen_hypercall", HOOK_TP_BTF, "kvm_xen_hypercall", PROG(xen_tp_btf), VENDORS },
	{ "kvm_xen_hypercall", HOOK_TP_BTF, "kvm_xen_hypercall", PROG(xen_tp_btf_old), VENDORS },
	{},
};

/* The calls one by one, unless --events has them in the output. */
struct call_file {
	struct tempfile file;
	struct output *out;
	bool failed;
};

static int prepare(struct attachment *at, void *opened)
{
	struct hypercall_bpf *skel = opened;

	(void)at;
	map__set_offset(&skel->rodata->hv_fast_at, "kvm/kvm_hv_hypercall", "fast");
	map__set_offset(&skel->rodata->hv_var_cnt_at, "kvm/kvm_hv_hypercall", "var_cnt");
	map__set_offset(&skel->rodata->xen_nr_at, "kvm/kvm_xen_hypercall", "nr");
	map__set_offset(&skel->rodata->xen_a0_at, "kvm/kvm_xen_hypercall", "a0");
	return 0;
}

static void stop(struct attachment *at)
{
	struct call_file *calls = at->state;
	int err = calls->failed ? ENOMEM : 0;

	if (calls->out) {
		output__end(calls->out);
		err = output__flush(calls->out);
		output__free(calls->out);
	}
	tempfile__close(&calls->file, err);
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct hypercall_record *record = records__get(&at->records, index);
	const struct hypercall_key *key = &record->key;
	struct call_row *row = (struct call_row *)to;

	row->abi = hypercall__abi(key->abi & ~HYPERCALL_OTHER);
	row->name = hypercall__name(key->abi, key->nr, row->text, sizeof(row->text));
	row->nr = key->nr;
	if (key->abi & HYPERCALL_OTHER) {
		row->name = OTHERS;
		row->nr = UINT64_MAX;
	}
	return VIEW_CALLS;
}

static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct hypercall_record *record = records__get(&at->records, index);
	const struct hypercall_state *state = records__state(&at->records, record->key.slot);
	struct call_row *row = (struct call_row *)to;

	/* In this order: one that begins and ends meanwhile is not timed without being counted. */
	records__times(at, index, &row->time, &record->stat);
	row->count = __atomic_load_n(&record->count, __ATOMIC_RELAXED);
	row->vcpu_total = state->total;
}

static const struct record_kind records = {
	.records = MAP(hypercall_records),
	.record_size = sizeof(struct hypercall_record),
	.per_slot = 8,
	.index = MAP(hypercall_index),
	.free_records = MAP(free_records),
	.shares = MAP(hypercall_shares),
	.key_at = offsetof(struct hypercall_record, key),
	.slot_at = offsetof(struct hypercall_record, key.slot),
	.states = MAP(hypercall_states),
	.state_size = sizeof(struct hypercall_state),
	.begins_in_state = { offsetof(struct hypercall_state, since) },
	.in_use_at = offsetof(struct hypercall_record, in_use),
	.label = label,
	.sample = sample,
};

static void looked(struct attachment *at)
{
	const struct call_file *calls = at->state;

	if (calls->out)
		output__flush(calls->out);
}

/* Made for the first call; false when there is none. */
static bool open_file(struct attachment *at)
{
	const struct section section = {
		.monitor = at->monitor->name,
		.columns = columns,
		.view = &views[VIEW_EVENTS],
		.view_bit = 1 << VIEW_EVENTS,
		.scope = SCOPE_EVENT,
	};
	struct call_file *calls = at->state;

	if (calls->out || calls->failed)
		return calls->out;
	if (!attach__open_file(at, &calls->file))
		calls->out = output__new(at->env->format, calls->file.stream, 0);
	calls->failed = !calls->out;
	if (calls->out) {
		output__set_clock(calls->out, clock__real_offset_ns());
		output__begin(calls->out, &section);
	}
	return calls->out;
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
	const struct call_file *calls = at->state;
	const struct vcpu_ref *ref;
	struct call_row row = {};

	if (size < sizeof(*e))
		return;
	ref = vcpus__get_new(at->env->vcpus, e->head.slot);
	if (!ref || !ref->chosen || (!at->shows_events && !open_file(at)))
		return;
	vcpu_ref__row(ref, e->head.ts_ns, &row.row);
	row.comm = e->head.comm;
	row.abi = hypercall__abi(e->abi);
	row.name = hypercall__name(e->abi, e->nr, row.text, sizeof(row.text));
	row.nr = e->nr;
	row.vcpu_total = e->total;
	row.args = args_array(e);
	row.decoded = hypercall__decode(e->abi, e->nr, e->args, e->long_mode);
	if (at->shows_events)
		events__row(at, &row.row);
	else
		output__row(calls->out, &row.row, 0);
	json_object_put(row.args);
	json_object_put(row.decoded);
}

#define OF_CALLS .views = 1 << VIEW_CALLS

static const struct metric metrics[] = {
	METRIC(struct call_row, COUNTER, "kvm_hypercalls", count, OF_CALLS,
	       .labels = { LABEL(struct call_row, "abi", abi),
			   LABEL(struct call_row, "name", name) },
	       .help = "Hypercalls."),
	METRIC(struct call_row, HISTOGRAM, "kvm_hypercall_duration_seconds", time, OF_CALLS,
	       .labels = { LABEL(struct call_row, "abi", abi) },
	       .help = "Time from hypercalls until the guest resumes."),
	{},
};

const struct monitor hypercall_monitor = {
	.name = "hypercall",
	.key = 'h',
	.help = "hypercalls",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct call_row),
	.state_size = sizeof(struct call_file),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.stop = stop,
	.looked = looked,
	.event = event,
	.event_view = VIEW_EVENTS,
	.keeps_events = true,
};
