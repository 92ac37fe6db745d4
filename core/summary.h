/* SPDX-License-Identifier: GPL-2.0-only */
/* What a run tells of itself: what got lost, its hooks, and what they cost. */
#ifndef KVM_WATCHER_SUMMARY_H
#define KVM_WATCHER_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/records.h"
#include "entry.h"

struct attach_env;
struct attachment;
struct attachments;
struct json_object;
struct sink;

struct summary {
	const struct attach_env *env;
	const struct attachments *attached;
	bool self_cost;
	bool quiet;	       /* nothing is said of losses */
	uint64_t start_ns;     /* CLOCK_MONOTONIC: the window's begin */
	uint64_t start_cpu_ns; /* what the process had taken by then */
	struct {
		bool attached;	       /* till the end */
		uint64_t runs, run_ns; /* as a need's */
	} entries[NR_HEADS];	       /* the programs that call others */
	int stats_fd;		       /* self_cost: keeps the kernel's statistics enabled; or -1 */
	uint64_t broker_cpu_ns;	       /* what the privileged process has taken */
	uint64_t entry_skipped, early_skipped; /* runs of these that the kernel skipped */
	uint64_t lost_before[NR_LOST];	       /* by what is not attached any more */
};

/* Who writes an output: of its first object. */
struct about {
	const char *version;
	char *const *options; /* as they were given, ends with NULL */
};

/* The members of a first object that every command's has. */
struct json_object *summary__head(const struct about *about);

/* The window began at start_ns; env, attached and self_cost are filled in. */
void summary__begin(struct summary *s, uint64_t start_ns);

/* What was attached later begins now; what is detached has lost that. */
void summary__add(struct attachment *at);
void summary__remove(struct summary *s, const struct attachment *at);
/* What got lost in the window so far. */
void summary__losses(const struct summary *s, uint64_t lost[NR_LOST]);

/* The first object of the outputs of these sinks (1 << index). */
void summary__write_start(const struct summary *s, const struct about *about, uint64_t sinks);

/* One object for each VM that the sink has not been told of: before rows of it. */
void summary__write_vms(const struct attach_env *env, struct sink *sink);

/* The window has ended: until now the hooks were complete, and half a pair is a loss. */
void summary__take(struct summary *s);

/* After that: what found no room is final. */
void summary__settle(struct summary *s);

/* All rings have been read: events that the end left no time for are losses. */
void summary__count_left_out(struct summary *s);

/* The last object of the output, and its sentences on stderr. */
void summary__write(const struct summary *s, uint64_t now_ns);

/* The last object for these sinks (1 << index), while the run goes on. */
void summary__write_so_far(struct summary *s, uint64_t now_ns, uint64_t sinks);

/* Also without one of the above but the first. */
void summary__end(struct summary *s);

/* Which needs of these nr monitors are missing: a sentence for each cause. */
void summary__say_missing(const struct attachment *all, size_t nr);

#endif
