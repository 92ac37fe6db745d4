// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traces and folded stacks. A trace is read by a walker of its own, which knows nothing of the
 * encoder, and compared as text with tests/golden; UPDATE_GOLDEN=1 writes that anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../core/monitor.h"
#include "../../monitors/monitors.h"
#include "../../output/format.h"
#include "../../output/frames.h"
#include "../../output/protobuf.h"

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden"
#endif

#define SECOND 1000000000ULL
#define REAL_OFFSET 1703980800000000000LL

/* Files */

static char *load(const char *name, char path[4096])
{
	const char *dir = getenv("GOLDEN_DIR");
	char *text = calloc(1, 1 << 20);
	FILE *file;

	snprintf(path, 4096, "%s/%s", dir ? dir : GOLDEN_DIR, name);
	file = fopen(path, "re");
	assert_non_null(text);
	if (file) {
		assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
		fclose(file);
	}
	return text;
}

static void compare(const char *name, const char *text)
{
	char path[4096], *expected = load(name, path);

	if (getenv("UPDATE_GOLDEN")) {
		FILE *file = fopen(path, "we");

		assert_non_null(file);
		assert_int_equal(fputs(text, file) >= 0, 1);
		assert_int_equal(fclose(file), 0);
	} else {
		assert_string_equal(text, expected);
	}
	free(expected);
}

static char *render(enum format format, void (*write_rows)(struct output *), size_t *len)
{
	char *text = NULL;
	FILE *stream = open_memstream(&text, len);
	struct output *out = output__new(format, stream, 0);

	assert_non_null(out);
	output__set_clock(out, REAL_OFFSET);
	write_rows(out);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	fclose(stream);
	return text;
}

/* The walker. A message is a table of its fields; what is in none fails. */

enum kind { NUMBER, SIGNED, HEX, REAL, TEXT, MESSAGE };

struct field {
	unsigned int number;
	const char *name;
	enum kind kind;
	const struct field *fields;
};

static const struct field clock_fields[] = { { 1, "clock_id", NUMBER },
					     { 2, "timestamp", NUMBER },
					     {} };
static const struct field snapshot_fields[] = { { 1, "clocks", MESSAGE, clock_fields },
						{ 2, "primary_trace_clock", NUMBER },
						{} };
/* A note may hold others. */
static const struct field note_fields[] = {
	{ 1, "name_iid", NUMBER },
	{ 2, "bool_value", NUMBER },
	{ 3, "uint_value", NUMBER },
	{ 4, "int_value", SIGNED },
	{ 5, "double_value", REAL },
	{ 6, "string_value", TEXT },
	{ 7, "pointer_value", HEX },
	{ 10, "name", TEXT },
	{ 11, "dict_entries", MESSAGE, note_fields },
	{ 12, "array_values", MESSAGE, note_fields },
	{},
};
static const struct field event_fields[] = {
	{ 4, "debug_annotations", MESSAGE, note_fields },
	{ 9, "type", NUMBER },
	{ 11, "track_uuid", NUMBER },
	{ 22, "categories", TEXT },
	{ 23, "name", TEXT },
	{ 44, "double_counter_value", REAL },
	{},
};
static const struct field name_fields[] = { { 1, "iid", NUMBER }, { 2, "name", TEXT }, {} };
static const struct field interned_fields[] = {
	{ 3, "debug_annotation_names", MESSAGE, name_fields }, {}
};
static const struct field counter_fields[] = { { 6, "unit_name", TEXT }, {} };
static const struct field track_fields[] = {
	{ 1, "uuid", NUMBER },
	{ 2, "name", TEXT },
	{ 5, "parent_uuid", NUMBER },
	{ 8, "counter", MESSAGE, counter_fields },
	{},
};
static const struct field defaults_fields[] = { { 58, "timestamp_clock_id", NUMBER }, {} };
static const struct field packet_fields[] = {
	{ 6, "clock_snapshot", MESSAGE, snapshot_fields },
	{ 8, "timestamp", NUMBER },
	{ 10, "trusted_packet_sequence_id", NUMBER },
	{ 11, "track_event", MESSAGE, event_fields },
	{ 12, "interned_data", MESSAGE, interned_fields },
	{ 13, "sequence_flags", NUMBER },
	{ 59, "trace_packet_defaults", MESSAGE, defaults_fields },
	{ 60, "track_descriptor", MESSAGE, track_fields },
	{},
};
static const struct field trace_fields[] = { { 1, "packet", MESSAGE, packet_fields }, {} };

static uint64_t read_varint(const unsigned char **p, const unsigned char *end)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		assert_true(*p < end);
		value |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80))
			return value;
	}
	fail_msg("a number of more than ten bytes");
	return 0;
}

static void write_number(FILE *to, const struct field *field, uint64_t value)
{
	if (field->kind == HEX)
		fprintf(to, " %s=%#" PRIx64, field->name, value);
	else if (field->kind == SIGNED)
		fprintf(to, " %s=%" PRId64, field->name, (int64_t)value);
	else
		fprintf(to, " %s=%" PRIu64, field->name, value);
}

static void walk(FILE *to, const struct field *fields, const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;

	while (p < end) {
		uint64_t tag = read_varint(&p, end), value;
		const struct field *field = fields;
		double real;

		while (field->name && field->number != tag >> 3)
			field++;
		if (!field->name)
			fail_msg("field %u is in no table", (unsigned int)(tag >> 3));
		if (field->kind == REAL) {
			assert_int_equal(tag & 7, 1);
			assert_true(end - p >= 8);
			memcpy(&real, p, sizeof(real));
			fprintf(to, " %s=%g", field->name, real);
			p += 8;
		} else if (field->kind == TEXT || field->kind == MESSAGE) {
			assert_int_equal(tag & 7, 2);
			value = read_varint(&p, end);
			assert_true(value <= (size_t)(end - p));
			if (field->kind == TEXT) {
				fprintf(to, " %s=\"%.*s\"", field->name, (int)value, p);
			} else {
				fprintf(to, " %s {", field->name);
				walk(to, field->fields, p, value);
				fprintf(to, " }");
			}
			p += value;
		} else {
			assert_int_equal(tag & 7, 0);
			write_number(to, field, read_varint(&p, end));
		}
		if (fields == trace_fields)
			fputc('\n', to);
	}
}

static char *decode(const char *trace, size_t len)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	walk(to, trace_fields, (const unsigned char *)trace, len);
	fclose(to);
	return text;
}

/* As strstr(), which measures the text each time where there are sanitizers. */
static const char *find(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; *text; text++)
		if (*text == *word && !strncmp(text, word, len))
			return text;
	return NULL;
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (; (text = find(text, word)); text++)
		n++;
	return n;
}

/* The encoder */

static void test_encoder(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX };
	struct buf buf = {};
	size_t begin, inner;
	char long_text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		const unsigned char *p;

		buf__reset(&buf);
		proto__number(&buf, 60, numbers[i]);
		p = (const unsigned char *)buf.data;
		assert_int_equal(read_varint(&p, p + buf.len), 60 << 3);
		assert_true(read_varint(&p, p + buf.len) == numbers[i]);
		assert_ptr_equal(p, buf.data + buf.len);
	}
	/* 150 is 96 01, as the format's description has it. */
	buf__reset(&buf);
	proto__number(&buf, 1, 150);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "\x08\x96\x01", 3);
	buf__reset(&buf);
	proto__double(&buf, 1, 1.0);
	assert_memory_equal(buf.data, "\x09\0\0\0\0\0\0\xf0\x3f", 9);
	/* Lengths of one byte and of two, one in the other. */
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	buf__reset(&buf);
	begin = proto__begin(&buf, 1);
	inner = proto__begin(&buf, 2);
	proto__string(&buf, 3, long_text);
	proto__end(&buf, inner);
	proto__number(&buf, 4, 7);
	proto__end(&buf, begin);
	assert_int_equal(buf.len, 299 + 3 + 3 + 2 + 3);
	assert_memory_equal(buf.data, "\x0a\xb3\x02\x12\xae\x02\x1a\xab\x02xxx", 12);
	assert_memory_equal(buf.data + buf.len - 3, "x\x20\x07", 3);
	buf__free(&buf);
}

/* Rows */

struct call_row {
	struct row row;
	const char *comm, *name, *error;
	uint64_t arg, duration_ns, rest_ns, count, total_ns, min_ns, failed;
	int64_t ret;
	double part;
	uint8_t fast;
	struct json_object *decoded;
	const char *const *flags;
};

enum { CALLS, EVENTS, MOMENTS };

static const struct view views[] = {
	{ .title = "CALLS", .name = "CALLS", .per_vcpu = true, .samples = 1 },
	{ .title = "CALL", .name = "CALL", .per_vcpu = true },
	{ .title = "MOMENT", .name = "MOMENT" },
	{},
};

#define COL(...) COLUMN(struct call_row, __VA_ARGS__)
#define IN_CALLS .views = 1 << CALLS
#define IN_EVENTS .views = (1 << EVENTS | 1 << MOMENTS)
#define IN_EVENT .views = 1 << EVENTS

static const struct column columns[] = {
	COL(comm, "COMM", COL_STRING, ROLE_LABEL, IN_EVENTS, .flags = COL_NAME),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .flags = COL_FRAME),
	COL(arg, "ARG", COL_HEX, ROLE_LABEL, IN_EVENT, .flags = COL_FRAME),
	COL(min_ns, "MIN", COL_NSEC, ROLE_GAUGE, IN_CALLS, .flags = COL_WORSE),
	COL(duration_ns, "TIME", COL_NSEC, ROLE_GAUGE, IN_EVENT),
	COL(rest_ns, "REST", COL_NSEC, ROLE_GAUGE, IN_EVENT),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, IN_CALLS),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, IN_CALLS, .flags = COL_COST),
	COL(failed, "FAILED", COL_U64, ROLE_COUNTER, IN_CALLS),
	COL(ret, "RET", COL_S64, ROLE_LABEL, IN_EVENTS),
	COL(error, NULL, COL_STRING, ROLE_LABEL, IN_EVENTS, .flags = COL_DATA_ONLY),
	COL(part, "PART%", COL_PERCENT, ROLE_GAUGE, IN_EVENT),
	COL(fast, "FAST", COL_BOOL, ROLE_LABEL, IN_EVENT),
	COL(decoded, "ARGUMENT", COL_OBJECT, ROLE_LABEL, IN_EVENT, .flags = COL_BIG_HEX),
	COL(flags, "FLAGS", COL_STRINGS, ROLE_LABEL, IN_EVENT),
	{},
};

static struct section section_of(unsigned int view, enum scope scope)
{
	return (struct section){ "calls", columns, &views[view], 1U << view, scope };
}

static struct call_row call(const char *vm, uint64_t vm_nr, uint32_t vcpu, uint64_t end_ns,
			    uint64_t ns)
{
	static const char *const two_flags[] = { "a", "b;c", NULL };

	return (struct call_row){
		.row = { end_ns, vm, NULL, 4200 + vm_nr, 4300 + vcpu, vcpu, vm_nr },
		.comm = "CPU 0/KVM",
		.name = "KVM_RUN",
		.arg = 0xec,
		.duration_ns = ns,
		.rest_ns = UINT64_MAX,
		.ret = -11,
		.error = "EAGAIN",
		.part = 12.5,
		.fast = true,
		.flags = two_flags,
	};
}

static void put(struct output *out, const struct call_row *row)
{
	output__row(out, &row->row, 0);
}

/* Slices in each other and apart, moments, names that are hostile, absent cells. */
static void write_events(struct output *out)
{
	struct section section = section_of(EVENTS, SCOPE_EVENT);
	struct call_row row = call("web", 1, 0, 5 * SECOND, 1000);

	output__begin(out, &section);
	row.decoded = json_tokener_parse("{\"slot\":-1,\"gpa\":18446744071562067968,\"routes\":[{"
					 "\"part\":0.5},true,null],\"none\":{}}");
	put(out, &row);
	json_object_put(row.decoded);
	/* It ends where the next one begins; one that overlaps both; one that has no time. */
	row = call("web", 1, 0, 5 * SECOND + 500, 500);
	row.part = NAN;
	row.fast = BOOL_ABSENT;
	row.flags = NULL;
	row.error = NULL;
	row.ret = INT64_MIN;
	put(out, &row);
	row = call("web", 1, 0, 5 * SECOND + 600, 900);
	put(out, &row);
	row = call("web", 1, 0, 5 * SECOND + 700, UINT64_MAX);
	put(out, &row);
	/* No vCPU's: of the VM. */
	row = call("we\033[31mb\xff", 2, UINT32_MAX, 5 * SECOND + 800, 0);
	row.name = NULL;
	row.arg = UINT64_MAX;
	put(out, &row);
	output__end(out);
	section = section_of(MOMENTS, SCOPE_EVENT);
	output__begin(out, &section);
	row = call("web", 1, 0, 5 * SECOND + 900, 1000);
	put(out, &row);
	output__end(out);
}

static void write_interval(struct output *out, uint64_t since_ns, uint64_t now_ns,
			   const uint64_t counts[2])
{
	struct section section = section_of(CALLS, SCOPE_INTERVAL);
	struct call_row row;

	section.since_ns = since_ns;
	section.now_ns = now_ns;
	output__begin_window(out, SCOPE_INTERVAL, since_ns, now_ns);
	output__begin(out, &section);
	for (uint32_t vcpu = 0; vcpu < 2; vcpu++) {
		row = call("web", 1, vcpu, now_ns, 0);
		row.count = counts[vcpu];
		row.total_ns = counts[vcpu] * SECOND / 100;
		row.failed = 3;
		if (counts[vcpu])
			put(out, &row);
		/* Of people's tables. */
		output__row(out, &row.row, ROW_DERIVED);
	}
	output__end(out);
	output__end_window(out);
}

/* One goes on, one falls to nothing, then nothing is known of a while, then the run ends. */
static void write_counters(struct output *out)
{
	write_interval(out, 1 * SECOND, 3 * SECOND, (const uint64_t[2]){ 20, 10 });
	write_interval(out, 3 * SECOND, 5 * SECOND, (const uint64_t[2]){ 40, 0 });
	output__set_clock(out, REAL_OFFSET + (int64_t)SECOND);
	write_interval(out, 9 * SECOND, 10 * SECOND, (const uint64_t[2]){ 0, 5 });
	output__begin_window(out, SCOPE_TOTAL, 1 * SECOND, 10 * SECOND);
	output__end_window(out);
}

static void test_trace(void **state)
{
	size_t len;
	char *trace, *text;

	(void)state;
	trace = render(FORMAT_PERFETTO, write_events, &len);
	text = decode(trace, len);
	compare("events.trace.txt", text);
	/* Five have a begin and an end, but for the one without a time, and the moment. */
	assert_int_equal(count(text, " type=1 "), 4);
	assert_int_equal(count(text, " type=2 "), 4);
	assert_int_equal(count(text, " type=3 "), 2);
	free(text);
	free(trace);
	trace = render(FORMAT_PERFETTO, write_counters, &len);
	text = decode(trace, len);
	compare("counters.trace.txt", text);
	free(text);
	free(trace);
}

enum { MANY_VMS = 12000, MANY_SERIES = 5000, KEPT = 3000 };

/* VMs that come and go; slices that all overlap, in the order of their lengths as --keep has it. */
static void write_many(struct output *out)
{
	struct section section = section_of(EVENTS, SCOPE_EVENT);
	struct call_row row;

	output__begin(out, &section);
	for (int i = 0; i < MANY_VMS; i++) {
		row = call("vm", i + 1, 0, SECOND + i, 10);
		put(out, &row);
	}
	for (int i = 0; i < KEPT; i++) {
		row = call("kept", MANY_VMS + 1, 0, 2 * SECOND, KEPT - i);
		put(out, &row);
	}
	output__end(out);
}

/* Twice: in the second interval other ones, of a VM that has ended the first ones. */
static void write_many_series(struct output *out)
{
	struct section section = section_of(CALLS, SCOPE_INTERVAL);
	struct call_row row;
	char name[32];

	for (int window = 1; window < 4; window++) {
		output__begin_window(out, SCOPE_INTERVAL, window * SECOND, (window + 1) * SECOND);
		output__begin(out, &section);
		for (int i = 0; i < MANY_SERIES; i++) {
			row = call("web", window, 0, SECOND, 0);
			snprintf(name, sizeof(name), "call %d", i);
			row.name = name;
			row.count = 1;
			put(out, &row);
		}
		output__end(out);
		output__end_window(out);
	}
}

static void test_bounds(void **state)
{
	const char *at;
	char *trace, *text;
	double sum = 0;
	size_t len;

	(void)state;
	trace = render(FORMAT_PERFETTO, write_many, &len);
	text = decode(trace, len);
	/* More than 1024 at a time have no lane: they are moments. */
	assert_int_equal(count(text, " type=1 "), MANY_VMS + 1024);
	assert_int_equal(count(text, " type=2 "), MANY_VMS + 1024);
	assert_int_equal(count(text, " type=3 "), KEPT - 1024);
	free(text);
	free(trace);

	trace = render(FORMAT_PERFETTO, write_many_series, &len);
	text = decode(trace, len);
	/* Those that have no track of their own have one together: of 5000, 4096 have one. */
	assert_true(count(text, "(others) count") >= 1);
	assert_non_null(find(text, "double_counter_value=904 "));
	for (at = text; (at = find(at, "double_counter_value=")); at++) {
		char number[32];

		snprintf(number, sizeof(number), "%.31s", at + strlen("double_counter_value="));
		sum += strtod(number, NULL);
	}
	assert_true(sum == 3.0 * MANY_SERIES);
	free(text);
	free(trace);
}

/* Folded */

struct load_row {
	struct row row;
	const char *reason, *detail, *class;
	uint8_t halt;
	uint64_t total_ns, guest_ns, kvm_ns, vmm_ns, halted_ns, steal_ns, count;
};

enum { LOAD, KVM, USER, DETAIL, AGAIN };

static const struct view load_views[] = {
	{ .title = "LOAD", .name = "LOAD", .per_vcpu = true },
	{ .title = "KVM",
	  .name = "KVM",
	  .per_vcpu = true,
	  .state = "kvm",
	  .idle = "halted",
	  .holds = "vmm" },
	{ .title = "USER", .name = "USER", .per_vcpu = true, .state = "vmm" },
	{ .title = "DETAIL",
	  .name = "DETAIL",
	  .per_vcpu = true,
	  .state = "kvm",
	  .idle = "halted",
	  .holds = "vmm" },
	{ .title = "AGAIN", .name = "AGAIN", .per_vcpu = true, .again = true },
	{},
};

#undef COL
#define COL(...) COLUMN(struct load_row, __VA_ARGS__)
#define OF_LOAD .views = (1 << LOAD | 1 << AGAIN)
#define OF_EXITS .views = (1 << KVM | 1 << USER | 1 << DETAIL)

static const struct column load_columns[] = {
	COL(guest_ns, NULL, COL_NSEC, ROLE_COUNTER, OF_LOAD, .flags = COL_STACK),
	COL(kvm_ns, NULL, COL_NSEC, ROLE_COUNTER, OF_LOAD, .flags = COL_STACK),
	COL(vmm_ns, NULL, COL_NSEC, ROLE_COUNTER, OF_LOAD, .flags = COL_STACK),
	COL(halted_ns, NULL, COL_NSEC, ROLE_COUNTER, OF_LOAD, .flags = COL_STACK),
	COL(steal_ns, NULL, COL_NSEC, ROLE_COUNTER, OF_LOAD, .flags = COL_STACK),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, OF_LOAD),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, OF_EXITS, .flags = COL_FRAME),
	COL(reason, "REASON", COL_STRING, ROLE_LABEL, OF_EXITS, .flags = COL_FRAME),
	COL(halt, NULL, COL_BOOL, ROLE_LABEL, OF_EXITS, .flags = COL_KEY_ONLY | COL_IDLE),
	COL(class, NULL, COL_STRING, ROLE_LABEL, OF_EXITS, .flags = COL_CLASS),
	COL(detail, "DETAIL", COL_STRING, ROLE_LABEL, .views = 1 << DETAIL, .flags = COL_FRAME),
	{},
};

static void begin(struct output *out, unsigned int view, enum scope scope)
{
	const struct section section = {
		"load", load_columns, &load_views[view], 1U << view, scope,
	};

	output__begin(out, &section);
}

static struct load_row of_vcpu(const char *vm, uint64_t vm_nr, uint32_t vcpu)
{
	return (struct load_row){
		.row = { SECOND, vm, NULL, 4200 + vm_nr, 4300 + vcpu, vcpu, vm_nr },
	};
}

static void put_exit(struct output *out, uint32_t vcpu, const char *reason, const char *class,
		     const char *detail, uint64_t ns)
{
	struct load_row row = of_vcpu("web", 1, vcpu);

	row.reason = reason;
	row.class = class;
	row.detail = detail;
	row.halt = !strcmp(reason, "hlt");
	row.total_ns = ns;
	output__row(out, &row.row, 0);
}

/* io: 500, of which the VMM has 300 in two rows; hlt: 9000; and a signal's time in the VMM. */
static void put_exits(struct output *out, uint32_t vcpu)
{
	begin(out, KVM, SCOPE_TOTAL);
	put_exit(out, vcpu, "io", "io", NULL, 500);
	put_exit(out, vcpu, "hlt", "idle", NULL, 9000);
	put_exit(out, vcpu, "a;b\nc", "irq", NULL, 100);
	output__row(out, &(struct load_row){ .total_ns = 9600 }.row, ROW_DERIVED);
	output__end(out);
	begin(out, USER, SCOPE_TOTAL);
	put_exit(out, vcpu, "IO", "io", NULL, 200);
	put_exit(out, vcpu, "FAST_IO", "io", NULL, 100);
	put_exit(out, vcpu, "SIGNAL", "signal", NULL, 50);
	output__end(out);
}

static void put_load(struct output *out, const char *vm, uint64_t vm_nr, uint32_t vcpu,
		     uint64_t kvm_ns, uint64_t vmm_ns)
{
	struct load_row row = of_vcpu(vm, vm_nr, vcpu);

	row.guest_ns = 7000;
	row.kvm_ns = kvm_ns;
	row.vmm_ns = vmm_ns;
	row.halted_ns = 8500;
	row.count = 77;
	begin(out, LOAD, SCOPE_TOTAL);
	output__row(out, &row.row, 0);
	output__end(out);
}

static void write_folded(struct output *out)
{
	struct load_row row = of_vcpu("web", 1, 0);

	/* Intervals and events are none of it. */
	output__begin_window(out, SCOPE_INTERVAL, 0, SECOND);
	begin(out, LOAD, SCOPE_INTERVAL);
	row.kvm_ns = 1;
	output__row(out, &row.row, 0);
	output__end(out);
	output__end_window(out);
	output__begin_window(out, SCOPE_TOTAL, 0, SECOND);
	/* vCPU 0: exits alone. 1: a budget with more than they have. 2: with less. 3: no exits. */
	put_exits(out, 0);
	put_load(out, "web", 1, 1, 1000, 400);
	put_exits(out, 1);
	put_load(out, "web", 1, 2, 125, 35);
	put_exits(out, 2);
	put_load(out, "web", 1, 3, 125, 0);
	/* A VM of the same name. */
	put_load(out, "web", 2, 0, 10, UINT64_MAX);
	/* The finer table counts alone. */
	begin(out, KVM, SCOPE_TOTAL);
	put_exit(out, 4, "io", "io", NULL, 500);
	output__end(out);
	begin(out, DETAIL, SCOPE_TOTAL);
	put_exit(out, 4, "io", "io", "out 0x3f8", 300);
	put_exit(out, 4, "io", "io", "in 0x608", 200);
	output__end(out);
	output__end_window(out);
}

/* Of each vCPU the sum is that of the budget, or of the exits. */
static uint64_t sum_of(const char *text, const char *owner)
{
	uint64_t sum = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *number = strchr(line, '\n');

		if (strncmp(line, owner, strlen(owner)))
			continue;
		while (number[-1] != ' ')
			number--;
		sum += strtoull(number, NULL, 10);
	}
	return sum;
}

static void test_folded(void **state)
{
	size_t len;
	char *text = render(FORMAT_FOLDED, write_folded, &len);

	(void)state;
	compare("run.folded", text);
	assert_int_equal(sum_of(text, "web (4201);vcpu 0;"), 9600);
	assert_int_equal(sum_of(text, "web (4201);vcpu 1;"), 7000 + 1000 + 400 + 8500);
	assert_int_equal(sum_of(text, "web (4201);vcpu 2;"), 7000 + 125 + 35 + 8500);
	assert_int_equal(sum_of(text, "web (4201);vcpu 4;"), 500);
	free(text);
}

/* The program's own tables */

/* What a slice lasts is what --slower-than compares. */
static void test_durations(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];
		unsigned int view = m->slow_view ?: m->event_view;
		const struct column *col;

		if (!m->event)
			continue;
		col = view__duration(m->columns, 1U << view);
		if (!m->event_ns_at) {
			assert_null(col);
			continue;
		}
		if (!col || col->offset != m->event_ns_at)
			fail_msg("%s: slices last %s", m->name, col ? col->name : "no time");
	}
}

/* Tables that are of a state have a time and a frame; a state that is held is there. */
static void test_states(void **state)
{
	unsigned int found = 0;

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		for (unsigned int view = 0; m->views[view].title; view++) {
			const struct view *v = &m->views[view];
			bool held = !v->holds;

			found += format__has_rows(FORMAT_FOLDED, m->columns, v, 1U << view);
			if (!v->state)
				continue;
			assert_true(format__has_rows(FORMAT_FOLDED, m->columns, v, 1U << view));
			for (const struct view *other = m->views; other->title; other++)
				held |= other->state && v->holds && !strcmp(other->state, v->holds);
			assert_true(held);
		}
	}
	assert_int_equal(found, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encoder),	  cmocka_unit_test(test_trace),
		cmocka_unit_test(test_bounds),	  cmocka_unit_test(test_folded),
		cmocka_unit_test(test_durations), cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
