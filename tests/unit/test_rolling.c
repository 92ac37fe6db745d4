// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is wrong now: intervals as rows of the monitors' own columns. All rules find by it what
 * they find by all facts; who has gone leaves nothing behind; 500 VMs cost little.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../core/replay.h"
#include "../../diagnose/rolling.h"
#include "../../output/format.h"
#include "fixtures.h"

static const uint64_t WINDOW_NS = (uint64_t)WINDOW_S * NSEC_PER_SEC;

/* How many times as long it may take: sanitizers, and valgrind, as make test-valgrind says. */
static uint64_t slowness(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 20;
#else
	return getenv("IN_VALGRIND") ? 100 : 1;
#endif
}

static const struct monitor *monitor_with(const char *table, unsigned int *view)
{
	for (size_t i = 0; i < nr_monitors; i++)
		for (*view = 0; monitors[i]->views[*view].title; ++*view)
			if (!strcmp(monitors[i]->views[*view].name, table))
				return monitors[i];
	fail_msg("no monitor has %s", table);
	return NULL;
}

static void set_absent(const struct column *col, void *cell)
{
	switch (col->type) {
	case COL_U32:
		*(uint32_t *)cell = UINT32_MAX;
		break;
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		*(uint64_t *)cell = UINT64_MAX;
		break;
	case COL_S64:
		*(int64_t *)cell = INT64_MIN;
		break;
	case COL_PERCENT:
	case COL_DOUBLE:
		*(double *)cell = NAN;
		break;
	case COL_BOOL:
		*(uint8_t *)cell = BOOL_ABSENT;
		break;
	default:
		break;
	}
}

static void set_cell(const struct column *col, void *cell, const struct fact_value *value)
{
	/* A setting that is none is no number. */
	if (value->text && col->type != COL_STRING && col->type != COL_BOOL)
		return;
	switch (col->type) {
	case COL_STRING:
		/* A number that a label is: it stays what it looks like. */
		*(const char **)cell = value->text;
		break;
	case COL_U32:
		*(uint32_t *)cell = value->number;
		break;
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		*(uint64_t *)cell = value->number;
		break;
	case COL_S64:
		*(int64_t *)cell = value->number;
		break;
	case COL_PERCENT:
	case COL_DOUBLE:
		*(double *)cell = value->number;
		break;
	case COL_BOOL:
		*(uint8_t *)cell = value->text ? !strcmp(value->text, "true") : value->number > 0;
		break;
	default:
		break;
	}
}

/* Those of the same vCPU. */
static struct json_object *thieves_of(const struct facts_of_vm *of, uint32_t vcpu)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < of->nr; i++) {
		const struct fact *fact = of->list[i];
		struct json_object *one;

		if (strcmp(fact->table, "VCPU_LOAD.thieves") || fact->vcpu != vcpu)
			continue;
		one = json_object_new_object();
		for (size_t v = 0; v < fact->nr; v++)
			json_object_object_add(
				one, fact->values[v].name,
				fact->values[v].text ?
					json_object_new_string(fact->values[v].text) :
					json_object_new_double(fact->values[v].number));
		json_object_array_add(array, one);
	}
	return array;
}

struct whose {
	const char *name, *id;
	uint32_t pid;
};

/* A row as its monitor would give it. */
struct prepared {
	struct section section;
	struct row *row;
	struct json_object *thieves;
};

static struct prepared prepare(const struct facts_of_vm *of, const struct fact *fact,
			       const struct whose *whose, uint32_t vcpu)
{
	unsigned int view = 0;
	const struct monitor *m = monitor_with(fact->table, &view);
	struct prepared p = { .section = { .monitor = m->name,
					   .columns = m->columns,
					   .view = &m->views[view],
					   .view_bit = 1U << view,
					   .scope = SCOPE_INTERVAL },
			      .row = calloc(1, m->row_size) };

	assert_non_null(p.row);
	*p.row = (struct row){ .vm = whose ? whose->name : NULL,
			       .vm_id = whose ? whose->id : NULL,
			       .pid = whose ? whose->pid : UINT32_MAX,
			       .tid = UINT32_MAX,
			       .vcpu = vcpu };
	for (const struct column *col = m->columns; col->name; col++) {
		void *cell = (char *)p.row + col->offset;

		if (col->views && !(col->views & p.section.view_bit))
			continue;
		set_absent(col, cell);
		for (size_t i = 0; i < fact->nr; i++)
			if (!strcmp(fact->values[i].name, col->name))
				set_cell(col, cell, &fact->values[i]);
		if (!strcmp(col->name, "thieves"))
			*(struct json_object **)cell = p.thieves = thieves_of(of, fact->vcpu);
	}
	return p;
}

static void free_prepared(struct prepared *p)
{
	json_object_put(p->thieves);
	free(p->row);
}

static void write_fact(struct output *out, const struct facts_of_vm *of, const struct fact *fact,
		       const struct whose *whose)
{
	struct prepared p = prepare(of, fact, whose, fact->vcpu);

	output__begin(out, &p.section);
	output__row(out, p.row, 0);
	output__end(out);
	free_prepared(&p);
}

/* One interval of facts as rows. */
static void write_window(struct output *out, const struct facts *f,
			 const struct facts_window *window)
{
	output__begin_window(out, SCOPE_INTERVAL, window->since_ns, window->now_ns);
	for (size_t vm = 0; vm < window->nr_of; vm++) {
		const struct whose whose = { f->vms[vm].name, f->vms[vm].id, f->vms[vm].pid };
		const struct facts_of_vm *of = &window->of[vm];

		for (size_t i = 0; i < of->nr; i++)
			if (!strchr(of->list[i]->table, '.'))
				write_fact(out, of, of->list[i], vm ? &whose : NULL);
	}
	output__end_window(out);
}

static struct rolling *made_rolling(const char *missing)
{
	struct rolling *r = rolling__new();

	assert_non_null(r);
	for (size_t i = 0; i < nr_monitors; i++)
		if (!missing || strcmp(missing, monitors[i]->name))
			rolling__add_monitor(r, monitors[i]->name, false);
	return r;
}

static size_t found(const struct fixture *fixture, const struct made *made, const char *missing,
		    struct rolling_vm *vm, struct rolling_detail *list, size_t most)
{
	struct rolling *r = made_rolling(missing);
	struct output *out = rolling__output(r);
	struct facts f;
	size_t nr;

	assert_non_null(out);
	make_facts(&f, fixture, made);
	for (size_t i = 0; i < f.nr_windows; i++)
		write_window(out, &f, &f.windows[i]);
	assert_int_equal(rolling__nr_vms(r), 1);
	assert_true(rolling__vm(r, 0, vm));
	assert_false(rolling__vm(r, 1, vm));
	nr = rolling__findings(r, 4711, vm_id, list, most);
	assert_int_equal(nr, vm->nr_findings);
	if (nr)
		assert_ptr_equal(list[0].finding.rule, vm->first.rule);
	assert_false(rolling__has_failed(r));
	facts__free(&f);
	output__free(out);
	rolling__free(r);
	return nr;
}

/* In the engine's own way. */
static bool is_finding(const struct fixture *fixture, const struct made *made)
{
	const struct diagnose_options options = { .least_age_s = 60 };
	struct diagnosis d;
	struct facts f;
	bool is = false;

	make_facts(&f, fixture, made);
	diagnosis__make(&d, &f, &options);
	for (size_t i = 0; i < d.nr_results; i++)
		is |= d.results[i].state == STATE_FINDING && !d.results[i].rule->of_host;
	diagnosis__free(&d);
	facts__free(&f);
	return is;
}

enum { MOST = 8 };

static void test_finds_the_same(void **state)
{
	const struct made ill = made_of(sick), near = made_of(healthy);
	struct rolling_detail list[MOST];
	struct rolling_vm vm;
	size_t nr, all = 0;

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct fixture *f = &fixtures[i];
		const struct rule *rule = rule__find(f->name);
		bool expected = rule && is_finding(f, &ill);

		nr = found(f, &ill, NULL, &vm, list, MOST);
		if (nr != expected)
			fail_msg("%s: %zu findings, first %s", f->name, nr,
				 nr ? list[0].finding.rule->id : "-");
		if (nr) {
			assert_ptr_equal(list[0].finding.rule, rule);
			assert_true(list[0].finding.severity >= SEVERITY_WARNING);
			assert_true(list[0].nr_evidence > 0 || rule->error);
			assert_int_equal(list[0].finding.windows_of, WINDOWS);
			all++;
		}
		if (!f->nr_marks)
			continue;
		nr = found(f, &near, NULL, &vm, list, MOST);
		if (nr)
			fail_msg("%s: just healthy, and %s is found", f->name,
				 list[0].finding.rule->id);
	}
	print_message("%zu rules find what they find in facts\n", all);
	assert_true(all > 25);
}

static void test_numbers(void **state)
{
	static struct fixture steal = { .name = "steal" };
	const struct made made = made_of(sick);
	struct rolling_detail list[MOST];
	struct rolling_vm vm;

	(void)state;
	steal.nr_lines = 0;
	steal.lines[steal.nr_lines++] = "slices steal=40% thieves_ns=40%";
	steal.lines[steal.nr_lines++] =
		"vcpu VCPU_LOAD.thieves name=other vm=other vm_id=1.1.1 comm=x ns=40%";
	assert_int_equal(found(&steal, &made, NULL, &vm, list, MOST), 1);
	assert_string_equal(vm.name, "web");
	assert_string_equal(vm.id, vm_id);
	assert_true(vm.judged && vm.pid == 4711 && vm.vcpus == 1);
	assert_string_equal(vm.first.rule->id, "steal-other-vms");
	assert_int_equal(vm.first.severity, SEVERITY_CRITICAL);
	assert_true(fabs(vm.first.cost_ns - 0.4e9) < 1e3);
	assert_true(fabs(vm.first.share - 0.4) < 1e-6);
	assert_true(fabs(vm.lost_ns - 0.4e9) < 1e3);
	assert_true(fabs(vm.explained_ns - 0.4e9) < 1e3);
	assert_int_equal(vm.first.vcpus, 1);
	assert_int_equal(vm.first.windows_true, WINDOWS);
	assert_string_equal(vm.first.object, "other");
	assert_string_equal(list[0].evidence[0].what, "steal");
	/* Nobody asks for one. */
	assert_int_equal(found(&steal, &made, "vcpu_load", &vm, list, MOST), 0);
}

/* Three of the last five, and gone when it has been well for three. */
static void test_comes_and_goes(void **state)
{
	const struct fixture *f = NULL;
	struct rolling *r = made_rolling(NULL);
	struct output *out = rolling__output(r);
	/* Of nine intervals, and what is found after each. */
	static const bool ill[9] = { true, false, true, true, false, false, true, false, false };
	static const bool expected[9] = {
		false, false, false, true, true, false, true, false, false
	};
	struct rolling_vm vm;

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++)
		if (!strcmp(fixtures[i].name, "cpuid-loop"))
			f = &fixtures[i];
	assert_non_null(f);
	for (int i = 0; i < 9; i++) {
		struct made made = made_of(ill[i] ? sick : healthy);
		uint64_t later = i * WINDOW_NS;
		struct facts facts;

		make_facts(&facts, f, &made);
		facts.windows[0].since_ns += later;
		facts.windows[0].now_ns += later;
		write_window(out, &facts, &facts.windows[0]);
		assert_true(rolling__vm(r, 0, &vm));
		assert_int_equal(vm.judged, i >= 2);
		if (vm.nr_findings != expected[i])
			fail_msg("interval %d: %zu findings", i, vm.nr_findings);
		facts__free(&facts);
	}
	output__free(out);
	rolling__free(r);
}

static void test_needs(void **state)
{
	struct rolling *r = made_rolling(NULL);
	char why[ROLLING_WHY];
	size_t nr = 0;

	(void)state;
	assert_null(rolling__blind(r, 0, why));
	rolling__set_need(r, "vm_exit", "kvm_exit", true, "because");
	while (rolling__blind(r, nr, why)) {
		assert_non_null(strstr(why, "because"));
		nr++;
	}
	assert_true(nr > 10);
	rolling__forget_needs(r);
	/* Nothing is attached. */
	for (nr = 0; rolling__blind(r, nr, why); nr++)
		;
	assert_true(nr >= 40);
	rolling__free(r);
}

/* Many VMs, of which one in ten is busy */

enum { VMS = 500, VCPUS = 4 };

enum { MOST_ROWS = 32 };

struct many {
	struct facts busy, idle; /* that have the texts */
	char names[VMS][32], ids[VMS][32];
	/* By row of the VM: a monitor gives a table of all VMs after the other. */
	struct prepared rows[MOST_ROWS][VMS][VCPUS];
	size_t nr;
};

static void add_vm(struct many *m, const struct facts *f, int vm)
{
	const struct whose whose = { m->names[vm], m->ids[vm], vm + 1000 };
	const struct facts_of_vm *of = &f->windows[0].of[1];
	size_t nr = 0;

	for (size_t i = 0; i < of->nr; i++) {
		bool per_vcpu = of->list[i]->vcpu != UINT32_MAX;

		if (strchr(of->list[i]->table, '.'))
			continue;
		assert_true(nr < MOST_ROWS);
		for (uint32_t vcpu = 0; vcpu < (per_vcpu ? VCPUS : 1); vcpu++) {
			m->rows[nr][vm][vcpu] =
				prepare(of, of->list[i], &whose, per_vcpu ? vcpu : UINT32_MAX);
			m->nr++;
		}
		nr++;
	}
}

static struct many *make_many(const struct fixture *busy, const struct fixture *idle)
{
	const struct made made = made_of(sick);
	struct many *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	make_facts(&m->busy, busy, &made);
	make_facts(&m->idle, idle, &made);
	for (int i = 0; i < VMS; i++) {
		snprintf(m->names[i], sizeof(m->names[i]), "vm-%d", i);
		snprintf(m->ids[i], sizeof(m->ids[i]), "%d.100.1", i + 1000);
		add_vm(m, i % 10 ? &m->idle : &m->busy, i);
	}
	return m;
}

static void free_many(struct many *m)
{
	for (int i = 0; i < MOST_ROWS; i++)
		for (int vm = 0; vm < VMS; vm++)
			for (int vcpu = 0; vcpu < VCPUS; vcpu++)
				free_prepared(&m->rows[i][vm][vcpu]);
	facts__free(&m->busy);
	facts__free(&m->idle);
	free(m);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* Returns the CPU time that it took. */
static uint64_t write_many(struct output *out, const struct many *m, int at)
{
	uint64_t since = (uint64_t)(START_S + at * WINDOW_S) * NSEC_PER_SEC, began = cpu_ns();

	output__begin_window(out, SCOPE_INTERVAL, since, since + WINDOW_NS);
	for (int i = 0; i < MOST_ROWS; i++) {
		const struct view *view = NULL;

		/* The busy ones have more tables: of the same place are several. */
		for (int vm = 0; vm < VMS; vm++)
			for (int vcpu = 0; vcpu < VCPUS; vcpu++) {
				const struct prepared *p = &m->rows[i][vm][vcpu];

				if (!p->row)
					continue;
				if (p->section.view != view) {
					if (view)
						output__end(out);
					output__begin(out, &p->section);
					view = p->section.view;
				}
				output__row(out, p->row, 0);
			}
		if (view)
			output__end(out);
	}
	output__end_window(out);
	return cpu_ns() - began;
}

static void busy_lines(struct fixture *f)
{
	f->nr_lines = 0;
	f->lines[f->nr_lines++] = "slices kvm=9% vmm=8% steal=30% halt=10% thieves_ns=30%";
	f->lines[f->nr_lines++] =
		"vcpu VCPU_LOAD.thieves name=other vm=other vm_id=1.1.1 comm=x ns=20%";
	f->lines[f->nr_lines++] = "vcpu VCPU_LOAD.thieves name=ksmd comm=ksmd ns=5%";
	f->lines[f->nr_lines++] = "vcpu KVM_EXIT class=io reason=IO_INSTRUCTION count=3000/s "
				  "total_ns=12% p50_ns=9000 p99_ns=20000";
	f->lines[f->nr_lines++] =
		"vcpu KVM_EXIT class=cpuid reason=CPUID count=2000/s total_ns=3% p50_ns=1200";
	f->lines[f->nr_lines++] =
		"vcpu KVM_EXIT class=msr reason=MSR_WRITE count=2000/s total_ns=2% p50_ns=1200";
	f->lines[f->nr_lines++] =
		"vcpu KVM_EXIT class=halt reason=HLT count=500/s total_ns=10% p50_ns=90000";
	f->lines[f->nr_lines++] = "vcpu KVM_EXIT class=interrupt reason=EXTERNAL_INTERRUPT "
				  "count=700/s total_ns=1% p50_ns=1200";
	f->lines[f->nr_lines++] = "vcpu KVM_USERSPACE_EXIT class=io reason=IO count=3000/s "
				  "total_ns=8% p99_ns=90000";
	f->lines[f->nr_lines++] =
		"vcpu HALTS count=500/s polled=20/s p50_ns=90000 wake_p50_ns=4000 wake_count=400";
	f->lines[f->nr_lines++] = "vcpu VCPU_STATE guest_debug=0 exits=8000/s";
	f->lines[f->nr_lines++] = "vm VMM_THREADS role=main comm=qemu cpu_ns=2% delay_ns=1%";
	f->lines[f->nr_lines++] = "vm VMM_THREADS role=iothread comm=io cpu_ns=4% delay_ns=1%";
}

static void idle_lines(struct fixture *f)
{
	f->nr_lines = 0;
	f->lines[f->nr_lines++] = "slices kvm=0.2% vmm=0% steal=0.1% halt=98% thieves_ns=0%";
	f->lines[f->nr_lines++] =
		"vcpu KVM_EXIT class=msr reason=MSR_WRITE count=20/s total_ns=0.1% p50_ns=1200";
	f->lines[f->nr_lines++] =
		"vcpu KVM_EXIT class=halt reason=HLT count=20/s total_ns=98% p50_ns=90000";
	f->lines[f->nr_lines++] = "vcpu KVM_EXIT class=interrupt reason=EXTERNAL_INTERRUPT "
				  "count=20/s total_ns=0.1% p50_ns=1200";
	f->lines[f->nr_lines++] = "vcpu HALTS count=20/s polled=2/s p50_ns=90000 wake_p50_ns=4000";
	f->lines[f->nr_lines++] = "vcpu VCPU_STATE guest_debug=0 exits=60/s";
	f->lines[f->nr_lines++] = "vm VMM_THREADS role=main comm=qemu cpu_ns=0.1% delay_ns=0%";
}

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_many(void **state)
{
	enum { TIMES = 21 };
	static const char *const cheap[] = { "vm_exit",	 "vcpu_load",	"vcpu_wakeup",
					     "vm_state", "vmm_threads", "host" };
	static struct fixture busy = { .name = "busy" }, idle = { .name = "idle" };
	struct rolling *r = made_rolling(NULL);
	struct output *out = rolling__output(r);
	uint64_t took[TIMES], median;
	struct rolling_vm vm;
	struct many *m;
	size_t sick_vms = 0;

	(void)state;
	rolling__forget_needs(r);
	for (size_t i = 0; i < sizeof(cheap) / sizeof(*cheap); i++)
		rolling__add_monitor(r, cheap[i], false);
	/* They have no details. */
	rolling__set_need(r, "vm_exit", "kvm_pio", true, "not asked for");
	rolling__set_need(r, "vm_exit", "kvm_msr", true, "not asked for");
	rolling__set_need(r, "vm_exit", "kvm_mmio", true, "not asked for");
	busy_lines(&busy);
	idle_lines(&idle);
	m = make_many(&busy, &idle);
	for (int i = 0; i < TIMES; i++)
		took[i] = write_many(out, m, i);
	assert_false(rolling__has_failed(r));
	assert_int_equal(rolling__nr_vms(r), VMS);
	for (size_t i = 0; rolling__vm(r, i, &vm); i++) {
		sick_vms += vm.nr_findings > 0;
		/* Sick ones first. */
		assert_true(!vm.nr_findings || sick_vms == i + 1);
	}
	assert_int_equal(sick_vms, VMS / 10);
	qsort(took, TIMES, sizeof(*took), by_number);
	median = took[TIMES / 2];
	print_message("%d VMs, %zu rows: %.2f ms of CPU, median\n", VMS, m->nr, median / 1e6);
	assert_true(median < slowness() * 5 * NSEC_PER_MSEC);
	free_many(m);
	output__free(out);
	rolling__free(r);
}

/* Each VM lives for two intervals, with names that are long and its own. */
static void test_churn(void **state)
{
	enum { ROUNDS = 60, EACH = 50 };
	static struct fixture busy = { .name = "busy" };
	const struct made made = made_of(sick);
	struct rolling *r = made_rolling(NULL);
	struct output *out = rolling__output(r);
	struct rolling_vm vm;
	size_t before = 0;
	struct facts f;

	(void)state;
	busy_lines(&busy);
	make_facts(&f, &busy, &made);
	for (int round = 0; round < ROUNDS; round++) {
		const struct facts_of_vm *of = &f.windows[0].of[1];
		uint64_t since = (uint64_t)(START_S + round * WINDOW_S) * NSEC_PER_SEC;

		output__begin_window(out, SCOPE_INTERVAL, since, since + WINDOW_NS);
		for (int i = 0; i < 2 * EACH; i++) {
			char name[256], id[64];
			int nr = round / 2 * 2 * EACH + i;
			const struct whose whose = { name, id, nr + 1 };

			snprintf(name, sizeof(name), "%0200d\033[2J", nr);
			snprintf(id, sizeof(id), "%d.100.1", nr);
			for (size_t j = 0; j < of->nr; j++)
				if (!strchr(of->list[j]->table, '.'))
					write_fact(out, of, of->list[j], &whose);
		}
		output__end_window(out);
		assert_int_equal(rolling__nr_vms(r), 2 * EACH);
		/* None lives long enough to be judged. */
		assert_true(rolling__vm(r, 0, &vm));
		assert_false(vm.judged || vm.nr_findings);
		assert_true(vm.name[0] == '0');
		if (round == 20)
			before = mallinfo2().uordblks;
	}
	/* Sanitizers have an allocator of their own, which does not tell. */
	if (before)
		assert_true(mallinfo2().uordblks <= before + before / 20);
	assert_false(rolling__find(r, 1, NULL, &vm));
	/* Then nobody is there. */
	for (int i = 0; i < ROLLING_WINDOWS + 1; i++) {
		uint64_t since = (uint64_t)(START_S + (ROUNDS + i) * WINDOW_S) * NSEC_PER_SEC;

		output__begin_window(out, SCOPE_INTERVAL, since, since + WINDOW_NS);
		output__end_window(out);
	}
	assert_int_equal(rolling__nr_vms(r), 0);
	assert_int_equal(rolling__nr_known(r), 0);
	facts__free(&f);
	output__free(out);
	rolling__free(r);
}

/* Rows as a run gives them: of a recording, which the sanitizers look over. */
static void test_recording(void **state)
{
	static const char *const path = "tests/fuzz/corpus/recording/samples.jsonl";
	static const struct filter all;
	const struct replay_options options = { .filter = &all,
						.interval_ns = 3600ULL * NSEC_PER_SEC,
						.quiet = true };
	struct rolling *r = rolling__new();
	struct sink sink = { .out = rolling__output(r) };
	struct replay *replay = replay__open(&path, 1, monitors, nr_monitors);
	struct chosen chosen[MAX_MONITORS];
	struct rolling_vm vm;
	size_t nr;

	(void)state;
	assert_non_null(replay);
	nr = replay__chosen(replay, chosen);
	assert_true(nr > 0);
	for (size_t i = 0; i < nr; i++)
		rolling__add_monitor(r, chosen[i].monitor->name, chosen[i].monitor->hooks);
	assert_int_equal(replay__run(replay, &options, &sink), 0);
	assert_false(rolling__has_failed(r));
	assert_true(rolling__nr_known(r) > 0);
	for (size_t i = 0; rolling__vm(r, i, &vm); i++)
		assert_true(*vm.name && vm.pid);
	output__free(sink.out);
	replay__close(replay);
	rolling__free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_the_same), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_comes_and_goes), cmocka_unit_test(test_needs),
		cmocka_unit_test(test_many),	       cmocka_unit_test(test_churn),
		cmocka_unit_test(test_recording),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
