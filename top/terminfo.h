/* SPDX-License-Identifier: GPL-2.0-only */
/* ncurses' terminfo, apart: its headers take many names. */
#ifndef KVM_WATCHER_TOP_TERMINFO_H
#define KVM_WATCHER_TOP_TERMINFO_H

#include <stdbool.h>

/* False: there is no entry of that name. */
bool terminfo__open(const char *name, int fd);
void terminfo__close(void);
/* NULL: the terminal has no such capability. */
const char *terminfo__string(const char *capability);
int terminfo__number(const char *capability);
/* A capability with parameters; good until the next one. */
const char *terminfo__with(const char *string, int a, int b);

#endif
