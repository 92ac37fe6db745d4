/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the process that reads, names, computes and prints may do: nearly nothing.
 * What takes rights is the broker's (broker.h).
 */
#ifndef KVM_WATCHER_SANDBOX_H
#define KVM_WATCHER_SANDBOX_H

#include <stddef.h>

/*
 * For good: root becomes the user kvm_watcher, or nobody where there is none; all
 * capabilities go, except CAP_BPF on kernels that refuse calls on maps without it
 * (kernel.unprivileged_bpf_disabled before Linux 5.19); no program that is run gains any;
 * and a seccomp filter leaves the system calls that are needed. text says it, for people.
 *
 * While there is one thread, and after the broker has started. 0, or -errno after a
 * message: then the process is to end.
 */
int sandbox__enter(char *text, size_t size);

/*
 * Before that: the process is a screen. It also may change how its terminal reads keys, and send
 * itself the signals that stop it or end it after a crash.
 */
void sandbox__allow_screen(void);
/* Before that: connections to sockets that are open may be accepted, too. */
void sandbox__accept_connections(void);

#endif
