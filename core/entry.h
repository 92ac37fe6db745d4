/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program on kvm_entry for all monitors whose programs wait for an entry
 * after something else: a hook costs more than what nearly all entries need.
 * See bpf/entry.bpf.c.
 */
#ifndef KVM_WATCHER_ENTRY_H
#define KVM_WATCHER_ENTRY_H

#include <stddef.h>

struct bpf_object;
struct bpf_program;
struct entry;

/* Loads the program. NULL and errno on errors. */
struct entry *entry__open(void);
void entry__close(struct entry *e);

/*
 * Before obj is loaded: makes it share the maps. *place is that of its program
 * among the others, 0 if it has none yet: then it gets the one of its owner, of whom one program
 * is attached at a time. 0 or -errno.
 */
int entry__share(struct entry *e, struct bpf_object *obj, const void *owner, unsigned int *place);

/* prog is called at entries from now on; with the first one the hook is attached. 0 or -errno. */
int entry__attach(struct entry *e, const struct bpf_program *prog, unsigned int place);
/* With the last one the hook is detached. Nothing happens when it was not attached. */
void entry__detach(struct entry *e, unsigned int place);

/* Of the program on kvm_entry while it is attached, else -1; they stay e's. */
void entry__fds(const struct entry *e, int *prog, int *link);

#endif
