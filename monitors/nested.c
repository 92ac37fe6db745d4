// SPDX-License-Identifier: GPL-2.0-only
/* --nested: guests of guests. The kernel half is nested.bpf.c. */
#include "nested.h"

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../decode/exit_reasons.h"
#include "nested.skel.h"

DEFINE_OPEN_SKELETON(nested_bpf)

#define MAP(_name) offsetof(struct nested_bpf, maps._name)
#define PROG(_name) offsetof(struct nested_bpf, progs._name)

enum { VIEW_ENTRY, VIEW_EXIT };

struct nested_row {
	struct row row;
	const char *reason;
	const char *class;
	uint64_t reason_code;
	uint64_t entries;
	uint64_t count;
	uint64_t by_l0;
	uint64_t reflected;
	uint64_t injected;
	struct times time;
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p99_ns;
	char text[EXIT_REASON_NAME_LEN];
};

static const struct view views[] = {
	[VIEW_ENTRY] = { .title = "NESTED_ENTRY",
			 .name = "NESTED_ENTRY",
			 .per_vcpu = true,
			 SAMPLES_OF(VIEW_ENTRY) },
	[VIEW_EXIT] = { .title = "NESTED_EXIT",
			.name = "NESTED_EXIT",
			.per_vcpu = true,
			SAMPLES_OF(VIEW_EXIT) },
	{},
};

#define COL(...) COLUMN(struct nested_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct nested_row, time, what)
#define OF_ENTRY .views = 1 << VIEW_ENTRY
#define OF_EXIT .views = 1 << VIEW_EXIT

static const struct column columns[] = {
	COL(entries, "ENTRIES", COL_U64, ROLE_COUNTER, OF_ENTRY, .flags = COL_COST,
	    .help = "entries of L1 into L2"),
	COL(count, "EXITS", COL_U64, ROLE_COUNTER, OF_EXIT, .flags = COL_COST,
	    .help = "exits of L2 for that reason"),
	COL(by_l0, "BY_L0", COL_U64, ROLE_GAUGE, OF_EXIT, .flags = COL_COMPUTED,
	    .help = "of EXITS, those handled by this host's KVM alone"),
	COL(reflected, "REFLECTED", COL_U64, ROLE_COUNTER, OF_EXIT,
	    .help = "of EXITS, those passed to L1"),
	COL(injected, "INJECTED", COL_U64, ROLE_COUNTER, OF_EXIT,
	    .help = "exits passed to L1 for that reason, including those made by KVM"),
	COL(time, "CHANGES", COL_TIMES, ROLE_COUNTER,
	    .help = "entries: time in L2, until L1 gets an exit; exits: time in L1, until it "
		    "enters L2"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, TIME(TOTAL),
	    .help = "entries: time in L2, until L1 got an exit; exits: time in L1 after one, until "
		    "it entered L2 again"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, TIME(MAX), .drop = DROP_FIRST,
	    .help = "longest"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, TIME(P50), .help = "median, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, TIME(P99),
	    .help = "99th percentile, within 12.5 %"),
	COL(reason, "REASON", COL_STRING, ROLE_LABEL, OF_EXIT, .flags = COL_WORD,
	    .help = "exit reason, as the kernel spells it"),
	COL(reason_code, NULL, COL_U64, ROLE_LABEL, OF_EXIT, .flags = COL_DATA_ONLY,
	    .help = "number of the exit reason"),
	COL(class, NULL, COL_STRING, ROLE_LABEL, OF_EXIT, .flags = COL_DATA_ONLY,
	    .help = "class of the exit, the same word for all vendors"),
	{},
};

#define BOTH (VENDOR_VMX | VENDOR_SVM)

/* KVM may be preempted where these fire: classic tracepoints first, see enum hook_kind. */
static const struct hook hooks[] = {
	{ "kvm_nested_vmenter", HOOK_TRACEPOINT, "kvm_nested_vmenter", PROG(enter_tracepoint), BOTH,
	  .gives = "entries into L2, and times", .primary = true },
	{ "kvm_nested_vmenter", HOOK_RAW_TP, "kvm_nested_vmenter", PROG(enter_raw_tp), BOTH },
	{ "kvm_nested_vmenter", HOOK_TP_BTF, "kvm_nested_vmenter", PROG(enter_tp_btf), BOTH },
	{ "kvm_nested_vmenter", HOOK_TRACEPOINT, "kvm_nested_vmrun", PROG(enter_tracepoint_old),
	  VENDOR_SVM },
	{ "kvm_nested_vmenter", HOOK_RAW_TP, "kvm_nested_vmrun", PROG(enter_raw_tp_old),
	  VENDOR_SVM },

	{ "kvm_nested_vmexit", HOOK_TRACEPOINT, "kvm_nested_vmexit", PROG(exit_tracepoint), BOTH,
	  .gives = "exits of L2", .primary = true },
	{ "kvm_nested_vmexit", HOOK_RAW_TP, "kvm_nested_vmexit", PROG(exit_raw_tp), BOTH, true },
	{ "kvm_nested_vmexit", HOOK_RAW_TP, "kvm_nested_vmexit", PROG(exit_raw_tp_old), BOTH },
	{ "kvm_nested_vmexit", HOOK_TP_BTF, "kvm_nested_vmexit", PROG(exit_tp_btf), BOTH, true },

	{ "kvm_nested_inject", HOOK_TRACEPOINT, "kvm_nested_vmexit_inject", PROG(inject_tracepoint),
	  BOTH, .gives = "exits passed to L1, and times", .primary = true },
	{ "kvm_nested_inject", HOOK_RAW_TP, "kvm_nested_vmexit_inject", PROG(inject_raw_tp), BOTH },
	{ "kvm_nested_inject", HOOK_TP_BTF, "kvm_nested_vmexit_inject", PROG(inject_tp_btf), BOTH },
	{},
};

static int prepare(struct attachment *at, void *opened)
{
	struct nested_bpf *skel = opened;

	(void)at;
	map__set_offset(&skel->rodata->exit_reason_at, "kvm/kvm_nested_vmexit", "exit_reason");
	map__set_offset(&skel->rodata->exit_isa_at, "kvm/kvm_nested_vmexit", "isa");
	map__set_offset(&skel->rodata->inject_code_at, "kvm/kvm_nested_vmexit_inject", "exit_code");
	map__set_offset(&skel->rodata->inject_isa_at, "kvm/kvm_nested_vmexit_inject", "isa");
	return 0;
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct nested_record *record = records__get(&at->records, index);
	const struct nested_key *key = &record->key;
	struct nested_row *row = (struct nested_row *)to;
	unsigned int isa = key->kind & ~NESTED_OTHER;

	if (isa == NESTED_ENTRY)
		return VIEW_ENTRY;
	if (key->kind & NESTED_OTHER) {
		row->reason = OTHERS;
		row->class = "other";
		row->reason_code = UINT64_MAX;
		return VIEW_EXIT;
	}
	row->reason = exit_reason__name(isa, key->code, row->text, sizeof(row->text));
	row->class = exit_reason__class(isa, key->code);
	if (!row->class)
		row->class = "other";
	row->reason_code = key->code;
	return VIEW_EXIT;
}

/* What this host has no hook for is absent. */
static uint64_t count_of(const struct attachment *at, const char *need, const __u64 *count)
{
	return attach__has(at, need) ? __atomic_load_n(count, __ATOMIC_RELAXED) : UINT64_MAX;
}

static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct nested_record *record = records__get(&at->records, index);
	struct nested_row *row = (struct nested_row *)to;

	records__times(at, index, &row->time, &record->stat);
	/* In this order: what was reflected was given, and had left. */
	row->reflected = count_of(at, "kvm_nested_inject", &record->reflected);
	if (!attach__has(at, "kvm_nested_vmexit"))
		row->reflected = UINT64_MAX;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	row->injected = count_of(at, "kvm_nested_inject", &record->injected);
	row->count = count_of(at, "kvm_nested_vmexit", &record->count);
	row->entries = __atomic_load_n(&record->count, __ATOMIC_RELAXED);
}

static const struct record_kind records = {
	.records = MAP(nested_records),
	.record_size = sizeof(struct nested_record),
	.per_slot = 12,
	.index = MAP(nested_index),
	.free_records = MAP(free_records),
	.shares = MAP(nested_shares),
	.key_at = offsetof(struct nested_record, key),
	.slot_at = offsetof(struct nested_record, key.slot),
	.states = MAP(nested_states),
	.state_size = sizeof(struct nested_state),
	.begins_in_state = { offsetof(struct nested_state, since) },
	.in_use_at = offsetof(struct nested_record, in_use),
	.label = label,
	.sample = sample,
};

static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	(void)scope;
	if (view == VIEW_ENTRY)
		return attach__has(at, "kvm_nested_vmenter");
	return attach__has(at, "kvm_nested_vmexit") || attach__has(at, "kvm_nested_inject");
}

/* An exit may be in the interval before the one in which L1 is given it. */
static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct nested_row *row = (struct nested_row *)sample->row;

	(void)window;
	if (!attach__has(at, "kvm_nested_vmenter") || !attach__has(at, "kvm_nested_inject"))
		row->total_ns = UINT64_MAX;
	if (row->count == UINT64_MAX || row->reflected == UINT64_MAX)
		row->by_l0 = UINT64_MAX;
	else
		row->by_l0 = row->count > row->reflected ? row->count - row->reflected : 0;
}

#define IN_EXITS .views = 1 << VIEW_EXIT
#define REASON .labels = { LABEL(struct nested_row, "reason", reason) }

static const struct metric metrics[] = {
	METRIC(struct nested_row, COUNTER, "kvm_nested_entries", entries, .views = 1 << VIEW_ENTRY,
	       .help = "Entries of guests into nested guests."),
	METRIC(struct nested_row, COUNTER, "kvm_nested_exits", count, IN_EXITS, REASON,
	       .help = "Exits of nested guests."),
	METRIC(struct nested_row, COUNTER, "kvm_nested_exits_reflected", reflected, IN_EXITS,
	       REASON, .help = "Exits of nested guests that were passed to their hypervisor."),
	{},
};

const struct monitor nested_monitor = {
	.name = "nested",
	.help = "nested guests: exits, and who handled them",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct nested_row),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.shows = shows,
	.finish = finish,
};
