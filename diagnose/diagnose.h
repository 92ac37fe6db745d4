/* SPDX-License-Identifier: GPL-2.0-only */
/* What is wrong with which VM, by the facts: rules are run, and their findings claim time. */
#ifndef KVM_WATCHER_DIAGNOSE_H
#define KVM_WATCHER_DIAGNOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rule.h"

enum state {
	STATE_FINDING,
	STATE_NOTE,
	STATE_EXPLAINED, /* what it would claim is claimed */
	STATE_UNKNOWN,
	STATE_TOO_LITTLE,
	STATE_PASS,
	STATE_NOT_APPLICABLE,
	NR_STATES,
};

/* Seconds of data that a rule takes: five intervals of one, a little less as timers go. */
#define LEAST_SECONDS 4.9

const char *state__name(enum state state);
const char *severity__name(enum severity severity);
const char *slice__name(enum slice slice);
/* A set of IN(...), in words: "steal and the VMM". */
void slices__name(unsigned int slices, char *text, size_t size);

/* What a rule says of a VM, or of the host. */
struct result {
	const struct rule *rule;
	const struct fact_vm *vm; /* facts' first: the host */
	enum state state;
	enum severity severity;
	enum opinion certainty;
	bool ignored;
	bool known;  /* a baseline has it, too, at 5/6 of this cost at least */
	bool before; /* of the first pass: the second one did not see it */
	const struct rule *explained_by;
	uint32_t *vcpus; /* those that have it */
	size_t nr_vcpus;
	double cost_ns; /* of all of them; nanoseconds of the whole run */
	double share;	/* of the one that has most of it */
	unsigned int windows_true, windows_of;
	struct finding *finding; /* of that one; NULL: it passed, or was not run */
	const char *why;	 /* of a state without a finding; NULL: nothing to say */
};

/* Where the time of a vCPU went. */
struct account {
	const struct fact_vm *vm;
	uint32_t vcpu;
	double wall_ns, slices[NR_SLICES], claimed[NR_SLICES];
	const struct rule *claimed_by[NR_SLICES]; /* who has most of it */
	double most_claimed[NR_SLICES];
	bool guest_is_known;
	bool stopped; /* its VM: no vCPU ran */
};

/* What was lost of the vCPU's time, and how much of that findings explain. */
double account__lost(const struct account *a);
double account__explained(const struct account *a);

struct ignored {
	const char *id, *vm; /* vm: a pattern; NULL: of all */
};

struct diagnose_options {
	double least_age_s; /* of a VM, for rules about what also a booting guest does */
	const struct ignored *ignored;
	size_t nr_ignored;
	/* An earlier part of the run, which less was measured in; NULL: none. */
	const struct facts *before;
	bool one_window; /* the whole is one: findings of it alone, without notes */
};

struct diagnosis {
	const struct facts *facts;
	struct result *results; /* findings first, by cost; then VM by VM */
	size_t nr_results, nr_rules;
	struct account *accounts; /* vCPU by vCPU */
	size_t nr_accounts;
	size_t nr_vms;
	size_t by_state[NR_STATES];
	size_t nr_known;    /* findings that a baseline has, too */
	const char *passes; /* how it was measured, a sentence; NULL: at once */
	bool failed;	    /* out of memory: something is missing */
};

void diagnosis__make(struct diagnosis *d, const struct facts *facts,
		     const struct diagnose_options *options);
/* Takes over an earlier part's findings that are none any more; both are to be freed. */
void diagnosis__add_before(struct diagnosis *d, struct diagnosis *before);
/* Marks what was found before, in a VM of that name, and is not costlier by more than a fifth. */
void diagnosis__compare(struct diagnosis *d, const struct diagnosis *baseline);
void diagnosis__free(struct diagnosis *d);

/* A hook that is missing, or a monitor that did not run: fills in why. */
bool rule__is_blind(const struct rule *rule, const struct facts *f, char *why, size_t size);

/* NULL: there is none. */
const struct rule *rule__find(const char *id);
/* i from 0; NULL: no more. */
const struct rule *rule__at(size_t i);

#endif
