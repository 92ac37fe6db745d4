// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One empty program per kind of hook: --check attaches each, to see what this host lets in. */
#include "compat.bpf.h"

/* probe_preemption has run, and found that it can be preempted. */
volatile __u32 tried, preempted;

SEC("?raw_tp/sched_process_exec")
int probe_raw_tp(void *ctx)
{
	return 0;
}

SEC("?tp_btf/sched_process_exec")
int probe_tp_btf(void *ctx)
{
	return 0;
}

SEC("?fentry/bpf_fentry_test1")
int probe_fentry(void *ctx)
{
	return 0;
}

SEC("?kprobe/bpf_fentry_test1")
int probe_kprobe(void *ctx)
{
	return 0;
}

SEC("?tp/sched/sched_process_exec")
int probe_tracepoint(void *ctx)
{
	return LEAVE_TO_PERF;
}

SEC("?iter/task_file")
int probe_iter(void *ctx)
{
	return 0;
}

/*
 * A program must stay on its CPU. So the kernel either runs it with preemption off, or
 * keeps the task from migrating; then it may be preempted: __bpf_trace_run() in
 * kernel/trace/bpf_trace.c. The event is one that any thread makes when it likes to.
 */
SEC("?raw_tp/task_rename")
int probe_preemption(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_core_field_exists(task->migration_disabled))
		preempted = !!BPF_CORE_READ(task, migration_disabled);
	tried = 1;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
