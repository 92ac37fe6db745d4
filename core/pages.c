// SPDX-License-Identifier: GPL-2.0-only
#include "pages.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "map.h"

enum {
	LEAST_CHUNKS = 4096,   /* 1 GiB of guest pages, in 1 MiB */
	MOST_CHUNKS = 1 << 18, /* 64 GiB */
};

/* Every page of the host's memory may be a page of a guest. */
static size_t choose_chunks(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	size_t want = pages > 0 ? pages / CHUNK_PAGES : 0, chunks = LEAST_CHUNKS;

	while (chunks < want && chunks < MOST_CHUNKS)
		chunks *= 2;
	return chunks;
}

int pages__prepare(struct pages *pages, const struct page_maps *maps)
{
	int err;

	pages->nr_chunks = choose_chunks();
	err = bpf_map__set_max_entries(maps->chunks, pages->nr_chunks);
	if (!err)
		err = bpf_map__set_max_entries(maps->index, pages->nr_chunks);
	if (!err)
		err = bpf_map__set_max_entries(maps->free_chunks, pages->nr_chunks);
	if (!err)
		err = shares__prepare(maps->shares, pages->nr_chunks);
	return err;
}

int pages__open(struct pages *pages, const struct page_maps *maps)
{
	pages->maps = *maps;
	pages->chunks = map__mmap(maps->chunks, &pages->size);
	if (!pages->chunks)
		return -errno;
	return shares__open(&pages->shares, maps->shares, pages->nr_chunks - 1);
}

void pages__close(struct pages *pages)
{
	if (pages->chunks)
		munmap(pages->chunks, pages->size);
	pages->chunks = NULL;
	shares__close(&pages->shares);
}

const struct page_chunk *pages__get(const struct pages *pages, size_t index)
{
	const struct page_chunk *chunk = &pages->chunks[index];

	return __atomic_load_n(&chunk->in_use, __ATOMIC_ACQUIRE) ? chunk : NULL;
}

void pages__forget(struct pages *pages)
{
	for (size_t i = 1; i < pages->nr_chunks; i++) {
		if (!pages__get(pages, i))
			continue;
		for (int page = 0; page < CHUNK_PAGES; page++)
			__atomic_store_n(&pages->chunks[i].counts[page], 0, __ATOMIC_RELAXED);
	}
}

void pages__free(struct pages *pages, size_t index)
{
	struct page_chunk *chunk = &pages->chunks[index];

	map__forget(pages->maps.index, &chunk->key, index);
	memset(chunk, 0, sizeof(*chunk));
	shares__give_back(&pages->shares, index);
	map__give_back(pages->maps.free_chunks, index);
}
