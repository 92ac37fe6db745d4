// SPDX-License-Identifier: GPL-2.0-only
/* -l: ioctls on KVM descriptors. The kernel half is kvm_ioctl.bpf.c. */
#include "kvm_ioctl.h"

#include <errno.h>
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
#include "../core/events.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/shares.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../core/vm.h"
#include "../core/window.h"
#include "../decode/ioctls.h"
#include "kvm_ioctl.skel.h"

DEFINE_OPEN_SKELETON(kvm_ioctl_bpf)

#define MAP(_name) offsetof(struct kvm_ioctl_bpf, maps._name)
#define PROG(_name) offsetof(struct kvm_ioctl_bpf, progs._name)

enum {
	RECORDS_PER_SLOT = 32,
	OWNERS_PER_SLOT = 4,
	MAX_CALLS = 32768,
};

enum { VIEW_CALLS, VIEW_EVENTS };

struct ioctl_row {
	struct row row;
	const char *name;
	uint64_t cmd;
	const char *fd_kind;
	uint64_t count;
	struct tally failed;
	struct json_object *errors;
	struct times time; /* of those that returned */
	uint64_t total_ns; /* of all */
	uint32_t open;
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
	char text[IOCTL_NAME_LEN];
};

static const struct view views[] = {
	[VIEW_CALLS] = { .title = "KVM_IOCTL", .name = "KVM_IOCTL", SAMPLES_OF(VIEW_CALLS) },
	[VIEW_EVENTS] = { .title = "KVM_IOCTL calls", .name = "KVM_IOCTL_CALLS", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct ioctl_row, __VA_ARGS__)
#define CALLS .views = 1 << VIEW_CALLS
#define EVENTS .views = 1 << VIEW_EVENTS
#define TIME(what) OF_TIMES(struct ioctl_row, time, what)

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, EVENTS, .flags = COL_NAME | COL_WIDE,
	    .help = "name of the calling thread"),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .flags = COL_FRAME, .width = 26,
	    .help = "name of the ioctl, as in linux/kvm.h"),
	COL(cmd, NULL, COL_HEX, ROLE_LABEL, .flags = COL_DATA_ONLY, .help = "ioctl number"),
	COL(fd_kind, "FD", COL_STRING, ROLE_LABEL, .width = 6,
	    .help = "kind of descriptor: kvm (/dev/kvm), vm, vcpu or device"),
	COL(fd, NULL, COL_U64, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "number of the descriptor"),
	COL(time, "CALLS", COL_TIMES, ROLE_COUNTER, CALLS, .help = "time inside the calls"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, CALLS, .flags = COL_COST,
	    .help = "time inside the calls, including those that have not returned"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_FIRST, CALLS, TIME(MIN),
	    .flags = COL_WORSE, .help = "shortest"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD, CALLS, TIME(MAX),
	    .flags = COL_WORSE, .help = "longest"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, CALLS, TIME(P50), .flags = COL_WORSE,
	    .help = "median, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, CALLS, TIME(P99), .flags = COL_WORSE,
	    .help = "99th percentile, within 12.5 %"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, CALLS, .help = "calls that returned"),
	COL(open, "OPEN", COL_U32, ROLE_GAUGE, CALLS, .merge = MERGE_SUM,
	    .help = "calls that had not returned at the end of the interval"),
	COL(failed, NULL, COL_TALLY, ROLE_COUNTER, CALLS, .help = "of COUNT, failed calls"),
	COL(errors, "ERRORS", COL_OBJECT, ROLE_GAUGE, CALLS, .flags = COL_COMPUTED,
	    .help = "failed calls, by errno"),
	COL(duration_ns, "TIME", COL_NSEC, ROLE_GAUGE, EVENTS, .flags = COL_USEC, .width = 8,
	    .help = "time inside the call (table: us)"),
	COL(ret, "RET", COL_S64, ROLE_LABEL, EVENTS, .width = 4,
	    .help = "return value; negative: an errno"),
	COL(error, NULL, COL_STRING, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "name of the errno"),
	COL(arg, NULL, COL_HEX, ROLE_LABEL, EVENTS, .flags = COL_DATA_ONLY,
	    .help = "raw third argument"),
	COL(decoded, "ARGUMENT", COL_OBJECT, ROLE_LABEL, EVENTS, .flags = COL_REST | COL_BIG_HEX,
	    .help = "decoded argument; output structures as the call left them"),
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
	{ "ioctl_return", HOOK_KPROBE, "__x64_sys_ioctl", PROG(return_kprobe),
	  .gives = "everything", .archs = ARCH_X86, .primary = true,
	  .applies = host__kretprobes_unlimited },
	{ "ioctl_return", HOOK_TRACEPOINT, "sys_exit_ioctl", PROG(return_tracepoint),
	  .gives = "everything", .primary = true },
	{ "ioctl_return", HOOK_FENTRY, "__x64_sys_ioctl", PROG(return_fexit), .archs = ARCH_X86 },
	{ "ioctl_return", HOOK_RAW_TP, "sys_exit", PROG(return_raw_tp) },

	{ "ioctl_enter", HOOK_KPROBE, "__x64_sys_ioctl", PROG(enter_kprobe), .gives = "everything",
	  .archs = ARCH_X86, .applies = host__kretprobes_unlimited },
	{ "ioctl_enter", HOOK_TRACEPOINT, "sys_enter_ioctl", PROG(enter_tracepoint),
	  .gives = "everything" },
	{ "ioctl_enter", HOOK_FENTRY, "__x64_sys_ioctl", PROG(enter_fentry), .archs = ARCH_X86 },
	{ "ioctl_enter", HOOK_RAW_TP, "sys_enter", PROG(enter_raw_tp) },
	{},
};

struct ioctl_state {
	struct ioctl_owner *owners;
	size_t owners_size, nr_owners;
	struct shares owner_shares;
	const struct vm_ref **vms; /* by owner */
	bool *forgotten;	   /* by owner: no new call finds it, see retire() */
	struct {
		uint64_t count; /* at the last look */
		bool ended;	/* nothing more would come at the look before the last one */
	} * seen;		/* by record */
};

static int prepare(struct attachment *at, void *opened)
{
	struct ioctl_state *state = at->state;
	struct kvm_ioctl_bpf *skel = opened;
	int err;

	state->nr_owners = (vcpus__max(at->env->vcpus) + 1) * OWNERS_PER_SLOT;
	err = bpf_map__set_max_entries(skel->maps.calls, MAX_CALLS);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.owners, state->nr_owners);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.owner_index, state->nr_owners);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.free_owners, state->nr_owners);
	if (!err)
		err = shares__prepare(skel->maps.owner_shares, state->nr_owners);
	return err;
}

static int start(struct attachment *at)
{
	const struct kvm_ioctl_bpf *skel = at->skel;
	struct ioctl_state *state = at->state;

	vcpus__prepare_finding(at->env->vcpus);
	state->owners = map__mmap(skel->maps.owners, &state->owners_size);
	if (!state->owners)
		return -errno;
	state->vms = calloc(state->nr_owners, sizeof(*state->vms));
	state->forgotten = calloc(state->nr_owners, sizeof(*state->forgotten));
	state->seen = calloc(at->records.nr, sizeof(*state->seen));
	if (!state->vms || !state->forgotten || !state->seen)
		return -ENOMEM;
	return shares__open(&state->owner_shares, skel->maps.owner_shares, state->nr_owners - 1);
}

static struct vcpu_info info_of(const struct ioctl_owner *owner)
{
	struct vcpu_info info = {
		.kvm = owner->kvm,
		.tgid = owner->tgid,
		.start_ns = owner->start_ns,
		.creator = owner->creator,
		.kept_args = owner->kept_args,
	};

	memcpy(info.comm, owner->comm, sizeof(info.comm));
	return info;
}

/* Nobody will ask for a name for it any more. */
static void leave_unnamed(const struct attachment *at, const struct ioctl_owner *owner)
{
	const struct vcpu_info info = info_of(owner);

	if (owner->in_use)
		vcpus__forget_args(at->env->vcpus, &info);
}

static void stop(struct attachment *at)
{
	struct ioctl_state *state = at->state;

	for (size_t i = 0; state->vms && i < state->nr_owners; i++)
		if (state->vms[i])
			vcpus__put_vm(state->vms[i]);
		else
			leave_unnamed(at, &state->owners[i]);
	if (state->owners)
		munmap(state->owners, state->owners_size);
	shares__close(&state->owner_shares);
	free(state->vms);
	free(state->forgotten);
	free(state->seen);
}

/* An owner has had it: it was at that address before. */
static bool has_owner(const struct ioctl_state *state, const struct vm_ref *vm)
{
	for (size_t i = 1; vm && i < state->nr_owners; i++)
		if (state->vms[i] == vm)
			return true;
	return false;
}

/* The VM of an owner that is seen for the first time. */
static const struct vm_ref *name_vm(const struct attachment *at, const struct ioctl_owner *owner)
{
	struct vcpus *vcpus = at->env->vcpus;
	const struct vcpu_info info = info_of(owner);
	const struct vm_ref *vm = NULL;

	/* Those that ran there before belong to the VM before. */
	vcpus__learn(vcpus);
	/* A VM with vCPUs is its owner's, though another process may have called first. */
	if (info.kvm)
		vm = vcpus__find_vm(vcpus, info.kvm, info.creator);
	if (!vm || vm->tgid != info.tgid || vm->start_ns != info.start_ns)
		vm = vcpus__add_vm(vcpus, &info);
	if (has_owner(at->state, vm))
		vm = vcpus__new_vm(vcpus, &info);
	vcpus__forget_args(vcpus, &info);
	return vm;
}

static const struct vm_ref *vm_of(const struct attachment *at, uint32_t index)
{
	const struct ioctl_state *state = at->state;

	if (!index || index >= state->nr_owners)
		return NULL;
	if (!state->vms[index] && __atomic_load_n(&state->owners[index].in_use, __ATOMIC_ACQUIRE))
		state->vms[index] = vcpus__get_vm(name_vm(at, &state->owners[index]));
	return state->vms[index];
}

/* Owners are named while their processes live. */
static void look(struct attachment *at)
{
	const struct ioctl_state *state = at->state;

	for (size_t i = 1; i < state->nr_owners; i++)
		vm_of(at, i);
}

/* --vcpu is about calls on vCPUs: others have none, and stay. */
static bool is_chosen(const struct attachment *at, const struct vm_ref *vm, uint16_t kind,
		      uint16_t vcpu)
{
	return vm->chosen && (kind != FD_VCPU || filter__has_vcpu(at->env->filter, vcpu));
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

/* A command on a kind of descriptor of one VM, whichever thread calls it. */
static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct ioctl_record *record = records__get(&at->records, index);
	const struct ioctl_key *key = &record->key;
	const struct vm_ref *vm = vm_of(at, key->owner);
	struct ioctl_row *row = (struct ioctl_row *)to;

	if (!vm)
		return -EAGAIN;
	vm_ref__row(vm, 0, to);
	row->name = key->tid ? ioctl__name(key->cmd, row->text, sizeof(row->text)) : OTHERS;
	row->cmd = key->tid ? key->cmd : UINT64_MAX;
	row->fd_kind = kind_name(key->kind);
	return is_chosen(at, vm, key->kind, key->vcpu) ? VIEW_CALLS : -ENOENT;
}

static bool thread_lives(const struct ioctl_key *key)
{
	/* The caller need not be of the VM's own process, so its process is not known here. */
	return !syscall(SYS_tkill, key->tid, 0) || errno != ESRCH || !host__initial_pid_namespace();
}

/* In this order: what has failed or was timed is counted, and none is open that is. */
static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct ioctl_record *record = records__get(&at->records, index);
	const struct ioctl_state *state = at->state;
	struct ioctl_row *row = (struct ioctl_row *)to;
	uint64_t since, total;

	memset(&row->failed, 0, sizeof(row->failed));
	for (int i = 0; i < IOCTL_ERRORS; i++) {
		const struct ioctl_error *e = &record->errors[i];
		uint64_t count = __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
		/* The last one is all that have no place of their own. */
		bool other = i == IOCTL_ERRORS - 1 || !e->error;

		if (count)
			tally__add(&row->failed, other ? TALLY_OTHER : (int32_t)e->error, count);
	}
	records__times(at, index, &row->time, &record->stat);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	row->count = __atomic_load_n(&record->count, __ATOMIC_RELAXED);
	state->seen[index].count = row->count;
	total = row->time.total_ns;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	since = __atomic_load_n(&record->since, __ATOMIC_RELAXED);
	row->open = since && thread_lives(&record->key);
	if (row->open && at->now_ns > since)
		total += at->now_ns - since;
	row->total_ns = records__passed(at, index, total);
}

static bool process_lives(const struct ioctl_owner *owner)
{
	enum { NSEC_PER_TICK = 10000000 };
	uint64_t start = vm__task_start("/proc", owner->tgid, owner->tgid);

	if (!host__initial_pid_namespace())
		return true; /* not known: /proc has other processes */
	return start && start + 1 >= owner->start_ns / NSEC_PER_TICK &&
	       start <= owner->start_ns / NSEC_PER_TICK + 1;
}

static void forget(struct attachment *at, uint32_t index)
{
	struct ioctl_state *state = at->state;

	memset(&state->seen[index], 0, sizeof(state->seen[index]));
}

static void forget_owner(struct attachment *at, uint32_t index)
{
	const struct kvm_ioctl_bpf *skel = at->skel;
	struct ioctl_state *state = at->state;
	const struct ioctl_owner *owner = &state->owners[index];
	struct owner_key key = { .kvm = owner->kvm, .tgid = owner->kvm ? 0 : owner->tgid };

	map__forget(skel->maps.owner_index, &key, index);
	state->forgotten[index] = true;
}

static void free_owner(struct attachment *at, uint32_t index)
{
	const struct kvm_ioctl_bpf *skel = at->skel;
	struct ioctl_state *state = at->state;

	vcpus__put_vm(state->vms[index]);
	state->vms[index] = NULL;
	state->forgotten[index] = false;
	memset(&state->owners[index], 0, sizeof(state->owners[index]));
	shares__give_back(&state->owner_shares, index);
	map__give_back(skel->maps.free_owners, index);
}

/* Its process, or VM, is gone, and it has no record. */
static void retire_owner(struct attachment *at, uint32_t index)
{
	const struct ioctl_state *state = at->state;
	const struct ioctl_owner *owner = &state->owners[index];

	if (state->forgotten[index])
		free_owner(at, index);
	else if (owner->replaced || !process_lives(owner))
		forget_owner(at, index);
}

/* All that is in the record is taken, or nobody asks for it. */
static bool is_taken(const struct attachment *at, uint32_t index)
{
	const struct record_owner *owner = &at->records.owners[index];
	const struct ioctl_record *record = records__get(&at->records, index);
	const struct ioctl_state *state = at->state;

	return owner->unwanted || (owner->source && record->count == state->seen[index].count);
}

/* False: the record is free again. */
static bool retire_record(struct attachment *at, uint32_t index)
{
	const struct ioctl_record *record = records__get(&at->records, index);
	const struct ioctl_state *state = at->state;
	const struct ioctl_owner *owner = &state->owners[record->key.owner];
	bool ended = owner->replaced ||
		     (record->key.tid ? !thread_lives(&record->key) : !process_lives(owner));

	/* An interval later: what it did since the ring was read is shown by then. */
	if (ended && state->seen[index].ended && is_taken(at, index)) {
		records__retire(at, index);
		return false;
	}
	state->seen[index].ended = ended;
	return true;
}

/*
 * Makes room: records of threads that are gone and of VMs whose address is
 * another's, then owners without a record whose process is gone. A process may
 * make records behind the look at them, and end before the look at it. So its
 * owners are forgotten first, and free at the next look, if that finds no record.
 */
static void retire(struct attachment *at)
{
	const struct ioctl_state *state = at->state;
	bool *used = calloc(state->nr_owners, sizeof(*used));

	if (!used)
		return;
	for (size_t i = 1; i < at->records.nr; i++) {
		const struct ioctl_record *record = records__get(&at->records, i);
		uint32_t owner = record->key.owner;

		if (record->in_use && owner < state->nr_owners && retire_record(at, i))
			used[owner] = true;
	}
	for (size_t i = 1; i < state->nr_owners; i++)
		if (state->owners[i].in_use && !used[i])
			retire_owner(at, i);
	free(used);
}

static const struct record_kind records = {
	.records = MAP(ioctl_records),
	.record_size = sizeof(struct ioctl_record),
	.per_slot = RECORDS_PER_SLOT,
	.index = MAP(ioctl_index),
	.key_at = offsetof(struct ioctl_record, key),
	.free_records = MAP(free_records),
	.shares = MAP(ioctl_shares),
	.of_vm = true,
	.in_use_at = offsetof(struct ioctl_record, in_use),
	.begins_in_record = offsetof(struct ioctl_record, since),
	.label = label,
	.sample = sample,
	.forget = forget,
	.retire = retire,
};

static const char *error_name(int64_t error, char *buf, size_t size)
{
	const char *name = error == TALLY_OTHER ? "other" : strerrorname_np(error);

	if (name)
		return name;
	snprintf(buf, size, "ERRNO_%u", (unsigned int)error);
	return buf;
}

/* An empty object in JSON, nothing in tables. */
static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct ioctl_row *row = (struct ioctl_row *)sample->row;
	char name[32];

	(void)at;
	(void)window;
	row->errors = json_object_new_object();
	for (uint32_t i = 0; i < row->failed.nr; i++)
		json_object_object_add(row->errors,
				       error_name(row->failed.list[i].key, name, sizeof(name)),
				       json_object_new_uint64(row->failed.list[i].count));
}

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct ioctl_event *e = data;
	const struct vm_ref *vm;
	struct ioctl_row row = {};
	char error[32];

	if (size < sizeof(*e) || e->len > size - sizeof(*e))
		return;
	vm = vm_of(at, e->owner);
	/* kind 0: the note that this owner is new. */
	if (!e->kind || !vm || !is_chosen(at, vm, e->kind, e->vcpu))
		return;
	row.row = (struct row){
		.ts_ns = e->head.ts_ns,
		.vm = vm->label,
		.vm_id = vm->id,
		.vm_nr = vm->nr,
		.pid = e->head.tgid,
		.tid = e->head.tid,
		.vcpu = e->kind == FD_VCPU ? e->vcpu : UINT32_MAX,
	};
	row.comm = e->head.comm;
	row.name = ioctl__name(e->cmd, row.text, sizeof(row.text));
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
	events__row(at, &row.row);
	json_object_put(row.decoded);
}

#define OF_CALLS .views = 1 << VIEW_CALLS
#define CALL(_name, _at) LABEL(struct ioctl_row, _name, _at)

static const struct metric metrics[] = {
	METRIC(struct ioctl_row, COUNTER, "kvm_ioctls", count, OF_CALLS,
	       .labels = { CALL("fd", fd_kind), CALL("name", name) },
	       .help = "Calls by the VMM that returned."),
	METRIC(struct ioctl_row, COUNTER, "kvm_ioctl_time_seconds", total_ns, OF_CALLS,
	       .labels = { CALL("fd", fd_kind), CALL("name", name) },
	       .help = "Time inside the calls, including those that have not returned."),
	METRIC(struct ioctl_row, HISTOGRAM, "kvm_ioctl_duration_seconds", time, OF_CALLS,
	       .labels = { CALL("fd", fd_kind) }, .help = "Duration of calls that returned."),
	METRIC(struct ioctl_row, COUNTER, "kvm_ioctl_errors", errors, OF_CALLS, .key = "error",
	       .labels = { CALL("name", name) }, .help = "Calls that failed, by errno."),
	{},
};

const struct monitor kvm_ioctl_monitor = {
	.name = "kvm_ioctl",
	.key = 'l',
	.help = "KVM ioctls",
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct ioctl_row),
	.state_size = sizeof(struct ioctl_state),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.look = look,
	.finish = finish,
	.event = event,
	.event_view = VIEW_EVENTS,
	.event_ns_at = offsetof(struct ioctl_row, duration_ns),
};
