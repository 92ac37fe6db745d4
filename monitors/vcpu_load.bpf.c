// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * -o: the load of the vCPUs, and where their time goes.
 *
 * Every vCPU thread is in one state of enum budget at any moment, and every
 * event closes the state before it; so the budget adds up by construction.
 *   kvm_fpu(1), kvm_fpu(0): KVM_RUN begins and ends (kvm_load_guest_fpu() and
 *	kvm_put_guest_fpu() in arch/x86/kvm/x86.c): between the VMM and KVM;
 *   kvm_entry, kvm_exit: between KVM and the guest;
 *   sched_switch: on and off a CPU (__schedule() in kernel/sched/core.c);
 *   sched_wakeup: from asleep onto a run queue (ttwu_do_wakeup(), under that
 *	queue's lock, as sched_switch is: the list of its waiters needs no other);
 *   kvm_vcpu_wakeup: a halt has ended, and KVM has counted its polling.
 * A load period is what vcpu_load() and vcpu_put() bracket in KVM_RUN: the vCPU
 * is on a physical CPU.
 */
#include "../bpf/each.bpf.h"
#include "../bpf/existing.bpf.h"
#include "../bpf/run.bpf.h"
#include "../bpf/stat.bpf.h"
#include "vcpu_load.h"

#define TASK_DEAD 0x80 /* include/linux/sched.h, since 4.x */

/* Places that are looked at for a thief: a pair beyond them gets a second place. */
enum { MOST_IN_CHAIN = 4 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct load_record);
} load_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct run_queue);
} run_queues SEC(".maps");

/* A log of 1 << log_bits for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct thief);
} thieves SEC(".maps");

const volatile __u32 log_bits = LEAST_LOG_BITS;

/* As slot_cache, for this monitor alone: a variable costs less than a map. */
static u16 load_slots[1 << SLOT_CACHE_BITS];

/* No account begins before all hooks are attached; then the iterator or user space clears it. */
volatile __u64 closed = 1;

/* User space reads a record again that changed while it did. */
static __always_inline void write_begin(struct load_record *r)
{
	r->seq++;
	barrier();
}

static __always_inline void write_end(struct load_record *r)
{
	barrier();
	r->seq++;
}

/* The time up to now was spent in a state. Time never goes back, whatever CPU tells it. */
static __always_inline void credit(struct load_record *r, u64 now, u32 state)
{
	u64 ns;

	if (now <= r->since_ns)
		return;
	ns = now - r->since_ns;
	r->ns[state & (NR_BUDGET - 1)] += ns;
	if (state == IN_KVM)
		r->handling_ns += ns;
	r->since_ns = now;
}

/* Since when a vCPU on no CPU waits for one; 0: it does not. */
static __always_inline u64 waits_since(const struct load_record *r)
{
	if (r->off == IN_STEAL)
		return r->since_ns;
	return r->off && r->woken_ns >= r->since_ns ? r->woken_ns : 0;
}

/*
 * An event in the thread itself: it is on a CPU. If it was on none, a switch
 * was not traced. It slept until it was woken, until now when that was not traced
 * either; what of the time since it was woken it ran nobody knows.
 */
static __noinline int credit_gap(struct load_record *r, u64 now)
{
	if (!r)
		return 0;
	if (r->off != IN_STEAL)
		credit(r, waits_since(r) ?: now, r->off);
	credit(r, now, IN_UNKNOWN);
	r->off = 0;
	return 0;
}

static __always_inline void credit_running(struct load_record *r, u64 now)
{
	if (r->off)
		credit_gap(r, now);
	else
		credit(r, now, r->state);
}

static __always_inline void note_cpu(struct load_record *r, u32 cpu)
{
	u64 this_epoch = epoch;
	struct cpus_used *used = &r->cpus[EPOCH_HALF(this_epoch)];
	u32 word = cpu / 64;

	if (used->epoch != this_epoch) {
		for (int i = 0; i < CPU_WORDS; i++)
			used->bits[i] = 0;
		used->epoch = this_epoch;
	}
	barrier_var(word);
	used->bits[word & (CPU_WORDS - 1)] |= 1ULL << (cpu & 63);
}

static __always_inline void load_begin(struct load_record *r, u64 now)
{
	r->load_ns = now;
	r->loads++;
}

static __always_inline void load_end(struct load_record *r, u64 now)
{
	/* User space may move it to the window's begin. */
	u64 begin = r->load_ns;

	if (begin)
		stat__add(&r->load, now > begin ? now - begin : 0);
	r->load_ns = 0;
}

static __always_inline u64 polled_ns(void *vcpu)
{
	struct halt_stats s = {};

	read_halt_stats(vcpu, &s);
	return s.ok_ns + s.failed_ns;
}

/* The record of a slot begins here, when the caller then sets first_ns, and last of all vcpu. */
static __always_inline void open_record(struct load_record *r, struct kvm_vcpu *vcpu,
					struct task_struct *task, u64 now)
{
	r->task = (u64)task;
	r->tid = BPF_CORE_READ(task, pid);
	r->polled_ns = polled_ns(vcpu);
	r->cpu = task_cpu(task);
	r->since_ns = now;
}

/* The record of a vCPU that the current thread has loaded, by the cache. */
static __always_inline struct load_record *cached_record(void *vcpu)
{
	u32 slot = load_slots[slot_cache__index((u64)vcpu)];
	struct load_record *r = bpf_map_lookup_elem(&load_records, &slot);

	return r && r->vcpu == (u64)vcpu ? r : NULL;
}

/* The same the slow way; the accounts of a new vCPU begin with this event. */
static __noinline struct load_record *find_record(struct kvm_vcpu *vcpu)
{
	u32 slot = vcpus__find_slot(vcpu, true);
	u64 now = bpf_ktime_get_ns();
	struct load_record *r;

	load_slots[slot_cache__index((u64)vcpu)] = slot;
	if (!slot)
		return NULL;
	vcpus__bind((u32)bpf_get_current_pid_tgid(), slot);
	r = bpf_map_lookup_elem(&load_records, &slot);
	if (!r || r->first_ns)
		return r;
	if (closed)
		return NULL;
	write_begin(r);
	open_record(r, vcpu, (void *)bpf_get_current_task(), now);
	r->state = IN_KVM;
	r->in_run = 1;
	note_cpu(r, bpf_get_smp_processor_id());
	load_begin(r, now);
	r->first_ns = now;
	barrier();
	r->vcpu = (u64)vcpu;
	write_end(r);
	return r;
}

static __always_inline struct load_record *record_of(struct kvm_vcpu *vcpu)
{
	struct load_record *r;

	if (!vcpu)
		return NULL;
	r = cached_record(vcpu);
	return r ? r : find_record(vcpu);
}

/* KVM_RUN begins. Whose thread this is, is made sure of here, once per KVM_RUN. */
static __always_inline int on_run(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct load_record *r;
	u32 slot;
	u64 now;

	if (!vcpu || !task_chosen())
		return 0;
	slot = vcpus__slot(vcpu);
	r = bpf_map_lookup_elem(&load_records, &slot);
	if (r && r->vcpu == (u64)vcpu && load_slots[slot_cache__index((u64)vcpu)] == slot)
		vcpus__bind(r->tid, slot);
	else
		r = find_record(vcpu);
	if (!r)
		return 0;
	now = bpf_ktime_get_ns();
	write_begin(r);
	credit_running(r, now);
	r->state = IN_KVM;
	r->handling_ns = 0;
	r->in_run = 1;
	note_cpu(r, bpf_get_smp_processor_id());
	if (!r->load_ns)
		load_begin(r, now);
	write_end(r);
	return 0;
}

/* KVM_RUN ends. */
static __always_inline int on_leave(void)
{
	struct load_record *r = task_chosen() ? record_of(loaded_vcpu()) : NULL;
	u64 now = bpf_ktime_get_ns();

	if (!r)
		return 0;
	write_begin(r);
	credit_running(r, now);
	r->state = IN_VMM;
	r->in_run = 0;
	load_end(r, now);
	write_end(r);
	return 0;
}

static __noinline int transition(struct load_record *r, u32 to, u64 now)
{
	if (!r)
		return 0;
	write_begin(r);
	credit_running(r, now);
	r->state = to;
	r->handling_ns = 0;
	write_end(r);
	return 0;
}

static __noinline int find_and_transition(struct kvm_vcpu *vcpu, u32 to)
{
	struct load_record *r = task_chosen() ? find_record(vcpu) : NULL;

	return transition(r, to, bpf_ktime_get_ns());
}

/*
 * The vCPU has left the guest, or is about to enter it. The cache first: what
 * it has is chosen. And what nearly always happens at once: transition() for that.
 */
static __always_inline int on_transition_at(struct kvm_vcpu *vcpu, u32 from, u32 to, u64 at,
					    bool is_told)
{
	struct load_record *r = cached_record(vcpu);
	u64 now, since;

	if (!r)
		return find_and_transition(vcpu, to);
	now = is_told ? at : bpf_ktime_get_ns();
	since = r->since_ns;
	if (r->state_and_off != from || now <= since)
		return transition(r, to, now);
	write_begin(r);
	r->ns[from] += now - since;
	r->since_ns = now;
	r->state = to;
	r->handling_ns = 0;
	write_end(r);
	return 0;
}

static __always_inline int on_transition(struct kvm_vcpu *vcpu, u32 from, u32 to)
{
	return on_transition_at(vcpu, from, to, 0, false);
}

/* A halt has ended: what KVM polled of the time since the exit was polling. */
static __noinline int on_wakeup(void)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();
	struct load_record *r = task_chosen() ? record_of(vcpu) : NULL;
	u64 total, polled;

	if (!r)
		return 0;
	total = polled_ns(vcpu);
	write_begin(r);
	credit_running(r, bpf_ktime_get_ns());
	polled = total - r->polled_ns;
	if (polled > r->handling_ns)
		polled = r->handling_ns;
	r->polled_ns = total;
	r->handling_ns -= polled;
	r->ns[IN_KVM] -= polled;
	r->ns[IN_POLL] += polled;
	write_end(r);
	return 0;
}

static __always_inline struct thief *thief_at(u32 cpu, u32 at)
{
	u32 index = cpu << log_bits | at;

	return bpf_map_lookup_elem(&thieves, &index);
}

/*
 * The current task's place in this CPU's log, as a thief of the vCPU of slot. NULL: it finds none.
 * What is not below nr_thieves is of a log that was begun anew: chains go down, and end there.
 */
static __noinline struct thief *find_thief(struct run_queue *rq, u32 cpu, u32 slot)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid, hash = slot * 0x9e3779b1U ^ tid * 0x85ebca6bU;
	struct thief *first = thief_at(cpu, hash >> (32 - log_bits)), *thief = NULL;
	u32 nr, at;

	if (!rq || !first)
		return NULL;
	nr = rq->nr_thieves;
	at = first->last;
	for (int i = 0; i < MOST_IN_CHAIN && at < nr; i++) {
		thief = thief_at(cpu, at);
		if (!thief)
			break;
		if (thief->key.slot == slot && thief->key.tid == tid)
			return thief;
		if (thief->older >= at)
			break;
		at = thief->older;
	}
	/* Where something came after user space had read it, that is to be read yet. */
	for (int i = 0; i <= MAX_WAITERS; i++) {
		at = nr;
		thief = at >> log_bits ? NULL : thief_at(cpu, at);
		if (!thief)
			return NULL;
		nr++;
		if (!thief->ns)
			break;
	}
	rq->nr_thieves = nr;
	if (thief->ns)
		return NULL;
	thief->key.slot = slot;
	thief->key.tid = tid;
	thief->tgid = pid_tgid >> 32;
	thief->older = first->last;
	first->last = at;
	return thief;
}

/*
 * The current task, which runs the vCPU of slot own or (0) none, has run for ns on this CPU while
 * the vCPU of slot waited for it. False: nobody is named for it.
 */
static __noinline bool rob(struct run_queue *rq, u32 cpu, u32 slot, u64 ns, u32 own)
{
	struct thief *thief = find_thief(rq, cpu, slot);

	if (!thief) {
		lose_of(LOST_RECORDS_FULL, vcpus__tgid(slot));
		return false;
	}
	/* Both may have changed since: a VMM starts a vCPU, a shell becomes a compiler. */
	thief->vcpu = own;
	bpf_get_current_comm(thief->comm, sizeof(thief->comm));
	/* Last, and at once: user space may take what is in it. */
	__sync_fetch_and_add(&thief->ns, ns);
	return true;
}

/* The current task leaves the CPU: to those that wait there, it was the thief. */
static __noinline int rob_waiters(struct run_queue *rq, u32 cpu, u64 now, u32 own)
{
	u32 tid = bpf_get_current_pid_tgid(), left = 0;

	if (!rq)
		return 0;
	for (int i = 0; i < MAX_WAITERS; i++) {
		u32 slot = rq->waiters[i];
		struct load_record *r;
		u64 since;

		if (!slot)
			continue;
		r = bpf_map_lookup_elem(&load_records, &slot);
		since = r ? waits_since(r) : 0;
		/* It ran elsewhere or waits elsewhere now, or here without a traced switch. */
		if (!since || task_cpu((void *)r->task) != cpu || r->tid == tid) {
			rq->waiters[i] = 0;
			continue;
		}
		left++;
		if (since < rq->since_ns)
			since = rq->since_ns;
		/* Nobody took the CPU while it was idle. */
		if (tid && now > since && !rob(rq, cpu, slot, now - since, own))
			__sync_fetch_and_add(&r->unnamed_ns, now - since);
	}
	rq->waiting = left;
	return 0;
}

static __noinline int add_waiter(struct run_queue *rq, u32 slot)
{
	int at = -1;

	if (!rq)
		return 0;
	for (int i = 0; i < MAX_WAITERS; i++) {
		if (rq->waiters[i] == slot)
			return 0;
		if (!rq->waiters[i])
			at = i;
	}
	if (at < 0 || at >= MAX_WAITERS)
		return 0;
	rq->waiters[at] = slot;
	rq->waiting++;
	return 0;
}

static __noinline int remove_waiter(struct run_queue *rq, u32 slot)
{
	if (!rq || !rq->waiting)
		return 0;
	for (int i = 0; i < MAX_WAITERS; i++) {
		if (rq->waiters[i] != slot)
			continue;
		rq->waiters[i] = 0;
		rq->waiting--;
		return 0;
	}
	return 0;
}

/* The current thread, a vCPU's, leaves its CPU. preempt: it was made to. */
static __noinline int switch_out(u32 slot, bool preempt, u64 now)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct load_record *r = bpf_map_lookup_elem(&load_records, &slot);
	u32 state = task_state(task);

	if (!r || !r->first_ns || r->tid != (u32)bpf_get_current_pid_tgid())
		return 0;
	write_begin(r);
	credit_running(r, now);
	/* No switch happens in the guest: the exit was not traced, or not yet. */
	if (r->state == IN_GUEST) {
		r->state = IN_KVM;
		r->handling_ns = 0;
	}
	if (preempt || !state)
		r->off = IN_STEAL;
	else if (!r->in_run)
		r->off = IN_VMM;
	else
		r->off = vcpu_waits((void *)r->vcpu) ? IN_HALT : IN_BLOCKED;
	load_end(r, now);
	if (state & TASK_DEAD)
		r->ended_ns = now;
	write_end(r);
	return r->off == IN_STEAL;
}

static __noinline int switch_in(u32 slot, u32 tid, u32 cpu, u64 now)
{
	struct load_record *r = bpf_map_lookup_elem(&load_records, &slot);
	struct run_queue *from, *to;
	u64 since;

	if (!r || !r->first_ns || r->tid != tid)
		return 0;
	write_begin(r);
	since = waits_since(r);
	if (!r->off && r->state == IN_VMM && r->woken_ns >= r->since_ns) {
		/* A switch to sleep was not traced; the VMM's time it is, running or asleep. */
		credit(r, r->woken_ns, IN_VMM);
		credit(r, now, IN_STEAL);
	} else if (!r->off) {
		credit(r, now, IN_UNKNOWN);
	} else if (since) {
		credit(r, since, r->off);
		credit(r, now, IN_STEAL);
	} else {
		/* Its waking was not seen. */
		credit(r, now, r->off);
	}
	r->off = 0;
	if (cpu != r->cpu) {
		from = bpf_map_lookup_elem(&run_queues, &r->cpu);
		to = bpf_map_lookup_elem(&run_queues, &cpu);
		r->migrations++;
		r->node_migrations += from && to && from->node != to->node;
		r->cpu = cpu;
	}
	note_cpu(r, cpu);
	if (r->in_run)
		load_begin(r, now);
	write_end(r);
	return 0;
}

/* sched_switch(bool preempt, prev, next, ...): prev, whose number is given, still is current. */
static __always_inline int on_switch(bool preempt, u32 prev, u32 tid)
{
	u32 cpu = bpf_get_smp_processor_id(), slot = vcpus__thread_slot(prev);
	struct run_queue *rq = bpf_map_lookup_elem(&run_queues, &cpu);
	u64 now = bpf_ktime_get_ns();

	if (rq) {
		if (rq->waiting)
			rob_waiters(rq, cpu, now, slot);
		rq->since_ns = now;
	}
	if (slot && switch_out(slot, preempt, now))
		add_waiter(rq, slot);
	slot = vcpus__thread_slot(tid);
	if (slot) {
		switch_in(slot, tid, cpu, now);
		remove_waiter(rq, slot);
	}
	return 0;
}

/* A task that slept is on a run queue now, whose lock is held. */
static __always_inline int on_woken(struct task_struct *task, u32 tid)
{
	u32 slot = vcpus__thread_slot(tid), cpu;
	struct load_record *r = slot ? bpf_map_lookup_elem(&load_records, &slot) : NULL;

	if (!r)
		return 0;
	r->woken_ns = bpf_ktime_get_ns();
	if (!r->off)
		return 0;
	cpu = task_cpu(task);
	return add_waiter(bpf_map_lookup_elem(&run_queues, &cpu), slot);
}

static __always_inline int on_fpu(u64 load)
{
	return load ? on_run() : on_leave();
}

RUN_PROGRAMS(fpu, on_fpu)

/* kvm_entry(vcpu, ...) */
RAW_TP(entry_raw_tp, kvm_entry, on_transition((void *)ctx->args[0], IN_KVM, IN_GUEST))
EACH_ENTRY(entry_each, on_transition_at((void *)vcpu, IN_KVM, IN_GUEST, now, true))
TP_BTF(entry_tp_btf, kvm_entry, on_transition((void *)untyped_arg(ctx, 0), IN_KVM, IN_GUEST))

SEC("?tp/kvm/kvm_entry")
int entry_tracepoint(void *ctx)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (vcpu)
		on_transition(vcpu, IN_KVM, IN_GUEST);
	return LEAVE_TO_PERF;
}

/* kvm_exit(vcpu, isa), until 5.15 (reason, vcpu, isa) */
SEC("?raw_tp/kvm_exit")
int exit_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	if (exit_args_old(ctx->args[0]))
		return on_transition((void *)untyped_arg(ctx, 1), IN_GUEST, IN_KVM);
	return on_transition((void *)ctx->args[0], IN_GUEST, IN_KVM);
}

EACH_EXIT(exit_each, on_transition_at((void *)vcpu, IN_GUEST, IN_KVM, now, true))
TP_BTF(exit_tp_btf, kvm_exit, on_transition((void *)untyped_arg(ctx, 0), IN_GUEST, IN_KVM))

SEC("?tp/kvm/kvm_exit")
int exit_tracepoint(void *ctx)
{
	struct kvm_vcpu *vcpu = loaded_vcpu();

	if (vcpu)
		on_transition(vcpu, IN_GUEST, IN_KVM);
	return LEAVE_TO_PERF;
}

/* kvm_vcpu_wakeup(ns, waited, valid) */
RAW_TP(wakeup_raw_tp, kvm_vcpu_wakeup, on_wakeup())
TP_BTF(wakeup_tp_btf, kvm_vcpu_wakeup, on_wakeup())

SEC("?tp/kvm/kvm_vcpu_wakeup")
int wakeup_tracepoint(void *ctx)
{
	on_wakeup();
	return LEAVE_TO_PERF;
}

RAW_TP(switch_raw_tp, sched_switch,
       on_switch(ctx->args[0] & 1, (u32)bpf_get_current_pid_tgid(),
		 BPF_CORE_READ((struct task_struct *)ctx->args[2], pid)))
TP_BTF(switch_tp_btf, sched_switch,
       on_switch(ctx[0] & 1, ((struct task_struct *)ctx[1])->pid,
		 ((struct task_struct *)ctx[2])->pid))

/* sched_wakeup(struct task_struct *p) */
RAW_TP(woken_raw_tp, sched_wakeup,
       on_woken((void *)ctx->args[0], BPF_CORE_READ((struct task_struct *)ctx->args[0], pid)))
/* The type is of use for the number alone. */
SEC("?tp_btf/sched_wakeup")
int woken_tp_btf(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 tid = task->pid;

	FORGET_TYPE(task);
	return on_woken(task, tid);
}

/*
 * A vCPU that exists: its thread may be running, preempted or asleep, in KVM or
 * not. Not inlined: the compiler would take field offsets that this kernel does
 * not have out of the caller's loop, and the verifier would see them.
 */
static __noinline int begin_as_it_is(struct load_record *r, struct kvm_vcpu *vcpu,
				     struct task_struct *task)
{
	u64 now = bpf_ktime_get_ns();

	if (!r)
		return 0;
	write_begin(r);
	open_record(r, vcpu, task, now);
	r->off = 0;
	r->load_ns = 0;
	r->loads = 0;
	r->in_run = task_vcpu(task) == vcpu;
	r->state = !r->in_run ? IN_VMM : vcpu_in_guest(vcpu) ? IN_GUEST : IN_KVM;
	if (task_on_cpu(task)) {
		if (r->in_run)
			load_begin(r, now);
	} else if (!task_state(task)) {
		r->off = IN_STEAL;
	} else if (!r->in_run) {
		r->off = IN_VMM;
	} else {
		r->off = vcpu_waits(vcpu) ? IN_HALT : IN_BLOCKED;
	}
	if (r->off && r->state == IN_GUEST)
		r->state = IN_KVM;
	barrier();
	r->first_ns = now;
	barrier();
	r->vcpu = (u64)vcpu;
	write_end(r);
	return 0;
}

SEC("?iter/task_file")
int existing(struct bpf_iter__task_file *ctx)
{
	struct kvm_vcpu *vcpu = existing_vcpu(ctx);
	struct task_struct *task = vcpu ? vcpu_task(vcpu) : NULL;
	struct load_record *r;
	u32 slot, tid;
	u64 seq;

	closed = 0;
	if (!task)
		return 0;
	slot = vcpus__slot_of(vcpu, task);
	r = slot ? bpf_map_lookup_elem(&load_records, &slot) : NULL;
	/* One that the other hooks have seen in the meantime is known better to them. */
	if (!r || r->first_ns)
		return 0;
	tid = BPF_CORE_READ(task, pid);
	vcpus__bind_other(tid, slot);
	/* A switch in the middle of this was not noted in the record, but it shows in the task. */
	for (int i = 0; i < 8; i++) {
		begin_as_it_is(r, vcpu, task);
		seq = r->seq;
		barrier();
		if (task_on_cpu(task) != !!r->off || r->seq != seq)
			break;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
