/* SPDX-License-Identifier: GPL-2.0-only */
/* The user-space half of bpf/pages.bpf.h: a counter per guest page. */
#ifndef KVM_WATCHER_CORE_PAGES_H
#define KVM_WATCHER_CORE_PAGES_H

#include <stddef.h>

#include "../bpf/pages.h"
#include "shares.h"

struct bpf_map;

/* Those that bpf/pages.bpf.h declares. */
struct page_maps {
	struct bpf_map *chunks, *index, *free_chunks, *shares;
};

#define PAGE_MAPS(_skel)                                                                        \
	&(const struct page_maps)                                                               \
	{                                                                                       \
		(_skel)->maps.page_chunks, (_skel)->maps.page_index, (_skel)->maps.free_chunks, \
			(_skel)->maps.page_shares                                               \
	}

struct pages {
	struct page_maps maps;
	struct page_chunk *chunks; /* the kernel's, mapped; 1 .. nr_chunks - 1 */
	size_t nr_chunks;
	size_t size;
	struct shares shares;
};

/* Before they are loaded: as many chunks as the host's memory suggests. 0 or -errno. */
int pages__prepare(struct pages *pages, const struct page_maps *maps);
/* They are loaded. 0 or -errno. */
int pages__open(struct pages *pages, const struct page_maps *maps);
/* Forgets what was counted so far, though programs go on counting. */
void pages__forget(struct pages *pages);
void pages__close(struct pages *pages);

/* The chunk, or NULL while it is free. */
const struct page_chunk *pages__get(const struct pages *pages, size_t index);
/* Nobody counts in it any more: it is free again. */
void pages__free(struct pages *pages, size_t index);

#endif
