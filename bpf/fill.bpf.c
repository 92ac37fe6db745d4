// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Fills a stack of free indices inside the kernel: a system call per index
 * took half a second for the largest one. Attached to nothing; map.c runs it
 * with BPF_PROG_TEST_RUN (bpf_prog_test_run_raw_tp() in net/bpf/test_run.c).
 */
#include "../compat/compat.bpf.h"

#include "fill.h"

/* The stack to be filled takes this one's place. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, u32);
} indices SEC(".maps");

/* Pushes args[0] and what is before it, down to 1 and FILL_ROUND of them. */
SEC("raw_tp")
int fill(struct bpf_raw_tracepoint_args *ctx)
{
	u32 index = ctx->args[0];

	for (int i = 0; i < FILL_ROUND && index; i++, index--)
		if (bpf_map_push_elem(&indices, &index, BPF_ANY))
			return 1;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
