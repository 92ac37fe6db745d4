// SPDX-License-Identifier: GPL-2.0-only
/* -o: load of the vCPUs and where their time goes. The kernel half is vcpu_load.bpf.c. */
#include "vcpu_load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/series.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "vcpu_budget.h"
#include "vcpu_load.skel.h"

enum { THIEVES_PER_SLOT = 32, TOP_THIEVES = 3 };
enum { VIEW_LOAD, VIEW_BUDGET, VIEW_THIEVES };

struct load_row {
	struct row row;
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t min_ns;
	uint64_t count;
	uint32_t pcpu;
	const char *pcpus;
	uint64_t migrations;
	uint64_t node_migrations;
	uint64_t guest_ns;
	uint64_t kvm_ns;
	uint64_t vmm_ns;
	uint64_t poll_ns;
	uint64_t halted_ns;
	uint64_t steal_ns;
	uint64_t blocked_ns;
	uint64_t unaccounted_ns;
	uint64_t wall_ns;
	struct json_object *thieves;

	double guest, kvm, vmm, poll, halted, steal, blocked, unaccounted;

	const char *comm;
	uint32_t thief;
	uint64_t stolen_ns;
	double share;
};

static const struct view views[] = {
	[VIEW_LOAD] = { .title = "VCPU_LOAD", .per_vcpu = true },
	[VIEW_BUDGET] = { .title = "WHERE THE TIME WENT", .per_vcpu = true },
	[VIEW_THIEVES] = { .title = "WHO TOOK THE CPU", .per_vcpu = true },
	{},
};

extern const struct monitor vcpu_load_monitor;

#define COL(...) COLUMN(struct load_row, __VA_ARGS__)
#define LOAD .views = 1 << VIEW_LOAD
#define BUDGET .views = 1 << VIEW_BUDGET, .flags = COL_TABLE_ONLY
#define THIEVES .views = 1 << VIEW_THIEVES, .flags = COL_TABLE_ONLY
#define DATA .views = 1 << VIEW_LOAD, .flags = COL_DATA_ONLY

static const struct column columns[] = {
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, LOAD,
	    .help = "on a physical CPU in KVM_RUN"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, LOAD, .help = "longest period of that"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, LOAD, .help = "shortest period"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, LOAD, .help = "periods that began"),
	COL(pcpu, "PCPU", COL_U32, ROLE_GAUGE, LOAD, .help = "the physical CPU it is on, or was"),
	COL(pcpus, "PCPUS", COL_STRING, ROLE_GAUGE, LOAD, .help = "those it has used"),
	COL(migrations, "MIGR", COL_U64, ROLE_COUNTER, LOAD,
	    .help = "moves to another physical CPU"),
	COL(node_migrations, "NODE_MIGR", COL_U64, ROLE_COUNTER, LOAD,
	    .help = "of them: to another NUMA node"),
	COL(guest_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA, .help = "from kvm_entry to kvm_exit"),
	COL(kvm_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA,
	    .help = "running in KVM_RUN, neither in the guest nor polling"),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA,
	    .help = "outside of KVM_RUN, running or asleep"),
	COL(poll_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA, .help = "halt-polling"),
	COL(halted_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA, .help = "halted and asleep"),
	COL(steal_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA,
	    .help = "ready to run, but not running: run-queue delay"),
	COL(blocked_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA,
	    .help = "asleep in KVM_RUN, but not halted"),
	COL(unaccounted_ns, NULL, COL_NSEC, ROLE_COUNTER, DATA, .help = "none of these"),
	COL(thieves, NULL, COL_OBJECT, ROLE_GAUGE, DATA,
	    .help = "who ran while the vCPU waited: the top three"),

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
	    .help = "their sum: of the interval, the time in which the thread was watched"),

	COL(comm, "COMM", COL_STRING, ROLE_LABEL, THIEVES, .width = 15, .help = "the task"),
	COL(thief, "THIEF", COL_U32, ROLE_LABEL, THIEVES, .width = 7, .help = "its thread id"),
	COL(stolen_ns, "TIME", COL_NSEC, ROLE_COUNTER, THIEVES,
	    .help = "it ran while the vCPU waited for that CPU"),
	COL(share, "OF_STEAL%", COL_PERCENT, ROLE_GAUGE, THIEVES, .help = "of steal_ns"),
	{},
};

static const struct hook hooks[] = {
	/* Where KVM is preemptible, classic tracepoints come first: see enum hook_kind. */
	{ "kvm_fpu", HOOK_TRACEPOINT, "kvm_fpu", "fpu_tracepoint",
	  .gives = "KVM_RUN and the VMM told apart: the load", .primary = true },
	{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", "fpu_raw_tp" },
	{ "kvm_fpu", HOOK_TP_BTF, "kvm_fpu", "fpu_tp_btf" },

	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", "entry_raw_tp", VENDOR_VMX | VENDOR_SVM,
	  .gives = "the time in the guest told from the time in KVM" },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", "entry_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", "entry_tracepoint", VENDOR_VMX | VENDOR_SVM },

	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", "exit_raw_tp", VENDOR_VMX | VENDOR_SVM,
	  .gives = "the time in KVM told from the time in the guest" },
	{ "kvm_exit", HOOK_TP_BTF, "kvm_exit", "exit_tp_btf", VENDOR_VMX | VENDOR_SVM },
	{ "kvm_exit", HOOK_TRACEPOINT, "kvm_exit", "exit_tracepoint", VENDOR_VMX | VENDOR_SVM },

	{ "kvm_vcpu_wakeup", HOOK_TRACEPOINT, "kvm_vcpu_wakeup", "wakeup_tracepoint",
	  .gives = "halt-polling told from other time in KVM" },
	{ "kvm_vcpu_wakeup", HOOK_RAW_TP, "kvm_vcpu_wakeup", "wakeup_raw_tp" },
	{ "kvm_vcpu_wakeup", HOOK_TP_BTF, "kvm_vcpu_wakeup", "wakeup_tp_btf" },

	{ "sched_wakeup", HOOK_RAW_TP, "sched_wakeup", "woken_raw_tp",
	  .gives = "the run-queue delay after a sleep (it counts as the sleep)" },
	{ "sched_wakeup", HOOK_TP_BTF, "sched_wakeup", "woken_tp_btf" },

	{ "sched_switch", HOOK_RAW_TP, "sched_switch", "switch_raw_tp",
	  .gives = "sleep, steal and migrations: most of the budget" },
	{ "sched_switch", HOOK_TP_BTF, "sched_switch", "switch_tp_btf" },

	{ "task_file", HOOK_ITER, "task_file", "existing",
	  .gives = "vCPUs that do nothing at all, before their first event" },
	{},
};

/* The accounts of a vCPU at one moment, its open state included. */
struct look {
	uint64_t at_ns;
	uint64_t ns[NR_BUDGET];
	uint64_t loaded_ns;
	uint64_t loads, migrations, node_migrations;
	uint64_t open_ns; /* length of the load period that is not over; 0: none */
	uint32_t cpu;
	bool on_cpu;
};

struct theft {
	uint32_t tid;
	char comm[COMM_LEN];
	uint64_t now, before;
};

struct series {
	struct series_head head;
	uint64_t first_ns;
	struct look now, before;
	struct stat_series load;      /* periods that ended */
	uint64_t cpus[CPU_WORDS];     /* of the interval */
	uint64_t all_cpus[CPU_WORDS]; /* of the run */
	struct theft *thefts;
	size_t nr_thefts;
};

/* The vCPU's thread is gone: its slot's thieves go, too. */
static void forget_thieves(const struct bpf_object *obj, void *series, uint32_t slot)
{
	int fd = map__fd(obj, "thieves");
	const struct series *s = series;

	for (size_t i = 0; i < s->nr_thefts; i++) {
		struct thief_key key = { .slot = slot, .tid = s->thefts[i].tid };

		bpf_map_delete_elem(fd, &key);
	}
}

static const struct series_kind kind = {
	.size = sizeof(struct series),
	.records = "load_records",
	.record_size = sizeof(struct load_record),
	.per_slot = 1,
	.forget = forget_thieves,
};

static struct {
	struct series_set set;
	struct load_record *records;
	struct run_queue *queues;
	size_t queues_size;
	bool frozen; /* ending() has taken the last look */
} self;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	size_t slots = vcpus__max(at->env->vcpus) + 1;
	int err = series__prepare(&self.set, &kind, obj, slots);

	return err ? err : map__resize(obj, "thieves", slots * THIEVES_PER_SLOT);
}

/* /sys/devices/system/cpu/cpuN/nodeM */
static void read_nodes(void)
{
	for (unsigned int cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct dirent *entry;
		char path[64];
		DIR *dir;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u", cpu);
		dir = opendir(path);
		while (dir && (entry = readdir(dir)))
			sscanf(entry->d_name, "node%u", &self.queues[cpu].node);
		if (dir)
			closedir(dir);
	}
}

static int start(struct attachment *at)
{
	int err = series__open(&self.set, at->obj);

	if (err)
		return err;
	self.records = self.set.records;
	self.queues = map__mmap_name(at->obj, "run_queues", &self.queues_size);
	if (!self.queues)
		return -errno;
	read_nodes();
	return 0;
}

/* Where no iterator could do it. */
static void attached(struct attachment *at)
{
	struct bpf_map *map;
	long offset = map__find_variable(at->obj, ".data", "closed", &map);

	if (offset >= 0)
		*(volatile uint64_t *)(at->data + offset) = 0;
}

static void free_thefts(void **list, size_t nr)
{
	for (size_t i = 0; list && i < nr; i++)
		if (list[i])
			free(((struct series *)list[i])->thefts);
}

static void stop(struct attachment *at)
{
	(void)at;
	if (self.queues)
		munmap(self.queues, self.queues_size);
	free_thefts(self.set.live, self.set.nr);
	free_thefts(self.set.gone, self.set.nr_gone);
	series__close(&self.set);
	memset(&self, 0, sizeof(self));
}

/* A copy that no writer has changed meanwhile, and when that was. */
static uint64_t copy_record(struct load_record *copy, const struct load_record *record)
{
	uint64_t seq, now;

	for (int tries = 0; tries < 1000; tries++) {
		seq = __atomic_load_n(&record->seq, __ATOMIC_ACQUIRE);
		now = clock__ns();
		memcpy(copy, record, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(seq & 1) && seq == __atomic_load_n(&record->seq, __ATOMIC_RELAXED))
			break;
	}
	return now > copy->since_ns ? now : copy->since_ns;
}

static void take_look(struct look *look, const struct load_record *r, uint64_t now)
{
	look->at_ns = r->ended_ns ? r->ended_ns : now;
	memcpy(look->ns, r->ns, sizeof(look->ns));
	if (!r->ended_ns)
		budget__close(look->ns, r, now);
	look->open_ns = r->load_ns && now > r->load_ns ? now - r->load_ns : 0;
	look->loaded_ns = r->load.total_ns + look->open_ns;
	look->loads = r->loads;
	look->migrations = r->migrations;
	look->node_migrations = r->node_migrations;
	look->cpu = r->cpu;
	look->on_cpu = !r->off && !r->ended_ns;
}

static void note_cpus(struct series *s, const struct load_record *r, uint64_t epoch)
{
	memset(s->cpus, 0, sizeof(s->cpus));
	/* Where it has been all the time no event tells. */
	if (s->before.on_cpu)
		s->cpus[s->before.cpu / 64 % CPU_WORDS] |= 1ULL << s->before.cpu % 64;
	if (s->now.on_cpu)
		s->cpus[s->now.cpu / 64 % CPU_WORDS] |= 1ULL << s->now.cpu % 64;
	for (int half = 0; half < 2; half++)
		if (r->cpus[half].epoch == epoch)
			for (int i = 0; i < CPU_WORDS; i++)
				s->cpus[i] |= r->cpus[half].bits[i];
	for (int i = 0; i < CPU_WORDS; i++)
		s->all_cpus[i] |= s->cpus[i];
}

static void look_at(const struct attachment *at, uint32_t slot, uint64_t epoch)
{
	struct series *s = self.set.live[slot];
	struct load_record r;
	uint64_t now;

	if (!__atomic_load_n(&self.records[slot].first_ns, __ATOMIC_ACQUIRE))
		return;
	now = copy_record(&r, &self.records[slot]);
	if (!s) {
		s = series__of(&self.set, at->env->vcpus, slot);
		if (!s)
			return;
		s->first_ns = r.first_ns;
		s->before.at_ns = s->first_ns;
	}
	take_look(&s->now, &r, now);
	stat_series__look(&s->load, &r.load, epoch);
	timing__clear(&self.records[slot].load, epoch);
	note_cpus(s, &r, epoch);
}

static struct theft *theft_of(struct series *s, const struct thief *thief)
{
	struct theft *more;

	for (size_t i = 0; i < s->nr_thefts; i++)
		if (s->thefts[i].tid == thief->pid)
			return &s->thefts[i];
	more = realloc(s->thefts, (s->nr_thefts + 1) * sizeof(*more));
	if (!more)
		return NULL;
	s->thefts = more;
	more = &s->thefts[s->nr_thefts++];
	memset(more, 0, sizeof(*more));
	more->tid = thief->pid;
	memcpy(more->comm, thief->comm, sizeof(more->comm));
	return more;
}

static void look_at_thieves(struct attachment *at)
{
	int fd = map__fd(at->obj, "thieves");
	struct thief_key key, *last = NULL;
	struct theft *theft;
	struct thief thief;

	while (!bpf_map_get_next_key(fd, last, &key)) {
		last = &key;
		if (key.slot >= self.set.nr || !self.set.live[key.slot] ||
		    bpf_map_lookup_elem(fd, &key, &thief))
			continue;
		theft = theft_of(self.set.live[key.slot], &thief);
		if (theft)
			theft->now = thief.ns;
	}
}

static void look(struct attachment *at, uint64_t epoch)
{
	for (uint32_t slot = 1; slot < self.set.nr; slot++)
		look_at(at, slot, epoch);
	look_at_thieves(at);
}

static void ending(struct attachment *at)
{
	vcpus__refresh(at->env->vcpus);
	look(at, *at->epoch);
	self.frozen = true;
}

static uint64_t delta(const struct series *s, enum budget what, enum scope scope)
{
	return s->now.ns[what] - (scope == SCOPE_INTERVAL ? s->before.ns[what] : 0);
}

static void fill_budget(struct load_row *row, const struct series *s, enum scope scope,
			bool knows_guest)
{
	uint64_t from = scope == SCOPE_INTERVAL ? s->before.at_ns : s->first_ns, sum;

	row->guest_ns = delta(s, IN_GUEST, scope);
	row->kvm_ns = delta(s, IN_KVM, scope);
	row->poll_ns = delta(s, IN_POLL, scope);
	if (!knows_guest) {
		row->kvm_ns += row->guest_ns;
		row->guest_ns = 0;
	}
	budget__settle(&row->kvm_ns, &row->poll_ns);
	row->vmm_ns = delta(s, IN_VMM, scope);
	row->halted_ns = delta(s, IN_HALT, scope);
	row->steal_ns = delta(s, IN_STEAL, scope);
	row->blocked_ns = delta(s, IN_BLOCKED, scope);
	row->wall_ns = s->now.at_ns > from ? s->now.at_ns - from : 0;
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

static void fill_load(struct load_row *row, const struct series *s, enum scope scope)
{
	static const struct look none;
	const struct look *from = scope == SCOPE_INTERVAL ? &s->before : &none;
	const struct stat_delta *d = scope == SCOPE_INTERVAL ? &s->load.grown : &s->load.run;

	row->total_ns = s->now.loaded_ns - from->loaded_ns;
	row->count = s->now.loads - from->loads;
	row->migrations = s->now.migrations - from->migrations;
	row->node_migrations = s->now.node_migrations - from->node_migrations;
	row->pcpu = s->now.cpu;
	row->min_ns = d->min_ns;
	row->max_ns = d->max_ns;
	/* A period that is not over is at least as long as it is now. */
	if (s->now.open_ns && (row->max_ns == UINT64_MAX || s->now.open_ns > row->max_ns))
		row->max_ns = s->now.open_ns;
}

static uint64_t stolen(const struct theft *t, enum scope scope)
{
	return t->now - (scope == SCOPE_INTERVAL ? t->before : 0);
}

/* How long a task had the CPU that a vCPU waited for. */
struct task_time {
	const char *comm;
	uint32_t pid;
	uint64_t ns;
};

static void top_thieves(const struct series *s, enum scope scope,
			struct task_time top[TOP_THIEVES + 1])
{
	size_t nr = 0;

	for (size_t i = 0; i < s->nr_thefts; i++) {
		const struct theft *t = &s->thefts[i];
		uint64_t ns = stolen(t, scope);
		size_t at;

		if (!ns)
			continue;
		for (at = nr; at > 0 && top[at - 1].ns < ns; at--)
			top[at] = top[at - 1];
		if (at >= TOP_THIEVES)
			continue;
		top[at] = (struct task_time){ .comm = t->comm, .pid = t->tid, .ns = ns };
		nr += nr < TOP_THIEVES;
	}
	top[nr].comm = NULL;
}

static void fill_row(const struct attachment *at, const struct window *window, struct series *s,
		     struct load_row *row, char pcpus[CPU_LIST_LEN])
{
	bool knows_guest = attach__has(at, "kvm_entry") && attach__has(at, "kvm_exit");

	memset(row, 0, sizeof(*row));
	row->row = s->head.row;
	row->row.ts_ns = window->now_ns;
	fill_load(row, s, window->scope);
	row->pcpus =
		cpu_list__write(window->scope == SCOPE_INTERVAL ? s->cpus : s->all_cpus, pcpus);
	fill_budget(row, s, window->scope, knows_guest);
	fill_percents(row);
}

static struct json_object *thieves_array(const struct task_time *tasks)
{
	struct json_object *array = json_object_new_array();

	for (; array && tasks->comm; tasks++) {
		struct json_object *task = json_object_new_object();

		json_object_object_add(task, "comm", json_object_new_string(tasks->comm));
		json_object_object_add(task, "pid", json_object_new_uint64(tasks->pid));
		json_object_object_add(task, "ns", json_object_new_uint64(tasks->ns));
		json_object_array_add(array, task);
	}
	return array;
}

static void write_thieves(const struct window *window, struct load_row *row,
			  const struct task_time *thieves)
{
	for (const struct task_time *t = thieves; t->comm; t++) {
		row->comm = t->comm;
		row->thief = t->pid;
		row->stolen_ns = t->ns;
		row->share = percent(t->ns, row->steal_ns);
		output__row(window->out, &row->row, ROW_AGAIN);
	}
}

static void write_view(struct attachment *at, const struct window *window, struct series **list,
		       size_t nr, unsigned int view)
{
	struct task_time thieves[TOP_THIEVES + 1];
	char pcpus[CPU_LIST_LEN];
	struct load_row row;

	window__begin(window, &vcpu_load_monitor, view);
	for (size_t i = 0; i < nr; i++) {
		fill_row(at, window, list[i], &row, pcpus);
		top_thieves(list[i], window->scope, thieves);
		if (!row.wall_ns)
			continue;
		row.thieves = thieves_array(thieves);
		if (view == VIEW_THIEVES)
			write_thieves(window, &row, thieves);
		else
			output__row(window->out, &row.row, view == VIEW_LOAD ? 0 : ROW_AGAIN);
		json_object_put(row.thieves);
	}
	output__end(window->out);
}

static void write_views(struct attachment *at, const struct window *window)
{
	struct series **list;
	size_t nr;

	list = (struct series **)series__sorted(&self.set, window->scope == SCOPE_TOTAL, &nr);
	if (!list)
		return;
	write_view(at, window, list, nr, VIEW_LOAD);
	write_view(at, window, list, nr, VIEW_BUDGET);
	write_view(at, window, list, nr, VIEW_THIEVES);
	free(list);
}

static void end_interval(struct attachment *at)
{
	for (uint32_t slot = 1; slot < self.set.nr; slot++) {
		struct series *s = self.set.live[slot];

		if (!s)
			continue;
		s->before = s->now;
		for (size_t i = 0; i < s->nr_thefts; i++)
			s->thefts[i].before = s->thefts[i].now;
	}
	series__retire_ended(&self.set, at->env->vcpus, at->obj);
}

static void report(struct attachment *at, const struct window *window)
{
	if (window->scope == SCOPE_INTERVAL && !self.frozen)
		look(at, at->ended_epoch);
	write_views(at, window);
	if (window->scope == SCOPE_INTERVAL)
		end_interval(at);
}

const struct monitor vcpu_load_monitor = {
	.name = "vcpu_load",
	.key = 'o',
	.help = "load of the vCPUs",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = vcpu_load_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.attached = attached,
	.ending = ending,
	.stop = stop,
};
