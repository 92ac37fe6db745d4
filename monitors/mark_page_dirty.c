// SPDX-License-Identifier: GPL-2.0-only
/* -d: dirty pages. The kernel half is mark_page_dirty.bpf.c. */
#include "mark_page_dirty.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/events.h"
#include "../core/filter.h"
#include "../core/iter.h"
#include "../core/log.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/sink.h"
#include "../core/samples.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "dirty_pages.h"
#include "mark_page_dirty.skel.h"

DEFINE_OPEN_SKELETON(mark_page_dirty_bpf)

#define MAP(_name) offsetof(struct mark_page_dirty_bpf, maps._name)
#define PROG(_name) offsetof(struct mark_page_dirty_bpf, progs._name)
#include "migration.h"

enum { PAGES_PER_MIB = 256 };

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
	uint64_t base_gfn;
	uint64_t slot_pages;
	uint64_t kvm;
	uint32_t creator;
	uint64_t region;
	const char *log;
	uint64_t count;
	uint64_t dirtied;
	uint64_t ringed;
	uint64_t marked;
	uint64_t once;
	uint64_t changes;
	/* Of a recording; else the one is not needed, and the other one finish() counts. */
	uint64_t vm_pages, unique_pages;
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
	[VIEW_EVENT] = { .title = "MARK_PAGE_DIRTY", .name = "MARK_PAGE_DIRTY", .per_vcpu = true },
	[VIEW_SLOT] = { .title = "DIRTY_SLOTS", .name = "DIRTY_SLOTS", SAMPLES_OF(VIEW_SLOT) },
	[VIEW_MIGRATION] = { .title = "MIGRATION",
			     .name = "MIGRATION",
			     .of_vm = true,
			     SAMPLES_OF(VIEW_SLOT) },
	[VIEW_PAGE] = { .title = "DIRTY_PAGES", .name = "DIRTY_PAGES", .apart = true },
	{},
};

#define COL(...) COLUMN(struct dirty_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, .views = IN(VIEW_EVENT),
	    .width = 15, .help = "name of the thread that dirtied the page"),
	COL(gfn, "GFN", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT) | IN(VIEW_PAGE), .width = 9,
	    .help = "guest frame number"),
	COL(rel_gfn, "REL_GFN", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT) | IN(VIEW_PAGE),
	    .width = 8, .help = "offset in the slot, in pages"),
	COL(slot, "SLOT_ID", COL_U32, ROLE_LABEL,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_PAGE), .help = "memory slot"),
	COL(as_id, NULL, COL_U32, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .views = IN(VIEW_EVENT) | IN(VIEW_SLOT) | IN(VIEW_PAGE),
	    .help = "address space; 1: system management mode"),
	COL(npages, "NPAGES", COL_U64, ROLE_GAUGE, .views = IN(VIEW_EVENT) | IN(VIEW_SLOT),
	    .width = 8, .help = "pages of the slot"),
	COL(userspace_addr, "USERSPACE_ADDR", COL_HEX, ROLE_LABEL, .views = IN(VIEW_EVENT),
	    .width = 14, .help = "address of the slot in the VMM"),
	COL(base_gfn, NULL, COL_HEX, ROLE_LABEL, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "first page of the slot"),
	COL(slot_pages, NULL, COL_U64, ROLE_LABEL, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "pages of the slot"),
	COL(kvm, NULL, COL_HEX, ROLE_LABEL, .views = IN(VIEW_SLOT),
	    .flags = COL_KEY_ONLY | COL_WHOSE, .help = "distinguishes unknown VMs"),
	COL(creator, NULL, COL_U32, ROLE_LABEL, .views = IN(VIEW_SLOT),
	    .flags = COL_KEY_ONLY | COL_WHOSE, .help = "the same"),
	COL(region, NULL, COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .merge = MERGE_NONE, .help = "index among the slots kept"),
	COL(log, "LOG", COL_STRING, ROLE_GAUGE, .views = IN(VIEW_SLOT), .flags = COL_COMPUTED,
	    .help = "dirty log of the kernel: bitmap or ring"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT),
	    .help = "pages marked dirty, including those already dirty"),
	COL(dirtied, "DIRTIED", COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT), .flags = COL_COST,
	    .help = "of COUNT, pages that were clean in the log"),
	COL(ringed, NULL, COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "of COUNT, pages logged in a dirty ring"),
	COL(marked, NULL, COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "pages marked for the first time"),
	COL(once, NULL, COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .merge = MERGE_SUM, .help = "pages marked only once so far"),
	COL(changes, NULL, COL_U64, ROLE_COUNTER, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "different pages at each look"),
	COL(vm_pages, NULL, COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT), .flags = COL_KEY_ONLY,
	    .help = "in a recording: pages of the VM by its descriptor; 0: unknown"),
	COL(unique_pages, "UNIQUE", COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .merge = MERGE_WINDOW, .help = "different pages"),
	COL(new_pages, "NEW", COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT), .flags = COL_COMPUTED,
	    .help = "of UNIQUE, pages marked for the first time; in the total: marked only once"),
	COL(repeated_pages, "REPEATED", COL_U64, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .flags = COL_COMPUTED,
	    .help = "of UNIQUE, pages marked before; in the total: marked more than once"),
	COL(pages_per_s, "PAGES/s", COL_DOUBLE, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .flags = COL_COMPUTED, .help = "DIRTIED per second"),
	COL(mib_per_s, "MiB/s", COL_DOUBLE, ROLE_GAUGE, .views = IN(VIEW_SLOT),
	    .flags = COL_COMPUTED, .help = "DIRTIED in MiB per second"),
	COL(memory_pages, "MEMORY_PAGES", COL_U64, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .flags = COL_COMPUTED, .help = "pages that the first round sends"),
	COL(converges, "CONVERGES", COL_BOOL, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .flags = COL_COMPUTED,
	    .help = "converges at --migration-bandwidth, with a stop of at most 300 ms"),
	COL(rounds, "ROUNDS", COL_U32, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .flags = COL_COMPUTED, .help = "rounds while the guest runs"),
	COL(migration_ns, "TOTAL_TIME", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .flags = COL_COMPUTED | COL_WORSE,
	    .help = "time of the migration; absent if it does not converge"),
	COL(downtime_ns, "DOWNTIME", COL_NSEC, ROLE_GAUGE, .views = IN(VIEW_MIGRATION),
	    .flags = COL_COMPUTED | COL_WORSE,
	    .help = "time that the migration stops the guest at its end"),
	{},
};

struct dirty_config {
	double bandwidth; /* bytes per second; 0: not asked for */
};

static const char *set_bandwidth(void *config, const char *arg)
{
	enum { MOST_MIB_PER_S = 1000000 };
	char *end;
	double mib = strtod(arg, &end);

	/* strtod() also takes hexadecimal, inf and nan. */
	if (*end || end == arg || strspn(arg, "0123456789.") != strlen(arg) || mib <= 0 ||
	    mib > MOST_MIB_PER_S)
		return "is not a bandwidth in MiB/s; give a number such as 100, up to 1000000";
	((struct dirty_config *)config)->bandwidth = mib * 1024 * 1024;
	return NULL;
}

static const struct monitor_option options[] = {
	{ .name = "migration-bandwidth",
	  .arg = "MiB/s",
	  .help = "-d: estimate a live migration at this bandwidth",
	  .set = set_bandwidth },
	{},
};

static double bandwidth_of(const struct attachment *at)
{
	return ((const struct dirty_config *)at->config)->bandwidth;
}

static const struct hook hooks[] = {
	/* Not always under the MMU's lock, so preemptible: a kprobe first, see enum hook_kind. */
	{ "mark_page_dirty", HOOK_KPROBE, "mark_page_dirty_in_slot", PROG(mark_kprobe),
	  .gives = "dirty pages", .primary = true },
	{ "mark_page_dirty", HOOK_FENTRY, "mark_page_dirty_in_slot", PROG(mark_fentry) },
	{ "mark_page_dirty", HOOK_TRACEPOINT, "kvm_dirty_ring_push", PROG(push_tracepoint) },
	{ "mark_page_dirty", HOOK_RAW_TP, "kvm_dirty_ring_push", PROG(push_raw_tp) },
	{ "mark_page_dirty", HOOK_TP_BTF, "kvm_dirty_ring_push", PROG(push_tp_btf) },

	{ "mark_page_dirty_vm", HOOK_KPROBE, "mark_page_dirty", PROG(mark_vm_kprobe),
	  .gives = "pages that KVM itself dirties", .applies = host__memslots_in_array },
	{ "mark_page_dirty_vcpu", HOOK_KPROBE, "kvm_vcpu_mark_page_dirty", PROG(mark_vcpu_kprobe),
	  .gives = "most pages dirtied by vCPUs", .applies = host__memslots_in_array },

	{ "memory_slots", HOOK_ITER, "task_file", PROG(list_logging),
	  .gives = "which VMs have dirty logging switched off" },
	{},
};

/* Memory slots of VMs that have ended. */
enum { MOST_ENDED_REGIONS = 1024 };

struct dirty_state {
	struct dirty_pages pages;
	struct dirty_region **by_record;
	size_t nr_records;
	struct dirty_region **regions; /* those that were asked for, by the number that rows have */
	size_t nr_regions, nr_ended;
	uint64_t last_region;	   /* the number of the last one */
	bool written;		   /* the file of pages is */
	struct logging_entry *vms; /* as the iterator saw them last, each once, by address */
	size_t nr_vms;
	bool is_listed; /* these are all, in every PID namespace */
	uint64_t *told; /* of them, VMs said to be without a log, in the same order */
	size_t nr_told;
	unsigned int nr_named; /* VMs said to be without a log, in the whole run */
};

static int prepare(struct attachment *at, void *opened)
{
	const struct mark_page_dirty_bpf *skel = opened;
	struct dirty_state *state = at->state;

	return pages__prepare(&state->pages.counts, PAGE_MAPS(skel));
}

static int by_kvm(const void *a, const void *b)
{
	const struct logging_entry *x = a, *y = b;

	return x->kvm < y->kvm ? -1 : x->kvm > y->kvm;
}

/* A VM may have several descriptors. */
static size_t drop_same(struct logging_entry *vms, size_t nr)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++)
		if (!kept || vms[kept - 1].kvm != vms[i].kvm)
			vms[kept++] = vms[i];
	return kept;
}

/* Reads the VMs with the iterator into state->vms, again each time. */
static int list_vms(const struct attachment *at)
{
	int iterator = attach__iterator(at, "memory_slots");
	struct dirty_state *state = at->state;
	void *list = NULL;
	size_t size = 0;
	int err;

	state->is_listed = false;
	if (iterator < 0)
		return -ENOENT;
	err = iter__read(iterator, &list, &size);
	if (err)
		return err;
	free(state->vms);
	state->vms = list;
	state->nr_vms = size / sizeof(*state->vms);
	qsort(state->vms, state->nr_vms, sizeof(*state->vms), by_kvm);
	state->nr_vms = drop_same(state->vms, state->nr_vms);
	state->is_listed = host__initial_pid_namespace();
	return 0;
}

static const struct logging_entry *listed_vm(const struct dirty_state *state, uint64_t kvm)
{
	const struct logging_entry key = { .kvm = kvm };

	return state->nr_vms ? bsearch(&key, state->vms, state->nr_vms, sizeof(key), by_kvm) : NULL;
}

/* VMs may come and go by the thousand: the first ones are named. */
static void say_it_is_off(const struct attachment *at, uint64_t kvm)
{
	enum { MOST_NAMED = 10 };
	struct dirty_state *state = at->state;
	const struct vm_ref *vm;

	if (at->env->quiet || state->nr_named > MOST_NAMED)
		return;
	vm = vcpus__find_vm(at->env->vcpus, kvm, 0);
	if (!vm || !vm->chosen)
		return;
	if (state->nr_named++ < MOST_NAMED)
		say("mark_page_dirty: dirty logging is off in VM %s (pid %u): dirty pages appear "
		    "when its VMM switches it on, as for a migration",
		    vm->label, vm->tgid);
	else
		say("mark_page_dirty: dirty logging is off in more than %d VMs: the others are not "
		    "named",
		    MOST_NAMED);
}

/* Names the VMs of which nothing can be seen, each once. Those that are gone are forgotten. */
static void say_what_is_off(const struct attachment *at)
{
	struct dirty_state *state = at->state;
	uint64_t *told;
	size_t nr = 0;

	if (list_vms(at))
		return;
	told = calloc(state->nr_vms + 1, sizeof(*told));
	if (!told)
		return;
	for (size_t i = 0, j = 0; i < state->nr_vms; i++) {
		const struct logging_entry *entry = &state->vms[i];

		while (j < state->nr_told && state->told[j] < entry->kvm)
			j++;
		if (j < state->nr_told && state->told[j] == entry->kvm) {
			told[nr++] = entry->kvm;
		} else if (!entry->logging && entry->pages) {
			told[nr++] = entry->kvm;
			say_it_is_off(at, entry->kvm);
		}
	}
	free(state->told);
	state->told = told;
	state->nr_told = nr;
}

/* Only the rings' own event is left where functions can't be hooked. */
static void say_what_is_partial(const struct attachment *at)
{
	for (size_t i = 0; i < at->nr_needs && !at->env->quiet; i++)
		if (at->needs[i].hook && !strcmp(at->needs[i].hook->target, "kvm_dirty_ring_push"))
			say("mark_page_dirty: partial: only VMs with a dirty ring are visible, "
			    "without GFN and slot size (%s)",
			    at->needs[i].why[0] ? at->needs[i].why : "because of --hooks");
}

static int start(struct attachment *at)
{
	const struct mark_page_dirty_bpf *skel = at->skel;
	struct dirty_state *state = at->state;
	int err = dirty_pages__open(&state->pages, PAGE_MAPS(skel), at->records.nr,
				    at->env->allows_files);

	if (err)
		return err;
	state->nr_records = at->records.nr;
	state->by_record = calloc(state->nr_records, sizeof(*state->by_record));
	if (!state->by_record)
		return -ENOMEM;
	return 0;
}

/* Not before: loading may take several attempts. */
static void attached(struct attachment *at)
{
	say_what_is_off(at);
	say_what_is_partial(at);
}

static void stop(struct attachment *at)
{
	struct dirty_state *state = at->state;

	dirty_pages__close(&state->pages);
	for (size_t i = 0; state->by_record && i < state->nr_records; i++) {
		struct dirty_region *region = state->by_record[i];

		if (region)
			vcpus__put_vm(region->vm);
		if (region && !region->wanted)
			free(region);
	}
	for (size_t i = 0; i < state->nr_regions; i++)
		free(state->regions[i]);
	free(state->by_record);
	free(state->regions);
	free(state->vms);
	free(state->told);
}

/* The VM of a record: by the vCPU that made it, which is certain, or by its address. */
static const struct vm_ref *find_vm(const struct attachment *at, uint64_t kvm, uint32_t creator,
				    uint32_t vcpu_slot)
{
	const struct vcpu_ref *ref = vcpus__get_new(at->env->vcpus, vcpu_slot);

	if (ref && ref->info.kvm == kvm)
		return ref->vm;
	return vcpus__find_vm(at->env->vcpus, kvm, creator);
}

/* A VM that ended before anybody could look is shown unless others were asked for. */
static bool is_chosen(const struct attachment *at, const struct vm_ref *vm)
{
	return vm ? vm->chosen : filter__has_every_vm(at->env->filter);
}

/* A record that is seen for the first time; NULL while there is none. */
static struct dirty_region *region_of(const struct attachment *at, uint32_t index)
{
	const struct dirty_slot *slot = records__get(&at->records, index);
	struct dirty_state *state = at->state;
	struct dirty_region *region = state->by_record[index];

	if (region || !__atomic_load_n(&slot->in_use, __ATOMIC_ACQUIRE))
		return region;
	region = calloc(1, sizeof(*region));
	if (!region)
		return NULL;
	region->key = slot->key;
	state->by_record[index] = region;
	return region;
}

/* The user asks for it: from now on it is counted. */
static void keep_region(struct dirty_state *state, struct dirty_region *region)
{
	struct dirty_region **more;

	more = reallocarray(state->regions, state->nr_regions + 1, sizeof(*more));
	if (!more)
		return;
	state->regions = more;
	more[state->nr_regions++] = region;
	region->nr = ++state->last_region;
	region->wanted = true;
}

static void decide(const struct attachment *at, struct dirty_region *region,
		   const struct vm_ref *vm)
{
	vm_ref__row(vm, 0, &region->head);
	if (vm) {
		snprintf(region->name, sizeof(region->name), "%s", vm->label);
		region->head.vm = region->name;
		memcpy(region->id, vm->id, sizeof(region->id));
		region->head.vm_id = region->id;
	}
	if (is_chosen(at, vm))
		keep_region(at->state, region);
	else
		region->unwanted = true;
	if (region->wanted || region->unwanted)
		region->vm = vcpus__get_vm(vm);
}

/* Whose it is, if that can be told; its process may not live until the next look. */
static void name_region(const struct attachment *at, struct dirty_region *region, uint32_t index)
{
	const struct dirty_slot *slot = records__get(&at->records, index);
	const struct vm_ref *vm;

	if (region->wanted || region->unwanted)
		return;
	vm = find_vm(at, region->key.kvm, region->key.creator, slot->vcpu_slot);
	if (vm)
		decide(at, region, vm);
}

/* One whose VM is not known at two looks has none, unless others were asked for. */
static void look_at_region(const struct attachment *at, uint32_t index)
{
	struct dirty_region *region = region_of(at, index);

	if (!region)
		return;
	name_region(at, region, index);
	if (region->wanted || region->unwanted)
		return;
	if (at->is_last || (region->tried && is_chosen(at, NULL)))
		decide(at, region, NULL);
	region->tried = true;
}

/* In this order: a page that was found marked is counted in its record. */
static void look(struct attachment *at)
{
	struct dirty_state *state = at->state;

	if (at->begins)
		pages__forget(&state->pages.counts);
	dirty_pages__begin(&state->pages, at->env->sinks, at->env->nr_sinks);
	for (size_t i = 1; i < at->records.nr; i++)
		look_at_region(at, i);
	dirty_pages__look(&state->pages, state->by_record);
}

static void looked(struct attachment *at)
{
	say_what_is_off(at);
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct dirty_state *state = at->state;
	const struct dirty_region *region = state->by_record[index];
	struct dirty_row *row = (struct dirty_row *)to;

	if (!region || (!region->wanted && !region->unwanted))
		return -EAGAIN;
	if (region->unwanted)
		return -ENOENT;
	row->row = region->head;
	row->slot = region->key.slot & 0xffff;
	row->as_id = region->key.slot >> 16;
	row->base_gfn = region->key.base_gfn;
	row->slot_pages = region->key.npages;
	if (!region->vm) {
		row->kvm = region->key.kvm;
		row->creator = region->key.creator;
	}
	return VIEW_SLOT;
}

/* In this order: what was clean in the log is counted, also while it is being marked. */
static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	const struct dirty_slot *slot = records__get(&at->records, index);
	const struct dirty_state *state = at->state;
	const struct dirty_region *region = state->by_record[index];
	struct dirty_row *row = (struct dirty_row *)to;

	row->dirtied = __atomic_load_n(&slot->dirtied, __ATOMIC_ACQUIRE);
	row->count = __atomic_load_n(&slot->count, __ATOMIC_ACQUIRE);
	row->ringed = __atomic_load_n(&slot->ringed, __ATOMIC_RELAXED);
	row->npages = slot->key.npages ? slot->key.npages : UINT64_MAX;
	row->region = region->nr;
	row->marked = region->marked;
	row->once = region->once;
	row->changes = region->changes;
	row->vm_pages = row->unique_pages = 0;
}

/* Of a VM that is not known, its descriptor tells. */
static bool is_gone(const struct attachment *at, struct ended_asked *asked,
		    const struct dirty_region *region)
{
	const struct dirty_state *state = at->state;

	if (region->vm)
		return vcpus__process_ended(at->env->vcpus, asked, region->vm->tgid);
	return state->is_listed && !listed_vm(state, region->key.kvm);
}

/* A look after the VM has ended: by now all that it did is shown, and counted. */
static bool note_retired(const struct attachment *at)
{
	const struct dirty_state *state = at->state;
	struct ended_asked asked = {};
	bool any = false;

	for (size_t i = 1; i < state->nr_records; i++) {
		struct dirty_region *region = state->by_record[i];
		bool gone = region && is_gone(at, &asked, region);

		if (!region)
			continue;
		region->retired = gone && region->gone;
		region->gone = gone;
		any |= region->retired;
	}
	return any;
}

/* Of those that have ended the latest are kept: sinks may not have seen them yet. */
static void drop_old(struct dirty_state *state)
{
	size_t nr = 0, nr_dropped = 0;

	if (state->nr_ended < 2UL * MOST_ENDED_REGIONS)
		return;
	for (size_t i = 0; nr_dropped < MOST_ENDED_REGIONS; i++) {
		state->regions[i]->dropped = state->regions[i]->retired;
		nr_dropped += state->regions[i]->dropped;
	}
	dirty_pages__drop(&state->pages);
	for (size_t i = 0; i < state->nr_regions; i++)
		if (state->regions[i]->dropped)
			free(state->regions[i]);
		else
			state->regions[nr++] = state->regions[i];
	state->nr_regions = nr;
	state->nr_ended -= nr_dropped;
}

static void retire(struct attachment *at)
{
	struct dirty_state *state = at->state;

	if (!note_retired(at))
		return;
	/* First: a record that is free may be another slot's at once. */
	dirty_pages__retire(&state->pages, state->by_record);
	for (size_t i = 1; i < state->nr_records; i++) {
		struct dirty_region *region = state->by_record[i];

		if (!region || !region->retired)
			continue;
		records__retire(at, i);
		state->by_record[i] = NULL;
		vcpus__put_vm(region->vm);
		region->vm = NULL;
		state->nr_ended += region->wanted;
		if (!region->wanted)
			free(region);
	}
	drop_old(state);
}

static const struct record_kind records = {
	.records = MAP(dirty_slots),
	.record_size = sizeof(struct dirty_slot),
	.per_slot = 4,
	.least = 4096,
	.index = MAP(dirty_slot_index),
	.key_at = offsetof(struct dirty_slot, key),
	.free_records = MAP(free_dirty_slots),
	.shares = MAP(dirty_shares),
	.of_vm = true,
	.in_use_at = offsetof(struct dirty_slot, in_use),
	.label = label,
	.sample = sample,
	.retire = retire,
};

static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	return view != VIEW_MIGRATION || (scope == SCOPE_INTERVAL && bandwidth_of(at));
}

static double seconds_of(const struct window *window)
{
	return (double)(window->now_ns - window->since_ns) / NSEC_PER_SEC;
}

static int by_number(const void *key, const void *at)
{
	const struct dirty_region *const *region = at;
	uint64_t nr = *(const uint64_t *)key;

	return nr < (*region)->nr ? -1 : nr > (*region)->nr;
}

/* NULL: the row is of several, or of none that is kept. */
static const struct dirty_region *region_in(const struct attachment *at,
					    const struct dirty_row *row)
{
	const struct dirty_state *state = at->state;
	struct dirty_region **found = NULL;

	if (state->nr_regions)
		found = bsearch(&row->region, state->regions, state->nr_regions,
				sizeof(*state->regions), by_number);
	return found ? *found : NULL;
}

static size_t sink_of(const struct attachment *at, const struct window *window)
{
	size_t i = 0;

	while (i + 1 < at->env->nr_sinks && at->env->sinks[i].out != window->out)
		i++;
	return i;
}

/* UINT64_MAX: it is not known. */
static uint64_t unique_in(const struct attachment *at, const struct dirty_row *row,
			  const struct window *window)
{
	const struct dirty_region *region = region_in(at, row);
	const struct dirty_state *state = at->state;

	if (at->replays)
		return row->unique_pages;
	return region ? dirty_pages__unique(&state->pages, region, sink_of(at, window)) :
			UINT64_MAX;
}

/* The same of all slots that a row is of. */
static uint64_t unique_pages(const struct attachment *at, const struct sample *sample,
			     const struct window *window)
{
	const struct sample *parts = sample->parts ? sample->parts : sample;
	size_t nr = sample->parts ? sample->nr_parts : 1;
	uint64_t unique = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t pages = unique_in(at, (const struct dirty_row *)parts[i].row, window);

		if (pages == UINT64_MAX)
			return pages;
		unique += pages;
	}
	return unique;
}

/* What the VM's descriptor tells, or 0. */
static uint64_t pages_of_vm(const struct attachment *at, const struct dirty_row *row)
{
	const struct dirty_region *region = region_in(at, row);
	const struct logging_entry *vm = region ? listed_vm(at->state, region->key.kvm) : NULL;

	if (at->replays)
		return row->vm_pages;
	return vm ? vm->pages : 0;
}

/* Only a look at the pages themselves tells which of them a sink has seen. */
static struct json_object *save(struct attachment *at, const struct sample *sample,
				const struct window *window)
{
	const struct dirty_row *row = (const struct dirty_row *)sample->row;
	struct json_object *array = NULL;
	uint64_t pages;

	if (window->scope == SCOPE_TOTAL)
		return NULL;
	array = json_object_new_array();
	pages = unique_in(at, row, window);
	json_object_array_add(array, pages == UINT64_MAX ? NULL : json_object_new_uint64(pages));
	json_object_array_add(array, json_object_new_uint64(pages_of_vm(at, row)));
	return array;
}

static void load(struct attachment *at, struct row *to, struct json_object *saved)
{
	struct dirty_row *row = (struct dirty_row *)to;
	struct json_object *unique;

	(void)at;
	row->unique_pages = UINT64_MAX;
	if (!json_object_is_type(saved, json_type_array) || json_object_array_length(saved) < 2)
		return;
	unique = json_object_array_get_idx(saved, 0);
	if (unique)
		row->unique_pages = json_object_get_uint64(unique);
	row->vm_pages = json_object_get_uint64(json_object_array_get_idx(saved, 1));
}

static void count_pages(const struct attachment *at, const struct sample *sample,
			const struct window *window)
{
	struct dirty_row *row = (struct dirty_row *)sample->row;

	row->new_pages = row->marked;
	row->repeated_pages = UINT64_MAX;
	if (window->scope == SCOPE_TOTAL) {
		row->unique_pages = row->marked;
		row->new_pages = row->once;
	} else {
		row->unique_pages = unique_pages(at, sample, window);
	}
	if (row->unique_pages != UINT64_MAX)
		row->repeated_pages = row->unique_pages - row->new_pages;
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct dirty_row *row = (struct dirty_row *)sample->row;
	const struct dirty_row *run = (const struct dirty_row *)sample->run;
	double seconds = seconds_of(window);

	row->log = !run->ringed ? "bitmap" : run->ringed >= run->count ? "ring" : "both";
	count_pages(at, sample, window);
	row->pages_per_s = seconds > 0 ? row->dirtied / seconds : NAN;
	row->mib_per_s = row->pages_per_s / PAGES_PER_MIB;
}

/* Pages of all slots of a VM, or of those that were seen dirty. */
static double memory_of(const struct attachment *at, const struct sample *list, size_t nr)
{
	uint64_t pages = pages_of_vm(at, (const struct dirty_row *)list->row);
	double seen = 0;

	if (pages)
		return pages;
	for (size_t i = 0; i < nr; i++) {
		const struct dirty_row *row = (const struct dirty_row *)list[i].row;

		if (!row->as_id)
			seen += row->slot_pages;
	}
	return seen;
}

static void write_migration(const struct attachment *at, const struct sample *list, size_t nr,
			    const struct window *window)
{
	uint64_t region = ((const struct dirty_row *)list->row)->region;
	double seconds = seconds_of(window);
	struct migration_input in = { .bandwidth = bandwidth_of(at) };
	struct migration m;

	/* Those that have ended won't be migrated. */
	if (!region || region == UINT64_MAX)
		return;
	in.memory = memory_of(at, list, nr);
	for (size_t i = 0; i < nr; i++) {
		in.working_set += ((const struct dirty_row *)list[i].run)->marked;
		if (seconds > 0)
			in.rate += ((const struct dirty_row *)list[i].row)->dirtied / seconds;
	}
	m = migration__predict(&in);
	struct dirty_row row = {
		.row = *list->row,
		.converges = m.converges,
		.rounds = m.rounds,
		.memory_pages = migration__whole(in.memory),
		.migration_ns =
			m.converges ? migration__whole(m.seconds * NSEC_PER_SEC) : UINT64_MAX,
		.downtime_ns =
			m.converges ? migration__whole(m.downtime * NSEC_PER_SEC) : UINT64_MAX,
	};
	output__row(window->out, &row.row, 0);
}

static bool same_vm(const struct row *a, const struct row *b)
{
	return a->vm_nr == b->vm_nr && a->pid == b->pid && a->vm == b->vm;
}

/* The rows of the slots, VM by VM, become one of each VM. */
static bool write_view(struct attachment *at, unsigned int view, const struct sample *list,
		       size_t nr, const struct window *window)
{
	if (view != VIEW_MIGRATION)
		return false;
	for (size_t i = 0, group; i < nr; i += group) {
		for (group = 1; i + group < nr && same_vm(list[i].row, list[i + group].row);
		     group++)
			;
		write_migration(at, list + i, group, window);
	}
	return true;
}

/* The file of pages, once for all who are shown the total. */
static void write_pages(struct attachment *at, const struct window *window)
{
	const struct section section = {
		.monitor = at->monitor->name,
		.view = &views[VIEW_PAGE],
		.view_bit = IN(VIEW_PAGE),
		.scope = SCOPE_TOTAL,
		.since_ns = window->since_ns,
		.now_ns = window->now_ns,
	};
	struct dirty_state *state = at->state;

	if (state->written)
		return;
	state->written = true;
	if (!state->pages.lists)
		return;
	dirty_pages__finish(&state->pages, state->by_record);
	if (state->pages.nr_left_out)
		say("mark_page_dirty: the file of pages lacks %" PRIu64
		    " pages of VMs that have ended, the oldest or the least dirtied: -p or --vm "
		    "keeps all pages of fewer VMs",
		    state->pages.nr_left_out);
	if (state->pages.nr)
		dirty_pages__write(&state->pages, at, &section, window->now_ns);
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct dirty_event *e = data;
	struct dirty_region *region = NULL;
	const struct vcpu_ref *ref;
	const struct vm_ref *vm;

	if (size < sizeof(*e))
		return;
	ref = vcpus__get_new(at->env->vcpus, e->head.slot);
	if (e->record && e->record < at->records.nr)
		region = region_of(at, e->record);
	if (region)
		name_region(at, region, e->record);
	vm = region ? region->vm : find_vm(at, e->kvm, 0, e->head.slot);
	if (!is_chosen(at, vm) || (ref && !ref->chosen) || (!ref && at->env->filter->chooses_vcpu))
		return;

	struct dirty_row row = {
		.comm = e->head.comm,
		.gfn = e->gfn,
		.rel_gfn = e->rel_gfn,
		.npages = e->npages ? e->npages : UINT64_MAX,
		.userspace_addr = e->userspace_addr ?: UINT64_MAX,
		.slot = e->slot & 0xffff,
		.as_id = e->slot >> 16,
	};
	vm_ref__row(vm, e->head.ts_ns, &row.row);
	row.row.tid = e->head.tid;
	if (ref)
		row.row.vcpu = ref->info.vcpu_id;
	events__row(at, &row.row);
}

#define MIGRATION(_name, _at, ...)                                               \
	METRIC(struct dirty_row, GAUGE, _name, _at, .views = IN(VIEW_MIGRATION), \
	       .of_window = true, __VA_ARGS__)

static const struct metric metrics[] = {
	METRIC(struct dirty_row, COUNTER, "kvm_dirty_marks", count, .views = IN(VIEW_SLOT),
	       .labels = { LABEL(struct dirty_row, "slot", slot) },
	       .help = "Pages marked dirty, including those already dirty."),
	METRIC(struct dirty_row, COUNTER, "kvm_dirtied_pages", dirtied, .views = IN(VIEW_SLOT),
	       .labels = { LABEL(struct dirty_row, "slot", slot) },
	       .help = "Pages marked dirty that were clean in the log."),
	METRIC(struct dirty_row, GAUGE, "kvm_memslot_bytes", npages, .views = IN(VIEW_SLOT),
	       .labels = { LABEL(struct dirty_row, "slot", slot) }, .scale = SCALE_PAGES,
	       .help = "Memory of slots whose pages were marked dirty."),
	MIGRATION("kvm_migration_converges", converges,
		  .help = "A live migration would converge at --migration-bandwidth."),
	MIGRATION("kvm_migration_estimated_seconds", migration_ns,
		  .help = "How long a live migration would take; absent if it does not converge."),
	MIGRATION("kvm_migration_estimated_downtime_seconds", downtime_ns,
		  .help = "How long a live migration would stop the guest at its end."),
	MIGRATION("kvm_migration_rounds", rounds,
		  .help = "Rounds of a live migration while the guest runs."),
	{},
};

const struct monitor mark_page_dirty_monitor = {
	.name = "mark_page_dirty",
	.key = 'd',
	.help = "dirty pages",
	.options = options,
	.config_size = sizeof(struct dirty_config),
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct dirty_row),
	.state_size = sizeof(struct dirty_state),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.attached = attached,
	.look = look,
	.looked = looked,
	.shows = shows,
	.finish = finish,
	.save = save,
	.load = load,
	.write = write_view,
	.lists = write_pages,
	.event = event,
	.event_view = VIEW_EVENT,
	.events_alone = true,
	.writes_files = true,
};
