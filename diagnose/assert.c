// SPDX-License-Identifier: GPL-2.0-only
#include "assert.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../decode/exit_reasons.h"
#include "../monitors/monitors.h"
#include "rule.h"

enum { LEAST_EVENTS = 200 };

/* A bucket of a histogram. */
static const double BUCKET = 0.125;

static const char *const aggregates[] = {
	[AGG_P50] = "p50",   [AGG_P90] = "p90",	    [AGG_P99] = "p99",
	[AGG_MAX] = "max",   [AGG_MIN] = "min",	    [AGG_MEAN] = "mean",
	[AGG_RATE] = "rate", [AGG_SHARE] = "share", [AGG_COUNT] = "count",
};

static const struct {
	const char *name, *column;
} slices[] = {
	{ "guest", "guest_ns" },   { "kvm", "kvm_ns" },
	{ "vmm", "vmm_ns" },	   { "poll", "poll_ns" },
	{ "halt", "halted_ns" },   { "steal", "steal_ns" },
	{ "block", "blocked_ns" }, { "unaccounted", "unaccounted_ns" },
};

const char *assertion_state__name(enum assertion_state state)
{
	static const char *const names[] = { "holds", "failed", "undecided" };

	return names[state];
}

/* Parsing */

static const char *skip(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* A word of so many bytes at most; its length, or 0. */
static size_t word(const char *p, const char *stops, char *to, size_t size)
{
	size_t len = strcspn(p, stops);

	while (len && isspace((unsigned char)p[len - 1]))
		len--;
	if (!len || len >= size)
		return 0;
	memcpy(to, p, len);
	to[len] = '\0';
	return len;
}

static bool same(const char *a, const char *b)
{
	return !strcasecmp(a, b);
}

static const char *parse_aggregate(struct assertion *a, const char *p)
{
	char text[32], of[8];
	size_t len = word(p, " \t", text, sizeof(text));
	const char *rest = skip(p + len);
	size_t of_len = word(rest, " \t", of, sizeof(of));

	for (int i = 1; len && i < NR_AGG; i++)
		if (same(text, aggregates[i]) && of_len == 2 && same(of, "of")) {
			a->agg = i;
			return skip(rest + of_len);
		}
	return p;
}

/* Of the table of that name; the names are then as the table spells them. */
static bool find_column(struct assertion *a)
{
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		for (unsigned int view = 0; m->views[view].title; view++) {
			if (m->views[view].again || !same(m->views[view].name, a->table))
				continue;
			for (const struct column *col = m->columns; col->name; col++)
				if (same(col->name, a->column) && column__is_shown(col) &&
				    (!col->views || (col->views >> view & 1))) {
					snprintf(a->table, sizeof(a->table), "%s",
						 m->views[view].name);
					snprintf(a->column, sizeof(a->column), "%s", col->name);
					return true;
				}
		}
	}
	return false;
}

static bool knows_reason(const char *name)
{
	enum { MOST_REASONS = 0x500 };
	char buf[EXIT_REASON_NAME_LEN];

	for (uint64_t code = 0; code < MOST_REASONS; code++)
		if (!strcmp(exit_reason__name(EXIT_ISA_VMX, code, buf, sizeof(buf)), name) ||
		    !strcmp(exit_reason__name(EXIT_ISA_SVM, code, buf, sizeof(buf)), name) ||
		    !strcmp(userspace_reason__name(code, buf, sizeof(buf)), name))
			return true;
	return false;
}

static bool knows_class(const char *name)
{
	enum { MOST_REASONS = 0x500 };

	for (uint64_t code = 0; code < MOST_REASONS; code++) {
		const char *of[] = { exit_reason__class(EXIT_ISA_VMX, code),
				     exit_reason__class(EXIT_ISA_SVM, code),
				     userspace_reason__class(code) };

		for (int i = 0; i < 3; i++)
			if (of[i] && !strcmp(of[i], name))
				return true;
	}
	return false;
}

/* "[write=true,detail_kind=msr]" */
static const char *parse_labels(struct assertion *a, const char *p, const char **wrong)
{
	while (*p == '[' || *p == ',') {
		struct assertion_label *label = &a->labels[a->nr_labels];
		size_t len;

		*wrong = "a label is NAME=VALUE; at most four are allowed";
		if (a->nr_labels == sizeof(a->labels) / sizeof(*a->labels))
			return p;
		len = word(p + 1, "=", label->name, sizeof(label->name));
		if (!len || p[1 + len] != '=')
			return p;
		p += 2 + len;
		len = word(p, ",]", label->is, sizeof(label->is));
		if (!len)
			return p;
		p += len;
		a->nr_labels++;
		*wrong = NULL;
		if (*p == ']')
			return p + 1;
	}
	return p;
}

static const char *parse_what(struct assertion *a, const char *p, const char **wrong)
{
	char text[128], *dot;
	size_t len = word(p, "<>=[", text, sizeof(text));

	/* "class=msr" has a sign of equality of its own. */
	if (len == 5 && same(text, "class") && p[5] == '=') {
		len = word(p + 6, "<>= \t", a->class, sizeof(a->class));
		*wrong = len && knows_class(a->class) ?
				 NULL :
				 "no exit class has that name (docs/kvm_exit.md)";
		return p + 6 + len;
	}
	*wrong = "name a slice, an exit reason, class=CLASS or TABLE.column";
	if (!len)
		return p;
	p += len;
	for (size_t i = 0; i < sizeof(slices) / sizeof(*slices); i++)
		if (same(text, slices[i].name)) {
			snprintf(a->slice, sizeof(a->slice), "%s", slices[i].column);
			*wrong = NULL;
			return p;
		}
	dot = strchr(text, '.');
	if (!dot) {
		*wrong = knows_reason(text) && strlen(text) < sizeof(a->reason) ?
				 NULL :
				 "no slice, exit reason or column has that name";
		snprintf(a->reason, sizeof(a->reason), "%s", text);
		return p;
	}
	*dot = '\0';
	snprintf(a->table, sizeof(a->table), "%s", text);
	snprintf(a->column, sizeof(a->column), "%s", dot + 1);
	*wrong = find_column(a) ? NULL : "no table has that name and column (docs/schema.json)";
	return *wrong ? p : parse_labels(a, p, wrong);
}

static const char *parse_op(struct assertion *a, const char *p)
{
	static const struct {
		const char *text;
		enum assertion_op op;
	} ops[] = {
		{ "<=", ASSERT_LESS_EQUAL }, { ">=", ASSERT_GREATER_EQUAL }, { "==", ASSERT_EQUAL },
		{ "<", ASSERT_LESS },	     { ">", ASSERT_GREATER },	     { "=", ASSERT_EQUAL },
	};

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (!strncmp(p, ops[i].text, strlen(ops[i].text))) {
			a->op = ops[i].op;
			return skip(p + strlen(ops[i].text));
		}
	return NULL;
}

/* A number and its unit. NULL: it is none. */
static const char *parse_number(const char *p, double *number, char *unit, size_t size)
{
	size_t len = strspn(p, "0123456789.");
	char *end;

	*number = strtod(p, &end);
	if (!len || end != p + len)
		return NULL;
	p = skip(end);
	len = word(p, " \t", unit, size);
	if (!len || same(unit, "for") || same(unit, "in")) {
		*unit = '\0';
		return p;
	}
	return p + len;
}

static double time_unit(const char *unit)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "ns", 1 },  { "us", 1e3 }, { "ms", 1e6 },
		      { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(units[i].name, unit))
			return units[i].ns;
	return 0;
}

bool assertion__is_share(const struct assertion *a)
{
	return a->agg == AGG_SHARE || (a->agg == AGG_DEFAULT && *a->slice);
}

bool assertion__is_time(const struct assertion *a)
{
	size_t len = strlen(a->column);
	bool column = len > 3 && !strcmp(a->column + len - 3, "_ns");

	if (a->agg >= AGG_P50 && a->agg <= AGG_MEAN)
		return !*a->table || column;
	return a->agg == AGG_DEFAULT && column;
}

static const char *parse_limit(struct assertion *a, const char *p, const char **wrong)
{
	char unit[16];
	double number;

	p = parse_number(p, &number, unit, sizeof(unit));
	*wrong = "a number must follow the operator";
	if (!p)
		return "";
	*wrong = NULL;
	if (assertion__is_time(a)) {
		a->limit = number * time_unit(unit);
		if (!time_unit(unit))
			*wrong = "a time needs a unit: ns, us, ms, s, m or h";
	} else if (assertion__is_share(a)) {
		a->limit = number / 100;
		if (strcmp(unit, "%"))
			*wrong = "a share of time is given in percent: 5%";
	} else {
		a->limit = number;
		if (*unit && strcmp(unit, "/s"))
			*wrong = "a rate or a count has no unit";
	}
	return skip(p);
}

static const char *parse_rest(struct assertion *a, const char *p, const char **wrong)
{
	char text[128], unit[16];
	double number;

	while (*p) {
		size_t len = word(p, " \t", text, sizeof(text));

		*wrong = "only \"for TIME\" and \"in VM\" may follow the number";
		if (len == 3 && same(text, "for")) {
			p = parse_number(skip(p + len), &number, unit, sizeof(unit));
			if (!p || !time_unit(unit))
				return "";
			a->for_ns = number * time_unit(unit);
		} else if (len == 2 && same(text, "in")) {
			p = skip(p + len);
			len = word(p, " \t", a->vm, sizeof(a->vm));
			if (!len)
				return "";
			p += len;
		} else {
			return p;
		}
		*wrong = NULL;
		p = skip(p);
	}
	return p;
}

const char *assertion__parse(struct assertion *a, const char *text)
{
	const char *wrong = NULL, *p;

	*a = (struct assertion){ .text = text };
	p = parse_aggregate(a, skip(text));
	p = skip(parse_what(a, p, &wrong));
	if (wrong)
		return wrong;
	if (a->agg == AGG_DEFAULT && !*a->slice && !*a->table)
		return "put an aggregate before these exits: p50, p90, p99, max, min, mean, rate, "
		       "share or count of";
	if (*a->slice && a->agg != AGG_DEFAULT && a->agg != AGG_SHARE)
		return "a slice has only its share of the time";
	if (*a->table && a->agg >= AGG_P50 && a->agg <= AGG_P99)
		return "a column has no percentiles; name a percentile column such as p99_ns";
	p = parse_op(a, p);
	if (!p)
		return "an operator must follow: <, <=, >, >= or =";
	p = parse_limit(a, p, &wrong);
	if (!wrong)
		parse_rest(a, p, &wrong);
	return wrong;
}

/* Judging */

struct measured {
	double value, events;
};

static double label_number(const char *text)
{
	return same(text, "true") ? 1 : same(text, "false") ? 0 : strtod(text, NULL);
}

static bool is_labelled(const struct assertion *a, const struct fact *row)
{
	for (size_t i = 0; i < a->nr_labels; i++) {
		const struct assertion_label *label = &a->labels[i];
		const char *text = fact__get_text(row, label->name);
		double number = fact__get(row, label->name);

		if (text && strcmp(text, label->is))
			return false;
		if (!text && !(number == label_number(label->is)))
			return false;
	}
	return true;
}

/* One way of seeing all rows: the worst of percentiles, the sum of what counts. */
static void combine(struct measured *m, double value, bool sums, bool least)
{
	if (isnan(value))
		return;
	if (sums && !isnan(m->value))
		m->value += value;
	else if (isnan(m->value) || (least ? value < m->value : value > m->value))
		m->value = value;
}

static void measure_table(const struct assertion *a, const struct look *l, struct measured *m)
{
	const struct fact *row = NULL;
	bool sums = a->agg == AGG_RATE || a->agg == AGG_COUNT || a->agg == AGG_SHARE;

	while ((row = look__next(l, a->table, row)))
		if (is_labelled(a, row))
			combine(m, fact__get(row, a->column), sums, a->agg == AGG_MIN);
	m->events = LEAST_EVENTS;
}

static void measure_exits(const struct assertion *a, const struct look *l, struct measured *m)
{
	static const char *const columns[] = {
		[AGG_P50] = "p50_ns", [AGG_P90] = "p90_ns",	[AGG_P99] = "p99_ns",
		[AGG_MAX] = "max_ns", [AGG_MIN] = "min_ns",	[AGG_MEAN] = "total_ns",
		[AGG_RATE] = "count", [AGG_SHARE] = "total_ns", [AGG_COUNT] = "count",
	};
	static const char *const tables[] = { "KVM_EXIT", "KVM_USERSPACE_EXIT" };
	bool sums = a->agg >= AGG_MEAN;

	/* A class is KVM's; a reason is of the table that has it. */
	for (int i = 0; i < (*a->class ? 1 : 2); i++) {
		const struct fact *row = NULL;

		while ((row = look__next(l, tables[i], row))) {
			const char *is = fact__get_text(row, *a->class ? "class" : "reason");

			if (!is || strcmp(is, *a->class ? a->class : a->reason))
				continue;
			m->events += fact__get(row, "count");
			combine(m, fact__get(row, columns[a->agg]), sums, a->agg == AGG_MIN);
		}
	}
	if (a->agg == AGG_MEAN && m->events > 0)
		m->value /= m->events;
}

static struct measured measure(const struct assertion *a, const struct look *l)
{
	struct measured m = { .value = NAN };

	if (*a->slice) {
		m.value = look__max(l, "VCPU_LOAD", a->slice, NULL);
		m.events = LEAST_EVENTS;
	} else if (*a->table) {
		measure_table(a, l, &m);
	} else {
		measure_exits(a, l, &m);
	}
	/* Nothing of it was seen, and it would have been. */
	if (isnan(m.value) && (a->agg == AGG_RATE || a->agg == AGG_COUNT || a->agg == AGG_SHARE) &&
	    !*a->slice)
		m.value = 0;
	if (a->agg == AGG_RATE)
		m.value /= l->seconds;
	if (assertion__is_share(a))
		m.value /= l->wall_ns;
	return m;
}

static bool holds(const struct assertion *a, double value)
{
	switch (a->op) {
	case ASSERT_LESS:
		return value < a->limit;
	case ASSERT_LESS_EQUAL:
		return value <= a->limit;
	case ASSERT_GREATER:
		return value > a->limit;
	case ASSERT_GREATER_EQUAL:
		return value >= a->limit;
	default:
		return value == a->limit;
	}
}

static bool is_worse(const struct assertion *a, double value, double than)
{
	if (isnan(than))
		return true;
	if (a->op == ASSERT_EQUAL)
		return holds(a, than) && !holds(a, value);
	return a->op <= ASSERT_LESS_EQUAL ? value > than : value < than;
}

static void judge_vcpu(struct assertion *a, const struct facts *f, size_t vm, uint32_t vcpu)
{
	const struct look l = look__at(f, &f->total, vm, vcpu, NULL);
	const struct measured m = measure(a, &l);
	bool percentile = a->agg >= AGG_P50 && a->agg <= AGG_P99;

	if (isnan(m.value))
		return;
	if (percentile && m.events < LEAST_EVENTS) {
		if (isnan(a->value))
			snprintf(a->why, sizeof(a->why), "%.0f exits are too few for a percentile",
				 m.events);
		return;
	}
	if (!is_worse(a, m.value, a->value))
		return;
	a->value = m.value;
	a->events = m.events;
	a->of = &f->vms[vm];
	a->vcpu = vcpu;
	a->state = holds(a, m.value) ? ASSERTION_HOLDS : ASSERTION_FAILED;
	a->close = a->state == ASSERTION_HOLDS && percentile &&
		   fabs(m.value - a->limit) <= BUCKET * a->limit;
	a->windows_true = a->windows_of = 0;
	for (size_t i = 0; i < f->nr_windows; i++) {
		const struct look at = look__at(f, &f->windows[i], vm, vcpu, NULL);
		const struct measured in = measure(a, &at);

		if (facts__is_rest(f, &f->windows[i]) || isnan(in.value))
			continue;
		a->windows_of++;
		a->windows_true += holds(a, in.value);
	}
}

/* Who measures what it is about; NULL: nothing is missing. */
static const char *blind(const struct assertion *a, const struct facts *f)
{
	static const struct {
		const char *monitor, *need;
	} of_exits[] = { { "vm_exit", "kvm_exit" }, { "vm_exit", "kvm_entry" } },
	  of_slices[] = { { "vcpu_load", "kvm_fpu" }, { "vcpu_load", "sched_switch" } };
	static char why[256];
	const char *monitor = *a->slice ? "vcpu_load" : "vm_exit";
	const struct fact_need *missing = NULL;

	for (size_t i = 0; *a->table && i < nr_monitors; i++)
		for (unsigned int view = 0; monitors[i]->views[view].title; view++)
			if (!strcmp(monitors[i]->views[view].name, a->table))
				monitor = monitors[i]->name;
	if (!facts__has_monitor(f, monitor)) {
		snprintf(why, sizeof(why), "%s was not measured", monitor);
		return why;
	}
	for (int i = 0; i < 2 && !missing && !*a->table; i++)
		missing = *a->slice ? facts__missing(f, of_slices[i].monitor, of_slices[i].need) :
				      facts__missing(f, of_exits[i].monitor, of_exits[i].need);
	if (!missing)
		return NULL;
	snprintf(why, sizeof(why), "%s is missing: %s", missing->need, missing->why);
	return why;
}

void assertion__judge(struct assertion *a, const struct facts *f)
{
	uint64_t measured_ns = f->total.now_ns - f->total.since_ns;
	const char *why = blind(a, f);

	a->state = ASSERTION_UNDECIDED;
	a->value = NAN;
	a->of = NULL;
	a->vcpu = UINT32_MAX;
	snprintf(a->why, sizeof(a->why), "no matching data was seen");
	/* Exits to user space are seen without those to KVM. */
	if (why && (!*a->reason || !facts__has_monitor(f, "vm_exit"))) {
		snprintf(a->why, sizeof(a->why), "%s", why);
		return;
	}
	for (size_t vm = 0; vm < f->total.nr_of; vm++) {
		const struct facts_of_vm *of = &f->total.of[vm];

		if (*a->vm && (!vm || fnmatch(a->vm, f->vms[vm].name, 0)))
			continue;
		if (!vm && !*a->table)
			continue;
		for (size_t i = 0; i < of->nr; i++)
			/* Once for each vCPU; what is of none is one. */
			if (!strcmp(of->list[i]->table, *a->table ? a->table : "VCPU_LOAD"))
				judge_vcpu(a, f, vm, of->list[i]->vcpu);
	}
	if (a->state == ASSERTION_HOLDS && why && a->events < 1) {
		a->state = ASSERTION_UNDECIDED;
		snprintf(a->why, sizeof(a->why), "%s", why);
	}
	if (a->state == ASSERTION_HOLDS && measured_ns * 1.02 < a->for_ns) {
		a->state = ASSERTION_UNDECIDED;
		snprintf(a->why, sizeof(a->why), "only %.1f s of %.1f s were measured",
			 measured_ns / 1e9, a->for_ns / 1e9);
	}
}
