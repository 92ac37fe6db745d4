/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What vm_exit.bpf.c records and vm_exit.c reads. */
#ifndef KVM_WATCHER_VM_EXIT_H
#define KVM_WATCHER_VM_EXIT_H

#include "../bpf/records.h"
#include "../decode/exit_detail_kinds.h"

/*
 * kind of a record: the isa of kvm_exit (1 VMX, 2 SVM, ...), or EXIT_TO_USER. With --l2 a bit of
 * it: the exit was of a guest of the guest.
 */
enum { EXIT_TO_USER = 0, EXIT_OF_L2 = 0x100 };

/* Codes of EXIT_TO_USER above this are errno values that KVM_RUN returned. */
#define EXIT_ERRNO 0x80000000U

/* The code of what is beyond a VM's share of the records; no kind has such a one. */
#define EXIT_OTHER (~0U)

struct exit_key {
	__u32 slot;
	__u32 kind;
	__u32 code;
};

/* With --detail: exits of a reason that were for one thing. */
struct detail_key {
	struct exit_key of;
	__u32 type; /* decode/exit_detail_kinds.h */
	__u64 value;
};

/*
 * One (vCPU thread, kind, reason), or one detail of that. It counts when an exit
 * ends: all exits are those timed in stat, the untimed, and the one that the vCPU's
 * state says is not over. An exit has one record: what has a detail is not in the
 * reason's own.
 */
struct exit_record {
	struct timing stat;
	struct exit_key key;
	__u32 in_use;  /* EXTRA: of a detail beyond its slot's own half */
	__u64 untimed; /* ended without being seen to */
	__u64 to_vmm;  /* with --detail: of them, those that went on to user space */
	struct detail_key detail;
};

/*
 * Per slot, written by the vCPU's thread only. The array of them is a variable
 * of the BPF program and not a map, which makes it the cheapest to reach; so
 * its size is fixed.
 */
enum {
	EXITED = 1,  /* bits that no vCPU's address has */
	PENDING = 2, /* a detail came before its exit */
	EXIT_CACHE_BITS = 4,
	EXIT_RECORD_BITS = 18,	/* of a cache entry: the record; above it the code */
	EXIT_CODE_L2 = 1 << 13, /* of the code there, the highest bit: of a guest of the guest */
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
	__u32 left_cache[4];		   /* the same of exits to user space */
};

/* An exit of which --slower-than tells. */
struct slow_event {
	struct event head;
	struct exit_key key;
	__u32 type; /* its detail; without --detail 0 */
	__u64 value;
	__u64 ns;
	__u64 vmm_ns; /* of it: in user space */
	__u64 off_ns; /* and off the CPU, wherever it was */
	__u64 rip;    /* ~0: not known */
	__u32 cpu;
	__u32 by; /* the process that got the CPU instead, the longest time; 0: none, it slept */
	char by_comm[16];
};

/* The same while the exit lasts; exit_ns says which one that is. */
struct slow_state {
	__u64 exit_ns;
	__u64 vmm_ns;
	__u64 off_ns, longest_ns, off_since;
	__u32 by, next;
	char by_comm[16], next_comm[16];
};

enum { EXTRA = 2 };

enum {
	DETAILS_PER_SLOT = 16, /* on average; half of them are for this one alone */
	MAX_DETAILS = 64,      /* of one slot: guests choose them */
	DETAIL_CACHE_BITS = 4,
};

/* The same for --detail. */
struct detail_state {
	__u64 left_ns; /* when an exit went to user space last: after that it gets no detail */
	__u64 value;   /* what is pending */
	__u32 type;
	__u32 nr; /* records of its own */
	struct detail_place {
		__u64 value;
		__u32 type;
		__u32 of; /* the reason's record */
		__u32 record;
		__u32 pad;
	} cache[1 << DETAIL_CACHE_BITS]; /* direct-mapped */
};

#endif
