/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_MEMORY_H
#define KVM_WATCHER_MEMORY_H

/* There was too little to show or keep something: says so once; the exit code will be 1. */
void memory__is_short(void);

#endif
