// SPDX-License-Identifier: GPL-2.0-only
#include "shares.h"

#include <errno.h>
#include <sys/mman.h>

#include <bpf/libbpf.h>

#include "../bpf/records.h"
#include "map.h"

int shares__prepare(struct bpf_map *map, size_t nr_records)
{
	return bpf_map__set_max_entries(map, nr_records > SHARE_PLACES ? nr_records : SHARE_PLACES);
}

int shares__open(struct shares *shares, const struct bpf_map *map, uint32_t nr_free)
{
	shares->list = map__mmap(map, &shares->size);
	if (!shares->list)
		return -errno;
	shares->list[0].taker = nr_free;
	return 0;
}

void shares__close(struct shares *shares)
{
	if (shares->list)
		munmap(shares->list, shares->size);
	shares->list = NULL;
}

size_t shares__next(const struct shares *shares, size_t index, size_t end)
{
	while (index < end && !__atomic_load_n(&shares->list[index].taker, __ATOMIC_ACQUIRE))
		index++;
	return index;
}

void shares__give_back(const struct shares *shares, uint32_t index)
{
	uint32_t place = shares->list[index].taker;

	if (!index || !place)
		return;
	shares->list[index].taker = 0;
	if (place == TAKEN_UNCOUNTED)
		return;
	__atomic_fetch_sub(&shares->list[place].taken, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&shares->list[0].taken, 1, __ATOMIC_RELAXED);
}
