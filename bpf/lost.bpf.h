/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting what was not measured as it should. The map is core/vcpus.bpf.c's. */
#ifndef KVM_WATCHER_LOST_BPF_H
#define KVM_WATCHER_LOST_BPF_H

#include "../compat/kvm_types.bpf.h"
#include "records.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NR_LOST);
	__type(key, u32);
	__type(value, u64);
} losses SEC(".maps");

static __always_inline void lose(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&losses, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

#endif
