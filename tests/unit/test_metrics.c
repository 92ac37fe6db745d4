// SPDX-License-Identifier: GPL-2.0-only
/*
 * core/metrics.c: series only grow, of whatever comes, goes, is renamed or is too much; and both
 * texts against tests/golden. After a change that is meant,
 * UPDATE_GOLDEN=1 build/tests/unit/test_metrics
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>

#include "../../core/metrics.h"
#include "../../core/monitor.h"
#include "../../core/times.h"
#include "../../monitors/monitors.h"

struct thing_row {
	struct row row;
	const char *kind;
	uint8_t halt;
	uint64_t count;
	uint64_t total_ns;
	struct times time;
	uint64_t window_ns;
	uint64_t pages;
	double now;
	struct json_object *errors;
};

#define COL(...) COLUMN(struct thing_row, __VA_ARGS__)
#define OF_THING(_name, _at) LABEL(struct thing_row, _name, _at)

enum { VIEW_VCPU, VIEW_VM };
enum { OF_VCPU = 1 << VIEW_VCPU, OF_VM = 1 << VIEW_VM };

static const struct view views[] = {
	[VIEW_VCPU] = { .title = "VCPUS", .name = "VCPUS", .per_vcpu = true, SAMPLES_OF(0) },
	[VIEW_VM] = { .title = "VMS", .name = "VMS", SAMPLES_OF(1) },
	{},
};
static const struct column columns[] = {
	COL(kind, "KIND", COL_STRING, ROLE_LABEL),
	COL(halt, "HALT", COL_BOOL, ROLE_LABEL, .views = OF_VCPU),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, .views = OF_VCPU),
	COL(time, "TIMES", COL_TIMES, ROLE_COUNTER, .views = OF_VCPU),
	COL(window_ns, "WINDOW", COL_U64, ROLE_GAUGE, .views = OF_VCPU),
	COL(pages, "PAGES", COL_U64, ROLE_GAUGE, .views = OF_VM),
	COL(now, "NOW", COL_DOUBLE, ROLE_GAUGE, .views = OF_VM),
	COL(errors, "ERRORS", COL_OBJECT, ROLE_GAUGE, .views = OF_VM),
	{},
};
#define THING(_type, _name, _at, ...) METRIC(struct thing_row, _type, _name, _at, __VA_ARGS__)
#define KINDS .labels = { OF_THING("kind", kind), OF_THING("halt", halt) }

static const struct metric metrics[] = {
	THING(COUNTER, "kvm_things", count, .views = OF_VCPU, KINDS, .help = "Things."),
	THING(COUNTER, "kvm_thing_seconds", total_ns, .views = OF_VCPU, KINDS,
	      .help = "Their time."),
	THING(HISTOGRAM, "kvm_thing_duration_seconds", time, .views = OF_VCPU, .help = "How long."),
	THING(COUNTER, "kvm_vcpu_things", count, .views = OF_VCPU, .by_vcpu = true,
	      .constant = "state=\"done\"", .help = "Things of a vCPU."),
	THING(GAUGE, "kvm_window_seconds", window_ns, .views = OF_VCPU, .scale = SCALE_NSEC,
	      .help = "A window."),
	THING(GAUGE, "kvm_memory_bytes", pages, .views = OF_VM, .scale = SCALE_PAGES,
	      .help = "Memory."),
	THING(GAUGE, "kvm_now", now, .views = OF_VM, .of_window = true, .help = "Now only."),
	THING(COUNTER, "kvm_errors", errors, .views = OF_VM, .key = "error", .help = "Errors."),
	{},
};
static const struct monitor monitor = {
	.name = "thing",
	.views = views,
	.columns = columns,
	.metrics = metrics,
};
static const struct chosen chosen = { .monitor = &monitor };

static const struct metric own = {
	.name = "kvm_watcher_own",
	.type = METRIC_COUNTER,
	.help = "Its own.",
	.labels = { { .name = "why" } },
};
static const struct metric found = {
	.name = "kvm_found", .type = METRIC_GAUGE, .help = "Found.", .labels = { { .name = "id" } }
};

struct test {
	struct metrics *m;
	struct output *out;
	struct buf text;
	size_t nr_vcpus;
	struct metrics_vm vms[16];
	size_t nr_vms;
	const struct section *section;
};

static void begins(void *ctx, struct metrics *m)
{
	struct test *t = ctx;

	metrics__begin(m, t->nr_vcpus);
	for (size_t i = 0; i < t->nr_vms; i++)
		metrics__vm(m, &t->vms[i]);
}

static void open_test(struct test *t, enum metrics_by by, uint32_t limit)
{
	*t = (struct test){ .nr_vcpus = 2 };
	t->m = metrics__new(&(struct metrics_options){
		.by = by,
		.limit = limit,
		.chosen = &chosen,
		.nr_chosen = 1,
		.begins = begins,
		.ctx = t,
	});
	assert_non_null(t->m);
	t->out = metrics__output(t->m);
	assert_non_null(t->out);
}

static void close_test(struct test *t)
{
	assert_false(metrics__has_failed(t->m));
	output__free(t->out);
	metrics__free(t->m);
	buf__free(&t->text);
}

static const struct metrics_vm *add_vm(struct test *t, uint64_t nr, const char *name)
{
	static char ids[64][16];

	snprintf(ids[nr], sizeof(ids[nr]), "%d.7.1", (int)(100 + nr));
	t->vms[t->nr_vms] =
		(struct metrics_vm){ .id = ids[nr], .name = name, .nr = nr, .pid = 100 + nr };
	return &t->vms[t->nr_vms++];
}

static void begin(struct test *t)
{
	output__begin_window(t->out, SCOPE_INTERVAL, 1, 2);
}

static const char *end(struct test *t, enum metrics_text text)
{
	output__end_window(t->out);
	assert_true(metrics__render(t->m, text, &t->text));
	return t->text.data ?: "";
}

static struct section section_of(unsigned int view, enum scope scope)
{
	return (struct section){
		.monitor = "thing",
		.columns = columns,
		.view = &views[view],
		.view_bit = 1U << view,
		.scope = scope,
	};
}

static struct thing_row row_of(const struct metrics_vm *vm, uint32_t vcpu, const char *kind,
			       uint64_t count)
{
	struct thing_row row = {
		.row = { .vm = vm->name,
			 .vm_id = vm->id,
			 .vm_nr = vm->nr,
			 .pid = vm->pid,
			 .tid = 1000 + vcpu,
			 .vcpu = vcpu },
		.kind = kind,
		.count = count,
		.total_ns = count * 1500000000,
		.window_ns = 200000,
		.now = NAN,
	};

	times__init(&row.time);
	return row;
}

static void put(struct test *t, unsigned int view, const struct thing_row *row)
{
	const struct section section = section_of(view, SCOPE_INTERVAL);

	output__begin(t->out, &section);
	output__row(t->out, &row->row, 0);
	output__end(t->out);
}

static void count(struct test *t, const struct metrics_vm *vm, const char *kind, uint64_t nr)
{
	const struct thing_row row = row_of(vm, 0, kind, nr);

	put(t, VIEW_VCPU, &row);
}

static void has(const char *text, const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s\n", line);
	if (!strstr(text, whole))
		fail_msg("there is no \"%s\" in:\n%s", line, text);
}

static void lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("there is \"%s\" in:\n%s", part, text);
}

static void test_growth(void **state)
{
	const struct metrics_vm *vm;
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	vm = add_vm(&t, 1, "web");
	begin(&t);
	count(&t, vm, "io", 3);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 3");
	has(text, "kvm_thing_seconds_total{vm=\"web\",kind=\"io\",halt=\"false\"} 4.5");
	has(text, "kvm_vcpu_things_total{vm=\"web\",state=\"done\",vcpu=\"0\"} 3");
	has(text, "kvm_window_seconds{vm=\"web\",vcpu=\"0\"} 0.0002");
	begin(&t);
	count(&t, vm, "io", 4);
	has(end(&t, TEXT_CLASSIC), "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 7");
	/* An interval in which nothing grew. */
	begin(&t);
	has(end(&t, TEXT_CLASSIC), "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 7");
	close_test(&t);
}

static void test_totals_are_no_growth(void **state)
{
	const struct section total = section_of(VIEW_VCPU, SCOPE_TOTAL);
	const struct section event = section_of(VIEW_VCPU, SCOPE_EVENT);
	struct thing_row row;
	struct test t;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	row = row_of(add_vm(&t, 1, "web"), 0, "io", 5);
	begin(&t);
	put(&t, VIEW_VCPU, &row);
	output__begin(t.out, &event);
	output__row(t.out, &row.row, 0);
	output__end(t.out);
	put(&t, VIEW_VCPU, &row);
	/* A sum over rows, for people. */
	{
		const struct section section = section_of(VIEW_VCPU, SCOPE_INTERVAL);

		output__begin(t.out, &section);
		output__row(t.out, &row.row, ROW_DERIVED);
		output__row(t.out, &row.row, ROW_AGAIN);
		output__end(t.out);
	}
	end(&t, TEXT_CLASSIC);
	output__begin_window(t.out, SCOPE_TOTAL, 1, 2);
	output__begin(t.out, &total);
	output__row(t.out, &row.row, 0);
	output__end(t.out);
	has(end(&t, TEXT_CLASSIC), "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 10");
	close_test(&t);
}

/* One that has ended is shown once more, with its last growth, and then nowhere. */
static void test_vms_end(void **state)
{
	const struct metrics_vm *vm;
	struct metrics_vm gone;
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	add_vm(&t, 1, "stays");
	vm = add_vm(&t, 2, "goes");
	gone = *vm;
	begin(&t);
	count(&t, &t.vms[0], "io", 1);
	count(&t, vm, "io", 10);
	end(&t, TEXT_CLASSIC);
	t.nr_vms = 1;
	begin(&t);
	count(&t, &gone, "io", 5);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"goes\",kind=\"io\",halt=\"false\"} 15");
	/* What comes late is nobody's: as a new one it would begin with a jump down. */
	begin(&t);
	count(&t, &gone, "io", 5);
	text = end(&t, TEXT_CLASSIC);
	lacks(text, "goes");
	has(text, "kvm_things_total{vm=\"stays\",kind=\"io\",halt=\"false\"} 1");
	close_test(&t);
}

/* Came and went between two scrapes. */
static void test_short_lives(void **state)
{
	static const struct metrics_vm brief = {
		.id = "900.1.1", .name = "brief", .nr = 9, .pid = 900
	};
	struct test t;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	add_vm(&t, 1, "stays");
	begin(&t);
	count(&t, &brief, "io", 2);
	has(end(&t, TEXT_CLASSIC), "kvm_things_total{vm=\"brief\",kind=\"io\",halt=\"false\"} 2");
	begin(&t);
	lacks(end(&t, TEXT_CLASSIC), "brief");
	close_test(&t);
}

/* What core/samples.c keeps of VMs that ended long ago is of nobody who is there. */
static void test_remainders(void **state)
{
	struct thing_row row;
	struct test t;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	row = row_of(add_vm(&t, 1, "stays"), 0, "io", 1000);
	row.row.vm = "(ended)";
	row.row.vm_id = NULL;
	row.row.vm_nr = 0;
	begin(&t);
	put(&t, VIEW_VCPU, &row);
	lacks(end(&t, TEXT_CLASSIC), "kvm_things");
	close_test(&t);
}

static void test_same_names(void **state)
{
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	add_vm(&t, 1, "web");
	begin(&t);
	count(&t, &t.vms[0], "io", 1);
	end(&t, TEXT_CLASSIC);
	add_vm(&t, 2, "web");
	begin(&t);
	count(&t, &t.vms[1], "io", 20);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 1");
	has(text, "kvm_things_total{vm=\"web@102\",kind=\"io\",halt=\"false\"} 20");
	/* The first one ends: the second one keeps its name. */
	t.vms[0] = t.vms[1];
	t.nr_vms = 1;
	begin(&t);
	end(&t, TEXT_CLASSIC);
	begin(&t);
	count(&t, &t.vms[0], "io", 1);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web@102\",kind=\"io\",halt=\"false\"} 21");
	lacks(text, "vm=\"web\"");
	/* A third one gets the free name, and one that is called like the second gets another. */
	add_vm(&t, 3, "web");
	add_vm(&t, 4, "web@102");
	begin(&t);
	count(&t, &t.vms[1], "io", 300);
	count(&t, &t.vms[2], "io", 4000);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 300");
	has(text, "kvm_things_total{vm=\"web@102@104\",kind=\"io\",halt=\"false\"} 4000");
	close_test(&t);
}

/* Restarted: the old one is shown for the last time, then the new one has its name. */
static void test_restart(void **state)
{
	struct metrics_vm old;
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	old = *add_vm(&t, 1, "web");
	begin(&t);
	count(&t, &old, "io", 10);
	end(&t, TEXT_CLASSIC);
	t.nr_vms = 0;
	add_vm(&t, 2, "web");
	begin(&t);
	count(&t, &old, "io", 1);
	count(&t, &t.vms[0], "io", 3);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 11");
	lacks(text, "web@");
	begin(&t);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 3");
	close_test(&t);
}

static void test_renamed(void **state)
{
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	add_vm(&t, 1, "qemu-system-x86");
	begin(&t);
	count(&t, &t.vms[0], "io", 10);
	end(&t, TEXT_CLASSIC);
	t.vms[0].name = "web";
	begin(&t);
	count(&t, &t.vms[0], "io", 1);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 11");
	lacks(text, "qemu");
	/* To a name that is taken. */
	add_vm(&t, 2, "db");
	begin(&t);
	end(&t, TEXT_CLASSIC);
	t.vms[0].name = "db";
	begin(&t);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"db@101\",kind=\"io\",halt=\"false\"} 11");
	close_test(&t);
}

/* The value behind that, or -1. */
static double value_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtod(at + strlen(name), NULL) : -1;
}

/* The rarest of what is new give way; who is there stays, and nothing ever falls. */
static void test_folding(void **state)
{
	enum { LIMIT = 200, KINDS_OF = 160, ROUNDS = 6 };
	double before = 0, others = 0;
	struct test t;
	const char *text;
	char kind[16];

	(void)state;
	open_test(&t, METRICS_BY_VM, LIMIT);
	add_vm(&t, 1, "web");
	begin(&t);
	for (int i = 0; i < KINDS_OF; i++) {
		snprintf(kind, sizeof(kind), "kind%d", i);
		count(&t, &t.vms[0], kind, 1 + i);
	}
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"web\",kind=\"kind159\",halt=\"false\"} 160");
	lacks(text, "kind=\"kind0\"");
	others = value_of(text, "kvm_things_total{vm=\"web\",kind=\"(other)\",halt=\"(other)\"} ");
	assert_true(others > 0);
	assert_true(metrics__nr_series(t.m) <= LIMIT);
	assert_true(metrics__nr_folded(t.m) > 0);
	before = KINDS_OF * (KINDS_OF + 1) / 2.0;
	for (int round = 0; round < ROUNDS; round++) {
		double sum = 0, now;
		const char *at;

		/* Also what was the rarest: folding is final. */
		begin(&t);
		count(&t, &t.vms[0], "kind0", 1000);
		count(&t, &t.vms[0], "kind159", 1);
		snprintf(kind, sizeof(kind), "new%d", round);
		count(&t, &t.vms[0], kind, 1000000);
		text = end(&t, TEXT_CLASSIC);
		lacks(text, "kind=\"kind0\"");
		lacks(text, kind);
		now = value_of(text,
			       "kvm_things_total{vm=\"web\",kind=\"(other)\",halt=\"(other)\"} ");
		assert_true(now == others + 1001000);
		others = now;
		for (at = text; (at = strstr(at, "\nkvm_things_total{")); at++)
			sum += strtod(strstr(at, "} ") + 2, NULL);
		assert_true(sum == before + 1001001);
		before = sum;
	}
	/* Another VM comes: it has one series of each family at least. */
	add_vm(&t, 2, "db");
	begin(&t);
	count(&t, &t.vms[1], "io", 7);
	count(&t, &t.vms[1], "rare", 1);
	text = end(&t, TEXT_CLASSIC);
	assert_true(
		value_of(text, "kvm_things_total{vm=\"db\",kind=\"(other)\",halt=\"(other)\"} ") ==
		8);
	/* There is room again, and what was folded stays so. */
	t.vms[0] = t.vms[1];
	t.nr_vms = 1;
	for (int i = 0; i < 3; i++) {
		begin(&t);
		count(&t, &t.vms[0], "io", 1);
		text = end(&t, TEXT_CLASSIC);
	}
	assert_true(
		value_of(text, "kvm_things_total{vm=\"db\",kind=\"(other)\",halt=\"(other)\"} ") ==
		11);
	lacks(text, "kind=\"io\"");
	close_test(&t);
}

/* The number of series of VMs: what is not of the program. */
static size_t lines_of(const char *text)
{
	size_t nr = 0;

	for (; *text; text = strchr(text, '\n') + 1)
		nr += *text != '#';
	return nr;
}

static double sum_of(const char *text, const char *family, const char *vm)
{
	char name[64];
	double sum = 0;

	snprintf(name, sizeof(name), "\n%s{vm=\"%s", family, vm);
	for (const char *at = text; (at = strstr(at, name)); at++)
		sum += strtod(strstr(at, "} ") + 2, NULL);
	return sum;
}

static double things_of(const char *text, const char *vm)
{
	return sum_of(text, "kvm_things_total", vm);
}

/* More VMs than there is room for: the limit holds, and no sum loses or gains anything. */
static void test_many_vms(void **state)
{
	enum { LIMIT = 200, VMS = 12, ROUNDS = 12 };
	double done = 0, rest = 0, own[VMS] = {};
	static char names[VMS][16];
	struct test t;
	const char *text = "";
	size_t nr_folded;

	(void)state;
	open_test(&t, METRICS_AUTO, LIMIT);
	for (unsigned int i = 0; i < VMS; i++) {
		snprintf(names[i], sizeof(names[i]), "vm%02u", i);
		add_vm(&t, 1 + i, names[i]);
	}
	for (unsigned int round = 0; round < ROUNDS; round++) {
		double sum = 0, now;
		char kind[16];

		begin(&t);
		for (size_t i = 0; i < t.nr_vms; i++) {
			unsigned int nr = t.vms[i].nr - 1, busy = nr == 5 ? 100 : 1;

			snprintf(kind, sizeof(kind), "kind%u", round % 5);
			count(&t, &t.vms[i], kind, busy);
			done += busy;
		}
		text = end(&t, TEXT_CLASSIC);
		assert_true(lines_of(text) <= LIMIT);
		assert_true(metrics__nr_folded_vms(t.m) > 0);
		/* The busiest one is shown by its name. */
		has(text, "kvm_vm_info{vm=\"vm05\",pid=\"106\"} 1");
		now = things_of(text, "(other)");
		assert_true(now > rest);
		rest = now;
		lacks(text, "kvm_memory_bytes{vm=\"(other)\"");
		lacks(text, "kvm_vm_info{vm=\"(other)\"");
		for (unsigned int nr = 0; nr < VMS; nr++) {
			double had = own[nr];

			own[nr] = things_of(text, names[nr]);
			assert_true(own[nr] >= had);
			sum += own[nr];
		}
		/* All VMs still live. */
		assert_true(sum + rest == done);
	}
	/* One that is folded ends: what it did stays, and nothing jumps. */
	nr_folded = metrics__nr_folded_vms(t.m);
	for (size_t i = 0; i < t.nr_vms; i++)
		if (own[t.vms[i].nr - 1] == 0) {
			t.vms[i] = t.vms[--t.nr_vms];
			break;
		}
	begin(&t);
	text = end(&t, TEXT_CLASSIC);
	assert_true(things_of(text, "(other)") == rest);
	begin(&t);
	text = end(&t, TEXT_CLASSIC);
	assert_true(things_of(text, "(other)") == rest);
	assert_int_equal(metrics__nr_folded_vms(t.m), nr_folded - 1);
	/* There is room: one that comes is shown, and one that was folded is not. */
	for (size_t i = 0; i < t.nr_vms; i++)
		if (own[t.vms[i].nr - 1] == 0)
			t.vms[0] = t.vms[i];
	t.nr_vms = 1;
	for (int i = 0; i < 2; i++) {
		begin(&t);
		end(&t, TEXT_CLASSIC);
	}
	add_vm(&t, 20, "late");
	begin(&t);
	count(&t, &t.vms[0], "io", 1);
	count(&t, &t.vms[1], "io", 1);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"late\",kind=\"io\",halt=\"false\"} 1");
	assert_true(things_of(text, "(other)") == rest + 1);
	close_test(&t);
}

/* A VM that is shown does what it never did, and there is no room: that is the rest's. */
static void test_late_families(void **state)
{
	enum { LIMIT = 110, VMS = 8 };
	char names[VMS][16];
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_BY_VM, LIMIT);
	for (unsigned int i = 0; i < VMS; i++) {
		snprintf(names[i], sizeof(names[i]), "vm%u", i);
		add_vm(&t, 1 + i, names[i]);
	}
	for (int round = 0; round < 3; round++) {
		begin(&t);
		for (unsigned int i = 0; round && i < VMS; i++) {
			struct thing_row row = row_of(&t.vms[i], 0, "io", 1);

			row.time.hist[20] = row.time.count = 1;
			put(&t, VIEW_VCPU, &row);
		}
		text = end(&t, TEXT_CLASSIC);
		assert_true(lines_of(text) <= LIMIT);
		assert_true(things_of(text, "") == round * VMS);
		assert_true(sum_of(text, "kvm_thing_duration_seconds_count", "") == round * VMS);
	}
	assert_true(sum_of(text, "kvm_thing_duration_seconds_count", "(other)") > 0);
	assert_int_equal(metrics__nr_folded_vms(t.m), 0);
	close_test(&t);
}

static void test_levels(void **state)
{
	struct thing_row a, b;
	struct test t;
	const char *text;

	(void)state;
	for (int by = METRICS_AUTO; by <= METRICS_BY_VCPU; by++) {
		open_test(&t, by, 1000);
		a = row_of(add_vm(&t, 1, "web"), 0, "io", 1);
		b = row_of(&t.vms[0], 1, "io", 2);
		begin(&t);
		put(&t, VIEW_VCPU, &a);
		put(&t, VIEW_VCPU, &b);
		text = end(&t, TEXT_CLASSIC);
		if (by == METRICS_BY_VCPU) {
			has(text,
			    "kvm_things_total{vm=\"web\",vcpu=\"1\",kind=\"io\",halt=\"false\"} 2");
			lacks(text, "kvm_things_total{vm=\"web\",kind");
		} else {
			has(text, "kvm_things_total{vm=\"web\",kind=\"io\",halt=\"false\"} 3");
		}
		if (by == METRICS_BY_VM) {
			has(text, "kvm_vcpu_things_total{vm=\"web\",state=\"done\"} 3");
			lacks(text, "vcpu=");
			/* Of several windows a VM has none. */
			lacks(text, "kvm_window");
		} else {
			has(text, "kvm_vcpu_things_total{vm=\"web\",state=\"done\",vcpu=\"1\"} 2");
		}
		close_test(&t);
	}
	/* None is of vCPUs where these alone would take half of the room; and it stays so. */
	open_test(&t, METRICS_AUTO, 1000);
	t.nr_vcpus = 900;
	a = row_of(add_vm(&t, 1, "web"), 0, "io", 1);
	begin(&t);
	put(&t, VIEW_VCPU, &a);
	lacks(end(&t, TEXT_CLASSIC), "vcpu=");
	t.nr_vcpus = 1;
	begin(&t);
	put(&t, VIEW_VCPU, &a);
	lacks(end(&t, TEXT_CLASSIC), "vcpu=");
	close_test(&t);
}

/* No reader of lines may be led astray, whatever a VM is called. */
static void test_hostile_names(void **state)
{
	static const char name[] =
		"a\"} 1\nkvm_things_total{vm=\"b\\\xff\xc3\x28\x1b[31m\xe2\x80\xae\xc3\xa4";
	char longest[1000];
	struct test t;
	const char *text;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	open_test(&t, METRICS_AUTO, 1000);
	add_vm(&t, 1, name);
	add_vm(&t, 2, "");
	add_vm(&t, 3, longest);
	begin(&t);
	count(&t, &t.vms[0], "a\"b\\c\nd", 1);
	count(&t, &t.vms[1], "io", 2);
	count(&t, &t.vms[2], "io", 3);
	text = end(&t, TEXT_CLASSIC);
	has(text, "kvm_things_total{vm=\"a\\\"} 1?kvm_things_total{vm=\\\"b\\\\??"
		  "(?[31m?\xc3\xa4\","
		  "kind=\"a\\\"b\\\\c?d\",halt=\"false\"} 1");
	has(text, "kvm_things_total{vm=\"@102\",kind=\"io\",halt=\"false\"} 2");
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p >= ' ' || *p == '\n');
	lacks(text, "\nkvm_things_total{vm=\"b");
	assert_null(strstr(text,
			   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
	close_test(&t);
}

static void test_own(void **state)
{
	const char *const why[] = { "full", NULL }, *const id[] = { "rule", NULL };
	const struct metrics_vm *vm;
	struct test t;
	const char *text;

	(void)state;
	open_test(&t, METRICS_AUTO, 1000);
	vm = add_vm(&t, 1, "web");
	begin(&t);
	count(&t, vm, "io", 1);
	metrics__set(t.m, &own, NULL, why, 5);
	metrics__set(t.m, &found, vm->id, id, 0.25);
	metrics__set(t.m, &found, "of nobody", id, 1);
	output__end_window(t.out);
	assert_true(metrics__render(t.m, TEXT_CLASSIC, &t.text));
	text = t.text.data;
	has(text, "kvm_watcher_own_total{why=\"full\"} 5");
	has(text, "kvm_found{vm=\"web\",id=\"rule\"} 0.25");
	has(text, "kvm_vm_info{vm=\"web\",pid=\"101\"} 1");
	assert_string_equal(metrics__vm_name(t.m, vm->id), "web");
	/* Not said again: it is not found any more. */
	begin(&t);
	metrics__set(t.m, &own, NULL, why, 6);
	text = end(&t, TEXT_CLASSIC);
	lacks(text, "kvm_found");
	has(text, "kvm_watcher_own_total{why=\"full\"} 6");
	close_test(&t);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 1 << 16);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	return text;
}

static void test_golden(void **state)
{
	static const char *const paths[] = {
		[TEXT_CLASSIC] = "tests/golden/metrics.prom",
		[TEXT_OPENMETRICS] = "tests/golden/metrics.openmetrics",
	};
	const char *const why[] = { "full", NULL };

	(void)state;
	for (int text = 0; text < NR_METRICS_TEXTS; text++) {
		struct thing_row row, of_vm;
		const char *got;
		struct test t;

		open_test(&t, METRICS_AUTO, 1000);
		add_vm(&t, 1, "web");
		t.vms[0].vmm = "qemu";
		t.vms[0].uuid = "2d1b1c5e-6a3f-4b0c-9d57-0c6f2d1e8a41";
		row = row_of(&t.vms[0], 0, "io", 3);
		for (int i = 0; i < STAT_BUCKETS; i += 8)
			row.time.hist[i] = 1;
		row.time.count = STAT_BUCKETS / 8;
		row.time.total_ns = 12345678901;
		of_vm = row_of(&t.vms[0], UINT32_MAX, "io", 3);
		of_vm.pages = 262144;
		of_vm.now = 0.1;
		of_vm.errors = json_tokener_parse("{\"EAGAIN\":3,\"EINTR\":1}");
		begin(&t);
		put(&t, VIEW_VCPU, &row);
		put(&t, VIEW_VM, &of_vm);
		metrics__set(t.m, &own, NULL, why, 5);
		got = end(&t, text);
		if (getenv("UPDATE_GOLDEN")) {
			FILE *file = fopen(paths[text], "we");

			assert_non_null(file);
			fputs(got, file);
			fclose(file);
		} else {
			char *expected = read_file(paths[text]);

			assert_string_equal(got, expected);
			free(expected);
		}
		json_object_put(of_vm.errors);
		close_test(&t);
	}
}

/* What monitors declare. */

static bool is_name(const char *text)
{
	if (!*text || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(text))
		return false;
	return *text >= 'a' && *text <= 'z';
}

static const struct column *find_column(const struct monitor *m, const struct metric *metric,
					size_t at, bool label)
{
	for (const struct column *col = m->columns; col->name; col++)
		if (col->offset == at && (!col->views || !(metric->views & ~col->views)) &&
		    (!label || col->role == ROLE_LABEL))
			return col;
	return NULL;
}

static void check_metric(const struct monitor *m, const struct metric *metric)
{
	const struct column *col = find_column(m, metric, metric->at, false);

	if (!col)
		fail_msg("%s: %s has no column", m->name, metric->name);
	assert_true(is_name(metric->name));
	assert_true(metric->help && metric->help[strlen(metric->help) - 1] == '.');
	assert_null(strpbrk(metric->help, "\\\n\""));
	assert_true(metric->views);
	/* Base units: a time is in seconds, and says so. */
	if (col->type == COL_NSEC || col->type == COL_TIMES || metric->scale == SCALE_NSEC)
		assert_non_null(strstr(metric->name, "_seconds"));
	if (metric->scale == SCALE_PAGES)
		assert_non_null(strstr(metric->name, "_bytes"));
	assert_int_equal(metric->type == METRIC_HISTOGRAM, col->type == COL_TIMES);
	if (metric->type == METRIC_COUNTER && !metric->key)
		assert_int_equal(col->role, ROLE_COUNTER);
	if (metric->key)
		assert_int_equal(col->type, COL_OBJECT);
	assert_null(strstr(metric->name, "_total"));
	for (size_t i = 0; i < MAX_METRIC_LABELS && metric->labels[i].name; i++) {
		col = find_column(m, metric, metric->labels[i].at, true);
		if (!col)
			fail_msg("%s: %s: label %s has no column", m->name, metric->name,
				 metric->labels[i].name);
		assert_true(is_name(metric->labels[i].name));
		/* What names a thread or a process piles up. */
		assert_null(strstr(metric->labels[i].name, "pid"));
		assert_null(strstr(metric->labels[i].name, "tid"));
		assert_string_not_equal(metric->labels[i].name, "comm");
	}
}

/* Rows of one family have one type, one help text, and never the same labels. */
static void check_twins(const struct metric *a, const struct metric *b)
{
	if (strcmp(a->name, b->name) != 0)
		return;
	assert_int_equal(a->type, b->type);
	assert_string_equal(a->help, b->help);
	assert_true(a->constant && b->constant && strcmp(a->constant, b->constant) != 0);
}

static void test_monitors(void **state)
{
	size_t nr = 0;

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct metric *a = monitors[i]->metrics, *b;

		for (; a && a->name; a++, nr++) {
			check_metric(monitors[i], a);
			for (size_t j = i; j < nr_monitors; j++)
				for (b = j == i ? a + 1 : monitors[j]->metrics; b && b->name; b++)
					check_twins(a, b);
		}
	}
	assert_true(nr > 50);
}

/* All monitors at once find room, at each level. */
static void test_all_monitors(void **state)
{
	struct chosen all[MAX_MONITORS];

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++)
		all[i] = (struct chosen){ .monitor = monitors[i] };
	for (int by = METRICS_AUTO; by <= METRICS_BY_VCPU; by++) {
		struct metrics *m = metrics__new(&(struct metrics_options){
			.by = by, .limit = 50000, .chosen = all, .nr_chosen = nr_monitors });
		struct buf buf = {};

		assert_non_null(m);
		metrics__begin(m, 4);
		assert_true(metrics__render(m, TEXT_OPENMETRICS, &buf));
		assert_string_equal(buf.data, "# EOF\n");
		metrics__free(m);
		buf__free(&buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),	      cmocka_unit_test(test_totals_are_no_growth),
		cmocka_unit_test(test_vms_end),	      cmocka_unit_test(test_short_lives),
		cmocka_unit_test(test_remainders),    cmocka_unit_test(test_same_names),
		cmocka_unit_test(test_restart),	      cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_folding),	      cmocka_unit_test(test_many_vms),
		cmocka_unit_test(test_late_families), cmocka_unit_test(test_levels),
		cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_own),
		cmocka_unit_test(test_golden),	      cmocka_unit_test(test_monitors),
		cmocka_unit_test(test_all_monitors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
