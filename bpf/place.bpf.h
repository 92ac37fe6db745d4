/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Places in an array by a thread's number, for what a thread is in: in a hash that costs several
 * hundred instructions. A place is for ever the thread's that was the first to claim it; others of
 * the same place, which are rare, have what is theirs in a hash.
 */
#ifndef KVM_WATCHER_PLACE_BPF_H
#define KVM_WATCHER_PLACE_BPF_H

#include "place.h"

/* Who is the first to add to claims, and sees nobody else there, has it; of two at once none. */
static __always_inline bool place__claim(struct place *place, u32 tid)
{
	if (place->tid == tid)
		return true;
	if (place->claims)
		return false;
	__sync_fetch_and_add(&place->claims, 1);
	if (*(volatile u32 *)&place->claims != 1)
		return false;
	place->tid = tid;
	return true;
}

#endif
