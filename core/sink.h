/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_SINK_H
#define KVM_WATCHER_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "../output/output.h"
#include "select.h"

/* Who is shown rows. Each has an interval of its own. */
struct sink {
	struct output *out;		   /* NULL: nobody now, its place is kept */
	const struct selection *selection; /* of rows; NULL: all */
	uint64_t interval_ns;		   /* 0: it is shown totals only */
	uint64_t since_ns;		   /* what its next interval begins with */
	uint64_t due_ns;		   /* and when it ends */
	uint64_t told_vms;		   /* VMs of this run that it was told who they are */
	bool no_total;			   /* what is measured has changed: intervals tell it */
	double least_share; /* of a vCPU's time: who together took less of it need no names */
};

enum { MAX_SINKS = 8 };

static inline const struct selection *sink__selection(const struct sink *sink)
{
	return sink->selection ? sink->selection : &everything;
}

#endif
