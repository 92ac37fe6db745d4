/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest says that it is, in Hyper-V's MSR HV_X64_MSR_GUEST_OS_ID. */
#ifndef KVM_WATCHER_GUEST_OS_H
#define KVM_WATCHER_GUEST_OS_H

#include <stddef.h>
#include <stdint.h>

enum { GUEST_OS_LEN = 48 };

/* "Windows 10.0 build 22631", "Linux 6.1.0"; what is not known is shown as it is. */
const char *guest_os__name(uint64_t id, char text[GUEST_OS_LEN]);

#endif
