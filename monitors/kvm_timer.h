/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What kvm_timer.bpf.c records and kvm_timer.c reads. */
#ifndef KVM_WATCHER_KVM_TIMER_H
#define KVM_WATCHER_KVM_TIMER_H

#include "../bpf/records.h"

enum timer_mode { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_TSCDEADLINE, TIMER_UNKNOWN };

struct timer_key {
	__u32 slot;
	__u16 mode;
	__u16 hv;
};

/*
 * Written where the timer is started (the vCPU's thread) and where it fires (an
 * interrupt, or the vCPU's thread): not both at once for one timer.
 */
struct timer_record {
	struct timer_key key;
	__u64 in_use;
	__u64 count;	 /* armed: started with a deadline of its own */
	__u64 restarted; /* the same deadline started again: switched, or a new CPU */
	__u64 switched;	 /* of them: from hv to sw or back */
	__u64 fired;
	__u64 never_fired;  /* another one was armed first */
	struct timing late; /* from the deadline to its expiry; early is 0 */
};

/* Per slot. */
struct timer_state {
	__u64 deadline; /* which timer it is: target_expiration, or the TSC's deadline */
	__u32 record;	/* the one it was started on; 0: none yet */
	__u32 mode;
	__u32 hv;
	__u32 armed;	 /* and has not fired yet */
	__u64 early;	 /* deadline of one that fired before its start was told */
	__u64 starting;	 /* deadline of the one whose event is being handled */
	__u64 meanwhile; /* and it fired in that, when it was ... */
	__u64 asked;	 /* ... asked for */
};

#endif
