/* SPDX-License-Identifier: GPL-2.0-only */
/* Waiting for BPF programs that still run on other CPUs after they were detached. */
#ifndef KVM_WATCHER_GRACE_H
#define KVM_WATCHER_GRACE_H

/* Each waits and returns 0, or returns -errno and has not waited. */
typedef int (*grace_way)(void);

/* What grace__wait() is called with: the best first, NULL last. */
extern const grace_way grace_ways[];

/* Until all programs that run now have ended. -errno when none of the ways works. */
int grace__wait(const grace_way *ways);

#endif
