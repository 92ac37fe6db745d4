// SPDX-License-Identifier: GPL-2.0-only
#include "report.h"

#include <stdlib.h>

#include <json-c/json.h>

#include "attach.h"
#include "clock.h"
#include "events.h"
#include "histogram.h"
#include "memory.h"
#include "monitor.h"
#include "records.h"
#include "samples.h"
#include "summary.h"
#include "vcpus.h"
#include "window.h"

/* Rings are read at least so often, also while much is looked at and written. */
enum { READ_EVENTS_NS = 50 * NSEC_PER_MSEC };

void report__events(const struct attachments *attached)
{
	for (size_t i = 0; i < attached->nr; i++)
		events__read(attached->list[i]);
}

static void keep_up(const struct attachments *attached, uint64_t *read_ns)
{
	uint64_t now = clock__ns();

	if (now - *read_ns < READ_EVENTS_NS)
		return;
	report__events(attached);
	*read_ns = now;
}

uint64_t report__begin(struct attach_env *env, const struct attachments *attached)
{
	uint64_t now;

	memory__use_large_pages();
	vcpus__refresh(env->vcpus);
	/* Twice: what is seen for the first time takes long. The second one is the begin. */
	for (size_t i = 0; i < attached->nr; i++) {
		attach__forget(attached->list[i]);
		attach__begin(attached->list[i], clock__ns());
	}
	now = clock__ns();
	for (size_t i = 0; i < attached->nr; i++)
		attach__begin(attached->list[i], now);
	for (size_t i = 0; i < attached->nr; i++)
		attach__forget(attached->list[i]);
	return now;
}

/* New vCPUs first, then events, then what is counted. */
static uint64_t look(struct attach_env *env, const struct attachments *attached,
		     void (*look_at)(struct attachment *at, uint64_t now_ns))
{
	uint64_t now, read_ns;

	vcpus__refresh(env->vcpus);
	report__events(attached);
	now = read_ns = clock__ns();
	for (size_t i = 0; i < attached->nr; i++) {
		look_at(attached->list[i], now);
		keep_up(attached, &read_ns);
	}
	return now;
}

uint64_t report__end(struct attach_env *env, const struct attachments *attached)
{
	return look(env, attached, attach__end);
}

uint64_t report__look(struct attach_env *env, const struct attachments *attached)
{
	uint64_t now = look(env, attached, attach__look);

	/* Last: their slots are given to others. */
	vcpus__release_ended(env->vcpus);
	memory__use_large_pages();
	memory__give_back();
	return now;
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	sample->row->ts_ns = window->now_ns;
	if (at->monitor->finish)
		at->monitor->finish(at, sample, window);
}

/* The objects that finish() has made. */
static void put_objects(const struct monitor *m, const struct sample *list, size_t nr)
{
	for (const struct column *col = m->columns; col->name; col++)
		for (size_t i = 0; col->type == COL_OBJECT && i < nr; i++)
			json_object_put(
				*(struct json_object **)((char *)list[i].row + col->offset));
}

static bool same_vcpu(const struct row *a, const struct row *b)
{
	return a->vm_nr == b->vm_nr && a->pid == b->pid && a->tid == b->tid && a->vcpu == b->vcpu;
}

/* A line over the rows of one vCPU, for people. */
static void write_sum(struct attachment *at, unsigned int view, const struct sample *list,
		      size_t nr, const struct window *window)
{
	const struct row_sum *sum = at->monitor->sum;
	struct row *row = calloc(1, at->monitor->row_size);

	if (!row)
		return;
	*row = *list[0].row;
	samples__zero(at->samples, view, row);
	*(const char **)((char *)row + sum->label_at) = sum->label;
	for (size_t i = 0; i < nr; i++)
		if (sum->has(list[i].row))
			samples__merge(at->samples, view, row, list[i].row);
	samples__derive(at->samples, view, row);
	finish(at, &(struct sample){ .row = row, .run = row, .nr_vcpus = list->nr_vcpus }, window);
	output__row(window->out, row, ROW_DERIVED);
	free(row);
}

static void write_rows(struct attachment *at, unsigned int view, const struct select *s,
		       const struct window *window)
{
	unsigned int flags = at->monitor->views[view].again ? ROW_AGAIN : 0;

	for (size_t i = 0, group; i < s->nr; i += group) {
		for (group = 0;
		     i + group < s->nr && same_vcpu(s->list[i].row, s->list[i + group].row);
		     group++)
			output__row(window->out, s->list[i + group].row, flags);
		if (at->monitor->sum && group > 1 && !select__is_flat(s))
			write_sum(at, view, &s->list[i], group, window);
	}
}

static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	return !at->monitor->shows || at->monitor->shows(at, view, scope);
}

static void write_view(struct attachment *at, unsigned int view, const struct select *s,
		       const struct window *window)
{
	const struct monitor *m = at->monitor;
	bool raw = m->views[view].of_vm;
	struct window mine = *window;
	char text[64];
	const char *more = select__more(s, text, sizeof(text));

	if (!output__wants(window->out, &m->views[view]) || !shows(at, view, window->scope))
		return;
	mine.total_follows &= shows(at, view, SCOPE_TOTAL);
	window__begin(&mine, m, view);
	if (!m->write ||
	    !m->write(at, view, raw ? s->raw : s->list, raw ? s->nr_raw : s->nr, window))
		write_rows(at, view, s, window);
	if (more && !raw)
		output__more(window->out, more);
	output__end(window->out);
	if (view == s->of && (window->selection->histogram || output__wants_buckets(window->out) ||
			      (m->views[view].histogram && window->scope == SCOPE_TOTAL)))
		histogram__write(at, view, s, &mine);
}

/* As they are: what is to be shown of them is for whoever replays them. */
static void keep_samples(struct attachment *at, unsigned int of, const struct sample *list,
			 size_t nr, const struct window *window)
{
	const struct monitor *m = at->monitor;

	window__begin(window, m, of);
	for (size_t i = 0; i < nr; i++)
		output__sample(window->out, list[i].row,
			       m->save ? m->save(at, &list[i], window) : NULL);
	output__end(window->out);
}

/* Who is shown all of them needs no order. */
static bool as_they_are(const struct window *window)
{
	return output__arranges(window->out) && window->selection == &everything;
}

/* All views that show the samples of one. */
static void write_views(struct attachment *at, size_t sink, unsigned int of,
			const struct window *window, unsigned int lines)
{
	const struct monitor *m = at->monitor;
	struct sample *list;
	struct select s;
	size_t nr;
	int err = samples__read(at->samples, sink, of, window->scope, &list, &nr);

	if (!err && output__keeps_samples(window->out)) {
		keep_samples(at, of, list, nr, window);
		free(list);
	} else if (!err) {
		err = select__open(&s, window->selection, m, at->samples, of, list, nr);
		for (size_t i = 0; !err && i < s.nr; i++)
			finish(at, &s.list[i], window);
		/* --top counts vCPUs or VMs, whose rows are side by side. */
		s.by_row = as_they_are(window) ||
			   (output__is_by_cost(window->out) && !window->selection->top);
		if (!err && !as_they_are(window))
			err = select__order(&s, lines);
		for (unsigned int view = 0; !err && m->views[view].title; view++)
			if (m->views[view].samples == of + 1)
				write_view(at, view, &s, window);
		put_objects(m, s.list, s.nr_all);
		select__free(&s);
	}
	if (err)
		memory__is_short();
}

static void write_attachment(struct attachment *at, size_t sink, const struct window *window,
			     unsigned int lines)
{
	const struct monitor *m = at->monitor;
	struct window mine = *window;

	/* It may have been attached later. */
	if (!at->replays && mine.since_ns < at->since_ns)
		mine.since_ns = at->since_ns;
	for (unsigned int view = 0; m->views[view].title; view++)
		if (m->views[view].samples == view + 1)
			write_views(at, sink, view, &mine, lines);
	if (window->scope == SCOPE_TOTAL)
		events__show_kept(at, &at->env->sinks[sink]);
	if (m->lists && window->scope == SCOPE_TOTAL)
		m->lists(at, &mine);
}

/* The rows that each table has room for, where all of them are to be seen at once; 0: no end. */
static unsigned int lines_per_table(const struct attachments *attached, const struct window *window)
{
	/*
	 * Around a table: an empty line, the heading, the columns' names, and what was left out.
	 * Around all: the time, and the cursor.
	 */
	enum { AROUND = 4, AROUND_ALL = 2 };
	unsigned int lines = output__lines(window->out), tables = 0;

	for (size_t i = 0; i < attached->nr; i++) {
		const struct monitor *m = attached->list[i]->monitor;

		for (unsigned int view = 0; m->views[view].title; view++)
			tables += m->views[view].samples &&
				  shows(attached->list[i], view, window->scope);
	}
	if (!lines || !tables)
		return 0;
	lines = lines > AROUND_ALL ? lines - AROUND_ALL : 0;
	return lines / tables > AROUND ? lines / tables - AROUND : 1;
}

void report__open(struct report *r, struct attach_env *env, const struct attachments *attached,
		  size_t sink, const struct window *window)
{
	*r = (struct report){
		.env = env,
		.attached = attached,
		.window = *window,
		.sink = sink,
		.lines = lines_per_table(attached, window),
	};
	summary__write_vms(env, &env->sinks[sink]);
	output__set_clock(window->out, clock__real_offset_ns());
	output__begin_window(window->out, window->scope, window->since_ns, window->now_ns);
}

void report__write_until(struct report *r, size_t end)
{
	for (; r->next < end; r->next++)
		write_attachment(r->attached->list[r->next], r->sink, &r->window, r->lines);
}

void report__close(struct report *r)
{
	report__write_until(r, r->attached->nr);
	output__end_window(r->window.out);
}

static struct window window_of(const struct sink *sink, enum scope scope, uint64_t since_ns,
			       uint64_t now_ns, bool total_follows)
{
	return (struct window){
		.out = sink->out,
		.selection = sink__selection(sink),
		.scope = scope,
		.since_ns = since_ns,
		.now_ns = now_ns,
		.total_follows = total_follows,
	};
}

static void write_together(const struct attachments *attached, struct report *reports, size_t nr)
{
	uint64_t read_ns = clock__ns();

	for (size_t i = 0; i < attached->nr; i++) {
		for (size_t j = 0; j < nr; j++)
			report__write_until(&reports[j], i + 1);
		keep_up(attached, &read_ns);
	}
	for (size_t j = 0; j < nr; j++)
		report__close(&reports[j]);
}

void report__intervals(struct attach_env *env, const struct attachments *attached, uint64_t sinks,
		       uint64_t now_ns, uint64_t total_follows)
{
	struct report reports[MAX_SINKS];
	size_t nr = 0;

	for (size_t i = 0; i < env->nr_sinks; i++) {
		struct sink *to = &env->sinks[i];
		const struct window window =
			window_of(to, SCOPE_INTERVAL, to->since_ns, now_ns, total_follows >> i & 1);

		if (!to->out || !(sinks >> i & 1))
			continue;
		report__open(&reports[nr++], env, attached, i, &window);
		to->since_ns = now_ns;
	}
	write_together(attached, reports, nr);
}

void report__totals(struct attach_env *env, const struct attachments *attached, uint64_t sinks,
		    uint64_t start_ns, uint64_t now_ns)
{
	struct report reports[MAX_SINKS];
	size_t nr = 0;

	for (size_t i = 0; i < env->nr_sinks; i++) {
		const struct sink *to = &env->sinks[i];
		const struct window window = window_of(to, SCOPE_TOTAL, start_ns, now_ns, false);

		if (to->out && !to->no_total && (sinks >> i & 1))
			report__open(&reports[nr++], env, attached, i, &window);
	}
	write_together(attached, reports, nr);
}
