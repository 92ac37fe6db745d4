/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The limits of a process that its starter has set (ulimit, systemd's Limit*). What is
 * refused because of one of them is not the kernel's fault: messages name it.
 */
#ifndef KVM_WATCHER_LIMITS_H
#define KVM_WATCHER_LIMITS_H

#include <stdbool.h>

/*
 * First of all: raises what both processes need more of, as far as it may, and turns the
 * signal of a file that becomes too large into an error. 0, or -errno after a message.
 */
int limits__raise(void);

/* 0, or -ENOMEM where a limit leaves too little memory to load anything. */
int limits__check_memory(void);

/* A lack of something that others may have, not a kernel that can't. */
bool limits__is_shortage(int err);

/* What -errno means, with the limit that is the cause. Kept until the next call. */
const char *limits__reason(int err);

#endif
