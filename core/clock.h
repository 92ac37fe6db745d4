/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_CLOCK_H
#define KVM_WATCHER_CLOCK_H

#include <stdint.h>

enum { NSEC_PER_MSEC = 1000000, NSEC_PER_SEC = 1000000000 };

/* CLOCK_MONOTONIC, as bpf_ktime_get_ns(). */
uint64_t clock__ns(void);

/* What CLOCK_REALTIME is ahead of it now. */
int64_t clock__real_offset_ns(void);

#endif
