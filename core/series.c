// SPDX-License-Identifier: GPL-2.0-only
#include "series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "vcpus.h"

int series__open(struct series_set *set, size_t nr_slots, size_t size)
{
	memset(set, 0, sizeof(*set));
	set->live = calloc(nr_slots, sizeof(*set->live));
	if (!set->live)
		return -ENOMEM;
	set->nr_slots = nr_slots;
	set->size = size;
	return 0;
}

void series__close(struct series_set *set)
{
	for (size_t i = 0; i < set->nr_slots; i++)
		free(set->live[i]);
	for (size_t i = 0; i < set->nr_gone; i++)
		free(set->gone[i]);
	free(set->live);
	free(set->gone);
	memset(set, 0, sizeof(*set));
}

void *series__of(struct series_set *set, const struct run *run, uint32_t slot)
{
	const struct vcpu_ref *ref = vcpus__get(run->vcpus, slot);
	struct series_head *s;

	if (slot >= set->nr_slots || set->live[slot] || !ref)
		return slot < set->nr_slots ? set->live[slot] : NULL;
	s = calloc(1, set->size);
	if (!s)
		return NULL;
	s->chosen = ref->chosen;
	vcpu_ref__row(ref, 0, &s->row);
	set->live[slot] = s;
	return s;
}

bool series__retire(struct series_set *set, const struct run *run, uint32_t slot)
{
	const struct vcpu_ref *ref = vcpus__get(run->vcpus, slot);

	if (!ref || !ref->ended || !set->live[slot])
		return ref && ref->ended;
	if (set->nr_gone == set->room_gone) {
		size_t room = set->room_gone ? set->room_gone * 2 : 64;
		void **more = realloc(set->gone, room * sizeof(*more));

		if (!more)
			return false;
		set->gone = more;
		set->room_gone = room;
	}
	set->gone[set->nr_gone++] = set->live[slot];
	set->live[slot] = NULL;
	return true;
}

static int by_vcpu(const void *a, const void *b)
{
	const struct row *x = &(*(const struct series_head *const *)a)->row;
	const struct row *y = &(*(const struct series_head *const *)b)->row;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->vm != y->vm)
		return strcmp(x->vm, y->vm) < 0 ? -1 : 1;
	if (x->vcpu != y->vcpu)
		return x->vcpu < y->vcpu ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

void **series__sorted(const struct series_set *set, bool with_gone, size_t *nr)
{
	void **list = calloc(set->nr_slots + set->nr_gone + 1, sizeof(*list));

	*nr = 0;
	if (!list)
		return NULL;
	for (size_t i = 0; i < set->nr_slots; i++)
		if (set->live[i] && ((struct series_head *)set->live[i])->chosen)
			list[(*nr)++] = set->live[i];
	for (size_t i = 0; with_gone && i < set->nr_gone; i++)
		if (((struct series_head *)set->gone[i])->chosen)
			list[(*nr)++] = set->gone[i];
	qsort(list, *nr, sizeof(*list), by_vcpu);
	return list;
}
