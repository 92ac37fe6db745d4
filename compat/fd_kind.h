/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef KVM_WATCHER_FD_KIND_H
#define KVM_WATCHER_FD_KIND_H

/* What a descriptor is, told by its file. */
enum fd_kind { FD_OTHER, FD_KVM, FD_VM, FD_VCPU, FD_DEVICE };

#endif
