// SPDX-License-Identifier: GPL-2.0-only
#include "entry.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../bpf/records.h"
#include "../compat/picked_types.h"
#include "entry.skel.h"
#include "map.h"
#include "tracepoint.h"
#include "vcpus.h"

/* One that calls others. */
struct caller {
	struct bpf_program *prog;
	struct bpf_map *programs;
	struct bpf_link *link;
	volatile __u64 *called; /* by those that are attached: ... */
	unsigned int bits;	/* ... so many for each place */
	unsigned int nr_places, max_places;
	const void *owners[MAX_AT_RUN]; /* of the places that are given out */
};
_Static_assert((int)MAX_AT_ENTRY <= (int)MAX_AT_RUN, "room for both");

/* What monitors share begins with what they know of it. */
_Static_assert(!offsetof(typeof(*((struct entry_bpf *)0)->bss), shared.waited), "in front");

struct entry {
	struct entry_bpf *skel;
	const struct vcpus *vcpus;
	struct caller callers[NR_MOMENTS];
};

static struct entry_bpf *load(const struct vcpus *vcpus, bool can_cast)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = picked_types__path());
	struct entry_bpf *skel = entry_bpf__open_opts(&opts);
	int err;

	if (!skel)
		return NULL;
	err = vcpus__share(vcpus, skel->obj);
	if (!err)
		err = map__set_const(skel->obj, "casts", can_cast);
	if (!err)
		err = entry_bpf__load(skel);
	if (!err)
		return skel;
	entry_bpf__destroy(skel);
	errno = -err;
	return NULL;
}

struct entry *entry__open(const struct vcpus *vcpus, bool can_cast)
{
	struct entry *e = calloc(1, sizeof(*e));
	struct entry_bpf *skel;

	if (!e)
		return NULL;
	skel = load(vcpus, can_cast);
	if (!skel) {
		int err = errno;

		free(e);
		errno = err;
		return NULL;
	}
	e->skel = skel;
	e->vcpus = vcpus;
	e->callers[MOMENT_ENTRY] = (struct caller){
		.prog = skel->progs.vcpu_entry,
		.programs = skel->maps.entry_programs,
		.called = &skel->bss->shared.called,
		.bits = 1,
		.max_places = MAX_AT_ENTRY,
	};
	e->callers[MOMENT_RUN] = (struct caller){
		.prog = skel->progs.vcpu_run_raw,
		.programs = skel->maps.raw_run_programs,
		.called = &skel->bss->shared.raw_called,
		.bits = BITS_AT_RUN,
		.max_places = MAX_AT_RUN,
	};
	e->callers[MOMENT_RUN_CLASSIC] = (struct caller){
		.prog = skel->progs.vcpu_run_classic,
		.programs = skel->maps.classic_run_programs,
		.called = &skel->bss->shared.classic_called,
		.bits = BITS_AT_RUN,
		.max_places = MAX_AT_RUN,
	};
	return e;
}

void entry__close(struct entry *e)
{
	if (!e)
		return;
	for (int i = 0; i < NR_MOMENTS; i++)
		bpf_link__destroy(e->callers[i].link);
	entry_bpf__destroy(e->skel);
	free(e);
}

/* What stands in called for the place. */
static uint64_t mark_of(const struct caller *c, unsigned int place)
{
	return 1ULL << (place - 1) * c->bits;
}

/*
 * A place stays its owner's, for its programs know a vCPU that waits for none of them any more. So
 * one that is loaded again has the same. 0: there is none left.
 */
static unsigned int find_place(struct caller *c, const void *owner)
{
	for (unsigned int i = 0; i < c->nr_places; i++)
		if (c->owners[i] == owner && !(*c->called & mark_of(c, i + 1)))
			return i + 1;
	if (c->nr_places == c->max_places)
		return 0;
	c->owners[c->nr_places] = owner;
	return ++c->nr_places;
}

int entry__share(struct entry *e, enum moment moment, struct bpf_object *obj, const void *owner,
		 unsigned int *place)
{
	struct caller *c = &e->callers[moment];
	bool at_entry = moment == MOMENT_ENTRY;
	struct bpf_map *programs =
		bpf_object__find_map_by_name(obj, at_entry ? "entry_programs" : "run_programs");
	int err;

	if (!*place)
		*place = find_place(c, owner);
	if (!*place)
		return -ENOSPC;
	err = bpf_map__reuse_fd(programs, bpf_map__fd(c->programs));
	if (!err && at_entry)
		err = bpf_map__reuse_fd(bpf_object__find_map_by_name(obj, "waited_vcpus"),
					bpf_map__fd(e->skel->maps.bss));
	if (err)
		return err;
	return map__set_const(obj, at_entry ? "entry_place" : "run_place", *place - 1);
}

/* Of the vCPUs that there are, what has this place is to be told anew. */
static int forget_told(const struct entry *e, unsigned int place)
{
	const struct bpf_map *map = e->skel->maps.vcpus;
	struct vcpu_info *infos;
	size_t size;

	infos = map__mmap(map, &size);
	if (!infos)
		return -errno;
	for (size_t slot = 0; slot < bpf_map__max_entries(map); slot++)
		infos[slot].told[place - 1] = 0;
	munmap(infos, size);
	return 0;
}

int entry__attach(struct entry *e, enum moment moment, const struct bpf_program *prog,
		  unsigned int place)
{
	struct caller *c = &e->callers[moment];
	int fd = bpf_program__fd(prog), err = moment == MOMENT_ENTRY ? 0 : forget_told(e, place);
	uint32_t index = place - 1;

	if (err)
		return err;
	if (bpf_map_update_elem(bpf_map__fd(c->programs), &index, &fd, BPF_ANY))
		return -errno;
	*c->called |= mark_of(c, place);
	if (c->link)
		return 0;
	c->link = moment == MOMENT_RUN_CLASSIC ? tracepoint__attach(c->prog) :
						 bpf_program__attach(c->prog);
	if (c->link)
		return 0;
	err = -errno;
	entry__detach(e, moment, place);
	return err;
}

void entry__detach(struct entry *e, enum moment moment, unsigned int place)
{
	struct caller *c = e ? &e->callers[moment] : NULL;
	uint32_t index = place - 1;

	if (!e || !place || !(*c->called & mark_of(c, place)))
		return;
	*c->called &= ~mark_of(c, place);
	if (!*c->called) {
		bpf_link__destroy(c->link);
		c->link = NULL;
	}
	bpf_map_delete_elem(bpf_map__fd(c->programs), &index);
}

void entry__fds(const struct entry *e, enum moment moment, int *prog, int *link)
{
	const struct caller *c = e ? &e->callers[moment] : NULL;

	*prog = c && c->link ? bpf_program__fd(c->prog) : -1;
	*link = c && c->link ? bpf_link__fd(c->link) : -1;
}
