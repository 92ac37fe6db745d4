/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events one by one: a ring per monitor, which core/events.c reads because of
 * its name. What does not fit is counted; counters must not depend on it.
 *
 * Three quarters of the ring are for whoever comes. The last one is divided: each
 * time that as much has been read, every process may fill a part of it. So who
 * makes more events than are shown loses some, and who makes few loses none.
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

/* The ring's; 0: it has to be asked. */
const volatile __u64 ring_size;

/* --slower-than: those that took no longer are not wanted. 0: all are. */
const volatile __u64 slower_than_ns;

/* The window's end: core/attach.c. Who finds no room after it has lost nothing that is wanted. */
volatile __u64 events_until_ns = ~0ULL;

enum { RING_SHARES = 8 };

/* By place: how much had been read, in quarters of the ring, and what it has put in since. */
static struct ring_share {
	u64 quarters;
	u64 bytes;
} ring_shares[SHARE_PLACES];

/* Three quarters of the ring wait: the current process has had its share of the last. */
static __noinline bool ring__share_is_used_up(u64 size, u64 quarter)
{
	u32 place = share__place(bpf_get_current_pid_tgid() >> 32);
	struct ring_share *share;
	u64 quarters;

	if (place >= SHARE_PLACES || !quarter)
		return false;
	share = &ring_shares[place];
	quarters = bpf_ringbuf_query(&events, BPF_RB_CONS_POS) / quarter;
	if (share->quarters != quarters) {
		share->quarters = quarters;
		share->bytes = 0;
	}
	share->bytes += size;
	return share->bytes > quarter / RING_SHARES;
}

static __always_inline bool ring__is_used_up(u64 size)
{
	u64 quarter = ring_size ? ring_size / 4 : bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 4;

	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= 3 * quarter &&
	       ring__share_is_used_up(size, quarter);
}

/* --slower-than leaves it out. A time that is not known is ~0. */
static __always_inline bool event__is_quick(u64 ns)
{
	return slower_than_ns && (ns <= slower_than_ns || ns == ~0ULL);
}

/*
 * Room for one event, to be filled and given to bpf_ringbuf_submit(). NULL: lost
 * and counted, or not wanted.
 */
static __always_inline void *event__reserve(u64 size)
{
	void *event;

	if (no_events)
		return NULL;
	event = ring__is_used_up(size) ? NULL : bpf_ringbuf_reserve(&events, size, 0);
	if (!event && bpf_ktime_get_ns() <= events_until_ns)
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
	current_comm(event->comm);
}

#endif
