// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The one program on kvm_entry of all monitors that wait for a vCPU's entry, but
 * only after something else: at nearly every entry nothing waits, and this says
 * so in a few instructions. Else it calls the monitors' programs, each of which
 * calls the next (bpf/entry.bpf.h).
 * Kernel: vmx_vcpu_run() in arch/x86/kvm/vmx/vmx.c, svm_vcpu_run() in
 * arch/x86/kvm/svm/svm.c; vcpu_enter_guest() in arch/x86/kvm/x86.c on 5.10.
 */
#include "../compat/compat.bpf.h"
#include "records.h"

/* A variable, which costs less than a map; to the monitors it is their map waited_vcpus. */
struct waited_vcpus waited;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_AT_ENTRY);
	__type(key, u32);
	__type(value, u32);
} entry_programs SEC(".maps");

/* The places of the programs that there are; user space writes it. */
volatile __u64 called;

SEC("raw_tp/kvm_entry")
int vcpu_entry(struct bpf_raw_tracepoint_args *ctx)
{
	u64 vcpu = ctx->args[0], waits;
	/* Read once: another vCPU may displace it at any time. */
	volatile u64 *word = &waited.vcpus[slot_cache__index(vcpu)];

	waits = *word;
	if (waits == vcpu)
		return 0;
	/* Not of this vCPU: each of them may wait. Each takes itself out. */
	if ((waits ^ vcpu) > ALL_AT_ENTRY)
		*word = waits = vcpu | called;
#pragma unroll
	for (int i = 0; i < MAX_AT_ENTRY; i++)
		if (waits & 1 << i)
			bpf_tail_call(ctx, &entry_programs, i);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
