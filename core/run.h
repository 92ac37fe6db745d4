/* SPDX-License-Identifier: GPL-2.0-only */
/* One run of the program: what all parts of it share. */
#ifndef KVM_WATCHER_RUN_H
#define KVM_WATCHER_RUN_H

#include <stdint.h>

#include "../bpf/records.h"
#include "../output/output.h"
#include "attach.h"
#include "../cli/options.h"

struct entry;
struct monitor;
struct vcpus;

enum { MAX_MONITORS = 16, NSEC_PER_SEC = 1000000000 };

struct run {
	const struct options *opts;
	struct output *out;
	struct vcpus *vcpus;
	struct entry *entry; /* made when the first monitor needs it */
	struct attachment attachments[MAX_MONITORS];
	struct attachment *attached[MAX_MONITORS]; /* those that run */
	size_t nr_attached;
	uint64_t start_ns;		   /* CLOCK_MONOTONIC: everything was attached */
	uint64_t since_ns;		   /* begin of what report() writes */
	uint64_t now_ns;		   /* its end */
	uint64_t start_cpu_ns;		   /* what the process had taken by then */
	bool entry_attached;		   /* the program at entries was, till the end */
	uint64_t entry_runs, entry_run_ns; /* of it, as a need's */
	int stats_fd; /* --self-cost: keeps the kernel's statistics enabled; or -1 */
	uint64_t lost[NR_LOST];
};

/* Measures until a signal, -t or the end of -p's VM. Returns an exit code. */
int run__watch(const struct options *opts);

/* Begins a section for the period that report() is about. */
void run__begin(struct run *run, const struct monitor *m, enum scope scope, unsigned int view);

/* Room in each monitor's ring of single events; a power of 2. */
uint32_t run__ring_mib(const struct run *run);

uint64_t clock__ns(void);

/* Columns of the terminal on stdout; 0 when it is none. */
int terminal__width(void);

#endif
