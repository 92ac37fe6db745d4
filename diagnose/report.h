/* SPDX-License-Identifier: GPL-2.0-only */
/* A diagnosis for people, and as rows for programs. */
#ifndef KVM_WATCHER_DIAGNOSE_REPORT_H
#define KVM_WATCHER_DIAGNOSE_REPORT_H

#include "assert.h"
#include "diagnose.h"

/* What JSON and CSV have. */
extern const struct view diagnose_views[];
extern const struct column diagnose_columns[];

/* Hands it to the output: text where that is for people, else rows. all: every rule by name. */
void diagnosis__write(const struct diagnosis *d, const struct assertion *assertions, size_t nr,
		      struct output *out, bool all);

#endif
