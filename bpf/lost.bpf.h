/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting what was not measured as it should. Each object has its own: the monitor is known. */
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

/* Whose they are, as far as that is known and there is room. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct loser);
	__type(value, u64);
} losers SEC(".maps");

/* Of what is lost often and at once: nobody's. */
static __always_inline void lose_at_once(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&losses, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* A loss of that process's VM; 0: it is not known whose. */
static __noinline __attribute__((unused)) int lose_of(u32 what, u32 tgid)
{
	struct loser loser = { .tgid = tgid, .what = what };
	u64 *n, first = 1;

	lose_at_once(what);
	if (!tgid)
		return 0;
	n = bpf_map_lookup_elem(&losers, &loser);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&losers, &loser, &first, BPF_NOEXIST);
	return 0;
}

/* Of the current process's VM. */
static __always_inline void lose(u32 what)
{
	lose_of(what, bpf_get_current_pid_tgid() >> 32);
}

#endif
