// SPDX-License-Identifier: GPL-2.0-only
/* --vmm_threads: the threads of the VMMs. The kernel half is vmm_threads.bpf.c. */
#include "vmm_threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../core/attach.h"
#include "../core/filter.h"
#include "../core/iter.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/samples.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/thread_roles.h"
#include "vcpu_budget.h"
#include "vmm_account.h"
#include "vmm_threads.skel.h"

DEFINE_OPEN_SKELETON(vmm_threads_bpf)

#define PROG(_name) offsetof(struct vmm_threads_bpf, progs._name)

static const char others_name[] = "(others)";

struct thread_row {
	struct row row;
	const char *comm;
	const char *role;
	uint64_t since_ns;
	uint64_t cpu_ns;
	uint64_t user_ns;
	uint64_t system_ns;
	uint64_t guest_ns;
	uint64_t delay_ns;
	uint64_t major_faults;
	uint64_t threads;
	double busy;
	uint32_t last_cpu;
	uint64_t allowed[CPU_WORDS];
	const char *cpus;
	char cpus_text[CPU_LIST_LEN];
};

static const struct view views[] = {
	{ .title = "VMM_THREADS", .name = "VMM_THREADS", .per_vcpu = true, SAMPLES_OF(0) },
	{},
};

#define COL(...) COLUMN(struct thread_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, .flags = COL_NAME, .width = 15,
	    .help = "name of the thread; (others): threads without a row of their own"),
	COL(role, "ROLE", COL_STRING, ROLE_LABEL, .width = 9,
	    .help = "vcpu, main, iothread, vhost, migration, pit, nx_recovery or other"),
	COL(since_ns, NULL, COL_U64, ROLE_LABEL, .flags = COL_KEY_ONLY | COL_WHOSE,
	    .help = "start time of the thread"),
	COL(cpu_ns, "CPU_TIME", COL_NSEC, ROLE_COUNTER, .flags = COL_COST, .help = "time on a CPU"),
	COL(busy, "CPU%", COL_PERCENT, ROLE_GAUGE, .flags = COL_TABLE_ONLY | COL_COMPUTED,
	    .help = "CPU_TIME as a share of one CPU"),
	COL(user_ns, "USER", COL_NSEC, ROLE_COUNTER,
	    .help = "part of CPU_TIME in user space and in guests"),
	COL(system_ns, "SYSTEM", COL_NSEC, ROLE_COUNTER, .help = "part of CPU_TIME in the kernel"),
	COL(guest_ns, NULL, COL_NSEC, ROLE_COUNTER, .flags = COL_DATA_ONLY,
	    .help = "part of USER in guests"),
	COL(delay_ns, "RUN_DELAY", COL_NSEC, ROLE_COUNTER,
	    .help = "time ready to run but waiting for a CPU"),
	COL(major_faults, "MAJFLT", COL_U64, ROLE_COUNTER, .drop = DROP_THIRD,
	    .help = "major page faults: those that read from a disk"),
	COL(threads, NULL, COL_U64, ROLE_GAUGE, .flags = COL_DATA_ONLY, .merge = MERGE_SUM,
	    .help = "threads in the row"),
	COL(last_cpu, "LAST", COL_U32, ROLE_GAUGE, .drop = DROP_SECOND,
	    .help = "CPU that it runs on, or ran on last"),
	COL(allowed, NULL, COL_BITS, ROLE_GAUGE, .size = sizeof(((struct thread_row *)0)->allowed)),
	COL(cpus, "CPUS", COL_STRING, ROLE_GAUGE, .flags = COL_COMPUTED | COL_REST,
	    .help = "CPUs that it may run on"),
	{},
};

static const struct hook hooks[] = {
	{ "threads", HOOK_ITER, "task", PROG(list_threads), .gives = "times of the VMMs' threads",
	  .primary = true },
	{},
};

/* A process that is a VMM. */
struct vmm {
	uint32_t tgid;
	uint64_t start_ns;
	const struct vm_ref *vm; /* its VM; the process itself, if there are several */
	uint64_t kvm;
	bool seen;
	struct account account;
};

struct threads_state {
	struct vmm *vmms;
	size_t nr, room;
	int nr_cpus;
};

/* What one look has. */
struct threads_look {
	struct vcpu_entry *vcpus; /* by thread */
	size_t nr_vcpus;
	struct thread_entry *threads; /* by number */
	size_t nr_threads;
};

static int start(struct attachment *at)
{
	((struct threads_state *)at->state)->nr_cpus = libbpf_num_possible_cpus();
	return 0;
}

static void stop(struct attachment *at)
{
	struct threads_state *state = at->state;

	for (size_t i = 0; i < state->nr; i++)
		account__close(&state->vmms[i].account);
	free(state->vmms);
}

static int vcpu_by_tid(const void *a, const void *b)
{
	const struct vcpu_entry *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

static int thread_by_tid(const void *a, const void *b)
{
	const struct thread_entry *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

static struct vmm *find_vmm(const struct threads_state *state, uint32_t tgid)
{
	for (size_t i = 0; i < state->nr; i++)
		if (state->vmms[i].tgid == tgid)
			return &state->vmms[i];
	return NULL;
}

static const struct bpf_map *vmms_map(const struct attachment *at)
{
	const struct vmm_threads_bpf *skel = at->skel;

	return skel->maps.vmms;
}

static void remove_vmm(const struct attachment *at, struct vmm *vmm)
{
	struct threads_state *state = at->state;

	map__delete(vmms_map(at), &vmm->tgid);
	account__close(&vmm->account);
	*vmm = state->vmms[--state->nr];
}

static struct vmm *add_vmm(const struct attachment *at, const struct vcpu_entry *entry)
{
	struct threads_state *state = at->state;
	uint32_t wanted = 1;
	struct vmm *more;

	if (state->nr == state->room) {
		more = reallocarray(state->vmms, state->room + 64, sizeof(*more));
		if (!more)
			return NULL;
		state->vmms = more;
		state->room += 64;
	}
	more = &state->vmms[state->nr++];
	*more = (struct vmm){ .tgid = entry->tgid, .start_ns = entry->start_ns };
	map__update(vmms_map(at), &more->tgid, &wanted);
	return more;
}

/* The VM of a descriptor is one of its process's. */
static void note_vm(const struct attachment *at, const struct vcpu_entry *entry)
{
	struct vcpu_info info = {
		.kvm = entry->kvm,
		.tgid = entry->tgid,
		.start_ns = entry->start_ns,
		.creator = entry->creator,
	};
	const struct vm_ref *vm = vcpus__add_vm(at->env->vcpus, &info);
	struct vmm *vmm = find_vmm(at->state, entry->tgid);

	if (!vm || !vm->chosen)
		return;
	if (vmm && vmm->start_ns != entry->start_ns) {
		remove_vmm(at, vmm);
		vmm = NULL;
	}
	if (!vmm)
		vmm = add_vmm(at, entry);
	if (!vmm)
		return;
	if (vmm->seen && vmm->kvm != entry->kvm) {
		info.kvm = 0;
		vm = vcpus__add_vm(at->env->vcpus, &info);
	}
	vmm->kvm = entry->kvm;
	if (!vmm->seen || !info.kvm)
		vmm->vm = vm;
	vmm->seen = true;
}

static void note_vms(const struct attachment *at, const struct threads_look *look)
{
	struct threads_state *state = at->state;

	for (size_t i = 0; i < state->nr; i++)
		state->vmms[i].seen = false;
	for (size_t i = 0; i < look->nr_vcpus; i++)
		note_vm(at, &look->vcpus[i]);
	for (size_t i = state->nr; i-- > 0;)
		if (!state->vmms[i].seen)
			remove_vmm(at, &state->vmms[i]);
}

static const struct vcpu_entry *vcpu_of(const struct threads_look *look, uint32_t tid)
{
	const struct vcpu_entry key = { .tid = tid };

	return bsearch(&key, look->vcpus, look->nr_vcpus, sizeof(key), vcpu_by_tid);
}

/* A kernel thread is called after a thread of the process that it works for. */
static struct vmm *owner_of(const struct attachment *at, const struct threads_look *look,
			    const struct thread_entry *thread)
{
	struct thread_entry key = {};
	const struct thread_entry *of;

	if (!thread->is_kernel)
		return find_vmm(at->state, thread->tgid);
	key.tid = strtoul(thread->comm + strcspn(thread->comm, "0123456789"), NULL, 10);
	of = bsearch(&key, look->threads, look->nr_threads, sizeof(key), thread_by_tid);
	return of && !of->is_kernel ? find_vmm(at->state, of->tgid) : NULL;
}

static void poll_row(const struct attachment *at, struct thread_row *row,
		     const struct thread_times *times)
{
	row->cpu_ns = times->cpu_ns;
	row->user_ns = times->user_ns;
	row->system_ns = times->system_ns;
	row->guest_ns = times->guest_ns;
	row->delay_ns = times->delay_ns;
	row->major_faults = times->major_faults;
	samples__poll(at->samples, 0, &row->row, at->begins,
		      at->is_last ? SHOW_ALWAYS : SHOW_GROWTH);
}

static void set_cpus(const struct attachment *at, struct thread_row *row,
		     const struct thread_entry *thread)
{
	const struct threads_state *state = at->state;

	row->last_cpu = thread->cpu;
	for (int cpu = 0; cpu < state->nr_cpus && cpu < MAX_CPUS; cpu++)
		row->allowed[cpu / 64] |= thread->cpus[cpu / 64] & 1ULL << cpu % 64;
}

static void take_thread(const struct attachment *at, struct vmm *vmm,
			const struct thread_entry *thread, const struct vcpu_entry *vcpu)
{
	const struct known_thread *known = account__take(&vmm->account, thread, vcpu);
	struct thread_row row = {
		.comm = thread->comm,
		.role = thread_role(thread->comm),
		.since_ns = thread->since_ns,
		.threads = 1,
	};
	const struct vm_ref *vm = vmm->vm, *of_vcpu;

	if (!known || !vm)
		return;
	if (vcpu) {
		const struct vcpu_info info = {
			.kvm = vcpu->kvm,
			.tgid = vcpu->tgid,
			.start_ns = vcpu->start_ns,
			.creator = vcpu->creator,
		};

		of_vcpu = vcpus__add_vm(at->env->vcpus, &info);
		if (of_vcpu)
			vm = of_vcpu;
		row.role = "vcpu";
	} else if (thread->tid == thread->tgid && !thread->is_kernel) {
		row.role = "main";
	}
	vm_ref__row(vm, 0, &row.row);
	row.row.tid = thread->tid;
	row.row.vcpu = vcpu ? vcpu->vcpu_id : UINT32_MAX;
	if (vcpu ? !filter__has_vcpu(at->env->filter, vcpu->vcpu_id) :
		   at->env->filter->chooses_vcpu)
		return;
	set_cpus(at, &row, thread);
	poll_row(at, &row, &known->told);
}

static void take_others(const struct attachment *at, struct vmm *vmm)
{
	struct thread_row row = {
		.comm = others_name,
		.role = "other",
		.threads = vmm->account.nr_others,
		.last_cpu = UINT32_MAX,
	};

	account__end(&vmm->account);
	if (!vmm->vm || at->env->filter->chooses_vcpu)
		return;
	if (!row.threads && !vmm->account.others.cpu_ns)
		return;
	vm_ref__row(vmm->vm, 0, &row.row);
	poll_row(at, &row, &vmm->account.others);
}

/* vCPUs first: they are always known. */
static void take_all(const struct attachment *at, const struct threads_look *look)
{
	struct threads_state *state = at->state;

	for (size_t i = 0; i < state->nr; i++)
		account__begin(&state->vmms[i].account);
	for (int vcpus = 1; vcpus >= 0; vcpus--)
		for (size_t i = 0; i < look->nr_threads; i++) {
			const struct thread_entry *thread = &look->threads[i];
			const struct vcpu_entry *vcpu = vcpu_of(look, thread->tid);
			struct vmm *vmm;

			if (!!vcpu != vcpus)
				continue;
			vmm = owner_of(at, look, thread);
			if (vmm)
				take_thread(at, vmm, thread, vcpu);
		}
	for (size_t i = 0; i < state->nr; i++)
		take_others(at, &state->vmms[i]);
}

static void look(struct attachment *at)
{
	int iterator = attach__iterator(at, "threads");
	struct threads_look look = {};
	size_t size = 0;

	if (iterator < 0 || vcpus__entries(at->env->vcpus, &look.vcpus, &look.nr_vcpus))
		return;
	note_vms(at, &look);
	qsort(look.vcpus, look.nr_vcpus, sizeof(*look.vcpus), vcpu_by_tid);
	if (!iter__read(iterator, (void **)&look.threads, &size)) {
		look.nr_threads = size / sizeof(*look.threads);
		qsort(look.threads, look.nr_threads, sizeof(*look.threads), thread_by_tid);
		take_all(at, &look);
		samples__end_poll(at->samples);
	}
	free(look.threads);
	free(look.vcpus);
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct thread_row *row = (struct thread_row *)sample->row;
	uint64_t wall = window->now_ns - window->since_ns;

	(void)at;
	row->busy = wall ? 100.0 * row->cpu_ns / wall : NAN;
	row->cpus = cpu_list__write(row->allowed, row->cpus_text);
}

#define ROLE .views = 1, .labels = { LABEL(struct thread_row, "role", role) }

static const struct metric metrics[] = {
	METRIC(struct thread_row, COUNTER, "kvm_vmm_cpu_seconds", cpu_ns, ROLE,
	       .help = "CPU time of the VMM's threads, by role."),
	METRIC(struct thread_row, COUNTER, "kvm_vmm_run_delay_seconds", delay_ns, ROLE,
	       .help = "Time that the VMM's threads were ready to run but waited for a CPU."),
	METRIC(struct thread_row, COUNTER, "kvm_vmm_major_faults", major_faults, ROLE,
	       .help = "Major page faults of the VMM: those that read from a disk."),
	{},
};

const struct monitor vmm_threads_monitor = {
	.name = "vmm_threads",
	.help = "threads of the VMMs: CPU time, delays, CPUs",
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct thread_row),
	.state_size = sizeof(struct threads_state),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.start = start,
	.stop = stop,
	.look = look,
	.finish = finish,
};
