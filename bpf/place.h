/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef KVM_WATCHER_PLACE_H
#define KVM_WATCHER_PLACE_H

#include <linux/types.h>

struct place {
	__u32 claims; /* threads that wanted it while it was nobody's */
	__u32 tid;    /* whose it is; 0: nobody's */
	__u64 busy;   /* what the thread is in; 0: nothing */
};

#endif
