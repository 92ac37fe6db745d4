/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What fill.bpf.c and map.c agree on. */
#ifndef KVM_WATCHER_FILL_H
#define KVM_WATCHER_FILL_H

/*
 * FILL_ROUND: indices per run, as the verifier follows each round of the loop.
 * FILL_LEAST: from here on it is worth the loading.
 */
enum { FILL_ROUND = 256, FILL_LEAST = 2048 };

#endif
