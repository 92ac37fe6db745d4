// SPDX-License-Identifier: GPL-2.0-only
#include "events.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../bpf/records.h"
#include "attach.h"
#include "clock.h"
#include "keep.h"
#include "log.h"
#include "map.h"
#include "monitor.h"
#include "sink.h"
#include "skeleton.h"
#include "stop.h"
#include "summary.h"
#include "window.h"

uint32_t events__ring_mib(uint32_t asked_mib)
{
	enum { LEAST = 4, MOST = 64, CPUS_PER_MIB = 2 };
	uint32_t want = sysconf(_SC_NPROCESSORS_CONF) / CPUS_PER_MIB, mib = LEAST;

	if (asked_mib)
		want = asked_mib, mib = 1;
	else if (want > MOST)
		want = MOST;
	while (mib < want)
		mib *= 2;
	return mib;
}

static uint64_t slower_ns(const struct attach_env *env, const struct chosen *c)
{
	return c->slower_ns ?: env->slower_ns;
}

bool events__are_there(const struct attach_env *env, const struct chosen *c)
{
	const struct monitor *m = c->monitor;

	return m->event && (slower_ns(env, c) ? m->event_ns_at > 0 : !m->only_slow);
}

unsigned int events__view(const struct attach_env *env, const struct chosen *c)
{
	const struct monitor *m = c->monitor;

	return slower_ns(env, c) && m->slow_view ? m->slow_view : m->event_view;
}

bool events__are_shown(const struct attach_env *env, const struct chosen *c)
{
	if (!events__are_there(env, c))
		return false;
	if (c->slower_ns)
		return true;
	return !env->summary &&
	       (env->slower_ns || env->events || (env->alone && c->monitor->events_alone));
}

bool events__are_kept(const struct attach_env *env, const struct monitor *m)
{
	return m->keeps_events && !env->events && !env->summary;
}

/* Each is mapped twice, and all of it is resident. */
enum { RING_OF_NOTES = 64 << 10 };

int events__prepare(const struct attachment *at, struct bpf_object *obj)
{
	struct bpf_map *ring = bpf_object__find_map_by_name(obj, "events");
	uint32_t size = events__ring_mib(at->env->ring_mib) << 20;

	/* Notes to the monitor go through it, too, but not of one that has slow events alone. */
	if (at->monitor->only_slow && !at->slower_ns)
		size = sysconf(_SC_PAGESIZE);
	else if (!at->shows_events && !events__are_kept(at->env, at->monitor))
		size = RING_OF_NOTES;
	if (!ring)
		return 0;
	map__set_const64(obj, "ring_size", size);
	return bpf_map__set_max_entries(ring, size);
}

static void begin_section(const struct attachment *at, const struct sink *sink)
{
	const struct window none = {
		.out = sink->out,
		.selection = sink__selection(sink),
		.scope = SCOPE_EVENT,
	};

	output__set_clock(none.out, clock__real_offset_ns());
	window__begin(&none, at->monitor, events__view(at->env, at->chosen));
}

enum { ALWAYS_AT_END = 1000 };

int events__hand(struct attachment *at, const void *data, size_t size)
{
	const struct event *event = data;
	bool is_note, is_wanted;

	/* No program of ours writes what is shorter than an event, or a name without an end. */
	if (size < sizeof(*event) || !memchr(event->comm, '\0', sizeof(event->comm)))
		return 0;
	is_note = !event->ts_ns;
	is_wanted = event->ts_ns >= at->events_since_ns && event->ts_ns <= at->until_ns;
	/* The run has to end soon: totals go first; for a few events there is always time. */
	if (!is_note && is_wanted && at->nr_at_end >= ALWAYS_AT_END && stop__is_late()) {
		at->nr_left_out++;
	} else if (is_note || is_wanted) {
		at->monitor->event(at, data, size);
		if (at->nr_at_end < ALWAYS_AT_END && stop__goes_on())
			at->nr_at_end++;
	}
	/* Negative: enough for now. */
	return event->ts_ns > at->read_until_ns ? -EAGAIN : 0;
}

static int on_event(void *ctx, void *data, size_t size)
{
	return events__hand(ctx, data, size);
}

int events__open(struct attachment *at)
{
	int fd = bpf_object__find_map_fd_by_name(skeleton__object(at->skel), "events");

	if (fd < 0 || !at->monitor->event)
		return 0;
	at->events = ring_buffer__new(fd, on_event, at, NULL);
	if (!at->events)
		return -errno;
	if (!at->env->keep || !at->shows_events)
		return 0;
	at->keep = keep__new(at->monitor, events__view(at->env, at->chosen), at->env->keep);
	return at->keep ? 0 : -ENOMEM;
}

void events__close(struct attachment *at)
{
	ring_buffer__free(at->events);
	keep__free(at->keep);
	at->events = NULL;
	at->keep = NULL;
}

void events__read(struct attachment *at)
{
	const struct attach_env *env = at->env;

	if (!at->events)
		return;
	/* Where they come faster than they are shown, reading would not end by itself. */
	at->read_until_ns = clock__ns();
	for (size_t i = 0; !at->keep && i < env->nr_sinks; i++)
		if (env->sinks[i].out)
			begin_section(at, &env->sinks[i]);
	ring_buffer__consume(at->events);
	for (size_t i = 0; !at->keep && i < env->nr_sinks; i++)
		if (env->sinks[i].out)
			output__end(env->sinks[i].out);
}

static void show_to(const struct attachment *at, const struct row *row, const struct sink *sink)
{
	const struct monitor *m = at->monitor;

	if (selection__has(sink__selection(sink), m->columns,
			   1U << events__view(at->env, at->chosen), row))
		output__row(sink->out, row, 0);
}

/* As --slower-than asks; most of those that are not have not left the kernel. */
static bool is_slow(const struct attachment *at, const struct row *row)
{
	uint64_t ns;

	if (!at->slower_ns)
		return true;
	memcpy(&ns, (const char *)row + at->monitor->event_ns_at, sizeof(ns));
	return ns != UINT64_MAX && ns > at->slower_ns;
}

void events__row(const struct attachment *at, const struct row *row)
{
	if (!is_slow(at, row))
		return;
	if (at->keep) {
		keep__row(at->keep, row);
		return;
	}
	for (size_t i = 0; i < at->env->nr_sinks; i++) {
		if (!at->env->sinks[i].out)
			continue;
		summary__write_vms(at->env, &at->env->sinks[i]);
		show_to(at, row, &at->env->sinks[i]);
	}
}

void events__show_kept(struct attachment *at, const struct sink *sink)
{
	const struct row *row;

	if (!at->keep)
		return;
	if (keep__given_up(at->keep) && sink == at->env->sinks)
		say("--keep: %s keeps events of at most %d VMs; the longest events of %llu others "
		    "were dropped",
		    at->monitor->name, KEEP_MOST_VMS, (unsigned long long)keep__given_up(at->keep));
	begin_section(at, sink);
	for (size_t i = 0; (row = keep__get(at->keep, i)); i++)
		show_to(at, row, sink);
	output__end(sink->out);
}
