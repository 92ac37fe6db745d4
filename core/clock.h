/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_CLOCK_H
#define KVM_WATCHER_CLOCK_H

#include <stdint.h>

enum { NSEC_PER_USEC = 1000, NSEC_PER_MSEC = 1000000, NSEC_PER_SEC = 1000000000 };

/*
 * CLOCK_MONOTONIC, as bpf_ktime_get_ns(): that of the initial time namespace,
 * whichever this process is in.
 */
uint64_t clock__ns(void);

/* Has a timerfd of CLOCK_MONOTONIC expire at such a time, once. 0 or -errno. */
int clock__set_timer(int fd, uint64_t at_ns);

/* What CLOCK_BOOTTIME of this process is ahead of the initial time namespace's. */
int64_t clock__boot_offset_ns(void);

/*
 * What CLOCK_REALTIME is ahead of it now, within a millisecond: it is the same for all who ask
 * until it is off by one, so that sinks agree on the time of what they show.
 */
int64_t clock__real_offset_ns(void);

/* From now on it is that: of what was recorded at another time, on another host. */
void clock__set_real_offset(int64_t offset_ns);

#endif
