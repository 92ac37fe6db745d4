// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* More kinds of error than a record of -l has room for. */
#include "../../monitors/kvm_ioctl.bpf.c"

struct ioctl_record record;

/* One error each of args[0] to args[1]. */
SEC("raw_tp")
int fail(struct bpf_raw_tracepoint_args *ctx)
{
	u32 error = ctx->args[0], last = ctx->args[1];

	for (int i = 0; i < 40 && error <= last; i++, error++)
		count_error(&record, error);
	return 0;
}
