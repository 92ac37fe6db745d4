// SPDX-License-Identifier: GPL-2.0-only
#include "series.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/libbpf.h>

#include "map.h"
#include "vcpus.h"

/* Records that are shared out on demand: few vCPUs may need as many as these have. */
enum { LEAST_SLOTS = 256 };

int series__prepare(struct series_set *set, const struct series_kind *kind, struct bpf_object *obj,
		    size_t nr_slots)
{
	size_t nr = kind->index && nr_slots < LEAST_SLOTS ? LEAST_SLOTS : nr_slots;
	int err;

	set->kind = kind;
	set->nr = nr * kind->per_slot;
	err = map__resize(obj, kind->records, set->nr);
	if (!err && kind->index)
		err = map__resize(obj, kind->index, set->nr);
	if (!err && kind->index)
		err = map__resize(obj, kind->free_records, set->nr);
	if (!err && kind->states && bpf_object__find_map_by_name(obj, kind->states))
		err = map__resize(obj, kind->states, nr_slots);
	return err;
}

static int open_states(struct series_set *set, const struct bpf_object *obj)
{
	const char *name = set->kind->states;
	struct bpf_map *map = bpf_object__find_map_by_name(obj, name);
	long offset = map ? 0 : map__find_variable(obj, ".bss", name, &map);

	if (offset < 0)
		return offset;
	set->variables = map__mmap(map, &set->variables_size);
	if (!set->variables)
		return -errno;
	set->states = (char *)set->variables + offset;
	return 0;
}

int series__open(struct series_set *set, const struct bpf_object *obj)
{
	const struct series_kind *kind = set->kind;
	int err;

	set->records = map__mmap_name(obj, kind->records, &set->records_size);
	if (!set->records)
		return -errno;
	err = kind->states ? open_states(set, obj) : 0;
	if (err)
		return err;
	set->live = calloc(set->nr, sizeof(*set->live));
	if (!set->live)
		return -ENOMEM;
	return kind->index ? map__fill_queue(obj, kind->free_records, 1, set->nr - 1) : 0;
}

void series__close(struct series_set *set)
{
	if (set->records)
		munmap(set->records, set->records_size);
	if (set->variables)
		munmap(set->variables, set->variables_size);
	for (size_t i = 0; set->live && i < set->nr; i++)
		free(set->live[i]);
	for (size_t i = 0; i < set->nr_gone; i++)
		free(set->gone[i]);
	free(set->live);
	free(set->gone);
	memset(set, 0, sizeof(*set));
}

static void *record_at(const struct series_set *set, uint32_t index)
{
	return (char *)set->records + index * set->kind->record_size;
}

static uint32_t slot_of(const struct series_set *set, uint32_t index)
{
	uint32_t slot = index;

	if (set->kind->index)
		memcpy(&slot, (char *)record_at(set, index) + set->kind->slot_at, sizeof(slot));
	return slot;
}

void *series__add(struct series_set *set, uint32_t index)
{
	set->live[index] = calloc(1, set->kind->size);
	return set->live[index];
}

void *series__of(struct series_set *set, struct vcpus *vcpus, uint32_t index)
{
	struct series_head *s = set->live[index];
	const struct vcpu_ref *ref;

	if (s)
		return s;
	/* The vCPU may be a moment old: what a record has of this epoch is read now or never. */
	ref = vcpus__get_new(vcpus, slot_of(set, index));
	s = ref ? series__add(set, index) : NULL;
	if (!s)
		return NULL;
	s->vm = ref->vm;
	s->chosen = ref->chosen;
	vcpu_ref__row(ref, 0, &s->row);
	return s;
}

static int keep_gone(struct series_set *set, void *s)
{
	if (set->nr_gone == set->room_gone) {
		size_t room = set->room_gone ? set->room_gone * 2 : 64;
		void **more = realloc(set->gone, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		set->gone = more;
		set->room_gone = room;
	}
	set->gone[set->nr_gone++] = s;
	return 0;
}

void series__retire(struct series_set *set, const struct bpf_object *obj, uint32_t index)
{
	const struct series_kind *kind = set->kind;
	void *record = record_at(set, index), *s = set->live[index];

	if (s && keep_gone(set, s))
		return;
	set->live[index] = NULL;
	if (kind->index)
		map__forget(obj, kind->index, (char *)record + kind->key_at, index);
	if (s && kind->forget)
		kind->forget(obj, s, index);
	memset(record, 0, kind->record_size);
	if (kind->index)
		map__give_back(obj, kind->free_records, index);
}

void series__retire_ended_vms(struct series_set *set, const struct bpf_object *obj)
{
	for (size_t i = 1; i < set->nr; i++) {
		struct series_head *s = set->live[i];

		if (s && s->ended)
			series__retire(set, obj, i);
		else if (s && s->vm)
			s->ended = kill(s->vm->tgid, 0) && errno == ESRCH;
	}
}

void series__retire_ended(struct series_set *set, const struct vcpus *vcpus,
			  const struct bpf_object *obj)
{
	const struct series_kind *kind = set->kind;
	const struct vcpu_ref *ref;

	for (size_t i = 1; i < set->nr; i++) {
		/* A slot may have things in its record before it has a series. */
		if (kind->index && !set->live[i])
			continue;
		ref = vcpus__get(vcpus, slot_of(set, i));
		if (ref && ref->ended)
			series__retire(set, obj, i);
	}
	for (size_t slot = 1; kind->states && slot <= vcpus__max(vcpus); slot++) {
		ref = vcpus__get(vcpus, slot);
		if (ref && ref->ended)
			memset((char *)set->states + slot * kind->state_size, 0, kind->state_size);
	}
}

void **series__list(const struct series_set *set, bool with_gone, size_t *nr)
{
	void **list = calloc(set->nr + set->nr_gone, sizeof(*list));

	*nr = 0;
	if (!list)
		return NULL;
	for (size_t i = 0; with_gone && i < set->nr_gone; i++)
		if (((struct series_head *)set->gone[i])->chosen)
			list[(*nr)++] = set->gone[i];
	for (size_t i = 1; i < set->nr; i++) {
		const struct series_head *s = set->live[i];

		if (s && s->chosen && (with_gone || !s->quiet))
			list[(*nr)++] = set->live[i];
	}
	return list;
}

int series__by_vcpu(const void *a, const void *b)
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
	void **list = series__list(set, with_gone, nr);

	if (list)
		qsort(list, *nr, sizeof(*list), series__by_vcpu);
	return list;
}
