// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -l: every ioctl() on a KVM descriptor, from the system call's begin to its
 * return. What a descriptor is, its file tells: /dev/kvm is the character
 * device 10:232; VMs, vCPUs and devices are anonymous inodes that KVM names
 * "kvm-vm", "kvm-vcpu:N" and "kvm-<device>" (create_vcpu_fd(),
 * kvm_ioctl_create_device(), kvm_dev_ioctl_create_vm() in
 * virt/kvm/kvm_main.c). The command's number plays no part in that, so a
 * command KVM does not know is there too.
 *
 * The system call is watched and not kvm_vm_ioctl() and its like, because
 * some commands never get there (FIOCLEX, FIONBIO in fs/ioctl.c) and strace
 * shows the same calls.
 */
#include "../bpf/events.bpf.h"
#include "../bpf/hooks.bpf.h"
#include "../bpf/place.bpf.h"
#include "../bpf/stat.bpf.h"
#include "kvm_ioctl.h"

#define NR_IOCTL 16
#define TS_COMPAT 2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ioctl_call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PLACE_BITS);
	__type(key, u32);
	__type(value, struct ioctl_place);
} call_places SEC(".maps");

/*
 * What a file is, by its table of operations, as it was told last. Anew in each interval: a
 * module that comes again may have others at these addresses.
 */
enum { KNOWN_KINDS = 64, KIND_MASK = 7 };
static struct known_kind {
	u64 ops; /* its address, whose lowest bits are the kind */
	u64 epoch;
} known_kinds[KNOWN_KINDS];

/* Records, by thread and command. */
RECENT(recent_records);

TABLE(owners, struct ioctl_owner, owner_index, struct owner_key, free_owners);
SHARES(owner_shares);

TABLE(ioctl_records, struct ioctl_record, ioctl_index, struct ioctl_key, free_records);
SHARES(ioctl_shares);

/* struct kvm_device begins with { ops, kvm } since it exists; not every kernel has its BTF. */
static __always_inline u64 device_kvm(void *device)
{
	u64 kvm = 0;

	bpf_probe_read_kernel(&kvm, sizeof(kvm), device + 8);
	return kvm;
}

static __always_inline u32 kind_of(struct file *file)
{
	u64 ops = READ_U64(file, f_op), now = epoch;
	struct known_kind *known = &known_kinds[ops >> 5 & (KNOWN_KINDS - 1)];
	u64 seen = known->ops;

	if ((seen & ~(u64)KIND_MASK) == ops && known->epoch == now)
		return seen & KIND_MASK;
	seen = file_kind(file);
	if (ops & KIND_MASK)
		return seen;
	known->ops = ops | seen;
	/* Last: another one's address may be there, which is as true. */
	barrier();
	known->epoch = now;
	return seen;
}

/* Both are near the begin of a vCPU: where a look takes a helper, one look for both. */
static __always_inline void vcpu_of(struct kvm_vcpu *vcpu, u64 *kvm, u16 *id)
{
	char begin[64];
	u64 kvm_at = bpf_core_field_offset(vcpu->kvm), id_at = bpf_core_field_offset(vcpu->vcpu_id);

	if (casts || kvm_at > sizeof(begin) - 8 || id_at > sizeof(begin) - 8) {
		*kvm = READ_U64(vcpu, kvm);
		*id = READ_U32(vcpu, vcpu_id);
		return;
	}
	bpf_probe_read_kernel(begin, sizeof(begin), vcpu);
	*kvm = *(u64 *)(begin + kvm_at);
	*id = *(u32 *)(begin + id_at);
}

/* What kind of descriptor it is, whose, and which vCPU's. */
static __always_inline u32 identify(struct file *file, u64 *kvm, u16 *vcpu)
{
	u32 kind = kind_of(file);
	void *private;

	if (kind == FD_OTHER || kind == FD_KVM)
		return kind;
	private = (void *)READ_U64(file, private_data);
	if (kind == FD_VM)
		*kvm = (u64) private;
	else if (kind == FD_VCPU)
		vcpu_of(private, kvm, vcpu);
	else
		*kvm = device_kvm(private);
	return kind;
}

/* Tells user space at once, which names the VM while its process lives. */
static __always_inline void announce(u32 owner)
{
	struct ioctl_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	/* No loss: user space finds it in the table too, only later. */
	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->owner = owner;
	bpf_ringbuf_submit(event, 0);
}

/* kvm->userspace_pid, which KVM keeps for as long as the VM lives; of a process 0. */
static __always_inline u32 creator_of(u64 kvm)
{
	return kvm ? READ_U32((struct kvm *)kvm, userspace_pid) : 0;
}

static __always_inline u64 process_start(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, group_leader, start_boottime);
}

/*
 * It is not what was there before: a VM that another thread has made, whose end was not
 * seen, or a process that had the same number.
 */
static __always_inline bool is_still(const struct ioctl_owner *owner)
{
	if (owner->replaced)
		return false;
	return owner->kvm ? owner->creator == creator_of(owner->kvm) :
			    owner->start_ns == process_start();
}

/* Whatever had this address, or number, is gone. */
static __always_inline void replace_owner(struct owner_key *key, struct ioctl_owner *old)
{
	bpf_map_delete_elem(&owner_index, key);
	old->replaced = 1;
}

/* 0: there is none. */
static __always_inline u32 known_owner(struct owner_key *key)
{
	u32 index = table__find(&owner_index, key);
	struct ioctl_owner *owner = index ? bpf_map_lookup_elem(&owners, &index) : NULL;

	if (!owner || is_still(owner))
		return index;
	replace_owner(key, owner);
	return 0;
}

static __noinline u32 new_owner(struct owner_key *key)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	u32 index = 0, tgid = bpf_get_current_pid_tgid() >> 32;
	bool first = share__is_first(&owner_shares, tgid);
	struct ioctl_owner *owner;

	/* A VM beyond the share of its process is the process's. */
	if (key->kvm && share__is_used_up(&owner_shares, tgid)) {
		key->kvm = 0;
		key->tgid = tgid;
		index = known_owner(key);
		if (index)
			return index;
	}
	owner = table__take(tgid, &owners, &free_owners, &index, LOST_RECORDS_FULL);
	if (!owner)
		return 0;
	owner->kvm = key->kvm;
	owner->creator = creator_of(key->kvm);
	owner->tgid = tgid;
	owner->start_ns = process_start();
	owner->replaced = 0;
	BPF_CORE_READ_STR_INTO(&owner->comm, leader, comm);
	if (!table__enter(&owner_index, key, &free_owners, &index, LOST_RECORDS_FULL))
		return index;
	share__take(&owner_shares, index, tgid);
	owner->kept_args = first && vcpus__keep_args(tgid, owner->start_ns);
	owner->in_use = 1;
	announce(index);
	return index;
}

static __always_inline u32 find_owner(u64 kvm)
{
	struct owner_key key = {
		.kvm = kvm,
		.tgid = kvm ? 0 : bpf_get_current_pid_tgid() >> 32,
	};

	return known_owner(&key) ?: new_owner(&key);
}

/* KVM_CREATE_VM returned a descriptor. */
static __noinline void vm_created(u32 fd)
{
	struct file *file = file_of(fd);
	struct owner_key key = {};
	struct ioctl_owner *old;
	u32 known;

	if (!file)
		return;
	key.kvm = (u64)BPF_CORE_READ(file, private_data);
	known = table__find(&owner_index, &key);
	old = known ? bpf_map_lookup_elem(&owners, &known) : NULL;
	if (old)
		replace_owner(&key, old);
	new_owner(&key);
}

/* What is beyond the caller's share of the records is counted together, whatever threads call. */
static __noinline u32 new_record(struct ioctl_key *key)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, index;

	if (share__is_used_up(&ioctl_shares, tgid)) {
		key->tid = 0;
		key->cmd = 0;
		key->vcpu = NO_VCPU;
		index = table__find(&ioctl_index, key);
		if (index)
			return index;
	}
	return TABLE_ADD(tgid, ioctl_shares, ioctl_records, struct ioctl_record, ioctl_index,
			 free_records, key, LOST_RECORDS_FULL);
}

static __noinline int count_error(struct ioctl_record *record, u32 error)
{
	if (!record)
		return 0;
	for (int i = 0; i < IOCTL_ERRORS; i++) {
		struct ioctl_error *e = &record->errors[i];

		/* A count keeps its name: user space may have read it. */
		if (i == IOCTL_ERRORS - 1)
			error = 0;
		else if (e->count && e->error != error)
			continue;
		e->error = error;
		e->count++;
		break;
	}
	return 0;
}

/* How much of what arg points to is worth showing: the command's number says it. */
static __always_inline u32 data_size(u32 cmd)
{
	u32 size = cmd >> 16 & 0x3fff;

	/* Its entries follow a head of 8 bytes. */
	if (cmd == IOCTL_SET_GSI_ROUTING)
		return 8 + IOCTL_ROUTES * 48;
	if (!(cmd >> 30))
		return 0;
	return size < IOCTL_DATA ? size : IOCTL_DATA;
}

static __always_inline void fill_event(struct ioctl_event *event, const struct ioctl_call *call,
				       u32 owner, s64 ret, u64 ns)
{
	event__head(&event->head, 0);
	event->arg = call->arg;
	event->in = call->in;
	event->ns = ns;
	event->ret = ret;
	event->cmd = call->cmd;
	event->fd = call->fd;
	event->owner = owner;
	event->kind = call->kind;
	event->vcpu = call->vcpu;
	event->len = 0;
	event->pad = 0;
}

/* The kernel has just copied it, so it is there. After the call output structures are full. */
static __noinline int emit_small(const struct ioctl_call *call, u32 owner, s64 ret, u64 ns)
{
	u64 size = call ? data_size(call->cmd) : 0;
	struct ioctl_event *event;

	if (!call)
		return 0;
	event = event__reserve(sizeof(*event) + IOCTL_SMALL_DATA);
	if (!event)
		return 0;
	fill_event(event, call, owner, ret, ns);
	if (size > IOCTL_SMALL_DATA)
		size = 0;
	/* Here the verifier knows the bounds. The compiler must not merge other tests with it. */
	barrier_var(size);
	if (!bpf_probe_read_user(event->data, size, (void *)call->arg))
		event->len = size;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __noinline int emit_large(const struct ioctl_call *call, u32 owner, s64 ret, u64 ns)
{
	u64 size = call ? data_size(call->cmd) : 0;
	struct ioctl_event *event;

	if (!call)
		return 0;
	event = event__reserve(sizeof(*event) + IOCTL_DATA);
	if (!event)
		return 0;
	fill_event(event, call, owner, ret, ns);
	if (size > IOCTL_DATA)
		size = 0;
	barrier_var(size);
	if (!bpf_probe_read_user(event->data, size, (void *)call->arg))
		event->len = size;
	/* A short list at the end of a mapping: the head alone. */
	else if (call->cmd == IOCTL_SET_GSI_ROUTING &&
		 !bpf_probe_read_user(event->data, 8, (void *)call->arg))
		event->len = 8;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* The record of a call of the current thread's; 0: there is none left. */
static __always_inline u32 find_record(const struct ioctl_call *call)
{
	struct ioctl_key key = {
		.owner = call->owner,
		.tid = (u32)bpf_get_current_pid_tgid(),
		.cmd = call->cmd,
		.kind = call->kind,
		.vcpu = call->vcpu,
	};

	return table__find(&ioctl_index, &key) ?: new_record(&key);
}

static __always_inline u32 *recent_record(u32 tid, u32 cmd)
{
	return &recent_records[(tid * 0x9e3779b1U ^ cmd * 0x85ebca6bU) >> (32 - RECENT_BITS)];
}

/* The thread's last record of that command is this call's: the tables would tell the same. */
static __always_inline bool is_record_of(u32 index, u64 pid_tgid, const struct ioctl_call *call)
{
	struct ioctl_record *record = bpf_map_lookup_elem(&ioctl_records, &index);
	struct ioctl_owner *owner;

	if (!index || !record || !record->in_use || record->key.tid != (u32)pid_tgid ||
	    record->key.cmd != call->cmd || record->key.kind != call->kind ||
	    record->key.vcpu != call->vcpu)
		return false;
	owner = bpf_map_lookup_elem(&owners, &record->key.owner);
	if (!owner || !owner->in_use || owner->replaced || owner->kvm != call->kvm)
		return false;
	return call->kvm || (owner->tgid == pid_tgid >> 32 && owner->start_ns == process_start());
}

static __noinline int find_both(struct ioctl_call *call)
{
	if (!call)
		return 0;
	call->owner = find_owner(call->kvm);
	call->record = call->owner ? find_record(call) : 0;
	*recent_record((u32)bpf_get_current_pid_tgid(), call->cmd) = call->record;
	return 0;
}

static __always_inline void begin_call(struct ioctl_call *call, u64 pid_tgid)
{
	struct ioctl_record *record;
	u32 recent = *recent_record((u32)pid_tgid, call->cmd);

	if (is_record_of(recent, pid_tgid, call)) {
		record = bpf_map_lookup_elem(&ioctl_records, &recent);
		call->record = recent;
		call->owner = record ? record->key.owner : 0;
	} else {
		find_both(call);
	}
	record = bpf_map_lookup_elem(&ioctl_records, &call->record);
	call->start_ns = bpf_ktime_get_ns();
	if (record && call->record && record->key.tid)
		record->since = call->start_ns;
}

static __always_inline struct ioctl_place *place_of(u32 tid)
{
	u32 index = tid & ((1 << PLACE_BITS) - 1);

	return bpf_map_lookup_elem(&call_places, &index);
}

/* The call is about to be made. */
static __noinline int on_enter(u32 fd, u32 cmd, u64 arg)
{
	struct ioctl_call call = { .arg = arg, .cmd = cmd, .fd = fd, .vcpu = NO_VCPU };
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = (u32)pid_tgid;
	struct ioctl_place *place = place_of(tid);
	struct file *file = file_of(fd);

	/* One that was killed in a call had the number before. */
	if (place && place->place.tid == tid)
		place->place.busy = 0;
	else if (place && place->place.claims)
		bpf_map_delete_elem(&calls, &tid);
	if (!file)
		return 0;
	call.kind = identify(file, &call.kvm, &call.vcpu);
	if (call.kind == FD_OTHER)
		return 0;
	if (!no_events && cmd == IOCTL_IRQ_LINE_STATUS)
		bpf_probe_read_user(&call.in, sizeof(call.in), (void *)arg);
	begin_call(&call, pid_tgid);
	if (place && place__claim(&place->place, tid)) {
		__builtin_memcpy(&place->call, &call, sizeof(call));
		place->place.busy = 1;
	} else if (bpf_map_update_elem(&calls, &tid, &call, BPF_ANY)) {
		lose(LOST_RECORDS_FULL);
	}
	return 0;
}

/* Of many threads: errors have no names, which takes one writer. */
static __always_inline void count_shared(struct ioctl_record *record, s64 ret, u64 ns)
{
	__sync_fetch_and_add(&record->count, 1);
	stat__add_shared(&record->stat, ns);
	if (ret < 0)
		__sync_fetch_and_add(&record->errors[IOCTL_ERRORS - 1].count, 1);
}

/* since: user space may have moved it to the window's begin. */
static __always_inline void count_call(const struct ioctl_call *call, s64 ret, u64 now)
{
	struct ioctl_record *record = bpf_map_lookup_elem(&ioctl_records, &call->record);
	u64 since;

	if (!record || !call->record)
		return;
	if (!record->key.tid) {
		count_shared(record, ret, now - call->start_ns);
		return;
	}
	since = record->since;
	/* First: a call that user space sees as open is in no counter. */
	record->since = 0;
	barrier();
	record->count++;
	stat__add(&record->stat, now > since ? now - since : 0);
	if (ret < 0)
		count_error(record, -ret);
}

static __noinline int end_call(const struct ioctl_call *call, s64 ret)
{
	u64 now = bpf_ktime_get_ns(), ns;

	if (!call)
		return 0;
	ns = now - call->start_ns;
	count_call(call, ret, now);
	if (call->owner && !no_events && call->cmd != IOCTL_RUN && !event__is_quick(ns)) {
		if (data_size(call->cmd) > IOCTL_SMALL_DATA)
			emit_large(call, call->owner, ret, ns);
		else
			emit_small(call, call->owner, ret, ns);
	}
	if (call->kind == FD_KVM && call->cmd == IOCTL_CREATE_VM && ret >= 0)
		vm_created(ret);
	return 0;
}

/* The thread's place is another one's. */
static __noinline int end_displaced(u32 tid, s64 ret)
{
	struct ioctl_call *call = bpf_map_lookup_elem(&calls, &tid);

	if (!call)
		return 0;
	end_call(call, ret);
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

/* The call returns ret. One that began before the watching did is not known here. */
static __noinline int on_return(s64 ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct ioctl_place *place = place_of(tid);

	/* Nobody has come here yet. */
	if (!place || !place->place.claims)
		return 0;
	if (place->place.tid != tid)
		return end_displaced(tid, ret);
	if (!place->place.busy)
		return 0;
	place->place.busy = 0;
	return end_call(&place->call, ret);
}

static __always_inline int enter_with(struct pt_regs *regs)
{
	return on_enter(READ_U64(regs, di), READ_U64(regs, si), READ_U64(regs, dx));
}

/* __x64_sys_ioctl(regs): of 64-bit processes. */
SEC("?fentry/__x64_sys_ioctl")
int enter_fentry(u64 *ctx)
{
	return enter_with((void *)untyped_arg(ctx, 0));
}

/* fprobes, which do not take instances from a pool where they are on the function graph tracer. */
SEC("?kprobe.multi/__x64_sys_ioctl")
int enter_kprobe(struct pt_regs *ctx)
{
	return enter_with((void *)ctx->di);
}

SEC("?kretprobe.multi/__x64_sys_ioctl")
int return_kprobe(struct pt_regs *ctx)
{
	return on_return(ctx->ax);
}

FEXIT(return_fexit, __x64_sys_ioctl, on_return(untyped_arg(ctx, 1)))

/* The record: 8 bytes common, 8 for the number, then 8 for each argument. */
struct sys_enter_args {
	u64 common, nr, fd, cmd, arg;
};

struct sys_exit_args {
	u64 common, nr, ret;
};

SEC("?tp/syscalls/sys_enter_ioctl")
int enter_tracepoint(struct sys_enter_args *ctx)
{
	on_enter(ctx->fd, ctx->cmd, ctx->arg);
	return LEAVE_TO_PERF;
}

SEC("?tp/syscalls/sys_exit_ioctl")
int return_tracepoint(struct sys_exit_args *ctx)
{
	on_return(ctx->ret);
	return LEAVE_TO_PERF;
}

/* The number means another call in 32-bit processes. */
static __always_inline bool is_compat(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

/* sys_enter(regs, id) and sys_exit(regs, ret) of every system call. */
SEC("?raw_tp/sys_enter")
int enter_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];

	if (ctx->args[1] != NR_IOCTL || is_compat())
		return 0;
	return enter_with(regs);
}

SEC("?raw_tp/sys_exit")
int return_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];

	if (BPF_CORE_READ(regs, orig_ax) != NR_IOCTL)
		return 0;
	return on_return(ctx->args[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
