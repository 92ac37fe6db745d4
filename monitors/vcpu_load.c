// SPDX-License-Identifier: GPL-2.0-only
/* -o: load of the vCPUs and where their time goes. The kernel half is vcpu_load.bpf.c. */
#include "vcpu_load.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/sink.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "vcpu_budget.h"
#include "vcpu_load.skel.h"
#include "vcpu_thieves.h"

DEFINE_OPEN_SKELETON(vcpu_load_bpf)

#define MAP(_name) offsetof(struct vcpu_load_bpf, maps._name)
#define PROG(_name) offsetof(struct vcpu_load_bpf, progs._name)

enum { VIEW_LOAD, VIEW_BUDGET, VIEW_THIEVES };

struct load_row {
	struct row row;
	struct times load; /* periods that ended */
	uint64_t open_ns;  /* of the one that has not */
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t min_ns;
	uint64_t count;
	uint32_t pcpu;
	uint64_t cpus[CPU_WORDS];
	const char *pcpus;
	char pcpus_text[CPU_LIST_LEN];
	uint64_t migrations;
	uint64_t node_migrations;
	uint64_t guest_ns;
	uint64_t kvm_ns; /* polling included, until finish(): what is known of it comes late */
	uint64_t vmm_ns;
	uint64_t poll_ns;
	uint64_t halted_ns;
	uint64_t steal_ns;
	uint64_t blocked_ns;
	uint64_t unaccounted_ns;
	uint64_t wall_ns;
	struct loot worst[TOP_THIEVES + 1]; /* by VM or name */
	struct json_object *thieves;
	uint64_t thieves_ns;

	double guest, kvm, vmm, poll, halted, steal, blocked, unaccounted;

	const char *thief;
	char thief_name[THIEF_NAME_LEN];
	uint32_t task;
	uint64_t stolen_ns;
	double share;
};

static const struct view views[] = {
	[VIEW_LOAD] = { .title = "VCPU_LOAD",
			.name = "VCPU_LOAD",
			.per_vcpu = true,
			SAMPLES_OF(VIEW_LOAD) },
	[VIEW_BUDGET] = { .title = "WHERE THE TIME WENT",
			  .name = "VCPU_BUDGET",
			  .per_vcpu = true,
			  .again = true,
			  SAMPLES_OF(VIEW_LOAD) },
	[VIEW_THIEVES] = { .title = "WHO TOOK THE CPU",
			   .name = "VCPU_THIEVES",
			   .per_vcpu = true,
			   .again = true,
			   SAMPLES_OF(VIEW_LOAD) },
	{},
};

#define COL(...) COLUMN(struct load_row, __VA_ARGS__)
#define LOAD .views = 1 << VIEW_LOAD
#define BUDGET .views = 1 << VIEW_BUDGET, .flags = COL_TABLE_ONLY | COL_COMPUTED
#define THIEVES .views = 1 << VIEW_THIEVES, .flags = COL_TABLE_ONLY | COL_COMPUTED
#define DATA LOAD, .flags = COL_DATA_ONLY

static const struct column columns[] = {
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, LOAD,
	    .help = "time on a physical CPU in KVM_RUN"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD, LOAD,
	    .flags = COL_COMPUTED, .help = "longest period"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_FIRST, LOAD,
	    OF_TIMES(struct load_row, load, MIN), .help = "shortest period"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, LOAD, .help = "periods that began"),
	COL(pcpu, "PCPU", COL_U32, ROLE_GAUGE, LOAD,
	    .help = "physical CPU that it runs on, or ran on last"),
	COL(pcpus, "PCPUS", COL_STRING, ROLE_GAUGE, LOAD, .flags = COL_COMPUTED,
	    .help = "physical CPUs that it has used"),
	COL(migrations, "MIGR", COL_U64, ROLE_COUNTER, LOAD,
	    .help = "moves to another physical CPU"),
	COL(node_migrations, "NODE_MIGR", COL_U64, ROLE_COUNTER, LOAD,
	    .help = "of MIGR, moves to another NUMA node"),
	COL(guest_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_STACK,
	    .help = "time from kvm_entry to kvm_exit"),
	COL(kvm_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_COST | COL_WORSE | COL_STACK,
	    .help = "time running in KVM_RUN, neither in the guest nor polling"),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_WORSE | COL_STACK,
	    .help = "time outside of KVM_RUN, running or asleep"),
	COL(poll_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_STACK, .help = "halt-polling"),
	COL(halted_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_STACK,
	    .help = "time halted and asleep"),
	COL(steal_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_WORSE | COL_COST | COL_STACK,
	    .help = "time ready to run but not running: run-queue delay"),
	COL(blocked_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_STACK,
	    .help = "time asleep in KVM_RUN without a halt"),
	COL(unaccounted_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_COMPUTED | COL_STACK,
	    .help = "time in none of these states"),
	COL(thieves, NULL, COL_OBJECT, ROLE_GAUGE, DATA | COL_COMPUTED,
	    .help = "top three of those that ran while the vCPU waited"),
	COL(thieves_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA | COL_COMPUTED,
	    .help = "time that others ran while the vCPU waited"),

	COL(guest, "GUEST%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "guest_ns"),
	COL(kvm, "KVM%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "kvm_ns"),
	COL(vmm, "VMM%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "vmm_ns"),
	COL(poll, "POLL%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "poll_ns"),
	COL(halted, "HALT%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "halted_ns"),
	COL(steal, "STEAL%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "steal_ns"),
	COL(blocked, "BLOCK%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6, .help = "blocked_ns"),
	COL(unaccounted, "UNACC%", COL_PERCENT, ROLE_GAUGE, BUDGET, .width = 6,
	    .help = "unaccounted_ns"),
	COL(wall_ns, "WALL", COL_NSEC, ROLE_COUNTER, .views = 1 << VIEW_LOAD | 1 << VIEW_BUDGET,
	    .help = "sum of all states: time of the interval in which the thread was watched"),

	COL(thief, "THIEF", COL_STRING, ROLE_LABEL, THIEVES, .width = 24,
	    .help = "vCPU or tasks that ran; +N: and N more of that VM"),
	COL(task, "TASK", COL_U32, ROLE_LABEL, THIEVES, .width = 7, .drop = DROP_THIRD,
	    .help = "thread id; absent: several threads of one name"),
	COL(stolen_ns, "TIME", COL_NSEC, ROLE_COUNTER, THIEVES,
	    .help = "time it ran while the vCPU waited for that CPU"),
	COL(share, "OF_STEAL%", COL_PERCENT, ROLE_GAUGE, THIEVES, .help = "of steal_ns"),

	COL(load, "PERIODS", COL_TIMES, ROLE_COUNTER, LOAD, .help = "periods that ended"),
	COL(open_ns, NULL, COL_NSEC, ROLE_GAUGE, LOAD, .flags = COL_HIDDEN, .merge = MERGE_MAX,
	    .help = "length of the current period; 0: none"),
	COL(cpus, NULL, COL_BITS, ROLE_GAUGE, LOAD, .size = sizeof(((struct load_row *)0)->cpus),
	    .help = "bits of PCPUS"),
	{},
};

static const struct hook hooks[] = {
	/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
	{ "kvm_fpu", HOOK_TRACEPOINT, "kvm_fpu", PROG(fpu_tracepoint),
	  .gives = "the load: KVM_RUN apart from the VMM", .primary = true },
	{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", PROG(fpu_raw_tp) },
	{ "kvm_fpu", HOOK_TP_BTF, "kvm_fpu", PROG(fpu_tp_btf) },

	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_each), VENDOR_VMX | VENDOR_SVM,
	  .gives = "guest time apart from KVM time", .called_at = AT_EACH_ENTRY },
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp), VENDOR_VMX | VENDOR_SVM,
	  .gives = "guest time apart from KVM time" },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", PROG(entry_tp_btf), VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", PROG(entry_tracepoint),
	  VENDOR_VMX | VENDOR_SVM },

	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_each), VENDOR_VMX | VENDOR_SVM,
	  .gives = "KVM time apart from guest time", .called_at = AT_EACH_EXIT },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp), VENDOR_VMX | VENDOR_SVM,
	  .gives = "KVM time apart from guest time" },
	{ "kvm_exit", HOOK_TP_BTF, "kvm_exit", PROG(exit_tp_btf), VENDOR_VMX | VENDOR_SVM },
	{ "kvm_exit", HOOK_TRACEPOINT, "kvm_exit", PROG(exit_tracepoint), VENDOR_VMX | VENDOR_SVM },

	{ "kvm_vcpu_wakeup", HOOK_TRACEPOINT, "kvm_vcpu_wakeup", PROG(wakeup_tracepoint),
	  .gives = "halt-polling apart from other time in KVM" },
	{ "kvm_vcpu_wakeup", HOOK_RAW_TP, "kvm_vcpu_wakeup", PROG(wakeup_raw_tp) },
	{ "kvm_vcpu_wakeup", HOOK_TP_BTF, "kvm_vcpu_wakeup", PROG(wakeup_tp_btf) },

	/* Most tasks are no VM's: with their types these look at one without a helper. */
	{ "sched_wakeup", HOOK_TP_BTF, "sched_wakeup", PROG(woken_tp_btf),
	  .gives = "run-queue delay after a sleep (it counts as sleep)" },
	{ "sched_wakeup", HOOK_RAW_TP, "sched_wakeup", PROG(woken_raw_tp) },

	{ "sched_switch", HOOK_TP_BTF, "sched_switch", PROG(switch_tp_btf),
	  .gives = "sleep, steal and migrations: most of the budget" },
	{ "sched_switch", HOOK_RAW_TP, "sched_switch", PROG(switch_raw_tp) },

	{ "task_file", HOOK_ITER, "task_file", PROG(existing),
	  .gives = "vCPUs that do nothing at all, before their first event" },
	{},
};

/* What a vCPU was said to have, at the last look. */
struct told {
	uint64_t ns[NR_BUDGET];
	uint64_t unnamed_ns;
	struct kvm_split split;
	uint32_t cpu;
	bool on_cpu;
};

struct load_state {
	struct run_queue *queues;
	size_t queues_size;
	struct told *told; /* by slot */
	struct thieves *thieves;
	struct json_object *no_thieves; /* an empty array; NULL: not needed yet */
	void *past_vms;	    /* struct vm_ref, by tsearch(): who they are, of a recording */
	struct thief *logs; /* the kernel's, mapped: one CPU's after the other */
	size_t logs_size, nr_cpus;
	unsigned int log_bits;
	size_t read[MAX_CPUS]; /* places that were looked at the last time */
	uint64_t *taken_ns;    /* by slot, at this look */
	struct vmm {
		uint32_t tgid;
		const struct vm_ref *vm; /* the first of its process */
	} * vmms;			 /* at this look */
};

static int prepare(struct attachment *at, void *opened)
{
	const struct vcpu_load_bpf *skel = opened;
	struct load_state *state = at->state;
	size_t nr = (vcpus__max(at->env->vcpus) + 1) * THIEVES_PER_SLOT;
	int nr_cpus = libbpf_num_possible_cpus();

	if (nr_cpus < 0)
		return nr_cpus;
	state->nr_cpus = nr_cpus < MAX_CPUS ? nr_cpus : MAX_CPUS;
	state->log_bits = LEAST_LOG_BITS;
	while (state->log_bits < MOST_LOG_BITS && state->nr_cpus << state->log_bits < nr)
		state->log_bits++;
	skel->rodata->log_bits = state->log_bits;
	return bpf_map__set_max_entries(skel->maps.thieves, state->nr_cpus << state->log_bits);
}

/* /sys/devices/system/cpu/cpuN/nodeM */
static void read_nodes(struct run_queue *queues)
{
	for (unsigned int cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct dirent *entry;
		char path[64];
		DIR *dir;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u", cpu);
		dir = opendir(path);
		while (dir && (entry = readdir(dir)))
			sscanf(entry->d_name, "node%u", &queues[cpu].node);
		if (dir)
			closedir(dir);
	}
}

static int start(struct attachment *at)
{
	const struct vcpu_load_bpf *skel = at->skel;
	struct load_state *state = at->state;

	state->thieves = thieves__new(at->records.nr, at->env->nr_sinks, 2UL * KEEP_VMS_OF_RUN);
	state->told = calloc(at->records.nr, sizeof(*state->told));
	state->taken_ns = calloc(at->records.nr, sizeof(*state->taken_ns));
	state->vmms = calloc(at->records.nr, sizeof(*state->vmms));
	if (!state->thieves || !state->told || !state->taken_ns || !state->vmms)
		return -ENOMEM;
	state->logs = map__mmap(skel->maps.thieves, &state->logs_size);
	if (!state->logs)
		return -errno;
	state->queues = map__mmap(skel->maps.run_queues, &state->queues_size);
	if (!state->queues)
		return -errno;
	read_nodes(state->queues);
	return 0;
}

/* Where no iterator could do it. */
static void attached(struct attachment *at)
{
	const struct vcpu_load_bpf *skel = at->skel;

	*(volatile __u64 *)&skel->data->closed = 0;
}

static void stop(struct attachment *at)
{
	struct load_state *state = at->state;

	if (state->queues)
		munmap(state->queues, state->queues_size);
	if (state->logs)
		munmap(state->logs, state->logs_size);
	thieves__free(state->thieves);
	json_object_put(state->no_thieves);
	tdestroy(state->past_vms, free);
	free(state->taken_ns);
	free(state->vmms);
	free(state->told);
	memset(state, 0, sizeof(*state));
}

/* A copy that no writer has changed meanwhile, and the time up to which it is. */
static uint64_t copy_record(const struct attachment *at, struct load_record *copy,
			    const struct load_record *record)
{
	uint64_t seq;

	for (int tries = 0; tries < 1000; tries++) {
		seq = __atomic_load_n(&record->seq, __ATOMIC_ACQUIRE);
		memcpy(copy, record, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(seq & 1) && seq == __atomic_load_n(&record->seq, __ATOMIC_RELAXED))
			break;
	}
	return at->now_ns > copy->since_ns ? at->now_ns : copy->since_ns;
}

static bool in_use(const void *record)
{
	return __atomic_load_n(&((const struct load_record *)record)->first_ns, __ATOMIC_ACQUIRE);
}

static int label(struct attachment *at, uint32_t slot, struct row *row)
{
	struct load_state *state = at->state;

	thieves__begin(state->thieves, slot, row);
	return VIEW_LOAD;
}

/* Up to now, with the state that is open: counters, but for finish(). */
static void read_budget(struct load_row *row, const struct load_record *r, uint64_t now,
			struct told *told)
{
	uint64_t ns[NR_BUDGET], polled;

	memcpy(ns, r->ns, sizeof(ns));
	if (!r->ended_ns)
		budget__close(ns, r, now);
	polled = ns[IN_POLL];
	/* Polling is taken from it when the halt ends: only both together never shrink. */
	ns[IN_KVM] += ns[IN_POLL];
	ns[IN_POLL] = 0;
	budget__only_grow(ns, told->ns);
	memcpy(told->ns, ns, sizeof(told->ns));
	budget__split(&told->split, ns[IN_KVM], polled);
	row->guest_ns = ns[IN_GUEST];
	row->kvm_ns = told->split.kvm;
	row->poll_ns = told->split.poll;
	row->vmm_ns = ns[IN_VMM];
	row->halted_ns = ns[IN_HALT];
	row->steal_ns = ns[IN_STEAL];
	row->blocked_ns = ns[IN_BLOCKED];
	row->wall_ns = (r->ended_ns ? r->ended_ns : now) - r->first_ns;
}

static void set_cpu(uint64_t bits[CPU_WORDS], uint32_t cpu)
{
	bits[cpu / 64 % CPU_WORDS] |= 1ULL << cpu % 64;
}

static void read_cpus(struct load_row *row, const struct load_record *r, uint64_t ended_epoch,
		      struct told *told)
{
	bool on_cpu = !r->off && !r->ended_ns;

	memset(row->cpus, 0, sizeof(row->cpus));
	/* Where it has been all the time no event tells. */
	if (told->on_cpu)
		set_cpu(row->cpus, told->cpu);
	if (on_cpu)
		set_cpu(row->cpus, r->cpu);
	for (int half = 0; half < 2; half++)
		if (r->cpus[half].epoch == ended_epoch)
			for (int i = 0; i < CPU_WORDS; i++)
				row->cpus[i] |= r->cpus[half].bits[i];
	row->pcpu = r->cpu;
	told->cpu = r->cpu;
	told->on_cpu = on_cpu;
}

static void sample(struct attachment *at, uint32_t slot, struct row *to)
{
	struct load_record *record = records__get(&at->records, slot), r;
	struct told *told = &((struct load_state *)at->state)->told[slot];
	struct load_row *row = (struct load_row *)to;
	uint64_t now;

	/* The times first: a period that is timed has begun. */
	records__times(at, slot, &row->load, &record->load);
	now = copy_record(at, &r, record);
	row->open_ns = r.load_ns && now > r.load_ns ? now - r.load_ns : 0;
	row->total_ns = records__passed(at, slot, r.load.total_ns + row->open_ns);
	row->count = r.loads;
	row->migrations = r.migrations;
	row->node_migrations = r.node_migrations;
	read_budget(row, &r, now, told);
	read_cpus(row, &r, at->ended_epoch, told);
}

static void forget(struct attachment *at, uint32_t slot)
{
	struct load_state *state = at->state;

	thieves__end(state->thieves, slot);
	memset(&state->told[slot], 0, sizeof(state->told[slot]));
}

static bool has_ended(const struct attachment *at, uint32_t slot)
{
	const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, slot);

	return ref && ref->ended;
}

static int by_tgid(const void *a, const void *b)
{
	const struct vmm *x = a, *y = b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return x->vm->nth < y->vm->nth ? -1 : x->vm->nth > y->vm->nth;
}

/* The processes that have a vCPU at this look, each once. */
static size_t find_vmms(const struct attachment *at, struct vmm *vmms)
{
	size_t nr = 0, left = 0;

	for (size_t slot = 1; slot < at->records.nr; slot++) {
		const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, slot);

		if (ref)
			vmms[nr++] = (struct vmm){ ref->info.tgid, ref->vm };
	}
	qsort(vmms, nr, sizeof(*vmms), by_tgid);
	for (size_t i = 0; i < nr; i++)
		if (!left || vmms[left - 1].tgid != vmms[i].tgid)
			vmms[left++] = vmms[i];
	return left;
}

static const struct vm_ref *vm_of(const struct vmm *vmms, size_t nr, uint32_t tgid)
{
	size_t low = 0, high = nr;

	while (low < high) {
		size_t at = (low + high) / 2;

		if (vmms[at].tgid < tgid)
			low = at + 1;
		else
			high = at;
	}
	return low < nr && vmms[low].tgid == tgid ? vmms[low].vm : NULL;
}

static void note_thief(struct attachment *at, const struct thief *thief, size_t *nr_vmms)
{
	const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, thief->vcpu);
	struct load_state *state = at->state;

	if (ref && ref->info.tid == thief->key.tid) {
		thieves__note(state->thieves, thief, ref->vm, ref->info.vcpu_id);
		return;
	}
	if (*nr_vmms == SIZE_MAX)
		*nr_vmms = find_vmms(at, state->vmms);
	thieves__note(state->thieves, thief, vm_of(state->vmms, *nr_vmms, thief->tgid), UINT32_MAX);
}

static struct thief_log log_of(struct load_state *state, size_t cpu)
{
	return (struct thief_log){
		.thieves = state->logs + (cpu << state->log_bits),
		.room = 1UL << state->log_bits,
		.nr = &state->queues[cpu].nr_thieves,
		.read = &state->read[cpu],
	};
}

/* What a vCPU has to lose of its time, before anybody wants to know to whom. */
static double least_share(const struct attachment *at)
{
	double least = 1;

	for (size_t i = 0; i < at->env->nr_sinks; i++)
		if (at->env->sinks[i].out && at->env->sinks[i].least_share < least)
			least = at->env->sinks[i].least_share;
	return least;
}

/* A look at what thieves have taken. */
struct taking {
	struct attachment *at;
	uint64_t least_ns; /* of vCPUs that lost less nobody is named */
	size_t nr_vmms;	   /* SIZE_MAX: not looked for yet */
};

static void take_thief(void *ctx, const struct thief *thief)
{
	struct taking *taking = ctx;
	struct attachment *at = taking->at;
	const struct load_state *state = at->state;
	uint32_t slot = thief->key.slot;
	struct load_record *record;

	if (slot >= at->records.nr || at->begins)
		return;
	if (state->taken_ns[slot] >= taking->least_ns) {
		note_thief(at, thief, &taking->nr_vmms);
		return;
	}
	record = records__get(&at->records, slot);
	__atomic_fetch_add(&record->unnamed_ns, thief->ns, __ATOMIC_RELAXED);
}

/* After that: what nobody is named for. */
static void take_unnamed(const struct attachment *at, uint32_t slot)
{
	const struct load_record *record = records__get(&at->records, slot);
	struct load_state *state = at->state;
	uint64_t now = __atomic_load_n(&record->unnamed_ns, __ATOMIC_RELAXED);
	const struct thief nobody = { .ns = now - state->told[slot].unnamed_ns, .key.slot = slot };

	state->told[slot].unnamed_ns = now;
	if (nobody.ns && !at->begins)
		thieves__note(state->thieves, &nobody, NULL, UINT32_MAX);
}

/* Takes what tasks have taken since the last look. What was before the window began is nobody's. */
static void look_at_thieves(struct attachment *at)
{
	struct load_state *state = at->state;
	struct taking taking = { .at = at, .nr_vmms = SIZE_MAX };

	taking.least_ns = (uint64_t)(least_share(at) * (double)(at->now_ns - at->before_ns));
	memset(state->taken_ns, 0, at->records.nr * sizeof(*state->taken_ns));
	for (size_t cpu = 0; taking.least_ns && cpu < state->nr_cpus; cpu++) {
		const struct thief_log log = log_of(state, cpu);

		thief_log__sum(&log, state->taken_ns, at->records.nr);
	}
	for (size_t cpu = 0; cpu < state->nr_cpus; cpu++) {
		const struct thief_log log = log_of(state, cpu);

		thief_log__take(&log, take_thief, &taking);
	}
	for (size_t slot = 1; slot < at->records.nr;
	     slot = vcpus__next(at->env->vcpus, slot + 1, at->records.nr))
		take_unnamed(at, slot);
}

static void look(struct attachment *at)
{
	if (at->begins)
		look_at_thieves(at);
}

static void retire(struct attachment *at)
{
	look_at_thieves(at);
	for (size_t slot = 1; vcpus__any_ended(at->env->vcpus) && slot < at->records.nr; slot++)
		if (has_ended(at, slot))
			records__retire(at, slot);
}

static const struct record_kind records = {
	.records = MAP(load_records),
	.record_size = sizeof(struct load_record),
	.per_slot = 1,
	.in_use = in_use,
	.begins_in_record = offsetof(struct load_record, load_ns),
	.label = label,
	.sample = sample,
	.forget = forget,
	.retire = retire,
};

static void settle_budget(struct load_row *row, bool knows_guest)
{
	uint64_t sum;

	if (!knows_guest) {
		row->kvm_ns += row->guest_ns;
		row->guest_ns = 0;
	}
	sum = row->guest_ns + row->kvm_ns + row->poll_ns + row->vmm_ns + row->halted_ns +
	      row->steal_ns + row->blocked_ns;
	row->unaccounted_ns = row->wall_ns > sum ? row->wall_ns - sum : 0;
	if (!knows_guest)
		row->guest_ns = UINT64_MAX;
}

static double percent(uint64_t ns, uint64_t wall)
{
	return wall && ns != UINT64_MAX ? 100.0 * ns / wall : NAN;
}

static void fill_percents(struct load_row *row)
{
	row->guest = percent(row->guest_ns, row->wall_ns);
	row->kvm = percent(row->kvm_ns, row->wall_ns);
	row->vmm = percent(row->vmm_ns, row->wall_ns);
	row->poll = percent(row->poll_ns, row->wall_ns);
	row->halted = percent(row->halted_ns, row->wall_ns);
	row->steal = percent(row->steal_ns, row->wall_ns);
	row->blocked = percent(row->blocked_ns, row->wall_ns);
	row->unaccounted = percent(row->unaccounted_ns, row->wall_ns);
}

static size_t sink_of(const struct attachment *at, const struct window *window)
{
	size_t sink = 0;

	while (sink + 1 < at->env->nr_sinks && at->env->sinks[sink].out != window->out)
		sink++;
	return sink;
}

static struct json_object *string_or_null(const char *string)
{
	return string ? json_object_new_string(string) : NULL;
}

static struct json_object *number_or_null(uint32_t number)
{
	return number == UINT32_MAX ? NULL : json_object_new_uint64(number);
}

/* Of most vCPUs there is none: they have one array together. */
static struct json_object *thieves_array(struct load_state *state, const struct loot *tasks)
{
	struct json_object *array;
	char name[THIEF_NAME_LEN];

	if (!tasks->comm && !state->no_thieves)
		state->no_thieves = json_object_new_array();
	if (!tasks->comm)
		return json_object_get(state->no_thieves);
	array = json_object_new_array();

	for (; array && tasks->comm; tasks++) {
		struct json_object *task = json_object_new_object();
		const struct vm_ref *vm = tasks->vm;

		json_object_object_add(task, "name", string_or_null(loot__name(tasks, name)));
		json_object_object_add(task, "comm", string_or_null(tasks->comm));
		json_object_object_add(task, "pid", number_or_null(tasks->pid));
		json_object_object_add(task, "ns", json_object_new_uint64(tasks->ns));
		json_object_object_add(task, "vm", string_or_null(vm ? vm->label : NULL));
		json_object_object_add(task, "vm_id", string_or_null(vm ? vm->id : NULL));
		json_object_object_add(task, "vcpu", number_or_null(tasks->vcpu));
		json_object_array_add(array, task);
	}
	return array;
}

static bool same_thief(const struct loot *a, const struct loot *b, bool of_vm)
{
	if (of_vm && a->vm)
		return a->vm == b->vm;
	return a->vm == b->vm && a->vcpu == b->vcpu && a->pid == b->pid &&
	       !strcmp(a->comm, b->comm);
}

static void add_loot(struct loot *top, const struct loot *loot, bool of_vm)
{
	size_t at = 0;

	while (at < TOP_THIEVES && top[at].comm && !same_thief(&top[at], loot, of_vm))
		at++;
	if (at < TOP_THIEVES && top[at].comm)
		top[at].ns += loot->ns;
	else if (at < TOP_THIEVES || top[--at].ns < loot->ns)
		top[at] = *loot;
	for (; at && top[at - 1].ns < top[at].ns; at--) {
		struct loot swap = top[at];

		top[at] = top[at - 1];
		top[at - 1] = swap;
	}
}

/* Of several vCPUs: the worst among those of each. */
static void find_worst(struct thieves *thieves, const struct sample *sample, size_t sink,
		       enum scope scope, struct loot *tasks)
{
	struct load_row *row = (struct load_row *)sample->row;
	struct loot of_tasks[TOP_THIEVES + 1], sums[TOP_THIEVES + 1];

	memset(tasks, 0, (TOP_THIEVES + 1) * sizeof(*tasks));
	memset(row->worst, 0, sizeof(row->worst));
	row->thieves_ns = 0;
	if (!thieves)
		return;
	if (!sample->parts) {
		row->thieves_ns = thieves__top(thieves, &row->row, sink, scope, tasks, row->worst);
		return;
	}
	for (size_t i = 0; i < sample->nr_parts; i++) {
		row->thieves_ns +=
			thieves__top(thieves, sample->parts[i].row, sink, scope, of_tasks, sums);
		for (const struct loot *t = of_tasks; t->comm; t++)
			add_loot(tasks, t, false);
		for (const struct loot *t = sums; t->comm; t++)
			add_loot(row->worst, t, true);
	}
}

static int by_id_and_label(const void *a, const void *b)
{
	const struct vm_ref *x = a, *y = b;

	return strcmp(x->id, y->id) ?: strcmp(x->label, y->label);
}

/* A thief of a recording, who may be a VM that only that names. */
static const struct vm_ref *past_vm(struct load_state *state, const char *label, const char *id)
{
	struct vm_ref *vm = calloc(1, sizeof(*vm)), **found;

	if (!vm)
		return NULL;
	vm->users = 1;
	snprintf(vm->label, sizeof(vm->label), "%s", label);
	snprintf(vm->id, sizeof(vm->id), "%s", id);
	found = tsearch(vm, &state->past_vms, by_id_and_label);
	if (!found || *found != vm)
		free(vm);
	return found ? *found : NULL;
}

/* Of a recording they are made when they are needed. */
static struct thieves *thieves_of(struct attachment *at)
{
	struct load_state *state = at->state;

	if (!state->thieves && at->replays)
		state->thieves = thieves__new(1, at->env->nr_sinks, 0);
	return state->thieves;
}

static void save_thief(void *array, const struct loot *loot)
{
	struct json_object *thief = json_object_new_object();

	json_object_object_add(thief, "ns", json_object_new_uint64(loot->ns));
	if (loot->comm)
		json_object_object_add(thief, "comm", json_object_new_string(loot->comm));
	if (loot->pid != UINT32_MAX)
		json_object_object_add(thief, "pid", json_object_new_uint64(loot->pid));
	if (loot->vcpu != UINT32_MAX)
		json_object_object_add(thief, "vcpu", json_object_new_uint64(loot->vcpu));
	if (loot->vm) {
		json_object_object_add(thief, "vm", json_object_new_string(loot->vm->label));
		json_object_object_add(thief, "vm_id", json_object_new_string(loot->vm->id));
	}
	json_object_array_add(array, thief);
}

static struct json_object *save(struct attachment *at, const struct sample *sample,
				const struct window *window)
{
	struct json_object *array = json_object_new_array();

	thieves__each(thieves_of(at), sample->row, sink_of(at, window), window->scope, save_thief,
		      array);
	if (json_object_array_length(array))
		return array;
	json_object_put(array);
	return NULL;
}

static uint32_t u32_of(struct json_object *obj, const char *key)
{
	struct json_object *value = json_object_object_get(obj, key);

	return value ? json_object_get_uint64(value) : UINT32_MAX;
}

static void load_thief(struct attachment *at, const struct row *row, struct json_object *obj)
{
	const char *comm = json_object_get_string(json_object_object_get(obj, "comm")),
		   *vm = json_object_get_string(json_object_object_get(obj, "vm")),
		   *id = json_object_get_string(json_object_object_get(obj, "vm_id"));
	const struct loot loot = {
		.vm = vm ? past_vm(at->state, vm, id ?: "") : NULL,
		.vcpu = u32_of(obj, "vcpu"),
		.comm = comm,
		.pid = u32_of(obj, "pid"),
		.ns = json_object_get_uint64(json_object_object_get(obj, "ns")),
	};

	thieves__add(thieves_of(at), row, &loot);
}

static void load(struct attachment *at, struct row *row, struct json_object *saved)
{
	if (!json_object_is_type(saved, json_type_array) || !thieves_of(at))
		return;
	for (size_t i = 0; i < json_object_array_length(saved); i++) {
		struct json_object *thief = json_object_array_get_idx(saved, i);

		if (json_object_is_type(thief, json_type_object))
			load_thief(at, row, thief);
	}
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct load_row *row = (struct load_row *)sample->row;
	struct loot tasks[TOP_THIEVES + 1];

	row->max_ns = row->load.max_ns;
	/* A period that is not over is at least as long as it is now. */
	if (row->open_ns && (row->max_ns == UINT64_MAX || row->open_ns > row->max_ns))
		row->max_ns = row->open_ns;
	row->pcpus = cpu_list__write(row->cpus, row->pcpus_text);
	settle_budget(row, attach__has(at, "kvm_entry") && attach__has(at, "kvm_exit"));
	fill_percents(row);
	find_worst(thieves_of(at), sample, sink_of(at, window), window->scope, tasks);
	row->thieves = thieves_array(at->state, tasks);
}

/* Below one per cent of the time of its vCPU nobody is worth a line. */
static void write_thief(struct load_row *row, const char *name, uint32_t task, uint64_t ns,
			const struct window *window)
{
	if (!ns || ns < row->wall_ns / 100)
		return;
	row->thief = name;
	row->task = task;
	row->stolen_ns = ns;
	row->share = percent(ns, row->steal_ns);
	output__row(window->out, &row->row, ROW_AGAIN);
}

/* A row for each of the worst thieves of a vCPU, and one for all others. */
static bool write_thieves(struct attachment *at, unsigned int view, const struct sample *list,
			  size_t nr, const struct window *window)
{
	(void)at;
	if (view != VIEW_THIEVES)
		return false;
	for (size_t i = 0; i < nr; i++) {
		struct load_row *row = (struct load_row *)list[i].row;
		uint64_t others_ns = row->thieves_ns;

		for (const struct loot *thief = row->worst; thief->comm; thief++) {
			write_thief(row, loot__name(thief, row->thief_name), thief->pid, thief->ns,
				    window);
			if (thief->ns >= row->wall_ns / 100)
				others_ns -= thief->ns;
		}
		write_thief(row, "(others)", UINT32_MAX, others_ns, window);
	}
	return true;
}

#define OF_LOAD .views = 1 << VIEW_LOAD
#define STATE(_state, _at)                                                                       \
	METRIC(struct load_row, COUNTER, "kvm_vcpu_time_seconds", _at, OF_LOAD, .by_vcpu = true, \
	       .constant = "state=\"" _state "\"",                                               \
	       .help = "Time of vCPUs by state; all states add up to the time watched.")

static const struct metric metrics[] = {
	STATE("guest", guest_ns),
	STATE("kvm", kvm_ns),
	STATE("vmm", vmm_ns),
	STATE("poll", poll_ns),
	STATE("halted", halted_ns),
	STATE("steal", steal_ns),
	STATE("blocked", blocked_ns),
	STATE("unaccounted", unaccounted_ns),
	METRIC(struct load_row, COUNTER, "kvm_vcpu_loads", count, OF_LOAD, .by_vcpu = true,
	       .help = "Periods of vCPUs on a CPU, counted when they begin."),
	METRIC(struct load_row, COUNTER, "kvm_vcpu_migrations", migrations, OF_LOAD,
	       .by_vcpu = true, .help = "Moves of vCPUs to another CPU."),
	METRIC(struct load_row, COUNTER, "kvm_vcpu_node_migrations", node_migrations, OF_LOAD,
	       .by_vcpu = true, .help = "Moves of vCPUs to another NUMA node."),
	METRIC(struct load_row, HISTOGRAM, "kvm_vcpu_load_duration_seconds", load, OF_LOAD,
	       .help = "How long vCPUs stayed on a CPU at a time."),
	{},
};

const struct monitor vcpu_load_monitor = {
	.name = "vcpu_load",
	.key = 'o',
	.help = "load of the vCPUs",
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.look_ns = 2UL * NSEC_PER_SEC,
	.row_size = sizeof(struct load_row),
	.state_size = sizeof(struct load_state),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.attached = attached,
	.look = look,
	.finish = finish,
	.save = save,
	.load = load,
	.write = write_thieves,
};
