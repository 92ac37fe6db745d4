/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults, one at a time: the linker puts these functions before those that take memory, open,
 * read, write and ask the kernel (FAULT_WRAP in the Makefile). Call sites are numbered as they
 * come, in all processes of a run together. The first call of the site with the number that is
 * armed fails.
 */
#ifndef KVM_WATCHER_FAULTS_H
#define KVM_WATCHER_FAULTS_H

#include <stdbool.h>

/* From now on the sites are numbered anew, from 1, and that one fails; 0: none. */
void faults__arm(unsigned int number);
/* How many sites there were since. */
unsigned int faults__sites(void);
/* One has failed. */
bool faults__struck(void);

#endif
