// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One empty program per kind of hook: --check attaches each, to see what this host lets in. */
#include "compat.bpf.h"

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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
