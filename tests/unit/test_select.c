// SPDX-License-Identifier: GPL-2.0-only
/* core/select.c: which rows, of what, in which order and how many; output/cells.c below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/attach.h"
#include "../../core/histogram.h"
#include "../../core/monitor.h"
#include "../../core/samples.h"
#include "../../core/select.h"
#include "../../core/times.h"
#include "../../core/window.h"

struct thing_row {
	struct row row;
	const char *reason;
	uint32_t code;
	uint64_t address;
	bool halt;
	uint64_t place;
	uint64_t count;
	struct times time;
	uint64_t window;
	uint64_t total_ns, p50_ns, p99_ns;
	double share;
};

enum { VIEW_THINGS, VIEW_AGAIN, VIEW_OF_VMS, VIEW_EVENTS };

static const struct view views[] = {
	[VIEW_THINGS] = { .title = "THINGS", .per_vcpu = true, SAMPLES_OF(VIEW_THINGS) },
	[VIEW_AGAIN] = { .title = "AGAIN", .per_vcpu = true, SAMPLES_OF(VIEW_THINGS) },
	[VIEW_OF_VMS] = { .title = "OF VMS", SAMPLES_OF(VIEW_OF_VMS) },
	[VIEW_EVENTS] = { .title = "EVENTS", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct thing_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct thing_row, time, what)

static const struct column columns[] = {
	COL(reason, "REASON", COL_STRING, ROLE_LABEL),
	COL(code, "CODE", COL_U32, ROLE_LABEL),
	COL(address, "ADDR", COL_HEX, ROLE_LABEL),
	COL(halt, NULL, COL_BOOL, ROLE_LABEL, .flags = COL_DATA_ONLY),
	COL(place, NULL, COL_U64, ROLE_LABEL, .flags = COL_KEY_ONLY),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER),
	COL(time, "THINGS", COL_TIMES, ROLE_COUNTER, .flags = COL_COST),
	COL(window, "WINDOW", COL_NSEC, ROLE_GAUGE),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, TIME(TOTAL)),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, TIME(P50)),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, TIME(P99)),
	COL(share, "SHARE%", COL_PERCENT, ROLE_GAUGE, .views = 1 << VIEW_AGAIN,
	    .flags = COL_COMPUTED),
	{},
};

static bool in_sum(const struct row *row)
{
	return !((const struct thing_row *)row)->halt;
}

static const struct row_sum sum = {
	.label = "(sum)",
	.label_at = offsetof(struct thing_row, reason),
	.has = in_sum,
};

static const struct monitor things = {
	.name = "things",
	.views = views,
	.columns = columns,
	.row_size = sizeof(struct thing_row),
	.sum = &sum,
};

/* What is fed: a VM, its vCPU, and what took how long, so often. */
struct fed {
	uint32_t vm, vcpu;
	const char *reason;
	uint64_t ns, count;
	bool halt;
};

/* VM 1 costs 1700, VM 2 3300; halts cost nothing. */
static const struct fed fed[] = {
	{ 1, 0, "io", 100, 5 },	 { 1, 0, "hlt", 90000, 2, true }, { 1, 1, "io", 300, 3 },
	{ 1, 1, "msr", 100, 3 }, { 2, 0, "io", 1000, 1 },	  { 2, 1, "cpuid", 200, 4 },
	{ 2, 1, "io", 150, 10 },
};

enum { NR_FED = sizeof(fed) / sizeof(*fed), ALL_IO = 5 + 3 + 1 + 10 };

static struct samples *store;

static void add_times(struct times *t, uint64_t ns, uint64_t count)
{
	unsigned int bucket = 0;

	while (bucket + 1 < STAT_BUCKETS && stat_bucket__low(bucket + 1) <= ns)
		bucket++;
	t->hist[bucket] += count;
	t->count += count;
	t->total_ns += ns * count;
	times__extremes(t, ns, ns);
}

static struct thing_row row_of(const struct fed *f)
{
	struct thing_row row = {
		.row = { .vm = f->vm == 1 ? "db" : "web",
			 .vm_nr = f->vm,
			 .pid = 10 * f->vm,
			 .tid = 10 * f->vm + 1 + f->vcpu,
			 .vcpu = f->vcpu },
		.reason = f->reason,
		.address = 0xfee00000,
		.code = strlen(f->reason),
		.halt = f->halt,
		.place = f->vcpu,
	};

	times__init(&row.time);
	return row;
}

static int feed(void **state)
{
	(void)state;
	store = samples__new(columns, sizeof(struct thing_row), 1, KEEP_VMS_OF_RUN);
	assert_non_null(store);
	for (int i = 0; i < NR_FED; i++) {
		struct thing_row row = row_of(&fed[i]);
		struct source *source = samples__open(store, VIEW_THINGS, &row.row);

		assert_non_null(source);
		add_times(&row.time, fed[i].ns, fed[i].count);
		row.count = fed[i].count;
		row.window = 100 + fed[i].vm;
		samples__take(store, source, &row.row);
		samples__close(store, source);
	}
	return 0;
}

static int unfeed(void **state)
{
	(void)state;
	samples__free(store);
	return 0;
}

static struct select opened(const struct selection *sel)
{
	struct sample *list;
	struct select s;
	size_t nr;

	assert_int_equal(samples__read(store, 0, VIEW_THINGS, SCOPE_TOTAL, &list, &nr), 0);
	assert_int_equal(nr, NR_FED);
	assert_int_equal(select__open(&s, sel, &things, store, VIEW_THINGS, list, nr), 0);
	return s;
}

static struct select selected(const struct selection *sel, unsigned int lines)
{
	struct select s = opened(sel);

	assert_int_equal(select__order(&s, lines), 0);
	return s;
}

static struct selection with(enum group_by by, const char *where)
{
	struct selection sel = { .by = by };

	if (where)
		assert_true(condition__parse(&sel.where[sel.nr_where++], where));
	return sel;
}

/* "web/1:io web/1:cpuid", what there is none of as "-". */
static void check_rows(const struct select *s, const char *expected)
{
	char text[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < s->nr; i++) {
		const struct thing_row *row = (const struct thing_row *)s->list[i].row;

		used += snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
				 row->row.vm ? row->row.vm : "-");
		if (row->row.vcpu != UINT32_MAX)
			used += snprintf(text + used, sizeof(text) - used, "/%u", row->row.vcpu);
		used += snprintf(text + used, sizeof(text) - used, ":%s", row->reason);
	}
	assert_string_equal(text, expected);
}

static void check(const struct selection *sel, const char *expected)
{
	struct select s = selected(sel, 0);

	check_rows(&s, expected);
	select__free(&s);
}

/* By VM, then vCPU, then row; halts cost nothing. */
static void test_cost(void **state)
{
	(void)state;
	check(&everything, "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr db/0:io db/0:hlt");
}

/* Rows that cost the same are in the same order, however they come. */
static void test_ties(void **state)
{
	struct thing_row rows[3] = {};
	struct sample *list = calloc(3, sizeof(*list));
	const uint32_t vcpus[] = { 2, 0, 1 };
	struct select s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		rows[i].row = (struct row){ .vm = "vm", .pid = 7, .vcpu = vcpus[i] };
		rows[i].reason = "io";
		list[i] = (struct sample){ .row = &rows[i].row, .run = &rows[i].row };
	}
	assert_int_equal(select__open(&s, &everything, &things, store, VIEW_THINGS, list, 3), 0);
	assert_int_equal(select__order(&s, 0), 0);
	check_rows(&s, "vm/0:io vm/1:io vm/2:io");
	select__free(&s);
}

static const struct thing_row *find_row(const struct select *s, const char *vm, const char *reason)
{
	for (size_t i = 0; i < s->nr; i++) {
		const struct thing_row *row = (const struct thing_row *)s->list[i].row;

		if (!strcmp(row->row.vm ? row->row.vm : "-", vm) && !strcmp(row->reason, reason))
			return row;
	}
	fail_msg("no row %s:%s", vm, reason);
	return NULL;
}

static void test_by_vm(void **state)
{
	const struct selection sel = with(BY_VM, NULL);
	struct select s = selected(&sel, 0);
	const struct thing_row *row = find_row(&s, "db", "io");

	(void)state;
	check_rows(&s, "web:io web:cpuid db:io db:msr db:hlt");
	assert_int_equal(row->count, 8);
	assert_int_equal(row->total_ns, 5 * 100 + 3 * 300);
	assert_int_equal(row->row.pid, 10);
	assert_int_equal(row->row.tid, UINT32_MAX);
	/* Both have the same. */
	assert_int_equal(row->window, 101);
	for (size_t i = 0; i < s.nr; i++)
		assert_int_equal(s.list[i].nr_vcpus, 2);
	select__free(&s);
}

/* Percentiles are those of all that the rows are merged of, and not a mean of theirs. */
static void test_by_host(void **state)
{
	const struct selection sel = with(BY_HOST, NULL);
	struct select s = selected(&sel, 0);
	const struct thing_row *row = find_row(&s, "-", "io");
	struct times all;

	(void)state;
	check_rows(&s, "-:io -:cpuid -:msr -:hlt");
	times__init(&all);
	for (int i = 0; i < NR_FED; i++)
		if (!strcmp(fed[i].reason, "io"))
			add_times(&all, fed[i].ns, fed[i].count);
	assert_int_equal(row->count, ALL_IO);
	assert_int_equal(row->total_ns, all.total_ns);
	assert_int_equal(row->p50_ns, times__percentile(&all, 50));
	assert_int_equal(row->p99_ns, times__percentile(&all, 99));
	assert_int_equal(row->row.pid, UINT32_MAX);
	assert_null(row->row.vm);
	/* The two VMs have different ones. */
	assert_int_equal(row->window, UINT64_MAX);
	assert_int_equal(s.list[0].nr_parts, 4);
	assert_int_equal(s.list[0].nr_vcpus, 4);
	assert_int_equal(((const struct thing_row *)s.list[0].run)->count, ALL_IO);
	select__free(&s);
}

static void test_sort(void **state)
{
	struct selection sel = { .sort = "count" };

	(void)state;
	check(&sel, "web/1:io db/0:io web/1:cpuid db/1:io db/1:msr db/0:hlt web/0:io");
	sel.inverted = true;
	check(&sel, "web/0:io db/0:hlt db/1:io db/1:msr web/1:cpuid db/0:io web/1:io");
	/* By the title; labels from the first one on. */
	sel = (struct selection){ .sort = "Reason" };
	check(&sel, "web/1:cpuid db/0:hlt db/0:io db/1:io web/0:io web/1:io db/1:msr");
	sel = (struct selection){ .sort = "vcpu", .by = BY_HOST };
	check(&sel, "-:cpuid -:hlt -:io -:msr");
	/* Of another table: as ever. */
	sel = (struct selection){ .sort = "nothing" };
	check(&sel, "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr db/0:io db/0:hlt");
}

static void check_top(const struct selection *sel, unsigned int lines, const char *expected,
		      const char *more)
{
	struct select s = selected(sel, lines);
	char text[64];

	check_rows(&s, expected);
	assert_int_equal(s.nr_all, sel->by == BY_HOST ? 4 : sel->by == BY_VM ? 5 : NR_FED);
	if (more)
		assert_string_equal(select__more(&s, text, sizeof(text)), more);
	else
		assert_null(select__more(&s, text, sizeof(text)));
	select__free(&s);
}

static void test_top(void **state)
{
	struct selection sel = { .top = 2 };

	(void)state;
	/* The vCPUs that cost most: VMs stay together. */
	check_top(&sel, 0, "web/1:io web/1:cpuid db/1:io db/1:msr", "\u2026 and 2 more vCPUs");
	sel.top = 3;
	check_top(&sel, 1, "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr",
		  "\u2026 and 1 more vCPU");
	sel.top = 4;
	check_top(&sel, 1, "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr db/0:io db/0:hlt", NULL);
	sel = (struct selection){ .top = 1, .by = BY_VM };
	check_top(&sel, 0, "web:io web:cpuid", "\u2026 and 1 more VM");
	sel = (struct selection){ .top = 1, .by = BY_HOST };
	check_top(&sel, 0, "-:io", "\u2026 and 3 more rows");
	sel = (struct selection){ .top = 1, .sort = "count" };
	check_top(&sel, 0, "web/1:io", "\u2026 and 6 more rows");
}

/* As many as there is room for, but three; a line over several rows counts as well. */
static void test_fits(void **state)
{
	static const char all[] = "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr db/0:io db/0:hlt";

	(void)state;
	check_top(&everything, 10, all, NULL);
	check_top(&everything, 9, "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr",
		  "\u2026 and 1 more vCPU");
	check_top(&everything, 1, "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr",
		  "\u2026 and 1 more vCPU");
}

static void check_where(enum group_by by, const char *where, const char *expected)
{
	const struct selection sel = with(by, where);

	check(&sel, expected);
}

static void test_where(void **state)
{
	struct selection sel = with(BY_VCPU, "reason=io");

	(void)state;
	check_where(BY_VCPU, "reason=[ch]*", "web/1:cpuid db/0:hlt");
	check_where(BY_VCPU, "REASON!=io", "web/1:cpuid db/1:msr db/0:hlt");
	check_where(BY_VCPU, "vm=web", "web/1:io web/1:cpuid web/0:io");
	check_where(BY_VCPU, "pid=1?", "db/1:io db/1:msr db/0:io db/0:hlt");
	check_where(BY_VCPU, "vcpu=0", "web/0:io db/0:io db/0:hlt");
	check_where(BY_VCPU, "halt=true", "db/0:hlt");
	check_where(BY_VCPU, "halt=yes", "db/0:hlt");
	/* Both as JSON and as tables have it. */
	check_where(BY_VCPU, "addr=0xfee*",
		    "web/1:io web/1:cpuid web/0:io db/1:io db/1:msr "
		    "db/0:io db/0:hlt");
	check_where(BY_VCPU, "addr!=4276092928", "");
	check_where(BY_VCPU, "count>4", "web/1:io db/0:io");
	check_where(BY_VCPU, "count<=1", "web/0:io");
	check_where(BY_VCPU, "total_ns>=1us", "web/1:io web/0:io db/0:hlt");
	/* Labels before they are dropped, values of what is shown. */
	check_where(BY_HOST, "vcpu=0", "-:io -:hlt");
	check_where(BY_HOST, "count>=19", "-:io");
	check_where(BY_VM, "count>7", "web:io db:io");
	/* No column of this view. */
	check_where(BY_HOST, "other=1", "-:io -:cpuid -:msr -:hlt");
	assert_true(condition__parse(&sel.where[sel.nr_where++], "count>3"));
	check(&sel, "web/1:io db/0:io");
}

static void test_conditions(void **state)
{
	static const char *const wrong[] = { "",	"reason",   "=io",	 "count>",
					     "count>x", "count>5m", "count<5,3", "reason!io" };
	struct condition c;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(condition__parse(&c, wrong[i]));
	assert_true(condition__parse(&c, "a=b=c"));
	assert_int_equal(c.len, 1);
	assert_string_equal(c.value, "b=c");
	assert_true(condition__parse(&c, "a>=1.5ms"));
	assert_int_equal(c.op, OP_GREATER_EQUAL);
	assert_true(c.number == 1.5e6);
	assert_true(condition__parse(&c, "reason="));
}

static void test_absent(void **state)
{
	struct thing_row row = { .row = { .vcpu = UINT32_MAX }, .count = UINT64_MAX };
	struct selection sel = with(BY_VCPU, "vm=*");

	(void)state;
	assert_false(selection__has(&sel, columns, 1, &row.row));
	sel = with(BY_VCPU, "vcpu=-");
	assert_true(selection__has(&sel, columns, 1, &row.row));
	sel = with(BY_VCPU, "count>0");
	assert_false(selection__has(&sel, columns, 1, &row.row));
	row.count = 1;
	assert_true(selection__has(&sel, columns, 1, &row.row));
}

static void test_wrong_columns(void **state)
{
	const struct chosen chosen = { .monitor = &things };
	struct selection sel = with(BY_VCPU, "reason=x");
	char text[512];

	(void)state;
	sel.sort = "P99";
	assert_false(selection__is_wrong(&sel, &chosen, 1, text, sizeof(text)));
	sel.sort = "place";
	assert_true(selection__is_wrong(&sel, &chosen, 1, text, sizeof(text)));
	assert_non_null(
		strstr(text, "--sort: \"place\" is not a column; choose from ts_ns, time, "));
	assert_non_null(strstr(text, ", reason, code, address, halt, count, window, total_ns, "
				     "p50_ns, p99_ns, share"));
	assert_null(strstr(text, "place,"));
	sel = with(BY_VCPU, "place=x");
	assert_true(selection__is_wrong(&sel, &chosen, 1, text, sizeof(text)));
}

static char *histogram_text(enum format format, const struct selection *sel)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	struct output *out = output__new(format, stream, 0);
	const struct window window = {
		.out = out,
		.selection = sel,
		.scope = SCOPE_TOTAL,
		.now_ns = 1000000000,
	};
	struct attachment at = { .monitor = &things };
	struct select s = selected(sel, 0);

	histogram__write(&at, VIEW_THINGS, &s, &window);
	select__free(&s);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	histogram__free(&at);
	fclose(stream);
	return text;
}

static void test_histogram(void **state)
{
	struct selection sel = with(BY_HOST, "reason=io");
	char *text;

	(void)state;
	sel.histogram = true;
	text = histogram_text(FORMAT_TABLE, &sel);
	/* 5 of 100 ns, 10 of 150, 3 of 300 and one of 1000. */
	assert_non_null(strstr(text, "HISTOGRAM OF THINGS (whole run, 1.0 s, times in ms)\n"));
	assert_null(strstr(text, "PID"));
	assert_null(strstr(text, "VCPU"));
	assert_non_null(strstr(text, "##############################\n"));
	assert_non_null(strstr(text, "      10  52.6  ##############################\n"));
	assert_non_null(strstr(text, "       1   5.3  ###\n"));
	free(text);
	text = histogram_text(FORMAT_JSON, &sel);
	assert_non_null(
		strstr(text, "\"vm\":null,\"vm_id\":null,\"pid\":null,\"tid\":null,\"vcpu\":null"));
	assert_non_null(strstr(text, "\"reason\":\"io\",\"code\":2,\"address\":4276092928,"
				     "\"halt\":false,\"time_buckets\":[["));
	assert_non_null(strstr(text, ",1]]}\n"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	/* Where people see one anyway it is no data. */
	sel.histogram = false;
	text = histogram_text(FORMAT_JSON, &sel);
	assert_string_equal(text, "");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cost),	      cmocka_unit_test(test_ties),
		cmocka_unit_test(test_by_vm),	      cmocka_unit_test(test_by_host),
		cmocka_unit_test(test_sort),	      cmocka_unit_test(test_top),
		cmocka_unit_test(test_fits),	      cmocka_unit_test(test_where),
		cmocka_unit_test(test_conditions),    cmocka_unit_test(test_absent),
		cmocka_unit_test(test_wrong_columns), cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, feed, unfeed);
}
