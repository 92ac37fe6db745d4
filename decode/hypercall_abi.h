/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef KVM_WATCHER_HYPERCALL_ABI_H
#define KVM_WATCHER_HYPERCALL_ABI_H

/* Whose numbering a hypercall follows: each has a tracepoint of its own. */
enum hypercall_abi { HYPERCALL_KVM = 1, HYPERCALL_HYPERV, HYPERCALL_XEN };

enum { HYPERCALL_ARGS = 6 };

#endif
