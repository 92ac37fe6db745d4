// SPDX-License-Identifier: GPL-2.0-only
/*
 * The screens of top on made-up rows: what the model keeps, how rows stay in their places, what a
 * screen of 80x24 and others looks like (tests/golden/top-*.txt), and that no key, no size and no
 * settings break it. After a change that is meant: UPDATE_GOLDEN=1 build/tests/unit/test_top.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../core/clock.h"
#include "../../diagnose/diagnose.h"
#include "../../top/ui.h"
#include "top_rows.h"

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden"
#endif

/* The end of 2023, UTC. */
#define REAL_OFFSET 1703980800000000000LL
#define INTERVAL (2ULL * NSEC_PER_SEC)

enum { REASONS = 4, HOST_VMS = 6 };

struct host {
	struct model *model;
	struct output *out;
	struct settings settings;
	struct ui *ui;
	uint64_t now_ns;
	unsigned int nr_vms, nr_vcpus;
};

static void open_host(struct host *h, size_t bytes)
{
	*h = (struct host){ .now_ns = 100 * INTERVAL, .nr_vms = HOST_VMS, .nr_vcpus = 2 };
	h->model = model__new(monitors, nr_monitors, bytes);
	assert_non_null(h->model);
	h->out = model__output(h->model);
	assert_non_null(h->out);
	output__set_clock(h->out, REAL_OFFSET);
}

static void open_ui(struct host *h, bool ascii)
{
	const struct ui_options opts = {
		.model = h->model,
		.settings = &h->settings,
		.about = "",
		.interval_ns = INTERVAL,
		.ascii = ascii,
		.blocks = !ascii,
	};

	h->ui = ui__new(&opts);
	assert_non_null(h->ui);
}

static void close_host(struct host *h)
{
	ui__free(h->ui);
	output__free(h->out);
	model__free(h->model);
}

/* The third one is somebody's joke, the fourth one Chinese. */
static const char *vm_name(unsigned int vm, char text[32])
{
	static const char *const names[] = { "web",
					     "db",
					     "\033[31mred\a\r\n",
					     "数据库主服务器",
					     "a-name-that-is-longer-than-most-names-of-vms",
					     "idle" };

	if (vm < HOST_VMS)
		return names[vm];
	snprintf(text, 32, "vm-%u", vm);
	return text;
}

/* A tenth of the time of others is lost where the first one loses half of it. */
static void write_load(const struct host *h, const char *vm, uint32_t pid, unsigned int nr,
		       unsigned int vcpu)
{
	struct made_row r = make_row("VCPU_LOAD", vm, "1.2.0", pid, pid + 1 + vcpu, vcpu);
	uint64_t lost = nr ? INTERVAL / 20 : INTERVAL / 4, work = INTERVAL / 2;
	bool idle = nr % HOST_VMS == HOST_VMS - 1;

	put_u64(&r, "wall_ns", INTERVAL);
	if (idle) {
		put_u64(&r, "halted_ns", INTERVAL);
	} else {
		put_u64(&r, "guest_ns", work - lost);
		put_u64(&r, "steal_ns", lost / 2);
		put_u64(&r, "kvm_ns", lost - lost / 2);
		put_u64(&r, "halted_ns", INTERVAL - work);
	}
	put_u64(&r, "total_ns", work);
	put_u64(&r, "count", 10 + nr);
	write_section(h->out, &r, 1, SCOPE_INTERVAL, h->now_ns - INTERVAL, h->now_ns);
}

static void write_exits(const struct host *h, const char *vm, uint32_t pid, unsigned int nr,
			unsigned int vcpu)
{
	static const char *const reasons[REASONS] = { "HLT", "IO_INSTRUCTION", "MSR_WRITE",
						      "CPUID" };

	for (unsigned int i = 0; i < REASONS; i++) {
		struct made_row r = make_row("KVM_EXIT", vm, "1.2.0", pid, pid + 1 + vcpu, vcpu);
		uint64_t count = 1000 * (nr + 1) / (i + 1);

		put_text(&r, "kind", "kvm");
		put_text(&r, "reason", reasons[i]);
		put_text(&r, "whose", reasons[i]);
		put_flag(&r, "halt", !i);
		put_u64(&r, "reason_code", i);
		put_times(&r, "time", 40 + 4 * i, count);
		put_times(&r, "time", 60, 3);
		put_u64(&r, "count", count + 3);
		put_u64(&r, "total_ns", ((struct times *)made_at(&r, "time"))->total_ns);
		write_section(h->out, &r, 1, SCOPE_INTERVAL, h->now_ns - INTERVAL, h->now_ns);
	}
}

static void write_halts(const struct host *h, const char *vm, uint32_t pid, unsigned int vcpu)
{
	struct made_row r = make_row("HALTS", vm, "1.2.0", pid, pid + 1 + vcpu, vcpu);

	put_u64(&r, "count", 100);
	put_times(&r, "wake", 50, 100);
	write_section(h->out, &r, 1, SCOPE_INTERVAL, h->now_ns - INTERVAL, h->now_ns);
}

/* One interval of the host. */
static void measure(struct host *h)
{
	char text[32];

	h->now_ns += INTERVAL;
	output__begin_window(h->out, SCOPE_INTERVAL, h->now_ns - INTERVAL, h->now_ns);
	for (unsigned int vm = 0; vm < h->nr_vms; vm++)
		for (unsigned int vcpu = 0; vcpu < h->nr_vcpus; vcpu++) {
			const char *name = vm_name(vm, text);
			uint32_t pid = 1000 + 100 * vm;

			write_load(h, name, pid, vm, vcpu);
			if (vm % HOST_VMS == HOST_VMS - 1)
				continue;
			write_exits(h, name, pid, vm, vcpu);
			write_halts(h, name, pid, vcpu);
		}
	output__end_window(h->out);
	if (h->ui)
		ui__update(h->ui);
}

static void press(struct host *h, uint32_t code)
{
	const struct key key = { .code = code };

	ui__draw(h->ui);
	ui__key(h->ui, &key);
}

static void type(struct host *h, const char *text)
{
	size_t len = strlen(text), used;
	struct key key;

	for (; len; text += used, len -= used) {
		used = key__decode((const unsigned char *)text, len, true, &key);
		press(h, key.code);
	}
}

/* The model */

static struct frame *newest(const struct host *h)
{
	return model__frame(h->model, model__nr_frames(h->model) - 1);
}

static const struct cell *cell_of(const struct model_row *row, const char *name)
{
	int at = table__column(row->table, name);

	assert_true(at >= 0);
	return &row->cells[at];
}

static void test_rows_come_back(void **state)
{
	struct arena *arena = arena__new();
	const struct table *t;
	struct model_row *rows;
	struct host h;
	size_t nr;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	measure(&h);
	t = model__find(h.model, "KVM_EXIT");
	nr = frame__rows(newest(&h), t, NULL, arena, &rows);
	assert_int_equal(nr, (HOST_VMS - 1) * 2 * REASONS);
	assert_string_equal(rows[1].vm->name, "web");
	assert_int_equal(rows[1].vm->pid, 1000);
	assert_int_equal(rows[1].tid, 1001);
	assert_string_equal(cell_of(&rows[1], "reason")->text, "IO_INSTRUCTION");
	assert_int_equal(cell_of(&rows[1], "count")->u, 503);
	/* Zero is not absent, and absent is not zero. */
	assert_int_equal(cell_of(&rows[1], "open")->kind, CELL_U64);
	assert_int_equal(cell_of(&rows[1], "open")->u, 0);
	assert_int_equal(cell_of(&rows[1], "l2")->kind, CELL_NONE);
	assert_int_equal(rows[1].nr_buckets, 2);
	assert_int_equal(rows[1].buckets[0].at, 44);
	assert_int_equal(rows[1].buckets[0].count, 500);
	assert_int_equal(rows[1].buckets[1].count, 3);
	/* One VM's, one vCPU's, one reason's. */
	nr = frame__rows(newest(&h), t, &(struct pick){ .vm = rows[1].vm->key }, arena, &rows);
	assert_int_equal(nr, 2 * REASONS);
	assert_int_equal(frame__rows(newest(&h), t, &(struct pick){ .tid = 1002 }, arena, &rows),
			 REASONS);
	nr = frame__rows(newest(&h), t, &(struct pick){ .labels = rows[2].labels }, arena, &rows);
	assert_int_equal(nr, (HOST_VMS - 1) * 2);
	arena__free(arena);
	close_host(&h);
}

static void test_pain(void **state)
{
	const struct model_vm *vm;
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	measure(&h);
	vm = &newest(&h)->vms[0];
	assert_int_equal(vm->vcpus, 2);
	/* Half of the time it had work, and of that it lost half. */
	assert_true(pain_of(vm->lost_ns, vm->work_ns, vm->wall_ns) == 0.5);
	vm = &newest(&h)->vms[HOST_VMS - 1];
	assert_true(pain_of(vm->lost_ns, vm->work_ns, vm->wall_ns) == 0);
	/* What has hardly any work does not hurt. */
	assert_true(pain_of(1, 1, 1000) < 0.03);
	/* Where the guest is not told from KVM: what is known. */
	assert_int_equal(
		lost_of((uint64_t[NR_SPENT]){ [SPENT_KVM] = 7, [SPENT_STEAL] = 3 }, 10, false), 3);
	close_host(&h);
}

static void test_merging(void **state)
{
	struct arena *arena = arena__new();
	const struct table *t;
	struct model_row *rows, *merged;
	struct host h;
	size_t nr;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	measure(&h);
	t = model__find(h.model, "KVM_EXIT");
	nr = frame__rows(newest(&h), t, NULL, arena, &rows);
	nr = rows__merge(rows, nr, false, arena, &merged);
	assert_int_equal(nr, (HOST_VMS - 1) * REASONS);
	for (size_t i = 0; i < nr; i++) {
		uint64_t one = merged[i].vm->pid / 100 - 9;
		uint64_t code = cell_of(&merged[i], "reason_code")->u;

		assert_int_equal(merged[i].nr_merged, 2);
		assert_int_equal(cell_of(&merged[i], "count")->u,
				 2 * (1000 * one / (code + 1) + 3));
		assert_int_equal(merged[i].buckets[merged[i].nr_buckets - 1].count, 6);
	}
	nr = frame__rows(newest(&h), t, NULL, arena, &rows);
	assert_int_equal(rows__merge(rows, nr, true, arena, &merged), REASONS);
	assert_null(merged[0].vm);
	arena__free(arena);
	close_host(&h);
}

static void test_history_is_bounded(void **state)
{
	enum { BYTES = 1 << 18, INTERVALS = 400 };
	struct frame *kept;
	struct host h;
	size_t one;

	(void)state;
	open_host(&h, BYTES);
	measure(&h);
	one = newest(&h)->size;
	model__lock(h.model);
	kept = frame__get(model__frame(h.model, 0));
	model__unlock(h.model);
	for (int i = 1; i < INTERVALS; i++)
		measure(&h);
	assert_true(model__bytes(h.model) <= BYTES);
	assert_true(model__nr_frames(h.model) > BYTES / one / 2);
	assert_int_equal(model__nr_frames(h.model) + model__evicted(h.model), INTERVALS);
	/* The oldest went, and what is in use stays. */
	assert_int_equal(model__frame(h.model, 0)->nr, model__evicted(h.model));
	assert_int_equal(newest(&h)->nr, INTERVALS - 1);
	assert_int_equal(kept->nr, 0);
	assert_string_equal(kept->vms[0].name, "web");
	assert_int_equal(model__place(h.model, 0), 0);
	assert_int_equal(model__place(h.model, INTERVALS - 1), model__nr_frames(h.model) - 1);
	model__lock(h.model);
	model__put(h.model, kept);
	model__unlock(h.model);
	model__clear(h.model);
	assert_int_equal(model__nr_frames(h.model), 0);
	assert_int_equal(model__bytes(h.model), 0);
	close_host(&h);
}

/* 500 VMs with four vCPUs that all do nothing but halt: less than 70 bytes each. */
static void test_history_is_sparse(void **state)
{
	char text[32];
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	output__begin_window(h.out, SCOPE_INTERVAL, 1, 1 + INTERVAL);
	h.now_ns = 1 + INTERVAL;
	for (unsigned int vm = 6; vm < 506; vm++)
		for (unsigned int vcpu = 0; vcpu < 4; vcpu++)
			write_load(&h, vm_name(vm, text), 1000 * vm, HOST_VMS - 1, vcpu);
	output__end_window(h.out);
	assert_int_equal(newest(&h)->nr_vms, 500);
	/* What each VM takes beside its rows. */
	assert_true((newest(&h)->size - sizeof(struct frame) - 500 * sizeof(struct model_vm)) /
			    2000 <
		    70);
	close_host(&h);
}

/* Rows and their places */

static const struct column test_columns[] = {
	COLUMN(struct row, vm, "NAME", COL_STRING, ROLE_LABEL),
	COLUMN(struct row, vm_nr, "VALUE", COL_U64, ROLE_GAUGE),
};

enum { TEST_ROWS = 5 };

/* Five rows with these values. */
static void fill_grid(struct grid *g, const uint64_t values[TEST_ROWS], struct arena *arena)
{
	static const char *const names[TEST_ROWS] = { "a", "b", "c", "d", "e" };

	*g = (struct grid){ .columns = { &test_columns[0], &test_columns[1] },
			    .nr_columns = 2,
			    .sort = "vm_nr" };
	g->rows = arena__get(arena, TEST_ROWS * sizeof(*g->rows));
	for (size_t i = 0; i < TEST_ROWS; i++) {
		struct cell *cells = arena__get(arena, 2 * sizeof(*cells));

		if (values[i] == UINT64_MAX)
			continue;
		cells[0] = (struct cell){ CELL_TEXT, .text = names[i] };
		cells[1] = (struct cell){ CELL_U64, .u = values[i] };
		g->rows[g->nr_rows++] = (struct grid_row){ 100 + i, cells, NULL };
	}
}

static const char *order_of(const struct grid *g)
{
	static char text[TEST_ROWS + 1];

	memset(text, 0, sizeof(text));
	for (size_t i = 0; i < g->nr_shown; i++)
		text[i] = *g->shown[i]->cells[0].text;
	return text;
}

static const char *arrange(struct grid *g, struct grid_state *s, uint64_t frame,
			   struct arena *arena, const uint64_t values[TEST_ROWS])
{
	fill_grid(g, values, arena);
	grid__arrange(g, s, frame, arena);
	return order_of(g);
}

static void test_rows_stay(void **state)
{
	struct arena *arena = arena__new();
	const uint64_t calm[] = { 50, 40, 30, 20, 10 }, other[] = { 50, 40, 30, 20, 60 };
	struct grid_state s = {};
	struct grid g;

	(void)state;
	assert_string_equal(arrange(&g, &s, 1, arena, calm), "abcde");
	/* For one interval the last one is the first: it stays; a key changes nothing of that. */
	assert_string_equal(arrange(&g, &s, 2, arena, other), "abcde");
	assert_string_equal(arrange(&g, &s, 2, arena, other), "abcde");
	assert_string_equal(arrange(&g, &s, 3, arena, calm), "abcde");
	assert_string_equal(arrange(&g, &s, 4, arena, other), "abcde");
	/* For two: it moves. */
	assert_string_equal(arrange(&g, &s, 5, arena, other), "eabcd");
	assert_string_equal(arrange(&g, &s, 6, arena, other), "eabcd");
	/* One that is new goes where it belongs at once, one that is gone leaves no gap. */
	assert_string_equal(arrange(&g, &s, 7, arena, (uint64_t[]){ 50, UINT64_MAX, 30, 20, 60 }),
			    "eacd");
	assert_string_equal(arrange(&g, &s, 8, arena, (uint64_t[]){ 50, 40, 30, 20, 60 }), "eabcd");
	/* Another order is asked for: now. */
	s.inverted = true;
	assert_string_equal(arrange(&g, &s, 8, arena, other), "dcbae");
	grid_state__free(&s);
	arena__free(arena);
}

static void test_frozen_rows(void **state)
{
	struct arena *arena = arena__new();
	const uint64_t calm[] = { 50, 40, 30, 20, 10 }, other[] = { 1, 2, 3, 4, 5 };
	struct grid_state s = {};
	struct grid g;

	(void)state;
	arrange(&g, &s, 1, arena, calm);
	s.frozen = true;
	for (uint64_t frame = 2; frame < 6; frame++)
		assert_string_equal(arrange(&g, &s, frame, arena, other), "abcde");
	assert_string_equal(arrange(&g, &s, 6, arena, (uint64_t[]){ 1, UINT64_MAX, 3, 4, 5 }),
			    "acde");
	/* It comes back as the last one. */
	assert_string_equal(arrange(&g, &s, 7, arena, other), "acdeb");
	s.frozen = false;
	arrange(&g, &s, 8, arena, other);
	assert_string_equal(arrange(&g, &s, 9, arena, other), "edcba");
	grid_state__free(&s);
	arena__free(arena);
}

static void test_selection_is_a_row(void **state)
{
	struct arena *arena = arena__new();
	const uint64_t calm[] = { 50, 40, 30, 20, 10 }, other[] = { 5, 40, 30, 20, 10 };
	struct grid_state s = {};
	struct grid g;

	(void)state;
	arrange(&g, &s, 1, arena, calm);
	assert_string_equal(grid__selected(&g, &s)->cells[0].text, "a");
	grid__move(&g, &s, 1);
	assert_string_equal(grid__selected(&g, &s)->cells[0].text, "b");
	arrange(&g, &s, 2, arena, other);
	arrange(&g, &s, 3, arena, other);
	assert_string_equal(order_of(&g), "bcdea");
	assert_string_equal(grid__selected(&g, &s)->cells[0].text, "b");
	assert_int_equal(s.at, 0);
	snprintf(s.filter, sizeof(s.filter), "D");
	arrange(&g, &s, 4, arena, other);
	assert_string_equal(order_of(&g), "d");
	grid__move(&g, &s, 100);
	assert_string_equal(grid__selected(&g, &s)->cells[0].text, "d");
	snprintf(s.filter, sizeof(s.filter), "nobody");
	arrange(&g, &s, 5, arena, other);
	assert_null(grid__selected(&g, &s));
	grid_state__free(&s);
	arena__free(arena);
}

static void test_values_in_words(void **state)
{
	static const struct {
		double value;
		const char *count, *time;
	} words[] = {
		{ 0, "0", "0ns" },
		{ 1.5, "1.50", "2ns" },
		{ 999, "999", "999ns" },
		{ 1234, "1234", "1.23us" },
		{ 99999, "99999", "100us" },
		{ 123456, "123k", "123us" },
		{ 9999999, "10.0M", "10.0ms" },
		{ 2e9, "2.00G", "2.00s" },
		{ -2e6, "-2.00M", "-2.00ms" },
		{ 1.2e13, "12.0T", "200m" },
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		format_count(words[i].value, text);
		assert_string_equal(text, words[i].count);
		format_time(words[i].value, text);
		assert_string_equal(text, words[i].time);
	}
}

/* Screens */

static void compare(const char *name, const struct canvas *c)
{
	char path[128], *drawn = NULL, *golden;
	size_t size = 0, len = 0;
	FILE *stream = open_memstream(&drawn, &size), *file;

	assert_non_null(stream);
	canvas__print_styles(c, stream);
	fclose(stream);
	snprintf(path, sizeof(path), GOLDEN_DIR "/top-%s.txt", name);
	if (getenv("UPDATE_GOLDEN")) {
		file = fopen(path, "we");
		assert_non_null(file);
		assert_int_equal(fwrite(drawn, 1, size, file), size);
		fclose(file);
	}
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s is missing: UPDATE_GOLDEN=1 writes it", path);
	golden = calloc(1, size + 1);
	assert_non_null(golden);
	len = fread(golden, 1, size, file);
	if (len != size || fgetc(file) != EOF || memcmp(golden, drawn, size) != 0)
		fail_msg("%s is not what is drawn:\n%s", path, drawn);
	fclose(file);
	free(golden);
	free(drawn);
}

static void test_first_screen(void **state)
{
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, false);
	ui__resize(h.ui, 24, 80);
	compare("nothing-80x24", ui__draw(h.ui));
	for (int i = 0; i < 5; i++)
		measure(&h);
	compare("vms-80x24", ui__draw(h.ui));
	ui__resize(h.ui, 20, 60);
	compare("vms-60x20", ui__draw(h.ui));
	ui__resize(h.ui, 30, 200);
	compare("vms-200x30", ui__draw(h.ui));
	/* Never without the name, however little room there is. */
	ui__resize(h.ui, 5, 12);
	compare("vms-12x5", ui__draw(h.ui));
	close_host(&h);
}

static void test_ascii_screen(void **state)
{
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, true);
	for (int i = 0; i < 3; i++)
		measure(&h);
	ui__resize(h.ui, 24, 80);
	compare("vms-ascii", ui__draw(h.ui));
	for (int row = 0; row < 24; row++)
		for (int col = 0; col < 80; col++)
			for (const char *p = canvas__at(ui__draw(h.ui), row, col)->text; *p; p++)
				assert_true(*p >= ' ' && *p < 0x7f);
	close_host(&h);
}

static void test_closer(void **state)
{
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, false);
	ui__resize(h.ui, 24, 80);
	for (int i = 0; i < 5; i++)
		measure(&h);
	press(&h, KEY_ENTER);
	compare("vm-80x24", ui__draw(h.ui));
	assert_false(ui__requests(h.ui).wanted.detail);
	press(&h, KEY_TAB);
	compare("vm-exits-80x24", ui__draw(h.ui));
	press(&h, KEY_ENTER);
	compare("reason-80x24", ui__draw(h.ui));
	ui__resize(h.ui, 40, 200);
	compare("reason-200x40", ui__draw(h.ui));
	ui__resize(h.ui, 24, 80);
	press(&h, KEY_ESC);
	press(&h, KEY_BACKTAB);
	press(&h, KEY_DOWN);
	press(&h, KEY_ENTER);
	compare("vcpu-80x24", ui__draw(h.ui));
	assert_true(ui__requests(h.ui).wanted.detail);
	press(&h, 'h');
	compare("help-80x24", ui__draw(h.ui));
	press(&h, KEY_ESC);
	press(&h, KEY_ESC);
	press(&h, KEY_ESC);
	press(&h, KEY_ESC);
	compare("vms-again-80x24", ui__draw(h.ui));
	close_host(&h);
}

static void test_time(void **state)
{
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, false);
	ui__resize(h.ui, 24, 80);
	for (int i = 0; i < 5; i++)
		measure(&h);
	press(&h, '[');
	press(&h, '[');
	measure(&h);
	/* Two before what was the newest one then. */
	compare("paused-80x24", ui__draw(h.ui));
	press(&h, 't');
	type(&h, "00:03:26");
	press(&h, KEY_ENTER);
	compare("jumped-80x24", ui__draw(h.ui));
	press(&h, '}');
	press(&h, 'd');
	h.nr_vcpus = 3;
	measure(&h);
	compare("differences-80x24", ui__draw(h.ui));
	press(&h, 'd');
	press(&h, '/');
	type(&h, "数据");
	compare("filter-80x24", ui__draw(h.ui));
	press(&h, KEY_ENTER);
	press(&h, KEY_ENTER);
	assert_true(!strncmp(canvas__at(ui__draw(h.ui), 0, 6)->text, "数", 3));
	close_host(&h);
}

static bool is_on(const struct canvas *c, const char *text)
{
	char *all = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&all, &size);
	bool found;

	canvas__print(c, stream);
	fclose(stream);
	found = strstr(all, text);
	free(all);
	return found;
}

static void test_what_is_missing(void **state)
{
	const struct missing missing = { "vcpu_load", "kvm_entry", "the time in the guest",
					 "not here\033[2J" };
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, false);
	measure(&h);
	assert_true(is_on(ui__draw(h.ui), "lost 0  all can be shown"));
	model__set_missing(h.model, &missing, 1);
	model__set_lost(h.model, 17);
	measure(&h);
	assert_true(is_on(ui__draw(h.ui), "lost 17  can't show 1 (m: why)"));
	press(&h, 'm');
	assert_true(is_on(ui__draw(h.ui),
			  "vcpu_load: missing: the time in the guest (kvm_entry: not here?[2J)"));
	press(&h, KEY_ESC);
	/* Losses stay, whatever else is shown. */
	press(&h, 's');
	assert_true(is_on(ui__draw(h.ui), "lost 17"));
	type(&h, "\177"
		 "5");
	press(&h, KEY_ENTER);
	assert_int_equal(ui__requests(h.ui).interval_ns, 5ULL * NSEC_PER_SEC);
	press(&h, 's');
	type(&h, "x");
	press(&h, KEY_ENTER);
	assert_true(is_on(ui__draw(h.ui), "give an interval of 0.1 to 3600 seconds"));
	press(&h, 'r');
	assert_true(ui__requests(h.ui).reset);
	assert_false(ui__requests(h.ui).reset);
	press(&h, 'q');
	assert_true(ui__requests(h.ui).quits);
	close_host(&h);
}

/* Each press is one; what comes of it is told by who records. Slow events are a vCPU's alone. */
static void test_recording_keys(void **state)
{
	struct ui_status status = { .loading = true, .recording = "kvm_watcher-1.zst" };
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, false);
	ui__resize(h.ui, 24, 80);
	measure(&h);
	assert_int_equal(ui__requests(h.ui).record_keys, 0);
	press(&h, 'w');
	assert_false(is_on(ui__draw(h.ui), "REC"));
	press(&h, 'w');
	assert_int_equal(ui__requests(h.ui).record_keys, 2);
	ui__set_status(h.ui, &status);
	assert_true(is_on(ui__draw(h.ui), "attaching ...  REC kvm_watcher-1.zst"));
	assert_true(is_on(ui__draw(h.ui), " REC "));
	status = (struct ui_status){};
	ui__set_status(h.ui, &status);
	assert_false(is_on(ui__draw(h.ui), "REC"));
	press(&h, KEY_ENTER);
	assert_false(ui__requests(h.ui).wanted.slow);
	press(&h, KEY_ENTER);
	assert_true(ui__requests(h.ui).wanted.slow);
	for (int i = 0; i < 8 && !is_on(ui__draw(h.ui), "[SLOW KVM_EXIT]"); i++)
		press(&h, KEY_TAB);
	assert_true(is_on(ui__draw(h.ui), "[SLOW KVM_EXIT]"));
	assert_true(ui__requests(h.ui).wanted.slow);
	close_host(&h);
}

static unsigned int find_finding(void *ctx, uint32_t pid, const char *id, char *text, size_t size)
{
	(void)ctx;
	assert_string_equal(id, "1.2.0");
	snprintf(text, size, "a-rule 12%%");
	return pid == 1100 ? SEVERITY_CRITICAL : SEVERITY_NONE;
}

static void test_findings(void **state)
{
	const struct model_rules rules = { .finding = find_finding };
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	model__set_rules(h.model, &rules);
	open_ui(&h, false);
	measure(&h);
	ui__resize(h.ui, 24, 80);
	assert_true(is_on(ui__draw(h.ui), "CPUID      a-rule 12%"));
	press(&h, '/');
	type(&h, "a-rule");
	press(&h, KEY_ENTER);
	press(&h, KEY_ENTER);
	assert_true(is_on(ui__draw(h.ui), "VMs > db"));
	assert_true(is_on(ui__draw(h.ui), "diagnose: a-rule 12%"));
	close_host(&h);
}

/* Sorting is remembered by the table's name. */
static void test_sorting(void **state)
{
	const struct sort_setting *sort;
	char text[SETTINGS_LEN];
	struct settings again = {};
	struct host h;

	(void)state;
	open_host(&h, HISTORY_BYTES);
	open_ui(&h, false);
	measure(&h);
	press(&h, '>');
	press(&h, 'I');
	sort = settings__sort(&h.settings, "VMs");
	assert_non_null(sort);
	assert_string_equal(sort->column, "guest");
	assert_true(sort->inverted);
	h.settings.interval_ns = (uint64_t)1500 * NSEC_PER_MSEC;
	settings__write(&h.settings, text, sizeof(text));
	settings__parse(&again, text);
	assert_int_equal(again.interval_ns, (uint64_t)1500 * NSEC_PER_MSEC);
	assert_string_equal(settings__sort(&again, "VMs")->column, "guest");
	assert_true(settings__sort(&again, "VMs")->inverted);
	assert_false(again.changed);
	close_host(&h);
}

static void test_broken_settings(void **state)
{
	static const char pieces[] = "interval=sort VMs=pain\n-.\0\xff#e9";
	char text[200];
	unsigned int seed = 3;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct settings s = {};
		size_t len = rand_r(&seed) % (sizeof(text) - 1), from = 0;

		while (from < len) {
			size_t at = rand_r(&seed) % sizeof(pieces), n = rand_r(&seed) % 10;

			for (size_t j = 0; j < n && from < len; j++)
				text[from++] = pieces[(at + j) % sizeof(pieces)];
		}
		text[len] = '\0';
		settings__parse(&s, text);
		assert_true(!s.interval_ns || (s.interval_ns >= NSEC_PER_SEC / 10 &&
					       s.interval_ns <= 3600ULL * NSEC_PER_SEC));
		for (size_t j = 0; j < s.nr_sorts; j++)
			assert_true(*s.sorts[j].column && !strpbrk(s.sorts[j].column, "=\n \033"));
	}
}

/* Keys */

static uint32_t decode(const char *text, size_t len, bool final, size_t *used)
{
	struct key key;

	*used = key__decode((const unsigned char *)text, len, final, &key);
	return key.code;
}

static void test_keys(void **state)
{
	static const struct {
		const char *text;
		uint32_t code;
	} known[] = {
		{ "\033[A", KEY_UP },
		{ "\033OA", KEY_UP },
		{ "\033[1;5A", KEY_UP },
		{ "\033[6~", KEY_PAGE_DOWN },
		{ "\033OP", KEY_F0 + 1 },
		{ "\033[11~", KEY_F0 + 1 },
		{ "\033[[A", KEY_F0 + 1 },
		{ "\033[21~", KEY_F0 + 10 },
		{ "\033[Z", KEY_BACKTAB },
		{ "\177", KEY_BACKSPACE },
		{ "\b", KEY_BACKSPACE },
		{ "q", 'q' },
		{ "ä", 0xe4 },
		{ "数", 0x6570 },
		{ "\033[<64;3;4M", KEY_WHEEL_UP },
		{ "\033[<0;3;4m", KEY_OTHER },
		{ "\033[<0;3;4M", KEY_CLICK },
		{ "\033[99~", KEY_OTHER },
	};
	struct key key;
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t len = strlen(known[i].text);

		assert_int_equal(decode(known[i].text, len, false, &used), known[i].code);
		assert_int_equal(used, len);
		/* In pieces: it waits. */
		for (size_t cut = 1; cut < len; cut++) {
			decode(known[i].text, cut, false, &used);
			assert_int_equal(used, 0);
		}
	}
	key__decode((const unsigned char *)"\033[<0;3;4M", 9, false, &key);
	assert_int_equal(key.x, 2);
	assert_int_equal(key.y, 3);
	/* ESC alone, once nothing follows. */
	assert_int_equal(decode("\033", 1, false, &used), KEY_ESC);
	assert_int_equal(used, 0);
	assert_int_equal(decode("\033", 1, true, &used), KEY_ESC);
	assert_int_equal(used, 1);
}

static void test_each_key_has_one_meaning(void **state)
{
	(void)state;
	for (const struct binding *b = bindings; b->action; b++) {
		assert_true(*b->help && *b->keys);
		for (size_t i = 0; i < 4 && b->codes[i]; i++)
			assert_int_equal(key__action(b->codes[i]), b->action);
	}
}

/* Whatever is sent: it is used up, and nothing breaks. */
static void test_any_keys(void **state)
{
	static const char pieces[] = "\033[[<0;12M3m~OPABCDHFZ\r\t\n /?hmqwdrstvFI<>[]{} "
				     "kjgG\177\xe6\x95\xb0\xff\x80x19";
	unsigned char text[32];
	unsigned int seed = 7;
	struct host h;

	(void)state;
	open_host(&h, 1 << 19);
	h.nr_vms = 9;
	open_ui(&h, false);
	for (int i = 0; i < 3000; i++) {
		size_t len = 1 + rand_r(&seed) % sizeof(text), used;
		struct key key;

		for (size_t j = 0; j < len; j++)
			text[j] = pieces[rand_r(&seed) % (sizeof(pieces) - 1)];
		for (size_t at = 0; at < len; at += used) {
			used = key__decode(text + at, len - at, true, &key);
			assert_true(used > 0 && used <= len - at);
			ui__key(h.ui, &key);
			ui__requests(h.ui);
		}
		if (!(rand_r(&seed) % 4))
			ui__resize(h.ui, 1 + rand_r(&seed) % 60, 1 + rand_r(&seed) % 220);
		if (!(rand_r(&seed) % 8)) {
			h.nr_vms = rand_r(&seed) % 20;
			h.nr_vcpus = 1 + rand_r(&seed) % 3;
			measure(&h);
		}
		ui__draw(h.ui);
	}
	close_host(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_come_back),
		cmocka_unit_test(test_pain),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_history_is_bounded),
		cmocka_unit_test(test_history_is_sparse),
		cmocka_unit_test(test_rows_stay),
		cmocka_unit_test(test_frozen_rows),
		cmocka_unit_test(test_selection_is_a_row),
		cmocka_unit_test(test_values_in_words),
		cmocka_unit_test(test_first_screen),
		cmocka_unit_test(test_ascii_screen),
		cmocka_unit_test(test_closer),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_what_is_missing),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_sorting),
		cmocka_unit_test(test_broken_settings),
		cmocka_unit_test(test_recording_keys),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_each_key_has_one_meaning),
		cmocka_unit_test(test_any_keys),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
