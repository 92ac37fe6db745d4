/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why memory is taken away, in the kernel's words: enum mmu_notifier_event. */
#ifndef KVM_WATCHER_UNMAP_H
#define KVM_WATCHER_UNMAP_H

#define UNMAP_EVENTS(_)    \
	_(UNMAP)           \
	_(CLEAR)           \
	_(PROTECTION_VMA)  \
	_(PROTECTION_PAGE) \
	_(SOFT_DIRTY)      \
	_(RELEASE)         \
	_(MIGRATE)         \
	_(EXCLUSIVE)

#define UNMAP_EVENT(_name) UNMAP_EVENT_##_name,
enum unmap_event { UNMAP_EVENT_UNKNOWN, UNMAP_EVENTS(UNMAP_EVENT) NR_UNMAP_EVENTS };
#undef UNMAP_EVENT

/* In place of a system call's number: none, and KVM_RUN. */
enum { NO_CALL = -1, CALL_RUN = -2 };

#endif
