/* SPDX-License-Identifier: GPL-2.0-only */
/* What a VMM's thread is for, by what its VMM calls it. */
#ifndef KVM_WATCHER_THREAD_ROLES_H
#define KVM_WATCHER_THREAD_ROLES_H

#include <stdbool.h>

/* "vcpu" and "main" it does not say: who owns the vCPUs, and who leads the process, is known. */
const char *thread_role(const char *comm);

#endif
