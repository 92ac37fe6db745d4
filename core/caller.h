/* SPDX-License-Identifier: GPL-2.0-only */
/* The user who started the program: under sudo not the one it runs as. */
#ifndef KVM_WATCHER_CALLER_H
#define KVM_WATCHER_CALLER_H

/*
 * Calls open with the rights of that user, so that files are made and links are followed only
 * where the user may, and takes its own back. While there is one thread. Returns what open
 * returns, or -errno when these rights can't be had. The program ends when its own can't be
 * taken back.
 */
int caller__open(int (*open)(void *ctx), void *ctx);

#endif
