// SPDX-License-Identifier: GPL-2.0-only
/* -c: interrupts given to the chips. The kernel half is kvm_irqchip.bpf.c. */
#include "kvm_irqchip.h"

#include <stdlib.h>
#include <string.h>

#include "../core/attach.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/irqs.h"
#include "kvm_irqchip.skel.h"

enum { LEAST_RECORDS = 4096, RECORDS_PER_SLOT = 4 };
_Static_assert((int)FLAG_UNKNOWN == (int)BOOL_ABSENT, "what was not told is absent");
enum { VIEW_EVENTS, VIEW_COUNTS };

struct chip_row {
	struct row row;
	const char *raiser_comm;
	uint32_t raiser_tid;
	uint64_t delay_ns;
	const char *type_pin;
	const char *chip;
	uint32_t pin;
	const char *dst_vec;
	uint32_t dest;
	uint32_t vector;
	const char *delivery;
	const char *dest_mode;
	const char *trigger;
	uint8_t masked;
	uint8_t redirection_hint;
	uint8_t coalesced;
	uint8_t asserted;
	const char *others;
	uint64_t count;
	uint64_t coalesced_count;
	uint64_t masked_count;
	uint64_t lowered;
	uint64_t delay_count;
	uint64_t delay_total_ns;
	uint64_t delay_p50_ns;
	uint64_t delay_p99_ns;
	uint64_t delay_max_ns;
};

static const struct view views[] = {
	[VIEW_EVENTS] = { .title = "KVM_IRQCHIP" },
	[VIEW_COUNTS] = { .title = "IRQCHIP PINS AND MESSAGES" },
	{},
};

extern const struct monitor kvm_irqchip_monitor;

#define COL(...) COLUMN(struct chip_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_EVENTS
#define COUNTS .views = 1 << VIEW_COUNTS
#define DATA .flags = COL_DATA_ONLY

static const struct column columns[] = {
	COL(raiser_comm, "COMM", COL_STRING, ROLE_LABEL, EVENT, .width = 15,
	    .help = "the thread that raised it"),
	COL(raiser_tid, NULL, COL_U32, ROLE_LABEL, EVENT, DATA, .help = "its id"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, EVENT, .flags = COL_USEC, .width = 8,
	    .help = "time of delivery, from the call to its return (table: us)"),
	COL(type_pin, "TYPE/PIN", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY, .width = 12,
	    .help = "the chip and its pin"),
	COL(chip, NULL, COL_STRING, ROLE_LABEL, DATA,
	    .help = "PIC master, PIC slave, IOAPIC or MSI"),
	COL(pin, NULL, COL_U32, ROLE_LABEL, DATA, .help = "of that chip; a message has none"),
	COL(dst_vec, "DST/VEC", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY, .width = 8,
	    .help = "destination, hexadecimal, and vector"),
	COL(dest, NULL, COL_U32, ROLE_LABEL, DATA, .help = "APIC id, or a set of them if logical"),
	COL(vector, NULL, COL_U32, ROLE_LABEL, DATA, .help = "the vector; a PIC does not tell it"),
	COL(delivery, NULL, COL_STRING, ROLE_LABEL, DATA,
	    .help = "delivery mode: Fixed, LowPrio, SMI, NMI, INIT, SIPI or ExtINT"),
	COL(dest_mode, NULL, COL_STRING, ROLE_LABEL, DATA, .help = "physical or logical"),
	COL(trigger, NULL, COL_STRING, ROLE_LABEL, DATA, .help = "edge or level"),
	COL(masked, NULL, COL_BOOL, ROLE_LABEL, EVENT, DATA, .help = "the pin is masked"),
	COL(redirection_hint, NULL, COL_BOOL, ROLE_LABEL, DATA,
	    .help = "of a message: to whom it disturbs least"),
	COL(coalesced, NULL, COL_BOOL, ROLE_LABEL, EVENT, DATA, .help = "it was pending already"),
	COL(asserted, NULL, COL_BOOL, ROLE_LABEL, EVENT, DATA,
	    .help = "the line was raised, else lowered"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "interrupts, lowered lines included"),
	COL(coalesced_count, "COALESCED", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "of them: pending already"),
	COL(masked_count, "MASKED", COL_U64, ROLE_COUNTER, COUNTS, .help = "of them: masked"),
	COL(lowered, "LOWERED", COL_U64, ROLE_COUNTER, COUNTS, .help = "of them: lines lowered"),
	COL(delay_count, NULL, COL_U64, ROLE_COUNTER, COUNTS, DATA, .help = "of them: timed"),
	COL(delay_total_ns, NULL, COL_NSEC, ROLE_COUNTER, COUNTS, DATA,
	    .help = "sum of their times of delivery"),
	COL(delay_p50_ns, "P50", COL_NSEC, ROLE_GAUGE, COUNTS, .flags = COL_USEC,
	    .help = "median time of delivery, within 12.5 % (table: us)"),
	COL(delay_p99_ns, "P99", COL_NSEC, ROLE_GAUGE, COUNTS, .flags = COL_USEC,
	    .help = "99th percentile, within 12.5 %"),
	COL(delay_max_ns, "MAX", COL_NSEC, ROLE_GAUGE, COUNTS, .flags = COL_USEC,
	    .help = "longest"),
	COL(others, "OTHERS", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY | COL_REST,
	    .help = "delivery mode, destination mode, trigger, masked, redirection hint, "
		    "coalesced"),
	{},
};

/* String literals that stand side by side: parentheses would part them. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
/* Where KVM is preemptible, classic tracepoints and kprobes come first: see enum hook_kind. */
#define CALL(_need, _function, _prog, _gives)                                                      \
	{ _need, HOOK_KPROBE, _function, _prog "_begin_kprobe", .gives = _gives },                 \
		{ _need, HOOK_FENTRY, _function, _prog "_begin_fentry" },                          \
		{ _need "_return", HOOK_KPROBE, _function, _prog "_end_kprobe", .gives = _gives }, \
	{                                                                                          \
		_need "_return", HOOK_FENTRY, _function, _prog "_end_fexit"                        \
	}
#define TOLD(_event, _prog, _gives)                                        \
	{ _event "_event",     HOOK_TRACEPOINT, _event,                    \
	  _prog "_tracepoint", .gives = _gives, .primary = true },         \
		{ _event "_event", HOOK_RAW_TP, _event, _prog "_raw_tp" }, \
	{                                                                  \
		_event "_event", HOOK_TP_BTF, _event, _prog "_tp_btf"      \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct hook hooks[] = {
	{ "kvm_fpu", HOOK_TRACEPOINT, "kvm_fpu", "run_tracepoint",
	  .gives = "the names of VMs that end before they are looked up" },
	{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", "run_raw_tp" },
	{ "kvm_fpu", HOOK_TP_BTF, "kvm_fpu", "run_tp_btf" },

	CALL("kvm_pic_set_irq", "kvm_pic_set_irq", "pic",
	     "DELAY of the PICs' interrupts, and their VM if it is not the caller's"),
	CALL("kvm_ioapic_set_irq", "kvm_ioapic_set_irq", "ioapic",
	     "DELAY of the IOAPIC's interrupts, and their VM if it is not the caller's"),
	CALL("kvm_set_msi", "kvm_set_msi", "msi",
	     "DELAY of messages, their VM if it is not the caller's, and whether they were "
	     "pending"),
	CALL("kvm_arch_set_irq_inatomic", "kvm_arch_set_irq_inatomic", "atomic",
	     "the same of irqfds' messages"),
	TOLD("kvm_pic_set_irq", "pic", "the PICs' interrupts"),
	TOLD("kvm_ioapic_set_irq", "ioapic", "the IOAPIC's interrupts"),
	TOLD("kvm_msi_set_irq", "msi", "messages"),
	{},
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	struct irqchip_key key;
	uint64_t count, coalesced, masked, lowered; /* at the last look */
	uint64_t grown, grown_coalesced, grown_masked, grown_lowered;
	struct stat_series delay;
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "irqchip_records",
	.record_size = sizeof(struct irqchip_record),
	.per_slot = 1,
	.index = "irqchip_index",
	.free_records = "free_records",
};

static struct series_set set;
static uint64_t unknown_kvm; /* the last VM that was looked for in vain */

/* Tells the programs which calls have both of their ends watched. */
static int set_calls(struct bpf_object *obj, const char *constant, const char *begin_kprobe,
		     const char *begin_fentry, const char *end_kprobe, const char *end_fexit)
{
	bool both = (attach__loads(obj, begin_kprobe) || attach__loads(obj, begin_fentry)) &&
		    (attach__loads(obj, end_kprobe) || attach__loads(obj, end_fexit));

	return map__set_const(obj, constant, both);
}

#define SET_CALLS(_obj, _prog)                                                        \
	set_calls(_obj, _prog "_calls", _prog "_begin_kprobe", _prog "_begin_fentry", \
		  _prog "_end_kprobe", _prog "_end_fexit")

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	size_t records = (vcpus__max(at->env->vcpus) + 1) * RECORDS_PER_SLOT;
	int err = series__prepare(&set, &kind, obj,
				  records > LEAST_RECORDS ? records : LEAST_RECORDS);

	if (!err)
		err = SET_CALLS(obj, "pic");
	if (!err)
		err = SET_CALLS(obj, "ioapic");
	if (!err)
		err = SET_CALLS(obj, "msi");
	return err ? err : SET_CALLS(obj, "atomic");
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

/* Looking through all descriptors takes its time: not for each of a VM's records. */
static const struct vm_ref *find_vm(const struct attachment *at, uint64_t kvm)
{
	const struct vm_ref *vm;

	if (!kvm || kvm == unknown_kvm)
		return NULL;
	vm = vcpus__find_vm(at->env->vcpus, kvm);
	if (!vm)
		unknown_kvm = kvm;
	return vm;
}

/* The series of a record, with its VM looked for once; NULL: there is no such record. */
static struct series *series_of(const struct attachment *at, uint32_t index)
{
	const struct irqchip_record *records = set.records;
	struct series *s;

	if (!index || index >= set.nr || !records[index].in_use)
		return NULL;
	s = set.live[index];
	if (s)
		return s;
	s = series__add(&set, index);
	if (!s)
		return NULL;
	s->key = records[index].key;
	s->head.vm = find_vm(at, s->key.kvm);
	s->head.chosen = s->head.vm ? s->head.vm->chosen : filter__has_every_vm(at->env->filter);
	vm_ref__row(s->head.vm, 0, &s->head.row);
	return s;
}

/* Room for a row's texts. */
struct texts {
	char type_pin[32], dst_vec[24], others[64];
};

static const char *chip_name(unsigned int chip)
{
	static const char *const names[] = {
		[CHIP_PIC_MASTER] = "PIC master",
		[CHIP_PIC_SLAVE] = "PIC slave",
		[CHIP_IOAPIC] = "IOAPIC",
		[CHIP_MSI] = "MSI",
	};

	return names[chip & 3];
}

/* What pin, entry or message say. PICs: that is their pin; the rest the event has. */
static void fill_route(struct chip_row *row, struct texts *texts, unsigned int chip, uint32_t pin,
		       uint64_t where, uint64_t data, bool coalesced)
{
	struct irq_route route = chip == CHIP_MSI ? irq__msi(where, data) : irq__ioapic(where);

	row->chip = chip_name(chip);
	row->pin = chip == CHIP_MSI ? UINT32_MAX : pin;
	row->dest = row->vector = UINT32_MAX;
	row->redirection_hint = BOOL_ABSENT;
	snprintf(texts->type_pin, sizeof(texts->type_pin), chip == CHIP_MSI ? "%s" : "%s/%u",
		 row->chip, pin);
	row->type_pin = texts->type_pin;
	if (chip < CHIP_IOAPIC)
		return;
	row->dest = route.dest;
	row->vector = route.vector;
	row->delivery = irq__delivery(route.delivery);
	row->dest_mode = route.logical ? "logical" : "physical";
	row->trigger = route.level ? "level" : "edge";
	if (chip == CHIP_MSI)
		row->redirection_hint = route.hint;
	snprintf(texts->dst_vec, sizeof(texts->dst_vec), "%x/%u", route.dest, route.vector);
	row->dst_vec = texts->dst_vec;
	row->others = irq__others(&route, coalesced, texts->others, sizeof(texts->others));
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct irqchip_event *e = data;
	const struct series *s;
	struct chip_row row = {};
	struct texts texts;

	if (size < sizeof(*e))
		return;
	s = series_of(at, e->record);
	if (!s || !s->head.chosen)
		return;
	row.row = s->head.row;
	row.row.ts_ns = e->head.ts_ns;
	row.raiser_comm = e->head.comm;
	row.raiser_tid = e->head.tid;
	row.delay_ns = e->delay_ns;
	fill_route(&row, &texts, e->chip, e->pin, e->entry, e->data, e->coalesced == FLAG_YES);
	if (e->chip < CHIP_IOAPIC) {
		row.trigger = e->level ? "level" : "edge";
		snprintf(texts.others, sizeof(texts.others), "%s%s%s", row.trigger,
			 e->masked ? "|masked" : "", e->coalesced == FLAG_YES ? "|coalesced" : "");
		row.others = texts.others;
	}
	row.masked = e->chip == CHIP_MSI ? BOOL_ABSENT : e->masked;
	row.coalesced = e->coalesced;
	row.asserted = e->asserted;
	output__row(at->env->out, &row.row, 0);
}

static void look(struct series *s, struct irqchip_record *record, uint64_t epoch)
{
	s->grown = counter__delta(record->count, s->count);
	s->grown_coalesced = counter__delta(record->coalesced, s->coalesced);
	s->grown_masked = counter__delta(record->masked, s->masked);
	s->grown_lowered = counter__delta(record->lowered, s->lowered);
	s->count += s->grown;
	s->coalesced += s->grown_coalesced;
	s->masked += s->grown_masked;
	s->lowered += s->grown_lowered;
	stat_series__look(&s->delay, &record->delay, epoch);
	s->head.quiet = !s->grown;
}

static void write_series(const struct window *window, const struct series *s)
{
	bool all = window->scope == SCOPE_TOTAL;
	const struct stat_delta *d = all ? &s->delay.run : &s->delay.grown;
	struct texts texts;
	struct chip_row row = {
		.row = s->head.row,
		.count = all ? s->count : s->grown,
		.coalesced_count = all ? s->coalesced : s->grown_coalesced,
		.masked_count = all ? s->masked : s->grown_masked,
		.lowered = all ? s->lowered : s->grown_lowered,
		.delay_count = d->timed,
		.delay_total_ns = d->total_ns,
		.delay_p50_ns = stat_delta__percentile(d, 50),
		.delay_p99_ns = stat_delta__percentile(d, 99),
		.delay_max_ns = d->max_ns,
	};

	row.row.ts_ns = window->now_ns;
	fill_route(&row, &texts, s->key.chip, s->key.pin, s->key.where, s->key.data, false);
	output__row(window->out, &row.row, 0);
}

static int by_vm_pin(const void *a, const void *b)
{
	const struct series *s = *(struct series *const *)a, *t = *(struct series *const *)b;
	int order = series__by_vcpu(a, b);

	if (order)
		return order;
	if (s->key.chip != t->key.chip)
		return (int)s->key.chip - (int)t->key.chip;
	if (s->key.pin != t->key.pin)
		return (int)s->key.pin - (int)t->key.pin;
	if (s->key.data != t->key.data)
		return s->key.data < t->key.data ? -1 : 1;
	return s->key.where < t->key.where ? -1 : s->key.where > t->key.where;
}

static void report(struct attachment *at, const struct window *window)
{
	struct irqchip_record *records = set.records;
	struct series **rows;
	size_t nr;

	unknown_kvm = 0;
	for (size_t i = 1; window->scope == SCOPE_INTERVAL && i < set.nr; i++) {
		struct series *s = series_of(at, i);

		if (s)
			look(s, &records[i], at->ended_epoch);
	}
	rows = (struct series **)series__list(&set, window->scope == SCOPE_TOTAL, &nr);
	if (!rows)
		return;
	qsort(rows, nr, sizeof(*rows), by_vm_pin);
	window__begin(window, &kvm_irqchip_monitor, VIEW_COUNTS);
	for (size_t i = 0; i < nr; i++)
		write_series(window, rows[i]);
	output__end(window->out);
	free(rows);
	if (window->scope == SCOPE_INTERVAL)
		series__retire_ended_vms(&set, at->obj);
}

const struct monitor kvm_irqchip_monitor = {
	.name = "kvm_irqchip",
	.key = 'c',
	.help = "irqchip settings (PIC, IOAPIC, MSI)",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = kvm_irqchip_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENTS,
	.stop = stop,
};
