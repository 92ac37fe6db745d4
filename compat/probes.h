/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_PROBES_H
#define KVM_WATCHER_PROBES_H

#include <stdbool.h>

#include "hook_kind.h"

/* Loads and attaches an empty program of that kind, and takes it away again. 0 or -errno. */
int probe__hook_kind(enum hook_kind kind);

/*
 * The kernel may preempt a raw_tp program: since 7.0, f7d327654b88 "bpf: Have __bpf_trace_run()
 * use rcu_read_lock_dont_migrate()", where it has preemptible RCU. Found by running one, once;
 * true where that is not possible.
 */
bool probe__raw_tp_is_preempted(void);

#endif
