/* SPDX-License-Identifier: GPL-2.0-only */
/* Would a live migration converge? Arithmetic only: no kernel, no output. */
#ifndef KVM_WATCHER_MIGRATION_H
#define KVM_WATCHER_MIGRATION_H

#include <stdbool.h>
#include <stdint.h>

/* The longest stop that a migration accepts: QEMU's downtime-limit by default. */
enum { MIGRATION_DOWNTIME_MS = 300, MIGRATION_MOST_ROUNDS = 100 };

struct migration_input {
	double memory;	    /* pages that the first round sends */
	double rate;	    /* different pages dirtied per second */
	double working_set; /* more different pages than these are not dirtied */
	double bandwidth;   /* bytes per second */
};

struct migration {
	bool converges;
	unsigned int rounds; /* while the guest runs */
	double seconds;	     /* all of it, the stop included */
	double downtime;     /* the stop: what the last round left, in seconds */
};

/*
 * Pre-copy as QEMU does it: each round sends what was dirtied during the one
 * before, until the rest can be sent within MIGRATION_DOWNTIME_MS. A round
 * that leaves as much as the one before shows that it will never get there.
 */
struct migration migration__predict(const struct migration_input *in);

/* Pages or nanoseconds as a whole number; what is more than INT64_MAX is that, what is none 0. */
uint64_t migration__whole(double number);

#endif
