/* SPDX-License-Identifier: GPL-2.0-only */
/* What a user asserts of a run: "p99 of IO_INSTRUCTION < 200us for 30s in web*". */
#ifndef KVM_WATCHER_ASSERT_H
#define KVM_WATCHER_ASSERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts.h"

enum assertion_aggregate {
	AGG_DEFAULT,
	AGG_P50,
	AGG_P90,
	AGG_P99,
	AGG_MAX,
	AGG_MIN,
	AGG_MEAN,
	AGG_RATE,
	AGG_SHARE,
	AGG_COUNT,
	NR_AGG,
};

enum assertion_op {
	ASSERT_LESS,
	ASSERT_LESS_EQUAL,
	ASSERT_GREATER,
	ASSERT_GREATER_EQUAL,
	ASSERT_EQUAL
};

enum assertion_state { ASSERTION_HOLDS, ASSERTION_FAILED, ASSERTION_UNDECIDED };

enum { ASSERTION_LEN = 256 };

struct assertion {
	const char *text; /* as it was given */
	enum assertion_aggregate agg;
	/* A slice of the budget, exits of a class or a reason, or a column of a table. */
	char slice[16], class[32], reason[128], table[128], column[128];
	struct assertion_label {
		char name[32], is[64];
	} labels[4];
	size_t nr_labels;
	enum assertion_op op;
	double limit; /* ns, a share, or a number */
	uint64_t for_ns;
	char vm[128]; /* a pattern; "": all */

	/* After assertion__judge(): of the vCPU where it is worst. */
	enum assertion_state state;
	double value;
	bool close; /* it holds, but a percentile is within its bucket's width of the limit */
	const struct fact_vm *of;
	uint32_t vcpu;
	unsigned int windows_true, windows_of;
	double events;
	char why[320]; /* undecided */
};

/* NULL, or what is wrong with the text: a sentence. a->text is kept by reference. */
const char *assertion__parse(struct assertion *a, const char *text);
void assertion__judge(struct assertion *a, const struct facts *facts);
const char *assertion_state__name(enum assertion_state state);
/* Is it a time, a share (in percent), or a number? */
bool assertion__is_time(const struct assertion *a);
bool assertion__is_share(const struct assertion *a);

#endif
