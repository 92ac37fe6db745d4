// SPDX-License-Identifier: GPL-2.0-only
/*
 * --format=html: what is measured is in the page's data, its size is bounded however much that is,
 * and a name ends no element.
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

#include "../../output/html.h"
#include "../../output/output.h"

/* Rows are of the end of 2023. */
#define REAL_OFFSET 1703980800000000000LL
#define HOSTILE "</script><img src=x onerror=alert(1)>"

enum { NSEC_PER_SEC = 1000000000 };

struct load_row {
	struct row row;
	uint64_t guest_ns, kvm_ns, vmm_ns, poll_ns, halted_ns, blocked_ns, rest_ns;
	uint64_t steal_ns, count;
	uint32_t code;
	const char *reason;
	struct json_object *time_buckets;
};

#define COL(...) COLUMN(struct load_row, __VA_ARGS__)
#define STACKED .views = IN_LOAD, .flags = COL_DATA_ONLY | COL_STACK

static const struct view views[] = {
	{ .title = "LOAD", .name = "LOAD", .per_vcpu = true },
	{ .title = "CALLS", .name = "CALLS", .per_vcpu = true },
	{ .title = "EVENTS", .name = "EVENTS", .per_vcpu = true },
	{},
};

static const struct view histogram_view = {
	.title = "HISTOGRAM OF CALLS",
	.name = "CALLS_HISTOGRAM",
	.part_of = "CALLS",
};

enum { IN_LOAD = 1, IN_CALLS = 2, IN_EVENTS = 4, IN_HISTOGRAM = 1 << 9 };

static const struct column columns[] = {
	COL(guest_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(kvm_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(poll_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(halted_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(blocked_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(rest_ns, NULL, COL_NSEC, ROLE_COUNTER, STACKED),
	COL(steal_ns, "TIME", COL_NSEC, ROLE_COUNTER, .views = IN_LOAD | IN_EVENTS,
	    .flags = COL_STACK | COL_COST),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .views = IN_CALLS, .flags = COL_COST),
	COL(code, NULL, COL_U32, ROLE_LABEL, .views = IN_CALLS, .flags = COL_DATA_ONLY),
	COL(reason, "REASON", COL_STRING, ROLE_LABEL, .views = IN_CALLS | IN_HISTOGRAM),
	{},
};

static const struct column histogram_columns[] = {
	COL(reason, "REASON", COL_STRING, ROLE_LABEL),
	COL(time_buckets, NULL, COL_OBJECT, ROLE_COUNTER, .flags = COL_DATA_ONLY | COL_BUCKETS),
	{},
};

struct writer {
	struct output *out;
	char *text;
	size_t len;
	FILE *stream;
};

static void begin_page(struct writer *w)
{
	w->stream = open_memstream(&w->text, &w->len);
	assert_non_null(w->stream);
	w->out = output__new(FORMAT_HTML, w->stream, 0);
	assert_non_null(w->out);
	output__set_clock(w->out, REAL_OFFSET);
}

/* The data of the page, which the caller puts. */
static struct json_object *end_page(struct writer *w)
{
	static const char before[] = "<script type=\"application/json\" id=\"data\">";
	struct json_object *data;
	char *from, *to;

	assert_int_equal(output__finish(w->out), 0);
	output__free(w->out);
	fclose(w->stream);
	assert_true(w->len <= HTML_LIMIT);
	from = strstr(w->text, before);
	assert_non_null(from);
	from += strlen(before);
	to = strstr(from, "</script>");
	assert_non_null(to);
	*to = '\0';
	assert_null(strchr(from, '<'));
	data = json_tokener_parse(from);
	assert_non_null(data);
	*to = '<';
	return data;
}

static struct json_object *get(struct json_object *obj, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(obj, key, &value));
	return value;
}

static struct json_object *table_of(struct json_object *data, const char *name)
{
	struct json_object *tables = get(data, "tables");

	for (size_t i = 0; i < json_object_array_length(tables); i++) {
		struct json_object *table = json_object_array_get_idx(tables, i);

		if (!strcmp(json_object_get_string(get(table, "table")), name))
			return table;
	}
	fail_msg("there is no table %s", name);
	return NULL;
}

static size_t count_groups(struct json_object *table, const char *by)
{
	struct json_object *groups = get(table, "groups");
	size_t nr = 0;

	for (size_t i = 0; i < json_object_array_length(groups); i++)
		nr += !strcmp(
			json_object_get_string(get(json_object_array_get_idx(groups, i), "by")),
			by);
	return nr;
}

/* The nr-th group by that. */
static struct json_object *group_of(struct json_object *table, const char *by, size_t nr)
{
	struct json_object *groups = get(table, "groups");

	for (size_t i = 0; i < json_object_array_length(groups); i++) {
		struct json_object *group = json_object_array_get_idx(groups, i);

		if (!strcmp(json_object_get_string(get(group, "by")), by) && !nr--)
			return group;
	}
	fail_msg("there are not so many groups by %s", by);
	return NULL;
}

static double sum_of(struct json_object *array)
{
	double sum = 0;

	for (size_t i = 0; i < json_object_array_length(array); i++)
		sum += json_object_get_double(json_object_array_get_idx(array, i));
	return sum;
}

static void assert_near(double a, double b, double share)
{
	if (a < b * (1 - share) || a > b * (1 + share))
		fail_msg("%f is not %f", a, b);
}

static void begin_section(struct writer *w, unsigned int view, enum scope scope, uint64_t since_ns,
			  uint64_t now_ns)
{
	const struct section section = {
		.monitor = "load",
		.columns = columns,
		.view = &views[view],
		.view_bit = 1U << view,
		.scope = scope,
		.since_ns = since_ns,
		.now_ns = now_ns,
	};

	output__begin(w->out, &section);
}

static void begin_histogram(struct writer *w, enum scope scope)
{
	const struct section section = {
		.monitor = "load",
		.columns = histogram_columns,
		.view = &histogram_view,
		.view_bit = IN_HISTOGRAM,
		.scope = scope,
	};

	output__begin(w->out, &section);
}

static struct load_row row_of(const char *vm, uint32_t nr, uint32_t vcpu)
{
	return (struct load_row){ .row = { .ts_ns = NSEC_PER_SEC,
					   .vm = vm,
					   .vm_id = NULL,
					   .pid = 1000 + nr,
					   .tid = 100000 + nr * 100 + vcpu,
					   .vcpu = vcpu,
					   .vm_nr = nr + 1 } };
}

static void begin_interval(struct writer *w, unsigned int i)
{
	output__begin_window(w->out, SCOPE_INTERVAL, (uint64_t)i * NSEC_PER_SEC,
			     (uint64_t)(i + 1) * NSEC_PER_SEC);
}

static void write_calls(struct writer *w, const char *reason, uint64_t count, enum scope scope)
{
	struct load_row row = row_of("web", 1, 0);

	row.count = count;
	row.reason = reason;
	begin_section(w, 1, scope, 0, NSEC_PER_SEC);
	output__row(w->out, &row.row, 0);
	output__end(w->out);
}

static void test_values(void **state)
{
	struct json_object *data, *table, *group, *values;
	struct writer w = {};

	(void)state;
	begin_page(&w);
	for (unsigned int i = 0; i < 3; i++) {
		begin_interval(&w, i);
		write_calls(&w, "IO", 10 + i, SCOPE_INTERVAL);
		if (i == 1)
			write_calls(&w, "MMIO", 100000007, SCOPE_INTERVAL);
		output__end_window(w.out);
	}
	output__begin_window(w.out, SCOPE_TOTAL, 0, 3ULL * NSEC_PER_SEC);
	write_calls(&w, "IO", 33, SCOPE_TOTAL);
	output__end_window(w.out);
	data = end_page(&w);
	table = table_of(data, "CALLS");
	group = group_of(table, "all", 0);
	assert_int_equal(json_object_get_int64(get(get(group, "sums"), "count")), 100000040);
	values = get(get(group, "values"), "count");
	assert_int_equal(json_object_array_length(values), 3);
	assert_int_equal(json_object_get_int64(json_object_array_get_idx(values, 0)), 10);
	assert_near(json_object_get_double(json_object_array_get_idx(values, 1)), 100000018, 1e-4);
	assert_int_equal(json_object_get_int64(json_object_array_get_idx(values, 2)), 12);
	/* The costliest first; the number beside its word tells nothing more. */
	group = group_of(table, "labels", 0);
	assert_string_equal(
		json_object_to_json_string_ext(get(group, "of"), JSON_C_TO_STRING_PLAIN),
		"{\"reason\":\"MMIO\"}");
	assert_int_equal(count_groups(table, "labels"), 2);
	assert_int_equal(count_groups(table, "vm"), 1);
	/* No table of times of vCPUs has them. */
	assert_int_equal(count_groups(table, "vcpu"), 0);
	assert_int_equal(json_object_array_length(get(table, "rows")), 1);
	assert_string_equal(
		json_object_to_json_string_ext(get(data, "moments"), JSON_C_TO_STRING_PLAIN),
		"[[1703980800000,1703980801000],[1703980801000,1703980802000],"
		"[1703980802000,1703980803000]]");
	json_object_put(data);
	free(w.text);
}

/* Neighbours become one: nothing is lost of sums and time. */
static void thin(unsigned int intervals, unsigned int each)
{
	struct json_object *data, *moments, *last, *group, *cells;
	uint64_t counted = 0;
	struct writer w = {};
	double expected = 0;

	begin_page(&w);
	for (unsigned int i = 0; i < intervals; i++) {
		struct load_row row = row_of("web", 1, 0);

		begin_interval(&w, i);
		write_calls(&w, "IO", i + 1, SCOPE_INTERVAL);
		row.reason = "IO";
		row.time_buckets = json_tokener_parse(i % 2 ? "[[5120,3]]" : "[[80,1],[6144,2]]");
		begin_histogram(&w, SCOPE_INTERVAL);
		output__row(w.out, &row.row, 0);
		output__end(w.out);
		json_object_put(row.time_buckets);
		output__end_window(w.out);
		expected += i + 1;
	}
	data = end_page(&w);
	moments = get(data, "moments");
	assert_int_equal(json_object_get_int(get(data, "intervals_each")), each);
	assert_int_equal(json_object_array_length(moments), (intervals + each - 1) / each);
	assert_true(json_object_array_length(moments) <= HTML_MOMENTS);
	last = json_object_array_get_idx(moments, json_object_array_length(moments) - 1);
	assert_int_equal(json_object_get_int64(json_object_array_get_idx(last, 1)),
			 REAL_OFFSET / 1000000 + 1000LL * intervals);
	for (size_t i = 1; i < json_object_array_length(moments); i++)
		assert_int_equal(json_object_get_int64(json_object_array_get_idx(
					 json_object_array_get_idx(moments, i), 0)),
				 json_object_get_int64(json_object_array_get_idx(
					 json_object_array_get_idx(moments, i - 1), 1)));
	group = group_of(table_of(data, "CALLS"), "all", 0);
	assert_true(json_object_get_double(get(get(group, "sums"), "count")) == expected);
	assert_near(sum_of(get(get(group, "values"), "count")), expected, 1e-4);
	/* Each histogram has three times; of a moment the lowest bucket is the second number. */
	cells = get(get(group, "heat"), "time_buckets");
	for (size_t i = 0; i < json_object_array_length(cells); i++) {
		struct json_object *cell = json_object_array_get_idx(cells, i);

		for (size_t j = 2; j < json_object_array_length(cell); j++)
			counted += json_object_get_int64(json_object_array_get_idx(cell, j));
	}
	assert_int_equal(counted, 3ULL * intervals);
	/* 80 ns is bucket 21: (4 + 21 % 4) << (21 / 4 - 1). */
	assert_int_equal(json_object_get_int(
				 json_object_array_get_idx(json_object_array_get_idx(cells, 0), 1)),
			 21);
	json_object_put(data);
	free(w.text);
}

static void test_thinned(void **state)
{
	(void)state;
	thin(1, 1);
	thin(HTML_MOMENTS - 1, 1);
	thin(HTML_MOMENTS, 1);
	thin(HTML_MOMENTS + 1, 2);
	thin(2 * HTML_MOMENTS + 1, 4);
	thin(5000, 16);
}

static void write_host(struct writer *w, unsigned int vms, unsigned int vcpus, unsigned int seed)
{
	static const size_t parts[] = {
		offsetof(struct load_row, guest_ns),  offsetof(struct load_row, kvm_ns),
		offsetof(struct load_row, vmm_ns),    offsetof(struct load_row, poll_ns),
		offsetof(struct load_row, halted_ns), offsetof(struct load_row, blocked_ns),
		offsetof(struct load_row, rest_ns),   offsetof(struct load_row, steal_ns),
	};
	char name[32];

	begin_section(w, 0, SCOPE_INTERVAL, 0, NSEC_PER_SEC);
	for (unsigned int vm = 0; vm < vms; vm++)
		for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++) {
			struct load_row row = row_of(name, vm, vcpu);

			snprintf(name, sizeof(name), "customer-%u", vm);
			for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
				*(uint64_t *)((char *)&row + parts[i]) =
					12345678 +
					(seed * 7919 + vm * 104729 + vcpu * 31 + i * 1237) *
						2654435761U % 90000000;
			output__row(w->out, &row.row, 0);
		}
	output__end(w->out);
}

/* 200 VMs of eight vCPUs for an hour, an interval every ten seconds. */
static void test_large(void **state)
{
	enum { VMS = 200, VCPUS = 8, INTERVALS = 360, REASONS = 40 };
	struct json_object *data, *table;
	struct writer w = {};
	char reason[32];

	(void)state;
	begin_page(&w);
	for (unsigned int i = 0; i < INTERVALS; i++) {
		begin_interval(&w, i);
		write_host(&w, VMS, VCPUS, i);
		for (unsigned int j = 0; j < REASONS; j++) {
			snprintf(reason, sizeof(reason), "a reason, of number %u", j);
			write_calls(&w, reason, 987654 + i * j, SCOPE_INTERVAL);
		}
		output__end_window(w.out);
	}
	data = end_page(&w);
	table = table_of(data, "LOAD");
	/* All VMs are there, and as many vCPUs as there is room for. */
	assert_int_equal(count_groups(table, "vm"), VMS);
	assert_in_range(count_groups(table, "vcpu"), 200, VMS * VCPUS - 1);
	/* The page is full. */
	assert_true(w.len > HTML_LIMIT - 20000);
	assert_int_equal(count_groups(table, "vcpu") +
				 json_object_get_int(get(get(table, "more_groups"), "vcpu")),
			 VMS * VCPUS);
	json_object_put(data);
	free(w.text);
}

/* More VMs than there are lines for: the costliest stay, and the sum of all is whole. */
static void test_many(void **state)
{
	enum { VMS = 400, MOST = 256, INTERVALS = 3 };
	struct json_object *data, *table;
	struct writer w = {};
	double sum;

	(void)state;
	begin_page(&w);
	for (unsigned int i = 0; i < INTERVALS; i++) {
		begin_interval(&w, i);
		begin_section(&w, 0, SCOPE_INTERVAL, 0, NSEC_PER_SEC);
		for (unsigned int vm = 0; vm < VMS; vm++) {
			char name[32];
			struct load_row row = row_of(name, vm, 0);

			snprintf(name, sizeof(name), "vm%u", vm);
			row.steal_ns = vm == 7 ? NSEC_PER_SEC : vm + 1;
			output__row(w.out, &row.row, 0);
		}
		output__end(w.out);
		output__end_window(w.out);
	}
	data = end_page(&w);
	table = table_of(data, "LOAD");
	assert_int_equal(count_groups(table, "vm"), MOST);
	assert_true(json_object_get_int(get(get(table, "more_groups"), "vm")) >= VMS - MOST);
	assert_string_equal(json_object_get_string(get(get(group_of(table, "vm", 0), "of"), "vm")),
			    "vm7");
	sum = json_object_get_double(get(get(group_of(table, "all", 0), "sums"), "steal_ns"));
	assert_true(sum == INTERVALS * (1e9 - 8 + VMS * (VMS + 1) * .5));
	json_object_put(data);
	free(w.text);
}

/* Totals: the first fifty, as they are ordered. Events: the longest. */
static void test_rows(void **state)
{
	enum { ROWS = 70, MOST = 50, AT = 8 /* behind the columns of all rows */ };
	struct json_object *data, *rows, *table;
	struct writer w = {};

	(void)state;
	begin_page(&w);
	for (unsigned int view = 1; view <= 2; view++) {
		begin_section(&w, view, view == 1 ? SCOPE_TOTAL : SCOPE_EVENT, 0, 0);
		for (unsigned int i = 0; i < ROWS; i++) {
			struct load_row row = row_of("web", 1, i);

			row.count = ROWS - i;
			row.steal_ns = (i * 37) % ROWS;
			output__row(w.out, &row.row, 0);
			output__row(w.out, &row.row, ROW_DERIVED);
		}
		output__end(w.out);
	}
	data = end_page(&w);
	for (unsigned int view = 1; view <= 2; view++) {
		table = table_of(data, views[view].name);
		rows = get(table, "rows");
		assert_int_equal(json_object_array_length(rows), MOST);
		assert_int_equal(json_object_get_int(get(table, "more_rows")), ROWS - MOST);
		for (unsigned int i = 0; i < MOST; i++)
			assert_int_equal(json_object_get_int(json_object_array_get_idx(
						 json_object_array_get_idx(rows, i), AT)),
					 view == 1 ? ROWS - i : ROWS - 1 - i);
	}
	json_object_put(data);
	free(w.text);
}

static size_t count_text(const char *text, const char *what)
{
	size_t nr = 0;

	for (; (text = strstr(text, what)); text++)
		nr++;
	return nr;
}

static void test_hostile(void **state)
{
	struct json_object *data, *vm, *table;
	size_t ends[2], images[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		const char *name = i ? HOSTILE "\xff\xe2\x80\xae<!--" : "web";
		struct load_row row = row_of(name, 1, 0);
		struct writer w = {};

		row.reason = name;
		row.count = 1;
		begin_page(&w);
		vm = json_object_new_object();
		json_object_object_add(vm, "scope", json_object_new_string("vm"));
		json_object_object_add(vm, "vm", json_object_new_string(name));
		output__object(w.out, vm);
		begin_interval(&w, 0);
		begin_section(&w, 1, SCOPE_INTERVAL, 0, NSEC_PER_SEC);
		output__row(w.out, &row.row, 0);
		output__end(w.out);
		output__end_window(w.out);
		begin_section(&w, 1, SCOPE_TOTAL, 0, NSEC_PER_SEC);
		output__row(w.out, &row.row, 0);
		output__end(w.out);
		data = end_page(&w);
		ends[i] = count_text(w.text, "</script");
		images[i] = count_text(w.text, "<img") + count_text(w.text, "<!--");
		table = table_of(data, "CALLS");
		assert_string_equal(
			json_object_get_string(get(get(group_of(table, "vm", 0), "of"), "vm")),
			i ? HOSTILE "\xef\xbf\xbd\xe2\x80\xae<!--" : "web");
		json_object_put(data);
		free(w.text);
	}
	assert_int_equal(ends[0], 3);
	assert_int_equal(ends[1], ends[0]);
	assert_int_equal(images[1], images[0]);
}

/* Names that take six times their room, of more VMs than there is room for. */
static void test_objects(void **state)
{
	enum { VMS = 3000 };
	char brackets[1000];
	struct json_object *data;
	struct writer w = {};
	size_t told;

	(void)state;
	memset(brackets, '<', sizeof(brackets));
	brackets[sizeof(brackets) - 1] = '\0';
	begin_page(&w);
	for (unsigned int i = 0; i < VMS; i++) {
		struct json_object *vm = json_object_new_object();

		json_object_object_add(vm, "scope", json_object_new_string("vm"));
		json_object_object_add(vm, "cgroup", json_object_new_string(brackets));
		output__object(w.out, vm);
	}
	for (unsigned int view = 1; view <= 2; view++) {
		begin_section(&w, view, SCOPE_TOTAL, 0, NSEC_PER_SEC);
		for (unsigned int i = 0; i < 100; i++) {
			struct load_row row = row_of(brackets, i, 0);

			output__row(w.out, &row.row, 0);
		}
		output__end(w.out);
	}
	data = end_page(&w);
	told = json_object_array_length(get(data, "vms"));
	assert_in_range(told, 50, 100);
	assert_int_equal(told + json_object_get_int(get(data, "more_vms")), VMS);
	assert_in_range(json_object_array_length(get(table_of(data, "CALLS"), "rows")), 5, 12);
	assert_true(w.len < 1000000);
	json_object_put(data);
	free(w.text);
}

/* Nothing was measured: it is a page all the same. */
static void test_empty(void **state)
{
	struct writer w = {};
	struct json_object *data;

	(void)state;
	begin_page(&w);
	data = end_page(&w);
	assert_int_equal(json_object_array_length(get(data, "moments")), 0);
	assert_non_null(strstr(w.text, "default-src 'none'"));
	assert_null(strstr(w.text, "unsafe-inline"));
	json_object_put(data);
	free(w.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	cmocka_unit_test(test_thinned),
		cmocka_unit_test(test_large),	cmocka_unit_test(test_many),
		cmocka_unit_test(test_rows),	cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_objects), cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
