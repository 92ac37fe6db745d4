/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's modules are unloaded and loaded again while kvm_watcher runs, to change their parameters
 * or to update them. Hooks in them go with them, and are attached again.
 */
#ifndef KVM_WATCHER_MODULES_H
#define KVM_WATCHER_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include "../compat/host.h"

struct attachments;

struct modules {
	uint64_t known[NR_HOST_MODULES]; /* when the hooks were attached; host__module_id() */
	bool is_told[NR_HOST_MODULES];	 /* it has gone, and what went with it is counted */
};

/* Before the first hook is attached. */
void modules__init(struct modules *m);

/* Can a hook go with a module? Else there is nothing to look at. */
bool modules__matter(const struct attachments *attached);

/* Attaches again, and says so, what went with modules that are there again. */
void modules__look(struct modules *m, const struct attachments *attached);

#endif
