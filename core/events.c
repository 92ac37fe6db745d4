// SPDX-License-Identifier: GPL-2.0-only
#include "events.h"

#include <errno.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../bpf/records.h"
#include "attach.h"
#include "clock.h"
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

bool events__are_shown(const struct attach_env *env, const struct monitor *m)
{
	return m->event && !env->summary && (env->events || (env->alone && m->events_alone));
}

bool events__are_kept(const struct attach_env *env, const struct monitor *m)
{
	return m->keeps_events && !env->events && !env->summary;
}

int events__prepare(struct bpf_object *obj, uint32_t asked_mib)
{
	struct bpf_map *ring = bpf_object__find_map_by_name(obj, "events");

	return ring ? bpf_map__set_max_entries(ring, events__ring_mib(asked_mib) << 20) : 0;
}

enum { ALWAYS_AT_END = 1000 };

static int on_event(void *ctx, void *data, size_t size)
{
	struct attachment *at = ctx;
	const struct event *event = data;
	bool is_note = !event->ts_ns;
	bool is_wanted = event->ts_ns >= at->since_ns && event->ts_ns <= at->until_ns;

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

int events__open(struct attachment *at)
{
	int fd = bpf_object__find_map_fd_by_name(skeleton__object(at->skel), "events");

	if (fd < 0 || !at->monitor->event)
		return 0;
	at->events = ring_buffer__new(fd, on_event, at, NULL);
	return at->events ? 0 : -errno;
}

void events__close(struct attachment *at)
{
	ring_buffer__free(at->events);
	at->events = NULL;
}

void events__read(struct attachment *at)
{
	const struct attach_env *env = at->env;

	if (!at->events)
		return;
	/* Where they come faster than they are shown, reading would not end by itself. */
	at->read_until_ns = clock__ns();
	for (size_t i = 0; i < env->nr_sinks; i++) {
		const struct window none = {
			.out = env->sinks[i].out,
			.selection = sink__selection(&env->sinks[i]),
			.scope = SCOPE_EVENT,
		};

		output__set_clock(none.out, clock__real_offset_ns());
		window__begin(&none, at->monitor, at->monitor->event_view);
	}
	ring_buffer__consume(at->events);
	for (size_t i = 0; i < env->nr_sinks; i++)
		output__end(env->sinks[i].out);
}

void events__row(const struct attachment *at, const struct row *row)
{
	const struct monitor *m = at->monitor;

	for (size_t i = 0; i < at->env->nr_sinks; i++) {
		summary__write_vms(at->env, &at->env->sinks[i]);
		if (selection__has(sink__selection(&at->env->sinks[i]), m->columns,
				   1U << m->event_view, row))
			output__row(at->env->sinks[i].out, row, 0);
	}
}
