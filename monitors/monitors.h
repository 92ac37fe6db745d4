/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_MONITORS_H
#define KVM_WATCHER_MONITORS_H

#include "../core/monitor.h"

/* All of them, in the order of the rows of --check. */
extern const struct monitor *const monitors[];
extern const size_t nr_monitors;

#endif
