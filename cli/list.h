/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_LIST_H
#define KVM_WATCHER_LIST_H

struct options;

/* --list: the VMs and vCPUs that run now. Returns an exit code. */
int list__print(const struct options *opts);

#endif
