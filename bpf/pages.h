/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A counter per guest page, in chunks of neighbours: what both halves know of it. */
#ifndef KVM_WATCHER_PAGES_H
#define KVM_WATCHER_PAGES_H

#include <linux/types.h>

enum { CHUNK_BITS = 6, CHUNK_PAGES = 1 << CHUNK_BITS };

/* Whose pages: what region, owner and slot mean is the monitor's affair. */
struct page_key {
	__u64 region;
	__u32 owner;
	__u32 slot;
	__u64 number; /* page >> CHUNK_BITS */
};

struct page_chunk {
	struct page_key key;
	__u32 in_use;
	__u32 pad;
	__u32 counts[CHUNK_PAGES];
};

#endif
