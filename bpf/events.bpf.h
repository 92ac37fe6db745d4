/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events one by one: a ring per monitor, which core/attach.c reads because of
 * its name. What does not fit is counted; counters must not depend on it.
 */
#ifndef KVM_WATCHER_EVENTS_BPF_H
#define KVM_WATCHER_EVENTS_BPF_H

#include "vcpus.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

/* Counters only. */
const volatile __u32 no_events;

/*
 * Room for one event, to be filled and given to bpf_ringbuf_submit(). NULL: lost
 * and counted, or not wanted.
 */
static __always_inline void *event__reserve(u64 size)
{
	void *event;

	if (no_events)
		return NULL;
	event = bpf_ringbuf_reserve(&events, size, 0);
	if (!event)
		lose(LOST_EVENTS);
	return event;
}

/* Fills the head of an event that happens now in the current task. */
static __always_inline void event__head(struct event *event, u32 slot)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();

	event->ts_ns = bpf_ktime_get_ns();
	event->slot = slot;
	event->tgid = pid_tgid >> 32;
	event->tid = (u32)pid_tgid;
	event->pad = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
}

#endif
