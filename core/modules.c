// SPDX-License-Identifier: GPL-2.0-only
#include "modules.h"

#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "clock.h"
#include "log.h"
#include "report.h"

void modules__init(struct modules *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < NR_HOST_MODULES; i++)
		m->known[i] = host__module_id(i);
}

static size_t count_hooks(const struct attachments *attached, unsigned int modules)
{
	size_t nr = 0;

	for (size_t i = 0; i < attached->nr; i++)
		nr += hooks__count_in(attached->list[i], modules);
	return nr;
}

bool modules__matter(const struct attachments *attached)
{
	unsigned int loadable = 0;

	for (int i = 0; i < NR_HOST_MODULES; i++)
		loadable |= host__is_loadable(i) ? 1U << i : 0;
	return count_hooks(attached, loadable);
}

/* "kvm, kvm_amd" */
static const char *names_of(unsigned int modules, char text[64])
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = 0; i < NR_HOST_MODULES; i++)
		if (modules & 1U << i)
			len += snprintf(text + len, 64 - len, "%s%s", len ? ", " : "",
					host__module_name(i));
	return text;
}

static const char *plural(size_t nr)
{
	return nr == 1 ? "" : "s";
}

static void attach_again(const struct attachments *attached, unsigned int modules)
{
	size_t nr_gone = count_hooks(attached, modules), nr = 0;
	uint64_t begin_ns = clock__ns();
	char names[64];

	if (!nr_gone)
		return;
	for (size_t i = 0; i < attached->nr; i++)
		nr += attach__again(attached->list[i], modules);
	say("%s: loaded again; of %zu lost hook%s, %zu attached again in %.0f ms: events in "
	    "between are not counted",
	    names_of(modules, names), nr_gone, plural(nr_gone), nr,
	    (double)(clock__ns() - begin_ns) / NSEC_PER_MSEC);
}

void modules__look(struct modules *m, const struct attachments *attached)
{
	unsigned int changed = 0, gone = 0, again = 0;
	bool waits = false;
	char names[64];
	size_t nr_gone;

	for (int i = 0; i < NR_HOST_MODULES; i++) {
		uint64_t id = host__module_id(i);

		if (!m->known[i] || id == m->known[i])
			continue;
		again |= 1U << i;
		waits |= !id;
		if (m->is_told[i])
			continue;
		m->is_told[i] = true;
		changed |= 1U << i;
		gone |= id ? 0 : 1U << i;
	}
	for (size_t i = 0; changed && i < attached->nr; i++)
		attached->list[i]->nr_gone += hooks__count_in(attached->list[i], changed);
	nr_gone = count_hooks(attached, gone);
	if (nr_gone)
		say("%s: unloaded; its %zu hook%s will be attached again when it is loaded again",
		    names_of(gone, names), nr_gone, plural(nr_gone));
	/* One is loaded after the other. */
	if (waits || !again)
		return;
	attach_again(attached, again);
	modules__init(m);
}
