/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What mark_page_dirty.bpf.c records and mark_page_dirty.c reads. */
#ifndef KVM_WATCHER_MARK_PAGE_DIRTY_H
#define KVM_WATCHER_MARK_PAGE_DIRTY_H

#include "../bpf/pages.h"
#include "../bpf/records.h"

/* A page that is not known: the dirty ring's event does not tell the slot's place. */
#define NO_GFN (~0ULL)

/* A memory slot as it was; one that is moved or resized is another one. */
struct dirty_key {
	__u64 kvm;	/* struct kvm *, used again after the VM's end ... */
	__u32 creator;	/* ... by the VM of another thread (kvm->userspace_pid) */
	__u32 slot;	/* address space << 16 | id, as in the dirty ring */
	__u64 base_gfn; /* or NO_GFN */
	__u64 npages;	/* 0: not known */
};

/* Written by whoever dirties a page: atomic additions only. */
struct dirty_slot {
	struct dirty_key key;
	__u64 userspace_addr;
	__u64 count;	 /* pages marked dirty */
	__u64 dirtied;	 /* of them, those that were clean in the log */
	__u64 ringed;	 /* of them, those that went to a dirty ring */
	__u32 vcpu_slot; /* of the vCPU that was first, 0: none */
	__u32 in_use;
};

struct dirty_event {
	struct event head;
	__u64 kvm;
	__u64 gfn;
	__u64 rel_gfn;
	__u64 npages;
	__u64 userspace_addr;
	__u32 record; /* index of the dirty_slot, 0: the table was full */
	__u32 slot;
};

/* What the iterator over /proc/PID/fd tells of one VM descriptor. */
struct logging_entry {
	__u64 kvm;
	__u64 pages;   /* of all slots */
	__u64 logging; /* 1: a slot has dirty logging on */
};

#endif
