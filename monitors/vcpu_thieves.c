// SPDX-License-Identifier: GPL-2.0-only
#include "vcpu_thieves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "../core/vcpus.h"

/* What one of them has taken from a vCPU. */
struct theft {
	TAILQ_ENTRY(theft) of_victim;
	uint64_t noted;		  /* struct thieves' clock then */
	struct theft *next_found; /* in found[] */
	uint64_t hash;		  /* 0: it is not there */
	const struct victim *victim;
	const struct vm_ref *vm; /* NULL: no VM's */
	uint32_t vcpu;
	uint32_t tgid, tid; /* 0: of no VM, tasks of one name */
	char comm[COMM_LEN];
	bool several; /* of a VMM: threads of one name */
	bool stays;
	uint64_t ns;
	uint64_t seen_ns[]; /* by sink */
};

/* Thefts that are small in every respect end up in others, so that there never are too many. */
struct victim {
	struct row head;
	struct victim *next; /* in victims[] */
	size_t nr_slots;     /* 0: it has ended */
	TAILQ_ENTRY(victim) ended;
	TAILQ_HEAD(thefts, theft) thefts; /* the last noted first */
	size_t nr_thefts;
	struct theft *others;
	uint64_t seen[]; /* by sink: the clock when it looked; what was noted before it has seen */
};

struct thieves {
	struct victim **victims; /* by a hash of their heads */
	size_t nr_victims, nr_victim_places;
	struct victim **by_slot;
	size_t nr_slots, nr_sinks, keep_ended;
	uint64_t clock;				 /* thefts noted so far */
	TAILQ_HEAD(ended_victims, victim) ended; /* the oldest first */
	size_t nr_ended;
	size_t max_thefts;    /* of a victim */
	struct theft **found; /* by a hash of whose from whom they are */
	size_t nr_found, nr_places;
	struct theft **sorted;
	struct loot *window;
};

enum { LEAST_PLACES = 64 };

struct thieves *thieves__new(size_t nr_slots, size_t nr_sinks, size_t keep_ended)
{
	struct thieves *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->nr_slots = nr_slots;
	t->nr_sinks = nr_sinks;
	t->keep_ended = keep_ended;
	/* Three times what tidying up keeps for sure: it leaves twice that at most. */
	t->max_thefts = 3UL * KEEP_THIEVES * (1 + nr_sinks);
	TAILQ_INIT(&t->ended);
	t->by_slot = calloc(nr_slots, sizeof(*t->by_slot));
	t->sorted = calloc(t->max_thefts, sizeof(*t->sorted));
	t->window = calloc(t->max_thefts, sizeof(*t->window));
	t->nr_places = t->nr_victim_places = LEAST_PLACES;
	t->victims = calloc(t->nr_victim_places, sizeof(*t->victims));
	t->found = calloc(t->nr_places, sizeof(*t->found));
	if (!t->by_slot || !t->sorted || !t->window || !t->found || !t->victims) {
		thieves__free(t);
		return NULL;
	}
	return t;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* By what is_of() compares. */
static uint64_t hash_of(const struct victim *victim, const struct thief *thief,
			const struct vm_ref *vm, uint32_t vcpu)
{
	uint64_t hash = mix(mix((uintptr_t)victim, (uintptr_t)vm), vcpu);

	if (!vm)
		hash = mix(mix(hash, thief->key.tid), thief->tgid);
	for (int i = 0; vm && vcpu == UINT32_MAX && i < COMM_LEN - 1 && thief->comm[i]; i++)
		hash = mix(hash, thief->comm[i]);
	return hash | 1;
}

static struct theft **place_of(const struct thieves *t, uint64_t hash)
{
	return &t->found[(hash >> 1) & (t->nr_places - 1)];
}

static void put_in(struct thieves *t, struct theft *theft)
{
	struct theft **place = place_of(t, theft->hash);

	theft->next_found = *place;
	*place = theft;
}

static void grow_places(struct thieves *t)
{
	struct theft **old = t->found, **more = calloc(2 * t->nr_places, sizeof(*more));
	size_t nr_old = t->nr_places;

	if (!more)
		return;
	t->found = more;
	t->nr_places *= 2;
	for (size_t i = 0; i < nr_old; i++)
		for (struct theft *theft = old[i], *next; theft; theft = next) {
			next = theft->next_found;
			put_in(t, theft);
		}
	free(old);
}

static void let_find(struct thieves *t, struct theft *theft, uint64_t hash)
{
	if (t->nr_found == t->nr_places)
		grow_places(t);
	theft->hash = hash;
	put_in(t, theft);
	t->nr_found++;
}

static void let_not_find(struct thieves *t, struct theft *theft)
{
	struct theft **at;

	if (!theft->hash)
		return;
	for (at = place_of(t, theft->hash); *at != theft; at = &(*at)->next_found)
		;
	*at = theft->next_found;
	theft->hash = 0;
	t->nr_found--;
}

static void free_theft(struct theft *theft)
{
	vcpus__put_vm(theft->vm);
	free(theft);
}

static void free_victim(struct victim *victim)
{
	for (struct theft *theft = TAILQ_FIRST(&victim->thefts), *next; theft; theft = next) {
		next = TAILQ_NEXT(theft, of_victim);
		free_theft(theft);
	}
	free(victim->others);
	free(victim);
}

void thieves__free(struct thieves *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->victims && i < t->nr_victim_places; i++)
		for (struct victim *victim = t->victims[i], *next; victim; victim = next) {
			next = victim->next;
			free_victim(victim);
		}
	free(t->victims);
	free(t->by_slot);
	free(t->found);
	free(t->sorted);
	free(t->window);
	free(t);
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static bool has_head(const struct victim *victim, const struct row *row)
{
	return victim->head.vm_nr == row->vm_nr && victim->head.pid == row->pid &&
	       victim->head.tid == row->tid && victim->head.vcpu == row->vcpu;
}

static struct victim **victim_place(const struct thieves *t, const struct row *row)
{
	uint64_t hash = mix(mix(row->vm_nr, row->pid), (uint64_t)row->tid << 32 | row->vcpu);

	return &t->victims[hash & (t->nr_victim_places - 1)];
}

static struct victim *find(const struct thieves *t, const struct row *row)
{
	struct victim *victim = *victim_place(t, row);

	while (victim && !has_head(victim, row))
		victim = victim->next;
	return victim;
}

static void put_victim(struct thieves *t, struct victim *victim)
{
	struct victim **place = victim_place(t, &victim->head);

	victim->next = *place;
	*place = victim;
}

static void grow_victims(struct thieves *t)
{
	struct victim **old = t->victims, **more = calloc(2 * t->nr_victim_places, sizeof(*more));
	size_t nr_old = t->nr_victim_places;

	if (!more)
		return;
	t->victims = more;
	t->nr_victim_places *= 2;
	for (size_t i = 0; i < nr_old; i++)
		for (struct victim *victim = old[i], *next; victim; victim = next) {
			next = victim->next;
			put_victim(t, victim);
		}
	free(old);
}

static void forget_victim(struct thieves *t, struct victim *victim)
{
	struct victim **at = victim_place(t, &victim->head);
	struct theft *theft;

	while (*at != victim)
		at = &(*at)->next;
	*at = victim->next;
	t->nr_victims--;
	TAILQ_FOREACH(theft, &victim->thefts, of_victim)
	{
		/* cppcheck-suppress uninitvar; it does not know that the loop sets it. */
		let_not_find(t, theft);
	}
	free_victim(victim);
}

static struct theft *new_theft(const struct thieves *t)
{
	return calloc(1, sizeof(struct theft) + t->nr_sinks * sizeof(uint64_t));
}

static struct victim *add(struct thieves *t, const struct row *row)
{
	struct victim *victim = calloc(1, sizeof(*victim) + t->nr_sinks * sizeof(victim->seen[0]));

	if (!victim)
		return NULL;
	TAILQ_INIT(&victim->thefts);
	victim->head = *row;
	victim->head.vm = victim->head.vm_id = NULL;
	victim->others = new_theft(t);
	if (!victim->others) {
		free_victim(victim);
		return NULL;
	}
	if (t->nr_victims++ == t->nr_victim_places)
		grow_victims(t);
	put_victim(t, victim);
	return victim;
}

/* What a sink has not seen of it, or (the one after the last) what it is since the begin. */
static uint64_t unseen(const struct thieves *t, const struct theft *theft, size_t sink)
{
	return sink < t->nr_sinks ? theft->ns - theft->seen_ns[sink] : theft->ns;
}

struct order {
	const struct thieves *t;
	size_t sink;
};

static int worst_first(const void *a, const void *b, void *arg)
{
	const struct theft *const *x = a, *const *y = b;
	const struct order *order = arg;

	return compare(unseen(order->t, *y, order->sink), unseen(order->t, *x, order->sink));
}

/* The worst of what each sink has not seen stay, and the worst of the run. All are in sorted[]. */
static size_t choose_who_stays(struct thieves *t, const struct victim *victim)
{
	struct theft *theft;
	size_t nr = 0;

	TAILQ_FOREACH(theft, &victim->thefts, of_victim)
	{
		theft->stays = false;
		/* cppcheck-suppress uninitvar; it does not know that the loop sets it. */
		t->sorted[nr++] = theft;
	}
	for (size_t sink = 0; sink <= t->nr_sinks; sink++) {
		struct order order = { t, sink };

		qsort_r(t->sorted, nr, sizeof(*t->sorted), worst_first, &order);
		for (size_t i = 0; i < nr && i < KEEP_THIEVES; i++)
			t->sorted[i]->stays |= unseen(t, t->sorted[i], sink) > 0;
	}
	return nr;
}

/* There is something in it that sinks may not have seen. */
static void note(struct thieves *t, struct victim *victim, struct theft *theft)
{
	theft->noted = ++t->clock;
	if (theft == victim->others || theft == TAILQ_FIRST(&victim->thefts))
		return;
	TAILQ_REMOVE(&victim->thefts, theft, of_victim);
	TAILQ_INSERT_HEAD(&victim->thefts, theft, of_victim);
}

/* What sinks have seen of it they have seen of the other: nothing is lost or shown twice. */
static void fold(struct thieves *t, struct theft *into, struct theft *theft)
{
	into->ns += theft->ns;
	for (size_t sink = 0; sink < t->nr_sinks; sink++)
		into->seen_ns[sink] += theft->seen_ns[sink];
	let_not_find(t, theft);
	free_theft(theft);
}

/* The tasks of that name that are no longer told apart. */
static struct theft *find_namesakes(const struct victim *victim, const char *comm)
{
	struct theft *theft = TAILQ_FIRST(&victim->thefts);

	while (theft && (theft->vm || theft->tid || strcmp(theft->comm, comm) != 0))
		theft = TAILQ_NEXT(theft, of_victim);
	return theft;
}

/* Where one that does not stay goes: to its namesakes, first of all, else to the others. */
static struct theft *goes_to(struct thieves *t, const struct victim *victim, struct theft *theft)
{
	struct theft *namesakes;

	if (theft->vm || !theft->tid)
		return victim->others;
	namesakes = find_namesakes(victim, theft->comm);
	if (!namesakes) {
		let_not_find(t, theft);
		theft->tid = theft->tgid = 0;
		return theft;
	}
	return namesakes;
}

static void fold_the_small(struct thieves *t, struct victim *victim)
{
	size_t nr = choose_who_stays(t, victim);

	for (size_t i = 0; i < nr; i++) {
		struct theft *theft = t->sorted[i];
		struct theft *into = theft->stays ? theft : goes_to(t, victim, theft);

		if (into == theft)
			continue;
		note(t, victim, into);
		TAILQ_REMOVE(&victim->thefts, theft, of_victim);
		victim->nr_thefts--;
		fold(t, into, theft);
	}
}

/* First tasks go to their namesakes, who are not small together; then there is an end. */
static void tidy_up(struct thieves *t, struct victim *victim)
{
	fold_the_small(t, victim);
	fold_the_small(t, victim);
}

void thieves__begin(struct thieves *t, uint32_t slot, const struct row *row)
{
	struct victim *victim;

	if (t->by_slot[slot])
		return;
	victim = find(t, row);
	if (victim && !victim->nr_slots) {
		TAILQ_REMOVE(&t->ended, victim, ended);
		t->nr_ended--;
	}
	if (!victim)
		victim = add(t, row);
	if (!victim)
		return;
	victim->nr_slots++;
	t->by_slot[slot] = victim;
}

void thieves__end(struct thieves *t, uint32_t slot)
{
	struct victim *victim = t->by_slot[slot];

	if (!victim)
		return;
	t->by_slot[slot] = NULL;
	if (--victim->nr_slots)
		return;
	tidy_up(t, victim);
	TAILQ_INSERT_TAIL(&t->ended, victim, ended);
	if (t->nr_ended++ < t->keep_ended)
		return;
	victim = TAILQ_FIRST(&t->ended);
	TAILQ_REMOVE(&t->ended, victim, ended);
	t->nr_ended--;
	forget_victim(t, victim);
}

static bool is_of(const struct theft *theft, const struct thief *thief, const struct vm_ref *vm,
		  uint32_t vcpu)
{
	if (theft->vm != vm || theft->vcpu != vcpu)
		return false;
	if (!vm)
		return theft->tid == thief->key.tid && theft->tgid == thief->tgid;
	return vcpu != UINT32_MAX || !strncmp(theft->comm, thief->comm, COMM_LEN - 1);
}

/* A victim's, of nobody's time so far. Out of memory: what has no name. */
static struct theft *add_theft(struct thieves *t, struct victim *victim, const struct vm_ref *vm,
			       uint32_t vcpu)
{
	struct theft *theft;

	if (victim->nr_thefts == t->max_thefts)
		tidy_up(t, victim);
	theft = new_theft(t);
	if (!theft)
		return victim->others;
	theft->vm = vcpus__get_vm(vm);
	theft->vcpu = vcpu;
	theft->victim = victim;
	TAILQ_INSERT_HEAD(&victim->thefts, theft, of_victim);
	victim->nr_thefts++;
	return theft;
}

static struct theft *theft_of(struct thieves *t, struct victim *victim, const struct thief *thief,
			      const struct vm_ref *vm, uint32_t vcpu)
{
	uint64_t hash = hash_of(victim, thief, vm, vcpu);
	struct theft *theft = *place_of(t, hash);

	if (!thief->key.tid)
		return victim->others;
	while (theft &&
	       (theft->hash != hash || theft->victim != victim || !is_of(theft, thief, vm, vcpu)))
		theft = theft->next_found;
	if (theft)
		return theft;
	theft = add_theft(t, victim, vm, vcpu);
	if (theft != victim->others)
		let_find(t, theft, hash);
	return theft;
}

void thieves__note(struct thieves *t, const struct thief *thief, const struct vm_ref *vm,
		   uint32_t vcpu)
{
	struct victim *victim = thief->key.slot < t->nr_slots ? t->by_slot[thief->key.slot] : NULL;
	struct theft *theft = victim ? theft_of(t, victim, thief, vm, vcpu) : NULL;

	if (!theft)
		return;
	note(t, victim, theft);
	theft->ns += thief->ns;
	/* A task may have another name since, and a vCPU another thread. */
	theft->several |= theft->tid && theft->tid != thief->key.tid && vcpu == UINT32_MAX;
	theft->tgid = thief->tgid;
	theft->tid = thief->key.tid;
	memcpy(theft->comm, thief->comm, sizeof(theft->comm));
	theft->comm[sizeof(theft->comm) - 1] = '\0';
}

static int most_first(const void *a, const void *b)
{
	return compare(((const struct loot *)b)->ns, ((const struct loot *)a)->ns);
}

static void copy_top(struct loot top[TOP_THIEVES + 1], const struct loot *window, size_t nr)
{
	if (nr > TOP_THIEVES)
		nr = TOP_THIEVES;
	memcpy(top, window, nr * sizeof(*top));
	top[nr] = (struct loot){};
}

/* Of one VM, or of one name. */
static bool is_kin(const struct loot *a, const struct loot *b)
{
	return a->vm == b->vm && (a->vm || !strcmp(a->comm, b->comm));
}

/* In place; the worst first. How many are left. */
static size_t sum_kin(struct loot *window, size_t nr)
{
	size_t left = 0, at;

	for (size_t i = 0; i < nr; i++) {
		for (at = 0; at < left && !is_kin(&window[at], &window[i]); at++)
			;
		if (at == left) {
			window[left++] = window[i];
			continue;
		}
		window[at].ns += window[i].ns;
		if (window[at].vm)
			window[at].more++;
		else
			window[at].pid = UINT32_MAX;
	}
	qsort(window, left, sizeof(*window), most_first);
	return left;
}

static uint32_t pid_of(const struct theft *theft)
{
	return theft->tid && !theft->several ? theft->tid : UINT32_MAX;
}

/* What is new to a sink, which it sees now. */
static uint64_t window_of(const struct thieves *t, struct theft *theft, size_t sink)
{
	uint64_t ns = unseen(t, theft, sink);

	if (sink < t->nr_sinks)
		theft->seen_ns[sink] = theft->ns;
	return ns;
}

/* The next one in which there may be something that is new to the sink, from theft on. */
static struct theft *new_to(const struct thieves *t, const struct victim *victim,
			    struct theft *theft, size_t sink)
{
	return theft && (sink == t->nr_sinks || theft->noted > victim->seen[sink]) ? theft : NULL;
}

#define FOR_EACH_NEW(_theft, _t, _victim, _sink)                                               \
	for ((_theft) = new_to(_t, _victim, TAILQ_FIRST(&(_victim)->thefts), _sink); (_theft); \
	     (_theft) = new_to(_t, _victim, TAILQ_NEXT(_theft, of_victim), _sink))

static void has_seen(const struct thieves *t, struct victim *victim, size_t sink)
{
	if (sink < t->nr_sinks)
		victim->seen[sink] = t->clock;
}

uint64_t thieves__top(struct thieves *t, const struct row *row, size_t sink, enum scope scope,
		      struct loot tasks[TOP_THIEVES + 1], struct loot sums[TOP_THIEVES + 1])
{
	struct victim *victim = find(t, row);
	size_t of = scope == SCOPE_INTERVAL ? sink : t->nr_sinks, nr = 0;
	struct theft *theft;
	uint64_t total;

	tasks[0] = sums[0] = (struct loot){};
	if (!victim)
		return 0;
	total = window_of(t, victim->others, of);
	FOR_EACH_NEW(theft, t, victim, of)
	{
		uint64_t ns = window_of(t, theft, of);

		total += ns;
		if (ns)
			t->window[nr++] = (struct loot){ .vm = theft->vm,
							 .vcpu = theft->vcpu,
							 .comm = theft->comm,
							 .pid = pid_of(theft),
							 .ns = ns };
	}
	has_seen(t, victim, of);
	if (!nr)
		return total;
	qsort(t->window, nr, sizeof(*t->window), most_first);
	copy_top(tasks, t->window, nr);
	copy_top(sums, t->window, sum_kin(t->window, nr));
	return total;
}

void thieves__each(struct thieves *t, const struct row *row, size_t sink, enum scope scope,
		   void (*take)(void *ctx, const struct loot *loot), void *ctx)
{
	struct victim *victim = find(t, row);
	size_t of = scope == SCOPE_INTERVAL ? sink : t->nr_sinks;
	struct theft *theft;
	struct loot loot = { .vcpu = UINT32_MAX, .pid = UINT32_MAX };

	if (!victim)
		return;
	loot.ns = window_of(t, victim->others, of);
	if (loot.ns)
		take(ctx, &loot);
	FOR_EACH_NEW(theft, t, victim, of)
	{
		loot = (struct loot){ .vm = theft->vm,
				      .vcpu = theft->vcpu,
				      .comm = theft->comm,
				      .pid = pid_of(theft),
				      .ns = window_of(t, theft, of) };
		if (loot.ns)
			take(ctx, &loot);
	}
	has_seen(t, victim, of);
}

static bool is_loot(const struct theft *theft, const struct loot *loot)
{
	if (theft->vm != loot->vm || theft->vcpu != loot->vcpu)
		return false;
	if (loot->vm && loot->vcpu != UINT32_MAX)
		return true;
	return (loot->vm || pid_of(theft) == loot->pid) && !strcmp(theft->comm, loot->comm);
}

static struct theft *theft_of_loot(struct thieves *t, struct victim *victim,
				   const struct loot *loot)
{
	struct theft *theft = TAILQ_FIRST(&victim->thefts);

	if (!loot->comm)
		return victim->others;
	while (theft && !is_loot(theft, loot))
		theft = TAILQ_NEXT(theft, of_victim);
	return theft ?: add_theft(t, victim, loot->vm, loot->vcpu);
}

void thieves__add(struct thieves *t, const struct row *row, const struct loot *loot)
{
	struct victim *victim = find(t, row);
	struct theft *theft;

	if (!victim)
		victim = add(t, row);
	theft = victim ? theft_of_loot(t, victim, loot) : NULL;
	if (!theft)
		return;
	note(t, victim, theft);
	theft->ns += loot->ns;
	if (theft == victim->others)
		return;
	theft->tid = loot->pid == UINT32_MAX ? 0 : loot->pid;
	snprintf(theft->comm, sizeof(theft->comm), "%s", loot->comm);
}

const char *loot__name(const struct loot *loot, char name[THIEF_NAME_LEN])
{
	char more[16] = "";

	if (loot->more)
		snprintf(more, sizeof(more), " +%u", loot->more);
	if (!loot->vm)
		snprintf(name, THIEF_NAME_LEN, "%s", loot->comm);
	else if (loot->vcpu != UINT32_MAX)
		snprintf(name, THIEF_NAME_LEN, "%s/vcpu%u%s", loot->vm->label, loot->vcpu, more);
	else
		snprintf(name, THIEF_NAME_LEN, "%s (%s)%s", loot->vm->label, loot->comm, more);
	return name;
}

enum thief_record thief_record__next(enum thief_record now, bool grew)
{
	if (now == THIEF_LEAVING)
		return grew ? THIEF_LEAVING : THIEF_FREE;
	if (grew)
		return THIEF_HELD;
	return now == THIEF_HELD ? THIEF_LEAVING : THIEF_FREE;
}
