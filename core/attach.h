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

struct bpf_object;
struct bpf_link;
struct monitor;
struct options;
struct ring_buffer;
struct run;

/*
 * The kernel skips a program that is already active on a CPU. Since Linux 7.0
 * raw_tp and tp_btf programs, and fentry ones on every preemptible kernel, can
 * be preempted while active; the events of other threads on that CPU then are
 * skipped (and counted: LOST_SKIPPED). Classic tracepoint programs and kprobes
 * run with preemption off. So: raw_tp first where the event fires with
 * interrupts or preemption off, the classic tracepoint first elsewhere.
 */
enum hook_kind {
	HOOK_RAW_TP,
	HOOK_TP_BTF,
	HOOK_FENTRY,	 /* fentry and fexit */
	HOOK_KPROBE,	 /* kprobe and kretprobe */
	HOOK_TRACEPOINT, /* classic: its record is needed */
	HOOK_ITER,
	NR_HOOK_KINDS,
};

enum hook_vendor { VENDOR_VMX = 1 << 0, VENDOR_SVM = 1 << 1 };

struct hook {
	const char *need; /* "kvm_exit" */
	enum hook_kind kind;
	const char *target;   /* tracepoint or function */
	const char *prog;     /* program in the monitor's object */
	unsigned int vendors; /* only with these KVM vendors; 0: any */
	bool vendor_types;    /* reads the vendor's vCPU structure: needs its BTF */
	const char *gives;    /* first row of a need: what is lost without it */
	bool primary; /* first row of a need: one of these makes the monitor worth running */
	/*
	 * The row is there only where this is true. Elsewhere the next one is its need's first.
	 * NULL: everywhere.
	 */
	bool (*applies)(void);
	/* The same for what the user asks for. */
	bool (*asked)(const struct options *opts);
	/* Not attached itself: core/entry.bpf.c's program calls it (bpf/entry.bpf.h). */
	bool at_entry;
};

enum { MAX_NEEDS = 16, MAX_HOOKS = 64, WHY_LEN = 256 };

struct need_state {
	const struct hook *first; /* the preferred alternative */
	const struct hook *hook;  /* the attached one, or NULL */
	char why[WHY_LEN];	  /* why not the first, or none at all */
	uint64_t runs, run_ns;	  /* the program's, while the kernel's statistics are on */
};

struct attachment {
	struct run *run;
	const struct monitor *monitor;
	struct bpf_object *obj;
	struct need_state needs[MAX_NEEDS];
	struct bpf_link *links[MAX_NEEDS];
	unsigned int entry_place; /* of the program at entries; 0: none has been given yet */
	size_t nr_needs;
	bool refused[MAX_HOOKS]; /* by index in the monitor's table: what this host refused */
	bool probed[NR_HOOK_KINDS];
	struct ring_buffer *events; /* of an object that has a map "events" */
	uint64_t read_until_ns;	    /* reading ends with the first event after that */
	char *data;		    /* the object's .data, live */
	size_t data_size;
	uint64_t *epoch;      /* in it: the interval that is being written */
	uint64_t ended_epoch; /* the one before it */
};

/*
 * Loads what a monitor needs as far as this host lets it, and starts its user
 * space: nothing is counted yet. 0 when at least one primary need is met, else
 * -errno; at->needs tells why in both cases.
 */
int attach__load(struct run *run, const struct monitor *m, struct attachment *at);

/* Attaches what was loaded, which takes little time. As attach__load(); on errors at is closed. */
int attach__attach(struct attachment *at);

/* Fills in the needs' runs and run_ns, which begin when the statistics are enabled. */
void attach__read_runs(struct attachment *at);

/* Runs of this monitor's programs that the kernel skipped because one was active. */
uint64_t attach__skipped(const struct attachment *at);

/* Stops the programs; the object and its maps stay readable. */
void attach__detach(struct attachment *at);

/* Hands the events that wait in the ring to the monitor, but not those that come meanwhile. */
void attach__read_events(struct attachment *at);

/* Ends the monitor and frees the object. */
void attach__close(struct run *run, struct attachment *at);

/* Begins the next interval: bpf/stat.bpf.h keeps extremes apart by it. */
void attach__next_epoch(struct attachment *at);

/* True when the need of that name is attached. */
bool attach__has(const struct attachment *at, const char *need);

/* In a monitor's prepare: that program was chosen. */
bool attach__loads(const struct bpf_object *obj, const char *prog);

/* "attached", "replaced" or "missing". */
const char *need_state__word(const struct need_state *need);

const char *hook_kind__name(enum hook_kind kind);
/* Index of the kind, or -1. */
int hook_kind__parse(const char *name);
/* All names, comma separated, for messages. */
const char *hook_kind__names(void);

#endif
