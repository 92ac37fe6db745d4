// SPDX-License-Identifier: GPL-2.0-only
#include "screens.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../core/times.h"
#include "../diagnose/diagnose.h"
#include "../output/text.h"

/* Findings of diagnose are warnings from the first share on, and critical from the second one. */
static const double WARNING = 5, CRITICAL = 20, CRITICAL_STEAL = 10;

enum { SPARKS = 12, MOST_SERIES = 200, MOST_ROWS_OF_BUCKETS = 10, MOST_LABELS = 90 };

/* The lines of the first screen. */
struct vm_line {
	struct row row;
	uint32_t vcpus;
	double pain, guest, kvm, vmm, steal, halted, exits;
	const char *top;
	uint64_t wake_ns;
	const char *spark;
	const char *finding;
	enum style finding_style;
	uint64_t key;
	double top_ns;
};

/* Of one VM's. */
struct vcpu_line {
	struct row row;
	double pain, guest, kvm, vmm, steal, blocked, poll, halted, exits;
	uint32_t pcpu;
	const char *top;
	uint64_t wake_ns;
	uint64_t key;
	double top_ns;
};

/* What a row of any table comes to. */
struct item_line {
	struct row row;
	const char *table, *what;
	uint64_t count, total_ns, p50_ns, p99_ns, max_ns;
	double per_s;
	uint64_t key;
	const struct model_row *of;
};

#define COL(_struct, ...) COLUMN(_struct, __VA_ARGS__)
#define SHARE(_struct, _member, _title, _help, ...) \
	COL(_struct, _member, _title, COL_PERCENT, ROLE_GAUGE, .help = _help, __VA_ARGS__)

static const char pain_help[] =
	"share of work time lost: 1 - guest / (all - halted - polling), of vCPUs that are not "
	"paused; work of less than 5 % of the time counts as 5 %";

static const struct column vm_columns[] = {
	COL(struct vm_line, row.vm, "VM", COL_STRING, ROLE_LABEL, .help = "the VM's name"),
	COL(struct vm_line, vcpus, "VCPUS", COL_U32, ROLE_GAUGE, .drop = DROP_SECOND,
	    .help = "number of its vCPUs"),
	SHARE(struct vm_line, pain, "PAIN%", pain_help),
	SHARE(struct vm_line, guest, "GUEST%", "share of the vCPUs' time in the guest"),
	SHARE(struct vm_line, kvm, "KVM%",
	      "in KVM, handling exits; includes the guest if the host can't tell them apart"),
	SHARE(struct vm_line, vmm, "VMM%", "in the VMM's user space, running or asleep"),
	SHARE(struct vm_line, steal, "STEAL%", "ready to run, but waiting for a CPU"),
	SHARE(struct vm_line, halted, "HALT%", "halted: nothing to do", .drop = DROP_SECOND),
	COL(struct vm_line, exits, "EXITS/s", COL_DOUBLE, ROLE_GAUGE, .drop = DROP_THIRD,
	    .help = "exits per second, of all vCPUs"),
	COL(struct vm_line, top, "TOP_REASON", COL_STRING, ROLE_GAUGE,
	    .help = "reason whose exits took the most time, without halts"),
	COL(struct vm_line, wake_ns, "WAKE_P99", COL_NSEC, ROLE_GAUGE, .drop = DROP_SECOND,
	    .help = "99th percentile of the time from a wake-up to the guest"),
	COL(struct vm_line, spark, "PAST", COL_STRING, ROLE_GAUGE, .drop = DROP_FIRST,
	    .help = "pain of the last intervals, newest on the right"),
	COL(struct vm_line, finding, "FINDING", COL_STRING, ROLE_GAUGE,
	    .help = "costliest finding of the diagnose rules that these monitors can serve"),
	COL(struct vm_line, row.pid, "PID", COL_U32, ROLE_LABEL, .drop = DROP_FIRST,
	    .help = "process id of the VMM"),
	{},
};

static const struct column vcpu_columns[] = {
	COL(struct vcpu_line, row.vcpu, "VCPU", COL_U32, ROLE_LABEL, .help = "number of the vCPU"),
	SHARE(struct vcpu_line, pain, "PAIN%", pain_help),
	SHARE(struct vcpu_line, guest, "GUEST%", "share of its time in the guest"),
	SHARE(struct vcpu_line, kvm, "KVM%",
	      "in KVM, handling exits; includes the guest if the host can't tell them apart"),
	SHARE(struct vcpu_line, vmm, "VMM%", "in the VMM's user space, running or asleep"),
	SHARE(struct vcpu_line, steal, "STEAL%", "ready to run, but waiting for a CPU"),
	SHARE(struct vcpu_line, blocked, "BLOCK%", "asleep in KVM_RUN without a halt",
	      .drop = DROP_SECOND),
	SHARE(struct vcpu_line, poll, "POLL%", "halt polling", .drop = DROP_SECOND),
	SHARE(struct vcpu_line, halted, "HALT%", "halted: nothing to do", .drop = DROP_THIRD),
	COL(struct vcpu_line, exits, "EXITS/s", COL_DOUBLE, ROLE_GAUGE, .help = "exits per second"),
	COL(struct vcpu_line, top, "TOP_REASON", COL_STRING, ROLE_GAUGE,
	    .help = "reason whose exits took the most time, without halts"),
	COL(struct vcpu_line, wake_ns, "WAKE_P99", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD,
	    .help = "99th percentile of the time from a wake-up to the guest"),
	COL(struct vcpu_line, pcpu, "PCPU", COL_U32, ROLE_GAUGE, .drop = DROP_FIRST,
	    .help = "physical CPU that it runs on, or ran on last"),
	COL(struct vcpu_line, row.tid, "TID", COL_U32, ROLE_LABEL, .drop = DROP_FIRST,
	    .help = "thread id of the vCPU"),
	{},
};

static const struct column item_columns[] = {
	COL(struct item_line, what, "WHAT", COL_STRING, ROLE_LABEL, .help = "the row's labels"),
	COL(struct item_line, table, "TABLE", COL_STRING, ROLE_LABEL, .help = "table of the row"),
	COL(struct item_line, count, "COUNT", COL_U64, ROLE_COUNTER, .help = "how often"),
	COL(struct item_line, per_s, "/s", COL_DOUBLE, ROLE_GAUGE, .drop = DROP_SECOND,
	    .help = "number per second"),
	COL(struct item_line, total_ns, "TIME", COL_NSEC, ROLE_COUNTER, .help = "total time"),
	COL(struct item_line, p50_ns, "P50", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD,
	    .help = "median"),
	COL(struct item_line, p99_ns, "P99", COL_NSEC, ROLE_GAUGE, .help = "99th percentile"),
	COL(struct item_line, max_ns, "MAX", COL_NSEC, ROLE_GAUGE, .drop = DROP_SECOND,
	    .help = "longest"),
	{},
};

static const struct column name_column =
	COLUMN(struct row, vm, "VM", COL_STRING, ROLE_LABEL, .help = "the VM's name");
static const struct column number_column =
	COLUMN(struct row, vcpu, "VCPU", COL_U32, ROLE_LABEL, .help = "number of the vCPU");
static const struct column moment_column =
	COLUMN(struct row, vm_id, "AT", COL_STRING, ROLE_LABEL, .help = "time of the event");

/* Cells by name */

static const struct cell *cell_of(const struct model_row *row, const char *name)
{
	static const struct cell none;
	int at = table__column(row->table, name);

	return at < 0 ? &none : &row->cells[at];
}

static double number_of(const struct model_row *row, const char *name)
{
	return cell__value(cell_of(row, name));
}

static uint64_t time_of(const struct model_row *row, const char *name)
{
	double value = number_of(row, name);

	return isnan(value) ? UINT64_MAX : (uint64_t)value;
}

static const char *text_of(const struct model_row *row, const char *name)
{
	const struct cell *cell = cell_of(row, name);

	return cell->kind == CELL_TEXT ? cell->text : NULL;
}

static double seconds_of(const struct frame *f)
{
	return f->now_ns > f->since_ns ? (f->now_ns - f->since_ns) / 1e9 : NAN;
}

/* What a row is of, in words. */
static const char *label_of(const struct model_row *row, struct arena *arena)
{
	char text[CELL_LEN], *all = arena__get(arena, MOST_LABELS + CELL_LEN);
	size_t len = 0;

	for (size_t i = 0; i < row->table->nr_columns && len < MOST_LABELS; i++) {
		const struct column *col = row->table->columns[i];

		if (col->role != ROLE_LABEL || (col->flags & (COL_KEY_ONLY | COL_DATA_ONLY)) ||
		    row->cells[i].kind == CELL_NONE)
			continue;
		cell__format(col, &row->cells[i], false, text);
		len += snprintf(all + len, MOST_LABELS - len, "%s%s", len ? " " : "", text);
	}
	return len ? all : row->table->view->title;
}

static void set_columns(struct grid *grid, const struct column *columns)
{
	grid->nr_columns = 0;
	for (; columns->name; columns++)
		grid->columns[grid->nr_columns++] = columns;
}

static void add_line(struct grid *grid, const struct row *line, uint64_t key, const void *of,
		     struct arena *arena)
{
	struct cell *cells = arena__get(arena, (grid->nr_columns + 1) * sizeof(*cells));

	cells__read(grid->columns, grid->nr_columns, line, cells);
	grid->rows[grid->nr_rows++] = (struct grid_row){ key, cells, of };
}

/* Meaning */

static enum style style_of(double value, double warning, double critical)
{
	return value >= critical ? STYLE_CRITICAL : value >= warning ? STYLE_WARNING : STYLE_NORMAL;
}

static enum style level(const struct grid *grid, const struct grid_row *row, size_t column)
{
	const char *name = grid->columns[column]->name;
	double value = cell__value(&row->cells[column]);

	if (isnan(value))
		return STYLE_NORMAL;
	/* Where the guest is not told from KVM, it is in there. */
	if (!strcmp(name, "kvm") && column && !strcmp(grid->columns[column - 1]->name, "guest") &&
	    row->cells[column - 1].kind == CELL_NONE)
		return STYLE_NORMAL;
	if (!strcmp(name, "pain") || !strcmp(name, "vmm") || !strcmp(name, "kvm"))
		return style_of(value, WARNING, CRITICAL);
	if (!strcmp(name, "steal"))
		return style_of(value, WARNING, CRITICAL_STEAL);
	return STYLE_NORMAL;
}

static enum style level_of_vm(const struct grid *grid, const struct grid_row *row, size_t column)
{
	const struct vm_line *line = row->of;

	return !strcmp(grid->columns[column]->name, "finding") ? line->finding_style :
								 level(grid, row, column);
}

static enum style style_of_severity(unsigned int severity)
{
	return severity == SEVERITY_CRITICAL ? STYLE_CRITICAL :
	       severity == SEVERITY_WARNING  ? STYLE_WARNING :
					       STYLE_NORMAL;
}

/* Sparklines */

static const char *spark_of(const struct scene *s, double share)
{
	static const char *const blocks[] = {
		"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█",
	};
	static const char *const plain[] = { ".", ":", "-", "=", "+", "*", "#", "@" };
	int at;

	if (isnan(share))
		return " ";
	at = share <= 0 ? 0 : share >= 1 ? 7 : (int)(share * 8);
	return s->blocks ? blocks[at] : plain[at];
}

static void add_sparks(const struct scene *s, struct vm_line *lines, size_t nr)
{
	size_t last, first, frames;
	char **texts = arena__get(s->arena, (nr + 1) * sizeof(*texts));
	size_t *used = arena__get(s->arena, (nr + 1) * sizeof(*used));

	for (size_t i = 0; i < nr; i++)
		lines[i].spark = texts[i] = arena__get(s->arena, 4 * SPARKS + 1);
	model__lock(s->model);
	last = model__place(s->model, s->frame->nr + 1);
	first = last > SPARKS ? last - SPARKS : 0;
	frames = last - first;
	for (size_t at = first; at < last; at++) {
		const struct frame *f = model__frame(s->model, at);

		for (size_t i = 0; i < nr; i++) {
			const struct model_vm *vm = i < f->nr_vms && f->vms[i].key == lines[i].key ?
							    &f->vms[i] :
							    frame__vm(f, lines[i].key);

			const char *spark = spark_of(
				s, vm ? pain_of(vm->lost_ns, vm->work_ns, vm->wall_ns) : NAN);

			memcpy(texts[i] + used[i], spark, strlen(spark));
			used[i] += strlen(spark);
		}
	}
	model__unlock(s->model);
	/* The newest is on the right. */
	for (size_t i = 0; i < nr && frames < SPARKS; i++) {
		memmove(texts[i] + SPARKS - frames, texts[i], strlen(texts[i]) + 1);
		memset(texts[i], ' ', SPARKS - frames);
	}
}

/* The first screen */

static double share_of(uint64_t ns, uint64_t wall_ns)
{
	return wall_ns ? 100.0 * ns / wall_ns : NAN;
}

static void add_exits(const struct scene *s, struct vm_line *lines)
{
	const struct table *t = model__find(s->model, "KVM_EXIT");
	struct model_row *rows;
	size_t nr = t ? frame__rows(s->frame, t, NULL, s->arena, &rows) : 0;
	double seconds = seconds_of(s->frame);

	nr = nr ? rows__merge(rows, nr, false, s->arena, &rows) : 0;
	for (size_t i = 0; i < s->frame->nr_vms && t && s->frame->tables[t->at].has; i++)
		lines[i].exits = 0;
	for (size_t i = 0; i < nr; i++) {
		struct vm_line *line;
		double ns = number_of(&rows[i], "total_ns");

		if (!rows[i].vm)
			continue;
		line = &lines[rows[i].vm - s->frame->vms];
		line->exits += number_of(&rows[i], "count") / seconds;
		if (number_of(&rows[i], "halt") == 1 || ns <= line->top_ns)
			continue;
		line->top_ns = ns;
		line->top = text_of(&rows[i], "whose");
	}
}

static void add_wakeups(const struct scene *s, struct vm_line *lines)
{
	const struct table *t = model__find(s->model, "HALTS");
	struct model_row *rows;
	size_t nr = t ? frame__rows(s->frame, t, NULL, s->arena, &rows) : 0;

	nr = nr ? rows__merge(rows, nr, false, s->arena, &rows) : 0;
	for (size_t i = 0; i < nr; i++)
		if (rows[i].vm)
			lines[rows[i].vm - s->frame->vms].wake_ns =
				time_of(&rows[i], "wake_p99_ns");
}

static void fill_vms(const struct scene *s, struct grid *grid)
{
	const struct frame *f = s->frame;
	struct vm_line *lines = arena__get(s->arena, (f->nr_vms + 1) * sizeof(*lines));

	set_columns(grid, vm_columns);
	grid->sort = "pain";
	grid->level = level_of_vm;
	grid->empty = "no VM has been active";
	grid->rows = arena__get(s->arena, (f->nr_vms + 1) * sizeof(*grid->rows));
	for (size_t i = 0; i < f->nr_vms; i++) {
		const struct model_vm *vm = &f->vms[i];
		lines[i] = (struct vm_line){
			.row = { .vm = vm->name, .pid = vm->pid },
			.vcpus = vm->vcpus ?: UINT32_MAX,
			.pain = 100 * pain_of(vm->lost_ns, vm->work_ns, vm->wall_ns),
			.guest = vm->guest_is_hidden ?
					 NAN :
					 share_of(vm->spent_ns[SPENT_GUEST], vm->wall_ns),
			.kvm = share_of(vm->spent_ns[SPENT_KVM], vm->wall_ns),
			.vmm = share_of(vm->spent_ns[SPENT_VMM], vm->wall_ns),
			.steal = share_of(vm->spent_ns[SPENT_STEAL], vm->wall_ns),
			.halted = share_of(vm->spent_ns[SPENT_HALTED], vm->wall_ns),
			.exits = NAN,
			.wake_ns = UINT64_MAX,
			.finding = vm->finding,
			.finding_style = style_of_severity(vm->severity),
			.key = vm->key,
		};
	}
	add_exits(s, lines);
	add_wakeups(s, lines);
	add_sparks(s, lines, f->nr_vms);
	for (size_t i = 0; i < f->nr_vms; i++)
		add_line(grid, &lines[i].row, lines[i].key, &lines[i], s->arena);
}

/* Bars */

static const char spent_letters[] = "GKVSBPH";
static const char *const spent_words[] = { "guest",   "KVM",  "VMM",   "steal",
					   "blocked", "poll", "halted" };

static enum style spent_style(int spent, double share)
{
	switch (spent) {
	case SPENT_KVM:
	case SPENT_VMM:
		return style_of(share, WARNING, CRITICAL);
	case SPENT_STEAL:
		return style_of(share, WARNING, CRITICAL_STEAL);
	default:
		return STYLE_NORMAL;
	}
}

/* Where the time went: a letter for each part, and the parts in words. Two lines. */
static void draw_spent(struct canvas *c, int y, const uint64_t ns[NR_SPENT])
{
	int x = 0, width = c->cols;
	uint64_t all = 0, sum = 0;
	char text[64];

	for (int i = 0; i < NR_SPENT; i++)
		all += ns[i];
	for (int i = 0; i < NR_SPENT && all; i++) {
		const char letter[] = { spent_letters[i], '\0' };
		double share = 100.0 * ns[i] / all;
		int end;

		sum += ns[i];
		end = lround((double)width * sum / all);
		while (x < end)
			x += canvas__put(c, y, x, 1, spent_style(i, share), letter);
	}
	x = 0;
	for (int i = 0; i < NR_SPENT && all; i++) {
		double share = 100.0 * ns[i] / all;

		if (share < 0.05)
			continue;
		snprintf(text, sizeof(text), "%c %s %.1f%%  ", spent_letters[i], spent_words[i],
			 share);
		x += canvas__put(c, y + 1, x, c->cols - x, spent_style(i, share), text);
	}
	if (!all)
		canvas__put(c, y, 0, c->cols, STYLE_DIM, "where the time went is unknown so far");
}

static const struct model_vm *vm_of(const struct scene *s, const struct spot *spot)
{
	return frame__vm(s->frame, spot->vm);
}

/* One VM */

static size_t load_rows(const struct scene *s, const struct spot *spot, uint32_t tid,
			struct model_row **rows)
{
	const struct table *t = model__find(s->model, "VCPU_LOAD");
	const struct pick pick = { .vm = spot->vm, .tid = tid };

	return t ? frame__rows(s->frame, t, &pick, s->arena, rows) : 0;
}

static const char *const spent_names[] = {
	"guest_ns", "kvm_ns", "vmm_ns", "steal_ns", "blocked_ns", "poll_ns", "halted_ns",
};

/* Returns all of the row's time. */
static uint64_t read_spent(const struct model_row *row, uint64_t ns[NR_SPENT])
{
	double wall = number_of(row, "wall_ns");

	for (int i = 0; i < NR_SPENT; i++) {
		double value = number_of(row, spent_names[i]);

		ns[i] = isnan(value) ? 0 : value;
	}
	return isnan(wall) ? 0 : wall;
}

static struct vcpu_line *line_of(struct vcpu_line *lines, size_t nr, uint32_t tid)
{
	for (size_t i = 0; i < nr; i++)
		if (lines[i].row.tid == tid)
			return &lines[i];
	return NULL;
}

static void add_vcpu_exits(const struct scene *s, const struct spot *spot, struct vcpu_line *lines,
			   size_t nr_lines)
{
	const struct table *t = model__find(s->model, "KVM_EXIT");
	const struct pick pick = { .vm = spot->vm };
	struct model_row *rows;
	size_t nr = t ? frame__rows(s->frame, t, &pick, s->arena, &rows) : 0;
	double seconds = seconds_of(s->frame);

	for (size_t i = 0; i < nr_lines && t && s->frame->tables[t->at].has; i++)
		lines[i].exits = 0;
	for (size_t i = 0; i < nr; i++) {
		struct vcpu_line *line = line_of(lines, nr_lines, rows[i].tid);
		double ns = number_of(&rows[i], "total_ns");

		if (!line)
			continue;
		line->exits += number_of(&rows[i], "count") / seconds;
		if (number_of(&rows[i], "halt") == 1 || ns <= line->top_ns)
			continue;
		line->top_ns = ns;
		line->top = text_of(&rows[i], "whose");
	}
	t = model__find(s->model, "HALTS");
	nr = t ? frame__rows(s->frame, t, &pick, s->arena, &rows) : 0;
	for (size_t i = 0; i < nr; i++) {
		struct vcpu_line *line = line_of(lines, nr_lines, rows[i].tid);

		if (line)
			line->wake_ns = time_of(&rows[i], "wake_p99_ns");
	}
}

static void fill_vcpus(const struct scene *s, const struct spot *spot, struct grid *grid)
{
	struct model_row *rows;
	size_t nr = load_rows(s, spot, 0, &rows);
	struct vcpu_line *lines = arena__get(s->arena, (nr + 1) * sizeof(*lines));

	set_columns(grid, vcpu_columns);
	grid->sort = "pain";
	grid->level = level;
	grid->empty = "its vCPUs have not been active yet";
	grid->rows = arena__get(s->arena, (nr + 1) * sizeof(*grid->rows));
	for (size_t i = 0; i < nr; i++) {
		uint64_t ns[NR_SPENT], wall = read_spent(&rows[i], ns);
		uint64_t idle = ns[SPENT_HALTED] + ns[SPENT_POLL],
			 work = wall > idle ? wall - idle : 0;
		bool still = ns[SPENT_VMM] >= wall - wall / 1000;
		bool hidden = rows[i].vm && rows[i].vm->guest_is_hidden;
		double pcpu = number_of(&rows[i], "pcpu");

		lines[i] = (struct vcpu_line){
			.row = { .vcpu = rows[i].vcpu, .tid = rows[i].tid },
			.pain = still ? NAN : 100 * pain_of(lost_of(ns, work, !hidden), work, wall),
			.guest = hidden ? NAN : share_of(ns[SPENT_GUEST], wall),
			.kvm = share_of(ns[SPENT_KVM], wall),
			.vmm = share_of(ns[SPENT_VMM], wall),
			.steal = share_of(ns[SPENT_STEAL], wall),
			.blocked = share_of(ns[SPENT_BLOCKED], wall),
			.poll = share_of(ns[SPENT_POLL], wall),
			.halted = share_of(ns[SPENT_HALTED], wall),
			.exits = NAN,
			.pcpu = isnan(pcpu) ? UINT32_MAX : (uint32_t)pcpu,
			.wake_ns = UINT64_MAX,
			.key = (uint64_t)rows[i].tid + 1,
		};
	}
	add_vcpu_exits(s, spot, lines, nr);
	for (size_t i = 0; i < nr; i++)
		add_line(grid, &lines[i].row, lines[i].key, &lines[i], s->arena);
}

/* A monitor's table */

static const char *sort_of(const struct table *t)
{
	const char *count = NULL;

	for (size_t i = 0; i < t->nr_columns; i++) {
		const struct column *col = t->columns[i];

		if ((col->flags & COL_COST) && col->type == COL_NSEC)
			return col->name;
		if (!count && col->role == ROLE_COUNTER && !(col->flags & COL_DATA_ONLY))
			count = col->name;
	}
	return count ?: t->nr_columns ? t->columns[0]->name : NULL;
}

/* Names first: the first one is never dropped. */
static size_t order_columns(const struct table *t, struct grid *grid, size_t *from)
{
	size_t nr = grid->nr_columns;

	for (int labels = 1; labels >= 0; labels--)
		for (size_t i = 0; i < t->nr_columns && nr < GRID_COLUMNS; i++) {
			bool is_label = t->columns[i]->role == ROLE_LABEL;

			if (is_label != labels)
				continue;
			from[nr] = i;
			grid->columns[nr++] = t->columns[i];
		}
	return nr;
}

/* lead: columns of names before the table's, whose cells are made of struct row. */
static void fill_table(const struct scene *s, const struct table *t, struct model_row *rows,
		       size_t nr, const struct column *const *lead, struct grid *grid)
{
	size_t from[GRID_COLUMNS] = {}, nr_lead = 0;

	while (lead[nr_lead]) {
		grid->columns[nr_lead] = lead[nr_lead];
		nr_lead++;
	}
	grid->nr_columns = nr_lead;
	grid->nr_columns = order_columns(t, grid, from);
	grid->sort = sort_of(t);
	grid->level = level;
	grid->rows = arena__get(s->arena, (nr + 1) * sizeof(*grid->rows));
	for (size_t i = 0; i < nr; i++) {
		struct cell *cells = arena__get(s->arena, (grid->nr_columns + 1) * sizeof(*cells));
		char at[OUTPUT_TIME_LEN] = "";
		const struct row row = {
			.vm = rows[i].vm ? rows[i].vm->name : "-",
			.vcpu = rows[i].vcpu,
			.vm_id = at,
		};

		if (t->of_events) {
			output__write_time(at, (int64_t)rows[i].ts_ns + s->frame->real_offset_ns);
			/* The time of day, to the millisecond. */
			memmove(at, at + 11, 12);
			at[12] = '\0';
		}
		cells__read(grid->columns, nr_lead, &row, cells);
		if (t->of_events)
			for (size_t j = 0; j < nr_lead; j++)
				if (grid->columns[j] == &moment_column)
					cells[j].text = arena__copy(s->arena, at);
		for (size_t j = nr_lead; j < grid->nr_columns; j++)
			cells[j] = rows[i].cells[from[j]];
		grid->rows[grid->nr_rows++] =
			(struct grid_row){ row__key(&rows[i]), cells, &rows[i] };
	}
	if (!s->frame->tables[t->at].has)
		grid->empty = s->replays ?
				      "this was not recorded" :
				      "not measured yet: wait for the next interval, or press m";
}

static void fill_tab(const struct scene *s, const struct spot *spot, const struct table *t,
		     struct grid *grid)
{
	static const struct column *const merged[] = { &name_column, NULL },
					  *const split[] = { &number_column, NULL },
					  *const event[] = { &moment_column, &number_column, NULL },
					  *const none[] = { NULL };
	const struct pick pick = { .vm = spot->vm, .tid = spot->tid };
	struct model_row *rows;
	size_t nr = frame__rows(s->frame, t, &pick, s->arena, &rows);
	bool merges = t->view->per_vcpu && !spot->tid && !spot->split && !t->of_events;
	bool has_label = false;

	for (size_t i = 0; i < t->nr_columns; i++)
		has_label |= t->columns[i]->role == ROLE_LABEL &&
			     !(t->columns[i]->flags & (COL_DATA_ONLY | COL_KEY_ONLY));
	if (merges)
		nr = rows__merge(rows, nr, false, s->arena, &rows);
	fill_table(s, t, rows, nr,
		   t->of_events				      ? event :
		   t->view->per_vcpu && !spot->tid && !merges ? split :
		   has_label				      ? none :
								merged,
		   grid);
}

/* One vCPU */

static uint64_t first_of(const struct model_row *row, bool of_time)
{
	const struct table *t = row->table;

	for (size_t i = 0; i < t->nr_columns; i++) {
		const struct column *col = t->columns[i];
		bool is_time = col->type == COL_NSEC;

		if (col->role != ROLE_COUNTER || is_time != of_time ||
		    row->cells[i].kind != CELL_U64)
			continue;
		if (of_time && !(col->flags & (COL_COST | COL_FRAME)) &&
		    strcmp(col->name, "total_ns") != 0)
			continue;
		return row->cells[i].u;
	}
	return UINT64_MAX;
}

/* What a column of the row's times is; UINT64_MAX: there is none. */
static uint64_t of_times(const struct model_row *row, enum column_of_times what)
{
	const struct table *t = row->table;

	for (size_t i = 0; i < t->nr_columns && t->times; i++)
		if (t->columns[i]->times == what && t->columns[i]->times_at == t->times->offset &&
		    row->cells[i].kind == CELL_U64)
			return row->cells[i].u;
	return UINT64_MAX;
}

static bool is_of_items(const struct table *t)
{
	return t->view->per_vcpu && t->view->samples && !t->view->again &&
	       strcmp(t->view->name, "VCPU_LOAD") != 0;
}

static void fill_items(const struct scene *s, const struct spot *spot, struct grid *grid)
{
	const struct pick pick = { .vm = spot->vm, .tid = spot->tid };
	double seconds = seconds_of(s->frame);
	size_t all = 0;

	set_columns(grid, item_columns);
	grid->sort = "total_ns";
	grid->empty = "it was not active in this interval";
	for (size_t i = 0; i < model__nr_tables(s->model); i++)
		all += s->frame->tables[i].nr;
	grid->rows = arena__get(s->arena, (all + 1) * sizeof(*grid->rows));
	for (size_t i = 0; i < model__nr_tables(s->model); i++) {
		const struct table *t = model__table(s->model, i);
		struct model_row *rows;
		size_t nr = is_of_items(t) ? frame__rows(s->frame, t, &pick, s->arena, &rows) : 0;

		for (size_t j = 0; j < nr; j++) {
			struct item_line *line = arena__get(s->arena, sizeof(*line));

			*line = (struct item_line){
				.table = t->view->title,
				.what = label_of(&rows[j], s->arena),
				.count = first_of(&rows[j], false),
				.total_ns = first_of(&rows[j], true),
				.p50_ns = of_times(&rows[j], TIMES_P50),
				.p99_ns = of_times(&rows[j], TIMES_P99),
				.max_ns = of_times(&rows[j], TIMES_MAX),
				.key = row__key(&rows[j]) ^ (i << 56),
				.of = &rows[j],
			};
			line->per_s = line->count == UINT64_MAX ? NAN : line->count / seconds;
			add_line(grid, &line->row, line->key, line, s->arena);
		}
	}
}

/* One reason, or whatever a row's labels name */

enum { TAB_VMS, TAB_VCPUS, TAB_DETAILS };

static void fill_item(const struct scene *s, const struct spot *spot, struct grid *grid)
{
	static const struct column *const of_vm[] = { &name_column, NULL },
					  *const of_vcpu[] = { &number_column, NULL },
					  *const none[] = { NULL };
	const struct table *t = spot->table;
	struct pick pick = { .labels = spot->labels };
	struct model_row *rows;
	size_t nr;

	if (spot->tab == TAB_DETAILS) {
		size_t kept = 0;

		t = model__find(s->model, "KVM_EXIT_DETAIL");
		pick = (struct pick){ .vm = spot->vm };
		nr = frame__rows(s->frame, t, &pick, s->arena, &rows);
		nr = rows__merge(rows, nr, false, s->arena, &rows);
		for (size_t i = 0; i < nr; i++) {
			const char *whose = text_of(&rows[i], "whose");

			if (whose && !strcmp(whose, spot->label))
				rows[kept++] = rows[i];
		}
		fill_table(s, t, rows, kept, none, grid);
		return;
	}
	if (spot->tab == TAB_VCPUS)
		pick.vm = spot->vm;
	nr = frame__rows(s->frame, t, &pick, s->arena, &rows);
	if (spot->tab == TAB_VMS)
		nr = rows__merge(rows, nr, false, s->arena, &rows);
	fill_table(s, t, rows, nr, spot->tab == TAB_VCPUS ? of_vcpu : of_vm, grid);
}

struct series {
	double rate[MOST_SERIES], p50[MOST_SERIES], p99[MOST_SERIES];
	size_t nr;
	uint64_t past[64]; /* by powers of two */
};

static unsigned int power_of(uint32_t bucket)
{
	uint64_t low = stat_bucket__low(bucket);

	return low ? 63 - __builtin_clzll(low) : 0;
}

static void read_series(const struct scene *s, const struct spot *spot, size_t most,
			struct series *series)
{
	const struct pick pick = { .vm = spot->vm, .labels = spot->labels };
	size_t last, first;

	model__lock(s->model);
	last = model__place(s->model, s->frame->nr + 1);
	first = last > most ? last - most : 0;
	for (size_t at = 0; at < last; at++) {
		const struct frame *f = model__frame(s->model, at);
		struct model_row *rows;
		size_t nr = frame__rows(f, spot->table, &pick, s->arena, &rows);
		double count = 0;

		nr = nr ? rows__merge(rows, nr, false, s->arena, &rows) : 0;
		for (size_t i = 0; i < nr; i++) {
			uint64_t is = first_of(&rows[i], false);

			count += is == UINT64_MAX ? 0 : is;
			for (size_t j = 0; j < rows[i].nr_buckets; j++)
				series->past[power_of(rows[i].buckets[j].at)] +=
					rows[i].buckets[j].count;
		}
		if (at < first)
			continue;
		series->rate[series->nr] =
			f->tables[spot->table->at].has ? count / seconds_of(f) : NAN;
		series->p50[series->nr] =
			nr ? buckets__percentile(rows->buckets, rows->nr_buckets, 50) : NAN;
		series->p99[series->nr++] =
			nr ? buckets__percentile(rows->buckets, rows->nr_buckets, 99) : NAN;
	}
	model__unlock(s->model);
}

static void draw_series(const struct scene *s, struct canvas *c, int y, const char *name,
			const double *values, size_t nr, bool is_time)
{
	double most = 0, now = nr ? values[nr - 1] : NAN;
	char text[96], is[32], was[32];
	int x;

	for (size_t i = 0; i < nr; i++)
		if (values[i] > most)
			most = values[i];
	if (isnan(now)) {
		snprintf(is, sizeof(is), "-");
	} else if (is_time) {
		format_time(now, is);
	} else {
		format_count(now, is);
	}
	if (is_time)
		format_time(most, was);
	else
		format_count(most, was);
	snprintf(text, sizeof(text), "%-5s %7s, most %7s ", name, is, was);
	x = canvas__put(c, y, 0, c->cols, STYLE_NORMAL, text);
	for (size_t i = nr > (size_t)(c->cols - x) ? nr - (c->cols - x) : 0; i < nr; i++)
		x += canvas__put(c, y, x, 1, STYLE_NORMAL,
				 spark_of(s, most > 0 ? values[i] / most * 0.999 : NAN));
}

static void draw_bar(const struct scene *s, struct canvas *c, int y, int x, int width, double share)
{
	int full = (int)lround(share * width);

	if (share > 0 && !full)
		full = 1;
	for (int i = 0; i < full; i++)
		canvas__put(c, y, x + i, 1, STYLE_NORMAL, s->blocks ? "▇" : "#");
}

/* Now on the left, the history on the right. */
static int draw_buckets(const struct scene *s, struct canvas *c, int y, int most,
			const uint64_t *now, const uint64_t *past)
{
	int first = 64, last = -1, half = (c->cols - 16) / 2, lines = 1;
	uint64_t most_now = 0, most_past = 0;
	char text[64], low[32], high[32];

	for (int i = 0; i < 64; i++) {
		if (!now[i] && !past[i])
			continue;
		first = i < first ? i : first;
		last = i;
		most_now = now[i] > most_now ? now[i] : most_now;
		most_past = past[i] > most_past ? past[i] : most_past;
	}
	if (last < 0 || most < 3 || half < 14)
		return 0;
	if (last - first + 1 > most - 1)
		first = last - (most - 2);
	canvas__put(c, y, 0, 15, STYLE_DIM, "how long");
	canvas__put(c, y, 16, half, STYLE_DIM, "this interval");
	canvas__put(c, y, 16 + half, half, STYLE_DIM, "whole history");
	for (int i = first; i <= last; i++, lines++) {
		format_time(ldexp(1, i), low);
		format_time(ldexp(1, i + 1), high);
		snprintf(text, sizeof(text), "%6s-%s", low, high);
		canvas__put(c, y + lines, 0, 15, STYLE_NORMAL, text);
		format_count(now[i], low);
		format_count(past[i], high);
		snprintf(text, sizeof(text), "%6s ", low);
		canvas__put(c, y + lines, 16, half, STYLE_NORMAL, text);
		draw_bar(s, c, y + lines, 23, half - 9, most_now ? (double)now[i] / most_now : 0);
		snprintf(text, sizeof(text), "%6s ", high);
		canvas__put(c, y + lines, 16 + half, half, STYLE_NORMAL, text);
		draw_bar(s, c, y + lines, 23 + half, half - 8,
			 most_past ? (double)past[i] / most_past : 0);
	}
	return lines;
}

static int head_of_item(const struct scene *s, const struct spot *spot, struct canvas *c, int y,
			int most)
{
	const struct pick pick = { .vm = spot->vm, .labels = spot->labels };
	struct series *series = arena__get(s->arena, sizeof(*series));
	uint64_t now[64] = {};
	struct model_row *rows;
	size_t nr = frame__rows(s->frame, spot->table, &pick, s->arena, &rows);
	int room = most - 4 > MOST_ROWS_OF_BUCKETS ? MOST_ROWS_OF_BUCKETS : most - 4, lines = 0;

	for (size_t i = 0; i < nr; i++)
		for (size_t j = 0; j < rows[i].nr_buckets; j++)
			now[power_of(rows[i].buckets[j].at)] += rows[i].buckets[j].count;
	read_series(s, spot, MOST_SERIES, series);
	if (most < 3)
		return 0;
	draw_series(s, c, y, "rate/s", series->rate, series->nr, false);
	lines = 1;
	if (spot->table->times) {
		draw_series(s, c, y + 1, "P50", series->p50, series->nr, true);
		draw_series(s, c, y + 2, "P99", series->p99, series->nr, true);
		lines = 3;
		lines += draw_buckets(s, c, y + lines, room, now, series->past);
	}
	return lines;
}

/* Spots */

static bool is_tab(const struct scene *s, const struct spot *spot, const struct table *t)
{
	static const _Alignas(8) char nothing[sizeof(struct monitor_config)];

	if (!strcmp(t->view->name, "HOST") || t->view->apart)
		return false;
	if (spot->screen == SCREEN_VCPU && !t->view->per_vcpu)
		return false;
	if (s->replays)
		return model__has_had(s->model, t) && (t->view->samples || t->of_events);
	/* Slow ones alone: all of them would be too many. */
	if (t->of_events)
		return spot->screen == SCREEN_VCPU && t->monitor->event_ns_at &&
		       (!t->monitor->slow_view ||
			t->view == &t->monitor->views[t->monitor->slow_view]);
	if (!t->view->samples)
		return false;
	/* Those that an option adds to a monitor would be empty; exits get their details. */
	return !t->monitor->without || !strcmp(t->view->name, "KVM_EXIT_DETAIL") ||
	       !t->monitor->without(nothing, (unsigned int)(t->view - t->monitor->views));
}

static const struct table *tab_table(const struct scene *s, const struct spot *spot, size_t tab)
{
	size_t nr = 0;

	for (size_t i = 0; i < model__nr_tables(s->model); i++)
		if (is_tab(s, spot, model__table(s->model, i)) && ++nr == tab)
			return model__table(s->model, i);
	return NULL;
}

size_t spot__nr_tabs(const struct scene *s, const struct spot *spot)
{
	size_t nr = 1;

	if (spot->screen == SCREEN_VMS)
		return 1;
	if (spot->screen == SCREEN_ITEM)
		return !strcmp(spot->table->view->name, "KVM_EXIT") ? 3 : 2;
	while (nr < MAX_TABS && tab_table(s, spot, nr))
		nr++;
	return nr;
}

const char *spot__tab(const struct scene *s, const struct spot *spot, size_t tab)
{
	static const char *const of_item[] = { "VMs", "its vCPUs", "details" };
	const struct table *t;

	if (spot->screen == SCREEN_VMS)
		return "VMs";
	if (spot->screen == SCREEN_ITEM)
		return of_item[tab > TAB_DETAILS ? TAB_DETAILS : tab];
	if (!tab)
		return spot->screen == SCREEN_VM ? "vCPUs" : "all rows";
	t = tab_table(s, spot, tab);
	return t ? t->view->title : "?";
}

struct grid_state *spot__state(struct spot *spot)
{
	if (spot->tab >= MAX_TABS)
		spot->tab = 0;
	if (!spot->states[spot->tab])
		spot->states[spot->tab] = calloc(1, sizeof(struct grid_state));
	return spot->states[spot->tab];
}

void spot__free(struct spot *spot)
{
	for (size_t i = 0; i < MAX_TABS; i++) {
		if (spot->states[i])
			grid_state__free(spot->states[i]);
		free(spot->states[i]);
		spot->states[i] = NULL;
	}
}

void screen__fill(const struct scene *s, struct spot *spot, struct grid *grid)
{
	const struct table *t = NULL;

	*grid = (struct grid){};
	if (spot->tab >= spot__nr_tabs(s, spot))
		spot->tab = 0;
	switch (spot->screen) {
	case SCREEN_VMS:
		fill_vms(s, grid);
		return;
	case SCREEN_ITEM:
		fill_item(s, spot, grid);
		return;
	case SCREEN_VM:
	case SCREEN_VCPU:
		if (spot->tab)
			t = tab_table(s, spot, spot->tab);
		if (t)
			fill_tab(s, spot, t, grid);
		else if (spot->screen == SCREEN_VM)
			fill_vcpus(s, spot, grid);
		else
			fill_items(s, spot, grid);
	}
}

int screen__head(const struct scene *s, const struct spot *spot, struct canvas *c, int y, int most)
{
	const struct model_vm *vm = vm_of(s, spot);
	uint64_t ns[NR_SPENT] = {};
	struct model_row *rows;

	if (most < 4 && spot->screen != SCREEN_ITEM)
		return 0;
	switch (spot->screen) {
	case SCREEN_VMS:
		return 0;
	case SCREEN_VM:
		if (vm)
			memcpy(ns, vm->spent_ns, sizeof(ns));
		draw_spent(c, y, ns);
		if (!vm || !vm->finding)
			return 2;
		canvas__put(c, y + 2, 0, c->cols, style_of_severity(vm->severity),
			    arena__printf(s->arena, "diagnose: %s", vm->finding));
		return 3;
	case SCREEN_VCPU:
		if (load_rows(s, spot, spot->tid, &rows))
			read_spent(rows, ns);
		draw_spent(c, y, ns);
		return 2;
	case SCREEN_ITEM:
		return head_of_item(s, spot, c, y, most);
	}
	return 0;
}

static bool enter_item(const struct spot *from, const struct model_row *row, struct arena *arena,
		       struct spot *to)
{
	const char *label = text_of(row, "whose");

	if (row->table->of_events || row->table->view->again || !row->table->view->samples ||
	    !row->vm)
		return false;
	*to = (struct spot){ .screen = SCREEN_ITEM,
			     .vm = row->vm->key,
			     .table = row->table,
			     .labels = row->labels };
	snprintf(to->vm_name, sizeof(to->vm_name), "%s", row->vm->name);
	snprintf(to->label, sizeof(to->label), "%s", label ?: label_of(row, arena));
	to->tid = from->tid;
	to->vcpu = from->vcpu;
	return true;
}

bool screen__enter(const struct scene *s, const struct spot *from, const struct grid_row *row,
		   struct spot *to)
{
	const struct vm_line *vm;
	const struct vcpu_line *vcpu;

	if (!row)
		return false;
	switch (from->screen) {
	case SCREEN_VMS:
		vm = row->of;
		*to = (struct spot){ .screen = SCREEN_VM, .vm = vm->key };
		snprintf(to->vm_name, sizeof(to->vm_name), "%s", vm->row.vm);
		return true;
	case SCREEN_VM:
		if (!from->tab) {
			vcpu = row->of;
			*to = *from;
			memset(to->states, 0, sizeof(to->states));
			to->screen = SCREEN_VCPU;
			to->tid = vcpu->row.tid;
			to->vcpu = vcpu->row.vcpu;
			to->tab = 0;
			return true;
		}
		return enter_item(from, row->of, s->arena, to);
	case SCREEN_VCPU:
		return enter_item(from,
				  from->tab ? row->of : ((const struct item_line *)row->of)->of,
				  s->arena, to);
	case SCREEN_ITEM:
		return false;
	}
	return false;
}

/* What to measure */

static void want(const struct scene *s, struct wanted *w, const char *table)
{
	const struct table *t = model__find(s->model, table);

	if (t)
		w->monitors |= 1ULL << t->monitor_at;
}

struct wanted screen__wants(const struct scene *s, const struct spot *spot)
{
	static const char *const of_vcpu[] = { "HALTS",	    "HALT_POLLING", "INTERRUPTS",
					       "KVM_TIMER", "HYPERCALL",    "KVM_EXIT" };
	const struct table *t = NULL;
	struct wanted w = {};

	/* Each screen has pain, or where the time went, at its head. */
	want(s, &w, "VCPU_LOAD");
	w.slow = spot->screen == SCREEN_VCPU;
	switch (spot->screen) {
	case SCREEN_VM:
	case SCREEN_VCPU:
		t = spot->tab ? tab_table(s, spot, spot->tab) : NULL;
		if (t)
			break;
		w.detail = spot->screen == SCREEN_VCPU;
		for (size_t i = 0; w.detail && i < sizeof(of_vcpu) / sizeof(*of_vcpu); i++)
			want(s, &w, of_vcpu[i]);
		/* fallthrough */
	case SCREEN_VMS:
		want(s, &w, "KVM_EXIT");
		want(s, &w, "HALTS");
		break;
	case SCREEN_ITEM:
		t = spot->table;
		w.detail = spot->tab == TAB_DETAILS;
	}
	if (t) {
		want(s, &w, t->view->name);
		w.detail |= !strcmp(t->view->name, "KVM_EXIT_DETAIL");
	}
	return w;
}
