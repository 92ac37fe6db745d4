/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What halt_poll_ns.bpf.c records and halt_poll_ns.c reads. */
#ifndef KVM_WATCHER_HALT_POLL_NS_H
#define KVM_WATCHER_HALT_POLL_NS_H

#include "../bpf/records.h"

/* KVM's own counters of one vCPU. */
struct poll_counts {
	__u64 attempted;
	__u64 ok;
	__u64 ok_ns;
	__u64 failed_ns;
};

/* Per slot, written in the vCPU's thread. */
struct poll_record {
	__u32 in_use;
	__u32 pad;
	__u64 window_ns; /* as it is now */
	__u64 grows, shrinks;
	struct poll_counts base; /* when the vCPU was first seen */
	struct poll_counts now;	 /* at the end of the last halt */
	/* Windows of PAUSE loops: TSC cycles on VMX, PAUSEs on SVM. */
	__u64 ple_window; /* as it is now; 0: it has not changed yet */
	__u64 ple_grows, ple_shrinks;
	__u64 ple_spun; /* the sum of the windows that grew: each was spun through */
	__u64 tsc_khz;	/* of VMX' cycles; 0: no window has changed yet */
};

struct poll_event {
	struct event head;
	__u32 grow;
	__u32 old_ns;
	__u32 new_ns;
	__u32 pad;
};

#endif
