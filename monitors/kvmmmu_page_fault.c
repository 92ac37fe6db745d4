// SPDX-License-Identifier: GPL-2.0-only
/* -f and -m: KVM MMU page faults. The kernel half is kvmmmu_page_fault.bpf.c. */
#include "kvmmmu_page_fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "../compat/host.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/run.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "kvmmmu_page_fault.skel.h"
#include "pages.h"

enum { RECORDS_PER_SLOT = 16, HOTTEST = 10, PAGE_SHIFT = 12 };
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
	{}
};

extern const struct monitor kvmmmu_page_fault_monitor;

#define COL(...) COLUMN(struct fault_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE, .width = 15,
	    .help = "the vCPU's thread"),
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "tdp: of memory; mmio: of an address that is none"),
	COL(gpa, "GPA", COL_HEX, ROLE_LABEL,
	    .views = IN(VIEW_EVENT) | IN(VIEW_MMIO) | IN(VIEW_HOT), .width = 10,
	    .help = "guest-physical address"),
	COL(device, "DEVICE", COL_STRING, ROLE_LABEL, .views = IN(VIEW_MMIO),
	    .help = "what the architecture has at that address"),
	COL(page_faults, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_EVENT) | IN(VIEW_HOT),
	    .help = "how often this page of this VM has faulted so far"),
	COL(delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_EVENT), .flags = COL_USEC,
	    .width = 7, .help = "from the fault to the next entry of the guest"),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_GAUGE, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_MMIO), .help = "the VMM's part of it"),
	COL(hva, "HVA", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT), .flags = COL_WIDE, .width = 14,
	    .help = "the page's address in the VMM"),
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
	{}
};

static bool is_vmx(void)
{
	return host__vendors() & VENDOR_VMX;
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
	  .gives = "the end of faults: each then lasts until the next one" },
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

	{ "ept_misconfig", HOOK_RAW_TP, "kvm_exit", "misconfig_raw_tp",
	  .gives = "most MMIO accesses: VMX reports them as a misconfiguration",
	  .applies = is_vmx },
	{ "ept_misconfig", HOOK_TP_BTF, "kvm_exit", "misconfig_tp_btf", .applies = is_vmx },
	{ "ept_misconfig", HOOK_TRACEPOINT, "kvm_exit", "misconfig_tracepoint", .applies = is_vmx },

	{ "kvm_page_fault", HOOK_TRACEPOINT, "kvm_page_fault", "fault_tracepoint",
	  VENDOR_VMX | VENDOR_SVM, .gives = "page faults", .primary = true },
	{ "kvm_page_fault", HOOK_RAW_TP, "kvm_page_fault", "fault_raw_tp", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_TP_BTF, "kvm_page_fault", "fault_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_FENTRY, "kvm_mmu_page_fault", "fault_fentry", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_page_fault", HOOK_KPROBE, "kvm_mmu_page_fault", "fault_kprobe", VENDOR_VMX | VENDOR_SVM },
	{}
};

static const char *const error_names[NR_FAULT_ERRORS] = {
	[ERROR_PRESENT] = "Present", [ERROR_WRITE] = "Write", [ERROR_USER] = "User",
	[ERROR_RESERVED] = "Reserved(MMIO)", [ERROR_EXEC] = "Exec",
	[ERROR_PKEY] = "Protection-Key", [ERROR_SGX] = "SGX",
};

static const char *const level_names[NR_LEVELS] = {
	[LEVEL_4K] = "4K", [LEVEL_2M] = "2M", [LEVEL_1G] = "1G",
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
	struct fault_key key;
	const struct vm_ref *vm;
	bool chosen;
	struct fault_sums sums;		/* at the last look */
	struct timing stat;		/* at the last look */
	struct stat_delta extremes;	/* of the whole run: min_ns and max_ns only */
};

/* What a series grew by, or several of the same slot or address. */
struct growth {
	const struct series *series;
	struct fault_sums sums;
	struct stat_delta delta;
};

/* A page and how often it faulted. */
struct hot_page {
	const struct vm_ref *vm;
	uint64_t gfn;
	uint32_t slot;
	uint64_t count;
};

static struct {
	struct fault_state *states;
	struct fault_record *records;
	size_t states_size, records_size, nr_records;
	struct pages pages;
	struct series **live;		/* by record */
	struct series **gone;		/* of vCPUs that have ended */
	size_t nr_gone, room_gone;
	struct hot_page *kept;		/* the hottest of VMs whose process has ended */
	size_t nr_kept;
} self;

static bool asks_for_mmio(const struct options *opts)
{
	return options__asks(opts, "mmio");
}

static int set_record_offsets(struct bpf_object *obj)
{
	int at = host__field_offset("kvm/kvm_page_fault", "fault_address"), err = 0;

	if (at > 0)
		err = map__set_const(obj, "fault_address_at", at);
	at = host__field_offset("kvm/kvm_page_fault", "error_code");
	if (!err && at > 0)
		err = map__set_const(obj, "error_code_at", at);
	/* 32 bits until 5.19, when the record began to name the vCPU. */
	if (!err && at > 0 && host__field_offset("kvm/kvm_page_fault", "vcpu_id") < 0)
		err = map__set_const(obj, "error_code_size", 4);
	return err;
}

static int prepare(struct run *run, struct bpf_object *obj)
{
	size_t slots = vcpus__max(run->vcpus) + 1;
	int err;

	self.nr_records = slots * RECORDS_PER_SLOT;
	err = map__resize(obj, "fault_states", slots);
	if (!err)
		err = map__resize(obj, "fault_records", self.nr_records);
	if (!err)
		err = map__resize(obj, "fault_index", self.nr_records);
	if (!err)
		err = map__resize(obj, "free_records", self.nr_records);
	if (!err)
		err = pages__prepare(&self.pages, obj);
	if (!err)
		err = map__set_const(obj, "with_mmio", asks_for_mmio(run->opts));
	if (!err)
		err = map__set_const(obj, "vendor_is_vmx", is_vmx());
	return err ? err : set_record_offsets(obj);
}

static int start(struct run *run, struct attachment *at)
{
	int err;

	(void)run;
	self.states = map__mmap_name(at->obj, "fault_states", &self.states_size);
	if (!self.states)
		return -errno;
	self.records = map__mmap_name(at->obj, "fault_records", &self.records_size);
	if (!self.records)
		return -errno;
	self.live = calloc(self.nr_records, sizeof(*self.live));
	if (!self.live)
		return -ENOMEM;
	err = pages__open(&self.pages, at->obj);
	return err ? err : map__fill_queue(at->obj, "free_records", 1, self.nr_records - 1);
}

static void stop(struct run *run, struct attachment *at)
{
	(void)run;
	(void)at;
	if (self.states)
		munmap(self.states, self.states_size);
	if (self.records)
		munmap(self.records, self.records_size);
	pages__close(&self.pages);
	for (size_t i = 0; self.live && i < self.nr_records; i++)
		free(self.live[i]);
	for (size_t i = 0; i < self.nr_gone; i++)
		free(self.gone[i]);
	free(self.live);
	free(self.gone);
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

static const struct vcpu_ref *vcpu_of(struct run *run, uint32_t slot)
{
	const struct vcpu_ref *ref = vcpus__get(run->vcpus, slot);

	if (ref)
		return ref;
	/* It has come since the last look. */
	vcpus__learn(run->vcpus);
	return vcpus__get(run->vcpus, slot);
}

static void event(struct run *run, struct attachment *at, const void *data, size_t size)
{
	const char *errors[NR_FAULT_ERRORS + 1];
	const struct fault_event *e = data;
	const struct vcpu_ref *ref;

	(void)at;
	if (size < sizeof(*e))
		return;
	ref = vcpu_of(run, e->head.slot);
	if (!ref || !ref->chosen)
		return;
	fill_errors(errors, e->errors);
	struct fault_row row = {
		.comm = e->head.comm, .kind = e->kind == FAULT_MMIO ? "mmio" : "tdp",
		.gpa = e->gpa, .device = device_at(e->gpa), .page_faults = e->page_faults,
		.delay_ns = e->delay_ns, .vmm_ns = e->vmm_ns, .hva = e->hva, .pfn = e->pfn,
		.slot = e->slot == NO_SLOT ? UINT32_MAX : e->slot & 0xffff,
		.as_id = e->slot == NO_SLOT ? UINT32_MAX : e->slot >> 16,
		.error = errors, .level = level_names[e->level & (NR_LEVELS - 1)],
		.change = e->errors & 1 << ERROR_PRESENT ? "permission" : "new",
		.fast = e->fast, .write = e->errors >> ERROR_WRITE & 1,
		.size = e->size ? e->size : UINT32_MAX,
	};
	if (e->kind == FAULT_MMIO)
		row.change = NULL;
	vcpu_ref__row(ref, e->head.ts_ns, &row.row);
	output__row(run->out, &row.row, 0);
}

static struct series *series_of(struct run *run, size_t index)
{
	const struct fault_record *record = &self.records[index];
	const struct vcpu_ref *ref = vcpus__get(run->vcpus, record->key.vcpu_slot);
	struct series *s = self.live[index];

	if (s || !ref)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = record->key;
	s->vm = ref->vm;
	s->chosen = ref->chosen;
	stat_delta__init(&s->extremes);
	self.live[index] = s;
	return s;
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

	for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += counter__delta(a[i], b ? b[i] : 0);
}

/* What a record grew by since the last look, which this one becomes. */
static bool look(struct series *s, const struct fault_record *record, uint64_t epoch,
		 struct growth *g)
{
	struct timing now = record->stat;
	struct fault_sums sums;

	read_sums(&sums, record);
	memset(g, 0, sizeof(*g));
	g->series = s;
	add_sums(&g->sums, &sums, &s->sums);
	stat_delta__init(&g->delta);
	stat_delta__set(&g->delta, &now, &s->stat);
	stat_delta__extremes(&g->delta, &now, epoch);
	stat_delta__extremes(&s->extremes, &now, 0);
	s->sums = sums;
	s->stat = now;
	return g->sums.count;
}

static void whole_run(const struct series *s, struct growth *g)
{
	g->series = s;
	g->sums = s->sums;
	g->delta = s->extremes;
	stat_delta__set(&g->delta, &s->stat, NULL);
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* By kind, VM, slot and place: what is the same becomes one row. */
static int by_place(const void *a, const void *b)
{
	const struct series *x = ((const struct growth *)a)->series;
	const struct series *y = ((const struct growth *)b)->series;
	int order = compare(x->key.kind, y->key.kind);

	if (!order)
		order = compare(x->vm->tgid, y->vm->tgid);
	if (!order)
		order = compare((uintptr_t)x->vm, (uintptr_t)y->vm);
	if (!order)
		order = compare(x->key.slot, y->key.slot);
	if (!order)
		order = compare(x->key.base, y->key.base);
	return order ? order : compare(x->key.npages, y->key.npages);
}

static size_t merge(struct growth *rows, size_t nr)
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
		add_sums(&rows[to].sums, &rows[i].sums, NULL);
		stat_delta__merge(&rows[to].delta, &rows[i].delta);
	}
	return to + 1;
}

static void fill_vm(struct row *row, const struct vm_ref *vm, uint64_t ts_ns)
{
	row->ts_ns = ts_ns;
	row->vm = vm->label;
	row->pid = vm->tgid;
	row->tid = UINT32_MAX;
	row->vcpu = UINT32_MAX;
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

static void write_row(struct run *run, const struct growth *g)
{
	const struct fault_key *key = &g->series->key;
	bool mmio = key->kind == FAULT_MMIO;
	struct fault_row row = {
		.kind = mmio ? "mmio" : "tdp", .gpa = key->base, .device = device_at(key->base),
		.slot = key->slot & 0xffff, .as_id = key->slot >> 16,
		.count = g->sums.count, .writes = g->sums.writes,
		.reads = g->sums.count - g->sums.writes, .fast_faults = g->sums.fast,
		.vmm_ns = g->sums.vmm_ns, 
		.by_error = counts_object(error_names, g->sums.by_error, NR_FAULT_ERRORS),
		.by_level = counts_object(level_names + LEVEL_4K, g->sums.by_level + LEVEL_4K,
					  NR_LEVELS - LEVEL_4K),
		.total_ns = g->delta.total_ns, .min_ns = g->delta.min_ns, .max_ns = g->delta.max_ns,
		.p50_ns = stat_delta__percentile(&g->delta, 50),
		.p90_ns = stat_delta__percentile(&g->delta, 90),
		.p99_ns = stat_delta__percentile(&g->delta, 99),
	};

	fill_vm(&row.row, g->series->vm, run->now_ns);
	output__row(run->out, &row.row, 0);
	json_object_put(row.by_error);
	json_object_put(row.by_level);
}

static void write_view(struct run *run, const struct growth *rows, size_t nr, enum scope scope,
		       unsigned int view)
{
	run__begin(run, &kvmmmu_page_fault_monitor, scope, view);
	for (size_t i = 0; i < nr; i++)
		write_row(run, &rows[i]);
	output__end(run->out);
}

static void write_rows(struct run *run, struct growth *rows, size_t nr, enum scope scope)
{
	size_t memory = 0;

	nr = merge(rows, nr);
	while (memory < nr && rows[memory].series->key.kind == FAULT_TDP)
		memory++;
	write_view(run, rows, memory, scope, VIEW_SLOT);
	if (asks_for_mmio(run->opts))
		write_view(run, rows + memory, nr - memory, scope, VIEW_MMIO);
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

/* The VM of a chunk: the one of the series with its address and creator. */
static const struct vm_ref *vm_of(const struct page_chunk *chunk)
{
	for (size_t i = 0; i < self.nr_gone; i++)
		if (self.gone[i]->vm->kvm == chunk->key.region &&
		    self.gone[i]->vm->tgid == chunk->key.owner)
			return self.gone[i]->vm;
	for (size_t i = 1; i < self.nr_records; i++)
		if (self.live[i] && self.live[i]->vm->kvm == chunk->key.region &&
		    self.live[i]->vm->tgid == chunk->key.owner)
			return self.live[i]->vm;
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

static void write_hottest(struct run *run)
{
	qsort(self.kept, self.nr_kept, sizeof(*self.kept), by_vm_count);
	run__begin(run, &kvmmmu_page_fault_monitor, SCOPE_TOTAL, VIEW_HOT);
	for (size_t i = 0; i < self.nr_kept; i++) {
		const struct hot_page *page = &self.kept[i];
		struct fault_row row = {
			.kind = "tdp", .gpa = page->gfn << PAGE_SHIFT, .page_faults = page->count,
			.slot = page->slot & 0xffff, .as_id = page->slot >> 16,
		};

		fill_vm(&row.row, page->vm, run->now_ns);
		output__row(run->out, &row.row, 0);
	}
	output__end(run->out);
}

static int keep_gone(struct series *s)
{
	if (self.nr_gone == self.room_gone) {
		size_t room = self.room_gone ? self.room_gone * 2 : 64;
		struct series **more = realloc(self.gone, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		self.gone = more;
		self.room_gone = room;
	}
	self.gone[self.nr_gone++] = s;
	return 0;
}

/* The vCPU has ended: its series is kept for the total, its record is free again. */
static void retire(const struct attachment *at, uint32_t index)
{
	struct fault_record *record = &self.records[index];

	if (keep_gone(self.live[index]))
		return;
	self.live[index] = NULL;
	map__forget(at->obj, "fault_index", &record->key, index);
	memset(record, 0, sizeof(*record));
	map__give_back(at->obj, "free_records", index);
}

static void retire_ended(struct run *run, const struct attachment *at)
{
	for (size_t i = 1; i < self.nr_records; i++) {
		const struct vcpu_ref *ref;

		if (!self.live[i])
			continue;
		ref = vcpus__get(run->vcpus, self.live[i]->key.vcpu_slot);
		if (ref && ref->ended)
			retire(at, i);
	}
	for (size_t slot = 1; slot <= vcpus__max(run->vcpus); slot++) {
		const struct vcpu_ref *ref = vcpus__get(run->vcpus, slot);

		if (ref && ref->ended)
			memset(&self.states[slot], 0, sizeof(self.states[slot]));
	}
}

static void report_interval(struct run *run, struct attachment *at)
{
	struct growth *rows = NULL, *more, one;
	size_t nr = 0, room = 0;

	for (size_t i = 1; i < self.nr_records; i++) {
		struct series *s = self.records[i].in_use ? series_of(run, i) : NULL;

		if (!s || !look(s, &self.records[i], at->ended_epoch, &one) || !s->chosen)
			continue;
		if (nr == room) {
			room = room ? room * 2 : 32;
			more = realloc(rows, room * sizeof(*rows));
			if (!more)
				break;
			rows = more;
		}
		rows[nr++] = one;
	}
	if (run->opts->summary)
		write_rows(run, rows, nr, SCOPE_INTERVAL);
	free(rows);
	retire_ended(run, at);
	collect_pages(at, false);
}

static void report_total(struct run *run, struct attachment *at)
{
	size_t nr = 0, room = self.nr_gone;
	struct growth *rows;

	for (size_t i = 1; i < self.nr_records; i++)
		room += !!self.live[i];
	rows = calloc(room + 1, sizeof(*rows));
	if (!rows)
		return;
	for (size_t i = 0; i < self.nr_gone; i++)
		if (self.gone[i]->chosen)
			whole_run(self.gone[i], &rows[nr++]);
	for (size_t i = 1; i < self.nr_records; i++)
		if (self.live[i] && self.live[i]->chosen)
			whole_run(self.live[i], &rows[nr++]);
	write_rows(run, rows, nr, SCOPE_TOTAL);
	free(rows);
	collect_pages(at, true);
	write_hottest(run);
}

static void report(struct run *run, struct attachment *at, enum scope scope)
{
	if (scope == SCOPE_INTERVAL)
		report_interval(run, at);
	else
		report_total(run, at);
}

const struct monitor kvmmmu_page_fault_monitor = {
	.name = "kvmmmu_page_fault",
	.key = 'f',
	.help = "KVM MMU page faults",
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
