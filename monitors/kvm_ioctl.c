// SPDX-License-Identifier: GPL-2.0-only
/* -l: ioctls on KVM descriptors. The kernel half is kvm_ioctl.bpf.c. */
#include "kvm_ioctl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/stats.h"
#include "../core/vcpus.h"
#include "../core/vm.h"
#include "../core/window.h"
#include "../decode/ioctls.h"
#include "kvm_ioctl.skel.h"

enum {
	RECORDS_PER_SLOT = 32,
	OWNERS_PER_SLOT = 4,
	MAX_CALLS = 32768,
	MAX_ERRORS = 16, /* kinds per row; what is above is "other" */
};

enum { VIEW_CALLS, VIEW_EVENTS };

struct ioctl_row {
	struct row row;
	const char *name;
	uint64_t cmd;
	const char *fd_kind;
	uint64_t count;
	struct json_object *errors;
	uint64_t total_ns;
	uint64_t min_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p99_ns;
	const char *comm;
	uint64_t fd;
	uint64_t arg;
	int64_t ret;
	const char *error;
	uint64_t duration_ns;
	struct json_object *decoded;
};

static const struct view views[] = {
	[VIEW_CALLS] = { .title = "KVM_IOCTL" },
	[VIEW_EVENTS] = { .title = "KVM_IOCTL calls", .per_vcpu = true },
	{},
};

extern const struct monitor kvm_ioctl_monitor;

#define COL(...) COLUMN(struct ioctl_row, __VA_ARGS__)
#define CALLS .views = 1 << VIEW_CALLS
#define EVENTS .views = 1 << VIEW_EVENTS

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, EVENTS, .flags = COL_WIDE,
	    .help = "name of the calling thread"),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .width = 26, .help = "as in linux/kvm.h"),
	COL(cmd, NULL, COL_HEX, ROLE_LABEL, .flags = COL_DATA_ONLY, .help = "the number behind it"),
	COL(fd_kind, "FD", COL_STRING, ROLE_LABEL, .width = 6,
	    .help = "the descriptor: kvm (/dev/kvm), vm, vcpu or device"),
	COL(fd, NULL, COL_U64, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY, .help = "its number"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, CALLS, .help = "inside the calls"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, CALLS, .help = "shortest"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, CALLS, .help = "longest"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, CALLS, .help = "median, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, CALLS, .help = "99th percentile, within 12.5 %"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, CALLS, .help = "calls that returned"),
	COL(errors, "ERRORS", COL_OBJECT, ROLE_GAUGE, CALLS,
	    .help = "how many of them failed, by errno"),
	COL(duration_ns, "TIME", COL_NSEC, ROLE_GAUGE, EVENTS, .flags = COL_USEC, .width = 8,
	    .help = "inside the call (table: us)"),
	COL(ret, "RET", COL_S64, ROLE_LABEL, EVENTS, .width = 4,
	    .help = "what it returned; negative: an errno"),
	COL(error, NULL, COL_STRING, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "that errno's name"),
	COL(arg, NULL, COL_HEX, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "the third argument as it is"),
	COL(decoded, "ARGUMENT", COL_OBJECT, ROLE_LABEL, EVENTS, .flags = COL_REST | COL_BIG_HEX,
	    .help = "what it means; output structures as the call left them"),
	{},
};

/*
 * A system call may be preempted, and on Linux 7 so may the programs of its
 * classic tracepoints (see attach.h); those of kprobes may not. A kretprobe is
 * good only where the task's shadow stack holds what it has to remember: a
 * vCPU stays in KVM_RUN as long as it likes. Next the tracepoints, though they
 * cost every system call a little and fentry costs ioctls alone.
 */
static const struct hook hooks[] = {
	{ "ioctl_return", HOOK_KPROBE, "__x64_sys_ioctl", "return_kprobe", .gives = "everything",
	  .primary = true, .applies = host__kretprobes_unlimited },
	{ "ioctl_return", HOOK_TRACEPOINT, "sys_exit_ioctl", "return_tracepoint",
	  .gives = "everything", .primary = true },
	{ "ioctl_return", HOOK_FENTRY, "__x64_sys_ioctl", "return_fexit" },
	{ "ioctl_return", HOOK_RAW_TP, "sys_exit", "return_raw_tp" },

	{ "ioctl_enter", HOOK_KPROBE, "__x64_sys_ioctl", "enter_kprobe", .gives = "everything",
	  .applies = host__kretprobes_unlimited },
	{ "ioctl_enter", HOOK_TRACEPOINT, "sys_enter_ioctl", "enter_tracepoint",
	  .gives = "everything" },
	{ "ioctl_enter", HOOK_FENTRY, "__x64_sys_ioctl", "enter_fentry" },
	{ "ioctl_enter", HOOK_RAW_TP, "sys_enter", "enter_raw_tp" },
	{},
};

struct errors {
	struct {
		uint32_t error; /* 0: several */
		uint64_t count;
	} list[MAX_ERRORS];
	size_t nr;
};

/* A command on a kind of descriptor of one VM, whichever thread calls it. */
struct series {
	struct series *next;
	const struct vm_ref *vm;
	uint32_t cmd;
	uint16_t kind;
	uint64_t count, total_count;
	struct errors errors, total_errors;
	struct stat_delta delta, total;
};

/* A kernel record at the last look. */
struct snapshot {
	struct series *series;
	uint64_t count;
	uint64_t errors[IOCTL_ERRORS];
	struct timing stat;
	bool ended; /* nothing more would come at the look before the last one */
};

static struct {
	struct ioctl_owner *owners;
	struct ioctl_record *records;
	size_t owners_size, records_size, nr_owners, nr_records;
	const struct vm_ref **vms; /* by owner */
	struct snapshot **seen;	   /* by record */
	struct series *series;
	bool events;
} self;

static int prepare(struct attachment *at, struct bpf_object *obj)
{
	size_t slots = vcpus__max(at->env->vcpus) + 1;
	int err;

	self.nr_records = slots * RECORDS_PER_SLOT;
	self.nr_owners = slots * OWNERS_PER_SLOT;
	self.events = at->env->events;
	err = map__resize(obj, "calls", MAX_CALLS);
	if (!err)
		err = map__resize(obj, "owners", self.nr_owners);
	if (!err)
		err = map__resize(obj, "owner_index", self.nr_owners);
	if (!err)
		err = map__resize(obj, "free_owners", self.nr_owners);
	if (!err)
		err = map__resize(obj, "ioctl_records", self.nr_records);
	if (!err)
		err = map__resize(obj, "ioctl_index", self.nr_records);
	if (!err)
		err = map__resize(obj, "free_records", self.nr_records);
	if (!err)
		err = map__set_const(obj, "want_events", self.events);
	return err;
}

static int start(struct attachment *at)
{
	int err;

	self.owners = map__mmap_name(at->obj, "owners", &self.owners_size);
	if (!self.owners)
		return -errno;
	self.records = map__mmap_name(at->obj, "ioctl_records", &self.records_size);
	if (!self.records)
		return -errno;
	self.vms = calloc(self.nr_owners, sizeof(*self.vms));
	self.seen = calloc(self.nr_records, sizeof(*self.seen));
	if (!self.vms || !self.seen)
		return -ENOMEM;
	err = map__fill_queue(at->obj, "free_owners", 1, self.nr_owners - 1);
	return err ? err : map__fill_queue(at->obj, "free_records", 1, self.nr_records - 1);
}

static void stop(struct attachment *at)
{
	(void)at;
	if (self.owners)
		munmap(self.owners, self.owners_size);
	if (self.records)
		munmap(self.records, self.records_size);
	for (size_t i = 0; self.seen && i < self.nr_records; i++)
		free(self.seen[i]);
	while (self.series) {
		struct series *s = self.series;

		self.series = s->next;
		free(s);
	}
	free(self.seen);
	free(self.vms);
	memset(&self, 0, sizeof(self));
}

/* The VM of an owner, named when it is seen first. */
static const struct vm_ref *vm_of(const struct attachment *at, uint32_t index)
{
	const struct ioctl_owner *owner = &self.owners[index];
	struct vcpu_info info = {};

	if (!index || index >= self.nr_owners)
		return NULL;
	if (self.vms[index] || !__atomic_load_n(&owner->in_use, __ATOMIC_ACQUIRE))
		return self.vms[index];
	info.kvm = owner->kvm;
	info.tgid = owner->tgid;
	info.start_ns = owner->start_ns;
	memcpy(info.comm, owner->comm, sizeof(info.comm));
	/* A VM with vCPUs is its owner's, though another process may have called first. */
	if (info.kvm)
		self.vms[index] = vcpus__find_vm(at->env->vcpus, info.kvm);
	if (!self.vms[index] || self.vms[index]->tgid != info.tgid)
		self.vms[index] = vcpus__add_vm(at->env->vcpus, &info);
	return self.vms[index];
}

static struct series *series_of(const struct vm_ref *vm, const struct ioctl_key *key)
{
	struct series *s;

	for (s = self.series; s; s = s->next)
		if (s->vm == vm && s->cmd == key->cmd && s->kind == key->kind)
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->vm = vm;
	s->cmd = key->cmd;
	s->kind = key->kind;
	stat_delta__init(&s->delta);
	stat_delta__init(&s->total);
	s->next = self.series;
	self.series = s;
	return s;
}

static struct snapshot *snapshot_of(const struct attachment *at, size_t index)
{
	const struct ioctl_key *key = &self.records[index].key;
	struct snapshot *seen = self.seen[index];
	const struct vm_ref *vm;

	if (seen)
		return seen;
	vm = vm_of(at, key->owner);
	seen = vm ? calloc(1, sizeof(*seen)) : NULL;
	if (!seen)
		return NULL;
	seen->series = series_of(vm, key);
	if (!seen->series) {
		free(seen);
		return NULL;
	}
	self.seen[index] = seen;
	return seen;
}

static void add_error(struct errors *errors, uint32_t error, uint64_t count)
{
	size_t i;

	for (i = 0; i < errors->nr && errors->list[i].error != error; i++)
		;
	if (i == errors->nr) {
		if (i == MAX_ERRORS - 1)
			error = 0;
		else if (i == MAX_ERRORS)
			i--;
		if (i == errors->nr)
			errors->nr++;
		errors->list[i].error = error;
	}
	errors->list[i].count += count;
}

/* --vcpu is about calls on vCPUs: others have none, and stay. */
static bool is_chosen(const struct attachment *at, const struct vm_ref *vm, uint16_t kind,
		      uint16_t vcpu)
{
	return vm->chosen && (kind != FD_VCPU || filter__has_vcpu(at->env->filter, vcpu));
}

/* Adds what a record grew by to its series. */
static void look(const struct attachment *at, size_t index, uint64_t epoch)
{
	struct ioctl_record *record = &self.records[index];
	struct snapshot *seen = snapshot_of(at, index);
	struct stat_delta delta;
	struct timing now;
	uint64_t count;
	struct series *s;

	if (!seen)
		return;
	s = seen->series;
	if (!is_chosen(at, s->vm, record->key.kind, record->key.vcpu))
		return;
	count = __atomic_load_n(&record->count, __ATOMIC_RELAXED);
	now = record->stat;
	stat_delta__init(&delta);
	stat_delta__set(&delta, &now, &seen->stat);
	stat_delta__extremes(&delta, &now, epoch);
	stat_delta__merge(&s->delta, &delta);
	stat_delta__extremes(&delta, &now, 0);
	stat_delta__merge(&s->total, &delta);
	timing__clear(&record->stat, epoch);
	s->count += count - seen->count;
	s->total_count += count - seen->count;
	for (int i = 0; i < IOCTL_ERRORS; i++) {
		uint64_t failed = record->errors[i].count;

		if (failed == seen->errors[i])
			continue;
		add_error(&s->errors, record->errors[i].error, failed - seen->errors[i]);
		add_error(&s->total_errors, record->errors[i].error, failed - seen->errors[i]);
		seen->errors[i] = failed;
	}
	seen->count = count;
	seen->stat = now;
}

static bool process_lives(const struct ioctl_owner *owner)
{
	enum { NSEC_PER_TICK = 10000000 };
	uint64_t start = vm__task_start("/proc", owner->tgid, owner->tgid);

	return start && start + 1 >= owner->start_ns / NSEC_PER_TICK &&
	       start <= owner->start_ns / NSEC_PER_TICK + 1;
}

static bool thread_lives(const struct ioctl_key *key)
{
	/* The caller need not be of the VM's own process, so its process is not known here. */
	return !syscall(SYS_tkill, key->tid, 0) || errno != ESRCH;
}

static void retire_record(struct attachment *at, uint32_t index)
{
	map__forget(at->obj, "ioctl_index", &self.records[index].key, index);
	free(self.seen[index]);
	self.seen[index] = NULL;
	memset(&self.records[index], 0, sizeof(self.records[index]));
	map__give_back(at->obj, "free_records", index);
}

static void retire_owner(struct attachment *at, uint32_t index)
{
	struct ioctl_owner *owner = &self.owners[index];
	struct owner_key key = { .kvm = owner->kvm, .tgid = owner->kvm ? 0 : owner->tgid };

	map__forget(at->obj, "owner_index", &key, index);
	self.vms[index] = NULL;
	memset(owner, 0, sizeof(*owner));
	map__give_back(at->obj, "free_owners", index);
}

/*
 * Makes room: records of threads that are gone and of VMs whose address is
 * another's, then owners without a record whose process is gone.
 */
static void retire(struct attachment *at)
{
	bool *used = calloc(self.nr_owners, sizeof(*used));

	if (!used)
		return;
	for (size_t i = 1; i < self.nr_records; i++) {
		const struct ioctl_record *record = &self.records[i];

		if (!self.seen[i] || record->count != self.seen[i]->count)
			used[record->in_use ? record->key.owner : 0] = true;
		/* An interval later: what it did since the ring was read is shown by then. */
		else if (self.seen[i]->ended)
			retire_record(at, i);
		else
			used[record->key.owner] = true;
		if (self.seen[i])
			self.seen[i]->ended = self.owners[record->key.owner].replaced ||
					      !thread_lives(&record->key);
	}
	for (size_t i = 1; i < self.nr_owners; i++)
		if (self.owners[i].in_use && !used[i] &&
		    (self.owners[i].replaced || !process_lives(&self.owners[i])))
			retire_owner(at, i);
	free(used);
}

static const char *kind_name(uint16_t kind)
{
	static const char *const names[] = {
		[FD_KVM] = "kvm",
		[FD_VM] = "vm",
		[FD_VCPU] = "vcpu",
		[FD_DEVICE] = "device",
	};

	return kind < sizeof(names) / sizeof(*names) ? names[kind] : NULL;
}

static const char *error_name(uint32_t error, char *buf, size_t size)
{
	const char *name = error ? strerrorname_np(error) : "other";

	if (name)
		return name;
	snprintf(buf, size, "ERRNO_%u", error);
	return buf;
}

/* An empty object in JSON, nothing in tables. */
static struct json_object *errors_object(const struct errors *errors)
{
	struct json_object *obj = json_object_new_object();
	char name[32];

	for (size_t i = 0; i < errors->nr; i++)
		json_object_object_add(obj, error_name(errors->list[i].error, name, sizeof(name)),
				       json_object_new_uint64(errors->list[i].count));
	return obj;
}

static void write_series(const struct window *window, const struct series *s)
{
	const struct stat_delta *d = window->scope == SCOPE_TOTAL ? &s->total : &s->delta;
	char name[IOCTL_NAME_LEN];
	struct ioctl_row row = {
		.row = { .ts_ns = window->now_ns, .vm = s->vm->label, .pid = s->vm->tgid },
		.name = ioctl__name(s->cmd, name, sizeof(name)),
		.cmd = s->cmd,
		.fd_kind = kind_name(s->kind),
		.count = window->scope == SCOPE_TOTAL ? s->total_count : s->count,
		.errors =
			errors_object(window->scope == SCOPE_TOTAL ? &s->total_errors : &s->errors),
		.total_ns = d->total_ns,
		.min_ns = d->min_ns,
		.max_ns = d->max_ns,
		.p50_ns = stat_delta__percentile(d, 50),
		.p99_ns = stat_delta__percentile(d, 99),
	};

	output__row(window->out, &row.row, 0);
	json_object_put(row.errors);
}

/* VM by VM, the longest first. */
static int by_vm_time(const struct series *s, const struct series *t, enum scope scope)
{
	uint64_t a = scope == SCOPE_TOTAL ? s->total.total_ns : s->delta.total_ns;
	uint64_t b = scope == SCOPE_TOTAL ? t->total.total_ns : t->delta.total_ns;

	if (s->vm != t->vm) {
		int order = strcmp(s->vm->label, t->vm->label);

		if (order)
			return order;
		if (s->vm->tgid != t->vm->tgid)
			return s->vm->tgid < t->vm->tgid ? -1 : 1;
	}
	if (a != b)
		return a > b ? -1 : 1;
	return s->cmd < t->cmd ? -1 : s->cmd > t->cmd;
}

static int by_interval(const void *a, const void *b)
{
	return by_vm_time(*(struct series *const *)a, *(struct series *const *)b, SCOPE_INTERVAL);
}

static int by_total(const void *a, const void *b)
{
	return by_vm_time(*(struct series *const *)a, *(struct series *const *)b, SCOPE_TOTAL);
}

static void write_all(const struct window *window)
{
	size_t nr = 0, room = 0;
	struct series **rows;

	for (const struct series *s = self.series; s; s = s->next)
		room++;
	rows = calloc(room + 1, sizeof(*rows));
	if (!rows)
		return;
	for (struct series *s = self.series; s; s = s->next)
		if (window->scope == SCOPE_TOTAL ? s->total_count : s->count)
			rows[nr++] = s;
	qsort(rows, nr, sizeof(*rows), window->scope == SCOPE_TOTAL ? by_total : by_interval);
	window__begin(window, &kvm_ioctl_monitor, VIEW_CALLS);
	for (size_t i = 0; i < nr; i++)
		write_series(window, rows[i]);
	output__end(window->out);
	free(rows);
}

static void report(struct attachment *at, const struct window *window)
{
	if (window->scope == SCOPE_TOTAL) {
		write_all(window);
		return;
	}
	for (size_t i = 1; i < self.nr_owners; i++)
		if (self.owners[i].in_use)
			vm_of(at, i);
	for (size_t i = 1; i < self.nr_records; i++)
		if (self.records[i].in_use)
			look(at, i, at->ended_epoch);
	write_all(window);
	for (struct series *s = self.series; s; s = s->next) {
		s->count = 0;
		s->errors.nr = 0;
		memset(&s->errors, 0, sizeof(s->errors));
		stat_delta__init(&s->delta);
	}
	retire(at);
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct ioctl_event *e = data;
	char name[IOCTL_NAME_LEN], error[32];
	const struct vm_ref *vm;
	struct ioctl_row row = {};

	if (size < sizeof(*e) || e->len > size - sizeof(*e))
		return;
	vm = vm_of(at, e->owner);
	/* kind 0: the note that this owner is new. */
	if (!e->kind || !vm || !is_chosen(at, vm, e->kind, e->vcpu))
		return;
	row.row = (struct row){
		.ts_ns = e->head.ts_ns,
		.vm = vm->label,
		.pid = e->head.tgid,
		.tid = e->head.tid,
		.vcpu = e->kind == FD_VCPU ? e->vcpu : UINT32_MAX,
	};
	row.comm = e->head.comm;
	row.name = ioctl__name(e->cmd, name, sizeof(name));
	row.cmd = e->cmd;
	row.fd_kind = kind_name(e->kind);
	row.fd = e->fd;
	row.arg = e->arg;
	row.ret = e->ret;
	row.error = e->ret < 0 ? error_name(-e->ret, error, sizeof(error)) : NULL;
	row.duration_ns = e->ns;
	row.decoded = ioctl__decode(&(struct ioctl_seen){
		.cmd = e->cmd,
		.arg = e->arg,
		.in = e->in,
		.ret = e->ret,
		.data = e->data,
		.len = e->len,
	});
	output__row(at->env->out, &row.row, 0);
	json_object_put(row.decoded);
}

const struct monitor kvm_ioctl_monitor = {
	.name = "kvm_ioctl",
	.key = 'l',
	.help = "KVM ioctls",
	.views = views,
	.columns = columns,
	.hooks = hooks,
	.elf = kvm_ioctl_bpf__elf_bytes,
	.prepare = prepare,
	.start = start,
	.report = report,
	.event = event,
	.event_view = VIEW_EVENTS,
	.stop = stop,
};
