// SPDX-License-Identifier: GPL-2.0-only
#include "window.h"

#include "clock.h"
#include "monitor.h"

void window__begin(const struct window *window, const struct monitor *m, unsigned int view)
{
	const struct section section = {
		.monitor = m->name,
		.columns = m->columns,
		.view = &m->views[view],
		.view_bit = 1U << view,
		.scope = window->scope,
		.seconds = (double)(window->now_ns - window->since_ns) / NSEC_PER_SEC,
	};

	output__begin(window->out, &section);
}
