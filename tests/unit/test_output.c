/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every format against tests/golden. After a change that is meant,
 * UPDATE_GOLDEN=1 writes the files anew: read the difference before it goes in.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../output/output.h"

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden"
#endif

/* Rows are of the end of 2023. */
#define REAL_OFFSET 1703980800000000000LL

struct exit_row {
	struct row row;
	const char *kind;
	const char *reason;
	uint32_t reason_code;
	uint64_t count, total_ns, max_ns, min_ns, avg_ns, p50_ns, p99_ns, gpa;
	double share, rate;
	bool fast;
	const char *const *flags;
};

static const struct view exit_views[] = {
	{ "KVM_EXIT", "KVM_EXIT", .per_vcpu = true },
	{ "KVM_USERSPACE_EXIT", "KVM_USERSPACE_EXIT", .per_vcpu = false },
	{},
};

static const struct column exit_columns[] = {
	COLUMN(struct exit_row, kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY),
	COLUMN(struct exit_row, total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER),
	COLUMN(struct exit_row, max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD),
	COLUMN(struct exit_row, min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_FIRST),
	COLUMN(struct exit_row, count, "COUNT", COL_U64, ROLE_COUNTER, .width = 8),
	COLUMN(struct exit_row, avg_ns, "AVG", COL_NSEC, ROLE_GAUGE, .flags = COL_TABLE_ONLY),
	COLUMN(struct exit_row, p50_ns, "P50", COL_NSEC, ROLE_GAUGE, .views = 1),
	COLUMN(struct exit_row, p99_ns, "P99", COL_NSEC, ROLE_GAUGE, .views = 1),
	COLUMN(struct exit_row, share, "SHARE%", COL_PERCENT, ROLE_GAUGE, .views = 1),
	COLUMN(struct exit_row, rate, "RATE", COL_DOUBLE, ROLE_GAUGE, .flags = COL_WIDE),
	COLUMN(struct exit_row, reason_code, NULL, COL_U32, ROLE_LABEL, .flags = COL_DATA_ONLY),
	COLUMN(struct exit_row, reason, "REASON", COL_STRING, ROLE_LABEL),
	COLUMN(struct exit_row, fast, "FAST", COL_BOOL, ROLE_GAUGE, .views = 2),
	COLUMN(struct exit_row, gpa, "GPA", COL_HEX, ROLE_GAUGE, .views = 2),
	COLUMN(struct exit_row, flags, "FLAGS", COL_STRINGS, ROLE_LABEL, .views = 2),
	{},
};

static const char *const two_flags[] = { "user,space", "write\"", NULL };
static const char *const no_flags[] = { NULL };

static struct exit_row vcpu_row(const char *vm, uint32_t pid, uint32_t vcpu, const char *reason,
				uint64_t count)
{
	return (struct exit_row){
		.row = { 123456789012345, vm, "4242.100.1", pid, pid + 1 + vcpu, vcpu },
		.kind = "kvm",
		.reason = reason,
		.reason_code = 0x7b,
		.count = count,
		.total_ns = count * 12345,
		.max_ns = 123456789,
		.min_ns = 987,
		.avg_ns = 12345,
		.p50_ns = 1500,
		.p99_ns = 99999999,
		.share = 12.34567,
		.rate = count / 3.0,
		.fast = true,
		.gpa = 0xfee00000,
		.flags = two_flags,
	};
}

static void write_kvm(struct output *out, enum scope scope)
{
	struct section section = {
		"vm_exit", exit_columns, &exit_views[0], 1, scope, 0, 2000000000
	};
	struct exit_row row;

	output__begin(out, &section);
	row = vcpu_row("web", 4242, 0, "npf", 23);
	output__row(out, &row.row, 0);
	row = vcpu_row("web", 4242, 0, "hlt", 1000003);
	output__row(out, &row.row, 0);
	row = vcpu_row("web", 4242, 0, "(all but halts)", 1000026);
	row.reason_code = UINT32_MAX;
	row.p50_ns = UINT64_MAX;
	row.share = NAN;
	output__row(out, &row.row, ROW_DERIVED);
	row = vcpu_row("web", 4242, 1, "UNKNOWN(0x403)", UINT64_MAX - 1);
	row.total_ns = 98765432109876;
	output__row(out, &row.row, 0);
	row = vcpu_row("db", 4300, 0, "io", 7);
	row.row.tid = 4243;
	output__row(out, &row.row, 0);
	output__end(out);
}

static void write_user(struct output *out, enum scope scope)
{
	struct section section = {
		"vm_exit", exit_columns, &exit_views[1], 2, scope, 0, 250000000
	};
	struct exit_row row;

	output__begin(out, &section);
	row = vcpu_row("a \"quoted\", name", 4242, 0, "IO", 3);
	row.kind = "userspace";
	output__row(out, &row.row, 0);
	row = vcpu_row("two\r\nlines\033[31m", 4300, 0, "MMIO", 5);
	row.flags = no_flags;
	row.fast = false;
	output__row(out, &row.row, 0);
	row = vcpu_row("bad\xff\xc3(\xed\xa0\x80 n\xc3\xa4me \xe2\x80\xae", 4301, 0, NULL, 0);
	row.kind = NULL;
	row.flags = NULL;
	row.reason_code = UINT32_MAX;
	row.count = row.total_ns = row.max_ns = row.min_ns = row.avg_ns = row.gpa = UINT64_MAX;
	row.rate = INFINITY;
	output__row(out, &row.row, 0);
	row = vcpu_row(NULL, 4302, 0, "a reason of so many words that it has to be cut somewhere",
		       1);
	row.rate = 2;
	output__row(out, &row.row, 0);
	output__end(out);
}

static void write_both(struct output *out)
{
	write_kvm(out, SCOPE_INTERVAL);
	write_user(out, SCOPE_TOTAL);
}

enum { AT_NS = 1000000000 };

/* 07:13:20 on 1 January 2026, in the time zone of these tests, an hour before. */
static const int64_t real_ns = 1767251600000000000 - AT_NS;

/* As a run of two intervals, of which the second is empty, with its total. */
static void write_windows(struct output *out)
{
	static const struct section empty = { "vm_exit", exit_columns, &exit_views[1], 2,
					      SCOPE_INTERVAL };
	static const struct section quiet = { "vm_exit", exit_columns, &exit_views[0], 1,
					      SCOPE_INTERVAL };

	output__set_clock(out, real_ns);
	output__begin_window(out, SCOPE_INTERVAL, AT_NS, 3 * (uint64_t)AT_NS);
	write_kvm(out, SCOPE_INTERVAL);
	output__begin(out, &empty);
	output__end(out);
	output__end_window(out);
	output__begin_window(out, SCOPE_INTERVAL, 3 * (uint64_t)AT_NS, 3.25 * AT_NS);
	output__begin(out, &quiet);
	output__end(out);
	output__begin(out, &empty);
	output__end(out);
	output__end_window(out);
	output__begin_window(out, SCOPE_TOTAL, AT_NS, 3.25 * AT_NS);
	write_kvm(out, SCOPE_TOTAL);
	write_user(out, SCOPE_TOTAL);
	output__end_window(out);
}

struct timer_row {
	struct row row;
	uint64_t delay_ns, deadline_ns;
	const char *mode;
};

static const struct view timer_views[] = { { "KVM_TIMER", "KVM_TIMER", .per_vcpu = true }, {} };

static const struct column timer_columns[] = {
	COLUMN(struct timer_row, delay_ns, "DELAY", COL_NSEC, ROLE_GAUGE, .flags = COL_USEC),
	COLUMN(struct timer_row, deadline_ns, "DEADLINE", COL_NSEC, ROLE_GAUGE, .width = 12),
	COLUMN(struct timer_row, mode, "MODE", COL_STRING, ROLE_LABEL, .flags = COL_ONCE,
	       .width = 6),
	{},
};

static const struct section timer_events = {
	"kvm_timer", timer_columns, &timer_views[0], 1, SCOPE_EVENT, 0,
};

static void write_events(struct output *out)
{
	struct timer_row row = {
		.row = { 5000001234, "web", "4242.100.1", 4242, 4243, 0 },
		.delay_ns = 1234,
		.mode = "hv",
	};
	int i;

	output__begin(out, &timer_events);
	for (i = 0; i < 60; i++) {
		row.row.ts_ns += 1000000;
		row.deadline_ns = i * 777777ull;
		row.mode = i == 55 ? "a longer one" : "hv";
		/* Beginning anew goes on below the header that is there. */
		if (i == 30)
			output__end(out);
		if (i == 30)
			output__begin(out, &timer_events);
		output__row(out, &row.row, 0);
	}
	output__end(out);
}

static void write_two_monitors(struct output *out)
{
	struct section empty = { "vm_exit", exit_columns, &exit_views[0], 1, SCOPE_INTERVAL,
				 0,	    2000000000 };
	struct timer_row row = {
		.row = { 1, "web", "4242.100.1", 4242, 4243, 0 },
		.delay_ns = 0,
		.deadline_ns = 5,
		.mode = "sw",
	};

	output__begin(out, &empty);
	output__end(out);
	output__begin(out, &timer_events);
	output__row(out, &row.row, 0);
	output__end(out);
	write_kvm(out, SCOPE_INTERVAL);
	output__begin(out, &timer_events);
	output__row(out, &row.row, 0);
	output__end(out);
}

struct call_row {
	struct row row;
	int64_t ret;
	struct json_object *errors, *decoded;
};

static const struct view call_views[] = { { "KVM_IOCTL", "KVM_IOCTL_CALLS", .per_vcpu = true },
					  {} };

static const struct column call_columns[] = {
	COLUMN(struct call_row, ret, "RET", COL_S64, ROLE_GAUGE),
	COLUMN(struct call_row, errors, "ERRORS", COL_OBJECT, ROLE_COUNTER),
	COLUMN(struct call_row, decoded, "ARGUMENT", COL_OBJECT, ROLE_LABEL,
	       .flags = COL_REST | COL_BIG_HEX),
	{},
};

static const struct section call_events = {
	"kvm_ioctl", call_columns, &call_views[0], 1, SCOPE_EVENT, 0,
};

static void write_call(struct output *out, int64_t ret, const char *errors, const char *decoded)
{
	struct call_row row = {
		.row = { 5000001234, "web", "4242.100.1", 4242, 4243, 0 },
		.ret = ret,
		.errors = errors ? json_tokener_parse(errors) : NULL,
		.decoded = decoded ? json_tokener_parse(decoded) : NULL,
	};

	output__row(out, &row.row, 0);
	json_object_put(row.errors);
	json_object_put(row.decoded);
}

/* Counts stay decimal, addresses do not; what is nested, empty or absent. */
static void write_calls(struct output *out)
{
	output__begin(out, &call_events);
	write_call(out, 0, "{\"EINVAL\":70000,\"EEXIST\":2}", "{\"slot\":1,\"gpa\":4294967296}");
	write_call(out, -22, "{}",
		   "{\"routes\":[{\"gsi\":65535},{\"gsi\":65536}],\"name\":\"a, b\"}");
	write_call(out, INT64_MIN, NULL, NULL);
	write_call(out, INT64_MAX, "[1,2]", "{\"flags\":\"\\u001b[31m\"}");
	output__end(out);
}

static char *render(enum format format, int width, void (*write_rows)(struct output *), size_t *len)
{
	struct output *out;
	char *text = NULL;
	FILE *stream;

	stream = open_memstream(&text, len);
	assert_non_null(stream);
	out = output__new(format, stream, width);
	assert_non_null(out);
	output__set_clock(out, REAL_OFFSET);
	write_rows(out);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	fclose(stream);
	return text;
}

static void save(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static char *load(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 65536);

	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void compare(const char *name, enum format format, int width,
		    void (*write_rows)(struct output *))
{
	const char *dir = getenv("GOLDEN_DIR");
	char *text, *expected, path[4096];
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : GOLDEN_DIR, name);
	text = render(format, width, write_rows, &len);
	if (getenv("UPDATE_GOLDEN"))
		save(path, text, len);
	expected = load(path);
	assert_string_equal(text, expected);
	free(expected);
	free(text);
}

static void test_table(void **state)
{
	(void)state;
	compare("views.table", FORMAT_TABLE, 0, write_both);
	compare("windows.table", FORMAT_TABLE, 0, write_windows);
	compare("windows-80.table", FORMAT_TABLE, 80, write_windows);
	compare("views-60.table", FORMAT_TABLE, 60, write_both);
	compare("views-160.table", FORMAT_TABLE, 160, write_both);
	compare("events.table", FORMAT_TABLE, 0, write_events);
	compare("events-40.table", FORMAT_TABLE, 40, write_events);
	compare("two-monitors.table", FORMAT_TABLE, 0, write_two_monitors);
	compare("calls.table", FORMAT_TABLE, 0, write_calls);
}

static void test_json(void **state)
{
	(void)state;
	compare("views.json", FORMAT_JSON, 0, write_both);
	compare("two-monitors.json", FORMAT_JSON, 80, write_two_monitors);
	compare("calls.json", FORMAT_JSON, 0, write_calls);
}

static void test_csv(void **state)
{
	(void)state;
	compare("views.csv", FORMAT_CSV, 0, write_both);
	compare("two-monitors.csv", FORMAT_CSV, 80, write_two_monitors);
	compare("calls.csv", FORMAT_CSV, 0, write_calls);
}

static int columns_of(const char *line, size_t len)
{
	int n = 0, escape = 0;

	for (; len--; line++) {
		if (*line == '\033')
			escape = 1;
		else if (!escape)
			n += (*line & 0xc0) != 0x80;
		else if (*line == 'm')
			escape = 0;
	}
	return n;
}

static void check_width(int width, int most, void (*write_rows)(struct output *))
{
	char *text, *line, *end;
	size_t len;

	text = render(FORMAT_TABLE, width, write_rows, &len);
	for (line = text; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_true(columns_of(line, end - line) <= most);
		assert_true(end == line || end[-1] != ' ');
		assert_true(width || !memchr(line, '\033', end - line));
	}
	free(text);
}

/* Whatever the width: no line is longer, and no escape codes go into a pipe. */
static void test_width(void **state)
{
	int width;

	(void)state;
	check_width(0, 100, write_both);
	check_width(0, 100, write_events);
	for (width = 1; width < 200; width += 3) {
		check_width(width, width, write_both);
		check_width(width, width, write_events);
	}
}

static struct json_object *parse_line(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *obj;

	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	obj = json_tokener_parse_ex(tok, text, len);
	assert_int_equal(json_tokener_get_error(tok), json_tokener_success);
	json_tokener_free(tok);
	return obj;
}

static void write_any_byte(struct output *out)
{
	struct section section = { "vm_exit", exit_columns, &exit_views[1], 2, SCOPE_TOTAL,
				   0,	      1000000000 };
	struct exit_row row;
	char name[3] = "";
	int c;

	output__begin(out, &section);
	for (c = 1; c < 256; c++) {
		name[0] = name[1] = c;
		row = vcpu_row(name, 1, 0, "x", UINT64_MAX - 1);
		output__row(out, &row.row, 0);
	}
	output__end(out);
}

static void test_json_always_parses(void **state)
{
	struct json_object *obj, *value;
	char *text, *line, *end;
	int lines = 0;
	size_t len;

	(void)state;
	text = render(FORMAT_JSON, 0, write_any_byte, &len);
	for (line = text; *line; line = end + 1, lines++) {
		end = strchr(line, '\n');
		obj = parse_line(line, end - line);
		assert_true(json_object_object_get_ex(obj, "count", &value));
		assert_true(json_object_get_uint64(value) == UINT64_MAX - 1);
		assert_true(json_object_object_get_ex(obj, "vm", &value));
		/* The row is that of character lines + 1; what is no ASCII is no UTF-8 either. */
		if (lines + 1 < 0x80)
			assert_string_equal(json_object_get_string(value),
					    ((char[3]){ lines + 1, lines + 1 }));
		else
			assert_string_equal(json_object_get_string(value),
					    "\xef\xbf\xbd\xef\xbf\xbd");
		json_object_put(obj);
	}
	assert_int_equal(lines, 255);
	free(text);
}

/* Terminals obey control characters, C1 in UTF-8 included. */
static void test_table_has_no_controls(void **state)
{
	size_t len, i;
	char *text;

	(void)state;
	text = render(FORMAT_TABLE, 0, write_any_byte, &len);
	for (i = 0; i < len; i++)
		assert_true(text[i] == '\n' || ((unsigned char)text[i] >= ' ' && text[i] != 0x7f));
	free(text);
}

static void write_object(struct output *out)
{
	struct json_object *obj = json_object_new_object();

	json_object_object_add(obj, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(obj, "vm", json_object_new_string("/\xff"));
	output__object(out, obj);
}

static void test_object(void **state)
{
	size_t len;
	char *text;

	(void)state;
	text = render(FORMAT_JSON, 0, write_object, &len);
	assert_string_equal(text, "{\"monitor\":\"kvm_watcher\",\"vm\":\"/\xef\xbf\xbd\"}\n");
	free(text);
	text = render(FORMAT_TABLE, 0, write_object, &len);
	assert_string_equal(text, "");
	free(text);
	text = render(FORMAT_CSV, 0, write_object, &len);
	assert_string_equal(text, "");
	free(text);
}

static void check_error(enum format format, FILE *stream, int expected)
{
	struct output *out = output__new(format, stream, 0);
	int i;

	assert_non_null(out);
	for (i = 0; i < 200; i++)
		write_both(out);
	write_events(out);
	assert_int_equal(output__flush(out), expected);
	errno = 0;
	assert_int_equal(output__flush(out), expected);
	output__free(out);
	fclose(stream);
}

static void test_errors_are_kept(void **state)
{
	static const enum format formats[] = { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };
	int fds[2];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(pipe(fds), 0);
		close(fds[0]);
		check_error(formats[i], fdopen(fds[1], "w"), EPIPE);
		check_error(formats[i], fopen("/dev/full", "w"), ENOSPC);
	}
}

/* A batch of events is one write, and none of them waits for the next batch. */
static void test_events_are_flushed(void **state)
{
	enum { EVENTS = 20, SIZE = 1 << 14 };
	struct timer_row row = { .row = { 1, "web", "1.100.1", 1, 2, 0 }, .mode = "hv" };
	static char buffer[SIZE], text[SIZE];
	unsigned int rows = 0;
	struct output *out;
	FILE *stream;
	int fds[2];

	(void)state;
	/* O_DIRECT: what is written at once is read at once, and no more. */
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_DIRECT), 0);
	stream = fdopen(fds[1], "w");
	setvbuf(stream, buffer, _IOFBF, sizeof(buffer));
	out = output__new(FORMAT_TABLE, stream, 0);
	output__begin(out, &timer_events);
	for (int i = 0; i < EVENTS; i++)
		output__row(out, &row.row, 0);
	output__end(out);
	assert_true(read(fds[0], text, sizeof(text) - 1) < 0);
	assert_int_equal(output__flush(out), 0);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		rows++;
	assert_true(rows >= EVENTS);
	output__free(out);
	fclose(stream);
	close(fds[0]);
}

static void check_time(int64_t real_ns, const char *zone, const char *expected)
{
	char text[OUTPUT_TIME_LEN];

	setenv("TZ", zone, 1);
	tzset();
	output__write_time(text, real_ns);
	assert_string_equal(text, expected);
}

static void test_time(void **state)
{
	(void)state;
	check_time(0, "UTC0", "1970-01-01T00:00:00.000+00:00");
	check_time(1703980799999999999, "UTC0", "2023-12-30T23:59:59.999+00:00");
	check_time(1703980800000000000, "XXX-05:45", "2023-12-31T05:45:00.000+05:45");
	check_time(1703980800007000000, "XXX+11", "2023-12-30T13:00:00.007-11:00");
	setenv("TZ", "XYZ-1", 1);
	tzset();
}

/* The second is looked up once, and anew when the clock is set. */
static void write_seconds(struct output *out)
{
	static const uint64_t ts_ns[] = { 999999999, 1000000000, 1999000000, 5000000 };
	struct timer_row row = { .row = { 0, "web", NULL, 1, 2, 0 } };

	output__begin(out, &timer_events);
	for (size_t i = 0; i < 4; i++) {
		row.row.ts_ns = ts_ns[i];
		output__row(out, &row.row, 0);
	}
	output__set_clock(out, REAL_OFFSET + 60000000000LL);
	output__row(out, &row.row, 0);
	output__end(out);
}

static void test_time_of_rows(void **state)
{
	static const char *const times[] = { "01:00:00.999", "01:00:01.000", "01:00:01.999",
					     "01:00:00.005", "01:01:00.005" };
	size_t len, i = 0;
	char *text = render(FORMAT_JSON, 0, write_seconds, &len);

	(void)state;
	for (char *p = text; (p = strstr(p, "\"time\":\"")); p++, i++) {
		assert_true(i < 5);
		assert_memory_equal(p + 8, "2023-12-31T", 11);
		assert_memory_equal(p + 19, times[i], 12);
		assert_memory_equal(p + 31, "+01:00\"", 7);
	}
	assert_int_equal(i, 5);
	free(text);
}

/* Without the host's clock there is no time. */
static void test_no_clock(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *stream = open_memstream(&text, &len);
	struct output *out = output__new(FORMAT_JSON, stream, 0);

	(void)state;
	write_events(out);
	assert_int_equal(output__flush(out), 0);
	assert_non_null(strstr(text, "\"time\":null,\"interval_ns\":null,\"vm\":\"web\","));
	output__free(out);
	fclose(stream);
	free(text);
}

static const char *const only_user[] = { "KVM_USERSPACE_EXIT", NULL };
static const char *const both[] = { "KVM_EXIT", "KVM_USERSPACE_EXIT", NULL };

static struct output *open_target(enum format format, const char *path, const char *const *tables)
{
	const struct output_target target = { format, path, tables };
	char failed[PATH_MAX];
	struct output *out;

	assert_int_equal(output__open(&target, &out, failed), 0);
	return out;
}

static void remove_all(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* A table that nobody wants is not written, and has no file. */
static void test_tables(void **state)
{
	char dir[] = "/tmp/kvm_watcher-test.XXXXXX", path[128], *text;
	struct output *out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/rows", dir);
	out = open_target(FORMAT_TABLE, path, only_user);
	assert_true(output__wants(out, &exit_views[1]));
	assert_false(output__wants(out, &exit_views[0]));
	write_both(out);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	text = load(path);
	assert_memory_equal(text, "KVM_USERSPACE_EXIT (", 20);
	assert_null(strstr(text, "KVM_EXIT ("));
	free(text);
	remove_all(dir);
}

static void test_file_per_table(void **state)
{
	char dir[] = "/tmp/kvm_watcher-test.XXXXXX", path[128], *text;
	struct output *out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/new/", dir);
	out = open_target(FORMAT_JSON, path, both);
	output__set_clock(out, REAL_OFFSET);
	write_object(out);
	write_both(out);
	/* Nobody wants it. */
	write_events(out);
	assert_int_equal(output__flush(out), 0);
	output__free(out);
	for (int i = 0; both[i]; i++) {
		snprintf(path, sizeof(path), "%s/new/%s.json", dir, both[i]);
		text = load(path);
		/* Each has the objects. */
		assert_memory_equal(text, "{\"monitor\":\"kvm_watcher\",", 25);
		snprintf(path, sizeof(path), "\"table\":\"%s\"", both[!i]);
		assert_null(strstr(text, path));
		snprintf(path, sizeof(path), "\"table\":\"%s\"", both[i]);
		assert_non_null(strstr(text, path));
		assert_null(strstr(text, "KVM_TIMER"));
		free(text);
	}
	remove_all(dir);
}

static void check_refused(const char *path, int err, const char *expected)
{
	const struct output_target target = { FORMAT_CSV, path, both };
	char failed[PATH_MAX];
	struct output *out;

	assert_int_equal(output__open(&target, &out, failed), err);
	assert_null(out);
	assert_string_equal(failed, expected);
}

static void test_cannot_open(void **state)
{
	(void)state;
	check_refused("/tmp", -EISDIR, "/tmp");
	check_refused("/nowhere/rows.csv", -ENOENT, "/nowhere/rows.csv");
	check_refused("/nowhere/rows/", -ENOENT, "/nowhere/rows/");
	check_refused("/dev/null/", -ENOTDIR, "/dev/null/KVM_EXIT.csv");
}

static void test_same_data(void **state)
{
	(void)state;
	assert_true(view__same_data(exit_columns, 1, exit_columns, 1));
	assert_false(view__same_data(exit_columns, 1, exit_columns, 2));
	assert_false(view__same_data(exit_columns, 1, timer_columns, 1));
	assert_false(view__same_data(call_columns, 1, call_columns + 1, 1));
}

static void test_scope_names(void **state)
{
	(void)state;
	assert_string_equal(scope__name(SCOPE_INTERVAL), "interval");
	assert_string_equal(scope__name(SCOPE_TOTAL), "total");
	assert_string_equal(scope__name(SCOPE_EVENT), "event");
}

/* BENCH=1: rows per second of each format. */
static void bench(void)
{
	static const char *const names[] = { "table", "json", "csv" };
	struct timespec begin, end;
	enum format format;
	int i;

	for (format = FORMAT_TABLE; format <= FORMAT_CSV; format++) {
		FILE *stream = fopen("/dev/null", "w");
		struct output *out = output__new(format, stream, 0);

		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (i = 0; i < 50000; i++)
			write_kvm(out, SCOPE_INTERVAL);
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%s: %.0f rows/s\n", names[format],
		       200000 / (end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9));
		output__free(out);
		fclose(stream);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_json_always_parses),
		cmocka_unit_test(test_table_has_no_controls),
		cmocka_unit_test(test_object),
		cmocka_unit_test(test_errors_are_kept),
		cmocka_unit_test(test_events_are_flushed),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_time_of_rows),
		cmocka_unit_test(test_no_clock),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_file_per_table),
		cmocka_unit_test(test_cannot_open),
		cmocka_unit_test(test_same_data),
		cmocka_unit_test(test_scope_names),
	};

	signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "XYZ-1", 1);
	tzset();
	setenv("LC_ALL", "C.UTF-8", 1);
	if (getenv("BENCH"))
		bench();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
