/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What kvmmmu_page_fault.bpf.c records and kvmmmu_page_fault.c reads. */
#ifndef KVM_WATCHER_KVMMMU_PAGE_FAULT_H
#define KVM_WATCHER_KVMMMU_PAGE_FAULT_H

#include "../bpf/pages.h"
#include "../bpf/records.h"
#include "../compat/memslot.h"

enum fault_kind { FAULT_TDP, FAULT_MMIO };

/* Why: the same names for VMX's exit qualification and SVM's error code. */
enum fault_error {
	ERROR_PRESENT,
	ERROR_WRITE,
	ERROR_USER,
	ERROR_RESERVED,
	ERROR_EXEC,
	ERROR_PKEY,
	ERROR_SGX,
	NR_FAULT_ERRORS,
};

/* The page table's levels, as KVM numbers them. */
enum { LEVEL_UNKNOWN, LEVEL_4K, LEVEL_2M, LEVEL_1G, NR_LEVELS };

/* Slots that are none: the address is not in the VM's memory. */
#define NO_SLOT (~0U)
#define NO_ADDRESS (~0ULL)

/* A vCPU's faults in one memory slot, or at one MMIO address. */
struct fault_key {
	__u32 vcpu_slot;
	__u32 kind;
	__u32 slot; /* address space << 16 | id, or NO_SLOT */
	__u32 pad;
	__u64 base; /* first gfn of the slot; MMIO: the address */
	__u64 npages;
};

/* Written by the vCPU's thread only. count may be ahead of the timed events in stat. */
struct fault_record {
	struct fault_key key;
	__u32 in_use;
	__u32 pad;
	__u64 kvm;
	__u64 userspace_addr;
	__u64 count;
	__u64 by_error[NR_FAULT_ERRORS];
	__u64 by_level[NR_LEVELS];
	__u64 fast;   /* resolved without the MMU's lock */
	__u64 writes; /* MMIO: the rest are reads */
	__u64 vmm_ns; /* MMIO: the part of the time that user space took */
	struct timing stat;
};

/* Per slot of the vCPU directory: the fault that is being handled. */
struct fault_state {
	__u64 vcpu;	/* whose: a stale entry shows here */
	__u64 start_ns; /* 0: none */
	__u64 gpa;
	__u64 pfn;
	__u32 tid;
	__u32 errors; /* 1 << enum fault_error */
	__u32 level;
	__u8 fast;	 /* fast_page_fault was tried and nothing slow followed */
	__u8 mapped;	 /* the slow way mapped it: slot is known */
	__u8 mmio;	 /* an MMIO access belongs to it ... */
	__u8 mmio_write; /* ... of this direction ... */
	__u8 mmio_size;
	__u8 mmio_waits; /* ... a read that user space has to answer */
	__u8 pad[2];
	__u64 mmio_gpa;
	__u64 mmio_ns; /* begin of this access, when it is not the fault's first */
	__u64 left_ns; /* user space has it since then, 0: no */
	__u64 vmm_ns;
	struct memslot_place memslot;
};

struct fault_event {
	struct event head;
	__u64 kvm;
	__u64 gpa;
	__u64 delay_ns;
	__u64 vmm_ns; /* or NO_ADDRESS: user space had no part */
	__u64 hva;
	__u64 pfn;
	__u32 kind;
	__u32 slot;
	__u32 errors;
	__u32 level;
	__u32 page_faults;
	__u8 fast;
	__u8 write;
	__u8 size; /* MMIO, 0: not known */
	__u8 pad;
};

#endif
