/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program on an event for all monitors whose programs there mostly have nothing to
 * do, or for all that have something to do each time: a hook costs more than to find that
 * out, and more than a call. See bpf/entry.bpf.c.
 */
#ifndef KVM_WATCHER_ENTRY_H
#define KVM_WATCHER_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

struct bpf_object;
struct bpf_program;
struct entry;
struct vcpus;

/*
 * When a monitor's program is called, in a table of hooks: what waits at kvm_entry, new vCPUs,
 * each kvm_exit, each kvm_entry.
 */
enum called_at { NOT_CALLED, AT_ENTRY, AT_RUN, AT_EACH_EXIT, AT_EACH_ENTRY, NR_CALLED_AT };

/* Who calls: the programs that are attached. */
enum head { HEAD_ENTRY, HEAD_RUN, HEAD_RUN_CLASSIC, HEAD_EXIT, NR_HEADS };

/* Who is called. A program calls those of its own kind: for new vCPUs there are two. */
enum moment {
	MOMENT_ENTRY,
	MOMENT_RUN,
	MOMENT_RUN_CLASSIC,
	MOMENT_EACH_EXIT,
	MOMENT_EACH_ENTRY,
	NR_MOMENTS
};

/* What is known before anything is loaded. */
struct entry_plan {
	unsigned int called[NR_CALLED_AT]; /* monitors that may be */
};

/* Several would be called there: one alone, of AT_EACH_*, costs less when it is attached itself. */
bool entry__pays(const struct entry_plan *plan, enum called_at at);

/* Loads the programs, which share the maps of vcpus. NULL and errno on errors. */
struct entry *entry__open(const struct vcpus *vcpus, const struct entry_plan *plan);
void entry__close(struct entry *e);

/* One more program of owner can be called. */
bool entry__has_place(const struct entry *e, enum moment moment, const void *owner);

/*
 * Before obj is loaded: makes it share the maps, and its program prog go where it is called.
 * *place is the program's among the others, 0 if it has none yet: then it gets the one of its
 * owner, of whom one program is attached at a time. 0 or -errno.
 */
int entry__share(struct entry *e, enum moment moment, struct bpf_object *obj,
		 struct bpf_program *prog, const void *owner, unsigned int *place);

/* prog is called from now on; with the first one the hook is attached. 0 or -errno. */
int entry__attach(struct entry *e, enum moment moment, const struct bpf_program *prog,
		  unsigned int place);
/* With the last one the hook is detached. Nothing happens when it was not attached. */
void entry__detach(struct entry *e, enum moment moment, unsigned int place);

enum head entry__head(enum moment moment);

/* Descriptors, which stay e's; -1: there is none, or it is not attached. */
struct entry_fds {
	int prog, link;	 /* of the program that calls */
	int called_link; /* of one that takes the place of a function */
};
void entry__fds(const struct entry *e, enum moment moment, unsigned int place,
		struct entry_fds *fds);

#endif
