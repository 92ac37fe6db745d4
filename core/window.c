// SPDX-License-Identifier: GPL-2.0-only
#include "window.h"

#include "monitor.h"

void window__begin(const struct window *window, const struct monitor *m, unsigned int view)
{
	const struct section section = {
		.monitor = m->name,
		.columns = m->columns,
		.view = &m->views[view],
		.view_bit = 1U << view,
		.scope = window->scope,
		.since_ns = window->since_ns,
		.now_ns = window->now_ns,
		.total_follows = window->total_follows,
	};

	output__begin(window->out, &section);
}
