/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets to serve on: opened while the process may, or handed over by systemd. */
#ifndef KVM_WATCHER_LISTEN_H
#define KVM_WATCHER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * "127.0.0.1:9909", "[::1]:9909" or "unix:PATH"; names of hosts are not resolved. NULL: it is one;
 * else what is wrong, the rest of a sentence.
 */
const char *listen__check(const char *address);
/* Others than this host's processes may connect. */
bool listen__is_public(const char *address);

/* A descriptor that does not block, or -errno. */
int listen__open(const char *address);

/* Those of systemd's socket units ($LISTEN_FDS), made ready; the variables go. Returns how many. */
size_t listen__inherited(int *fds, size_t most);

#endif
