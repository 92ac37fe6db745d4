/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The threads of one VMM: a few are known one by one, and what the process has used beside
 * them is told as a sum. That has also what ended between two looks. So nothing is missing
 * or told twice, however many threads come and go.
 */
#ifndef KVM_WATCHER_VMM_ACCOUNT_H
#define KVM_WATCHER_VMM_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm_threads.h"

/* Known at the same time, besides vCPUs', of which KVM has a limit. */
enum { MOST_KNOWN_THREADS = 64 };

struct known_thread {
	uint32_t tid;
	uint64_t since_ns;
	bool counts; /* against MOST_KNOWN_THREADS */
	bool is_kernel;
	bool seen;
	struct thread_times told;
};

struct account {
	struct known_thread *list; /* up to nr_sorted by tid */
	size_t nr, nr_sorted, room;
	size_t nr_counted;
	size_t nr_others;	    /* threads that are not known, at this look */
	struct thread_times ended;  /* of known ones */
	struct thread_times total;  /* of the process, at this look */
	struct thread_times others; /* told */
};

/*
 * Takes the sampled times of now into told: user and system time are parts of the exact
 * time, and all only grow.
 */
void thread_times__tell(struct thread_times *told, const struct thread_times *now);

/* A look begins. */
void account__begin(struct account *a);
/* One thread of it, each once. NULL: it is one of the others. */
const struct known_thread *account__take(struct account *a, const struct thread_entry *entry,
					 bool is_vcpu);
/* All were taken: a->others is right. */
void account__end(struct account *a);
void account__close(struct account *a);

#endif
