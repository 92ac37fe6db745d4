// SPDX-License-Identifier: GPL-2.0-only
/* -f and -m: KVM MMU page faults. The kernel half is kvmmmu_page_fault.bpf.c. */
#include "kvmmmu_page_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/events.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/pages.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/select.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../core/vm.h"
#include "../core/window.h"
#include "kvmmmu_page_fault.skel.h"

DEFINE_OPEN_SKELETON(kvmmmu_page_fault_bpf)

#define MAP(_name) offsetof(struct kvmmmu_page_fault_bpf, maps._name)
#define PROG(_name) offsetof(struct kvmmmu_page_fault_bpf, progs._name)

enum { HOTTEST = 10, KEPT_VMS = 1000, PAGE_SHIFT = 12 };
enum { VIEW_EVENT, VIEW_SLOT, VIEW_MMIO, VIEW_HOT };

#define IN(view) (1U << (view))

struct fault_row {
	struct row row;
	const char *comm;
	const char *kind;
	uint64_t gpa;
	const char *device;
	uint64_t page_faults;
	uint64_t delay_ns;
	uint64_t vmm_ns;
	uint64_t hva;
	uint64_t pfn;
	uint32_t slot;
	uint32_t as_id;
	const char *const *error;
	const char *level;
	const char *change;
	bool fast;
	bool write;
	uint32_t size;
	uint64_t count;
	uint64_t reads;
	uint64_t writes;
	uint64_t fast_faults;
	struct tally errors, levels;
	struct json_object *by_error;
	struct json_object *by_level;
	struct times time;
	uint64_t total_ns;
	uint64_t min_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	uint64_t base, npages;
};

static const struct view views[] = {
	[VIEW_EVENT] = { .title = "KVMMMU_PAGE_FAULT",
			 .name = "KVMMMU_PAGE_FAULT",
			 .per_vcpu = true },
	[VIEW_SLOT] = { .title = "PAGE_FAULTS", .name = "PAGE_FAULTS", SAMPLES_OF(VIEW_SLOT) },
	[VIEW_MMIO] = { .title = "MMIO", .name = "MMIO", SAMPLES_OF(VIEW_MMIO) },
	[VIEW_HOT] = { .title = "HOTTEST_PAGES", .name = "HOTTEST_PAGES" },
	{},
};

#define COL(...) COLUMN(struct fault_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct fault_row, time, what)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT),
	    .flags = COL_NAME | COL_WIDE, .width = 15, .help = "name of the vCPU's thread"),
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "tdp: memory; mmio: an address without memory"),
	COL(gpa, "GPA", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT) | IN(VIEW_MMIO) | IN(VIEW_HOT),
	    .width = 10, .help = "guest-physical address"),
	COL(device, "DEVICE", COL_STRING, ROLE_LABEL, .views = IN(VIEW_MMIO),
	    .help = "device that the architecture has at that address"),
	COL(page_faults, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_EVENT) | IN(VIEW_HOT),
	    .help = "faults of this page of this VM so far"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_EVENT), .flags = COL_USEC,
	    .width = 7, .help = "time from the fault to the next guest entry"),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_COUNTER, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_MMIO), .help = "the VMM's part of the delay"),
	COL(hva, "HVA", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE,
	    .width = 14, .help = "the page's address in the VMM"),
	COL(pfn, "PFN", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT), .width = 8,
	    .help = "the host's page frame"),
	COL(slot, "SLOT_ID", COL_U32, ROLE_LABEL,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_HOT), .help = "memory slot"),
	COL(as_id, NULL, COL_U32, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_HOT),
	    .help = "address space; 1: system management mode"),
	COL(level, "LEVEL", COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE,
	    .help = "size of the mapped page"),
	COL(change, NULL, COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "new: the page was not mapped; permission: it was mapped, but not for this "
		    "access"),
	COL(fast, NULL, COL_BOOL, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "resolved without the MMU lock"),
	COL(write, NULL, COL_BOOL, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "true: a write; false: a read"),
	COL(size, NULL, COL_U32, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "bytes of an MMIO access"),
	COL(error, "ERROR_TYPE", COL_STRINGS, ROLE_LABEL, .views = IN(VIEW_EVENT), .width = 20,
	    .help = "cause: the hardware's error bits"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .flags = COL_WORSE, .help = "faults, or accesses"),
	COL(reads, "READS", COL_U64, ROLE_COUNTER, .views = IN(VIEW_MMIO), .flags = COL_COMPUTED,
	    .help = "of COUNT, reads"),
	COL(writes, "WRITES", COL_U64, ROLE_COUNTER, .views = IN(VIEW_MMIO),
	    .help = "of COUNT, writes"),
	COL(time, "FAULTS", COL_TIMES, ROLE_COUNTER, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .flags = COL_COST, .help = "delays"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    TIME(TOTAL), .flags = COL_WORSE, .help = "sum of the delays"),
	COL(min_ns, NULL, COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO), TIME(MIN),
	    .flags = COL_DATA_ONLY, .help = "shortest"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD,
	    .views = IN(VIEW_SLOT) | IN(VIEW_MMIO), TIME(MAX), .flags = COL_WORSE,
	    .help = "longest"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO), TIME(P50),
	    .flags = COL_WORSE, .help = "median, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO), TIME(P90),
	    .flags = COL_DATA_ONLY, .help = "90th percentile, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO), TIME(P99),
	    .flags = COL_WORSE, .help = "99th percentile, within 12.5 %"),
	COL(fast_faults, "FAST", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "resolved without the MMU lock"),
	COL(by_level, "LEVELS", COL_OBJECT, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .flags = COL_COMPUTED, .help = "faults by the size of the mapped page"),
	COL(by_error, "TYPES", COL_OBJECT, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .flags = COL_COMPUTED, .help = "faults by the hardware's error bits"),
	COL(levels, NULL, COL_TALLY, ROLE_COUNTER, .views = IN(VIEW_SLOT), .help = "of LEVELS"),
	COL(errors, NULL, COL_TALLY, ROLE_COUNTER, .views = IN(VIEW_SLOT), .help = "of TYPES"),
	COL(base, NULL, COL_U64, ROLE_LABEL, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "the slot's first page"),
	COL(npages, NULL, COL_U64, ROLE_LABEL, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "pages of the slot"),
	{},
};

struct fault_config {
	bool mmio;
};

static const char *set_mmio(void *config, const char *arg)
{
	(void)arg;
	((struct fault_config *)config)->mmio = true;
	return NULL;
}

static const struct monitor_option options[] = {
	{ .name = "mmio",
	  .key = 'm',
	  .help = "MMIO page faults (needs -f)",
	  .is_part = true,
	  .set = set_mmio },
	{},
};

static bool asks_for_mmio(const struct attachment *at)
{
	return ((const struct fault_config *)at->config)->mmio;
}

static bool is_vmx(void)
{
	return host__vendors() & VENDOR_VMX;
}

/* What has no type is read by a helper. Finding the type takes some time of the start. */
static bool reads_by_type_alone(void)
{
	return !host__can_cast() && host__has_btf("kvm");
}

static bool is_vmx_that_casts(void)
{
	return is_vmx() && host__can_cast();
}

static const struct hook hooks[] = {
	/* Preemptible context: classic tracepoints first, see enum hook_kind. */
	{ "kvm_run", HOOK_TRACEPOINT, "kvm_fpu", PROG(run_tracepoint),
	  .gives = "the VMM's part of MMIO accesses", .called_at = AT_RUN },
	{ "kvm_run", HOOK_RAW_TP, "kvm_fpu", PROG(run_raw_tp), .called_at = AT_RUN },
	{ "kvm_run", HOOK_TP_BTF, "kvm_fpu", PROG(run_tp_btf) },
	{ "kvm_run", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", PROG(run_fentry) },
	{ "kvm_run", HOOK_KPROBE, "kvm_arch_vcpu_ioctl_run", PROG(run_kprobe) },

	{ "kvm_userspace_exit", HOOK_TRACEPOINT, "kvm_userspace_exit", PROG(leave_tracepoint),
	  .gives = "the end of faults that go to user space, and the VMM's part of MMIO accesses" },
	{ "kvm_userspace_exit", HOOK_RAW_TP, "kvm_userspace_exit", PROG(leave_raw_tp) },
	{ "kvm_userspace_exit", HOOK_TP_BTF, "kvm_userspace_exit", PROG(leave_tp_btf) },
	{ "kvm_userspace_exit", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", PROG(leave_fexit) },

	{ "fast_page_fault", HOOK_TRACEPOINT, "fast_page_fault", PROG(fast_tracepoint),
	  .gives = "which faults were resolved without the MMU lock" },
	{ "fast_page_fault", HOOK_RAW_TP, "fast_page_fault", PROG(fast_raw_tp) },
	{ "fast_page_fault", HOOK_TP_BTF, "fast_page_fault", PROG(fast_tp_btf) },

	{ "kvm_mmio", HOOK_TRACEPOINT, "kvm_mmio", PROG(mmio_tracepoint),
	  .gives = "direction and size of MMIO accesses" },
	{ "kvm_mmio", HOOK_RAW_TP, "kvm_mmio", PROG(mmio_raw_tp) },
	{ "kvm_mmio", HOOK_TP_BTF, "kvm_mmio", PROG(mmio_tp_btf) },

	{ "kvm_fast_mmio", HOOK_TRACEPOINT, "kvm_fast_mmio", PROG(fast_mmio_tracepoint),
	  .gives = "MMIO writes that an ioeventfd takes" },
	{ "kvm_fast_mmio", HOOK_RAW_TP, "kvm_fast_mmio", PROG(fast_mmio_raw_tp) },
	{ "kvm_fast_mmio", HOOK_TP_BTF, "kvm_fast_mmio", PROG(fast_mmio_tp_btf) },

	/* Interrupts are off, or preemption is, where these fire: the cheapest first. */
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp), VENDOR_VMX | VENDOR_SVM,
	  .gives = "the end of faults: each lasts until the next one", .called_at = AT_ENTRY },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", PROG(entry_tp_btf), VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_FENTRY, "vmx_vcpu_run", PROG(entry_fentry_vmx), VENDOR_VMX },
	{ "kvm_entry", HOOK_FENTRY, "svm_vcpu_run", PROG(entry_fentry_svm), VENDOR_SVM },
	{ "kvm_entry", HOOK_KPROBE, "vmx_vcpu_run", PROG(entry_kprobe_vmx), VENDOR_VMX },
	{ "kvm_entry", HOOK_KPROBE, "svm_vcpu_run", PROG(entry_kprobe_svm), VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", PROG(entry_tracepoint),
	  VENDOR_VMX | VENDOR_SVM },

	{ "spte", HOOK_TP_BTF, "kvm_mmu_spte_requested", PROG(map_tp_btf_first),
	  .gives = "PFN and level of the mapped page", .applies = reads_by_type_alone },
	{ "spte", HOOK_RAW_TP, "kvm_mmu_spte_requested", PROG(map_raw_tp),
	  .gives = "PFN and level of the mapped page" },
	{ "spte", HOOK_TP_BTF, "kvm_mmu_spte_requested", PROG(map_tp_btf) },
	{ "spte", HOOK_TRACEPOINT, "kvm_mmu_spte_requested", PROG(map_tracepoint) },

	{ "ept_misconfig", HOOK_RAW_TP, "kvm_exit", PROG(misconfig_each),
	  .gives = "most MMIO accesses: VMX reports them as a misconfiguration", .applies = is_vmx,
	  .asked = asks_for_mmio, .called_at = AT_EACH_EXIT },
	{ "ept_misconfig", HOOK_RAW_TP, "kvm_exit", PROG(misconfig_raw_tp_cast),
	  .gives = "most MMIO accesses: VMX reports them as a misconfiguration",
	  .applies = is_vmx_that_casts, .asked = asks_for_mmio },
	{ "ept_misconfig", HOOK_RAW_TP, "kvm_exit", PROG(misconfig_raw_tp),
	  .gives = "most MMIO accesses: VMX reports them as a misconfiguration", .applies = is_vmx,
	  .asked = asks_for_mmio },
	{ "ept_misconfig", HOOK_TP_BTF, "kvm_exit", PROG(misconfig_tp_btf), .applies = is_vmx,
	  .asked = asks_for_mmio },
	{ "ept_misconfig", HOOK_TRACEPOINT, "kvm_exit", PROG(misconfig_tracepoint),
	  .applies = is_vmx, .asked = asks_for_mmio },

	{ "kvm_page_fault", HOOK_TRACEPOINT, "kvm_page_fault", PROG(fault_tracepoint),
	  VENDOR_VMX | VENDOR_SVM, .gives = "page faults", .primary = true },
	{ "kvm_page_fault", HOOK_RAW_TP, "kvm_page_fault", PROG(fault_raw_tp),
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_RAW_TP, "kvm_page_fault", PROG(fault_raw_tp_old),
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_TP_BTF, "kvm_page_fault", PROG(fault_tp_btf),
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_FENTRY, "kvm_mmu_page_fault", PROG(fault_fentry),
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_KPROBE, "kvm_mmu_page_fault", PROG(fault_kprobe),
	  VENDOR_VMX | VENDOR_SVM },
	{},
};

static const char *const error_names[NR_FAULT_ERRORS] = {
	[ERROR_PRESENT] = "Present", [ERROR_WRITE] = "Write",
	[ERROR_USER] = "User",	     [ERROR_RESERVED] = "Reserved(MMIO)",
	[ERROR_EXEC] = "Exec",	     [ERROR_PKEY] = "Protection-Key",
	[ERROR_SGX] = "SGX",
};

static const char *const level_names[NR_LEVELS] = {
	[LEVEL_4K] = "4K",
	[LEVEL_2M] = "2M",
	[LEVEL_1G] = "1G",
};

_Static_assert((int)NR_FAULT_ERRORS <= (int)TALLY_KEYS && (int)NR_LEVELS <= (int)TALLY_KEYS,
	       "a tally has room for all");

/* A page and how often it faulted. */
struct hot_page {
	uint64_t gfn;
	uint32_t slot;
	uint32_t count;
};

/* A VM whose faults were seen, and its hottest pages. */
struct hot_vm {
	uint64_t kvm;
	uint64_t nr; /* as struct row's */
	uint32_t tgid;
	bool ended;	/* its process has ... */
	bool collected; /* ... and these are its pages for good */
	char id[VM_ID_LEN];
	char label[sizeof(((struct vm_ref *)0)->label)];
	struct hot_page pages[HOTTEST];
	size_t nr_pages;
};

struct watched {
	struct pages pages;
	struct hot_vm *vms;
	size_t nr_vms, room_vms;
	size_t last_vm; /* that was found: chunks of a VM are neighbours */
};

static int prepare(struct attachment *at, void *opened)
{
	static const char event[] = "kvm/kvm_page_fault";
	struct kvmmmu_page_fault_bpf *skel = opened;
	struct watched *watched = at->state;

	skel->rodata->with_mmio = asks_for_mmio(at);
	skel->rodata->vendor_is_vmx = is_vmx();
	map__set_offset(&skel->rodata->fault_address_at, event, "fault_address");
	map__set_offset(&skel->rodata->error_code_at, event, "error_code");
	/* 32 bits until 5.19, when the record began to name the vCPU. */
	if (host__field_offset(event, "vcpu_id") < 0)
		skel->rodata->error_code_size = 4;
	return pages__prepare(&watched->pages, PAGE_MAPS(skel));
}

static int start(struct attachment *at)
{
	const struct kvmmmu_page_fault_bpf *skel = at->skel;
	struct watched *watched = at->state;

	return pages__open(&watched->pages, PAGE_MAPS(skel));
}

static void stop(struct attachment *at)
{
	struct watched *watched = at->state;

	pages__close(&watched->pages);
	free(watched->vms);
	watched->vms = NULL;
	watched->nr_vms = watched->room_vms = 0;
}

static const char *device_at(uint64_t gpa)
{
	switch (gpa >> PAGE_SHIFT) {
	case 0xfee00:
		return "LAPIC";
	case 0xfec00:
		return "IOAPIC";
	case 0xfed00:
		return "HPET";
	default:
		return NULL;
	}
}

static void fill_errors(const char **names, uint32_t errors)
{
	for (int i = 0; i < NR_FAULT_ERRORS; i++)
		if (errors >> i & 1)
			*names++ = error_names[i];
	*names = NULL;
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const char *errors[NR_FAULT_ERRORS + 1];
	const struct fault_event *e = data;
	const struct vcpu_ref *ref;

	if (size < sizeof(*e))
		return;
	ref = vcpus__get_new(at->env->vcpus, e->head.slot);
	if (!ref || !ref->chosen)
		return;
	fill_errors(errors, e->errors);
	struct fault_row row = {
		.comm = e->head.comm,
		.kind = e->kind == FAULT_MMIO ? "mmio" : "tdp",
		.gpa = e->gpa,
		.device = device_at(e->gpa),
		.page_faults = e->page_faults,
		.delay_ns = e->delay_ns,
		.vmm_ns = e->vmm_ns,
		.hva = e->hva,
		.pfn = e->pfn,
		.slot = e->slot == NO_SLOT ? UINT32_MAX : e->slot & 0xffff,
		.as_id = e->slot == NO_SLOT ? UINT32_MAX : e->slot >> 16,
		.error = errors,
		.level = level_names[e->level & (NR_LEVELS - 1)],
		.change = e->errors & 1 << ERROR_PRESENT ? "permission" : "new",
		.fast = e->fast,
		.write = e->errors >> ERROR_WRITE & 1,
		.size = e->size ? e->size : UINT32_MAX,
	};
	if (e->kind == FAULT_MMIO)
		row.change = NULL;
	vcpu_ref__row(ref, e->head.ts_ns, &row.row);
	events__row(at, &row.row);
}

static struct hot_vm *find_vm(struct watched *watched, uint64_t kvm, uint32_t tgid)
{
	for (size_t i = 0, at = watched->last_vm; i < watched->nr_vms; i++, at++) {
		struct hot_vm *vm;

		if (at >= watched->nr_vms)
			at = 0;
		vm = &watched->vms[at];
		if (vm->kvm != kvm || vm->tgid != tgid || vm->collected)
			continue;
		watched->last_vm = at;
		return vm;
	}
	return NULL;
}

/* What the rows of its pages say: they are collected when nobody else knows the VM any more. */
static void remember_vm(struct watched *watched, const struct vm_ref *ref)
{
	struct hot_vm *vm = find_vm(watched, ref->kvm, ref->tgid);

	if (!vm && watched->nr_vms == watched->room_vms) {
		size_t room = watched->room_vms ? 2 * watched->room_vms : 16;
		struct hot_vm *more = reallocarray(watched->vms, room, sizeof(*more));

		if (!more)
			return;
		watched->vms = more;
		watched->room_vms = room;
	}
	if (!vm) {
		vm = &watched->vms[watched->nr_vms++];
		memset(vm, 0, sizeof(*vm));
		vm->kvm = ref->kvm;
		vm->tgid = ref->tgid;
	}
	vm->nr = ref->nr;
	memcpy(vm->label, ref->label, sizeof(vm->label));
	memcpy(vm->id, ref->id, sizeof(vm->id));
}

/* vCPUs have records of their own; rows are their VM's. */
static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct fault_record *record = records__get(&at->records, index);
	const struct fault_key *key = &record->key;
	const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, key->vcpu_slot);
	struct fault_row *row = (struct fault_row *)to;

	if (!ref)
		return -EAGAIN;
	remember_vm(at->state, ref->vm);
	vm_ref__row(ref->vm, 0, to);
	row->kind = key->kind == FAULT_MMIO ? "mmio" : "tdp";
	row->gpa = key->base;
	row->device = device_at(key->base);
	row->slot = key->slot & 0xffff;
	row->as_id = key->slot >> 16;
	row->base = key->base;
	row->npages = key->npages;
	if (key->base == NO_ADDRESS) {
		row->slot = row->as_id = UINT32_MAX;
		row->device = OTHERS;
	}
	return key->kind == FAULT_MMIO ? VIEW_MMIO : VIEW_SLOT;
}

static uint64_t read_count(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

static void read_tally(struct tally *tally, const __u64 *counts, int nr)
{
	tally->nr = nr;
	for (int i = 0; i < nr; i++) {
		tally->list[i].key = i;
		tally->list[i].count = read_count(&counts[i]);
	}
}

static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct fault_record *record = records__get(&at->records, index);
	struct fault_row *row = (struct fault_row *)to;

	/* In this order, which is not the programs': what is timed, or a part of it, is counted. */
	records__times(at, index, &row->time, &record->stat);
	row->vmm_ns = read_count(&record->vmm_ns);
	row->writes = read_count(&record->writes);
	row->fast_faults = read_count(&record->fast);
	read_tally(&row->errors, record->by_error, NR_FAULT_ERRORS);
	read_tally(&row->levels, record->by_level, NR_LEVELS);
	row->count = read_count(&record->count);
}

static const struct record_kind records = {
	.records = MAP(fault_records),
	.record_size = sizeof(struct fault_record),
	.per_slot = 16,
	.index = MAP(fault_index),
	.free_records = MAP(free_records),
	.shares = MAP(fault_shares),
	.key_at = offsetof(struct fault_record, key),
	.slot_at = offsetof(struct fault_record, key.vcpu_slot),
	.states = MAP(fault_states),
	.state_size = sizeof(struct fault_state),
	.in_use_at = offsetof(struct fault_record, in_use),
	.label = label,
	.sample = sample,
};

/* Where single events are shown, sums are at the end only. */
static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	return (scope == SCOPE_TOTAL || !at->shows_events) &&
	       (view != VIEW_MMIO || asks_for_mmio(at));
}

/* Name by name what was counted; zeros, and what has no name, are left out. */
static struct json_object *counts_object(const char *const *names, const struct tally *counts,
					 int nr)
{
	struct json_object *obj = json_object_new_object();

	for (int i = 0; obj && i < nr; i++) {
		uint64_t count = names[i] ? tally__get(counts, i) : 0;

		if (count)
			json_object_object_add(obj, names[i], json_object_new_uint64(count));
	}
	return obj;
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct fault_row *row = (struct fault_row *)sample->row;

	(void)at;
	(void)window;
	row->reads = row->count > row->writes ? row->count - row->writes : 0;
	row->by_error = counts_object(error_names, &row->errors, NR_FAULT_ERRORS);
	row->by_level = counts_object(level_names, &row->levels, NR_LEVELS);
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* The hottest pages */

/* Takes a page in if it is among the hottest of its VM. */
static void take(struct hot_vm *vm, const struct hot_page *page)
{
	struct hot_page *coldest = vm->pages;

	if (vm->nr_pages < HOTTEST) {
		vm->pages[vm->nr_pages++] = *page;
		return;
	}
	for (size_t i = 1; i < HOTTEST; i++)
		if (vm->pages[i].count < coldest->count)
			coldest = &vm->pages[i];
	if (coldest->count < page->count)
		*coldest = *page;
}

static void take_chunk(struct hot_vm *vm, const struct page_chunk *chunk)
{
	for (int i = 0; i < CHUNK_PAGES; i++) {
		const struct hot_page page = {
			.gfn = (chunk->key.number << CHUNK_BITS) + i,
			.slot = chunk->key.slot,
			.count = chunk->counts[i],
		};

		if (page.count && page.slot != NO_SLOT)
			take(vm, &page);
	}
}

/* The VM of a chunk: the one with its address and creator. */
static struct hot_vm *vm_of(struct watched *watched, const struct page_chunk *chunk)
{
	return find_vm(watched, chunk->key.region, chunk->key.owner);
}

/* Those of which all is collected; the pages of the latest stay for the end. */
static void let_go_of_ended(struct watched *watched)
{
	size_t nr = 0, ended = 0;

	for (size_t i = 0; i < watched->nr_vms; i++) {
		watched->vms[i].collected = watched->vms[i].ended;
		ended += watched->vms[i].collected && watched->vms[i].nr_pages;
	}
	/* The list is in the order in which they came: the latest are kept. */
	for (size_t i = 0; i < watched->nr_vms; i++) {
		const struct hot_vm *vm = &watched->vms[i];

		if (vm->collected && (!vm->nr_pages || ended-- > KEPT_VMS))
			continue;
		watched->vms[nr++] = *vm;
	}
	watched->nr_vms = nr;
}

/* As they are at the end; again for each who is shown them. */
static void collect_of_running(struct watched *watched)
{
	for (size_t i = 0; i < watched->nr_vms; i++)
		if (!watched->vms[i].collected)
			watched->vms[i].nr_pages = 0;
	for (size_t i = 1; i < watched->pages.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&watched->pages, i);
		struct hot_vm *vm = chunk ? vm_of(watched, chunk) : NULL;

		if (vm)
			take_chunk(vm, chunk);
	}
}

/* Pages that faulted before the window began. */
static void look(struct attachment *at)
{
	struct watched *watched = at->state;

	if (at->begins)
		pages__forget(&watched->pages);
}

/* What processes that have ended left behind: their chunks are free again. */
static void looked(struct attachment *at)
{
	struct watched *watched = at->state;
	const struct vcpus *vcpus = at->env->vcpus;
	struct ended_asked asked = {};

	for (size_t i = 0; i < watched->nr_vms; i++)
		if (!watched->vms[i].ended)
			watched->vms[i].ended =
				vcpus__process_ended(vcpus, &asked, watched->vms[i].tgid);
	for (size_t i = 1; i < watched->pages.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&watched->pages, i);
		struct hot_vm *vm;

		if (!chunk || !vcpus__process_ended(vcpus, &asked, chunk->key.owner))
			continue;
		vm = vm_of(watched, chunk);
		if (vm && !vm->ended)
			continue;
		if (vm)
			take_chunk(vm, chunk);
		pages__free(&watched->pages, i);
	}
	let_go_of_ended(watched);
	if (at->is_last)
		collect_of_running(watched);
}

static int by_vm(const void *a, const void *b)
{
	const struct hot_vm *x = a, *y = b;
	int order = compare(x->tgid, y->tgid);

	return order ? order : compare(x->nr, y->nr);
}

static int by_count(const void *a, const void *b)
{
	const struct hot_page *x = a, *y = b;
	int order = compare(y->count, x->count);

	if (!order)
		order = compare(x->slot, y->slot);
	return order ? order : compare(x->gfn, y->gfn);
}

static void write_hottest(struct hot_vm *vm, const struct window *window)
{
	qsort(vm->pages, vm->nr_pages, sizeof(*vm->pages), by_count);
	for (size_t i = 0; i < vm->nr_pages; i++) {
		const struct hot_page *page = &vm->pages[i];
		const struct fault_row row = {
			.row = {
				.ts_ns = window->now_ns,
				.vm_nr = vm->nr,
				.vm = vm->label,
				.vm_id = vm->id,
				.pid = vm->tgid,
				.tid = UINT32_MAX,
				.vcpu = UINT32_MAX,
			},
			.kind = "tdp",
			.gpa = page->gfn << PAGE_SHIFT,
			.page_faults = page->count,
			.slot = page->slot & 0xffff,
			.as_id = page->slot >> 16,
		};

		if (selection__has(window->selection, columns, IN(VIEW_HOT), &row.row))
			output__row(window->out, &row.row, 0);
	}
}

static void lists(struct attachment *at, const struct window *window)
{
	struct watched *watched = at->state;

	if (watched->vms)
		qsort(watched->vms, watched->nr_vms, sizeof(*watched->vms), by_vm);
	window__begin(window, at->monitor, VIEW_HOT);
	for (size_t i = 0; watched->vms && i < watched->nr_vms; i++)
		write_hottest(&watched->vms[i], window);
	output__end(window->out);
}

#define FAULT(_name, _at) LABEL(struct fault_row, _name, _at)
#define OF_SLOT .views = IN(VIEW_SLOT)
#define OF_MMIO .views = IN(VIEW_MMIO)

static const struct metric metrics[] = {
	METRIC(struct fault_row, COUNTER, "kvm_page_faults", count, OF_SLOT,
	       .labels = { FAULT("kind", kind), FAULT("slot", slot) },
	       .help = "Page faults of guest memory."),
	METRIC(struct fault_row, COUNTER, "kvm_page_faults_fast", fast_faults, OF_SLOT,
	       .labels = { FAULT("kind", kind), FAULT("slot", slot) },
	       .help = "Page faults resolved without the MMU lock."),
	METRIC(struct fault_row, COUNTER, "kvm_page_fault_mappings", by_level, OF_SLOT,
	       .key = "level", .help = "Page faults that mapped a page, by its size."),
	METRIC(struct fault_row, COUNTER, "kvm_page_fault_types", by_error, OF_SLOT, .key = "type",
	       .help = "Page faults by the hardware's error bits."),
	METRIC(struct fault_row, HISTOGRAM, "kvm_page_fault_duration_seconds", time, OF_SLOT,
	       .labels = { FAULT("kind", kind) },
	       .help = "Time from page faults to the next guest entry."),
	METRIC(struct fault_row, COUNTER, "kvm_mmio_accesses", reads, OF_MMIO,
	       .constant = "direction=\"read\"", .labels = { FAULT("device", device) },
	       .help = "Accesses to addresses without memory."),
	METRIC(struct fault_row, COUNTER, "kvm_mmio_accesses", writes, OF_MMIO,
	       .constant = "direction=\"write\"", .labels = { FAULT("device", device) },
	       .help = "Accesses to addresses without memory."),
	METRIC(struct fault_row, HISTOGRAM, "kvm_mmio_duration_seconds", time, OF_MMIO,
	       .labels = { FAULT("device", device) },
	       .help = "Duration of accesses to addresses without memory."),
	{},
};

const struct monitor kvmmmu_page_fault_monitor = {
	.name = "kvmmmu_page_fault",
	.key = 'f',
	.help = "KVM MMU page faults",
	.options = options,
	.config_size = sizeof(struct fault_config),
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct fault_row),
	.state_size = sizeof(struct watched),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.look = look,
	.looked = looked,
	.shows = shows,
	.finish = finish,
	.lists = lists,
	.event = event,
	.event_view = VIEW_EVENT,
	.event_ns_at = offsetof(struct fault_row, delay_ns),
	.events_alone = true,
};
