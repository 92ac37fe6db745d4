/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What unmaps.bpf.c records and unmaps.c reads. */
#ifndef KVM_WATCHER_UNMAPS_H
#define KVM_WATCHER_UNMAPS_H

#include "../bpf/records.h"
#include "../compat/unmap.h"

enum unmap_actor {
	ACTOR_VMM,	   /* the VM's own process, in a system call */
	ACTOR_FAULT,	   /* the VM's own process, in a page fault */
	ACTOR_NUMA,	   /* NUMA balancing */
	ACTOR_KSM,	   /* ksmd */
	ACTOR_KHUGEPAGED,  /* khugepaged */
	ACTOR_COMPACTION,  /* kcompactd, or any task that compacts */
	ACTOR_RECLAIM,	   /* kswapd, or any task that reclaims */
	ACTOR_DAMON,	   /* kdamond */
	ACTOR_MIGRATION,   /* pages move for another reason */
	ACTOR_USERFAULTFD, /* an ioctl of userfaultfd */
	ACTOR_KERNEL,	   /* another thread of the kernel's */
	ACTOR_OTHER,	   /* another process */
	NR_ACTORS,
};

/* In place of a call: the record of what is beyond the VM's share. */
enum { CALL_OTHERS = -3 };

struct unmap_key {
	__u64 kvm;  /* 0: the VM is not known */
	__u32 tgid; /* the VM's process; 0: not known */
	__s32 call; /* number of the system call; or NO_CALL, CALL_RUN, CALL_OTHERS */
	__u32 actor;
	__u32 event;
	char comm[16]; /* of ACTOR_KERNEL and ACTOR_OTHER */
};

/* Any CPU counts. */
struct unmap_record {
	struct unmap_key key;
	__u64 start_ns;	  /* task start_boottime of the VM's process */
	char vm_comm[16]; /* its name */
	__u64 in_use;
	__u64 count;
	__u64 guest; /* of them: with guest memory */
	__u64 pages; /* of guest memory in them */
	struct timing time;
};

#endif
