/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Choosing, loading and attaching hooks, generic over monitors. A monitor
 * lists what it needs; consecutive rows with the same need are alternatives,
 * best first. A hook that this host refuses is replaced by the next one, or
 * costs only its need; either way the reason is kept for the user.
 *
 * The broker does this; who reads what is counted has attach.h.
 */
#ifndef KVM_WATCHER_HOOKS_H
#define KVM_WATCHER_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../compat/hook_kind.h"
#include "../compat/host.h"
#include "../output/output.h"
#include "entry.h"
#include "losses.h"
#include "records.h"

struct attachment;
struct bpf_link;
struct bpf_object;
struct bpf_prog_info;
struct broker;
struct chosen;
struct filter;
struct histogram;
struct monitor;
struct ring_buffer;
struct samples;
struct sink;
struct tempfile;
struct vcpus;

struct hook {
	const char *need; /* "kvm_exit" */
	enum hook_kind kind;
	const char *target;   /* tracepoint or function */
	size_t prog;	      /* member of the monitor's skeleton */
	unsigned int vendors; /* only with these KVM vendors; 0: any */
	bool vendor_types;    /* reads the vendor's vCPU structure: needs its BTF */
	const char *gives;    /* first row of a need: what is lost without it */
	bool primary;	    /* first row of a need: one of these makes the monitor worth running */
	unsigned int archs; /* only on these (enum host_arch); 0: on any */
	/*
	 * The row is there only where this is true. Elsewhere the next one is its need's first.
	 * NULL: everywhere.
	 */
	bool (*applies)(void);
	/* The same for what the user asks for. */
	bool (*asked)(const struct attachment *at);
	/*
	 * Not attached itself: one of bpf/entry.bpf.c's programs calls it. Rows with AT_EACH_* are
	 * there only where several monitors have one.
	 */
	enum called_at called_at;
};

/* What all attachments of a run share. */
struct attach_env {
	struct broker *broker; /* who loads and attaches; NULL in that process itself */
	struct vcpus *vcpus;
	struct entry *entry;	   /* the broker's: made when the first monitor needs it */
	struct entry_plan plan;	   /* the same, of all that may be chosen */
	int entry_progs[NR_HEADS]; /* descriptors of its programs since they are attached; or 0 */
	/* The broker's: whether the host has a kind of hook at all, as far as it was asked. */
	unsigned int kinds_asked; /* 1 << enum hook_kind */
	int kind_errors[NR_HOOK_KINDS];
	struct sink *sinks; /* who is shown what is measured */
	size_t nr_sinks;
	const struct filter *filter;
	unsigned int kinds;   /* bit mask of the enum hook_kind to use; 0: any */
	uint32_t ring_mib;    /* of each ring of single events; 0: as the host suggests */
	bool allows_files;    /* monitors may write files beside the output */
	enum format format;   /* of these files */
	const char *temp_dir; /* where these go; NULL: the default */
	bool alone;	      /* one monitor was chosen: its single events may be the rule */
	bool events;	      /* the user wants those of all monitors that have them */
	bool summary;	      /* no single events at all */
	uint64_t slower_ns;   /* only single events that took longer, of all monitors; 0: all */
	uint32_t keep;	      /* so many of each VM, at the end; 0: each one when it comes */
	bool verbose;
	bool quiet; /* what this host cannot show is not said: who steers the run says it */
};

enum { MAX_NEEDS = 16, MAX_HOOKS = 64, WHY_LEN = 256 };

struct need_state {
	const struct hook *first; /* the preferred alternative */
	const struct hook *hook;  /* the attached one, or NULL */
	bool is_unknown;	  /* none, as far as is known: hooks__foresee() */
	char why[WHY_LEN];	  /* why not the first, or none at all */
	size_t cause_at;	  /* in it: the cause, behind the hook and ": " */
	uint64_t runs, run_ns;	  /* the program's, while the kernel's statistics are on */
};

struct attachment {
	struct attach_env *env;
	const struct chosen *chosen;
	const struct monitor *monitor; /* its */
	const void *config;	       /* the monitor's own options, as its table fills them */
	void *skel;		       /* the monitor's skeleton; NULL: nothing is loaded */
	struct need_state needs[MAX_NEEDS];
	size_t nr_needs;
	/* What the broker has handed over: descriptors, by need; -1: none. */
	int progs[MAX_NEEDS], link_fds[MAX_NEEDS];
	int caller_fds[MAX_NEEDS]; /* the links of programs that call theirs */
	/* In the broker. */
	struct bpf_link *links[MAX_NEEDS];
	struct bpf_link *gone[MAX_NEEDS]; /* before these: they went with a module */
	unsigned int places[NR_MOMENTS];  /* of programs that are called; 0: none given yet */
	bool refused[MAX_HOOKS];     /* by index in the monitor's table: what this host refused */
	bool shows_events;	     /* the user sees its single events */
	uint64_t slower_ns;	     /* of these only what took longer; 0: all */
	struct keep *keep;	     /* the slowest of them, where they are shown at the end */
	struct ring_buffer *events;  /* of an object that has a map "events" */
	uint64_t nr_at_end;	     /* events that were shown since the end was due, up to some */
	uint64_t nr_left_out;	     /* events that the end of the run left no time for */
	uint64_t nr_gone;	     /* hooks that went with a module */
	uint64_t read_until_ns;	     /* reading ends with the first event after that */
	uint64_t since_ns, until_ns; /* the window */
	uint64_t events_since_ns;    /* what happened before it is in no counter, and not shown */
	uint64_t now_ns, before_ns;  /* the moment of this look, and of the one before */
	bool begins;		     /* this look is the window's begin */
	bool replays;		     /* nothing is attached: its samples are a recording's */
	char *data;		     /* the object's .data, live */
	size_t data_size;
	uint64_t *epoch;	/* in it: the interval that is being written */
	uint64_t *go;		/* in it: the window's begin; NULL: its programs do not ask */
	uint64_t *events_until; /* in it: the window's end, for those */
	uint64_t ended_epoch;	/* the one before it */
	void *state;		/* the monitor's own */
	struct samples *samples;
	struct record_set records;
	struct losses losses;
	bool is_last;			 /* this look, or the one that was, is the window's end */
	struct histogram *histograms[8]; /* by view, of those that were shown */
};

/* Nothing is loaded: what this monitor is, and what the user wants of it. */
void hooks__init(struct attachment *at, struct attach_env *env, const struct chosen *chosen);

/*
 * The monitor's skeleton, sized, with the programs of the hooks that are chosen, or with
 * that of one of them only; NULL and errno. In the broker it is ready to be loaded; EAGAIN: one
 * of them was refused.
 */
struct skeleton *hooks__open_skeleton(struct attachment *at, const struct hook *only);

/*
 * Loads what the monitor needs as far as this host lets it. 0 when at least one primary
 * need is met, else -errno; at->needs tells why in both cases.
 */
int hooks__load(struct attachment *at);

/*
 * What would be attached on the kernel of compat/other_kernel.h, by what its files tell: nothing is
 * loaded. True when at least one primary need would be met. What takes a kernel that runs is
 * not asked: whether its verifier takes the programs, and which of two kinds is cheaper.
 */
bool hooks__foresee(struct attachment *at);

/* Attaches what was loaded. -EAGAIN: all is unloaded, load again. */
int hooks__attach(struct attachment *at);

/* Counts the monitors that may be called, before the first one is loaded. */
void hooks__plan(struct attach_env *env, const struct attachment *all, size_t nr);

/* It is called at each exit, or at each entry, where several monitors are. */
bool hook__is_each(const struct hook *hook);

/* When it is called; NR_MOMENTS: it is attached itself. */
enum moment hook__moment(const struct hook *hook);

/* The need's hook goes with one of these modules (a mask of 1 << enum host_module). */
bool hooks__goes_with(const struct need_state *need, unsigned int modules);
/* How many of the attached hooks go with one of these modules. */
size_t hooks__count_in(const struct attachment *at, unsigned int modules);
/* Attaches these anew. */
void hooks__reattach(struct attachment *at, unsigned int modules);
/* Destroys what that has replaced, which takes an old kernel a second each. */
void hooks__drop_gone(struct attachment *at);

void hooks__detach(struct attachment *at);
void hooks__unload(struct attachment *at);

#endif
