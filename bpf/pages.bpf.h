/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A counter per guest page: a hash finds the chunk of 64 neighbours, which
 * needs 5 bytes per page where pages are touched densely. Any CPU may count.
 */
#ifndef KVM_WATCHER_PAGES_BPF_H
#define KVM_WATCHER_PAGES_BPF_H

#include "pages.h"
#include "vcpus.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct page_chunk);
} page_chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct page_key);
	__type(value, u32);
} page_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, u32);
} free_chunks SEC(".maps");

static __noinline u32 pages__chunk(struct page_key *key)
{
	u32 *known = bpf_map_lookup_elem(&page_index, key), index = 0, mine;
	struct page_chunk *chunk;

	if (known)
		return *known;
	if (bpf_map_pop_elem(&free_chunks, &index)) {
		lose(LOST_PAGES_FULL);
		return 0;
	}
	chunk = bpf_map_lookup_elem(&page_chunks, &index);
	if (!chunk)
		return 0;
	chunk->key = *key;
	mine = index;
	index = enter_index(&page_index, key, &free_chunks, mine);
	if (index == mine)
		chunk->in_use = 1;
	return index;
}

/* One more for the page; its count so far, 0 when there was no room. */
static __always_inline u32 pages__count(struct page_key *key, u64 page)
{
	struct page_chunk *chunk;
	u32 index;

	key->number = page >> CHUNK_BITS;
	index = pages__chunk(key);
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
