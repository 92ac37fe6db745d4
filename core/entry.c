// SPDX-License-Identifier: GPL-2.0-only
#include "entry.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
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

/* A program that calls others. */
struct caller {
	struct bpf_program *prog;
	struct bpf_link *link;
	unsigned int nr_called;
};

/* Those that it calls at one moment. */
struct list {
	struct caller *caller;
	/* Either they are in a map, and the caller looks at a word of marks, ... */
	struct bpf_map *programs;
	volatile __u64 *called; /* by those that are attached: ... */
	unsigned int bits;	/* ... so many for each place */
	/* ... or each takes the place of a function, whose name ends with its number. */
	const char *function;
	struct bpf_link *links[MAX_AT_RUN];
	__u64 calls; /* called, for those */
	unsigned int nr_places, max_places;
	const void *owners[MAX_AT_RUN]; /* of the places that are given out */
};
_Static_assert((int)MAX_AT_ENTRY <= (int)MAX_AT_RUN && (int)MAX_AT_EACH <= (int)MAX_AT_RUN,
	       "room for all");

/* What monitors share begins with what they know of it. */
_Static_assert(!offsetof(typeof(*((struct entry_bpf *)0)->bss), shared.waited), "in front");

struct entry {
	struct entry_bpf *skel;
	const struct vcpus *vcpus;
	struct caller callers[NR_HEADS];
	struct list lists[NR_MOMENTS];
};

bool entry__pays(const struct entry_plan *plan, enum called_at at)
{
	/* What waits for an entry is called by one program in any case. */
	unsigned int waiting = at == AT_EACH_ENTRY && plan->called[AT_ENTRY];

	return plan->called[at] && plan->called[at] + waiting > 1;
}

static uint32_t nr_at_each(const struct entry_plan *plan, enum called_at at)
{
	return plan->called[at] < MAX_AT_EACH ? plan->called[at] : MAX_AT_EACH;
}

/* Which programs there are, before they are loaded. */
static int follow(struct entry_bpf *skel, const struct entry_plan *plan)
{
	bool each = entry__pays(plan, AT_EACH_ENTRY);

	skel->rodata->at_each_exit = nr_at_each(plan, AT_EACH_EXIT);
	skel->rodata->at_each_entry = nr_at_each(plan, AT_EACH_ENTRY);
	skel->rodata->some_wait = plan->called[AT_ENTRY];
	return bpf_program__set_autoload(skel->progs.vcpu_entry, !each)		    ?:
		       bpf_program__set_autoload(skel->progs.vcpu_each_entry, each) ?:
		       bpf_program__set_autoload(skel->progs.vcpu_each_exit,
						 entry__pays(plan, AT_EACH_EXIT));
}

static struct entry_bpf *load(const struct vcpus *vcpus, const struct entry_plan *plan)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = picked_types__path());
	struct entry_bpf *skel = entry_bpf__open_opts(&opts);
	int err;

	if (!skel)
		return NULL;
	err = follow(skel, plan);
	if (!err)
		err = vcpus__share(vcpus, skel->obj);
	if (!err)
		err = map__set_const(skel->obj, "casts", picked_types__can_cast());
	if (!err)
		err = entry_bpf__load(skel);
	if (!err)
		return skel;
	entry_bpf__destroy(skel);
	errno = -err;
	return NULL;
}

enum head entry__head(enum moment moment)
{
	static const enum head heads[NR_MOMENTS] = {
		[MOMENT_ENTRY] = HEAD_ENTRY,
		[MOMENT_RUN] = HEAD_RUN,
		[MOMENT_RUN_CLASSIC] = HEAD_RUN_CLASSIC,
		[MOMENT_EACH_EXIT] = HEAD_EXIT,
		[MOMENT_EACH_ENTRY] = HEAD_ENTRY,
	};

	return heads[moment];
}

static void init(struct entry *e, const struct entry_plan *plan)
{
	struct entry_bpf *skel = e->skel;

	e->callers[HEAD_ENTRY].prog = entry__pays(plan, AT_EACH_ENTRY) ?
					      skel->progs.vcpu_each_entry :
					      skel->progs.vcpu_entry;
	e->callers[HEAD_RUN].prog = skel->progs.vcpu_run_raw;
	e->callers[HEAD_RUN_CLASSIC].prog = skel->progs.vcpu_run_classic;
	e->callers[HEAD_EXIT].prog = skel->progs.vcpu_each_exit;
	e->lists[MOMENT_ENTRY] = (struct list){
		.programs = skel->maps.entry_programs,
		.called = &skel->bss->shared.called,
		.bits = 1,
		.max_places = MAX_AT_ENTRY,
	};
	e->lists[MOMENT_RUN] = (struct list){
		.programs = skel->maps.raw_run_programs,
		.called = &skel->bss->shared.raw_called,
		.bits = BITS_AT_RUN,
		.max_places = MAX_AT_RUN,
	};
	e->lists[MOMENT_RUN_CLASSIC] = (struct list){
		.programs = skel->maps.classic_run_programs,
		.called = &skel->bss->shared.classic_called,
		.bits = BITS_AT_RUN,
		.max_places = MAX_AT_RUN,
	};
	e->lists[MOMENT_EACH_EXIT] = (struct list){
		.function = "each_exit",
		.called = &e->lists[MOMENT_EACH_EXIT].calls,
		.bits = 1,
		.max_places = skel->rodata->at_each_exit,
	};
	e->lists[MOMENT_EACH_ENTRY] = (struct list){
		.function = "each_entry",
		.called = &e->lists[MOMENT_EACH_ENTRY].calls,
		.bits = 1,
		.max_places = skel->rodata->at_each_entry,
	};
	for (enum moment m = 0; m < NR_MOMENTS; m++)
		e->lists[m].caller = &e->callers[entry__head(m)];
}

struct entry *entry__open(const struct vcpus *vcpus, const struct entry_plan *plan)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->skel = load(vcpus, plan);
	if (!e->skel) {
		int err = errno;

		free(e);
		errno = err;
		return NULL;
	}
	e->vcpus = vcpus;
	init(e, plan);
	return e;
}

void entry__close(struct entry *e)
{
	if (!e)
		return;
	for (int i = 0; i < NR_HEADS; i++)
		bpf_link__destroy(e->callers[i].link);
	for (int i = 0; i < NR_MOMENTS; i++)
		for (size_t j = 0; j < MAX_AT_RUN; j++)
			bpf_link__destroy(e->lists[i].links[j]);
	entry_bpf__destroy(e->skel);
	free(e);
}

/* What stands in called for the place. */
static uint64_t mark_of(const struct list *l, unsigned int place)
{
	return 1ULL << (place - 1) * l->bits;
}

/*
 * A place stays its owner's, for its programs know a vCPU that waits for none of them any more. So
 * one that is loaded again has the same. 0: there is none left.
 */
static unsigned int find_place(struct list *l, const void *owner)
{
	for (unsigned int i = 0; i < l->nr_places; i++)
		if (l->owners[i] == owner && !(*l->called & mark_of(l, i + 1)))
			return i + 1;
	if (l->nr_places == l->max_places)
		return 0;
	l->owners[l->nr_places] = owner;
	return ++l->nr_places;
}

bool entry__has_place(const struct entry *e, enum moment moment, const void *owner)
{
	/* The list is not changed until somebody gets the place. */
	struct list list;

	if (!e)
		return true;
	list = e->lists[moment];
	return find_place(&list, owner);
}

/* The function whose place it takes. */
static const char *function_at(const struct list *l, unsigned int place, char name[32])
{
	snprintf(name, 32, "%s_%u", l->function, place);
	return name;
}

int entry__share(struct entry *e, enum moment moment, struct bpf_object *obj,
		 struct bpf_program *prog, const void *owner, unsigned int *place)
{
	struct list *l = &e->lists[moment];
	bool at_entry = moment == MOMENT_ENTRY;
	struct bpf_map *programs;
	char name[32];
	int err;

	if (!*place)
		*place = find_place(l, owner);
	if (!*place)
		return -ENOSPC;
	if (l->function)
		return bpf_program__set_attach_target(prog, bpf_program__fd(l->caller->prog),
						      function_at(l, *place, name));
	programs = bpf_object__find_map_by_name(obj, at_entry ? "entry_programs" : "run_programs");
	err = bpf_map__reuse_fd(programs, bpf_map__fd(l->programs));
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

/* It takes the place of the function. */
static int put_in_place(struct list *l, const struct bpf_program *prog, unsigned int place)
{
	char name[32];

	l->links[place - 1] = bpf_program__attach_freplace(prog, bpf_program__fd(l->caller->prog),
							   function_at(l, place, name));
	return l->links[place - 1] ? 0 : -errno;
}

static int put_into_map(struct list *l, const struct bpf_program *prog, unsigned int place)
{
	int fd = bpf_program__fd(prog);
	uint32_t index = place - 1;

	return map__update(l->programs, &index, &fd);
}

int entry__attach(struct entry *e, enum moment moment, const struct bpf_program *prog,
		  unsigned int place)
{
	bool is_of_run = moment == MOMENT_RUN || moment == MOMENT_RUN_CLASSIC;
	struct list *l = &e->lists[moment];
	struct caller *c = l->caller;
	int err = is_of_run ? forget_told(e, place) : 0;

	if (!err)
		err = l->function ? put_in_place(l, prog, place) : put_into_map(l, prog, place);
	if (err)
		return err;
	*l->called |= mark_of(l, place);
	if (c->nr_called++)
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
	struct list *l = e ? &e->lists[moment] : NULL;
	uint32_t index = place - 1;

	if (!e || !place || !(*l->called & mark_of(l, place)))
		return;
	*l->called &= ~mark_of(l, place);
	if (!--l->caller->nr_called) {
		bpf_link__destroy(l->caller->link);
		l->caller->link = NULL;
	}
	if (!l->function) {
		map__delete(l->programs, &index);
		return;
	}
	bpf_link__destroy(l->links[index]);
	l->links[index] = NULL;
}

void entry__fds(const struct entry *e, enum moment moment, unsigned int place,
		struct entry_fds *fds)
{
	const struct list *l = e && place ? &e->lists[moment] : NULL;
	const struct bpf_link *called = l ? l->links[place - 1] : NULL;
	const struct caller *c = l && l->caller->link ? l->caller : NULL;

	fds->prog = c ? bpf_program__fd(c->prog) : -1;
	fds->link = c ? bpf_link__fd(c->link) : -1;
	fds->called_link = called ? bpf_link__fd(called) : -1;
}
