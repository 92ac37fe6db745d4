/* SPDX-License-Identifier: GPL-2.0-only */
/* Who has how much of a table that VMs share: the user half of bpf/table.bpf.h's SHARES(). */
#ifndef KVM_WATCHER_SHARES_H
#define KVM_WATCHER_SHARES_H

#include <stddef.h>
#include <stdint.h>

struct bpf_map;
struct share;

struct shares {
	struct share *list; /* the kernel's, mapped */
	size_t size;
};

/* Before map is loaded: room for a table of nr_records, number 0 included. 0 or -errno. */
int shares__prepare(struct bpf_map *map, size_t nr_records);
/* It is loaded: there are nr_free to be shared. 0 or -errno. */
int shares__open(struct shares *shares, const struct bpf_map *map, uint32_t nr_free);
void shares__close(struct shares *shares);

/*
 * The first index from this one on that somebody has taken, or end: the records themselves are
 * far apart, and looking at each one of them takes long.
 */
size_t shares__next(const struct shares *shares, size_t index, size_t end);

/* The record at index is free again, and not in the table's queue yet. */
void shares__give_back(const struct shares *shares, uint32_t index);

#endif
