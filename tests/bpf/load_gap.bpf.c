// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A vCPU's thread is seen on a CPU, and the switch to it was not traced. */
#include "../../monitors/vcpu_load.bpf.c"

struct load_record record;

/*
 * It went off its CPU at 1000 in the state args[0], was woken at args[1] (0: not traced), and is
 * seen at 3000.
 */
SEC("raw_tp")
int seen_again(struct bpf_raw_tracepoint_args *ctx)
{
	record.off = ctx->args[0];
	record.woken_ns = ctx->args[1];
	record.since_ns = 1000;
	credit_running(&record, 3000);
	return 0;
}
