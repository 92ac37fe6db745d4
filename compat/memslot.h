/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef KVM_WATCHER_MEMSLOT_H
#define KVM_WATCHER_MEMSLOT_H

#include <linux/types.h>

/* Where a memory slot is; npages is 0 when there is none. */
struct memslot_place {
	__u32 slot; /* address space << 16 | id */
	__u32 pad;
	__u64 base_gfn;
	__u64 npages;
	__u64 userspace_addr;
};

#endif
