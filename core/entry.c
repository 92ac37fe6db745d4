// SPDX-License-Identifier: GPL-2.0-only
#include "entry.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../bpf/records.h"
#include "entry.skel.h"
#include "map.h"

struct entry {
	struct entry_bpf *skel;
	struct bpf_link *link;
	const void *owners[MAX_AT_ENTRY]; /* of the places that are given out */
	unsigned int nr_places;
};

struct entry *entry__open(void)
{
	struct entry *e = calloc(1, sizeof(*e));
	int err = ENOMEM;

	if (!e)
		goto cleanup;
	e->skel = entry_bpf__open_and_load();
	if (e->skel)
		return e;
	err = errno;
cleanup:
	entry__close(e);
	errno = err;
	return NULL;
}

void entry__close(struct entry *e)
{
	if (!e)
		return;
	bpf_link__destroy(e->link);
	entry_bpf__destroy(e->skel);
	free(e);
}

/*
 * A place stays its owner's, for its programs know a vCPU that waits for none of them any more. So
 * one that is loaded again has the same. 0: there is none left.
 */
static unsigned int find_place(struct entry *e, const void *owner)
{
	for (unsigned int i = 0; i < e->nr_places; i++)
		if (e->owners[i] == owner && !(e->skel->bss->called & 1 << i))
			return i + 1;
	if (e->nr_places == MAX_AT_ENTRY)
		return 0;
	e->owners[e->nr_places] = owner;
	return ++e->nr_places;
}

int entry__share(struct entry *e, struct bpf_object *obj, const void *owner, unsigned int *place)
{
	struct bpf_map *programs = bpf_object__find_map_by_name(obj, "entry_programs");
	struct bpf_map *waited = bpf_object__find_map_by_name(obj, "waited_vcpus");
	int err;

	if (!*place)
		*place = find_place(e, owner);
	if (!*place)
		return -ENOSPC;
	err = bpf_map__reuse_fd(programs, bpf_map__fd(e->skel->maps.entry_programs));
	if (!err)
		err = bpf_map__reuse_fd(waited, bpf_map__fd(e->skel->maps.bss));
	return err ? err : map__set_const(obj, "entry_place", *place - 1);
}

int entry__attach(struct entry *e, const struct bpf_program *prog, unsigned int place)
{
	int map = bpf_map__fd(e->skel->maps.entry_programs), fd = bpf_program__fd(prog);
	uint32_t index = place - 1;
	int err;

	if (bpf_map_update_elem(map, &index, &fd, BPF_ANY))
		return -errno;
	e->skel->bss->called |= 1 << index;
	if (e->link)
		return 0;
	e->link = bpf_program__attach(e->skel->progs.vcpu_entry);
	if (e->link)
		return 0;
	err = -errno;
	entry__detach(e, place);
	return err;
}

void entry__detach(struct entry *e, unsigned int place)
{
	uint32_t index = place - 1;

	if (!e || !place || !(e->skel->bss->called & 1 << index))
		return;
	e->skel->bss->called &= ~(1 << index);
	if (!e->skel->bss->called) {
		bpf_link__destroy(e->link);
		e->link = NULL;
	}
	bpf_map_delete_elem(bpf_map__fd(e->skel->maps.entry_programs), &index);
}

void entry__fds(const struct entry *e, int *prog, int *link)
{
	*prog = e && e->link ? bpf_program__fd(e->skel->progs.vcpu_entry) : -1;
	*link = e && e->link ? bpf_link__fd(e->link) : -1;
}
