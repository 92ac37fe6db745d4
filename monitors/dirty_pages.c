// SPDX-License-Identifier: GPL-2.0-only
#include "dirty_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/memory.h"
#include "../core/monitor.h"
#include "../core/tempfile.h"

struct page_row {
	struct row row;
	uint64_t gfn;
	uint64_t rel_gfn;
	uint32_t slot;
	uint64_t count;
};

#define COL(...) COLUMN(struct page_row, __VA_ARGS__)

/* The file of pages: the names that the original gave them. */
static const struct column columns[] = {
	COL(gfn, "GFN", COL_HEX, ROLE_LABEL, .help = "guest frame number"),
	COL(rel_gfn, "REL_GFN", COL_HEX, ROLE_LABEL, .help = "offset in the slot, in pages"),
	COL(slot, "SLOT_ID", COL_U32, ROLE_LABEL, .help = "memory slot"),
	COL(count, "COUNTS", COL_U64, ROLE_COUNTER, .help = "how often the page was marked dirty"),
	{},
};

int dirty_pages__open(struct dirty_pages *pages, const struct page_maps *maps, size_t nr_regions,
		      bool lists)
{
	int err = pages__open(&pages->counts, maps);

	if (err)
		return err;
	pages->nr_regions = nr_regions;
	pages->lists = lists;
	pages->past = calloc(pages->counts.nr_chunks, sizeof(*pages->past));
	return pages->past ? 0 : -ENOMEM;
}

void dirty_pages__close(struct dirty_pages *pages)
{
	pages__close(&pages->counts);
	free(pages->past);
	free(pages->list);
	memset(pages, 0, sizeof(*pages));
}

void dirty_pages__begin(struct dirty_pages *pages, const struct sink *sinks, size_t nr_sinks)
{
	for (size_t i = 0; i < nr_sinks; i++) {
		if (sinks[i].since_ns == pages->windows[i].since_ns)
			continue;
		pages->windows[i].since_ns = sinks[i].since_ns;
		pages->windows[i].look = pages->look;
	}
	pages->nr_sinks = nr_sinks;
	pages->look++;
}

static void count_in_windows(const struct dirty_pages *pages, struct dirty_region *region,
			     uint32_t last_look)
{
	for (size_t i = 0; i < pages->nr_sinks; i++) {
		uint32_t begin = pages->windows[i].look;

		if (region->windows[i].look != begin) {
			region->windows[i].look = begin;
			region->windows[i].pages = 0;
		}
		region->windows[i].pages += last_look <= begin;
	}
}

static void look_at_chunk(const struct dirty_pages *pages, const struct page_chunk *chunk,
			  struct page_past *past, struct dirty_region *region)
{
	for (int i = 0; i < CHUNK_PAGES; i++) {
		uint32_t now = __atomic_load_n(&chunk->counts[i], __ATOMIC_RELAXED);

		if (now == past[i].count)
			continue;
		region->marked += !past[i].count;
		region->once += now == 1;
		region->once -= past[i].count == 1;
		region->changes++;
		count_in_windows(pages, region, past[i].look);
		past[i].count = now;
		past[i].look = pages->look;
	}
}

/* NULL: there is none. The number is what the map says, which is not to lead out of the list. */
static struct dirty_region *region_of(const struct dirty_pages *pages,
				      const struct page_chunk *chunk,
				      struct dirty_region *const *regions)
{
	uint64_t nr = chunk ? __atomic_load_n(&chunk->key.region, __ATOMIC_RELAXED) : UINT64_MAX;

	return nr < pages->nr_regions ? regions[nr] : NULL;
}

void dirty_pages__look(struct dirty_pages *pages, struct dirty_region *const *regions)
{
	for (size_t i = 1; i < pages->counts.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&pages->counts, i);
		struct dirty_region *region = region_of(pages, chunk, regions);

		if (region && region->wanted)
			look_at_chunk(pages, chunk, pages->past[i], region);
	}
}

uint64_t dirty_pages__unique(const struct dirty_pages *pages, const struct dirty_region *region,
			     size_t sink)
{
	/* Else none was marked since. */
	return region->windows[sink].look == pages->windows[sink].look ?
		       region->windows[sink].pages :
		       0;
}

/* Room for a chunk's pages. False: out of memory. */
static bool make_room(struct dirty_pages *pages)
{
	size_t room = pages->room * 2 + CHUNK_PAGES;
	struct page_count *more;

	if (pages->nr + CHUNK_PAGES <= pages->room)
		return true;
	more = reallocarray(pages->list, room, sizeof(*more));
	if (!more)
		return false;
	pages->list = more;
	pages->room = room;
	return true;
}

/* As the last look has seen it. */
static void add_chunk(struct dirty_pages *pages, const struct dirty_region *region, size_t index)
{
	const struct page_chunk *chunk = pages__get(&pages->counts, index);
	const struct page_past *past = pages->past[index];
	uint64_t first = chunk->key.number << CHUNK_BITS;

	if (!make_room(pages)) {
		memory__is_short();
		return;
	}
	for (int i = 0; i < CHUNK_PAGES; i++)
		if (past[i].count)
			pages->list[pages->nr++] =
				(struct page_count){ region, first + i, past[i].count };
}

/* By process, VM, slot and place. VMs that are not known come last. */
static int compare(const struct dirty_region *a, const struct dirty_region *b)
{
	int order;

	if (a->head.pid != b->head.pid)
		return a->head.pid < b->head.pid ? -1 : 1;
	order = strcmp(a->name, b->name);
	if (order)
		return order;
	if (a->key.slot != b->key.slot)
		return a->key.slot < b->key.slot ? -1 : 1;
	return a->key.base_gfn < b->key.base_gfn ? -1 : a->key.base_gfn > b->key.base_gfn;
}

static int by_count(const void *a, const void *b)
{
	const struct page_count *x = a, *y = b;
	int order;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	order = x->region == y->region ? 0 : compare(x->region, y->region);
	if (order)
		return order;
	return x->rel_gfn < y->rel_gfn ? -1 : x->rel_gfn > y->rel_gfn;
}

/* Twice as many as are kept: those that were marked least are left out. */
static void bound_list(struct dirty_pages *pages)
{
	if (pages->nr < 2UL * MOST_ENDED_PAGES)
		return;
	qsort(pages->list, pages->nr, sizeof(*pages->list), by_count);
	pages->nr_left_out += pages->nr - MOST_ENDED_PAGES;
	pages->nr = MOST_ENDED_PAGES;
}

void dirty_pages__retire(struct dirty_pages *pages, struct dirty_region *const *regions)
{
	for (size_t i = 1; i < pages->counts.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&pages->counts, i);
		const struct dirty_region *region = region_of(pages, chunk, regions);

		if (!region || !region->retired)
			continue;
		if (region->wanted && pages->lists) {
			add_chunk(pages, region, i);
			bound_list(pages);
		}
		pages__free(&pages->counts, i);
		memset(pages->past[i], 0, sizeof(pages->past[i]));
	}
}

void dirty_pages__drop(struct dirty_pages *pages)
{
	size_t nr = 0;

	for (size_t i = 0; i < pages->nr; i++)
		if (!pages->list[i].region->dropped)
			pages->list[nr++] = pages->list[i];
	pages->nr_left_out += pages->nr - nr;
	pages->nr = nr;
}

void dirty_pages__finish(struct dirty_pages *pages, struct dirty_region *const *regions)
{
	for (size_t i = 1; i < pages->counts.nr_chunks; i++) {
		const struct page_chunk *chunk = pages__get(&pages->counts, i);
		const struct dirty_region *region = region_of(pages, chunk, regions);

		if (region && region->wanted)
			add_chunk(pages, region, i);
	}
}

static void write_page(struct output *out, const struct page_count *page, uint64_t now_ns)
{
	const struct dirty_key *key = &page->region->key;
	struct page_row row = {
		.row = page->region->head,
		.gfn = key->base_gfn == NO_GFN ? UINT64_MAX : key->base_gfn + page->rel_gfn,
		.rel_gfn = page->rel_gfn,
		.slot = key->slot & 0xffff,
		.count = page->count,
	};

	row.row.ts_ns = now_ns;
	output__row(out, &row.row, 0);
}

void dirty_pages__write(struct dirty_pages *pages, const struct attachment *at,
			const struct section *section, uint64_t now_ns)
{
	struct section all = *section;
	struct tempfile file;
	struct output *out;
	int err = ENOMEM;

	all.columns = columns;
	qsort(pages->list, pages->nr, sizeof(*pages->list), by_count);
	if (attach__open_file(at, &file))
		return;
	out = output__new(at->env->format, file.stream, 0);
	if (out) {
		output__set_clock(out, clock__real_offset_ns());
		output__begin(out, &all);
		for (size_t i = 0; i < pages->nr; i++)
			write_page(out, &pages->list[i], now_ns);
		output__end(out);
		err = output__flush(out);
		output__free(out);
	}
	tempfile__close(&file, err);
}
