/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What vcpu_wakeup.bpf.c records and vcpu_wakeup.c reads. */
#ifndef KVM_WATCHER_VCPU_WAKEUP_H
#define KVM_WATCHER_VCPU_WAKEUP_H

#include "../bpf/records.h"

enum { HALT_POLLED, HALT_WAITED, NR_HALT_MODES };

/* Per slot. Written in the vCPU's thread, but waking_ns by who wakes it. */
struct wakeup_record {
	__u32 in_use;
	__u32 pad;
	__u64 waking_ns;  /* its last sched_waking; 0: none yet */
	__u64 woken_ns;	  /* a wake-up that no entry has followed; 0: none */
	__u64 halt_since; /* the halt that is not over; 0: none */
	__u64 counts[NR_HALT_MODES];
	__u64 halt_ns; /* --slower-than: the last one's, until the entry */
	__u32 flags;   /* and WAKEUP_* */
	__u32 pad2;
	__u64 invalid; /* of them: those that made nothing runnable */
	struct timing halt;
	struct timing wake;
};

struct wakeup_event {
	struct event head;
	__u64 halt_ns;
	__u64 wake_ns; /* --slower-than: to the guest; else ~0, the event comes before that */
	__u32 flags;
	__u32 pad;
};

enum { WAKEUP_WAITED = 1, WAKEUP_VALID = 2 };

#endif
