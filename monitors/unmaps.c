// SPDX-License-Identifier: GPL-2.0-only
/* --unmaps: who takes a VM's mappings away. The kernel half is unmaps.bpf.c. */
#include "unmaps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "../core/attach.h"
#include "../core/filter.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "unmaps.skel.h"

DEFINE_OPEN_SKELETON(unmaps_bpf)

#define MAP(_name) offsetof(struct unmaps_bpf, maps._name)
#define PROG(_name) offsetof(struct unmaps_bpf, progs._name)

enum { LEAST_RECORDS = 4096, RECORDS_PER_SLOT = 4 };
enum { VIEW_UNMAPS };

struct unmap_row {
	struct row row;
	const char *actor;
	const char *event;
	const char *call;
	const char *comm;
	uint64_t count;
	uint64_t guest_count;
	uint64_t pages;
	struct times time;
	uint64_t time_count;
	uint64_t total_ns;
	uint64_t p50_ns;
	uint64_t p99_ns;
	uint64_t max_ns;
	char call_text[16];
};

static const struct view views[] = {
	[VIEW_UNMAPS] = { .title = "UNMAPS", .name = "UNMAPS", SAMPLES_OF(VIEW_UNMAPS) },
	{},
};

#define COL(...) COLUMN(struct unmap_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct unmap_row, time, what)

static const struct column columns[] = {
	COL(actor, "ACTOR", COL_STRING, ROLE_LABEL, .width = 11,
	    .help = "who unmapped the range: vmm, fault, numa, ksm, khugepaged, compaction, "
		    "reclaim, damon, migration, userfaultfd, kernel or other"),
	COL(event, "EVENT", COL_STRING, ROLE_LABEL, .width = 14,
	    .help = "event of the kernel: UNMAP, CLEAR, PROTECTION_VMA, PROTECTION_PAGE, "
		    "SOFT_DIRTY, RELEASE, MIGRATE or EXCLUSIVE"),
	COL(call, "CALL", COL_STRING, ROLE_LABEL, .width = 10,
	    .help = "system call that unmapped the range"),
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .width = 10, .drop = DROP_SECOND,
	    .help = "name of the thread, for the actors kernel and other"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .help = "unmapped ranges"),
	COL(guest_count, "GUEST", COL_U64, ROLE_COUNTER,
	    .help = "of COUNT, ranges with guest memory"),
	COL(pages, "PAGES", COL_U64, ROLE_COUNTER,
	    .help = "4 KiB pages of guest memory in the ranges, mapped or not"),
	COL(time, "TIMED", COL_TIMES, ROLE_COUNTER, .flags = COL_COST,
	    .help = "time that KVM took to unmap a range"),
	COL(time_count, NULL, COL_U64, ROLE_COUNTER, TIME(COUNT), .flags = COL_DATA_ONLY,
	    .help = "ranges whose time is known"),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, TIME(TOTAL), .flags = COL_USEC,
	    .help = "time that KVM took to unmap the ranges (table: us)"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, TIME(P50), .flags = COL_USEC | COL_WORSE,
	    .drop = DROP_FIRST, .help = "median, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, TIME(P99), .flags = COL_USEC | COL_WORSE,
	    .help = "99th percentile, within 12.5 %"),
	COL(max_ns, "MAX", COL_NSEC, ROLE_GAUGE, TIME(MAX), .flags = COL_USEC | COL_WORSE,
	    .help = "longest"),
	{},
};

/* String literals that stand side by side: parentheses would part them. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define START "kvm_mmu_notifier_invalidate_range_start"
#define TOLD(_event, _prog, _gives)                                             \
	{ _event, HOOK_RAW_TP, _event, PROG(_prog##_raw_tp), .gives = _gives }, \
	{                                                                       \
		_event, HOOK_TP_BTF, _event, PROG(_prog##_tp_btf)               \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

/* KVM may be preempted in the function: kprobes come first, see enum hook_kind. */
static const struct hook hooks[] = {
	TOLD("mm_compaction_begin", compaction,
	     "compaction by tasks that need a large page; it counts as reclaim"),
	TOLD("mm_compaction_end", compacted, "the end of such compaction"),
	TOLD("mm_migrate_pages_start", migration,
	     "pages that move from node to node; they count as a page fault or a call"),
	TOLD("mm_migrate_pages", migrated, "the end of such moves"),
	{ START "_return", HOOK_KPROBE, START, PROG(end_kprobe), .gives = "how long KVM took" },
	{ START "_return", HOOK_FENTRY, START, PROG(end_fexit) },
	{ START, HOOK_KPROBE, START, PROG(begin_kprobe), .gives = "what is unmapped, and by whom",
	  .primary = true },
	{ START, HOOK_FENTRY, START, PROG(begin_fentry) },
	{ START, HOOK_TRACEPOINT, "kvm_unmap_hva_range", PROG(range_tracepoint) },
	{ START, HOOK_RAW_TP, "kvm_unmap_hva_range", PROG(range_raw_tp) },
	{ START, HOOK_TP_BTF, "kvm_unmap_hva_range", PROG(range_tp_btf) },
	{},
};

/* Whose a record is, looked for once. */
struct unmaps_state {
	const struct vm_ref **vms; /* by record */
};

static int prepare(struct attachment *at, void *opened)
{
	struct unmaps_bpf *skel = opened;

	(void)at;
	skel->rodata->sees_return = bpf_program__autoload(skel->progs.end_kprobe) ||
				    bpf_program__autoload(skel->progs.end_fexit);
	return 0;
}

static int start(struct attachment *at)
{
	struct unmaps_state *state = at->state;

	state->vms = calloc(at->records.nr, sizeof(*state->vms));
	return state->vms ? 0 : -ENOMEM;
}

static void stop(struct attachment *at)
{
	struct unmaps_state *state = at->state;

	for (size_t i = 0; state->vms && i < at->records.nr; i++)
		vcpus__put_vm(state->vms[i]);
	free(state->vms);
	state->vms = NULL;
}

static const struct vm_ref *vm_of(const struct attachment *at, const struct unmap_record *record)
{
	struct vcpu_info info = {
		.kvm = record->key.kvm,
		.tgid = record->key.tgid,
		.start_ns = record->start_ns,
	};

	if (!info.kvm)
		return NULL;
	if (!info.tgid)
		return vcpus__find_vm(at->env->vcpus, info.kvm, 0);
	memcpy(info.comm, record->vm_comm, sizeof(info.comm));
	return vcpus__add_vm(at->env->vcpus, &info);
}

static const char *actor_name(uint32_t actor)
{
	static const char *const names[] = {
		[ACTOR_VMM] = "vmm",
		[ACTOR_FAULT] = "fault",
		[ACTOR_NUMA] = "numa",
		[ACTOR_KSM] = "ksm",
		[ACTOR_KHUGEPAGED] = "khugepaged",
		[ACTOR_COMPACTION] = "compaction",
		[ACTOR_RECLAIM] = "reclaim",
		[ACTOR_DAMON] = "damon",
		[ACTOR_MIGRATION] = "migration",
		[ACTOR_USERFAULTFD] = "userfaultfd",
		[ACTOR_KERNEL] = "kernel",
		[ACTOR_OTHER] = "other",
	};

	return actor < NR_ACTORS ? names[actor] : NULL;
}

#define NAME(_name) #_name,

static const char *event_name(uint32_t event)
{
	static const char *const names[] = { NULL, UNMAP_EVENTS(NAME) };

	return event < NR_UNMAP_EVENTS ? names[event] : NULL;
}

/* Calls that change memory, their own or another process's; others have their number. */
static const char *call_name(int32_t call, char text[16])
{
	static const struct {
		int32_t nr;
		const char *name;
	} names[] = {
		{ CALL_RUN, "KVM_RUN" },
		{ CALL_OTHERS, OTHERS },
		{ SYS_read, "read" },
		{ SYS_write, "write" },
		{ SYS_mmap, "mmap" },
		{ SYS_mprotect, "mprotect" },
		{ SYS_munmap, "munmap" },
		{ SYS_brk, "brk" },
		{ SYS_ioctl, "ioctl" },
		{ SYS_mremap, "mremap" },
		{ SYS_madvise, "madvise" },
		{ SYS_clone, "clone" },
		{ SYS_fork, "fork" },
		{ SYS_vfork, "vfork" },
		{ SYS_ftruncate, "ftruncate" },
		{ SYS_mbind, "mbind" },
		{ SYS_migrate_pages, "migrate_pages" },
		{ SYS_move_pages, "move_pages" },
		{ SYS_fallocate, "fallocate" },
		{ SYS_process_vm_writev, "process_vm_writev" },
		{ SYS_pkey_mprotect, "pkey_mprotect" },
		{ SYS_clone3, "clone3" },
		{ SYS_process_madvise, "process_madvise" },
	};

	if (call == NO_CALL)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].nr == call)
			return names[i].name;
	snprintf(text, 16, "%d", call);
	return text;
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct unmap_record *record = records__get(&at->records, index);
	struct unmaps_state *state = at->state;
	struct unmap_row *row = (struct unmap_row *)to;
	const struct vm_ref *vm;

	if (!state->vms[index])
		state->vms[index] = vcpus__get_vm(vm_of(at, record));
	vm = state->vms[index];
	vm_ref__row(vm, 0, to);
	row->actor = actor_name(record->key.actor);
	row->event = event_name(record->key.event);
	row->call = call_name(record->key.call, row->call_text);
	row->comm = record->key.comm[0] ? record->key.comm : NULL;
	if (vm ? !vm->chosen : !filter__has_every_vm(at->env->filter))
		return -ENOENT;
	return VIEW_UNMAPS;
}

static uint64_t read_count(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

/* In this order, which is not the program's: what is a part of the count is counted. */
static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct unmap_record *record = records__get(&at->records, index);
	struct unmap_row *row = (struct unmap_row *)to;
	bool known = record->key.kvm;

	records__times(at, index, &row->time, &record->time);
	row->pages = known ? read_count(&record->pages) : UINT64_MAX;
	row->guest_count = known ? read_count(&record->guest) : UINT64_MAX;
	row->count = read_count(&record->count);
}

/* Without a time there is no sum of times. */
static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct unmap_row *row = (struct unmap_row *)sample->row;

	(void)at, (void)window;
	if (!row->time_count)
		row->total_ns = UINT64_MAX;
}

/* The record is free again. */
static void forget(struct attachment *at, uint32_t index)
{
	struct unmaps_state *state = at->state;

	vcpus__put_vm(state->vms[index]);
	state->vms[index] = NULL;
}

static const struct record_kind records = {
	.records = MAP(unmap_records),
	.record_size = sizeof(struct unmap_record),
	.per_slot = RECORDS_PER_SLOT,
	.least = LEAST_RECORDS,
	.index = MAP(unmap_index),
	.free_records = MAP(free_records),
	.shares = MAP(unmap_shares),
	.key_at = offsetof(struct unmap_record, key),
	.of_vm = true,
	.in_use_at = offsetof(struct unmap_record, in_use),
	.label = label,
	.sample = sample,
	.forget = forget,
};

#define WHO .labels = { LABEL(struct unmap_row, "actor", actor) }
#define OF_UNMAPS .views = 1 << VIEW_UNMAPS

static const struct metric metrics[] = {
	METRIC(struct unmap_row, COUNTER, "kvm_unmaps", count, OF_UNMAPS, WHO,
	       .help = "Memory ranges that the host unmapped from a VM, by actor."),
	METRIC(struct unmap_row, COUNTER, "kvm_unmapped_guest_bytes", pages, OF_UNMAPS, WHO,
	       .scale = SCALE_PAGES, .help = "Guest memory in unmapped ranges, mapped or not."),
	METRIC(struct unmap_row, HISTOGRAM, "kvm_unmap_duration_seconds", time, OF_UNMAPS, WHO,
	       .help = "Time that KVM took to unmap a range."),
	{},
};

const struct monitor unmaps_monitor = {
	.name = "unmaps",
	.help = "who removes mappings of guest memory",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct unmap_row),
	.state_size = sizeof(struct unmaps_state),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.finish = finish,
};
