/* SPDX-License-Identifier: GPL-2.0-only */
/* What systemd is told of a service: a datagram each. Nothing is said where nobody listens. */
#ifndef KVM_WATCHER_NOTIFY_H
#define KVM_WATCHER_NOTIFY_H

#include <stdint.h>

/* Before the sandbox. It takes $NOTIFY_SOCKET and $WATCHDOG_USEC, which go. */
void notify__open(void);
/* "READY=1" */
void notify__send(const char *state);
/* So often the watchdog wants to hear of it; 0: there is none. */
uint64_t notify__watchdog_ns(void);

#endif
