// SPDX-License-Identifier: GPL-2.0-only
/* -f and -m: KVM MMU page faults. The kernel half is kvmmmu_page_fault.bpf.c. */
#include "kvmmmu_page_fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/pages.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "kvmmmu_page_fault.skel.h"

enum { HOTTEST = 10, PAGE_SHIFT = 12 };
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
	struct json_object *by_error;
	struct json_object *by_level;
	uint64_t total_ns;
	uint64_t min_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
};

static const struct view views[] = {
	[VIEW_EVENT] = { .title = "KVMMMU_PAGE_FAULT", .per_vcpu = true },
	[VIEW_SLOT] = { .title = "PAGE_FAULTS" },
	[VIEW_MMIO] = { .title = "MMIO" },
	[VIEW_HOT] = { .title = "HOTTEST_PAGES" },
	{},
};

extern const struct monitor kvmmmu_page_fault_monitor;

#define COL(...) COLUMN(struct fault_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE,
	    .width = 15, .help = "the vCPU's thread"),
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "tdp: of memory; mmio: of an address that is none"),
	COL(gpa, "GPA", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT) | IN(VIEW_MMIO) | IN(VIEW_HOT),
	    .width = 10, .help = "guest-physical address"),
	COL(device, "DEVICE", COL_STRING, ROLE_LABEL, .views = IN(VIEW_MMIO),
	    .help = "what the architecture has at that address"),
	COL(page_faults, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_EVENT) | IN(VIEW_HOT),
	    .help = "how often this page of this VM has faulted so far"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_EVENT), .flags = COL_USEC,
	    .width = 7, .help = "from the fault to the next entry of the guest"),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_GAUGE, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_MMIO), .help = "the VMM's part of it"),
	COL(hva, "HVA", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE,
	    .width = 14, .help = "the page's address in the VMM"),
	COL(pfn, "PFN", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT), .width = 8,
	    .help = "the host's page frame"),
	COL(slot, "SLOT_ID", COL_U32, ROLE_LABEL,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_HOT), .help = "memory slot"),
	COL(as_id, NULL, COL_U32, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_HOT),
	    .help = "address space: 1 is system management mode's"),
	COL(level, "LEVEL", COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE,
	    .help = "size of the page that was mapped"),
	COL(change, NULL, COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "new: the page was not mapped; permission: it was, but not for this"),
	COL(fast, NULL, COL_BOOL, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "resolved without the MMU's lock"),
	COL(write, NULL, COL_BOOL, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "a write, else a read"),
	COL(size, NULL, COL_U32, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_DATA_ONLY,
	    .help = "bytes of an MMIO access"),
	COL(error, "ERROR_TYPE", COL_STRINGS, ROLE_LABEL, .views = IN(VIEW_EVENT), .width = 20,
	    .help = "why: the hardware's error bits"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .help = "faults, or accesses"),
	COL(reads, "READS", COL_U64, ROLE_COUNTER, .views = IN(VIEW_MMIO), .help = "of them"),
	COL(writes, "WRITES", COL_U64, ROLE_COUNTER, .views = IN(VIEW_MMIO), .help = "of them"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .help = "sum of the delays"),
	COL(min_ns, NULL, COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .flags = COL_DATA_ONLY, .help = "shortest"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .help = "longest"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .help = "median, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .flags = COL_DATA_ONLY, .help = "90th percentile, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_SLOT) | IN(VIEW_MMIO),
	    .help = "99th percentile, within 12.5 %"),
	COL(fast_faults, "FAST", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "resolved without the MMU's lock"),
	COL(by_level, "LEVELS", COL_OBJECT, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "by the size of the mapped page"),
	COL(by_error, "TYPES", COL_OBJECT, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "by the hardware's error bits"),
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

static bool is_vmx_that_casts(void)
{
	return is_vmx() && host__can_cast();
}

static const struct hook hooks[] = {
	/* Preemptible context: classic tracepoints first, see enum hook_kind. */
	{ "kvm_run", HOOK_TRACEPOINT, "kvm_fpu", "run_tracepoint",
	  .gives = "the VMM's part of MMIO accesses" },
	{ "kvm_run", HOOK_RAW_TP, "kvm_fpu", "run_raw_tp" },
	{ "kvm_run", HOOK_TP_BTF, "kvm_fpu", "run_tp_btf" },
	{ "kvm_run", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", "run_fentry" },
	{ "kvm_run", HOOK_KPROBE, "kvm_arch_vcpu_ioctl_run", "run_kprobe" },

	{ "kvm_userspace_exit", HOOK_TRACEPOINT, "kvm_userspace_exit", "leave_tracepoint",
	  .gives = "the end of faults that go to user space, and the VMM's part of MMIO accesses" },
	{ "kvm_userspace_exit", HOOK_RAW_TP, "kvm_userspace_exit", "leave_raw_tp" },
	{ "kvm_userspace_exit", HOOK_TP_BTF, "kvm_userspace_exit", "leave_tp_btf" },
	{ "kvm_userspace_exit", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", "leave_fexit" },

	{ "fast_page_fault", HOOK_TRACEPOINT, "fast_page_fault", "fast_tracepoint",
	  .gives = "which faults were resolved without the MMU's lock" },
	{ "fast_page_fault", HOOK_RAW_TP, "fast_page_fault", "fast_raw_tp" },
	{ "fast_page_fault", HOOK_TP_BTF, "fast_page_fault", "fast_tp_btf" },

	{ "kvm_mmio", HOOK_TRACEPOINT, "kvm_mmio", "mmio_tracepoint",
	  .gives = "direction and size of MMIO accesses" },
	{ "kvm_mmio", HOOK_RAW_TP, "kvm_mmio", "mmio_raw_tp" },
	{ "kvm_mmio", HOOK_TP_BTF, "kvm_mmio", "mmio_tp_btf" },

	{ "kvm_fast_mmio", HOOK_TRACEPOINT, "kvm_fast_mmio", "fast_mmio_tracepoint",
	  .gives = "MMIO writes that an ioeventfd takes" },
	{ "kvm_fast_mmio", HOOK_RAW_TP, "kvm_fast_mmio", "fast_mmio_raw_tp" },
	{ "kvm_fast_mmio", HOOK_TP_BTF, "kvm_fast_mmio", "fast_mmio_tp_btf" },

	/* Interrupts are off, or preemption is, where these fire: the cheapest first. */
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", "entry_raw_tp", VENDOR_VMX | VENDOR_SVM,
	  .gives = "the end of faults: each then lasts until the next one", .at_entry = true },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", "entry_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_FENTRY, "vmx_vcpu_run", "entry_fentry_vmx", VENDOR_VMX },
	{ "kvm_entry", HOOK_FENTRY, "svm_vcpu_run", "entry_fentry_svm", VENDOR_SVM },
	{ "kvm_entry", HOOK_KPROBE, "vmx_vcpu_run", "entry_kprobe_vmx", VENDOR_VMX },
	{ "kvm_entry", HOOK_KPROBE, "svm_vcpu_run", "entry_kprobe_svm", VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", "entry_tracepoint", VENDOR_VMX | VENDOR_SVM },

	{ "spte", HOOK_RAW_TP, "kvm_mmu_spte_requested", "map_raw_tp",
	  .gives = "PFN and level of the mapped page" },
	{ "spte", HOOK_TP_BTF, "kvm_mmu_spte_requested", "map_tp_btf" },
	{ "spte", HOOK_TRACEPOINT, "kvm_mmu_spte_requested", "map_tracepoint" },

	{ "ept_misconfig", HOOK_RAW_TP, "kvm_exit", "misconfig_raw_tp_cast",
	  .gives = "most MMIO accesses: VMX reports them as a misconfiguration",
	  .applies = is_vmx_that_casts, .asked = asks_for_mmio },
	{ "ept_misconfig", HOOK_RAW_TP, "kvm_exit", "misconfig_raw_tp",
	  .gives = "most MMIO accesses: VMX reports them as a misconfiguration", .applies = is_vmx,
	  .asked = asks_for_mmio },
	{ "ept_misconfig", HOOK_TP_BTF, "kvm_exit", "misconfig_tp_btf", .applies = is_vmx,
	  .asked = asks_for_mmio },
	{ "ept_misconfig", HOOK_TRACEPOINT, "kvm_exit", "misconfig_tracepoint", .applies = is_vmx,
	  .asked = asks_for_mmio },

	{ "kvm_page_fault", HOOK_TRACEPOINT, "kvm_page_fault", "fault_tracepoint",
	  VENDOR_VMX | VENDOR_SVM, .gives = "page faults", .primary = true },
	{ "kvm_page_fault", HOOK_RAW_TP, "kvm_page_fault", "fault_raw_tp",
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_TP_BTF, "kvm_page_fault", "fault_tp_btf",
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_FENTRY, "kvm_mmu_page_fault", "fault_fentry",
	  VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_KPROBE, "kvm_mmu_page_fault", "fault_kprobe",
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

/* Sums of a record, or of several. */
struct fault_sums {
	uint64_t count;
	uint64_t by_error[NR_FAULT_ERRORS];
	uint64_t by_level[NR_LEVELS];
	uint64_t fast;
	uint64_t writes;
	uint64_t vmm_ns;
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	struct fault_key key;
	struct fault_sums sums; /* at the last look */
	/*
	 * Since the look before; in the end of the whole run. Of several series of
	 * the same slot or address the first one's gets what all of them grew by.
	 */
	struct fault_sums grown;
	struct stat_series time; /* in the same way */
};

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "fault_records",
	.record_size = sizeof(struct fault_record),
	.per_slot = 16,
	.index = "fault_index",
	.free_records = "free_records",
	.slot_at = offsetof(struct fault_record, key.vcpu_slot),
	.states = "fault_states",
	.state_size = sizeof(struct fault_state),
};

/* A page and how often it faulted. */
struct hot_page {
	const struct vm_ref *vm;
	uint64_t gfn;
	uint32_t slot;
	uint64_t count;
};

static struct {
	struct series_set set;
	struct pages pages;
	struct hot_page *kept; /* the hottest of VMs whose process has ended */
	size_t nr_kept;
} self;

static int set_record_offsets(struct bpf_object *obj)
{
	static const char event[] = "kvm/kvm_page_fault";
	int err = map__set_offset(obj, "fault_address_at", event, "fault_address");

	if (!err)
		err = map__set_offset(obj, "error_code_at", event, "error_code");
	/* 32 bits until 5.19, when the record began to name the vCPU. */
	if (!err && host__field_offset(event, "vcpu_id") < 0)
		err = map__set_const(obj, "error_code_size", 4);
	return err;
}

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	int err = series__prepare(&self.set, &kind, obj, vcpus__max(at->env->vcpus) + 1);

	if (!err)
		err = pages__prepare(&self.pages, obj);
	if (!err)
		err = map__set_const(obj, "with_mmio", asks_for_mmio(at));
	if (!err)
		err = map__set_const(obj, "vendor_is_vmx", is_vmx());
	return err ? err : set_record_offsets(obj);
}

static int start(struct attachment *at)
{
	int err = series__open(&self.set, at->obj);

	return err ? err : pages__open(&self.pages, at->obj);
}

static void stop(struct attachment *at)
{
	(void)at;
	series__close(&self.set);
	pages__close(&self.pages);
	free(self.kept);
	memset(&self, 0, sizeof(self));
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
	output__row(at->env->out, &row.row, 0);
}

static void read_sums(struct fault_sums *sums, const struct fault_record *record)
{
	sums->count = __atomic_load_n(&record->count, __ATOMIC_RELAXED);
	memcpy(sums->by_error, record->by_error, sizeof(sums->by_error));
	memcpy(sums->by_level, record->by_level, sizeof(sums->by_level));
	sums->fast = record->fast;
	sums->writes = record->writes;
	sums->vmm_ns = record->vmm_ns;
}

/* to += now - before; before may be NULL. The struct is an array of counters. */
static void add_sums(struct fault_sums *to, const struct fault_sums *now,
		     const struct fault_sums *before)
{
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *a = (const uint64_t *)now, *b = (const uint64_t *)before;

	/* The analyzer loses sight of what memcpy() put there. */
	for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
		sum[i] += counter__delta(a[i], b ? b[i] : 0);
}

/* Takes what a record grew by since the last look. */
static void look(struct series *s, struct fault_record *record, uint64_t epoch)
{
	struct fault_sums sums;

	/* The times first: what is timed is counted, too. */
	stat_series__look(&s->time, &record->stat, epoch);
	read_sums(&sums, record);
	s->key = record->key;
	memset(&s->grown, 0, sizeof(s->grown));
	add_sums(&s->grown, &sums, &s->sums);
	s->sums = sums;
	s->head.quiet = !s->grown.count;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* By kind, VM, slot and place: what is the same becomes one row. */
static int by_place(const void *a, const void *b)
{
	const struct series *x = *(struct series *const *)a, *y = *(struct series *const *)b;
	int order = compare(x->key.kind, y->key.kind);

	if (!order)
		order = compare(x->head.vm->tgid, y->head.vm->tgid);
	if (!order)
		order = compare((uintptr_t)x->head.vm, (uintptr_t)y->head.vm);
	if (!order)
		order = compare(x->key.slot, y->key.slot);
	if (!order)
		order = compare(x->key.base, y->key.base);
	return order ? order : compare(x->key.npages, y->key.npages);
}

static size_t merge(struct series **rows, size_t nr)
{
	size_t to = 0;

	if (!nr)
		return 0;
	qsort(rows, nr, sizeof(*rows), by_place);
	for (size_t i = 1; i < nr; i++) {
		if (by_place(&rows[to], &rows[i])) {
			rows[++to] = rows[i];
			continue;
		}
		add_sums(&rows[to]->grown, &rows[i]->grown, NULL);
		stat_delta__merge(&rows[to]->time.grown, &rows[i]->time.grown);
	}
	return to + 1;
}

/* Name by name what was counted; zeros are left out. */
static struct json_object *counts_object(const char *const *names, const uint64_t *counts, int nr)
{
	struct json_object *obj = json_object_new_object();

	for (int i = 0; obj && i < nr; i++)
		if (counts[i])
			json_object_object_add(obj, names[i], json_object_new_uint64(counts[i]));
	return obj;
}

static void write_row(const struct window *window, const struct series *s)
{
	const struct stat_delta *d = &s->time.grown;
	const struct fault_key *key = &s->key;
	struct fault_row row = {
		.kind = key->kind == FAULT_MMIO ? "mmio" : "tdp",
		.gpa = key->base,
		.device = device_at(key->base),
		.slot = key->slot & 0xffff,
		.as_id = key->slot >> 16,
		.count = s->grown.count,
		.writes = s->grown.writes,
		.reads = s->grown.count - s->grown.writes,
		.fast_faults = s->grown.fast,
		.vmm_ns = s->grown.vmm_ns,
		.by_error = counts_object(error_names, s->grown.by_error, NR_FAULT_ERRORS),
		.by_level = counts_object(level_names + LEVEL_4K, s->grown.by_level + LEVEL_4K,
					  NR_LEVELS - LEVEL_4K),
		.total_ns = d->total_ns,
		.min_ns = d->min_ns,
		.max_ns = d->max_ns,
		.p50_ns = stat_delta__percentile(d, 50),
		.p90_ns = stat_delta__percentile(d, 90),
		.p99_ns = stat_delta__percentile(d, 99),
	};

	vm_ref__row(s->head.vm, window->now_ns, &row.row);
	output__row(window->out, &row.row, 0);
	json_object_put(row.by_error);
	json_object_put(row.by_level);
}

static void write_view(const struct window *window, struct series **rows, size_t nr,
		       unsigned int view)
{
	window__begin(window, &kvmmmu_page_fault_monitor, view);
	for (size_t i = 0; i < nr; i++)
		write_row(window, rows[i]);
	output__end(window->out);
}

static void write_rows(const struct attachment *at, const struct window *window,
		       struct series **rows, size_t nr)
{
	size_t memory = 0;

	(void)at;
	nr = merge(rows, nr);
	while (memory < nr && rows[memory]->key.kind == FAULT_TDP)
		memory++;
	write_view(window, rows, memory, VIEW_SLOT);
	if (asks_for_mmio(at))
		write_view(window, rows + memory, nr - memory, VIEW_MMIO);
}

static int by_vm_count(const void *a, const void *b)
{
	const struct hot_page *x = a, *y = b;
	int order = compare(x->vm->tgid, y->vm->tgid);

	if (!order)
		order = compare((uintptr_t)x->vm, (uintptr_t)y->vm);
	if (!order)
		order = compare(y->count, x->count);
	if (!order)
		order = compare(x->slot, y->slot);
	return order ? order : compare(x->gfn, y->gfn);
}

/* Takes a page in if it is among the hottest of its VM. */
static void take(struct hot_page page)
{
	size_t coldest = SIZE_MAX, nr = 0;
	struct hot_page *more;

	for (size_t i = 0; i < self.nr_kept; i++) {
		if (self.kept[i].vm != page.vm)
			continue;
		nr++;
		if (coldest == SIZE_MAX || self.kept[i].count < self.kept[coldest].count)
			coldest = i;
	}
	if (nr >= HOTTEST) {
		if (self.kept[coldest].count < page.count)
			self.kept[coldest] = page;
		return;
	}
	more = reallocarray(self.kept, self.nr_kept + 1, sizeof(*more));
	if (!more)
		return;
	self.kept = more;
	self.kept[self.nr_kept++] = page;
}

static void take_chunk(const struct page_chunk *chunk, const struct vm_ref *vm)
{
	for (int i = 0; i < CHUNK_PAGES; i++)
		if (chunk->counts[i] && chunk->key.slot != NO_SLOT)
			take((struct hot_page){ vm, (chunk->key.number << CHUNK_BITS) + i,
						chunk->key.slot, chunk->counts[i] });
}

static bool is_of(const struct page_chunk *chunk, const struct series_head *s)
{
	return s && s->vm->kvm == chunk->key.region && s->vm->tgid == chunk->key.owner;
}

/* The VM of a chunk: the one of the series with its address and creator. */
static const struct vm_ref *vm_of(const struct page_chunk *chunk)
{
	const struct series_head *s;

	for (size_t i = 0; i < self.set.nr_gone; i++)
		if (is_of(chunk, s = self.set.gone[i]))
			return s->vm;
	for (size_t i = 1; i < self.set.nr; i++)
		if (is_of(chunk, s = self.set.live[i]))
			return s->vm;
	return NULL;
}

/* With all: at the end of the run. Otherwise only what a process that ended left behind. */
static void collect_pages(const struct attachment *at, bool all)
{
	for (size_t i = 1; i < self.pages.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&self.pages, i);
		const struct vm_ref *vm;

		if (!chunk || (!all && (!kill(chunk->key.owner, 0) || errno != ESRCH)))
			continue;
		vm = vm_of(chunk);
		if (vm && vm->chosen)
			take_chunk(chunk, vm);
		if (!all)
			pages__free(&self.pages, at->obj, i);
	}
}

static void write_hottest(const struct window *window)
{
	if (self.kept)
		qsort(self.kept, self.nr_kept, sizeof(*self.kept), by_vm_count);
	window__begin(window, &kvmmmu_page_fault_monitor, VIEW_HOT);
	for (size_t i = 0; i < self.nr_kept; i++) {
		const struct hot_page *page = &self.kept[i];
		struct fault_row row = {
			.kind = "tdp",
			.gpa = page->gfn << PAGE_SHIFT,
			.page_faults = page->count,
			.slot = page->slot & 0xffff,
			.as_id = page->slot >> 16,
		};

		vm_ref__row(page->vm, window->now_ns, &row.row);
		output__row(window->out, &row.row, 0);
	}
	output__end(window->out);
}

static void report(struct attachment *at, const struct window *window)
{
	struct fault_record *records = self.set.records;
	struct series **rows;
	size_t nr;

	for (size_t i = 1; window->scope == SCOPE_INTERVAL && i < self.set.nr; i++) {
		struct series *s =
			records[i].in_use ? series__of(&self.set, at->env->vcpus, i) : NULL;

		if (s)
			look(s, &records[i], at->ended_epoch);
	}
	rows = (struct series **)series__list(&self.set, window->scope == SCOPE_TOTAL, &nr);
	for (size_t i = 0; window->scope == SCOPE_TOTAL && i < nr; i++) {
		rows[i]->grown = rows[i]->sums;
		rows[i]->time.grown = rows[i]->time.run;
	}
	if (rows && (window->scope == SCOPE_TOTAL || at->env->summary))
		write_rows(at, window, rows, nr);
	free(rows);
	if (window->scope == SCOPE_INTERVAL)
		series__retire_ended(&self.set, at->env->vcpus, at->obj);
	collect_pages(at, window->scope == SCOPE_TOTAL);
	if (window->scope == SCOPE_TOTAL)
		write_hottest(window);
}

const struct monitor kvmmmu_page_fault_monitor = {
	.name = "kvmmmu_page_fault",
	.key = 'f',
	.help = "KVM MMU page faults",
	.options = options,
	.config_size = sizeof(struct fault_config),
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = kvmmmu_page_fault_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENT,
	.stop = stop,
};
