/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The privileged half of kvm_watcher. It is forked before anything is read that
 * others have written, and stays as it was started: it loads, attaches and detaches,
 * opens what takes rights, and hands descriptors over a socket. Everything else is
 * done by the process that asks it, which has no rights of its own (sandbox.h).
 *
 * As a fork it has the same tables at the same addresses, and the options: what it
 * is asked for are indices and pids. It trusts nothing that it is sent.
 *
 * It is gone when its socket is, and with it all that only it holds. When it is gone
 * first, what it has handed over still works, and a sentence says so once.
 */
#ifndef KVM_WATCHER_BROKER_H
#define KVM_WATCHER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach.h"

struct broker;
struct chosen;
struct monitor;
struct process_files;
struct tempfile;

/* Descriptors in an answer, by place. */
enum {
	FDS_MAPS, /* of the object, in its order */
	MAX_MAPS = 64,
	FDS_PROGS = FDS_MAPS + MAX_MAPS, /* of needs[] */
	FDS_LINKS = FDS_PROGS + MAX_NEEDS,
	FDS_CALLERS = FDS_LINKS + MAX_NEEDS, /* links of programs that call those of needs[] */
	FDS_OTHER = FDS_CALLERS + MAX_NEEDS, /* what the question was about */
	MAX_FDS = FDS_OTHER + 4,
};
_Static_assert(MAX_FDS - FDS_OTHER >= NR_HEADS, "a program for each");

/* What it answers. */
struct handed {
	int err;
	size_t nr_needs;
	struct need_state needs[MAX_NEEDS];
	uint64_t cpu_ns; /* that it has taken so far */
	char text[4096];
	int fds[MAX_FDS]; /* -1: none. The reader's. */
};

/* The monitors of chosen[] are those that it can be asked for; all is copied by the fork. */
struct broker_options {
	const struct attach_env *env;
	const struct chosen *chosen;
	size_t nr_chosen;
	uint32_t max_vcpus;
	const char *replaces; /* the file of broker__new_file(); or NULL */
	bool records;	      /* broker__new_recording() may make files */
};

/*
 * While there is one thread. It loads what all monitors share; NULL after a message when
 * that is refused. What it is made from has to stay until broker__close().
 */
struct broker *broker__start(const struct broker_options *opts);
void broker__close(struct broker *b);

/*
 * The hooks of a monitor, attach.h, by its place in chosen[]; 0 or -errno. needs[] tell why.
 * Loading: again keeps what this host has refused before. Attaching: -EAGAIN, something was
 * refused, load it again. What is handed over is to be closed, errors or not.
 */
int broker__load(struct broker *b, const struct chosen *c, bool again, struct handed *handed);
int broker__attach(struct broker *b, const struct chosen *c, struct handed *handed);
/* Those that have gone with modules (attach__again()). */
int broker__reattach(struct broker *b, const struct chosen *c, unsigned int modules,
		     struct handed *handed);
int broker__detach(struct broker *b, const struct chosen *c);
void broker__unload(struct broker *b, const struct chosen *c);

/* The maps that all share, which its start has loaded; others: vcpus__progs(). */
int broker__vcpus(struct broker *b, struct handed *handed);
/* A descriptor of the iterator over vCPUs, or -errno. */
int broker__lister(struct broker *b);
/* See vm.h. */
int broker__open_process(struct broker *b, pid_t pid, struct process_files *files);
/* See tempfile.h. */
int broker__open_file(struct broker *b, const struct chosen *c, struct tempfile *file);
/* The kernel's statistics of programs are on while this descriptor is open; or -errno. */
int broker__enable_stats(struct broker *b);
/* A descriptor of a new file, and that it takes its place now (replace.h); 0 or -errno. */
int broker__new_file(struct broker *b);
int broker__replace_file(struct broker *b);
/*
 * A descriptor of a new file where the program was started: segment 0 of a recording, which gets a
 * name of its own, or another one of the last that was made (record.h). Or -errno; name in both
 * cases.
 */
int broker__new_recording(struct broker *b, int segment, char *name, size_t size);
/* Waits until no program runs any more (grace.h). *cpu_ns: what the broker has taken. */
int broker__settle(struct broker *b, uint64_t *cpu_ns);

/* The caller closes it. */
int handed__take(struct handed *handed, size_t place);
/* Closes what was not taken. */
void handed__close(struct handed *handed);

#endif
