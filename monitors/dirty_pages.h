/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages were marked dirty, page by page: the user half of -d's counters
 * per page. A region is a memory slot as one kernel record has it.
 */
#ifndef KVM_WATCHER_DIRTY_PAGES_H
#define KVM_WATCHER_DIRTY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/pages.h"
#include "../core/sink.h"
#include "../core/vcpus.h"
#include "mark_page_dirty.h"

struct attachment;
struct section;

struct dirty_region {
	struct dirty_key key;
	const struct vm_ref *vm; /* while the kernel has the record, if it is known */
	struct row head;	 /* of the region's rows, for good */
	char name[sizeof(((struct vm_ref *)NULL)->label)];
	char id[VM_ID_LEN];

	bool wanted;	  /* the user asks for its VM: what follows is counted */
	bool unwanted;	  /* the user does not. Neither: the VM is not known yet */
	bool tried;	  /* the VM was not known at a look */
	bool gone;	  /* the VM was gone at the last look */
	bool retired;	  /* the record is about to be free again, or is */
	bool dropped;	  /* it is about to be freed */
	uint64_t nr;	  /* from 1, of those that are wanted: rows have it */
	uint64_t marked;  /* pages that were marked */
	uint64_t once;	  /* of them, those that were marked once only */
	uint64_t changes; /* pages marked since the look before, added up over the looks */
	/* Different pages that were marked in the window of a sink that began at that look. */
	struct {
		uint32_t look;
		uint64_t pages;
	} windows[MAX_SINKS];
};

/* Pages of regions that are retired: those that were marked most are kept. */
enum { MOST_ENDED_PAGES = 1 << 20 };

/* A page at the last look. */
struct page_past {
	uint32_t count;
	uint32_t look; /* when it was found marked last; 0: never */
};

struct page_count {
	const struct dirty_region *region;
	uint64_t rel_gfn;
	uint64_t count;
};

struct dirty_pages {
	struct pages counts;
	struct page_past (*past)[CHUNK_PAGES]; /* by chunk */
	struct page_count *list;	       /* of regions that are retired, at the end of all */
	size_t nr, room;
	bool lists;	      /* somebody wants the list */
	uint64_t nr_left_out; /* pages of retired regions that are no longer in it */
	size_t nr_regions; /* so many are by record: those that are handed to a look have as many */
	uint32_t look;	   /* the number of the last one, from 1 */
	struct {
		uint64_t since_ns;
		uint32_t look; /* the one that it begins with; 0: before the first */
	} windows[MAX_SINKS];
	size_t nr_sinks;
};

/* counts is prepared. lists: pages are listed at the end. 0 or -errno. */
int dirty_pages__open(struct dirty_pages *pages, const struct page_maps *maps, size_t nr_regions,
		      bool lists);
void dirty_pages__close(struct dirty_pages *pages);

/* A look begins: what the sinks were shown at the one before is over. */
void dirty_pages__begin(struct dirty_pages *pages, const struct sink *sinks, size_t nr_sinks);

/* Counts what was marked since the last look, of all regions, which are by record. */
void dirty_pages__look(struct dirty_pages *pages, struct dirty_region *const *regions);

/* Different pages that were marked in the window of a sink. */
uint64_t dirty_pages__unique(const struct dirty_pages *pages, const struct dirty_region *region,
			     size_t sink);

/* Lists the pages of retired regions, up to some; their counters are free again. */
void dirty_pages__retire(struct dirty_pages *pages, struct dirty_region *const *regions);

/* Leaves the pages of dropped regions out of the list. */
void dirty_pages__drop(struct dirty_pages *pages);

/* Lists the pages of all other regions: the last thing that is done. */
void dirty_pages__finish(struct dirty_pages *pages, struct dirty_region *const *regions);

/* All pages of the list by falling count, into a file as the original wrote it. */
void dirty_pages__write(struct dirty_pages *pages, const struct attachment *at,
			const struct section *section, uint64_t now_ns);

#endif
