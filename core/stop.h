/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ends a run from outside: SIGINT, SIGTERM, SIGHUP, and the time that was
 * asked for. Whatever the program is at then, it ends: a reader that stalls, a
 * kernel that takes its time must not keep it. A thread of its own sees to it.
 *
 * The first signal asks for the end. The second one ends the process at once,
 * also while it is still loading.
 */
#ifndef KVM_WATCHER_STOP_H
#define KVM_WATCHER_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STOP_GRACE_MS = 2000 };

/*
 * Before anything that takes time; the signals go to the thread from now on.
 * 0 or -errno.
 */
int stop__open(void);
/* The end has come by itself: signals do what they did before. */
void stop__close(void);

/* Readable once a signal has asked for the end. */
int stop__fd(void);
/* One has. */
bool stop__is_wanted(void);

/*
 * The end is due at that time (CLOCK_MONOTONIC) at the latest. When it has
 * waited for a grace since then, for a reader or the kernel, the process ends
 * with exit code 1. What it computes is not in the grace: on a slow machine
 * that takes long. A signal sets this too.
 */
void stop__due(uint64_t at_ns);

/* It does not hang: the grace begins anew. False: the end is not due yet. */
bool stop__goes_on(void);

/*
 * Half of that grace is over: what takes long and is not needed is left out
 * now, and counted.
 */
bool stop__is_late(void);

/* All that was measured is out: the end may take its time. */
void stop__is_safe(void);

/*
 * What the thread says on stderr before it gives up: the rest of a sentence,
 * written into text. It runs in the thread, while anything may hang: it takes
 * no lock, and reads only what is mapped. NULL: nothing.
 */
void stop__set_last_words(void (*write)(void *ctx, char *text, size_t size), void *ctx);

#endif
