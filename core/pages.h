/* SPDX-License-Identifier: GPL-2.0-only */
/* The user-space half of bpf/pages.bpf.h: a counter per guest page. */
#ifndef KVM_WATCHER_CORE_PAGES_H
#define KVM_WATCHER_CORE_PAGES_H

#include <stddef.h>

#include "../bpf/pages.h"

struct bpf_object;

struct pages {
	struct page_chunk *chunks; /* the kernel's, mapped; 1 .. nr_chunks - 1 */
	size_t nr_chunks;
	size_t size;
};

/* Before obj is loaded: as many chunks as the host's memory suggests. 0 or -errno. */
int pages__prepare(struct pages *pages, struct bpf_object *obj);
/* obj is loaded. 0 or -errno. */
int pages__open(struct pages *pages, const struct bpf_object *obj);
void pages__close(struct pages *pages);

/* The chunk, or NULL while it is free. */
const struct page_chunk *pages__get(const struct pages *pages, size_t index);
/* Nobody counts in it any more: it is free again. */
void pages__free(struct pages *pages, const struct bpf_object *obj, size_t index);

#endif
