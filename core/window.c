// SPDX-License-Identifier: GPL-2.0-only
#include "window.h"

#include "monitor.h"
#include "samples.h"
#include "select.h"

static enum merged merged(const struct window *window, const struct view *view)
{
	static const enum merged over[] = {
		[BY_VCPU] = MERGED_NOTHING,
		[BY_VM] = MERGED_VCPUS,
		[BY_HOST] = MERGED_VMS,
	};

	return view->samples && !view->of_vm ? over[window->selection->by] : MERGED_NOTHING;
}

void window__begin_as(const struct window *window, const struct monitor *m, unsigned int view,
		      const struct view *as, const struct column *columns)
{
	const struct section section = {
		.monitor = m->name,
		.columns = columns,
		.view = as,
		/* Formats tell tables apart by it. */
		.view_bit = 1U << (as == &m->views[view] ? view : view + MAX_VIEWS),
		.scope = window->scope,
		.merged = merged(window, &m->views[view]),
		.since_ns = window->since_ns,
		.now_ns = window->now_ns,
		.total_follows = window->total_follows,
	};

	output__begin(window->out, &section);
}

void window__begin(const struct window *window, const struct monitor *m, unsigned int view)
{
	window__begin_as(window, m, view, &m->views[view], m->columns);
}
