/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is wrong with which VM now: an output that judges each interval by itself, and keeps what
 * it found in the last five. Who watches all the time asks it, a screen or a server.
 *
 * A finding is what a rule says in three of the last five intervals, which are five seconds
 * together. Notes, and rules whose needs are not there, find nothing. Memory is bounded by the VMs
 * that live. All of it is for the loop's thread; what it hands out are copies.
 */
#ifndef KVM_WATCHER_ROLLING_H
#define KVM_WATCHER_ROLLING_H

#include "diagnose.h"

enum { ROLLING_WINDOWS = 5, ROLLING_NAME = 128, ROLLING_WHY = 256 };

struct rolling;

struct rolling_finding {
	const struct rule *rule; /* is there for ever, for all threads: id, title, remedies */
	enum severity severity;
	enum opinion certainty;
	double cost_ns; /* of all vCPUs, nanoseconds per second */
	double share;	/* of the worst vCPU's time, or of one CPU: 1 is all */
	uint64_t vcpus; /* a bit for each vCPU that has it, of the first 64; 0: it is the VM's */
	unsigned int windows_true, windows_of;
	char object[OBJECT_LEN]; /* what to change; "": nothing is named. Anybody's text */
};

struct rolling_vm {
	char name[ROLLING_NAME], id[ROLLING_NAME]; /* cut; anybody's text */
	uint32_t pid;
	uint64_t vm_nr;	    /* 0: not known */
	unsigned int vcpus; /* that ran */
	bool judged;	    /* it was there long enough; else it may still have something */
	double lost_ns;	    /* of all vCPUs, nanoseconds per second: KVM, VMM, poll, steal, sleep */
	double explained_ns; /* of it, by findings */
	size_t nr_findings;
	struct rolling_finding first; /* the costliest, if there is one */
};

/* NULL: out of memory. */
struct rolling *rolling__new(void);
void rolling__free(struct rolling *r);

/* Rules have no word for who took less of a vCPU's time: the sink's least_share. */
#define ROLLING_LEAST_SHARE 0.01

/* For one sink; NULL: out of memory. To be freed before rolling__free(). */
struct output *rolling__output(struct rolling *r);

/* How old a VM has to be for what also a booting guest does; 60 at first. */
void rolling__set_least_age(struct rolling *r, double seconds);

/*
 * What is attached, as of facts.h: to be said anew after rolling__forget_needs(), when other
 * monitors are. An object that a run begins with tells of needs, too.
 */
void rolling__forget_needs(struct rolling *r);
void rolling__add_monitor(struct rolling *r, const char *name, bool has_hooks);
void rolling__set_need(struct rolling *r, const char *monitor, const char *need, bool missing,
		       const char *why);
/* All of this anew, of a run's monitors as they are attached now. */
void rolling__take_attached(struct rolling *r, const struct run *run, const struct chosen *chosen,
			    size_t nr);
/* Events that were lost since the run began. */
void rolling__set_lost(struct rolling *r, double events);

/* VMs that live, those with the costliest finding first. */
size_t rolling__nr_vms(const struct rolling *r);
/* Of which something is kept: those, and who went within the last five intervals. */
size_t rolling__nr_known(const struct rolling *r);
/* False: there are not so many. */
bool rolling__vm(const struct rolling *r, size_t i, struct rolling_vm *vm);
/* id NULL: whichever of that process. False: it is not known. */
bool rolling__find(const struct rolling *r, uint32_t pid, const char *id, struct rolling_vm *vm);

/* All findings of a VM, the costliest first; evidence is of the last interval that had it. */
struct rolling_detail {
	struct rolling_finding finding;
	struct evidence evidence[MAX_EVIDENCE];
	size_t nr_evidence;
	double claims[NR_SLICES]; /* of the worst vCPU, nanoseconds of that interval */
};

size_t rolling__findings(const struct rolling *r, uint32_t pid, const char *id,
			 struct rolling_detail *list, size_t most);

/* The rules that can't be judged, and why; i from 0. NULL: no more. */
const struct rule *rolling__blind(const struct rolling *r, size_t i, char why[ROLLING_WHY]);

/* Out of memory: something is missing. Nanoseconds that the last interval took to be judged. */
bool rolling__has_failed(const struct rolling *r);
uint64_t rolling__cost_ns(const struct rolling *r);

#endif
