/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixtures of tests/diagnose/fixtures.facts as facts. After cmocka.h; run from the project's
 * root.
 *
 * A line is "host NAME=VALUE", "slices NAME=VALUE...", or "vm TABLE ..." and "vcpu TABLE ..." of
 * the VM or its vCPU. "N/s" grows by that each second, "N%" is that share of time in nanoseconds.
 */
#ifndef KVM_WATCHER_TEST_FIXTURES_H
#define KVM_WATCHER_TEST_FIXTURES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/clock.h"
#include "../../diagnose/diagnose.h"
#include "../../monitors/monitors.h"

#define FIXTURES "tests/diagnose/fixtures.facts"

enum { MAX_FIXTURES = 128, MAX_LINES = 32, WINDOWS = 5, WINDOW_S = 2, START_S = 100000 };

struct fixture {
	char name[64]; /* a rule's, or "healthy:..." */
	char *lines[MAX_LINES];
	size_t nr_lines;
	size_t nr_marks;
};

/* How marked numbers are changed. */
struct scale {
	double above, below; /* of those marked ~ and ! */
	size_t only;	     /* the mark that differs: the first is 1; 0: none */
	double factor;	     /* of that one */
	size_t at;	     /* which one is being read */
};

/* Well on the sick side, and on the healthy one. */
static const struct scale sick = { 1.1, 0.7 }, healthy = { 0.98, 1.02 };

static struct fixture fixtures[MAX_FIXTURES];
static size_t nr_fixtures;

static inline int setup(void **state)
{
	FILE *file = fopen(FIXTURES, "re");
	struct fixture *f = NULL;
	char line[1024];

	(void)state;
	if (!file)
		fail_msg("%s can't be read: run this from the project's root", FIXTURES);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (*line == '[') {
			assert_true(nr_fixtures < MAX_FIXTURES);
			f = &fixtures[nr_fixtures++];
			assert_int_equal(sscanf(line, "[%63[^]]]", f->name), 1);
			continue;
		}
		assert_non_null(f);
		assert_true(f->nr_lines < MAX_LINES);
		f->lines[f->nr_lines++] = strdup(line);
		for (const char *p = line; *p; p++)
			f->nr_marks += *p == '=' && (p[1] == '~' || p[1] == '!');
	}
	fclose(file);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++)
		for (size_t j = 0; j < fixtures[i].nr_lines; j++)
			free(fixtures[i].lines[j]);
	return 0;
}

/* A number as it is in a window of so many seconds; NAN: a text. */
static inline double read_number(const char *text, struct scale *scale, double seconds)
{
	double factor = 1, number;
	char *end;

	if (*text == '~' || *text == '!') {
		factor = *text == '~' ? scale->above : scale->below;
		if (++scale->at == scale->only)
			factor = scale->factor;
		text++;
	}
	number = strtod(text, &end) * factor;
	if (end == text)
		return NAN;
	if (!strcmp(end, "/s"))
		return number * seconds;
	if (!strcmp(end, "%"))
		return number / 100 * seconds * 1e9;
	return *end ? NAN : number;
}

/* The next "name=value" of a line; a value may be in quotes. False: no more. */
static inline bool next_pair(const char **p, char name[64], char value[128])
{
	int used = 0;

	if (sscanf(*p, " %63[^= ]=%n", name, &used) != 1 || !used)
		return false;
	*p += used;
	if (**p == '"') {
		assert_int_equal(sscanf(*p, "\"%127[^\"]\"%n", value, &used), 1);
	} else {
		assert_int_equal(sscanf(*p, "%127[^ ]%n", value, &used), 1);
	}
	*p += used;
	return true;
}

static inline void add_cell(struct facts *f, struct fact *fact, const char *name, const char *value,
			    struct scale *scale, double seconds)
{
	double number = read_number(value, scale, seconds);

	/* An id of a VM is one, whatever it looks like. */
	if (isnan(number) || !strcmp(name, "vm_id"))
		fact__text(f, fact, name, value);
	else
		fact__number(f, fact, name, number);
}

static const char *vm_name = "web";
static char vm_id[64];

static inline struct fact *add_row(struct facts *f, const char *table, bool of_vcpu)
{
	struct fact *fact =
		facts__add(f, table, vm_name, vm_id, 4711, UINT32_MAX, of_vcpu ? 0 : UINT32_MAX);

	assert_non_null(fact);
	return fact;
}

/* What is not said is in the guest. */
static inline void add_slices(struct facts *f, const char *p, struct scale *scale, double seconds)
{
	static const char *const columns[][2] = {
		{ "guest", "guest_ns" },   { "kvm", "kvm_ns" },
		{ "vmm", "vmm_ns" },	   { "poll", "poll_ns" },
		{ "halt", "halted_ns" },   { "steal", "steal_ns" },
		{ "block", "blocked_ns" }, { "thieves_ns", "thieves_ns" },
	};
	struct fact *fact = add_row(f, "VCPU_LOAD", true);
	bool has_guest = false;
	double rest = seconds * 1e9;
	char name[64], value[128];

	fact__number(f, fact, "wall_ns", rest);
	while (next_pair(&p, name, value)) {
		double ns = read_number(value, scale, seconds);
		size_t i = 0;

		while (strcmp(columns[i][0], name))
			assert_true(++i < sizeof(columns) / sizeof(*columns));
		fact__number(f, fact, columns[i][1], ns);
		has_guest |= !i;
		if (strcmp(name, "thieves_ns"))
			rest -= ns;
	}
	if (!has_guest)
		fact__number(f, fact, "guest_ns", rest > 0 ? rest : 0);
}

static inline void add_line(struct facts *f, const char *line, struct scale *scale, double seconds)
{
	char what[16], table[64], name[64], value[128];
	struct fact *fact;
	int used = 0;

	assert_int_equal(sscanf(line, "%15s %n", what, &used), 1);
	line += used;
	if (!strcmp(what, "slices")) {
		add_slices(f, line, scale, seconds);
	} else if (!strcmp(what, "host")) {
		assert_true(next_pair(&line, name, value));
		fact = facts__add(f, "HOST", NULL, NULL, UINT32_MAX, UINT32_MAX, UINT32_MAX);
		fact__text(f, fact, "name", name);
		fact__text(f, fact, "value", value);
		/* What grows is a counter's. */
		add_cell(f, fact, strstr(value, "/s") ? "count" : "number", value, scale, seconds);
	} else {
		assert_true(!strcmp(what, "vm") || !strcmp(what, "vcpu"));
		assert_int_equal(sscanf(line, "%63s %n", table, &used), 1);
		line += used;
		fact = add_row(f, table, !strcmp(what, "vcpu"));
		while (next_pair(&line, name, value))
			add_cell(f, fact, name, value, scale, seconds);
	}
}

static inline void add_window(struct facts *f, const struct fixture *fixture, struct scale scale,
			      double seconds)
{
	bool has_state = false;

	for (size_t i = 0; i < fixture->nr_lines; i++) {
		has_state |= strstr(fixture->lines[i], " VM_STATE ") != NULL;
		add_line(f, fixture->lines[i], &scale, seconds);
	}
	if (!has_state)
		add_line(f,
			 "vm VM_STATE master_clock=1 disabled_exits=none irqchip=kernel "
			 "logged_slots=0 pages_4k=0 pages_2m=500 nx_lpage_splits=0",
			 &scale, seconds);
	add_line(f, "vm VM_CGROUP name=cpu.stat.nr_periods cgroup=/machine.slice/web count=10/s",
		 &scale, seconds);
}

struct made {
	struct scale windows[WINDOWS], total;
	double age_s;
	const char *missing; /* a need, "vm_exit:kvm_exit" or "host" */
	double lost;
};

static inline struct made made_of(struct scale scale)
{
	struct made made = { .total = scale, .age_s = 600 };

	for (int i = 0; i < WINDOWS; i++)
		made.windows[i] = scale;
	return made;
}

static inline void make_facts(struct facts *f, const struct fixture *fixture,
			      const struct made *made)
{
	uint64_t start = (uint64_t)START_S * NSEC_PER_SEC,
		 length = (uint64_t)WINDOW_S * NSEC_PER_SEC;
	char monitor[64];

	facts__init(f);
	snprintf(vm_id, sizeof(vm_id), "4711.%.0f.1", (START_S - made->age_s) * 100);
	for (size_t i = 0; i < nr_monitors; i++)
		if (!made->missing || strcmp(made->missing, monitors[i]->name))
			facts__add_monitor(f, monitors[i]->name, false);
	if (made->missing && strchr(made->missing, ':')) {
		assert_int_equal(sscanf(made->missing, "%63[^:]", monitor), 1);
		facts__set_need(f, monitor, strchr(made->missing, ':') + 1, true, "taken away");
	}
	f->lost = made->lost;
	for (int i = 0; i < WINDOWS; i++) {
		facts__begin(f, false, start + i * length, start + (i + 1) * length);
		add_window(f, fixture, made->windows[i], WINDOW_S);
	}
	facts__begin(f, true, start, start + WINDOWS * length);
	add_window(f, fixture, made->total, WINDOWS * WINDOW_S);
	assert_false(f->failed);
	facts__sort(f);
}

#endif
