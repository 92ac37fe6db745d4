/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What hypercall.bpf.c records and hypercall.c reads. */
#ifndef KVM_WATCHER_HYPERCALL_H
#define KVM_WATCHER_HYPERCALL_H

#include "../bpf/records.h"
#include "../decode/hypercall_abi.h"

/* A bit of key.abi: what is beyond a VM's share of the records. */
enum { HYPERCALL_OTHER = 0x100 };

struct hypercall_key {
	__u64 nr;
	__u32 slot;
	__u32 abi;
};

struct hypercall_record {
	struct hypercall_key key;
	__u64 in_use;
	__u64 count;
	struct timing stat;
};

/* Per slot, written by the vCPU's thread only. */
struct hypercall_state {
	__u64 vcpu;  /* whose state this is; 0: it made no hypercall yet */
	__u64 since; /* begin of the one that is not over; 0: none */
	__u64 total; /* KVM's own count, after the last one */
	__u32 record;
	__u32 seen_entry; /* entries are traced: from now on a missing one is a loss */
	__u32 abi;
	__u32 counted_one; /* a bit for each ABI: KVM counts one for each of these */
};

/*
 * One hypercall. args: KVM's a0..a3; Xen's a0..a5; of Hyper-V fast, var_cnt,
 * rep_cnt, rep_idx, input and output, where input and output are addresses or,
 * with fast, values.
 */
struct hypercall_event {
	struct event head;
	__u64 nr;
	__u64 args[HYPERCALL_ARGS];
	__u64 total; /* KVM's count before this one */
	__u32 abi;
	__u32 long_mode; /* the caller's registers are 64 bits wide, where that matters */
};

#endif
