// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs that do nothing: what any BPF monitor of VM exits costs at least. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("?tp_btf/kvm_exit")
int exit_tp_btf(void *ctx)
{
	return 0;
}

SEC("?tp_btf/kvm_entry")
int entry_tp_btf(void *ctx)
{
	return 0;
}

/* For kernels whose modules have no BTF; they cost the same. */
SEC("?raw_tp/kvm_exit")
int exit_raw_tp(void *ctx)
{
	return 0;
}

SEC("?raw_tp/kvm_entry")
int entry_raw_tp(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
