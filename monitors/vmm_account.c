// SPDX-License-Identifier: GPL-2.0-only
#include "vmm_account.h"

#include <stdlib.h>

enum { NR_TIMES = sizeof(struct thread_times) / sizeof(uint64_t) };

static uint64_t share_of(uint64_t all, uint64_t part, uint64_t of)
{
	return of ? (unsigned __int128)all * part / of : 0;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void thread_times__tell(struct thread_times *told, const struct thread_times *now)
{
	uint64_t cpu = greater(told->cpu_ns, now->cpu_ns), user,
		 system = share_of(cpu, now->system_ns, now->user_ns + now->system_ns);

	/* As cputime_adjust() in kernel/sched/cputime.c: what was told of one is not taken back. */
	system = greater(system, told->system_ns);
	if (cpu - system < told->user_ns)
		system = cpu - told->user_ns;
	user = cpu - system;
	told->guest_ns = greater(told->guest_ns, share_of(user, now->guest_ns, now->user_ns));
	told->cpu_ns = cpu;
	told->user_ns = user;
	told->system_ns = system;
	told->delay_ns = greater(told->delay_ns, now->delay_ns);
	told->major_faults = greater(told->major_faults, now->major_faults);
}

static void add(struct thread_times *to, const struct thread_times *from)
{
	for (size_t i = 0; i < NR_TIMES; i++)
		((uint64_t *)to)[i] += ((const uint64_t *)from)[i];
}

/* What is not there at this moment is 0: it will be there at a later one. */
static void subtract(struct thread_times *from, const struct thread_times *less)
{
	for (size_t i = 0; i < NR_TIMES; i++) {
		uint64_t *a = (uint64_t *)from + i, b = ((const uint64_t *)less)[i];

		*a = *a > b ? *a - b : 0;
	}
}

static int by_tid(const void *a, const void *b)
{
	const struct known_thread *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

void account__begin(struct account *a)
{
	a->nr_others = 0;
	a->total = (struct thread_times){};
	for (size_t i = 0; i < a->nr; i++)
		a->list[i].seen = false;
}

static struct known_thread *add_thread(struct account *a, const struct thread_entry *entry,
				       bool is_vcpu)
{
	struct known_thread *more;

	if (!is_vcpu && a->nr_counted == MOST_KNOWN_THREADS)
		return NULL;
	if (a->nr == a->room) {
		more = reallocarray(a->list, a->room + 16, sizeof(*more));
		if (!more)
			return NULL;
		a->list = more;
		a->room += 16;
	}
	a->nr_counted += !is_vcpu;
	more = &a->list[a->nr++];
	*more = (struct known_thread){
		.tid = entry->tid,
		.since_ns = entry->since_ns,
		.counts = !is_vcpu,
		.is_kernel = entry->is_kernel,
	};
	return more;
}

const struct known_thread *account__take(struct account *a, const struct thread_entry *entry,
					 bool is_vcpu)
{
	const struct known_thread key = { .tid = entry->tid };
	struct known_thread *known = NULL;

	add(&a->total, &entry->times);
	add(&a->total, &entry->ended);
	if (a->nr_sorted)
		known = bsearch(&key, a->list, a->nr_sorted, sizeof(key), by_tid);
	/* Another thread with the number of one that has ended. */
	if (!known || known->since_ns != entry->since_ns)
		known = add_thread(a, entry, is_vcpu);
	if (!known) {
		a->nr_others++;
		return NULL;
	}
	known->seen = true;
	thread_times__tell(&known->told, &entry->times);
	return known;
}

/* Of the raw times: those of others are what is left of all. */
void account__end(struct account *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->nr; i++) {
		struct known_thread *known = &a->list[i];

		if (known->seen) {
			subtract(&a->total, &known->told);
			a->list[kept++] = *known;
			continue;
		}
		a->nr_counted -= known->counts;
		/* What the process never has: delays of what has ended, the kernel's threads. */
		known->told.delay_ns = 0;
		if (!known->is_kernel)
			add(&a->ended, &known->told);
	}
	a->nr = a->nr_sorted = kept;
	if (kept)
		qsort(a->list, kept, sizeof(*a->list), by_tid);
	subtract(&a->total, &a->ended);
	thread_times__tell(&a->others, &a->total);
}

void account__close(struct account *a)
{
	free(a->list);
	*a = (struct account){};
}
