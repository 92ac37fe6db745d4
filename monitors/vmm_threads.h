/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What vmm_threads.bpf.c writes and vmm_threads.c reads: a struct thread_entry per thread. */
#ifndef KVM_WATCHER_VMM_THREADS_H
#define KVM_WATCHER_VMM_THREADS_H

#include <linux/types.h>

#include "vcpu_load.h"

/* Since the thread began. */
struct thread_times {
	__u64 cpu_ns; /* exact; how it is divided the kernel samples at its ticks: */
	__u64 user_ns;
	__u64 system_ns;
	__u64 guest_ns; /* a part of user_ns */
	__u64 delay_ns; /* it could run and did not */
	__u64 major_faults;
};

struct thread_entry {
	__u64 start_ns; /* start_boottime of the process */
	__u64 since_ns; /* of the thread */
	struct thread_times times;
	struct thread_times ended; /* of the main thread: those of the process that have ended */
	__u32 tgid;
	__u32 tid;
	__u32 cpu;
	__u32 is_kernel; /* of no process: comm says whose it is */
	char comm[16];
	__u64 cpus[CPU_WORDS];
};

#endif
