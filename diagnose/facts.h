/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was measured, as rules see it: every row of every table, by the names of its columns, of
 * each window and of the whole. A run and a recording fill it through an output, tests by hand.
 */
#ifndef KVM_WATCHER_FACTS_H
#define KVM_WATCHER_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/output.h"

struct chosen;
struct json_object;
struct output_ops;
struct run;

/* One cell. Names and texts are there as long as the facts are. */
struct fact_value {
	const char *name;
	const char *text; /* NULL: a number */
	double number;
};

/* A row; or an element of an array that a row has, of the table "VCPU_LOAD.thieves". */
struct fact {
	const char *table;
	uint32_t tid, vcpu; /* UINT32_MAX: of none */
	size_t at;	    /* its place among those of its VM */
	size_t nr;
	struct fact_value *values;
};

struct fact_vm {
	const char *name, *id; /* both "": what is of no VM */
	uint32_t pid;
	const char *cgroup; /* "": not known */
};

struct facts_window {
	uint64_t since_ns, now_ns;
	/* By VM. */
	struct facts_of_vm {
		struct fact **list;
		size_t nr;
		bool sorted; /* by vCPU; those of none last */
	} * of;
	size_t nr_of;
};

/* What the run had of a hook. */
struct fact_need {
	const char *monitor, *need, *why;
	bool missing;
};

struct facts {
	struct facts_window *windows, total;
	size_t nr_windows;
	struct fact_vm *vms; /* the first is none: the host */
	size_t nr_vms;
	struct fact_need *needs;
	size_t nr_needs;
	/* Those that were chosen. */
	struct fact_monitor {
		const char *name;
		bool has_hooks;
	} * monitors;
	size_t nr_monitors;
	const char *vendor;
	unsigned int cpus;	 /* of the host; 0: not known */
	double lost;		 /* events that were lost */
	double self_cpu_ns;	 /* what watching took ... */
	double watched_ns;	 /* ... while so long was watched; 0: as long as the whole */
	double bpf_ns, bpf_runs; /* of it all BPF programs; 0: not known */
	bool has_total, failed;	 /* out of memory: something is missing */
	void *strings;		 /* tsearch() */
	struct facts_window *writing;
};

void facts__init(struct facts *f);
void facts__free(struct facts *f);

/* An output that fills them; NULL: out of memory. To be freed before the facts are. */
struct output *facts__output(struct facts *f);
/* Others, from now on. */
void facts__fill(struct output *out, struct facts *f);

/*
 * Which monitors are to run. Of those with hooks a run's first object has to tell, or
 * facts__set_need(), or facts__take_attached(): a need that is not told of was not asked for. Of
 * those without all is there, unless facts__set_need() says that it is missing.
 */
void facts__add_monitor(struct facts *f, const char *name, bool has_hooks);
void facts__set_need(struct facts *f, const char *monitor, const char *need, bool missing,
		     const char *why);
/* Of the object that a run begins with. */
void facts__take_start(struct facts *f, struct json_object *start);
void facts__begin(struct facts *f, bool total, uint64_t since_ns, uint64_t now_ns);
void facts__set_cgroup(struct facts *f, const char *vm, const char *vm_id, uint32_t pid,
		       const char *cgroup);
/* NULL: out of memory. name NULL: of no VM. */
struct fact *facts__add(struct facts *f, const char *table, const char *vm, const char *vm_id,
			uint32_t pid, uint32_t tid, uint32_t vcpu);
void fact__number(struct facts *f, struct fact *fact, const char *name, double number);
void fact__text(struct facts *f, struct fact *fact, const char *name, const char *text);
/* All is there: looking for rows of one vCPU becomes fast. */
void facts__sort(struct facts *f);
/* The facts' own copy of a string. */
const char *facts__keep(struct facts *f, const char *text);

/* What a cell is as a fact; a text is the row's. False: it is absent, or not one value. */
bool fact_value__of(struct fact_value *value, const struct column *col, const struct row *row);

/* NAN and NULL: there is none. */
double fact__get(const struct fact *fact, const char *name);
const char *fact__get_text(const struct fact *fact, const char *name);

/* How old a VM was when it all began, in seconds; NAN: not known. */
double facts__age_s(const struct facts *f, const struct fact_vm *vm);

/* It ran. */
bool facts__has_monitor(const struct facts *f, const char *name);
/* It has hooks, and this need was not among those that somebody asked for. */
bool facts__was_not_asked(const struct facts *f, const char *monitor, const char *need);
/* What of these monitors a run has attached now; those that it measures are added. */
void facts__take_attached(struct facts *f, const struct run *run, const struct chosen *chosen,
			  size_t nr);
/* NULL: the need is not missing. */
const struct fact_need *facts__missing(const struct facts *f, const char *monitor,
				       const char *need);

#endif
