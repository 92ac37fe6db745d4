/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_MEMORY_H
#define KVM_WATCHER_MEMORY_H

/* There was too little to show or keep something: says so once; the exit code will be 1. */
void memory__is_short(void);

/*
 * To be called when watching begins, and after each look. What is kept of thousands of vCPUs is
 * gone through at each one, a page here and a page there. With 4 KiB pages that is mostly the
 * time that the CPU takes to find them, above all where this host is a guest itself. So a heap
 * of LEAST_LARGE_HEAP and more is of large pages, if the kernel has any for who asks.
 */
enum { LEAST_LARGE_HEAP = 8 << 20 };
void memory__use_large_pages(void);

/*
 * To be called after each look: what a busy moment has needed, and nothing needs now, goes back to
 * the kernel some looks later.
 */
void memory__give_back(void);

#endif
