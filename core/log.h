/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages for the user: one sentence each, on stderr. */
#ifndef KVM_WATCHER_LOG_H
#define KVM_WATCHER_LOG_H

#include <stdbool.h>

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* libbpf's own messages reach the user only with -v. */
void log__init(bool verbose);

#endif
