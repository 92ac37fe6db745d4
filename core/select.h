/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of the rows a sink is shown, of what they are and in which order: from
 * samples__read() to the output. Generic over the columns that monitors declare.
 */
#ifndef KVM_WATCHER_SELECT_H
#define KVM_WATCHER_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../output/cells.h"

struct chosen;
struct monitor;
struct sample;
struct samples;

/* What a row is of. Labels that tell more apart are dropped, and the rest is merged. */
enum group_by { BY_VCPU, BY_VM, BY_HOST };

enum { MAX_CONDITIONS = 16, LEAST_GROUPS = 3 };

/* All zeros: everything, in the order of what it costs. */
struct selection {
	enum group_by by;
	const char *sort; /* a column; NULL: what costs most first, VM by VM */
	bool inverted;	  /* that the other way round */
	uint32_t top;	  /* groups of each table; 0: what fits a terminal, elsewhere all */
	struct condition where[MAX_CONDITIONS];
	size_t nr_where;
	bool histogram; /* of all times */
};

extern const struct selection everything;

/* True when no monitor has a column that is named: text is the sentence about it. */
bool selection__is_wrong(const struct selection *sel, const struct chosen *chosen, size_t nr,
			 char *text, size_t size);

/* Says of which monitors it does not apply. */
void selection__explain(const struct selection *sel, const struct chosen *chosen, size_t nr);

/* True when the row meets all conditions; those on columns that the views lack do not count. */
bool selection__has(const struct selection *sel, const struct column *columns, unsigned int views,
		    const struct row *row);

/* What a sink is shown of a view's samples. */
struct select {
	const struct selection *sel;
	const struct monitor *m;
	unsigned int of;    /* the view whose samples they are */
	unsigned int views; /* bit mask of those that show them */
	struct sample *raw; /* as they were read; where they are merged or shown, VM by VM */
	size_t nr_raw;
	struct sample *parts; /* the same, those that are merged side by side; or NULL */
	struct sample *list;  /* what they are merged to: first those to show, in order */
	size_t nr;	      /* to show */
	size_t nr_all;
	size_t nr_left_out; /* groups */
	bool by_row;	    /* who is shown them wants the costliest rows first, whatever VM's */
	char *merged;	    /* rows of list that are none of raw */
};

/*
 * Takes over what samples__read() gave, and merges it. 0 or -ENOMEM; in both
 * cases select__free() is to follow.
 */
int select__open(struct select *s, const struct selection *sel, const struct monitor *m,
		 const struct samples *samples, unsigned int of, struct sample *raw, size_t nr_raw);
void select__free(struct select *s);

/*
 * All of list are finished: puts those to show in order. lines: room in the
 * table for people, 0: no end; --top goes first. 0 or -ENOMEM.
 */
int select__order(struct select *s, unsigned int lines);

/* True when the rows are one after the other, and not vCPU by vCPU or VM by VM. */
bool select__is_flat(const struct select *s);

/* "… and 112 more vCPUs"; NULL: nothing was left out. */
const char *select__more(const struct select *s, char *text, size_t size);

#endif
