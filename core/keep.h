/* SPDX-License-Identifier: GPL-2.0-only */
/* Of the single events of each VM those that took longest: --keep. */
#ifndef KVM_WATCHER_KEEP_H
#define KVM_WATCHER_KEEP_H

#include <stddef.h>
#include <stdint.h>

struct keep;
struct monitor;
struct row;

/* Of so many VMs at most, also when more have lived. */
#define KEEP_MOST_VMS 1024

/* Room for nr rows of each VM, with the columns of a view. NULL: no memory. */
struct keep *keep__new(const struct monitor *m, unsigned int view, uint32_t nr);
void keep__free(struct keep *k);

/*
 * Takes a copy of the row if it is one of the longest of its VM, in the place of the shortest of
 * these. Of two as long as each other the first one stays. When VMs are too many, the one
 * whose longest row is the shortest is given up.
 */
void keep__row(struct keep *k, const struct row *row);

/* Rows by number: those of a VM together, the longest first. NULL: there are no more. */
const struct row *keep__get(struct keep *k, size_t i);

/* How many VMs were given up. */
uint64_t keep__given_up(const struct keep *k);

#endif
