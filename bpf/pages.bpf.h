/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A counter per guest page: a hash finds the chunk of 64 neighbours, which
 * needs 5 bytes per page where pages are touched densely. Any CPU may count.
 */
#ifndef KVM_WATCHER_PAGES_BPF_H
#define KVM_WATCHER_PAGES_BPF_H

#include "pages.h"
#include "vcpus.bpf.h"

TABLE(page_chunks, struct page_chunk, page_index, struct page_key, free_chunks);
SHARES(page_shares);
RECENT(recent_chunks);

static __noinline u32 pages__new_chunk(struct page_key *key)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	/* Most of a host's memory may be one VM's. */
	if (!only_tgid && share__is_beyond(&page_shares, tgid, SURE_RECORDS, 7)) {
		lose_of(LOST_PAGES_FULL, tgid);
		return 0;
	}
	return TABLE_ADD(tgid, page_shares, page_chunks, struct page_chunk, page_index, free_chunks,
			 key, LOST_PAGES_FULL);
}

/* One more for the page; its count so far, 0 when there was no room. */
static __always_inline u32 pages__count(struct page_key *key, u64 page)
{
	struct page_chunk *chunk;
	u32 index;

	key->number = page >> CHUNK_BITS;
	index = TABLE_FIND(recent_chunks, page_chunks, struct page_chunk, page_index, key);
	if (!index)
		index = pages__new_chunk(key);
	if (!index)
		return 0;
	chunk = bpf_map_lookup_elem(&page_chunks, &index);
	/* Verifiers up to 6.1 lose the bound of a value that was narrowed. */
	barrier_var(page);
	page &= CHUNK_PAGES - 1;
	if (!chunk)
		return 0;
	__sync_fetch_and_add(&chunk->counts[page], 1);
	return chunk->counts[page];
}

#endif
