// SPDX-License-Identifier: GPL-2.0-only
/* -c: interrupts given to the chips. The kernel half is kvm_irqchip.bpf.c. */
#include "kvm_irqchip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/events.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../decode/irqs.h"
#include "kvm_irqchip.skel.h"

DEFINE_OPEN_SKELETON(kvm_irqchip_bpf)

#define MAP(_name) offsetof(struct kvm_irqchip_bpf, maps._name)
#define PROG(_name) offsetof(struct kvm_irqchip_bpf, progs._name)

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
	uint64_t dest;
	uint64_t vector;
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
	struct times delay;
	uint64_t delay_count;
	uint64_t delay_total_ns;
	uint64_t delay_p50_ns;
	uint64_t delay_p99_ns;
	uint64_t delay_max_ns;
	uint32_t chip_nr;
	uint64_t where, data;
	char type_pin_text[32], dst_vec_text[24], others_text[64];
};

static const struct view views[] = {
	[VIEW_EVENTS] = { .title = "KVM_IRQCHIP", .name = "KVM_IRQCHIP" },
	[VIEW_COUNTS] = { .title = "IRQCHIP PINS AND MESSAGES",
			  .name = "IRQCHIP_PINS",
			  SAMPLES_OF(VIEW_COUNTS) },
	{},
};

#define COL(...) COLUMN(struct chip_row, __VA_ARGS__)
#define EVENT .views = 1 << VIEW_EVENTS
#define COUNTS .views = 1 << VIEW_COUNTS
#define DATA .flags = COL_DATA_ONLY
#define KEY COUNTS, .flags = COL_KEY_ONLY
#define DELAY(what) OF_TIMES(struct chip_row, delay, what)

static const struct column columns[] = {
	COL(raiser_comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, EVENT, .width = 15,
	    .help = "name of the thread that raised the interrupt"),
	COL(raiser_tid, NULL, COL_U32, ROLE_LABEL, EVENT, DATA, .help = "id of that thread"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, EVENT, .flags = COL_USEC, .width = 8,
	    .help = "delivery time, from the call to its return (table: us)"),
	COL(type_pin, "TYPE/PIN", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY, .width = 12,
	    .help = "the chip and its pin"),
	COL(chip, NULL, COL_STRING, ROLE_LABEL, DATA | COL_FRAME,
	    .help = "PIC master, PIC slave, IOAPIC or MSI"),
	COL(pin, NULL, COL_U32, ROLE_LABEL, DATA | COL_FRAME,
	    .help = "pin of that chip; absent for messages"),
	COL(dst_vec, "DST/VEC", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY, .width = 9,
	    .help = "destination and vector, in hexadecimal"),
	COL(dest, NULL, COL_HEX, ROLE_LABEL, DATA, .help = "APIC id, or a set of them if logical"),
	COL(vector, NULL, COL_HEX, ROLE_LABEL, DATA | COL_FRAME,
	    .help = "interrupt vector; absent for PICs"),
	COL(delivery, NULL, COL_STRING, ROLE_LABEL, DATA,
	    .help = "delivery mode: Fixed, LowPrio, SMI, NMI, INIT, SIPI or ExtINT"),
	COL(dest_mode, NULL, COL_STRING, ROLE_LABEL, DATA, .help = "physical or logical"),
	COL(trigger, NULL, COL_STRING, ROLE_LABEL, DATA, .help = "edge or level"),
	COL(masked, NULL, COL_BOOL, ROLE_LABEL, EVENT, DATA, .help = "the pin is masked"),
	COL(redirection_hint, NULL, COL_BOOL, ROLE_LABEL, DATA,
	    .help = "redirection hint of a message: deliver to the lowest-priority CPU"),
	COL(coalesced, NULL, COL_BOOL, ROLE_LABEL, EVENT, DATA, .help = "it was already pending"),
	COL(asserted, NULL, COL_BOOL, ROLE_LABEL, EVENT, DATA,
	    .help = "true: the line was raised; false: lowered"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "interrupts, including lowered lines"),
	COL(coalesced_count, "COALESCED", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "of COUNT, those already pending"),
	COL(masked_count, "MASKED", COL_U64, ROLE_COUNTER, COUNTS,
	    .help = "of COUNT, those of masked pins"),
	COL(lowered, "LOWERED", COL_U64, ROLE_COUNTER, COUNTS, .help = "of COUNT, lowered lines"),
	COL(delay, "DELIVERED", COL_TIMES, ROLE_COUNTER, COUNTS, .flags = COL_COST,
	    .help = "delivery times"),
	COL(delay_count, NULL, COL_U64, ROLE_COUNTER, COUNTS, DATA, DELAY(COUNT),
	    .help = "of COUNT, those timed"),
	COL(delay_total_ns, NULL, COL_NSEC, ROLE_COUNTER, COUNTS, DATA, DELAY(TOTAL),
	    .help = "sum of delivery times"),
	COL(delay_p50_ns, "P50", COL_NSEC, ROLE_GAUGE, COUNTS, DELAY(P50),
	    .flags = COL_USEC | COL_WORSE,
	    .help = "median delivery time, within 12.5 % (table: us)"),
	COL(delay_p99_ns, "P99", COL_NSEC, ROLE_GAUGE, COUNTS, DELAY(P99),
	    .flags = COL_USEC | COL_WORSE, .help = "99th percentile, within 12.5 %"),
	COL(delay_max_ns, "MAX", COL_NSEC, ROLE_GAUGE, COUNTS, DELAY(MAX),
	    .flags = COL_USEC | COL_WORSE, .help = "longest"),
	COL(others, "OTHERS", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY | COL_REST,
	    .help = "delivery mode, destination mode, trigger, masked, redirection hint, "
		    "coalesced"),
	COL(chip_nr, NULL, COL_U32, ROLE_LABEL, KEY, .help = "the chip, as KVM numbers it"),
	COL(where, NULL, COL_U64, ROLE_LABEL, KEY,
	    .help = "redirection entry, or address of a message"),
	COL(data, NULL, COL_U64, ROLE_LABEL, KEY, .help = "data of a message"),
	{},
};

/* String literals that stand side by side: parentheses would part them. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
/* Where KVM is preemptible, classic tracepoints and kprobes come first: see enum hook_kind. */
#define CALL(_need, _function, _prog, _gives)                                           \
	{ _need, HOOK_KPROBE, _function, PROG(_prog##_begin_kprobe), .gives = _gives }, \
		{ _need, HOOK_FENTRY, _function, PROG(_prog##_begin_fentry) },          \
		{ _need "_return", HOOK_KPROBE, _function, PROG(_prog##_end_kprobe),    \
		  .gives = _gives },                                                    \
	{                                                                               \
		_need "_return", HOOK_FENTRY, _function, PROG(_prog##_end_fexit)        \
	}
#define TOLD(_event, _prog, _gives)                                             \
	{ _event "_event",	    HOOK_TRACEPOINT, _event,                    \
	  PROG(_prog##_tracepoint), .gives = _gives, .primary = true },         \
		{ _event "_event", HOOK_RAW_TP, _event, PROG(_prog##_raw_tp) }, \
	{                                                                       \
		_event "_event", HOOK_TP_BTF, _event, PROG(_prog##_tp_btf)      \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct hook hooks[] = {
	{ "kvm_fpu", HOOK_TRACEPOINT, "kvm_fpu", PROG(run_tracepoint),
	  .gives = "names of VMs that end before they are looked up", .called_at = AT_RUN },
	{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", PROG(run_raw_tp), .called_at = AT_RUN },
	{ "kvm_fpu", HOOK_TP_BTF, "kvm_fpu", PROG(run_tp_btf) },

	CALL("kvm_pic_set_irq", "kvm_pic_set_irq", pic,
	     "DELAY of the PICs' interrupts, and their VM if it is not the caller's"),
	CALL("kvm_ioapic_set_irq", "kvm_ioapic_set_irq", ioapic,
	     "DELAY of the IOAPIC's interrupts, and their VM if it is not the caller's"),
	CALL("kvm_set_msi", "kvm_set_msi", msi,
	     "DELAY of messages, their VM if it is not the caller's, and whether they were "
	     "pending"),
	CALL("kvm_arch_set_irq_inatomic", "kvm_arch_set_irq_inatomic", atomic,
	     "DELAY of messages from irqfds, their VM if it is not the caller's, and whether they "
	     "were pending"),
	TOLD("kvm_pic_set_irq", pic, "interrupts of the PICs"),
	TOLD("kvm_ioapic_set_irq", ioapic, "interrupts of the IOAPIC"),
	TOLD("kvm_msi_set_irq", msi, "messages"),
	{},
};

/* Whose a record is, looked for once. */
struct chip_owner {
	bool known;
	const struct vm_ref *vm; /* NULL: it was looked for in vain */
};

struct chip_state {
	uint64_t unknown_kvm; /* the last VM that was looked for in vain, until the next look */
	struct chip_owner *owners; /* by record */
};

/* Tells the programs which calls have both of their ends watched. */
#define SET_CALLS(_skel, _prog)                                                  \
	((_skel)->rodata->_prog##_calls =                                        \
		 (bpf_program__autoload((_skel)->progs._prog##_begin_kprobe) ||  \
		  bpf_program__autoload((_skel)->progs._prog##_begin_fentry)) && \
		 (bpf_program__autoload((_skel)->progs._prog##_end_kprobe) ||    \
		  bpf_program__autoload((_skel)->progs._prog##_end_fexit)))

static int prepare(struct attachment *at, void *opened)
{
	struct kvm_irqchip_bpf *skel = opened;

	(void)at;
	SET_CALLS(skel, pic);
	SET_CALLS(skel, ioapic);
	SET_CALLS(skel, msi);
	SET_CALLS(skel, atomic);
	return 0;
}

static int start(struct attachment *at)
{
	struct chip_state *state = at->state;

	vcpus__prepare_finding(at->env->vcpus);
	state->owners = calloc(at->records.nr, sizeof(*state->owners));
	return state->owners ? 0 : -ENOMEM;
}

static void stop(struct attachment *at)
{
	struct chip_state *state = at->state;

	for (size_t i = 0; state->owners && i < at->records.nr; i++)
		vcpus__put_vm(state->owners[i].vm);
	free(state->owners);
	state->owners = NULL;
}

static void look(struct attachment *at)
{
	((struct chip_state *)at->state)->unknown_kvm = 0;
}

/* Looking through all descriptors takes its time: not for each of a VM's records. */
static const struct vm_ref *find_vm(const struct attachment *at, uint64_t kvm, uint32_t creator)
{
	struct chip_state *state = at->state;
	const struct vm_ref *vm;

	if (!kvm || kvm == state->unknown_kvm)
		return NULL;
	vm = vcpus__find_vm(at->env->vcpus, kvm, creator);
	if (!vm)
		state->unknown_kvm = kvm;
	return vm;
}

/* The head of a record's rows. False: the user does not ask for them. */
static bool fill_owner(const struct attachment *at, uint32_t index, struct row *row)
{
	const struct irqchip_record *record = records__get(&at->records, index);
	struct chip_owner *owner = &((struct chip_state *)at->state)->owners[index];

	if (!owner->known) {
		owner->vm = vcpus__get_vm(find_vm(at, record->key.kvm, record->key.owner));
		owner->known = true;
	}
	vm_ref__row(owner->vm, 0, row);
	return owner->vm ? owner->vm->chosen : filter__has_every_vm(at->env->filter);
}

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
static void fill_route(struct chip_row *row, unsigned int chip, uint32_t pin, uint64_t where,
		       uint64_t data, bool coalesced)
{
	struct irq_route route = chip == CHIP_MSI ? irq__msi(where, data) : irq__ioapic(where);

	row->chip = chip_name(chip);
	row->pin = chip == CHIP_MSI ? UINT32_MAX : pin;
	row->dest = row->vector = UINT64_MAX;
	row->redirection_hint = BOOL_ABSENT;
	snprintf(row->type_pin_text, sizeof(row->type_pin_text), chip == CHIP_MSI ? "%s" : "%s/%u",
		 row->chip, pin);
	row->type_pin = row->type_pin_text;
	if (chip < CHIP_IOAPIC)
		return;
	row->dest = route.dest;
	row->vector = route.vector;
	row->delivery = irq__delivery(route.delivery);
	row->dest_mode = route.logical ? "logical" : "physical";
	row->trigger = route.level ? "level" : "edge";
	if (chip == CHIP_MSI)
		row->redirection_hint = route.hint;
	snprintf(row->dst_vec_text, sizeof(row->dst_vec_text), "%#x/%#x", route.dest, route.vector);
	row->dst_vec = row->dst_vec_text;
	row->others = irq__others(&route, coalesced, row->others_text, sizeof(row->others_text));
}

/* What is counted together because it is beyond the VM's share. */
static void fill_others(struct chip_row *row, unsigned int chip)
{
	row->chip = chip_name(chip);
	row->pin = row->dest = row->vector = UINT32_MAX;
	row->redirection_hint = BOOL_ABSENT;
	snprintf(row->type_pin_text, sizeof(row->type_pin_text), "%s " OTHERS, row->chip);
	row->type_pin = row->type_pin_text;
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct irqchip_record *record = records__get(&at->records, index);
	const struct irqchip_key *key = &record->key;
	struct chip_row *row = (struct chip_row *)to;
	bool chosen = fill_owner(at, index, to);

	if (key->pin == PIN_OTHER)
		fill_others(row, key->chip);
	else
		fill_route(row, key->chip, key->pin, key->where, key->data, false);
	row->chip_nr = key->chip;
	row->where = key->where;
	row->data = key->data;
	return chosen ? VIEW_COUNTS : -ENOENT;
}

static uint64_t read_count(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct irqchip_record *record = records__get(&at->records, index);
	struct chip_row *row = (struct chip_row *)to;

	/* In this order, which is not the programs': what is timed, or a part of it, is counted. */
	records__times(at, index, &row->delay, &record->delay);
	row->lowered = read_count(&record->lowered);
	row->masked_count = read_count(&record->masked);
	row->coalesced_count = read_count(&record->coalesced);
	row->count = read_count(&record->count);
}

/* The record is free again. */
static void forget(struct attachment *at, uint32_t index)
{
	struct chip_owner *owner = &((struct chip_state *)at->state)->owners[index];

	vcpus__put_vm(owner->vm);
	*owner = (struct chip_owner){};
}

static const struct record_kind records = {
	.records = MAP(irqchip_records),
	.record_size = sizeof(struct irqchip_record),
	.per_slot = RECORDS_PER_SLOT,
	.least = LEAST_RECORDS,
	.index = MAP(irqchip_index),
	.free_records = MAP(free_records),
	.shares = MAP(irqchip_shares),
	.key_at = offsetof(struct irqchip_record, key),
	.of_vm = true,
	.in_use_at = offsetof(struct irqchip_record, in_use),
	.label = label,
	.sample = sample,
	.forget = forget,
};

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct irqchip_event *e = data;
	struct chip_row row = {};

	if (size < sizeof(*e) || !e->record || e->record >= at->records.nr ||
	    !records__in_use(&at->records, e->record) || !fill_owner(at, e->record, &row.row))
		return;
	row.row.ts_ns = e->head.ts_ns;
	row.raiser_comm = e->head.comm;
	row.raiser_tid = e->head.tid;
	row.delay_ns = e->delay_ns;
	fill_route(&row, e->chip, e->pin, e->entry, e->data, e->coalesced == FLAG_YES);
	if (e->chip < CHIP_IOAPIC) {
		row.trigger = e->level ? "level" : "edge";
		snprintf(row.others_text, sizeof(row.others_text), "%s%s%s", row.trigger,
			 e->masked ? "|masked" : "", e->coalesced == FLAG_YES ? "|coalesced" : "");
		row.others = row.others_text;
	}
	row.masked = e->chip == CHIP_MSI ? BOOL_ABSENT : e->masked;
	row.coalesced = e->coalesced;
	row.asserted = e->asserted;
	events__row(at, &row.row);
}

#define OF_PINS .views = 1 << VIEW_COUNTS
#define CHIP .labels = { LABEL(struct chip_row, "chip", chip) }

static const struct metric metrics[] = {
	METRIC(struct chip_row, COUNTER, "kvm_irqchip_interrupts", count, OF_PINS, CHIP,
	       .help = "Interrupts of pins and messages, including lowered lines."),
	METRIC(struct chip_row, COUNTER, "kvm_irqchip_coalesced", coalesced_count, OF_PINS, CHIP,
	       .help = "Interrupts that were already pending."),
	METRIC(struct chip_row, COUNTER, "kvm_irqchip_masked", masked_count, OF_PINS, CHIP,
	       .help = "Interrupts of masked pins."),
	METRIC(struct chip_row, COUNTER, "kvm_irqchip_lowered", lowered, OF_PINS, CHIP,
	       .help = "Lowered lines."),
	METRIC(struct chip_row, HISTOGRAM, "kvm_irqchip_delay_seconds", delay, OF_PINS, CHIP,
	       .help = "Delivery time, from the call to its return."),
	{},
};

const struct monitor kvm_irqchip_monitor = {
	.name = "kvm_irqchip",
	.key = 'c',
	.help = "irqchip settings (PIC, IOAPIC, MSI)",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct chip_row),
	.state_size = sizeof(struct chip_state),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.look = look,
	.event = event,
	.event_view = VIEW_EVENTS,
	.event_ns_at = offsetof(struct chip_row, delay_ns),
	.events_alone = true,
};
