/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Choosing, loading and attaching hooks, generic over monitors. A monitor
 * lists what it needs; consecutive rows with the same need are alternatives,
 * best first. A hook that this host refuses is replaced by the next one, or
 * costs only its need; either way the reason is kept for the user.
 */
#ifndef KVM_WATCHER_ATTACH_H
#define KVM_WATCHER_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../compat/hook_kind.h"
#include "../compat/host.h"
#include "../output/output.h"
#include "losses.h"
#include "records.h"

struct attachment;
struct bpf_link;
struct bpf_object;
struct bpf_prog_info;
struct broker;
struct chosen;
struct entry;
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
	/* Not attached itself: bpf/entry.bpf.c's program calls it (bpf/entry.bpf.h). */
	bool at_entry;
};

/* What all attachments of a run share. */
struct attach_env {
	struct broker *broker; /* who loads and attaches; NULL in that process itself */
	struct vcpus *vcpus;
	struct entry *entry; /* the broker's: made when the first monitor needs it */
	int entry_prog;	     /* a descriptor of its program while it is attached; 0: none */
	struct sink *sinks;  /* who is shown what is measured */
	size_t nr_sinks;
	const struct filter *filter;
	unsigned int kinds;   /* bit mask of the enum hook_kind to use; 0: any */
	uint32_t ring_mib;    /* of each ring of single events; 0: as the host suggests */
	enum format format;   /* of files that a monitor writes beside the output */
	const char *temp_dir; /* where these go; NULL: the default */
	bool alone;	      /* one monitor was chosen: its single events may be the rule */
	bool events;	      /* the user wants those of all monitors that have them */
	bool summary;	      /* no single events at all */
	bool verbose;
};

enum { MAX_NEEDS = 16, MAX_HOOKS = 64, WHY_LEN = 256 };

struct need_state {
	const struct hook *first; /* the preferred alternative */
	const struct hook *hook;  /* the attached one, or NULL */
	char why[WHY_LEN];	  /* why not the first, or none at all */
	size_t cause_at;	  /* in it: the cause, behind the hook and ": " */
	uint64_t runs, run_ns;	  /* the program's, while the kernel's statistics are on */
};

struct attachment {
	struct attach_env *env;
	const struct monitor *monitor;
	const void *config; /* the monitor's own options, as its table fills them */
	void *skel;	    /* the monitor's skeleton; NULL: nothing is loaded */
	struct need_state needs[MAX_NEEDS];
	size_t nr_needs;
	/* What the broker has handed over: descriptors, by need; -1: none. */
	int progs[MAX_NEEDS], link_fds[MAX_NEEDS];
	/* In the broker. */
	struct bpf_link *links[MAX_NEEDS];
	struct bpf_link *gone[MAX_NEEDS]; /* before these: they went with a module */
	unsigned int entry_place; /* of the program at entries; 0: none has been given yet */
	uint32_t first_free;	  /* index in its queues of free ones, set by prepare(); 0: 1 */
	bool refused[MAX_HOOKS];  /* by index in the monitor's table: what this host refused */
	bool probed[NR_HOOK_KINDS];
	bool shows_events;	     /* the user sees its single events */
	struct ring_buffer *events;  /* of an object that has a map "events" */
	uint64_t nr_at_end;	     /* events that were shown since the end was due, up to some */
	uint64_t nr_left_out;	     /* events that the end of the run left no time for */
	uint64_t nr_gone;	     /* hooks that went with a module */
	uint64_t read_until_ns;	     /* reading ends with the first event after that */
	uint64_t since_ns, until_ns; /* the window: events are shown from .. to */
	uint64_t now_ns, before_ns;  /* the moment of this look, and of the one before */
	bool begins;		     /* this look is the window's begin */
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

/*
 * Loads what a monitor needs as far as this host lets it, and starts its user
 * space: nothing is counted yet. 0 when at least one primary need is met, else
 * -errno; at->needs tells why in both cases.
 *
 * This and the next ones may be called at any time, also while others are attached,
 * and again after attach__close().
 */
int attach__load(struct attach_env *env, const struct chosen *chosen, struct attachment *at);

/* Attaches what was loaded, which takes little time. As attach__load(); on errors at is closed. */
int attach__attach(struct attachment *at);

/* In the broker: the same, of the hooks alone. -EAGAIN: all is unloaded, load again. */
void attach__init(struct attachment *at, struct attach_env *env, const struct chosen *chosen);
int attach__load_hooks(struct attachment *at);
int attach__attach_hooks(struct attachment *at);
void attach__reattach_hooks(struct attachment *at, unsigned int modules);
/* Destroys what that has replaced, which takes an old kernel a second each. */
void attach__drop_gone(struct attachment *at);
void attach__detach_hooks(struct attachment *at);
void attach__unload_hooks(struct attachment *at);

/*
 * Modules (a mask of 1 << enum host_module) were unloaded and are there again: attaches anew the
 * hooks that went with them, whose programs and maps are as they were. The kernel lets no module
 * go that another kind of hook than a kprobe is in. Returns how many are attached again.
 */
size_t attach__again(struct attachment *at, unsigned int modules);
/* How many of the attached hooks go with one of these modules. */
size_t attach__count_in(const struct attachment *at, unsigned int modules);

/* A file of the monitor's own, beside the output. 0, or -errno after a message. */
int attach__open_file(const struct attachment *at, struct tempfile *file);

/* A descriptor of the iterator that meets the need of that name, from loading on; or -1. */
int attach__iterator(const struct attachment *at, const char *need);

/* What the kernel says of the program on kvm_entry; false where there is none. */
bool attach__entry_info(const struct attach_env *env, struct bpf_prog_info *info);

/* Fills in the needs' runs and run_ns, which begin when the statistics are enabled. */
void attach__read_runs(struct attachment *at);

/* Runs of this monitor's programs that the kernel skipped because one was active. */
uint64_t attach__skipped(const struct attachment *at);

/* Stops the programs; the object and its maps stay readable. */
void attach__detach(struct attachment *at);

/* Ends the monitor and frees the object. */
void attach__close(struct attachment *at);

/*
 * The window begins at now_ns: what was counted so far is not shown, and what is
 * open is cut here. The last of several counts: the first one takes long.
 */
void attach__begin(struct attachment *at, uint64_t now_ns);

/* The same for what a monitor counts elsewhere, which may take some milliseconds. */
void attach__forget(struct attachment *at);

/*
 * Takes a sample of all that the monitor counts, and lets go of what has ended.
 * now_ns is the moment that it is of, of all monitors the same.
 */
void attach__look(struct attachment *at, uint64_t now_ns);

/* The window ends at now_ns: the last look, while the hooks are complete. */
void attach__end(struct attachment *at, uint64_t now_ns);

/* True when the need of that name is attached. */
bool attach__has(const struct attachment *at, const char *need);

/* "attached", "replaced" or "missing". */
const char *need_state__word(const struct need_state *need);

#endif
