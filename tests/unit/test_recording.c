// SPDX-License-Identifier: GPL-2.0-only
/* What record.c writes recording.c reads, also what is cut, damaged, masked, older. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <zstd.h>

#include "../../core/hooks.h"
#include "../../core/log.h"
#include "../../core/record.h"
#include "../../core/recording.h"
#include "../../core/replay.h"
#include "../../core/times.h"
#include "../../core/zone.h"
#include "../../output/output.h"

struct probe_row {
	struct row row;
	const char *name;
	uint64_t count;
	struct times time;
	uint64_t total_ns;
	uint64_t p50_ns;
	struct tally tally;
	uint64_t bits[2];
	double real;
	int64_t depth;
	bool flag;
	const char *state;
	const char *const *words;
	struct json_object *object;
};

enum { VIEW_PROBE, VIEW_EVENT };

static const struct view views[] = {
	[VIEW_PROBE] = { .title = "PROBE", .name = "PROBE", .per_vcpu = true, SAMPLES_OF(0) },
	[VIEW_EVENT] = { .title = "PROBE_EVENT", .name = "PROBE_EVENT", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct probe_row, __VA_ARGS__)
#define BOTH .views = 3
#define PROBE .views = 1

static const struct column columns[] = {
	COL(name, "NAME", COL_STRING, ROLE_LABEL, BOTH, .flags = COL_NAME),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, BOTH),
	COL(time, "TIMES", COL_TIMES, ROLE_COUNTER, PROBE),
	COL(total_ns, "TOTAL", COL_NSEC, ROLE_COUNTER, PROBE,
	    OF_TIMES(struct probe_row, time, TOTAL)),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, PROBE, OF_TIMES(struct probe_row, time, P50)),
	COL(tally, NULL, COL_TALLY, ROLE_COUNTER, PROBE),
	COL(bits, NULL, COL_BITS, ROLE_GAUGE, PROBE, .size = 16),
	COL(real, "REAL", COL_DOUBLE, ROLE_GAUGE, BOTH),
	COL(depth, "DEPTH", COL_S64, ROLE_GAUGE, BOTH),
	COL(flag, "FLAG", COL_BOOL, ROLE_GAUGE, BOTH),
	COL(state, "STATE", COL_STRING, ROLE_GAUGE, BOTH),
	COL(words, "WORDS", COL_STRINGS, ROLE_LABEL, .views = 2),
	COL(object, "OBJECT", COL_OBJECT, ROLE_LABEL, .views = 2),
	{},
};

static void event(struct attachment *at, const void *data, size_t size)
{
	(void)at;
	(void)data;
	(void)size;
}

static const struct monitor probe = {
	.name = "probe",
	.views = views,
	.columns = columns,
	.row_size = sizeof(struct probe_row),
	.event = event,
	.event_view = VIEW_EVENT,
};

static const struct monitor *const monitors[] = { &probe };

static char dir[64], path[128];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_recording.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/r.zst", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

/* Writing */

static const struct chosen chosen = { .monitor = &probe };
static struct attach_env env = { .events = true };

static struct record_options options(void)
{
	return (struct record_options){
		.path = path,
		.force = true,
		.alone = true,
		.chosen = &chosen,
		.nr_chosen = 1,
		.env = &env,
	};
}

static void start(struct sink *sink, const struct record_options *opts)
{
	struct json_object *obj;

	assert_int_equal(record__open(opts, sink), 0);
	obj = json_tokener_parse(
		"{\"monitor\":\"kvm_watcher\",\"scope\":\"start\",\"schema\":1,"
		"\"host\":{\"hostname\":\"node-7\",\"kernel\":\"6.1\",\"vendor\":\"kvm_amd\"},"
		"\"options\":[\"-x\",\"secret\"],"
		"\"clock\":{\"mono_ns\":1000,\"real_ns\":1700000000000001000},"
		"\"interval_ns\":1000000000,\"hooks\":[]}");
	assert_non_null(obj);
	output__object(sink->out, obj);
}

static struct probe_row sample(unsigned int vcpu, uint64_t count)
{
	struct probe_row row = {
		.row = { .vm = "web \033[31m\xff",
			 .vm_id = "12.34.1",
			 .vm_nr = 3,
			 .pid = 12,
			 .tid = 13 + vcpu,
			 .vcpu = vcpu },
		.name = "qemu",
		.count = count,
		.real = 0.1,
		.depth = -5,
		.flag = true,
		.state = "a\"b\\",
		.bits = { 0, 1ULL << 63 },
	};

	times__init(&row.time);
	row.time.count = count;
	row.time.total_ns = 100 * count;
	row.time.min_ns = 90;
	row.time.max_ns = 110;
	row.time.hist[20] = count;
	tally__add(&row.tally, 7, count);
	tally__add(&row.tally, TALLY_OTHER, 1);
	return row;
}

static void write_vcpus(struct sink *sink, enum scope scope, uint64_t since_ns, uint64_t now_ns,
			uint64_t count, unsigned int nr_vcpus)
{
	const struct section section = {
		.monitor = probe.name,
		.columns = columns,
		.view = &views[VIEW_PROBE],
		.view_bit = 1,
		.scope = scope,
		.since_ns = since_ns,
		.now_ns = now_ns,
	};

	output__set_clock(sink->out, 1700000000000000000);
	output__begin_window(sink->out, scope, since_ns, now_ns);
	output__begin(sink->out, &section);
	for (unsigned int vcpu = 0; vcpu < nr_vcpus; vcpu++) {
		struct probe_row row = sample(vcpu, count);

		output__sample(sink->out, &row.row, NULL);
	}
	output__end(sink->out);
	output__end_window(sink->out);
}

static void write_interval(struct sink *sink, enum scope scope, uint64_t since_ns, uint64_t now_ns,
			   uint64_t count)
{
	write_vcpus(sink, scope, since_ns, now_ns, count, 2);
}

static void write_event(struct sink *sink, uint64_t ts_ns)
{
	static const char *const words[] = { "one", "two", NULL };
	const struct section section = {
		.monitor = probe.name,
		.columns = columns,
		.view = &views[VIEW_EVENT],
		.view_bit = 2,
		.scope = SCOPE_EVENT,
	};
	struct probe_row row = sample(0, 1);

	row.row.ts_ns = ts_ns;
	row.words = words;
	row.object = json_tokener_parse("{\"comm\":\"qemu\",\"n\":[1,2]}");
	output__begin(sink->out, &section);
	output__row(sink->out, &row.row, 0);
	output__end(sink->out);
	json_object_put(row.object);
}

static void finish(struct sink *sink)
{
	output__object(sink->out, json_tokener_parse("{\"scope\":\"summary\",\"lost\":{}}"));
	assert_int_equal(output__flush(sink->out), 0);
	output__free(sink->out);
}

static void write_run(const struct record_options *opts, int intervals)
{
	struct sink sink = {};

	start(&sink, opts);
	for (int i = 0; i < intervals; i++) {
		write_event(&sink, 1000 + i * 1000000000ULL);
		write_interval(&sink, SCOPE_INTERVAL, 1000 + i * 1000000000ULL,
			       1000 + (i + 1) * 1000000000ULL, 10 + i);
	}
	finish(&sink);
}

static size_t read_file(const char *name, char **data)
{
	FILE *f = fopen(name, "re");
	long size;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	*data = malloc(size + 1);
	assert_int_equal(fread(*data, 1, size, f), size);
	(*data)[size] = '\0';
	fclose(f);
	return size;
}

static void write_file(const char *name, const char *data, size_t size)
{
	FILE *f = fopen(name, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
}

/* Reading: how many intervals were whole. */
static int count_intervals(const char *name, bool *damaged)
{
	const struct recorded_line *line;
	struct recording *rec;
	char why[256];
	int nr = 0;

	rec = recording__open(name, monitors, 1, why);
	if (!rec)
		return -1;
	while ((line = recording__next(rec))->what != RECORDED_END)
		nr += line->what == RECORDED_WINDOW_END;
	*damaged = recording__is_damaged(rec);
	recording__close(rec);
	return nr;
}

static void test_what_is_written_is_read(void **state)
{
	const struct record_options opts = options();
	const struct recorded_line *line;
	const struct probe_row *row;
	struct recording *rec;
	struct stat stat_of;
	char why[256];

	(void)state;
	write_run(&opts, 1);
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 07777, 0600);
	rec = recording__open(path, monitors, 1, why);
	assert_non_null(rec);
	assert_string_equal(recording__head(rec)->hostname, "node-7");
	assert_int_equal(recording__head(rec)->interval_ns, 1000000000);
	assert_true(recording__head(rec)->monitors[0].had_events);

	line = recording__next(rec);
	assert_int_equal(line->what, RECORDED_EVENT);
	row = (const struct probe_row *)line->row;
	assert_int_equal(row->row.ts_ns, 1000);
	assert_string_equal(row->words[1], "two");
	assert_string_equal(json_object_to_json_string_ext(row->object, JSON_C_TO_STRING_PLAIN),
			    "{\"comm\":\"qemu\",\"n\":[1,2]}");
	assert_int_equal(recording__next(rec)->what, RECORDED_WINDOW);
	for (unsigned int vcpu = 0; vcpu < 2; vcpu++) {
		const struct probe_row is = sample(vcpu, 10);

		line = recording__next(rec);
		assert_int_equal(line->what, RECORDED_SAMPLE);
		row = (const struct probe_row *)line->row;
		/* What is no UTF-8 is none in JSON either. */
		assert_string_equal(row->row.vm, "web \033[31m\ufffd");
		assert_int_equal(row->row.vcpu, vcpu);
		assert_int_equal(row->row.vm_nr, 3);
		assert_string_equal(row->name, "qemu");
		assert_memory_equal(&row->time, &is.time, sizeof(is.time));
		assert_int_equal(row->tally.nr, 2);
		assert_int_equal(tally__get(&row->tally, 7), 10);
		assert_int_equal(tally__get(&row->tally, TALLY_OTHER), 1);
		assert_memory_equal(row->bits, is.bits, sizeof(is.bits));
		assert_true(row->real == 0.1);
		assert_int_equal(row->depth, -5);
		assert_true(row->flag);
		assert_string_equal(row->state, "a\"b\\");
	}
	assert_int_equal(recording__next(rec)->what, RECORDED_WINDOW_END);
	assert_int_equal(recording__next(rec)->what, RECORDED_OBJECT);
	assert_int_equal(recording__next(rec)->what, RECORDED_END);
	assert_int_equal(recording__next(rec)->what, RECORDED_END);
	assert_null(recording__why(rec));
	recording__close(rec);
}

/* Wherever it is cut, the intervals before that are there, and there is no other one. */
static void test_truncation_at_every_byte(void **state)
{
	const struct record_options opts = options();
	char *data = NULL, cut[256];
	size_t size, first_frame;
	int before = 0, nr;
	bool damaged;

	(void)state;
	write_run(&opts, 5);
	size = read_file(path, &data);
	first_frame = ZSTD_findFrameCompressedSize(data, size);
	snprintf(cut, sizeof(cut), "%s/cut.zst", dir);
	for (size_t len = 0; len <= size; len++) {
		write_file(cut, data, len);
		nr = count_intervals(cut, &damaged);
		if (len < first_frame) {
			assert_int_equal(nr, -1);
			continue;
		}
		assert_true(nr >= before);
		assert_true(nr <= before + 1);
		assert_false(damaged);
		before = nr;
	}
	assert_int_equal(before, 5);
	free(data);
}

/* A byte that is another one is noticed, and nothing behind its frame is made up. */
static void test_damage_at_every_byte(void **state)
{
	const struct record_options opts = options();
	char *data = NULL, other[256];
	int nr, unnoticed = 0;
	bool damaged;
	size_t size;

	(void)state;
	write_run(&opts, 3);
	size = read_file(path, &data);
	snprintf(other, sizeof(other), "%s/damaged.zst", dir);
	for (size_t at = 0; at < size; at++) {
		data[at] ^= 0x55;
		write_file(other, data, size);
		damaged = false;
		nr = count_intervals(other, &damaged);
		assert_true(nr < 4);
		unnoticed += nr == 3 && !damaged;
		data[at] ^= 0x55;
	}
	/* Of a frame's header some bits mean nothing. */
	assert_in_range(unnoticed, 0, 12);
	free(data);
}

static void test_random_bytes(void **state)
{
	static const unsigned char magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };
	char name[256], data[512] = "";
	unsigned int seed = 1;
	bool damaged;

	(void)state;
	snprintf(name, sizeof(name), "%s/random", dir);
	for (int i = 0; i < 300; i++) {
		size_t len = rand_r(&seed) % sizeof(data);

		for (size_t j = 0; j < len; j++)
			data[j] = rand_r(&seed);
		if (i % 2 && len > 4)
			memcpy(data, magic, sizeof(magic));
		write_file(name, data, len);
		assert_int_equal(count_intervals(name, &damaged), -1);
	}
}

static void test_mask(void **state)
{
	struct record_options opts = options();
	const struct recorded_line *line;
	struct recording *rec;
	char why[256], command[512];

	(void)state;
	opts.mask = true;
	write_run(&opts, 1);
	rec = recording__open(path, monitors, 1, why);
	assert_non_null(rec);
	assert_true(recording__head(rec)->masked);
	assert_string_equal(recording__head(rec)->hostname, "process1");
	assert_null(json_object_object_get(recording__head(rec)->start, "options"));
	line = recording__next(rec);
	assert_string_equal(line->row->vm, "vm1");
	assert_string_equal(((const struct probe_row *)line->row)->name, "process2");
	assert_string_equal(
		json_object_to_json_string_ext(((const struct probe_row *)line->row)->object,
					       JSON_C_TO_STRING_PLAIN),
		"{\"comm\":\"process2\",\"n\":[1,2]}");
	recording__close(rec);
	snprintf(command, sizeof(command), "zstdcat %s | grep -qE 'web|qemu|node-7|secret'", path);
	if (!system("command -v zstdcat >/dev/null"))
		assert_int_not_equal(system(command), 0);
}

enum { MOST_FRAMES = 64 };

/* How many frames these are, where each one begins, and how large the largest of them is. */
static unsigned int count_frames(const char *data, size_t size, size_t begins[MOST_FRAMES],
				 uint64_t *largest)
{
	unsigned int nr = 0;

	*largest = 0;
	for (size_t at = 0; at < size; nr++) {
		unsigned long long of = ZSTD_getFrameContentSize(data + at, size - at);
		size_t len = ZSTD_findFrameCompressedSize(data + at, size - at);

		assert_true(of < ZSTD_CONTENTSIZE_ERROR);
		assert_false(ZSTD_isError(len));
		if (of > *largest)
			*largest = of;
		assert_true(nr < MOST_FRAMES);
		begins[nr] = at;
		at += len;
	}
	return nr;
}

/* A recorder needs no more memory for them, and their readers find them whole, or not at all. */
static void test_large_intervals(void **state)
{
	enum { NR_VCPUS = 20000 };
	struct record_options opts = options();
	const struct recorded_line *line;
	unsigned int nr_frames, nr_rows = 0;
	struct sink sink = {};
	struct recording *rec;
	size_t size, begins[MOST_FRAMES];
	uint64_t largest;
	bool damaged;
	char why[256], *data = NULL;

	(void)state;
	start(&sink, &opts);
	for (uint64_t i = 1; i <= 3; i++)
		write_vcpus(&sink, SCOPE_INTERVAL, i * 1000000000, (i + 1) * 1000000000, 10 * i,
			    NR_VCPUS);
	finish(&sink);
	size = read_file(path, &data);
	nr_frames = count_frames(data, size, begins, &largest);
	assert_in_range(nr_frames, 7, MOST_FRAMES);
	assert_in_range(largest, 1 << 20, (1 << 20) + 4096);
	assert_int_equal(count_intervals(path, &damaged), 3);
	assert_false(damaged);
	rec = recording__open(path, monitors, 1, why);
	assert_non_null(rec);
	while ((line = recording__next(rec))->what != RECORDED_END)
		nr_rows += line->what == RECORDED_SAMPLE;
	assert_int_equal(nr_rows, 3 * NR_VCPUS);
	recording__close(rec);
	/* Its recorder was killed before the last frame of the last interval. */
	write_file(path, data, begins[nr_frames - 2]);
	free(data);
	assert_int_equal(count_intervals(path, &damaged), 2);
	assert_false(damaged);
}

/* Segments are of their size, each is readable alone, and together they are the latest. */
static void test_rotation(void **state)
{
	struct record_options opts = options();
	struct sink sink = {};
	char name[256];
	bool damaged;
	int all = 0;
	off_t bytes = 0;

	(void)state;
	opts.limit = 16 << 10;
	start(&sink, &opts);
	for (int i = 0; i < 400; i++) {
		sink.told_vms = 9;
		write_interval(&sink, SCOPE_INTERVAL, 1000 + i * 1000000000ULL,
			       1000 + (i + 1) * 1000000000ULL, 10 + i);
	}
	finish(&sink);
	for (int i = 0; i < RECORDING_SEGMENTS; i++) {
		struct stat stat_of;
		int nr;

		snprintf(name, sizeof(name), i ? "%s.%d" : "%s", path, i);
		assert_int_equal(stat(name, &stat_of), 0);
		bytes += stat_of.st_size;
		nr = count_intervals(name, &damaged);
		assert_in_range(nr, 1, 100);
		assert_false(damaged);
		all += nr;
	}
	assert_in_range(bytes, 8 << 10, 17 << 10);
	assert_in_range(all, 20, 200);
}

static void test_existing_file_is_kept(void **state)
{
	struct record_options opts = options();
	struct sink sink = {};
	char *data = NULL, link[256];

	(void)state;
	write_file(path, "precious", 8);
	opts.force = false;
	assert_int_equal(record__open(&opts, &sink), -EEXIST);
	assert_null(sink.out);
	assert_int_equal(read_file(path, &data), 8);
	assert_string_equal(data, "precious");
	free(data);
	opts.force = true;
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink(path, link), 0);
	opts.path = link;
	assert_int_equal(record__open(&opts, &sink), -ELOOP);
	opts.path = "/dev/null";
	assert_int_equal(record__open(&opts, &sink), -EINVAL);
	opts.path = "/nowhere/at/all";
	assert_int_equal(record__open(&opts, &sink), -ENOENT);
}

/* No room: the file ends with its last whole frame, and the run is told, if it is alone. */
static void test_full_disk(void **state)
{
	struct rlimit limit, little = { .rlim_cur = 3000 };
	struct record_options opts = options();
	struct sink sink = {};
	bool damaged = true;
	int nr;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	little.rlim_max = limit.rlim_max;
	start(&sink, &opts);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	for (int i = 0; i < 100; i++)
		write_interval(&sink, SCOPE_INTERVAL, 1000 + i * 1000000000ULL,
			       1000 + (i + 1) * 1000000000ULL, 10 + i);
	assert_int_equal(output__flush(sink.out), EFBIG);
	output__free(sink.out);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(log__has_failed());
	nr = count_intervals(path, &damaged);
	assert_in_range(nr, 1, 50);
	assert_false(damaged);
}

/* Of an older version: a column it lacks is absent, one that is gone is named. */
static const char older[] =
	"{\"recording\":1,\"zone\":\"UTC0\",\"monitors\":[{\"name\":\"probe\",\"options\":[],"
	"\"events\":false,\"tables\":{\"PROBE\":{\"name\":\"label string\","
	"\"time\":\"counter times\",\"gone\":\"gauge u64\"}}},"
	"{\"name\":\"nobody\",\"tables\":{}}],"
	"\"start\":{\"scope\":\"start\",\"host\":{},\"clock\":{\"mono_ns\":5,\"real_ns\":9}}}\n"
	"{\"window\":\"interval\",\"since_ns\":5,\"now_ns\":10,\"new\":true}\n"
	"{\"table\":\"PROBE\",\"vm\":\"a\",\"rows\":[{\"name\":\"x\",\"gone\":4,\"later\":[{}]},"
	"{\"name\":\"y\",\"time\":[50,50,50,16,1]}]}\n"
	"{\"table\":\"UNKNOWN\",\"rows\":[{\"name\":\"z\"}]}\n"
	"{\"something\":\"else\"}\n"
	"{\"window\":\"end\"}\n";

static void test_older_schema(void **state)
{
	const struct recorded_line *line;
	const struct probe_row *row;
	struct recording *rec;
	char why[256];

	(void)state;
	write_file(path, older, sizeof(older) - 1);
	rec = recording__open(path, monitors, 1, why);
	assert_non_null(rec);
	assert_string_equal(recording__head(rec)->monitors[0].unknown, "gone of PROBE");
	assert_int_equal(recording__head(rec)->nr_monitors, 1);
	assert_int_equal(recording__next(rec)->what, RECORDED_WINDOW);
	line = recording__next(rec);
	row = (const struct probe_row *)line->row;
	assert_string_equal(row->name, "x");
	assert_int_equal(row->count, UINT64_MAX);
	assert_int_equal(row->time.count, 0);
	assert_int_equal(row->depth, INT64_MIN);
	assert_int_equal(line->row->pid, UINT32_MAX);
	line = recording__next(rec);
	assert_int_equal(((const struct probe_row *)line->row)->time.total_ns, 50);
	assert_int_equal(recording__next(rec)->what, RECORDED_WINDOW_END);
	assert_int_equal(recording__next(rec)->what, RECORDED_END);
	assert_null(recording__why(rec));
	recording__close(rec);
}

static void expect_refused(const char *text, const char *reason)
{
	char why[256];

	write_file(path, text, strlen(text));
	assert_null(recording__open(path, monitors, 1, why));
	if (!strstr(why, reason))
		fail_msg("\"%s\" is not in \"%s\"", reason, why);
}

static void test_what_is_no_recording(void **state)
{
	(void)state;
	expect_refused("", "not a recording");
	expect_refused("{}\n", "not a recording");
	expect_refused("{\"recording\":1}\n", "not that of a recording");
	expect_refused("{\"recording\":9}\n", "use a newer kvm_watcher");
	expect_refused("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "not a recording");
	expect_refused("{\"recording\":1,\"monitors\":[{\"name\":\"probe\"}],\"start\":{}}\n",
		       "not that of a recording");
}

/* Rows that no recorder writes end the reading; nothing is written past its place. */
static void test_hostile_rows(void **state)
{
	static const char *const rows[] = {
		"{\"name\":5,\"time\":[1,2,3,9999,1]}",
		"{\"time\":[1,2]}",
		"{\"time\":{}}",
		"{\"time\":[1,2,3,126,1,1,1]}",
		"{\"tally\":[1]}",
		"{\"bits\":[2,1]}",
		"{\"tally\":\"x\"}",
		"[]",
		"null",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *text;
		bool damaged = false;
		const char *head_end = strchr(older, '\n');

		assert_true(asprintf(&text,
				     "%.*s\n{\"window\":\"interval\",\"since_ns\":5,"
				     "\"now_ns\":10}\n{\"table\":\"PROBE\",\"rows\":[%s]}\n"
				     "{\"window\":\"end\"}\n",
				     (int)(head_end - older), older, rows[i]) > 0);
		write_file(path, text, strlen(text));
		free(text);
		if (count_intervals(path, &damaged) || !damaged)
			fail_msg("%s is taken for a row", rows[i]);
	}
}

/* Replay */

static char *replay(const struct replay_options *how, const char *const *paths, size_t nr)
{
	struct replay *r = replay__open(paths, nr, monitors, 1);
	struct sink sink = {};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(r);
	sink.out = output__new(FORMAT_JSON, f, 0);
	replay__start(r);
	assert_int_equal(replay__run(r, how, &sink), 0);
	output__free(sink.out);
	fclose(f);
	replay__close(r);
	return text;
}

static int count(const char *text, const char *what)
{
	int nr = 0;

	for (; (text = strstr(text, what)); text++)
		nr++;
	return nr;
}

static void test_replay(void **state)
{
	const struct record_options opts = options();
	static const struct filter all = {}, other = { .vm = "db*", .pattern = "db*" };
	struct replay_options how = { .filter = &all };
	const char *const paths[] = { path, path };
	char *text;

	(void)state;
	write_run(&opts, 4);
	text = replay(&how, paths, 1);
	/* Two vCPUs: four intervals, and the total of what they had. */
	assert_int_equal(count(text, "\"scope\":\"interval\""), 8);
	assert_int_equal(count(text, "\"scope\":\"event\""), 0);
	assert_int_equal(count(text, "\"count\":13,"), 2);
	assert_int_equal(count(text, "\"scope\":\"total\""), 2);
	assert_int_equal(count(text, "\"count\":46,"), 2);
	assert_int_equal(count(text, "\"total_ns\":4600,"), 2);
	free(text);

	how.events = true;
	how.interval_ns = 2000000000;
	text = replay(&how, paths, 1);
	assert_int_equal(count(text, "\"scope\":\"event\""), 4);
	assert_int_equal(count(text, "\"scope\":\"interval\""), 4);
	assert_int_equal(count(text, "\"count\":21,"), 2);
	assert_int_equal(count(text, "\"count\":25,"), 2);
	assert_int_equal(count(text, "\"interval_ns\":2000000000"), 5);
	free(text);

	/* The second interval alone, by the clock of the host. */
	how = (struct replay_options){
		.filter = &all,
		.from_ns = 1700000001000001000,
		.to_ns = 1700000002000001000,
	};
	text = replay(&how, paths, 1);
	assert_int_equal(count(text, "\"scope\":\"interval\""), 2);
	assert_int_equal(count(text, "\"count\":11,"), 4);
	free(text);

	how = (struct replay_options){ .filter = &other };
	text = replay(&how, paths, 1);
	assert_int_equal(count(text, "\"table\""), 0);
	free(text);

	/* Twice the same file side by side: each interval has both. */
	how = (struct replay_options){ .filter = &all, .by_file = true };
	text = replay(&how, paths, 2);
	assert_int_equal(count(text, "\"scope\":\"interval\""), 16);
	assert_int_equal(count(text, "\"vm\":\"r.zst\""), 20);
	free(text);
}

static void test_zone(void **state)
{
	char zone[ZONE_LEN], time[OUTPUT_TIME_LEN];

	(void)state;
	zone__set("CET-1CEST,M3.5.0,M10.5.0/3");
	zone__read(zone);
	assert_string_equal(zone, "CET-1CEST,M3.5.0,M10.5.0/3");
	output__write_time(time, 1751328000LL * 1000000000);
	assert_string_equal(time, "2025-07-01T02:00:00.000+02:00");
	output__write_time(time, 1735689600LL * 1000000000);
	assert_string_equal(time, "2025-01-01T01:00:00.000+01:00");
	zone__set("UTC0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_written_is_read, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_truncation_at_every_byte, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_damage_at_every_byte, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_random_bytes, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_mask, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_large_intervals, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_rotation, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_existing_file_is_kept, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_full_disk, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_older_schema, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_what_is_no_recording, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_hostile_rows, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_replay, make_dir, remove_dir),
		cmocka_unit_test(test_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
