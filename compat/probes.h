/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_PROBES_H
#define KVM_WATCHER_PROBES_H

#include "hook_kind.h"

/* Loads and attaches an empty program of that kind, and takes it away again. 0 or -errno. */
int probe__hook_kind(enum hook_kind kind);

#endif
