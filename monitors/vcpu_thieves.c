// SPDX-License-Identifier: GPL-2.0-only
#include "vcpu_thieves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "../core/vcpus.h"

/* What is in a hash table begins with one. */
struct link {
	struct link *next;
	uint64_t hash; /* 0: it is in none */
};

struct links {
	struct link **places;
	size_t nr, nr_places;
};

/* What one of them has taken from a vCPU. */
struct theft {
	struct link link; /* in thefts */
	TAILQ_ENTRY(theft) of_victim;
	uint64_t noted; /* struct thieves' clock then */
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
	struct link link; /* in victims */
	struct row head;
	size_t nr_slots; /* 0: it has ended */
	TAILQ_ENTRY(victim) ended;
	TAILQ_HEAD(thefts, theft) thefts; /* the last noted first */
	size_t nr_thefts;
	struct theft *others;
	uint64_t seen[]; /* by sink: the clock when it looked; what was noted before it has seen */
};

struct thieves {
	struct links victims; /* by their heads */
	struct links thefts;  /* by whose from whom they are */
	struct victim **by_slot;
	size_t nr_slots, nr_sinks, keep_ended;
	uint64_t clock;				 /* thefts noted so far */
	TAILQ_HEAD(ended_victims, victim) ended; /* the oldest first */
	size_t nr_ended;
	size_t max_thefts; /* of a victim */
	struct theft **sorted;
	struct loot *window;
};

static bool links__init(struct links *l)
{
	l->nr_places = 64;
	l->places = calloc(l->nr_places, sizeof(struct link *));
	return l->places;
}

static struct link **links__place(const struct links *l, uint64_t hash)
{
	return &l->places[(hash >> 1) & (l->nr_places - 1)];
}

static void links__push(const struct links *l, struct link *link)
{
	struct link **place = links__place(l, link->hash);

	link->next = *place;
	*place = link;
}

/* Without memory it stays as it is, and gets slower. */
static void links__grow(struct links *l)
{
	struct links more = { .nr = l->nr, .nr_places = 2 * l->nr_places };

	more.places = calloc(more.nr_places, sizeof(struct link *));
	if (!more.places)
		return;
	for (size_t i = 0; i < l->nr_places; i++)
		for (struct link *link = l->places[i], *next; link; link = next) {
			next = link->next;
			links__push(&more, link);
		}
	free(l->places);
	*l = more;
}

static void links__put(struct links *l, struct link *link, uint64_t hash)
{
	if (l->nr++ == l->nr_places)
		links__grow(l);
	link->hash = hash;
	links__push(l, link);
}

static void links__drop(struct links *l, struct link *link)
{
	struct link **at;

	/* cppcheck-suppress uninitvar; it does not know that the loop of who calls sets it. */
	if (!link->hash)
		return;
	for (at = links__place(l, link->hash); *at != link; at = &(*at)->next)
		;
	*at = link->next;
	link->hash = 0;
	l->nr--;
}

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
	if (!links__init(&t->victims) || !links__init(&t->thefts) || !t->by_slot || !t->sorted ||
	    !t->window) {
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
	for (size_t i = 0; t->victims.places && i < t->victims.nr_places; i++)
		for (struct link *link = t->victims.places[i], *next; link; link = next) {
			next = link->next;
			free_victim((struct victim *)link);
		}
	free(t->victims.places);
	free(t->thefts.places);
	free(t->by_slot);
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

static uint64_t hash_of_head(const struct row *row)
{
	return mix(mix(row->vm_nr, row->pid), (uint64_t)row->tid << 32 | row->vcpu) | 1;
}

static struct victim *find(const struct thieves *t, const struct row *row)
{
	struct link *link = *links__place(&t->victims, hash_of_head(row));

	while (link && !has_head((struct victim *)link, row))
		link = link->next;
	return (struct victim *)link;
}

static void forget_victim(struct thieves *t, struct victim *victim)
{
	struct theft *theft;

	links__drop(&t->victims, &victim->link);
	TAILQ_FOREACH(theft, &victim->thefts, of_victim)
	{
		links__drop(&t->thefts, &theft->link);
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
	links__put(&t->victims, &victim->link, hash_of_head(row));
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
	links__drop(&t->thefts, &theft->link);
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
		links__drop(&t->thefts, &theft->link);
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
	struct theft *theft;

	if (!thief->key.tid)
		return victim->others;
	for (struct link *link = *links__place(&t->thefts, hash); link; link = link->next) {
		theft = (struct theft *)link;
		if (link->hash == hash && theft->victim == victim && is_of(theft, thief, vm, vcpu))
			return theft;
	}
	theft = add_theft(t, victim, vm, vcpu);
	if (theft != victim->others)
		links__put(&t->thefts, &theft->link, hash);
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

static size_t end_of(const struct thief_log *log, uint32_t nr)
{
	size_t end = nr > *log->read ? nr : *log->read;

	return end < log->room ? end : log->room;
}

void thief_log__sum(const struct thief_log *log, uint64_t *ns_of, size_t nr_slots)
{
	size_t end = end_of(log, __atomic_load_n(log->nr, __ATOMIC_ACQUIRE));

	for (size_t i = 0; i < end; i++) {
		const struct thief *thief = &log->thieves[i];
		uint64_t ns = __atomic_load_n(&thief->ns, __ATOMIC_ACQUIRE);

		if (ns && thief->key.slot < nr_slots)
			ns_of[thief->key.slot] += ns;
	}
}

/* False: there was nothing up to there. */
static bool take_up_to(const struct thief_log *log, size_t end,
		       void (*take)(void *ctx, const struct thief *thief), void *ctx)
{
	bool any = false;

	for (size_t i = 0; i < end; i++) {
		struct thief *place = &log->thieves[i], thief;

		/* Whose it is stays as long as there is something in it: that is taken last. */
		if (!__atomic_load_n(&place->ns, __ATOMIC_ACQUIRE))
			continue;
		thief = *place;
		thief.ns = __atomic_exchange_n(&place->ns, 0, __ATOMIC_ACQ_REL);
		take(ctx, &thief);
		any = true;
	}
	return any;
}

void thief_log__take(const struct thief_log *log,
		     void (*take)(void *ctx, const struct thief *thief), void *ctx)
{
	/* What came while it was read: this process may have lost the CPU meanwhile. */
	enum { PASSES = 3 };
	uint32_t nr = 0, now;

	for (int pass = 0; pass < PASSES; pass++) {
		nr = __atomic_load_n(log->nr, __ATOMIC_ACQUIRE);
		if (!take_up_to(log, end_of(log, nr), take, ctx))
			break;
	}
	*log->read = nr;
	now = nr;
	/* One that has come yet is for the next time, and so are all places up to it. */
	__atomic_compare_exchange_n(log->nr, &now, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}
