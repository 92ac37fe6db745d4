/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages for the user: one sentence each, one line each, on stderr; see output/text.h. */
#ifndef KVM_WATCHER_LOG_H
#define KVM_WATCHER_LOG_H

#include <stdarg.h>
#include <stdbool.h>

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
/* The same where something that was asked for is not there: the exit code will be 1. */
__attribute__((format(printf, 1, 2))) void say_failed(const char *format, ...);
/* The same after a message. */
void log__fail(void);
bool log__has_failed(void);
void say_args(const char *format, va_list args);

/*
 * Where stderr is the journal's, lines begin with their level, "<3>", and not with a name, which it
 * knows.
 */
void log__use_journal(void);

/* libbpf's own messages reach the user only with -v. */
void log__init(bool verbose);

#endif
