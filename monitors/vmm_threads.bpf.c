// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * --vmm_threads: what the scheduler knows of each thread of the VMMs, from task_struct and
 * signal_struct (include/linux/sched.h). Nothing is hooked: user space says in vmms which
 * processes are VMMs, and runs the iterator over all threads once per look.
 */
#include "../bpf/vcpus.bpf.h"
#include "vmm_threads.h"

/* PF_KTHREAD of include/linux/sched.h. */
#define TASK_IS_KERNEL 0x00200000U

/* Processes whose threads are wanted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_VCPU_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} vmms SEC(".maps");

/* A kernel thread that works for a process, whose id stands behind: "vhost-123", "kvm-pit/123". */
static __always_inline bool works_for_vmm(const char *comm)
{
	return (comm[0] == 'v' && comm[1] == 'h' && comm[2] == 'o' && comm[3] == 's' &&
		comm[4] == 't' && comm[5] == '-') ||
	       (comm[0] == 'k' && comm[1] == 'v' && comm[2] == 'm' && comm[3] == '-' &&
		comm[4] == 'p' && comm[5] == 'i' && comm[6] == 't' && comm[7] == '/');
}

static __always_inline void read_times(struct thread_times *to, struct task_struct *task)
{
	to->cpu_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
	to->user_ns = BPF_CORE_READ(task, utime);
	to->system_ns = BPF_CORE_READ(task, stime);
	to->guest_ns = BPF_CORE_READ(task, gtime);
	to->delay_ns = BPF_CORE_READ(task, sched_info.run_delay);
	to->major_faults = BPF_CORE_READ(task, maj_flt);
}

static __always_inline void read_ended(struct thread_times *to, struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);

	to->cpu_ns = BPF_CORE_READ(signal, sum_sched_runtime);
	to->user_ns = BPF_CORE_READ(signal, utime);
	to->system_ns = BPF_CORE_READ(signal, stime);
	to->guest_ns = BPF_CORE_READ(signal, gtime);
	to->major_faults = BPF_CORE_READ(signal, maj_flt);
}

/* CPUs beyond the first 1024 are not told. */
static __always_inline void read_cpus(struct thread_entry *to, struct task_struct *task)
{
	const void *cpus = BPF_CORE_READ(task, cpus_ptr);

	if (bpf_core_type_size(struct cpumask) >= sizeof(to->cpus))
		bpf_probe_read_kernel(to->cpus, sizeof(to->cpus), cpus);
	else
		bpf_probe_read_kernel(to->cpus, bpf_core_type_size(struct cpumask), cpus);
}

SEC("?iter/task")
int list_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_entry to = {};
	bool is_kernel;

	if (!task)
		return 0;
	to.tgid = BPF_CORE_READ(task, tgid);
	is_kernel = BPF_CORE_READ(task, flags) & TASK_IS_KERNEL;
	BPF_CORE_READ_STR_INTO(&to.comm, task, comm);
	if (is_kernel ? !works_for_vmm(to.comm) : !bpf_map_lookup_elem(&vmms, &to.tgid))
		return 0;
	to.tid = BPF_CORE_READ(task, pid);
	to.is_kernel = is_kernel;
	to.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	to.since_ns = BPF_CORE_READ(task, start_boottime);
	to.cpu = task_cpu(task);
	read_times(&to.times, task);
	if (to.tid == to.tgid && !is_kernel)
		read_ended(&to.ended, task);
	read_cpus(&to, task);
	bpf_seq_write(ctx->meta->seq, &to, sizeof(to));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
