// SPDX-License-Identifier: GPL-2.0-only
/* -i: interrupts of the vCPUs. The kernel half is irq_inject.bpf.c. */
#include "irq_inject.h"

#include <stdlib.h>
#include <string.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/lapics.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "irq_inject.skel.h"

enum { VIEW_EVENTS, VIEW_VECTORS };
_Static_assert((int)FLAG_UNKNOWN == (int)BOOL_ABSENT, "what was not told is absent");

struct irq_row {
	struct row row;
	const char *comm;
	uint64_t delay_ns;
	uint32_t vector;
	uint64_t injections;
	const char *type;
	uint8_t reinjected;
	uint64_t raised;
	uint64_t merged;
	uint64_t posted;
	uint64_t count;
	uint64_t reinjections;
	uint64_t soft;
	uint64_t inject_count;
	uint64_t inject_min_ns;
	uint64_t inject_mean_ns;
	uint64_t inject_max_ns;
	uint64_t inject_p50_ns;
	uint64_t inject_p99_ns;
	uint64_t eois;
	uint64_t pv_eois;
	uint64_t eoi_count;
	uint64_t eoi_min_ns;
	uint64_t eoi_mean_ns;
	uint64_t eoi_max_ns;
	uint64_t eoi_p50_ns;
	uint64_t eoi_p99_ns;
	const char *hidden;
};

static const struct view views[] = {
	[VIEW_EVENTS] = { .title = "IRQ_INJECT", .per_vcpu = true },
	[VIEW_VECTORS] = { .title = "INTERRUPTS", .per_vcpu = true },
	{},
};

extern const struct monitor irq_inject_monitor;

#define COL(...) COLUMN(struct irq_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_EVENTS
#define VECTORS .views = 1 << VIEW_VECTORS

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, EVENT, .width = 11, .help = "the vCPU's thread"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, EVENT, .flags = COL_USEC, .width = 9,
	    .help = "since the local APIC accepted it (table: us)"),
	COL(vector, "IRQ_NR", COL_U32, ROLE_LABEL, .help = "the vector"),
	COL(injections, "INJECTIONS", COL_U64, ROLE_COUNTER,
	    .help = "all of the vCPU since it exists, by KVM's own count"),
	COL(type, "TYPE", COL_STRING, ROLE_LABEL, EVENT, .width = 9, .help = "IRQ or Soft/INTn"),
	COL(reinjected, "REINJECTED", COL_BOOL, ROLE_LABEL, EVENT,
	    .help = "an exit broke its delivery off, so it is injected again"),
	COL(raised, "RAISED", COL_U64, ROLE_COUNTER, VECTORS, .help = "accepted by the local APIC"),
	COL(merged, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "of them: while the vector was pending already"),
	COL(posted, "POSTED", COL_U64, ROLE_COUNTER, VECTORS,
	    .help = "of them: for the CPU to deliver (APICv, AVIC)"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, VECTORS, .help = "injections"),
	COL(reinjections, "AGAIN", COL_U64, ROLE_COUNTER, VECTORS,
	    .help = "of them: injected again"),
	COL(soft, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "of them: software interrupts"),
	COL(inject_count, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "timed from raised to injected"),
	COL(inject_min_ns, NULL, COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "shortest"),
	COL(inject_mean_ns, "INJ_MEAN", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC,
	    .help = "from raised to injected: mean (table: us)"),
	COL(inject_p50_ns, "INJ_P50", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC | COL_WIDE,
	    .help = "median, within 12.5 %"),
	COL(inject_p99_ns, "INJ_P99", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC,
	    .help = "99th percentile, within 12.5 %"),
	COL(inject_max_ns, "INJ_MAX", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC | COL_WIDE,
	    .help = "longest"),
	COL(eois, "EOIS", COL_U64, ROLE_COUNTER, VECTORS, .help = "ends of interrupt that KVM saw"),
	COL(pv_eois, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "of them: without an exit, so that KVM saw them later"),
	COL(eoi_count, NULL, COL_U64, ROLE_COUNTER, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "timed from injected or posted to the EOI"),
	COL(eoi_min_ns, NULL, COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_DATA_ONLY,
	    .help = "shortest"),
	COL(eoi_mean_ns, "EOI_MEAN", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC,
	    .help = "from injected or posted to the EOI: mean (table: us)"),
	COL(eoi_p50_ns, "EOI_P50", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC | COL_WIDE,
	    .help = "median, within 12.5 %"),
	COL(eoi_p99_ns, "EOI_P99", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC,
	    .help = "99th percentile, within 12.5 %"),
	COL(eoi_max_ns, "EOI_MAX", COL_NSEC, ROLE_GAUGE, VECTORS, .flags = COL_USEC | COL_WIDE,
	    .help = "longest"),
	COL(hidden, "HIDDEN", COL_STRING, ROLE_LABEL, VECTORS, .width = 6,
	    .help = "stages that KVM does not see here"),
	{},
};

#define VENDORS (VENDOR_VMX | VENDOR_SVM)

/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
static const struct hook hooks[] = {
	LAPICS_RUN_HOOKS("which local APIC is which vCPU's: raised interrupts"),

	/* Interrupts raise some, too. They skip a kprobe when they interrupt one: fentry first. */
	{ "kvm_apic_accept_irq", HOOK_FENTRY, "__apic_accept_irq", "raise_fentry",
	  .gives = "raised interrupts, and how long they wait for their injection",
	  .primary = true },
	{ "kvm_apic_accept_irq", HOOK_KPROBE, "__apic_accept_irq", "raise_kprobe" },
	{ "kvm_apic_accept_irq", HOOK_TRACEPOINT, "kvm_apic_accept_irq", "raise_tracepoint" },
	{ "kvm_apic_accept_irq", HOOK_RAW_TP, "kvm_apic_accept_irq", "raise_raw_tp" },
	{ "kvm_apic_accept_irq", HOOK_TP_BTF, "kvm_apic_accept_irq", "raise_tp_btf" },

	{ "kvm_pv_eoi", HOOK_TRACEPOINT, "kvm_pv_eoi", "pv_eoi_tracepoint",
	  .gives = "which ends of interrupts KVM saw late" },
	{ "kvm_pv_eoi", HOOK_RAW_TP, "kvm_pv_eoi", "pv_eoi_raw_tp" },
	{ "kvm_pv_eoi", HOOK_TP_BTF, "kvm_pv_eoi", "pv_eoi_tp_btf" },

	{ "kvm_eoi", HOOK_TRACEPOINT, "kvm_eoi", "eoi_tracepoint",
	  .gives = "the ends of interrupts", .primary = true },
	{ "kvm_eoi", HOOK_RAW_TP, "kvm_eoi", "eoi_raw_tp" },
	{ "kvm_eoi", HOOK_TP_BTF, "kvm_eoi", "eoi_tp_btf" },

	{ "kvm_inj_virq", HOOK_TRACEPOINT, "kvm_inj_virq", "inject_tracepoint", VENDORS,
	  .gives = "the injections", .primary = true },
	{ "kvm_inj_virq", HOOK_RAW_TP, "kvm_inj_virq", "inject_raw_tp", VENDORS },
	{ "kvm_inj_virq", HOOK_RAW_TP, "kvm_inj_virq", "inject_raw_tp_old", VENDORS },
	{ "kvm_inj_virq", HOOK_TP_BTF, "kvm_inj_virq", "inject_tp_btf", VENDORS },
	{ "kvm_inj_virq", HOOK_TP_BTF, "kvm_inj_virq", "inject_tp_btf_old", VENDORS },

	LAPICS_ITER_HOOK,
	{},
};

/* What a record counts, at one moment. */
struct counts {
	uint64_t raised, merged, posted, injected, reinjected, soft, eois, pv_eois;
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	uint32_t vector;
	uint64_t injections; /* KVM's, at the last look */
	struct counts now, before;
	struct stat_series inject, eoi;
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "irq_records",
	.record_size = sizeof(struct irq_record),
	.per_slot = 8,
	.index = "irq_index",
	.free_records = "free_records",
	.slot_at = offsetof(struct irq_record, key.slot),
	.states = "irq_states",
	.state_size = sizeof(struct irq_state),
};

static struct {
	struct lapics lapics;
	struct series_set set;
} self;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	size_t slots = vcpus__max(at->env->vcpus) + 1;
	int err = series__prepare(&self.set, &kind, obj, slots);

	if (!err)
		err = lapics__prepare(obj, slots);
	if (!err)
		err = map__set_const(obj, "no_injections", !host__vendors());
	if (!err)
		err = map__set_offset(obj, "soft_at", "kvm/kvm_inj_virq", "soft");
	return err ? err : map__set_offset(obj, "reinjected_at", "kvm/kvm_inj_virq", "reinjected");
}

static int start(struct attachment *at)
{
	int err = lapics__open(&self.lapics, at->obj);

	return err ? err : series__open(&self.set, at->obj);
}

static void stop(struct attachment *at)
{
	(void)at;
	lapics__close(&self.lapics);
	series__close(&self.set);
	memset(&self, 0, sizeof(self));
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
	output__row(at->env->out, &row.row, 0);
}

static void look(struct series *s, struct irq_record *record, uint64_t epoch)
{
	const struct irq_state *states = self.set.states;

	s->vector = record->key.vector;
	s->before = s->now;
	s->now = (struct counts){
		.raised = record->raised,
		.merged = record->merged,
		.posted = record->posted,
		.injected = record->count,
		.reinjected = record->reinjected,
		.soft = record->soft,
		.eois = record->eois,
		.pv_eois = record->pv_eois,
	};
	s->injections = states[record->key.slot].injections;
	stat_series__look(&s->inject, &record->inject, epoch);
	stat_series__look(&s->eoi, &record->eoi, epoch);
	s->head.quiet = !memcmp(&s->now, &s->before, sizeof(s->now));
}

static uint64_t mean(const struct stat_delta *d)
{
	return d->timed ? d->total_ns / d->timed : UINT64_MAX;
}

/* The stages of this vector that KVM has no part in. */
static const char *hidden(const struct series *s)
{
	const struct counts *c = &s->now;

	if (!host__vendors())
		return "injection";
	if (c->posted)
		return c->eois ? "injection" : "injection, EOI";
	return c->injected && !c->eois ? "EOI" : NULL;
}

static void write_series(const struct window *window, const struct series *s)
{
	static const struct counts none;
	const struct counts *from = window->scope == SCOPE_TOTAL ? &none : &s->before,
			    *to = &s->now;
	const struct stat_delta *inject =
		window->scope == SCOPE_TOTAL ? &s->inject.run : &s->inject.grown;
	const struct stat_delta *eoi = window->scope == SCOPE_TOTAL ? &s->eoi.run : &s->eoi.grown;
	struct irq_row row = {
		.row = s->head.row,
		.vector = s->vector,
		.injections = s->injections,
		.raised = counter__delta(to->raised, from->raised),
		.merged = counter__delta(to->merged, from->merged),
		.posted = counter__delta(to->posted, from->posted),
		.count = counter__delta(to->injected, from->injected),
		.reinjections = counter__delta(to->reinjected, from->reinjected),
		.soft = counter__delta(to->soft, from->soft),
		.inject_count = inject->timed,
		.inject_min_ns = inject->min_ns,
		.inject_mean_ns = mean(inject),
		.inject_max_ns = inject->max_ns,
		.inject_p50_ns = stat_delta__percentile(inject, 50),
		.inject_p99_ns = stat_delta__percentile(inject, 99),
		.eois = counter__delta(to->eois, from->eois),
		.pv_eois = counter__delta(to->pv_eois, from->pv_eois),
		.eoi_count = eoi->timed,
		.eoi_min_ns = eoi->min_ns,
		.eoi_mean_ns = mean(eoi),
		.eoi_max_ns = eoi->max_ns,
		.eoi_p50_ns = stat_delta__percentile(eoi, 50),
		.eoi_p99_ns = stat_delta__percentile(eoi, 99),
		.hidden = hidden(s),
	};

	row.row.ts_ns = window->now_ns;
	output__row(window->out, &row.row, 0);
}

static int by_vcpu_vector(const void *a, const void *b)
{
	const struct series *s = *(struct series *const *)a, *t = *(struct series *const *)b;
	int order = series__by_vcpu(a, b);

	return order ? order : (int)s->vector - (int)t->vector;
}

static void report(struct attachment *at, const struct window *window)
{
	struct irq_record *records = self.set.records;
	struct series **rows;
	size_t nr;

	for (size_t i = 1; window->scope == SCOPE_INTERVAL && i < self.set.nr; i++) {
		struct series *s =
			records[i].in_use ? series__of(&self.set, at->env->vcpus, i) : NULL;

		if (s)
			look(s, &records[i], at->ended_epoch);
	}
	rows = (struct series **)series__list(&self.set, window->scope == SCOPE_TOTAL, &nr);
	if (!rows)
		return;
	qsort(rows, nr, sizeof(*rows), by_vcpu_vector);
	window__begin(window, &irq_inject_monitor, VIEW_VECTORS);
	for (size_t i = 0; i < nr; i++)
		write_series(window, rows[i]);
	output__end(window->out);
	free(rows);
	if (window->scope == SCOPE_TOTAL)
		return;
	lapics__forget_ended(&self.lapics, at->env->vcpus, at->obj);
	series__retire_ended(&self.set, at->env->vcpus, at->obj);
}

const struct monitor irq_inject_monitor = {
	.name = "irq_inject",
	.key = 'i',
	.help = "virtual interrupt injection",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = irq_inject_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENTS,
	.stop = stop,
};
