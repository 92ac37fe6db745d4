// SPDX-License-Identifier: GPL-2.0-only
/* -d: dirty pages. The kernel half is mark_page_dirty.bpf.c. */
#include "mark_page_dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../core/iter.h"
#include "../core/log.h"
#include "../core/monitor.h"
#include "../core/run.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/tempfile.h"
#include "../core/vcpus.h"
#include "mark_page_dirty.skel.h"
#include "migration.h"
#include "pages.h"

enum {
	LEAST_RECORDS = 4096,
	RECORDS_PER_SLOT = 4,
	PAGES_PER_MIB = 256,
};

enum { VIEW_EVENT, VIEW_SLOT, VIEW_MIGRATION, VIEW_PAGE };

#define IN(view) (1U << (view))

struct dirty_row {
	struct row row;
	const char *comm;
	uint64_t gfn;
	uint64_t rel_gfn;
	uint64_t npages;
	uint64_t userspace_addr;
	uint32_t slot;
	uint32_t as_id;
	const char *log;
	uint64_t count;
	uint64_t dirtied;
	uint64_t unique_pages;
	uint64_t new_pages;
	uint64_t repeated_pages;
	double pages_per_s;
	double mib_per_s;
	bool converges;
	uint64_t memory_pages;
	uint32_t rounds;
	uint64_t migration_ns;
	uint64_t downtime_ns;
};

static const struct view views[] = {
	[VIEW_EVENT] = { .title = "MARK_PAGE_DIRTY", .per_vcpu = true },
	[VIEW_SLOT] = { .title = "DIRTY_SLOTS" },
	[VIEW_MIGRATION] = { .title = "MIGRATION" },
	[VIEW_PAGE] = { .title = "DIRTY_PAGES" },
	{},
};

extern const struct monitor mark_page_dirty_monitor;

#define COL(...) COLUMN(struct dirty_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .views = IN(VIEW_EVENT), .width = 15,
	    .help = "the thread that dirtied the page"),
	COL(gfn, "GFN", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT) | IN(VIEW_PAGE), .width = 9,
	    .help = "guest frame number"),
	COL(rel_gfn, "REL_GFN", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT) | IN(VIEW_PAGE),
	    .width = 8, .help = "offset in the slot, in pages"),
	COL(slot, "SLOT_ID", COL_U32, ROLE_LABEL,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_PAGE), .help = "memory slot"),
	COL(as_id, NULL, COL_U32, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_PAGE),
	    .help = "address space: 1 is system management mode's"),
	COL(npages, "NPAGES", COL_U64, ROLE_GAUGE, .views = IN(VIEW_EVENT) | IN(VIEW_SLOT),
	    .width = 8, .help = "pages of the slot"),
	COL(userspace_addr, "USERSPACE_ADDR", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT),
	    .width = 14, .help = "where the slot is in the VMM"),
	COL(log, "LOG", COL_STRING, ROLE_LABEL, .views = IN(VIEW_SLOT),
	    .help = "what the kernel logs into: bitmap or ring"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "pages marked dirty, also those that were already"),
	COL(dirtied, "DIRTIED", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "of them, pages that were clean in the log"),
	COL(unique_pages, "UNIQUE", COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .help = "different pages"),
	COL(new_pages, "NEW", COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .help = "of them, marked for the first time; in the total: once only"),
	COL(repeated_pages, "REPEATED", COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .help = "of them, marked before; in the total: more than once"),
	COL(pages_per_s, "PAGES/s", COL_DOUBLE, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .help = "DIRTIED per second"),
	COL(mib_per_s, "MiB/s", COL_DOUBLE, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .help = "the same in MiB"),
	COL(memory_pages, "MEMORY_PAGES", COL_U64, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .help = "what the first round sends"),
	COL(converges, "CONVERGES", COL_BOOL, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .help = "at --migration-bandwidth, with a stop of at most 300 ms"),
	COL(rounds, "ROUNDS", COL_U32, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .help = "while the guest runs"),
	COL(migration_ns, "TOTAL_TIME", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .help = "of the migration; absent when it does not converge"),
	COL(downtime_ns, "DOWNTIME", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .help = "the guest's stop at its end"),
	{},
};

/* The file of pages: the names that the original gave them. */
static const struct column page_columns[] = {
	COL(gfn, "GFN", COL_HEX, ROLE_LABEL, .help = "guest frame number"),
	COL(rel_gfn, "REL_GFN", COL_HEX, ROLE_LABEL, .help = "offset in the slot, in pages"),
	COL(slot, "SLOT_ID", COL_U32, ROLE_LABEL, .help = "memory slot"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, .help = "how often it was marked"),
	{},
};

static const struct hook hooks[] = {
	/* Not always under the MMU's lock, so preemptible: a kprobe first, see enum hook_kind. */
	{ "mark_page_dirty", HOOK_KPROBE, "mark_page_dirty_in_slot", "mark_kprobe",
	  .gives = "dirty pages", .primary = true },
	{ "mark_page_dirty", HOOK_FENTRY, "mark_page_dirty_in_slot", "mark_fentry" },
	{ "mark_page_dirty", HOOK_TRACEPOINT, "kvm_dirty_ring_push", "push_tracepoint" },
	{ "mark_page_dirty", HOOK_RAW_TP, "kvm_dirty_ring_push", "push_raw_tp" },
	{ "mark_page_dirty", HOOK_TP_BTF, "kvm_dirty_ring_push", "push_tp_btf" },

	{ "mark_page_dirty_vm", HOOK_KPROBE, "mark_page_dirty", "mark_vm_kprobe",
	  .gives = "pages that KVM itself dirties", .applies = host__memslots_in_array },
	{ "mark_page_dirty_vcpu", HOOK_KPROBE, "kvm_vcpu_mark_page_dirty", "mark_vcpu_kprobe",
	  .gives = "most pages that vCPUs dirty", .applies = host__memslots_in_array },

	{ "memory_slots", HOOK_ITER, "task_file", "list_logging",
	  .gives = "which VMs have dirty logging off" },
	{},
};

struct page_count {
	const struct series *series;
	uint64_t rel_gfn;
	uint64_t count;
};

/* What one kernel record has become over the run. */
struct series {
	struct series_head head;
	struct dirty_key key;
	uint64_t userspace_addr;
	uint64_t count, dirtied, ringed; /* at the last look */
	/* What it grew by since the look before, then of the whole run. */
	uint64_t new_count, new_dirtied;
	uint64_t unique, first_time;
};

static void forget_pages(const struct bpf_object *obj, void *series, uint32_t index);

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "dirty_slots",
	.record_size = sizeof(struct dirty_slot),
	.per_slot = 1,
	.index = "dirty_slot_index",
	.free_records = "free_dirty_slots",
	.forget = forget_pages,
};

static struct {
	struct series_set set; /* gone: of processes that have ended */
	struct pages counts;
	uint32_t (*before)[CHUNK_PAGES]; /* the chunks' counts at the last look */
	struct page_count *pages;	 /* of those that are gone, then of all */
	size_t nr_pages, room_pages;
	struct bpf_link *list;
	struct logging_entry *vms; /* as the iterator saw them last */
	size_t nr_vms;
	uint64_t *told; /* VMs said to be without a log */
	size_t nr_told;
} self;

/* Makes room for one more element of a growing array. */
static int make_room(void *array, size_t nr, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *bigger;

	if (nr < *room)
		return 0;
	bigger = reallocarray(*(void **)array, more, size);
	if (!bigger)
		return -ENOMEM;
	*(void **)array = bigger;
	*room = more;
	return 0;
}

static int prepare(struct run *run, struct bpf_object *obj)
{
	size_t records = (vcpus__max(run->vcpus) + 1) * RECORDS_PER_SLOT;
	int err = series__prepare(&self.set, &kind, obj,
				  records > LEAST_RECORDS ? records : LEAST_RECORDS);

	return err ? err : pages__prepare(&self.counts, obj);
}

/* Reads the VMs with the iterator into self.vms, again each time. */
static int list_vms(void)
{
	void *list = NULL;
	size_t size = 0;
	int err;

	if (!self.list)
		return -ENOENT;
	err = iter__read(self.list, &list, &size);
	if (err)
		return err;
	free(self.vms);
	self.vms = list;
	self.nr_vms = size / sizeof(*self.vms);
	return 0;
}

static bool was_told(uint64_t kvm)
{
	for (size_t i = 0; i < self.nr_told; i++)
		if (self.told[i] == kvm)
			return true;
	return false;
}

/* Names the VMs of which nothing can be seen, each once. */
static void say_what_is_off(struct run *run)
{
	if (list_vms())
		return;
	for (size_t i = 0; i < self.nr_vms; i++) {
		const struct logging_entry *entry = &self.vms[i];
		const struct vm_ref *vm;
		uint64_t *more;

		if (entry->logging || !entry->pages || was_told(entry->kvm))
			continue;
		more = reallocarray(self.told, self.nr_told + 1, sizeof(*more));
		if (!more)
			return;
		self.told = more;
		self.told[self.nr_told++] = entry->kvm;
		vm = vcpus__find_vm(run->vcpus, entry->kvm);
		if (vm && vm->chosen)
			say("mark_page_dirty: dirty logging is off in VM %s (pid %u): its dirty "
			    "pages show once its VMM switches it on, as a migration does",
			    vm->label, vm->tgid);
	}
}

/* Only the rings' own event is left where functions can't be hooked. */
static void say_what_is_partial(const struct attachment *at)
{
	for (size_t i = 0; i < at->nr_needs; i++)
		if (at->needs[i].hook && !strcmp(at->needs[i].hook->target, "kvm_dirty_ring_push"))
			say("mark_page_dirty: partial: only VMs with a dirty ring are seen, "
			    "without GFN and size of the slot (%s)",
			    at->needs[i].why[0] ? at->needs[i].why : "as --hooks has it");
}

static int start(struct run *run, struct attachment *at)
{
	struct bpf_program *list = bpf_object__find_program_by_name(at->obj, "list_logging");
	int err = series__open(&self.set, at->obj);

	if (!err)
		err = pages__open(&self.counts, at->obj);
	if (err)
		return err;
	self.before = calloc(self.counts.nr_chunks, sizeof(*self.before));
	if (!self.before)
		return -ENOMEM;
	if (list && bpf_program__fd(list) >= 0)
		self.list = bpf_program__attach_iter(list, NULL);
	say_what_is_off(run);
	say_what_is_partial(at);
	return 0;
}

static void stop(struct run *run, struct attachment *at)
{
	(void)run;
	(void)at;
	bpf_link__destroy(self.list);
	series__close(&self.set);
	pages__close(&self.counts);
	free(self.before);
	free(self.pages);
	free(self.vms);
	free(self.told);
	memset(&self, 0, sizeof(self));
}

/* The VM of a record: by the vCPU that made it, which is certain, or by its address. */
static const struct vm_ref *find_vm(struct run *run, uint64_t kvm, uint32_t vcpu_slot)
{
	const struct vcpu_ref *ref = vcpus__get(run->vcpus, vcpu_slot);

	if (ref && ref->info.kvm == kvm)
		return ref->vm;
	return vcpus__find_vm(run->vcpus, kvm);
}

/* A VM that ended before anybody could look is shown unless others were asked for. */
static bool is_chosen(const struct run *run, const struct vm_ref *vm)
{
	return vm ? vm->chosen : !run->opts->pid && !run->opts->vm;
}

static struct series *series_of(struct run *run, size_t index)
{
	const struct dirty_slot *slot = (struct dirty_slot *)self.set.records + index;
	struct series *s = self.set.live[index];

	if (!s && __atomic_load_n(&slot->in_use, __ATOMIC_ACQUIRE)) {
		s = series__add(&self.set, index);
		if (!s)
			return NULL;
		s->key = slot->key;
		s->userspace_addr = slot->userspace_addr;
	}
	if (s && !s->head.vm) {
		s->head.vm = find_vm(run, s->key.kvm, slot->vcpu_slot);
		s->head.chosen = is_chosen(run, s->head.vm);
	}
	return s;
}

static void fill_slot(const struct run *run, struct dirty_row *row, const struct series *s)
{
	vm_ref__row(s->head.vm, run->now_ns, &row->row);
	row->slot = s->key.slot & 0xffff;
	row->as_id = s->key.slot >> 16;
	row->npages = s->key.npages ? s->key.npages : UINT64_MAX;
	row->userspace_addr = s->userspace_addr;
}

static void event(struct run *run, struct attachment *at, const void *data, size_t size)
{
	const struct dirty_event *e = data;
	const struct vcpu_ref *ref;
	const struct vm_ref *vm;
	struct series *s;

	(void)at;
	if (size < sizeof(*e))
		return;
	ref = vcpus__get_new(run->vcpus, e->head.slot);
	s = e->record < self.set.nr && e->record ? series_of(run, e->record) : NULL;
	vm = s ? s->head.vm : find_vm(run, e->kvm, e->head.slot);
	if (!is_chosen(run, vm) || (ref && !ref->chosen) || (!ref && run->opts->nr_vcpus))
		return;

	struct dirty_row row = {
		.comm = e->head.comm,
		.gfn = e->gfn,
		.rel_gfn = e->rel_gfn,
		.npages = e->npages ? e->npages : UINT64_MAX,
		.userspace_addr = e->userspace_addr,
		.slot = e->slot & 0xffff,
		.as_id = e->slot >> 16,
	};
	vm_ref__row(vm, e->head.ts_ns, &row.row);
	row.row.tid = e->head.tid;
	if (ref)
		row.row.vcpu = ref->info.vcpu_id;
	output__row(run->out, &row.row, 0);
}

/* Which pages were marked since the last look, which this one becomes. */
static void look_at_pages(size_t index)
{
	const struct page_chunk *chunk = pages__get(&self.counts, index);
	struct series *s = chunk ? self.set.live[chunk->key.region] : NULL;

	for (int i = 0; s && i < CHUNK_PAGES; i++) {
		uint32_t now = __atomic_load_n(&chunk->counts[i], __ATOMIC_RELAXED);

		if (now != self.before[index][i]) {
			s->unique++;
			s->first_time += !self.before[index][i];
			s->head.quiet = false;
		}
		self.before[index][i] = now;
	}
}

static void look(struct series *s, const struct dirty_slot *slot)
{
	uint64_t count = __atomic_load_n(&slot->count, __ATOMIC_RELAXED);
	uint64_t dirtied = __atomic_load_n(&slot->dirtied, __ATOMIC_RELAXED);

	s->new_count = counter__delta(count, s->count);
	s->new_dirtied = counter__delta(dirtied, s->dirtied);
	s->unique = s->first_time = 0;
	s->head.quiet = !s->new_count;
	s->count = count;
	s->dirtied = dirtied;
	s->ringed = __atomic_load_n(&slot->ringed, __ATOMIC_RELAXED);
}

static void add_page(const struct series *s, uint64_t rel_gfn, uint64_t count)
{
	if (make_room(&self.pages, self.nr_pages, &self.room_pages, sizeof(*self.pages)))
		return;
	self.pages[self.nr_pages++] = (struct page_count){ s, rel_gfn, count };
}

static void keep_pages(const struct series *s, const struct page_chunk *chunk)
{
	uint64_t first = chunk->key.number << CHUNK_BITS;

	for (int i = 0; i < CHUNK_PAGES; i++)
		if (chunk->counts[i])
			add_page(s, first + i, chunk->counts[i]);
}

/* The VMM's process has ended: its pages are kept, their counters are free again. */
static void forget_pages(const struct bpf_object *obj, void *series, uint32_t index)
{
	for (size_t i = 1; i < self.counts.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&self.counts, i);

		if (!chunk || chunk->key.region != index)
			continue;
		keep_pages(series, chunk);
		pages__free(&self.counts, obj, i);
		memset(self.before[i], 0, sizeof(self.before[i]));
	}
}

static int by_vm_slot(const void *a, const void *b)
{
	const struct series *x = *(const struct series *const *)a;
	const struct series *y = *(const struct series *const *)b;
	const struct vm_ref *vm = x->head.vm, *vm2 = y->head.vm;

	if (vm != vm2) {
		if (!vm || !vm2)
			return vm ? -1 : 1;
		if (vm->tgid != vm2->tgid)
			return vm->tgid < vm2->tgid ? -1 : 1;
		return strcmp(vm->label, vm2->label);
	}
	if (x->key.slot != y->key.slot)
		return x->key.slot < y->key.slot ? -1 : 1;
	return x->key.base_gfn < y->key.base_gfn ? -1 : x->key.base_gfn > y->key.base_gfn;
}

static double seconds_of(const struct run *run)
{
	return (double)(run->now_ns - run->since_ns) / NSEC_PER_SEC;
}

static void write_slot(struct run *run, const struct series *s)
{
	double seconds = seconds_of(run);
	struct dirty_row row = {
		.log = !s->ringed	     ? "bitmap" :
		       s->ringed == s->count ? "ring" :
					       "both",
		.count = s->new_count,
		.dirtied = s->new_dirtied,
		.unique_pages = s->unique,
		.new_pages = s->first_time,
		.repeated_pages = s->unique - s->first_time,
		.pages_per_s = seconds > 0 ? s->new_dirtied / seconds : NAN,
	};

	fill_slot(run, &row, s);
	row.mib_per_s = row.pages_per_s / PAGES_PER_MIB;
	output__row(run->out, &row.row, 0);
}

/* Pages of all slots of a VM, or of those that were seen dirty. */
static double memory_of(struct series **rows, size_t nr)
{
	double seen = 0;

	for (size_t i = 0; i < self.nr_vms; i++)
		if (self.vms[i].kvm == rows[0]->key.kvm)
			return self.vms[i].pages;
	for (size_t i = 0; i < nr; i++)
		if (!(rows[i]->key.slot >> 16))
			seen += rows[i]->key.npages;
	return seen;
}

/* Different pages of a VM that were marked so far. */
static double working_set(struct series **rows, size_t nr)
{
	double pages = 0;

	for (size_t i = 1; i < self.counts.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&self.counts, i);
		const struct series *s = chunk ? self.set.live[chunk->key.region] : NULL;

		for (size_t j = 0; s && j < nr; j++)
			for (int k = 0; rows[j] == s && k < CHUNK_PAGES; k++)
				pages += !!chunk->counts[k];
	}
	return pages;
}

static void write_migration(struct run *run, struct series **rows, size_t nr)
{
	struct migration_input in = {
		.memory = memory_of(rows, nr),
		.working_set = working_set(rows, nr),
		.bandwidth = run->opts->migration_bandwidth,
	};
	struct migration m;

	for (size_t i = 0; i < nr; i++)
		in.rate += rows[i]->new_dirtied / seconds_of(run);
	m = migration__predict(&in);
	struct dirty_row row = {
		.converges = m.converges,
		.rounds = m.rounds,
		.memory_pages = in.memory,
		.migration_ns = m.converges ? m.seconds * NSEC_PER_SEC : UINT64_MAX,
		.downtime_ns = m.converges ? m.downtime * NSEC_PER_SEC : UINT64_MAX,
	};
	vm_ref__row(rows[0]->head.vm, run->now_ns, &row.row);
	output__row(run->out, &row.row, 0);
}

static void write_rows(struct run *run, struct series **rows, size_t nr, enum scope scope)
{
	qsort(rows, nr, sizeof(*rows), by_vm_slot);
	run__begin(run, &mark_page_dirty_monitor, scope, VIEW_SLOT);
	for (size_t i = 0; i < nr; i++)
		write_slot(run, rows[i]);
	output__end(run->out);
	if (scope != SCOPE_INTERVAL || !run->opts->migration_bandwidth)
		return;
	list_vms();
	run__begin(run, &mark_page_dirty_monitor, scope, VIEW_MIGRATION);
	for (size_t i = 0, group; i < nr; i += group) {
		for (group = 1; i + group < nr && rows[i + group]->head.vm == rows[i]->head.vm;
		     group++)
			;
		write_migration(run, rows + i, group);
	}
	output__end(run->out);
}

static void report_interval(struct run *run, struct attachment *at)
{
	const struct dirty_slot *slots = self.set.records;
	struct series **rows;
	size_t nr;

	for (size_t i = 1; i < self.set.nr; i++)
		if (series_of(run, i))
			look(self.set.live[i], &slots[i]);
	for (size_t i = 1; i < self.counts.nr_chunks; i++)
		look_at_pages(i);
	rows = (struct series **)series__list(&self.set, false, &nr);
	if (rows)
		write_rows(run, rows, nr, SCOPE_INTERVAL);
	free(rows);
	series__retire_ended_vms(&self.set, at->obj);
	say_what_is_off(run);
}

static int by_count(const void *a, const void *b)
{
	const struct page_count *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	if (x->series != y->series)
		return by_vm_slot(&x->series, &y->series);
	return x->rel_gfn < y->rel_gfn ? -1 : x->rel_gfn > y->rel_gfn;
}

/* All pages of the run by falling count, into a file as the original wrote it. */
static void write_pages(struct run *run)
{
	const struct section section = {
		.monitor = mark_page_dirty_monitor.name,
		.columns = page_columns,
		.view = &views[VIEW_PAGE],
		.view_bit = IN(VIEW_PAGE),
		.scope = SCOPE_TOTAL,
		.seconds = seconds_of(run),
	};
	struct tempfile file;
	struct output *out;
	int err;

	qsort(self.pages, self.nr_pages, sizeof(*self.pages), by_count);
	if (tempfile__open(&file, run->opts->temp_dir, mark_page_dirty_monitor.name,
			   run->opts->format))
		return;
	out = output__new(run->opts->format, file.stream, 0);
	if (out) {
		output__begin(out, &section);
		for (size_t i = 0; i < self.nr_pages; i++) {
			const struct page_count *page = &self.pages[i];
			struct dirty_row row = { .rel_gfn = page->rel_gfn, .count = page->count };

			fill_slot(run, &row, page->series);
			row.gfn = page->series->key.base_gfn == NO_GFN ?
					  UINT64_MAX :
					  page->series->key.base_gfn + page->rel_gfn;
			output__row(out, &row.row, 0);
		}
		output__end(out);
		err = output__flush(out);
		output__free(out);
	}
	if (!tempfile__close(&file) && (!out || err))
		say("mark_page_dirty: %s: %s", file.path, strerror(out ? err : ENOMEM));
}

static void drop_unchosen_pages(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < self.nr_pages; i++)
		if (self.pages[i].series->head.chosen)
			self.pages[kept++] = self.pages[i];
	self.nr_pages = kept;
}

static void report_total(struct run *run)
{
	struct series **rows;
	size_t nr;

	for (size_t i = 1; i < self.counts.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&self.counts, i);

		if (chunk && self.set.live[chunk->key.region])
			keep_pages(self.set.live[chunk->key.region], chunk);
	}
	drop_unchosen_pages();
	rows = (struct series **)series__list(&self.set, true, &nr);
	for (size_t i = 0; i < nr; i++) {
		rows[i]->new_count = rows[i]->count;
		rows[i]->new_dirtied = rows[i]->dirtied;
		rows[i]->unique = rows[i]->first_time = 0;
	}
	for (size_t i = 0; i < self.nr_pages; i++) {
		struct series *s = (struct series *)self.pages[i].series;

		s->unique++;
		s->first_time += self.pages[i].count == 1;
	}
	if (rows)
		write_rows(run, rows, nr, SCOPE_TOTAL);
	free(rows);
	if (self.nr_pages)
		write_pages(run);
}

static void report(struct run *run, struct attachment *at, enum scope scope)
{
	if (scope == SCOPE_INTERVAL)
		report_interval(run, at);
	else
		report_total(run);
}

const struct monitor mark_page_dirty_monitor = {
	.name = "mark_page_dirty",
	.key = 'd',
	.help = "dirty pages",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = mark_page_dirty_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENT,
	.stop = stop,
};
