/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one monitor has not measured as it should, and whose that was: the user
 * half of bpf/lost.bpf.h.
 */
#ifndef KVM_WATCHER_LOSSES_H
#define KVM_WATCHER_LOSSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/records.h"

struct bpf_map;
struct bpf_object;
struct vcpus;
struct vm_ref;

struct losses {
	uint64_t *counts; /* the kernel's, mapped */
	size_t size;
	uint64_t early[NR_LOST]; /* before the window */
	uint64_t lost[NR_LOST];	 /* of them, those that the summary tells */
	const struct bpf_map *losers;
	struct lost_of {
		struct loser loser;
		const struct vm_ref *vm; /* NULL: no name was to be had */
		uint64_t count;
		bool ended; /* its process: the kernel has its place for another one */
	} * of;
	size_t nr_of;
	uint64_t learned; /* all that was lost when the losers were read */
};

/* obj is loaded. 0 or -errno. */
int losses__open(struct losses *losses, const struct bpf_object *obj);
void losses__close(struct losses *losses);

/* Adds to lost what has been lost until now. */
void losses__add(const struct losses *losses, uint64_t lost[NR_LOST]);

/*
 * Whose the losses are: VMs get their names while their processes live. Of those that have ended
 * the latest are remembered; what others have lost is nobody's then.
 */
void losses__learn(struct losses *losses, struct vcpus *vcpus);

const char *lost__name(enum lost what);
const char *lost__help(enum lost what);

#endif
