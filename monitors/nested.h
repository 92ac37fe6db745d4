/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What nested.bpf.c records and nested.c reads. */
#ifndef KVM_WATCHER_NESTED_H
#define KVM_WATCHER_NESTED_H

#include "../bpf/records.h"

/* kind of a record: isa of the exit (1 VMX, 2 SVM), or an entry; a bit of the ones beyond. */
enum { NESTED_ENTRY = 0, NESTED_OTHER = 0x100 };

struct nested_key {
	__u32 slot;
	__u32 kind;
	__u32 code; /* of an exit: its reason */
};

/*
 * Of a vCPU's entries, or of its exits of one reason. stat: how long L2 was there after an
 * entry, how long L1 was after it was given such an exit.
 */
struct nested_record {
	struct timing stat;
	struct nested_key key;
	__u32 in_use;
	__u64 count;	 /* entries, or exits of L2 */
	__u64 reflected; /* of the exits: L1 was given them */
	__u64 injected;	 /* exits of that reason that L1 was given, whatever made L2 leave */
};

enum { NESTED_CACHE_BITS = 3 };

/* Per slot, written by the vCPU's thread only. */
struct nested_state {
	__u64 vcpu;  /* whose state this is */
	__u64 since; /* when L2, or L1, began; 0: not known */
	__u32 since_record;
	__u32 exit_record; /* of L2's last exit, while L1 may be given it; 0: none */
	__u32 exit_code;
	__u32 in_l2; /* since is when L2 began */
	struct nested_place {
		__u64 what; /* kind and code */
		__u32 record;
		__u32 pad;
	} cache[1 << NESTED_CACHE_BITS]; /* direct-mapped */
};

#endif
