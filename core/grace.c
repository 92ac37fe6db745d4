// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs run under rcu_read_lock() (bpf_trace_run*() and the trampolines, in
 * kernel/trace/bpf_trace.c and kernel/bpf/trampoline.c). So a grace period of RCU
 * that begins after they were detached is enough.
 */
#include "grace.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

/*
 * An update of a map of maps waits for the programs, so that none of them still
 * uses the old inner map (maybe_wait_bpf_programs() in kernel/bpf/syscall.c, since
 * 4.18): by synchronize_rcu(), on any host.
 */
static int wait_by_map(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int inner, outer = -1, err = 0, key = 0;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", 4, 4, 1, NULL);
	if (inner < 0)
		return -errno;
	opts.inner_map_fd = inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", 4, 4, 1, &opts);
	if (outer < 0 || bpf_map_update_elem(outer, &key, &inner, BPF_ANY))
		err = -errno;
	if (outer >= 0)
		close(outer);
	close(inner);
	return err;
}

/* Also synchronize_rcu(), but EINVAL on hosts with nohz_full (kernel/sched/membarrier.c). */
static int wait_by_membarrier(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0) ? -errno : 0;
}

const grace_way grace_ways[] = { wait_by_map, wait_by_membarrier, NULL };

int grace__wait(const grace_way *ways)
{
	int err = -ENOSYS;

	for (; *ways && err; ways++)
		err = (*ways)();
	return err;
}
