// SPDX-License-Identifier: GPL-2.0-only
#include "losses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "map.h"
#include "vcpus.h"

static const struct {
	const char *name;
	const char *help;
} lost_kinds[NR_LOST] = {
	[LOST_VCPUS_FULL] = { "vcpus_full", "events of vCPUs that did not fit in the tables" },
	[LOST_RECORDS_FULL] = { "records_full", "events whose reason did not fit in the tables" },
	[LOST_EXITS_UNTIMED] = { "exits_untimed", "exits counted but not timed: the kernel did not "
						  "trace the entry after them" },
	[LOST_EXITS_UNTRACED] = { "exits_untraced",
				  "exits that KVM handled in its fast path without tracing them" },
	[LOST_THREAD_UNKNOWN] = { "thread_unknown", "events of threads whose vCPU is unknown, or "
						    "of vCPUs that are not known yet" },
	[LOST_PAGES_FULL] = { "pages_full", "dirty or faulting pages that got no counter of their "
					    "own; other counters include them" },
	[LOST_SKIPPED] = { "programs_skipped", "runs that the kernel skipped because the same "
					       "program was already running on that CPU" },
	[LOST_EVENTS] = { "events", "single events that did not fit in the ring buffer; counters "
				    "include them" },
	[LOST_HOOKS_GONE] = { "hooks_gone", "hooks detached because their module was unloaded; "
					    "events until they were attached again are missing" },
};

int losses__open(struct losses *l, const struct bpf_object *obj)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(obj, "losses");

	l->losers = bpf_object__find_map_by_name(obj, "losers");
	if (!map || !l->losers)
		return -ENOENT;
	l->counts = map__mmap(map, &l->size);
	return l->counts ? 0 : -errno;
}

void losses__close(struct losses *l)
{
	for (size_t i = 0; i < l->nr_of; i++)
		vcpus__put_vm(l->of[i].vm);
	if (l->counts)
		munmap(l->counts, l->size);
	free(l->of);
	memset(l, 0, sizeof(*l));
}

void losses__add(const struct losses *l, uint64_t lost[NR_LOST])
{
	for (int i = 0; l->counts && i < NR_LOST; i++)
		lost[i] += __atomic_load_n(&l->counts[i], __ATOMIC_RELAXED);
}

/* A number that has been given to another process is that one's. */
static struct lost_of *find(struct losses *l, const struct loser *loser)
{
	struct lost_of *more;

	for (size_t i = 0; i < l->nr_of; i++)
		if (!l->of[i].ended && l->of[i].loser.tgid == loser->tgid &&
		    l->of[i].loser.what == loser->what)
			return &l->of[i];
	more = reallocarray(l->of, l->nr_of + 1, sizeof(*more));
	if (!more)
		return NULL;
	l->of = more;
	more[l->nr_of] = (struct lost_of){ .loser = *loser };
	return &more[l->nr_of++];
}

/* Those that lose nothing any more, as their processes have ended, leave their places. */
static void give_up(struct losses *l, const struct vcpus *vcpus)
{
	struct ended_asked asked = {};

	for (size_t i = 0; i < l->nr_of; i++) {
		struct lost_of *of = &l->of[i];

		if (of->ended || !vcpus__process_ended(vcpus, &asked, of->loser.tgid))
			continue;
		map__lookup(l->losers, &of->loser, &of->count);
		map__delete(l->losers, &of->loser);
		of->ended = true;
	}
}

/* The oldest of those that have ended. */
static void forget_old(struct losses *l)
{
	enum { MOST_ENDED = 1024 };
	size_t nr_ended = 0, kept = 0;

	for (size_t i = 0; i < l->nr_of; i++)
		nr_ended += l->of[i].ended;
	for (size_t i = 0; i < l->nr_of; i++) {
		if (l->of[i].ended && nr_ended > MOST_ENDED) {
			nr_ended--;
			vcpus__put_vm(l->of[i].vm);
			continue;
		}
		l->of[kept++] = l->of[i];
	}
	l->nr_of = kept;
}

void losses__learn(struct losses *l, struct vcpus *vcpus)
{
	struct loser loser, *before = NULL;
	uint64_t lost[NR_LOST] = {}, sum = 0;

	losses__add(l, lost);
	for (int i = 0; i < NR_LOST; i++)
		sum += lost[i];
	/* Nobody asks the kernel while nothing is lost. */
	if (sum == l->learned)
		return;
	l->learned = sum;
	while (!bpf_map_get_next_key(bpf_map__fd(l->losers), before, &loser)) {
		struct lost_of *of = find(l, &loser);

		before = &loser;
		if (!of || map__lookup(l->losers, &loser, &of->count))
			continue;
		if (!of->vm)
			of->vm = vcpus__get_vm(vcpus__vm_of_process(vcpus, loser.tgid));
	}
	give_up(l, vcpus);
	forget_old(l);
}

const char *lost__name(enum lost what)
{
	return lost_kinds[what].name;
}

const char *lost__help(enum lost what)
{
	return lost_kinds[what].help;
}
