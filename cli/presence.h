/* SPDX-License-Identifier: GPL-2.0-only */
/* Is what the user selects there now? */
#ifndef KVM_WATCHER_PRESENCE_H
#define KVM_WATCHER_PRESENCE_H

struct filter;

/* A sentence that names what runs, when no VM or vCPU that the filter asks for does. */
void presence__say(const struct filter *filter);

#endif
