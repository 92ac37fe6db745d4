// SPDX-License-Identifier: GPL-2.0-only
/* -i: interrupts of the vCPUs. The kernel half is irq_inject.bpf.c. */
#include "irq_inject.h"

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/events.h"
#include "../core/lapics.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "irq_inject.skel.h"

DEFINE_OPEN_SKELETON(irq_inject_bpf)

#define MAP(_name) offsetof(struct irq_inject_bpf, maps._name)
#define PROG(_name) offsetof(struct irq_inject_bpf, progs._name)

enum { VIEW_EVENTS, VIEW_VECTORS };
_Static_assert((int)FLAG_UNKNOWN == (int)BOOL_ABSENT, "what was not told is absent");

struct irq_row {
	struct row row;
	const char *comm;
	uint64_t delay_ns;
	uint64_t vector;
	uint64_t injections;
	const char *type;
	uint8_t reinjected;
	uint64_t raised;
	uint64_t merged;
	uint64_t posted;
	uint64_t count;
	uint64_t reinjections;
	uint64_t soft;
	struct times inject;
	uint64_t inject_count;
	uint64_t inject_min_ns;
	uint64_t inject_mean_ns;
	uint64_t inject_max_ns;
	uint64_t inject_p50_ns;
	uint64_t inject_p99_ns;
	uint64_t eois;
	uint64_t pv_eois;
	struct times eoi;
	uint64_t eoi_count;
	uint64_t eoi_min_ns;
	uint64_t eoi_mean_ns;
	uint64_t eoi_max_ns;
	uint64_t eoi_p50_ns;
	uint64_t eoi_p99_ns;
	const char *hidden;
};

static const struct view views[] = {
	[VIEW_EVENTS] = { .title = "IRQ_INJECT", .name = "IRQ_INJECT", .per_vcpu = true },
	[VIEW_VECTORS] = { .title = "INTERRUPTS",
			   .name = "INTERRUPTS",
			   .per_vcpu = true,
			   SAMPLES_OF(VIEW_VECTORS) },
	{},
};

#define COL(...) COLUMN(struct irq_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_EVENTS
#define VECTORS .views = 1 << VIEW_VECTORS
#define INJECT(what) VECTORS, OF_TIMES(struct irq_row, inject, what)
#define EOI(what) VECTORS, OF_TIMES(struct irq_row, eoi, what)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, EVENT, .width = 11,
	    .help = "name of the vCPU's thread"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, EVENT, .flags = COL_USEC, .width = 9,
	    .help = "time since the local APIC accepted the interrupt (table: us)"),
	COL(vector, "IRQ_NR", COL_HEX, ROLE_LABEL, .flags = COL_FRAME, .help = "interrupt vector"),
	COL(injections, "INJECTIONS", COL_U64, ROLE_GAUGE, .merge = MERGE_NONE,
	    .help = "all injections of the vCPU since its creation, by KVM's own count"),
	COL(type, "TYPE", COL_STRING, ROLE_LABEL, EVENT, .width = 9, .help = "IRQ or Soft/INTn"),
	COL(reinjected, "REINJECTED", COL_BOOL, ROLE_LABEL, EVENT,
	    .help = "injected again, because an exit interrupted the delivery"),
	COL(raised, "RAISED", COL_U64, ROLE_COUNTER, VECTORS,
	    .help = "interrupts accepted by the local APIC"),
	COL(merged, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "of RAISED, those whose vector was already pending"),
	COL(posted, "POSTED", COL_U64, ROLE_COUNTER, VECTORS,
	    .help = "of RAISED, those posted for the CPU to deliver (APICv, AVIC)"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, VECTORS, .help = "injections"),
	COL(reinjections, "AGAIN", COL_U64, ROLE_COUNTER, VECTORS,
	    .help = "of COUNT, repeated injections"),
	COL(soft, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "of COUNT, software interrupts"),
	COL(inject, "INJECTED", COL_TIMES, ROLE_COUNTER, VECTORS, .flags = COL_COST,
	    .help = "times from raised to injected"),
	COL(inject_count, NULL, COL_U64, ROLE_COUNTER, INJECT(COUNT), .flags = COL_DATA_ONLY,
	    .help = "interrupts timed from raised to injected"),
	COL(inject_min_ns, NULL, COL_NSEC, ROLE_GAUGE, INJECT(MIN),
	    .flags = COL_DATA_ONLY | COL_WORSE, .help = "shortest"),
	COL(inject_mean_ns, "INJ_MEAN", COL_NSEC, ROLE_GAUGE, INJECT(MEAN),
	    .flags = COL_USEC | COL_WORSE, .help = "mean time from raised to injected (table: us)"),
	COL(inject_p50_ns, "INJ_P50", COL_NSEC, ROLE_GAUGE, INJECT(P50),
	    .flags = COL_USEC | COL_WIDE | COL_WORSE, .help = "median, within 12.5 %"),
	COL(inject_p99_ns, "INJ_P99", COL_NSEC, ROLE_GAUGE, INJECT(P99),
	    .flags = COL_USEC | COL_WORSE, .help = "99th percentile, within 12.5 %"),
	COL(inject_max_ns, "INJ_MAX", COL_NSEC, ROLE_GAUGE, INJECT(MAX),
	    .flags = COL_USEC | COL_WIDE | COL_WORSE, .help = "longest"),
	COL(eois, "EOIS", COL_U64, ROLE_COUNTER, VECTORS, .help = "EOIs that KVM saw"),
	COL(pv_eois, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "of EOIS, those without an exit, which KVM saw later"),
	COL(eoi, "EOIS", COL_TIMES, ROLE_COUNTER, VECTORS,
	    .help = "times from injected or posted to the EOI"),
	COL(eoi_count, NULL, COL_U64, ROLE_COUNTER, EOI(COUNT), .flags = COL_DATA_ONLY,
	    .help = "interrupts timed from injected or posted to the EOI"),
	COL(eoi_min_ns, NULL, COL_NSEC, ROLE_GAUGE, EOI(MIN), .flags = COL_DATA_ONLY | COL_WORSE,
	    .help = "shortest"),
	COL(eoi_mean_ns, "EOI_MEAN", COL_NSEC, ROLE_GAUGE, EOI(MEAN), .flags = COL_USEC | COL_WORSE,
	    .help = "mean time from injected or posted to the EOI (table: us)"),
	COL(eoi_p50_ns, "EOI_P50", COL_NSEC, ROLE_GAUGE, EOI(P50),
	    .flags = COL_USEC | COL_WIDE | COL_WORSE, .help = "median, within 12.5 %"),
	COL(eoi_p99_ns, "EOI_P99", COL_NSEC, ROLE_GAUGE, EOI(P99), .flags = COL_USEC | COL_WORSE,
	    .help = "99th percentile, within 12.5 %"),
	COL(eoi_max_ns, "EOI_MAX", COL_NSEC, ROLE_GAUGE, EOI(MAX),
	    .flags = COL_USEC | COL_WIDE | COL_WORSE, .help = "longest"),
	COL(hidden, "HIDDEN", COL_STRING, ROLE_GAUGE, VECTORS, .flags = COL_COMPUTED, .width = 6,
	    .help = "stages that are invisible to KVM here"),
	{},
};

#define VENDORS (VENDOR_VMX | VENDOR_SVM)

/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
static const struct hook hooks[] = {
	LAPICS_RUN_HOOKS("which vCPU a local APIC belongs to: raised interrupts"),

	/* Interrupts raise some, too. They skip a kprobe when they interrupt one: fentry first. */
	{ "kvm_apic_accept_irq", HOOK_FENTRY, "__apic_accept_irq", PROG(raise_fentry),
	  .gives = "raised interrupts, and how long they wait for their injection",
	  .primary = true },
	{ "kvm_apic_accept_irq", HOOK_KPROBE, "__apic_accept_irq", PROG(raise_kprobe) },
	{ "kvm_apic_accept_irq", HOOK_TRACEPOINT, "kvm_apic_accept_irq", PROG(raise_tracepoint) },
	{ "kvm_apic_accept_irq", HOOK_RAW_TP, "kvm_apic_accept_irq", PROG(raise_raw_tp) },
	{ "kvm_apic_accept_irq", HOOK_TP_BTF, "kvm_apic_accept_irq", PROG(raise_tp_btf) },

	{ "kvm_pv_eoi", HOOK_TRACEPOINT, "kvm_pv_eoi", PROG(pv_eoi_tracepoint),
	  .gives = "which EOIs KVM saw late" },
	{ "kvm_pv_eoi", HOOK_RAW_TP, "kvm_pv_eoi", PROG(pv_eoi_raw_tp) },
	{ "kvm_pv_eoi", HOOK_TP_BTF, "kvm_pv_eoi", PROG(pv_eoi_tp_btf) },

	{ "kvm_eoi", HOOK_TRACEPOINT, "kvm_eoi", PROG(eoi_tracepoint), .gives = "EOIs",
	  .primary = true },
	{ "kvm_eoi", HOOK_RAW_TP, "kvm_eoi", PROG(eoi_raw_tp) },
	{ "kvm_eoi", HOOK_TP_BTF, "kvm_eoi", PROG(eoi_tp_btf) },

	{ "kvm_inj_virq", HOOK_TRACEPOINT, "kvm_inj_virq", PROG(inject_tracepoint), VENDORS,
	  .gives = "the injections", .primary = true },
	{ "kvm_inj_virq", HOOK_RAW_TP, "kvm_inj_virq", PROG(inject_raw_tp), VENDORS },
	{ "kvm_inj_virq", HOOK_RAW_TP, "kvm_inj_virq", PROG(inject_raw_tp_old), VENDORS },
	{ "kvm_inj_virq", HOOK_TP_BTF, "kvm_inj_virq", PROG(inject_tp_btf), VENDORS },
	{ "kvm_inj_virq", HOOK_TP_BTF, "kvm_inj_virq", PROG(inject_tp_btf_old), VENDORS },

	LAPICS_ITER_HOOK,
	{},
};

static int prepare(struct attachment *at, void *opened)
{
	struct irq_inject_bpf *skel = opened;

	skel->rodata->no_injections = !host__vendors();
	map__set_offset(&skel->rodata->soft_at, "kvm/kvm_inj_virq", "soft");
	map__set_offset(&skel->rodata->reinjected_at, "kvm/kvm_inj_virq", "reinjected");
	return lapics__prepare(LAPIC_MAPS(skel), vcpus__max(at->env->vcpus) + 1);
}

static int start(struct attachment *at)
{
	const struct irq_inject_bpf *skel = at->skel;

	return lapics__open(at->state, LAPIC_MAPS(skel));
}

static void stop(struct attachment *at)
{
	lapics__close(at->state);
}

/* First: of a vCPU that has ended no record is made any more once they are retired. */
static void look(struct attachment *at)
{
	lapics__forget_ended(at->state, at->env->vcpus);
}

static int label(struct attachment *at, uint32_t index, struct row *row)
{
	const struct irq_record *record = records__get(&at->records, index);

	((struct irq_row *)row)->vector = record->key.vector;
	return VIEW_VECTORS;
}

/* In this order: what is timed is counted, and a part is never more than the whole. */
static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct irq_record *record = records__get(&at->records, index);
	const struct irq_state *state = records__state(&at->records, record->key.slot);
	struct irq_row *row = (struct irq_row *)to;

	records__times(at, index, &row->eoi, &record->eoi);
	records__times(at, index, &row->inject, &record->inject);
	row->merged = __atomic_load_n(&record->merged, __ATOMIC_ACQUIRE);
	row->posted = __atomic_load_n(&record->posted, __ATOMIC_ACQUIRE);
	row->reinjections = __atomic_load_n(&record->reinjected, __ATOMIC_ACQUIRE);
	row->soft = __atomic_load_n(&record->soft, __ATOMIC_ACQUIRE);
	row->pv_eois = __atomic_load_n(&record->pv_eois, __ATOMIC_ACQUIRE);
	row->raised = record->raised;
	row->count = record->count;
	row->eois = record->eois;
	row->injections = state->injections;
}

static const struct record_kind records = {
	.records = MAP(irq_records),
	.record_size = sizeof(struct irq_record),
	.per_slot = 8,
	.index = MAP(irq_index),
	.free_records = MAP(free_records),
	.shares = MAP(irq_shares),
	.key_at = offsetof(struct irq_record, key),
	.slot_at = offsetof(struct irq_record, key.slot),
	.states = MAP(irq_states),
	.state_size = sizeof(struct irq_state),
	.in_use_at = offsetof(struct irq_record, in_use),
	.label = label,
	.sample = sample,
};

/* The stages of a vector that KVM has no part in, by all that was counted of it. */
static const char *hidden(const struct irq_row *run)
{
	if (!host__vendors())
		return "injection";
	if (run->posted)
		return run->eois ? "injection" : "injection, EOI";
	return run->count && !run->eois ? "EOI" : NULL;
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	(void)at;
	(void)window;
	((struct irq_row *)sample->row)->hidden = hidden((const struct irq_row *)sample->run);
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct irq_event *e = data;
	const struct vcpu_ref *ref;
	struct irq_row row = {};

	if (size < sizeof(*e))
		return;
	ref = vcpus__get_new(at->env->vcpus, e->head.slot);
	if (!ref || !ref->chosen)
		return;
	vcpu_ref__row(ref, e->head.ts_ns, &row.row);
	row.comm = e->head.comm;
	row.delay_ns = e->delay_ns;
	row.vector = e->vector;
	row.injections = e->injections;
	row.type = e->soft ? "Soft/INTn" : "IRQ";
	row.reinjected = e->reinjected;
	events__row(at, &row.row);
}

#define OF_VECTORS .views = 1 << VIEW_VECTORS
#define IRQ(_name, _at, _help)                                  \
	METRIC(struct irq_row, COUNTER, _name, _at, OF_VECTORS, \
	       .labels = { LABEL(struct irq_row, "vector", vector) }, .help = (_help))

static const struct metric metrics[] = {
	IRQ("kvm_irq_raised", raised, "Interrupts that local APICs accepted."),
	IRQ("kvm_irq_merged", merged, "Interrupts that arrived while their vector was pending."),
	IRQ("kvm_irq_posted", posted, "Interrupts posted for the CPU to deliver."),
	IRQ("kvm_irq_injections", count, "Interrupts injected."),
	IRQ("kvm_irq_reinjections", reinjections, "Interrupts injected again."),
	IRQ("kvm_irq_soft_injections", soft, "Software interrupts injected."),
	IRQ("kvm_irq_eois", eois, "EOIs that KVM saw."),
	IRQ("kvm_irq_pv_eois", pv_eois, "EOIs without an exit."),
	METRIC(struct irq_row, HISTOGRAM, "kvm_irq_injection_delay_seconds", inject, OF_VECTORS,
	       .help = "Time from acceptance by the local APIC to injection."),
	METRIC(struct irq_row, HISTOGRAM, "kvm_irq_eoi_delay_seconds", eoi, OF_VECTORS,
	       .help = "Time from injection to EOI."),
	{},
};

const struct monitor irq_inject_monitor = {
	.name = "irq_inject",
	.key = 'i',
	.help = "virtual interrupt injection",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct irq_row),
	.state_size = sizeof(struct lapics),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.look = look,
	.finish = finish,
	.event = event,
	.event_view = VIEW_EVENTS,
	.event_ns_at = offsetof(struct irq_row, delay_ns),
	.events_alone = true,
};
