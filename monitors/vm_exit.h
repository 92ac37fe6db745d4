/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What vm_exit.bpf.c records and vm_exit.c reads. */
#ifndef KVM_WATCHER_VM_EXIT_H
#define KVM_WATCHER_VM_EXIT_H

#include "../bpf/records.h"

/* kind of a record: the isa of kvm_exit (1 VMX, 2 SVM, ...), or this one. */
enum { EXIT_TO_USER = 0 };

/* Codes of EXIT_TO_USER above this are errno values that KVM_RUN returned. */
#define EXIT_ERRNO 0x80000000U

/* The code of what is beyond a VM's share of the records; no kind has such a one. */
#define EXIT_OTHER (~0U)

struct exit_key {
	__u32 slot;
	__u32 kind;
	__u32 code;
};

/*
 * One (vCPU thread, kind, reason). It counts when an exit ends: all exits are
 * those timed in stat, the untimed, and the one that the vCPU's state says is
 * not over.
 */
struct exit_record {
	struct timing stat;
	struct exit_key key;
	__u32 in_use;
	__u64 untimed; /* ended without being seen to */
};

/*
 * Per slot, written by the vCPU's thread only. The array of them is a variable
 * of the BPF program and not a map, which makes it the cheapest to reach; so
 * its size is fixed.
 */
enum {
	EXITED = 1, /* a bit that no vCPU's address has */
	EXIT_CACHE_BITS = 4,
	EXIT_RECORD_BITS = 18, /* of a cache entry: the record; above it the code */
};

struct exit_state {
	__u32 record;	   /* of the last exit; record 0 takes what found no place */
	__u32 left_record; /* of left_ns */
	__u64 vcpu;	   /* whose state this is; EXITED: no entry has followed its last exit */
	__u64 exit_ns;	   /* that exit's time; user space moves it to the window's begin */
	__u64 left_ns;	   /* the exit to user space that is not over; 0: none */
	__u64 run_ns;	   /* last time KVM_RUN was entered */
	__u32 seen_exit;   /* from here on an entry without an exit is a loss */
	__u32 slot;
	__u32 cache[1 << EXIT_CACHE_BITS]; /* direct-mapped: reason -> record */
	__u64 pad2[2];
};

#endif
