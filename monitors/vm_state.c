// SPDX-License-Identifier: GPL-2.0-only
/* --vm_state: what KVM itself knows. The kernel half is vm_state.bpf.c. */
#include "vm_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/records.h"
#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/confidential.h"
#include "../core/filter.h"
#include "../core/iter.h"
#include "../core/log.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/samples.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/guest_os.h"
#include "vm_state.skel.h"

DEFINE_OPEN_SKELETON(vm_state_bpf)

#define PROG(_name) offsetof(struct vm_state_bpf, progs._name)

enum { VIEW_VM, VIEW_VCPU };

enum { LIST_LEN = 256 };

struct state_row {
	struct row row;
	union {
		struct state_of_vcpu of_vcpu;
		struct {
			VCPU_STATE_MEMBERS
		};
	};
	union {
		struct state_of_vm of_vm;
		struct {
			VM_STATE_MEMBERS
		};
	};
	uint8_t apicv_active, guest_mode, is_blocking, guest_debug;
	uint8_t master_clock;
	const char *irqchip;
	const char *apicv_inhibits;
	const char *disabled_exits;
	const char *guest_os;
	const char *confidential;
	char inhibits_text[LIST_LEN], disabled_text[LIST_LEN], os_text[GUEST_OS_LEN];
};

static const struct view views[] = {
	[VIEW_VM] = { .title = "VM_STATE", .name = "VM_STATE", SAMPLES_OF(VIEW_VM) },
	[VIEW_VCPU] = { .title = "VCPU_STATE",
			.name = "VCPU_STATE",
			.per_vcpu = true,
			SAMPLES_OF(VIEW_VCPU) },
	{},
};

#define COL(...) COLUMN(struct state_row, __VA_ARGS__)
#define OF_VM .views = 1 << VIEW_VM
#define OF_VCPU .views = 1 << VIEW_VCPU
#define COUNT(_name, _title, ...) COL(_name, _title, COL_U64, ROLE_COUNTER, OF_VCPU, __VA_ARGS__)
#define MORE(_name, ...) COUNT(_name, NULL, .flags = COL_DATA_ONLY, __VA_ARGS__)
#define VM_COUNT(_name, ...) \
	COL(_name, NULL, COL_U64, ROLE_COUNTER, OF_VM, .flags = COL_DATA_ONLY, __VA_ARGS__)
#define VM_GAUGE(_name, _title, ...) \
	COL(_name, _title, COL_U64, ROLE_GAUGE, OF_VM, .merge = MERGE_SUM, __VA_ARGS__)
#define RAW(_name, _of) \
	COL(_name, NULL, COL_U64, ROLE_GAUGE, _of, .flags = COL_KEY_ONLY, .help = "as a number")

static const struct column columns[] = {
	VM_GAUGE(vcpus, "VCPUS", .help = "vCPUs of the VM"),
	COL(irqchip, "IRQCHIP", COL_STRING, ROLE_GAUGE, OF_VM, .flags = COL_COMPUTED,
	    .help = "interrupt chips in the kernel: kernel (all), split (only APICs) or none"),
	COL(disabled_exits, "NO_EXITS", COL_STRING, ROLE_GAUGE, OF_VM, .flags = COL_COMPUTED,
	    .drop = DROP_SECOND, .help = "exits that the VMM has disabled, or none"),
	COL(master_clock, "MASTERCLOCK", COL_BOOL, ROLE_GAUGE, OF_VM, .flags = COL_COMPUTED,
	    .drop = DROP_SECOND, .help = "all vCPUs share one kvmclock, based on the host's TSC"),
	VM_GAUGE(pages_4k, "4K", .help = "4 KiB pages that the VM's page tables map"),
	VM_GAUGE(pages_2m, "2M", .help = "2 MiB pages that the VM's page tables map"),
	VM_GAUGE(pages_1g, "1G", .help = "1 GiB pages that the VM's page tables map"),
	VM_GAUGE(lpages, NULL, .flags = COL_DATA_ONLY,
		 .help = "all large pages, where KVM does not count them by size"),
	VM_GAUGE(nx_lpage_splits, "NX_SPLITS", .drop = DROP_THIRD,
		 .help = "large pages split because of iTLB multihit"),
	VM_GAUGE(logged_slots, "LOGGED", .help = "memory slots with dirty logging"),
	VM_GAUGE(memory_pages, NULL, .flags = COL_DATA_ONLY, .help = "pages of all memory slots"),
	COL(remote_tlb_flush, "TLB_FLUSHES", COL_U64, ROLE_COUNTER, OF_VM, .flags = COL_COST,
	    .help = "TLB flushes of all vCPUs"),
	VM_COUNT(remote_tlb_flush_requests, .help = "requested TLB flushes of all vCPUs"),
	VM_COUNT(mmu_shadow_zapped, .help = "KVM's page tables that were zapped"),
	VM_COUNT(mmu_pte_write, .help = "guest writes to page tables that KVM shadows"),
	VM_COUNT(mmu_pde_zapped, .help = "large pages replaced by a page table"),
	VM_COUNT(mmu_flooded,
		 .help = "shadowed tables zapped because they were written to too often"),
	VM_COUNT(mmu_recycled, .help = "page tables reclaimed for lack of free ones"),
	VM_COUNT(mmu_cache_miss, .help = "page tables created"),
	VM_GAUGE(mmu_unsync, NULL, .flags = COL_DATA_ONLY,
		 .help = "shadow tables that currently differ from the guest's"),
	COL(confidential, "CONFIDENTIAL", COL_STRING, ROLE_GAUGE, OF_VM, .flags = COL_COMPUTED,
	    .drop = DROP_FIRST,
	    .help = "sev, sev-es, sev-snp or tdx; absent: not a confidential VM"),
	COL(guest_os, "GUEST_OS", COL_STRING, ROLE_GAUGE, OF_VM, .flags = COL_COMPUTED | COL_WORD,
	    .drop = DROP_THIRD,
	    .help = "guest OS as reported in Hyper-V's MSR; absent: not reported"),
	COL(apicv_inhibits, "APICV_INHIBITS", COL_STRING, ROLE_GAUGE, OF_VM,
	    .flags = COL_COMPUTED | COL_REST,
	    .help = "reasons why the processor does not deliver interrupts itself, or none"),
	RAW(irqchip_mode, OF_VM),
	RAW(inhibit_bits, OF_VM),
	RAW(disabled_bits, OF_VM),
	RAW(master_clock_bit, OF_VM),
	RAW(guest_os_id, OF_VM),
	RAW(confidential_bits, OF_VM),

	COUNT(exits, "EXITS", .flags = COL_COST, .help = "all exits"),
	COUNT(io_exits, "IO", .help = "exits to user space for port I/O"),
	COUNT(mmio_exits, "MMIO", .help = "exits to user space for MMIO"),
	COUNT(signal_exits, "SIGNAL", .help = "exits to user space for a signal"),
	COUNT(irq_window_exits, "IRQWIN", .drop = DROP_THIRD,
	      .help = "exits because an interrupt waited until the guest could take it"),
	MORE(nmi_window_exits, .help = "exits because an NMI waited until the guest could take it"),
	MORE(halt_exits, .help = "exits for HLT"),
	MORE(request_irq_exits,
	     .help = "exits to user space, which requested a window to inject an interrupt"),
	MORE(irq_exits, .help = "exits for an interrupt of the host"),
	MORE(notify_window_exits, .help = "exits because the guest accepted no event for too long"),
	COUNT(insn_emulation, "EMULATED", .help = "instructions that KVM emulated"),
	COUNT(insn_emulation_fail, "FAILED", .help = "instructions that KVM failed to emulate"),
	MORE(hypercalls, .help = "hypercalls of KVM's ABI"),
	COUNT(irq_injections, "INJECTED", .drop = DROP_SECOND, .help = "injected interrupts"),
	MORE(nmi_injections, .help = "injected NMIs"),
	MORE(req_event, .help = "checks for an event to inject"),
	MORE(host_state_reload, .help = "reloads of the host's registers"),
	MORE(fpu_reload, .help = "loads of the guest's FPU state"),
	MORE(l1d_flush, .help = "flushes of the L1 data cache before an entry"),
	MORE(tlb_flush, .help = "flushes of the vCPU's TLB"),
	MORE(invlpg, .help = "INVLPG instructions that KVM emulated"),
	MORE(pf_taken, .help = "page faults on KVM's page tables"),
	MORE(pf_fixed, .help = "of pf_taken, faults that mapped a page"),
	MORE(pf_emulate, .help = "of pf_taken, faults that were emulated"),
	MORE(pf_spurious, .help = "of pf_taken, faults with nothing to do"),
	MORE(pf_fast, .help = "of pf_taken, faults resolved without a lock"),
	MORE(pf_guest, .help = "the guest's own page faults"),
	COUNT(nested_run, "NESTED", .drop = DROP_SECOND, .help = "entries into a nested guest"),
	MORE(directed_yield_attempted, .help = "hypercalls to yield to another vCPU"),
	MORE(directed_yield_successful, .help = "of directed_yield_attempted, those that yielded"),
	MORE(preemption_reported, .help = "preemptions reported to the guest"),
	MORE(preemption_other, .help = "preemptions not reported to the guest"),
	COL(guest_mode, "IN_L2", COL_BOOL, ROLE_GAUGE, OF_VCPU, .flags = COL_COMPUTED,
	    .drop = DROP_FIRST, .help = "a nested guest is running"),
	COL(is_blocking, NULL, COL_BOOL, ROLE_GAUGE, OF_VCPU, .flags = COL_COMPUTED | COL_DATA_ONLY,
	    .help = "the vCPU's thread is asleep in a halt"),
	COL(apicv_active, "APICV", COL_BOOL, ROLE_GAUGE, OF_VCPU, .flags = COL_COMPUTED,
	    .help = "the processor delivers interrupts itself: APICv, AVIC"),
	COL(guest_debug, "DEBUGGED", COL_BOOL, ROLE_GAUGE, OF_VCPU, .flags = COL_COMPUTED,
	    .drop = DROP_SECOND, .help = "the VMM is debugging the guest"),
	RAW(in_nested, OF_VCPU),
	RAW(blocking, OF_VCPU),
	RAW(apicv, OF_VCPU),
	RAW(debugged, OF_VCPU),
	{},
};

static const struct hook hooks[] = {
	{ "kvm_state", HOOK_ITER, "task_file", PROG(list_state),
	  .gives = "what KVM knows about VMs and vCPUs", .primary = true },
	{},
};

/* The row of one descriptor; what a VM's process is not asked for has none. */
static void take(struct attachment *at, const struct state_head *head, const void *state)
{
	const struct vcpu_info info = {
		.kvm = head->kvm,
		.tgid = head->tgid,
		.start_ns = head->start_ns,
	};
	const struct vm_ref *vm = vcpus__add_vm(at->env->vcpus, &info);
	bool is_vm = head->vcpu_id == ENTRY_OF_VM;
	struct state_row row = {};

	if (!vm || !vm->chosen)
		return;
	vm_ref__row(vm, 0, &row.row);
	if (is_vm) {
		memcpy(&row.of_vm, state, sizeof(row.of_vm));
		samples__poll(at->samples, VIEW_VM, &row.row, at->begins, SHOW_ALWAYS);
		return;
	}
	/* One that has never run is nobody's thread, and has counted nothing. */
	if (!head->tid || !filter__has_vcpu(at->env->filter, head->vcpu_id))
		return;
	row.row.tid = head->tid;
	row.row.vcpu = head->vcpu_id;
	memcpy(&row.of_vcpu, state, sizeof(row.of_vcpu));
	samples__poll(at->samples, VIEW_VCPU, &row.row, at->begins, SHOW_ALWAYS);
}

/* Descriptors may be there more than once: then so is what they say. */
static void look(struct attachment *at)
{
	int iterator = attach__iterator(at, "kvm_state");
	size_t size = 0, step;
	char *list = NULL;

	if (iterator < 0 || iter__read(iterator, (void **)&list, &size))
		return;
	for (size_t used = 0; used + sizeof(struct state_head) <= size; used += step) {
		const struct state_head *head = (void *)(list + used);

		step = sizeof(*head) + (head->vcpu_id == ENTRY_OF_VM ?
						sizeof(struct state_of_vm) :
						sizeof(struct state_of_vcpu));
		if (used + step <= size)
			take(at, head, head + 1);
	}
	free(list);
	samples__end_poll(at->samples);
}

/* "HLT,PAUSE"; what has no name is "bit N"; "none" is an answer, too. */
static const char *list_bits(uint64_t bits, const char *const *names, size_t nr, int unknown_from,
			     char text[LIST_LEN])
{
	size_t used = 0;

	if (bits == UINT64_MAX)
		return NULL;
	snprintf(text, LIST_LEN, "none");
	for (size_t i = 0; i < 64 && used < LIST_LEN; i++) {
		const char *comma = used ? "," : "";

		if (!(bits >> i & 1))
			continue;
		if (i < nr)
			used += snprintf(text + used, LIST_LEN - used, "%s%s", comma, names[i]);
		else
			used += snprintf(text + used, LIST_LEN - used, "%sbit_%d", comma,
					 (int)i - unknown_from);
	}
	return text;
}

static uint8_t as_bool(uint64_t value)
{
	return value == UINT64_MAX ? BOOL_ABSENT : !!value;
}

#define NAME(_name) #_name,

static void finish_vm(struct state_row *row)
{
	static const char *const irqchips[] = { "none", "kernel", "split" };
	static const char *const inhibits[] = { KVM_APICV_INHIBITS(NAME) };
	static const char *const exits[] = { KVM_DISABLED_EXITS(NAME) };

	row->irqchip = row->irqchip_mode < 3 ? irqchips[row->irqchip_mode] : NULL;
	row->apicv_inhibits =
		list_bits(row->inhibit_bits, inhibits, sizeof(inhibits) / sizeof(*inhibits),
			  APICV_UNKNOWN_SHIFT, row->inhibits_text);
	row->disabled_exits = list_bits(row->disabled_bits, exits, sizeof(exits) / sizeof(*exits),
					0, row->disabled_text);
	row->master_clock = as_bool(row->master_clock_bit);
	row->confidential =
		row->confidential_bits == UINT64_MAX ?
			NULL :
			confidential__name(row->confidential_bits, host__vendors() & VENDOR_SVM);
	row->guest_os = row->guest_os_id && row->guest_os_id != UINT64_MAX ?
				guest_os__name(row->guest_os_id, row->os_text) :
				NULL;
}

/* A row of several VMs or vCPUs has what they have in common. */
static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct state_row *row = (struct state_row *)sample->row;

	(void)at;
	(void)window;
	row->apicv_active = as_bool(row->apicv);
	row->guest_mode = as_bool(row->in_nested);
	row->is_blocking = as_bool(row->blocking);
	row->guest_debug = as_bool(row->debugged);
	finish_vm(row);
}

#define STATE_OF_VM .views = 1 << VIEW_VM
#define STATE_OF_VCPU .views = 1 << VIEW_VCPU
#define PAGES(_size, _at)                                                        \
	METRIC(struct state_row, GAUGE, "kvm_vm_mapped_pages", _at, STATE_OF_VM, \
	       .constant = "size=\"" _size "\"",                                 \
	       .help = "Pages that a VM's page tables map, by size.")

static const struct metric metrics[] = {
	METRIC(struct state_row, GAUGE, "kvm_vm_vcpus", vcpus, STATE_OF_VM,
	       .help = "vCPUs of a VM."),
	METRIC(struct state_row, GAUGE, "kvm_vm_memory_bytes", memory_pages, STATE_OF_VM,
	       .scale = SCALE_PAGES, .help = "Memory of all slots of a VM."),
	METRIC(struct state_row, GAUGE, "kvm_vm_logged_slots", logged_slots, STATE_OF_VM,
	       .help = "Memory slots with dirty logging, as during a migration."),
	PAGES("4k", pages_4k),
	PAGES("2m", pages_2m),
	PAGES("1g", pages_1g),
	METRIC(struct state_row, COUNTER, "kvm_vm_remote_tlb_flushes", remote_tlb_flush,
	       STATE_OF_VM, .help = "TLB flushes of all vCPUs of a VM."),
	METRIC(struct state_row, COUNTER, "kvm_vm_page_tables_zapped", mmu_shadow_zapped,
	       STATE_OF_VM, .help = "KVM's page tables that were zapped."),
	METRIC(struct state_row, COUNTER, "kvm_vcpu_exits", exits, STATE_OF_VCPU, .by_vcpu = true,
	       .help = "All exits."),
	METRIC(struct state_row, COUNTER, "kvm_stat_io_exits", io_exits, STATE_OF_VCPU,
	       .help = "Exits to the VMM for port I/O."),
	METRIC(struct state_row, COUNTER, "kvm_stat_mmio_exits", mmio_exits, STATE_OF_VCPU,
	       .help = "Exits to the VMM for MMIO."),
	METRIC(struct state_row, COUNTER, "kvm_stat_signal_exits", signal_exits, STATE_OF_VCPU,
	       .help = "Exits to the VMM for a signal."),
	METRIC(struct state_row, COUNTER, "kvm_stat_halt_exits", halt_exits, STATE_OF_VCPU,
	       .help = "Exits for HLT."),
	METRIC(struct state_row, COUNTER, "kvm_stat_emulated_instructions", insn_emulation,
	       STATE_OF_VCPU, .help = "Instructions that KVM emulated."),
	METRIC(struct state_row, COUNTER, "kvm_stat_emulation_failures", insn_emulation_fail,
	       STATE_OF_VCPU, .help = "Instructions that KVM failed to emulate."),
	METRIC(struct state_row, COUNTER, "kvm_stat_interrupts_injected", irq_injections,
	       STATE_OF_VCPU, .help = "Interrupts injected."),
	METRIC(struct state_row, COUNTER, "kvm_stat_nested_entries", nested_run, STATE_OF_VCPU,
	       .help = "Entries into a nested guest."),
	{},
};

const struct monitor vm_state_monitor = {
	.name = "vm_state",
	.help = "what KVM itself counts and keeps of VMs and vCPUs",
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct state_row),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.look = look,
	.finish = finish,
};
