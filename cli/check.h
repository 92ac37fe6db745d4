/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_CHECK_H
#define KVM_WATCHER_CHECK_H

struct options;

/* --check: what this host can do, really tried. Returns an exit code. */
int check__print(const struct options *opts);

#endif
