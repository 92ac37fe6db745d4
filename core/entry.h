/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program on an event for all monitors whose programs there mostly have nothing to
 * do: a hook costs more than to find that out. See bpf/entry.bpf.c.
 */
#ifndef KVM_WATCHER_ENTRY_H
#define KVM_WATCHER_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

struct bpf_object;
struct bpf_program;
struct entry;
struct vcpus;

/* When a monitor's program is called, in a table of hooks: what waits at kvm_entry, new vCPUs. */
enum called_at { NOT_CALLED, AT_ENTRY, AT_RUN };

/* The programs that call: of two kinds for the same, as a program calls those of its own kind. */
enum moment { MOMENT_ENTRY, MOMENT_RUN, MOMENT_RUN_CLASSIC, NR_MOMENTS };

/* Loads the programs, which share the maps of vcpus. NULL and errno on errors. */
struct entry *entry__open(const struct vcpus *vcpus, bool can_cast);
void entry__close(struct entry *e);

/*
 * Before obj is loaded: makes it share the maps. *place is that of its program
 * among the others, 0 if it has none yet: then it gets the one of its owner, of whom one program
 * is attached at a time. 0 or -errno.
 */
int entry__share(struct entry *e, enum moment moment, struct bpf_object *obj, const void *owner,
		 unsigned int *place);

/* prog is called from now on; with the first one the hook is attached. 0 or -errno. */
int entry__attach(struct entry *e, enum moment moment, const struct bpf_program *prog,
		  unsigned int place);
/* With the last one the hook is detached. Nothing happens when it was not attached. */
void entry__detach(struct entry *e, enum moment moment, unsigned int place);

/* Of the program that calls, while it is attached, else -1; they stay e's. */
void entry__fds(const struct entry *e, enum moment moment, int *prog, int *link);

#endif
