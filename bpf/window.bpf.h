/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The window's begin, for programs that are told how long something took when it
 * has ended. What has its begin in a record is cut by user space (core/records.c).
 */
#ifndef KVM_WATCHER_WINDOW_BPF_H
#define KVM_WATCHER_WINDOW_BPF_H

#include "../compat/compat.bpf.h"

/* User space writes it (core/attach.c); until then there is no window. */
volatile __u64 go_ns = ~0ULL;

/* That much of what lasted from begin to now is in the window. */
static __always_inline u64 window__part(u64 begin, u64 now)
{
	u64 go = go_ns;

	if (begin < go)
		begin = go;
	return now > begin ? now - begin : 0;
}

#endif
