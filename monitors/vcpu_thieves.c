// SPDX-License-Identifier: GPL-2.0-only
#include "vcpu_thieves.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* What one task has taken from a vCPU. */
struct theft {
	struct theft *next;
	uint32_t slot; /* of the vCPU; 0: it has ended */
	uint32_t tid;
	char comm[COMM_LEN];
	uint64_t last_ns; /* as the kernel had it for that slot */
	uint64_t ns;
	uint64_t seen_ns[]; /* by sink */
};

struct victim {
	struct row head;
	size_t nr_slots; /* 0: it has ended */
	TAILQ_ENTRY(victim) ended;
	struct theft *thefts;
};

struct thieves {
	void *victims; /* by head: tsearch() */
	struct victim **by_slot;
	size_t nr_slots, nr_sinks, keep_ended;
	TAILQ_HEAD(ended_victims, victim) ended; /* the oldest first */
	size_t nr_ended;
};

struct thieves *thieves__new(size_t nr_slots, size_t nr_sinks, size_t keep_ended)
{
	struct thieves *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->nr_slots = nr_slots;
	t->nr_sinks = nr_sinks;
	t->keep_ended = keep_ended;
	TAILQ_INIT(&t->ended);
	t->by_slot = calloc(nr_slots, sizeof(*t->by_slot));
	if (!t->by_slot) {
		free(t);
		return NULL;
	}
	return t;
}

static void free_victim(void *node)
{
	struct victim *victim = node;

	for (struct theft *theft = victim->thefts, *next; theft; theft = next) {
		next = theft->next;
		free(theft);
	}
	free(victim);
}

void thieves__free(struct thieves *t)
{
	if (!t)
		return;
	tdestroy(t->victims, free_victim);
	free(t->by_slot);
	free(t);
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_head(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = compare(x->vm_nr, y->vm_nr);

	if (!order)
		order = compare(x->pid, y->pid);
	if (!order)
		order = compare(x->tid, y->tid);
	return order ? order : compare(x->vcpu, y->vcpu);
}

static struct victim *find(const struct thieves *t, const struct row *row)
{
	struct victim **node = tfind(row, &t->victims, by_head);

	return node ? *node : NULL;
}

static struct victim *add(struct thieves *t, const struct row *row)
{
	struct victim *victim = calloc(1, sizeof(*victim));

	if (!victim)
		return NULL;
	victim->head = *row;
	victim->head.vm = victim->head.vm_id = NULL;
	if (!tsearch(victim, &t->victims, by_head)) {
		free(victim);
		return NULL;
	}
	return victim;
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
	for (struct theft *theft = victim->thefts; theft; theft = theft->next)
		if (theft->slot == slot)
			theft->slot = 0;
	if (--victim->nr_slots)
		return;
	TAILQ_INSERT_TAIL(&t->ended, victim, ended);
	if (t->nr_ended++ < t->keep_ended)
		return;
	victim = TAILQ_FIRST(&t->ended);
	TAILQ_REMOVE(&t->ended, victim, ended);
	t->nr_ended--;
	tdelete(victim, &t->victims, by_head);
	free_victim(victim);
}

static struct theft *find_theft(const struct victim *victim, uint32_t slot, uint32_t tid)
{
	struct theft *theft = victim->thefts;

	while (theft && (theft->slot != slot || theft->tid != tid))
		theft = theft->next;
	return theft;
}

/* The vCPU may have been in another slot before: what was taken there stays. */
static struct theft *theft_of(const struct thieves *t, struct victim *victim, uint32_t slot,
			      const struct thief *thief)
{
	struct theft *theft = find_theft(victim, slot, thief->pid);

	if (theft)
		return theft;
	theft = find_theft(victim, 0, thief->pid);
	if (!theft) {
		theft = calloc(1, sizeof(*theft) + t->nr_sinks * sizeof(theft->seen_ns[0]));
		if (!theft)
			return NULL;
		theft->tid = thief->pid;
		theft->next = victim->thefts;
		victim->thefts = theft;
		memcpy(theft->comm, thief->comm, sizeof(theft->comm));
		theft->comm[sizeof(theft->comm) - 1] = '\0';
	}
	theft->slot = slot;
	theft->last_ns = 0;
	return theft;
}

void thieves__note(struct thieves *t, uint32_t slot, const struct thief *thief)
{
	struct victim *victim = slot < t->nr_slots ? t->by_slot[slot] : NULL;
	struct theft *theft = victim ? theft_of(t, victim, slot, thief) : NULL;

	if (!theft || thief->ns <= theft->last_ns)
		return;
	theft->ns += thief->ns - theft->last_ns;
	theft->last_ns = thief->ns;
}

void thieves__top(struct thieves *t, const struct row *row, size_t sink, enum scope scope,
		  struct task_time top[TOP_THIEVES + 1])
{
	const struct victim *victim = find(t, row);
	size_t nr = 0;

	for (struct theft *theft = victim ? victim->thefts : NULL; theft; theft = theft->next) {
		uint64_t ns = theft->ns;
		size_t at;

		if (scope == SCOPE_INTERVAL) {
			ns -= theft->seen_ns[sink];
			theft->seen_ns[sink] = theft->ns;
		}
		for (at = nr; ns && at > 0 && top[at - 1].ns < ns; at--)
			top[at] = top[at - 1];
		if (!ns || at >= TOP_THIEVES)
			continue;
		top[at] = (struct task_time){ .comm = theft->comm, .pid = theft->tid, .ns = ns };
		nr += nr < TOP_THIEVES;
	}
	top[nr].comm = NULL;
}
