/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A rule: what is data about a sickness, and a function that looks at the facts of one vCPU or VM
 * in one window. Gates, claims, states and texts are the engine's. Within diagnose/ only.
 */
#ifndef KVM_WATCHER_RULE_H
#define KVM_WATCHER_RULE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts.h"

/*
 * Where time is claimed: the budget of a vCPU. The last ones are of the VMM's threads that run no
 * vCPU: what they took of the host's CPUs, and how long they waited for one.
 */
enum slice {
	SLICE_GUEST,
	SLICE_KVM,
	SLICE_VMM,
	SLICE_POLL,
	SLICE_HALT,
	SLICE_STEAL,
	SLICE_BLOCK,
	SLICE_UNACC,
	SLICE_HELPERS,
	SLICE_DELAYS,
	NR_SLICES,
};

#define IN(_slice) (1U << SLICE_##_slice)

/* What a rule thinks of what it sees. */
enum opinion {
	OPINION_NO,
	OPINION_POSSIBLE, /* something that looks alike cannot be excluded: a note */
	OPINION_LIKELY,	  /* the signature is complete */
	OPINION_CERTAIN,  /* by a setting, and what it costs */
	OPINION_NOT_APPLICABLE,
	OPINION_UNKNOWN, /* this host lets us see too little: why says what */
};

enum unit { UNIT_SHARE, UNIT_PER_S, UNIT_NSEC, UNIT_NUMBER, UNIT_WORD };

enum { MAX_EVIDENCE = 8, MAX_REMEDIES = 5, MAX_RULE_NEEDS = 7, OBJECT_LEN = 128, WORD_LEN = 96 };

/* One number, and what it was held against. */
struct evidence {
	const char *what;
	double value;
	enum unit unit;
	double least;	   /* NAN: it is shown, and not judged */
	bool most;	   /* it has to be below */
	const char *whose; /* the threshold's source */
	char word[WORD_LEN];
};

struct remedy {
	const char *when;    /* "live", "VM restart", "host reboot", "module reload" */
	const char *command; /* {vm}, {pid}, {object}, {cgroup} */
	const char *risk;    /* NULL: none that we know */
};

struct look;
struct finding;

enum severity { SEVERITY_NONE, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_CRITICAL };

struct rule {
	const char *id, *family;
	const char *title;    /* a sentence about what is wrong */
	const char *not_what; /* which look-alikes the signature excludes, and how */
	unsigned int
		slices; /* IN(STEAL) | ...: below least_slice of these it is not run; 0: always */
	bool per_vm;	/* once per VM, instead of once per vCPU */
	bool of_host;	/* once */
	bool storm;	/* a booting guest does it, too: not before it is old enough */
	bool note;	/* never more than a note: its cost can't be measured */
	bool rest;	/* it wants all of its slices: what others have claimed is not its */
	bool error;	/* always critical, whatever it takes */
	bool seen;	/* a test has made it on a machine, and found it */
	double rate;	/* the first key: events per second; 0: none */
	double cost;	/* the second key: share of a vCPU's time, or of a host CPU; 0: none */
	const char *rate_by, *cost_by; /* whose thresholds; NULL: ours */
	double critical;	       /* a share; 0: 0.20 */
	double gate;		       /* least share of the slices; 0: the cost, 0.05 at most */
	const char *needs[MAX_RULE_NEEDS]; /* "vm_exit:kvm_exit", "host" */
	enum opinion (*judge)(const struct look *l, struct finding *f);
	/* Of one without slices: false, there is nothing to look closer at. By that need. */
	bool (*may)(const struct look *l);
	const char *may_needs;
	struct remedy remedies[MAX_REMEDIES];
	const char *verify; /* which number to expect then */
};

/* A family: up to a rule without an id. */
extern const struct rule *const families[];

/* What a rule is shown. */
struct look {
	const struct facts *facts;
	const struct facts_window *window;
	const struct fact_vm *vm;
	size_t vm_at;	/* among the facts' VMs */
	uint32_t vcpu;	/* UINT32_MAX: all of the VM */
	double seconds; /* of the window */
	double wall_ns; /* of the vCPU, or of all of them together */
	double vcpus;	/* how many these are */
	double slices[NR_SLICES];
	bool guest_is_known; /* the guest's time is told from KVM's */
	const struct rule *rule;
};

struct look look__at(const struct facts *f, const struct facts_window *window, size_t vm,
		     uint32_t vcpu, const struct rule *rule);
/* What is left at the end, shorter than half a window: rates of it tell little. */
bool facts__is_rest(const struct facts *f, const struct facts_window *window);

struct where {
	const char *name, *is; /* is ends with '*': a prefix */
};

#define WHERE(...) ((const struct where[]){ __VA_ARGS__, {} })

/* The row of a table after that one; NULL: the first one, and there is none. */
const struct fact *look__next(const struct look *l, const char *table, const struct fact *after);
/* The same of those that are of no vCPU. */
const struct fact *look__next_of_none(const struct look *l, const char *table,
				      const struct fact *after);
/* The sum over the rows that meet all of where, or over all; 0: there is none. */
double look__sum(const struct look *l, const char *table, const char *column,
		 const struct where *where);
/* The greatest; NAN: there is none. */
double look__max(const struct look *l, const char *table, const char *column,
		 const struct where *where);
/* The VM's row of VM_STATE; NULL: there is none. */
const struct fact *look__vm_state(const struct look *l);
bool fact__is(const struct fact *fact, const struct where *where);

/* Of the host, and of the VM's cgroups: how much counters grew together; NAN: there is none. */
double look__host_count(const struct look *l, const char *name);
/* A setting, at any time; NULL and NAN: there is none. */
const char *look__host_text(const struct look *l, const char *name);
double look__host_number(const struct look *l, const char *name);
/* What a gauge of the VM was in the first and in the last window. NAN: it was not there. */
double look__first(const struct look *l, const char *table, const char *column);
double look__last(const struct look *l, const char *table, const char *column);

/* Exits of a class: nanoseconds within KVM, and in user space, as far as the slices reach. */
double look__kvm_ns(const struct look *l, const char *class);
double look__vmm_ns(const struct look *l, const char *class);
/* The same of some exits alone: what they took, and their part of a class' stays in user space. */
void look__split(const struct look *l, const char *class, double total_ns, double of_user,
		 double *kvm_ns, double *vmm_ns);

/* Lists of CPUs, "0-3,8". NULL: of none. */
bool cpus__meet(const char *a, const char *b);
/* The only one of a list; -1: there are several, or none. */
long cpus__single(const char *list);
/* The CPU that a vCPU's thread may run on alone; -1: it may run on several, or who knows. */
long look__pinned_to(const struct look *l);

struct finding {
	const struct rule *rule;
	const struct fact_vm *vm; /* NULL: the host */
	uint32_t vcpu;
	double rate;		  /* events per second, of the first key */
	double claims[NR_SLICES]; /* nanoseconds of the window */
	struct evidence evidence[MAX_EVIDENCE];
	size_t nr_evidence;
	char object[OBJECT_LEN]; /* what to change: a device, thread, cgroup */
	char why[192];
};

/* Notes a number. True when it is at least that: what the rule then says is for it. */
bool finding__least(struct finding *f, const char *what, double value, enum unit unit, double least,
		    const char *whose);
/* The same, below. */
bool finding__most(struct finding *f, const char *what, double value, enum unit unit, double most,
		   const char *whose);
void finding__show(struct finding *f, const char *what, double value, enum unit unit);
void finding__word(struct finding *f, const char *what, const char *word);
void finding__claim(struct finding *f, enum slice slice, double ns);
/* Of a VM, or of host CPUs: what a share is of. */
double look__share(const struct look *l, double ns);
__attribute__((format(printf, 2, 3))) void finding__object(struct finding *f, const char *format,
							   ...);
__attribute__((format(printf, 2, 3))) enum opinion finding__unknown(struct finding *f,
								    const char *format, ...);
__attribute__((format(printf, 2, 3))) enum opinion finding__na(struct finding *f,
							       const char *format, ...);

#endif
