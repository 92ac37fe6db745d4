/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file that is always whole: who reads it sees what it was or what it is now. The new one is made
 * beside it and takes its place. Done by the broker, with the rights of who started it.
 */
#ifndef KVM_WATCHER_REPLACE_H
#define KVM_WATCHER_REPLACE_H

/* A descriptor of the new one, which everybody may read (0644), or -errno. */
int replace__open(const char *path);
/* It is written: it takes its place. 0 or -errno. */
int replace__done(const char *path);

#endif
